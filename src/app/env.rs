//! What a command reads and writes: streams, variables, signals. Made by `main` and by tests.

use super::error::{AppError, environment_error};
use super::signals;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use tokio::sync::watch;

/// What a command sees of the world: tests bring their own.
pub struct Env {
    /// The program to start as the built-in hub.
    pub exe: PathBuf,
    /// The command line, for the result file.
    pub argv: Vec<String>,
    /// Environment variables: `${env.NAME}` in scenarios.
    pub var: fn(&str) -> Option<String>,
    /// Data.
    pub out: Box<dyn Write>,
    /// Talk.
    pub err: Box<dyn Write>,
    /// Whether `err` is a terminal that may be redrawn and coloured.
    pub terminal: bool,
    /// Reads what a person types in answer to a question; `None` where there is nobody to ask.
    pub answer: Option<fn() -> std::io::Result<String>>,
    /// How often Ctrl-C was pressed, or a signal arrived that counts as Ctrl-C, for commands that handle it.
    pub interrupts: watch::Receiver<u8>,
}

impl Env {
    /// The process's own.
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

/// A line from stdin.
fn read_answer() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line)
}

/// Prints data. Whoever closed stdout has read enough (`| head`), and a terminal that is gone takes nothing more: neither
/// is a failure.
pub(super) fn print(env: &mut Env, text: &str) -> Result<(), AppError> {
    match env.out.write_all(text.as_bytes()).and_then(|()| env.out.flush()) {
        Err(error) if !signals::is_gone(&error) => Err(environment_error("cannot write to stdout", &error)),
        _ => Ok(()),
    }
}
