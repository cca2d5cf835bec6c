//! The use of limits in a run against a hub in Azure: from the plan and the run's own counts.

use super::*;
use crate::iothub::limits::Tier;
use crate::iothub::throttles::HubSize;
use crate::measure::{Collector, Key, Layout, Recorder, Source, Times};
use crate::scenario::Input;
use crate::stalls::Stalls;
use std::rc::Rc;

const S1: HubSize = HubSize { tier: Tier::S1, units: 1 };

const AZURE: &str = "[target]\nkind = \"iot-hub\"\nhost = \"h.azure-devices.net\"\n";

fn plan(hub: &str, more: &str) -> Plan {
    let text = format!(
        "{hub}\n\
         [fleet.fleet-0]\ndevices = 10\nauth = {{ kind = \"sas\", group_key = \"${{env.KEY}}\" }}\n{more}\n\
         [[phase]]\nname = \"phase-0\"\nduration = \"60s\"\n"
    );
    let key = |_: &str| Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
    let input = Input {
        file: "limits.toml",
        text: &text,
        overrides: &[],
        env: &key,
        files: &crate::scenario::no_files,
    };
    crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Returns the measurement of a minute with this number of operations in each second, all of which end with this outcome.
fn measured(operation: Operation, outcome: Outcome, per_s: impl Fn(u64) -> u64) -> Measurement {
    let layout = Layout::new(1, 1, Duration::from_secs(60));
    let mut recorder = Recorder::new(layout, Rc::new(Stalls::new(crate::clock::now())));
    let mut collector = Collector::unnamed(layout);
    let key = Key { operation, fleet: 0, phase: 0 };
    for second in 0..60 {
        recorder.open_second(second);
        let due_ns = second * 1_000_000_000;
        for _ in 0..per_s(second) {
            recorder.due(key, due_ns);
            let times = Times { due: due_ns, picked: due_ns, sent: due_ns, acked: due_ns };
            match outcome {
                Outcome::Ok => recorder.ok(key, &times),
                failed => recorder.ended(key, failed, due_ns, due_ns),
            }
        }
        collector.add(&recorder.swap(), Source::Worker(0));
    }
    collector.finish(u64::MAX, Vec::new(), Vec::new())
}

fn uses(plan: &Plan, measurement: &Measurement, stats: Option<&ThrottleStats>) -> Vec<LimitUse> {
    Run { plan, measurement, seconds: 60.0, zero_us: 0, stats }.limits()
}

const SEND: &str = "[[fleet.fleet-0.send]]\nevery = \"1s\"\npayload = { size = 1000 }\n";

#[test]
fn another_hub_is_compared_with_the_runs_own_counts() {
    let plan = plan(&format!("{AZURE}tier = \"S1\""), SEND);
    let measurement =
        measured(Operation::Telemetry, Outcome::Ok, |second| if second == 41 { 71 } else { 10 });
    let limits = uses(&plan, &measurement, None);
    let [d2c, quota] = &limits[..] else { panic!("{limits:?}") };
    assert_eq!((d2c.class.as_str(), d2c.limit, d2c.unit.as_str()), ("d2c", 100.0, "msg/s"));
    assert!((d2c.offered_peak - 71.0).abs() < 1e-9 && (d2c.share - 0.71).abs() < 1e-9, "{d2c:?}");
    assert!((d2c.admitted_peak - 71.0).abs() < 1e-9, "{d2c:?}");
    // 59 x 10 + 71 messages in a minute.
    assert!((quota.offered_peak - 661.0 * 1_440.0).abs() < 1e-6, "{quota:?}");
    // Only the built-in hub reports delayed and refused operations.
    for row in [d2c, quota] {
        assert_eq!((row.delayed, row.rejected, row.first_us), (None, None, None), "{}", row.class);
    }
    let json = serde_json::to_value(d2c).unwrap();
    assert!(json["delayed"].is_null() && json["rejected"].is_null(), "{json}");
}

#[test]
fn peaks_of_every_class_are_those_of_a_second() {
    let plan = plan(
        "[emulator]\ntier = \"S1\"",
        "[[drive]]\ncall = \"method\"\nfleet = \"fleet-0\"\nname = \"m\"\nrate = \"1/s\"\npayload = { size = 5000 }\n",
    );
    for (operation, class, peak) in [
        (Operation::Connect, "connections", 30.0),
        (Operation::TelemetryQos0, "d2c", 30.0),
        (Operation::TwinGet, "twin_reads", 30.0),
        (Operation::TwinReport, "twin_updates", 30.0),
        (Operation::ServiceDesired, "twin_updates", 30.0),
        (Operation::ServiceC2d, "c2d", 30.0),
        // A call of 5,000 bytes is two blocks of 4 KiB.
        (Operation::ServiceMethod, "methods", 240.0),
    ] {
        // A refused operation is offered, too.
        let measurement = measured(operation, Outcome::Refused, |second| if second < 2 { 30 } else { 1 });
        let limits = uses(&plan, &measurement, None);
        let row =
            limits.iter().find(|row| row.class == class).unwrap_or_else(|| panic!("{operation}: {limits:?}"));
        assert!((row.offered_peak - peak).abs() < 1e-9, "{operation}: {row:?}");
        assert_eq!(row.admitted_peak, 0.0, "{operation}");
    }
    assert_eq!(uses(&plan, &measured(Operation::Ping, Outcome::Ok, |_| 1), None), [], "pings have no limit");
}

#[test]
fn a_method_call_uses_as_much_as_the_capacity_plan_says() {
    // One block, although the longest possible sequence number would need a second one.
    let payload = format!("\"{}${{seq}}\"", "x".repeat(4085));
    let drive = format!(
        "[[drive]]\ncall = \"method\"\nfleet = \"fleet-0\"\nname = \"m\"\nrate = \"1/s\"\npayload = '{payload}'\n"
    );
    let plan = plan("[emulator]\ntier = \"S1\"", &drive);
    let limits = uses(&plan, &measured(Operation::ServiceMethod, Outcome::Ok, |_| 30), None);
    let row = limits.iter().find(|row| row.class == "methods").unwrap();
    assert!((row.offered_peak - 120.0).abs() < 1e-9 && (row.admitted_peak - 120.0).abs() < 1e-9, "{row:?}");
}

#[test]
fn the_load_at_the_first_throttling_is_that_of_its_second() {
    let plan = plan(&format!("{AZURE}tier = \"S1\""), SEND);
    let measurement = measured(Operation::Telemetry, Outcome::Ok, |second| 100 + second);
    let mut stats = ThrottleStats::default();
    let d2c = stats.classes.entry("d2c".to_owned()).or_default();
    (d2c.delayed, d2c.rejected, d2c.first_unix_us) = (5, 2, 31_500_000);
    let limits = uses(&plan, &measurement, Some(&stats));
    let row = &limits[0];
    assert_eq!((row.delayed, row.rejected, row.first_us), (Some(5), Some(2), Some(31_500_000)));
    assert!((row.offered_at_first.unwrap() - 131.0).abs() < 1e-9, "{row:?}");
}

#[test]
fn the_quota_counts_the_blocks_of_the_tier() {
    for (tier, blocks, per_day) in [("F1", 2.0, 8_000.0), ("S1", 1.0, 400_000.0), ("B2", 1.0, 6_000_000.0)] {
        let plan = plan(&format!("{AZURE}tier = \"{tier}\""), SEND);
        let used = |operation, outcome| {
            let limits = uses(&plan, &measured(operation, outcome, |_| 10), None);
            limits.iter().find(|row| row.class == QUOTA).map(|row| (row.offered_peak / 1_440.0, row.limit))
        };
        assert_eq!(used(Operation::Telemetry, Outcome::Ok), Some((600.0 * blocks, per_day)), "{tier}");
        assert_eq!(used(Operation::Telemetry, Outcome::TimedOut), Some((600.0 * blocks, per_day)), "{tier}");
        assert_eq!(used(Operation::Telemetry, Outcome::Offline), None, "{tier}: it was not sent");
        assert_eq!(used(Operation::Connect, Outcome::Ok), None, "{tier}: it is free");
        assert_eq!(used(Operation::TwinGet, Outcome::Ok), Some((600.0, per_day)), "{tier}");
        assert_eq!(used(Operation::TwinGet, Outcome::Throttled), None, "{tier}: a refused request is free");
    }
    let size = plan(&format!("{AZURE}tier = \"S1\""), SEND).hub_size();
    assert_eq!((size, tier_name(&plan(AZURE, SEND))), (Some(S1), None));
    assert_eq!(uses(&plan(AZURE, SEND), &measured(Operation::Telemetry, Outcome::Ok, |_| 10), None), []);
}
