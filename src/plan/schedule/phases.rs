//! Phases, and the planned online share: how many devices are online at any time, and when each device is. Read by `arrival`, by
//! every device and by the report.

use super::load::Load;
use super::nanoseconds::{nanoseconds, ns, seconds};
use super::storms::{ChurnPlan, DisconnectPlan};
use std::time::Duration;

/// A resolved phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhasePlan {
    /// Name in the scenario.
    pub name: String,
    /// Whether thresholds that do not name a phase ignore this one.
    pub warmup: bool,
    /// Start, measured from the start of the run.
    pub start: Duration,
    /// End, measured from the start of the run.
    pub end: Duration,
    /// Planned online share at start and end, as fractions of 1. Linear in between.
    pub online: [f64; 2],
    /// Load factor at start and end. Linear in between, unless there are steps.
    pub load: [f64; 2],
    /// Number of steps from the first load factor to the last. `None` for a line.
    pub load_steps: Option<u32>,
    /// Disconnects at the start of the phase.
    pub disconnect: Option<DisconnectPlan>,
    /// Devices that leave and return during the phase.
    pub churn: Option<ChurnPlan>,
    /// Maximum number of planned connects per second.
    pub connect_rate_hz: Option<f64>,
}

impl PhasePlan {
    /// Returns whether both phases have the same keys except for `connect_rate`, of which each fleet has a part.
    #[must_use]
    pub fn same_course(&self, other: &PhasePlan) -> bool {
        PhasePlan { connect_rate_hz: None, ..self.clone() }
            == PhasePlan { connect_rate_hz: None, ..other.clone() }
    }
}

/// A time span in which a device is planned to be online, in nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First nanosecond in the span.
    pub from_ns: u64,
    /// First nanosecond after the span.
    pub to_ns: u64,
}

/// Consecutive phases. The first begins at the start of the run.
#[derive(Clone, Debug)]
pub struct Schedule {
    phases: Vec<PhasePlan>,
    /// It may end before the last phase: commands append the rest.
    load: Load,
    /// A segment that commands append has this load at a factor of 1.
    reference_load: f64,
}

impl Schedule {
    /// Creates a schedule from phases: name, warm-up, duration, online share and load.
    #[must_use]
    pub fn new(parts: impl IntoIterator<Item = (String, bool, Duration, [f64; 2], [f64; 2])>) -> Schedule {
        Schedule::of_phases(parts.into_iter().map(|(name, warmup, duration, online, load)| {
            (duration, PhasePlan { name, warmup, online, load, ..PhasePlan::default() })
        }))
    }

    /// Creates a schedule from phases and their durations. Sets the start and the end of each phase.
    pub(in crate::plan) fn of_phases(parts: impl IntoIterator<Item = (Duration, PhasePlan)>) -> Schedule {
        let mut schedule = Schedule { phases: Vec::new(), load: Load::default(), reference_load: 1.0 };
        parts.into_iter().for_each(|(duration, phase)| schedule.push(duration, phase));
        schedule
    }

    /// Appends a phase.
    pub(in crate::plan) fn push(&mut self, duration: Duration, phase: PhasePlan) {
        let start = self.end();
        let end = start + duration;
        match phase.load_steps {
            Some(steps) => self.load.push_steps(ns(end), phase.load, steps),
            None => self.load.push(ns(end), phase.load),
        }
        self.phases.push(PhasePlan { start, end, ..phase });
    }

    /// Appends phases whose load is still unknown: commands append it while the run is in progress.
    pub(in crate::plan) fn push_unloaded(&mut self, parts: impl IntoIterator<Item = (Duration, PhasePlan)>) {
        for (duration, phase) in parts {
            let start = self.end();
            self.phases.push(PhasePlan { start, end: start + duration, ..phase });
        }
    }

    /// Keeps only the phases before this number, and their load.
    pub(in crate::plan) fn truncate(&mut self, phase: usize) {
        let kept: Vec<PhasePlan> = self.phases.drain(..).take(phase).collect();
        *self = Schedule::of_phases(kept.into_iter().map(|phase| (phase.end - phase.start, phase)));
    }

    /// Multiplies the online share of all phases.
    pub(in crate::plan) fn scale_online(&mut self, factor: f64) {
        for phase in &mut self.phases {
            phase.online = phase.online.map(|share| share * factor);
        }
    }

    /// Sets the load to which the load of appended segments is relative.
    pub(in crate::plan) fn set_reference_load(&mut self, reference: f64) {
        self.reference_load = reference;
    }

    /// Returns the load to which the load of appended segments is relative.
    #[must_use]
    pub fn reference_load(&self) -> f64 {
        self.reference_load
    }

    /// Multiplies the rates of paced connects, for each phase with one number.
    pub(in crate::plan) fn scale_connect_rates(&mut self, factors: &[f64]) {
        for (phase, factor) in self.phases.iter_mut().zip(factors) {
            phase.connect_rate_hz = phase.connect_rate_hz.map(|rate_hz| rate_hz * factor);
        }
    }

