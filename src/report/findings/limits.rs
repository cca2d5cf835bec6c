//! Findings about the limits of the hub's tier: throttling, the daily quota, and devices that use it up by reconnecting. Called by `judge`.
//! Pure.

use super::finding::finding;
use crate::iothub::throttles::HubSize;
use crate::measure::{Measurement, Operation};
use crate::report::format::{instant, rate};
use crate::report::limits::{QUOTA, unit, words};
use crate::result::model::{Finding, LimitUse, Severity};
use crate::units::{human_count, plural};

/// Reads of twins after reconnects are a finding if they would use at least this share of the daily quota (our choice).
const RECONNECT_SHARE: f64 = 0.1;

const DAY_S: f64 = 86_400.0;

/// Returns the findings about limits.
pub(in crate::report) fn limits(
    measurement: &Measurement,
    limits: &[LimitUse],
    size: Option<HubSize>,
) -> Vec<Finding> {
    let Some(size) = size else { return Vec::new() };
    let mut findings: Vec<Finding> = limits.iter().filter_map(|row| reached(row, size)).collect();
    findings.extend(quota_rate(limits, size));
    findings.extend(reconnect_loop(measurement, limits, size));
    findings
}

/// A limit at which the built-in hub delayed or refused something.
fn reached(row: &LimitUse, size: HubSize) -> Option<Finding> {
    let first = instant(row.first_us?);
    let [delayed, rejected] = [row.delayed, row.rejected].map(|count| human_count(count.unwrap_or(0)));
    if row.class == QUOTA {
        let text = "The daily message quota of the hub was used up. The hub closed every connection that published. A hub accepts messages \
                    again at 00:00 UTC. Reduce the number of messages, or use more units or a larger tier";
        let allowed = human_count(size.messages_per_day());
        let evidence = format!("used up at {first}; {size} allows {allowed} a day; {rejected} refused");
        return Some(finding(Severity::Warning, text, evidence));
    }
    let text = format!(
        "The hub throttled: the load exceeded the {} of {size}. Reduce the load, or use more units or a larger tier",
        words(&row.class)
    );
    let due = row.offered_at_first.unwrap_or(row.offered_peak);
    let (offered, allowed) = (rate(due), rate(row.limit));
    let unit = unit(row);
    // After a connection loss, devices send messages that were due earlier.
    let when = match due > row.limit {
        true => format!("when {offered} {unit} were offered"),
        false => format!("when {offered} {unit} were due and earlier ones were sent late"),
    };
    let evidence = format!(
        "throttling began at {first}, {when}; {size} allows {allowed}; {delayed} delayed, {rejected} refused"
    );
    Some(finding(Severity::Warning, text, evidence))
}

/// A load that would use up the daily quota.
fn quota_rate(limits: &[LimitUse], size: HubSize) -> Option<Finding> {
    let quota = limits.iter().find(|row| row.class == QUOTA && row.share > 1.0)?;
    let text = format!(
        "The average rate of this run would use up the daily quota of {size} in {:.1} hours",
        24.0 / quota.share
    );
    let [offered, limit] = [quota.offered_peak, quota.limit].map(count);
    Some(finding(
        Severity::Note,
        text,
        format!("{offered} billed messages in 24 hours; {size} allows {limit}"),
    ))
}

