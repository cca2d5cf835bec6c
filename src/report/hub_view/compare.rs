//! Compares a metric of the hub with hubstorm's numbers, over whole intervals only. Called by `mod`.
//!
//! A difference is a disagreement if it is more than 1% beyond the range of hubstorm's number: a message whose acknowledgment was lost
//! is sent again, and the hub counts it twice. Findings state the counts; their reasons are only possible ones.

use super::comparison::{Comparison, stretch};
use super::ours::{self, CLOCKS_US, D2C, Range};
use super::timeline::{RunBin, Shown, Time};
use super::{signs, words};
use crate::hub_metrics::Metric;
use crate::measure::{Operation, Outcome};
use crate::report::format::{NONE, plural};
use crate::report::limits::QUOTA;
use crate::result::model::{RunResult, Severity};
use crate::units::{human_count, whole};

/// Larger differences are a disagreement.
const TOLERANCE: f64 = 0.01;
/// Azure, "Monitor Azure IoT Hub": the number of messages used may be late by a minute.
const QUOTA_LATE_US: i64 = 60_000_000;

/// Where a value of the hub is, relative to hubstorm's range.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Agree,
    /// The hub's value is higher by this much than the end of the range.
    Above(f64),
    Below(f64),
}

impl Side {
    fn of(hub: f64, ours: Range) -> Side {
        let (low, high) = (float(ours.low), float(ours.high));
        let tolerance = (TOLERANCE * hub).max(TOLERANCE * high);
        match hub {
            hub if hub > high + tolerance => Side::Above(hub - high),
            hub if hub < low - tolerance => Side::Below(low - hub),
            _ => Side::Agree,
        }
    }

    /// Returns the difference in words, with its share of the hub's value or of hubstorm's.
    fn words(self, hub: f64, ours: Range) -> String {
        let share = |part: f64, whole: f64| match whole > 0.0 {
            true => format!(" ({:.1}%)", 100.0 * part / whole),
            false => String::new(),
        };
        match self {
            Side::Agree => "agree".to_owned(),
            Side::Above(by) => format!("the hub {} more{}", words::value(by), share(by, float(ours.high))),
            Side::Below(by) => {
                format!("the hub {} fewer{}", words::value(by), share(by, float(ours.low).max(hub)))
            }
        }
    }
}

/// Compares a metric.
pub(super) fn compare(result: &RunResult, shown: &Shown, time: Time) -> Comparison {
    if shown.whole().next().is_none() {
        return Comparison::new(shown, NONE.to_owned(), NONE.to_owned(), "not compared".to_owned());
    }
    match shown.metric {
        Metric::ConnectedDevices => connected(result, shown, time),
        Metric::RegisteredDevices => registered(result, shown),
        Metric::D2cAccepted => counted(result, shown, time, D2C),
        Metric::TwinReads => counted(result, shown, time, &[Operation::TwinGet]),
        Metric::TwinUpdates => counted(result, shown, time, &[Operation::TwinReport]),
        Metric::Methods => counted(result, shown, time, &[Operation::Method]),
        Metric::ThrottlingErrors => signs::throttling(result, shown, time),
        Metric::MessagesUsed => messages_used(result, shown, time),
        Metric::D2cAttempts
        | Metric::TwinReadFailures
        | Metric::TwinUpdateFailures
        | Metric::MethodFailures
        | Metric::C2dCompleted
        | Metric::DataBytes => only_hub(shown),
    }
}

/// Shows a metric without a comparison.
pub(super) fn only_hub(shown: &Shown) -> Comparison {
    let hub = match shown.bins.iter().any(|bin| bin.bin.total.is_some()) {
        true => words::value(shown.whole().map(|bin| bin.bin.value()).sum()),
        false => spread(shown),
    };
    Comparison::new(shown, NONE.to_owned(), hub, "not compared".to_owned())
}

