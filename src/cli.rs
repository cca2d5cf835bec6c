//! What was typed, nothing more: the clap types, and what clap makes of them (help, completions, man pages). Read
//! by `app`; it decides nothing.

use crate::report::{Export, Format};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The exit codes, as `--help` and the README print them.
pub const EXIT_CODES: &str = "\
Exit codes:
    0  passed
    1  the environment failed: cannot bind, cannot connect, cannot write,
       too few descriptors, bad certificate file
    2  wrong command-line usage
   99  a threshold failed, or every device was offline for
       abort_when_unreachable
  104  the scenario is invalid; nothing was started
  105  interrupted; what was measured until then was written and says so
  120  the measurement is invalid: the load generator may have decided a
       threshold or produced too little load, or a worker or the built-in
       hub died

If several apply, the first of 2, 104, 1, 105, 99, 120 wins.";

/// What a newcomer types first.
const FIRST_STEPS: &str = "\
First steps:
  hubstorm doctor                 checks what load this machine can generate
  hubstorm init                   writes a first scenario, quickstart.toml
  hubstorm check quickstart.toml  prints its plan and needs; sends nothing
  hubstorm run quickstart.toml    1,000 devices, the built-in hub, a minute

";

const RUN_EXAMPLES: &str = "\
Examples:
  hubstorm run scenarios/quickstart.toml
  hubstorm run meters.toml --set fleet.meter.devices=50 --set phase.steady.duration=10s
  hubstorm run meters.toml --target broker.example:8883 --ca certs/ca.pem --yes --quiet
  hubstorm run meters.toml --export out/result.json --export html=out/index.html
  hubstorm run meters.toml --trace meter-00007 2> trace.txt

Ctrl-C once stops the load, waits for the last acks and writes the result; twice writes it now.
SIGTERM, SIGHUP, SIGALRM and SIGUSR1 count as one Ctrl-C, SIGQUIT (Ctrl-\\) as two.";

const CHECK_EXAMPLES: &str = "\
Examples:
  hubstorm check scenarios/quickstart.toml
  hubstorm check meters.toml --set fleet.meter.devices=40000
  sed s/meter/gauge/g meters.toml | hubstorm check -";

const EMULATOR_EXAMPLES: &str = "\
Examples:
  hubstorm emulator --ca-out ca.pem
  export GROUP_KEY=$(openssl rand -base64 32)
  hubstorm emulator --group-key env:GROUP_KEY --listen 127.0.0.1:0

The first line on stdout is one JSON object: where it listens, and how a device connects.";

const REPORT_EXAMPLES: &str = "\
Examples:
  hubstorm report reports/quickstart-20261123T101500Z.json
  hubstorm report result.json --out result.html
  hubstorm report result.json --export result.html --export text=summary
  hubstorm report result.json --judge             the verdict, and its exit code
  cat result.json | hubstorm report -";

const INIT_EXAMPLES: &str = "\
Examples:
  hubstorm init
  hubstorm init load-tests
  hubstorm run load-tests/quickstart.toml";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  hubstorm doctor
  hubstorm doctor --target my-hub.azure-devices.net
  hubstorm doctor --target 127.0.0.1:1883 --plain";

const TOKEN_EXAMPLES: &str = "\
Examples:
  export DEVICE_KEY=...                          a key in base64, never on the command line
  hubstorm token --host my-hub.azure-devices.net --device meter-00001 --key env:DEVICE_KEY
  hubstorm token --host my-hub.azure-devices.net --device meter-00001 --group-key file:key --ttl 10m
  hubstorm token --host my-hub.azure-devices.net --policy service --key env:SERVICE_KEY
  hubstorm token --decode env:TOKEN --key env:DEVICE_KEY";

