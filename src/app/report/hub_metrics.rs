//! `report --hub-metrics`: reads the metrics of the hub and puts them beside the result. Used by `report`. The result stays as it is.

use super::super::{AppError, paths, read_scenario};
use crate::cli::ReportArgs;
use crate::hub_metrics::{METRICS_BYTES_MAX, parse};
use crate::report::{Export, Format, HubView};
use crate::result::model::RunResult;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The name of stdin in messages.
const STDIN: &str = "stdin";

/// Refuses options that contradict `--hub-metrics`: two files from stdin, and outputs without a format that shows the metrics.
pub(super) fn check(args: &ReportArgs, result: &Path, files: &[Export]) -> Result<(), AppError> {
    let Some(metrics) = &args.hub_metrics else { return Ok(()) };
    let is_stdin = |other: &Path| read_scenario::is_stdin(other);
    if is_stdin(metrics) && (is_stdin(result) || args.scenario.as_deref().is_some_and(is_stdin)) {
        let text = "only one of the result, the scenario and the metrics can be read from stdin; specify files for the others";
        return Err(AppError::Usage(text.to_owned()));
    }
    let prints = args.judge || args.out.is_none() && (args.format.is_some() || files.is_empty());
    let printed = prints.then(|| args.format.unwrap_or(Format::Text));
    if files.iter().map(|file| file.format).chain(printed).any(Format::shows_hub) {
        return Ok(());
    }
    let text = "--hub-metrics appears in html, text and markdown only; the other formats contain only the result. Add one of the three \
                formats, for example with --export page.html";
    Err(AppError::Usage(text.to_owned()))
}

/// Reads the metrics, and compares them with a result.
pub(super) fn read(file: &Path, result: &RunResult) -> Result<HubView, AppError> {
    let is_stdin = read_scenario::is_stdin(file);
    let name = if is_stdin { STDIN.to_owned() } else { file.display().to_string() };
    let bytes = match is_stdin {
        true => bytes(io::stdin().lock()),
        false => File::open(file).and_then(bytes),
    };
    let bytes = bytes.map_err(|error| {
        AppError::Environment(paths::unreadable("metrics", Path::new(&name), &error, &["json"]))
    })?;
    let metrics = parse(&bytes).map_err(|error| AppError::Environment(format!("{name} {error}")))?;
    HubView::of(result, &metrics, &name).map_err(|error| AppError::Environment(error.to_string()))
}

/// Reads one byte more than is permitted, so that `parse` recognizes files that are too large.
fn bytes(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(METRICS_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
