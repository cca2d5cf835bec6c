//! Writes progress lines and notes to a stream, in each [`Style`]. Used by `console` and by `app`. The text of a line is made in `line`.

use super::line::Figures;
use crate::report::{Width, without_commands, wrap_lines};
use std::io::Write;

/// Seconds between two lines in a log.
const LINE_EVERY_S: u64 = 5;
/// Clears the line and everything below it: a terminal that became narrower may have split the line in several. The cursor is in the
/// first column, because each line ends with a carriage return.
const CLEAR: &str = "\r\x1b[J";
/// Surround a line, which must not wrap even if the terminal became narrower a moment ago.
const NO_WRAP: [&str; 2] = ["\x1b[?7l", "\x1b[?7h\r"];

/// How progress is displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// No output.
    Quiet,
    /// One line every few seconds, for a log.
    Lines,
    /// One line that is redrawn each second, for a terminal.
    Redrawn,
}

/// The terminal, for [`Style::Redrawn`].
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Returns the width of the terminal. Called for each line, because terminals are resized.
    pub width: fn() -> Width,
    /// Whether to use colors.
    pub color: bool,
}

/// Writes progress lines and notes to a stream.
pub struct Progress<W> {
    style: Style,
    screen: Screen,
    out: W,
    /// The line on the terminal.
    drawn: Option<Figures>,
}

impl<W: Write> Progress<W> {
    /// Returns a `Progress` that writes to `out`.
    pub fn new(style: Style, screen: Screen, out: W) -> Progress<W> {
        Progress { style, screen, out, drawn: None }
    }

    /// Returns true if a line is due at this second of the run.
    pub(super) fn is_due(&self, second: u64) -> bool {
        match self.style {
            Style::Quiet => false,
            Style::Lines => second.is_multiple_of(LINE_EVERY_S),
            Style::Redrawn => true,
        }
    }

    /// Writes a line.
    pub(super) fn show(&mut self, figures: Figures) -> std::io::Result<()> {
        match self.style {
            Style::Quiet => Ok(()),
            Style::Lines => self.write(&format!("{}\n", figures.for_log())),
            Style::Redrawn => {
                let line = self.line(&figures);
                self.drawn = Some(figures);
                self.write(&format!("{CLEAR}{line}"))
            }
        }
    }

    /// Draws the line again, after the terminal was resized.
    ///
    /// # Errors
    /// Writing to the stream failed.
    pub fn redraw(&mut self) -> std::io::Result<()> {
        let Some(figures) = &self.drawn else { return Ok(()) };
        let line = self.line(figures);
        self.write(&format!("{CLEAR}{line}"))
    }

    /// Writes a note on separate lines above the progress line, unless the style is `Quiet`.
    ///
    /// # Errors
    /// Writing to the stream failed.
    pub fn note(&mut self, text: &str) -> std::io::Result<()> {
        match self.style {
            Style::Quiet => Ok(()),
            Style::Lines => self.print(text),
            Style::Redrawn => {
                let columns = (self.screen.width)().columns();
                self.print(&wrap_lines(text, columns))
            }
        }
    }

    /// Writes a line that only a log needs, because a terminal shows the same facts in its progress line.
    ///
    /// # Errors
    /// Writing to the stream failed.
    pub fn log(&mut self, text: &str) -> std::io::Result<()> {
        if self.style == Style::Lines { self.print(text) } else { Ok(()) }
    }

    /// Writes text on separate lines, in every style and without wrapping it.
    ///
    /// # Errors
    /// Writing to the stream failed.
    pub fn print(&mut self, text: &str) -> std::io::Result<()> {
        let text = without_commands(text);
        match &self.drawn {
            Some(figures) => {
                let line = self.line(figures);
                self.write(&format!("{CLEAR}{text}\n{line}"))
            }
            None => self.write(&format!("{text}\n")),
        }
    }

    /// Clears a redrawn line, so that the next output starts at column 0.
    ///
    /// # Errors
    /// Writing to the stream failed.
    pub fn finish(&mut self) -> std::io::Result<()> {
        if self.drawn.take().is_some() { self.write(CLEAR) } else { Ok(()) }
    }

