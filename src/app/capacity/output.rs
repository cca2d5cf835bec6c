//! The end of a search: writes the result and the page, and the exports, prints the answer, and reports to a CI system. Used by `capacity`.

use crate::app::{AppError, Env, ci, environment_error, exports, print_text};
use crate::capacity::measured::CapacityResult;
use crate::cli::CapacityArgs;
use crate::plan::Plan;
use crate::report::{self, Export, Format, Width};
use crate::result::disk;
use crate::scenario::masked;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Checks the exports before the load.
pub(super) fn check(args: &CapacityArgs, plan: &Plan) -> Result<(), AppError> {
    let mut targets: Vec<(&Path, &str)> = Vec::new();
    for Export { format, file } in &args.export {
        let extension = match format {
            Format::Json | Format::Html | Format::Text | Format::Junit | Format::Markdown => {
                format.extensions().first().copied().unwrap_or_default()
            }
            other => {
                return Err(AppError::Usage(format!(
                    "a capacity result has no format {}: use json, html, text, junit or markdown",
                    other.name()
                )));
            }
        };
        targets.push((file, extension));
    }
    let inputs: Vec<&PathBuf> = plan.source.files.iter().chain(&args.resume).collect();
    exports::check_files(&targets, &inputs)
}

/// Writes the files, prints the answer, and returns the exit code. If a file cannot be written, the others are written anyway.
pub(super) fn conclude(
    args: &CapacityArgs,
    env: &mut Env,
    mut result: CapacityResult,
) -> Result<u8, AppError> {
    let mut errors = Vec::new();
    let mut files = Vec::new();
    match write_new(&args.out, &mut result).or_else(|error| {
        errors.push(error);
        write_new(&std::env::temp_dir(), &mut result)
    }) {
        Ok(json) => {
            let html = json.with_extension("html");
            files.push(json);
            match write(&html, Format::Html, &result) {
                Ok(()) => files.push(html),
                Err(error) => errors.push(error),
            }
        }
        Err(error) => errors.push(error),
    }
    for Export { format, file } in &args.export {
        match write(file, *format, &result) {
            Ok(()) => files.push(file.clone()),
            Err(error) => errors.push(error),
        }
    }
    // Mask the names: they come from the command line and may contain a secret.
    let listed: String = files.iter().map(|file| masked(&format!("{}\n", file.display()))).collect();
    let text = report::search_text(&result, true, (env.out_width)());
    let printed = print_text(env, &format!("{text}\n{listed}"));
    if !args.no_step_summary {
        ci::summarize(Ok::<_, std::convert::Infallible>(report::search_markdown(&result)), env);
    }
    exports::all_written(errors)?;
    printed.map(|()| result.answer.exit_code)
}

/// Writes the result into a folder under the first free name.
fn write_new(folder: &Path, result: &mut CapacityResult) -> Result<PathBuf, AppError> {
    let id = result.run.id.clone();
    for n in 2_u32.. {
        let path = folder.join(format!("{}.json", result.run.id));
        match disk::create(&path, render(Format::Json, result)?.as_bytes()) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => result.run.id = format!("{id}-{n}"),
            Err(error) => {
                result.run.id = id;
                return Err(environment_error(&format!("cannot write {}", path.display()), &error));
            }
        }
    }
    Err(AppError::Environment("there is no free name for the result".to_owned()))
}

fn write(file: &Path, format: Format, result: &CapacityResult) -> Result<(), AppError> {
    let text = render(format, result)?;
    disk::replace(file, text.as_bytes())
        .map_err(|error| environment_error(&format!("cannot write {}", file.display()), &error))
}

fn render(format: Format, result: &CapacityResult) -> Result<String, AppError> {
    let failed =
        |error: &dyn std::fmt::Display| environment_error("cannot render the capacity result", error);
    match format {
        Format::Html => report::search_page(result).map_err(|error| failed(&error)),
        Format::Text => Ok(report::search_text(result, false, Width::FILE)),
        Format::Junit => report::search_junit(result).map_err(|error| failed(&error)),
        Format::Markdown => Ok(report::search_markdown(result)),
        _ => serde_json::to_string_pretty(result).map(|json| json + "\n").map_err(|error| failed(&error)),
    }
}