const CERTS_EXAMPLES: &str = "\
Examples:
  hubstorm certs --name localhost --name 127.0.0.1 --out certs
  mosquitto.conf:  listener 8883 / certfile certs/server.pem / keyfile certs/server-key.pem
  hubstorm run scenarios/mosquitto.toml --target localhost --ca certs/ca.pem";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  hubstorm schema scenario > scenario.schema.json
  In TOML, as the first line:   #:schema ./scenario.schema.json
  In JSON, as the first key:    \"$schema\": \"./scenario.schema.json\"

An editor that knows JSON Schema then completes and checks the scenario while it is written.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  hubstorm completions bash > ~/.local/share/bash-completion/completions/hubstorm
  hubstorm completions zsh > ~/.zfunc/_hubstorm
  hubstorm completions fish > ~/.config/fish/completions/hubstorm.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  hubstorm man --out ~/.local/share/man/man1
  man hubstorm-run";

/// Load-tests an Azure IoT Hub, or any MQTT 3.1.1 broker, with thousands of faithful devices.
#[derive(Debug, Parser)]
#[command(name = "hubstorm", version, about, after_help = format!("{FIRST_STEPS}{EXIT_CODES}"), max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario; with no target in it, start the built-in hub and use that
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Write a first scenario, quickstart.toml, to run and to edit
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitArgs),
    /// Validate a scenario; print the resolved plan and what it needs
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// An IoT Hub on this machine: MQTT over TLS
    #[command(after_help = EMULATOR_EXAMPLES)]
    Emulator(EmulatorArgs),
    /// Render a result file again
    #[command(after_help = REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// What this machine lets a load do, and whether a target can be reached
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Print a SAS token, or decode and verify one
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(TokenArgs),
    /// Make a CA and a server certificate for a broker under test
    #[command(after_help = CERTS_EXAMPLES)]
    Certs(CertsArgs),
    /// Print the JSON Schema of a file format
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema(SchemaArgs),
    /// Print a shell's completions
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Write the man pages into a folder
    #[command(after_help = MAN_EXAMPLES)]
    Man(ManArgs),
}

/// What `run` and `check` say about the scenario.
#[derive(Debug, Args)]
pub struct ScenarioArgs {
    /// The scenario file (TOML, or JSON of the same shape), or - for stdin
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
    /// Also write the result to this file at the end, replacing it; may be repeated. Formats: json, html, text
    /// [default: by the file's ending]
    #[arg(long, value_name = "[FORMAT=]FILE", value_parser = Export::parse, value_hint = ValueHint::FilePath)]
    pub export: Vec<Export>,
    /// Worker threads [default: one per core; half of them with the built-in hub]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// No progress; the summary only
    #[arg(short, long)]
    pub quiet: bool,
    /// Progress as plain lines, even on a terminal
    #[arg(long)]
    pub no_tui: bool,
    /// Print this device's MQTT packets on stderr, without secrets
    #[arg(long, value_name = "DEVICE")]
    pub trace: Option<String>,
    /// Do not ask before a run that costs a large part of a hub's daily messages
    #[arg(short, long)]
    pub yes: bool,
    /// Start the load without first connecting one device of each fleet to the target
    #[arg(long)]
    pub no_preflight: bool,
}

/// `hubstorm check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Worker threads of the run, for its memory [default: as run has it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
}

/// What the standard library says of a wrong one does not help.
fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "an IP address and a port are wanted, such as 127.0.0.1:8883 or [::1]:8883; port 0 takes a free one")
}

/// `hubstorm emulator`.
#[derive(Debug, Args)]
pub struct EmulatorArgs {
    /// Where to listen; loopback unless you say otherwise
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8883", value_parser = socket_address)]
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
    /// Accept unescaped `#`, `+` and `/` in property bags; an IoT hub closes the connection
    #[arg(long)]
    pub lenient_properties: bool,
    /// Take JSON lines on stdin: how to serve, instead of the other options, then calls to devices; the end of stdin ends
    /// it. See docs/emulator.md
    #[arg(long, conflicts_with_all = ["listen", "host", "group_key", "ca_out", "shards", "expiry_grace", "lenient_properties"])]
    pub control: bool,
}