/// Compares a number of successful operations.
fn counted(result: &RunResult, shown: &Shown, time: Time, operations: &[Operation]) -> Comparison {
    let stretches = shown.stretches();
    let ours = ours::count(result, &stretches, CLOCKS_US, |row| ours::ended_ok(row, operations));
    let hub: f64 = shown.whole().map(|bin| bin.bin.value()).sum();
    let side = Side::of(hub, ours);
    let what = if operations == D2C { "acknowledged" } else { "ok" };
    let row = Comparison::new(
        shown,
        format!("{} {what}", words::range(ours)),
        words::value(hub),
        side.words(hub, ours),
    );
    let name = words::name(shown.metric);
    let evidence = |more: &str| {
        let [hub, ours] = [words::value(hub), words::range(ours)];
        format!("{}: the hub {hub}, hubstorm {ours} {what}{more}", stretch(&stretches, time))
    };
    match side {
        Side::Agree => row.agreeing(),
        Side::Above(by) => {
            let unknown = without_answer(result, operations);
            let text = format!(
                "The hub counted more {name} than hubstorm. Possible reasons: other devices use this hub, or answers of the hub were \
                 lost"
            );
            let more =
                format!("; {} of the whole run had no answer or were sent again", human_count(unknown));
            // The hub may have accepted operations whose answer did not arrive.
            let severity = if by <= float(unknown) { Severity::Note } else { Severity::Warning };
            row.with(severity, text, evidence(&more))
        }
        Side::Below(_) => {
            let text = format!(
                "The hub counted fewer {name} than hubstorm. Possible reasons: Azure Monitor had not published all values when they were \
                 queried, or the run used another hub. Query again later"
            );
            row.with(Severity::Warning, text, evidence(""))
        }
    }
}

/// Returns the number of operations that the hub may have accepted although hubstorm does not count them as ok.
fn without_answer(result: &RunResult, operations: &[Operation]) -> u64 {
    let measurement = &result.measurement;
    let sum = measurement.sum(|part| operations.contains(&part.operation));
    let open = [Outcome::TimedOut, Outcome::Lost, Outcome::Unfinished].map(|outcome| sum.outcome(outcome));
    let resent = if operations == D2C { measurement.count(|counts| counts.resent) } else { 0 };
    open.iter().sum::<u64>().saturating_add(resent)
}

/// Compares the devices that are online, interval by interval.
fn connected(result: &RunResult, shown: &Shown, time: Time) -> Comparison {
    let pairs: Vec<(&RunBin, Range)> = shown
        .whole()
        .filter_map(|bin| Some((bin, ours::online(result, [bin.from_us, bin.to_us])?)))
        .collect();
    let all = Range {
        low: pairs.iter().map(|(_, ours)| ours.low).min().unwrap_or(0),
        high: pairs.iter().map(|(_, ours)| ours.high).max().unwrap_or(0),
    };
    let hub = spread(shown);
    let distance = |(bin, ours): &(&RunBin, Range)| match Side::of(bin.bin.value(), *ours) {
        Side::Agree => 0.0,
        Side::Above(by) | Side::Below(by) => by,
    };
    // A difference of less than a device is rounding.
    let differing: Vec<_> = pairs.iter().filter(|pair| distance(pair) >= 1.0).collect();
    let Some((bin, ours)) = differing.iter().max_by(|one, two| distance(one).total_cmp(&distance(two)))
    else {
        return Comparison::new(shown, format!("{} online", words::range(all)), hub, "agree".to_owned())
            .agreeing();
    };
    let value = bin.bin.value();
    let side = Side::of(value, *ours).words(value, *ours);
    let at = time.clock(bin.from_us);
    let difference = format!("{side} at {at}");
    let text = "The hub counted other numbers of connected devices than hubstorm. Possible reasons: other devices use this hub, or it had \
                not noticed yet that connections ended";
    let of = plural(pairs.len() as u64, "whole interval", "whole intervals");
    let evidence = format!(
        "{} of {of}; the largest difference at {at} UTC: the hub {}, hubstorm {} online",
        human_count(differing.len() as u64),
        words::value(value),
        words::range(*ours)
    );
    Comparison::new(shown, format!("{} online", words::range(all)), hub, difference).with(
        Severity::Warning,
        text,
        evidence,
    )
}

/// Compares the registered devices with those that were online. A hub may have more.
fn registered(result: &RunResult, shown: &Shown) -> Comparison {
    let online = crate::report::summary::online_peak(&result.measurement);
    let lowest = shown.whole().map(|bin| bin.bin.value()).fold(f64::INFINITY, f64::min);
    let hub = spread(shown);
    let ours = format!("{} online at peak", human_count(online));
    if lowest + 1.0 > float(online) {
        let more = match lowest - float(online) {
            more if more >= 1.0 => {
                format!("{} registered devices were not online at once", words::value(more))
            }
            _ => "agree".to_owned(),
        };
        return Comparison::new(shown, ours, hub, more).agreeing();
    }
    let difference = format!("the hub {} fewer", words::value(float(online) - lowest));
    let text = "The hub has fewer registered devices than hubstorm had online. Possible reason: the metrics are those of another hub";
    let evidence = format!("{} registered, {} online at peak", words::value(lowest), human_count(online));
    Comparison::new(shown, ours, hub, difference).with(Severity::Warning, text, evidence)
}

