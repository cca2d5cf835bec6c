//! Determines whether a step of this machine's wall clock may be why a hub rejects a device's token. If so, the load generator is
//! the culprit for the failure. Part of `device`.

use super::state::Reached;
use super::{ConnectionState, Device, Excuse};
use crate::clock::{Step, without_last_steps};
use crate::iothub::limits::EXPIRY_GRACE_MAX;
use crate::link::DialError;
use crate::measure::Culprit;
use std::time::{Duration, Instant};

/// Tolerated difference between this machine's clock and the hub's (our choice).
pub(super) const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// Maximum time between a token's expiry and the hub closing the connection.
const RECENT: Duration = EXPIRY_GRACE_MAX.saturating_add(CLOCK_TOLERANCE);

/// A token's expiry, and the readings of the monotonic and the wall clock when the hub checked it.
struct TokenCheck {
    /// Expiry of the token, since the Unix epoch.
    expiry: Duration,
    /// When the token was created.
    made: Instant,
    now: Instant,
    /// Wall-clock time at `now`.
    unix: Duration,
    /// The instant up to which the hub's clock is known to have made the same steps as this machine's clock.
    hub_stepped_until: Option<Instant>,
    /// Whether only a recent expiry or step counts. A connection outlives its token by at most [`RECENT`].
    recent_only: bool,
}

impl TokenCheck {
    /// Returns the sum of the steps that change the token's validity, in microseconds. The hub's clock may not have made this
    /// machine's latest steps. Either clock may be right, so a step counts only if the two disagree on whether the token has
    /// expired.
    fn clock_step(&self, steps: &[Step]) -> Option<i64> {
        let expired = |unix: Duration| self.expiry <= unix + CLOCK_TOLERANCE;
        for (step, by_us, without) in without_last_steps(steps, self.unix) {
            let disagreed = match (expired(self.unix), expired(without)) {
                // Only for a token from before the step: the expiry of a later one was computed with the new clock.
                (true, false) => (step.at > self.made).then_some(self.unix),
                (false, true) => {
                    self.hub_stepped_until.is_none_or(|until| step.at > until).then_some(without)
                }
                _ => None,
            };
            let is_recent = |expired_at: Duration| {
                expired_at.saturating_sub(self.expiry) <= RECENT
                    || self.now.saturating_duration_since(step.at) <= RECENT
            };
            if disagreed.is_some_and(|unix| !self.recent_only || is_recent(unix)) {
                return Some(by_us);
            }
        }
        None
    }
}

impl Device {
    /// Returns by how much this machine's clock stepped, if that may be why the hub refused the token of this attempt.
    pub(super) fn clock_step_behind_refusal(&self, now: Instant) -> Option<i64> {
        let ConnectionState::Connecting(attempt) = &self.connection else { return None };
        let Reached::Connect(sent) = attempt.reached else { return None };
        self.clock_step(sent, now, false)
    }

    /// Returns by how much this machine's clock stepped, if that may be why the hub closed the connection.
    pub(super) fn clock_step_behind_close(&self, now: Instant) -> Option<i64> {
        match self.online_since() {
            Some(since) => self.clock_step(since, now, true),
            None => self.clock_step_behind_refusal(now),
        }
    }

    /// Notes that the hub accepted a token. If the token is valid only on a clock with this machine's steps, the hub's clock has
    /// made them too, so later refusals have another cause.
    pub(super) fn record_token_accepted(&self, now: Instant) {
        if !self.context.steps.borrow().steps().is_empty() && self.clock_step_behind_refusal(now).is_some() {
            self.context.hub_stepped_until.set(Some(now));
        }
    }

    fn clock_step(&self, made: Instant, now: Instant, recent_only: bool) -> Option<i64> {
        if self.token_expiry_unix == 0 {
            return None; // No token.
        }
        let unix = self.context.compare_clocks(now);
        let expiry = Duration::from_secs(self.token_expiry_unix);
        let hub_stepped_until = self.context.hub_stepped_until.get();
        TokenCheck { expiry, made, now, unix, hub_stepped_until, recent_only }
            .clock_step(self.context.steps.borrow().steps())
    }

    /// Returns by how much this machine's clock stepped, if the server's certificate would be valid without the steps.
    pub(super) fn clock_step_behind_certificate_error(&self, error: &DialError, now: Instant) -> Option<i64> {
        if error.class != "tls_certificate" {
            return None;
        }
        let unix = self.context.compare_clocks(now);
        let watch = self.context.steps.borrow();
        without_last_steps(watch.steps(), unix)
            .find(|(_, _, unix)| error.is_valid_at(*unix))
            .map(|(_, by_us, _)| by_us)
    }

