//! One connection of a device as the hub sees it: sans-I/O and strict. `link::Link` drives it through [`Machine`]; `connection` owns it (in
//! `pair_tests`, the test does). It handles packets and time, and does not know about sockets, shards or other connections.
//!
//! The owner frees the device id before the connection is admitted. After a valid CONNECT, the session reports [`Event::Authorized`] and
//! stops reading. The owner then calls [`HubSession::claim`], closes the connection that the call returns, and calls [`HubSession::admit`].
//! At the end of the connection, the owner calls [`HubSession::release`].
//!
//! The state that outlives a connection is in the [`Directory`]. `connect` handles CONNECT, `exchange` all requests other than telemetry,
//! `throttling` what a throttle delays, `faults` what a fault does, and `drain` the end of the hub.

mod connect;
mod device_faults;
mod drain;
mod error;
mod exchange;
mod faults;
mod held;
mod method;
mod outgoing;
mod throttling;

pub use error::HubError;

use super::address::Address;
use super::admission::Refusal;
use super::directory::Directory;
use super::telemetry::Telemetry;
use super::unadmitted::shrink_to_connect;
use crate::iothub::message_size::message_bytes;
use crate::iothub::topics::{self, Inbound};
use crate::iothub::{limits, properties};
use crate::sansio::{Close, Closed, Machine, OUTPUT_BYTES_MAX};
use crate::wire::{self, Packet, QoS, Strictness, encode};
use bytes::BytesMut;
use device_faults::DeviceFaults;
use held::HeldPackets;
use method::SentCall;
use outgoing::OutgoingPacket;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Size limit of a frame: the largest message with the longest topic. A larger frame ends the connection. Azure documents neither this
/// limit nor how the hub ends the connection.
const FRAME_BYTES_MAX: usize = limits::TELEMETRY_BYTES_MAX + wire::STRING_BYTES_MAX + 16;

/// The first byte of CONNECT (MQTT 3.1.1 §3.1.1).
const CONNECT: u8 = 0x10;

/// The maximum number of packets waiting to be written. At the limit, the session stops reading.
const OUTGOING_MAX: usize = 1024;

/// The same limit in bytes, for packets with a payload.
const OUTGOING_BYTES_MAX: usize = 256 * 1024;

/// An event that the owner must handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// CONNECT is valid: call [`HubSession::claim`], free the device id, then call [`HubSession::admit`].
    Authorized,
    /// CONNECT is refused; a CONNACK with the return code follows.
    Refused(Refusal),
    /// The token and its grace period have expired; the connection is closing.
    Expired,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// CONNECT has not arrived and must not be read yet.
    Waiting,
    /// CONNECT was valid; a throttle delays CONNACK.
    Throttled,
    /// CONNECT was valid; another connection may still use the device id.
    Claiming,
    /// CONNECT has not arrived.
    Opening,
    /// A CONNACK with return code 0 has been sent.
    Online,
    /// The connection is closing; further input is discarded.
    Closing,
}

/// One connection of a device as the hub sees it.
#[derive(Debug)]
pub struct HubSession {
    directory: Arc<Directory>,
    state: State,
    opened: Instant,
    device: Box<str>,
    address: Option<Address>,
    clean_session: bool,
    has_api_version: bool,
    /// The will, if it is telemetry; dropped on DISCONNECT. Azure does not document what happens to a will on another topic, or to one with
    /// a property bag for which the hub would close the connection. The emulator does not publish such a will.
    will: Option<Box<Telemetry>>,
    keep_alive_timeout: Duration,
    /// When the last packet arrived.
    last_packet: Instant,
    /// When the expiry of the token ends the connection; `None` if that is beyond the range of `Instant`.
    expires: Option<Instant>,
    outgoing: VecDeque<OutgoingPacket>,
    /// Packets that a throttle delays.
    held: HeldPackets<OutgoingPacket>,
    /// The total size of the waiting [`OutgoingPacket::Frame`]s, in bytes.
    frame_bytes: usize,
    /// Packet id of the last response or notification at QoS 1.
    last_pid: u16,
    /// True if there may be something in the device's state to send.
    woken: bool,
    /// Method calls that have been sent but not answered.
    sent_calls: Vec<SentCall>,
    /// When a cloud-to-device message must be delivered again.
    retry_at: Option<Instant>,
    event: Option<Event>,
    /// True to end the connection with a reset.
    is_reset: bool,
    /// When the connection was admitted.
    online_since: Option<Instant>,
    /// Faults that affect the device; `None` on a hub without faults.
    faults: Option<Box<DeviceFaults>>,
    /// True if the hub is stopping: the connection closes once its acknowledgments are sent.
    draining: bool,
    telemetry: u64,
    acks: u64,
}

