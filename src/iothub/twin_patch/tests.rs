//! Tests for twin patches: parsing, limits and sizes.

use super::*;
use serde_json::json;

fn object(value: Value) -> Properties {
    let Value::Object(object) = value else { panic!("{value} is not an object") };
    object
}

#[test]
fn integers_of_more_than_64_bits_are_refused() {
    #[derive(Deserialize)]
    struct Request {
        #[serde(deserialize_with = "deserialize")]
        patch: Properties,
    }
    let error = |number: &str| {
        let patch = format!(r#"{{"a":{{"b":["\\\"1",{number}]}},"c":-1}}"#);
        let request: Request = serde_json::from_str(&format!(r#"{{"patch":{patch}}}"#)).unwrap();
        assert_eq!(parse(patch.as_bytes()).err(), check(&request.patch).err(), "{number}");
        parse(patch.as_bytes()).err()
    };
    for number in
        ["18446744073709551616", "-9223372036854775809", "9223372036854775808", &"9".repeat(400)[..300]]
    {
        assert_eq!(error(number), Some(TwinError::Integer), "{number}");
    }
    for number in ["0.5", "1e30", "-1E+30", "18446744073709551616.0", "0", "-0", "\"18446744073709551616\""] {
        assert_eq!(error(number), None, "{number}");
    }
}

#[test]
fn invalid_json_is_refused() {
    for body in [&b"{"[..], b"", b"\xff", b"{}x"] {
        assert!(matches!(parse(body), Err(TwinError::NotJson { .. })));
    }
}

#[test]
fn keys_and_values_outside_the_limits_are_refused() {
    for (patch, error) in [
        (json!([]), TwinError::NotObject),
        (json!({"$version": 1}), TwinError::KeyCharacter),
        (json!({"a": {"b c": 1}}), TwinError::KeyCharacter),
        (json!({"a.b": 1}), TwinError::KeyCharacter),
        (json!({"a": [{"\u{7}": 1}]}), TwinError::KeyCharacter),
        (json!({"a": {"\u{85}": 1}}), TwinError::KeyCharacter),
        (json!({"k".repeat(1025): 1}), TwinError::KeyLength(1025)),
        (json!({"ä".repeat(513): 1}), TwinError::KeyLength(1026)),
        (json!({"a": "v".repeat(4097)}), TwinError::StringLength(4097)),
        (json!({"a": ["ä".repeat(2049)]}), TwinError::StringLength(4098)),
        (json!({"a": 4_503_599_627_370_496_i64}), TwinError::Integer),
        (json!({"a": -4_503_599_627_370_497_i64}), TwinError::Integer),
        (json!({"a": u64::MAX}), TwinError::Integer),
        (json!({"a": [[4_503_599_627_370_496_i64]]}), TwinError::Integer),
        (json!({"a": [null]}), TwinError::NullInArray),
        (json!({"a": {"b": [1, [null]]}}), TwinError::NullInArray),
        (json!({"a": [{"b": null}]}), TwinError::NullInArray),
        (json!({"a": [{"b": {"c": null}}]}), TwinError::NullInArray),
    ] {
        assert_eq!(parse(patch.to_string().as_bytes()), Err(error), "{patch}");
        assert_eq!((error.status(), error.code()), (400, 400_004));
    }
    for patch in [
        json!({"": 1}),
        json!({"k".repeat(1024): "v".repeat(4096)}),
        json!({"ä".repeat(512): ["ä".repeat(2048), true, {}]}),
        json!({"a": [4_503_599_627_370_495_i64, -4_503_599_627_370_496_i64, 1e300, -0.5]}),
    ] {
        assert!(parse(patch.to_string().as_bytes()).is_ok(), "{patch}");
    }
}

/// A valid example from "Understand and use device twins in IoT Hub".
const TEN_LEVELS: &str = r#"{"one":{"two":{"three":{"four":{"five":{"six":{"seven":{"eight":{"nine":{"ten":
    {"property":"value"}}}}}}}}}}}"#;

#[test]
fn ten_levels_of_objects_are_allowed_and_eleven_are_not() {
    let ten = parse(TEN_LEVELS.as_bytes()).unwrap();
    for eleven in [json!({ "zero": ten }), json!({ "zero": [ten] }), json!({ "a": [[{ "zero": ten }]] })] {
        assert_eq!(check(&object(eleven.clone())), Err(TwinError::Depth), "{eleven}");
    }
    let below = TEN_LEVELS.replace("\"value\"", "[1, [2]]");
    assert!(parse(below.as_bytes()).is_ok(), "an array is not a level");
}

#[test]
fn size_counts_keys_and_values_without_control_characters() {
    let nested = object(json!({"ä": "xyz", "n": 1.5, "b": true, "o": {"k": [1, false]}}));
    assert_eq!(size(&nested, text_size), 33);
    let control: String = ('\0'..='\u{1f}').chain('\u{80}'..='\u{9f}').collect();
    let patch = object(json!({"a": format!("{control}xyz\u{a0}"), "b": [control]}));
    assert_eq!(size(&patch, text_size), 1 + 5 + 1 + 4);
}

#[test]
fn empty_array_elements_count_as_booleans() {
    let bytes_max = limits::TWIN_SECTION_BYTES_MAX;
    for element in [json!([]), json!({}), json!(""), json!("\u{1}")] {
        let array = |n: usize| object(json!({ "a": vec![element.clone(); n] }));
        let n = bytes_max / 4;
        let too_large = Err(TwinError::TooLarge { bytes: 1 + 4 * n, bytes_max });
        assert_eq!(check_size(&array(n), bytes_max), too_large, "{element}");
        assert_eq!(check_size(&array(n - 1), bytes_max), Ok(()), "{element}");
    }
}

#[test]
fn control_characters_have_a_separate_limit() {
    let bytes_max = limits::TWIN_SECTION_BYTES_MAX;
    let stored_max = bytes_max * limits::TWIN_STORED_FACTOR;
    let control = |n: usize| object(json!({ "a": vec!["\u{1}".repeat(4096); n] }));
    let n = stored_max / 4096;
    assert_eq!(check_size(&control(n - 1), bytes_max), Ok(()));
    let too_large = TwinError::TooLarge { bytes: stored_max + 1, bytes_max: stored_max };
    assert_eq!(check_size(&control(n), bytes_max), Err(too_large));
}