/// `hubstorm report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A result file that `run` wrote, or - for stdin
    pub result: PathBuf,
    /// The format of --out or stdout [default: by the ending of --out; otherwise text]
    #[arg(long, value_parser = formats())]
    pub format: Option<Format>,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the result to this file, replacing it, and nothing to stdout; may be repeated. Formats as for --format
    /// [default: by the file's ending]
    #[arg(long, value_name = "[FORMAT=]FILE", value_parser = Export::parse, value_hint = ValueHint::FilePath)]
    pub export: Vec<Export>,
    /// Judge the result by its file alone: print the verdict and the thresholds, and exit with the verdict's code
    #[arg(long, conflicts_with_all = ["format", "out"])]
    pub judge: bool,
}

/// The names of the formats, for the help and the completions.
fn formats() -> impl TypedValueParser<Value = Format> {
    let names = Format::ALL.map(|format| PossibleValue::new(format.name()).help(format.about()));
    PossibleValuesParser::new(names)
        .map(|name| Format::from_name(&name).expect("only the names of formats are possible"))
}

/// `hubstorm init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The folder for quickstart.toml; created if it is missing
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Replace a file that is already there
    #[arg(long)]
    pub force: bool,
}

/// `hubstorm schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of which format
    #[arg(value_enum)]
    pub format: Described,
}

/// The file formats that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Described {
    /// The result file, hubstorm.result.v1
    Result,
    /// The scenario file
    Scenario,
}

/// `hubstorm doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Resolve this target's name and connect to it, each step timed; port 8883 unless given
    #[arg(long, value_name = "HOST[:PORT]")]
    pub target: Option<String>,
    /// Trust the roots in this PEM file instead of the system's
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with = "plain")]
    pub ca: Option<PathBuf>,
    /// The target speaks plain TCP, no TLS; port 1883 unless given
    #[arg(long, requires = "target")]
    pub plain: bool,
}

/// `hubstorm token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// The hub's host name
    #[arg(long, value_name = "NAME", required_unless_present = "decode")]
    pub host: Option<String>,
    /// The token is for this device [default with --decode: the one that it names]
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// The key belongs to this shared access policy; without a device, the token is for the whole hub
    #[arg(long, value_name = "NAME", conflicts_with = "group_key")]
    pub policy: Option<String>,
    /// The device's or the policy's key in base64: env:NAME or file:PATH
    #[arg(long, value_name = "SOURCE", conflicts_with = "group_key")]
    pub key: Option<String>,
    /// The group key that the device's key is derived from: env:NAME or file:PATH
    #[arg(long, value_name = "SOURCE")]
    pub group_key: Option<String>,
    /// How long the token is good for
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub ttl: String,
    /// Decode this token instead, and verify it if a key is given: env:NAME, file:PATH, or - for stdin. A token that a hub
    /// would refuse, because it has expired or another key made it, ends with exit code 1
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["host", "policy"])]
    pub decode: Option<String>,
}

/// `hubstorm certs`.
#[derive(Debug, Args)]
pub struct CertsArgs {
    /// A DNS name or an address that the server goes by; may be repeated
    #[arg(long, value_name = "NAME", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned()])]
    pub name: Vec<String>,
    /// How many days from now the certificates are good for
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub days: u16,
    /// The folder they go to: ca.pem, server.pem, server-key.pem
    #[arg(short, long, value_name = "DIR", default_value = "certs")]
    pub out: PathBuf,
    /// Replace files that are already there
    #[arg(long)]
    pub force: bool,
}

/// `hubstorm completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `hubstorm man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder they go to: hubstorm.1, hubstorm-run.1, ..
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What the shell is told, so that it completes commands and options.
#[must_use]
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hubstorm", &mut text);
    text
}

/// Writes `hubstorm.1` and one page per command.
///
/// # Errors
/// The folder cannot be made, or a page not be written.
pub fn man(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}
