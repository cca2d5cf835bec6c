//! `hubstorm report`: renders a result file, or judges it again with `--judge`. It reads one result and writes text or files; the formats are in
//! `crate::report`.

use super::{AppError, Env, environment_error, exports, print, read_scenario};
use crate::cli::ReportArgs;
use crate::report::{self, Export, Format, exit};
use crate::result::{self, model::RunResult};
use std::io::{self, Write};
use std::path::Path;

/// Reads the result and renders it to files or stdout. With `--judge`, returns the exit code of the new verdict.
pub(super) fn run(args: &ReportArgs, env: &mut Env) -> Result<u8, AppError> {
    let files = files(args);
    let mut result = read(&args.result)?;
    exports::check(&files, &[&args.result])?;
    if !args.judge {
        return render(args, &files, &result, env).map(|()| exit::PASSED);
    }
    judge_again(&mut result, env);
    let text = report::verdict_text(&result, true, (env.out_width)());
    print(env, &text)?;
    let (_, errors) = exports::write(&files, &result);
    exports::all_written(errors).map(|()| result.verdict.exit_code)
}

/// Judges the measurement in the file again and replaces its verdict, thresholds and findings. If the file is from an earlier version and
/// contains no rules, they stay unchanged.
fn judge_again(result: &mut RunResult, env: &mut Env) {
    match report::judge_again(result) {
        Some(judged) => {
            result.verdict = judged.verdict;
            result.thresholds = judged.thresholds;
            result.findings = judged.findings;
        }
        None => {
            let text = "note: this file was written by an earlier version of hubstorm and cannot be judged again; this is the stored verdict\n";
            // Ignore the error: a closed stderr must not change the exit code.
            drop(write!(env.err, "{text}"));
        }
    }
}

/// Reads a result file, or stdin if it is `-`.
fn read(path: &Path) -> Result<RunResult, AppError> {
    let result = match read_scenario::is_stdin(path) {
        true => result::read_from(Path::new("stdin"), io::stdin().lock()),
        false => result::read(path),
    };
    result.map_err(|error| AppError::Environment(error.to_string()))
}

/// Returns the files to write: `--out`, then the exports.
fn files(args: &ReportArgs) -> Vec<Export> {
    let out = args.out.iter().map(|file| Export {
        format: args.format.or_else(|| Format::of_file(file)).unwrap_or(Format::Text),
        file: file.clone(),
    });
    out.chain(args.export.iter().cloned()).collect()
}

/// Writes the files. If there are no files, or a format but no `--out`, prints the result to stdout.
fn render(args: &ReportArgs, files: &[Export], result: &RunResult, env: &mut Env) -> Result<(), AppError> {
    let to_stdout = args.out.is_none() && (args.format.is_some() || files.is_empty());
    if to_stdout {
        let text = match args.format.unwrap_or(Format::Text) {
            Format::Text => report::text(result, true, (env.out_width)()),
            other => {
                other.render(result).map_err(|error| environment_error("cannot render the result", &error))?
            }
        };
        print(env, &text)?;
    }
    let (_, errors) = exports::write(files, result);
    exports::all_written(errors)
}
