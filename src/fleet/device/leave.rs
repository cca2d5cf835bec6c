//! How a device goes: when the plan, the end of the run or its token says so, after what is in flight. A part of
//! `device`.

use super::connect::Subscribe;
use super::{Device, Stage};
use crate::measure::{Culprit, Operation};
use crate::session::SessionError;
use bytes::BytesMut;
use std::time::{Duration, Instant};

/// How long a device that should have said goodbye waits for room to say it: its peer has stopped reading.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a device that the service side calls stays after the load's end, if the drain is not shorter: the last calls are
/// still on their way to it.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// Why a device wants its connection to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Its token is about to expire.
    Renew,
    /// A method asked it to go and come back.
    Reconnect,
    /// The plan takes it offline, or the run is over.
    Finish,
}

/// A connection on its way to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    pub(super) why: Leave,
    /// Since when it is online, if it is.
    pub(super) online_since: Option<Instant>,
    pub(super) farewell: Farewell,
    /// When it stops waiting for acks.
    by: Instant,
}

/// How far the goodbye is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Acks are outstanding, or messages wait to be sent.
    Waiting,
    /// DISCONNECT is in the output, or there was nobody to say it to.
    Said,
    /// The peer does not take the output: nothing can be said.
    Cut,
}

impl Device {
    /// What the passing of time means to the connection. An attempt that is over its deadline is an error.
    pub(super) fn heed_time(&mut self, now: Instant) -> Result<(), SessionError> {
        let off = self.context.ns(now) >= self.off_ns();
        self.heed_suback(now);
        match &self.stage {
            Stage::Connecting(attempt) if now >= attempt.deadline => {
                return Err(SessionError::ConnackTimeout);
            }
            Stage::Connecting(_) if self.context.ns(now) >= self.give_up_ns() => {
                self.give_up(now);
                self.leave(Leave::Finish, now);
            }
            Stage::Online { .. } if off => self.leave(Leave::Finish, now),
            Stage::Online { .. } if self.renewal_is_due(now) => {
                self.begin_renewal(now);
                self.leave_to_return(Leave::Renew, now);
            }
            Stage::Leaving(leaving) if leaving.farewell == Farewell::Waiting => {
                if off && leaving.why != Leave::Finish {
                    self.leave(Leave::Finish, now);
                } else if now >= leaving.by + FAREWELL_TIMEOUT {
                    self.stage = Stage::Leaving(Leaving { farewell: Farewell::Cut, ..*leaving });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Goes in order to come back at once; messages wait until then.
    pub(super) fn leave_to_return(&mut self, why: Leave, now: Instant) {
        self.leave(why, now);
        self.messages.block(self.context.ns(now));
    }

    fn leave(&mut self, why: Leave, now: Instant) {
        let online_since = self.online_since();
        let farewell = if online_since.is_some() { Farewell::Waiting } else { Farewell::Said };
        let patience = match why {
            Leave::Renew | Leave::Reconnect => now + self.plan().ack_timeout,
            Leave::Finish => now + self.context.plan.drain,
        };
        let by = patience.min(self.context.at(self.context.drain_end_ns()));
        self.stage = Stage::Leaving(Leaving { why, online_since, farewell, by });
    }

    /// It is about to go, and will be back at once.
    pub(super) fn is_coming_back(&self) -> bool {
        matches!(&self.stage, Stage::Leaving(leaving) if leaving.why != Leave::Finish)
    }

    /// Ends the connection once nothing is in flight any more, or has been for too long.
    pub(super) fn say_goodbye(&mut self, now: Instant, out: &mut BytesMut) {
        let Stage::Leaving(leaving) = self.stage else { return };
        if leaving.farewell != Farewell::Waiting {
            return;
        }
        let waits = self.waits_for_answers() || self.owes_answers();
        let last_calls = self.last_calls();
        let backlog = leaving.why == Leave::Finish
            && self.messages.has_backlog(self.context.load_end_ns(), self.context.ns(now));
        let last_calls = last_calls.filter(|at| leaving.why == Leave::Finish && now < *at);
        let waits = waits || backlog || last_calls.is_some() || self.awaits_deliveries();
        let is_done = self.session.in_flight() == 0 && !waits;
        if now >= leaving.by || (is_done && self.has_unsubscribed(leaving.why, now, out)) {
            self.stage = Stage::Leaving(Leaving { farewell: Farewell::Said, ..leaving });
            self.session.disconnect(now, out);
            self.wake = None;
        } else {
            let next = last_calls.map_or(leaving.by, |at| at.min(leaving.by));
            self.wake = Some(self.wake.map_or(next, |wake| wake.min(next)));
        }
    }

    /// Ends the subscriptions of a device that is not coming back at once, if its fleet does so; true when there is nothing to wait
    /// for.
    fn has_unsubscribed(&mut self, why: Leave, now: Instant, out: &mut BytesMut) -> bool {
        match &self.subscribe {
            _ if why != Leave::Finish || !self.plan().unsubscribe => true,
            Subscribe::Sent(_) | Subscribe::Ending(_) => false,
            Subscribe::Ended => true,
            Subscribe::Due | Subscribe::Done => {
                let filters = self.filters();
                let filters: Vec<&str> = filters.iter().map(|(filter, _)| filter.as_str()).collect();
                match self.session.unsubscribe(now, &filters, out) {
                    Ok(_) => {
                        let open = self.recorder().due(Operation::Unsubscribe, self.context.ns(now));
                        self.subscribe = Subscribe::Ending(Box::new(open));
                    }
                    Err(error) => {
                        self.subscribe = Subscribe::Ended;
                        self.recorder()
                            .error("encode", Culprit::Us, now, || format!("{}: {error}", self.id()));
                    }
                }
                matches!(self.subscribe, Subscribe::Ended)
            }
        }
    }

    /// When the last calls of the service side will have come to a device that is called until the load's end.
    fn last_calls(&self) -> Option<Instant> {
        let load_end_ns = self.context.load_end_ns();
        let called = self.context.plan.drives.iter().any(|drive| drive.fleet == self.device.fleet);
        (called && self.span.to_ns >= load_end_ns).then(|| self.context.at(load_end_ns) + LAST_CALLS)
    }

    /// When `heed_time` has something to do.
    pub(super) fn next_boundary(&self) -> Option<Instant> {
        let off = || self.context.at(self.off_ns());
        match &self.stage {
            Stage::Offline => None,
            Stage::Connecting(attempt) => Some(attempt.deadline.min(self.context.at(self.give_up_ns()))),
            Stage::Online { .. } => {
                [self.renew_at, self.suback_by(), Some(off())].into_iter().flatten().min()
            }
            Stage::Leaving(leaving) if leaving.farewell == Farewell::Waiting => {
                let cut = leaving.by + FAREWELL_TIMEOUT;
                Some(if leaving.why == Leave::Finish { cut } else { cut.min(off()) })
            }
            Stage::Leaving(_) => None,
        }
    }
}
