//! Messages about paths on the command line: input files that cannot be opened, and output folders that are not folders or cannot be
//! written. Used by every command that takes a path.

use super::AppError;
use crate::report::Format;
use crate::scenario::nearest;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Describes why an input file could not be read. `kind` names the file, such as "scenario"; `extensions` are its file extensions.
pub(super) fn unreadable(kind: &str, path: &Path, error: &io::Error, extensions: &[&str]) -> String {
    let shown = path.display();
    match error.kind() {
        ErrorKind::IsADirectory => format!("{shown} is a folder. Specify a {kind} file in it"),
        ErrorKind::NotFound => match meant(path, extensions) {
            Some(meant) => format!("{shown} does not exist. Did you mean {}?", meant.display()),
            None => format!("{shown} does not exist. Check the path of the {kind} file"),
        },
        ErrorKind::PermissionDenied => {
            format!("cannot read the {kind} {shown}: {error}. Make the file readable")
        }
        _ => format!("cannot read the {kind} {shown}: {error}"),
    }
}

/// Returns the existing file that `path` probably means: it lacks only the extension, or its name is similar.
fn meant(path: &Path, extensions: &[&str]) -> Option<PathBuf> {
    let with = |extension: &&str| {
        let mut name: OsString = path.file_name()?.to_owned();
        name.push(".");
        name.push(extension);
        Some(path.with_file_name(name)).filter(|path| path.is_file())
    };
    extensions.iter().find_map(with).or_else(|| similar(path, extensions))
}

/// Returns the file in the same folder, with one of the extensions, whose name is similar enough.
fn similar(path: &Path, extensions: &[&str]) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut stems: Vec<(String, OsString)> = Vec::new();
    for entry in std::fs::read_dir(folder).ok()?.filter_map(Result::ok) {
        let file = entry.path();
        let is_one = |extension: &&str| file.extension().is_some_and(|found| found == *extension);
        if extensions.iter().any(is_one) && file.is_file() {
            stems.extend(
                file.file_stem().and_then(|stem| Some((stem.to_str()?.to_owned(), entry.file_name()))),
            );
        }
    }
    stems.sort();
    let stem = nearest(path.file_stem()?.to_str()?, stems.iter().map(|(stem, _)| stem.as_str()))?;
    stems.iter().find(|(one, _)| one == stem).map(|(_, name)| path.with_file_name(name))
}

/// Refuses an output folder whose name is that of a file. `writes` says what the command writes to the folder.
pub(super) fn check_folder(folder: &Path, command: &str, writes: &str) -> Result<(), AppError> {
    let shown = folder.display();
    if folder.as_os_str() == "-" {
        return Err(AppError::Usage(format!(
            "{command} takes a folder and writes {writes} to it; it cannot print to stdout"
        )));
    }
    let extension = folder.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let extension = extension.to_ascii_lowercase();
    let is_file_name = Format::of_file(folder).is_some()
        || ["toml", "jsonc", "yaml", "yml", "pem", "crt", "cer", "key", "csv", "pdf"].contains(&&*extension);
    if is_file_name && !folder.is_dir() {
        return Err(AppError::Usage(format!(
            "{shown} looks like a file. {command} takes a folder and writes {writes} to it"
        )));
    }
    Ok(())
}

/// Returns what to do after an error while writing to a folder. `choose` says how to choose another one.
pub(super) fn write_fix(error: &io::Error, choose: &str) -> String {
    match error.kind() {
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => choose.to_owned(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("make the folder writable, or {choose}")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("free up disk space, or {choose}"),
        ErrorKind::FileTooLarge => "raise the file size limit of this shell:  ulimit -f unlimited".to_owned(),
        _ => choose.to_owned(),
    }
}

/// Returns the error of a command that could not write to a folder.
pub(super) fn unwritable(action: &str, error: &io::Error, choose: &str) -> AppError {
    AppError::Environment(format!("{action}: {error}\n  {}", write_fix(error, choose)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_files_that_cannot_be_read_have_a_fix() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("quickstart.toml"), "").unwrap();
        std::fs::write(path("v1.2.json"), "").unwrap();
        std::fs::write(path("quikcstart.png"), "").unwrap();
        for (name, expected) in [
            ("", "is a folder. Specify a scenario file in it"),
            ("quickstart", "quickstart does not exist. Did you mean "),
            ("v1.2", "v1.2.json?"),
            ("quikcstart.toml", "quickstart.toml?"),
            ("Quickstart.tml", "quickstart.toml?"),
            ("other", "other does not exist. Check the path of the scenario file"),
        ] {
            let error = std::fs::read(path(name)).unwrap_err();
            let text = unreadable("scenario", &path(name), &error, &["toml", "json"]);
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn file_names_are_not_folders() {
        let folder = tempfile::tempdir().unwrap();
        let existing = folder.path().join("old.pem");
        std::fs::create_dir(&existing).unwrap();
        for path in [Path::new("."), Path::new("out"), Path::new("v1.2"), Path::new("-x"), &existing] {
            check_folder(path, "init", "quickstart.toml").unwrap();
        }
        let refused = |path: &str| check_folder(Path::new(path), "init", "quickstart.toml").unwrap_err();
        assert_eq!(
            refused("my.toml").to_string(),
            "my.toml looks like a file. init takes a folder and writes quickstart.toml to it"
        );
        assert!(refused("-").to_string().ends_with("it cannot print to stdout"));
        for path in ["certs/ca.pem", "x.HTML", "x.htm", "x.xml", "x.md", "x.hlog", "x.prom", "x.csv", "x.pdf"]
        {
            assert!(matches!(refused(path), AppError::Usage(_)), "{path}");
        }
    }

    #[test]
    fn fix_depends_on_the_kind_of_error() {
        for (kind, expected) in [
            (ErrorKind::NotADirectory, "choose another"),
            (ErrorKind::PermissionDenied, "make the folder writable, or choose another"),
            (ErrorKind::StorageFull, "free up disk space, or choose another"),
            (ErrorKind::FileTooLarge, "raise the file size limit of this shell:  ulimit -f unlimited"),
        ] {
            assert_eq!(write_fix(&kind.into(), "choose another"), expected);
        }
    }
}
