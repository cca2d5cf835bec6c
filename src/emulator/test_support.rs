//! A hub and its devices in virtual time, without sockets. Used by the emulator's tests, which drive a session by hand, as `connection` and
//! `server` do in production.

use super::Config;
use super::address::Address;
use super::directory::Directory;
use super::service::PendingRequest;
use super::session::{Event, HubError, HubSession};
use crate::clock::WallClock;
use crate::iothub::sas::{self, Key};
use crate::iothub::service::{Feedback, ServiceError, ServiceRequest, ServiceResponse};
use crate::iothub::{names, topics};
use crate::sansio::{Closed, Machine};
use crate::wire::encode::{self, ConnectRef, PublishRef, WillRef};
use crate::wire::{self, Packet, Publish, QoS, Strictness};
use bytes::BytesMut;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const HOST: &str = "hub.test";
pub(super) const DEVICE: &str = "d1";
/// Start of the virtual time, in seconds since the Unix epoch.
pub(super) const UNIX_S: u64 = 1_800_000_000;

pub(super) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn group() -> Key {
    Key::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
}

/// Returns the configuration of a hub named [`HOST`] that does not admit any device.
pub(super) fn config() -> Config {
    Config { host_names: vec![HOST.to_owned()], ..Config::default() }
}

/// The fields of a CONNECT packet, for a test to change.
pub(super) struct ConnectFields {
    pub(super) client_id: String,
    pub(super) user_name: String,
    pub(super) token: Option<String>,
    pub(super) keep_alive_s: u16,
    pub(super) clean_session: bool,
    /// Topic and payload of the will.
    pub(super) will: Option<(String, &'static str)>,
}

impl ConnectFields {
    /// Returns a valid CONNECT with a token that is valid for an hour.
    pub(super) fn of(device: &str) -> ConnectFields {
        let key = group().derive(device);
        ConnectFields {
            client_id: device.to_owned(),
            user_name: names::user_name(HOST, device),
            token: Some(sas::token(&key, &names::resource(HOST, device), UNIX_S + 3600, None).to_string()),
            keep_alive_s: 0,
            clean_session: false,
            will: None,
        }
    }
}

/// A hub and the current time.
pub(super) struct World {
    pub(super) directory: Arc<Directory>,
    pub(super) wall: WallClock,
    pub(super) now: Instant,
    connections: u64,
}

impl World {
    pub(super) fn new() -> World {
        World::with(Config { group_keys: vec![group()], ..config() })
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do, because the test sets the time")]
    pub(super) fn with(config: Config) -> World {
        let start = Instant::now();
        let wall = WallClock::of(start, seconds(UNIX_S));
        let config = Config { wall: wall.clone(), ..config };
        let directory = Arc::new(Directory::at(config, start));
        World { directory, wall, now: start, connections: 0 }
    }

    pub(super) fn unix(&self) -> Duration {
        self.wall.unix(self.now)
    }

    /// Sends a request of a service client.
    pub(super) fn request(&self, request: ServiceRequest) -> PendingRequest {
        self.directory.request(self.now, self.unix(), DEVICE, request)
    }

    /// Returns the result of a request that completes immediately.
    pub(super) fn result_of(&self, request: ServiceRequest) -> Result<ServiceResponse, ServiceError> {
        self.request(request).result.try_recv().expect("it completes immediately")
    }

    /// Opens a connection that has sent nothing.
    pub(super) fn open(&mut self) -> Client {
        self.connections += 1;
        Client {
            session: HubSession::new(Arc::clone(&self.directory), self.now),
            address: Address { shard: 0, connection: self.connections },
        }
    }

    /// Opens a connection and sends CONNECT.
    pub(super) fn connect(&mut self, fields: &ConnectFields) -> Client {
        let mut client = self.open();
        client.connect(self, fields);
        client
    }

    /// Opens a connection that is online and has these subscriptions. CONNACK and SUBACK have already been read.
    pub(super) fn online(&mut self, clean_session: bool, filters: &[(&str, QoS)]) -> Client {
        let mut client = self.connect(&ConnectFields { clean_session, ..ConnectFields::of(DEVICE) });
        client.admit(self);
        let connack = client.read(self);
        assert!(matches!(connack[..], [Packet::ConnAck { code: 0, .. }]), "{connack:?}");
        if !filters.is_empty() {
            client.subscribe(self, filters).unwrap();
            assert!(matches!(client.read(self)[0], Packet::SubAck { .. }));
        }
        client
    }
}

/// A connection as the device sees it.
pub(super) struct Client {
    pub(super) session: HubSession,
    pub(super) address: Address,
}

impl Client {
    /// Admits the connection. The previous connection of the device must have ended.
    pub(super) fn admit(&mut self, world: &World) {
        assert_eq!(self.session.poll_event(), Some(Event::Authorized));
        self.session.claim(self.address);
        self.session.admit(world.now);
    }

