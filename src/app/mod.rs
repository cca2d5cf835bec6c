//! The commands: one file per subcommand, and the steps of `run` before and after the load. The input is a parsed command line and an
//! [`Env`]; the output is an exit code, and text on stdout and stderr. Read `run.rs` first: it shows the order of the steps.
//!
//! `main` and the tests call it. It is the only room that may import everything, and the only one that may print: results to `Env::out`,
//! progress and messages to `Env::err`. No other room may depend on it.

mod build_result;
mod ca_file;
mod capacity;
mod capacity_file;
mod capacity_plan;
mod certs;
mod check;
mod ci;
mod columns;
mod compare;
mod consent;
mod cost;
mod doctor;
mod early_end;
mod emulator;
mod emulator_process;
mod env;
mod error;
mod exports;
mod file_kind;
mod init;
mod journal;
mod limits;
mod machine;
mod mosquitto_hint;
mod notice_printer;
mod once;
mod other_file;
mod paths;
mod plan_warnings;
mod preflight;
mod read_scenario;
mod recover;
mod report;
mod result_folder;
mod run;
mod run_fleet;
mod secret;
mod shell;
mod signals;
mod token;
mod write_result;

#[cfg(test)]
mod closed_loop_tests;

use crate::cli::{self, Cli, Command, SchemaArgs, SchemaFormat};
use crate::report::exit;
use crate::scenario::masked;
use env::{print, print_text, tell, tell_laid_out};
use error::environment_error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

pub use env::Env;
pub use error::AppError;
pub use signals::{count_interrupts, survive_file_size_limit};

/// Returns true for commands that handle Ctrl-C themselves, and the signals that count as Ctrl-C. The others end immediately, which is
/// the system's default.
#[must_use]
pub fn handles_interrupts(cli: &Cli) -> bool {
    matches!(cli.command, Command::Run(_) | Command::Capacity(_) | Command::Emulator(_))
}

/// Runs a command and returns its exit code ([`exit`]).
pub async fn run(cli: Cli, mut env: Env) -> u8 {
    let result = match cli.command {
        Command::Run(args) if args.once => once::run(&args, &mut env).await,
        Command::Run(args) => run::run(&args, &mut env).await,
        Command::Capacity(args) => capacity::run(&args, &mut env).await,
        Command::Init(args) => init::run(&args, &mut env).map(|()| exit::PASSED),
        Command::Check(args) => check::run(&args, &mut env).await.map(|()| exit::PASSED),
        Command::Plan(args) => capacity_plan::run(&args, &mut env).await,
        Command::Emulator(args) => emulator::run(&args, &mut env).await.map(|()| exit::PASSED),
        Command::Compare(args) => compare::run(&args, &mut env),
        Command::Report(args) => report::run(&args, &mut env).await,
        Command::Doctor(args) => doctor::run(&args, &mut env).await.map(|()| exit::PASSED),
        Command::Token(args) => token::run(&args, &mut env).map(|()| exit::PASSED),
        Command::Certs(args) => certs::run(&args, &mut env).map(|()| exit::PASSED),
        Command::Schema(args) => schema(&args, &mut env).map(|()| exit::PASSED),
        Command::Completions(args) => {
            let text = String::from_utf8_lossy(&cli::completions(args.shell)).into_owned();
            print(&mut env, &text).map(|()| exit::PASSED)
        }
        Command::Man(args) => man(&args.out).map(|()| exit::PASSED),
    };
    result.unwrap_or_else(|error| {
        // A terminal shows ^C, without a line break.
        let gap = if env.terminal && matches!(error, AppError::Interrupted) { "\n" } else { "" };
        tell(&mut env, &format!("{gap}error: {}\n", masked(&error.to_string())));
        error.exit_code()
    })
}

fn man(folder: &Path) -> Result<(), AppError> {
    paths::check_folder(folder, "man", "a page for each command")?;
    cli::man(folder).map_err(|error| {
        let action = format!("cannot write the man pages to {}", folder.display());
        paths::unwritable(&action, &error, "choose another folder with --out")
    })
}

fn schema(args: &SchemaArgs, env: &mut Env) -> Result<(), AppError> {
    let schema = match args.format {
        SchemaFormat::Result => crate::result::schema(),
        SchemaFormat::Compare => crate::compare::schema(),
        SchemaFormat::Plan => crate::capacity::schema(),
        SchemaFormat::Scenario => crate::scenario::schema(),
        SchemaFormat::Capacity => crate::capacity::measured::schema(),
        SchemaFormat::CapacityComparison => crate::capacity::comparison::schema(),
    };
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|e| environment_error("cannot render the schema", &e))?;
    print(env, &format!("{text}\n"))
}

/// Prints a usage error from the command-line parser to stderr. Masks secrets, because the text quotes arguments.
#[must_use]
pub fn report_usage_error(message: &dyn std::fmt::Display) -> ExitCode {
    // If stderr is closed, there is no other place for the message.
    drop(write!(anstream::stderr(), "{}", masked(&message.to_string())));
    ExitCode::from(exit::USAGE)
}

/// Reports on stderr that the async runtime could not be created.
#[must_use]
pub fn report_start_error(error: &std::io::Error) -> ExitCode {
    // If stderr is closed, there is no other place for the message.
    drop(writeln!(anstream::stderr(), "error: cannot start: {error}"));
    ExitCode::from(exit::ENVIRONMENT)
}
