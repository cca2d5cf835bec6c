//! The results in a folder: which files may be results, and which of them are. Used by `compare` and by `report --history`.

use super::other_file::RESULT_SCHEMAS;
use crate::result::model::RunResult;
use crate::result::{self, FileError};
use std::io;
use std::path::{Path, PathBuf};

/// The content of a file with the extension `.json`.
pub(super) enum Found {
    /// A result.
    Result(Box<RunResult>),
    /// Another kind of file.
    Other,
    /// A result that is damaged or of a newer version, or a file that cannot be read.
    Unreadable(FileError),
}

/// Returns the `.json` files in a folder, sorted. Ignores hidden files and other folders.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        if is_json && !is_hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file of a folder.
pub(super) fn read(path: &Path) -> Found {
    match result::read(path) {
        Ok(result) => Found::Result(Box::new(result)),
        Err(error) if is_other(path, &error) => Found::Other,
        Err(error) => Found::Unreadable(error),
    }
}

/// Returns true if a file is no result at all. A result that was damaged still names its schema.
fn is_other(path: &Path, error: &FileError) -> bool {
    let schema = RESULT_SCHEMAS.as_bytes();
    match error {
        FileError::NoSchema { .. }
        | FileError::Schema { .. }
        | FileError::Page { .. }
        | FileError::Xml { .. }
        | FileError::Journal { .. } => true,
        FileError::Shape { .. } | FileError::Joined { .. } => {
            std::fs::read(path).is_ok_and(|bytes| !bytes.windows(schema.len()).any(|part| part == schema))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_differ_from_damaged_results() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        for (text, expected) in [
            ("{\"name\": \"package\"}", "other"),
            ("[1, 2]", "other"),
            ("// a comment\n{}", "other"),
            ("{}\n{}\n", "other"),
            ("<html></html>", "other"),
            ("{\"schema\": \"hubstorm.compare.v1\"}", "other"),
            ("{\"schema\": \"hubstorm.result.v1\"}", "unreadable"),
            ("{\"schema\": \"hubstorm.result.v1\"} {}", "unreadable"),
            ("{\"schema\": \"hubstorm.result.v2\"}", "unreadable"),
            ("{\"schema\": \"hubstorm.res", "unreadable"),
            ("", "unreadable"),
        ] {
            std::fs::write(&path, text).unwrap();
            let found = match read(&path) {
                Found::Result(_) => "result",
                Found::Other => "other",
                Found::Unreadable(_) => "unreadable",
            };
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn only_visible_json_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.JSON", ".hidden.json", "c.html"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("d.json")).unwrap();
        let names: Vec<_> = files(folder.path()).unwrap();
        assert_eq!(names, ["a.JSON", "b.json"].map(|name| folder.path().join(name)));
    }
}
