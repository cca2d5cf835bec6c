//! The ready file of `hubstorm emulator`: it contains the ready line while the emulator accepts connections. Used only by `emulator`.
//!
//! The emulator holds a lock on its file, so another emulator can tell a file in use from one that a killed emulator left behind. A process id
//! alone would not do, because another process, or another container, may have the same one.

use crate::emulator::control::Ready;
use rand::RngExt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Far more than a ready line has.
const BYTES_MAX: u64 = 64 * 1024;

/// Why the ready file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadyFileError {
    /// A running emulator holds the lock.
    #[error("another emulator uses the ready file {path}{}; stop it, or choose another file with --ready-file", pid.map_or_else(String::new, |pid| format!(" (process {pid})")))]
    InUse {
        /// Path.
        path: String,
        /// Process id in the file.
        pid: Option<u32>,
    },
    /// The file has other contents.
    #[error(
        "{0} exists and is not the ready file of an emulator; remove it, or choose another file with --ready-file"
    )]
    Other(String),
    /// There is a folder, a device or a link.
    #[error("{0} is not a regular file; choose another file with --ready-file")]
    NotAFile(String),
    /// The file system failed.
    #[error("cannot {action} the ready file {path}: {source}; choose another file with --ready-file")]
    Io {
        /// The failed action.
        action: &'static str,
        /// Path.
        path: String,
        /// Cause.
        source: io::Error,
    },
}

/// A ready file. It is removed on drop.
#[derive(Debug)]
pub(super) struct ReadyFile {
    path: PathBuf,
    /// The written file, open and locked.
    written: Option<File>,
}

impl ReadyFile {
    /// Reserves `path`: removes the file that a killed emulator left there.
    ///
    /// # Errors
    /// Another emulator uses the file, or the file is not a ready file.
    pub(super) fn reserve(path: &Path) -> Result<ReadyFile, ReadyFileError> {
        let ready_file = ReadyFile { path: path.to_owned(), written: None };
        ready_file.remove_stale()?;
        Ok(ready_file)
    }

    /// Writes the file, which appears complete. Only its owner can read it, because it contains a device key. Missing folders are created.
    ///
    /// # Errors
    /// The file cannot be written, or another emulator has written it in the meantime.
    pub(super) fn write(&mut self, ready: &Ready) -> Result<(), ReadyFileError> {
        self.remove_stale()?;
        let mut line = serde_json::to_vec(ready).map_err(|error| self.failed("write")(error.into()))?;
        line.push(b'\n');
        self.written = Some(self.place(&line).map_err(self.failed("write"))?);
        Ok(())
    }

    /// Removes the file, unless another one is at its path by now.
    pub(super) fn remove(&mut self) {
        let Some(written) = self.written.take() else { return };
        let id = |about: &fs::Metadata| (about.dev(), about.ino());
        let is_own = match (fs::symlink_metadata(&self.path), written.metadata()) {
            (Ok(there), Ok(own)) => id(&there) == id(&own),
            _ => false,
        };
        if is_own {
            // Ignore the error: the next emulator sees that nothing holds the lock.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn remove_stale(&self) -> Result<(), ReadyFileError> {
        let path = || self.path.display().to_string();
        let about = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            about => about.map_err(self.failed("read"))?,
        };
        if !about.is_file() {
            return Err(ReadyFileError::NotAFile(path()));
        }
        let file = File::open(&self.path).map_err(self.failed("read"))?;
        let mut text = Vec::new();
        (&file).take(BYTES_MAX).read_to_end(&mut text).map_err(self.failed("read"))?;
        let ready = serde_json::from_slice::<Ready>(&text).map_err(|_| ReadyFileError::Other(path()))?;
        // Not every file system has locks. Without them, the file counts as a leftover.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(ReadyFileError::InUse { path: path(), pid: Some(ready.pid).filter(|pid| *pid > 0) });
        }
        fs::remove_file(&self.path).map_err(self.failed("remove"))
    }

    /// Writes a temporary file in the same folder, locks it and renames it.
    fn place(&self, bytes: &[u8]) -> io::Result<File> {
        let folder = crate::result::folder_of(&self.path);
        fs::create_dir_all(folder)?;
        let temporary = folder.join(format!(".hubstorm-ready-{:08x}.tmp", rand::rng().random::<u32>()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        // Ignore the error: not every file system has locks.
        let _ = file.try_lock();
        let renamed = file.write_all(bytes).and_then(|()| fs::rename(&temporary, &self.path));
        renamed.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
        Ok(file)
    }

    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> ReadyFileError {
        let path = self.path.display().to_string();
        move |source| ReadyFileError::Io { action, path: path.clone(), source }
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn ready() -> Ready {
        serde_json::from_str("{\"mqtt\":\"127.0.0.1:8883\",\"port\":8883,\"host\":\"localhost\",\"pid\":7}")
            .unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn file_exists_while_the_hub_is_ready() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/ready.json");
        let mut file = ReadyFile::reserve(&path).unwrap();
        assert!(!path.exists());
        file.write(&ready()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<Ready>(text.trim_end()).unwrap(), ready());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(path.parent().unwrap()), ["ready.json"]);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn leftover_is_removed_and_a_file_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        fs::write(&path, serde_json::to_vec(&ready()).unwrap()).unwrap();
        let mut first = ReadyFile::reserve(&path).unwrap();
        assert!(!path.exists(), "a script must not read the address of a killed emulator");
        first.write(&ready()).unwrap();
        let error = ReadyFile::reserve(&path).unwrap_err().to_string();
        assert!(
            error.contains("another emulator uses the ready file") && error.contains("(process 7)"),
            "{error}"
        );
        assert!(path.exists());
        // Another emulator replaces the file; the first one leaves it alone.
        fs::rename(&path, folder.path().join("moved")).unwrap();
        fs::write(&path, "other").unwrap();
        drop(first);
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
    }

    #[test]
    fn other_files_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for text in ["", "notes", "{\"name\":\"x\"}"] {
            fs::write(&path, text).unwrap();
            let error = ReadyFile::reserve(&path).unwrap_err().to_string();
            assert!(error.contains("notes.txt exists and is not the ready file"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(matches!(ReadyFile::reserve(folder.path()), Err(ReadyFileError::NotAFile(_))));
        let below = path.join("ready.json");
        let error = ReadyFile::reserve(&below).unwrap_err().to_string();
        assert!(error.contains("ready file"), "{error}");
    }
}
