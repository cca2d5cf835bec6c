//! The numbers and tones of tiles.

use super::*;
use crate::measure::{Key, Outcome, Times};
use crate::report::testing::{self, measured};
use ThresholdStatus::{Failed, InsufficientSamples, Passed, Undecided};

fn threshold(metric: &str, unit: &str, observed: Option<f64>, status: ThresholdStatus) -> ThresholdResult {
    ThresholdResult { metric: metric.to_owned(), ..testing::threshold(unit, observed, status) }
}

/// Returns the totals of `ok` messages that took 20 ms and `bad` messages that timed out.
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
fn worst_threshold_determines_the_tone() {
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
fn slow_run_without_failures_colors_only_the_latency() {
    let slow = [threshold("telemetry", "us", Some(612_000.0), Failed)];
    assert_eq!(messages_not_ok(&slow, &messages(100, 0), "").tone, Tone::Neutral);
    assert_eq!(telemetry(&slow, &messages(100, 0)).tone, Tone::Bad);
    let beyond = [threshold("telemetry", "us", None, Failed)];
    assert_eq!(messages_not_ok(&beyond, &messages(40, 60), "").tone, Tone::Bad);
}

#[test]
fn latency_decided_by_failures_is_above_the_limit() {
    let tile = telemetry(&[threshold("telemetry", "us", None, Failed)], &messages(40, 60));
    assert_eq!((tile.value.as_str(), tile.unit, tile.tone), ("> 500", "ms", Tone::Bad));
    assert_eq!(tile.label, "Response, telemetry");
    assert!(tile.note.ends_with("; 40.00% were ok"), "{tile:?}");
}

#[test]
fn too_few_ok_operations_have_no_percentile() {
    let tile = telemetry(&[], &messages(40, 60));
    assert_eq!((tile.label.as_str(), tile.value.as_str()), ("Not ok, telemetry", "60"));
    assert_eq!(tile.tone, Tone::Neutral);
    let at_least_one = threshold("telemetry", "count", Some(40.0), Passed);
    assert_eq!(telemetry(&[at_least_one], &messages(40, 60)).tone, Tone::Neutral, "passed, but most failed");
    let tile = telemetry(&[], &messages(90, 10));
    assert_eq!(tile.note, "of the 90.00% that were ok, outside warm-up");
    assert_eq!((tile.value.as_str(), tile.unit), ("20.0", "ms"));
    let tile = telemetry(&[], &messages(100, 0));
    assert_eq!(tile.note, "median 20.0\u{a0}ms, outside warm-up");
}

#[test]
fn undecided_latency_mentions_local_delays() {
    let undecided = [threshold("telemetry", "us", Some(612_000.0), Undecided)];
    let tile = telemetry(&undecided, &messages(100, 0));
    assert_eq!(tile.tone, Tone::Undecided);
    assert!(tile.note.ends_with("may include delays on this machine"), "{tile:?}");
}

#[test]
fn too_few_samples_keep_the_measured_percentile() {
    let tile = telemetry(&[threshold("telemetry", "us", None, InsufficientSamples)], &messages(100, 0));
    assert_eq!((tile.value.as_str(), tile.tone), ("20.0", Tone::Bad));
}

#[test]
fn red_number_below_its_limit_is_explained() {
    let short = threshold("telemetry", "us", None, InsufficientSamples);
    let failed = threshold("telemetry", "us", Some(612_000.0), Failed);
    let tile = telemetry(std::slice::from_ref(&short), &messages(100, 0));
    assert!(tile.tone == Tone::Bad && tile.note.ends_with("; too few samples for a threshold"), "{tile:?}");
    let tile = telemetry(&[short, failed], &messages(100, 0));
    assert!(tile.tone == Tone::Bad && !tile.note.contains("samples"), "{tile:?}");
}
