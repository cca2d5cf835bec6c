//! The habits of a device: hubstorm's own defaults, and those of Azure's device SDKs, as data. `fleets` takes what a scenario
//! leaves out from here; whatever it says itself wins. Pure.
//!
//! Sources: `[mqtt]` is Azure's "Communicate with an IoT hub using the MQTT protocol"; `[python]` is azure-iot-device 2.14.0 as
//! released, `[node]` azure-iot-device 1.18.4 with azure-iot-common 1.13.3, also as released; `[dotnet]`, `[java]` and `[c]` are
//! the sources (Azure/azure-iot-sdk-*). Their MQTT libraries decide when they ping: `[paho.py]` is paho-mqtt 1.6.1, `[mqtt.js]`
//! npm's mqtt 4.3.8, `[paho.java]` eclipse/paho.mqtt.java, `[umqtt]` Azure/azure-umqtt-c; .NET's pings are in its SDK. Values that no
//! source gives are hubstorm's own. If an SDK's code and its documentation (its own, or Azure's "Manage device reconnections to create
//! resilient applications") differ, the code wins, because devices run the code. The comment beside the value says so.
//!
//! Not imitated: `[python]` sends SUBSCRIBE again after 30 s without a SUBACK (pipeline_stages_base.py: it fails after 10 s and is retried
//! 20 s later); here a connection subscribes once. `[paho.java]` accepts any packet as the answer to a PINGREQ.
//!
//! What a device does when its very first connection fails is up to its application; here it is as after a loss.
//!
//! No SDK spreads its renewals, so their jitter is 0. All ask for a session that is kept (clean session off), as hubstorm does.
//! The user name's `DeviceClientType` is left out: it says platform and version of a program that hubstorm is not.

use super::token::{Renew, TokenLife};
use crate::iothub::names;
use crate::policy::backoff::{BackOff, Jitter, Reconnect};
use crate::policy::ping::{PingPolicy, PingTimeout, Silence};
use crate::scenario::Sdk;
use crate::wire::QoS;
use std::time::Duration;

/// What a device does unless its scenario says otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DevicePreset {
    /// CONNECT's keep-alive.
    pub keep_alive_s: u16,
    /// When it sends PINGREQ, and how long it waits for PINGRESP.
    pub pings: PingPolicy,
    /// How its tokens live.
    pub tokens: TokenLife,
    /// What it does after a loss.
    pub reconnect: Reconnect,
    /// The QoS of its subscriptions.
    pub subscribe_qos: SubscribeQos,
    /// The QoS of its twin requests.
    pub twin_qos: u8,
    /// The API version that its user name asks for.
    pub api_version: &'static str,
}

/// The QoS that a device of an IoT hub subscribes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeQos {
    /// Cloud-to-device messages.
    pub c2d: QoS,
    /// Twin responses and desired properties.
    pub twin: QoS,
    /// Direct methods.
    pub methods: QoS,
}

impl SubscribeQos {
    /// Only what a hub keeps for the device: cloud-to-device messages. [c] and [node].
    const KEPT: SubscribeQos =
        SubscribeQos { c2d: QoS::AtLeastOnce, twin: QoS::AtMostOnce, methods: QoS::AtMostOnce };
    /// Everything. [python], [dotnet] and [java].
    const ALL: SubscribeQos =
        SubscribeQos { c2d: QoS::AtLeastOnce, twin: QoS::AtLeastOnce, methods: QoS::AtLeastOnce };
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The habits of an SDK's devices; without one, hubstorm's own.
#[must_use]
pub fn device_preset(sdk: Option<Sdk>) -> DevicePreset {
    match sdk {
        None => hubstorm(),
        Some(Sdk::Python) => python(),
        Some(Sdk::Node) => node(),
        Some(Sdk::DotNet) => dotnet(),
        Some(Sdk::Java) => java(),
        Some(Sdk::C) => c(),
    }
}

/// Our choice: full jitter spreads a fleet that lost its hub best.
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
        // [paho.py], `_check_keepalive` and `loop_misc`. They run once a second, so it gives up at most 1 s later.
        pings: PingPolicy { timeout: PingTimeout::KeepAlive, ..PingPolicy::OWN },
        // [python]: an hour, renewed 120 s before its end.
        tokens: tokens(Renew::Before(2 * MINUTE)),
        // [python], pipeline_stages_base.py: after 10 ms, then every 10 s, for ever; a refusal is no transient error. Documented is
        // a fixed interval of 10 s: the code wins.
        reconnect: Reconnect {
            first: Some(10 * MS),
            gives_up_refused: true,
            ..BackOff::Fixed { delay: 10 * SECOND }.into()
        },
        subscribe_qos: SubscribeQos::ALL,
        // [python].
        twin_qos: 1,
        // [python], constant.py: 2020-09-30 only for Plug and Play devices.
        api_version: "2019-10-01",
    }
}

