//! How a device goes: when the plan, the end of the run or its token says so, after what is in flight. A part of
//! `device`.

use super::connect::Subscribe;
use super::{ConnectionEnd, Device, Stage};
use crate::measure::{Culprit, Operation};
use crate::sansio::Close;
use crate::session::SessionError;
use bytes::BytesMut;
use std::time::{Duration, Instant};

/// How long a device that should have said goodbye waits for room to say it: its peer has stopped reading.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a device that the service side calls stays after the load's end, if the drain is not shorter: the last calls are
/// still on their way to it.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// A connection on its way to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    pub(super) why: ConnectionEnd,
    /// Since when it is online, if it is.
    pub(super) online_since: Option<Instant>,
    /// How it is closed, once DISCONNECT is in the output or cannot be said: the peer does not take the output.
    pub(super) close: Option<Close>,
    /// When it stops waiting for acks.
    by: Instant,
}

impl Device {
    /// What the passing of time means to the connection. An attempt that is over its deadline is an error.
    pub(super) fn on_timeout_connection(&mut self, now: Instant) -> Result<(), SessionError> {
        let off = self.context.ns(now) >= self.off_ns();
        self.on_timeout_suback(now);
        match &self.stage {
            Stage::Connecting(attempt) if now >= attempt.deadline => {
                return Err(SessionError::ConnackTimeout);
            }
            Stage::Connecting(_) if self.context.ns(now) >= self.give_up_ns() => {
                self.give_up(now);
                self.leave(ConnectionEnd::Finished, now);
            }
            Stage::Online { .. } if off => self.leave(ConnectionEnd::Finished, now),
            Stage::Online { .. } if self.renewal_is_due(now) => {
                self.begin_renewal(now);
                self.leave_to_return(ConnectionEnd::Renewal, now);
            }
            Stage::Leaving(leaving) if leaving.close.is_none() => {
                if off && leaving.why != ConnectionEnd::Finished {
                    self.leave(ConnectionEnd::Finished, now);
                } else if now >= leaving.by + FAREWELL_TIMEOUT {
                    self.stage = Stage::Leaving(Leaving { close: Some(Close::Reset), ..*leaving });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Goes in order to come back at once; messages wait until then.
    pub(super) fn leave_to_return(&mut self, why: ConnectionEnd, now: Instant) {
        self.leave(why, now);
        self.messages.block(self.context.ns(now));
    }

    fn leave(&mut self, why: ConnectionEnd, now: Instant) {
        let online_since = self.online_since();
        // Without a session there is nobody to say DISCONNECT to.
        let close = if online_since.is_some() { None } else { Some(Close::AfterFlush) };
        let patience = match why {
            ConnectionEnd::Finished => now + self.context.plan.drain,
            _ => now + self.plan().ack_timeout,
        };
        let by = patience.min(self.context.at(self.context.drain_end_ns()));
        self.stage = Stage::Leaving(Leaving { why, online_since, close, by });
    }

    /// It is about to go, and will be back at once.
    pub(super) fn is_coming_back(&self) -> bool {
        matches!(&self.stage, Stage::Leaving(leaving) if leaving.why != ConnectionEnd::Finished)
    }

    /// Ends the connection once nothing is in flight any more, or has been for too long.
    pub(super) fn say_goodbye(&mut self, now: Instant, out: &mut BytesMut) {
        let Stage::Leaving(leaving) = self.stage else { return };
        if leaving.close.is_some() {
            return;
        }
        let waits = self.waits_for_answers() || self.owes_answers();
        let last_calls = self.last_calls();
        let backlog = leaving.why == ConnectionEnd::Finished
            && self.messages.has_backlog(self.context.load_end_ns(), self.context.ns(now));
        let last_calls = last_calls.filter(|at| leaving.why == ConnectionEnd::Finished && now < *at);
        let waits = waits || backlog || last_calls.is_some() || self.awaits_deliveries();
        let is_done = self.session.in_flight() == 0 && !waits;
        if now >= leaving.by || (is_done && self.has_unsubscribed(leaving.why, now, out)) {
            self.stage = Stage::Leaving(Leaving { close: Some(Close::AfterFlush), ..leaving });
            self.session.disconnect(now, out);
            self.wake = None;
        } else {
            let next = last_calls.map_or(leaving.by, |at| at.min(leaving.by));
            self.wake = Some(self.wake.map_or(next, |wake| wake.min(next)));
        }
    }

    /// Ends the subscriptions of a device that is not coming back at once, if its fleet does so; true when there is nothing to wait
    /// for.
    fn has_unsubscribed(&mut self, why: ConnectionEnd, now: Instant, out: &mut BytesMut) -> bool {
        match &self.subscribe {
            _ if why != ConnectionEnd::Finished || !self.plan().unsubscribe => true,
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

    /// When `on_timeout_connection` has something to do.
    pub(super) fn next_boundary(&self) -> Option<Instant> {
        let off = || self.context.at(self.off_ns());
        match &self.stage {
            Stage::Offline => None,
            Stage::Connecting(attempt) => Some(attempt.deadline.min(self.context.at(self.give_up_ns()))),
            Stage::Online { .. } => {
                [self.renew_at, self.suback_by(), Some(off())].into_iter().flatten().min()
            }
            Stage::Leaving(leaving) if leaving.close.is_none() => {
                let cut = leaving.by + FAREWELL_TIMEOUT;
                Some(if leaving.why == ConnectionEnd::Finished { cut } else { cut.min(off()) })
            }
            Stage::Leaving(_) => None,
        }
    }
}
