//! Faults of fleets: their times, devices, networks, errors and contradictions.

use crate::plan::{Plan, test_support};
use crate::policy::fault::FaultKind;
use crate::policy::network::Network;
use std::time::Duration;

/// Two phases of 30 s and 60 s, 10 meters with faults and 20 locks without.
fn load(faults: &[&str], seed: u64) -> Result<Plan, String> {
    let faults: String = faults.iter().map(|table| format!("[[fleet.meter.fault]]\n{table}\n")).collect();
    test_support::load(&format!(
        "seed = {seed}\n[fleet.meter]\ndevices = 10\n{faults}[fleet.lock]\ndevices = 20\n\
         [[phase]]\nname = \"ramp\"\nduration = \"30s\"\n[[phase]]\nname = \"storm\"\nduration = \"1m\"\n"
    ))
}

fn faults(tables: &[&str]) -> Result<Plan, String> {
    load(tables, 7)
}

#[test]
fn lasting_faults_end_with_their_phase_or_with_the_load() {
    for (table, kind, window_s) in [
        ("profile = \"3g\"", FaultKind::Profile, [0, 90]),
        ("kind = \"latency\"\nby = \"1s\"\nat = \"5s\"", FaultKind::Latency, [5, 90]),
        ("kind = \"bandwidth\"\nrate = \"1Mbit/s\"\nphase = \"ramp\"", FaultKind::Bandwidth, [0, 30]),
        ("kind = \"stall\"\nphase = \"storm\"\nat = \"5s\"\nfor = \"10s\"", FaultKind::Stall, [35, 45]),
        ("kind = \"never-ack\"\nphase = \"storm\"\nat = \"5s\"", FaultKind::NeverAck, [35, 90]),
        ("kind = \"slow-handshake\"\nby = \"1s\"\nfor = \"10s\"", FaultKind::SlowHandshake, [0, 10]),
        ("kind = \"reset\"\nat = \"5s\"", FaultKind::Reset, [5, 5]),
        ("kind = \"half-open\"\nphase = \"storm\"", FaultKind::HalfOpen, [30, 30]),
        ("kind = \"close-mid-frame\"\nat = \"5s\"\nfor = \"5s\"", FaultKind::CloseMidFrame, [5, 10]),
    ] {
        let plan = faults(&[table]).unwrap_or_else(|error| panic!("{table}: {error}"));
        let fault = &plan.fleets[0].faults[0].fault;
        assert_eq!((fault.kind, [fault.at, fault.end()].map(|at| at.as_secs())), (kind, window_s), "{table}");
        assert!(plan.fleets[1].faults.is_empty() && plan.faults.is_empty());
    }
}

#[test]
fn a_fault_has_the_network_of_its_kind_or_profile() {
    let network = |table: &str| faults(&[table]).unwrap().fleets[0].faults[0].fault.network;
    let ms = Duration::from_millis;
    assert_eq!(
        network("kind = \"latency\"\nby = \"300ms\"\njitter = \"100ms\""),
        Network { round_trip: ms(300), jitter: ms(100), ..Network::default() }
    );
    let slow = Network { up_bits_per_s: 26_000, down_bits_per_s: 26_000, ..Network::default() };
    assert_eq!(network("kind = \"bandwidth\"\nrate = \"26 kbit/s\""), slow);
    let nb_iot = network("profile = \"nb-iot\"");
    assert_eq!(
        (nb_iot.round_trip, nb_iot.up_bits_per_s, nb_iot.down_bits_per_s),
        (ms(1_600), 62_000, 26_000)
    );
    assert_eq!(network("kind = \"slow-handshake\"\nby = \"3s\""), Network::default());
}

#[test]
fn the_same_seed_chooses_the_same_devices() {
    let chosen = |seed| {
        let plan = load(
            &["kind = \"reset\"\nat = \"5s\"\nshare = \"30%\"", "profile = \"3g\"\nshare = \"30%\""],
            seed,
        );
        let plan = plan.unwrap();
        let [one, two] = [0, 1].map(|n| plan.fleets[0].faults[n].chosen.clone().unwrap());
        assert_eq!(plan.fleets[0].affected(&plan.fleets[0].faults[0]), 3);
        let fault = &plan.fleets[0].faults[0];
        assert_eq!((0..10).filter(|index| fault.affects(*index)).collect::<Vec<_>>(), one);
        (one, two)
    };
    let seven = chosen(7);
    assert_eq!(seven, chosen(7));
    assert!((8..20).any(|seed| chosen(seed) != seven));
    assert!((7..20).any(|seed| chosen(seed).0 != chosen(seed).1), "each fault chooses by itself");
    let all = faults(&["kind = \"reset\"\nat = \"5s\""]).unwrap();
    assert!(all.fleets[0].faults[0].chosen.is_none() && all.fleets[0].faults[0].affects(9));
}

