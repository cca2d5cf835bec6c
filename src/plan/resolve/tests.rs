//! Whole scenarios: defaults, presets, limits, and errors.

use super::load;
use crate::iothub::limits;
use crate::measure::{Limits, Operation};
use crate::plan::Plan;
use crate::plan::{Auth, Keys, Offline, Spread};
use crate::policy::backoff::{BackOff, Jitter};
use crate::scenario::Input;
use rand::SeedableRng;
use std::time::Duration;

const SMALL: &str = "[fleet.meter]\ndevices = 10\n[[fleet.meter.send]]\nevery = \"5s\"\npayload = \"x\"\n\
                     [[phase]]\nname = \"steady\"\nduration = \"1m\"\n";

fn plan(text: &str, overrides: &[&str]) -> Result<Plan, String> {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let env = |name: &str| (name == "PASSWORD").then(|| "hunter2".to_owned());
    let input = Input {
        file: "some/small.toml",
        text,
        overrides: &overrides,
        env: &env,
        files: &crate::scenario::no_files,
    };
    load(&input, &mut rand::rngs::StdRng::seed_from_u64(1)).map_err(|errors| errors.to_string())
}

#[test]
fn will_too_large_for_the_built_in_hub_is_rejected() {
    let will = |bytes: usize, topic: &str, target: &str| {
        let will = format!("fleet.meter.will={{{topic}payload={{size={bytes}}}}}");
        plan(&format!("{SMALL}{target}"), &[&will])
    };
    assert!(will(46 * 1024, "", "").is_ok());
    let error = will(60_000, "", "").unwrap_err();
    for part in ["fleet.meter.will.payload", "too long for the built-in hub", "60,000 bytes", "49,152 bytes"]
    {
        assert!(error.contains(part), "{error}");
    }
    let broker = "[target]\nhost = \"broker.test\"\nkind = \"mqtt\"\n";
    let other = will(60_000, "topic=\"gone\",", broker).map_or_else(|error| error, |_| String::new());
    assert!(!other.contains("fleet.meter.will"), "only the built-in hub has this limit: {other}");
}

#[test]
fn rejected_value_is_not_suggested() {
    let error = plan(SMALL, &["emulator.tier=gold"]).unwrap_err();
    assert!(error.contains("unknown value") && !error.contains("did you mean"), "{error}");
    let error = plan(SMALL, &["emulator.tier=unlimitd"]).unwrap_err();
    assert!(error.contains("did you mean \"unlimited\"?"), "{error}");
}

#[test]
fn all_tiers_of_azure_are_accepted() {
    for tier in limits::Tier::ALL {
        let plan = plan(SMALL, &[&format!("emulator.tier={}", tier.name())]).unwrap();
        assert_eq!(plan.emulator.unwrap().tier.unwrap().size.tier, tier);
    }
    assert_eq!(plan(SMALL, &["emulator.tier=unlimited"]).unwrap().emulator.unwrap().tier, None);
}

#[test]
fn defaults_match_the_reference() {
    let plan = plan(SMALL, &[]).unwrap();
    assert_eq!((plan.name.as_str(), plan.seed, plan.drain), ("small", 1, Duration::from_secs(10)));
    assert_eq!(plan.validity, Limits::default());
    let emulator = plan.emulator.unwrap();
    assert_eq!((emulator.expiry_grace, emulator.lenient_properties), (Duration::from_secs(300), false));
    assert!(plan.target.tls.is_some_and(|tls| tls.verify && tls.ca.is_none()));
    let fleet = &plan.fleets[0];
    assert_eq!(fleet.device_id(7), "meter-00007");
    assert_eq!((fleet.keep_alive_s, fleet.clean_session, fleet.in_flight), (240, false, 16));
    assert_eq!(fleet.connect_timeout, Duration::from_secs(60));
    assert_eq!((fleet.ack_timeout, fleet.send_by), (Duration::from_secs(30), Duration::from_secs(30)));
    assert_eq!(fleet.offline, Offline::Queue);
    let (base, max) = (Duration::from_secs(1), Duration::from_secs(60));
    assert_eq!(fleet.reconnect, BackOff::Exponential { base, max, jitter: Jitter::Full }.into());
    let send = &fleet.sends[0];
    assert_eq!((send.qos, send.operation), (1, Operation::Telemetry));
    assert_eq!((send.arrival.spread, send.arrival.rate_hz), (Spread::Regular, 0.2));
    let names = crate::plan::TemplateContext { device: "meter-00007", index: 7 };
    assert_eq!(send.topic.render(&names), "devices/meter-00007/messages/events/");
}

