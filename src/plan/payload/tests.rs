//! Payloads: parsing, rendering, and checks for JSON.

use super::parts::JsonCheck;
use super::{Lines, Payload, PayloadContext};
use crate::rng::Purpose;
use std::time::Duration;

const CONTEXT: PayloadContext<'_> = PayloadContext {
    device: "meter-7",
    index: 7,
    seq: 41,
    now_unix: Duration::from_millis(1_751_965_811_120),
    uptime: Duration::from_millis(61_900),
};

fn messages(payload: &Payload, count: usize) -> Vec<String> {
    let mut state = payload.state(7, 3, Purpose::Payload(0));
    let message = |_| {
        let mut out = Vec::new();
        payload.render(&mut state, &CONTEXT, &mut out);
        assert!(out.len() <= payload.bytes_max(CONTEXT.device.len()));
        String::from_utf8(out).unwrap()
    };
    (0..count).map(message).collect()
}

#[test]
fn placeholders_are_replaced() {
    let payload =
        Payload::template(r#"{"id":"${device}","i":${index},"n":${ seq },"t":"${now}","up":${uptime}}"#)
            .unwrap();
    assert_eq!(
        messages(&payload, 1)[0],
        r#"{"id":"meter-7","i":7,"n":41,"t":"2025-07-08T09:10:11.120Z","up":61}"#
    );
    assert_eq!(messages(&Payload::template("").unwrap(), 1)[0], "");
}

#[test]
fn wrong_placeholders_say_what_was_meant() {
    for (text, error, meant) in [
        (
            "${uniform(1,10)}",
            "${uniform(1,10)}: \"1\" is not name=number (at most 9 decimals)",
            Some("${uniform(min=1, max=10)}"),
        ),
        (
            "${walk(20, 0.5)}",
            "${walk(20, 0.5)}: \"20\" is not name=number (at most 9 decimals)",
            Some("${walk(start=20, step=0.5)}"),
        ),
        ("${uniform(a,b)}", "${uniform(a,b)}: \"a\" is not name=number (at most 9 decimals)", None),
        (r#"{"t":"${now, "d":1}"#, "${now is not closed before the comma", Some("${now}")),
        ("${now", "${ is not closed", None),
    ] {
        let found = Payload::template(text).unwrap_err();
        assert_eq!((found.to_string().as_str(), found.meant().as_deref()), (error, meant), "{text}");
    }
}

#[test]
fn uniform_numbers_keep_decimals_and_range() {
    let payload = Payload::template("${uniform(min=-1, max=2.50)}").unwrap();
    let found = messages(&payload, 1000);
    for text in &found {
        let number: f64 = text.parse().unwrap();
        assert!((-1.0..=2.5).contains(&number) && text.split_once('.').unwrap().1.len() == 2, "{text}");
    }
    assert!(found.iter().any(|text| text.starts_with("-0.")), "the sign of small numbers");
    let whole = messages(&Payload::template("${uniform(min=1,max=6)}").unwrap(), 1000);
    for face in 1..=6 {
        assert!(whole.contains(&face.to_string()));
    }
    assert!(whole.iter().all(|text| text.len() == 1));
}

#[test]
fn walk_keeps_start_step_and_bounds() {
    let payload = Payload::template("${walk(start=1.0, step=0.4, min=0, max=2)}").unwrap();
    let numbers: Vec<f64> = messages(&payload, 2000).iter().map(|text| text.parse().unwrap()).collect();
    assert!((numbers[0] - 1.0).abs() < 1e-9);
    assert!(numbers.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.4 + 1e-9));
    assert!(numbers.iter().all(|number| (0.0..=2.0).contains(number)));
    assert!(numbers.contains(&0.0) && numbers.contains(&2.0));
    let two = Payload::template("${walk(start=1, step=1)} ${walk(start=9, step=1)}").unwrap();
    assert_eq!(messages(&two, 1)[0], "1 9");
}

#[test]
fn filler_is_json_of_the_given_size() {
    for bytes in [0, 1, 2, 3, 12, 256, 1000] {
        let found = messages(&Payload::filler(bytes), 2);
        assert_eq!(found[0].len(), bytes);
        if bytes >= 2 {
            assert!(serde_json::from_str::<String>(&found[0]).is_ok(), "{}", found[0]);
        }
        assert!(bytes < 12 || found[0] != found[1], "{bytes}");
    }
}

#[test]
fn lines_of_a_file_are_sent_in_order_or_shuffled() {
    let lines = || Lines::parse(b"a\nbb\nccc\n").unwrap();
    // `messages` renders for device 3, which starts at line index 3 % 3 = 0.
    assert_eq!(messages(&Payload::lines(lines(), false), 4), ["a", "bb", "ccc", "a"]);
    let mut fifth = Payload::lines(lines(), false).state(7, 4, Purpose::Payload(0));
    let mut out = Vec::new();
    Payload::lines(lines(), false).render(&mut fifth, &CONTEXT, &mut out);
    assert_eq!(out, b"bb");
    let any = messages(&Payload::lines(lines(), true), 300);
    assert!(["a", "bb", "ccc"].iter().all(|line| any.iter().filter(|found| found == line).count() > 50));
    assert_eq!(any, messages(&Payload::lines(lines(), true), 300), "the same seed gives the same lines");
}

#[test]
fn same_seed_gives_the_same_messages() {
    let payload = Payload::template("${uniform(min=0, max=1000000)}").unwrap();
    assert_eq!(messages(&payload, 5), messages(&payload, 5));
    let mut other = payload.state(7, 4, Purpose::Payload(0));
    let mut out = Vec::new();
    payload.render(&mut other, &CONTEXT, &mut out);
    assert_ne!(messages(&payload, 1)[0].as_bytes(), out);
}

#[test]
fn only_payloads_that_may_not_be_json_are_checked() {
    for (text, checked) in [
        ("{}", false),
        (r#"{"id":"${device}","n":[${seq}, ${index}],"t":"${now}","v": ${uniform(min=-5,max=5)} }"#, false),
        ("${walk(start=0, step=1)}", false),
        (r#"{"v":1${uniform(min=-5,max=5)}}"#, true),
        (r#"{"v":${index}${seq}}"#, true),
        (r#"{"v":-${uniform(min=-5,max=5)}}"#, true),
        // A backslash before an id is a valid escape only for some ids, for example ids that begin with n.
        (r#"{"v":"\${device}"}"#, true),
        (r#"{"v":"a\"${now}"}"#, true),
    ] {
        let mut payload = Payload::template(text).unwrap();
        payload.require_json(true);
        assert_eq!(payload.json == JsonCheck::Object, checked, "{text}");
    }
    let mut payload = Payload::template(r#"{"v":1${uniform(min=-5,max=5)}}"#).unwrap();
    assert_eq!(payload.json_problem(b"1-1"), None, "JSON is not required");
    payload.require_json(true);
    let problems = [&br#"{"v":11}"#[..], br#"{"v":1-1}"#, b" [1]"].map(|text| payload.json_problem(text));
    assert_eq!(problems, [None, Some("not JSON"), Some("not a JSON object")]);
    payload.require_json(false);
    assert_eq!(payload.json_problem(b" [1]"), None);
}

#[test]
fn rendering_does_not_reallocate_the_buffer() {
    let payload = Payload::template("${device} ${now} ${uniform(min=0.0, max=9.0)}").unwrap();
    let mut state = payload.state(1, 1, Purpose::Payload(1));
    let mut out = Vec::with_capacity(payload.bytes_max(7));
    let (pointer, capacity) = (out.as_ptr(), out.capacity());
    for _ in 0..100 {
        out.clear();
        payload.render(&mut state, &CONTEXT, &mut out);
    }
    assert_eq!((pointer, capacity), (out.as_ptr(), out.capacity()));
}

#[test]
fn invalid_templates_are_described() {
    for (text, expected) in [
        ("${seq", "${ is not closed"),
        ("${sequence}", "unknown placeholder ${sequence}"),
        ("${uniform(min=1}", "unknown placeholder ${uniform(min=1}"),
        ("${uniform(min=1)}", "${uniform(min=1)}: max is missing"),
        ("${uniform(min=2, max=1)}", "${uniform(min=2, max=1)}: min is greater than max"),
        (
            "${uniform(min=a, max=1)}",
            r#"${uniform(min=a, max=1)}: "min=a" is not name=number (at most 9 decimals)"#,
        ),
        ("${seq(x=1)}", r#"${seq(x=1)}: unknown argument "x""#),
        ("${walk(start=5, step=1, max=4)}", "start must be between"),
        ("${walk(start=5, step=-1)}", "start must be between"),
    ] {
        let error = Payload::template(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
