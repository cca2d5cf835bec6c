//! Tests of control lines.

use super::*;

#[test]
fn errors_never_quote_a_control_line() {
    let wrong = r#"{"config":{"group_keys":"c2VjcmV0"}}"#;
    assert!(!parse_next(wrong).unwrap_err().to_string().contains("c2VjcmV0"));
    for ask in [
        r#""c2VjcmV0""#,
        r#"{"c2VjcmV0":{}}"#,
        r#"{"method":{"name":"m","c2VjcmV0":1}}"#,
        r#"{"method":{"name":"m","response_timeout_ms":"c2VjcmV0"}}"#,
        r#"{"c2d":{"payload":"x","ack":"c2VjcmV0"}}"#,
        r#"{"disable":"c2VjcmV0"}"#,
    ] {
        let line = format!(r#"{{"call":{{"id":5,"device":"d","ask":{ask}}}}}"#);
        let answer = parse_next(&line).unwrap().unwrap_err();
        assert!(!format!("{answer:?}").contains("c2VjcmV0"), "{answer:?}");
    }
    let both = r#"{"call":{"id":5,"device":"d","ask":"twin"},"config":{"group_keys":"c2VjcmV0"}}"#;
    let answer = parse_next(both).unwrap().unwrap_err();
    assert!(!format!("{answer:?}").contains("c2VjcmV0"), "{answer:?}");
    let error = parse(wrong).unwrap_err().to_string();
    assert!(!error.contains("c2VjcmV0"), "{error}");
}

#[test]
fn config_errors_name_the_field_but_no_value() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for (line, expected) in [
        (r#"{"config":{"listen":"x"}}"#, "unknown field, expected one of `host`, `port`, `hosts`"),
        (
            r#"{"config":{"grupkeys":1}}"#,
            "unknown field `grupkeys` (did you mean `group_keys`?), expected one of",
        ),
        (r#"{"config":{"port":"c2VjcmV0"}}"#, "has the wrong type, expected u16 (column"),
        (r#"{"config":{"devices":[{"id":"c2VjcmV0"}]}}"#, "missing field `key` (column"),
        (r#"{"confg":{}}"#, "expected one of `config`, "),
        (r#""c2VjcmV0""#, "expected one of `config`, "),
        (r#"{"config":{"host":"c2VjcmV0, expected me"}}"#, "(column"),
        (r#"{"call":{"id":1,"device":"d","ask":5}}"#, "a command has the wrong type (column"),
        (
            &format!(
                r#"{{"call":{{"id":1,"device":"d","ask":{{"method":{{"name":"m","payload":{}"#,
                "[".repeat(200)
            ),
            "it has more than 127 nested levels (column",
        ),
        (r#"{"config":{"port":1}"#, "it is not a JSON object (column"),
        (&format!(r#"{{"config":{{"{key}":1}}}}"#), "unknown field, expected one of `host`"),
    ] {
        let error = parse(line).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("c2VjcmV0") && !error.contains(key), "{error}");
    }
}

#[test]
fn only_an_invalid_call_with_an_id_gets_a_reply() {
    for (call, why) in [
        (r#"{"call":{"id":5,"device":"d","ask":"reboot"}}"#, "unknown variant, expected one of `method`,"),
        (
            r#"{"call":{"id":5,"device":"d","ask":"clsoe"}}"#,
            "unknown variant `clsoe` (did you mean `close`?)",
        ),
        (r#"{"call":{"id":5,"ask":"twin"}}"#, "missing field `device`"),
        (
            r#"{"call":{"id":5,"device":"d","ask":{"c2d":{"payload":"x","ttl":1}}}}"#,
            "unknown field, expected one of `message_id`, `properties`, `payload`, `ttl_ms`, `ack`",
        ),
    ] {
        match parse_next(call).unwrap().unwrap_err() {
            ControlReply::Failed { id: 5, failure: ServiceFailure { code: 400_004, message } }
                if message.contains(why) => {}
            other => panic!("{call}: {other:?}"),
        }
    }
    for line in [
        "",
        "5",
        "\"stat\"",
        r#"{"call":{"id":5,"device":"d","ask":"reboot"}"#,
        r#"{"call":{"id":"5","device":"d","ask":"twin"}}"#,
        r#"{"call":{"device":"d","ask":"twin"}}"#,
    ] {
        assert!(parse_next(line).is_err(), "{line}");
    }
}
