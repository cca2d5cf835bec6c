//! What a run and its built-in hub say to each other: JSON lines on the child's stdin and stdout. Keys travel here, never on
//! a command line. Used by `app` on both ends.
//!
//! The parent sends [`Command::Config`] first; the child answers with [`Ready`], then with one [`Answer`] to each
//! [`Command::Stats`] and each [`Command::Call`]; calls are answered in any order. The end of the child's stdin ends the child.
//! `docs/emulator.md` has the lines.

use super::service::{Ask, Called};
use super::{Config, ShardHealth, Stats};
use crate::iothub::limits::{self, Tier, UNLIMITED};
use crate::iothub::sas::{Key, KeyError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use zeroize::Zeroizing;

/// The most threads of a hub, as on the command line.
pub const SHARDS_MAX: usize = 1024;

/// A line to the child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// How to serve; the first line, and only the first.
    Config(ControlConfig),
    /// The run's zero, common to both, for whatever is planned by time. Nothing is, yet.
    Start {
        /// Microseconds since the Unix epoch.
        unix_us: u64,
    },
    /// Asks for an [`Answer::Stats`].
    Stats,
    /// Asks something about a device, as a back end would.
    Call {
        /// Of the parent's choosing; the answer carries it.
        id: u64,
        /// The device's id.
        device: String,
        /// What.
        ask: Ask,
    },
}

/// How to serve. What is left out has the default that it has on the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlConfig {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// Names besides `localhost` and `127.0.0.1`, in the certificate and for devices.
    pub hosts: Vec<String>,
    /// Group keys in base64; without any, one is made at random.
    pub group_keys: Vec<SecretText>,
    /// Devices with keys of their own.
    pub devices: Vec<ControlDevice>,
    /// Policies that let devices connect.
    pub policies: Vec<ControlPolicy>,
    /// Always [`UNLIMITED`]: throttles and quotas are not emulated yet, so other tiers are refused.
    pub tier: String,
    /// Units of a tier, refused for the same reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// From a token's expiry to the end of the connection, in milliseconds.
    pub expiry_grace_ms: u64,
    /// Accept unescaped `#`, `+` and `/` in property bags.
    pub lenient_properties: bool,
    /// Threads, up to [`SHARDS_MAX`]; 0 means one per core.
    pub shards: usize,
}

impl Default for ControlConfig {
    fn default() -> ControlConfig {
        ControlConfig {
            host: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            hosts: Vec::new(),
            group_keys: Vec::new(),
            devices: Vec::new(),
            policies: Vec::new(),
            tier: UNLIMITED.to_owned(),
            units: None,
            expiry_grace_ms: u64::try_from(limits::EXPIRY_GRACE.as_millis()).unwrap_or(u64::MAX),
            lenient_properties: false,
            shards: 0,
        }
    }
}

/// A device with a key of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlDevice {
    /// Its id.
    pub id: String,
    /// Its key in base64.
    pub key: SecretText,
}

/// A shared access policy that lets devices connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlPolicy {
    /// Its name, as in `skn`.
    pub name: String,
    /// Its key in base64.
    pub key: SecretText,
}

/// A configuration that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// A key that is not one.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// A tier that does not exist. Its name is not repeated, because the line also holds keys.
    #[error("unknown tier: set {UNLIMITED:?}, or leave tier out")]
    UnknownTier,
    /// A tier with throttles and quotas.
    #[error("not built yet: tier {0:?} with its throttles and quotas; set {UNLIMITED:?}, or leave tier out")]
    Tier(&'static str),
    /// Units of a tier.
    #[error("not built yet: units, because throttles and quotas are not emulated; leave units out")]
    Units,
    /// Too many threads.
    #[error("shards is {0}: 1 to {SHARDS_MAX}, or 0 for one per core")]
    Shards(usize),
}

impl ControlConfig {
    /// Where to listen.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// As the hub takes it.
    ///
    /// # Errors
    /// A key that is not one, a tier or units, too many threads.
    pub fn to_config(&self) -> Result<Config, ControlError> {
        if self.tier != UNLIMITED {
            return Err(match Tier::from_name(&self.tier) {
                Some(tier) => ControlError::Tier(tier.name()),
                None => ControlError::UnknownTier,
            });
        }
        if self.units.is_some() {
            return Err(ControlError::Units);
        }
        if self.shards > SHARDS_MAX {
            return Err(ControlError::Shards(self.shards));
        }
        let mut config = Config {
            expiry_grace: Duration::from_millis(self.expiry_grace_ms),
            lenient_properties: self.lenient_properties,
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
        if config.group_keys.is_empty() {
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

/// The first line of an emulator on stdout, alone or as a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Address and port of MQTT over TLS.
    pub mqtt: String,
    /// The name to address it by.
    pub host: String,
    /// The certificate authority to trust, a PEM file; a child writes none, because a file would outlive a kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The same as text, for the parent of a child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// For a device SDK: host, a sample device and its key.
    pub sample_connection_string: SecretText,
}

/// A later line of a child on stdout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Command::Stats`]. The child tells its own use of the machine: a parent's account of its children also holds
    /// those of whoever started it.
    Stats {
        /// What the hub counted.
        counted: Stats,
        /// Refused CONNECTs by reason (`Refusal::REASONS`).
        #[serde(default)]
        refused_by: BTreeMap<String, u64>,
        /// CPU time of the child, user and system.
        cpu_us: u64,
        /// Its peak of resident memory.
        rss_peak_bytes: u64,
        /// How well each shard could run; empty from a hub of a time before this field.
        #[serde(default)]
        shards: Vec<ShardHealth>,
    },
    /// To a [`Command::Call`] that came about.
    Called {
        /// Which one.
        id: u64,
        /// What came of it.
        #[serde(flatten)]
        called: Called,
    },
    /// To one that did not.
    Failed {
        /// Which one.
        id: u64,
        /// The service's code, as in "Troubleshooting Azure IoT Hub error codes".
        code: u32,
        /// Why.
        message: String,
    },
}

/// A text that is a secret: it is serialised, and shown nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a secret in.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> SecretText {
        SecretText(text)
    }

