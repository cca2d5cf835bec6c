//! `--export`: checks the files when a command starts, and writes them when it ends. Used by `run` and `report`.

use super::{AppError, environment_error, paths};
use crate::report::{Export, Format, HubView, ReportError};
use crate::result::model::RunResult;
use crate::result::{disk, to_compact_json};
use std::io;
use std::path::{Path, PathBuf};

/// Refuses files that cannot be written, two exports to the same file, and exports to one of the `inputs`, which the command reads. Does not
/// write files or create folders.
pub(super) fn check<P: AsRef<Path>>(exports: &[Export], inputs: &[P]) -> Result<(), AppError> {
    let mut targets = Targets::of(inputs);
    for export in exports {
        targets.add(identities(export)?)?;
    }
    Ok(())
}

/// Like [`check`], for single files of other formats, each with its usual extension.
pub(super) fn check_files<P: AsRef<Path>>(files: &[(&Path, &str)], inputs: &[P]) -> Result<(), AppError> {
    let mut targets = Targets::of(inputs);
    for (file, extension) in files {
        targets.add(vec![(writable(file, extension)?, file.to_path_buf())])?;
    }
    Ok(())
}

/// The files that a command reads and writes.
struct Targets {
    inputs: Vec<PathBuf>,
    /// Canonical paths, each with the path as specified.
    known: Vec<(PathBuf, PathBuf)>,
}

impl Targets {
    fn of<P: AsRef<Path>>(inputs: &[P]) -> Targets {
        let inputs = inputs.iter().filter_map(|input| input.as_ref().canonicalize().ok()).collect();
        Targets { inputs, known: Vec::new() }
    }

    /// Adds files to write, each with its canonical path. Refuses files that the command reads or already writes.
    fn add(&mut self, files: Vec<(PathBuf, PathBuf)>) -> Result<(), AppError> {
        for (identity, file) in files {
            if self.inputs.contains(&identity) {
                return Err(AppError::Usage(format!(
                    "cannot write {}: the command reads this file; choose another file",
                    file.display()
                )));
            }
            if let Some((_, first)) = self.known.iter().find(|(other, _)| *other == identity) {
                return Err(AppError::Usage(format!(
                    "{} and {} are the same file; choose a different file for each export",
                    first.display(),
                    file.display()
                )));
            }
            self.known.push((identity, file));
        }
        Ok(())
    }
}

/// Checks that the files of an export can be written. Returns their canonical paths, each with the path as specified.
fn identities(export: &Export) -> Result<Vec<(PathBuf, PathBuf)>, AppError> {
    let folder = &export.file;
    let extension = export.format.extensions().first().unwrap_or(&"csv");
    match folder.metadata() {
        _ if export.format.file_names().is_empty() => {}
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            return Err(AppError::Environment(format!(
                "cannot write {}: it is not a folder, and {} needs a folder; choose another path",
                folder.display(),
                export.format.name()
            )));
        }
        // The folder is created with its files.
        Err(_) => {
            let folder_identity = writable(folder, extension)?;
            let files = export.paths().into_iter();
            return Ok(files
                .map(|file| (folder_identity.join(file.file_name().unwrap_or_default()), file))
                .collect());
        }
    }
    export.paths().into_iter().map(|file| Ok((writable(&file, extension)?, file))).collect()
}

