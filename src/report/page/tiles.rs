//! The headline tiles: the numbers that readers look at first, each with the color of the thresholds that read it. Called by the
//! page.
//!
//! A tile never shows the percentile of the few operations that succeeded as if it were the answer: where failures decided a
//! threshold it shows `> limit`, and where most operations failed it counts the failures.

use super::super::format::{self, plain};
use super::super::margin;
use super::super::summary::Summary;
use super::unit::{keep_together, split};
use crate::measure::{Operation, Totals};
use crate::result::model::{RunResult, ThresholdResult, ThresholdStatus};
use crate::units::human_count;

/// Below this share of ok operations, a latency tile says of what share its percentile is (our choice).
const NEARLY_ALL: f64 = 0.99;
/// Below this share it counts failures instead (our choice).
const FEW: f64 = 0.5;

/// What the thresholds say about a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    /// No threshold reads it.
    Neutral,
    /// Every threshold that reads it passed.
    Good,
    /// One is undecided, and none failed.
    Undecided,
    /// One failed.
    Bad,
}

impl Tone {
    /// The CSS class.
    pub(super) fn class(self) -> &'static str {
        match self {
            Tone::Neutral => "neutral",
            Tone::Good => "good",
            Tone::Undecided => "undecided",
            Tone::Bad => "bad",
        }
    }

    /// The same without color; empty for a neutral tile.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Tone::Neutral => "",
            Tone::Good => "✓",
            Tone::Undecided => "?",
            Tone::Bad => "✗",
        }
    }

    /// For readers of the page's text.
    pub(super) fn word(self) -> &'static str {
        match self {
            Tone::Neutral => "",
            Tone::Good => "passed: ",
            Tone::Undecided => "undecided: ",
            Tone::Bad => "failed: ",
        }
    }
}

/// Returns the tone of a tile: failed before undecided before passed, of the thresholds that read it.
pub(super) fn tone<'a>(thresholds: impl Iterator<Item = &'a ThresholdResult>) -> Tone {
    let tones = thresholds.map(|threshold| match margin::status(threshold) {
        ThresholdStatus::Passed => Tone::Good,
        ThresholdStatus::Undecided => Tone::Undecided,
        ThresholdStatus::Failed | ThresholdStatus::InsufficientSamples => Tone::Bad,
    });
    tones.max().unwrap_or(Tone::Neutral)
}

/// A number with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) tone: Tone,
    pub(super) label: String,
    pub(super) value: String,
    pub(super) unit: &'static str,
    pub(super) note: String,
}

/// Returns the tiles of the page, in its order.
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
    // A run without messages is about its connects.
    if main_operation != Operation::Connect {
        tiles.push(latency(thresholds, Operation::Connect, "Connect p99", connect, "whole run"));
    }
    tiles
}

/// Failures, counted. Colored by rates and counts of messages, and by latencies that failures decided.
fn messages_not_ok(thresholds: &[ThresholdResult], messages: &Totals, scope: &str) -> Tile {
    let is_of_messages = |threshold: &&ThresholdResult| {
        Operation::from_name(&threshold.metric).is_some_and(Operation::is_message)
    };
    let reads = |threshold: &&ThresholdResult| threshold.unit != "us" || is_beyond(threshold);
    let not_ok = messages.due.saturating_sub(messages.ok());
    let share =
        if not_ok > 0 { format!(" ({})", format::share(not_ok, messages.due)) } else { String::new() };
    Tile {
        tone: tone(thresholds.iter().filter(is_of_messages).filter(reads)),
        label: "Messages not ok".to_owned(),
        value: human_count(not_ok),
        unit: "",
        note: format!("of {}{share} {scope}", human_count(messages.due)),
    }
}

/// Failures count as slower than the limit, and there were so many that the value lies above it.
fn is_beyond(threshold: &ThresholdResult) -> bool {
    threshold.unit == "us"
        && threshold.observed.is_none()
        && margin::status(threshold) != ThresholdStatus::InsufficientSamples
}

