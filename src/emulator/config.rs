//! The configuration of a hub in the process that runs it. Created by [`control`](super::control) or by a test; read by every part of the
//! emulator. It must not depend on the format of control lines.

use super::unadmitted;
use crate::clock::WallClock;
use crate::iothub::emulator_options::EmulatorOptions;
use crate::iothub::sas::Key;
use crate::policy::fault::Fault;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Long enough for a device that connects at the same time as thousands of others: on a busy machine, it may be unable to send for seconds.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Short, because a client sends its ClientHello right after the TCP handshake.
const FIRST_BYTE_MAX: Duration = Duration::from_secs(1);

/// The configuration of a hub.
#[derive(Clone, Debug)]
pub struct Config {
    /// Host names that devices may use in user names and tokens; case does not matter.
    pub host_names: Vec<String>,
    /// Group keys: every device whose key is derived from one of them is admitted.
    pub group_keys: Vec<Key>,
    /// Devices with a key of their own, by id. No other key admits such a device.
    pub device_keys: HashMap<Box<str>, Key>,
    /// Name and key of each shared access policy with the `DeviceConnect` permission.
    pub policies: Vec<(String, Key)>,
    /// Options that scenarios and the command line can set.
    pub options: EmulatorOptions,
    /// Faults, whose times count from the start of the run.
    pub faults: Vec<Fault>,
    /// Seed for the devices that faults affect.
    pub seed: u64,
    /// TLS configuration with another certificate, for faults that change the certificate. `None`: they only close connections.
    pub second_tls: Option<Arc<rustls::ServerConfig>>,
    /// How long the hub waits for CONNECT after accepting a connection, including the TLS handshake.
    pub connect_arrival_timeout: Duration,
    /// Memory limit, in bytes, for all connections that are not admitted. Our choice.
    pub unadmitted_bytes_max: usize,
    /// How long a connection that is not admitted may be silent while others need its memory or descriptor. Our choice.
    pub silence_max: Duration,
    /// The same limit for a connection that has not sent a single byte. Our choice.
    pub first_byte_max: Duration,
    /// Number of threads that serve connections.
    pub shards: usize,
    /// Maximum number of accepted messages that [`Hub::take_telemetry`](super::Hub::take_telemetry) can return; 0 turns the log off.
    pub telemetry_kept: usize,
    /// The clock for dates, such as the expiry of a token or the time of a twin update. Its steps do not affect durations, such as the
    /// remaining lifetime of a connection, a queued message or a lock.
    pub wall: WallClock,
}

impl Default for Config {
    /// Returns the configuration of a hub named `localhost` that does not admit any device, with one shard per core.
    fn default() -> Config {
        Config {
            host_names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            group_keys: Vec::new(),
            device_keys: HashMap::new(),
            policies: Vec::new(),
            options: EmulatorOptions::default(),
            faults: Vec::new(),
            seed: 1,
            second_tls: None,
            connect_arrival_timeout: crate::iothub::limits::CONNECT_ARRIVAL_TIMEOUT,
            unadmitted_bytes_max: unadmitted::BYTES_MAX,
            silence_max: SILENCE_MAX,
            first_byte_max: FIRST_BYTE_MAX,
            shards: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            telemetry_kept: 0,
            wall: WallClock::default(),
        }
    }
}