fn node() -> DevicePreset {
    DevicePreset {
        // [mqtt], [node].
        keep_alive_s: 180,
        // [node], azure-iot-mqtt-base's mqtt_base.js: `reschedulePings: false`, so packets sent in between do not delay a ping.
        // [mqtt.js], `_checkPing`: it gives up when the next ping is due.
        pings: PingPolicy { after: Silence::Any, timeout: PingTimeout::KeepAlive, ..PingPolicy::OWN },
        // [node]: an hour, renewed every 45 minutes.
        tokens: tokens(Renew::Before(15 * MINUTE)),
        // [node], internal_client.js: at once (with listeners for methods or the twin; else with the next message), for four
        // minutes. Refused on its first connection it gives up, later it does not, although retry_error_filter.js excludes
        // what is unauthorised: azure-iot-device-mqtt takes that for a lost connection, and the code wins. retry_policy.js: c = 100 ms,
        // jitter down 0.5, up 0.25; its comment draws from c * 0.5 to c * 0.75, its code from 0 to c * 0.25, and the code wins.
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
        // [dotnet], MqttIotHubAdapter.cs: a quarter of the keep-alive after the last received packet. It checks once per such interval,
        // so it may take twice as long. Packets sent in between do not delay a ping.
        pings: PingPolicy { after: Silence::Received, divisor: 4, timeout: PingTimeout::Fixed { s: 30 } },
        // [dotnet]: an hour, renewed when 15% are left.
        tokens: tokens(Renew::Share(0.85)),
        // [dotnet], RetryDelegatingHandler.cs: the first delay alone is not made a second long. ExponentialBackoffRetryStrategy.cs:
        // 2^n - 1 steps of 80 to 120 ms, n from 0. Attempts begin a second apart at least; here it is counted from an
        // attempt's end. Not after a refusal.
        reconnect: Reconnect {
            first: Some(100 * MS),
            gives_up_refused: true,
            ..stepped([80 * MS, 120 * MS], 0, SECOND)
        },
        subscribe_qos: SubscribeQos::ALL,
        // [dotnet].
        twin_qos: 1,
        // [dotnet], the device's ClientApiVersionHelper.cs; 2021-04-12 is the service SDK's.
        api_version: "2020-09-30",
    }
}