/// Checks that `file` can be written. Returns its canonical path. `extension` is for the example in an error.
fn writable(file: &Path, extension: &str) -> Result<PathBuf, AppError> {
    let path = file.display();
    let folder = disk::folder_of(file);
    let fail = |what: String| AppError::Environment(format!("cannot write {path}: {what}"));
    let folder_path = folder.display();
    match folder.metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(fail(format!("{folder_path} is not a folder; choose another folder"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(fail(format!(
                "the folder {folder_path} does not exist; create it:  mkdir -p {folder_path}"
            )));
        }
        Err(error) => {
            return Err(fail(format!("cannot use the folder {folder_path}: {error}; choose another file")));
        }
    }
    let unusable = |error: io::Error| fail(format!("{error}; choose another file"));
    match file.metadata() {
        Ok(found) if found.is_dir() => Err(fail(format!(
            "it is a folder; choose a file in it, for example {}",
            file.join("result").with_extension(extension).display()
        ))),
        // A device or a pipe, such as /dev/stdout, is not opened until the export is written.
        Ok(found) if !found.is_file() => file.canonicalize().or_else(|_| Ok(file.to_owned())),
        Ok(_) => {
            let target = file.canonicalize().map_err(unusable)?;
            probe(disk::folder_of(&target), file)?;
            Ok(target)
        }
        Err(_) => {
            let name = file.file_name().ok_or_else(|| fail("it is not a file name".to_owned()))?;
            probe(folder, file)?;
            Ok(folder.canonicalize().map_err(unusable)?.join(name))
        }
    }
}

fn probe(folder: &Path, file: &Path) -> Result<(), AppError> {
    disk::probe(folder, 0).map_err(|error| {
        AppError::Environment(format!(
            "cannot write {}: cannot create a file in {}: {error}; {}",
            file.display(),
            folder.display(),
            paths::write_fix(&error, "choose another folder")
        ))
    })
}

/// Writes all exports, replacing existing files. If `compact` is set, JSON files have no empty histograms. After an error, continues with the next export. Returns the written files and the errors.
pub(super) fn write(exports: &[Export], result: &RunResult, compact: bool) -> (Vec<PathBuf>, Vec<AppError>) {
    write_with_hub(exports, result, None, compact)
}

/// Like [`write`], with the hub's own view of the run.
pub(super) fn write_with_hub(
    exports: &[Export],
    result: &RunResult,
    hub: Option<&HubView>,
    compact: bool,
) -> (Vec<PathBuf>, Vec<AppError>) {
    let (mut written, mut errors) = (Vec::new(), Vec::new());
    for export in exports {
        match write_one(export, result, hub, compact) {
            Ok(files) => written.extend(files),
            Err(error) => errors.push(error),
        }
    }
    (written, errors)
}

/// Combines the errors of all exports into one.
pub(super) fn all_written(errors: Vec<AppError>) -> Result<(), AppError> {
    if errors.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Err(AppError::Environment(texts.join("\n  ")))
}

/// Renders a result like [`Format::render_with_hub`]. If `compact` is set, JSON has no empty histograms.
pub(super) fn render(
    format: Format,
    result: &RunResult,
    hub: Option<&HubView>,
    compact: bool,
) -> Result<Vec<String>, ReportError> {
    match format {
        Format::Json if compact => Ok(vec![to_compact_json(result)?]),
        _ => format.render_with_hub(result, hub),
    }
}

/// Writes the files of an export and returns their paths.
fn write_one(
    export: &Export,
    result: &RunResult,
    hub: Option<&HubView>,
    compact: bool,
) -> Result<Vec<PathBuf>, AppError> {
    let texts = render(export.format, result, hub, compact)
        .map_err(|error| environment_error(&format!("cannot render {}", export.file.display()), &error))?;
    let paths = export.paths();
    for (path, text) in paths.iter().zip(texts) {
        disk::replace(path, text.as_bytes())
            .map_err(|error| environment_error(&format!("cannot write {}", path.display()), &error))?;
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn export(folder: &Path, name: &str) -> Export {
        Export::parse(&format!("json={}", folder.join(name).display())).unwrap()
    }

    #[test]
    fn one_file_under_two_paths_is_a_usage_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("sub")).unwrap();
        symlink(path.join("sub"), path.join("link")).unwrap();
        fs::write(path.join("sub/old.json"), "old").unwrap();
        symlink("sub/old.json", path.join("latest.json")).unwrap();
        for (first, second) in [
            ("x.json", "x.json"),
            ("x.json", "./x.json"),
            ("x.json", "sub/../x.json"),
            ("sub/x.json", "link/x.json"),
            ("sub/old.json", "latest.json"),
        ] {
            let error = check(&[export(path, first), export(path, second)], &[Path::new("-")]).unwrap_err();
            assert!(matches!(&error, AppError::Usage(text) if text.contains("the same file")), "{error}");
        }
        check(&[export(path, "x.json"), export(path, "sub/x.json")], &[Path::new("-")]).unwrap();
        let error = check(&[export(path, "latest.json")], &[path.join("sub/old.json")]).unwrap_err();
        assert!(
            matches!(&error, AppError::Usage(text) if text.contains("the command reads this file")),
            "{error}"
        );
        assert_eq!(fs::read_to_string(path.join("sub/old.json")).unwrap(), "old");
        assert_eq!(fs::read_dir(path).unwrap().count(), 3, "nothing was written");
    }

    #[test]
    fn a_folder_counts_as_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let of = |format: &str, name: &str| {
            Export::parse(&format!("{format}={}", path.join(name).display())).unwrap()
        };
        let none: [&Path; 0] = [];
        fs::create_dir(path.join("old")).unwrap();
        fs::write(path.join("file"), "").unwrap();
        for (exports, part) in [
            ([of("csv", "old"), of("json", "old/series.csv")], "old/series.csv are the same file"),
            ([of("csv", "new"), of("csv", "new/")], "are the same file"),
            ([of("json", "x"), of("csv", "file")], "csv needs a folder; choose another path"),
            ([of("json", "x"), of("csv", "none/new")], "none does not exist; create it:  mkdir -p "),
        ] {
            let error = check(&exports, &none).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = check(&[of("csv", "old")], &[path.join("old/series.csv")]).map_err(|e| e.to_string());
        assert_eq!(error, Ok(()), "the input does not exist");
        fs::write(path.join("old/series.csv"), "").unwrap();
        check(&[of("csv", "old")], &[path.join("old/series.csv")]).unwrap_err();
        check(&[of("csv", "new"), of("csv", "old")], &none).unwrap();
        assert!(!path.join("new").exists(), "a check writes nothing");
    }

    #[test]
    fn folder_as_file_has_an_example_of_its_format() {
        let folder = tempfile::tempdir().unwrap();
        for (format, name) in [("html", "result.html"), ("text", "result.txt"), ("junit", "result.xml")] {
            let export = Export::parse(&format!("{format}={}", folder.path().display())).unwrap();
            let error = check(&[export], &[Path::new("-")]).unwrap_err().to_string();
            assert!(error.ends_with(name), "{error}");
        }
    }

    #[test]
    fn unwritable_files_are_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        for (name, part) in [
            ("none/x.json", "none does not exist; create it:  mkdir -p "),
            ("file/x.json", "is not a folder"),
            ("", "it is a folder; choose a file in it, for example "),
            ("..", "it is a folder"),
        ] {
            let error = check(&[export(folder.path(), name)], &[Path::new("-")]).unwrap_err();
            assert!(matches!(&error, AppError::Environment(text) if text.contains(part)), "{name}: {error}");
        }
        // Not even root can create files there.
        let error =
            check(&[export(Path::new("/proc"), "x.json")], &[Path::new("-")]).unwrap_err().to_string();
        assert!(error.contains("cannot create a file in /proc: "), "{error}");
        check(&[export(Path::new("/dev"), "null")], &[Path::new("-")]).unwrap();
    }
}
