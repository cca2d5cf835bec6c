//! A disturbance: a moment from which devices lose their connections, and the number of online devices after it, in bins of 100 ms. The
//! result file contains them, so that recoveries can be judged again. Filled by `disturbance_tracker`, read by `recovery`.

use super::latency::Latency;
use super::totals::is_zero;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Length of a bin in microseconds.
pub const BIN_US: u64 = super::connections::BIN_NS / 1_000;

/// Longest time after the start of a disturbance for which bins are kept.
pub(super) const SEARCH_MAX_US: u64 = 600_000_000;

/// The cause of a disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// A planned `disconnect`.
    Disconnect,
    /// A fault of a fleet, on the load generator's side.
    Fault,
    /// A fault of the built-in hub.
    Hub,
    /// More than 10% of the online devices lost their connections within 2 s, and none of the other causes explains it.
    Observed,
}

/// A moment from which devices lose their connections, and the number of online devices after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Disturbance {
    /// Name of the phase in which it starts.
    pub phase: String,
    /// Cause.
    pub cause: Cause,
    /// Start: the planned time, or the first loss.
    pub start_us: u64,
    /// Time of the last disconnect that belongs to the disturbance: as planned, or as observed if it is later.
    pub settled_us: u64,
    /// Until this time, each lost connection belongs to the disturbance. Devices find out about a half-open connection late. Left out if
    /// this is at `settled_us` or earlier.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses_until_us: u64,
    /// End of the search for a recovery: the next disturbance or the end of the phase, and at most 10 min after the start.
    pub until_us: u64,
    /// Start of the first bin, at or before `start_us`. A bin is 100 ms long.
    pub bins_from_us: u64,
    /// Online devices of each fleet, in the order of the scenario. The bins end early if all devices were online as planned for 2 s.
    pub fleets: Vec<DisturbedFleet>,
}

/// The online devices of a fleet after the start of a disturbance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DisturbedFleet {
    /// Name of the fleet.
    pub fleet: String,
    /// Number of devices online at the start of the first bin.
    pub online_before: u64,
    /// Number of devices online at the end of each bin.
    pub online: Vec<u64>,
    /// Number of devices that should be online at the end of each bin, according to the plan.
    pub planned: Vec<u64>,
    /// Number of disconnects in each bin.
    pub disconnects: Vec<u64>,
    /// Number of connection attempts that started in each bin.
    pub attempts: Vec<u64>,
    /// Number of outages by the number of connection attempts in them, as pairs: attempts, outages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "pairs")]
    #[schemars(with = "Vec<[u64; 2]>")]
    pub attempts_per_device: BTreeMap<u32, u64>,
    /// Time without a connection. One value for each device that disconnected, or several if it disconnected again.
    #[serde(default)]
    pub outage: Latency,
    /// Number of values in `outage` that lasted until the end of the run, or until the device no longer had to be online.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_back: u64,
}

impl Disturbance {
    /// Creates a disturbance with a known start, before its bins are known. `settled_us` is the planned time of its last disconnect.
    #[must_use]
    pub fn known(cause: Cause, phase: &str, [start_us, settled_us, until_us]: [u64; 3]) -> Disturbance {
        Disturbance {
            phase: phase.to_owned(),
            cause,
            start_us,
            settled_us: settled_us.max(start_us),
            losses_until_us: 0,
            until_us: until_us.min(start_us.saturating_add(SEARCH_MAX_US)),
            bins_from_us: start_us - start_us % BIN_US,
            fleets: Vec::new(),
        }
    }

    /// Returns the disturbance with the losses until `until_us`.
    #[must_use]
    pub fn with_losses_until(self, until_us: u64) -> Disturbance {
        Disturbance { losses_until_us: until_us, ..self }
    }

    /// Adds the devices of another process, which had the same disturbance.
    pub(super) fn merge(&mut self, other: &Disturbance) {
        self.settled_us = self.settled_us.max(other.settled_us);
        self.until_us = self.until_us.max(other.until_us);
        for theirs in &other.fleets {
            match self.fleets.iter_mut().find(|mine| mine.fleet == theirs.fleet) {
                Some(mine) => mine.merge(theirs),
                None => self.fleets.push(theirs.clone()),
            }
        }
    }

    /// Returns true if both are the same disturbance of different processes.
    pub(super) fn is_same(&self, other: &Disturbance) -> bool {
        (self.cause, self.start_us, &self.phase) == (other.cause, other.start_us, &other.phase)
    }

