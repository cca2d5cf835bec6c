//! The command line: clap types for the arguments, and the help texts, completions and man pages generated from them. `main` parses
//! the command line and `app` acts on it.

mod capacity;
mod compare;
mod examples;
mod hints;
mod plan;
mod schema;

use crate::report::{Export, Format, exit};
pub use capacity::{CapacityArgs, VaryArg};
use clap::builder::{PossibleValue, PossibleValuesParser, StyledStr, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
pub use compare::{CompareArgs, CompareFormat, CompareOptions, InconclusiveAs};
use examples::FIRST_STEPS;
pub use plan::{PlanArgs, PlanFormat};
pub use schema::{SchemaArgs, SchemaFormat};
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The exit codes in `--help`.
fn exit_codes() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for exit in exit::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:>5}  {}", exit.code, wrapped(exit.meaning, 69).join("\n       "));
    }
    let order: Vec<String> =
        exit::PRECEDENCE.iter().filter(|code| **code != exit::PASSED).map(u8::to_string).collect();
    let _ = write!(text, "\nIf several apply, the first of {} wins.", order.join(", "));
    text
}

/// Wraps text at spaces into lines of at most `columns` columns.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= columns => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Load-test an Azure IoT Hub, or any MQTT 3.1.1 broker, with thousands of simulated devices.
#[derive(Debug, Parser)]
#[command(name = "hubstorm", version = env!("HUBSTORM_VERSION"), about, after_help = format!("{FIRST_STEPS}{}", exit_codes()), max_term_width = 100)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario, by default against the built-in hub
    #[command(after_help = examples::RUN)]
    Run(RunArgs),
    /// Write a starter scenario, quickstart.toml
    #[command(after_help = examples::INIT)]
    Init(InitArgs),
    /// Validate a scenario and print its plan and needs
    #[command(after_help = examples::CHECK)]
    Check(CheckArgs),
    /// Search for the highest load that still meets the thresholds
    #[command(after_help = examples::CAPACITY)]
    Capacity(CapacityArgs),
    /// Calculate the units and the price of an IoT hub for a load, from its throttles and quota. Starts nothing
    #[command(after_help = examples::PLAN)]
    Plan(PlanArgs),
    /// Start an IoT Hub emulator on this machine (MQTT over TLS)
    #[command(after_help = examples::EMULATOR)]
    Emulator(EmulatorArgs),
    /// Render a result file, or judge it again
    #[command(after_help = examples::REPORT)]
    Report(ReportArgs),
    /// Compare results with a baseline: is the new one worse by more than the tolerance?
    #[command(after_help = examples::COMPARE)]
    Compare(CompareArgs),
    /// Show how much load this machine can generate, and test the connection to a target
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Print a SAS token, or decode and verify one
    #[command(after_help = examples::TOKEN)]
    Token(TokenArgs),
    /// Create a CA and a server certificate for a broker under test
    #[command(after_help = examples::CERTS)]
    Certs(CertsArgs),
    /// Print the JSON Schema of a file format
    #[command(after_help = examples::SCHEMA)]
    Schema(SchemaArgs),
    /// Print shell completions
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Write the man pages to a folder
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
}

/// Scenario options of `run` and `check`.
#[derive(Debug, Args)]
pub struct ScenarioArgs {
    /// Scenario file (TOML, or JSON with the same structure), or - for stdin
    pub scenario: PathBuf,
    /// Override a scenario value, such as fleet.meter.devices=500; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Override the seed
    #[arg(long)]
    pub seed: Option<u64>,
    /// Override the target's host, or host and port
    #[arg(long, value_name = "HOST[:PORT]")]
    pub target: Option<String>,
    /// Trust the root certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Run only this fleet; can be repeated. Drives to other fleets and thresholds on other fleets are left out
    #[arg(long, value_name = "NAME")]
    pub fleet: Vec<String>,
    /// Scale the phases so that together they last this long, such as 30s
    #[arg(long, value_name = "DURATION")]
    pub duration: Option<String>,
}

impl ScenarioArgs {
    /// Returns the options that run this scenario file as it is.
    #[must_use]
    pub fn of(scenario: PathBuf) -> ScenarioArgs {
        ScenarioArgs {
            scenario,
            set: Vec::new(),
            seed: None,
            target: None,
            ca: None,
            fleet: Vec::new(),
            duration: None,
        }
    }
}