    /// Sends CONNECT.
    pub(super) fn connect(&mut self, world: &World, fields: &ConnectFields) {
        let will = fields.will.as_ref().map(|(topic, payload)| WillRef {
            topic,
            payload: payload.as_bytes(),
            qos: QoS::AtMostOnce,
            retain: false,
        });
        let connect = ConnectRef {
            client_id: &fields.client_id,
            keep_alive_s: fields.keep_alive_s,
            clean_session: fields.clean_session,
            username: Some(&fields.user_name),
            password: fields.token.as_deref().map(str::as_bytes),
            will,
        };
        self.write(world, |out| encode::connect(out, &connect).unwrap()).unwrap();
    }

    pub(super) fn write(&mut self, world: &World, write: impl FnOnce(&mut BytesMut)) -> Result<(), HubError> {
        let mut bytes = BytesMut::new();
        write(&mut bytes);
        self.session.handle_input(world.now, &mut bytes)
    }

    pub(super) fn publish(
        &mut self,
        world: &World,
        topic: &str,
        body: &str,
        qos: QoS,
    ) -> Result<(), HubError> {
        let publish = PublishRef { topic, payload: body.as_bytes(), qos, dup: false, retain: false, pid: 7 };
        self.write(world, |out| encode::publish(out, &publish).unwrap())
    }

    pub(super) fn subscribe(&mut self, world: &World, filters: &[(&str, QoS)]) -> Result<(), HubError> {
        self.write(world, |out| encode::subscribe(out, 3, filters).unwrap())
    }

    pub(super) fn subscribe_c2d(&mut self, world: &World, qos: QoS) {
        self.subscribe(world, &[(&topics::c2d(DEVICE), qos)]).unwrap();
    }

    /// Handles the deadlines up to the current time.
    pub(super) fn handle_timeout(&mut self, world: &World) -> Result<(), HubError> {
        self.session.handle_timeout(world.now)
    }

    /// Returns the packets that the hub has sent since the previous call.
    pub(super) fn read(&mut self, world: &World) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            let mut out = BytesMut::new();
            self.session.poll_output(world.now, &mut out);
            if out.is_empty() {
                return packets;
            }
            while let Some(packet) = wire::decode(&mut out, usize::MAX, Strictness::Strict).unwrap() {
                packets.push(packet);
            }
            assert!(out.is_empty(), "the hub sends whole packets");
        }
    }

    /// Returns the messages among the packets that the hub has sent since the previous call.
    pub(super) fn messages(&mut self, world: &World) -> Vec<Publish> {
        let messages = |packet| match packet {
            Packet::Publish(publish) => Some(publish),
            _ => None,
        };
        self.read(world).into_iter().filter_map(messages).collect()
    }

    /// Ends the connection without DISCONNECT. Returns the number of telemetry messages.
    pub(super) fn drop(mut self, world: &World) -> u64 {
        self.session.handle_closed(world.now, Closed::Reset);
        self.session.release();
        self.session.take_telemetry()
    }
}

/// Returns a hub that keeps accepted telemetry.
pub(super) fn with_telemetry_log() -> World {
    World::with(Config { group_keys: vec![group()], telemetry_kept: 10, ..config() })
}

pub(super) fn connack(session_present: bool) -> Packet {
    Packet::ConnAck { session_present, code: 0 }
}

/// Returns a change to desired properties.
pub(super) fn desired(patch: Value) -> ServiceRequest {
    let Value::Object(patch) = patch else { panic!("{patch}") };
    ServiceRequest::UpdateDesired { patch }
}

/// Returns a cloud-to-device message.
pub(super) fn c2d(payload: &str) -> ServiceRequest {
    c2d_for(payload, None)
}

/// Returns a cloud-to-device message with a time to live in milliseconds.
pub(super) fn c2d_for(payload: &str, ttl_ms: Option<u64>) -> ServiceRequest {
    ServiceRequest::SendMessage {
        message_id: None,
        properties: Default::default(),
        payload: payload.to_owned(),
        ttl: ttl_ms.map(Duration::from_millis),
        ack: Feedback::None,
    }
}

/// Returns the body, DUP flag and packet id of each message that the hub sends now.
pub(super) fn delivered(client: &mut Client, world: &World) -> Vec<(String, bool, u16)> {
    client.session.wake();
    let parts = |it: Publish| (String::from_utf8(it.payload.to_vec()).unwrap(), it.dup, it.pid);
    client.messages(world).into_iter().map(parts).collect()
}
