//! Counts of messages that a hub sent to devices, other than operations: in words for the text, as a table for the page. Zero counts are
//! left out. Independent of other parts of a report.

use super::format::{plain, plural};
use crate::measure::{Fleet, FromHub};
use crate::result::model::RunResult;
use crate::units::human_count;

/// Returns the sum of a count over all fleets.
fn sum(result: &RunResult, count: fn(&FromHub) -> u64) -> u64 {
    result.measurement.count(|counts| count(&counts.from_hub))
}

/// Returns the counts of each kind of message, in words.
pub(super) fn facts(result: &RunResult) -> Vec<(&'static str, String)> {
    let some = |count: u64, one: &str, many: &str| (count > 0).then(|| plural(count, one, many));
    let sum = |count: fn(&FromHub) -> u64| sum(result, count);
    let twins = [
        some(sum(|hub| hub.desired), "change to desired properties", "changes to desired properties"),
        some(sum(|hub| hub.desired_stale), "stale", "stale"),
        some(sum(|hub| hub.desired_missed), "version missed", "versions missed"),
        some(sum(|hub| hub.late_answers), "late answer", "late answers"),
        some(sum(|hub| hub.unknown_answers), "unmatched answer", "unmatched answers"),
    ];
    let methods = [
        some(sum(|hub| hub.methods_unanswered), "deliberately not answered", "deliberately not answered"),
        some(sum(|hub| hub.methods_unknown), "call to an unknown method", "calls to unknown methods"),
    ];
    let commands = [
        some(sum(|hub| hub.c2d), "cloud-to-device message", "cloud-to-device messages"),
        some(sum(|hub| hub.c2d_unstamped), "without a stamp", "without a stamp"),
        some(sum(|hub| hub.c2d_duplicates), "duplicate", "duplicates"),
        some(sum(|hub| hub.c2d_skipped), "skipped", "skipped"),
        some(sum(|hub| hub.c2d_reordered), "of them delivered later", "of them delivered later"),
    ];
    let others = [some(sum(|hub| hub.unreadable), "unreadable message", "unreadable messages")];
    [("twins", &twins[..]), ("methods", &methods), ("commands", &commands), ("other", &others)]
        .into_iter()
        .map(|(name, parts)| (name, parts.iter().flatten().cloned().collect::<Vec<_>>().join(", ")))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

/// A table with a row for each fleet, and a column for each count that is above 0 in at least one fleet.
pub(super) struct FromHubTable {
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// Returns the table for the page.
pub(super) fn table(result: &RunResult) -> FromHubTable {
    type Column = (&'static str, fn(&FromHub) -> u64);
    const COLUMNS: [Column; 13] = [
        ("Desired", |hub| hub.desired),
        ("Stale", |hub| hub.desired_stale),
        ("Missed", |hub| hub.desired_missed),
        ("Late answers", |hub| hub.late_answers),
        ("Unmatched answers", |hub| hub.unknown_answers),
        ("Methods not answered", |hub| hub.methods_unanswered),
        ("Methods unknown", |hub| hub.methods_unknown),
        ("C2D", |hub| hub.c2d),
        ("C2D unstamped", |hub| hub.c2d_unstamped),
        ("C2D duplicates", |hub| hub.c2d_duplicates),
        ("C2D skipped", |hub| hub.c2d_skipped),
        ("C2D reordered", |hub| hub.c2d_reordered),
        ("Unreadable", |hub| hub.unreadable),
    ];
    let columns = COLUMNS.iter().filter(|(_, count)| sum(result, *count) > 0);
    let row = |fleet: &Fleet| {
        let hub = fleet.counts.from_hub;
        let counts = columns.clone().map(|(_, count)| human_count(count(&hub)));
        std::iter::once(plain(&fleet.name)).chain(counts).collect()
    };
    let rows =
        result.measurement.fleets.iter().filter(|fleet| !fleet.counts.from_hub.is_empty()).map(row).collect();
    FromHubTable { columns: columns.map(|(name, _)| *name).collect(), rows }
}