#[test]
fn preset_sets_missing_keys() {
    let fleet =
        |more: &[&str]| plan(SMALL, &[&["fleet.meter.sdk=python"], more].concat()).unwrap().fleets.remove(0);
    let preset = crate::plan::device_preset(Some(crate::plan::Sdk::Python));
    let python = fleet(&[]);
    assert_eq!((python.keep_alive_s, python.reconnect), (preset.keep_alive_s, preset.reconnect));
    assert_eq!(python.subscribe_qos, preset.subscribe_qos);
    assert!(!python.clean_session, "all SDKs keep their session");
    let user_name =
        python.auth.credentials(&plan(SMALL, &[]).unwrap().target.host, "d", 0, Duration::ZERO).user_name;
    assert_eq!(user_name.as_deref(), Some("/d/?api-version=2019-10-01"));
    let auth = "fleet.meter.auth={ kind = \"sas\", ttl = \"10m\" }";
    let own = fleet(&[auth, "fleet.meter.keep_alive=5s", "fleet.meter.reconnect={ kind = \"never\" }"]);
    assert_eq!((own.keep_alive_s, own.reconnect), (5, BackOff::Never.into()));
    let renewed = own.auth.tokens().and_then(|life| life.renewed_after());
    assert_eq!(renewed, Some(Duration::from_secs(8 * 60)), "two minutes before expiry");
}

#[test]
fn run_without_target_generates_a_group_key() {
    let auth = plan(SMALL, &[]).unwrap().fleets.remove(0).auth;
    let Auth::Sas { keys: Keys::Group(key), life, .. } = &auth else { panic!("not a group key") };
    assert_eq!((key.to_base64().len(), life.renewed_after()), (88, Some(Duration::from_secs(51 * 60))));
}

#[test]
fn plain_brokers_use_plain_tcp_by_default() {
    let broker = ["target.kind=mqtt", "target.host=localhost", "fleet.meter.send.0.topic=bench/${device}"];
    let with = |more: &[&str]| plan(SMALL, &[&broker, more].concat()).unwrap();
    let target = with(&[]).target;
    assert!(target.tls.is_none());
    assert_eq!(target.port, 1883);
    let verify = ["target.tls={ verify = false }"];
    for tls in [["target.tls=true"], ["target.ca=ca.pem"], verify, ["target.port=8883"]] {
        let target = with(&tls).target;
        assert!(target.tls.is_some(), "{tls:?}");
        assert_eq!(target.port, 8883);
    }
    let target = with(&["target.port=8883", "target.tls=false"]).target;
    assert!(target.tls.is_none(), "tls = false wins");
    assert!(with(&["target.port=8884"]).target.tls.is_none(), "other ports do not imply TLS");
    assert!(!with(&["target.tls={ verify = false }"]).target.tls.unwrap().verify);
    let plan = with(&[]);
    assert!(plan.emulator.is_none() && plan.fleets[0].clean_session);
    assert!(matches!(plan.fleets[0].auth, Auth::None));
    assert_eq!(plan.fleets[0].sends[0].operation, Operation::Publish);
}

#[test]
fn host_is_a_name_or_an_address_only() {
    let host = |host: &str| {
        let topic = "fleet.meter.send.0.topic=x";
        plan(SMALL, &["target.kind=mqtt", &format!("target.host={host}"), topic]).map(|_| ())
    };
    for good in ["hub.example", "127.0.0.1", "::1", "fe80::1"] {
        assert_eq!(host(good), Ok(()), "{good}");
    }
    for bad in ["hub:8883", "mqtt://hub", "'[::1]'", "hub/x", "::1:x"] {
        assert!(host(bad).unwrap_err().contains("target.host: "), "{bad}");
    }
}

