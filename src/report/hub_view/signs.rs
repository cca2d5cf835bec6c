//! Compares the hub's throttling errors with the signs of throttling that devices see. Called by `compare`.
//!
//! Over MQTT, a throttled device receives no error: its acknowledgments are slow, and finally the hub closes the connection. The hub counts
//! only the refusals (Azure, "Troubleshooting Azure IoT Hub error codes": of the codes for throttling, only 429001 is a metric), so it may
//! delay messages without a throttling error.

use super::comparison::{Comparison, stretch};
use super::ours::{self, CLOCKS_US, Range};
use super::timeline::{RunBin, Shown, Time};
use super::words;
use crate::measure::Row;
use crate::report::format::plural;
use crate::result::model::{RunResult, Severity};
use crate::units::human_count;

/// An interval of the hub, and what hubstorm saw in it.
struct Minute<'a> {
    bin: &'a RunBin,
    /// Number of slow acknowledgments.
    slow: Range,
    /// Number of operations that did not end ok.
    not_ok: Range,
}

impl<'a> Minute<'a> {
    fn of(result: &RunResult, bin: &'a RunBin) -> Minute<'a> {
        let stretch = [[bin.from_us, bin.to_us]];
        let count = |count: fn(&Row) -> u64| ours::count(result, &stretch, CLOCKS_US, count);
        Minute { bin, slow: count(ours::slow), not_ok: count(|row| row.interval.errors) }
    }

    /// Returns false if hubstorm certainly saw no sign.
    fn may_have_sign(&self) -> bool {
        self.slow.high > 0 || self.not_ok.high > 0
    }

    /// Returns true if hubstorm certainly saw a sign in this interval, not in the one before or after it.
    fn has_sign(&self) -> bool {
        self.slow.low > 0 || self.not_ok.low > 0
    }

    fn has_error(&self) -> bool {
        self.bin.bin.value() > 0.0
    }
}

/// Compares throttling errors, interval by interval.
pub(super) fn throttling(result: &RunResult, shown: &Shown, time: Time) -> Comparison {
    let minutes: Vec<Minute<'_>> = shown.whole().map(|bin| Minute::of(result, bin)).collect();
    let all = shown.stretches();
    let sum = |count: fn(&Row) -> u64| ours::count(result, &all, CLOCKS_US, count).high;
    let ours = format!(
        "{} over 1 s, {} not ok",
        plural(sum(ours::slow), "acknowledgment", "acknowledgments"),
        plural(sum(|row| row.interval.errors), "operation", "operations")
    );
    let errors: f64 = shown.whole().map(|bin| bin.bin.value()).sum();
    let row = |difference: String| Comparison::new(shown, ours.clone(), words::value(errors), difference);
    let without_sign: Vec<&Minute<'_>> =
        minutes.iter().filter(|one| one.has_error() && !one.may_have_sign()).collect();
    let without_error: Vec<&Minute<'_>> =
        minutes.iter().filter(|one| one.has_sign() && !one.has_error()).collect();
    if let Some(most) =
        without_sign.iter().max_by(|one, two| one.bin.bin.value().total_cmp(&two.bin.bin.value()))
    {
        let text = "The hub reports throttling errors in intervals in which hubstorm saw no acknowledgment over 1 s and no failure. Possible \
                    reason: the hub throttled other devices";
        let evidence = format!("{}, {}", at_most(most, time), of(&without_sign, &minutes));
        return row(format!("{} without a sign of them", of(&without_sign, &minutes))).with(
            Severity::Warning,
            text,
            evidence,
        );
    }
    if let Some(most) = without_error.iter().max_by_key(|one| one.slow.low.saturating_add(one.not_ok.low)) {
        let text = "Acknowledgments took over 1 s or operations failed in intervals without throttling errors of the hub. Possible reasons: a hub \
                    delays messages before it refuses them, the network, or this machine";
        let evidence = format!(
            "{} over 1 s and {} not ok at {} UTC, {}",
            plural(most.slow.high, "acknowledgment", "acknowledgments"),
            plural(most.not_ok.high, "operation", "operations"),
            time.clock(most.bin.from_us),
            of(&without_error, &minutes)
        );
        return row(format!("{} with signs but without errors", of(&without_error, &minutes))).with(
            Severity::Note,
            text,
            evidence,
        );
    }
    let with_error = minutes.iter().filter(|one| one.has_error()).count() as u64;
    if with_error == 0 {
        return row("agree: none".to_owned()).agreeing();
    }
    let text = "The hub reports throttling errors, and hubstorm saw slow acknowledgments or failures in the same intervals";
    let intervals = plural(with_error, "whole interval", "whole intervals");
    let evidence = format!(
        "{}: {} in {intervals}",
        stretch(&all, time),
        plural(crate::units::whole(errors), "error", "errors")
    );
    row(format!("agree: in {intervals}")).with(Severity::Note, text, evidence)
}

fn at_most(minute: &Minute<'_>, time: Time) -> String {
    format!(
        "{} at {} UTC",
        plural(crate::units::whole(minute.bin.bin.value()), "error", "errors"),
        time.clock(minute.bin.from_us)
    )
}

/// Returns `1 of 3 whole intervals`.
fn of(some: &[&Minute<'_>], all: &[Minute<'_>]) -> String {
    format!(
        "{} of {}",
        human_count(some.len() as u64),
        plural(all.len() as u64, "whole interval", "whole intervals")
    )
}
