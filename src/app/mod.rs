//! One file per subcommand; the only room that may import everything and print. Data goes to `Env::out`, talk to
//! `Env::err`. Called by `main` and, in process, by the tests.

mod assemble;
mod ca_file;
mod certs;
mod check;
mod child;
mod consent;
mod cost;
mod doctor;
mod early_end;
mod emulator;
mod exports;
mod init;
mod load;
mod machine;
mod notes;
mod notices;
mod outcome;
mod preflight;
mod report;
mod run;
mod secret;
mod signals;
mod token;

use crate::cli::{self, Cli, Command, Described, SchemaArgs};
use crate::report::exit;
use crate::scenario::masked;
use crate::units::parse_duration;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::sync::watch;

pub use signals::{count_interrupts, survive_file_size_limit};

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
    pub fn of_process(interrupts: watch::Receiver<u8>) -> Env {
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
                .then_some(typed as fn() -> std::io::Result<String>),
            interrupts,
        }
    }
}

/// A line from stdin.
fn typed() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line)
}

/// Why a command ended without doing what was asked. Its text says what, where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Exit code 104.
    #[error("{0}")]
    Scenario(String),
    /// Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Exit code 1.
    #[error("{0}")]
    Environment(String),
    /// Exit code 105: Ctrl-C before anything was measured.
    #[error("interrupted before the load began; nothing was measured")]
    Interrupted,
    /// Exit code 105: whoever was asked said no.
    #[error("not started, as you said; nothing was sent")]
    Declined,
}

impl AppError {
    fn exit_code(&self) -> u8 {
        match self {
            AppError::Scenario(_) => exit::CONFIGURATION,
            AppError::Usage(_) => exit::USAGE,
            AppError::Environment(_) => exit::ENVIRONMENT,
            AppError::Interrupted | AppError::Declined => exit::INTERRUPTED,
        }
    }
}

/// An error of the environment: what was being done, and what the system said.
fn environment(doing: &str, error: &dyn std::fmt::Display) -> AppError {
    AppError::Environment(format!("{doing}: {error}"))
}

/// Prints data. Whoever closed stdout has read enough (`| head`), and a terminal that is gone takes nothing more: neither
/// is a failure.
fn print(env: &mut Env, text: &str) -> Result<(), AppError> {
    match env.out.write_all(text.as_bytes()).and_then(|()| env.out.flush()) {
        Err(error) if !signals::is_gone(&error) => Err(environment("cannot write to stdout", &error)),
        _ => Ok(()),
    }
}

/// True for commands that finish their work on Ctrl-C or a signal that counts as Ctrl-C. Other commands end at once, as programs do
/// by default.
#[must_use]
pub fn hears_interrupts(cli: &Cli) -> bool {
    matches!(cli.command, Command::Run(_) | Command::Emulator(_))
}

/// Runs a command and returns the documented exit code.
pub async fn run(cli: Cli, mut env: Env) -> u8 {
    let result = match cli.command {
        Command::Run(args) => run::run(&args, &mut env).await,
        Command::Init(args) => init::run(&args, &mut env).map(|()| exit::PASSED),
        Command::Check(args) => check_scenario(&args, &mut env).await,
        Command::Emulator(args) => run_emulator(args, &mut env).await.map(|()| exit::PASSED),
        Command::Report(args) => report::run(&args, &mut env),
        Command::Doctor(args) => doctor::run(&args, &mut env).await.map(|()| exit::PASSED),
        Command::Token(args) => token::run(&args, &mut env).map(|()| exit::PASSED),
        Command::Certs(args) => certs::run(&args, &mut env).map(|()| exit::PASSED),
        Command::Schema(args) => schema(&args, &mut env).map(|()| exit::PASSED),
        Command::Completions(args) => {
            let text = String::from_utf8_lossy(&cli::completions(args.shell)).into_owned();
            print(&mut env, &text).map(|()| exit::PASSED)
        }
        Command::Man(args) => cli::man(&args.out).map(|()| exit::PASSED).map_err(|error| {
            environment(&format!("cannot write the man pages to {}", args.out.display()), &error)
        }),
    };
    result.unwrap_or_else(|error| {
        // Nobody is left to tell if stderr is gone.
        drop(writeln!(env.err, "error: {}", masked(&error.to_string())));
        error.exit_code()
    })
}

async fn check_scenario(args: &crate::cli::CheckArgs, env: &mut Env) -> Result<u8, AppError> {
    let plan = load::plan(&args.scenario, env).await?;
    let workers = run::workers(args.workers, &plan);
    let text = format!("{}{}", check::describe(&plan, workers), preflight::shortfalls(&plan, workers).await);
    print(env, &text).map(|()| exit::PASSED)
}

async fn run_emulator(args: crate::cli::EmulatorArgs, env: &mut Env) -> Result<(), AppError> {
    args.host.iter().try_for_each(|host| load::host("--host", host))?;
    let expiry_grace = parse_duration(&args.expiry_grace)
        .map_err(|error| AppError::Usage(format!("--expiry-grace: {error}")))?;
    crate::fleet::raise_descriptor_limit()
        .map_err(|error| environment("cannot raise the limit of open files", &error))?;
    let args = emulator::EmulatorArgs {
        listen: args.listen,
        hosts: args.host,
        group_key: args.group_key,
        ca_out: args.ca_out,
        shards: args.shards.map(usize::from),
        expiry_grace: Some(expiry_grace),
        lenient_properties: args.lenient_properties,
        control: args.control,
    };
    let mut interrupts = env.interrupts.clone();
    let child = args.control;
    let stop = async move {
        // A child outlives the first Ctrl-C: its run may still wait for acks. The end of its input ends it.
        if child || interrupts.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    emulator::run(args, &mut env.out, stop).await.map_err(|error| match error {
        emulator::EmulatorCommandError::Secret(error) => error.into(),
        error => AppError::Environment(error.to_string()),
    })
}

fn schema(args: &SchemaArgs, env: &mut Env) -> Result<(), AppError> {
    let schema = match args.format {
        Described::Result => crate::result::schema(),
        Described::Scenario => crate::scenario::schema(),
    };
    let text =
        serde_json::to_string_pretty(&schema).map_err(|e| environment("cannot render the schema", &e))?;
    print(env, &format!("{text}\n"))
}

/// Reports on stderr what the command line's parser did not understand; it repeats words that may be secrets.
#[must_use]
pub fn not_understood(words: &dyn std::fmt::Display) -> ExitCode {
    // Nobody is left to tell if stderr is gone.
    drop(write!(anstream::stderr(), "{}", masked(&words.to_string())));
    ExitCode::from(exit::USAGE)
}

/// Reports on stderr that not even a runtime could be made.
#[must_use]
pub fn cannot_start(error: &std::io::Error) -> ExitCode {
    // Nobody is left to tell if stderr is gone.
    drop(writeln!(anstream::stderr(), "error: cannot start: {error}"));
    ExitCode::from(exit::ENVIRONMENT)
}
