//! `hubstorm report`: renders a result file, or judges it again with `--judge`. With `--recover`, it reads a journal. It reads one result and writes text or files; the formats are in
//! `crate::report`. A capacity result is rendered in its own formats. With `--history`, it reads all results in a folder.

mod capacity;
mod history;
mod hub_metrics;
mod judge;

use super::file_kind::FileKind;
use super::{
    AppError, Env, capacity_file, environment_error, exports, other_file, paths, print, read_scenario,
    recover,
};
use crate::capacity::measured::CapacityResult;
use crate::cli::ReportArgs;
use crate::report::{self, Export, Format, HubView, exit};
use crate::result::{self, FileError, model::RunResult};
use crate::text_file;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads the result and renders it to files or stdout. With `--judge`, returns the exit code of the new verdict.
pub(super) async fn run(args: &ReportArgs, env: &mut Env) -> Result<u8, AppError> {
    let files = files(args)?;
    if let Some(folder) = &args.history {
        return history::run(folder, args, &files, env);
    }
    // clap does not check this, because --history and a result exclude each other.
    if !args.metric.is_empty() {
        let text =
            "--metric chooses the columns of --history DIR; to see all metrics of one result, leave it out";
        return Err(AppError::Usage(text.to_owned()));
    }
    // Without --history, clap requires it.
    let path = args.result.as_deref().unwrap_or(Path::new("-"));
    if let (Some(format), None) = (args.format, &args.out)
        && !format.file_names().is_empty()
    {
        let name = format.name();
        return Err(AppError::Usage(format!(
            "{name} consists of several files; write them to a folder: --export {name}=FOLDER"
        )));
    }
    if let Some(scenario) = args.scenario.as_deref().filter(|scenario| read_scenario::is_stdin(scenario))
        && scenario == path
    {
        let text =
            "the result and the scenario cannot both be read from stdin; specify a file for one of them";
        return Err(AppError::Usage(text.to_owned()));
    }
    hub_metrics::check(args, path, &files)?;
    let inputs = std::iter::once(path).chain(args.scenario.as_deref()).chain(args.hub_metrics.as_deref());
    let inputs: Vec<&Path> = inputs.collect();
    let mut result = if args.recover {
        exports::check(&files, &inputs)?;
        recover::recover(path, read_scenario::is_stdin(path), env)?
    } else {
        let result = match read_any(path)? {
            AnyResult::Run(result) => *result,
            AnyResult::Capacity(result) => return capacity::run(args, &files, *result, env),
        };
        exports::check(&files, &inputs)?;
        result
    };
    let hub = args.hub_metrics.as_deref().map(|file| hub_metrics::read(file, &result)).transpose()?;
    if !args.judge {
        return render(args, &files, &result, hub.as_ref(), env).map(|()| exit::PASSED);
    }
    match &args.scenario {
        Some(scenario) => judge::with_thresholds_of(scenario, &mut result, env).await?,
        None => judge::again(&mut result, env),
    }
    let text = report::verdict_text(&result, true, (env.out_width)());
    print(env, &text)?;
    if let Some(view) = &hub {
        print(env, &report::without_commands(&report::hub_text(view, true, (env.out_width)())))?;
    }
    let (_, errors) = exports::write_with_hub(&files, &result, hub.as_ref(), args.compact);
    exports::all_written(errors).map(|()| result.verdict.exit_code)
}

/// The name of stdin in messages.
const STDIN: &str = "stdin";
/// The number of bytes at the start of a file in which hubstorm recognizes a scenario.
const HEAD_BYTES: usize = 64 * 1024;

/// A file that `report` renders.
enum AnyResult {
    Run(Box<RunResult>),
    Capacity(Box<CapacityResult>),
}

/// Reads the result file of a run, or stdin if it is `-`. Also used by `compare`.
pub(super) fn read(path: &Path) -> Result<RunResult, AppError> {
    match read_any(path)? {
        AnyResult::Run(result) => Ok(*result),
        AnyResult::Capacity(_) => {
            let text = FileKind::Capacity.instead_of("the result of a run", &path.display().to_string());
            Err(AppError::Environment(text))
        }
    }
}

fn read_any(path: &Path) -> Result<AnyResult, AppError> {
    if read_scenario::is_stdin(path) {
        return read_from(Path::new(STDIN), io::stdin().lock());
    }
    match File::open(path) {
        Ok(file) => read_from(path, file),
        Err(error) => Err(AppError::Environment(paths::unreadable("result", path, &error, &["json"]))),
    }
}

