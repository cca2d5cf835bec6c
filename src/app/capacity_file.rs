//! Capacity results as files: reads them, and writes them in their formats. Used by `capacity`, `report` and `compare`.

use super::file_kind::FileKind;
use super::{AppError, environment_error, exports, paths};
use crate::capacity::measured::{CapacityResult, SCHEMA};
use crate::report::{self, Export, Format, Width};
use crate::result::{self, FileError, disk};
use crate::text_file;
use std::path::Path;

/// Reads a capacity result.
pub(super) fn read(file: &Path) -> Result<CapacityResult, AppError> {
    let bytes = std::fs::read(file).map_err(|error| {
        AppError::Environment(paths::unreadable("capacity result", file, &error, &["json"]))
    })?;
    parse(file, &bytes)
}

/// Parses a capacity result. Errors refer to it as `file`.
pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<CapacityResult, AppError> {
    let name = file.display();
    let invalid = |what: &str| {
        AppError::Environment(format!("{name} {what}. Specify the .json file that `hubstorm capacity` wrote"))
    };
    let text =
        text_file::decode(bytes).map_err(|error| invalid(&format!("is not a capacity result: {error}")))?;
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| match result::parse(file, bytes) {
            // `report` and `compare` use the same words for a damaged file.
            Err(error @ (FileError::Empty { .. } | FileError::CutOff { .. } | FileError::Joined { .. })) => {
                AppError::Environment(error.to_string())
            }
            _ => invalid(&format!("is not a capacity result: {error}")),
        })?;
    match (value.get("schema").and_then(serde_json::Value::as_str), FileKind::of(bytes)) {
        (Some(SCHEMA), _) => {}
        (Some(_), Some(FileKind::Capacity)) => {
            return Err(AppError::Environment(format!(
                "{name} is a capacity result of another version than 1. Use a newer hubstorm"
            )));
        }
        (_, Some(other)) => {
            return Err(AppError::Environment(other.instead_of("a capacity result", &name.to_string())));
        }
        (_, None) => return Err(invalid("is not a capacity result: its schema is missing or unknown")),
    }
    serde_json::from_value(value).map_err(|error| invalid(&format!("is a damaged capacity result: {error}")))
}

/// Checks the files to write: their formats, and that they can be written.
pub(super) fn check<P: AsRef<Path>>(files: &[Export], inputs: &[P]) -> Result<(), AppError> {
    let mut targets: Vec<(&Path, &str)> = Vec::new();
    for Export { format, file } in files {
        check_format(*format)?;
        targets.push((file, format.extensions().first().copied().unwrap_or_default()));
    }
    exports::check_files(&targets, inputs)
}

/// Refuses the formats that a capacity result does not have.
pub(super) fn check_format(format: Format) -> Result<(), AppError> {
    match format {
        Format::Json | Format::Html | Format::Text | Format::Junit | Format::Markdown => Ok(()),
        Format::Csv | Format::Hlog | Format::Metrics => Err(AppError::Usage(format!(
            "a capacity result has no format {}: use json, html, text, junit or markdown",
            format.name()
        ))),
    }
}

/// Writes a file, replacing an existing one.
pub(super) fn write(file: &Path, format: Format, result: &CapacityResult) -> Result<(), AppError> {
    let text = render(format, result)?;
    disk::replace(file, text.as_bytes())
        .map_err(|error| environment_error(&format!("cannot write {}", file.display()), &error))
}

/// Renders a capacity result for a file.
pub(super) fn render(format: Format, result: &CapacityResult) -> Result<String, AppError> {
    check_format(format)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_have_the_words_of_results() {
        let complete = format!("{{\"schema\": \"{SCHEMA}\"}}");
        for (text, expected) in [
            (&complete[..complete.len() / 2], "c.json is cut off: its JSON is incomplete"),
            ("", "c.json is empty"),
            (&format!("{complete}\n{complete}"), "c.json has more text after the end of its JSON, at line 2"),
            ("seed = 1", "c.json is not a capacity result: expected value"),
        ] {
            let error = parse(Path::new("c.json"), text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