    /// The secret, for whoever has to use it.
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
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn lines_are_what_both_sides_agreed_on() {
        let parse = |line: &str| serde_json::from_str::<Command>(line).unwrap();
        assert_eq!(parse(r#""stats""#), Command::Stats);
        assert_eq!(parse(r#"{"start":{"unix_us":5}}"#), Command::Start { unix_us: 5 });
        let line = format!(
            r#"{{"config":{{"group_keys":["{KEY}"],"tier":"unlimited","expiry_grace_ms":1000,"lenient_properties":true,"shards":3,"hosts":["hub.test"]}}}}"#
        );
        let Command::Config(config) = parse(&line) else { panic!("{line}") };
        assert_eq!(config.listen(), "127.0.0.1:0".parse().unwrap());
        assert_eq!(
            serde_json::from_str::<Command>(
                &serde_json::to_string(&Command::Config(config.clone())).unwrap()
            )
            .unwrap(),
            Command::Config(config.clone())
        );
        assert!(!format!("{config:?}").contains(KEY));
        let config = config.to_config().unwrap();
        assert_eq!(config.host_names, ["localhost", "127.0.0.1", "hub.test"]);
        assert_eq!((config.group_keys.len(), config.shards), (1, 3));
        assert_eq!((config.expiry_grace, config.lenient_properties), (Duration::from_secs(1), true));
        let counted = Stats { accepted: 2, ..Stats::default() };
        let shards = vec![
            ShardHealth { busy_share: 0.25, stalls: vec![[5, 9, 4].into(), [20, 90, 7].into()] },
            ShardHealth::default(),
        ];
        let refused_by = BTreeMap::from([("expired".to_owned(), 7)]);
        let answer = Answer::Stats { counted, refused_by, cpu_us: 3, rss_peak_bytes: 4, shards };
        let stats = serde_json::to_string(&answer).unwrap();
        assert!(
            stats.ends_with(
                r#","shards":[{"busy_share":0.25,"stalls":[[5,9,4],[20,90,7]]},{"busy_share":0.0,"stalls":[]}]}}"#
            ),
            "{stats}"
        );
        assert_eq!(serde_json::from_str::<Answer>(&stats).unwrap(), answer);
        let (older, _) = stats.split_once(",\"shards\"").unwrap();
        let older: Answer = serde_json::from_str(&format!("{older}}}}}")).unwrap();
        let refused_by = BTreeMap::from([("expired".to_owned(), 7)]);
        assert_eq!(
            older,
            Answer::Stats { counted, refused_by, cpu_us: 3, rss_peak_bytes: 4, shards: Vec::new() }
        );
        assert!(stats.contains(r#"},"refused_by":{"expired":7},"cpu_us":3,"#), "{stats}");
        assert!(
            stats.starts_with(r#"{"stats":{"counted":{"accepted":2,"refused":0,"telemetry":0"#),
            "{stats}"
        );
    }

    #[test]
    fn calls_and_their_answers_are_what_both_sides_agreed_on() {
        let ask = |line: &str| {
            let line = format!(r#"{{"call":{{"id":7,"device":"meter-00001","ask":{line}}}}}"#);
            match serde_json::from_str(&line) {
                Ok(Command::Call { id: 7, device, ask }) if device == "meter-00001" => ask,
                other => panic!("{line}: {other:?}"),
            }
        };
        assert_eq!(
            ask(
                r#"{"method":{"name":"reboot","payload":{"s":1},"response_timeout_ms":1000,"connect_timeout_ms":5}}"#
            ),
            Ask::Method {
                name: "reboot".to_owned(),
                payload: Some(json!({"s": 1})),
                response_timeout_ms: 1000,
                connect_timeout_ms: 5,
            }
        );
        let method = |payload| Ask::Method {
            name: "reboot".to_owned(),
            payload,
            response_timeout_ms: 30_000,
            connect_timeout_ms: 0,
        };
        for (line, payload) in [
            (r#"{"method":{"name":"reboot"}}"#, None),
            (r#"{"method":{"name":"reboot","payload":null}}"#, Some(json!(null))),
        ] {
            assert_eq!(ask(line), method(payload.clone()));
            assert_eq!(ask(&serde_json::to_string(&method(payload.clone())).unwrap()), method(payload));
        }
        assert!(
            matches!(ask(r#"{"desired":{"patch":{"a":null}}}"#), Ask::Desired { patch } if patch.len() == 1)
        );
        assert!(matches!(ask(r#"{"tags":{"patch":{"a":null}}}"#), Ask::Tags { patch } if patch.len() == 1));
        let c2d =
            r#"{"c2d":{"message_id":"m","properties":{"a":"b"},"payload":"text","ttl_ms":5,"ack":"full"}}"#;
        assert_eq!(serde_json::to_string(&ask(c2d)).unwrap(), c2d);
        let bare = r#"{"c2d":{"payload":"text"}}"#;
        assert_eq!(serde_json::to_string(&ask(bare)).unwrap(), bare);
        assert_eq!(
            (ask("\"close\""), ask("\"purge\""), ask("\"twin\"")),
            (Ask::Close, Ask::Purge, Ask::Twin)
        );
        assert_eq!(ask(r#"{"disable":true}"#), Ask::Disable(true));
        let misspelt = r#"{"call":{"id":1,"device":"d","ask":{"c2d":{"payload":"x","ttl":5}}}}"#;
        assert!(serde_json::from_str::<Command>(misspelt).is_err());

        for (answer, line) in [
            (
                Answer::Called {
                    id: 7,
                    called: Called { status: Some(200), version: None, payload: Some(json!([1])) },
                },
                r#"{"called":{"id":7,"status":200,"payload":[1]}}"#,
            ),
            (
                Answer::Called { id: 8, called: Called { version: Some(3), ..Called::default() } },
                r#"{"called":{"id":8,"version":3}}"#,
            ),
            (Answer::Called { id: 9, called: Called::default() }, r#"{"called":{"id":9}}"#),
            (
                Answer::Failed { id: 7, code: 404_103, message: "x".to_owned() },
                r#"{"failed":{"id":7,"code":404103,"message":"x"}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&answer).unwrap(), line);
            assert_eq!(serde_json::from_str::<Answer>(line).unwrap(), answer);
        }
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_its_reason() {
        let with = |change: fn(&mut ControlConfig)| {
            let mut config = ControlConfig::default();
            change(&mut config);
            config.to_config().unwrap_err()
        };
        assert_eq!(with(|c| c.tier = "S9".to_owned()), ControlError::UnknownTier);
        for tier in Tier::ALL {
            let mut config = ControlConfig { tier: tier.name().to_lowercase(), ..ControlConfig::default() };
            assert_eq!(config.to_config().unwrap_err(), ControlError::Tier(tier.name()));
            config.tier = UNLIMITED.to_owned();
            assert!(config.to_config().is_ok());
        }
        assert_eq!(with(|c| c.units = Some(1)), ControlError::Units);
        assert_eq!(with(|c| c.shards = 1025), ControlError::Shards(1025));
        assert_eq!(
            with(|c| c.group_keys = vec![SecretText::new(Zeroizing::new("?".to_owned()))]),
            ControlError::Key(KeyError::NotBase64)
        );
        let random = ControlConfig::default().to_config().unwrap();
        assert_eq!(random.group_keys.len(), 1, "one is made");
    }

    #[test]
    fn unknown_fields_are_refused_in_every_part_of_a_line() {
        for (line, extra) in [
            (r#"{"config":{EXTRA"port":1}}"#, r#""group_key":"x","#),
            (r#"{"config":{"devices":[{EXTRA"id":"d","key":"a"}]}}"#, r#""name":"x","#),
            (r#"{"config":{"policies":[{EXTRA"name":"n","key":"a"}]}}"#, r#""rights":["ServiceConnect"],"#),
            (r#"{"start":{EXTRA"unix_us":5}}"#, r#""at":5,"#),
            (r#"{"call":{EXTRA"id":1,"device":"d","ask":"twin"}}"#, r#""timeout_ms":5,"#),
            (r#"{"call":{"id":1,"device":"d","ask":{"method":{EXTRA"name":"m"}}}}"#, r#""timeout_ms":5,"#),
            (r#"{"call":{"id":1,"device":"d","ask":{"desired":{EXTRA"patch":{}}}}}"#, r#""etag":"*","#),
            (r#"{"call":{"id":1,"device":"d","ask":{"c2d":{EXTRA"payload":"x"}}}}"#, r#""ttl":5,"#),
        ] {
            let parse = |extra: &str| serde_json::from_str::<Command>(&line.replace("EXTRA", extra));
            assert!(parse("").is_ok(), "{line}");
            let error = parse(extra).unwrap_err().to_string();
            assert!(error.contains("unknown field"), "{line}: {error}");
        }
    }
}
