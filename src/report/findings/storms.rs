//! Findings about reconnect storms: how long devices took to return, and whether they all reconnected at the same time. Called by
//! `findings`. Pure.

use super::finding::finding;
use crate::iothub::throttles::{Class, HubSize};
use crate::measure::{Disturbance, Measurement, RecoveryBins};
use crate::report::format::{instant, plain, rate};
use crate::report::recoveries::{cause, was_below};
use crate::result::model::{Finding, Severity};
use crate::result::{StormRecovery, recoveries};
use crate::units::{Percent, human_count, human_us, plural};

/// The slowest recoveries are findings; the page lists all.
const FINDINGS_MAX: usize = 3;
/// A disturbance of fewer outages shows nothing about how reconnects spread (our choice).
const OUTAGES_MIN: u64 = 20;
/// If at least this share of the attempts falls into one second, devices reconnect at the same time (our choice).
const CROWDED_SHARE: f64 = 0.7;

/// Returns the findings about the slowest recoveries.
pub(super) fn storms(measurement: &Measurement, size: Option<HubSize>) -> Vec<Finding> {
    let rows = recoveries(measurement);
    let mut slowest: Vec<&StormRecovery> =
        rows.iter().filter(|one| one.fleet.is_none() && was_below(one, 99)).collect();
    slowest.sort_by_key(|one| std::cmp::Reverse(one.reached_us.nearly_all.unwrap_or(u64::MAX)));
    let mut found: Vec<Finding> =
        slowest.into_iter().take(FINDINGS_MAX).map(|one| recovered(one, size)).collect();
    found.extend(crowded(measurement));
    found.extend(left_out(measurement));
    found
}

/// Returns the name of a disturbance: `planned disconnect at 0:15.0`.
fn name(recovery: &StormRecovery) -> String {
    format!("{} at {}", cause(recovery.cause), instant(recovery.start_us))
}

fn recovered(recovery: &StormRecovery, size: Option<HubSize>) -> Finding {
    let peak = human_count(recovery.attempts_per_s_peak);
    let admits = size.and_then(|size| Some((size, size.per_minute(Class::Connections)?)));
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let admits = admits.map_or_else(String::new, |(size, per_minute)| {
        format!("; {size} admits {}/s", rate(per_minute as f64 / 60.0))
    });
    let (severity, text) = match recovery.reached_us.nearly_all {
        Some(us) => {
            let us = human_us(us);
            (
                Severity::Note,
                format!("99% of the devices were online again {us} after the {}", name(recovery)),
            )
        }
        None => {
            let searched = human_us(recovery.until_us.saturating_sub(recovery.start_us));
            let text = format!(
                "Fewer than 99% of the devices were online again {searched} after the {}, when its phase ended or the next disturbance began",
                name(recovery)
            );
            (Severity::Warning, text)
        }
    };
    let [lowest, planned] = [recovery.lowest_online, recovery.planned_online].map(human_count);
    let evidence = format!("lowest {lowest} of {planned} devices online, phase {}", plain(&recovery.phase));
    finding(severity, format!("{text}; connection attempts peaked at {peak}/s{admits}"), evidence)
}

/// Returns the disturbance after which the largest share of the attempts fell into one second.
fn crowded(measurement: &Measurement) -> Option<Finding> {
    let share = |disturbance: &Disturbance| -> Option<(f64, u64, u64)> {
        let bins = RecoveryBins::of(disturbance, None)?;
        let outages = bins.outage.count();
        let all: u64 = bins.attempts.iter().sum();
        let peak = bins.attempts_per_s_peak();
        #[expect(clippy::cast_precision_loss, reason = "a percentage is shown")]
        let share = peak as f64 / all.max(1) as f64;
        (outages >= OUTAGES_MIN && all >= OUTAGES_MIN).then_some((share, peak, disturbance.start_us))
    };
    let most = measurement.disturbances.iter().filter_map(share).max_by(|a, b| a.0.total_cmp(&b.0))?;
    let (share, peak, start_us) = most;
    (share >= CROWDED_SHARE).then(|| {
        let percent = Percent::from_fraction((share * 100.0).floor() / 100.0);
        let text = format!(
            "Too little jitter: {percent} of the reconnects fell into one second. Spread them out with jitter = \"full\" and a longer base in \
             reconnect"
        );
        let attempts = plural(peak, "connection attempt", "connection attempts");
        finding(Severity::Note, text, format!("{attempts} in one second after {}", instant(start_us)))
    })
}

fn left_out(measurement: &Measurement) -> Option<Finding> {
    let count = measurement.disturbances_left_out;
    (count > 0).then(|| {
        let text = "The run had more disturbances than hubstorm keeps. Thresholds on recoveries do not cover the later ones";
        finding(Severity::Warning, text, format!("{} left out", plural(count, "disturbance", "disturbances")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iothub::limits::Tier;
    use crate::measure::{Cause, DisturbedFleet};

    /// All of 100 devices are away from 10 s on, and back after `back` bins. `attempts` of them are in each of the bins before.
    fn storm(back: usize, attempts: &[u64]) -> Measurement {
        let mut found = Disturbance::known(Cause::Disconnect, "storm", [10_000_000, 10_000_000, 40_000_000]);
        let online = (0..300).map(|bin| if bin >= back { 100 } else { 20 }).collect();
        let mut outage = crate::measure::Latency::default();
        let mut histogram = hdrhistogram::Histogram::new(3).expect("a histogram");
        histogram.record_n(1_000_000, 80).expect("in range");
        outage.add(&histogram.into());
        found.fleets.push(DisturbedFleet {
            fleet: "a".to_owned(),
            online_before: 100,
            online,
            planned: vec![100; 300],
            attempts: attempts.to_vec(),
            outage,
            ..DisturbedFleet::default()
        });
        Measurement { disturbances: vec![found], ..Measurement::default() }
    }

    fn texts(measurement: &Measurement, size: Option<HubSize>) -> Vec<String> {
        storms(measurement, size)
            .into_iter()
            .map(|found| format!("{} ({})", found.text, found.evidence))
            .collect()
    }

    #[test]
    fn recovery_is_compared_with_the_throttle() {
        let size = Some(HubSize { tier: Tier::S1, units: 1 });
        let expected = "99% of the devices were online again 5.10 s after the planned disconnect at 0:10.0; connection attempts peaked at 40/s; \
                        S1 x 1 admits 100/s (lowest 20 of 100 devices online, phase storm)";
        assert_eq!(texts(&storm(50, &[4; 20]), size), [expected]);
        let never = &storms(&storm(1_000, &[4; 20]), None)[0];
        assert_eq!(never.severity, Severity::Warning);
        assert!(
            never.text.starts_with(
                "Fewer than 99% of the devices were online again 30.0 s after the planned disconnect at 0:10.0"
            ),
            "{never:?}"
        );
    }

    #[test]
    fn reconnects_in_one_second_are_a_finding() {
        let crowded = texts(&storm(50, &[0, 70, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30]), None);
        let expected = "Too little jitter: 70% of the reconnects fell into one second. Spread them out with jitter = \"full\" and a \
                        longer base in reconnect (70 connection attempts in one second after 0:10.0)";
        assert_eq!(crowded[1], expected);
        assert_eq!(texts(&storm(50, &[4; 30]), None).len(), 1, "they are spread out");
    }
}
