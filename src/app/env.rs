//! The environment of a command: streams, environment variables and signals. `main` and tests create it; every command receives it.

use super::error::{AppError, environment_error};
use super::signals;
use crate::report::{Width, without_commands, wrap_lines};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use tokio::sync::watch;

/// The environment of a command. Tests replace parts of it.
pub struct Env {
    /// The program to start as the built-in hub.
    pub exe: PathBuf,
    /// The command line, for the result file.
    pub argv: Vec<String>,
    /// Reads an environment variable, for `${env.NAME}` in scenarios.
    pub var: fn(&str) -> Option<String>,
    /// Where results are printed.
    pub out: Box<dyn Write>,
    /// Where progress, warnings and errors are printed.
    pub err: Box<dyn Write>,
    /// Returns the width for `out`.
    pub out_width: fn() -> Width,
    /// Returns the width for `err`. Progress asks for each line, because terminals are resized.
    pub err_width: fn() -> Width,
    /// True if `err` is a terminal that can redraw lines.
    pub terminal: bool,
    /// True if `err` shows colors (`NO_COLOR`, `CLICOLOR_FORCE`).
    pub color: bool,
    /// Reads the answer to a question; `None` without a terminal.
    pub answer: Option<fn() -> std::io::Result<String>>,
    /// The number of Ctrl-C presses and of signals that count as Ctrl-C, for commands that handle them.
    pub interrupts: watch::Receiver<u8>,
}

impl Env {
    /// Returns the environment of this process.
    #[must_use]
    pub fn from_process(interrupts: watch::Receiver<u8>) -> Env {
        Env {
            exe: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("hubstorm")),
            argv: std::env::args().collect(),
            var: |name| std::env::var(name).ok(),
            out: Box::new(anstream::stdout()),
            // Not anstream's stderr: without colors, it also removes the codes that clear a line.
            err: Box::new(std::io::stderr()),
            out_width: || width(std::io::stdout()),
            err_width: || width(std::io::stderr()),
            // A dumb terminal cannot redraw a line.
            terminal: std::io::stderr().is_terminal()
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
            color: anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never,
            answer: (std::io::stdin().is_terminal() && std::io::stderr().is_terminal())
                .then_some(read_answer as fn() -> std::io::Result<String>),
            interrupts,
        }
    }
}

/// Returns the width to use for a stream of this process.
fn width(stream: impl AsFd) -> Width {
    let terminal = terminal_size::terminal_size_of(stream).map(|(terminal_size::Width(columns), _)| columns);
    Width::of(std::env::var("COLUMNS").ok().as_deref(), terminal)
}

/// Reads a line from stdin.
fn read_answer() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line)
}

/// Prints progress or a message to stderr. On a terminal, wraps it. A closed stderr must not end a command, so errors are ignored.
pub(super) fn tell(env: &mut Env, text: &str) {
    let wrapped = if env.terminal { wrap_lines(text, (env.err_width)().columns()) } else { text.to_owned() };
    tell_laid_out(env, &wrapped);
}

/// Prints text that is already laid out for the width of stderr. It may contain commands that are longer than a line.
pub(super) fn tell_laid_out(env: &mut Env, text: &str) {
    drop(env.err.write_all(without_commands(text).as_bytes()).and_then(|()| env.err.flush()));
}

/// Prints text for people to stdout.
pub(super) fn print_text(env: &mut Env, text: &str) -> Result<(), AppError> {
    print(env, &without_commands(text))
}

/// Prints a result to stdout. A closed stdout is not an error: the reader has read enough (`| head`), or the terminal was closed.
pub(super) fn print(env: &mut Env, text: &str) -> Result<(), AppError> {
    match env.out.write_all(text.as_bytes()).and_then(|()| env.out.flush()) {
        Err(error) if !signals::is_closed(&error) => Err(environment_error("cannot write to stdout", &error)),
        _ => Ok(()),
    }
}