/// `hubstorm run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Scenario options.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Folder for the JSON and HTML results
    #[arg(short, long, value_name = "DIR", default_value = "reports")]
    pub out: PathBuf,
    /// Also write the result to this file, replacing it; can be repeated. Formats: json, html, text, junit, markdown, csv (a
    /// folder), hlog, metrics [default: by file extension]
    #[arg(long, value_name = "[FORMAT=]FILE", value_parser = Export::parse, value_hint = ValueHint::FilePath)]
    pub export: Vec<Export>,
    /// Leave out empty histograms in JSON files
    #[arg(long)]
    pub compact: bool,
    /// Keep the journal, from which `report --recover` rebuilds the result of a run that was killed, after the result is written
    #[arg(long)]
    pub keep_journal: bool,
    /// When to flush the journal to the disk, which matters only after a power failure: always (after every second), end (of the
    /// load) or never
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Fsync::End, hide_possible_values = true)]
    pub fsync: Fsync,
    /// Number of worker threads [default: one per core; half as many with the built-in hub]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Print the summary only, without progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Print progress as a plain line every 5 s, even on a terminal
    #[arg(long)]
    pub no_tui: bool,
    /// Print this device's MQTT packets to stderr, without secrets
    #[arg(long, value_name = "DEVICE")]
    pub trace: Option<String>,
    /// Skip the confirmation for a run that uses a large part of a hub's daily messages
    #[arg(short, long)]
    pub yes: bool,
    /// Do not append a summary to the file that GitHub Actions names in GITHUB_STEP_SUMMARY
    #[arg(long)]
    pub no_step_summary: bool,
    /// Skip the preflight check, which connects one device of each fleet before the load
    #[arg(long)]
    pub no_preflight: bool,
    /// Instead of a load, do every operation once with one device of each fleet, and print a checklist. Phases and thresholds are
    /// ignored, and no result is written. The exit code is 0, or 99 if an operation failed
    #[arg(long, conflicts_with_all = ["out", "export", "workers", "no_preflight", "duration", "keep_journal", "fsync"])]
    pub once: bool,
    /// After the run, compare its result with this baseline: a result file or a folder of results. The exit code is that of the
    /// comparison, unless the run itself failed
    #[arg(id = "base", long = "compare", value_name = "BASE", conflicts_with = "once")]
    pub compare: Option<PathBuf>,
    /// Options of the comparison.
    #[command(flatten, next_help_heading = "Options with --compare")]
    pub compare_options: CompareOptions,
}

/// When the journal of a run is flushed to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum Fsync {
    /// After every second
    Always,
    /// At the end of the load
    End,
    /// Never
    Never,
}

/// `hubstorm check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Scenario options.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Number of worker threads, for the memory forecast [default: as for run]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Exit with 104 if there is a warning. Warnings are mistakes, such as a threshold that can only fail or a payload that
    /// looks like JSON and is not, and resources that this machine lacks. Notes are facts that may be intended
    #[arg(long)]
    pub strict: bool,
    /// Exit with 1 if this machine lacks memory, file descriptors or ports for the plan
    #[arg(long)]
    pub machine: bool,
}

/// Parses a socket address. The standard library's error has no example.
fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    // RFC 6761: localhost is a loopback address. Other names would need a lookup.
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let local = local.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    local.or_else(|| text.parse().ok()).ok_or(
        "expected an IP address or localhost, and a port, such as 127.0.0.1:8883, localhost:8883 or [::1]:8883; port 0 picks a free port",
    )
}

