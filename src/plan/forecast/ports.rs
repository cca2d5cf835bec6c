//! How many ephemeral ports are closing while a run lasts. Used by `needs`.

use crate::plan::credentials::TokenLife;
use crate::plan::model::{FleetPlan, Plan};
use std::time::Duration;

/// How long a port rests after the side that it belongs to has closed first (TIME_WAIT on Linux).
const PORT_RESTS_S: usize = 60;

impl Plan {
    pub(super) fn ports_closing(&self) -> u64 {
        if self.emulator.is_some() || self.target.is_loopback() {
            return 0;
        }
        self.fleets.iter().map(|fleet| self.renewing(fleet) + self.returning(fleet)).sum()
    }

    /// The most ports of a fleet that rest at once because their devices have renewed a token. Every device renews once in each
    /// interval, counted from when it came: those that came within a minute renew within one.
    fn renewing(&self, fleet: &FleetPlan) -> u64 {
        let Some(interval) = fleet.auth.tokens().and_then(TokenLife::renewed_after) else { return 0 };
        let interval = interval.max(Duration::from_secs(1));
        if interval > self.schedule.end() {
            return 0;
        }
        let Ok(interval_s) = usize::try_from(interval.as_secs()) else { return 0 };
        let devices = u64::from(fleet.devices);
        let mut came = vec![0_u64; interval_s];
        for span in (0..devices).flat_map(|rank| self.schedule.online_spans(rank, devices)) {
            if Duration::from_nanos(span.to_ns - span.from_ns) > interval {
                let second = usize::try_from(span.from_ns / 1_000_000_000).unwrap_or(0);
                came[second % interval_s] += 1;
            }
        }
        // Around the interval's end and on from its beginning; more than once where it is shorter than the rest.
        let around = came.iter().cycle().take(interval_s + PORT_RESTS_S);
        most_within(around.enumerate().map(|(second, count)| (second as u64, *count)))
    }

    /// The most ports of a fleet that rest at once because their devices have left and come back meanwhile.
    fn returning(&self, fleet: &FleetPlan) -> u64 {
        let rest = Duration::from_secs(PORT_RESTS_S as u64);
        let devices = u64::from(fleet.devices);
        let mut left: Vec<u64> = Vec::new();
        for rank in 0..devices {
            let spans = self.schedule.online_spans(rank, devices);
            let pairs = spans.iter().zip(spans.iter().skip(1));
            let soon = pairs.filter(|(one, next)| Duration::from_nanos(next.from_ns - one.to_ns) < rest);
            left.extend(soon.map(|(one, _)| one.to_ns / 1_000_000_000));
        }
        left.sort_unstable();
        most_within(left.into_iter().map(|second| (second, 1)))
    }
}

/// The largest sum of counts within the time that a port rests, of counts by second in order.
fn most_within(counts: impl Iterator<Item = (u64, u64)>) -> u64 {
    let mut window = std::collections::VecDeque::new();
    let (mut sum, mut most) = (0, 0);
    for (second, count) in counts {
        window.push_back((second, count));
        sum += count;
        while let Some((_, old)) = window.pop_front_if(|(first, _)| *first + PORT_RESTS_S as u64 <= second) {
            sum -= old;
        }
        most = most.max(sum);
    }
    most
}