    /// Returns the line, or the lines. The cursor ends in the first column of the first one.
    fn line(&self, figures: &Figures) -> String {
        let lines = figures.for_terminal((self.screen.width)().of_one_line(), self.screen.color);
        let [start, end] = NO_WRAP;
        let up = match lines.matches('\n').count() {
            0 => String::new(),
            below => format!("\x1b[{below}A"),
        };
        // In the first column also if the terminal does not translate line feeds.
        format!("{start}{}{end}{up}", lines.replace('\n', "\r\n"))
    }

    /// Writes everything at once, so that the terminal never shows a part of it.
    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::testing::{figures, searching};
    use super::*;

    const SCREEN: Screen = Screen { width: || Width::of(None, Some(80)), color: false };

    fn written(style: Style, act: impl FnOnce(&mut Progress<&mut Vec<u8>>) -> std::io::Result<()>) -> String {
        let mut out = Vec::new();
        let mut progress = Progress::new(style, SCREEN, &mut out);
        act(&mut progress).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn terminal_line_is_redrawn_and_cleared_at_the_end() {
        let text = written(Style::Redrawn, |progress| {
            progress.show(figures(1))?;
            progress.show(figures(2))?;
            progress.redraw()?;
            progress.finish()?;
            progress.redraw()
        });
        assert!(!text.contains('\n') && text.ends_with(CLEAR), "{text:?}");
        let lines: Vec<&str> = text.split(CLEAR).collect();
        let [empty, first, second, again, end] = lines[..] else { panic!("{lines:?}") };
        assert_eq!((empty, second, end), ("", again, ""));
        assert!(first != second && first.ends_with(NO_WRAP[1]), "{first:?}");
    }

    #[test]
    fn cursor_returns_to_the_first_line_of_a_search() {
        let text = written(Style::Redrawn, |progress| {
            progress.show(searching())?;
            progress.log("only in a log")?;
            progress.note("hello")?;
            progress.finish()
        });
        let [empty, first, noted, end] = text.split(CLEAR).collect::<Vec<_>>()[..] else {
            panic!("{text:?}")
        };
        assert!(empty.is_empty() && end.is_empty(), "{text:?}");
        assert!(first.starts_with("\x1b[?7lcapacity ") && first.ends_with("\x1b[?7h\r\x1b[1A"), "{first:?}");
        assert_eq!(noted, format!("hello\n{first}"));
        assert_eq!(written(Style::Lines, |progress| progress.log("in a log")), "in a log\n");
    }

    #[test]
    fn note_stands_above_the_line() {
        let noted = |style| {
            written(style, |progress| {
                progress.show(figures(1))?;
                progress.note("hello")
            })
        };
        let text = noted(Style::Redrawn);
        let (line, note) = text.strip_prefix(CLEAR).unwrap().split_once(CLEAR).unwrap();
        assert_eq!(note, format!("hello\n{line}"));
        assert!(noted(Style::Lines).ends_with("\nhello\n"));
        assert_eq!(noted(Style::Quiet), "");
    }

    #[test]
    fn notes_are_wrapped_only_on_a_terminal() {
        let note = "word ".repeat(40);
        let noted = |style| written(style, |progress| progress.note(&note));
        assert!(noted(Style::Redrawn).lines().count() > 2);
        assert!(noted(Style::Redrawn).lines().all(|line| line.len() <= 80));
        assert_eq!(noted(Style::Lines).lines().count(), 1);
    }

    #[test]
    fn log_lines_are_due_every_five_seconds() {
        let due = |style| {
            (1..=11).filter(|second| Progress::new(style, SCREEN, Vec::new()).is_due(*second)).count()
        };
        assert_eq!([Style::Quiet, Style::Lines, Style::Redrawn].map(due), [0, 2, 11]);
        let text = written(Style::Lines, |progress| progress.show(figures(5)));
        assert!(text.ends_with('\n') && !text.contains('\x1b') && !text.contains('\r'), "{text:?}");
    }
}
