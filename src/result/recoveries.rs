//! The recoveries in a result file: when the devices returned after each disturbance. Computed from the bins of the disturbances, which the
//! file contains too. Independent of thresholds.

use crate::measure::{Cause, Disturbance, Latency, Measurement, Reached, RecoveryBins};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The recovery from a disturbance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StormRecovery {
    /// Name of the phase in which the disturbance started.
    pub phase: String,
    /// Name of the fleet; null for all fleets together.
    pub fleet: Option<String>,
    /// Cause of the disturbance.
    pub cause: Cause,
    /// Start of the disturbance.
    pub start_us: u64,
    /// End of the search for a recovery: the next disturbance or the end of the phase, and at most 10 min after the start.
    pub until_us: u64,
    /// Number of devices that should have been online at the start.
    pub planned_online: u64,
    /// Lowest number of devices online in 100 ms.
    pub lowest_online: u64,
    /// Time from the start until 50%, 90%, 99% and 100% of the planned devices were online, and stayed online for 2 s. Rounded up to
    /// the end of 100 ms. Null if the share was not reached before the end of the search, and if the number of online devices was never
    /// below it.
    pub reached_us: ReachedShares,
    /// True if the number of online devices was never below the planned one.
    pub not_disturbed: bool,
    /// Largest number of connection attempts in one second.
    pub attempts_per_s_peak: u64,
    /// Connection attempts in each outage.
    pub attempts_per_device: AttemptsPerDevice,
    /// Time without a connection of each device that disconnected. A device that disconnected again counts again.
    #[serde(default)]
    pub outage: Latency,
    /// Number of values in `outage` that lasted until the end of the run, or until the device no longer had to be online.
    #[serde(default)]
    pub not_back: u64,
}

/// The times at which shares of the planned devices were online again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReachedShares {
    /// 50%, in microseconds.
    #[serde(rename = "50")]
    pub half: Option<u64>,
    /// 90%, in microseconds.
    #[serde(rename = "90")]
    pub most: Option<u64>,
    /// 99%, in microseconds.
    #[serde(rename = "99")]
    pub nearly_all: Option<u64>,
    /// 100%, in microseconds.
    #[serde(rename = "100")]
    pub all: Option<u64>,
}

impl ReachedShares {
    /// Returns the shares in percent and their times, from the smallest.
    #[must_use]
    pub fn list(&self) -> [(u8, Option<u64>); 4] {
        [(50, self.half), (90, self.most), (99, self.nearly_all), (100, self.all)]
    }
}

/// The number of connection attempts per outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptsPerDevice {
    /// Number of outages.
    pub count: u64,
    /// Mean number of attempts.
    pub mean: f64,
    /// 50th percentile.
    pub p50: u32,
    /// 90th percentile.
    pub p90: u32,
    /// 99th percentile.
    pub p99: u32,
    /// Maximum.
    pub max: u32,
}

impl AttemptsPerDevice {
    #[expect(clippy::cast_precision_loss, reason = "a mean is rounded anyway")]
    fn of(outages: &BTreeMap<u32, u64>) -> AttemptsPerDevice {
        let count = outages.values().fold(0_u64, |sum, number| sum.saturating_add(*number));
        let sum: f64 = outages.iter().map(|(attempts, number)| f64::from(*attempts) * *number as f64).sum();
        let quantile = |percent: u64| {
            let rank = count.saturating_mul(percent).div_ceil(100).max(1);
            let mut seen = 0_u64;
            let at = outages.iter().find(|(_, number)| {
                seen = seen.saturating_add(**number);
                seen >= rank
            });
            at.map_or(0, |(attempts, _)| *attempts)
        };
        AttemptsPerDevice {
            count,
            mean: if count == 0 { 0.0 } else { sum / count as f64 },
            p50: quantile(50),
            p90: quantile(90),
            p99: quantile(99),
            max: outages.keys().next_back().copied().unwrap_or(0),
        }
    }
}

