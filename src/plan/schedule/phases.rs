//! Phases one after the other, and the planned online share: how many devices are online at an instant, and when each is. Read by
//! `arrival`, by every device and by the report.

use super::load::Load;
use super::nanoseconds::{nanoseconds, ns, seconds};
use std::time::Duration;

/// One phase, as resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct PhasePlan {
    /// Its name in the scenario.
    pub name: String,
    /// True leaves it out of thresholds that name no phase.
    pub warmup: bool,
    /// Its begin.
    pub start: Duration,
    /// Its end.
    pub end: Duration,
    /// Planned online share at its begin and end, as fractions of 1; linear between.
    pub online: [f64; 2],
    /// Load factor at its begin and end; linear between.
    pub load: [f64; 2],
}

/// A stretch of time in which the plan has a device online, in nanoseconds since the run's zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first nanosecond in it.
    pub from_ns: u64,
    /// The first one after it.
    pub to_ns: u64,
}

/// The phases one after the other, from the run's zero.
#[derive(Clone, Debug)]
pub struct Schedule {
    phases: Vec<PhasePlan>,
    load: Load,
}

impl Schedule {
    /// Puts phases (name, warm-up, duration, online, load) behind each other.
    #[must_use]
    pub fn new(parts: impl IntoIterator<Item = (String, bool, Duration, [f64; 2], [f64; 2])>) -> Schedule {
        let mut phases = Vec::new();
        let mut load = Load::default();
        let mut start = Duration::ZERO;
        for (name, warmup, duration, online, factor) in parts {
            let end = start + duration;
            load.push(ns(end), factor);
            phases.push(PhasePlan { name, warmup, start, end, online, load: factor });
            start = end;
        }
        Schedule { phases, load }
    }

    /// The phases in order.
    #[must_use]
    pub fn phases(&self) -> &[PhasePlan] {
        &self.phases
    }

    /// When the last phase ends; nothing is due from here on.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.phases.last().map_or(Duration::ZERO, |phase| phase.end)
    }

    /// The index of the phase at an instant; after the end, of the last one.
    #[must_use]
    pub fn phase_at(&self, t_ns: u64) -> u16 {
        let index = self.phases.partition_point(|phase| ns(phase.end) <= t_ns);
        u16::try_from(index.min(self.phases.len().saturating_sub(1))).unwrap_or(u16::MAX)
    }

    /// The planned online share at an instant, as a fraction of 1; after the end, the last phase's last.
    #[must_use]
    pub fn planned_online_share(&self, t_ns: u64) -> f64 {
        let Some(phase) = self.phases.get(usize::from(self.phase_at(t_ns))) else { return 0.0 };
        let (start, end) = (seconds(ns(phase.start)), seconds(ns(phase.end)));
        let passed = ((seconds(t_ns) - start) / (end - start)).clamp(0.0, 1.0);
        phase.online[0] + (phase.online[1] - phase.online[0]) * passed
    }

    /// How many of a fleet's devices the plan wants online at an instant.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a device count, far below 2^52"
    )]
    pub fn planned_online(&self, t_ns: u64, devices: u64) -> u64 {
        (self.planned_online_share(t_ns) * devices as f64 + 0.5).floor() as u64
    }

    /// When the plan has the device of that rank (its index within its fleet) online, in order. Low ranks come
    /// first and go last; the device is online while the planned count, rounded, is above its rank.
    #[must_use]
    pub fn online_spans(&self, rank: u64, devices: u64) -> Vec<Span> {
        let bar = bar(rank, devices);
        let mut spans: Vec<Span> = Vec::new();
        for phase in &self.phases {
            let [from, to] = phase.online;
            let (start, end) = (ns(phase.start), ns(phase.end));
            let crossing =
                || start + nanoseconds(seconds(end - start) * (bar - from) / (to - from)).min(end - start);
            let (from_ns, to_ns) = match (from >= bar, to >= bar) {
                (true, true) => (start, end),
                (false, true) => (crossing(), end),
                (true, false) => (start, crossing()),
                (false, false) => continue,
            };
            match spans.last_mut() {
                Some(last) if last.to_ns == from_ns => last.to_ns = to_ns,
                _ if from_ns < to_ns => spans.push(Span { from_ns, to_ns }),
                _ => {}
            }
        }
        spans
    }

    /// Returns the same spans, but the one that lasts until the plan's end has no end. A running device uses these: the load may
    /// be extended, and the device then stays online.
    #[must_use]
    pub fn open_spans(&self, rank: u64, devices: u64) -> Vec<Span> {
        let mut spans = self.online_spans(rank, devices);
        let stays = self.phases.last().is_some_and(|phase| phase.online[1] >= bar(rank, devices));
        if let Some(last) = spans.last_mut().filter(|last| stays && last.to_ns == ns(self.end())) {
            last.to_ns = u64::MAX;
        }
        spans
    }

    /// The load in operational time, as the plan has it.
    #[must_use]
    pub fn load(&self) -> &Load {
        &self.load
    }
}

