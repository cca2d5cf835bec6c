//! The width of the terminal, and text that fits it. `app` asks the terminal and passes the width down; `text`, `live` and the commands
//! wrap their text with it. Independent of results.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The width for which text is laid out, in columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    text: usize,
    line: usize,
}

impl Width {
    /// The smallest width for which text is laid out. A narrower terminal gets the same text.
    pub const MIN: usize = 60;
    /// The width of files, whatever the terminal: the same result always gives the same file.
    pub const FILE: Width = Width { text: 100, line: 100 };
    /// The width where there is no terminal: a pipe, or a CI job.
    const UNKNOWN: usize = 80;

    /// Returns the width to use: `columns` (the variable `COLUMNS`) if it is a positive number, otherwise the width of the terminal,
    /// otherwise 80 columns.
    #[must_use]
    pub fn of(columns: Option<&str>, terminal: Option<u16>) -> Width {
        let wanted = columns.and_then(|columns| columns.trim().parse().ok()).filter(|columns| *columns > 0);
        let terminal = terminal.map(usize::from).filter(|columns| *columns > 0);
        let columns = wanted.or(terminal).unwrap_or(Width::UNKNOWN);
        // A line that is redrawn must never wrap, so `COLUMNS` can only make it shorter.
        Width { text: columns.max(Width::MIN), line: terminal.map_or(columns, |most| columns.min(most)) }
    }

    /// Returns the number of columns for text, at least [`Width::MIN`].
    #[must_use]
    pub fn columns(self) -> usize {
        self.text
    }

    /// Returns the largest number of columns of a line that must not wrap. The last column stays empty: some terminals wrap as soon as
    /// it is filled.
    #[must_use]
    pub fn of_one_line(self) -> usize {
        self.line - 1
    }
}

/// Returns the number of columns that text takes on a terminal.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Appends spaces up to `to` columns.
pub(super) fn pad(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(columns(text))))
}

/// Prepends spaces up to `to` columns.
pub(super) fn pad_left(text: &str, to: usize) -> String {
    format!("{}{text}", " ".repeat(to.saturating_sub(columns(text))))
}

/// Returns the start of `text` that fits `most` columns. An ellipsis replaces an omitted end.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let (mut short, _) = split_at(text, most.saturating_sub(1));
    short = short.trim_end();
    format!("{short}…")
}

/// Wraps `body` between words into lines of at most `most` columns. The first line starts with `first`, the others with `rest`.
///
/// A word that is longer than a line is split, but not a path, and not text in backticks: these stay whole, so that they can be copied.
/// So does the rest of a line after two spaces, which is a command in our messages.
#[must_use]
pub fn wrap(first: &str, rest: &str, body: &str, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for mut word in words(body) {
        if !is_empty && columns(&line) + 1 + columns(word) > most {
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            is_empty = true;
        }
        while is_empty && columns(&line) + columns(word) > most && !is_copied(word) {
            let (head, tail) = split_at(word, most.saturating_sub(columns(&line)).max(2));
            if tail.is_empty() {
                break;
            }
            lines.push(std::mem::replace(&mut line, rest.to_owned()) + head);
            word = tail;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

/// Wraps each line of a message, with the indentation of the line. Keeps its line breaks.
#[must_use]
pub fn wrap_lines(text: &str, most: usize) -> String {
    let mut wrapped = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        if columns(line) <= most {
            wrapped.push_str(line);
        } else {
            let (start, body) = line.split_at(text_start(line));
            let rest = match start.trim() {
                "" => format!("{start}  "),
                _ => " ".repeat(columns(start)),
            };
            wrapped.push_str(&wrap(start, &rest, body, most).join("\n"));
        }
        wrapped.push_str(end);
    }
    wrapped
}

/// Returns where the text of a line starts: after the indentation, and after an aligned label (`fix:      check the host`).
fn text_start(line: &str) -> usize {
    let body = line.trim_start();
    let label = &body[..body.find(' ').unwrap_or(body.len())];
    let text = body[label.len()..].trim_start();
    if label.ends_with(':') && body[label.len()..].starts_with("  ") {
        line.len() - text.len()
    } else {
        line.len() - body.len()
    }
}

/// Returns true for text that people copy: a path, a URL, code, a command.
fn is_copied(word: &str) -> bool {
    word.contains(['/', '`', ' '])
}

/// Splits text at spaces, except in backticks. Text after two spaces is one word.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    let mut is_command = false;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (word, tail) = rest.split_at(if is_command { rest.len() } else { word_end(rest) });
        is_command = word.ends_with(':') && tail.starts_with("  ");
        rest = tail.trim_start();
        Some(word)
    })
}

