//! Disconnects a device when its span or the run ends or its token must be renewed, after its in-flight messages have ended. Part
//! of `device`.

use super::state::{Disconnecting, SubscribeState};
use super::{ConnectionEnd, ConnectionState, Device};
use crate::measure::{Culprit, Operation};
use crate::policy::disconnect::Disconnect;
use crate::sansio::Close;
use crate::session::SessionError;
use bytes::BytesMut;
use std::time::{Duration, Instant};

/// How long a device waits for room to write DISCONNECT after its drain. If there is still no room, the peer has stopped reading.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a device that the service client calls stays online after the load, unless the drain is shorter: the last calls are
/// still in transit.
const LAST_CALLS_WAIT: Duration = Duration::from_secs(1);

impl Device {
    /// Handles the timeouts of the connection. Returns an error if the attempt has passed its deadline.
    pub(super) fn on_timeout_connection(&mut self, now: Instant) -> Result<(), SessionError> {
        let off = self.context.ns(now) >= self.offline_at_ns();
        self.on_timeout_suback(now);
        match &self.connection {
            ConnectionState::Connecting(attempt) if now >= attempt.deadline => {
                return Err(SessionError::ConnackTimeout);
            }
            ConnectionState::Connecting(_) if self.context.ns(now) >= self.give_up_ns() => {
                self.give_up(now);
                self.start_disconnect(ConnectionEnd::Finished, now);
            }
            ConnectionState::Online { .. } if off => self.leave(now),
            ConnectionState::Online { .. } if self.context.ns(now) >= self.disconnect_at_ns => {
                self.break_connection(ConnectionEnd::Disconnected, self.disconnect, now);
            }
            ConnectionState::Online { .. } if self.renewal_is_due(now) => {
                self.begin_renewal(now);
                self.start_reconnect(ConnectionEnd::Renewal, now);
            }
            ConnectionState::Disconnecting(disconnecting) if disconnecting.close.is_none() => {
                if off && disconnecting.reason != ConnectionEnd::Finished {
                    self.start_disconnect(ConnectionEnd::Finished, now);
                } else if now >= disconnecting.drain_until + DISCONNECT_TIMEOUT {
                    self.connection = ConnectionState::Disconnecting(Disconnecting {
                        close: Some(Close::Reset),
                        ..*disconnecting
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Starts a disconnect that is followed by an immediate reconnect. Messages wait until the device is online again.
    pub(super) fn start_reconnect(&mut self, reason: ConnectionEnd, now: Instant) {
        self.start_disconnect(reason, now);
        self.messages.block(self.context.ns(now));
    }

    fn start_disconnect(&mut self, reason: ConnectionEnd, now: Instant) {
        if reason == ConnectionEnd::Finished && self.span_end_ns() < self.span.to_ns {
            // A command ends the span, so messages that are due later are not sent while the others drain.
            self.span.to_ns = self.span_end_ns();
            self.messages.end_span(self.span.to_ns);
        }
        let online_since = self.online_since();
        // A device that is not online does not send DISCONNECT.
        let close = if online_since.is_some() { None } else { Some(Close::AfterFlush) };
        let drain_until = match reason {
            ConnectionEnd::Finished => now + self.context.plan.drain,
            _ => now + self.plan().ack_timeout,
        };
        let drain_until = drain_until.min(self.context.at(self.context.drain_end_ns()));
        self.connection =
            ConnectionState::Disconnecting(Disconnecting { reason, online_since, close, drain_until });
    }

    /// Starts the end of the span or of the run.
    fn leave(&mut self, now: Instant) {
        let by_churn = self.span.to_ns < self.context.load_end_ns() && self.span.to_ns <= self.span_end_ns();
        let churn = self.leaves.filter(|_| by_churn);
        match churn {
            Some(how @ (Disconnect::Reset | Disconnect::Silent)) => {
                self.break_connection(ConnectionEnd::Left, how, now);
            }
            Some(Disconnect::Close) => {
                self.recorder().count(|counts| counts.disconnects += 1);
                self.start_disconnect(ConnectionEnd::Finished, now);
            }
            None => self.start_disconnect(ConnectionEnd::Finished, now),
        }
    }

    /// Finds out when the scenario next disconnects the device.
    pub(super) fn plan_disconnect(&mut self, now: Instant) {
        let (plan, fleet) = (&self.context.plan, self.plan());
        let device = plan.device_seed(fleet, self.device.index);
        let next = plan.schedule_of(fleet).next_disconnect(&device, self.context.ns(now));
        (self.disconnect_at_ns, self.disconnect) = next.unwrap_or((u64::MAX, Disconnect::Close));
    }

    /// Ends the connection at once, without waiting for acknowledgments.
    fn break_connection(&mut self, reason: ConnectionEnd, how: Disconnect, now: Instant) {
        let close = match how {
            // DISCONNECT must be written first.
            Disconnect::Close => None,
            Disconnect::Reset => Some(Close::Reset),
            Disconnect::Silent => Some(Close::Silent),
        };
        if how == Disconnect::Reset {
            // The reset discards bytes that have not left this machine yet.
            self.record_dead_connection();
        }
        self.recorder().count(|counts| counts.disconnects += 1);
        let online_since = self.online_since();
        self.disconnect_at_ns = u64::MAX;
        self.connection =
            ConnectionState::Disconnecting(Disconnecting { reason, online_since, close, drain_until: now });
    }

    /// Returns true if the device is about to disconnect and will then reconnect immediately.
    pub(super) fn is_reconnecting(&self) -> bool {
        matches!(&self.connection, ConnectionState::Disconnecting(disconnecting) if disconnecting.reason != ConnectionEnd::Finished)
    }

    /// Disconnects once nothing is in flight, or when the drain is over.
    pub(super) fn disconnect_when_done(&mut self, now: Instant, out: &mut BytesMut) {
        let ConnectionState::Disconnecting(disconnecting) = self.connection else { return };
        if disconnecting.close.is_some() {
            return;
        }
        let waits = self.waits_for_answers() || self.owes_answers();
        let last_calls = self.last_calls();
        let backlog = disconnecting.reason == ConnectionEnd::Finished
            && self.messages.has_backlog(self.context.load_end_ns(), self.context.ns(now));
        let last_calls = last_calls.filter(|at| disconnecting.reason == ConnectionEnd::Finished && now < *at);
        let waits = waits || backlog || last_calls.is_some() || self.awaits_deliveries();
        let is_done = self.session.in_flight() == 0 && !waits;
        if now >= disconnecting.drain_until
            || (is_done && self.has_unsubscribed(disconnecting.reason, now, out))
        {
            self.connection = ConnectionState::Disconnecting(Disconnecting {
                close: Some(Close::AfterFlush),
                ..disconnecting
            });
            self.session.disconnect(now, out);
            self.wake_at = None;
        } else {
            let next = last_calls.map_or(disconnecting.drain_until, |at| at.min(disconnecting.drain_until));
            self.wake_at = Some(self.wake_at.map_or(next, |wake| wake.min(next)));
        }
    }

    /// Unsubscribes before a planned end if the fleet is configured to. Returns true once there is nothing to wait for.
    fn has_unsubscribed(&mut self, reason: ConnectionEnd, now: Instant, out: &mut BytesMut) -> bool {
        match &self.subscribe {
            _ if reason != ConnectionEnd::Finished || !self.plan().unsubscribe => true,
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
                            .error("encode", Culprit::Generator, now, || format!("{}: {error}", self.id()));
                    }
                }
                matches!(self.subscribe, SubscribeState::Unsubscribed)
            }
        }
    }

    /// Returns when the last calls should have arrived, if the service client calls the device until the load's end.
    fn last_calls(&self) -> Option<Instant> {
        // An observer ends the run only after the last call.
        if self.context.observer.is_some() {
            return None;
        }
        let load_end_ns = self.context.load_end_ns();
        let called = self.context.plan.drives.iter().any(|drive| drive.fleet == self.device.fleet);
        (called && self.span_end_ns() >= load_end_ns).then(|| self.context.at(load_end_ns) + LAST_CALLS_WAIT)
    }

    /// Returns when `on_timeout_connection` next has something to do.
    pub(super) fn next_boundary(&self) -> Option<Instant> {
        let off = || self.context.at(self.offline_at_ns());
        match &self.connection {
            ConnectionState::Offline => None,
            ConnectionState::Connecting(attempt) => {
                Some(attempt.deadline.min(self.context.at(self.give_up_ns())))
            }
            ConnectionState::Online { .. } => {
                let next_ns = self.offline_at_ns().min(self.disconnect_at_ns).min(self.renew_at_ns);
                [self.suback_by(), Some(self.context.at(next_ns))].into_iter().flatten().min()
            }
            ConnectionState::Disconnecting(disconnecting) if disconnecting.close.is_none() => {
                let reset_at = disconnecting.drain_until + DISCONNECT_TIMEOUT;
                Some(if disconnecting.reason == ConnectionEnd::Finished {
                    reset_at
                } else {
                    reset_at.min(off())
                })
            }
            ConnectionState::Disconnecting(_) => None,
        }
    }
}
