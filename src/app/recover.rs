//! `hubstorm report --recover`: rebuilds the result of a run that wrote none from its journal, and judges it. Used by `report`. It
//! writes no files.

use super::{AppError, Env, paths, tell};
use crate::report;
use crate::result::journal::{self, JournalError, Recovered};
use crate::result::model::RunResult;
use crate::units::plural;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// Recovers a result, and says on stderr how much of it there is. `-` is stdin.
pub(super) fn recover(path: &Path, is_stdin: bool, env: &mut Env) -> Result<RunResult, AppError> {
    let (recovered, in_progress) = if is_stdin {
        (journal::read(Path::new("stdin"), io::stdin().lock()), false)
    } else {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let in_progress = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        (journal::read(path, io::BufReader::new(file)), in_progress)
    };
    let Recovered { mut result, seconds, problem } = recovered.map_err(|error| match &error {
        JournalError::Io { source, .. } => unreadable(path, source),
        error => AppError::Environment(error.to_string()),
    })?;
    if let Some(judged) = report::judge_again(&result) {
        (result.verdict, result.thresholds, result.findings) =
            (judged.verdict, judged.thresholds, judged.findings);
    }
    let name = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
    let mut text = format!("recovered {} from {name}\n", plural(seconds.into(), "second", "seconds"));
    if let Some(problem) = problem {
        let ignored = result.run.recovery.as_ref().map_or(0, |recovery| recovery.ignored_bytes);
        text += &format!("note: {problem}; the last {} were ignored\n", plural(ignored, "byte", "bytes"));
    }
    if in_progress {
        text += "note: this run is still in progress; the result covers only the seconds so far\n";
    }
    tell(env, &text);
    Ok(result)
}

fn unreadable(path: &Path, error: &io::Error) -> AppError {
    AppError::Environment(paths::unreadable("journal", path, error, &["journal"]))
}
