//! Tests for keys and tokens, with published test vectors.

use super::*;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SE: u64 = 1_893_456_000;
const DEVICE_TOKEN: &str = "SharedAccessSignature sr=example-hub.azure-devices.net%2Fdevices%2Fdev-1&sig=16TMWISNAQHbvHgpFWCXZfRxM42mIGbNiEx6R8VTlLY%3D&se=1893456000";
/// The same resource with lowercase escapes, which has a different valid signature.
const LOWER_TOKEN: &str = "SharedAccessSignature sr=example-hub.azure-devices.net%2fdevices%2fdev-1&sig=OQCtjoxbqL%2F08OiIbi%2BXG%2FOZ3ZKA4j%2BN2gFw9Uyde%2FI%3D&se=1893456000";

fn key() -> Key {
    Key::from_base64(KEY).unwrap()
}

#[test]
fn tokens_match_published_vectors() {
    let device = token(&key(), "example-hub.azure-devices.net/devices/dev-1", SE, None);
    assert_eq!(device.as_str(), DEVICE_TOKEN);
    let module = token(&key(), "example-hub.azure-devices.net/devices/dev-1/modules/mod-1", SE, None);
    assert!(module.contains("&sig=UoLU69vSWs5amcHRqC0LHzH1hBYAXJ4YCPoFW4Z28sU%3D&"), "{}", *module);
    let service = token(&key(), "example-hub.azure-devices.net", SE, Some("iothubowner"));
    assert_eq!(
        service.as_str(),
        "SharedAccessSignature sr=example-hub.azure-devices.net&sig=G%2B0rZd5EuxdV5iALnah8UDSmp0e5SuWw%2FxZeH9ZzAEY%3D&se=1893456000&skn=iothubowner"
    );
    let dps = token(&key(), "0ne00000001/registrations/reg-1", SE, Some("registration"));
    assert_eq!(
        dps.as_str(),
        "SharedAccessSignature sr=0ne00000001%2Fregistrations%2Freg-1&sig=zRCZbYIa%2BzvR3GFDN0R37xBGk11L8tZCiJk8bUvl8pk%3D&se=1893456000&skn=registration"
    );
}

