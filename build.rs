//! Names the git revision of a release build, for `hubstorm --version` and for `tool.git` in the result file. The variable `HUBSTORM_GIT`, if
//! set during the build, replaces it. Other builds have no revision, because it would compile everything again after each commit.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The files that decide what the program does. A change to one of them compiles hubstorm again in any case.
const SOURCES: [&str; 6] = ["src", "templates", "scenarios", "build.rs", "Cargo.toml", "Cargo.lock"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=HUBSTORM_GIT");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let named = env::var("HUBSTORM_GIT").ok().filter(|revision| !revision.trim().is_empty());
    let revision = named.or_else(|| is_release.then(revision).flatten());
    let mut version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    if let Some(revision) = revision {
        println!("cargo:rustc-env=HUBSTORM_GIT={revision}");
        version += &format!(" ({revision})");
    }
    println!("cargo:rustc-env=HUBSTORM_VERSION={version}");
}

/// Returns the revision of this folder: from the file that `cargo package` adds to a package, or from git if the folder is a checkout.
fn revision() -> Option<String> {
    packaged().or_else(checked_out)
}

/// Reads `.cargo_vcs_info.json`: `{"git": {"sha1": "..", "dirty": true}, ..}`. `dirty` is absent if there were no changes.
fn packaged() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let hash = text.split("\"sha1\":").nth(1)?.split('"').nth(1)?;
    let is_hash = hash.len() >= 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| marked(hash, text.contains("\"dirty\": true")))
}

fn checked_out() -> Option<String> {
    // Without this check, git would name the revision of a repository around this folder.
    if !Path::new(".git").exists() {
        return None;
    }
    let hash = git(&["rev-parse", "HEAD"])?;
    // The log of HEAD grows with each commit and each checkout, also if HEAD itself only names a branch.
    let positions = ["HEAD", "logs/HEAD"].map(|name| git(&["rev-parse", "--git-path", name]));
    // Cargo would run this script in every build if a file were missing.
    let watched = positions.iter().flatten().map(String::as_str).chain(SOURCES);
    for path in watched.filter(|path| Path::new(path).exists()) {
        println!("cargo:rerun-if-changed={path}");
    }
    let changes = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    Some(marked(&hash, !changes.is_empty()))
}

/// Shortens a hash, and marks it if the build has changes that are not in the commit.
fn marked(hash: &str, is_modified: bool) -> String {
    format!("{}{}", &hash[..12], if is_modified { "-modified" } else { "" })
}

/// Returns the output of git without its final line break; `None` if git is missing or fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim_end().to_owned())
}
