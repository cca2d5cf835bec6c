//! What hubstorm and its emulator cost beside others that do the same work: `benches/side-by-side` installs, builds and runs this.
//!
//! Every client runs in a process of its own against a fresh mosquitto over TLS 1.3, all in turn, round by round, so that a slow
//! minute is slow for all. What a client did is counted at the server, what it cost by the kernel. Figures are
//! slopes between a small and a large run. Only ratios mean something: absolute figures drift with the machine.
//!
//! `--rounds 3` is the default; `--only connect,open` measures less; `--quick` proves in three minutes that it works, and measures
//! nothing. A whole measurement replaces the tables of `docs/performance.md`; `--quick` and `--only` print them. `--scale` measures
//! how cost grows, and replaces that page's other tables.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's result is what it prints")]

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

/// The argument with which this program calls itself.
const FLOOR: &str = "floor";
/// Where `benches/side-by-side` says that it built the rumqttc program.
const RUMQTTC: &str = "SIDE_BY_SIDE_RUMQTTC";

/// One run: what it cost the client, and what the server saw and paid.
#[derive(Clone, Copy, Debug)]
struct Run {
    cost: Cost,
    counted: Counted,
    /// hubstorm's own; nobody else has one.
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

/// What was typed.
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
                        "{argument}: what is known is --rounds N, --only FIGURE,FIGURE, --quick and --scale"
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

/// Runs everything, prints the tables and writes them down, with gaps where runs failed.
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

/// Each load once by each subject that a figure wants it of, load by load. That one fails does not end the others.
fn run_round(figures: &[Figure], progress: &str, failures: &mut Vec<String>) -> Runs {
    let mut wanted: Vec<(Load, Vec<Subject>)> = Vec::new();
    for figure in figures {
        for load in [figure.small, figure.large] {
            let at = wanted.iter().position(|(known, _)| *known == load).unwrap_or_else(|| {
                wanted.push((load, Vec::new()));
                wanted.len() - 1
            });
            for &subject in figure.table.subjects() {
                if !wanted[at].1.contains(&subject) {
                    wanted[at].1.push(subject);
                }
            }
        }
    }
    let mut runs = Runs::new();
    for (load, subjects) in wanted {
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

/// One run against a fresh server, counted there.
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
                .ok_or("start this by benches/side-by-side, which builds the rumqttc program")?;
            let mut command = Command::new(program);
            command.args(load.arguments(server.address, &server.ca));
            client(command)?
        }
        Subject::Tsung => {
            load = tsung::fewer(load);
            tsung::run(&server, load)?
        }
        Subject::Hubstorm => {
            let offered = offered(load, floor)?;
            let (cost, p99_us) = hubstorm_run::run(&server, offered)?;
            lag = p99_us;
            cost
        }
    };
    let said: String = std::fs::read_to_string(server.client_log())?.lines().take(3).collect();
    let counted = server.counted()?;
    check(subject, load, &counted).map_err(|error| format!("{error} {said}"))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let lag_p99_ms = lag.map_or(f64::NAN, |us| us as f64 / 1e3);
    Ok(Run { cost, counted, lag_p99_ms })
}

/// A client that did other work than the others is no comparison.
fn check(subject: Subject, load: Load, counted: &Counted) -> Result<(), String> {
    if counted.connects != u64::from(load.connections) {
        return Err(format!("the server counted {} connects of {}.", counted.connects, load.connections));
    }
    let Some(planned) = load.messages() else { return Ok(()) };
    let messages = counted.received.messages;
    // tsung's load is given in whole messages per connection.
    let tolerated = if subject == Subject::Tsung { planned / 10 } else { planned / 100 };
    if messages.abs_diff(planned) > tolerated {
        return Err(format!("the server counted {messages} messages of {planned}."));
    }
    Ok(())
}

/// hubstorm's load is open: in place of a window, it is offered a tenth more than the floor got through.
fn offered(load: Load, floor: Option<Run>) -> Result<Load, Failure> {
    let Kind::Window = load.kind else { return Ok(load) };
    let floor = floor.ok_or("the floor's run failed, so it is not known what to offer")?;
    let per_s = u32::try_from(floor.counted.received.messages / u64::from(load.work_s))?;
    Ok(Load { kind: Kind::Open(per_s / 10 * 11), ..load })
}

/// The child's side of [`Subject::Floor`].
fn run_floor_program([hub, token, address, ca]: [&String; 4], load: &[String]) -> Result<(), Failure> {
    let login = floor::Login { hub: hub.clone(), token: token.clone() };
    floor::run(address.parse()?, ca.as_ref(), Load::parse(load)?, login);
    Ok(())
}
