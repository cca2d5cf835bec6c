//! `hubstorm certs`: an authority and a server certificate as PEM files, for a broker under test.

use super::{AppError, Env, environment_error, print, read_scenario};
use crate::cli::CertsArgs;
use crate::clock;
use crate::emulator::certificate;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Who may read a certificate, and who a key.
const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// Makes the three files; refuses to replace any of them unless told to.
pub(super) fn run(args: &CertsArgs, env: &mut Env) -> Result<(), AppError> {
    for name in &args.name {
        // A certificate may be for all names of a domain.
        read_scenario::host("--name", name.strip_prefix("*.").unwrap_or(name))?;
    }
    let valid = Duration::from_hours(24 * u64::from(args.days));
    let made = certificate::files(&args.name, clock::unix(), valid).map_err(|error| {
        AppError::Usage(format!("{error}; --name takes DNS names and IP addresses, one each"))
    })?;
    let files = [
        ("ca.pem", made.ca.as_str(), PUBLIC),
        ("server.pem", made.server.as_str(), PUBLIC),
        ("server-key.pem", made.key.as_str(), PRIVATE),
    ];
    std::fs::create_dir_all(&args.out).map_err(|error| {
        environment_error(&format!("cannot make the folder {}", args.out.display()), &error)
    })?;
    let taken = files.iter().map(|(name, ..)| args.out.join(name)).find(|path| path.exists());
    if let Some(path) = taken.filter(|_| !args.force) {
        return Err(AppError::Environment(format!(
            "{} is already there; choose another folder with --out, or say --force to replace it",
            path.display()
        )));
    }
    place(&args.out, &files)?;
    let out = args.out.display();
    let text = format!(
        "{out}/ca.pem          what clients trust: hubstorm run .. --ca {out}/ca.pem\n\
         {out}/server.pem      the server's certificate, for {}\n\
         {out}/server-key.pem  its private key; for tests only\n\
         good for {} days; the authority's own key is not kept\n",
        args.name.join(", "),
        args.days,
    );
    print(env, &text)
}

/// Writes the files in `folder`: all of them under temporary names, and then gives them their names. If one cannot be written, older
/// files are untouched and nothing is left.
fn place(folder: &Path, files: &[(&str, &str, u32)]) -> Result<(), AppError> {
    let temporary = |name| folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let placed = files.iter().try_for_each(|&(name, text, mode)| {
        write(&temporary(name), text, mode).map_err(|error| (name, error))
    });
    let placed = placed.and_then(|()| {
        let mut names = files.iter().map(|&(name, ..)| name);
        names.try_for_each(|name| {
            std::fs::rename(temporary(name), folder.join(name)).map_err(|error| (name, error))
        })
    });
    placed.map_err(|(name, error)| {
        for (name, ..) in files {
            // Those that were renamed or never made are not there.
            let _ = std::fs::remove_file(temporary(name));
        }
        environment_error(&format!("cannot write {}", folder.join(name).display()), &error)
    })
}

/// Writes a new file, so that a key is never in a file that others may already read.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}
