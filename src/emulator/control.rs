//! The control lines between a run and its built-in hub: JSON lines on stdin and stdout of the child process. `app` uses them on both ends.
//! Keys travel here, never on a command line. This module only defines the format; it does no I/O.
//!
//! The parent sends [`ControlCommand::Config`] first. The child answers with [`Ready`], then with one [`ControlReply`] to each
//! [`ControlCommand::Stats`], [`ControlCommand::Fault`] and [`ControlCommand::Call`]; the replies to calls may come in any order. The child
//! ends when its stdin ends.
//! `docs/emulator.md` describes the lines.

use super::config::Config;
use super::counts::Stats;
use super::faults::FaultStats;
use super::health::ShardHealth;
use super::throttle::ThrottleStats;
use crate::iothub::emulator_options::{EmulatorOptions, TierOptions};
use crate::iothub::limits::{Tier, UNLIMITED};
use crate::iothub::sas::{Key, KeyError};
use crate::iothub::service::{ServiceCall, ServiceFailure, ServiceResponse, ServiceResult};
use crate::iothub::throttles::HubSize;
use crate::policy::fault::{FaultError, FaultText};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use zeroize::Zeroizing;

/// The maximum number of threads in a hub, as on the command line.
pub const SHARDS_MAX: usize = 1024;

/// A line to the child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlCommand {
    /// The configuration: always the first line, and never a later one.
    Config(ControlConfig),
    /// The start of the run, from which the times of [`ControlConfig::faults`] count.
    Start {
        /// Microseconds since the Unix epoch.
        unix_us: u64,
    },
    /// Requests a [`ControlReply::Stats`].
    Stats,
    /// A call of a service client.
    Call(ServiceCall),
    /// A fault whose times count from now. The reply is a [`ControlReply::Fault`].
    Fault(FaultText),
}

/// The configuration of a hub. Omitted keys have the same defaults as on the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlConfig {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 means any free port.
    pub port: u16,
    /// Host names besides `localhost` and `127.0.0.1`, for the certificate and for devices.
    pub hosts: Vec<String>,
    /// Group keys in base64; if there are none, the hub uses a random one.
    pub group_keys: Vec<SecretText>,
    /// Devices with a key of their own.
    pub devices: Vec<ControlDevice>,
    /// True to admit only `devices`: without group keys, the hub then makes no random one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_devices: bool,
    /// Shared access policies that let devices connect.
    pub policies: Vec<ControlPolicy>,
    /// Name of the tier whose throttles and quota apply; [`UNLIMITED`] means none.
    pub tier: String,
    /// Number of units of the tier; 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// Number of billed messages of the current day that are used up at the start; 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_used: Option<u64>,
    /// How the throttles of the tier delay and refuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<ControlThrottle>,
    /// Time from the expiry of a token to the end of its connection, in milliseconds.
    pub expiry_grace_ms: u64,
    /// True to accept unescaped `#`, `+` and `/` in property bags.
    pub lenient_properties: bool,
    /// True to issue TLS session tickets, so that devices can resume their TLS sessions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_resumption: bool,
    /// Number of threads, up to [`SHARDS_MAX`]; 0 means one per core.
    pub shards: usize,
    /// Faults, whose times count from [`ControlCommand::Start`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultText>,
    /// Seed for the devices that faults affect.
    pub seed: u64,
    /// True for the built-in hub of a run: it prints fewer lines to stderr, because the run reports the errors of its devices.
    pub in_run: bool,
}

impl Default for ControlConfig {
    fn default() -> ControlConfig {
        ControlConfig::from(EmulatorOptions::default())
    }
}

impl From<EmulatorOptions> for ControlConfig {
    /// Returns the default configuration with these options.
    fn from(options: EmulatorOptions) -> ControlConfig {
        ControlConfig {
            host: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            hosts: Vec::new(),
            group_keys: Vec::new(),
            devices: Vec::new(),
            only_devices: false,
            policies: Vec::new(),
            tier: options.tier.map_or(UNLIMITED, |tier| tier.size.tier.name()).to_owned(),
            units: options.tier.map(|tier| tier.size.units),
            quota_used: options.tier.map(|tier| tier.quota_used),
            throttle: options.tier.map(ControlThrottle::from),
            expiry_grace_ms: millis(options.expiry_grace),
            lenient_properties: options.lenient_properties,
            tls_resumption: options.tls_resumption,
            shards: 0,
            faults: Vec::new(),
            seed: 1,
            in_run: false,
        }
    }
}

