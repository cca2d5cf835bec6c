//! The exact form of control lines, and which configurations and keys are refused.

use super::*;
use crate::iothub::service::ServiceRequest;
use serde_json::json;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
fn config_and_stats_lines_have_their_documented_form() {
    let parse = |line: &str| serde_json::from_str::<ControlCommand>(line).unwrap();
    assert_eq!(parse(r#""stats""#), ControlCommand::Stats);
    assert_eq!(parse(r#"{"start":{"unix_us":5}}"#), ControlCommand::Start { unix_us: 5 });
    let line = format!(
        r#"{{"config":{{"group_keys":["{KEY}"],"tier":"unlimited","expiry_grace_ms":1000,"lenient_properties":true,"shards":3,"hosts":["hub.test"]}}}}"#
    );
    let ControlCommand::Config(config) = parse(&line) else { panic!("{line}") };
    assert_eq!(config.listen(), "127.0.0.1:0".parse().unwrap());
    assert_eq!(
        serde_json::from_str::<ControlCommand>(
            &serde_json::to_string(&ControlCommand::Config(config.clone())).unwrap()
        )
        .unwrap(),
        ControlCommand::Config(config.clone())
    );
    assert!(!format!("{config:?}").contains(KEY));
    let config = config.to_config().unwrap();
    assert_eq!(config.host_names, ["localhost", "127.0.0.1", "hub.test"]);
    assert_eq!((config.group_keys.len(), config.shards), (1, 3));
    let options = EmulatorOptions {
        expiry_grace: Duration::from_secs(1),
        lenient_properties: true,
        ..EmulatorOptions::default()
    };
    assert_eq!(config.options, options);
    let counted = Stats { accepted: 2, ..Stats::default() };
    let shards = vec![
        ShardHealth { busy_share: 0.25, stalls: vec![[5, 9, 4].into(), [20, 90, 7].into()] },
        ShardHealth::default(),
    ];
    let refused_by = BTreeMap::from([("expired".to_owned(), 7)]);
    let (throttle, faults) = (None, Vec::new());
    let answer =
        ControlReply::Stats { counted, refused_by, cpu_us: 3, rss_peak_bytes: 4, throttle, faults, shards };
    let stats = serde_json::to_string(&answer).unwrap();
    assert!(
        stats.ends_with(
            r#","shards":[{"busy_share":0.25,"stalls":[[5,9,4],[20,90,7]]},{"busy_share":0.0,"stalls":[]}]}}"#
        ),
        "{stats}"
    );
    assert_eq!(serde_json::from_str::<ControlReply>(&stats).unwrap(), answer);
    let (older, _) = stats.split_once(",\"shards\"").unwrap();
    let older: ControlReply = serde_json::from_str(&format!("{older}}}}}")).unwrap();
    let refused_by = BTreeMap::from([("expired".to_owned(), 7)]);
    assert_eq!(
        older,
        ControlReply::Stats {
            counted,
            refused_by,
            cpu_us: 3,
            rss_peak_bytes: 4,
            throttle: None,
            faults: Vec::new(),
            shards: Vec::new()
        }
    );
    assert!(stats.contains(r#"},"refused_by":{"expired":7},"cpu_us":3,"#), "{stats}");
    assert!(stats.starts_with(r#"{"stats":{"counted":{"accepted":2,"refused":0,"telemetry":0"#), "{stats}");
}

#[test]
fn call_lines_and_replies_have_their_documented_form() {
    let request = |line: &str| {
        let line = format!(r#"{{"call":{{"id":7,"device":"meter-00001","ask":{line}}}}}"#);
        match serde_json::from_str(&line) {
            Ok(ControlCommand::Call(call)) if (call.id, &*call.device) == (7, "meter-00001") => call.request,
            other => panic!("{line}: {other:?}"),
        }
    };
    assert_eq!(
        request(
            r#"{"method":{"name":"reboot","payload":{"s":1},"response_timeout_ms":1000,"connect_timeout_ms":5}}"#
        ),
        ServiceRequest::InvokeMethod {
            name: "reboot".to_owned(),
            payload: Some(json!({"s": 1})),
            response_timeout: Duration::from_millis(1000),
            connect_timeout: Duration::from_millis(5),
        }
    );
    let method = |payload| ServiceRequest::InvokeMethod {
        name: "reboot".to_owned(),
        payload,
        response_timeout: Duration::from_millis(30_000),
        connect_timeout: Duration::from_millis(0),
    };
    for (line, payload) in [
        (r#"{"method":{"name":"reboot"}}"#, None),
        (r#"{"method":{"name":"reboot","payload":null}}"#, Some(json!(null))),
    ] {
        assert_eq!(request(line), method(payload.clone()));
        assert_eq!(request(&serde_json::to_string(&method(payload.clone())).unwrap()), method(payload));
    }
    assert!(
        matches!(request(r#"{"desired":{"patch":{"a":null}}}"#), ServiceRequest::UpdateDesired { patch } if patch.len() == 1)
    );
    assert!(
        matches!(request(r#"{"tags":{"patch":{"a":null}}}"#), ServiceRequest::UpdateTags { patch } if patch.len() == 1)
    );
    let c2d = r#"{"c2d":{"message_id":"m","properties":{"a":"b"},"payload":"text","ttl_ms":5,"ack":"full"}}"#;
    assert_eq!(serde_json::to_string(&request(c2d)).unwrap(), c2d);
    let bare = r#"{"c2d":{"payload":"text"}}"#;
    assert_eq!(serde_json::to_string(&request(bare)).unwrap(), bare);
    assert_eq!(
        (request("\"close\""), request("\"purge\""), request("\"twin\"")),
        (ServiceRequest::CloseConnection, ServiceRequest::PurgeMessages, ServiceRequest::ReadTwin)
    );
    assert_eq!(request(r#"{"disable":true}"#), ServiceRequest::Disable(true));
    let misspelled = r#"{"call":{"id":1,"device":"d","ask":{"c2d":{"payload":"x","ttl":5}}}}"#;
    assert!(serde_json::from_str::<ControlCommand>(misspelled).is_err());

    for (answer, line) in [
        (
            ControlReply::Called {
                id: 7,
                response: ServiceResponse { status: Some(200), version: None, payload: Some(json!([1])) },
            },
            r#"{"called":{"id":7,"status":200,"payload":[1]}}"#,
        ),
        (
            ControlReply::Called {
                id: 8,
                response: ServiceResponse { version: Some(3), ..ServiceResponse::default() },
            },
            r#"{"called":{"id":8,"version":3}}"#,
        ),
        (ControlReply::Called { id: 9, response: ServiceResponse::default() }, r#"{"called":{"id":9}}"#),
        (
            ControlReply::Failed {
                id: 7,
                failure: ServiceFailure { code: 404_103, message: "x".to_owned() },
            },
            r#"{"failed":{"id":7,"code":404103,"message":"x"}}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&answer).unwrap(), line);
        assert_eq!(serde_json::from_str::<ControlReply>(line).unwrap(), answer);
    }
}

#[test]
fn an_invalid_configuration_is_refused_with_its_reason() {
    let with = |change: fn(&mut ControlConfig)| {
        let mut config = ControlConfig::default();
        change(&mut config);
        config.to_config().unwrap_err()
    };
    assert_eq!(with(|c| c.tier = "S9".to_owned()), ControlError::UnknownTier);
    assert_eq!(with(|c| c.tier = "s2".to_owned()), ControlError::TierCase("S2"));
    assert_eq!(with(|c| c.tier = "Unlimited".to_owned()), ControlError::TierCase("unlimited"));
    for tier in Tier::ALL {
        let units_max = tier.units_max();
        let of = |units| ControlConfig { tier: tier.name().to_owned(), units, ..ControlConfig::default() };
        for units in [None, Some(units_max)] {
            let options = of(units).to_config().unwrap().options.tier.unwrap();
            assert_eq!(options, TierOptions::of(HubSize { tier, units: units.unwrap_or(1) }));
            // The parent sends the options in the same form.
            let again = ControlConfig::from(EmulatorOptions { tier: Some(options), ..Default::default() });
            assert_eq!(again.to_config().unwrap().options.tier, Some(options));
        }
        for units in [0, units_max + 1] {
            assert_eq!(of(Some(units)).to_config().unwrap_err(), ControlError::Units { units, tier });
        }
    }
    assert_eq!(with(|c| c.units = Some(1)), ControlError::NoTier("units"));
    assert_eq!(with(|c| c.quota_used = Some(1)), ControlError::NoTier("quota_used"));
    assert_eq!(with(|c| c.throttle = Some(ControlThrottle::default())), ControlError::NoTier("throttle"));
    assert_eq!(with(|c| c.shards = 1025), ControlError::Shards(1025));
    assert_eq!(
        with(|c| c.group_keys = vec![SecretText::new(Zeroizing::new("?".to_owned()))]),
        ControlError::Key(KeyError::NotBase64)
    );
    let random = ControlConfig::default().to_config().unwrap();
    assert_eq!(random.group_keys.len(), 1, "a random one");
}

#[test]
fn unknown_keys_are_refused_in_every_part_of_a_line() {
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
        let parse = |extra: &str| serde_json::from_str::<ControlCommand>(&line.replace("EXTRA", extra));
        assert!(parse("").is_ok(), "{line}");
        let error = parse(extra).unwrap_err().to_string();
        assert!(error.contains("unknown field"), "{line}: {error}");
    }
}

#[test]
fn a_wrong_type_is_described_without_rust_type_names() {
    for (line, expected) in [
        (r#"{"call":5}"#, "expected a call with id, device and ask"),
        (
            r#"{"call":{"id":1,"device":"d","ask":{"method":5}}}"#,
            "expected a request as described in docs/emulator.md",
        ),
    ] {
        let error = serde_json::from_str::<ControlCommand>(line).unwrap_err().to_string();
        assert!(error.contains(expected), "{line}: {error}");
    }
}