#[test]
fn derived_key_matches_microsofts_vector() {
    let group = Key::from_base64(
        "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==",
    )
    .unwrap();
    let derived = group.derive("sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6");
    assert_eq!(derived.to_base64().as_str(), "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
}

#[test]
fn signature_covers_the_resource_as_sent() {
    for text in [DEVICE_TOKEN, LOWER_TOKEN] {
        let parsed = Token::parse(text).unwrap();
        assert!(parsed.verify(&key()), "{text}");
        assert!(parsed.covers("example-hub.azure-devices.net/devices/dev-1"));
        assert!(!parsed.verify(&key().derive("dev-1")));
    }
    // If `verify` encoded the resource again, this token would be valid.
    let mixed = LOWER_TOKEN.replace("%2fdevices", "%2Fdevices");
    assert!(!Token::parse(&mixed).unwrap().verify(&key()));
}

#[test]
fn fields_may_be_in_any_order_and_case() {
    let text = "SharedAccessSignature &SE=1893456000&x=1&&Sig=16TMWISNAQHbvHgpFWCXZfRxM42mIGbNiEx6R8VTlLY%3D&SR=example-hub.azure-devices.net%2Fdevices%2Fdev-1&skn=";
    let parsed = Token::parse(text).unwrap();
    assert!(parsed.verify(&key()));
    assert_eq!((parsed.policy.as_deref(), parsed.expiry_unix), (None, SE));
}

#[test]
fn invalid_tokens_are_refused_with_a_reason() {
    let sig = "16TMWISNAQHbvHgpFWCXZfRxM42mIGbNiEx6R8VTlLY%3D";
    for (text, error) in [
        (String::new(), TokenError::Form),
        (format!("Bearer sr=a&sig={sig}&se=1"), TokenError::Form),
        (format!("SharedAccessSignature sr=a&sig={sig}&se=1 x"), TokenError::Form),
        (format!("SharedAccessSignature sr=a&sr=b&sig={sig}&se=1"), TokenError::Repeated("sr")),
        (format!("SharedAccessSignature sr=a&sig={sig}"), TokenError::Missing("se")),
        ("SharedAccessSignature sr=a&se=1".to_owned(), TokenError::Missing("sig")),
        (format!("SharedAccessSignature sig={sig}&se=1"), TokenError::Missing("sr")),
        (format!("SharedAccessSignature sr&sig={sig}&se=1"), TokenError::NoValue),
        (format!("SharedAccessSignature sr=a&sig={sig}&se=soon"), TokenError::Expiry),
        (format!("SharedAccessSignature sr=a&sig={sig}&se=-1"), TokenError::Expiry),
        // Unescaped base64 padding, which Azure's library cannot parse either.
        (format!("SharedAccessSignature sr=a&sig={}&se=1", sig.replace("%3D", "=")), TokenError::Signature),
        ("SharedAccessSignature sr=a&sig=%ff&se=1".to_owned(), TokenError::NotUtf8),
    ] {
        assert_eq!(Token::parse(&text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn resource_covers_whole_segments_in_any_case() {
    let with = |resource: &str| token(&key(), resource, SE, None).to_string();
    let resource = "hub.net/devices/Dev-1";
    for (audience, covered) in [
        ("hub.net/devices/Dev-1", true),
        ("HUB.net/DEVICES/dev-1", true),
        ("hub.net/devices", true),
        ("hub.net", true),
        ("hub.net/devices/Dev-10", false),
        ("hub.net/devices/Dev", false),
        ("hub", false),
        ("hub.net/devices/Dev-1/modules/m", false),
        ("other.net/devices/Dev-1", false),
        ("", false),
    ] {
        assert_eq!(Token::parse(&with(audience)).unwrap().covers(resource), covered, "{audience}");
    }
    let escaped_twice = with("hub.net/devices/a%2Bb");
    assert!(Token::parse(&escaped_twice).unwrap().covers("hub.net/devices/a+b"));
}

#[test]
fn token_expires_after_the_allowed_clock_skew() {
    let parsed = Token::parse(DEVICE_TOKEN).unwrap();
    assert!(!parsed.expired(SE + CLOCK_SKEW_S));
    assert!(parsed.expired(SE + CLOCK_SKEW_S + 1));
}

#[test]
fn keys_have_a_valid_length_and_are_hidden() {
    assert_eq!(Key::from_base64("not base64!").unwrap_err(), KeyError::NotBase64);
    assert_eq!(Key::from_base64("AAAA").unwrap_err(), KeyError::Length(3));
    assert_eq!(format!("{:?}", key()), "Key(..)");
    let debug = format!("{:?}", Token::parse(DEVICE_TOKEN).unwrap());
    assert!(!debug.contains("16TM") && !debug.contains("215"), "{debug}");
    let random = Key::random(&mut rand::rng());
    assert_eq!(Key::from_base64(&random.to_base64()).unwrap().to_base64(), random.to_base64());
}

proptest::proptest! {
    #[test]
    fn created_tokens_verify_and_cover_their_resource(id in "[A-Za-z0-9\\-:.+%_#*?!(),=@;$']{1,128}", expiry in 0_u64..4_000_000_000) {
        let resource = format!("hub.azure-devices.net/devices/{id}");
        let key = key().derive(&id);
        let text = token(&key, &resource, expiry, Some("a&b=c d"));
        let parsed = Token::parse(&text).unwrap();
        proptest::prop_assert!(parsed.verify(&key));
        proptest::prop_assert!(parsed.covers(&resource));
        proptest::prop_assert_eq!(parsed.expiry_unix, expiry);
        proptest::prop_assert_eq!(parsed.policy.as_deref(), Some("a&b=c d"));
    }

    #[test]
    fn parsing_never_panics(text in ".{0,200}") {
        let _ = Token::parse(&text);
        let _ = Token::parse(&format!("SharedAccessSignature {text}"));
    }
}
