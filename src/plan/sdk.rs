//! Device presets: hubstorm's defaults, and those of Azure's device SDKs, as data. `resolve` uses them for keys that a scenario
//! omits. Pure.
//!
//! Sources: `[mqtt]` is Azure's "Communicate with an IoT hub using the MQTT protocol". `[python]` is the package azure-iot-device
//! 2.14.0; `[node]` stands for the packages azure-iot-device 1.18.4 and azure-iot-common 1.13.3; `[dotnet]`, `[java]` and `[c]` are
//! the source repositories (Azure/azure-iot-sdk-*). Except in .NET, where the SDK itself sends the pings, an MQTT library sends
//! them: `[paho.py]` is paho-mqtt 1.6.1, `[mqtt.js]` is npm's mqtt 4.3.8, `[paho.java]` is eclipse/paho.mqtt.java, and `[umqtt]` is
//! Azure/azure-umqtt-c. `[c-unified]` is the unified SDK for C, a preview of 2026 (Azure/azure-iot-sdk, folder `c`), which sends its
//! packets with `[paho.c]`, eclipse-paho/paho.mqtt.c 1.3.13. Values without a source are hubstorm's choice. If the code of an SDK differs from the documentation (the
//! SDK's, or Azure's "Manage device reconnections to create resilient applications"), the preset follows the code, and a comment
//! says so.
//!
//! Not imitated: `[python]` sends SUBSCRIBE again after 30 s without a SUBACK (pipeline_stages_base.py: SUBSCRIBE fails after 10 s
//! and is retried 20 s later); hubstorm subscribes once per connection. `[paho.java]` accepts any packet as the answer to a PINGREQ.
//!
//! With an SDK, the application decides what to do after a failed first connection. In hubstorm, the reconnect policy applies.
//!
//! No SDK spreads its renewals, so the jitter is 0. All SDKs keep their session (clean session off), and so does hubstorm. The user
//! name omits `DeviceClientType`, which would claim the platform and version of another program.

use super::credentials::{Renew, TokenLife};
use super::model::SubscribeQos;
use crate::iothub::names;
use crate::policy::backoff::{BackOff, Jitter, Reconnect};
use crate::policy::ping::{PingPolicy, PingTimeout, Silence};
use crate::scenario::Sdk;
use crate::wire::QoS;
use std::time::Duration;

/// The defaults of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DevicePreset {
    /// Keep-alive in CONNECT, in seconds.
    pub keep_alive_s: u16,
    /// When devices send PINGREQ, and the timeout for PINGRESP.
    pub pings: PingPolicy,
    /// Lifetime and renewal of tokens.
    pub tokens: TokenLife,
    /// Reconnect policy.
    pub reconnect: Reconnect,
    /// QoS of IoT hub subscriptions.
    pub subscribe_qos: SubscribeQos,
    /// QoS of twin requests.
    pub twin_qos: u8,
    /// API version in the user name.
    pub api_version: &'static str,
}

