//! The start of a trial on a hub that lets a burst through before it holds messages back. It uses up the burst, and leaves the hub at its
//! limit with almost no backlog, so that the level of the trial shows at once whether the hub keeps up. Used by `pace`. Pure: it counts whole
//! seconds since the start of the run. It counts messages in levels, so it is independent of the unit of a level.
//!
//! While the hub holds messages back, its acknowledgments per second are its limit, so the time for the backlog to drain is known. The load
//! must start again before the backlog has drained: an idle hub refills its burst.

use std::collections::VecDeque;

/// The burst is a load of this many times the level of the trial. Near the limit, it uses up a burst in about the time that the burst took
/// to collect. Below half of the limit, it uses up nothing, and the trial does not need it.
const FACTOR: u64 = 2;
/// The hub holds messages back if the backlog is as large as the messages that it acknowledges in this time.
const SHAPED_S: f64 = 1.0;
/// The backlog that is left for the trial is as large as the messages that the hub acknowledges in this time.
const KEPT_S: f64 = 0.2;
/// Seconds by which the load of the burst is extended.
const CHUNK_S: u64 = 2;

/// How a hub keeps up with the load, at the end of a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    /// Messages that should have ended and have not, in levels: 1 is the load of level 1 in a second.
    pub backlog: f64,
    /// Messages that ended ok in this second, in levels.
    pub served: f64,
}

/// Returns the highest number of messages that the burst adds to a trial, in seconds of the level.
#[must_use]
pub fn extra_s(settle_s: u64) -> u64 {
    (FACTOR - 1) * (settle_s / 2 + CHUNK_S)
}

/// The part of a trial before its level.
#[derive(Debug)]
pub(super) struct Burst {
    /// Level of the trial.
    level: u64,
    /// End of the burst, even if the hub has not held messages back.
    burst_end_s: u64,
    /// End of the wait for the backlog.
    end_s: u64,
    /// The load that was offered: the end of each part, and its level.
    offered: VecDeque<(u64, u64)>,
    /// Sum and number of the acknowledged levels per second since the hub started to hold messages back.
    served: Option<(f64, f64)>,
    /// When the load of the burst ends, if that is known.
    burst_until_s: Option<u64>,
}

impl Burst {
    /// Returns the burst before a trial at `level`. The trial settles from `from_s` for `settle_s`: half of it is for the burst, and an
    /// eighth for the level itself.
    pub(super) fn new(level: u64, from_s: u64, settle_s: u64) -> Burst {
        Burst {
            level,
            burst_end_s: from_s + settle_s / 2,
            end_s: from_s + settle_s - settle_s / 8,
            offered: VecDeque::from([(from_s, 0)]),
            served: None,
            burst_until_s: None,
        }
    }

    /// Adds the end of a second. `steady` says whether the planned devices are online.
    pub(super) fn observe(&mut self, at_s: u64, flow: Flow, steady: bool) {
        while self.offered.get(1).is_some_and(|(until_s, _)| *until_s <= at_s) {
            self.offered.pop_front();
        }
        let is_shaped = flow.backlog > SHAPED_S * flow.served;
        match &mut self.served {
            Some((sum, seconds)) if is_shaped => (*sum, *seconds) = (*sum + flow.served, *seconds + 1.0),
            None if is_shaped || !steady => self.served = Some((flow.served, 1.0)),
            _ => {}
        }
    }

    /// Returns the next part of the load, which follows the end of the known load: its end and its level. `None` if the trial's own level
    /// follows. `now` is the second that was observed last; `None` at the start.
    pub(super) fn next(&mut self, loaded_s: u64, now: Option<(u64, Flow)>) -> Option<(u64, u64)> {
        if loaded_s >= self.end_s {
            return None;
        }
        let Some((at_s, flow)) = now.filter(|_| self.served.is_some() || loaded_s >= self.burst_end_s) else {
            return Some(self.offer(loaded_s + CHUNK_S, self.level.saturating_mul(FACTOR)));
        };
        let burst_until_s = *self.burst_until_s.get_or_insert(loaded_s);
        let served = self.served.map_or(flow.served, |(sum, seconds)| sum / seconds);
        #[expect(clippy::cast_precision_loss, reason = "a number of seconds")]
        let left = flow.backlog + self.ahead(at_s) - served * (loaded_s - at_s) as f64;
        let room = (served * (1.0 + KEPT_S) - left).max(0.0);
        // Only after the end of the burst was observed, because the hub may hold its last messages back.
        if room > 0.0 && at_s > burst_until_s {
            self.end_s = loaded_s + 1;
        }
        Some(self.offer(loaded_s + 1, crate::units::whole(room).min(self.level)))
    }

    /// Returns whether the hub held messages back.
    pub(super) fn was_used_up(&self) -> bool {
        self.served.is_some()
    }

    fn offer(&mut self, until_s: u64, level: u64) -> (u64, u64) {
        self.offered.push_back((until_s, level));
        (until_s, level)
    }

    /// Returns the known load after a second.
    #[expect(clippy::cast_precision_loss, reason = "levels are far below 2^53")]
    fn ahead(&self, at_s: u64) -> f64 {
        let parts = self.offered.iter().zip(self.offered.iter().skip(1));
        parts
            .map(|((from_s, _), (until_s, level))| {
                until_s.saturating_sub(at_s.max(*from_s)) as f64 * *level as f64
            })
            .sum()
    }
}
