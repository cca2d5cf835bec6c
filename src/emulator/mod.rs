//! The hub: an Azure IoT Hub on this machine, as far as devices see it. `app` serves it, alone or as the child of a
//! run; tests serve it in process.
//!
//! Read [`admission`] (who may connect), [`session`] (one connection, sans-I/O), [`directory`] (who is connected where) with
//! [`device`] and [`twin`] (what outlives a connection), [`server`] (sockets and shards), [`certificate`] and [`control`]. It must not know the client's `session`: they
//! meet in `pair_tests` and over a socket.
//!
//! Emulated: twins as a device sees them (get, reported properties, versions, limits); CONNECT with SAS tokens of devices (keys derived from a group key) and of policies, telemetry (a will included,
//! retained or not), the filters of a device, takeover, stored subscriptions, keep-alive, token expiry. What Azure answers by closing the connection is closed
//! here: QoS 2, foreign topics and filters, messages that are too large.
//!
//! Not emulated yet, and therefore silent: method responses are accepted and acknowledged, and no change of desired properties, no
//! method and no cloud-to-device message is ever sent;
//! property bags are not looked into; tiers, throttles and quotas do not limit anything. Modules are refused. Device ids with
//! `#` or `+`, which Azure allows, connect but cannot publish: their topics break a rule of MQTT that the decoder holds to.

pub mod admission;
pub mod certificate;
mod connection;
pub mod control;
pub mod device;
pub mod directory;
pub mod server;
pub mod session;
pub mod twin;

pub use server::{EmulatorError, Hub, Stats, serve};

use crate::iothub::limits;
use crate::iothub::sas::Key;
use std::collections::HashMap;
use std::time::Duration;

/// How the hub behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The names under which devices may address it, in user names and in tokens; case does not matter.
    pub host_names: Vec<String>,
    /// Every device whose key is derived from one of these is admitted.
    pub group_keys: Vec<Key>,
    /// Devices with keys of their own, by id. Those keys are the only ones that admit them.
    pub device_keys: HashMap<Box<str>, Key>,
    /// Shared access policies that hold `DeviceConnect`: name and key.
    pub policies: Vec<(String, Key)>,
    /// From a token's expiry to the end of the connection that it opened.
    pub expiry_grace: Duration,
    /// From accepting a connection to CONNECT, TLS included.
    pub connect_arrival_timeout: Duration,
    /// Threads that serve connections.
    pub shards: usize,
}

impl Default for Config {
    /// `localhost`, nobody admitted, one shard per core.
    fn default() -> Config {
        Config {
            host_names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            group_keys: Vec::new(),
            device_keys: HashMap::new(),
            policies: Vec::new(),
            expiry_grace: limits::EXPIRY_GRACE,
            connect_arrival_timeout: limits::CONNECT_ARRIVAL_TIMEOUT,
            shards: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }
}
