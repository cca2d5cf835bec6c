//! Names of metrics, their values, and the default metrics.

use super::*;
use crate::result::testing::result as sample;

#[test]
fn names_are_parsed_and_written_alike() {
    for text in [
        "telemetry p(99)",
        "telemetry{phase:steady} p(99.9)",
        "telemetry{phase:steady,fleet:meter} avg",
        "connect{phase:*} max",
        "telemetry rate(ok)",
        "publish count(timed_out)",
        "telemetry{phase:steady} achieved",
    ] {
        assert_eq!(Metric::parse(text).unwrap().label(), text);
    }
    assert_eq!(Metric::parse(" telemetry{ phase:a } med ").unwrap().label(), "telemetry{phase:a} p(50)");
    for (text, part) in [
        ("telemetry", "the aggregate is missing"),
        ("telemetry p99", "unknown aggregate \"p99\"; write a metric such as"),
        ("telemetry p(0.99)", "p(0.99) is not a percentile"),
        ("telemetri p(99)", "unknown operation \"telemetri\"; known operations: online"),
        ("telemetry{device:a} p(99)", "unknown selector \"device:a\""),
        ("telemetry rate(fine)", "unknown outcome \"fine\"; outcomes: ok"),
        ("telemetry p(99) < 5ms", "remove the comparison"),
        ("", "unknown operation"),
    ] {
        let error = Metric::parse(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn values_cover_their_phases_and_fleets() {
    let result = sample();
    for (text, expected) in [
        ("telemetry rate(ok)", Some(0.5)),
        ("telemetry{phase:steady,fleet:meter} count(lost)", Some(1.0)),
        ("telemetry{fleet:other} count(ok)", None),
        ("telemetry{phase:ramp} count(ok)", None),
        ("connect count(ok)", None),
        ("connect{phase:*} count(ok)", Some(1.0)),
        ("twin.get p(99)", None),
    ] {
        let found = Metric::parse(text).unwrap().read(&result).map(|reading| reading.value);
        assert_eq!(found, expected, "{text}");
    }
    let reading = Metric::parse("telemetry p(99)").unwrap().read(&result).unwrap();
    assert!(reading.few && (8_000.0..8_100.0).contains(&reading.value), "{reading:?}");
}

#[test]
fn defaults_are_the_thresholds_or_the_headline() {
    let labels =
        |result: &RunResult| -> Vec<String> { Metric::defaults(result).iter().map(Metric::label).collect() };
    let mut result = sample();
    assert_eq!(
        labels(&result),
        [
            "telemetry p(50)",
            "telemetry p(99)",
            "telemetry rate(ok)",
            "telemetry achieved",
            "connect{phase:*} p(95)"
        ]
    );
    let test = Test::Max { compare: crate::measure::Compare::Less, limit_us: 5 };
    let rule = Rule {
        metric: Operation::Connect,
        phase: Some("ramp".to_owned()),
        fleet: None,
        expression: "max < 5us".to_owned(),
        test,
        abort_from_us: None,
        line: None,
    };
    result.rules.as_mut().unwrap().thresholds = vec![rule.clone(), rule];
    assert_eq!(labels(&result), ["connect{phase:ramp} max"]);
}
