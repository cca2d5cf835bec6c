//! The environment of a command: streams, environment variables and signals. `main` and tests create it; every command receives it.

use super::error::{AppError, environment_error};
use super::signals;
use std::io::{IsTerminal, Write};
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
    /// True if `err` is a terminal that can redraw lines and show colors.
    pub terminal: bool,
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
            err: Box::new(anstream::stderr()),
            // A dumb terminal cannot redraw a line.
            terminal: std::io::stderr().is_terminal()
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
            answer: (std::io::stdin().is_terminal() && std::io::stderr().is_terminal())
                .then_some(read_answer as fn() -> std::io::Result<String>),
            interrupts,
        }
    }
}

/// Reads a line from stdin.
fn read_answer() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line)
}

/// Prints a result to stdout. A closed stdout is not an error: the reader has read enough (`| head`), or the terminal was closed.
pub(super) fn print(env: &mut Env, text: &str) -> Result<(), AppError> {
    match env.out.write_all(text.as_bytes()).and_then(|()| env.out.flush()) {
        Err(error) if !signals::is_closed(&error) => Err(environment_error("cannot write to stdout", &error)),
        _ => Ok(()),
    }
}
