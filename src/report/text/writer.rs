//! Collects the lines of the summary: styles, headings, and text that is wrapped at the width of the terminal. Used by `text` and
//! `operations`. Independent of results.

use crate::report::width::{Width, columns, wrap};
use anstyle::{AnsiColor, Style};

/// Sentences are wrapped at this width even on a wider terminal, because long lines are hard to read.
const PROSE_COLUMNS: usize = 80;
pub(in crate::report) const PLAIN: Style = Style::new();
pub(in crate::report) const BOLD: Style = Style::new().bold();
pub(in crate::report) const DIM: Style = Style::new().dimmed();
pub(in crate::report) const PASSED: Style = AnsiColor::Green.on_default().bold();
pub(in crate::report) const FAILED: Style = AnsiColor::Red.on_default().bold();
pub(in crate::report) const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Collects lines of text, with or without styles.
pub(in crate::report) struct Writer {
    pub(in crate::report) text: String,
    color: bool,
    width: Width,
}

impl Writer {
    pub(in crate::report) fn new(color: bool, width: Width) -> Writer {
        Writer { text: String::new(), color, width }
    }

    /// Returns the number of columns of a table.
    pub(in crate::report) fn columns(&self) -> usize {
        self.width.columns()
    }

    pub(in crate::report) fn styled(&self, style: Style, text: &str) -> String {
        if self.color && style != PLAIN { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    pub(in crate::report) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    pub(in crate::report) fn heading(&mut self, name: &str) {
        let heading = self.styled(BOLD, name);
        self.line("");
        self.line(&heading);
    }

    /// Writes a sentence, wrapped between words. The first line starts with `first`, the others with `rest`.
    pub(in crate::report) fn wrapped(&mut self, first: &str, rest: &str, body: &str) {
        for line in wrap(first, rest, body, self.columns().min(PROSE_COLUMNS)) {
            self.line(&line);
        }
    }

    /// Like [`wrapped`](Self::wrapped), with styles for `mark`, which follows the indentation, and for `body`.
    pub(in crate::report) fn marked(
        &mut self,
        indent: &str,
        (mark, mark_style): (&str, Style),
        (body, body_style): (&str, Style),
    ) {
        // Styles have no width, so they are added after wrapping.
        let mut first = format!("{indent}{}", self.styled(mark_style, mark));
        let rest = " ".repeat(columns(indent) + columns(mark));
        for line in wrap(&rest, &rest, body, self.columns().min(PROSE_COLUMNS)) {
            let body = self.styled(body_style, line.trim_start());
            self.line(&format!("{first}{body}"));
            rest.clone_into(&mut first);
        }
    }
}
