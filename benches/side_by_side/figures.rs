//! What is measured: which two loads a figure is read from, and how.

use super::Run;
use super::load::{Kind, Load};

/// A row of a table.
pub(crate) struct Figure {
    /// What `--only` calls it.
    pub(crate) key: &'static str,
    pub(crate) name: String,
    pub(crate) table: Table,
    pub(crate) small: Load,
    pub(crate) large: Load,
    /// Reads it from the small run and the large one; mostly a slope, so that starting, connecting and reporting cancel out. Not a
    /// number where there is nothing to read.
    pub(crate) read: fn(&Run, &Run) -> f64,
    pub(crate) decimals: usize,
    /// What hubstorm is held to; empty where there is nothing to hold it to, and no ratio to make.
    pub(crate) bar: String,
}

/// Whose figures stand beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// Every client against mosquitto; ratios to the floor.
    Clients,
    /// hubstorm alone.
    Alone,
    /// The floor's work as the servers' cost; ratio to mosquitto.
    Servers,
}

/// Who works in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Floor,
    Rumqttc,
    Tsung,
    Hubstorm,
    /// The floor, against the emulator.
    Emulator,
}

impl Table {
    /// The first is what the others are held against.
    pub(crate) fn subjects(self) -> &'static [Subject] {
        match self {
            Table::Clients => &[Subject::Floor, Subject::Rumqttc, Subject::Tsung, Subject::Hubstorm],
            Table::Alone => &[Subject::Hubstorm],
            Table::Servers => &[Subject::Floor, Subject::Emulator],
        }
    }
}

/// What two cores do for client and server together, with room left.
const CONNECTS_PER_S: u32 = 500;

/// All of them; quick ones prove that they can be measured, and measure nothing.
pub(crate) fn figures(quick: bool) -> Vec<Figure> {
    let idle = |connections: u32, work_s| Load {
        connections,
        ramp_s: (connections / CONNECTS_PER_S).max(1),
        work_s,
        kind: Kind::Idle,
    };
    let (few, many, held_s) = if quick { (50, 250, 2) } else { (1_000, 5_000, 30) };
    let (short_s, long_s, rate) = if quick { (1, 2, 1_000) } else { (3, 8, 10_000) };
    let open = |work_s| Load { connections: 500, ramp_s: 2, work_s, kind: Kind::Open(rate) };
    let window = |work_s| Load { connections: 50, ramp_s: 1, work_s, kind: Kind::Window };
    let idle_runs = (idle(few, 1), idle(many, 1));
    let open_runs = (open(short_s), open(long_s));
    let window_runs = (window(short_s), window(long_s));
    use Table::{Alone, Clients, Servers};
    let row = |key, name: &str, table, (small, large), read, decimals, bar: &str| Figure {
        key,
        name: name.to_owned(),
        table,
        small,
        large,
        read,
        decimals,
        bar: bar.to_owned(),
    };
    let at_rate = format!("us CPU per QoS 1 message at {rate}/s");
    let reached = format!("messages/s reached of {rate}");
    let at_most = "us CPU per QoS 1 message at most, window 32";
    let held = format!("CPU s to hold {many} idle devices for {held_s} s");
    let hold = idle(many, 1 + held_s);
    let lag = format!("ms of schedule lag, p99, at {rate}/s");
    vec![
        row("connect", "CPU s per 1,000 connects", Clients, idle_runs, per_connect, 2, "1.0 of the floor"),
        row("memory", "KiB per idle device", Clients, idle_runs, memory, 1, "12"),
        row("open", &at_rate, Clients, open_runs, per_message, 1, "1.1 of the floor"),
        row("open", &reached, Clients, open_runs, rate_reached, 0, ""),
        row("window", at_most, Clients, window_runs, per_message, 1, "1.1 of the floor"),
        row("window", "messages/s at most", Clients, window_runs, rate_reached, 0, ""),
        row("hold", &held, Alone, (hold, hold), |_, b| at_work(b), 2, "0.3"),
        row("lag", &lag, Alone, open_runs, |_, b| b.lag_p99_ms, 2, "2"),
        row(
            "server",
            "CPU s per 1,000 connects",
            Servers,
            idle_runs,
            server_per_connect,
            2,
            "1.0 of mosquitto",
        ),
        row("server", &at_rate, Servers, open_runs, server_per_message, 1, "1.0 of mosquitto"),
    ]
}

/// A slope would not do: 5,000 connects differ by more between two runs than holding them costs.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn at_work(run: &Run) -> f64 {
    run.cost.cpu_at_work_us as f64 / 1e6
}

fn per_connect(small: &Run, large: &Run) -> f64 {
    cpu(small, large) / connects(small, large) / 1e3
}

fn memory(small: &Run, large: &Run) -> f64 {
    slope(small.cost.rss_peak_bytes, large.cost.rss_peak_bytes) / connects(small, large) / 1024.0
}

fn server_per_connect(small: &Run, large: &Run) -> f64 {
    server_cpu(small, large) / connects(small, large) / 1e3
}

fn server_per_message(small: &Run, large: &Run) -> f64 {
    server_cpu(small, large) / messages(small, large)
}

fn per_message(small: &Run, large: &Run) -> f64 {
    cpu(small, large) / messages(small, large)
}

fn rate_reached(_: &Run, large: &Run) -> f64 {
    large.counted.received.per_s.unwrap_or(f64::NAN)
}

fn cpu(small: &Run, large: &Run) -> f64 {
    slope(small.cost.cpu_us, large.cost.cpu_us)
}

fn server_cpu(small: &Run, large: &Run) -> f64 {
    slope(small.counted.cpu_us, large.counted.cpu_us)
}

fn connects(small: &Run, large: &Run) -> f64 {
    slope(small.counted.connects, large.counted.connects)
}

fn messages(small: &Run, large: &Run) -> f64 {
    slope(small.counted.received.messages, large.counted.received.messages)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn slope(small: u64, large: u64) -> f64 {
    large as f64 - small as f64
}
