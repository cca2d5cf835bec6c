//! Checks before the load that the result can be written. Used by `run`.

use super::super::{AppError, paths};
use crate::report::Format;
use crate::result::disk;
use std::path::Path;

/// Size of a typical result and its page. Longer runs need more.
const RESULT_BYTES: usize = 1024 * 1024;

/// Creates the output folder and checks that a result fits into it.
pub(in crate::app) fn output_folder(folder: &Path) -> Result<(), AppError> {
    let shown = folder.display();
    paths::check_folder(folder, "--out", "the results").map_err(|error| match Format::of_file(folder) {
        Some(_) => AppError::Usage(format!("{error}. To write this file, use --export {shown}")),
        None => error,
    })?;
    let choose = "choose another folder with --out";
    std::fs::create_dir_all(folder).map_err(|error| {
        match folder.ancestors().find(|path| path.exists() && !path.is_dir()) {
            Some(file) => AppError::Environment(format!(
                "cannot create the output folder {shown}: {} is a file; {choose}",
                file.display()
            )),
            None => paths::unwritable(&format!("cannot create the output folder {shown}"), &error, choose),
        }
    })?;
    disk::probe(folder, RESULT_BYTES).map_err(|error| {
        paths::unwritable(&format!("cannot write to the output folder {shown}"), &error, choose)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_folder_that_cannot_be_created_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("taken");
        std::fs::write(&file, "x").unwrap();
        for path in [file.clone(), file.join("reports")] {
            let error = output_folder(&path).unwrap_err().to_string();
            assert!(error.ends_with("taken is a file; choose another folder with --out"), "{error}");
        }
        assert!(matches!(output_folder(Path::new("-")), Err(AppError::Usage(_))));
        assert!(output_folder(&folder.path().join("new")).is_ok());
    }
}
