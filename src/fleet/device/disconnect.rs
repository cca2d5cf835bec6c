//! How a device goes: when the plan, the end of the run or its token says so, after what is in flight. A part of
//! `device`.

use super::connect::SubscribeState;
use super::{ConnectionEnd, Device, Stage};
use crate::measure::{Culprit, Operation};
use crate::sansio::Close;
use crate::session::SessionError;
use bytes::BytesMut;
use std::time::{Duration, Instant};

/// How long a device that should have said goodbye waits for room to say it: its peer has stopped reading.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a device that the service side calls stays after the load's end, if the drain is not shorter: the last calls are
/// still on their way to it.
const LAST_CALLS_WAIT: Duration = Duration::from_secs(1);

/// A connection on its way to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disconnecting {
    pub(super) why: ConnectionEnd,
    /// Since when it is online, if it is.
    pub(super) online_since: Option<Instant>,
    /// How it is closed, once DISCONNECT is in the output or cannot be said: the peer does not take the output.
    pub(super) close: Option<Close>,
    /// When it stops waiting for acks.
    drain_until: Instant,
}

impl Device {
    /// What the passing of time means to the connection. An attempt that is over its deadline is an error.
    pub(super) fn on_timeout_connection(&mut self, now: Instant) -> Result<(), SessionError> {
        let off = self.context.ns(now) >= self.offline_at_ns();
        self.on_timeout_suback(now);
        match &self.stage {
            Stage::Connecting(attempt) if now >= attempt.deadline => {
                return Err(SessionError::ConnackTimeout);
            }
            Stage::Connecting(_) if self.context.ns(now) >= self.give_up_ns() => {
                self.give_up(now);
                self.start_disconnect(ConnectionEnd::Finished, now);
            }
            Stage::Online { .. } if off => self.start_disconnect(ConnectionEnd::Finished, now),
            Stage::Online { .. } if self.renewal_is_due(now) => {
                self.begin_renewal(now);
                self.start_reconnect(ConnectionEnd::Renewal, now);
            }
            Stage::Disconnecting(disconnecting) if disconnecting.close.is_none() => {
                if off && disconnecting.why != ConnectionEnd::Finished {
                    self.start_disconnect(ConnectionEnd::Finished, now);
                } else if now >= disconnecting.drain_until + DISCONNECT_TIMEOUT {
                    self.stage =
                        Stage::Disconnecting(Disconnecting { close: Some(Close::Reset), ..*disconnecting });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Goes in order to come back at once; messages wait until then.
    pub(super) fn start_reconnect(&mut self, why: ConnectionEnd, now: Instant) {
        self.start_disconnect(why, now);
        self.messages.block(self.context.ns(now));
    }

    fn start_disconnect(&mut self, why: ConnectionEnd, now: Instant) {
        let online_since = self.online_since();
        // Without a session there is nobody to say DISCONNECT to.
        let close = if online_since.is_some() { None } else { Some(Close::AfterFlush) };
        let drain_until = match why {
            ConnectionEnd::Finished => now + self.context.plan.drain,
            _ => now + self.plan().ack_timeout,
        };
        let drain_until = drain_until.min(self.context.at(self.context.drain_end_ns()));
        self.stage = Stage::Disconnecting(Disconnecting { why, online_since, close, drain_until });
    }

    /// It is about to go, and will be back at once.
    pub(super) fn is_reconnecting(&self) -> bool {
        matches!(&self.stage, Stage::Disconnecting(disconnecting) if disconnecting.why != ConnectionEnd::Finished)
    }

    /// Ends the connection once nothing is in flight any more, or has been for too long.
    pub(super) fn disconnect_when_done(&mut self, now: Instant, out: &mut BytesMut) {
        let Stage::Disconnecting(disconnecting) = self.stage else { return };
        if disconnecting.close.is_some() {
            return;
        }
        let waits = self.waits_for_answers() || self.owes_answers();
        let last_calls = self.last_calls();
        let backlog = disconnecting.why == ConnectionEnd::Finished
            && self.messages.has_backlog(self.context.load_end_ns(), self.context.ns(now));
        let last_calls = last_calls.filter(|at| disconnecting.why == ConnectionEnd::Finished && now < *at);
        let waits = waits || backlog || last_calls.is_some() || self.awaits_deliveries();
        let is_done = self.session.in_flight() == 0 && !waits;
        if now >= disconnecting.drain_until || (is_done && self.has_unsubscribed(disconnecting.why, now, out))
        {
            self.stage =
                Stage::Disconnecting(Disconnecting { close: Some(Close::AfterFlush), ..disconnecting });
            self.session.disconnect(now, out);
            self.wake = None;
        } else {
            let next = last_calls.map_or(disconnecting.drain_until, |at| at.min(disconnecting.drain_until));
            self.wake = Some(self.wake.map_or(next, |wake| wake.min(next)));
        }
    }

    /// Ends the subscriptions of a device that is not coming back at once, if its fleet does so; true when there is nothing to wait
    /// for.
    fn has_unsubscribed(&mut self, why: ConnectionEnd, now: Instant, out: &mut BytesMut) -> bool {
        match &self.subscribe {
            _ if why != ConnectionEnd::Finished || !self.plan().unsubscribe => true,
            SubscribeState::Sent(_) | SubscribeState::Unsubscribing(_) => false,
            SubscribeState::Unsubscribed => true,
            SubscribeState::Due | SubscribeState::Done => {
                let filters = self.filters();
                let filters: Vec<&str> = filters.iter().map(|(filter, _)| filter.as_str()).collect();
                match self.session.unsubscribe(now, &filters, out) {
                    Ok(_) => {
                        let open = self.recorder().due(Operation::Unsubscribe, self.context.ns(now));
                        self.subscribe = SubscribeState::Unsubscribing(Box::new(open));
                    }
                    Err(error) => {
                        self.subscribe = SubscribeState::Unsubscribed;
                        self.recorder()
                            .error("encode", Culprit::Us, now, || format!("{}: {error}", self.id()));
                    }
                }
                matches!(self.subscribe, SubscribeState::Unsubscribed)
            }
        }
    }

    /// When the last calls of the service side will have come to a device that is called until the load's end.
    fn last_calls(&self) -> Option<Instant> {
        let load_end_ns = self.context.load_end_ns();
        let called = self.context.plan.drives.iter().any(|drive| drive.fleet == self.device.fleet);
        (called && self.span.to_ns >= load_end_ns).then(|| self.context.at(load_end_ns) + LAST_CALLS_WAIT)
    }

    /// When `on_timeout_connection` has something to do.
    pub(super) fn next_boundary(&self) -> Option<Instant> {
        let off = || self.context.at(self.offline_at_ns());
        match &self.stage {
            Stage::Offline => None,
            Stage::Connecting(attempt) => Some(attempt.deadline.min(self.context.at(self.give_up_ns()))),
            Stage::Online { .. } => {
                [self.renew_at, self.suback_by(), Some(off())].into_iter().flatten().min()
            }
            Stage::Disconnecting(disconnecting) if disconnecting.close.is_none() => {
                let cut = disconnecting.drain_until + DISCONNECT_TIMEOUT;
                Some(if disconnecting.why == ConnectionEnd::Finished { cut } else { cut.min(off()) })
            }
            Stage::Disconnecting(_) => None,
        }
    }
}
