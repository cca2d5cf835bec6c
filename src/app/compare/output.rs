//! Renders a comparison in the formats of `--format` and `--export`, and appends it to the step summary of GitHub Actions. Used by
//! `compare`; the formats themselves are in `crate::report`.

use super::side::Read;
use crate::app::{AppError, Env, ci, environment_error, exports};
use crate::cli::CompareFormat;
use crate::compare::model::Comparison;
use crate::report::{self, Export, Format};
use crate::result::disk;
use crate::result::model::RunResult;
use std::convert::Infallible;
use std::path::Path;

/// A comparison with the results of both sides.
pub(super) struct Compared<'a> {
    pub(super) comparison: Comparison,
    pub(super) base: &'a [Read],
    pub(super) new: &'a [Read],
}

/// Checks the files before anything is compared: their formats, that they can be written, and that they differ from the results.
pub(super) fn check(files: &[Export], inputs: &[&Path]) -> Result<(), AppError> {
    let mut targets: Vec<(&Path, &str)> = Vec::new();
    for Export { format, file } in files {
        targets.push((file, extension(of_export(*format)?)));
    }
    exports::check_files(&targets, inputs)
}

/// Writes the files. `render` renders the comparison for a file. If one fails, the others are written anyway.
pub(super) fn write(
    files: &[Export],
    render: impl Fn(CompareFormat) -> Result<String, AppError>,
) -> Result<(), AppError> {
    let write = |Export { format, file }: &Export| {
        let text = render(of_export(*format)?)?;
        disk::replace(file, text.as_bytes())
            .map_err(|error| environment_error(&format!("cannot write {}", file.display()), &error))
    };
    exports::all_written(files.iter().filter_map(|file| write(file).err()).collect())
}

impl Compared<'_> {
    /// Returns the text for stdout.
    pub(super) fn rendered(&self, format: CompareFormat, env: &Env) -> Result<String, AppError> {
        match format {
            CompareFormat::Text => Ok(report::comparison_text(&self.comparison, true, (env.out_width)())),
            other => self.file(other),
        }
    }

    /// Writes the files.
    pub(super) fn write(&self, files: &[Export]) -> Result<(), AppError> {
        write(files, |format| self.file(format))
    }

    /// Appends the comparison to the step summary.
    pub(super) fn summarize(&self, env: &mut Env) {
        ci::summarize(Ok::<_, Infallible>(report::comparison_markdown(&self.comparison)), env);
    }

    fn file(&self, format: CompareFormat) -> Result<String, AppError> {
        match format {
            CompareFormat::Text => Ok(report::comparison_text(&self.comparison, false, report::Width::FILE)),
            CompareFormat::Markdown => Ok(report::comparison_markdown(&self.comparison)),
            CompareFormat::Json => serde_json::to_string_pretty(&self.comparison)
                .map(|json| json + "\n")
                .map_err(|error| environment_error("cannot render the comparison", &error)),
            CompareFormat::Junit => report::comparison_junit(&self.comparison)
                .map_err(|error| environment_error("cannot render the comparison", &error)),
            CompareFormat::Html => {
                let Some(new) = newest(self.new) else {
                    return Err(AppError::Environment("there is no new result to draw".to_owned()));
                };
                report::comparison_page(&self.comparison, newest(self.base), new)
                    .map_err(|error| environment_error("cannot render the comparison", &error))
            }
        }
    }
}

fn newest(side: &[Read]) -> Option<&RunResult> {
    side.iter().map(|(_, result)| result).max_by(|one, other| one.run.started.cmp(&other.run.started))
}

fn of_export(format: Format) -> Result<CompareFormat, AppError> {
    Ok(match format {
        Format::Text => CompareFormat::Text,
        Format::Json => CompareFormat::Json,
        Format::Markdown => CompareFormat::Markdown,
        Format::Html => CompareFormat::Html,
        Format::Junit => CompareFormat::Junit,
        other => {
            let text = format!(
                "a comparison has no format {}: use json, html, text, markdown or junit",
                other.name()
            );
            return Err(AppError::Usage(text));
        }
    })
}

fn extension(format: CompareFormat) -> &'static str {
    match format {
        CompareFormat::Text => "txt",
        CompareFormat::Json => "json",
        CompareFormat::Markdown => "md",
        CompareFormat::Html => "html",
        CompareFormat::Junit => "xml",
    }
}
