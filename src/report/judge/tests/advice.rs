//! The advice in the last reason for an invalid run.

use super::{Case, MS, STEADY, assert_verdict, key, latency, messages};
use crate::measure::{Compare, Culprit, Health, Measurement, Operation, Outcome, Rule, Source, Test};
use crate::report::judge::{Judgment, judge_again};
use crate::result::model::Status;

#[test]
fn advice_depends_on_the_busy_share() {
    let late = |health: fn(&mut Measurement)| {
        Case { health, ..Case::default() }.judge(|r| messages(r, STEADY, 100, 150, 200))
    };
    let quiet = late(|m| {
        m.health.insert(0, Health { busy_share: Some(0.15), ..Health::new(Source::Worker(0), "steady") })
    });
    assert_verdict(
        &quiet,
        Status::Invalid,
        120,
        "worker-0 was busy for at most 15% of the time. Either it was suspended, or other programs used",
    );
    let full = late(|m| {
        m.health.push(Health { busy_share: Some(0.98), ..Health::new(Source::Worker(1), "steady") })
    });
    assert_verdict(
        &full,
        Status::Invalid,
        120,
        "worker-1 was busy for up to 98% of the time. Reduce the load",
    );
}

/// Judges a run in which 46 operations failed because of local errors. The machine was mostly idle, with one
/// short stall.
fn with_local_errors(class: &'static str, operation: Operation) -> Judgment {
    let rate = Rule {
        metric: operation,
        phase: None,
        fleet: None,
        expression: "rate(ok) > 99%".to_owned(),
        test: Test::Rate { outcome: Outcome::Ok, compare: Compare::Greater, limit: 0.99 },
        without_faults: false,
        abort_from_us: None,
        line: None,
    };
    let health: fn(&mut Measurement) = |measurement| {
        for source in [Source::Worker(0), Source::Service, Source::Emulator(0)] {
            let health = measurement.health_mut(source, "steady");
            (health.busy_share, health.stall_us) = (Some(0.04), 148_000);
        }
        measurement.health_mut(Source::Worker(0), "steady").environment_errors = 46;
    };
    let case = Case { thresholds: vec![rate], health, ..Case::default() };
    case.judge(|r| {
        for _ in 0..46 {
            r.due(key(operation, STEADY), 0);
            r.ended_excused(key(operation, STEADY), Outcome::Lost, 0, MS);
            r.error(class, Culprit::Generator, 60_000 * MS, || "the example".to_owned());
        }
    })
}

#[test]
fn an_undecided_rate_names_the_local_errors() {
    let judged = with_local_errors("call_payload", Operation::ServiceDesired);
    assert_eq!(
        judged.verdict.reasons[0],
        "service.desired rate(ok) > 99% is undecided: the value is between 0% and 100%, because this machine may have caused 46 failures (call_payload)"
    );
}

#[test]
fn advice_fixes_the_local_errors() {
    for (class, operation, fix) in [
        ("call_payload", Operation::ServiceDesired, "Correct payload in [[drive]]"),
        ("clock_step", Operation::Telemetry, "Synchronize this machine's clock"),
        ("fd_limit", Operation::Telemetry, "ulimit -n"),
        ("ports_exhausted", Operation::Connect, "Set source_ips"),
        ("source_address", Operation::Connect, "Correct source_ips"),
        ("no_memory", Operation::Connect, "more memory"),
        ("encode", Operation::Telemetry, "report it"),
    ] {
        let judged = with_local_errors(class, operation);
        let last = judged.verdict.details.last().unwrap();
        assert_eq!((judged.verdict.status, last.code.as_str()), (Status::Invalid, "advice"), "{class}");
        assert!(last.text.contains(fix), "{class}: {}", last.text);
        assert!(!last.text.contains("busy") && !last.text.contains("idle"), "{class}: {}", last.text);
    }
}

#[test]
fn advice_covers_delays_and_local_errors() {
    let health: fn(&mut Measurement) = |measurement| {
        let health = measurement.health_mut(Source::Worker(0), "steady");
        (health.busy_share, health.environment_errors) = (Some(0.04), 1);
    };
    let judged = Case { health, ..Case::default() }.judge(|r| {
        messages(r, STEADY, 1_000, 900, 950);
        r.error("fd_limit", Culprit::Generator, 60_000 * MS, String::new);
    });
    let last = judged.verdict.reasons.last().unwrap();
    assert!(last.contains("ulimit -n") && last.contains("when the machine is idle"), "{last}");
}

#[test]
fn advice_for_a_latency_near_its_limit_is_not_about_load() {
    let case = Case { thresholds: vec![latency(None, 50)], ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 0, 53));
    assert_verdict(
        &judged,
        Status::Invalid,
        120,
        "differs from the limit by less than the load generator's resolution",
    );
    let last = judged.verdict.reasons.last().unwrap();
    assert!(last.contains("the resolution of hubstorm is 7.00 ms") && !last.contains("busy"), "{last}");
}

/// The clock was set back and forth, but there were no failures or delays.
#[test]
fn advice_for_a_changed_clock_is_to_synchronize_it() {
    let health: fn(&mut Measurement) = |measurement| {
        let health = measurement.health_mut(Source::Worker(0), "steady");
        (health.busy_share, health.clock_drift_us) = (Some(0.04), 7_200_000_000);
    };
    let case = Case { thresholds: vec![latency(None, 5)], health, ..Case::default() };
    let judged = case.judge(|r| messages(r, STEADY, 1_000, 0, 50));
    assert_verdict(&judged, Status::Invalid, 120, "this machine's clock changed");
    let last = judged.verdict.reasons.last().unwrap();
    assert!(last.starts_with("Synchronize") && !last.contains("busy"), "{last}");
}

#[test]
fn advice_about_a_json_scenario_is_json() {
    let mut result = crate::result::testing::result();
    result.run.target.cleartext_password = true;
    for (file, shown) in [("x.toml", "Remove tls = false"), ("x.json", "Remove \"tls\": false")] {
        file.clone_into(&mut result.run.scenario.file);
        let findings = judge_again(&result).unwrap().findings;
        assert!(findings.iter().any(|finding| finding.text.contains(shown)), "{file}: {findings:?}");
    }
}
