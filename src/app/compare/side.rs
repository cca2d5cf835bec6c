//! Reads one side of a comparison: a result, or a folder of results. Used by `compare`.

use crate::app::result_folder::{self, Found};
use crate::app::{AppError, Env, environment_error, report, tell};
use crate::result::model::RunResult;
use std::path::{Path, PathBuf};

/// A result with the path of its file.
pub(super) type Read = (PathBuf, RunResult);

/// Reads a result file, or the results in a folder. Files of a folder that are no results are named and skipped.
///
/// # Errors
/// There is no result, or a result cannot be read.
pub(super) fn read(path: &Path, env: &mut Env) -> Result<Vec<Read>, AppError> {
    let results = read_if_any(path, env)?;
    if results.is_empty() {
        let folder = path.display();
        return Err(AppError::Environment(format!(
            "the folder {folder} contains no result. To start a baseline with the next result that passes, add --update-baseline; or copy \
             the .json file of a good run into it:  cp RESULT.json {folder}"
        )));
    }
    Ok(results)
}

/// Like [`read`], but a folder may have no results.
pub(super) fn read_if_any(path: &Path, env: &mut Env) -> Result<Vec<Read>, AppError> {
    if !path.is_dir() {
        return report::read(path).map(|result| vec![(path.to_owned(), result)]);
    }
    let files = result_folder::files(path)
        .map_err(|error| environment_error(&format!("cannot read the folder {}", path.display()), &error))?;
    let mut results = Vec::new();
    for file in files {
        match result_folder::read(&file) {
            Found::Result(result) => results.push((file, *result)),
            Found::Other => {
                tell(env, &format!("note: skipped {}: it is not a result file\n", file.display()));
            }
            Found::Unreadable(error) => return Err(AppError::Environment(error.to_string())),
        }
    }
    Ok(results)
}
