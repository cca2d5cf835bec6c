//! The headline tiles: the most important numbers. The color of a tile shows the status of the thresholds on its number. Called by
//! `page`. Uses only the result.
//!
//! A tile never shows a percentile that covers only a few ok operations. If failures decided a threshold, the tile shows `> limit`. If
//! most operations failed, it shows the number of failures.

use super::super::format::{self, plain};
use super::super::margin;
use super::super::standing::is_load_planned;
use super::super::summary::Summary;
use super::unit::{keep_together, split};
use crate::measure::{Operation, Totals};
use crate::result::model::{RunResult, Status, ThresholdResult, ThresholdStatus};
use crate::units::human_count;

/// Below this share of ok operations, a latency tile also shows the share that its percentile covers (our choice).
const NEARLY_ALL: f64 = 0.99;
/// Below this share of ok operations, a latency tile shows the number of failures instead (our choice).
const FEW: f64 = 0.5;

/// The tone of a tile, from the thresholds on its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    /// There is no threshold on the number.
    Neutral,
    /// Every threshold passed.
    Good,
    /// At least one threshold is undecided, and none failed.
    Undecided,
    /// At least one threshold failed.
    Bad,
}

impl Tone {
    /// Returns the CSS class.
    pub(super) fn class(self) -> &'static str {
        match self {
            Tone::Neutral => "neutral",
            Tone::Good => "good",
            Tone::Undecided => "undecided",
            Tone::Bad => "bad",
        }
    }

    /// Returns a mark that shows the tone without color. Empty for a neutral tile.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Tone::Neutral => "",
            Tone::Good => "✓",
            Tone::Undecided => "?",
            Tone::Bad => "✗",
        }
    }

    /// Returns the tone in words, for screen readers.
    pub(super) fn word(self) -> &'static str {
        match self {
            Tone::Neutral => "",
            Tone::Good => "passed: ",
            Tone::Undecided => "undecided: ",
            Tone::Bad => "failed: ",
        }
    }
}

/// Returns the worst tone of these thresholds: failed, then undecided, then passed.
pub(super) fn tone<'a>(thresholds: impl Iterator<Item = &'a ThresholdResult>) -> Tone {
    let tones = thresholds.map(|threshold| match margin::status(threshold) {
        ThresholdStatus::Passed => Tone::Good,
        ThresholdStatus::Undecided => Tone::Undecided,
        ThresholdStatus::Failed | ThresholdStatus::InsufficientSamples => Tone::Bad,
    });
    tones.max().unwrap_or(Tone::Neutral)
}

/// A number with its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) tone: Tone,
    pub(super) label: String,
    pub(super) value: String,
    pub(super) unit: &'static str,
    pub(super) note: String,
}

/// Returns the tiles in the order in which the page shows them.
pub(super) fn tiles(result: &RunResult, summary: &Summary) -> Vec<Tile> {
    let thresholds = result.thresholds.as_slice();
    let scope = if summary.warmup_only { "in warm-up" } else { "outside warm-up" };
    let empty = Totals::default();
    let main = summary.main_operation();
    let main_operation = main.map_or(Operation::Telemetry, |main| main.operation);
    let (main_totals, main_scope) = main.map_or((&empty, scope), |main| (main.headline().0, main.scope()));
    let connect = summary.operation(Operation::Connect).map_or(&empty, |connect| &connect.all);
    let response = format!("Response p99, {}", main_operation.name());
    let online = |threshold: &&ThresholdResult| threshold.metric == Operation::Online.name();
    let mut tiles = vec![
        Tile {
            tone: tone(thresholds.iter().filter(online)),
            label: "Devices online, peak".to_owned(),
            value: human_count(summary.online_peak),
            unit: "",
            note: format!("of {}", human_count(summary.devices)),
        },
        messages_not_ok(thresholds, &summary.messages, scope),
        Tile {
            tone: Tone::Neutral,
            label: "Messages acknowledged".to_owned(),
            value: format::rate(summary.achieved_rate()),
            unit: "/s",
            note: format!("of {}/s offered, mean {scope}", format::rate(summary.offered_rate())),
        },
        latency(thresholds, main_operation, &response, main_totals, main_scope),
    ];
    // In a run without messages, connects are already the main operation.
    if main_operation != Operation::Connect {
        tiles.push(latency(thresholds, Operation::Connect, "Connect p99", connect, "whole run"));
    }
    // In an invalid run, and without the planned load, a passed threshold does not look like a pass.
    let is_pass = result.verdict.status != Status::Invalid && is_load_planned(result);
    for tile in tiles.iter_mut().filter(|tile| tile.tone == Tone::Good && !is_pass) {
        tile.tone = Tone::Neutral;
    }
    tiles
}

