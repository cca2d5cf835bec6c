//! How a session asks the throttles of the hub, and how it holds the packets that they delay. A throttled hub accepts a
//! message or a request immediately and holds its acknowledgment or answer back. The delay is a deadline in the future, so it never counts
//! as a stall. Independent of sockets, like the rest of the session.

use super::{HubError, HubSession, OutgoingPacket, State};
use crate::emulator::throttle::{Held, Refused};
use crate::iothub::throttles::Class;
use std::time::Instant;

impl HubSession {
    /// Asks the throttle of new connections. A CONNECT that is refused for another reason does not count (our choice).
    pub(super) fn throttle_connect(&self, now: Instant) -> Result<Held, HubError> {
        let Some(throttle) = self.directory.throttle() else { return Ok(None) };
        Ok(throttle.request(Class::Connections, now, 1)?)
    }

    /// Asks the throttle and the quota for a device-to-cloud message.
    #[inline]
    pub(super) fn throttle_telemetry(
        &self,
        now: Instant,
        body_bytes: usize,
        bag: &str,
    ) -> Result<Held, HubError> {
        let Some(throttle) = self.directory.throttle() else { return Ok(None) };
        let shard = self.address.map_or(0, |address| address.shard);
        Ok(throttle.telemetry(shard, now, body_bytes, bag)?)
    }

    /// Asks the throttle and the quota for a twin request. Returns `Err` in the result if the request must be answered with status 429.
    pub(super) fn throttle_twin(
        &self,
        now: Instant,
        class: Class,
    ) -> Result<Result<Held, Refused>, HubError> {
        self.check_quota_fault(now)?;
        let Some(throttle) = self.directory.throttle() else { return Ok(Ok(None)) };
        throttle.check_quota(now)?;
        match throttle.request(class, now, 1) {
            // The device sees the end of its connection (issue 67 of eclipse-threadx/getting-started).
            Err(Refused::NotInTier) => Err(Refused::NotInTier.into()),
            other => Ok(other),
        }
    }

    /// Charges a request or an answer to the daily quota.
    pub(super) fn charge(&self, now: Instant, bytes: usize) {
        if let Some(throttle) = self.directory.throttle() {
            throttle.charge(now, bytes);
        }
    }

    /// Holds the CONNACK of a valid CONNECT.
    pub(super) fn hold_connack(&mut self, at: Instant) {
        self.state = State::Throttled;
        self.held.connack_at = Some(at);
    }

    /// Sends a PUBACK, or holds it until `held`. A fault may hold it for longer, or drop it.
    #[inline]
    pub(super) fn acknowledge(&mut self, now: Instant, pid: u16, held: Held) {
        let Some(held) = self.puback_under_faults(now, held) else { return };
        let packet = OutgoingPacket::PubAck(pid);
        match held.max(self.held.last_puback_at) {
            None => self.outgoing.push_back(packet),
            Some(at) => {
                self.held.last_puback_at = Some(at);
                self.held.insert(at, packet);
            }
        }
    }

    /// Queues an answer, or holds it until `held`.
    pub(super) fn queue(&mut self, packet: OutgoingPacket, held: Held) {
        match held {
            None => self.outgoing.push_back(packet),
            Some(at) => self.held.insert(at, packet),
        }
    }

    /// Queues the packets that the throttles let pass now.
    pub(super) fn release_held(&mut self, now: Instant) {
        while let Some(packet) = self.held.pop(now) {
            self.outgoing.push_back(packet);
        }
        self.held.last_puback_at.take_if(|at| *at <= now);
    }
}