/// The p99 of an operation under that label, or what failures made of it.
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
    // A failed one says more than an undecided one.
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
    let delays = if tone == Tone::Undecided { "; may include delays of this machine" } else { "" };
    Tile { tone, label: label.to_owned(), value, unit, note: what + delays }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Compare, Key, Outcome, Test, Times};
    use crate::report::testing::measured;
    use ThresholdStatus::{Failed, InsufficientSamples, Passed, Undecided};

    fn threshold(
        metric: &str,
        unit: &str,
        observed: Option<f64>,
        status: ThresholdStatus,
    ) -> ThresholdResult {
        ThresholdResult {
            metric: metric.to_owned(),
            expression: "p(99) < 500ms".to_owned(),
            phase: None,
            fleet: None,
            limit: 500_000.0,
            unit: unit.to_owned(),
            observed,
            observed_best: observed,
            observed_worst: observed,
            observed_text: "> 500 ms".to_owned(),
            margin: None,
            samples: 1,
            passed: status == Passed,
            status: Some(status),
            test: Some(Test::Max { compare: Compare::Less, limit_us: 500_000 }),
        }
    }

    /// So many messages ok in 20 ms, and so many timed out.
    fn messages(ok: u64, bad: u64) -> Totals {
        let key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
        let measurement = measured(1, 1, |recorder| {
            for _ in 0..ok {
                recorder.due(key, 0);
                recorder.ok(key, &Times { acked: 20_000_000, ..Times::default() });
            }
            for _ in 0..bad {
                recorder.due(key, 0);
                recorder.ended(key, Outcome::TimedOut, 0, 0);
            }
        });
        measurement.of(Operation::Telemetry)
    }

    fn telemetry(thresholds: &[ThresholdResult], totals: &Totals) -> Tile {
        latency(thresholds, Operation::Telemetry, "Response p99, telemetry", totals, "outside warm-up")
    }

    #[test]
    fn the_worst_threshold_gives_the_tone() {
        for (statuses, expected) in [
            (&[][..], Tone::Neutral),
            (&[Passed, Passed][..], Tone::Good),
            (&[Passed, Undecided][..], Tone::Undecided),
            (&[Undecided, Failed, Passed][..], Tone::Bad),
            (&[InsufficientSamples][..], Tone::Bad),
        ] {
            let all: Vec<_> =
                statuses.iter().map(|status| threshold("telemetry", "us", Some(1.0), *status)).collect();
            assert_eq!(tone(all.iter()), expected, "{statuses:?}");
        }
    }

    #[test]
    fn failures_are_counted_with_their_share() {
        let failed = threshold("telemetry", "share", Some(0.4), Failed);
        let of_connects = threshold("connect", "share", Some(0.4), Failed);
        let tile = messages_not_ok(&[failed], &messages(40, 60), "outside warm-up");
        assert_eq!((tile.value.as_str(), tile.note.as_str()), ("60", "of 100 (60.00%) outside warm-up"));
        assert_eq!(tile.tone, Tone::Bad);
        let tile = messages_not_ok(&[of_connects], &messages(100, 0), "outside warm-up");
        assert_eq!((tile.value.as_str(), tile.note.as_str()), ("0", "of 100 outside warm-up"));
        assert_eq!(tile.tone, Tone::Neutral);
    }

    #[test]
    fn a_slow_run_without_failures_colors_the_latency_only() {
        let slow = [threshold("telemetry", "us", Some(612_000.0), Failed)];
        assert_eq!(messages_not_ok(&slow, &messages(100, 0), "").tone, Tone::Neutral);
        assert_eq!(telemetry(&slow, &messages(100, 0)).tone, Tone::Bad);
        let beyond = [threshold("telemetry", "us", None, Failed)];
        assert_eq!(messages_not_ok(&beyond, &messages(40, 60), "").tone, Tone::Bad);
    }

    #[test]
    fn a_latency_that_failures_decided_is_above_the_limit() {
        let tile = telemetry(&[threshold("telemetry", "us", None, Failed)], &messages(40, 60));
        assert_eq!((tile.value.as_str(), tile.unit, tile.tone), ("> 500", "ms", Tone::Bad));
        assert_eq!(tile.label, "Response, telemetry");
        assert!(tile.note.ends_with("; 40.00% were ok"), "{tile:?}");
    }

    #[test]
    fn few_ok_operations_have_no_percentile() {
        let tile = telemetry(&[], &messages(40, 60));
        assert_eq!((tile.label.as_str(), tile.value.as_str()), ("Not ok, telemetry", "60"));
        assert_eq!(tile.tone, Tone::Neutral);
        let at_least_one = threshold("telemetry", "count", Some(40.0), Passed);
        assert_eq!(telemetry(&[at_least_one], &messages(40, 60)).tone, Tone::Neutral, "not good");
        let tile = telemetry(&[], &messages(90, 10));
        assert_eq!(tile.note, "of the 90.00% that were ok, outside warm-up");
        assert_eq!((tile.value.as_str(), tile.unit), ("20.0", "ms"));
        let tile = telemetry(&[], &messages(100, 0));
        assert_eq!(tile.note, "median 20.0\u{a0}ms, outside warm-up");
    }

    #[test]
    fn an_undecided_latency_is_not_shown_as_the_targets() {
        let undecided = [threshold("telemetry", "us", Some(612_000.0), Undecided)];
        let tile = telemetry(&undecided, &messages(100, 0));
        assert_eq!(tile.tone, Tone::Undecided);
        assert!(tile.note.ends_with("may include delays of this machine"), "{tile:?}");
    }

    #[test]
    fn too_few_samples_leave_the_measured_percentile() {
        let tile = telemetry(&[threshold("telemetry", "us", None, InsufficientSamples)], &messages(100, 0));
        assert_eq!((tile.value.as_str(), tile.tone), ("20.0", Tone::Bad));
    }
}
