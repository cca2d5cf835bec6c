//! The faults of one device as its connections see them: which are in progress, and what they did so far. Made by `fleet`, read by `shaped`
//! and `dial`. Independent of sockets.

use rand::RngExt;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::deadlines::Deadlines;
use crate::policy::fault::FaultKind;
use crate::policy::network::Network;
use crate::rng::Rng;

/// A fault of a device, with its times.
#[derive(Debug)]
pub struct FaultWindow {
    /// Kind.
    pub kind: FaultKind,
    /// Length of a slow handshake.
    pub by: Duration,
    /// Network of the kinds that have one.
    pub network: Network,
    /// Start.
    pub from: Instant,
    /// End; equal to `from` for a fault that happens once.
    pub until: Instant,
    applied: Cell<u64>,
}

impl FaultWindow {
    /// Creates a window that has affected nothing yet.
    #[must_use]
    pub fn new(
        kind: FaultKind,
        by: Duration,
        network: Network,
        from: Instant,
        until: Instant,
    ) -> FaultWindow {
        FaultWindow { kind, by, network, from, until, applied: Cell::new(0) }
    }

    fn is_active(&self, now: Instant) -> bool {
        (self.from..self.until).contains(&now)
    }
}

/// The faults of one device.
pub struct Faults {
    windows: Vec<FaultWindow>,
    pub(super) deadlines: Rc<Deadlines>,
    rng: RefCell<Rng>,
    /// True from the time when a fault ended or silenced a connection until [`Faults::recovered`].
    is_broken: Cell<bool>,
    /// True from the time when a fault silenced a connection until the device dials again.
    is_silent: Cell<bool>,
}

impl Faults {
    /// Creates the faults of a device. `rng` draws the jitter.
    #[must_use]
    pub fn new(windows: Vec<FaultWindow>, deadlines: Rc<Deadlines>, rng: Rng) -> Faults {
        Faults {
            windows,
            deadlines,
            rng: RefCell::new(rng),
            is_broken: Cell::default(),
            is_silent: Cell::default(),
        }
    }

    /// Returns the faults, in the order in which they were given.
    #[must_use]
    pub fn windows(&self) -> &[FaultWindow] {
        &self.windows
    }

