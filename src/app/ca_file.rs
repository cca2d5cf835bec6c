//! The CA file of `hubstorm emulator`: the certificate that devices must trust. Used only by `emulator`.
//!
//! Without `--ca-out` the file is in the temporary directory and is removed when the emulator ends. A killed emulator cannot remove its file, so
//! the next emulator removes it. It recognizes a stale file because no process holds a lock on it. A process id in the name would not work,
//! because another process may get the same id later.

use rand::RngExt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::result::replace;

/// Temporary file names are PREFIX, eight hexadecimal digits, SUFFIX.
const PREFIX: &str = "hubstorm-emulator-";
const SUFFIX: &str = ".ca.pem";

/// The maximum number of names to try. Another emulator may remove a new file before it is locked.
const ATTEMPTS_MAX: usize = 16;

/// A file with the CA certificate. If it is temporary, it is removed on drop.
#[derive(Debug)]
pub(super) struct CaFile {
    path: PathBuf,
    /// The temporary file, open and locked; `None` for a file from `--ca-out`.
    lock: Option<File>,
}

impl CaFile {
    /// Writes `pem` to `path`. The file is kept on drop. On failure, an existing file stays unchanged.
    ///
    /// # Errors
    /// Returns the path and the cause if the file cannot be written.
    pub(super) fn at(path: &Path, pem: &str) -> Result<CaFile, (PathBuf, io::Error)> {
        let failed = |source| (path.to_owned(), source);
        replace(path, pem.as_bytes()).map_err(failed)?;
        let path = std::path::absolute(path).map_err(failed)?;
        Ok(CaFile { path, lock: None })
    }

    /// Writes `pem` to a new file in `folder`, and removes files that killed emulators of this user left there.
    ///
    /// # Errors
    /// Returns the path and the cause if the file cannot be written.
    pub(super) fn temporary(folder: &Path, pem: &str) -> Result<CaFile, (PathBuf, io::Error)> {
        let mut path = folder.to_owned();
        for _ in 0..ATTEMPTS_MAX {
            path = folder.join(format!("{PREFIX}{:08x}{SUFFIX}", rand::rng().random::<u32>()));
            match create_locked(&path) {
                Ok(Some(mut file)) => {
                    let written = file.write_all(pem.as_bytes()).and_then(|()| file.metadata());
                    let made = CaFile { path: path.clone(), lock: Some(file) };
                    remove_stale(folder, written.map_err(|source| (path, source))?.uid());
                    return Ok(made);
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err((path, source)),
            }
        }
        Err((path, io::ErrorKind::AlreadyExists.into()))
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for CaFile {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // Ignore the error: a leftover file in the temporary directory contains only a public certificate.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Creates and locks a new file. `create_new` fails on an existing link, so an attacker cannot redirect the write. `None` if
/// another emulator removed the file before it was locked.
fn create_locked(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
        return Ok(None);
    }
    Ok((file.metadata()?.nlink() > 0).then_some(file))
}

/// Removes `user`'s temporary files whose emulator has exited. Keeps files whose state cannot be determined.
fn remove_stale(folder: &Path, user: u32) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        if number.is_some_and(|n| n.len() == 8 && n.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            let path = entry.path();
            if let Some(_locked) = stale(&path, user) {
                // Names are random, so no other emulator has created a file with this name in the meantime.
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// Opens and locks the file if it belongs to `user` and its emulator has exited. Does not follow links or block on a pipe.
fn stale(path: &Path, user: u32) -> Option<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let about = file.metadata().ok()?;
    let ours = about.is_file() && about.uid() == user && about.nlink() > 0;
    (ours && file.try_lock().is_ok()).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn temporary_file_is_removed_with_its_emulator() {
        let folder = tempfile::tempdir().unwrap();
        let file = CaFile::temporary(folder.path(), "pem").unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "pem");
        drop(file);
        assert!(files(folder.path()).is_empty());
        let kept = folder.path().join("ca.pem");
        drop(CaFile::at(&kept, "pem").unwrap());
        assert_eq!(fs::read_to_string(&kept).unwrap(), "pem", "a file from --ca-out stays");
    }

    #[test]
    fn only_stale_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let live = CaFile::temporary(folder.path(), "live").unwrap();
        let stale = format!("{PREFIX}0123abcd{SUFFIX}");
        fs::write(folder.path().join(&stale), "").unwrap();
        // Other names, and a link, a folder and a pipe with a matching name.
        let target = folder.path().join("hubstorm-emulator-0123abcd");
        fs::write(&target, "not ours").unwrap();
        fs::write(folder.path().join(format!("{PREFIX}0123abcx{SUFFIX}")), "").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join(format!("{PREFIX}00000001{SUFFIX}"))).unwrap();
        fs::create_dir(folder.path().join(format!("{PREFIX}00000002{SUFFIX}"))).unwrap();
        let pipe = folder.path().join(format!("{PREFIX}00000003{SUFFIX}"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let before = files(folder.path());
        let second = CaFile::temporary(folder.path(), "second").unwrap();
        let mut expected: Vec<String> = before.into_iter().filter(|name| *name != stale).collect();
        expected.push(second.path().file_name().unwrap().to_str().unwrap().to_owned());
        expected.sort();
        assert_eq!(files(folder.path()), expected);
        assert_eq!(fs::read_to_string(live.path()).unwrap(), "live");
    }

    #[test]
    fn concurrent_starts_keep_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let start = |_| {
            let path = folder.path();
            move || (0..50).map(|_| CaFile::temporary(path, "pem").unwrap()).collect::<Vec<_>>()
        };
        let started: Vec<CaFile> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(start(n))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(files(folder.path()).len(), started.len());
        assert!(started.iter().all(|file| fs::read_to_string(file.path()).unwrap() == "pem"));
    }
}