/// Returns the recovery from each disturbance: over all fleets, and for each fleet if there are several.
#[must_use]
pub fn recoveries(measurement: &Measurement) -> Vec<StormRecovery> {
    let of = |disturbance: &Disturbance| -> Vec<StormRecovery> {
        let several = disturbance.fleets.len() > 1;
        let fleets = disturbance.fleets.iter().filter(|_| several).map(|fleet| Some(fleet.fleet.as_str()));
        let scopes = std::iter::once(None).chain(fleets);
        scopes.filter_map(|fleet| recovery(disturbance, fleet)).collect()
    };
    measurement.disturbances.iter().flat_map(of).collect()
}

fn recovery(disturbance: &Disturbance, fleet: Option<&str>) -> Option<StormRecovery> {
    let bins = RecoveryBins::of(disturbance, fleet)?;
    let reached = |share: f64| match bins.reached(share) {
        Reached::After { us } => Some(us),
        Reached::NotDisturbed | Reached::NonePlanned | Reached::Never { .. } => None,
    };
    Some(StormRecovery {
        phase: disturbance.phase.clone(),
        fleet: fleet.map(str::to_owned),
        cause: disturbance.cause,
        start_us: disturbance.start_us,
        until_us: disturbance.until_us,
        planned_online: bins.planned_at_start(),
        lowest_online: bins.lowest_online(),
        reached_us: ReachedShares {
            half: reached(0.5),
            most: reached(0.9),
            nearly_all: reached(0.99),
            all: reached(1.0),
        },
        not_disturbed: bins.reached(1.0) == Reached::NotDisturbed,
        attempts_per_s_peak: bins.attempts_per_s_peak(),
        attempts_per_device: AttemptsPerDevice::of(&bins.attempts_per_device),
        outage: bins.outage.clone(),
        not_back: bins.not_back,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_attempts_are_exact() {
        let outages = BTreeMap::from([(1, 90), (2, 8), (7, 2)]);
        let attempts = AttemptsPerDevice::of(&outages);
        assert_eq!(
            (attempts.count, attempts.p50, attempts.p90, attempts.p99, attempts.max),
            (100, 1, 1, 7, 7)
        );
        assert!((attempts.mean - 1.2).abs() < 1e-9, "{}", attempts.mean);
        assert_eq!(AttemptsPerDevice::of(&BTreeMap::new()), AttemptsPerDevice::default());
    }

    #[test]
    fn fleets_are_listed_only_if_there_are_several() {
        use crate::measure::DisturbedFleet;
        let fleet = |name: &str, online: [u64; 3]| DisturbedFleet {
            fleet: name.to_owned(),
            online_before: 10,
            online: [online.to_vec(), vec![10; 30]].concat(),
            planned: vec![10; 33],
            disconnects: vec![10 - online[0]],
            attempts: vec![0, 4, 5],
            ..DisturbedFleet::default()
        };
        let mut storm = Disturbance::known(Cause::Observed, "storm", [0, 0, 60_000_000]);
        storm.fleets = vec![fleet("a", [0, 4, 10])];
        let mut measurement = Measurement { disturbances: vec![storm], ..Measurement::default() };
        let found = recoveries(&measurement);
        assert_eq!((found.len(), found[0].fleet.as_deref()), (1, None));
        assert_eq!(
            (found[0].lowest_online, found[0].planned_online, found[0].attempts_per_s_peak),
            (0, 10, 9)
        );
        assert_eq!(found[0].reached_us.list().map(|(_, us)| us), [Some(300_000); 4]);
        measurement.disturbances[0].fleets.push(fleet("b", [10; 3]));
        let found = recoveries(&measurement);
        let names: Vec<Option<&str>> = found.iter().map(|one| one.fleet.as_deref()).collect();
        assert_eq!(names, [None, Some("a"), Some("b")]);
        assert_eq!(found[0].reached_us.half, None, "never below 50%");
        assert!(found[2].not_disturbed && !found[0].not_disturbed);
    }
}
