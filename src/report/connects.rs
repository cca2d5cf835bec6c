//! The offered and the achieved connects of a run, in words. Used by the summary and the page. Pure.

use super::format::{plural, rate};
use super::summary::per_second;
use crate::measure::{Operation, Outcome, Row};
use crate::result::model::RunResult;
use crate::units::human_count;
use std::time::Duration;

/// Returns the numbers of connection attempts that were due and that were accepted, and their highest rates. `None` without attempts.
pub(super) fn description(result: &RunResult) -> Option<String> {
    let connects = result.measurement.of(Operation::Connect);
    if connects.due == 0 {
        return None;
    }
    let series = &result.measurement.series;
    let length_s = Duration::from_micros(series.interval_us).as_secs_f64();
    let peak = |count: fn(&Row) -> u64| {
        let most = series.rows.iter().map(count).max().unwrap_or(0);
        (most > 0).then(|| format!("{}/s", rate(per_second(most, length_s))))
    };
    let offered = peak(|row| row.interval.connects_due).map(|rate| format!("{rate} offered"));
    let accepted = peak(|row| row.interval.response.of(Operation::Connect).count());
    let accepted = accepted.map(|rate| format!("{rate} accepted"));
    let peaks: Vec<String> = offered.into_iter().chain(accepted).collect();
    let peaks = if peaks.is_empty() { String::new() } else { format!("; peak {}", peaks.join(", ")) };
    let attempts = plural(connects.due, "attempt", "attempts");
    let accepted = human_count(connects.outcome(Outcome::Ok));
    Some(format!("{attempts} offered, {accepted} accepted{peaks}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Key, Times};
    use crate::report::testing::measured;

    #[test]
    fn offered_connects_stand_beside_accepted_ones() {
        let mut result = crate::result::testing::result();
        let key = Key { operation: Operation::Connect, fleet: 0, phase: 0 };
        result.measurement = measured(1, 1, |recorder| {
            for n in 0..30 {
                recorder.due(key, 0);
                if n < 20 {
                    let acked = (n % 2) * 1_000_000_000 + 1_000_000;
                    recorder.ok(key, &Times { acked, ..Times::default() });
                } else {
                    recorder.ended(key, Outcome::Refused, 0, 1_000_000);
                }
            }
        });
        let expected = "30 attempts offered, 20 accepted; peak 30.0/s offered, 10.0/s accepted";
        assert_eq!(description(&result).as_deref(), Some(expected));
        result.measurement = measured(1, 1, |_| {});
        assert_eq!(description(&result), None);
    }
}