impl SubscribeQos {
    /// QoS 1 only for cloud-to-device messages, which a hub keeps for the device: [c], [c-unified] and [node].
    const KEPT: SubscribeQos =
        SubscribeQos { c2d: QoS::AtLeastOnce, twin: QoS::AtMostOnce, methods: QoS::AtMostOnce };
    /// QoS 1 for everything: [python], [dotnet] and [java].
    const ALL: SubscribeQos =
        SubscribeQos { c2d: QoS::AtLeastOnce, twin: QoS::AtLeastOnce, methods: QoS::AtLeastOnce };
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Returns the preset of an SDK, or hubstorm's defaults.
#[must_use]
pub fn device_preset(sdk: Option<Sdk>) -> DevicePreset {
    match sdk {
        None => hubstorm(),
        Some(Sdk::Python) => python(),
        Some(Sdk::Node) => node(),
        Some(Sdk::DotNet) => dotnet(),
        Some(Sdk::Java) => java(),
        Some(Sdk::C) => c(),
        Some(Sdk::CUnified) => c_unified(),
    }
}

/// Returns hubstorm's defaults. Full jitter, our choice, best spreads the reconnects of a fleet that lost its hub.
fn hubstorm() -> DevicePreset {
    let back_off = BackOff::Exponential { base: SECOND, max: MINUTE, jitter: Jitter::Full };
    DevicePreset {
        keep_alive_s: 240,
        pings: PingPolicy::OWN,
        tokens: TokenLife::default(),
        reconnect: back_off.into(),
        subscribe_qos: SubscribeQos::KEPT,
        twin_qos: 0,
        api_version: names::API_VERSION,
    }
}

fn python() -> DevicePreset {
    DevicePreset {
        // [mqtt], [python].
        keep_alive_s: 60,
        // [paho.py], `_check_keepalive` and `loop_misc`. They run once a second, so the library may give up 1 s late.
        pings: PingPolicy { timeout: PingTimeout::KeepAlive, ..PingPolicy::OWN },
        // [python]: valid for an hour, renewed 120 s before expiry.
        tokens: tokens(Renew::Before(2 * MINUTE)),
        // [python], pipeline_stages_base.py: retries after 10 ms, then every 10 s, indefinitely. A refusal is not a transient error
        // and is not retried. The documentation describes a fixed interval of 10 s.
        reconnect: Reconnect {
            first: Some(10 * MS),
            gives_up_refused: true,
            ..BackOff::Fixed { delay: 10 * SECOND }.into()
        },
        subscribe_qos: SubscribeQos::ALL,
        // [python].
        twin_qos: 1,
        // [python], constant.py: 2020-09-30 is only for Plug and Play devices.
        api_version: "2019-10-01",
    }
}

fn node() -> DevicePreset {
    DevicePreset {
        // [mqtt], [node].
        keep_alive_s: 180,
        // [node], azure-iot-mqtt-base's mqtt_base.js: `reschedulePings: false`, so sending other packets does not delay a ping.
        // [mqtt.js], `_checkPing`: gives up when the next ping is due.
        pings: PingPolicy { after: Silence::Any, timeout: PingTimeout::KeepAlive, ..PingPolicy::OWN },
        // [node]: valid for an hour, renewed every 45 minutes.
        tokens: tokens(Renew::Before(15 * MINUTE)),
        // [node], internal_client.js: retries immediately (if there are listeners for methods or the twin; otherwise with the next
        // message), for four minutes. It gives up if the first connection is refused, but not if a later one is:
        // retry_error_filter.js excludes unauthorized, but azure-iot-device-mqtt treats that as a lost connection.
        // retry_policy.js: c = 100 ms, jitter down 0.5, up 0.25. According to its comment, it draws from c * 0.5 to c * 0.75;
        // the code draws from 0 to c * 0.25.
        reconnect: Reconnect {
            first: Some(Duration::ZERO),
            gives_up_after: Some(4 * MINUTE),
            ..stepped([Duration::ZERO, 25 * MS], 0, Duration::ZERO)
        },
        subscribe_qos: SubscribeQos::KEPT,
        // [node].
        twin_qos: 0,
        // [node], endpoint.js.
        api_version: "2021-04-12",
    }
}

fn dotnet() -> DevicePreset {
    DevicePreset {
        // [mqtt], [dotnet].
        keep_alive_s: 300,
        // [dotnet], MqttIotHubAdapter.cs: pings a quarter of the keep-alive after the last received packet. It checks once per such
        // interval, so a ping may be sent up to one interval late. Sending other packets does not delay a ping.
        pings: PingPolicy { after: Silence::Received, divisor: 4, timeout: PingTimeout::Fixed { s: 30 } },
        // [dotnet]: valid for an hour, renewed when 15% of it is left.
        tokens: tokens(Renew::Share(0.85)),
        // [dotnet], RetryDelegatingHandler.cs: delays are at least a second, except for the first.
        // ExponentialBackoffRetryStrategy.cs: 2^n - 1 steps of 80 to 120 ms, n from 0. Attempts start at least a second apart;
        // in hubstorm, the second is counted from the end of an attempt. No retry after a refusal.
        reconnect: Reconnect {
            first: Some(100 * MS),
            gives_up_refused: true,
            ..stepped([80 * MS, 120 * MS], 0, SECOND)
        },
        subscribe_qos: SubscribeQos::ALL,
        // [dotnet].
        twin_qos: 1,
        // [dotnet], ClientApiVersionHelper.cs of the device SDK. 2021-04-12 is the version of the service SDK.
        api_version: "2020-09-30",
    }
}

fn java() -> DevicePreset {
    DevicePreset {
        // [mqtt], [java].
        keep_alive_s: 230,
        // [paho.java], ClientState.java, `checkForActivity`, which accepts any packet as an answer.
        pings: PingPolicy { timeout: PingTimeout::KeepAlive, ..PingPolicy::OWN },
        // [java]: valid for an hour, renewed after 85% of it.
        tokens: tokens(Renew::Share(0.85)),
        // [java], ExponentialBackoffWithJitter.java: 100 ms plus 2^n - 1 steps of 80 to 120 ms. The documentation describes an
        // immediate first retry (n = 0), but IotHubTransport.java counts attempts from 1, so the first delay is about 0.2 s. The
        // SDK retries for up to four minutes, but not after a refusal.
        reconnect: Reconnect {
            gives_up_after: Some(4 * MINUTE),
            gives_up_refused: true,
            ..stepped([80 * MS, 120 * MS], 1, Duration::ZERO)
        },
        subscribe_qos: SubscribeQos::ALL,
        // [java], Mqtt.java: the QoS of every PUBLISH.
        twin_qos: 1,
        // [java], TransportUtils.java.
        api_version: "2020-09-30",
    }
}

fn c() -> DevicePreset {
    let jitter = Jitter::Above { percent: 5 };
    DevicePreset {
        // [mqtt], [c].
        keep_alive_s: 240,
        // [umqtt], mqtt_client.c, `mqtt_client_dowork`: only sent packets matter, so a device that sends QoS 0 messages often enough never
        // detects a dead hub. The library counts whole seconds, so it may give up 1 s late.
        pings: PingPolicy {
            after: Silence::Sent,
            timeout: PingTimeout::AtMost { divisor: 2, max_s: 80 },
            ..PingPolicy::OWN
        },
        // [c]: valid for an hour, renewed after 80% of it.
        tokens: tokens(Renew::Share(0.80)),
        // [c], iothub_client_retry_control.c: retries immediately, then after 1 s, doubling up to 30 s, even after a refusal. The
        // documentation describes a first delay of 1 s.
        reconnect: Reconnect {
            first: Some(Duration::ZERO),
            ..BackOff::Exponential { base: SECOND, max: 30 * SECOND, jitter }.into()
        },
        subscribe_qos: SubscribeQos::KEPT,
        // [c].
        twin_qos: 0,
        // [c], iothub_internal_consts.h.
        api_version: "2020-09-30",
    }
}

fn c_unified() -> DevicePreset {
    let exponential = |base, max, percent| {
        let jitter = Jitter::Around { percent };
        BackOff::Exponential { base, max, jitter }
    };
    DevicePreset {
        // [c-unified], az_iot_connection_client.h: AZ_IOT_DEFAULT_KEEP_ALIVE_SECONDS.
        keep_alive_s: 30,
        // [paho.c], MQTTProtocolClient.c, `MQTTProtocol_keepalive`. It gives up 1.5 times the keep-alive after PINGREQ, unless any other
        // packet has arrived in this time; in hubstorm, only PINGRESP counts.
        pings: PingPolicy { timeout: PingTimeout::KeepAliveAndHalf, ..PingPolicy::OWN },
        // [c-unified], docs/connecting.md: `token_lifetime_seconds` is one hour, `renewal_percent` is 80.
        tokens: tokens(Renew::Share(0.80)),
        // [c-unified], retry_policy.c: retries after 1 s, doubling up to 60 s, plus or minus 20%, also above 60 s, without end.
        // docs/connecting.md, `identity_recovery`: if the hub refuses the identity, after 5 min, doubling up to 1 h, plus or minus 25%.
        reconnect: Reconnect {
            refused: Some(exponential(5 * MINUTE, 60 * MINUTE, 25)),
            ..exponential(SECOND, MINUTE, 20).into()
        },
        subscribe_qos: SubscribeQos::KEPT,
        // [c-unified], mqttv3/twin_client.c.
        twin_qos: 0,
        // [c-unified], client-configuration.md: builds on azure-sdk-for-c 1.5.0, whose az_iot_hub_client.c has this version.
        api_version: "2020-09-30",
    }
}

fn tokens(renew: Renew) -> TokenLife {
    TokenLife { ttl: 60 * MINUTE, renew, jitter: 0.0, clock_skew_us: 0 }
}

/// Returns a back-off with delays from 100 ms to 10 s, as in [node], [dotnet] and [java].
fn stepped(step: [Duration; 2], head_start: u32, floor: Duration) -> Reconnect {
    BackOff::Stepped { least: 100 * MS, max: 10 * SECOND, step, head_start, floor }.into()
}

#[cfg(test)]
mod tests;
