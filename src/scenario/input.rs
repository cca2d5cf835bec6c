//! The input of the scenario reader: text, overrides, environment variables, and files. `app` and tests fill it in. This file must
//! not depend on the format's keys.

use super::error::{Origin, Place};
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// All inputs of the scenario reader, which uses neither the clock nor the process environment.
pub struct Input<'a> {
    /// File name for error messages. Files that end in `.json` or `.jsonc` are read as JSON.
    pub file: &'a str,
    /// Text of the file.
    pub text: &'a str,
    /// `--set` overrides of the form `key=value`, applied in order.
    pub overrides: &'a [String],
    /// Looks up an environment variable for `${env.NAME}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a file that the scenario refers to: a secret (`${file.PATH}`), a device list, or payloads.
    pub files: &'a dyn Fn(&Path) -> io::Result<FileText>,
}

/// The content of a file. It may contain secrets, so it is wiped when dropped.
pub type FileText = Zeroizing<Vec<u8>>;

/// An [`Input::files`] function for scenarios that refer to no files.
///
/// # Errors
/// Always returns `NotFound`.
pub fn no_files(_: &Path) -> io::Result<FileText> {
    Err(io::ErrorKind::NotFound.into())
}

/// Resolves a path that the scenario in `file` refers to. A path in the scenario is relative to the scenario's folder. A path in a `--set`
/// override is relative to the working directory.
#[must_use]
pub fn resolve_path(file: &str, place: &Place, path: &Path) -> PathBuf {
    match (&place.origin, Path::new(file).parent()) {
        (Origin::File { .. }, Some(folder)) => folder.join(path),
        _ => path.to_owned(),
    }
}