/// Compares the growth of the messages used, from the end of the first whole interval to the end of the last one.
fn messages_used(result: &RunResult, shown: &Shown, time: Time) -> Comparison {
    let bins: Vec<&RunBin> = shown.whole().collect();
    let not =
        |why: &str| Comparison::new(shown, NONE.to_owned(), NONE.to_owned(), format!("not compared: {why}"));
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else {
        return not("there is no whole interval");
    };
    if bins.len() < 2 || shown.stretches().len() > 1 {
        return not("it needs two whole intervals without a gap");
    }
    if bins.is_sorted_by(|one, two| one.bin.highest() <= two.bin.highest()) {
        let used = last.bin.highest() - first.bin.highest();
        let [from, to] = [first.to_us, last.to_us];
        let acked = |from, to| ours::count(result, &[[from, to]], CLOCKS_US, |row| row.interval.achieved);
        // Either end may be late, so the growth may belong to less or to more time.
        let acked =
            Range { low: acked(from, to - QUOTA_LATE_US).low, high: acked(from - QUOTA_LATE_US, to).high };
        return used_beside(result, shown, (used, acked), &stretch(&[[from, to]], time));
    }
    not("the counter decreased, as at 00:00 UTC")
}

/// Compares a growth of the messages used with the messages acknowledged at that time.
fn used_beside(result: &RunResult, shown: &Shown, (used, acked): (f64, Range), window: &str) -> Comparison {
    let Some(each) = billed_each(result) else {
        let ours = format!("{} acknowledged", words::range(acked));
        let row = |difference: String| Comparison::new(shown, ours.clone(), words::value(used), difference);
        // Every acknowledged message is billed at least once.
        return match Side::of(used, acked) {
            Side::Below(by) => row(format!("the hub {} fewer", words::value(by))).with(
                Severity::Warning,
                "The hub counted fewer used messages than it acknowledged. Possible reasons: Azure Monitor had not published all values when \
                 they were queried, or the run used another hub. Query again later",
                format!("{window}: the hub {}, hubstorm {} acknowledged", words::value(used), words::range(acked)),
            ),
            _ => row("not compared: the billed messages are known only with tier and units in [target]".to_owned()),
        };
    };
    let scaled = |count: u64| whole(float(count) * each);
    let billed = Range { low: scaled(acked.low), high: scaled(acked.high) };
    let side = Side::of(used, billed);
    let row = Comparison::new(
        shown,
        format!("{} billed", words::range(billed)),
        words::value(used),
        side.words(used, billed),
    );
    let evidence =
        format!("{window}: the hub {}, hubstorm {} billed", words::value(used), words::range(billed));
    match side {
        Side::Agree => row.agreeing(),
        Side::Above(_) => row.with(
            Severity::Warning,
            "The hub counted more used messages than this run should be billed for. Possible reasons: other devices or services use this hub, \
             or messages are larger than planned",
            evidence,
        ),
        Side::Below(_) => row.with(
            Severity::Warning,
            "The hub counted fewer used messages than this run should be billed for. Possible reason: Azure Monitor had not published all \
             values when they were queried. Query again later",
            evidence,
        ),
    }
}

/// Returns the mean number of billed messages of an acknowledged message. `None` if the result does not contain the billed messages.
fn billed_each(result: &RunResult) -> Option<f64> {
    let quota = result.limits.iter().find(|row| row.class == QUOTA)?;
    let load_us = result.measurement.phases.iter().map(|phase| phase.end_us).max()?;
    let seconds = std::time::Duration::from_micros(load_us).as_secs_f64();
    let acked: u64 = result.measurement.series.rows.iter().map(|row| row.interval.achieved).sum();
    (acked > 0).then(|| quota.admitted_peak * seconds / 86_400.0 / float(acked))
}

/// Returns the smallest and the largest value of the whole intervals in words.
fn spread(shown: &Shown) -> String {
    let values = || shown.whole().map(|bin| bin.bin.value());
    let low = words::value(values().fold(f64::INFINITY, f64::min));
    let high = words::value(values().fold(0.0, f64::max));
    if low == high { low } else { format!("{low} to {high}") }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
