//! Tests for reading single values: strings, secrets, hosts and changes.

use super::*;

fn node(value: Value) -> Node {
    Node { value, place: Place::default() }
}

fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("example".to_owned()),
        "KEY" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn files(path: &Path) -> io::Result<FileText> {
    match path.to_str() {
        Some("key.txt") => Ok(b"hunter2\n".to_vec().into()),
        Some("bom.txt") => Ok(b"\xef\xbb\xbfhunter2\n".to_vec().into()),
        Some("empty.txt") => Ok(b"\n".to_vec().into()),
        _ => crate::scenario::no_files(path),
    }
}

fn read<T>(value: Value, read: impl FnOnce(&mut Reader<'_>, &Node) -> T) -> (T, String) {
    let mut reader = Reader { env: &env, files: &files, errors: Errors::new("x.toml") };
    let read = read(&mut reader, &node(value));
    (read, reader.errors.to_string())
}

#[test]
fn expansion_keeps_the_source_text() {
    let (text, _) = read(Value::String("a ${env.HOST} b ${device}".into()), |r, n| r.string(n, "x"));
    let text = text.unwrap();
    assert_eq!(text.value, "a example b ${device}");
    assert_eq!(text.text, "a ${env.HOST} b ${device}");
    for bad in ["${env.NOPE}", "${env.}", "${env.HOST", "${env.A-B}"] {
        let (text, errors) = read(Value::String(bad.into()), |r, n| r.string(n, "x"));
        assert!(text.is_none() && errors.contains("1 error"), "{bad}: {errors}");
    }
}

#[test]
fn secrets_come_only_from_environment_or_file() {
    let (secret, _) = read(Value::String("${env.KEY}".into()), |r, n| r.secret(n));
    let secret = secret.unwrap();
    assert_eq!(secret.value.expose(), "hunter2");
    assert!(!format!("{secret:?}").contains("hunter2"));
    for file in ["${file.key.txt}", "${file.bom.txt}"] {
        let (secret, _) = read(Value::String(file.into()), |r, n| r.secret(n));
        assert_eq!(secret.unwrap().value.expose(), "hunter2");
    }
    for (missing, why) in [("${file.none.txt}", "from none.txt"), ("${file.empty.txt}", "the file is empty")]
    {
        let (secret, errors) = read(Value::String(missing.into()), |r, n| r.secret(n));
        assert!(secret.is_none() && errors.contains(why), "{errors}");
    }
    for empty in [
        read(Value::String("${env.EMPTY}".into()), |r, n| r.secret(n).is_none()),
        read(Value::String("${env.EMPTY}".into()), |r, n| r.host(n).is_none()),
    ] {
        assert!(empty.0 && empty.1.contains("variable EMPTY is empty"), "{}", empty.1);
        assert!(empty.1.contains("export EMPTY=... (in CI, check that the secret"), "{}", empty.1);
    }
    for literal in ["hunter2", "x${env.KEY}", "${env.KEY}hunter2", "${env.KEY}${env.KEY}"] {
        let (secret, errors) = read(Value::String(literal.into()), |r, n| r.secret(n));
        assert!(secret.is_none() && errors.contains("use ${env.NAME}"), "{errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
}

#[test]
fn host_errors_suggest_a_port_and_never_repeat_keys() {
    let of = |written: &str, value: &str| {
        let env = |_: &str| Some(value.to_owned());
        let mut reader = Reader { env: &env, files: &files, errors: Errors::new("x.toml") };
        assert!(reader.host(&node(Value::String(written.to_owned()))).is_none(), "{written}");
        reader.errors.to_string()
    };
    let from_env = of("${env.IOTHUB_HOST}", "localhost:8883");
    for part in ["invalid value of the environment variable IOTHUB_HOST", "port = 8883"] {
        assert!(from_env.contains(part), "{from_env}");
    }
    let literal = of("localhost:8883", "");
    assert!(literal.contains("port = 8883") && !literal.contains("environment"), "{literal}");
    for secret in ["HostName=h;SharedAccessKey=hunter2=:8883", "hunter2=:8883", "hunter2 and more"] {
        let error = of("${env.IOTHUB_HOST}", secret);
        assert!(!error.contains("hunter2") && !error.contains("port ="), "{error}");
    }
}

#[test]
fn changes_have_one_or_two_shares_within_the_limit() {
    let change = |text: &str| read(Value::String(text.into()), |r, n| r.change(n, 1.0)).0;
    assert_eq!(change("0% -> 100%"), Some([0.0, 1.0]));
    assert_eq!(change("50%"), Some([0.5, 0.5]));
    for bad in ["", "->", "0% ->", "0 -> 1", "0% -> 101%", "0% -> 50% -> 100%"] {
        assert_eq!(change(bad), None, "{bad}");
    }
}
