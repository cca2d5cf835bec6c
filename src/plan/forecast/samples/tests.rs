//! Samples that thresholds need and plans provide.

use super::*;
use crate::plan::test_support::{load_as, plan};

#[test]
fn percentile_needs_ten_samples_beyond_it() {
    for (quantile, needed) in [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1_000), (0.999, 10_000)] {
        assert_eq!(samples_needed(quantile), needed);
    }
}

#[test]
fn thresholds_without_enough_samples_are_found() {
    let text = r#"
        [fleet.a]
        devices = 100
        [[fleet.a.send]]
        every = "1s"
        payload = "x"
        [[phase]]
        name = "ramp"
        warmup = true
        duration = "10s"
        online = "0% -> 100%"
        [[phase]]
        name = "steady"
        duration = "9s"
        [[phase]]
        name = "quiet"
        duration = "5s"
        load = "0%"
        [thresholds]
        "online{phase:ramp}" = ["p(90) < 1s", "p(95) < 1s"]
        "telemetry" = ["p(95) < 1s", "p(99) < 1s", "rate(ok) > 99%", "count(lost) == 0"]
        "online{phase:steady}" = ["rate(ok) > 99%", "p(99) < 5s", "count(ok) == 0"]
        "telemetry{phase:quiet}" = ["rate(ok) > 99%", "count(ok) == 0"]
        "subscribe" = ["p(99) < 1s"]
    "#;
    let text = text.replace("devices = 100", "devices = 100\nsubscribe = [\"c2d\"]");
    let plan = plan(&text);
    let found: Vec<_> = plan
        .undersampled_thresholds()
        .into_iter()
        .map(|(threshold, needed, planned)| (threshold.expression.as_str(), needed, planned))
        .collect();
    let quiet = ("rate(ok) > 99%", 1, 0);
    assert_eq!(found, [("p(95) < 1s", 200, 100), ("p(99) < 1s", 1_000, 900), quiet]);
    let loads = plan.run_loads();
    let per_s =
        |from_s: u64, to_s: u64| plan.offered_per_s(&loads, from_s * 1_000_000_000, to_s * 1_000_000_000);
    assert_eq!((per_s(4, 6), per_s(12, 13), per_s(19, 20)), (Some(50.0), Some(100.0), Some(0.0)));
}

#[test]
fn renewals_are_counted_per_phase() {
    let text = r#"
        [fleet.a]
        devices = 10
        auth = { kind = "sas", ttl = "20s", renew = "50%" }
        [[phase]]
        name = "one"
        duration = "25s"
        [[phase]]
        name = "two"
        duration = "20s"
    "#;
    let plan = plan(text);
    let renewals = |phase: usize| plan.renewals_in(&plan.fleets[0], &plan.schedule.phases()[phase]);
    // Devices renew at 10 and 20 s in the first phase, and at 30 and 40 s in the second.
    assert!((renewals(0) - 20.0).abs() < 1e-9 && (renewals(1) - 20.0).abs() < 1e-9);
}

#[test]
fn shipped_scenarios_have_enough_samples() {
    let files: Vec<_> = std::fs::read_dir("scenarios").unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 10, "{files:?}");
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        let text = std::fs::read_to_string(path).unwrap();
        let plan = load_as(&path.display().to_string(), &text).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(plan.undersampled_thresholds(), [], "{}", path.display());
    }
}
