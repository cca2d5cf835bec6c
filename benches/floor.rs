//! `cargo bench --bench floor`: what hubstorm costs against the least that the same work can cost.
//!
//! Both run in turn, each in its own process, against one mosquitto over TLS 1.3. Every figure is a slope between a
//! small and a large run, so that starting, connecting and reporting cancel out. Only the ratios mean something: absolute
//! figures drift with the machine. `-- --quick` makes a small run that proves that the benchmark works and measures nothing;
//! `-- --rounds 3` repeats and takes medians.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's result is what it prints")]

#[path = "floor/broker.rs"]
mod broker;
#[path = "floor/program.rs"]
mod program;
#[path = "floor/subject.rs"]
mod subject;

use broker::Broker;
use program::{Times, Work};
use serde::{Deserialize, Serialize};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// Messages in flight per connection, in the run that goes as fast as the broker lets it.
const WINDOW: u16 = 32;

/// One run of either program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Load {
    connections: u32,
    ramp_s: u32,
    work_s: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// Connect and hold.
    Idle,
    /// QoS 1, messages per second of all connections together, whatever the acks do.
    Open(u32),
    /// QoS 1, as fast as a window of 32 per connection allows.
    Window,
}

/// What a run cost its process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Cost {
    cpu_us: u64,
    rss_peak_bytes: u64,
    /// Acknowledged.
    messages: u64,
}

