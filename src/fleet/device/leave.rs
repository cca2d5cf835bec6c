//! How a device goes: when the plan, the end of the run or its token says so, after what is in flight. A part of
//! `device`.

use super::Device;
use bytes::BytesMut;
use std::time::Instant;

/// Why a device wants its connection to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Its token is about to expire.
    Renew,
    /// The plan takes it offline, or the run is over.
    Finish,
}

impl Device {
    /// Decides whether this connection should end, and ends it when nothing is in flight any more.
    pub(super) fn consider_leaving(&mut self, now: Instant, out: &mut BytesMut) {
        let now_ns = self.context.ns(now);
        if !matches!(self.leave, Some((Leave::Finish, _))) {
            if now_ns >= self.off_ns() {
                self.leave = Some((Leave::Finish, now));
            } else if self.leave.is_none() && self.renew_at.is_some_and(|at| now >= at) {
                self.leave = Some((Leave::Renew, now));
                self.messages.block(now_ns);
            }
        }
        let Some((leave, since)) = self.leave else { return };
        let waits_for = match leave {
            Leave::Renew => false,
            Leave::Finish => self.messages.has_backlog(self.context.load_end_ns(), now_ns),
        };
        let drained = self.session.in_flight() == 0 && !waits_for;
        if drained || now >= self.leave_by(leave, since) {
            self.session.disconnect(now, out);
            self.said_goodbye = true;
            self.wake = None;
        } else {
            let by = self.leave_by(leave, since);
            self.wake = Some(self.wake.map_or(by, |wake| wake.min(by)));
        }
    }

    /// When a device that wants to leave stops waiting for acks.
    fn leave_by(&self, leave: Leave, since: Instant) -> Instant {
        let fleet = &self.context.plan.fleets[usize::from(self.fleet)];
        let drained = match leave {
            Leave::Renew => since + fleet.ack_timeout,
            Leave::Finish => since + self.context.plan.drain,
        };
        if self.context.ns(since) >= self.context.load_end_ns() {
            return self.context.at(self.context.drain_end_ns());
        }
        drained
    }

    /// When the plan or the token wants the device gone, as long as nobody has noticed.
    pub(super) fn next_boundary(&self) -> Option<Instant> {
        if self.leave.is_some() {
            return None;
        }
        let off = Some(self.context.at(self.off_ns()));
        off.into_iter().chain(self.renew_at).min()
    }
}
