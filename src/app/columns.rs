//! Lays out the text of `check`, `doctor` and `run --once`, and the warnings of `run`: wrapped lines, labels with texts, and tables. Must not
//! depend on plans or results.

use crate::link::TlsFacts;
use crate::report::{Width, columns, wrap};
use crate::units::human_us;
use std::time::Duration;

/// Where the text of a line of `doctor` begins.
pub(super) const DOCTOR_TEXT_COLUMN: usize = 15;

/// Returns a row of `doctor`: a name and a text beside it.
#[must_use]
pub(super) fn doctor_row(name: &str, text: &str) -> String {
    format!("  {name:<width$}{text}\n", width = DOCTOR_TEXT_COLUMN - 2)
}

/// Returns a row of `doctor` with the time of a step and, for a TLS handshake, its version, cipher suite and key exchange.
#[must_use]
pub(super) fn doctor_step(name: &str, took: Duration, tls: Option<&TlsFacts>) -> String {
    let time = human_us(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    let facts = tls.map(|tls| format!("  TLS {}, {}, {}", tls.version, tls.suite, tls.group));
    doctor_row(name, &format!("{time}{}", facts.unwrap_or_default()))
}

/// The width of the output. Text is at most 80 columns wide even on a wider terminal, because long lines are hard to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    columns: usize,
}

impl Layout {
    const COLUMNS_MAX: usize = 80;

    /// Returns the layout for a terminal of this width.
    #[must_use]
    pub(super) fn of(width: Width) -> Layout {
        Layout { columns: width.columns().min(Layout::COLUMNS_MAX) }
    }

    /// Wraps `body` at spaces. The first line begins with `first`, the others with `rest`. The text ends in a line break.
    #[must_use]
    pub(super) fn wrapped(self, first: &str, rest: &str, body: &str) -> String {
        wrap(first, rest, body, self.columns).iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// Wraps the lines of a list whose text begins at `column`. A line without indentation is a heading or a sentence.
    #[must_use]
    pub(super) fn list(self, text: &str, column: usize) -> String {
        let row = |line: &str| match line.split_at_checked(column) {
            Some((label, body)) if columns(line) > self.columns && label.starts_with(' ') => {
                self.wrapped(label, &" ".repeat(column), body)
            }
            _ if columns(line) > self.columns => self.wrapped("", "  ", line),
            _ => format!("{line}\n"),
        };
        text.lines().map(row).collect()
    }

    /// Formats a message: its first line after `label`, and the other lines, which are ways to fix it, below and indented.
    #[must_use]
    pub(super) fn message(self, label: &str, text: &str) -> String {
        let mut lines = text.lines();
        let first = self.wrapped(&format!("{label}: "), "  ", lines.next().unwrap_or_default());
        first + &lines.map(|line| self.wrapped("  - ", "    ", line.trim_start())).collect::<String>()
    }

    /// Formats a label and a text beside it, wrapped into a column that begins at `indent + width`. A label that is too long for its column
    /// gets its own line.
    #[must_use]
    pub(super) fn labelled(self, (indent, label_columns): (usize, usize), label: &str, text: &str) -> String {
        let column = " ".repeat(indent + label_columns);
        let first = format!("{:indent$}{label:<label_columns$}", "");
        match columns(label) + 2 > label_columns {
            true => format!("{}\n{}", first.trim_end(), self.wrapped(&column, &column, text)),
            false => self.wrapped(&first, &column, text),
        }
    }

    /// Formats a table whose rows begin with a name. Cells are separated by two spaces. A name that does not fit beside its row gets its own
    /// line.
    #[must_use]
    pub(super) fn table<const N: usize>(self, indent: usize, rows: &[(&str, [String; N])]) -> String {
        let widest = |cell: usize| rows.iter().map(|(_, cells)| columns(&cells[cell])).max().unwrap_or(0);
        let widths: [usize; N] = std::array::from_fn(widest);
        let beside: usize = widths.iter().map(|width| width + 2).sum();
        let room = self.columns.saturating_sub(indent + beside);
        // A column for names that is too narrow would be empty in most rows.
        let room = if room < NAME_COLUMNS_MIN { 2 } else { room };
        let names = rows.iter().map(|(name, _)| columns(name)).filter(|name| *name <= room);
        let names = names.max().unwrap_or(2);
        let mut out = String::new();
        for (name, cells) in rows {
            let mut line = format!("{:indent$}{name:<names$}", "");
            if columns(name) > names {
                out = out + line.trim_end() + "\n";
                line = " ".repeat(indent + names);
            }
            for (cell, width) in cells.iter().zip(widths) {
                line += &format!("  {cell:<width$}");
            }
            let line = line.trim_end();
            if columns(line) <= self.columns {
                out = out + line + "\n";
            } else {
                let body = line.trim_start();
                let start = &line[..line.len() - body.len()];
                out += &self.wrapped(start, &format!("{start}  "), body);
            }
        }
        out
    }
}

/// The narrowest useful column for names.
const NAME_COLUMNS_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { columns: 80 };

    #[test]
    fn commands_are_not_wrapped() {
        let command = "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\" net.core.somaxconn=4096";
        let text = LAYOUT.wrapped("- ", "  ", &format!("widen the range (as root):  {command}"));
        assert_eq!(text, format!("- widen the range (as root):\n  {command}\n"));
    }

    #[test]
    fn every_line_fits() {
        let words = "word ".repeat(100);
        for text in [
            LAYOUT.wrapped("first: ", "  ", &words),
            LAYOUT.message("warning", &format!("{words}\n  {words}\n  {words}")),
            LAYOUT.labelled((4, 13), "label", &words),
            LAYOUT.labelled((4, 13), "label-of-many-characters", &words),
        ] {
            assert!(text.lines().all(|line| line.len() <= 80 && !line.ends_with(' ')), "{text}");
            assert!(text.ends_with("word\n"));
        }
    }

    #[test]
    fn rows_of_a_list_keep_their_column() {
        let text = LAYOUT.list("heading\n  failed   connect: refused\n  failed   telemetry\n", 11);
        assert_eq!(text, "heading\n  failed   connect: refused\n  failed   telemetry\n");
        let words = "word ".repeat(20);
        let text = LAYOUT.list(&format!("{words}\n  skipped  {words}\n  é{words}"), 11);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("\n  skipped  word") && text.contains("\n           word"), "{text}");
        assert_eq!(text.split_whitespace().filter(|word| *word != "skipped").count(), 60);
    }

    #[test]
    fn long_names_get_their_own_line() {
        let long = "n".repeat(60);
        let row = || ["10.0 s".to_owned(), "online 0% -> 100%".to_owned()];
        assert_eq!(
            LAYOUT.table(2, &[("ramp", row()), (&long, row())]),
            format!("  ramp  10.0 s  online 0% -> 100%\n  {long}\n        10.0 s  online 0% -> 100%\n")
        );
        let wide = || ["x".repeat(70), "y".to_owned()];
        let text = LAYOUT.table(2, &[("ramp", wide()), ("up", wide())]);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