/// Returns the tile with the number of failed messages. Its tone depends on thresholds on rates and counts, and on latency thresholds
/// that were decided by failures.
fn messages_not_ok(thresholds: &[ThresholdResult], messages: &Totals, scope: &str) -> Tile {
    let is_of_messages = |threshold: &&ThresholdResult| {
        Operation::from_name(&threshold.metric).is_some_and(Operation::is_message)
    };
    let reads = |threshold: &&ThresholdResult| threshold.unit != "us" || is_beyond(threshold);
    let not_ok = messages.due.saturating_sub(messages.ok());
    let share =
        if not_ok > 0 { format!(" ({})", format::rest(messages.ok(), messages.due)) } else { String::new() };
    Tile {
        tone: tone(thresholds.iter().filter(is_of_messages).filter(reads)),
        label: "Messages not ok".to_owned(),
        value: human_count(not_ok),
        unit: "",
        note: format!("of {}{share} {scope}", human_count(messages.due)),
    }
}

/// Returns true if failures, which count as slower than the limit, raised a latency above the limit.
fn is_beyond(threshold: &ThresholdResult) -> bool {
    threshold.unit == "us"
        && threshold.observed.is_none()
        && margin::status(threshold) != ThresholdStatus::InsufficientSamples
}

/// Returns the tile with the p99 of an operation, or with its failures.
fn latency(
    thresholds: &[ThresholdResult],
    operation: Operation,
    label: &str,
    totals: &Totals,
    scope: &str,
) -> Tile {
    let own = || thresholds.iter().filter(|threshold| threshold.metric == operation.name());
    let latencies = || own().filter(|threshold| threshold.unit == "us");
    let rate_ok = totals.rate_ok().unwrap_or(1.0);
    let share = format::share(totals.ok(), totals.due);
    // A failed threshold takes precedence over an undecided one.
    let beyond = latencies()
        .filter(|threshold| is_beyond(threshold))
        .max_by_key(|threshold| margin::status(threshold) == ThresholdStatus::Failed);
    if let Some(threshold) = beyond {
        let phase = threshold.phase.as_ref().map(|phase| format!(" in {}", plain(phase))).unwrap_or_default();
        let (value, unit) = split(&margin::observed(threshold));
        return Tile {
            tone: tone(latencies()),
            label: label.replace(" p99", ""),
            value,
            unit,
            note: format!("{}{phase}; {share} were ok", keep_together(&plain(&threshold.expression))),
        };
    }
    if rate_ok < FEW {
        let tone = match tone(own()) {
            // A threshold such as `count(ok) >= 1` can pass although most operations failed.
            Tone::Good => Tone::Neutral,
            tone => tone,
        };
        return Tile {
            tone,
            label: format!("Not ok, {}", operation.name()),
            value: human_count(totals.due - totals.ok()),
            unit: "",
            note: format!("of {}, {scope}; too few were ok for a p99", human_count(totals.due)),
        };
    }
    let at = |quantile| format::us(totals.response.quantile(quantile));
    let (value, unit) = split(&at(0.99));
    let tone = tone(latencies());
    let what = match rate_ok < NEARLY_ALL {
        true => format!("of the {share} that were ok, {scope}"),
        false => format!("median {}, {scope}", keep_together(&at(0.5))),
    };
    // A red number below the limit needs an explanation.
    let is_short = latencies()
        .any(|threshold| margin::status(threshold) == ThresholdStatus::InsufficientSamples)
        && !latencies().any(|threshold| margin::status(threshold) == ThresholdStatus::Failed);
    let why = match tone {
        Tone::Undecided => "; may include delays on this machine",
        Tone::Bad if is_short => "; too few samples for a threshold",
        _ => "",
    };
    Tile { tone, label: label.to_owned(), value, unit, note: what + why }
}

#[cfg(test)]
mod tests;
