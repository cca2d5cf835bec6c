//! One connection of a device, seen from the hub: sans-I/O and strict. Driven by `link::Link` through
//! [`Machine`], owned by `connection`, and in `pair_tests` by a test.
//!
//! It decides about packets and time. Making the identity free is done outside: after a good CONNECT the session says
//! [`Event::Authorised`] and reads nothing more. Its owner calls [`HubSession::claim`], ends the connection that this names,
//! calls [`HubSession::admit`], and once the connection is over [`HubSession::release`].
//!
//! What outlives a connection is in the [`Directory`]; what goes on over it besides telemetry is in `exchange`.

mod error;
mod exchange;

pub use error::HubError;

use exchange::InFlight;

use super::admission::{self, Refusal};
use super::directory::{Address, Directory};
use super::telemetry::Telemetry;
use super::unadmitted::fit;
use crate::iothub::message_size::message_bytes;
use crate::iothub::names::DEVICE_ID_CHARS_MAX;
use crate::iothub::topics::{self, Inbound};
use crate::iothub::{limits, properties};
use crate::sansio::{Close, Closed, Machine, OUTPUT_BYTES_MAX};
use crate::wire::{self, Packet, QoS, Strictness, encode};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The largest frame: a message of the largest size with the longest topic. Larger ones end the connection; that and how
/// Azure ends it is not documented.
const FRAME_BYTES_MAX: usize = limits::TELEMETRY_BYTES_MAX + wire::STRING_BYTES_MAX + 16;

/// The first byte of CONNECT (MQTT 3.1.1 §3.1.1).
const CONNECT: u8 = 0x10;

/// Replies that may wait to be written before nothing more is read.
const REPLIES_MAX: usize = 1024;

/// The same in bytes, of those that are not of a few bytes.
const REPLY_BYTES_MAX: usize = 256 * 1024;

/// What the owner has to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// CONNECT is good: call [`HubSession::claim`], make the identity free, then call [`HubSession::admit`].
    Authorised,
    /// CONNECT is refused; the device is being told.
    Refused(Refusal),
    /// The token ran out, with its grace; the connection is being closed.
    Expired,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// CONNECT has not arrived, and must not be read yet.
    Waiting,
    /// CONNECT was good; the identity may still belong to another connection.
    Claiming,
    /// CONNECT has not arrived.
    Opening,
    /// CONNACK 0 was given.
    Online,
    /// The end is decided; whatever still comes is thrown away.
    Closing,
}

/// A packet that waits to be written, in the order of what it answers.
#[derive(Debug)]
enum Reply {
    ConnAck {
        session_present: bool,
        code: u8,
    },
    PubAck(u16),
    SubAck {
        pid: u16,
        granted: Vec<u8>,
    },
    UnsubAck(u16),
    PingResp,
    /// A whole frame.
    Frame(Box<[u8]>),
}

/// One connection of a device, seen from the hub.
#[derive(Debug)]
pub struct HubSession {
    directory: Arc<Directory>,
    state: State,
    opened: Instant,
    device: Box<str>,
    address: Option<Address>,
    clean_session: bool,
    has_api_version: bool,
    /// A will that is telemetry, until DISCONNECT. Azure does not document what it does with another topic, or with a property bag that
    /// would end a connection. Here such a will is not published.
    will: Option<Box<Telemetry>>,
    keep_alive_timeout: Duration,
    heard: Instant,
    /// When the connection ends because of its token; `None`: beyond what the clock can say.
    expires: Option<Instant>,
    replies: VecDeque<Reply>,
    /// In [`Reply::Frame`]s.
    reply_bytes: usize,
    /// Of the last answer or notification that the hub sent at QoS 1.
    last_pid: u16,
    /// There may be something to tell the device.
    woken: bool,
    /// Methods that the device was told of.
    calls: Vec<InFlight>,
    /// When a cloud-to-device message is to be delivered again.
    retry_at: Option<Instant>,
    event: Option<Event>,
    abandoned: bool,
    telemetry: u64,
}