#[test]
fn several_hosts_have_their_own_ports() {
    let target = |host: &str, more: &[&str]| {
        let host = format!("target.host={host}");
        let all = [&["target.kind=mqtt", &host, "fleet.meter.send.0.topic=x"], more].concat();
        plan(SMALL, &all).map(|plan| plan.target)
    };
    for (hosts, more, address, tls, loopback) in [
        ("[\"a\", \"b:8884\"]", &[][..], "a:1883, b:8884", false, false),
        ("[\"a\", \"b:8883\"]", &[], "a:8883, b:8883", true, false),
        ("[\"a:1\", \"a\"]", &["target.port=2"], "a:1, a:2", false, false),
        ("[\"[::1]:1\", \"localhost\", \"::1\"]", &[], "[::1]:1, localhost:1883, [::1]:1883", false, true),
        ("[\"127.0.0.2\", \"b\"]", &[], "127.0.0.2:1883, b:1883", false, false),
        ("[\"a\"]", &[], "a:1883", false, false),
    ] {
        let target = target(hosts, more).unwrap();
        assert_eq!(target.address(), address);
        assert_eq!((target.tls.is_some(), target.is_loopback()), (tls, loopback), "{hosts}");
        assert_eq!(target.hosts().count(), usize::from(target.host_count()), "{hosts}");
    }
    let both = target("[\"a\", \"b\", \"c\"]", &["target.failover=next"]).unwrap();
    assert_eq!(
        (both.failover, (0..7).map(|i| both.host_of(i)).collect::<Vec<_>>()),
        (true, vec![0, 1, 2, 0, 1, 2, 0])
    );
    for (hosts, more, what) in [
        ("[\"a:1883\", \"A\"]", &[][..], "the list has this host twice"),
        ("[\"a:1883\", \"::1\"]", &["target.source_ips=[\"10.0.0.2\"]"], "of the other family"),
        ("[\"a\"]", &["target.failover=next"], "failover needs a second host"),
    ] {
        let error = target(hosts, more).unwrap_err();
        assert!(error.contains(what), "{hosts}: {error}");
    }
}

#[test]
fn source_addresses_are_local_and_unique() {
    let sources = |host: &str, list: &str| {
        let host = format!("target.host={host}");
        let list = format!("target.source_ips={list}");
        plan(SMALL, &["target.kind=mqtt", &host, &list, "fleet.meter.send.0.topic=x"])
            .map(|plan| plan.target.source_ips.len())
    };
    assert_eq!(sources("hub.example", "[\"10.0.0.2\", \"::1\"]"), Ok(2));
    assert_eq!(sources("hub.example", "[]"), Ok(0));
    for (host, list, what) in [
        ("hub.example", "[\"10.0.0.2\", \"10.0.0.2\"]", "given twice"),
        ("hub.example", "[\"0.0.0.0\"]", "not an address to connect from"),
        ("::1", "[\"10.0.0.2\"]", "of the other family"),
        ("hub.example", "[\"10.0.0.2:80\"]", "invalid value"),
        ("hub.example", "\"10.0.0.2\"", "wrong type"),
    ] {
        let error = sources(host, list).unwrap_err();
        assert!(error.contains("--set target.source_ips") && error.contains(what), "{error}");
    }
}

#[test]
fn run_duration_is_limited() {
    let error = plan(SMALL, &["phase.steady.duration=101d"]).unwrap_err();
    assert!(error.contains("phase.steady.duration: too long") && error.contains("up to 100d"), "{error}");
    assert!(plan(SMALL, &["phase.steady.duration=100d"]).is_ok());
    let second = format!("{SMALL}[[phase]]\nname = \"more\"\nduration = \"60d\"\n");
    let error = plan(&second, &["phase.steady.duration=50d"]).map(|_| ()).unwrap_err();
    assert!(error.contains("phases together"), "{error}");
}

#[test]
fn abort_time_depends_on_phase_and_delay() {
    let text = "[fleet.a]\ndevices = 1\n[[phase]]\nname = \"ramp\"\nduration = \"10s\"\nwarmup = true\n\
                [[phase]]\nname = \"steady\"\nduration = \"1m\"\n[[phase]]\nname = \"peak\"\nduration = \"1m\"\n";
    let from = |metric: &str, threshold: &str| {
        let threshold = format!("thresholds.\"{metric}\"=[{threshold}]");
        let plan = plan(text, &[&threshold]).unwrap();
        let [threshold] = &plan.thresholds[..] else { panic!("one threshold: {:?}", plan.thresholds) };
        (
            threshold.abort_after.map(|after| after.as_secs()),
            plan.abort_from(threshold).map(|at| at.as_secs()),
        )
    };
    let late = "{ expr = \"max < 1s\", abort = true, after = \"30s\" }";
    assert_eq!(from("connect", late), (Some(30), Some(40)), "from the first phase that is not a warm-up");
    assert_eq!(from("connect{phase:ramp}", late), (Some(30), Some(30)));
    assert_eq!(from("connect{phase:peak}", late), (Some(30), Some(100)));
    assert_eq!(from("connect{phase:peak}", "{ expr = \"max < 1s\", abort = true }"), (Some(0), Some(70)));
    for never in ["\"max < 1s\"", "{ expr = \"max < 1s\" }", "{ expr = \"max < 1s\", abort = false }"] {
        assert_eq!(from("connect", never), (None, None), "{never}");
    }
}

