//! What one operation of one fleet and phase adds up to, and the counts beside it. Filled by the recorder, added
//! up by the collector, read by `result` and `report`.

use super::kinds::{Culprit, Outcome};
use super::latency::{Latency, Pool};

/// Everything that is known about one key. Adding two is exact.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Operations that were due.
    pub due: u64,
    /// How they ended, in the order of [`Outcome::ALL`]; at the end of a run the sum equals `due`.
    pub outcomes: [u64; Outcome::ALL.len()],
    /// `acked - due` of ok operations.
    pub response: Latency,
    /// `acked - sent` of ok operations.
    pub service: Latency,
    /// `sent - picked` of ok operations.
    pub wait: Latency,
    /// `picked - due` of everything that was picked.
    pub lag: Latency,
    /// The age of what was open at the end.
    pub unfinished_age: Latency,
    /// Picked later than `Layout::late_after_ns`.
    pub late: u64,
    /// Values above the range of the histograms, recorded at their top.
    pub clipped: u64,
    /// QoS 0: ok means flushed, no ack exists.
    pub no_ack: bool,
    /// What was due waited for the answers: nothing is corrected for what was not sent meanwhile.
    pub closed_loop: bool,
}

impl Totals {
    /// How many ended so.
    #[must_use]
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()]
    }

    /// How many ended, in whatever way.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// True when nothing was due and nothing ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due == 0 && self.ended() == 0 && !self.no_ack
    }

    /// Adds what `other` counted.
    pub fn add(&mut self, other: &Totals) {
        self.due += other.due;
        for (mine, theirs) in self.outcomes.iter_mut().zip(other.outcomes) {
            *mine += theirs;
        }
        self.response.add(&other.response);
        self.service.add(&other.service);
        self.wait.add(&other.wait);
        self.lag.add(&other.lag);
        self.unfinished_age.add(&other.unfinished_age);
        self.late += other.late;
        self.clipped += other.clipped;
        self.no_ack |= other.no_ack;
        self.closed_loop |= other.closed_loop;
    }

    /// Gives every histogram back.
    pub(super) fn recycle(&mut self, pool: &mut Pool) {
        let Totals { response, service, wait, lag, unfinished_age, .. } = self;
        for latency in [response, service, wait, lag, unfinished_age] {
            pool.recycle(latency);
        }
    }
}

/// What a fleet counts beside its operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetCounts {
    /// Connections made after a loss, or because a method asked for it.
    pub reconnects: u64,
    /// Connections made to renew a token.
    pub renewals: u64,
    /// Messages sent again after a reconnect.
    pub resent: u64,
    /// Acks that came after their timeout.
    pub late_acks: u64,
    /// Tracked messages that had arrived before.
    pub duplicates: u64,
    /// Tracked messages that arrived after a later one of their stream.
    pub reordered: u64,
    /// Messages that arrived and are not measured: without a stamp of this run, retained, or not subscribed to.
    pub foreign: u64,
    /// Connections that the peer closed with messages unacknowledged.
    pub closed_waiting: u64,
    /// For how long the oldest of those messages had waited, summed over these connections.
    pub closed_waiting_us: u64,
    /// Devices that came online and were closed soon, several times in a row.
    pub closed_soon_devices: u64,
    /// Devices that stayed offline because their policy was to try no more.
    pub gave_up: u64,
    /// MQTT bytes sent, before TLS.
    pub bytes_sent: u64,
    /// MQTT bytes received, after TLS.
    pub bytes_received: u64,
    /// What its hub sent.
    pub from_hub: FromHub,
}

