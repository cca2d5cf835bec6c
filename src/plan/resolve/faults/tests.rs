//! Faults of a scenario: their times and devices, the errors, the fingerprint, and random faults.

use crate::plan::{Plan, test_support};
use crate::policy::fault::FaultKind;
use std::time::Duration;

/// Two phases of 30 s and 60 s, 10 meters and 20 locks.
fn load(emulator: &str) -> Result<Plan, String> {
    test_support::load(&format!(
        "seed = 7\n{emulator}\n[fleet.meter]\ndevices = 10\n[fleet.lock]\ndevices = 20\n\
         [[phase]]\nname = \"ramp\"\nduration = \"30s\"\n[[phase]]\nname = \"storm\"\nduration = \"1m\"\n"
    ))
}

fn faults(tables: &[&str]) -> Result<Plan, String> {
    load(&tables.iter().map(|table| format!("[[emulator.fault]]\n{table}\n")).collect::<String>())
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn times_count_from_the_run_or_from_a_phase() {
    let plan = faults(&[
        "kind = \"hold-acks\"\nat = \"5s\"\nfor = \"10s\"",
        "kind = \"close\"\nphase = \"storm\"",
        "kind = \"delay\"\nby = \"1s\"\nphase = \"storm\"\nat = \"20s\"\nfor = \"40s\"",
    ])
    .unwrap();
    let windows: Vec<_> = plan.faults.iter().map(|it| (it.fault.kind, it.fault.at, it.fault.end())).collect();
    assert_eq!(
        windows,
        [
            (FaultKind::HoldAcks, seconds(5), seconds(15)),
            (FaultKind::Close, seconds(30), seconds(30)),
            (FaultKind::Delay, seconds(50), seconds(90)),
        ]
    );
    assert!(plan.faults.iter().all(|it| it.devices == 30 && it.fault.devices.is_none() && !it.random));
}

#[test]
fn a_share_is_exact_and_may_be_of_one_fleet() {
    let plan = faults(&[
        "kind = \"close\"\nat = \"1s\"\nshare = \"20%\"",
        "kind = \"close\"\nat = \"2s\"\nshare = \"20%\"\nfleet = \"lock\"",
        "kind = \"close\"\nat = \"3s\"\nfleet = \"meter\"",
    ])
    .unwrap();
    let ids = |n: usize| plan.faults[n].fault.devices.clone().unwrap();
    assert_eq!([0, 1, 2].map(|n| (plan.faults[n].devices, ids(n).len())), [(6, 6), (4, 4), (10, 10)]);
    assert!(ids(1).iter().all(|id| id.starts_with("lock-")), "{:?}", ids(1));
    assert_eq!(plan.faults[1].fleet, Some(1));
    assert!(plan.faults.iter().all(|it| it.fault.share >= 1.0), "the devices are already chosen");
}

#[test]
fn wrong_faults_are_refused_with_place_and_fix() {
    let hold = "kind = \"hold-acks\"\nat = \"5s\"\nfor = \"10s\"";
    for (tables, expected) in [
        (vec!["kind = \"hold-acks\"\nat = \"85s\"\nfor = \"10s\""], "the fault ends after the run"),
        (
            vec!["kind = \"hold-acks\"\nat = \"85s\"\nfor = \"10s\""],
            "fix:     for = \"5s\", or a longer phase",
        ),
        (vec!["kind = \"close\"\nat = \"90s\""], "the fault starts after the end of the run"),
        (vec!["kind = \"close\"\nphase = \"ramp\"\nat = \"30s\""], "phase ramp is over at that time"),
        (vec!["kind = \"close\"\nphase = \"strom\""], "did you mean storm?"),
        (vec!["kind = \"close\"\nat = \"1s\"\nfleet = \"metre\""], "did you mean meter?"),
        (vec!["kind = \"closed\"\nat = \"1s\""], "did you mean \"close\"?"),
        (vec!["kind = \"rest-5xx\"\nat = \"1s\""], "not supported yet"),
        (vec!["kind = \"close\"\nat = \"1s\"\nshare = \"120%\""], "a share from 0% to 100%"),
        (vec!["kind = \"close\"\nat = \"1s\"\nshare = \"0%\""], "a share of 0% chooses no devices"),
        (
            vec!["kind = \"refuse\"\ncode = 4\nat = \"1s\"\nfor = \"1s\""],
            "allowed: 3 (server unavailable), 5",
        ),
        (vec!["kind = \"close\"\ncode = 3\nat = \"1s\""], "close has no code"),
        (vec!["kind = \"close\"\nby = \"3s\"\nat = \"1s\""], "close has no by"),
        (vec!["kind = \"delay\"\nat = \"1s\"\nfor = \"1s\""], "add by = \"500ms\""),
        (vec!["kind = \"drop-acks\"\nat = \"1s\""], "add for = \"10s\""),
        (vec!["kind = \"close\""], "add at = \"30s\", or phase = \"NAME\""),
        (vec!["kind = \"certificate-change\"\nat = \"1s\"\nfor = \"1s\""], "so it has no length"),
        (
            vec![hold, "kind = \"drop-acks\"\nat = \"14s\"\nfor = \"1s\""],
            "contradicts emulator.fault.0 (hold-acks)",
        ),
        (
            vec![hold, "kind = \"drop-acks\"\nat = \"14s\"\nfor = \"1s\"\nshare = \"50%\""],
            "hold-acks and drop-acks at 14.0 s, on 15 of the same devices: a dropped PUBACK cannot be held",
        ),
    ] {
        let error = faults(&tables).unwrap_err();
        assert!(error.contains(expected), "{tables:?}: {error}");
        assert!(error.contains("test.toml:") && error.contains("emulator.fault."), "{error}");
    }
}

#[test]
fn other_devices_and_other_times_are_no_contradiction() {
    let hold = "kind = \"hold-acks\"\nat = \"5s\"\nfor = \"10s\"\nfleet = \"meter\"";
    let drop = "kind = \"drop-acks\"\nat = \"5s\"\nfor = \"10s\"\nfleet = \"lock\"";
    assert!(faults(&[hold, drop]).is_ok());
    assert!(faults(&[hold, &drop.replace("lock", "meter").replace("\"5s\"", "\"15s\"")]).is_ok());
}

#[test]
fn faults_change_the_fingerprint_and_the_seed_does_not() {
    let print = |emulator: &str| load(emulator).unwrap().fingerprint();
    let (none, close) = (print(""), "[[emulator.fault]]\nkind = \"close\"\nat = \"1s\"\nshare = \"50%\"");
    assert_ne!(print(close), none);
    assert_ne!(print(close), print(&close.replace("50%", "60%")));
    let chaos = "[emulator]\nchaos = { rate = \"6/1m\" }";
    assert_ne!(print(chaos), none);
    let seeded = |emulator: &str, seed: &str| {
        let text = format!(
            "seed = {seed}\n{emulator}\n[fleet.m]\ndevices = 10\n[[phase]]\nname = \"p\"\nduration = \"2m\"\n"
        );
        test_support::plan(&text)
    };
    for emulator in [close, chaos] {
        assert_eq!(seeded(emulator, "1").fingerprint(), seeded(emulator, "2").fingerprint());
    }
    let times = |seed| seeded(chaos, seed).faults.iter().map(|it| it.fault.at).collect::<Vec<_>>();
    assert_ne!(times("1"), times("2"));
}

#[test]
fn chaos_adds_random_faults_from_the_seed() {
    let chaos = "[emulator]\nchaos = { rate = \"20/1m\", kinds = [\"close\", \"hold-acks\"], for = \"5s\", share = \"20%\" }";
    let plan = load(chaos).unwrap();
    assert!(plan.faults.len() > 10, "{}", plan.faults.len());
    assert!(plan.faults.iter().all(|it| it.random && it.devices == 6 && it.fault.end() <= seconds(90)));
    for (chaos, expected) in [
        ("chaos = { kinds = [\"close\"] }", "add rate = \"2/1m\""),
        ("chaos = { rate = \"0/s\" }", "a rate of 0 makes no faults"),
        ("chaos = { rate = \"100/s\" }", "too many random faults"),
        ("chaos = { rate = \"1/s\", kinds = [] }", "no kinds to choose from"),
        ("chaos = { rate = \"1/s\", kinds = [\"clsoe\"] }", "did you mean \"close\"?"),
        ("chaos = { rate = \"1/s\", share = \"0%\" }", "a share of 0% chooses no devices"),
    ] {
        let error = load(&format!("[emulator]\n{chaos}")).unwrap_err();
        assert!(error.contains(expected), "{chaos}: {error}");
    }
}

#[test]
fn another_target_has_no_faults() {
    let text = "[target]\nkind = \"iot-hub\"\nhost = \"h.example\"\n[emulator]\nchaos = { rate = \"6/1m\" }\n\
                [[emulator.fault]]\nkind = \"close\"\nat = \"1s\"\n[fleet.m]\ndevices = 1\n\
                auth = { kind = \"sas\", group_key = \"${env.KEY}\" }\n[[phase]]\nname = \"p\"\nduration = \"1m\"\n";
    let plan = test_support::plan(text);
    assert!(plan.faults.is_empty() && plan.chaos.is_none());
    assert!(plan.warnings.iter().any(|it| it.contains("faults have no effect")), "{:?}", plan.warnings);
}
