//! Words and quantities of other tools, and hubstorm's words for them.

use super::*;

#[test]
fn nearest_suggests_only_similar_candidates() {
    let keys = ["devices", "keep_alive", "qos"];
    assert_eq!(nearest("devcies", keys), Some("devices"));
    assert_eq!(nearest("keepAlive", keys), Some("keep_alive"));
    assert_eq!(nearest("QoS", keys), Some("qos"));
    assert_eq!(nearest("color", keys), None);
}

#[test]
fn synonyms_are_words_only_once_per_known_word() {
    for (number, row) in SYNONYMS.iter().enumerate() {
        for word in row.words {
            assert_eq!(folded(word), *word, "{word}: words are in lower case, without _ and -");
            let earlier = SYNONYMS[..number]
                .iter()
                .find(|other| other.known == row.known && other.words.contains(word));
            assert!(earlier.is_none(), "{word} for {}: an earlier row has it", row.known);
        }
    }
}

#[test]
fn meant_words_depend_on_the_place() {
    let word = |found, allowed: &[&'static str]| match meant(found, allowed) {
        Some(Meant::Word(word)) => word,
        Some(Meant::Fix(fix)) => fix,
        None => "",
    };
    assert_eq!(word("interval", &["every", "payload"]), "every");
    assert_eq!(word("interval", &["delay"]), "delay");
    assert_eq!(word("Interval_ms", &["every"]), "every");
    assert_eq!(word("ackTimeoutMs", &["ack_timeout"]), "ack_timeout");
    assert_eq!(word("id", &["device", "index"]), "device");
    assert_eq!(word("id", &["index"]), "index");
    assert_eq!(word("color", &["devices", "qos"]), "");
    let disconnects = ["close", "reset", "silent"];
    assert_eq!(
        ["rst", "Graceful", "half-open"].map(|it| word(it, &disconnects)),
        ["reset", "close", "silent"]
    );
    let faults = ["latency", "stall", "reset", "half-open"];
    assert_eq!(["delay", "freeze", "silent"].map(|it| word(it, &faults)), ["latency", "stall", "half-open"]);
}

