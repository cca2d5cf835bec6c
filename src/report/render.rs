//! The formats of a result: their names, file endings and renderers, in this one place. Called by `cli` for what can be typed and by
//! `app` to render.

use super::{ReportError, html, text};
use crate::result::model::RunResult;
use crate::result::to_json;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A format in which a result can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The result file itself.
    Json,
    /// One self-contained page.
    Html,
    /// The summary that `run` prints.
    Text,
}

impl Format {
    /// Every format, in the order in which help and errors list them.
    pub const ALL: [Format; 3] = [Format::Json, Format::Html, Format::Text];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Html => "html",
            Format::Text => "text",
        }
    }

    /// What it is, in a few words for the help.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Format::Json => "The result file, with every histogram",
            Format::Html => "One self-contained page",
            Format::Text => "The summary that `run` prints",
        }
    }

    /// The file endings that mean this format, without the dot and in lower case.
    #[must_use]
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Format::Json => &["json"],
            Format::Html => &["html", "htm"],
            Format::Text => &["txt"],
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The format that the file's ending means, in upper or lower case.
    #[must_use]
    pub fn of_file(file: &Path) -> Option<Format> {
        let ending = file.extension().and_then(OsStr::to_str)?;
        Format::ALL
            .into_iter()
            .find(|format| format.endings().iter().any(|known| ending.eq_ignore_ascii_case(known)))
    }

    /// The result in this format, without colors.
    ///
    /// # Errors
    /// A histogram of the result cannot be decoded.
    pub fn render(self, result: &RunResult) -> Result<String, ReportError> {
        match self {
            Format::Json => Ok(to_json(result)?),
            Format::Html => html(result),
            Format::Text => Ok(text(result, false)),
        }
    }
}

/// A file to write, and in which format: `--export [FORMAT=]FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The format.
    pub format: Format,
    /// The file.
    pub file: PathBuf,
}

impl Export {
    /// Parses `[FORMAT=]FILE`. Without a format, the file's ending decides.
    ///
    /// # Errors
    /// The format or the ending is unknown, or there is no file: a sentence with the known ones.
    pub fn parse(typed: &str) -> Result<Export, String> {
        let (format, file) = match typed.split_once('=') {
            // A path that has `=` in its name is not a format.
            Some((name, file)) if !name.contains(['/', '.']) => (Some(name), file),
            _ => (None, typed),
        };
        if file.is_empty() {
            return Err("the file is missing; write FORMAT=FILE or FILE".to_owned());
        }
        let file = PathBuf::from(file);
        let format = match format {
            Some(name) => Format::from_name(name).ok_or_else(|| {
                format!("unknown format; known formats: {}", list(|format| vec![format.name().to_owned()]))
            })?,
            None => Format::of_file(&file).ok_or_else(|| {
                let endings = list(|format| format.endings().iter().map(|end| format!(".{end}")).collect());
                let names = list(|format| vec![format.name().to_owned()]);
                format!(
                    "the file's ending is no known format; known endings: {endings}; or write FORMAT=FILE with one of {names}"
                )
            })?,
        };
        Ok(Export { format, file })
    }
}

fn list(words: impl Fn(Format) -> Vec<String>) -> String {
    Format::ALL.into_iter().flat_map(words).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_endings_are_unambiguous() {
        let mut words: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        let mut endings: Vec<&str> =
            Format::ALL.iter().flat_map(|format| format.endings()).copied().collect();
        for list in [&mut words, &mut endings] {
            let count = list.len();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), count, "{list:?}");
        }
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(format));
            assert!(!format.endings().is_empty() && !format.about().is_empty());
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
            ("x", "known endings: .json, .html, .htm, .txt"),
            ("x.pdf", "or write FORMAT=FILE with one of json, html, text"),
            ("pdf=x.json", "unknown format; known formats: json, html, text"),
            ("HTML=x", "unknown format"),
            ("=x.json", "unknown format"),
            ("json=", "the file is missing"),
            ("", "the file is missing"),
        ] {
            let error = Export::parse(typed).unwrap_err();
            assert!(error.contains(part), "{typed}: {error}");
        }
    }
}
