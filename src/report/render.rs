//! The formats of a result: names, file extensions and renderers. `cli` parses the names, `app` renders the formats. Independent of the
//! contents of the formats.

use super::{ReportError, Width, html, text};
use crate::result::model::RunResult;
use crate::result::to_json;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A format of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The result file.
    Json,
    /// A self-contained page.
    Html,
    /// The summary that `run` prints.
    Text,
}

impl Format {
    /// All formats, in the order used in help and errors.
    pub const ALL: [Format; 3] = [Format::Json, Format::Html, Format::Text];

    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Html => "html",
            Format::Text => "text",
        }
    }

    /// Returns a short description for the help.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Format::Json => "The result file, with every histogram",
            Format::Html => "One self-contained page",
            Format::Text => "The summary that `run` prints",
        }
    }

    /// Returns the file extensions of this format, without the dot and in lower case.
    #[must_use]
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Format::Json => &["json"],
            Format::Html => &["html", "htm"],
            Format::Text => &["txt"],
        }
    }

    /// Returns the format with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Returns the format of a file according to its extension, ignoring case.
    #[must_use]
    pub fn of_file(file: &Path) -> Option<Format> {
        let extension = file.extension().and_then(OsStr::to_str)?;
        Format::ALL
            .into_iter()
            .find(|format| format.extensions().iter().any(|known| extension.eq_ignore_ascii_case(known)))
    }

    /// Renders a result in this format, without colors, for a file.
    ///
    /// # Errors
    /// Returns an error if the result cannot be rendered.
    pub fn render(self, result: &RunResult) -> Result<String, ReportError> {
        match self {
            Format::Json => Ok(to_json(result)?),
            Format::Html => html(result),
            Format::Text => Ok(text(result, false, Width::FILE)),
        }
    }
}

/// A file to write, with its format: `--export [FORMAT=]FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Format of the file.
    pub format: Format,
    /// Path of the file.
    pub file: PathBuf,
}

impl Export {
    /// Parses `[FORMAT=]FILE`. Without a format, the file extension decides.
    ///
    /// # Errors
    /// Returns a message if the format or the extension is unknown (it lists the known ones), or if no file is given.
    pub fn parse(typed: &str) -> Result<Export, String> {
        let (format, file) = match typed.split_once('=') {
            // A path may contain `=`.
            Some((name, file)) if !name.contains(['/', '.']) => (Some(name), file),
            _ => (None, typed),
        };
        if file.is_empty() {
            return Err("the file name is missing; write FORMAT=FILE or FILE".to_owned());
        }
        let file = PathBuf::from(file);
        let format = match format {
            Some(name) => Format::from_name(name)
                .ok_or_else(|| format!("unknown format; known formats: {}", names()))?,
            None => Format::of_file(&file)
                .ok_or_else(|| unknown_extension(&format!("or write FORMAT=FILE with one of {}", names())))?,
        };
        Ok(Export { format, file })
    }
}

/// Describes a file whose extension is not that of a format. `otherwise` says how to choose the format.
#[must_use]
pub fn unknown_extension(otherwise: &str) -> String {
    let extensions = list(|format| format.extensions().iter().map(|end| format!(".{end}")).collect());
    format!("unknown file extension; known extensions: {extensions}; {otherwise}")
}

/// Returns the names of all formats, separated by commas.
#[must_use]
pub fn names() -> String {
    list(|format| vec![format.name().to_owned()])
}

fn list(words: impl Fn(Format) -> Vec<String>) -> String {
    Format::ALL.into_iter().flat_map(words).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_extensions_are_unambiguous() {
        let mut words: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        let mut extensions: Vec<&str> =
            Format::ALL.iter().flat_map(|format| format.extensions()).copied().collect();
        for list in [&mut words, &mut extensions] {
            let count = list.len();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), count, "{list:?}");
        }
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(format));
            assert!(!format.extensions().is_empty() && !format.about().is_empty());
        }
    }

    #[test]
    fn exports_are_parsed() {
        for (typed, format, file) in [
            ("x.json", Format::Json, "x.json"),
            ("out/x.HTM", Format::Html, "out/x.HTM"),
            ("x.txt", Format::Text, "x.txt"),
            ("html=x", Format::Html, "x"),
            ("text=x.json", Format::Text, "x.json"),
            ("json=a=b", Format::Json, "a=b"),
            ("./a=b.json", Format::Json, "./a=b.json"),
            ("load.rate=5.json", Format::Json, "load.rate=5.json"),
        ] {
            assert_eq!(Export::parse(typed).unwrap(), Export { format, file: file.into() }, "{typed}");
        }
        for (typed, part) in [
            ("x", "known extensions: .json, .html, .htm, .txt"),
            ("x.pdf", "or write FORMAT=FILE with one of json, html, text"),
            ("pdf=x.json", "unknown format; known formats: json, html, text"),
            ("HTML=x", "unknown format"),
            ("=x.json", "unknown format"),
            ("json=", "the file name is missing"),
            ("", "the file name is missing"),
        ] {
            let error = Export::parse(typed).unwrap_err();
            assert!(error.contains(part), "{typed}: {error}");
        }
    }
}
