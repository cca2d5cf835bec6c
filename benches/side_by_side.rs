//! Compares the cost of hubstorm and its emulator with other programs under the same load. `benches/side-by-side`
//! installs, builds and runs this.
//!
//! Each client runs in its own process against a fresh mosquitto over TLS 1.3. All clients run in turn, round by round,
//! so that a slow minute affects all of them. The server counts a client's work, and the kernel its cost. Figures are
//! slopes between a small and a large run. Only ratios are meaningful, because absolute figures drift with the machine.
//!
//! `--rounds 3` is the default. `--only connect,open` measures only these figures. `--quick` checks in three minutes
//! that the program works, and measures nothing. A whole measurement replaces the tables of `docs/performance.md`;
//! `--quick` and `--only` print them. `--scale` measures how cost grows, and replaces the other tables of that page.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its result")]

#[path = "side_by_side/figures.rs"]
mod figures;
#[path = "side_by_side/floor.rs"]
mod floor;
#[path = "side_by_side/hubstorm.rs"]
mod hubstorm_run;
#[path = "side_by_side/load.rs"]
mod load;
#[path = "side_by_side/process.rs"]
mod process;
#[path = "side_by_side/scale.rs"]
mod scale;
#[path = "side_by_side/server.rs"]
mod server;
#[path = "side_by_side/sys.rs"]
mod sys;
#[path = "side_by_side/tables.rs"]
mod tables;
#[path = "side_by_side/tsung.rs"]
mod tsung;

use figures::{Figure, Subject, figures};
use load::{Kind, Load};
use process::Cost;
use server::{Counted, HUB, Server};
use std::collections::HashMap;
use std::process::{Command, ExitCode};
use tables::Samples;

type Failure = Box<dyn std::error::Error>;

/// The argument with which this program runs itself.
const FLOOR: &str = "floor";
/// The variable in which `benches/side-by-side` passes the path of the rumqttc program.
const RUMQTTC: &str = "SIDE_BY_SIDE_RUMQTTC";

