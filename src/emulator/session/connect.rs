//! CONNECT: whether the hub admits the device, and what the session remembers of it. Independent of sockets, like the rest of the session.

use super::{Event, HubError, HubSession, OutgoingPacket, State};
use crate::emulator::admission::{self, Refusal};
use crate::emulator::telemetry::Telemetry;
use crate::iothub::limits;
use crate::iothub::names::DEVICE_ID_CHARS_MAX;
use crate::iothub::topics::{self, Inbound};
use crate::wire;
use std::time::{Duration, Instant};

impl HubSession {
    pub(super) fn handle_connect(&mut self, now: Instant, connect: &wire::Connect) -> Result<(), HubError> {
        let unix = self.unix(now);
        let config = self.directory.config();
        let expiry_grace = config.options.expiry_grace;
        match admission::admit(config, connect, unix.as_secs()) {
            Ok(admitted) => {
                self.device = admitted.device;
                self.update_faults(now);
                if let Some(refusal) = self.refused_by_fault(now) {
                    self.refuse(refusal);
                    return Ok(());
                }
                let connack = self.throttle_connect(now)?.max(self.slow_connack(now));
                self.clean_session = connect.clean_session;
                self.has_api_version = admitted.has_api_version;
                self.will = connect.will.as_ref().and_then(|will| self.telemetry_of(will));
                self.keep_alive_timeout = limits::keep_alive_timeout(connect.keep_alive_s);
                // Use a duration from now, so that a later step of the wall clock neither ends nor extends the connection.
                let end = Duration::from_secs(admitted.expiry_unix).saturating_add(expiry_grace);
                self.expires = now.checked_add(end.saturating_sub(unix));
                match connack {
                    Some(at) => self.hold_connack(at),
                    None => self.authorize(),
                }
            }
            Err(refusal) => {
                self.device = connect.client_id.chars().take(DEVICE_ID_CHARS_MAX).collect();
                self.refuse(refusal);
            }
        }
        Ok(())
    }

    pub(super) fn authorize(&mut self) {
        self.state = State::Claiming;
        self.event = Some(Event::Authorized);
    }

    fn telemetry_of(&self, will: &wire::Will) -> Option<Box<Telemetry>> {
        let Some(Inbound::Telemetry { bag }) = topics::inbound(&self.device, &will.topic) else {
            return None;
        };
        if self.first_unescaped(bag).is_some() {
            return None;
        }
        Some(Box::new(Telemetry {
            device: self.device.to_string(),
            bag: bag.to_owned(),
            payload: will.payload.to_vec(),
            retain: false,
            will: true,
        }))
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.state = State::Closing;
        self.will = None;
        self.outgoing.push_back(OutgoingPacket::ConnAck { session_present: false, code: refusal.code() });
        self.event = Some(Event::Refused(refusal));
    }
}