/// `hubstorm emulator`.
#[derive(Debug, Args)]
pub struct EmulatorArgs {
    /// Address and port to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8883", value_parser = socket_address)]
    pub listen: SocketAddr,
    /// Additional host name for the hub, which is also added to its certificate; can be repeated
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Group key that device keys are derived from: env:NAME or file:PATH [default: a random key]
    #[arg(long, value_name = "SOURCE")]
    pub group_key: Option<String>,
    /// File for the CA certificate that clients must trust [default: a temporary file]
    #[arg(long, value_name = "FILE")]
    pub ca_out: Option<PathBuf>,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: Option<u16>,
    /// How long the hub keeps a connection open after its token expires
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub expiry_grace: String,
    /// Accept unescaped `#`, `+` and `/` in property bags; by default the hub closes the connection
    #[arg(long)]
    pub lenient_properties: bool,
    /// Issue TLS session tickets, so that devices can resume their TLS sessions
    #[arg(long)]
    pub tls_resumption: bool,
    /// Tier whose throttles and daily quota apply: unlimited, F1, B1, B2, B3, S1, S2 or S3
    #[arg(long, value_name = "TIER", default_value = "unlimited")]
    pub tier: String,
    /// Number of units of the tier [default: 1]
    #[arg(long, value_name = "N")]
    pub units: Option<u32>,
    /// Number of billed messages of the current day that are used up at the start [default: 0]
    #[arg(long, value_name = "N")]
    pub quota_used: Option<u64>,
    /// Admit only the devices in this file, with their keys: CSV, connection strings, or an export of Azure's tools
    #[arg(long, value_name = "FILE", conflicts_with = "group_key", value_hint = ValueHint::FilePath)]
    pub devices: Option<PathBuf>,
    /// Write the first line of stdout to this file when the hub listens, and remove it when the hub stops
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ready_file: Option<PathBuf>,
    /// Address and port for /healthz and /readyz over plain HTTP; port 0 picks a free port
    #[arg(long, value_name = "ADDR:PORT", value_parser = socket_address)]
    pub health_listen: Option<SocketAddr>,
    /// Print one line with counts to stderr at this interval, and the totals at the end
    #[arg(long, value_name = "INTERVAL")]
    pub stats: Option<String>,
    /// After SIGTERM or Ctrl-C: how long to wait for acknowledgments that are in flight
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub drain: String,
    /// Ask the emulator at this --health-listen address whether it is ready, and exit with 0 or 1; starts nothing
    #[arg(long, value_name = "ADDR:PORT", value_parser = socket_address, exclusive = true)]
    pub health_check: Option<SocketAddr>,
    /// Read the configuration and commands as JSON lines from stdin until it ends; replaces the other options. See docs/emulator.md
    #[arg(long, conflicts_with_all = ["listen", "host", "group_key", "ca_out", "shards", "expiry_grace", "lenient_properties", "tls_resumption", "tier", "units", "quota_used", "devices", "ready_file", "health_listen", "stats", "drain"])]
    pub control: bool,
}

/// `hubstorm report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Result file of `run` or `capacity`, or - for stdin; with --recover, a journal
    #[arg(required_unless_present = "history")]
    pub result: Option<PathBuf>,
    /// Recover the result of a run that was killed from the journal that it left in its folder for results
    #[arg(long)]
    pub recover: bool,
    /// Format of --out or stdout [default: by the file extension of --out, otherwise text]
    #[arg(long, value_parser = formats())]
    pub format: Option<Format>,
    /// Write to this file, or for csv to this folder, instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the result to this file, or for csv to this folder, replacing it; can be repeated. Prints nothing to stdout, except with
    /// --format. Formats as for --format [default: by file extension]
    #[arg(long, value_name = "[FORMAT=]FILE", value_parser = Export::parse, value_hint = ValueHint::FilePath)]
    pub export: Vec<Export>,
    /// Leave out empty histograms in JSON files
    #[arg(long)]
    pub compact: bool,
    /// Judge the result in the file again: print the verdict and the thresholds, and exit with the verdict's code. For a result of
    /// `capacity`: evaluate its assertions again
    #[arg(long, conflicts_with_all = ["format", "out"])]
    pub judge: bool,
    /// Judge with the thresholds of this scenario file instead of the run's. The rest of the file is ignored, and may be missing
    #[arg(long, value_name = "SCENARIO", requires = "judge", value_hint = ValueHint::FilePath)]
    pub scenario: Option<PathBuf>,
    /// Show the hub's own metrics beside the result, in html, text and markdown: the JSON of `az monitor metrics list`, or - for stdin.
    /// They change neither the verdict nor the exit code, and the result file stays as it is
    #[arg(long, value_name = "FILE", conflicts_with = "history", value_hint = ValueHint::FilePath)]
    pub hub_metrics: Option<PathBuf>,
    /// Show metrics over all results in this folder, by plan and start time. Formats: html, csv (one file, for Apache Otava), text
    #[arg(long, value_name = "DIR", conflicts_with_all = ["result", "judge"], value_hint = ValueHint::DirPath)]
    pub history: Option<PathBuf>,
    /// With --history: show this metric, such as "telemetry{phase:steady} p(99)"; can be repeated [default: the metrics of
    /// the newest run's thresholds, otherwise p(50), p(99), rate(ok) and achieved of the main operation, and connect p(95)]
    #[arg(long, value_name = "METRIC")]
    pub metric: Vec<String>,
}

