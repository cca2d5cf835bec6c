//! The spans in which a device is online once churn is taken into account: devices leave at random times and return later. A pure
//! function of the seed and the phases. Read by devices and by the forecast.

use super::arrival::exponential;
use super::disconnects::DeviceSeed;
use super::nanoseconds::{nanoseconds, ns, seconds};
use super::phases::{Schedule, Span};
use crate::policy::disconnect::Disconnect;
use crate::rng::{Purpose, Rng, generator};

/// A span in which a device is online, and how the device ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The span.
    pub span: Span,
    /// How the device ends its connection. `None` if it disconnects as soon as its messages have ended.
    pub left: Option<Disconnect>,
}

/// The spans of a running device, in order. They are drawn one at a time, so a long churn takes no memory.
pub struct Stays<'a> {
    schedule: &'a Schedule,
    spans: std::vec::IntoIter<Span>,
    /// The rest of a span that churn divided.
    rest: Option<Span>,
    rng: Rng,
}

impl Schedule {
    /// Returns the expected share of the devices that churn has taken away at `t_s`, in seconds since the start of the run. The share grows
    /// to its final value, and falls to zero within `away` after the phase.
    pub(super) fn away_share(&self, t_s: f64) -> f64 {
        let share = self.phases().iter().filter_map(|phase| {
            let churn = phase.churn?;
            let (start_s, end_s) = (phase.start.as_secs_f64(), phase.end.as_secs_f64());
            let left = 1.0 - (-churn.rate_hz * (t_s.min(end_s) - start_s).max(0.0)).exp();
            let returned = ((t_s - end_s).max(0.0) / churn.away.as_secs_f64()).min(1.0);
            Some(left.min(churn.away_share()) * (1.0 - returned))
        });
        share.sum::<f64>().min(1.0)
    }

    /// Returns the spans in which a device is online. A span that lasts until the end of the plan has no end: the load may be extended,
    /// and the device then stays online.
    #[must_use]
    pub fn stays(&self, device: &DeviceSeed) -> Stays<'_> {
        Stays {
            schedule: self,
            spans: self.open_spans(device.rank, device.devices).into_iter(),
            rest: None,
            rng: generator(device.seed, device.first + device.rank, Purpose::Churn),
        }
    }
}

impl Iterator for Stays<'_> {
    type Item = Stay;

    fn next(&mut self) -> Option<Stay> {
        let span = self.rest.take().or_else(|| self.spans.next())?;
        for phase in self.schedule.phases() {
            let Some(churn) = phase.churn else { continue };
            let (from_ns, to_ns) = (span.from_ns.max(ns(phase.start)), span.to_ns.min(ns(phase.end)));
            if from_ns >= to_ns {
                continue;
            }
            // An exponential time has no memory, so it can be drawn again in each phase.
            let leaves_s = seconds(from_ns) + exponential(&mut self.rng) / churn.rate_hz;
            if leaves_s >= seconds(to_ns) {
                continue;
            }
            let leaves_ns = nanoseconds(leaves_s).clamp(span.from_ns + 1, to_ns);
            let returns_ns = leaves_ns + ns(churn.away);
            self.rest = (returns_ns < span.to_ns).then_some(Span { from_ns: returns_ns, to_ns: span.to_ns });
            let span = Span { from_ns: span.from_ns, to_ns: leaves_ns };
            return Some(Stay { span, left: Some(churn.how) });
        }
        Some(Stay { span, left: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::schedule::{ChurnPlan, PhasePlan};
    use std::time::Duration;

    const S: u64 = 1_000_000_000;
    const DEVICES: u64 = 2_000;

    /// A minute of churn between two quiet minutes: each device leaves twice per minute on average, for 10 s.
    fn schedule() -> Schedule {
        let churn = ChurnPlan { rate_hz: 2.0 / 60.0, how: Disconnect::Reset, away: Duration::from_secs(10) };
        let phase = |churn| {
            let plan = PhasePlan { online: [1.0; 2], load: [1.0; 2], churn, ..PhasePlan::default() };
            (Duration::from_secs(60), plan)
        };
        Schedule::of_phases([phase(None), phase(Some(churn)), phase(None)])
    }

    fn stays(seed: u64, rank: u64) -> Vec<Stay> {
        schedule().stays(&DeviceSeed { seed, first: 0, rank, devices: DEVICES }).collect()
    }

    #[test]
    fn devices_leave_during_churn_and_return_after_their_time_away() {
        for rank in 0..DEVICES {
            let stays = stays(1, rank);
            assert_eq!(stays[0].span.from_ns, 0);
            for pair in stays.windows(2) {
                assert_eq!(pair[1].span.from_ns, pair[0].span.to_ns + 10 * S);
                assert_eq!(pair[0].left, Some(Disconnect::Reset));
                assert!((60 * S..=120 * S).contains(&pair[0].span.to_ns), "{:?}", pair[0]);
            }
            let last = stays.last().expect("one stay at least");
            assert_eq!((last.span.to_ns, last.left), (u64::MAX, None), "the device returns for good");
        }
        assert_eq!(stays(1, 5), stays(1, 5));
        assert_ne!(stays(1, 5), stays(2, 5), "the seed draws the times");
    }

    #[test]
    fn the_number_of_leaves_and_of_online_devices_is_as_planned() {
        let all: Vec<Stay> = (0..DEVICES).flat_map(|rank| stays(3, rank)).collect();
        // An average of 3/4 of the devices is online: they leave every 30 s and stay away for 10 s.
        let left = all.iter().filter(|stay| stay.left.is_some()).count();
        let expected = 2_000.0 * 2.0 * (0.75 + 0.25 / 6.0);
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let off = (left as f64 - expected).abs();
        assert!(off < 5.0 * expected.sqrt(), "{left} instead of {expected}");
        for t_ns in [30 * S, 61 * S, 100 * S, 119 * S, 131 * S, 170 * S] {
            let online =
                all.iter().filter(|stay| stay.span.from_ns <= t_ns && t_ns < stay.span.to_ns).count();
            let planned = schedule().planned_online(t_ns, DEVICES);
            assert!((online as u64).abs_diff(planned) < 110, "{online} of {planned} at {t_ns}");
        }
        assert_eq!(schedule().planned_online(131 * S, DEVICES), DEVICES, "all have returned");
    }
}