    /// Returns how many connections or packets each fault has affected since the last call.
    pub fn take_applied(&self) -> impl Iterator<Item = u64> + '_ {
        self.windows.iter().map(|window| window.applied.take())
    }

    /// Counts something that the fault of this kind, which is in progress, affected.
    pub fn count(&self, kind: FaultKind, now: Instant, affected: u64) {
        if let Some(window) = self.active(kind, now) {
            window.applied.set(window.applied.get() + affected);
        }
    }

    /// Returns whether a fault ended or silenced a connection, and the device is not online again.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    /// Notes that the device is online again.
    pub fn recovered(&self) {
        self.is_broken.set(false);
    }

    /// Returns whether a fault of this kind is in progress.
    #[must_use]
    pub fn is_active(&self, kind: FaultKind, now: Instant) -> bool {
        self.active(kind, now).is_some()
    }

    /// Returns whether nothing passes: on any connection, or on the silent connection of a device that has not dialed again.
    #[must_use]
    pub fn is_cut_off(&self, now: Instant) -> bool {
        self.is_silent.get() || self.blocks(now)
    }

    /// Notes that the device dials.
    pub(super) fn dials(&self) {
        self.is_silent.set(false);
    }

    /// Returns whether no byte passes now, so that a new connection cannot be established.
    pub(super) fn blocks(&self, now: Instant) -> bool {
        self.is_active(FaultKind::Stall, now) || self.is_active(FaultKind::HalfOpen, now)
    }

    fn active(&self, kind: FaultKind, now: Instant) -> Option<&FaultWindow> {
        self.windows.iter().find(|window| window.kind == kind && window.is_active(now))
    }

    /// Returns when the network passes bytes again; `None` if it passes them now.
    pub(super) fn stalled_until(&self, now: Instant) -> Option<Instant> {
        self.active(FaultKind::Stall, now).map(|window| window.until)
    }

    /// Returns the network, which several faults may determine together; `None` if it delays nothing.
    pub(super) fn network(&self, now: Instant) -> Option<Network> {
        let slow = |window: &&FaultWindow| window.network != Network::default() && window.is_active(now);
        self.windows.iter().filter(slow).map(|window| window.network).reduce(|one, two| Network {
            round_trip: one.round_trip.max(two.round_trip),
            jitter: one.jitter.max(two.jitter),
            up_bits_per_s: one.up_bits_per_s.max(two.up_bits_per_s),
            down_bits_per_s: one.down_bits_per_s.max(two.down_bits_per_s),
        })
    }

    /// Counts a connection that begins to use a slow network.
    pub(super) fn count_network(&self, now: Instant) {
        for kind in [FaultKind::Latency, FaultKind::Bandwidth, FaultKind::Profile] {
            self.count(kind, now, 1);
        }
    }

    /// Returns the time over which a connection that starts now sends its first bytes.
    pub(super) fn slow_handshake(&self, now: Instant) -> Option<Duration> {
        let window = self.active(FaultKind::SlowHandshake, now)?;
        window.applied.set(window.applied.get() + 1);
        Some(window.by)
    }

    /// Returns how a fault ends a connection that was established at `since`, and counts it: the fault started in the meantime, or is in
    /// progress. `wanted` selects the kinds.
    pub(super) fn ending(
        &self,
        since: Instant,
        now: Instant,
        wanted: impl Fn(FaultKind) -> bool,
    ) -> Option<FaultKind> {
        let ends = |window: &&FaultWindow| {
            let is_due = window.from <= now && (since <= window.from || window.is_active(now));
            window.kind.ends_connections() && wanted(window.kind) && is_due
        };
        let window = self.windows.iter().find(ends)?;
        window.applied.set(window.applied.get() + 1);
        self.is_broken.set(true);
        self.is_silent.set(window.kind == FaultKind::HalfOpen);
        Some(window.kind)
    }

    /// Breaks the connection that was open when a fault started, for tests without one.
    #[cfg(test)]
    pub(crate) fn break_connection(&self, now: Instant) {
        self.ending(now, now, |_| true);
    }

    /// Returns when the next fault that acts by itself starts.
    pub(super) fn next_start(&self, now: Instant) -> Option<Instant> {
        let acts = |window: &&FaultWindow| {
            matches!(window.kind, FaultKind::Reset | FaultKind::HalfOpen) && window.from > now
        };
        self.windows.iter().filter(acts).map(|window| window.from).min()
    }

    /// Returns how long this network takes in one direction this time.
    pub(super) fn one_way(&self, network: &Network) -> Duration {
        let factor =
            if network.jitter.is_zero() { 0.0 } else { self.rng.borrow_mut().random_range(-1.0..=1.0) };
        let deviation = network.jitter.mul_f64(f64::abs(factor) / 2.0);
        let half = network.round_trip / 2;
        if factor < 0.0 { half.saturating_sub(deviation) } else { half + deviation }
    }

    /// Waits as long as TCP's handshake takes on the network.
    pub(super) async fn pass_tcp_handshake(&self) {
        let mut now = crate::clock::now();
        while let Some(until) = self.stalled_until(now) {
            self.deadlines.until(until).await;
            now = crate::clock::now();
        }
        if let Some(network) = self.network(now) {
            let round_trip = self.one_way(&network) + self.one_way(&network);
            self.deadlines.until(now + round_trip).await;
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("windows", &self.windows).finish_non_exhaustive()
    }
}

/// The cause of an error that a fault made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fault of the scenario ended the connection")]
pub(super) struct InjectedFault;

impl InjectedFault {
    /// Returns the error of a connection that a fault ended.
    pub(super) fn error(kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, InjectedFault)
    }

    /// Returns whether a fault made this error.
    pub(super) fn is_cause_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<InjectedFault>())
    }
}