impl HubSession {
    /// The session of a connection that was accepted at `now`.
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
            heard: now,
            expires: None,
            replies: VecDeque::new(),
            reply_bytes: 0,
            last_pid: 0,
            woken: false,
            calls: Vec::new(),
            retry_at: None,
            event: None,
            abandoned: false,
            telemetry: 0,
        }
    }

    /// The device id; empty before [`Event::Authorised`]. After [`Event::Refused`] the client id, cut to the length of a device id.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// True between CONNACK 0 and the end.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.state == State::Online
    }

    /// True until a CONNECT arrived.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening | State::Waiting)
    }

    /// Whether a CONNECT may be read. At first it may.
    pub fn may_read(&mut self, may: bool) {
        self.state = match (self.state, may) {
            (State::Waiting, true) => State::Opening,
            (State::Opening, false) => State::Waiting,
            (other, _) => other,
        };
    }

    /// True between [`Event::Authorised`] and [`HubSession::admit`].
    #[must_use]
    pub fn is_claiming(&self) -> bool {
        self.state == State::Claiming
    }

    /// Telemetry messages accepted since the last call.
    pub fn take_telemetry(&mut self) -> u64 {
        std::mem::take(&mut self.telemetry)
    }

    /// Takes the device for this connection, which is `by`. Returns the connection that has to be over, released included, before
    /// [`HubSession::admit`].
    pub fn claim(&mut self, by: Address) -> Option<Address> {
        self.address = Some(by);
        self.directory.claim(&self.device, by)
    }

    /// The identity is free: answers CONNECT.
    pub fn admit(&mut self, now: Instant) {
        let (State::Claiming, Some(address)) = (self.state, self.address) else { return };
        let Some(session_present) = self.directory.begin(&self.device, address, self.clean_session) else {
            return self.refuse(Refusal::Disabled);
        };
        self.state = State::Online;
        self.heard = now;
        // Whatever waits comes at once, before the device subscribes again.
        self.woken = true;
        self.replies.push_back(Reply::ConnAck { session_present, code: 0 });
    }

    /// There is something to tell the device; poll its output.
    pub fn wake(&mut self) {
        self.woken = true;
    }

    /// The connection is over: gives the device back, and leaves behind what another session may go on with.
    pub fn release(&mut self) {
        if let Some(address) = self.address.take() {
            self.directory.release(&self.device, address, self.clean_session);
        }
    }

    /// Another connection of the same device takes over: this one ends. One that was never admitted has no will.
    pub fn take_over(&mut self) {
        if self.state == State::Claiming {
            self.will = None;
        }
        self.state = State::Closing;
    }

    /// Resets the connection to make room for another one, before it was admitted.
    pub fn abandon(&mut self) {
        self.state = State::Closing;
        self.will = None;
        self.abandoned = true;
    }

    /// The next thing to act on.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    fn handle_packet(&mut self, now: Instant, packet: Packet) -> Result<(), HubError> {
        self.heard = now;
        match (self.state, packet) {
            (State::Opening, Packet::Connect(connect)) => self.handle_connect(now, &connect),
            (State::Opening, _) => return Err(HubError::NotConnect),
            (_, Packet::Publish(publish)) => self.handle_publish(now, &publish)?,
            (_, Packet::Subscribe(subscribe)) => self.handle_subscribe(&subscribe)?,
            (_, Packet::Unsubscribe { pid, filters }) => {
                self.unsubscribe(&filters);
                self.replies.push_back(Reply::UnsubAck(pid));
            }
            (_, Packet::PingReq) => self.replies.push_back(Reply::PingResp),
            (_, Packet::Disconnect) => {
                self.will = None; // MQTT 3.1.1 §3.14.4.
                self.state = State::Closing;
            }
            (_, Packet::PubAck(pid)) => self.handle_puback(pid),
            (_, Packet::Connect(_)) => return Err(HubError::Unexpected("second CONNECT")),
            (_, Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_)) => {
                return Err(HubError::Unexpected("packet of QoS 2"));
            }
            (_, Packet::ConnAck { .. } | Packet::SubAck { .. } | Packet::UnsubAck(_) | Packet::PingResp) => {
                return Err(HubError::Unexpected("packet of a server"));
            }
        }
        Ok(())
    }

    fn handle_connect(&mut self, now: Instant, connect: &wire::Connect) {
        let unix = self.unix(now);
        let config = self.directory.config();
        match admission::admit(config, connect, unix.as_secs()) {
            Ok(admitted) => {
                self.state = State::Claiming;
                self.device = admitted.device;
                self.clean_session = connect.clean_session;
                self.has_api_version = admitted.has_api_version;
                self.will = connect.will.as_ref().and_then(|will| self.will_of(will));
                self.keep_alive_timeout = limits::keep_alive_timeout(connect.keep_alive_s);
                // From here on it is a duration, so that a later clock step neither ends all connections nor keeps them open.
                let end = Duration::from_secs(admitted.expiry_unix).saturating_add(config.expiry_grace);
                self.expires = now.checked_add(end.saturating_sub(unix));
                self.event = Some(Event::Authorised);
            }
            Err(refusal) => {
                self.device = connect.client_id.chars().take(DEVICE_ID_CHARS_MAX).collect();
                self.refuse(refusal);
            }
        }
    }

    fn will_of(&self, will: &wire::Will) -> Option<Box<Telemetry>> {
        let Some(Inbound::Telemetry { bag }) = topics::inbound(&self.device, &will.topic) else {
            return None;
        };
        if self.unescaped(bag).is_some() {
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

    fn refuse(&mut self, refusal: Refusal) {
        self.state = State::Closing;
        self.will = None;
        self.replies.push_back(Reply::ConnAck { session_present: false, code: refusal.code() });
        self.event = Some(Event::Refused(refusal));
    }

    fn handle_publish(&mut self, now: Instant, publish: &wire::Publish) -> Result<(), HubError> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(HubError::QosTwo);
        }
        let inbound = topics::inbound(&self.device, &publish.topic).ok_or(HubError::ForeignTopic)?;
        if let Inbound::Telemetry { bag } = inbound {
            if let Some(c) = self.unescaped(bag) {
                return Err(HubError::Unescaped(c));
            }
            HubSession::check_size(publish.payload.len(), bag)?;
            self.telemetry += 1;
            if self.directory.telemetry().is_on() {
                self.keep(publish, bag);
            }
        }
        if publish.qos == QoS::AtLeastOnce {
            self.replies.push_back(Reply::PubAck(publish.pid));
        }
        match inbound {
            Inbound::Telemetry { .. } => Ok(()),
            Inbound::TwinGet { query } => self.handle_twin_get(query),
            Inbound::TwinReported { query } => self.handle_twin_reported(now, query, &publish.payload),
            Inbound::MethodResponse { answer } => self.handle_method_response(answer, &publish.payload),
        }
    }

    /// The first character in a bag that must be escaped; `None` if the hub is lenient.
    fn unescaped(&self, bag: &str) -> Option<char> {
        properties::unescaped(bag).filter(|_| !self.directory.config().lenient_properties)
    }

    /// Computes the exact size only if body and encoded bag exceed the limit: it is never larger than their sum.
    fn check_size(body_bytes: usize, bag: &str) -> Result<(), HubError> {
        if body_bytes + bag.len() <= limits::TELEMETRY_BYTES_MAX {
            return Ok(());
        }
        let bytes = message_bytes(body_bytes, bag);
        if bytes > limits::TELEMETRY_BYTES_MAX { Err(HubError::TooLarge(bytes)) } else { Ok(()) }
    }

    #[cold]
    fn keep(&self, publish: &wire::Publish, bag: &str) {
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
        while self.state != State::Closing && self.wants_input() {
            let opening = self.state == State::Opening;
            if opening && input.first().is_some_and(|&first| first != CONNECT) {
                return Err(HubError::NotConnect);
            }
            let frame_bytes_max = if opening { limits::CONNECT_BYTES_MAX } else { FRAME_BYTES_MAX };
            // Device ids may have `#` and `+` and are raw in topics, which are read by known prefix.
            match wire::decode(input, frame_bytes_max, Strictness::StrictButWildcards)? {
                Some(packet) => self.handle_packet(now, packet)?,
                None if opening => {
                    fit(input);
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
        if self.state == State::Closing {
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
            State::Online if now >= self.heard + self.keep_alive_timeout => Err(HubError::KeepAlive),
            State::Online if self.expires.is_some_and(|expires| now >= expires) => {
                self.state = State::Closing;
                self.event = Some(Event::Expired);
                Ok(())
            }
            State::Online => {
                self.handle_exchange_timeout(now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn handle_flushed(&mut self, _now: Instant) {}

    fn handle_closed(&mut self, _now: Instant, _why: Closed) {
        // "Communicate with an IoT hub using the MQTT protocol": a will is telemetry. One that was never admitted has none.
        if let Some(will) = self.will.take().filter(|_| self.state != State::Claiming) {
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
            let Some(reply) = self.replies.pop_front() else {
                if self.woken && self.tell(now, out) {
                    continue;
                }
                return;
            };
            match reply {
                Reply::ConnAck { session_present, code } => encode::connack(out, session_present, code),
                Reply::PubAck(pid) => encode::puback(out, pid),
                Reply::SubAck { pid, granted } => encode::suback(out, pid, &granted),
                Reply::UnsubAck(pid) => encode::unsuback(out, pid),
                Reply::PingResp => encode::pingresp(out),
                Reply::Frame(frame) => {
                    self.reply_bytes -= frame.len();
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
                let keep_alive = self.heard + self.keep_alive_timeout;
                [Some(keep_alive), self.expires, self.exchange_timeout()].into_iter().flatten().min()
            }
            State::Claiming | State::Closing => None,
        }
    }

    fn wants_input(&self) -> bool {
        !matches!(self.state, State::Waiting | State::Claiming)
            && self.replies.len() < REPLIES_MAX
            && self.reply_bytes < REPLY_BYTES_MAX
    }

    fn poll_close(&self) -> Option<Close> {
        let close = if self.abandoned { Close::Reset } else { Close::AfterFlush };
        (self.state == State::Closing).then_some(close)
    }
}

#[cfg(test)]
mod tests;