    /// Records a failure with the load generator as the culprit, because its clock stepped by `by_us`.
    pub(super) fn record_clock_step_failure(
        &mut self,
        by_us: i64,
        what: impl FnOnce() -> String,
        now: Instant,
    ) {
        self.excuse = Excuse::Machine;
        self.recorder().error("clock_step", Culprit::Generator, now, || {
            let moved = crate::units::human_signed_us(by_us);
            format!("{}: {} after this machine's clock stepped by {moved}", self.id(), what())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::moved;

    const HOUR: Duration = Duration::from_secs(3_600);
    const MINUTE: Duration = Duration::from_secs(60);
    const UNIX: Duration = Duration::from_secs(1_800_000_000);
    const FORWARD_US: i64 = 7_200_000_000;
    const BACK_US: i64 = -FORWARD_US;

    /// Checks a token in a run whose clock steps by `by_us` after ten minutes. `made` and `checked` are the minutes at which the
    /// token was created and checked by the hub.
    fn clock_step(
        by_us: i64,
        ttl: Duration,
        made: u32,
        checked: u32,
        change: impl FnOnce(&mut TokenCheck, Instant),
    ) -> Option<i64> {
        let start = crate::clock::now();
        let at = |minutes: u32| start + minutes * MINUTE;
        let unix = |minutes: u32| {
            let unstepped = UNIX + minutes * MINUTE;
            if minutes < 10 { unstepped } else { moved(unstepped, by_us) }
        };
        let mut token = TokenCheck {
            expiry: unix(made) + ttl,
            made: at(made),
            now: at(checked),
            unix: unix(checked),
            hub_stepped_until: None,
            recent_only: false,
        };
        change(&mut token, start);
        token.clock_step(&[Step { at: at(10), by_us }])
    }

    #[test]
    fn step_is_the_cause_if_the_clocks_disagree() {
        let same = |_: &mut TokenCheck, _| {};
        // A step forward: a token from before the step has expired according to the new clock.
        assert_eq!(clock_step(FORWARD_US, HOUR, 5, 11, same), Some(FORWARD_US));
        assert_eq!(clock_step(FORWARD_US, 12 * HOUR, 5, 11, same), None, "the token outlives the step");
        assert_eq!(clock_step(FORWARD_US, HOUR, 12, 13, same), None, "created after the step");
        assert_eq!(clock_step(FORWARD_US, HOUR, 12, 80, same), None, "expired without a step");
        // A step back: a token from after the step has expired according to the old clock.
        assert_eq!(clock_step(BACK_US, HOUR, 12, 13, same), Some(BACK_US));
        assert_eq!(clock_step(BACK_US, 12 * HOUR, 12, 13, same), None);
        assert_eq!(clock_step(BACK_US, HOUR, 5, 13, same), None, "valid on both clocks");
        assert_eq!(clock_step(BACK_US, HOUR, 5, 80, same), Some(BACK_US), "expired only on the old clock");
    }

    #[test]
    fn step_is_not_the_cause_if_the_hub_stepped_too() {
        let accepted_at = |minutes: u32| {
            move |check: &mut TokenCheck, start: Instant| {
                check.hub_stepped_until = Some(start + minutes * MINUTE);
            }
        };
        assert_eq!(clock_step(BACK_US, HOUR, 12, 14, accepted_at(13)), None);
        assert_eq!(
            clock_step(BACK_US, HOUR, 12, 14, accepted_at(9)),
            Some(BACK_US),
            "accepted before the step"
        );
    }

    #[test]
    fn step_is_not_the_cause_long_after_step_and_expiry() {
        let recent_only = |check: &mut TokenCheck, _| check.recent_only = true;
        assert_eq!(clock_step(FORWARD_US, HOUR, 5, 11, recent_only), Some(FORWARD_US), "the step was recent");
        assert_eq!(clock_step(FORWARD_US, HOUR, 5, 21, recent_only), None);
        assert_eq!(
            clock_step(BACK_US, 3 * HOUR, 12, 74, recent_only),
            Some(BACK_US),
            "expired two minutes ago on the old clock"
        );
        assert_eq!(clock_step(BACK_US, 3 * HOUR, 12, 90, recent_only), None);
    }

    #[test]
    fn several_steps_are_considered_together() {
        let start = crate::clock::now();
        let at = |minutes: u32| start + minutes * MINUTE;
        // Two steps forward of 45 minutes each, and a one-hour token.
        let steps =
            [Step { at: at(10), by_us: FORWARD_US / 8 * 3 }, Step { at: at(11), by_us: FORWARD_US / 8 * 3 }];
        let (made, now, hub_stepped_until, recent_only) = (at(5), at(12), None, false);
        let check = TokenCheck {
            expiry: UNIX + 5 * MINUTE + HOUR,
            made,
            now,
            unix: UNIX + 12 * MINUTE + HOUR + HOUR / 2,
            hub_stepped_until,
            recent_only,
        };
        assert_eq!(check.clock_step(&steps), Some(FORWARD_US / 8 * 3), "the last one alone decides");
        let check = TokenCheck { expiry: UNIX + 5 * MINUTE + HOUR / 2, ..check };
        assert_eq!(check.clock_step(&steps), Some(FORWARD_US / 4 * 3), "both decide");
    }
}
