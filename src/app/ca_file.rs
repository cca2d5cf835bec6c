//! The file with the certificate authority of a stand-alone emulator, for the devices to trust. Used by `emulator` alone.
//!
//! Without `--ca-out` it is a file in the temporary directory that is removed when the emulator ends. An emulator that is
//! killed cannot remove its file: the next one does. The kernel's lock on the file tells it that the owner is gone. A process
//! id cannot, because another process may have it by then.

use rand::RngExt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The names of the temporary files: between these two are eight hexadecimal digits.
const PREFIX: &str = "hubstorm-emulator-";
const SUFFIX: &str = ".ca.pem";

/// A cleaner may take a file between its creation and its locking; then another name is tried.
const ATTEMPTS_MAX: usize = 16;

/// A file with the certificate authority. A temporary one is removed when this is dropped.
#[derive(Debug)]
pub(super) struct CaFile {
    path: PathBuf,
    /// The lock on a temporary file, held for as long as this exists.
    lock: Option<File>,
}

impl CaFile {
    /// Writes `pem` to `path` and leaves it there.
    ///
    /// # Errors
    /// The path and why it cannot be written.
    pub(super) fn at(path: &Path, pem: &str) -> Result<CaFile, (PathBuf, io::Error)> {
        let failed = |source| (path.to_owned(), source);
        fs::write(path, pem).map_err(failed)?;
        let path = std::path::absolute(path).map_err(failed)?;
        Ok(CaFile { path, lock: None })
    }

    /// Writes `pem` to a new file in `folder`, and removes the files there that killed emulators of this user left behind.
    ///
    /// # Errors
    /// The path and why it cannot be written.
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

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for CaFile {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // A file that cannot be removed is a public certificate in a temporary directory.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Creates a file that did not exist, so that nobody can have put a link there, and locks it. `None` if a cleaner was faster
/// than the lock. Everybody may read it; on a file system without locks it is never taken for stale.
fn create_locked(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
        return Ok(None);
    }
    Ok((file.metadata()?.nlink() > 0).then_some(file))
}

/// Removes the temporary files of `user` whose emulator is gone. A file that cannot be judged stays.
fn remove_stale(folder: &Path, user: u32) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        if number.is_some_and(|n| n.len() == 8 && n.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            let path = entry.path();
            if let Some(_locked) = stale(&path, user) {
                // Names are not used twice: nobody can have made another file of this name meanwhile.
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// The file, locked, if it is a file of `user` and its emulator is gone. Links are not followed, and a pipe is not waited for.
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
    fn a_temporary_file_is_removed_with_its_emulator() {
        let folder = tempfile::tempdir().unwrap();
        let file = CaFile::temporary(folder.path(), "pem").unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "pem");
        drop(file);
        assert!(files(folder.path()).is_empty());
        let kept = folder.path().join("ca.pem");
        drop(CaFile::at(&kept, "pem").unwrap());
        assert_eq!(fs::read_to_string(&kept).unwrap(), "pem", "a file that was asked for stays");
    }

    #[test]
    fn stale_files_are_removed_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let live = CaFile::temporary(folder.path(), "live").unwrap();
        let stale = format!("{PREFIX}0123abcd{SUFFIX}");
        fs::write(folder.path().join(&stale), "").unwrap();
        // Names of others, a link to a file of ours, a folder and a pipe of the right name.
        let target = folder.path().join("hubstorm-emulator-0123abcd");
        fs::write(&target, "not ours").unwrap();
        fs::write(folder.path().join(format!("{PREFIX}0123abcx{SUFFIX}")), "").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join(format!("{PREFIX}00000001{SUFFIX}"))).unwrap();
        fs::create_dir(folder.path().join(format!("{PREFIX}00000002{SUFFIX}"))).unwrap();
        let pipe = folder.path().join(format!("{PREFIX}00000003{SUFFIX}"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let before = files(folder.path());
        let second = CaFile::temporary(folder.path(), "second").unwrap();
        let mut wanted: Vec<String> = before.into_iter().filter(|name| *name != stale).collect();
        wanted.push(second.path().file_name().unwrap().to_str().unwrap().to_owned());
        wanted.sort();
        assert_eq!(files(folder.path()), wanted);
        assert_eq!(fs::read_to_string(live.path()).unwrap(), "live");
    }

    #[test]
    fn emulators_that_start_at_once_keep_their_files() {
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