/// A figure of the table: how to run it and how to read two costs, the small run's first.
struct Figure {
    name: &'static str,
    small: Load,
    large: Load,
    read: fn(Load, Cost, Load, Cost) -> f64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("floor-program") => floor_program(&arguments[1..]),
        _ if !arguments.iter().any(|argument| argument == "--bench") => {
            println!("this measures only under `cargo bench --bench floor`");
            Ok(())
        }
        _ => compare(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything and prints the table.
fn compare(arguments: &[String]) -> Result<(), Failure> {
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let rounds = match arguments.iter().position(|argument| argument == "--rounds") {
        Some(at) => arguments.get(at + 1).ok_or("--rounds needs a number")?.parse()?,
        None => 1,
    };
    let broker = Broker::start()?;
    println!("| figure | floor | hubstorm | ratio |\n|---|---:|---:|---:|");
    let mut missing = None;
    for (name, samples) in measure(&broker, quick, rounds)? {
        let floor = median(samples.iter().map(|sample| sample.0));
        let subject: Result<Vec<f64>, &String> =
            samples.iter().map(|sample| sample.1.as_ref().copied()).collect();
        match subject {
            Ok(values) => {
                let ours = median(values.iter().copied());
                let ratio = median(samples.iter().zip(&values).map(|(sample, value)| value / sample.0));
                println!("| {name} | {floor:.2} | {ours:.2} | {ratio:.2} |");
            }
            Err(error) => {
                println!("| {name} | {floor:.2} | - | - |");
                missing = Some(error.clone());
            }
        }
    }
    match missing {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// The floor's figure and hubstorm's, or why there is none.
type Sample = (f64, Result<f64, String>);

/// All samples of each figure.
fn measure(broker: &Broker, quick: bool, rounds: usize) -> Result<Vec<(&'static str, Vec<Sample>)>, Failure> {
    let figures = figures(quick);
    let mut samples: Vec<(&str, Vec<Sample>)> =
        figures.iter().map(|figure| (figure.name, Vec::new())).collect();
    for _ in 0..rounds {
        let mut pairs: Vec<Pair> = Vec::new();
        for (figure, (_, samples)) in figures.iter().zip(&mut samples) {
            // Two figures are read from the same idle runs.
            let known =
                pairs.iter().position(|pair| (pair.small, pair.large) == (figure.small, figure.large));
            let pair = match known {
                Some(at) => &pairs[at],
                None => pairs.push_mut(Pair::run(broker, figure.small, figure.large)?),
            };
            let read = |[small, large]: [Cost; 2]| (figure.read)(pair.small, small, pair.large, large);
            samples.push((read(pair.floor), pair.subject.clone().map(read)));
        }
    }
    Ok(samples)
}

/// A small and a large run of each program.
struct Pair {
    small: Load,
    large: Load,
    floor: [Cost; 2],
    /// That hubstorm failed does not end the benchmark.
    subject: Result<[Cost; 2], String>,
}

impl Pair {
    /// In turn, so that a slow minute is slow for both: floor small, hubstorm small, floor large, hubstorm large.
    fn run(broker: &Broker, small: Load, large: Load) -> Result<Pair, Failure> {
        let run = |load: Load| -> Result<(Cost, Result<Cost, String>), Failure> {
            let floor = run_floor(broker, load)?;
            // hubstorm's load is open: it is offered a little more than the broker can take.
            let offered = match load.kind {
                Kind::Window => Kind::Open(u32::try_from(floor.messages / u64::from(load.work_s))? / 10 * 11),
                kind => kind,
            };
            let fits = offered == load.kind;
            let subject = subject::run(broker, Load { kind: offered, ..load }, fits);
            Ok((floor, subject.map_err(|error| error.to_string())))
        };
        let (a, b) = (run(small)?, run(large)?);
        let subject = a.1.and_then(|small| Ok([small, b.1?]));
        Ok(Pair { small, large, floor: [a.0, b.0], subject })
    }
}

fn figures(quick: bool) -> [Figure; 4] {
    let idle =
        |connections| Load { connections, ramp_s: if quick { 1 } else { 10 }, work_s: 1, kind: Kind::Idle };
    let open = |work_s, rate| Load { connections: 500, ramp_s: 2, work_s, kind: Kind::Open(rate) };
    let window = |work_s| Load { connections: 50, ramp_s: 1, work_s, kind: Kind::Window };
    let (few, many) = if quick { (50, 250) } else { (1_000, 5_000) };
    let (short, long, rate) = if quick { (1, 2, 1_000) } else { (5, 15, 10_000) };
    [
        Figure {
            name: "CPU s per 1,000 connects",
            small: idle(few),
            large: idle(many),
            read: |few, a, many, b| {
                slope(a.cpu_us, b.cpu_us) / f64::from(many.connections - few.connections) / 1e6 * 1e3
            },
        },
        Figure {
            name: "KiB per idle device",
            small: idle(few),
            large: idle(many),
            read: |few, a, many, b| {
                slope(a.rss_peak_bytes, b.rss_peak_bytes)
                    / f64::from(many.connections - few.connections)
                    / 1024.0
            },
        },
        Figure {
            name: if quick {
                "us CPU per QoS 1 message at 1,000/s"
            } else {
                "us CPU per QoS 1 message at 10,000/s"
            },
            small: open(short, rate),
            large: open(long, rate),
            read: per_message,
        },
        Figure {
            name: "us CPU per QoS 1 message at most, window 32",
            small: window(short),
            large: window(long),
            read: per_message,
        },
    ]
}

fn per_message(_: Load, small: Cost, _: Load, large: Cost) -> f64 {
    slope(small.cpu_us, large.cpu_us) / slope(small.messages, large.messages)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn slope(small: u64, large: u64) -> f64 {
    large as f64 - small as f64
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs the floor in a process of its own: its CPU and memory are its own, too.
fn run_floor(broker: &Broker, load: Load) -> Result<Cost, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .arg("floor-program")
        .arg(broker.address.to_string())
        .arg(&broker.ca)
        .arg(serde_json::to_string(&load)?)
        .output()?;
    if !output.status.success() {
        return Err(format!("the floor program failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The child's side of `run_floor`.
#[expect(clippy::disallowed_methods, reason = "the floor times itself")]
fn floor_program(arguments: &[String]) -> Result<(), Failure> {
    let [address, ca, load] = arguments else { return Err("wrong arguments".into()) };
    let load: Load = serde_json::from_str(load)?;
    let work = match load.kind {
        Kind::Idle => Work::Idle,
        Kind::Open(rate) => {
            Work::Open { every: Duration::from_secs_f64(f64::from(load.connections) / f64::from(rate)) }
        }
        Kind::Window => Work::Window(WINDOW.into()),
    };
    let times = Times {
        start: Instant::now(),
        ramp: Duration::from_secs(load.ramp_s.into()),
        work: Duration::from_secs(load.work_s.into()),
    };
    let messages = program::run(address.parse()?, ca.as_ref(), load.connections, times, work);
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let cpu = [usage.user_time(), usage.system_time()];
    let cpu_us: i64 = cpu.iter().map(|time| time.tv_sec() * 1_000_000 + time.tv_usec()).sum();
    let cost =
        Cost { cpu_us: u64::try_from(cpu_us)?, rss_peak_bytes: rss_peak_bytes()?, messages: messages as u64 };
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

/// Not `getrusage`: its peak survives `exec`, so that a child would start with its parent's.
fn rss_peak_bytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}
