//! The number of devices that commands keep online during a run: a search for capacity varies it. It limits the online share of the phases. Read
//! by devices and by the coordinator through `run_load`. Pure.

use super::nanoseconds::ns;
use std::sync::Arc;
use std::time::Duration;

/// A change of the number of online devices in a running plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlineChange {
    /// Start, measured from the start of the run.
    pub from: Duration,
    /// Time in which the devices connect or disconnect, one after the other. The first change of a run takes effect at once.
    pub over: Duration,
    /// For each fleet, the number of devices that are online afterward, starting with its first device.
    pub devices: Arc<[u32]>,
}

/// The number of devices of each fleet that may be online: before the latest change, during it, and after it. Earlier changes are over, so
/// they are forgotten. Without a change, all devices may be online.
#[derive(Clone, Debug, Default)]
pub struct OnlineDevices {
    before: Option<Arc<[u32]>>,
    latest: Option<OnlineChange>,
}

/// The part of a fleet that a change affects: the devices from `low` to `high - 1`.
struct Affected {
    low: u32,
    high: u32,
    /// Whether they connect.
    up: bool,
    from_ns: u64,
    over_ns: u64,
}

impl Affected {
    /// Returns when a device changes.
    fn turn_ns(&self, index: u32) -> u64 {
        let place = if self.up { index - self.low } else { self.high - 1 - index };
        let into_ns = u128::from(self.over_ns) * u128::from(place) / u128::from(self.high - self.low);
        self.from_ns + u64::try_from(into_ns).unwrap_or(u64::MAX)
    }

    /// Returns how many devices have changed by `t_ns`.
    fn changed_by(&self, t_ns: u64) -> u32 {
        let all = self.high - self.low;
        let Some(passed_ns) = t_ns.checked_sub(self.from_ns) else { return 0 };
        if passed_ns >= self.over_ns {
            return all;
        }
        let changed = ((u128::from(passed_ns) + 1) * u128::from(all)).div_ceil(u128::from(self.over_ns));
        u32::try_from(changed).unwrap_or(u32::MAX).min(all)
    }
}

impl OnlineDevices {
    /// Adds a change. Returns false and changes nothing if it starts before the latest one is over.
    #[must_use]
    pub(super) fn change(&mut self, change: OnlineChange) -> bool {
        let fits = self.latest.as_ref().is_none_or(|latest| latest.from + latest.over <= change.from);
        if fits {
            self.before = self.latest.replace(change).map(|latest| latest.devices);
        }
        fits
    }

    /// Returns whether a command has changed the number of devices.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.latest.is_some()
    }

    /// Returns the time from which a device must be offline, as far as it is known; `u64::MAX` if it may stay online.
    #[must_use]
    pub fn offline_from_ns(&self, fleet: u16, index: u32) -> u64 {
        let Some(latest) = &self.latest else { return u64::MAX };
        if index < of(&latest.devices, fleet) {
            return u64::MAX;
        }
        let affected = self.affected(latest, fleet);
        if index < affected.high { affected.turn_ns(index) } else { 0 }
    }

    /// Returns the first time from `from_ns` on at which a device may be online. `None` if it is not known yet.
    #[must_use]
    pub fn online_from_ns(&self, fleet: u16, index: u32, from_ns: u64) -> Option<u64> {
        let Some(latest) = &self.latest else { return Some(from_ns) };
        let affected = self.affected(latest, fleet);
        match index {
            index if index < affected.low => Some(from_ns),
            index if index >= affected.high => None,
            index if affected.up => Some(from_ns.max(affected.turn_ns(index))),
            index => (from_ns < affected.turn_ns(index)).then_some(from_ns),
        }
    }

    /// Returns how many of a fleet's devices may be online at `t_ns`, which must not be before the latest change but one.
    #[must_use]
    pub fn count(&self, fleet: u16, devices: u32, t_ns: u64) -> u32 {
        let Some(latest) = &self.latest else { return devices };
        let affected = self.affected(latest, fleet);
        let changed = affected.changed_by(t_ns);
        let count = if affected.up { affected.low + changed } else { affected.high - changed };
        count.min(devices)
    }

    fn affected(&self, latest: &OnlineChange, fleet: u16) -> Affected {
        let after = of(&latest.devices, fleet);
        let before = self.before.as_ref().map_or(u32::MAX, |before| of(before, fleet));
        // The first change has no previous number of devices from which it could proceed gradually, so it takes effect at once.
        let over = if self.before.is_some() { latest.over } else { Duration::ZERO };
        Affected {
            low: before.min(after),
            high: before.max(after),
            up: after > before,
            from_ns: ns(latest.from),
            over_ns: ns(over),
        }
    }
}