/// The share of a fleet that must be online for the device of that rank to be online.
#[expect(clippy::cast_precision_loss, reason = "device counts are far below 2^52")]
fn bar(rank: u64, devices: u64) -> f64 {
    (rank as f64 + 0.5) / devices as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(parts: &[(u64, [f64; 2], [f64; 2])]) -> Schedule {
        Schedule::new(parts.iter().enumerate().map(|(index, &(duration_s, online, load))| {
            (format!("p{index}"), false, Duration::from_secs(duration_s), online, load)
        }))
    }

    const S: u64 = 1_000_000_000;

    #[test]
    fn phases_follow_each_other_without_gaps() {
        let schedule =
            schedule(&[(10, [0.0, 1.0], [1.0; 2]), (20, [1.0; 2], [1.0; 2]), (10, [0.5; 2], [1.0; 2])]);
        assert_eq!(schedule.end(), Duration::from_secs(40));
        for (t, phase) in [(0, 0), (10 * S - 1, 0), (10 * S, 1), (30 * S, 2), (40 * S, 2), (u64::MAX, 2)] {
            assert_eq!(schedule.phase_at(t), phase, "{t}");
        }
        for (t, share) in [(0, 0.0), (5 * S, 0.5), (10 * S, 1.0), (29 * S, 1.0), (30 * S, 0.5), (90 * S, 0.5)]
        {
            assert!((schedule.planned_online_share(t) - share).abs() < 1e-12, "{t}");
        }
    }

    #[test]
    fn a_ramp_brings_devices_online_evenly_and_in_order() {
        let schedule = schedule(&[(10, [0.0, 1.0], [1.0; 2]), (10, [1.0; 2], [1.0; 2])]);
        for rank in 0..10 {
            let spans = schedule.online_spans(rank, 10);
            assert_eq!(spans, [Span { from_ns: rank * S + S / 2, to_ns: 20 * S }], "{rank}");
        }
    }

    #[test]
    fn a_device_may_come_and_go() {
        let schedule = schedule(&[
            (10, [1.0; 2], [1.0; 2]),
            (10, [1.0, 0.0], [1.0; 2]),
            (10, [0.0; 2], [1.0; 2]),
            (5, [1.0; 2], [1.0; 2]),
        ]);
        assert_eq!(
            schedule.online_spans(1, 2),
            [Span { from_ns: 0, to_ns: 12 * S + S / 2 }, Span { from_ns: 30 * S, to_ns: 35 * S }]
        );
        assert_eq!(
            schedule.online_spans(0, 1),
            [Span { from_ns: 0, to_ns: 15 * S }, Span { from_ns: 30 * S, to_ns: 35 * S }]
        );
    }

    #[test]
    fn open_spans_last_as_long_as_the_load() {
        let schedule = schedule(&[(10, [0.0, 1.0], [1.0; 2]), (10, [1.0, 0.5], [1.0; 2])]);
        assert_eq!(schedule.open_spans(0, 2), [Span { from_ns: 2 * S + S / 2, to_ns: u64::MAX }]);
        assert_eq!(schedule.open_spans(1, 2), schedule.online_spans(1, 2), "it leaves before the end");
        let off = self::schedule(&[(10, [1.0; 2], [1.0; 2]), (5, [0.0; 2], [1.0; 2])]);
        assert_eq!(off.open_spans(0, 1), [Span { from_ns: 0, to_ns: 10 * S }]);
    }

    proptest! {
        #[test]
        fn planned_counts_and_device_spans_agree(
            parts in prop::collection::vec((1u64..100, 0.0..=1.0, 0.0..=1.0), 1..5),
            devices in 1u64..20,
            share in 0.0..1.0,
        ) {
            let parts: Vec<_> = parts.into_iter().map(|(s, a, b)| (s, [a, b], [1.0; 2])).collect();
            let schedule = schedule(&parts);
            let t = nanoseconds(schedule.end().as_secs_f64() * share);
            let online = (0..devices)
                .filter(|&rank| schedule.online_spans(rank, devices).iter().any(|span| span.from_ns <= t && t < span.to_ns))
                .count() as u64;
            prop_assert!(online.abs_diff(schedule.planned_online(t, devices)) <= 1);
        }
    }
}