/// Parses a format name. Help and completions list the names.
fn formats() -> impl TypedValueParser<Value = Format> {
    let names = Format::ALL.map(|format| PossibleValue::new(format.name()).help(format.about()));
    PossibleValuesParser::new(names)
        .map(|name| Format::from_name(&name).expect("clap accepts only the listed names"))
}

/// `hubstorm init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder for quickstart.toml; created if it does not exist
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}

/// `hubstorm doctor`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("peer").args(["target", "scenario"]).multiple(true)))]
pub struct DoctorArgs {
    /// Resolve and connect to this target, and time each step; the default port is 8883. With --scenario: override its target
    #[arg(long, value_name = "HOST[:PORT]")]
    pub target: Option<String>,
    /// Try this scenario: one device of each fleet connects, subscribes and sends one message, and each step is timed. Without a
    /// target, the built-in hub is started
    #[arg(long, value_name = "SCENARIO", value_hint = ValueHint::FilePath)]
    pub scenario: Option<PathBuf>,
    /// Override a value of the scenario, such as fleet.meter.keep_alive=30s; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "scenario")]
    pub set: Vec<String>,
    /// Trust the root certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE", requires = "peer", conflicts_with = "plain")]
    pub ca: Option<PathBuf>,
    /// Connect over plain TCP instead of TLS; the default port is 1883
    #[arg(long, requires = "target", conflicts_with = "scenario")]
    pub plain: bool,
}

/// `hubstorm token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Host name of the hub
    #[arg(long, value_name = "NAME", required_unless_present = "decode")]
    pub host: Option<String>,
    /// Device id to create the token for [default with --decode: the device in the token]
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// Shared access policy whose key is in --key; without --device, the token is for the whole hub
    #[arg(long, value_name = "NAME", conflicts_with = "group_key")]
    pub policy: Option<String>,
    /// Key of the device or the policy, in base64: env:NAME or file:PATH
    #[arg(long, value_name = "SOURCE", conflicts_with = "group_key")]
    pub key: Option<String>,
    /// Group key that the device key is derived from: env:NAME or file:PATH
    #[arg(long, value_name = "SOURCE")]
    pub group_key: Option<String>,
    /// Lifetime of the token
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub ttl: String,
    /// Decode this token, and verify it if there is a key: env:NAME, file:PATH, or - for stdin. The command fails if the token has
    /// expired, or was made with another key or for another device
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["host", "policy", "ttl"])]
    pub decode: Option<String>,
}

/// Parses the validity of a certificate. The standard library's error does not say that there is no unit.
fn days(text: &str) -> Result<u16, &'static str> {
    let days = text.parse().ok().filter(|days| (1..=3650).contains(days));
    days.ok_or("expected a whole number of days from 1 to 3650, without a unit")
}

/// `hubstorm certs`.
#[derive(Debug, Args)]
pub struct CertsArgs {
    /// DNS name or IP address of the server; can be repeated
    #[arg(long, value_name = "NAME", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned()])]
    pub name: Vec<String>,
    /// Validity of the certificates, in days from now
    #[arg(long, default_value_t = 90, value_parser = days)]
    pub days: u16,
    /// Folder for ca.pem, server.pem and server-key.pem
    #[arg(short, long, value_name = "DIR", default_value = "certs")]
    pub out: PathBuf,
    /// Replace existing files
    #[arg(long)]
    pub force: bool,
}

/// `hubstorm completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `hubstorm man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for hubstorm.1, hubstorm-run.1 and so on
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Adds a hint to a usage error if the argument is misplaced, or one of another tool. `command` is the first argument.
#[must_use]
pub fn with_hint(mut error: clap::Error, command: &str) -> clap::Error {
    let kind = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let hint = match error.get(kind) {
        Some(ContextValue::String(argument)) => hints::hint(&Cli::command(), command, argument),
        _ => None,
    };
    if let Some(hint) = hint {
        // Replaces clap's tips, which are about similar names and about `--`.
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(hint)]));
    }
    error
}

/// Returns the completion script for a shell.
#[must_use]
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hubstorm", &mut text);
    text
}

/// Writes `hubstorm.1` and one page per command.
///
/// # Errors
/// The folder cannot be created, or a page cannot be written.
pub fn man(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}
