//! The package that `cargo package` makes, and the revision that `build.rs` gives to a build.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn package_contains_what_a_build_needs_and_little_more() {
    let output = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).unwrap();
    let files: Vec<&str> = list.lines().collect();
    for needed in
        ["build.rs", "src/scenario/schema.json", "templates/report.html", "LICENSE-MIT", "Cargo.lock"]
    {
        assert!(files.contains(&needed), "{needed}");
    }
    let folders = ["src/", "templates/", "scenarios/", "docs/", "deploy/", "certs/azure-"];
    let mut bytes = 0;
    for file in files {
        assert!(folders.iter().any(|folder| file.starts_with(folder)) || !file.contains('/'), "{file}");
        // Cargo itself makes some of the files.
        let size = fs::metadata(Path::new(ROOT).join(file)).map_or(0, |found| found.len());
        assert!(size < 200_000, "{file}: {size} bytes");
        bytes += size;
    }
    assert!(bytes < 8_000_000, "{bytes} bytes");
}

/// A folder in which `build.rs` runs as cargo runs it.
struct Build {
    folder: tempfile::TempDir,
}

impl Build {
    fn new() -> Build {
        let folder = tempfile::tempdir().unwrap();
        let build = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()))
            .args(["--edition", "2024", "-o"])
            .arg(folder.path().join("build-script"))
            .arg(Path::new(ROOT).join("build.rs"))
            .status();
        assert!(build.unwrap().success());
        fs::create_dir_all(folder.path().join("crate/src")).unwrap();
        Build { folder }
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join("crate").join(name), text).unwrap();
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@example.com"]).args(arguments);
        let output = git.current_dir(self.folder.path().join("crate")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "."]);
        self.git(&["commit", "-qm", "x"]);
        self.git(&["rev-parse", "HEAD"])[..12].to_owned()
    }

    fn output(&self, profile: &str, variables: &[(&str, &str)]) -> String {
        let mut script = Command::new(self.folder.path().join("build-script"));
        script.current_dir(self.folder.path().join("crate")).env_remove("HUBSTORM_GIT");
        script.env("PROFILE", profile).env("CARGO_PKG_VERSION", "1.2.3").envs(variables.iter().copied());
        String::from_utf8(script.output().unwrap().stdout).unwrap()
    }

    /// Returns what `--version` prints after the name.
    fn version(&self, profile: &str, variables: &[(&str, &str)]) -> String {
        let output = self.output(profile, variables);
        output.split("HUBSTORM_VERSION=").nth(1).unwrap().trim().to_owned()
    }
}

#[test]
fn release_build_names_the_revision_of_its_checkout() {
    let build = Build::new();
    build.git(&["init", "-q"]);
    build.file("src/main.rs", "");
    build.file("Cargo.toml", "");
    let first = build.commit();
    assert_eq!(build.version("release", &[]), format!("1.2.3 ({first})"));
    assert!(build.output("release", &[]).contains(&format!("HUBSTORM_GIT={first}\n")));
    // What is not a part of the program does not modify it.
    build.file("notes.txt", "");
    assert_eq!(build.version("release", &[]), format!("1.2.3 ({first})"));
    build.file("src/main.rs", "fn main() {}");
    assert_eq!(build.version("release", &[]), format!("1.2.3 ({first}-modified)"));
    let second = build.commit();
    assert_eq!(build.version("release", &[]), format!("1.2.3 ({second})"));
    assert_eq!(build.version("release", &[("HUBSTORM_GIT", "v9")]), "1.2.3 (v9)");
    // Cargo runs the script again only if one of these changes. A missing file would make it run always.
    let output = build.output("release", &[]);
    let watched: Vec<&str> =
        output.lines().filter_map(|line| line.strip_prefix("cargo:rerun-if-changed=")).collect();
    assert!(watched.contains(&".git/logs/HEAD") && watched.contains(&"src"), "{watched:?}");
    for path in watched.into_iter().filter(|path| *path != "build.rs") {
        assert!(build.folder.path().join("crate").join(path).exists(), "{path}");
    }
}

#[test]
fn development_builds_are_independent_of_commits() {
    let build = Build::new();
    build.git(&["init", "-q"]);
    build.file("src/main.rs", "");
    build.commit();
    assert_eq!(build.version("debug", &[]), "1.2.3");
    assert!(!build.output("debug", &[]).contains(".git"));
}

#[test]
fn package_names_the_revision_without_git() {
    let build = Build::new();
    // A folder in another repository does not have its revision.
    let outer = Command::new("git").args(["init", "-q"]).current_dir(build.folder.path()).status().unwrap();
    assert!(outer.success());
    assert_eq!(build.version("release", &[]), "1.2.3");
    let hash = "0123456789abcdef0123456789abcdef01234567";
    for (dirty, expected) in
        [("", "1.2.3 (0123456789ab)"), (",\n    \"dirty\": true", "1.2.3 (0123456789ab-modified)")]
    {
        let info =
            format!("{{\n  \"git\": {{\n    \"sha1\": \"{hash}\"{dirty}\n  }},\n  \"path_in_vcs\": \"\"\n}}");
        build.file(".cargo_vcs_info.json", &info);
        assert_eq!(build.version("release", &[("PATH", "")]), expected);
    }
    for damaged in [
        "",
        "{}",
        "{\"git\": {\"sha1\": \"short\"}}",
        "{\"git\": {\"sha1\": \"\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\"}}",
    ] {
        build.file(".cargo_vcs_info.json", damaged);
        assert_eq!(build.version("release", &[]), "1.2.3");
    }
}
