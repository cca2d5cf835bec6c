//! The formats of a result: names, file extensions and renderers. `cli` parses the names, `app` renders the formats. The formats for CI
//! systems and for other programs have a file each in this folder; the page and the text are in `page` and `text`. Every format is
//! rendered from the result alone.

mod csv;
mod hlog;
pub(super) mod junit;
pub(super) mod markdown;
mod metrics;
pub(super) mod threshold;

use super::{HubView, ReportError, Width, html_with_hub, text_with_hub};
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
    /// Test cases in JUnit's XML format.
    Junit,
    /// The summary as Markdown.
    Markdown,
    /// Two tables, in a folder.
    Csv,
    /// A histogram log.
    Hlog,
    /// OpenMetrics text.
    Metrics,
}

impl Format {
    /// All formats, in the order used in help and errors.
    pub const ALL: [Format; 8] = [
        Format::Json,
        Format::Html,
        Format::Text,
        Format::Junit,
        Format::Markdown,
        Format::Csv,
        Format::Hlog,
        Format::Metrics,
    ];

    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Html => "html",
            Format::Text => "text",
            Format::Junit => "junit",
            Format::Markdown => "markdown",
            Format::Csv => "csv",
            Format::Hlog => "hlog",
            Format::Metrics => "metrics",
        }
    }

    /// Returns a short description for the help.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Format::Json => "The result file, with every histogram",
            Format::Html => "One self-contained page",
            Format::Text => "The summary that `run` prints",
            Format::Junit => "JUnit XML: a test case for the verdict and for each threshold",
            Format::Markdown => "A summary for a pull request, below 60 KB",
            Format::Csv => "A folder with series.csv and operations.csv",
            Format::Hlog => "HdrHistogram log: response times, an entry for each operation",
            Format::Metrics => "OpenMetrics text",
        }
    }

    /// Returns the names of the files, for a format that consists of several files in a folder. Empty for the other formats.
    #[must_use]
    pub fn file_names(self) -> &'static [&'static str] {
        if self == Format::Csv { &csv::NAMES } else { &[] }
    }

    /// Returns the file extensions of this format, without the dot and in lower case. A folder has none.
    #[must_use]
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Format::Json => &["json"],
            Format::Html => &["html", "htm"],
            Format::Text => &["txt"],
            Format::Junit => &["xml"],
            Format::Markdown => &["md"],
            Format::Csv => &[],
            Format::Hlog => &["hlog"],
            Format::Metrics => &["prom"],
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

    /// Renders a result in this format, without colors, for a file. Returns the text of the file, or of each of [`file_names`](Self::file_names).
    ///
    /// # Errors
    /// Returns an error if the result cannot be rendered.
    pub fn render(self, result: &RunResult) -> Result<Vec<String>, ReportError> {
        self.render_with_hub(result, None)
    }

    /// Returns true if the format shows the hub's own view of a run. The others contain the result only.
    #[must_use]
    pub fn shows_hub(self) -> bool {
        matches!(self, Format::Html | Format::Text | Format::Markdown)
    }

    /// Like [`render`](Self::render), with the hub's own view of the run in the formats that [show](Self::shows_hub) it.
    ///
    /// # Errors
    /// Returns an error if the result cannot be rendered.
    pub fn render_with_hub(
        self,
        result: &RunResult,
        hub: Option<&HubView>,
    ) -> Result<Vec<String>, ReportError> {
        let text = match self {
            Format::Json => to_json(result)?,
            Format::Html => html_with_hub(result, hub)?,
            Format::Text => text_with_hub(result, hub, false, Width::FILE),
            Format::Junit => junit::junit(result)?,
            Format::Markdown => markdown::markdown(result, hub),
            Format::Csv => return csv::csv(result),
            Format::Hlog => hlog::hlog(result)?,
            Format::Metrics => metrics::metrics(result),
        };
        Ok(vec![text])
    }
}

/// A file to write, or a folder for several files, with its format: `--export [FORMAT=]FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Format of the file.
    pub format: Format,
    /// Path of the file or folder.
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
        if file == "-" {
            return Err(
                "an export is a file; to print a result to stdout: hubstorm report RESULT --format FORMAT"
                    .to_owned(),
            );
        }
        let file = PathBuf::from(file);
        let format = match format {
            Some(name) => Format::from_name(name)
                .ok_or_else(|| format!("unknown format; known formats: {}", names()))?,
            None if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) => {
                return Err("this format consists of two files; write csv=FOLDER".to_owned());
            }
            None => Format::of_file(&file)
                .ok_or_else(|| unknown_extension(&format!("or write FORMAT=FILE with one of {}", names())))?,
        };
        Ok(Export { format, file })
    }

    /// Returns the paths of the files to write.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        match self.format.file_names() {
            [] => vec![self.file.clone()],
            names => names.iter().map(|name| self.file.join(name)).collect(),
        }
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
            assert_ne!(format.extensions().is_empty(), format.file_names().is_empty(), "{format:?}");
            assert!(!format.about().is_empty());
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
            ("test.xml", Format::Junit, "test.xml"),
            ("summary.MD", Format::Markdown, "summary.MD"),
            ("csv=tables", Format::Csv, "tables"),
            ("x.hlog", Format::Hlog, "x.hlog"),
            ("metrics=metrics.txt", Format::Metrics, "metrics.txt"),
            ("x.prom", Format::Metrics, "x.prom"),
        ] {
            assert_eq!(Export::parse(typed).unwrap(), Export { format, file: file.into() }, "{typed}");
        }
        for (typed, part) in [
            ("x", "known extensions: .json, .html, .htm, .txt, .xml, .md, .hlog, .prom"),
            ("x.pdf", "or write FORMAT=FILE with one of json, html, text, junit"),
            ("x.csv", "two files; write csv=FOLDER"),
            (
                "pdf=x.json",
                "unknown format; known formats: json, html, text, junit, markdown, csv, hlog, metrics",
            ),
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