#[test]
fn durations_are_understood() {
    for (text, value) in [
        ("5min", "5m"),
        ("5 minutes", "5m"),
        ("30sec", "30s"),
        ("30 Secs", "30s"),
        ("1hr", "1h"),
        ("1 hour 30 minutes", "1h30m"),
        ("1h, 5min and 2 sec", "1h5m2s"),
        ("500 ms", "500ms"),
        ("500msec", "500ms"),
        ("500 milliseconds", "500ms"),
        ("2 days", "2d"),
        ("1.5min", "1m30s"),
        ("0,5 s", "500ms"),
        ("5M", "5m"),
        ("PT5M", "5m"),
        ("PT1H30M", "1h30m"),
        ("P1DT2H", "1d2h"),
        ("PT0.5S", "500ms"),
        ("00:05:00", "5m"),
        ("01:00:30", "1h30s"),
        ("15000", "15s"),
        ("60000", "1m"),
        ("1,500ms", "1s500ms"),
        ("250", "250ms"),
        ("300", "5m"),
        ("3600", "1h"),
        ("15", "15s"),
        ("0.5", "500ms"),
        ("0", "0s"),
        ("-1s", "1s"),
        ("-5", "5s"),
    ] {
        let found = duration(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(found.value, value, "{text}");
        assert!(crate::units::parse_duration(&found.value).is_ok(), "{text}: {}", found.value);
    }
    for text in ["", "soon", "10 parsecs", "--1s", "-", "10y", "5min later", "1:2", "P1M", "min", "1e400s"] {
        assert_eq!(duration(text), None, "{text}");
    }
}

#[test]
fn durations_on_the_command_line_get_the_duration_to_write() {
    for (text, meant) in [("30", "30s"), ("5min", "5m"), ("1 minute", "1m"), ("30S", "30s"), ("PT30S", "30s")]
    {
        let error = typed_duration(text).unwrap_err();
        assert!(error.ends_with(&format!("; did you mean {meant}?")), "{error}");
    }
    assert!(!typed_duration("soon").unwrap_err().contains("did you mean"));
    assert_eq!(typed_duration("1m30s"), Ok(std::time::Duration::from_secs(90)));
}

#[test]
fn numbers_without_a_unit_are_explained() {
    for (text, why) in [
        ("15000", Some("15000 has no unit: 15000 ms = 15s")),
        ("300", Some("300 has no unit: 300 s = 5m")),
        ("15", None),
        ("250", None),
        ("5min", None),
    ] {
        assert_eq!(duration(text).unwrap().why.as_deref(), why, "{text}");
    }
    assert_eq!(duration("15000").unwrap().fix(), "did you mean \"15s\"? 15000 has no unit: 15000 ms = 15s");
}

#[test]
fn rates_are_understood() {
    for (text, value) in [
        ("100", "100/s"),
        ("2.5", "2.5/s"),
        ("100/sec", "100/s"),
        ("100/second", "100/s"),
        ("100 msg/s", "100/s"),
        ("100msgs/sec", "100/s"),
        ("100 messages per second", "100/s"),
        ("1k/s", "1000/s"),
        ("1.5K/s", "1500/s"),
        ("1M/s", "1000000/s"),
        ("1,000/s", "1000/s"),
        ("1_000 rps", "1000/s"),
        ("100rps", "100/s"),
        ("50 Hz", "50/s"),
        ("60/min", "60/m"),
        ("60 per minute", "60/m"),
        ("50/10 sec", "50/10s"),
        ("100 req/h", "100/h"),
    ] {
        let found = rate(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(found.value, value, "{text}");
        assert!(found.value.parse::<crate::units::Rate>().is_ok(), "{text}");
    }
    for text in ["", "fast", "5s", "100/x", "-1", "100 cats/s"] {
        assert_eq!(rate(text), None, "{text}");
    }
}

#[test]
fn shares_are_understood() {
    for (text, value) in [
        ("0.5", "50%"),
        ("0.999", "99.9%"),
        ("50", "50%"),
        ("99.9", "99.9%"),
        ("1", "100%"),
        ("0", "0%"),
        ("50 percent", "50%"),
        ("50pct", "50%"),
        ("99,9%", "99.9%"),
    ] {
        assert_eq!(share(text).unwrap().value, value, "{text}");
    }
    for (text, value) in [("2", "200%"), ("1.5", "150%"), ("2x", "200%"), ("50", "50%"), ("x2", "200%")] {
        assert_eq!(share_change(text, true).unwrap().value, value, "{text}");
    }
    for (text, value) in [
        ("0 -> 100", "0% -> 100%"),
        ("0 -> 1", "0% -> 100%"),
        ("0% => 100%", "0% -> 100%"),
        ("0% to 100%", "0% -> 100%"),
        ("0-100%", "0% -> 100%"),
        ("0..100", "0% -> 100%"),
        ("0% → 50%", "0% -> 50%"),
        ("0.5", "50%"),
    ] {
        assert_eq!(share_change(text, false).unwrap().value, value, "{text}");
    }
    assert_eq!(share_change("1 -> 2", true).unwrap().value, "100% -> 200%");
    for text in ["", "half", "-1", "5 of 10"] {
        assert_eq!(share(text), None, "{text}");
        assert_eq!(share_change(text, false), None, "{text}");
    }
}

#[test]
fn speeds_are_understood() {
    for (text, value) in [
        ("2", "2x"),
        ("2X", "2x"),
        ("x2", "2x"),
        ("0,5×", "0.5x"),
        ("3 times", "3x"),
        ("200%", "2x"),
        ("twice", "2x"),
        ("half", "0.5x"),
        ("realtime", "1x"),
    ] {
        assert_eq!(speed(text).unwrap().value, value, "{text}");
    }
    for text in ["", "fast", "-1x", "2/s"] {
        assert_eq!(speed(text), None, "{text}");
    }
}

#[test]
fn whole_numbers_are_understood() {
    for (text, value) in [
        ("100", 100),
        ("10k", 10_000),
        ("1,000", 1_000),
        ("10_000", 10_000),
        ("1e3", 1_000),
        ("1.5M", 1_500_000),
    ] {
        assert_eq!(whole_number(text), Some(value), "{text}");
    }
    for (text, value) in [
        ("1KB", 1_024),
        ("1 KiB", 1_024),
        ("256 bytes", 256),
        ("256B", 256),
        ("1MB", 1 << 20),
        ("64k", 65_536),
    ] {
        assert_eq!(bytes_or_count(text), Some(value), "{text}");
    }
    for text in ["", "many", "1.5", "-1", "1e30", "1 KB"] {
        assert_eq!(whole_number(text), None, "{text}");
    }
}