    /// Cuts everything from `end_us` on, because the load ended.
    pub(super) fn cut(&mut self, end_us: u64) {
        self.until_us = self.until_us.min(end_us);
        let bins = usize::try_from(self.until_us.saturating_sub(self.bins_from_us) / BIN_US);
        for fleet in &mut self.fleets {
            fleet.lists().into_iter().for_each(|list| list.truncate(bins.unwrap_or(usize::MAX)));
        }
    }
}

impl DisturbedFleet {
    fn lists(&mut self) -> [&mut Vec<u64>; 4] {
        [&mut self.online, &mut self.planned, &mut self.disconnects, &mut self.attempts]
    }

    fn merge(&mut self, other: &DisturbedFleet) {
        self.online_before = self.online_before.saturating_add(other.online_before);
        // A process stops counting when its devices are online as planned, so the last value still holds.
        for (mine, theirs) in [(&mut self.online, &other.online), (&mut self.planned, &other.planned)] {
            add_bins(mine, theirs, |list| list.last().copied().unwrap_or(0));
        }
        for (mine, theirs) in
            [(&mut self.disconnects, &other.disconnects), (&mut self.attempts, &other.attempts)]
        {
            add_bins(mine, theirs, |_| 0);
        }
        for (attempts, count) in &other.attempts_per_device {
            let sum = self.attempts_per_device.entry(*attempts).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.outage.add(&other.outage);
        self.not_back = self.not_back.saturating_add(other.not_back);
    }
}

/// Adds bins. `after` returns the value of the bins after the end of a list.
fn add_bins(mine: &mut Vec<u64>, theirs: &[u64], after: impl Fn(&[u64]) -> u64) {
    let (rest, their_rest) = (after(mine), after(theirs));
    mine.resize(mine.len().max(theirs.len()), rest);
    for (index, sum) in mine.iter_mut().enumerate() {
        *sum = sum.saturating_add(theirs.get(index).copied().unwrap_or(their_rest));
    }
}

/// A map as a list of pairs. In JSON, a map would have text as keys, which cannot be read back as numbers in a flattened struct.
mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<u32, u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<u32, u64>, D::Error> {
        Ok(Vec::<(u32, u64)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disturbance(online: &[u64], attempts: &[u64]) -> Disturbance {
        let mut found = Disturbance::known(Cause::Disconnect, "storm", [1_050_000, 1_200_000, 9_000_000]);
        found.fleets.push(DisturbedFleet {
            fleet: "a".to_owned(),
            online_before: online[0],
            online: online.to_vec(),
            planned: vec![online[0]; online.len()],
            disconnects: vec![0; online.len()],
            attempts: attempts.to_vec(),
            attempts_per_device: BTreeMap::from([(1, 2)]),
            ..DisturbedFleet::default()
        });
        found
    }

    #[test]
    fn merging_is_exact_and_associative() {
        let parts = [
            disturbance(&[5, 3, 5], &[0, 2, 1]),
            disturbance(&[7, 1], &[4, 1]),
            disturbance(&[2, 0, 1, 2], &[1, 1, 1, 1]),
        ];
        let merged = |order: [usize; 3]| {
            let mut sum = parts[order[0]].clone();
            sum.merge(&parts[order[1]]);
            sum.merge(&parts[order[2]]);
            sum
        };
        let sum = merged([0, 1, 2]);
        let fleet = &sum.fleets[0];
        assert_eq!((fleet.online_before, &fleet.online), (14, &vec![14, 4, 7, 8]), "the last value holds");
        assert_eq!(fleet.attempts, [5, 4, 2, 1]);
        assert_eq!(fleet.attempts_per_device, BTreeMap::from([(1, 6)]));
        let mut last = parts[1].clone();
        last.merge(&parts[2]);
        let mut other = parts[0].clone();
        other.merge(&last);
        assert_eq!(other, sum);
        assert_eq!(merged([2, 0, 1]), sum);
    }

    #[test]
    fn end_of_the_load_cuts_the_bins() {
        let mut cut = disturbance(&[5, 3, 5], &[0, 2, 1]);
        assert_eq!(cut.bins_from_us, 1_000_000);
        cut.cut(1_250_000);
        assert_eq!((cut.until_us, cut.fleets[0].online.as_slice()), (1_250_000, &[5, 3][..]));
    }
}