#[test]
fn abort_when_unreachable_is_off_by_default() {
    let unreachable = |more: &[&str]| plan(SMALL, more).map(|plan| plan.abort_when_unreachable);
    assert_eq!(unreachable(&[]), Ok(None));
    assert_eq!(unreachable(&["abort_when_unreachable=never"]), Ok(None));
    assert_eq!(unreachable(&["abort_when_unreachable=30s"]), Ok(Some(Duration::from_secs(30))));
    for bad in ["0s", "-1s", "30", "soon"] {
        let error = unreachable(&[&format!("abort_when_unreachable={bad}")]).unwrap_err();
        assert!(error.contains("--set abort_when_unreachable: "), "{bad}: {error}");
    }
}

#[test]
fn validity_limits_can_be_overridden() {
    let given =
        ["late_after=1s", "late_share=2%", "sent_share=90%", "busy_share=80%", "closed_loop_share=5%"];
    let given = given.map(|text| format!("validity.{text}"));
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let Limits { late_after_us, late_share, sent_share, busy_share, closed_loop_share } =
        plan(SMALL, &given).unwrap().validity;
    assert_eq!(late_after_us, 1_000_000);
    assert_eq!([late_share, sent_share, busy_share, closed_loop_share], [0.02, 0.9, 0.8, 0.05]);
}

#[test]
fn allowed_names_are_listed_once() {
    let twice = format!("{SMALL}[[phase]]\nname = \"steady\"\nduration = \"1m\"\n");
    let error = plan(&twice, &["thresholds.\"online{phase:stead}\"=[\"max < 1s\"]"]).unwrap_err();
    assert!(error.contains("allowed: steady\n"), "{error}");
}

#[test]
fn messages_at_qos_0_are_a_separate_operation() {
    let unacked = "fleet.meter.send.0.qos=0";
    let threshold = |metric: &str| format!("thresholds.{metric}=[\"rate(ok) > 99%\"]");
    let operation = |more: &[&str]| plan(SMALL, more).map(|plan| plan.fleets[0].sends[0].operation);
    assert_eq!(operation(&[unacked]), Ok(Operation::TelemetryQos0));
    assert_eq!(operation(&[unacked, &threshold("\"telemetry.qos0\"")]), Ok(Operation::TelemetryQos0));
    let error = operation(&[unacked, &threshold("telemetry")]).unwrap_err();
    assert!(error.contains("never measures") && error.contains("ends in .qos0"), "{error}");
    let error = operation(&[&threshold("\"telemetry.qos0\"")]).unwrap_err();
    assert!(error.contains("never measures") && error.contains("remove .qos0 from the metric"), "{error}");
}

#[test]
fn device_indices_are_global_and_rates_are_shared() {
    let second =
        format!("[fleet.a]\ndevices = 4\n[[fleet.a.send]]\nrate = \"100/s\"\npayload = \"x\"\n{SMALL}");
    let plan = plan(&second, &[]).unwrap();
    assert_eq!([plan.fleets[0].first, plan.fleets[1].first, plan.devices()], [0, 4, 14]);
    let arrival = plan.fleets[0].sends[0].arrival;
    assert!(matches!(arrival.spread, Spread::Stratified(_)) && arrival.rate_hz == 25.0);
    // 100/s and 10 devices every 5 s, for a minute.
    assert!((plan.planned_messages() - 6120.0).abs() < 1e-6);
}

#[test]
fn properties_are_encoded_in_the_topic() {
    let plan =
        plan(SMALL, &["fleet.meter.send.0.properties={ unit = \"k W&h\", \"$.ct\" = \"x\" }"]).unwrap();
    let names = crate::plan::TemplateContext { device: "d", index: 0 };
    assert_eq!(
        plan.fleets[0].sends[0].topic.render(&names),
        "devices/d/messages/events/unit=k%20W%26h&%24.ct=x"
    );
}

