//! The maximum number of ephemeral ports that are in TIME_WAIT at any time during a run. Used by `needs`.

use crate::plan::credentials::TokenLife;
use crate::plan::model::{FleetPlan, Plan};
use crate::policy::disconnect::Disconnect;
use std::time::Duration;

/// How long a port stays in TIME_WAIT on Linux if this side closes the connection first, in seconds.
const PORT_CLOSING_S: usize = 60;

impl Plan {
    /// Returns the maximum number of ports in TIME_WAIT at the same time. Ports of loopback connections do not count.
    pub(super) fn ports_closing(&self) -> u64 {
        if self.emulator.is_some() || self.target.is_loopback() {
            return 0;
        }
        self.fleets
            .iter()
            .map(|fleet| {
                self.closing_after_renewals(fleet)
                    + self.closing_after_disconnects(fleet)
                    + self.disconnected_at_once(fleet, Disconnect::Close)
            })
            .sum()
    }

    /// Returns the maximum number of connections that stay open because silent devices have left them. The target may take long to
    /// close them.
    pub(super) fn half_open(&self) -> u64 {
        self.fleets.iter().map(|fleet| self.disconnected_at_once(fleet, Disconnect::Silent)).sum()
    }

    /// Returns the largest number of a fleet's devices that a phase disconnects like this.
    fn disconnected_at_once(&self, fleet: &FleetPlan, how: Disconnect) -> u64 {
        let schedule = self.schedule_of(fleet);
        let phases = schedule.phases().iter().enumerate();
        let like_this = phases.filter(|(_, phase)| phase.disconnect.is_some_and(|plan| plan.how == how));
        like_this.map(|(number, _)| schedule.disconnected_in(number, fleet.devices.into())).max().unwrap_or(0)
    }

    /// Returns the maximum number of a fleet's ports in TIME_WAIT at the same time because of token renewals. A device renews once per
    /// interval, counted from its connect, so devices that connect within a minute also renew within a minute.
    fn closing_after_renewals(&self, fleet: &FleetPlan) -> u64 {
        let Some(interval) = fleet.auth.tokens().and_then(TokenLife::renewed_after) else { return 0 };
        let interval = interval.max(Duration::from_secs(1));
        if interval > self.schedule.end() {
            return 0;
        }
        let Ok(interval_s) = usize::try_from(interval.as_secs()) else { return 0 };
        let devices = u64::from(fleet.devices);
        let mut connected = vec![0_u64; interval_s];
        let schedule = self.schedule_of(fleet);
        for (span, count) in schedule.weighted_spans(devices) {
            if Duration::from_nanos(span.to_ns - span.from_ns) > interval {
                let second = usize::try_from(span.from_ns / 1_000_000_000).unwrap_or(0);
                connected[second % interval_s] += count;
            }
        }
        // A window may wrap around the end of the interval, more than once if the interval is shorter than the window.
        let around = connected.iter().cycle().take(interval_s + PORT_CLOSING_S);
        most_within(around.enumerate().map(|(second, count)| (second as u64, *count)))
    }

    /// Returns the maximum number of a fleet's ports in TIME_WAIT at the same time because devices disconnect and soon reconnect.
    fn closing_after_disconnects(&self, fleet: &FleetPlan) -> u64 {
        let closing = Duration::from_secs(PORT_CLOSING_S as u64);
        let devices = u64::from(fleet.devices);
        let schedule = self.schedule_of(fleet);
        let mut disconnects: Vec<(u64, u64)> = Vec::new();
        for (rank, count) in schedule.rank_groups(devices) {
            let spans = schedule.online_spans(rank, devices);
            let pairs = spans.iter().zip(spans.iter().skip(1));
            let soon = pairs.filter(|(one, next)| Duration::from_nanos(next.from_ns - one.to_ns) < closing);
            disconnects.extend(soon.map(|(one, _)| (one.to_ns / 1_000_000_000, count)));
        }
        disconnects.sort_unstable();
        most_within(disconnects.into_iter())
    }
}

/// Returns the maximum sum of counts within `PORT_CLOSING_S`. Each item of `counts` is a second and its count, in chronological order.
fn most_within(counts: impl Iterator<Item = (u64, u64)>) -> u64 {
    let mut window = std::collections::VecDeque::new();
    let (mut sum, mut most) = (0, 0);
    for (second, count) in counts {
        window.push_back((second, count));
        sum += count;
        while let Some((_, old)) = window.pop_front_if(|(first, _)| *first + PORT_CLOSING_S as u64 <= second)
        {
            sum -= old;
        }
        most = most.max(sum);
    }
    most
}