    /// Returns the phases in order.
    #[must_use]
    pub fn phases(&self) -> &[PhasePlan] {
        &self.phases
    }

    /// Returns the end of the last phase. After that, no message is due.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.phases.last().map_or(Duration::ZERO, |phase| phase.end)
    }

    /// Returns the index of the phase at `t_ns`. After the end, this is the last phase.
    #[must_use]
    pub fn phase_at(&self, t_ns: u64) -> u16 {
        let index = self.phases.partition_point(|phase| ns(phase.end) <= t_ns);
        u16::try_from(index.min(self.phases.len().saturating_sub(1))).unwrap_or(u16::MAX)
    }

    /// Returns the planned online share at `t_ns`, as a fraction of 1. After the end, this is the final share. With churn, it is the
    /// expected share.
    #[must_use]
    pub fn planned_online_share(&self, t_ns: u64) -> f64 {
        let Some(phase) = self.phases.get(usize::from(self.phase_at(t_ns))) else { return 0.0 };
        let (start, end) = (seconds(ns(phase.start)), seconds(ns(phase.end)));
        let passed = ((seconds(t_ns) - start) / (end - start)).clamp(0.0, 1.0);
        (phase.online[0] + (phase.online[1] - phase.online[0]) * passed)
            * (1.0 - self.away_share(seconds(t_ns)))
    }

    /// Returns the planned number of a fleet's devices that are online at `t_ns`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a device count, far below 2^52"
    )]
    pub fn planned_online(&self, t_ns: u64, devices: u64) -> u64 {
        let planned = (self.planned_online_share(t_ns) * devices as f64 + 0.5).floor() as u64;
        self.connected_by(t_ns, devices).map_or(planned, |connected| connected.min(planned))
    }

    /// Returns the spans in which a device is planned to be online, in order. `rank` is the device's index within its fleet. Low
    /// ranks connect first and disconnect last: a device is online while the planned number of online devices, rounded, exceeds its rank.
    #[must_use]
    pub fn online_spans(&self, rank: u64, devices: u64) -> Vec<Span> {
        let bar = bar(rank, devices);
        let mut spans: Vec<Span> = Vec::new();
        for (number, phase) in self.phases.iter().enumerate() {
            let [from, to] = phase.online;
            let (start, end) = (ns(phase.start), ns(phase.end));
            let (from_ns, to_ns) = match (from >= bar, to >= bar) {
                (true, true) => (start, end),
                (false, true) => (crossing(phase, bar), end),
                (true, false) => (start, crossing(phase, bar)),
                (false, false) => continue,
            };
            if let Some(last) = spans.last_mut().filter(|last| last.to_ns == from_ns) {
                last.to_ns = to_ns;
                continue;
            }
            let from_ns = self.pace(number, devices).map_or(from_ns, |pace| pace.connect_ns(rank, from_ns));
            if from_ns < to_ns {
                spans.push(Span { from_ns, to_ns });
            }
        }
        spans
    }

    /// Like [`online_spans`](Schedule::online_spans), except that a span that lasts until the end of the plan has no end. Running
    /// devices use these spans: the load may be extended, and the device then stays online.
    #[must_use]
    pub fn open_spans(&self, rank: u64, devices: u64) -> Vec<Span> {
        let mut spans = self.online_spans(rank, devices);
        let stays = self.phases.last().is_some_and(|phase| phase.online[1] >= bar(rank, devices));
        if let Some(last) = spans.last_mut().filter(|last| stays && last.to_ns == ns(self.end())) {
            last.to_ns = u64::MAX;
        }
        spans
    }

    /// Returns the end of the planned load: the end of the last phase, unless commands append the rest of the load.
    #[must_use]
    pub fn load_end(&self) -> Duration {
        Duration::from_nanos(self.load.end_ns())
    }

    /// Returns the planned online time of all devices from `start_ns` to `end_ns`, in seconds at a load of 100%.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "device counts are far below 2^52")]
    pub(in crate::plan) fn load_seconds(&self, devices: u64, start_ns: u64, end_ns: u64) -> f64 {
        let seconds = self.weighted_spans(devices).map(|(span, count)| {
            let (from, to) = (span.from_ns.clamp(start_ns, end_ns), span.to_ns.clamp(start_ns, end_ns));
            count as f64 * (self.load.integral(to) - self.load.integral(from))
        });
        seconds.sum()
    }

    /// Returns the planned load.
    #[must_use]
    pub fn load(&self) -> &Load {
        &self.load
    }
}

/// Returns when the planned online share of a phase passes `bar`.
pub(super) fn crossing(phase: &PhasePlan, bar: f64) -> u64 {
    let ([from, to], start, end) = (phase.online, ns(phase.start), ns(phase.end));
    start + nanoseconds(seconds(end - start) * (bar - from) / (to - from)).min(end - start)
}

/// Returns the minimum online share at which a device is online.
#[expect(clippy::cast_precision_loss, reason = "device counts are far below 2^52")]
pub(super) fn bar(rank: u64, devices: u64) -> f64 {
    (rank as f64 + 0.5) / devices as f64
}

#[cfg(test)]
mod tests;