/// Devices that keep reconnecting and read their twin on each connection.
fn reconnect_loop(measurement: &Measurement, limits: &[LimitUse], size: HubSize) -> Option<Finding> {
    let quota = limits.iter().find(|row| row.class == QUOTA)?;
    let end_us = measurement.phases.iter().map(|phase| phase.end_us).max()?;
    let connects = measurement.of(Operation::Connect).ok();
    let reads = measurement.of(Operation::TwinGet).due;
    let again = connects.saturating_sub(measurement.devices());
    // A read for each connection, except those that ended before it. More reads are not caused by reconnects.
    let is_on_connect = reads.saturating_mul(2) >= connects && reads <= connects.saturating_mul(2);
    let is_loop = again > measurement.devices() && is_on_connect;
    let seconds = std::time::Duration::from_micros(end_us).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 connections")]
    let per_day = again.min(reads) as f64 * DAY_S / seconds.max(1.0);
    (is_loop && per_day >= RECONNECT_SHARE * quota.limit).then(|| {
        let text = format!(
            "A reconnect loop uses {} billed messages a day: devices kept reconnecting, and read their twin on each connection. Find out why \
             the connections end, or read the twin less often",
            count(per_day)
        );
        let evidence = format!(
            "{} in the run; {size} allows {} messages a day",
            plural(again, "reconnect", "reconnects"),
            count(quota.limit)
        );
        finding(Severity::Warning, text, evidence)
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages")]
fn count(messages: f64) -> String {
    human_count(messages.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iothub::limits::Tier;
    use crate::measure::{Key, Times};

    const S1: HubSize = HubSize { tier: Tier::S1, units: 1 };

    fn row(class: &str, limit: f64, offered_peak: f64, first_us: Option<u64>) -> LimitUse {
        LimitUse {
            class: class.to_owned(),
            limit,
            unit: "msg/s".to_owned(),
            offered_peak,
            admitted_peak: limit,
            share: offered_peak / limit,
            delayed: Some(1_000),
            rejected: Some(7),
            first_us,
            offered_at_first: first_us.map(|_| 131.0),
        }
    }

    fn evidence(measurement: &Measurement, rows: &[LimitUse]) -> Vec<String> {
        limits(measurement, rows, Some(S1)).into_iter().map(|finding| finding.evidence).collect()
    }

    #[test]
    fn limits_that_bind_are_findings_with_evidence() {
        let measurement = Measurement::default();
        assert_eq!(evidence(&measurement, &[row("d2c", 100.0, 71.0, None)]), [""; 0]);
        let throttled = [row("d2c", 100.0, 150.0, Some(41_000_000))];
        assert_eq!(
            evidence(&measurement, &throttled),
            [
                "throttling began at 0:41.0, when 131 msg/s were offered; S1 x 1 allows 100; 1,000 delayed, 7 refused"
            ]
        );
        let mut late = throttled.clone();
        late[0].offered_at_first = Some(80.0);
        let late = evidence(&measurement, &late).remove(0);
        assert!(late.contains("when 80.0 msg/s were due and earlier ones were sent late"), "{late}");
        assert_eq!(limits(&measurement, &throttled, None), [], "the tier is not known");
        let quota = [row(QUOTA, 400_000.0, 8_640_000.0, Some(62_000_000))];
        assert_eq!(
            evidence(&measurement, &quota),
            [
                "used up at 1:02.0; S1 x 1 allows 400,000 a day; 7 refused",
                "8,640,000 billed messages in 24 hours; S1 x 1 allows 400,000"
            ]
        );
        let hours = limits(&measurement, &quota, Some(S1)).remove(1).text;
        assert!(hours.ends_with("the daily quota of S1 x 1 in 1.1 hours"), "{hours}");
    }

    #[test]
    fn a_reconnect_loop_with_twin_reads_is_a_finding() {
        let measured = |connects: u64, reads: u64| {
            let key = |operation| Key { operation, fleet: 0, phase: 0 };
            let mut measurement = crate::report::testing::measured(1, 1, |recorder| {
                for (operation, count) in [(Operation::Connect, connects), (Operation::TwinGet, reads)] {
                    for _ in 0..count {
                        recorder.due(key(operation), 0);
                        recorder.ok(key(operation), &Times::default());
                    }
                }
            });
            measurement.fleets[0].devices = 2;
            measurement.phases[0].end_us = 60_000_000;
            limits(&measurement, &[row(QUOTA, 400_000.0, 1.0, None)], Some(S1))
        };
        let [found] = &measured(62, 62)[..] else { panic!("one finding") };
        assert!(
            found.text.starts_with("A reconnect loop uses 86,400 billed messages a day:"),
            "{}",
            found.text
        );
        assert_eq!(found.evidence, "60 reconnects in the run; S1 x 1 allows 400,000 messages a day");
        for (connects, reads, why) in
            [(62, 10, "not on each connection"), (62, 200, "periodically"), (12, 12, "few reconnects")]
        {
            assert_eq!(measured(connects, reads), [], "{why}");
        }
    }
}
