//! `--update-baseline`: adds new results to the baseline folder, and removes the oldest ones. Used by `compare`.

use super::side::Read;
use crate::app::{AppError, Env, environment_error, tell};
use crate::cli::CompareOptions;
use crate::report::exit;
use crate::result::disk;
use crate::result::model::Status;
use std::path::Path;

/// Checks before anything is compared that the baseline can be updated, if it should be.
pub(super) fn check(options: &CompareOptions, base: &Path) -> Result<(), AppError> {
    if !options.update_baseline || base.is_dir() {
        return Ok(());
    }
    let path = base.display();
    Err(match base.exists() {
        true => AppError::Usage(format!(
            "--update-baseline needs a folder of results, but {path} is a file. Create a folder, and move the file into it"
        )),
        false => {
            AppError::Environment(format!("the folder {path} does not exist; create it:  mkdir -p {path}"))
        }
    })
}

/// Adds the new results, if the comparison and their runs passed, then removes the oldest ones. Never replaces a file.
pub(super) fn update(
    folder: &Path,
    (base, new): (&[Read], &[Read]),
    keep: usize,
    code: u8,
    env: &mut Env,
) -> Result<(), AppError> {
    let shown = folder.display();
    if code != exit::PASSED || new.iter().any(|(_, result)| result.verdict.status != Status::Pass) {
        tell(env, &format!("the baseline {shown} is unchanged: only results that pass enter it\n"));
        return Ok(());
    }
    for (file, result) in new {
        if is_in(folder, file) {
            continue;
        }
        let to = folder.join(format!("{}.json", result.run.id));
        let bytes = std::fs::read(file)
            .map_err(|error| environment_error(&format!("cannot read {}", file.display()), &error))?;
        disk::create(&to, &bytes).map_err(|error| {
            environment_error(&format!("cannot add {} to the baseline", to.display()), &error)
        })?;
        tell(env, &format!("added {} to the baseline\n", to.display()));
    }
    let mut oldest_first: Vec<&Read> = base.iter().collect();
    oldest_first.sort_by_key(|(_, result)| &result.run.started);
    let surplus = (base.len() + new.len()).saturating_sub(keep);
    for (file, _) in oldest_first.into_iter().take(surplus) {
        std::fs::remove_file(file)
            .map_err(|error| environment_error(&format!("cannot remove {}", file.display()), &error))?;
        tell(env, &format!("removed {} from the baseline\n", file.display()));
    }
    Ok(())
}

/// Returns true if a file is in this folder, as after `run --out baseline --compare baseline`.
fn is_in(folder: &Path, file: &Path) -> bool {
    let same =
        |folder: &Path| Some(folder.canonicalize().ok()? == disk::folder_of(file).canonicalize().ok()?);
    same(folder) == Some(true)
}