#[test]
fn wrong_faults_are_refused_with_place_and_fix() {
    for (tables, expected) in [
        (vec!["kind = \"stal\""], "did you mean \"stall\"?"),
        (vec!["kind = \"hold-acks\"\nat = \"1s\"\nfor = \"1s\""], "unknown value"),
        (vec!["profile = \"3G\""], "did you mean \"3g\"?"),
        (vec!["profile = \"lte\""], "\"lte-m\", \"nb-iot\""),
        (vec!["at = \"1s\""], "add kind = \"stall\", or profile = \"3g\""),
        (vec!["kind = \"stall\"\nprofile = \"3g\""], "a fault has either a kind or a profile"),
        (vec!["kind = \"latency\""], "add by = \"500ms\""),
        (vec!["kind = \"slow-handshake\""], "add by = \"500ms\""),
        (vec!["kind = \"bandwidth\""], "add rate = \"250kbit/s\""),
        (vec!["kind = \"bandwidth\"\nrate = \"250kbps\""], "did you mean \"250kbit/s\"?"),
        (vec!["kind = \"stall\"\nby = \"1s\""], "stall has no by"),
        (vec!["profile = \"3g\"\nrate = \"1Mbit/s\""], "profile has no rate"),
        (vec!["kind = \"reset\"\nat = \"1s\"\njitter = \"1s\""], "reset has no jitter"),
        (
            vec!["kind = \"latency\"\nby = \"1s\"\njitter = \"2s\""],
            "fix:     jitter = \"1s\", or a longer by",
        ),
        (vec!["kind = \"reset\""], "add at = \"30s\", or phase = \"NAME\""),
        (vec!["kind = \"reset\"\nat = \"90s\""], "the fault starts after the end of the run"),
        (vec!["kind = \"stall\"\nat = \"85s\"\nfor = \"10s\""], "fix:     for = \"5s\", or a longer phase"),
        (vec!["kind = \"stall\"\nat = \"95s\""], "the fault starts after the end of the run"),
        (vec!["kind = \"stall\"\nphase = \"strom\""], "did you mean storm?"),
        (vec!["kind = \"stall\"\nshare = \"120%\""], "fix:     use at most 100%"),
        (vec!["kind = \"stall\"\nshare = \"0%\""], "a share of 0% chooses no devices"),
        (
            vec!["profile = \"3g\"", "kind = \"latency\"\nby = \"1s\"\nphase = \"storm\""],
            "profile and latency at 30.0 s, on all devices of the fleet: the profile has a latency and a bandwidth",
        ),
        (
            vec!["profile = \"3g\"", "profile = \"satellite\"\nat = \"10s\"\nshare = \"50%\""],
            "contradicts fleet.meter.fault.0 (profile)",
        ),
        (
            vec!["kind = \"reset\"\nat = \"5s\"", "kind = \"half-open\"\nat = \"5s\""],
            "a connection ends only once",
        ),
        (
            vec!["kind = \"stall\"\nfor = \"10s\"", "kind = \"reset\"\nat = \"5s\""],
            "a stalled network passes nothing",
        ),
    ] {
        let error = faults(&tables).unwrap_err();
        assert!(error.contains(expected), "{tables:?}: {error}");
        assert!(error.contains("test.toml:") && error.contains("fleet.meter.fault."), "{error}");
    }
}

#[test]
fn faults_that_fit_together_are_no_contradiction() {
    for tables in [
        vec![
            "kind = \"latency\"\nby = \"1s\"",
            "kind = \"bandwidth\"\nrate = \"1Mbit/s\"",
            "kind = \"reset\"\nat = \"5s\"",
        ],
        vec!["profile = \"3g\"\nphase = \"ramp\"", "profile = \"satellite\"\nphase = \"storm\""],
        vec!["profile = \"3g\"", "kind = \"stall\"\nat = \"5s\"\nfor = \"5s\"", "kind = \"never-ack\""],
    ] {
        assert!(faults(&tables).is_ok(), "{tables:?}");
    }
}

#[test]
fn faults_of_fleets_change_the_fingerprint() {
    let print = |tables: &[&str]| faults(tables).unwrap().fingerprint();
    let none = print(&[]);
    assert_ne!(print(&["profile = \"3g\""]), none);
    assert_ne!(print(&["profile = \"3g\""]), print(&["profile = \"satellite\""]));
    assert_ne!(print(&["profile = \"3g\""]), print(&["profile = \"3g\"\nshare = \"50%\""]));
}
