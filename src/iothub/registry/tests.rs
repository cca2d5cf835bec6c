//! Every format of identities, as Azure's tools write it.

use super::*;

/// Returns each identity as text.
fn parsed(text: &str) -> Vec<String> {
    let identities = parse(text).unwrap_or_else(|error| panic!("{error:?} in {text}"));
    let describe = |identity: Identity| match identity {
        Identity::Device { id, key } => format!("{id}={}", key.as_str()),
        Identity::ConnectionString(text) => format!("cs={}", text.as_str()),
        Identity::Unusable(why) => format!("{why:?}"),
        Identity::Unknown => "unknown".to_owned(),
    };
    identities.into_iter().map(describe).collect()
}

#[test]
fn every_format_is_parsed() {
    let key = r#""authentication":{"type":"sas","symmetricKey":{"primaryKey":"AAEC","secondaryKey":"AwQF"},"x509Thumbprint":{}}"#;
    for (text, expected) in [
        // `export --include-keys`
        (
            format!(
                "{{\"id\":\"a\",\"eTag\":\"MQ==\",\"status\":\"enabled\",{key},\"twinETag\":\"AA==\",\"tags\":{{}}}}\r\n{{\"id\":\"b\",{key}}}\n"
            ),
            vec!["a=AAEC", "b=AAEC"],
        ),
        // `show`, twice
        (
            format!("{{\n  \"deviceId\": \"a\",\n  {key}\n}}\n{{\n  \"deviceId\": \"b\",\n  {key}\n}}\n"),
            vec!["a=AAEC", "b=AAEC"],
        ),
        // `state export`
        (
            format!(
                "{{\"arm\":{{\"id\":5}},\"devices\":{{\"z\":{{\"identity\":{{\"status\":\"enabled\",{key}}},\"twin\":{{}}}},\
                 \"a\":{{\"identity\":{{\"status\":\"disabled\",{key}}},\"modules\":{{\"m\":{{\"identity\":{{{key}}}}}}}}}}}}}"
            ),
            vec!["z=AAEC", "Disabled"],
        ),
        // `list`
        (
            r#"[{"deviceId":"a","authenticationType":"sas","status":"enabled","x509Thumbprint":{}},
                {"deviceId":"b","authenticationType":"certificateAuthority","status":"enabled"}]"#
                .to_owned(),
            vec!["Twin", "Certificate"],
        ),
        // `connection-string show`, and `--query` with other names
        (r#"{"connectionString":"HostName=h"}"#.to_owned(), vec!["cs=HostName=h"]),
        (r#"["HostName=h", "HostName=i"]"#.to_owned(), vec!["cs=HostName=h", "cs=HostName=i"]),
        (
            r#"[[{"id":"a","key":"AAEC"}],{"deviceId":"b","primaryKey":"AAEC"}]"#.to_owned(),
            vec!["a=AAEC", "b=AAEC"],
        ),
        ("[]".to_owned(), vec![]),
        (r#"{"key":"AAEC"}"#.to_owned(), vec!["unknown"]),
    ] {
        assert_eq!(parsed(&text), expected, "{text}");
    }
}

#[test]
fn identities_without_a_usable_key_are_not_errors() {
    for (line, expected) in [
        (r#"{"id":"d"}"#, "NoKey"),
        (r#"{"id":"d","authentication":{"type":"sas","symmetricKey":{"primaryKey":null}}}"#, "NoKey"),
        (
            r#"{"id":"d","authentication":{"type":"selfSigned","symmetricKey":{"primaryKey":null}}}"#,
            "Certificate",
        ),
        (
            r#"{"id":"d","status":"disabled","authentication":{"symmetricKey":{"primaryKey":"AAEC"}}}"#,
            "Disabled",
        ),
        (r#"{"id":"d","moduleId":"m","authentication":{"symmetricKey":{"primaryKey":"AAEC"}}}"#, "Module"),
    ] {
        assert_eq!(parsed(line), [expected], "{line}");
    }
}

#[test]
fn errors_have_a_position() {
    for (text, is_json, line, column) in [
        ("[\n {\"id\": hunter2}]", false, 2, 9),
        ("[\n {\"id\": 5}]", true, 2, 9),
        ("{\"id\":\"a\"}\n{\"id\":\"hunter2", false, 2, 14),
        ("{\"id\":\"a\"} x", false, 1, 12),
        ("5", true, 1, 1),
    ] {
        let error = parse(text).err().unwrap();
        assert_eq!(error, ExportError { is_syntax: !is_json, line, column }, "{text}");
        assert!(!error.to_string().contains("hunter2"));
    }
}
