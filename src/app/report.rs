//! `hubstorm report`: renders a result file again.

use super::{AppError, Env, environment, exports, load, print};
use crate::cli::ReportArgs;
use crate::report::{self, Export, Format};
use crate::result::{self, model::RunResult};
use std::io;
use std::path::Path;

/// Reads the result, and renders it to the files that are named, or to stdout.
pub(super) fn run(args: &ReportArgs, env: &mut Env) -> Result<(), AppError> {
    let files = files(args);
    let result = read(&args.result)?;
    exports::check(&files, &args.result)?;
    render(args, &files, &result, env)
}

/// Reads a result file, or stdin if it is `-`.
fn read(path: &Path) -> Result<RunResult, AppError> {
    let result = match load::is_stdin(path) {
        true => result::read_from(Path::new("stdin"), io::stdin().lock()),
        false => result::read(path),
    };
    result.map_err(|error| AppError::Environment(error.to_string()))
}

/// Every file to write: that of `--out`, then the exports.
fn files(args: &ReportArgs) -> Vec<Export> {
    let out = args.out.iter().map(|file| Export {
        format: args.format.or_else(|| Format::of_file(file)).unwrap_or(Format::Text),
        file: file.clone(),
    });
    out.chain(args.export.iter().cloned()).collect()
}

/// Writes the files. Without any, or with a format but no `--out`, the result goes to stdout.
fn render(args: &ReportArgs, files: &[Export], result: &RunResult, env: &mut Env) -> Result<(), AppError> {
    let to_stdout = args.out.is_none() && (args.format.is_some() || files.is_empty());
    if to_stdout {
        let text = match args.format.unwrap_or(Format::Text) {
            Format::Text => report::text(result, true),
            other => other.render(result).map_err(|error| environment("cannot render the result", &error))?,
        };
        print(env, &text)?;
    }
    let (_, errors) = exports::write(files, result);
    exports::all_written(errors)
}