/// One run: the client's cost, and the server's counts and cost.
#[derive(Clone, Copy, Debug)]
struct Run {
    cost: Cost,
    counted: Counted,
    /// Lag that hubstorm reports; NaN for the other programs.
    lag_p99_ms: f64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let result = match &arguments[..] {
        [floor, hub, token, address, ca, load @ ..] if floor == FLOOR => {
            run_floor_program([hub, token, address, ca], load)
        }
        _ => compare(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("side_by_side: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The command-line options.
struct Options {
    rounds: usize,
    quick: bool,
    only: Option<Vec<String>>,
    scale: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Options, Failure> {
        let mut options = Options { rounds: 3, quick: false, only: None, scale: false };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => (options.quick, options.rounds) = (true, 1),
                "--scale" => options.scale = true,
                "--rounds" => options.rounds = value()?.parse()?,
                "--only" => options.only = Some(value()?.split(',').map(str::to_owned).collect()),
                _ => {
                    return Err(format!(
                        "{argument}: the options are --rounds N, --only FIGURE,FIGURE, --quick and --scale"
                    )
                    .into());
                }
            }
        }
        Ok(options)
    }

    fn figures(&self) -> Result<Vec<Figure>, Failure> {
        let mut figures = figures(self.quick);
        for key in self.only.iter().flatten() {
            if !figures.iter().any(|figure| figure.key == key) {
                let mut keys: Vec<&str> = figures.iter().map(|figure| figure.key).collect();
                keys.dedup();
                return Err(format!("--only {key}: the figures are {}", keys.join(", ")).into());
            }
        }
        figures
            .retain(|figure| self.only.as_ref().is_none_or(|only| only.iter().any(|key| key == figure.key)));
        Ok(figures)
    }
}

/// Runs everything, prints the tables and writes them to the document, with gaps where runs failed.
fn compare(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    if options.scale {
        let tables = tables::provenance(arguments, 1) + "\n" + &scale::measure()?;
        println!("{tables}");
        return tables::write_document("scale", &tables);
    }
    let figures = options.figures()?;
    let (mut samples, mut failures) = (Samples::new(), Vec::new());
    for round in 1..=options.rounds {
        let runs = run_round(&figures, &format!("round {round} of {}", options.rounds), &mut failures);
        for (index, figure) in figures.iter().enumerate() {
            for &subject in figure.table.subjects() {
                let pair = runs.get(&(subject, figure.small)).zip(runs.get(&(subject, figure.large)));
                let value = pair.map(|(small, large)| (figure.read)(small, large));
                let value = value.filter(|value| value.is_finite());
                samples.entry((index, subject)).or_default().push(value);
            }
        }
    }
    let tables = tables::provenance(arguments, options.rounds) + "\n" + &tables::render(&figures, &samples);
    println!("{tables}");
    if !options.quick && options.only.is_none() {
        tables::write_document("side-by-side", &tables)?;
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

type Runs = HashMap<(Subject, Load), Run>;

/// Runs each load once with each subject that a figure needs, load by load. A failure does not end the other runs.
fn run_round(figures: &[Figure], progress: &str, failures: &mut Vec<String>) -> Runs {
    let mut needed: Vec<(Load, Vec<Subject>)> = Vec::new();
    for figure in figures {
        for load in [figure.small, figure.large] {
            let at = needed.iter().position(|(known, _)| *known == load).unwrap_or_else(|| {
                needed.push((load, Vec::new()));
                needed.len() - 1
            });
            for &subject in figure.table.subjects() {
                if !needed[at].1.contains(&subject) {
                    needed[at].1.push(subject);
                }
            }
        }
    }
    let mut runs = Runs::new();
    for (load, subjects) in needed {
        for subject in subjects {
            eprintln!("{progress}: {subject:?}, {load:?}");
            let floor = runs.get(&(Subject::Floor, load)).copied();
            match run(subject, load, floor) {
                Ok(run) => drop(runs.insert((subject, load), run)),
                Err(error) => {
                    let failure = format!("{progress}: {subject:?}, {load:?}: {error}");
                    eprintln!("{failure}");
                    failures.push(failure);
                }
            }
        }
    }
    runs
}

/// Performs one run against a fresh server, and reads the server's counts.
fn run(subject: Subject, load: Load, floor: Option<Run>) -> Result<Run, Failure> {
    let server = if subject == Subject::Emulator { Server::emulator()? } else { Server::mosquitto()? };
    let client = |mut command: Command| process::run(&mut command, load, &server.client_log());
    let (mut load, mut lag) = (load, None);
    let cost = match subject {
        Subject::Floor | Subject::Emulator => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args([FLOOR, HUB, &server.token]).args(load.arguments(server.address, &server.ca));
            client(command)?
        }
        Subject::Rumqttc => {
            let program = std::env::var_os(RUMQTTC)
                .ok_or("start this with benches/side-by-side, which builds the rumqttc program")?;
            let mut command = Command::new(program);
            command.args(load.arguments(server.address, &server.ca));
            client(command)?
        }
        Subject::Tsung => {
            load = tsung::reduced(load);
            tsung::run(&server, load)?
        }
        Subject::Hubstorm => {
            let offered = offered(load, floor)?;
            let (cost, p99_us) = hubstorm_run::run(&server, offered)?;
            lag = p99_us;
            cost
        }
    };
    let messages_printed: String = std::fs::read_to_string(server.client_log())?.lines().take(3).collect();
    let counted = server.counted()?;
    check(subject, load, &counted).map_err(|error| format!("{error} {messages_printed}"))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let lag_p99_ms = lag.map_or(f64::NAN, |us| us as f64 / 1e3);
    Ok(Run { cost, counted, lag_p99_ms })
}

/// Checks that a client did the same work as the others, without which there is no comparison.
fn check(subject: Subject, load: Load, counted: &Counted) -> Result<(), String> {
    if counted.connects != u64::from(load.connections) {
        return Err(format!("the server counted {} connects of {}.", counted.connects, load.connections));
    }
    let Some(planned) = load.messages() else { return Ok(()) };
    let messages = counted.received.messages;
    // tsung's load is a whole number of messages per connection.
    let tolerated = if subject == Subject::Tsung { planned / 10 } else { planned / 100 };
    if messages.abs_diff(planned) > tolerated {
        return Err(format!("the server counted {messages} messages of {planned}."));
    }
    Ok(())
}

/// hubstorm has an open model and no window, so it is offered 10% more messages than the floor sent.
fn offered(load: Load, floor: Option<Run>) -> Result<Load, Failure> {
    let Kind::Window = load.kind else { return Ok(load) };
    let floor = floor.ok_or("the floor's run failed, so the load to offer is unknown")?;
    let per_s = u32::try_from(floor.counted.received.messages / u64::from(load.work_s))?;
    Ok(Load { kind: Kind::Open(per_s / 10 * 11), ..load })
}

/// Runs the floor in the child process of [`Subject::Floor`].
fn run_floor_program([hub, token, address, ca]: [&String; 4], load: &[String]) -> Result<(), Failure> {
    let login = floor::Login { hub: hub.clone(), token: token.clone() };
    floor::run(address.parse()?, ca.as_ref(), Load::parse(load)?, login);
    Ok(())
}
