//! The hosts of a target that has several, as rows of a table and as lines of text. Called by `text`, `page` and `formats`. Uses only
//! the result.

use super::format::{self, plain};
use crate::measure::{Outcome, TargetTotals};
use crate::plan::address_of;
use crate::result::model::RunResult;
use crate::units::human_count;

/// The columns of a row.
pub(super) const COLUMNS: [&str; 11] = [
    "Host",
    "Devices",
    "Moved in",
    "Moved away",
    "Connects ok / due",
    "Connect p50",
    "Connect p99",
    "Messages ok",
    "Message p50",
    "Message p99",
    "Errors",
];

/// The number of hosts that the text shows.
const HOSTS_MAX: usize = 10;

/// Returns a row for each host. Empty for a target with one host.
pub(super) fn rows(result: &RunResult) -> Vec<[String; COLUMNS.len()]> {
    let row = |target: &TargetTotals| {
        [
            address(target),
            human_count(target.devices),
            human_count(target.moved_in),
            human_count(target.moved_out),
            format!("{} / {}", human_count(target.connects[Outcome::Ok]), human_count(target.attempts())),
            format::us(target.connect.quantile(0.5)),
            format::us(target.connect.quantile(0.99)),
            human_count(target.messages.count()),
            format::us(target.messages.quantile(0.5)),
            format::us(target.messages.quantile(0.99)),
            errors(target).unwrap_or_else(|| "0".to_owned()),
        ]
    };
    result.measurement.targets.iter().map(row).collect()
}

/// Returns a line for each host, and one that counts the hosts that are left out.
pub(super) fn lines(result: &RunResult) -> Vec<String> {
    let targets = &result.measurement.targets;
    let mut lines: Vec<String> = targets.iter().take(HOSTS_MAX).map(line).collect();
    if let Some(more) = targets.len().checked_sub(HOSTS_MAX).filter(|more| *more > 0) {
        lines.push(format!(
            "{} in the result file and on the page",
            format::plural(more as u64, "more host", "more hosts")
        ));
    }
    lines
}

fn line(target: &TargetTotals) -> String {
    let moved = match (target.moved_in, target.moved_out) {
        (0, 0) => String::new(),
        (into, away) => format!(" ({} moved in, {} moved away)", human_count(into), human_count(away)),
    };
    let attempts = match target.attempts() {
        0 => "no connection attempts".to_owned(),
        due => format!(
            "{} of {} ok, p99 {}",
            human_count(target.connects[Outcome::Ok]),
            format::plural(due, "connection attempt", "connection attempts"),
            format::us(target.connect.quantile(0.99))
        ),
    };
    let messages = match target.messages.count() {
        0 => "no messages ok".to_owned(),
        ok => format!(
            "{}, p99 {}",
            format::plural(ok, "message ok", "messages ok"),
            format::us(target.messages.quantile(0.99))
        ),
    };
    let errors = errors(target).map_or_else(|| "no errors".to_owned(), |errors| format!("errors: {errors}"));
    let devices = format::plural(target.devices, "device", "devices");
    format!("{}: {devices}{moved}; {attempts}; {messages}; {errors}", address(target))
}

/// Returns `host:port` of a host.
pub(super) fn address(target: &TargetTotals) -> String {
    plain(&address_of(&target.host, target.port))
}

/// Returns the errors by class, such as `reset 12, tcp_refused 3`. `None` if there are none.
fn errors(target: &TargetTotals) -> Option<String> {
    let classes = target.errors.iter();
    let classes: Vec<String> =
        classes.map(|error| format!("{} {}", plain(&error.class), human_count(error.count))).collect();
    (!classes.is_empty()).then(|| classes.join(", "))
}