impl HubSession {
    /// Returns the session of a connection that was accepted at `now`.
    #[must_use]
    pub fn new(directory: Arc<Directory>, now: Instant) -> HubSession {
        HubSession {
            directory,
            state: State::Opening,
            opened: now,
            device: Box::default(),
            address: None,
            clean_session: true,
            has_api_version: false,
            will: None,
            keep_alive_timeout: limits::KEEP_ALIVE_TIMEOUT_MAX,
            last_packet: now,
            expires: None,
            outgoing: VecDeque::new(),
            held: HeldPackets::default(),
            frame_bytes: 0,
            last_pid: 0,
            woken: false,
            sent_calls: Vec::new(),
            retry_at: None,
            event: None,
            is_reset: false,
            online_since: None,
            faults: None,
            draining: false,
            telemetry: 0,
            acks: 0,
        }
    }

    /// Returns the device id, which is empty before [`Event::Authorized`]. After [`Event::Refused`] returns the client id, truncated to the
    /// maximum length of a device id.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Returns true between a CONNACK with return code 0 and the end of the connection.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.state == State::Online
    }

    /// Returns true until a CONNECT has arrived.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening | State::Waiting)
    }

    /// Sets whether CONNECT may be read. Initially it may.
    pub fn may_read(&mut self, may: bool) {
        self.state = match (self.state, may) {
            (State::Waiting, true) => State::Opening,
            (State::Opening, false) => State::Waiting,
            (other, _) => other,
        };
    }

    /// Returns true while a throttle delays the CONNACK of a valid CONNECT.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.state == State::Throttled
    }

    /// Returns true between [`Event::Authorized`] and [`HubSession::admit`].
    #[must_use]
    pub fn is_claiming(&self) -> bool {
        self.state == State::Claiming
    }

    /// Returns the number of telemetry messages accepted since the previous call.
    pub fn take_telemetry(&mut self) -> u64 {
        std::mem::take(&mut self.telemetry)
    }

    /// Returns the number of PUBACK packets written since the previous call.
    pub fn take_acks(&mut self) -> u64 {
        std::mem::take(&mut self.acks)
    }

    /// Claims the device for this connection, whose address is `by`. Returns the connection that must close and be released before
    /// [`HubSession::admit`].
    pub fn claim(&mut self, by: Address) -> Option<Address> {
        self.address = Some(by);
        self.directory.claim(&self.device, by)
    }

    /// Answers CONNECT, now that the device id is free.
    pub fn admit(&mut self, now: Instant) {
        let (State::Claiming, Some(address)) = (self.state, self.address) else { return };
        let Some(session_present) = self.directory.begin(&self.device, address, self.clean_session) else {
            return self.refuse(Refusal::Disabled);
        };
        self.state = State::Online;
        self.last_packet = now;
        self.admit_faults(now);
        // A continued session gets its queued messages immediately, before it subscribes again.
        self.woken = true;
        self.outgoing.push_back(OutgoingPacket::ConnAck { session_present, code: 0 });
    }

    /// Notes that there may be something in the device's state to send. Poll the session's output next.
    pub fn wake(&mut self) {
        self.woken = true;
    }

    /// Releases the device after the end of the connection. A persistent session keeps its state in the directory.
    pub fn release(&mut self) {
        if let Some(address) = self.address.take() {
            self.directory.release(&self.device, address, self.clean_session);
        }
    }

    /// Closes this connection because another one of the same device takes over. If it was never admitted, its will is dropped. Returns
    /// false if the connection was closing already.
    pub fn take_over(&mut self) -> bool {
        if self.state == State::Claiming {
            self.will = None;
        }
        std::mem::replace(&mut self.state, State::Closing) != State::Closing
    }

    /// Resets the connection, before it is admitted, to make room for another one.
    pub fn abandon(&mut self) {
        self.state = State::Closing;
        self.will = None;
        self.is_reset = true;
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    fn handle_packet(&mut self, now: Instant, packet: Packet) -> Result<(), HubError> {
        self.last_packet = now;
        match (self.state, packet) {
            (State::Opening, Packet::Connect(connect)) => self.handle_connect(now, &connect)?,
            (State::Opening, _) => return Err(HubError::NotConnect),
            (_, Packet::Publish(publish)) => self.handle_publish(now, &publish)?,
            (_, Packet::Subscribe(subscribe)) => self.handle_subscribe(now, &subscribe)?,
            (_, Packet::Unsubscribe { pid, filters }) => {
                self.unsubscribe(&filters);
                self.answer(now, OutgoingPacket::UnsubAck(pid));
            }
            (_, Packet::PingReq) => self.answer(now, OutgoingPacket::PingResp),
            (_, Packet::Disconnect) => {
                self.will = None; // MQTT 3.1.1 §3.14.4.
                self.state = State::Closing;
            }
            (_, Packet::PubAck(pid)) => self.handle_puback(pid),
            (_, Packet::Connect(_)) => return Err(HubError::Unexpected("second CONNECT")),
            (_, Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_)) => {
                return Err(HubError::Unexpected("QoS 2 packet"));
            }
            (_, Packet::ConnAck { .. } | Packet::SubAck { .. } | Packet::UnsubAck(_) | Packet::PingResp) => {
                return Err(HubError::Unexpected("server packet"));
            }
        }
        Ok(())
    }

    fn handle_publish(&mut self, now: Instant, publish: &wire::Publish) -> Result<(), HubError> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(HubError::QosTwo);
        }
        let inbound = topics::inbound(&self.device, &publish.topic).ok_or(HubError::ForeignTopic)?;
        let mut held = None;
        if let Inbound::Telemetry { bag } = inbound {
            if let Some(c) = self.first_unescaped(bag) {
                return Err(HubError::Unescaped(c));
            }
            HubSession::check_size(publish.payload.len(), bag)?;
            self.check_quota_fault(now)?;
            held = self.throttle_telemetry(now, publish.payload.len(), bag)?;
            self.telemetry += 1;
            if self.directory.telemetry().is_on() {
                self.log_telemetry(publish, bag);
            }
        }
        if publish.qos == QoS::AtLeastOnce {
            self.acknowledge(now, publish.pid, held);
        }
        match inbound {
            Inbound::Telemetry { .. } => Ok(()),
            Inbound::TwinGet { query } => self.handle_twin_get(now, query),
            Inbound::TwinReported { query } => self.handle_twin_reported(now, query, &publish.payload),
            Inbound::MethodResponse { answer } => self.handle_method_response(now, answer, &publish.payload),
        }
    }

    /// Returns the first character in a property bag that must be escaped; `None` if the hub is lenient.
    fn first_unescaped(&self, bag: &str) -> Option<char> {
        properties::unescaped(bag).filter(|_| !self.directory.config().options.lenient_properties)
    }

    /// Checks the size of a message. The exact size is at most the sum of the body and the encoded bag, and is computed only if that sum
    /// exceeds the limit.
    fn check_size(body_bytes: usize, bag: &str) -> Result<(), HubError> {
        if body_bytes + bag.len() <= limits::TELEMETRY_BYTES_MAX {
            return Ok(());
        }
        let bytes = message_bytes(body_bytes, bag);
        if bytes > limits::TELEMETRY_BYTES_MAX { Err(HubError::TooLarge(bytes)) } else { Ok(()) }
    }

    #[cold]
    fn log_telemetry(&self, publish: &wire::Publish, bag: &str) {
        self.directory.telemetry().keep(Telemetry {
            device: self.device.to_string(),
            bag: bag.to_owned(),
            payload: publish.payload.to_vec(),
            retain: publish.retain,
            will: false,
        });
    }

    fn unix(&self, now: Instant) -> Duration {
        self.directory.config().wall.unix(now)
    }
}

