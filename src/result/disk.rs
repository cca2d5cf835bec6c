//! Writes files atomically: a file exists completely or not at all, even after `kill -9` or a power failure. Used by
//! `file` and `app`. Independent of what the files contain.
//!
//! The bytes go to a temporary file in the same folder, which is flushed to the disk before it gets its final name. A
//! killed process may leave a temporary file named `.hubstorm-PID-N.tmp`, which no reader mistakes for a result.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The last completed step, for tests that inspect the folder between steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The temporary file exists and is empty.
    Created,
    /// The temporary file contains half of the bytes.
    HalfWritten,
    /// The temporary file contains all of the bytes, and they are on the disk.
    Synced,
    /// The file has its final name.
    Named,
}

/// Called after each step. An error stops the write at that step, as a disk error would.
pub(super) type Watch<'a> = &'a mut dyn FnMut(Step) -> io::Result<()>;

/// Writes `bytes` to `path` atomically: a reader sees the old file or the new one. Missing folders are created. A
/// symbolic link is kept, and its target is replaced. A device or a pipe, such as `/dev/stdout`, is written to
/// directly.
///
/// # Errors
/// The folder cannot be created, or the file cannot be written. The old file is unchanged, and no temporary file is
/// left behind.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_watched(path, bytes, &mut |_| Ok(()))
}

pub(super) fn replace_watched(path: &Path, bytes: &[u8], watch: Watch<'_>) -> io::Result<()> {
    let target = match fs::metadata(path) {
        Ok(old) if old.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Ok(old) if !old.is_file() => return OpenOptions::new().write(true).open(path)?.write_all(bytes),
        Ok(_) => path.canonicalize()?,
        Err(_) => path.to_owned(),
    };
    place(&target, bytes, watch, |temporary| fs::rename(temporary, &target))
}

/// Writes `bytes` to `path`, which must not exist yet. Missing folders are created.
///
/// # Errors
/// Returns [`ErrorKind::AlreadyExists`] if `path` exists, even if it was created a moment ago. Otherwise, returns the same
/// errors as [`replace`].
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create_watched(path, bytes, &mut |_| Ok(()))
}

pub(super) fn create_watched(path: &Path, bytes: &[u8], watch: Watch<'_>) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    place(path, bytes, watch, |temporary| name_new(temporary, path, |from, to| fs::hard_link(from, to)))
}

/// Checks that a file of `length` bytes can be created in `folder`, which must exist.
///
/// # Errors
/// The file cannot be created.
pub fn probe(folder: &Path, length: usize) -> io::Result<()> {
    let (temporary, mut file) = temporary(folder)?;
    let written = file.write_all(&vec![0; length]);
    written.and(fs::remove_file(temporary))
}

/// Returns the folder of a file; `.` for a bare name.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes and flushes a temporary file in the folder of `path`, then calls `name` to give the file its final name.
fn place(
    path: &Path,
    bytes: &[u8],
    watch: Watch<'_>,
    name: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    if path.file_name().is_none() {
        return Err(ErrorKind::InvalidFilename.into());
    }
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(|error| match error.kind() {
        // There is a file with the folder's name. This error must differ from "the file exists".
        ErrorKind::AlreadyExists => ErrorKind::NotADirectory.into(),
        _ => error,
    })?;
    let (temporary, mut file) = temporary(folder)?;
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let written = watch(Step::Created)
        .and_then(|()| file.write_all(first))
        .and_then(|()| watch(Step::HalfWritten))
        .and_then(|()| file.write_all(second))
        .and_then(|()| file.sync_all())
        .and_then(|()| watch(Step::Synced))
        .and_then(|()| name(&temporary));
    // Ignore the error: after a rename, there is no temporary file. After a failure, the caller needs the write error,
    // and a leftover file is harmless.
    let _ = fs::remove_file(&temporary);
    written?;
    // Ignore the error: not every file system can flush a folder, and the file is complete in any case.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    watch(Step::Named)
}

