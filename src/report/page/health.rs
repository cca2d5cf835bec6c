//! Health of the load generator and the built-in hub: facts about the processes, and a row for each source. Called by `page`. Uses
//! only the result.

use super::super::format;
use super::super::sources::sources;
use super::super::text::cpu_average;
use super::unit::keep_together;
use crate::measure::{Latency, Limits, Source};
use crate::result::model::RunResult;
use crate::units::{human_bytes, human_count, human_us};

/// A clock drift above this is shown (our choice).
const DRIFT_SHOWN_US: u64 = 10_000;

/// Name, total stall, longest stall, busy share, local errors, lag p99, lag max.
pub(super) type SourceRow = [String; 7];

/// Returns a row for each source. Empty for files from earlier versions.
pub(super) fn source_rows(result: &RunResult) -> Vec<SourceRow> {
    let time = |us: u64| if us == 0 { "0".to_owned() } else { keep_together(&format::us(Some(us))) };
    let row = |health: &super::super::sources::SourceHealth| {
        let lag = |us: Option<u64>| keep_together(&format::us(us));
        // The built-in hub reports only its stalls and its busy share.
        let errors = match health.source {
            Source::Emulator(_) => format::NONE.to_owned(),
            _ => human_count(health.environment_errors),
        };
        [
            health.source.to_string(),
            time(health.stall_us),
            time(health.longest_us),
            health
                .busy_share
                .map_or_else(|| format::NONE.to_owned(), |share| format!("{:.0}%", share * 100.0)),
            errors,
            lag(health.lag.quantile(0.99)),
            lag(health.lag.max()),
        ]
    };
    sources(&result.measurement).iter().map(row).collect()
}

/// Returns facts about the load generator's process.
pub(super) fn generator(result: &RunResult) -> Vec<(String, String)> {
    let generator = &result.generator;
    let messages = format::plural(generator.lag.count(), "message", "messages");
    let drift_us = result.measurement.health.iter().map(|health| health.clock_drift_us).max().unwrap_or(0);
    // The number of late messages in the file always counts against 100 ms.
    let late_after_us = result.rules.as_ref().map_or(Limits::default(), |rules| rules.validity).late_after_us;
    let late = generator.lag.count_above(late_after_us);
    let mut facts = vec![
        ("Workers".to_owned(), human_count(generator.workers.into())),
        ("CPU, mean".to_owned(), format!("{} of one core", cpu_average(result))),
        ("CPU, peak".to_owned(), format!("{:.0}% of one core", generator.cpu_peak_percent)),
        ("Memory, peak".to_owned(), human_bytes(generator.rss_peak_bytes)),
        ("Open descriptors, peak".to_owned(), human_count(generator.fd_peak)),
        ("Lag of messages".to_owned(), quantiles(&generator.lag)),
        (format!("Lag over {}", human_us(late_after_us)), format!("{} of {messages}", human_count(late))),
        ("Heartbeat delay".to_owned(), quantiles(&generator.heartbeat)),
    ];
    if drift_us > DRIFT_SHOWN_US {
        facts.push(("Clock drift".to_owned(), keep_together(&format::us(Some(drift_us)))));
    }
    facts
}

fn quantiles(latency: &Latency) -> String {
    if latency.is_empty() {
        return "no samples".to_owned();
    }
    let [p99, p999, max] = [latency.quantile(0.99), latency.quantile(0.999), latency.max()]
        .map(|us| keep_together(&format::us(us)));
    format!("p99 {p99}, p99.9 {p999}, max {max}")
}

/// Returns facts about the built-in hub. Empty for other targets.
pub(super) fn emulator(result: &RunResult) -> Vec<(&'static str, String)> {
    let Some(emulator) = &result.emulator else { return Vec::new() };
    let mut rows = vec![
        ("CPU time", keep_together(&format::us(Some(emulator.cpu_us)))),
        ("Memory, peak", human_bytes(emulator.rss_peak_bytes)),
        ("CONNECTs accepted", human_count(emulator.accepted)),
        ("CONNECTs refused", human_count(emulator.refused)),
        ("Telemetry received", human_count(emulator.telemetry)),
    ];
    let rare = [
        ("Session takeovers", emulator.taken_over),
        ("Closed at token expiry", emulator.expired),
        ("Closed for protocol errors", emulator.protocol_errors),
        ("TLS handshakes failed", emulator.tls_failed),
    ];
    let happened = rare.into_iter().filter(|(_, count)| *count > 0);
    rows.extend(happened.map(|(what, count)| (what, human_count(count))));
    rows
}