/// Returns the end of the first word.
fn word_end(text: &str) -> usize {
    let mut in_code = false;
    let end = text.char_indices().find(|(_, c)| {
        in_code ^= *c == '`';
        *c == ' ' && !in_code
    });
    match end {
        Some((end, _)) => end,
        // Without a closing backtick, the text is not code.
        None if in_code => text.find(' ').unwrap_or(text.len()),
        None => text.len(),
    }
}

/// Splits text so that the first part takes at most `most` columns.
fn split_at(text: &str, most: usize) -> (&str, &str) {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += c.width().unwrap_or(0);
        taken > most
    });
    text.split_at(end.map_or(text.len(), |(end, _)| end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_variable_wins_over_the_terminal() {
        for (variable, terminal, text, line) in [
            (None, None, 80, 79),
            (None, Some(132), 132, 131),
            (Some("100"), Some(132), 100, 99),
            (Some("100"), None, 100, 99),
            (Some("200"), Some(132), 200, 131),
            (Some("wide"), Some(132), 132, 131),
            (Some("0"), None, 80, 79),
            (Some("-5"), None, 80, 79),
            (Some(""), Some(0), 80, 79),
            (Some("40"), None, 60, 39),
            (None, Some(20), 60, 19),
        ] {
            let width = Width::of(variable, terminal);
            assert_eq!((width.columns(), width.of_one_line()), (text, line), "{variable:?} {terminal:?}");
        }
    }

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("- ", "  ", "one two three", 9), ["- one two", "  three"]);
        assert_eq!(wrap("", "", "", 9), [""]);
        assert_eq!(wrap("", "", "  one   two ", 9), ["one two"]);
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!((columns("東京"), columns("a\u{301}")), (4, 1));
        assert_eq!(wrap("", "", "東京 東京", 8), ["東京", "東京"]);
        assert_eq!((pad("東", 4), pad_left("東", 4)), ("東  ".to_owned(), "  東".to_owned()));
        assert_eq!((cut("東京都", 5), cut("東京都", 6)), ("東京…".to_owned(), "東京都".to_owned()));
    }

    #[test]
    fn only_long_words_that_are_not_copied_are_split() {
        assert_eq!(wrap("", "", "x abcdefghij y", 4), ["x", "abcd", "efgh", "ij y"]);
        assert_eq!(wrap("", "", "see a/b/c/d/e now", 4), ["see", "a/b/c/d/e", "now"]);
        assert_eq!(wrap("", "", "run `ulimit -n 9` now", 8), ["run", "`ulimit -n 9`", "now"]);
        assert_eq!(wrap("", "", "a ` b c", 3), ["a `", "b c"]);
    }

    #[test]
    fn commands_stay_whole() {
        let text = "the folder is missing; create it:  mkdir -p some/folder";
        assert_eq!(wrap("", "", text, 20), ["the folder is", "missing; create it:", "mkdir -p some/folder"]);
    }

    #[test]
    fn message_keeps_its_lines_and_indentation() {
        assert_eq!(wrap_lines("a b c\n  one two\n", 7), "a b c\n  one\n    two\n");
        assert_eq!(wrap_lines("one two", 5), "one\n  two");
        assert_eq!(wrap_lines("  fix:   check the port", 15), "  fix:   check\n         the\n         port");
    }
}