/// Creates a temporary file. It is always new, because a leftover from a killed process may be a hard link to a
/// finished result.
fn temporary(folder: &Path) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".hubstorm-{}-{n}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Names a temporary file `path` unless that name is taken. A hard link does this in one step. On a file system without
/// hard links (FAT, some network shares), a claim file keeps other runs of hubstorm from taking the name during the
/// rename.
fn name_new(
    temporary: &Path,
    path: &Path,
    link: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    match link(temporary, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {}
        linked => return linked,
    }
    let mut claim = path.file_name().unwrap_or_default().to_owned();
    claim.push(".claim");
    let claim = path.with_file_name(claim);
    OpenOptions::new().write(true).create_new(true).open(&claim)?;
    let renamed = match path.symlink_metadata() {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(temporary, path),
    };
    let _ = fs::remove_file(claim);
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Writes with `writer` and fails after each step in turn: the folder never shows a partial file.
    fn fail_at_every_step(writer: fn(&Path, &[u8], Watch<'_>) -> io::Result<()>, old: Option<&str>) {
        for fail in [Some(Step::Created), Some(Step::HalfWritten), Some(Step::Synced), None] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.json");
            if let Some(old) = old {
                fs::write(&path, old).unwrap();
            }
            let mut steps = Vec::new();
            let written = writer(&path, b"new text", &mut |step| {
                steps.push(step);
                let expected = if step == Step::Named { Some("new text") } else { old };
                assert_eq!(fs::read_to_string(&path).ok().as_deref(), expected, "after {step:?}");
                let others = names(folder.path()).into_iter().filter(|name| name != "x.json");
                assert!(others.into_iter().all(|name| name.ends_with(".tmp")), "after {step:?}");
                if fail == Some(step) { Err(io::Error::other("the disk is full")) } else { Ok(()) }
            });
            assert_eq!(written.is_err(), fail.is_some());
            let expected = if fail.is_some() { old } else { Some("new text") };
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), expected, "failed after {fail:?}");
            assert_eq!(names(folder.path()).len(), usize::from(expected.is_some()), "no other file is left");
            assert_eq!(steps.len(), fail.map_or(4, |step| step as usize + 1));
        }
    }

    #[test]
    fn creating_never_shows_a_partial_file() {
        fail_at_every_step(create_watched, None);
    }

    #[test]
    fn replacing_never_shows_a_partial_file() {
        fail_at_every_step(replace_watched, Some("old"));
        fail_at_every_step(replace_watched, None);
    }

    #[test]
    fn create_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        create(&path, b"first").unwrap();
        assert_eq!(create(&path, b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        // Another process takes the name at the last moment.
        let late = folder.path().join("late.json");
        let mut other = |step| if step == Step::Synced { fs::write(&late, "other") } else { Ok(()) };
        assert_eq!(create_watched(&late, b"own", &mut other).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(fs::read_to_string(&late).unwrap(), "other");
        assert_eq!(names(folder.path()), ["late.json", "x.json"]);
        let below_a_file = create(&path.join("y.json"), b"x").unwrap_err().kind();
        assert_eq!(below_a_file, ErrorKind::NotADirectory, "the name itself is free");
    }

    #[test]
    fn without_hard_links_a_claim_guards_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let unsupported = |_: &Path, _: &Path| Err(ErrorKind::Unsupported.into());
        let named = |name: &str| {
            fs::write(path("temporary"), name).unwrap();
            name_new(&path("temporary"), &path(name), unsupported)
        };
        named("x.json").unwrap();
        assert_eq!(named("x.json").unwrap_err().kind(), ErrorKind::AlreadyExists);
        fs::write(path("y.json.claim"), "").unwrap();
        assert_eq!(named("y.json").unwrap_err().kind(), ErrorKind::AlreadyExists, "another run has a claim");
        assert_eq!(names(folder.path()), ["temporary", "x.json", "y.json.claim"]);
        assert_eq!(fs::read_to_string(path("x.json")).unwrap(), "x.json");
    }

    /// A leftover may be a hard link to a result, if a process was killed between the link and the removal.
    #[test]
    fn a_leftover_temporary_file_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (leftover, _) = temporary(folder.path()).unwrap();
        fs::write(&leftover, "a result").unwrap();
        let (next, _) = temporary(folder.path()).unwrap();
        assert_ne!(next, leftover);
        replace(&folder.path().join("x.json"), b"another").unwrap();
        assert_eq!(fs::read_to_string(leftover).unwrap(), "a result");
    }

    #[test]
    fn replace_keeps_links_and_devices() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("elsewhere")).unwrap();
        fs::write(path("elsewhere/real.json"), "old").unwrap();
        std::os::unix::fs::symlink(path("elsewhere/real.json"), path("latest.json")).unwrap();
        replace(&path("latest.json"), b"new").unwrap();
        assert!(path("latest.json").is_symlink());
        assert_eq!(fs::read_to_string(path("elsewhere/real.json")).unwrap(), "new");
        std::os::unix::fs::symlink("/dev/null", path("null")).unwrap();
        replace(&path("null"), b"gone").unwrap();
        assert!(path("null").is_symlink() && !Path::new("/dev/null").is_file());
        assert_eq!(replace(&path("elsewhere"), b"x").unwrap_err().kind(), ErrorKind::IsADirectory);
    }
}
