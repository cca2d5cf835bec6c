//! Whether a result can be written, tried before the load: a run must not end with nowhere to put one.

use super::super::AppError;
use crate::result::disk;
use std::path::Path;

/// What a common result and its page take; a longer run's take more.
const RESULT_BYTES: usize = 1024 * 1024;

/// Creates the output folder and checks that a result fits into it.
pub(in crate::app) fn output_folder(folder: &Path) -> Result<(), AppError> {
    let shown = folder.display();
    let advice = "free some space, mount it writable, or name another folder with --out";
    std::fs::create_dir_all(folder).map_err(|error| {
        AppError::Environment(format!("cannot make the output folder {shown}: {error}\n  {advice}"))
    })?;
    disk::probe(folder, RESULT_BYTES).map_err(|error| {
        AppError::Environment(format!("cannot write to the output folder {shown}: {error}\n  {advice}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_folder_that_cannot_be_made_is_known_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("taken");
        std::fs::write(&file, "x").unwrap();
        assert!(output_folder(&file.join("reports")).is_err());
        assert!(output_folder(&folder.path().join("new")).is_ok());
    }
}
