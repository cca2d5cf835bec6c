//! Which CONNECT packets are admitted, and why others are refused.

use super::*;
use crate::iothub::limits::CLOCK_SKEW_S;
use crate::iothub::sas::{self, Key};
use zeroize::Zeroizing;

const NOW: u64 = 1_800_000_000;

fn config() -> Config {
    Config {
        host_names: vec!["Hub.test".to_owned()],
        group_keys: vec![key(1), key(2)],
        device_keys: [("own".into(), key(4))].into(),
        policies: vec![("device".to_owned(), key(3))],
        ..Config::default()
    }
}

fn key(byte: u8) -> Key {
    use base64::Engine as _;
    Key::from_base64(&base64::engine::general_purpose::STANDARD.encode([byte; 32])).unwrap()
}

fn connect(device: &str, password: &str) -> Connect {
    Connect {
        level: 4,
        client_id: device.to_owned(),
        keep_alive_s: 60,
        clean_session: true,
        username: Some(names::user_name("hub.test", device)),
        password: Some(Zeroizing::new(password.as_bytes().to_vec())),
        will: None,
    }
}

fn token(key: &Key, resource: &str, expiry: u64, policy: Option<&str>) -> String {
    sas::token(key, resource, expiry, policy).to_string()
}

fn decide(connect: &Connect) -> Result<Admitted, Refusal> {
    admit(&config(), connect, NOW)
}

#[test]
fn a_device_is_admitted_with_any_group_key_or_policy_key() {
    let admitted =
        |has_api_version| Ok(Admitted { device: "d1".into(), expiry_unix: NOW + 60, has_api_version });
    for token in [
        token(&key(1).derive("d1"), "hub.test/devices/d1", NOW + 60, None),
        token(&key(2).derive("d1"), "HUB.TEST/DEVICES/D1", NOW + 60, None),
        token(&key(3), "hub.test/devices", NOW + 60, Some("device")),
        token(&key(3), "hub.test", NOW + 60, Some("device")),
    ] {
        assert_eq!(decide(&connect("d1", &token)), admitted(true), "{token}");
    }
    let mut plain = connect("d1", &token(&key(1).derive("d1"), "hub.test/devices/d1", NOW + 60, None));
    plain.username = Some("HUB.TEST/d1".to_owned());
    assert_eq!(decide(&plain), admitted(false));
}

#[test]
fn a_device_with_its_own_key_is_admitted_only_with_that_key() {
    let with = |key: &Key| decide(&connect("own", &token(key, "hub.test/devices/own", NOW + 60, None)));
    assert!(with(&key(4)).is_ok());
    assert_eq!(with(&key(1).derive("own")), Err(Refusal::Signature));
}

#[test]
fn without_a_group_key_only_known_devices_are_admitted() {
    let device_keys = [("own".into(), key(4))].into();
    let config = Config { host_names: vec!["hub.test".to_owned()], device_keys, ..Config::default() };
    for (device, signing, expected) in [
        ("own", key(4), Ok(())),
        ("own", key(5), Err(Refusal::Signature)),
        ("other", key(4), Err(Refusal::UnknownDevice)),
    ] {
        let token = token(&signing, &format!("hub.test/devices/{device}"), NOW + 60, None);
        let admitted = admit(&config, &connect(device, &token), NOW).map(drop);
        assert_eq!(admitted, expected, "{device}");
    }
    assert_eq!(Refusal::UnknownDevice.code(), 5);
}

#[test]
fn any_other_token_is_refused_with_code_5() {
    let own = key(1).derive("d1");
    let resource = "hub.test/devices/d1";
    for (token, refusal) in [
        (token(&key(9).derive("d1"), resource, NOW + 60, None), Refusal::Signature),
        (token(&key(1), resource, NOW + 60, None), Refusal::Signature),
        (token(&key(1).derive("d2"), resource, NOW + 60, None), Refusal::Signature),
        (token(&key(1).derive("d2"), "hub.test/devices/d2", NOW + 60, None), Refusal::Audience),
        (token(&own, "other.test/devices/d1", NOW + 60, None), Refusal::Audience),
        (token(&own, resource, NOW - CLOCK_SKEW_S - 1, None), Refusal::Expired),
        (token(&key(3), resource, NOW + 60, Some("service")), Refusal::Policy),
        (token(&own, resource, NOW + 60, Some("device")), Refusal::PolicySignature),
        ("secret".to_owned(), Refusal::Token(TokenError::Form)),
    ] {
        let refused = decide(&connect("d1", &token)).unwrap_err();
        assert_eq!((refused, refused.code()), (refusal, 5), "{token}");
    }
    let late = token(&own, resource, NOW - CLOCK_SKEW_S, None);
    assert!(decide(&connect("d1", &late)).is_ok(), "within the clock skew");
}

#[test]
fn each_reason_has_its_own_name() {
    let names = UserNameError::Form;
    let all = [
        Refusal::Level(3),
        Refusal::NoUserName,
        Refusal::UserName(names),
        Refusal::Host,
        Refusal::Module,
        Refusal::ClientId,
        Refusal::NoPassword,
        Refusal::Token(TokenError::Form),
        Refusal::Audience,
        Refusal::Expired,
        Refusal::Policy,
        Refusal::Signature,
        Refusal::Disabled,
        Refusal::UnknownDevice,
        Refusal::Fault(3),
    ];
    let numbers: Vec<usize> = all.iter().map(|refusal| refusal.reason()).collect();
    assert_eq!(numbers, (0..Refusal::REASONS.len()).collect::<Vec<_>>());
    let mut names = Refusal::REASONS.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
}

#[test]
fn any_other_client_id_or_user_name_is_refused() {
    let good = connect("d1", &token(&key(1).derive("d1"), "hub.test/devices/d1", NOW + 60, None));
    let with = |change: fn(&mut Connect)| {
        let mut connect = good.clone();
        change(&mut connect);
        decide(&connect).unwrap_err()
    };
    assert_eq!(with(|c| c.client_id = "D1".to_owned()), Refusal::ClientId);
    assert_eq!(with(|c| c.client_id = String::new()), Refusal::ClientId);
    assert_eq!(with(|c| c.username = Some("other.test/d1".to_owned())), Refusal::Host);
    assert_eq!(with(|c| c.username = Some("d1".to_owned())), Refusal::UserName(UserNameError::Form));
    assert_eq!(with(|c| c.username = Some("hub.test/d1/m/?api-version=1".to_owned())), Refusal::Module);
    assert_eq!(with(|c| c.client_id = "d1/m".to_owned()), Refusal::Module);
    assert_eq!(with(|c| c.client_id = "d1m".to_owned()), Refusal::ClientId);
    assert_eq!(Refusal::Module.to_string(), "modules are not emulated");
    assert_eq!(with(|c| c.username = None), Refusal::NoUserName);
    assert_eq!(with(|c| c.password = None), Refusal::NoPassword);
    assert_eq!(with(|c| c.password = Some(Zeroizing::new(vec![0xff]))), Refusal::Token(TokenError::Form));
    assert_eq!(Refusal::NoPassword.to_string(), "the password is missing");
    assert_eq!(with(|c| c.level = 5).code(), 1);
}
