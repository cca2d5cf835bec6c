//! The hub: an Azure IoT Hub on this machine, as far as devices see it. `app` serves it, alone or as the child of a
//! run; tests serve it in process.
//!
//! Read [`admission`] (who may connect), [`session`] (one connection, sans-I/O), [`directory`] (who is connected where) with
//! [`device`], [`twin`] and [`c2d`] (what outlives a connection), [`service`] (what a back end asks), [`server`] (sockets and
//! shards) with `accept`, [`unadmitted`], `counts`, `health` and [`notice`], [`certificate`] and [`control`]. It must not know the client's `session`: they meet in `pair_tests` and over a socket.
//!
//! `docs/emulator.md` says what is emulated and what is not. Modules are refused. Throttles and quotas are not built: the only
//! tier is `unlimited`.

mod accept;
pub mod admission;
pub mod c2d;
pub mod certificate;
mod connection;
pub mod control;
mod counts;
pub mod device;
pub mod directory;
mod health;
mod method_call;
pub mod notice;
pub mod server;
pub mod service;
pub mod session;
pub mod subscriptions;
pub mod telemetry;
pub mod twin;
pub mod unadmitted;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod service_tests;
#[cfg(test)]
mod test_support;

pub use counts::Stats;
pub use health::ShardHealth;
pub use server::{EmulatorError, Hub, Started, serve};

use crate::clock::WallClock;
use crate::iothub::limits;
use crate::iothub::sas::Key;
use std::collections::HashMap;
use std::time::Duration;

/// Long enough for a device that connects with thousands of others: on a busy machine it may not be able to send for seconds.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// A client sends its ClientHello right after the handshake of TCP.
const FIRST_BYTE_MAX: Duration = Duration::from_secs(1);

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
    /// Accept unescaped `#`, `+` and `/` in property bags, which otherwise end the connection.
    pub lenient_properties: bool,
    /// The memory limit of all connections that are not admitted, in bytes. Our choice.
    pub unadmitted_bytes_max: usize,
    /// How long a connection that is not admitted may be silent while others need its memory or descriptor. Our choice.
    pub silence_max: Duration,
    /// The same for one that has not sent a byte. Our choice.
    pub first_byte_max: Duration,
    /// Threads that serve connections.
    pub shards: usize,
    /// How many accepted messages are kept for whoever wants to look at them; 0 keeps none, and costs nothing.
    pub telemetry_kept: usize,
    /// The clock for dates: whether a token is valid, when a twin changed. Durations (until a token's expiry, of a queued message, of a
    /// lock) do not follow its steps.
    pub wall: WallClock,
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
            lenient_properties: false,
            unadmitted_bytes_max: unadmitted::BYTES_MAX,
            silence_max: SILENCE_MAX,
            first_byte_max: FIRST_BYTE_MAX,
            shards: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            telemetry_kept: 0,
            wall: WallClock::default(),
        }
    }
}