/// Reads a result. Recognizes files that are easily confused with one.
fn read_from(path: &Path, input: impl Read) -> Result<AnyResult, AppError> {
    let unreadable = |error: FileError| match &error {
        FileError::Io { source, .. } => {
            AppError::Environment(paths::unreadable("result", path, source, &["json"]))
        }
        _ => AppError::Environment(error.to_string()),
    };
    let bytes = result::read_bytes(path, input).map_err(unreadable)?;
    let error = match result::parse(path, &bytes) {
        Ok(result) => return Ok(AnyResult::Run(Box::new(result))),
        Err(error) => error,
    };
    let name = path.display();
    match (&error, FileKind::of(&bytes)) {
        (FileError::Schema { .. }, Some(FileKind::Capacity)) => {
            return capacity_file::parse(path, &bytes).map(|result| AnyResult::Capacity(Box::new(result)));
        }
        (FileError::Schema { .. }, Some(other)) => {
            return Err(AppError::Environment(other.instead_of("a result", &name.to_string())));
        }
        _ => {}
    }
    let is_other_text =
        matches!(error, FileError::Shape { .. } | FileError::Schema { .. } | FileError::NoSchema { .. });
    if is_other_text && is_scenario(bytes.get(..HEAD_BYTES).unwrap_or(&bytes)) {
        let file = if path == Path::new(STDIN) { "-".to_owned() } else { name.to_string() };
        return Err(AppError::Environment(format!(
            "{name} is a scenario, not a result. Specify the .json file that `hubstorm run` wrote; to run the scenario: \
             hubstorm run {file}; to see its plan: hubstorm check {file}"
        )));
    }
    Err(unreadable(error))
}

/// Returns whether a file that is not a result looks like a scenario.
fn is_scenario(head: &[u8]) -> bool {
    let Ok(text) = text_file::decode(head) else { return false };
    let starts_table = |line: &str| {
        let tables = ["[fleet.", "[[fleet.", "[[phase]]", "[target]"];
        tables.iter().any(|table| line.trim_start().starts_with(table))
    };
    let has = |part: &str| text.contains(part);
    let is_json = text.trim_start().starts_with('{') && has("\"fleet\"") && has("\"phase\"");
    !has(other_file::RESULT_SCHEMAS) && (is_json || text.lines().any(starts_table))
}

/// Returns the files to write: `--out`, then the exports. Without `--format`, the extension of `--out` decides; without an extension, the
/// file is text.
fn files(args: &ReportArgs) -> Result<Vec<Export>, AppError> {
    if args.out.as_ref().is_some_and(|file| file.as_os_str() == "-") {
        let help = "--out -: to print to stdout, leave out --out and choose the format with --format";
        return Err(AppError::Usage(help.to_owned()));
    }
    let out = args.out.as_ref().map(|file| {
        let format = args.format.or_else(|| Format::of_file(file));
        let format = format.or_else(|| file.extension().is_none().then_some(Format::Text));
        let otherwise =
            format!("or choose the format with --format {}", report::format_names().replace(", ", "|"));
        let unknown = || {
            AppError::Usage(format!("--out {}: {}", file.display(), report::unknown_extension(&otherwise)))
        };
        Ok(Export { format: format.ok_or_else(unknown)?, file: file.clone() })
    });
    out.into_iter().chain(args.export.iter().cloned().map(Ok)).collect()
}

/// Writes the files. If there are no files, or a format but no `--out`, prints the result to stdout.
fn render(
    args: &ReportArgs,
    files: &[Export],
    result: &RunResult,
    hub: Option<&HubView>,
    env: &mut Env,
) -> Result<(), AppError> {
    let to_stdout = args.out.is_none() && (args.format.is_some() || files.is_empty());
    if to_stdout {
        let text = match args.format.unwrap_or(Format::Text) {
            Format::Text => {
                let text = report::text_with_hub(result, hub, true, (env.out_width)());
                report::without_commands(&text).into_owned()
            }
            other => exports::render(other, result, hub, args.compact)
                .map_err(|error| environment_error("cannot render the result", &error))?
                .concat(),
        };
        print(env, &text)?;
    }
    let (_, errors) = exports::write_with_hub(files, result, hub, args.compact);
    exports::all_written(errors)
}