#[test]
fn telemetry_is_limited_to_262_144_bytes() {
    // Names and values of user properties count, and values of system properties. Escapes and separators do not.
    for (properties, bytes) in [
        ("{}", 0),
        ("{ unit = \"k W&h\" }", 9),
        ("{ \"$.ct\" = \"application/json\", \"$.ce\" = \"utf-8\" }", 21),
        ("{ \"ü\" = \"ü\", \"$.mid\" = \"1\" }", 5),
    ] {
        let of = |size: usize| {
            let properties = format!("fleet.meter.send.0.properties={properties}");
            let size = format!("fleet.meter.send.0.payload={{ size = {size} }}");
            plan(SMALL, &[&properties, &size]).map(|plan| plan.fleets[0].sends[0].properties_bytes)
        };
        assert_eq!(of(262_144 - bytes), Ok(bytes), "{properties}");
        let error = of(262_145 - bytes).unwrap_err();
        let expected = "found:   up to 262,145 bytes with properties";
        assert!(error.contains("too large for an IoT hub") && error.contains(expected), "{error}");
    }
}

#[test]
fn strings_beyond_mqtt_limits_are_rejected() {
    let broker = ["target.kind=mqtt", "target.host=localhost"];
    let long = "x".repeat(65_536);
    let topic = format!("fleet.meter.send.0.topic={long}");
    let error = plan(SMALL, &[&broker[..], &[&topic]].concat()).unwrap_err();
    assert!(error.contains("the topic is too long for MQTT") && error.len() < 1000, "{error}");
    let error = plan(SMALL, &[&broker[..], &["fleet.meter.send.0.topic=a\0b"]].concat()).unwrap_err();
    assert!(error.contains("NUL"), "{error}");
    let id = format!("fleet.meter.id={{index}}{long}");
    let error = plan(SMALL, &[&broker[..], &["fleet.meter.send.0.topic=x", &id]].concat()).unwrap_err();
    assert!(error.contains("the client id is too long"), "{error}");
    let auth = format!("fleet.meter.auth={{ kind = \"password\", username = \"{long}\" }}");
    let error = plan(SMALL, &[&broker[..], &["fleet.meter.send.0.topic=x", &auth]].concat()).unwrap_err();
    assert!(error.contains("fleet.meter.auth.password: missing"), "{error}");
}

#[test]
fn packet_size_is_limited() {
    let size = |bytes: usize| {
        let size = format!("fleet.meter.send.0.payload={{ size = {bytes} }}");
        let broker = ["target.kind=mqtt", "target.host=localhost", "fleet.meter.send.0.topic=t", &size];
        plan(SMALL, &broker).map(|_| ())
    };
    // The other bytes: 3 for the topic with its length, and 2 for the packet id.
    assert_eq!(size(268_435_455 - 3 - 2), Ok(()));
    let error = size(268_435_455 - 4).unwrap_err();
    assert!(error.contains("payload: too large for MQTT"), "{error}");
}

#[test]
fn bursts_and_closed_loops_are_resolved() {
    let arrival = |more: &[&str]| plan(SMALL, more).map(|plan| plan.fleets[0].sends[0].arrival);
    let burst = arrival(&["fleet.meter.send.0.burst=4"]).unwrap();
    assert_eq!((burst.rate_hz, burst.burst, burst.is_closed()), (0.8, 4, false));
    let text = SMALL.replace("every = \"5s\"", "rate = \"8/s\"\nburst = 4");
    let shared = plan(&text, &[]).unwrap().fleets[0].sends[0].arrival;
    assert_eq!((shared.rate_hz, shared.burst), (0.8, 4), "a rate counts messages");
    let text = SMALL.replace("every = \"5s\"", "arrival = \"closed\"\nthink_time = \"0s\"");
    let closed = plan(&text, &[]).unwrap().fleets[0].sends[0].arrival;
    assert_eq!((closed.spread, closed.rate_hz), (Spread::Closed { think_ns: 0 }, 1000.0));
}

#[test]
fn needs_grow_with_the_fleet() {
    let few = plan(SMALL, &[]).unwrap().needs(1);
    let many = plan(SMALL, &["fleet.meter.devices=10010"]).unwrap().needs(1);
    assert_eq!([many.descriptors - few.descriptors, many.ports], [10_000, 10_010]);
    assert!(many.memory_bytes - few.memory_bytes >= 10_000 * 5 * 1024);
    assert!(few.descriptors > few.ports);
}

#[test]
fn longest_recorded_duration_covers_the_run() {
    assert_eq!(plan(SMALL, &[]).unwrap().highest_us(), 92_000_000);
    let long = plan(SMALL, &["phase.steady.duration=2h"]).unwrap();
    assert_eq!(long.highest_us(), 7_212_000_000);
}
