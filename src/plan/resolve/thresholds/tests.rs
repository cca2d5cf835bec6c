//! Thresholds: grammar, and errors with suggestions.

use super::*;
use crate::measure::Compare;

fn resolve_one(metric: &str, expression: &str) -> Result<Threshold, String> {
    let written = |text: &str, key: &str| Written {
        value: text.to_owned(),
        text: text.to_owned(),
        place: Place { key: key.to_owned(), ..Place::default() },
    };
    let (metric, expression) = (written(metric, "m"), written(expression, "e"));
    let spec = ThresholdSpec { metric, expression, listed: true, abort: false, after: None };
    let known = KnownNames {
        phases: &["ramp".to_owned(), "steady".to_owned()],
        fleets: &["meter".to_owned()],
        left_out: &[],
        unmeasured: &[(Operation::Publish, "use telemetry")],
    };
    let mut errors = Errors::new("x.toml");
    resolve(&[spec], &known, &mut errors).0.pop().ok_or_else(|| errors.to_string())
}

#[test]
fn expressions_are_parsed() {
    use Compare::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    for (text, test) in [
        ("p(99) < 500ms", Test::Percentile { quantile: 0.99, compare: Less, limit_us: 500_000 }),
        ("p(99.9)<=2s", Test::Percentile { quantile: 0.999, compare: LessOrEqual, limit_us: 2_000_000 }),
        ("med < 20ms", Test::Percentile { quantile: 0.5, compare: Less, limit_us: 20_000 }),
        ("avg < 20ms", Test::Mean { compare: Less, limit_us: 20_000 }),
        ("max < 1m30s", Test::Max { compare: Less, limit_us: 90_000_000 }),
        ("rate(ok) > 99.9%", Test::Rate { outcome: Outcome::Ok, compare: Greater, limit: 0.999 }),
        ("rate( ok ) >= 50%", Test::Rate { outcome: Outcome::Ok, compare: GreaterOrEqual, limit: 0.5 }),
        ("count(lost) == 0", Test::Count { outcome: Outcome::Lost, compare: Equal, limit: 0 }),
        ("count(timed_out) != 3", Test::Count { outcome: Outcome::TimedOut, compare: NotEqual, limit: 3 }),
    ] {
        assert_eq!(resolve_one("telemetry", text).map(|threshold| threshold.test), Ok(test), "{text}");
    }
}

#[test]
fn recovery_is_a_threshold_on_online() {
    let test = resolve_one("online{phase:steady,fleet:meter}", "recovery(99%) < 60s").unwrap();
    assert_eq!(test.test, Test::Recovery { share: 0.99, compare: Compare::Less, limit_us: 60_000_000 });
    assert_eq!((test.phase, test.fleet), (Some(1), Some(0)));
    let error = resolve_one("telemetry{phase:steady}", "recovery(99%) < 60s").unwrap_err();
    assert!(error.contains("write it under \"online{phase:steady}\""), "{error}");
}

#[test]
fn selectors_become_indices() {
    let threshold = resolve_one("connect.tls{ fleet:meter, phase:steady }", " max < 1s ").unwrap();
    assert_eq!(
        (threshold.metric, threshold.phase, threshold.fleet, threshold.expression.as_str()),
        (Operation::ConnectTls, Some(1), Some(0), "max < 1s")
    );
}

#[test]
fn c2d_thresholds_that_always_pass_are_rejected() {
    for vacuous in ["rate(ok) > 99.9%", "rate(lost) == 0%", "count(lost) == 0"] {
        let error = resolve_one("c2d", vacuous).unwrap_err();
        assert!(error.contains("e: this threshold cannot detect losses"), "{vacuous}: {error}");
        assert!(error.contains("use service.c2d"), "{error}");
        assert!(resolve_one("service.c2d", vacuous).is_ok(), "{vacuous}");
    }
    for valid in ["p(99) < 1s", "avg < 1s", "max < 1s", "count(ok) >= 10"] {
        assert!(resolve_one("c2d", valid).is_ok(), "{valid}");
    }
}

#[test]
fn errors_suggest_a_correction() {
    for (metric, expression, expected) in [
        ("telemtry", "max < 1s", "did you mean telemetry?"),
        ("twin.desired", "max < 1s", "not supported yet: the metric twin.desired"),
        ("publish", "max < 1s", "use telemetry"),
        ("telemetry{phase:stedy}", "max < 1s", "did you mean phase:steady?"),
        ("telemetry{fleet:x}", "max < 1s", "unknown fleet"),
        ("telemetry{scenario:x}", "max < 1s", "unknown selector"),
        ("telemetry{phase:ramp", "max < 1s", "a brace is not closed"),
        ("telemetry", "max 1s", "no comparison"),
        ("telemetry", "p99", "add a limit, such as \"p(99) < 500ms\""),
        ("telemetry", "count(lost)", "add a limit, such as \"count(lost) == 0\""),
        ("telemetry", "rate(ok)", "add a limit, such as \"rate(ok) > 99.9%\""),
        ("online", "recovery(99%)", "add a limit, such as \"recovery(99%) < 60s\""),
        ("online", "recovery(99) < 60s", "did you mean \"recovery(99%) < 1m\"?"),
        ("telemetry", "max < 500", "did you mean \"max < 500ms\"?"),
        ("telemetry", "max < 0s", "longer than zero"),
        ("telemetry", "max > 1s", "< or <="),
        ("telemetry", "p(0) < 1s", "not a percentile"),
        ("telemetry", "p(100) < 1s", "use max for the largest value"),
        ("telemetry", "p(x) < 1s", "not a percentile"),
        ("telemetry", "p(99 < 1s", "a parenthesis is not closed"),
        ("telemetry", "mid < 1s", "did you mean med?"),
        ("telemetry", "rate > 99%", "did you mean \"rate(ok) > 99%\"?"),
        ("telemetry", "rate(ok) > 0.99", "did you mean \"rate(ok) > 99%\"?"),
        ("telemetry", "rate(lots) > 99%", "did you mean \"rate(lost) > 99%\"?"),
        ("telemetry", "rate(ok) > 101%", "not a share"),
        ("telemetry", "count(lost) == -1", "not a count"),
        ("telemetry", "recovery(99%) < 60s", "only online has recoveries"),
        ("online", "recovery(0%) < 60s", "above 0%"),
        ("online", "recovery(101%) < 60s", "not a share"),
        ("online", "recovery < 60s", "recovery(99%)"),
        ("online", "recovery(99%) > 60s", "upper limit"),
    ] {
        let error = resolve_one(metric, expression).unwrap_err();
        assert!(error.contains(expected), "{metric} {expression}: {error}");
    }
}

#[test]
fn fault_none_is_a_selector() {
    let resolved = resolve_one("telemetry{fault:none, phase:steady}", "p(99) < 1s").unwrap();
    assert!(resolved.without_faults && resolved.phase == Some(1) && resolved.fleet.is_none());
    assert!(!resolve_one("telemetry", "p(99) < 1s").unwrap().without_faults);
    for key in ["telemetry{fault:stall}", "telemetry{fault}", "telemetry{fault:}"] {
        let error = resolve_one(key, "p(99) < 1s").unwrap_err();
        assert!(error.contains("use fault:none"), "{key}: {error}");
    }
}
