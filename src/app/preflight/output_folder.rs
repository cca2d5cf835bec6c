//! Checks before the load that the result can be written. Used by `run`.

use super::super::AppError;
use crate::result::disk;
use std::path::Path;

/// Size of a typical result and its page. Longer runs need more.
const RESULT_BYTES: usize = 1024 * 1024;

/// Creates the output folder and checks that a result fits into it.
pub(in crate::app) fn output_folder(folder: &Path) -> Result<(), AppError> {
    let shown = folder.display();
    let fix = "free up disk space, make the folder writable, or choose another folder with --out";
    std::fs::create_dir_all(folder).map_err(|error| {
        AppError::Environment(format!("cannot create the output folder {shown}: {error}\n  {fix}"))
    })?;
    disk::probe(folder, RESULT_BYTES).map_err(|error| {
        AppError::Environment(format!("cannot write to the output folder {shown}: {error}\n  {fix}"))
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
        assert!(output_folder(&file.join("reports")).is_err());
        assert!(output_folder(&folder.path().join("new")).is_ok());
    }
}
