//! What was typed, nothing more: the clap types. Read by `app`; it decides nothing.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The exit codes, as `--help` and the README print them.
pub const EXIT_CODES: &str = "\
Exit codes:
    0  passed
    1  the environment failed: cannot bind, cannot connect, cannot write, too few descriptors, bad certificate file
    2  wrong command-line usage
   99  ran, and a threshold was crossed
  104  the scenario is invalid; nothing was started
  105  interrupted; what was measured until then was written and says so
  120  the measurement is invalid: the generator was the bottleneck";

/// Load-tests an Azure IoT Hub, or any MQTT 3.1.1 broker, with thousands of faithful devices.
#[derive(Debug, Parser)]
#[command(name = "hubstorm", version, about, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario; with no target in it, start the built-in hub and use that
    Run(RunArgs),
    /// Validate a scenario; print the resolved plan and what it needs
    Check(CheckArgs),
    /// An IoT Hub on this machine: MQTT over TLS
    Emulator(EmulatorArgs),
    /// Render a result file again
    Report(ReportArgs),
    /// Print the JSON Schema of a file format
    Schema(SchemaArgs),
}

/// What `run` and `check` say about the scenario.
#[derive(Debug, Args)]
pub struct ScenarioArgs {
    /// The scenario file (TOML, or JSON of the same shape)
    pub scenario: PathBuf,
    /// Override one scenario value, e.g. fleet.meter.devices=500; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Override the seed
    #[arg(long)]
    pub seed: Option<u64>,
    /// Override the target's host, or host and port
    #[arg(long, value_name = "HOST[:PORT]")]
    pub target: Option<String>,
    /// Trust the roots in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// `hubstorm run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// The folder that the JSON and HTML results go to
    #[arg(short, long, value_name = "DIR", default_value = "reports")]
    pub out: PathBuf,
    /// Worker threads [default: one per core; half of them with the built-in hub]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// No progress; the summary only
    #[arg(short, long)]
    pub quiet: bool,
    /// Progress as plain lines, even on a terminal
    #[arg(long)]
    pub no_tui: bool,
}

/// `hubstorm check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
}

/// `hubstorm emulator`.
#[derive(Debug, Args)]
pub struct EmulatorArgs {
    /// Where to listen; loopback unless you say otherwise
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8883")]
    pub listen: SocketAddr,
    /// A further name that the hub answers to and its certificate names; may be repeated
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// The group key that device keys are derived from: env:NAME or file:PATH [default: a random one]
    #[arg(long, value_name = "SOURCE")]
    pub group_key: Option<String>,
    /// Where to write the CA certificate that clients must trust [default: a temporary file]
    #[arg(long, value_name = "FILE")]
    pub ca_out: Option<PathBuf>,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: Option<u16>,
    /// How long after its token's expiry a connection is closed
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub expiry_grace: String,
    /// Take configuration and commands as JSON lines on stdin; end with it
    #[arg(long, hide = true)]
    pub control: bool,
}

/// `hubstorm report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A result file that `run` wrote
    pub result: PathBuf,
    /// Which face
    #[arg(long, value_enum, default_value_t = Face::Text)]
    pub format: Face,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The faces of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Face {
    /// The summary that `run` prints
    Text,
    /// One self-contained page
    Html,
}

/// `hubstorm schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of which format
    #[arg(value_enum)]
    pub format: Format,
}

/// The formats with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The result file, hubstorm.result.v1
    Result,
}
