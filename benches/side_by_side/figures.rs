//! The measured figures: the two loads that each figure is computed from, and the computation.

use super::Run;
use super::load::{Kind, Load};

/// A row of a table.
pub(crate) struct Figure {
    /// Name of the figure for `--only`.
    pub(crate) key: &'static str,
    pub(crate) name: String,
    pub(crate) table: Table,
    pub(crate) small: Load,
    pub(crate) large: Load,
    /// Computes the figure from the small and the large run. It is usually a slope, so that startup, connecting and
    /// reporting cancel out. NaN without data.
    pub(crate) read: fn(&Run, &Run) -> f64,
    pub(crate) decimals: usize,
    /// The limit for hubstorm; empty for a figure without a limit and without a ratio.
    pub(crate) bar: String,
}

/// The tables of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// All clients against mosquitto, with ratios to the floor.
    Clients,
    /// hubstorm alone.
    Alone,
    /// Cost of the servers under the floor's load, with the ratio to mosquitto.
    Servers,
}

/// The measured program of a run.
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
    /// Returns the subjects of a table. The others are compared with the first.
    pub(crate) fn subjects(self) -> &'static [Subject] {
        match self {
            Table::Clients => &[Subject::Floor, Subject::Rumqttc, Subject::Tsung, Subject::Hubstorm],
            Table::Alone => &[Subject::Hubstorm],
            Table::Servers => &[Subject::Floor, Subject::Emulator],
        }
    }
}

/// A rate that two cores sustain for client and server together.
const CONNECTS_PER_S: u32 = 500;

/// Returns all figures. Quick ones show that the measurement works, and measure nothing.
pub(crate) fn figures(quick: bool) -> Vec<Figure> {
    let idle = |connections: u32, work_s| Load {
        connections,
        ramp_s: (connections / CONNECTS_PER_S).max(1),
        work_s,
        kind: Kind::Idle,
    };
    let (few, many, hold_s) = if quick { (50, 250, 2) } else { (1_000, 5_000, 30) };
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
    let held = format!("CPU s to hold {many} idle devices for {hold_s} s");
    let hold = idle(many, 1 + hold_s);
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

/// Returns the CPU time during the work. A slope would not work here: the cost of 5,000 connects varies by more between
/// two runs than holding the connections costs.
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