/// How the throttles of a tier delay and refuse, in milliseconds. See [`TierOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlThrottle {
    /// [`TierOptions::burst`].
    pub burst_ms: u64,
    /// [`TierOptions::queue`].
    pub queue_ms: u64,
    /// [`TierOptions::connect_wait`].
    pub connect_wait_ms: u64,
}

impl Default for ControlThrottle {
    fn default() -> ControlThrottle {
        let ms = millis(TierOptions::SHAPING);
        ControlThrottle { burst_ms: ms, queue_ms: ms, connect_wait_ms: ms }
    }
}

impl From<TierOptions> for ControlThrottle {
    fn from(options: TierOptions) -> ControlThrottle {
        let [burst_ms, queue_ms, connect_wait_ms] =
            [options.burst, options.queue, options.connect_wait].map(millis);
        ControlThrottle { burst_ms, queue_ms, connect_wait_ms }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A device with a key of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlDevice {
    /// Device id.
    pub id: String,
    /// Device key in base64.
    pub key: SecretText,
}

/// A shared access policy that lets devices connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlPolicy {
    /// Policy name, as in `skn`.
    pub name: String,
    /// Policy key in base64.
    pub key: SecretText,
}

/// The reason why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// A key is invalid.
    #[error("{0}; {fix}", fix = .0.fix())]
    Key(#[from] KeyError),
    /// The tier does not exist. The message does not repeat its name, because the line also contains keys.
    #[error("unknown tier: set F1, B1, B2, B3, S1, S2, S3 or {UNLIMITED}")]
    UnknownTier,
    /// The name of a tier in the wrong case.
    #[error("unknown tier: did you mean {0}?")]
    TierCase(&'static str),
    /// A key needs a tier.
    #[error("{0} has no effect without a tier: set a tier, such as S1, or omit {0}")]
    NoTier(&'static str),
    /// The number of units is wrong for the tier.
    #[error("units is {units}: a hub of tier {tier} has {allowed}", tier = .tier.name(), allowed = units_allowed(*.tier))]
    Units {
        /// Number of units.
        units: u32,
        /// Tier.
        tier: Tier,
    },
    /// A fault is invalid.
    #[error("faults: {0}")]
    Fault(#[from] FaultError),
    /// The number of shards is too high.
    #[error("shards is {0}: use a number from 1 to {SHARDS_MAX}, or 0 for one per core")]
    Shards(usize),
}

fn unknown_tier(name: &str) -> ControlError {
    let mut names = Tier::ALL.into_iter().map(Tier::name).chain([UNLIMITED]);
    let meant = names.find(|tier| tier.eq_ignore_ascii_case(name));
    meant.map_or(ControlError::UnknownTier, ControlError::TierCase)
}

fn units_allowed(tier: Tier) -> String {
    match tier.units_max() {
        1 => "only 1 unit".to_owned(),
        max => format!("1 to {max} units"),
    }
}

impl ControlConfig {
    /// Returns the address to listen on.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// Returns the configuration in the form that the hub uses.
    ///
    /// # Errors
    /// A key or a fault is invalid, the tier is unknown, its number of units is wrong, or there are too many threads.
    pub fn to_config(&self) -> Result<Config, ControlError> {
        if self.shards > SHARDS_MAX {
            return Err(ControlError::Shards(self.shards));
        }
        let mut config = Config {
            options: EmulatorOptions {
                expiry_grace: Duration::from_millis(self.expiry_grace_ms),
                lenient_properties: self.lenient_properties,
                tls_resumption: self.tls_resumption,
                tier: self.tier_options()?,
            },
            faults: self.faults.iter().map(FaultText::to_fault).collect::<Result<_, _>>()?,
            seed: self.seed,
            ..Config::default()
        };
        for host in std::iter::once(&self.host.to_string()).chain(&self.hosts) {
            if !config.host_names.contains(host) {
                config.host_names.push(host.clone());
            }
        }
        for key in &self.group_keys {
            config.group_keys.push(Key::from_base64(key.expose())?);
        }
        if config.group_keys.is_empty() && !self.only_devices {
            config.group_keys.push(Key::random(&mut rand::rng()));
        }
        for device in &self.devices {
            config.device_keys.insert(device.id.as_str().into(), Key::from_base64(device.key.expose())?);
        }
        for policy in &self.policies {
            config.policies.push((policy.name.clone(), Key::from_base64(policy.key.expose())?));
        }
        if self.shards > 0 {
            config.shards = self.shards;
        }
        Ok(config)
    }
}

impl ControlConfig {
    /// Returns the options of the tier; `None` for [`UNLIMITED`].
    fn tier_options(&self) -> Result<Option<TierOptions>, ControlError> {
        if self.tier == UNLIMITED {
            let keys = [
                ("units", self.units.is_some()),
                ("quota_used", self.quota_used.is_some()),
                ("throttle", self.throttle.is_some()),
            ];
            let given = keys.into_iter().find(|(_, is_given)| *is_given);
            return given.map_or(Ok(None), |(key, _)| Err(ControlError::NoTier(key)));
        }
        let tier = Tier::from_name(&self.tier).ok_or_else(|| unknown_tier(&self.tier))?;
        let units = self.units.unwrap_or(1);
        if !(1..=tier.units_max()).contains(&units) {
            return Err(ControlError::Units { units, tier });
        }
        let ControlThrottle { burst_ms, queue_ms, connect_wait_ms } = self.throttle.unwrap_or_default();
        Ok(Some(TierOptions {
            size: HubSize { tier, units },
            quota_used: self.quota_used.unwrap_or_default(),
            burst: Duration::from_millis(burst_ms),
            queue: Duration::from_millis(queue_ms),
            connect_wait: Duration::from_millis(connect_wait_ms),
        }))
    }
}

/// The first line of an emulator on stdout, with or without `--control`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Address and port for MQTT over TLS.
    pub mqtt: String,
    /// The port alone. Older versions do not send it.
    #[serde(default)]
    pub port: u16,
    /// Host name for clients.
    pub host: String,
    /// PEM file with the certificate authority to trust. A child process does not write one, because the file would remain if the child
    /// were killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The certificate authority as PEM text, for the parent process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// Connection string for a device SDK, with the host, a sample device and its key. `None` if the hub admits only devices from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_connection_string: Option<SecretText>,
    /// Address and port of `/healthz` and `/readyz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// Process id of the emulator. Older versions do not send it.
    #[serde(default)]
    pub pid: u32,
}

/// A later line of the child on stdout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlReply {
    /// The reply to [`ControlCommand::Stats`]. The child reports its own CPU time and memory, because the parent could only read the totals
    /// for all its children.
    Stats {
        /// Counters of the hub.
        counted: Stats,
        /// Number of refused CONNECT packets, by reason (`Refusal::REASONS`).
        #[serde(default)]
        refused_by: BTreeMap<String, u64>,
        /// CPU time of the child, user and system.
        cpu_us: u64,
        /// Peak resident memory of the child.
        rss_peak_bytes: u64,
        /// Counts of the throttles and of the quota, if the hub has a tier.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        throttle: Option<ThrottleStats>,
        /// Counts of the faults, in the order of the configuration and of the control lines.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        faults: Vec<FaultStats>,
        /// Health of each shard. Older versions do not send it.
        #[serde(default)]
        shards: Vec<ShardHealth>,
    },
    /// The reply to a [`ControlCommand::Fault`].
    Fault {
        /// Number of the fault, which is its index in the counts of `stats`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<usize>,
        /// The reason why the fault is refused, and the fix.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The reply to a [`ControlCommand::Call`] that succeeded.
    Called {
        /// Call id.
        id: u64,
        /// The hub's response.
        #[serde(flatten)]
        response: ServiceResponse,
    },
    /// The reply to a [`ControlCommand::Call`] that failed.
    Failed {
        /// Call id.
        id: u64,
        /// The error.
        #[serde(flatten)]
        failure: ServiceFailure,
    },
}

impl From<ServiceResult> for ControlReply {
    fn from(ServiceResult { id, result }: ServiceResult) -> ControlReply {
        match result {
            Ok(response) => ControlReply::Called { id, response },
            Err(failure) => ControlReply::Failed { id, failure },
        }
    }
}

impl ControlReply {
    /// Returns the result of a call, or `None` if this is a reply to another command.
    #[must_use]
    pub fn into_result(self) -> Option<ServiceResult> {
        match self {
            ControlReply::Called { id, response } => Some(ServiceResult { id, result: Ok(response) }),
            ControlReply::Failed { id, failure } => Some(ServiceResult { id, result: Err(failure) }),
            ControlReply::Stats { .. } | ControlReply::Fault { .. } => None,
        }
    }
}

/// A secret text. It is serialized, but never appears in debug output or errors.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> SecretText {
        SecretText(text)
    }

    /// Returns the secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretText, D::Error> {
        String::deserialize(deserializer).map(|text| SecretText(Zeroizing::new(text)))
    }
}

#[cfg(test)]
mod tests;
