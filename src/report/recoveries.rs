//! The recoveries of a run, in words. Used by the summary, the page and the Markdown format. Pure.

use super::format::{self, NONE, instant, plain, plural};
use crate::measure::Cause;
use crate::result::StormRecovery;
use crate::result::model::RunResult;
use crate::units::{human_count, human_us};

/// The maximum number of recoveries that the summary lists.
const LISTED_MAX: usize = 6;

/// Returns a cause in words.
pub(super) fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Disconnect => "planned disconnect",
        Cause::Fault => "fault of a fleet",
        Cause::Hub => "fault on the hub",
        Cause::Observed => "loss of connections",
    }
}

/// A recovery in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecoveryWords {
    /// Start, since the start of the run.
    pub(super) start: String,
    /// Cause, with the fleet if it is one of several.
    pub(super) cause: String,
    pub(super) phase: String,
    /// Lowest number of online devices, and the planned number.
    pub(super) lowest: String,
    /// Time until 50%, 90%, 99% and 100% were online again.
    pub(super) reached: [String; 4],
    /// Highest rate of connection attempts.
    pub(super) attempts: String,
    /// Connection attempts per outage.
    pub(super) attempts_per_device: String,
    /// Time without a connection.
    pub(super) outage: String,
}

impl RecoveryWords {
    fn of(recovery: &StormRecovery) -> RecoveryWords {
        let fleet = recovery.fleet.as_ref().map(|fleet| format!(", fleet {}", plain(fleet)));
        let attempts = &recovery.attempts_per_device;
        let outage = &recovery.outage;
        let none = || NONE.to_owned();
        RecoveryWords {
            start: instant(recovery.start_us),
            cause: format!("{}{}", cause(recovery.cause), fleet.unwrap_or_default()),
            phase: plain(&recovery.phase),
            lowest: format!(
                "{} of {}",
                human_count(recovery.lowest_online),
                human_count(recovery.planned_online)
            ),
            reached: recovery.reached_us.list().map(|(percent, us)| reached(recovery, percent, us)),
            attempts: format!("{}/s", human_count(recovery.attempts_per_s_peak)),
            attempts_per_device: match attempts.count {
                0 => none(),
                _ => format!("p50 {}, p99 {}, max {}", attempts.p50, attempts.p99, attempts.max),
            },
            outage: match outage.count() {
                0 => none(),
                _ => {
                    let [median, most] = [0.5, 0.99].map(|quantile| format::us(outage.quantile(quantile)));
                    format!("p50 {median}, p99 {most}, max {}", format::us(outage.max()))
                }
            },
        }
    }
}

/// Returns when a share was reached.
fn reached(recovery: &StormRecovery, percent: u8, us: Option<u64>) -> String {
    match us {
        Some(us) => human_us(us),
        None if recovery.planned_online == 0 || !was_below(recovery, percent) => NONE.to_owned(),
        None => "not reached".to_owned(),
    }
}

/// Returns true if the number of online devices was below this share.
pub(super) fn was_below(recovery: &StormRecovery, percent: u8) -> bool {
    let planned = u128::from(recovery.planned_online) * u128::from(percent);
    !recovery.not_disturbed && u128::from(recovery.lowest_online) * 100 < planned
}

/// Returns the recoveries that a reader should see: those of all fleets together, and of each fleet that was disturbed.
pub(super) fn shown(result: &RunResult) -> impl Iterator<Item = &StormRecovery> {
    result.recoveries.iter().filter(|one| !one.not_disturbed && one.planned_online > 0)
}

/// Returns all recoveries in words.
pub(super) fn table(result: &RunResult) -> Vec<RecoveryWords> {
    shown(result).map(RecoveryWords::of).collect()
}

/// Returns the lines of the summary.
pub(super) fn lines(result: &RunResult) -> Vec<String> {
    let line = |row: RecoveryWords| {
        let names = ["50%", "90%", "99%", "100%"];
        let shares = names.iter().zip(&row.reached).filter(|(_, time)| *time != NONE);
        let shares: Vec<String> = shares
            .map(|(name, time)| match time.as_str() {
                "not reached" => format!("{name} not reached"),
                time => format!("{name} after {time}"),
            })
            .collect();
        let RecoveryWords { start, cause, lowest, attempts, outage, .. } = &row;
        format!(
            "{start}  {cause}: lowest {lowest} devices online; {}; at most {attempts} connection attempts; outage {outage}",
            shares.join(", ")
        )
    };
    let rows = table(result);
    let left_out = rows.len().saturating_sub(LISTED_MAX);
    let mut lines: Vec<String> = rows.into_iter().take(LISTED_MAX).map(line).collect();
    if left_out > 0 {
        lines.push(format!("and {left_out} more, which the page lists"));
    }
    let undisturbed = result.recoveries.iter().filter(|one| one.fleet.is_none() && one.not_disturbed).count();
    if undisturbed > 0 {
        let faults = plural(undisturbed as u64, "other disturbance", "other disturbances");
        lines.push(format!("{faults} disconnected no devices"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{AttemptsPerDevice, ReachedShares};

    pub(in crate::report) fn storm() -> StormRecovery {
        StormRecovery {
            phase: "storm".to_owned(),
            fleet: None,
            cause: Cause::Disconnect,
            start_us: 15_000_000,
            until_us: 35_000_000,
            planned_online: 200,
            lowest_online: 20,
            reached_us: ReachedShares { half: Some(2_100_000), most: Some(5_000_000), ..Default::default() },
            not_disturbed: false,
            attempts_per_s_peak: 1_812,
            attempts_per_device: AttemptsPerDevice { count: 180, mean: 1.2, p50: 1, p90: 2, p99: 3, max: 4 },
            outage: crate::measure::Latency::default(),
            not_back: 0,
        }
    }

    #[test]
    fn a_recovery_has_its_shares_and_its_attempts() {
        let mut result = crate::result::testing::result();
        assert!(lines(&result).is_empty());
        let calm = StormRecovery { not_disturbed: true, cause: Cause::Hub, ..storm() };
        let slight = StormRecovery {
            lowest_online: 185,
            cause: Cause::Observed,
            fleet: Some("m".to_owned()),
            ..storm()
        };
        let slight = StormRecovery {
            reached_us: ReachedShares { nearly_all: Some(100_000), ..Default::default() },
            ..slight
        };
        result.recoveries = vec![storm(), calm, slight];
        assert_eq!(
            lines(&result),
            [
                "0:15.0  planned disconnect: lowest 20 of 200 devices online; 50% after 2.10 s, 90% after 5.00 s, 99% not reached, 100% not reached; \
                 at most 1,812/s connection attempts; outage –",
                "0:15.0  loss of connections, fleet m: lowest 185 of 200 devices online; 99% after 100 ms, 100% not reached; at most 1,812/s \
                 connection attempts; outage –",
                "1 other disturbance disconnected no devices",
            ]
        );
        result.recoveries = vec![storm(); 9];
        assert_eq!(lines(&result).last().unwrap(), "and 3 more, which the page lists");
    }
}
