//! The end of a search: writes the result and the page, and the exports, prints the answer, and reports to a CI system. Used by `capacity`.

use crate::app::capacity_file::{self, render, write};
use crate::app::{AppError, Env, ci, environment_error, exports, print_text};
use crate::capacity::measured::CapacityResult;
use crate::cli::CapacityArgs;
use crate::plan::Plan;
use crate::report::{self, Export, Format};
use crate::result::disk;
use crate::scenario::masked;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Checks the exports before the load.
pub(super) fn check(args: &CapacityArgs, plan: &Plan) -> Result<(), AppError> {
    let inputs: Vec<&PathBuf> = plan.source.files.iter().chain(&args.resume).collect();
    capacity_file::check(&args.export, &inputs)
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