impl Machine for HubSession {
    type Error = HubError;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), HubError> {
        while self.state != State::Closing && !self.draining && self.wants_input() {
            let opening = self.state == State::Opening;
            if opening && input.first().is_some_and(|&first| first != CONNECT) {
                return Err(HubError::NotConnect);
            }
            let frame_bytes_max = if opening { limits::CONNECT_BYTES_MAX } else { FRAME_BYTES_MAX };
            // A device id may contain `#` and `+`, which are not escaped in topics. Topics are matched by their known prefixes instead.
            match wire::decode(input, frame_bytes_max, Strictness::StrictButWildcards)? {
                Some(packet) => self.handle_packet(now, packet)?,
                None if opening => {
                    shrink_to_connect(input);
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
        if self.state == State::Closing || self.draining {
            input.clear();
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), HubError> {
        match self.state {
            State::Opening | State::Waiting
                if now >= self.opened + self.directory.config().connect_arrival_timeout =>
            {
                Err(HubError::ConnectTimeout)
            }
            State::Online if !self.is_stalled() && now >= self.last_packet + self.keep_alive_timeout => {
                Err(HubError::KeepAlive)
            }
            State::Online if self.expires.is_some_and(|expires| now >= expires) => {
                self.state = State::Closing;
                self.event = Some(Event::Expired);
                Ok(())
            }
            State::Online => {
                self.release_held(now);
                self.handle_exchange_timeout(now);
                self.handle_faults(now);
                Ok(())
            }
            State::Throttled if self.held.connack_at.is_some_and(|at| now >= at) => {
                self.authorize();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn handle_flushed(&mut self, _now: Instant) {}

    fn handle_closed(&mut self, now: Instant, _why: Closed) {
        // "Communicate with an IoT hub using the MQTT protocol": a will is telemetry. A connection that was never admitted does not publish
        // one, and neither does a hub that would refuse the message.
        let was_admitted = !matches!(self.state, State::Claiming | State::Throttled);
        if let Some(will) = self.will.take().filter(|_| was_admitted)
            && self.throttle_telemetry(now, will.payload.len(), &will.bag).is_ok()
        {
            self.telemetry += 1;
            if self.directory.telemetry().is_on() {
                self.directory.telemetry().keep(*will);
            }
        }
        self.state = State::Closing;
        self.fail_calls();
    }

    fn poll_output(&mut self, now: Instant, out: &mut BytesMut) {
        while out.len() < OUTPUT_BYTES_MAX {
            let Some(packet) = self.outgoing.pop_front() else {
                if self.woken && self.write_outbound(now, out) {
                    continue;
                }
                return;
            };
            match packet {
                OutgoingPacket::ConnAck { session_present, code } => {
                    encode::connack(out, session_present, code)
                }
                OutgoingPacket::PubAck(pid) => {
                    self.acks += 1;
                    encode::puback(out, pid);
                }
                OutgoingPacket::SubAck { pid, granted } => encode::suback(out, pid, &granted),
                OutgoingPacket::UnsubAck(pid) => encode::unsuback(out, pid),
                OutgoingPacket::PingResp => encode::pingresp(out),
                OutgoingPacket::Frame(frame) => {
                    self.frame_bytes -= frame.len();
                    out.extend_from_slice(&frame);
                }
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Opening | State::Waiting => {
                Some(self.opened + self.directory.config().connect_arrival_timeout)
            }
            State::Online => {
                let keep_alive = (!self.is_stalled()).then(|| self.last_packet + self.keep_alive_timeout);
                let deadlines = [
                    keep_alive,
                    self.expires,
                    self.exchange_timeout(),
                    self.held.next_at(),
                    self.fault_timeout(),
                ];
                deadlines.into_iter().flatten().min()
            }
            State::Throttled => self.held.connack_at,
            State::Claiming | State::Closing => None,
        }
    }

    fn wants_input(&self) -> bool {
        !matches!(self.state, State::Waiting | State::Throttled | State::Claiming)
            && !self.is_stalled()
            && self.outgoing.len() + self.held.len() < OUTGOING_MAX
            && self.frame_bytes < OUTGOING_BYTES_MAX
    }

    fn poll_close(&self) -> Option<Close> {
        let close = if self.is_reset { Close::Reset } else { Close::AfterFlush };
        (self.state == State::Closing || self.is_drained()).then_some(close)
    }
}

#[cfg(test)]
mod tests;