/// What an IoT hub sent to a fleet, as far as it is no operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FromHub {
    /// Answers to twin requests that had ended before: timed out, lost, or answered once already.
    pub late_answers: u64,
    /// Answers to twin requests that nobody made.
    pub unknown_answers: u64,
    /// Changes of desired properties.
    pub desired: u64,
    /// Of those, with a version that the device already had.
    pub desired_stale: u64,
    /// Versions of desired properties that a device never saw: a later one came.
    pub desired_missed: u64,
    /// Methods that were not answered, because the scenario says so.
    pub methods_unanswered: u64,
    /// Methods that the scenario does not name.
    pub methods_unknown: u64,
    /// Cloud-to-device messages.
    pub c2d: u64,
    /// Of those, without the instant at which they were sent: they have no age.
    pub c2d_unstamped: u64,
    /// Of those with a number, such that had come before.
    pub c2d_duplicates: u64,
    /// Numbers that were missing when a later one came.
    pub c2d_skipped: u64,
    /// Of those, such that came after all.
    pub c2d_reordered: u64,
    /// Messages that no hub sends, or that cannot be read.
    pub unreadable: u64,
}

impl FromHub {
    /// Adds what `other` counted. Versions and numbers come from outside: sums of them stay at their top.
    fn add(&mut self, other: &FromHub) {
        self.late_answers += other.late_answers;
        self.unknown_answers += other.unknown_answers;
        self.desired += other.desired;
        self.desired_stale += other.desired_stale;
        self.desired_missed = self.desired_missed.saturating_add(other.desired_missed);
        self.methods_unanswered += other.methods_unanswered;
        self.methods_unknown += other.methods_unknown;
        self.c2d += other.c2d;
        self.c2d_unstamped += other.c2d_unstamped;
        self.c2d_duplicates += other.c2d_duplicates;
        self.c2d_skipped = self.c2d_skipped.saturating_add(other.c2d_skipped);
        self.c2d_reordered += other.c2d_reordered;
        self.unreadable += other.unreadable;
    }
}

impl FleetCounts {
    /// Adds what `other` counted.
    pub fn add(&mut self, other: &FleetCounts) {
        self.reconnects += other.reconnects;
        self.renewals += other.renewals;
        self.resent += other.resent;
        self.late_acks += other.late_acks;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.foreign += other.foreign;
        self.closed_waiting += other.closed_waiting;
        self.closed_waiting_us += other.closed_waiting_us;
        self.closed_soon_devices += other.closed_soon_devices;
        self.gave_up += other.gave_up;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.from_hub.add(&other.from_hub);
    }
}

/// Devices online: how many now, and the most since the last snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Online {
    pub(super) now: i64,
    pub(super) peak: i64,
}

impl Online {
    pub(super) fn change(&mut self, delta: i64) {
        self.now += delta;
        self.peak = self.peak.max(self.now);
    }
}

/// How much of a time a worker had something to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Busy {
    pub(super) busy_ns: u64,
    pub(super) passed_ns: u64,
}

impl Busy {
    pub(super) fn add(&mut self, other: Busy) {
        self.busy_ns += other.busy_ns;
        self.passed_ns += other.passed_ns;
    }

    /// `None` of less than a second, in which a share says little.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub(super) fn share(self) -> Option<f64> {
        (self.passed_ns >= 1_000_000_000).then(|| self.busy_ns as f64 / self.passed_ns as f64)
    }
}

/// Errors of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorTotals {
    /// A stable name, such as `connack_5`.
    pub class: &'static str,
    /// Whose fault it is, as far as the wire can tell.
    pub culprit: Culprit,
    /// How often.
    pub count: u64,
    /// The first, since the run's zero.
    pub first_ns: u64,
    /// The last, since the run's zero.
    pub last_ns: u64,
    /// One of them in words.
    pub example: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_index_their_own_counter() {
        for (n, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), n, "{}", outcome.name());
            let mut totals = Totals::default();
            totals.outcomes[n] = 3;
            assert_eq!(totals.outcome(outcome), 3);
        }
    }

    #[test]
    fn the_peak_outlives_the_fall() {
        let mut online = Online::default();
        for delta in [3, -2, 1] {
            online.change(delta);
        }
        assert_eq!(online, Online { now: 2, peak: 3 });
    }
}
