//! Any password as a SAS token, and a token created for any resource and policy. Parsing must not panic. The created
//! token is parsed and verified, and no other key verifies it.
#![no_main]

use hubstorm::iothub::sas::{self, Key, Token};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (key, other) = (key(KEY), key(OTHER));
    if let Ok(token) = Token::parse(text) {
        assert!(!(token.verify(&key) && token.verify(&other)), "two keys verify one signature");
        let _ = (token.covers("hub.test/devices/meter-1"), token.expired(1_800_000_000));
    }
    drop(Key::from_base64(text));

    let (resource, policy) = text.split_once('\n').unwrap_or((text, ""));
    let policy = (!policy.is_empty()).then_some(policy);
    let expiry_unix = text.len() as u64;
    let made = sas::token(&key, resource, expiry_unix, policy);
    let token = Token::parse(&made).expect("a created token can be parsed");
    assert!(token.verify(&key) && !token.verify(&other));
    assert!(token.covers(resource), "{resource:?}");
    assert_eq!((token.policy.as_deref(), token.expiry_unix), (policy, expiry_unix));
});

fn key(text: &str) -> Key {
    Key::from_base64(text).expect("32 bytes in base64")
}