fn java() -> DevicePreset {
    DevicePreset {
        // [mqtt], [java].
        keep_alive_s: 230,
        // [paho.java], ClientState.java, `checkForActivity`, which accepts any packet as an answer.
        pings: PingPolicy { timeout: PingTimeout::KeepAlive, ..PingPolicy::OWN },
        // [java]: an hour, renewed at 85%.
        tokens: tokens(Renew::Share(0.85)),
        // [java], ExponentialBackoffWithJitter.java: 2^n - 1 steps of 80 to 120 ms. Documented is an immediate first retry, which the
        // policy has for n = 0; but IotHubTransport.java counts its attempts from 1, and the code wins: 0.2 s. Four minutes, and not after
        // a refusal.
        reconnect: Reconnect {
            gives_up_after: Some(4 * MINUTE),
            gives_up_refused: true,
            ..stepped([80 * MS, 120 * MS], 1, Duration::ZERO)
        },
        subscribe_qos: SubscribeQos::ALL,
        // [java], Mqtt.java: as whatever it publishes.
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
        // detects a dead hub. It counts whole seconds, so it gives up at most 1 s later.
        pings: PingPolicy {
            after: Silence::Sent,
            timeout: PingTimeout::AtMost { divisor: 2, max_s: 80 },
            ..PingPolicy::OWN
        },
        // [c]: an hour, renewed at 80%.
        tokens: tokens(Renew::Share(0.80)),
        // [c], iothub_client_retry_control.c: at once, then 1 s doubled up to 30 s; also after a refusal. Documented is a first wait of 1 s:
        // the code wins.
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

fn tokens(renew: Renew) -> TokenLife {
    TokenLife { ttl: 60 * MINUTE, renew, jitter: 0.0, clock_skew_us: 0 }
}

/// From 100 ms to 10 s, as [node], [dotnet] and [java] have it.
fn stepped(step: [Duration; 2], head_start: u32, floor: Duration) -> Reconnect {
    BackOff::Stepped { least: 100 * MS, max: 10 * SECOND, step, head_start, floor }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::backoff::{Loss, Retries};
    use crate::rng::{Purpose, generator};

    /// Keep-alive, minutes until renewal, QoS of c2d, twin, methods and twin requests, API version.
    fn facts(sdk: Sdk) -> (u16, u64, [u8; 4], &'static str) {
        let preset = device_preset(Some(sdk));
        let minutes = preset.tokens.renewed_after().map_or(0, |after| after.as_secs() / 60);
        assert_eq!((preset.tokens.ttl, preset.tokens.clock_skew_us), (60 * MINUTE, 0));
        assert!(preset.tokens.jitter.abs() < f64::EPSILON, "none spreads its renewals");
        let SubscribeQos { c2d, twin, methods } = preset.subscribe_qos;
        (
            preset.keep_alive_s,
            minutes,
            [c2d as u8, twin as u8, methods as u8, preset.twin_qos],
            preset.api_version,
        )
    }

    /// The least and the most, in milliseconds, that devices wait before their first retries at a hub that does not answer.
    fn waits(sdk: Sdk) -> [(u128, u128); 6] {
        let policy = device_preset(Some(sdk)).reconnect;
        let mut spans = [(u128::MAX, 0); 6];
        for device in 0..500 {
            let (mut retries, mut rng) = (Retries::default(), generator(1, device, Purpose::Connection));
            for (least, most) in &mut spans {
                let delay = retries.next_delay(&policy, Loss::default(), &mut rng).expect("it tries again");
                (*least, *most) = ((*least).min(delay.as_millis()), (*most).max(delay.as_millis()));
            }
        }
        spans
    }

    #[track_caller]
    fn within(seen: [(u128, u128); 6], bounds: [(u128, u128); 6]) {
        for (n, ((least, most), (from, to))) in seen.into_iter().zip(bounds).enumerate() {
            assert!(least >= from && most <= to, "retry {n}: {least} to {most} ms, not in {from} to {to}");
            assert!(4 * (most - least) >= 3 * (to - from), "retry {n} is not spread: {least} to {most}");
        }
    }

    fn gives_up(sdk: Sdk) -> (Option<Duration>, bool) {
        let Reconnect { gives_up_after, gives_up_refused, .. } = device_preset(Some(sdk)).reconnect;
        (gives_up_after, gives_up_refused)
    }

    /// The silence before a PINGREQ, and its interval and timeout in seconds, for the preset's own keep-alive and for 20 s.
    fn pings(sdk: Sdk) -> (Silence, [(f64, f64); 2]) {
        let DevicePreset { pings, keep_alive_s, .. } = device_preset(Some(sdk));
        let seconds = |keep_alive_s| {
            let interval = pings.interval(keep_alive_s).expect("pings are on");
            (interval.as_secs_f64(), pings.timeout(keep_alive_s).as_secs_f64())
        };
        (pings.after, [seconds(keep_alive_s), seconds(20)])
    }

    #[test]
    fn each_sdk_preset_pings_as_its_source_does() {
        assert_eq!(pings(Sdk::Python), (Silence::SentOrReceived, [(60.0, 60.0), (20.0, 20.0)]));
        assert_eq!(pings(Sdk::Node), (Silence::Any, [(180.0, 180.0), (20.0, 20.0)]));
        assert_eq!(pings(Sdk::DotNet), (Silence::Received, [(75.0, 30.0), (5.0, 30.0)]));
        assert_eq!(pings(Sdk::Java), (Silence::SentOrReceived, [(230.0, 230.0), (20.0, 20.0)]));
        assert_eq!(pings(Sdk::C), (Silence::Sent, [(240.0, 80.0), (20.0, 10.0)]));
    }

    #[test]
    fn python_renews_two_minutes_before_the_end_and_retries_every_ten_seconds() {
        assert_eq!(facts(Sdk::Python), (60, 58, [1, 1, 1, 1], "2019-10-01"));
        let later = (10_000, 10_000);
        within(waits(Sdk::Python), [(10, 10), later, later, later, later, later]);
        assert_eq!(gives_up(Sdk::Python), (None, true));
    }

    #[test]
    fn node_renews_every_45_minutes_and_gives_up_after_four() {
        assert_eq!(facts(Sdk::Node), (180, 45, [1, 0, 0, 0], "2021-04-12"));
        // At once, then 100 ms + (2^n - 1) * 0..25 ms, n from 0.
        let bounds = [(0, 0), (100, 100), (100, 125), (100, 175), (100, 275), (100, 475)];
        within(waits(Sdk::Node), bounds);
        assert_eq!(gives_up(Sdk::Node), (Some(Duration::from_secs(240)), false));
    }

    #[test]
    fn dotnet_waits_a_second_at_least_but_for_the_first_time() {
        assert_eq!(facts(Sdk::DotNet), (300, 51, [1, 1, 1, 1], "2020-09-30"));
        // 100 ms, then 100 ms + (2^n - 1) * 80..120 ms, which is below a second until n is 4.
        let second = (1_000, 1_000);
        within(waits(Sdk::DotNet), [(100, 100), second, second, second, second, (1_300, 1_900)]);
        assert_eq!(gives_up(Sdk::DotNet), (None, true));
    }

    #[test]
    fn java_waits_as_dotnet_without_its_second_and_gives_up_after_four_minutes() {
        assert_eq!(facts(Sdk::Java), (230, 51, [1, 1, 1, 1], "2020-09-30"));
        let bounds = [(180, 220), (340, 460), (660, 940), (1_300, 1_900), (2_580, 3_820), (5_140, 7_660)];
        within(waits(Sdk::Java), bounds);
        assert_eq!(gives_up(Sdk::Java), (Some(Duration::from_secs(240)), true));
    }

    #[test]
    fn c_retries_at_once_and_doubles_a_second_up_to_thirty() {
        assert_eq!(facts(Sdk::C), (240, 48, [1, 0, 0, 0], "2020-09-30"));
        let bounds =
            [(0, 0), (1_000, 1_050), (2_000, 2_100), (4_000, 4_200), (8_000, 8_400), (16_000, 16_800)];
        within(waits(Sdk::C), bounds);
        assert_eq!(gives_up(Sdk::C), (None, false));
    }
}
