//! What a scenario is read from: its text, overrides, environment variables, and the files that it names. Filled in by `app` and by
//! tests.

use super::error::{Origin, Place};
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What a scenario is read from. Nothing else is: not the clock, not the process.
pub struct Input<'a> {
    /// The file's name as shown in errors; `.json` and `.jsonc` are read as JSON.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// `--set` overrides as `key=value`, applied in order.
    pub overrides: &'a [String],
    /// Looks up an environment variable for `${env.NAME}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a file that the scenario names, for `${file.PATH}` and for lists of devices.
    pub files: &'a dyn Fn(&Path) -> io::Result<FileText>,
}

/// What a file holds. It may be secrets: wiped when dropped.
pub type FileText = Zeroizing<Vec<u8>>;

/// For scenarios that name no files: there are none.
///
/// # Errors
/// Always.
pub fn no_files(_: &Path) -> io::Result<FileText> {
    Err(io::ErrorKind::NotFound.into())
}

/// Where a file is that the scenario in `file` names: a path in the scenario is relative to the scenario's folder, one on
/// the command line to the working directory.
#[must_use]
pub fn located(file: &str, place: &Place, path: &Path) -> PathBuf {
    match (&place.origin, Path::new(file).parent()) {
        (Origin::File { .. }, Some(folder)) => folder.join(path),
        _ => path.to_owned(),
    }
}