fn of(devices: &[u32], fleet: u16) -> u32 {
    devices.get(usize::from(fleet)).copied().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn change(from_s: u64, over_s: u64, devices: [u32; 2]) -> OnlineChange {
        let [from, over] = [from_s, over_s].map(Duration::from_secs);
        OnlineChange { from, over, devices: Arc::new(devices) }
    }

    #[test]
    fn without_changes_all_devices_may_be_online() {
        let online = OnlineDevices::default();
        assert_eq!((online.offline_from_ns(0, 7), online.online_from_ns(0, 7, 5)), (u64::MAX, Some(5)));
        assert_eq!((online.count(0, 100, 5), online.is_limited()), (100, false));
    }

    #[test]
    fn devices_connect_and_disconnect_one_after_the_other() {
        let mut online = OnlineDevices::default();
        assert!(online.change(change(10, 5, [20, 3])), "the first change takes effect at once");
        assert_eq!([9, 10].map(|s| online.count(0, 100, s * S)), [100, 20]);
        assert_eq!((online.offline_from_ns(0, 19), online.offline_from_ns(0, 20)), (u64::MAX, 10 * S));
        assert_eq!(online.online_from_ns(0, 20, 10 * S), None);

        assert!(online.change(change(30, 10, [40, 3])));
        assert_eq!(online.online_from_ns(0, 19, 15 * S), Some(15 * S));
        assert_eq!(online.online_from_ns(0, 20, 10 * S), Some(30 * S));
        assert_eq!(online.online_from_ns(0, 39, 10 * S), Some(30 * S + 19 * S / 2));
        assert_eq!(online.online_from_ns(0, 40, 10 * S), None);
        assert_eq!([29, 30, 35, 40].map(|s| online.count(0, 100, s * S)), [20, 21, 31, 40]);
        assert_eq!([29, 30, 35, 40].map(|s| online.count(1, 100, s * S)), [3; 4]);

        assert!(online.change(change(40, 4, [36, 2])));
        assert_eq!([39, 36, 35].map(|index| online.offline_from_ns(0, index)), [40 * S, 43 * S, u64::MAX]);
        assert_eq!(online.offline_from_ns(0, 50), 0);
        assert_eq!([39, 40, 42, 44].map(|s| online.count(0, 100, s * S)), [40, 39, 37, 36]);
        assert_eq!(online.online_from_ns(0, 37, 41 * S), Some(41 * S), "its turn is at 42 s");
        assert_eq!(online.online_from_ns(0, 37, 42 * S), None);
    }

    #[test]
    fn changes_do_not_overlap() {
        let mut online = OnlineDevices::default();
        assert!(online.change(change(10, 0, [20, 3])));
        assert!(online.change(change(20, 10, [40, 3])));
        assert!(!online.change(change(29, 0, [10, 3])));
        assert!(online.change(change(30, 0, [10, 3])));
        assert_eq!(online.count(0, 100, 30 * S), 10);
    }

    /// At every time, the devices that may be online by their own times are as many as the count.
    #[test]
    fn the_count_is_that_of_the_devices() {
        for (before, after, over_s) in [(0, 7, 3), (7, 0, 3), (5, 6, 1), (9, 2, 10), (3, 3, 4), (0, 0, 1)] {
            let mut online = OnlineDevices::default();
            assert!(online.change(change(0, 0, [before, 0])) && online.change(change(5, over_s, [after, 0])));
            for t_ns in (0..160).map(|tenth| tenth * S / 10) {
                let is_online = |index: &u32| {
                    online.online_from_ns(0, *index, t_ns).is_some_and(|from_ns| from_ns <= t_ns)
                };
                let count = (0..12).filter(is_online).count();
                assert_eq!(online.count(0, 12, t_ns) as usize, count, "{before} to {after} at {t_ns}");
            }
        }
    }
}
