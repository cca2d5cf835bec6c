//! Names of metrics, and the default metrics.

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
        assert_eq!(text.parse::<MetricSpec>().unwrap().to_string(), text);
    }
    assert_eq!(
        " telemetry{ phase:a } med ".parse::<MetricSpec>().unwrap().to_string(),
        "telemetry{phase:a} p(50)"
    );
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
        let error = text.parse::<MetricSpec>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn defaults_are_the_thresholds_or_the_headline() {
    let labels = |result: &RunResult| -> Vec<String> {
        MetricSpec::defaults(result).iter().map(ToString::to_string).collect()
    };
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
    let test = Test::Max { compare: Compare::Less, limit_us: 5 };
    let rule = Rule {
        metric: Operation::Connect,
        phase: Some("ramp".to_owned()),
        fleet: None,
        expression: "max < 5us".to_owned(),
        test,
        without_faults: false,
        abort_from_us: None,
        line: None,
    };
    let happened = Test::Count { outcome: Outcome::Ok, compare: Compare::GreaterOrEqual, limit: 1 };
    let connected = Rule { test: happened, ..rule.clone() };
    result.rules.as_mut().unwrap().thresholds = vec![connected.clone()];
    assert_eq!(labels(&result).len(), 5, "such a threshold says nothing about a change");
    result.rules.as_mut().unwrap().thresholds = vec![rule.clone(), connected, rule];
    assert_eq!(labels(&result), ["connect{phase:ramp} max"]);
}
