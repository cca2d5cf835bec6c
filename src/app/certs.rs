//! `hubstorm certs`: writes a CA certificate, a server certificate and its private key as PEM files, for a broker under test. Prints the
//! commands that start mosquitto with them (`mosquitto_hint`). The certificates come from `emulator::certificate`.

use super::{AppError, Env, mosquitto_hint, paths, print, read_scenario};
use crate::cli::CertsArgs;
use crate::clock;
use crate::emulator::certificate;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// File modes: certificates are public; only the owner can read the key.
const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;
/// What to do if the folder cannot be written.
const CHOOSE: &str = "choose another folder with --out";

/// Writes the three files. Refuses to replace files without `--force`.
pub(super) fn run(args: &CertsArgs, env: &mut Env) -> Result<(), AppError> {
    paths::check_folder(&args.out, "--out", "ca.pem, server.pem and server-key.pem")?;
    for name in &args.name {
        // Wildcards are allowed.
        read_scenario::host("--name", name.strip_prefix("*.").unwrap_or(name))?;
    }
    let valid = Duration::from_hours(24 * u64::from(args.days));
    let made = certificate::files(&args.name, clock::unix(), valid).map_err(|error| {
        AppError::Usage(format!("{error}; pass one DNS name or IP address with each --name"))
    })?;
    let files = [
        ("ca.pem", made.ca.as_str(), PUBLIC),
        ("server.pem", made.server.as_str(), PUBLIC),
        ("server-key.pem", made.key.as_str(), PRIVATE),
    ];
    std::fs::create_dir_all(&args.out).map_err(|error| {
        paths::unwritable(&format!("cannot create the folder {}", args.out.display()), &error, CHOOSE)
    })?;
    let existing = files.iter().map(|(name, ..)| args.out.join(name)).find(|path| path.exists());
    if let Some(path) = existing.filter(|_| !args.force) {
        return Err(AppError::Environment(format!(
            "{} already exists; choose another folder with --out, or replace it with --force",
            path.display()
        )));
    }
    write_all(&args.out, &files)?;
    let out = args.out.display();
    let text = format!(
        "{out}/ca.pem          CA certificate, for clients: hubstorm run .. --ca {out}/ca.pem\n\
         {out}/server.pem      server certificate for {}\n\
         {out}/server-key.pem  private key of the server; for tests only\n\
         valid for {} days; the private key of the CA is not kept\n\n{}",
        args.name.join(", "),
        args.days,
        mosquitto_hint::text(&args.out, &args.name),
    );
    print(env, &text)
}

/// Writes all files in `folder` under temporary names, then renames them. If a write fails, existing files stay unchanged and no temporary
/// file is left behind.
fn write_all(folder: &Path, files: &[(&str, &str, u32)]) -> Result<(), AppError> {
    let temporary = |name| folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = files.iter().try_for_each(|&(name, text, mode)| {
        write(&temporary(name), text, mode).map_err(|error| (name, error))
    });
    let written = written.and_then(|()| {
        let mut names = files.iter().map(|&(name, ..)| name);
        names.try_for_each(|name| {
            std::fs::rename(temporary(name), folder.join(name)).map_err(|error| (name, error))
        })
    });
    written.map_err(|(name, error)| {
        for (name, ..) in files {
            // Ignore errors: files that were already renamed, or not created yet, do not exist.
            let _ = std::fs::remove_file(temporary(name));
        }
        paths::unwritable(&format!("cannot write {}", folder.join(name).display()), &error, CHOOSE)
    })
}

/// Creates a new file with this mode, so that a key is never in a file that others can read.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}
