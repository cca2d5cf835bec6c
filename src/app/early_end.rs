//! Decides whether a run ends early: when a threshold with `abort = true` has failed, or when every device has been offline for
//! `abort_when_unreachable`. `run` passes the events of the load to it and stops the load.

use crate::measure::{Event, Measurement, Rules};
use crate::plan::Plan;
use crate::report::failed_early;
use crate::result::model::EndedBy;
use std::time::Duration;

/// The minimum length of a load generator stall that may be the reason why devices are offline (our choice).
const LONG_STALL_US: u64 = 100_000;

/// The conditions for an early end, and their state.
pub(super) struct EarlyEndCheck {
    rules: Rules,
    abort_when_unreachable: Option<Duration>,
    /// The time since which no device has been online, although the plan has devices online.
    offline_since: Option<Duration>,
    /// End of the latest long stall of the load generator. Devices need time to reconnect after it.
    stalled_until: Duration,
    fired: bool,
}

/// Why a run ends early: the cause to store in the result, and the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EarlyEnd {
    pub(super) ended_by: EndedBy,
    pub(super) text: String,
}

impl EarlyEndCheck {
    pub(super) fn new(plan: &Plan) -> EarlyEndCheck {
        let abort_when_unreachable = plan.abort_when_unreachable;
        let stalled_until = Duration::ZERO;
        EarlyEndCheck {
            rules: plan.rules(),
            abort_when_unreachable,
            offline_since: None,
            stalled_until,
            fired: false,
        }
    }

    /// Returns true if the measurement is needed every second, to check thresholds or to look for stalls.
    pub(super) fn needs_measurement(&self) -> bool {
        self.abort_when_unreachable.is_some()
            || self.rules.thresholds.iter().any(|rule| rule.abort_from_us.is_some())
    }

    /// Handles an event. Returns an early end at most once.
    pub(super) fn handle_event(&mut self, event: &Event) -> Option<EarlyEnd> {
        let early = match event {
            _ if self.fired => None,
            Event::Measured { at, measurement } => {
                self.note_stalls(measurement);
                self.check_thresholds(*at, measurement)
            }
            Event::Second(second) => {
                self.check_reachable(second.at, second.live.online, second.live.planned_online)
            }
            _ => None,
        };
        self.fired |= early.is_some();
        early
    }

    fn check_thresholds(&self, at: Duration, measurement: &Measurement) -> Option<EarlyEnd> {
        let at_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let (rule, observed) = failed_early(measurement, &self.rules, at_us)?;
        let text = format!(
            "threshold {} {} failed ({observed}): ending the run (abort = true)",
            rule.metric, rule.expression
        );
        Some(EarlyEnd { ended_by: EndedBy::Abort, text })
    }

    fn note_stalls(&mut self, measurement: &Measurement) {
        let entries = measurement.health.iter().flat_map(|health| health.stalls.entries());
        let long = entries.filter(|stall| stall.stalled_us >= LONG_STALL_US).map(|stall| stall.to_us).max();
        self.stalled_until = self.stalled_until.max(Duration::from_micros(long.unwrap_or(0)));
    }

    fn check_reachable(&mut self, at: Duration, online: u64, planned_online: u64) -> Option<EarlyEnd> {
        let limit = self.abort_when_unreachable?;
        if online > 0 || planned_online == 0 {
            self.offline_since = None;
            return None;
        }
        let since = *self.offline_since.get_or_insert(at);
        let offline = at.saturating_sub(since.max(self.stalled_until));
        (offline >= limit).then(|| EarlyEnd {
            ended_by: EndedBy::Unreachable,
            text: format!(
                "every device has been offline for {} s: ending the run (abort_when_unreachable)",
                offline.as_secs()
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Live, Second, Source};
    use crate::stalls::StallEntry;

    fn second(at_s: u64, online: u64, planned_online: u64) -> Event {
        let live = Live { online, planned_online, ..Live::default() };
        Event::Second(Second { at: Duration::from_secs(at_s), phase: 0, planned_per_s: None, live })
    }

    fn new_check(limit_s: Option<u64>) -> EarlyEndCheck {
        EarlyEndCheck {
            rules: Rules::default(),
            abort_when_unreachable: limit_s.map(Duration::from_secs),
            offline_since: None,
            stalled_until: Duration::ZERO,
            fired: false,
        }
    }

    #[test]
    fn unreachable_target_ends_the_run_once() {
        let mut check = new_check(Some(3));
        let ended: Vec<bool> = [
            second(1, 0, 0),
            second(2, 5, 5),
            second(3, 0, 5),
            second(4, 0, 5),
            second(5, 1, 5),
            second(6, 0, 5),
            second(7, 0, 5),
            second(8, 0, 5),
            second(9, 0, 5),
            second(10, 0, 5),
        ]
        .iter()
        .map(|event| check.handle_event(event).is_some())
        .collect();
        assert_eq!(ended, [false, false, false, false, false, false, false, false, true, false]);
    }

    #[test]
    fn stall_of_the_generator_restarts_the_wait() {
        let mut check = new_check(Some(3));
        let mut measurement = crate::report::testing::measured(1, 1, |_| ());
        let stall = StallEntry { from_us: 4_000_000, to_us: 6_500_000, stalled_us: 2_500_000 };
        measurement.add_stall(Source::Worker(0), stall);
        assert!(check.handle_event(&second(4, 0, 5)).is_none());
        let measured = Event::Measured { at: Duration::from_secs(7), measurement: Box::new(measurement) };
        assert!(check.handle_event(&measured).is_none());
        let fired: Vec<bool> = (7..11).map(|at| check.handle_event(&second(at, 0, 5)).is_some()).collect();
        assert_eq!(fired, [false, false, false, true]);
    }

    #[test]
    fn run_without_the_key_does_not_end_early() {
        let mut check = new_check(None);
        assert!((1..100).all(|at| check.handle_event(&second(at, 0, 5)).is_none()));
        assert!(!check.needs_measurement());
    }
}
