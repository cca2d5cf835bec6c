//! Faults in text form, the choice of their devices, contradictions, and random faults.

use super::chaos::Chaos;
use super::*;
use crate::units::written_duration;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn parse(json: &str) -> Result<Fault, String> {
    let text: FaultText = serde_json::from_str(json).map_err(|error| error.to_string())?;
    text.to_fault().map_err(|error| error.to_string())
}

fn fault(kind: FaultKind, at: u64, length: u64) -> Fault {
    Fault { at: seconds(at), length: seconds(length), by: seconds(1), ..Fault::new(kind) }
}

#[test]
fn text_form_survives_a_round_trip() {
    let all = parse(r#"{"kind":"delay","by":"1.5s","at":"1m","for":"10s","share":"12.5%","devices":["a"]}"#);
    let expected = Fault {
        by: Duration::from_millis(1_500),
        at: seconds(60),
        length: seconds(10),
        share: 0.125,
        devices: Some(vec!["a".into()]),
        ..Fault::new(FaultKind::Delay)
    };
    assert_eq!(all.as_ref(), Ok(&expected));
    for fault in [expected, Fault { code: 5, length: seconds(1), ..Fault::new(FaultKind::Refuse) }] {
        assert_eq!(FaultText::from(&fault).to_fault(), Ok(fault));
    }
    assert_eq!(parse(r#"{"kind":"close"}"#), Ok(Fault::new(FaultKind::Close)));
}

#[test]
fn invalid_text_is_refused_with_a_fix() {
    for (json, expected) in [
        (r#"{"kind":"burn"}"#, "unknown kind of fault: set kind to close, reset, refuse"),
        (r#"{}"#, "unknown kind"),
        (r#"{"kind":"hold-acks"}"#, "hold-acks needs for: add \"for\":\"10s\""),
        (r#"{"kind":"delay","for":"1s"}"#, "delay needs by: add \"by\":\"500ms\""),
        (r#"{"kind":"close","by":"1s"}"#, "close has no by: remove it"),
        (r#"{"kind":"close","code":3}"#, "close has no code"),
        (r#"{"kind":"certificate-change","for":"1s"}"#, "certificate-change has no for"),
        (r#"{"kind":"refuse","code":4,"for":"1s"}"#, "code is 4: use 3 (server unavailable) or 5"),
        (r#"{"kind":"close","share":"101%"}"#, "share must be above 0% and at most 100%"),
        (r#"{"kind":"close","share":"0%"}"#, "share must be above 0%"),
        (r#"{"kind":"close","at":"5"}"#, "a duration such as"),
    ] {
        let error = parse(json).unwrap_err();
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn a_share_chooses_exactly_that_many_devices() {
    let ids = || (0..1_000).map(|n| format!("d{n}").into()).collect::<Vec<Box<str>>>();
    let chosen = choose(7, 0, 0.2, ids());
    assert_eq!(chosen.len(), 200);
    let same = |other: &[Box<str>]| chosen.iter().filter(|id| other.contains(id)).count();
    assert_eq!(same(&choose(7, 0, 0.2, ids())), 200, "the same seed gives the same devices");
    for other in [choose(8, 0, 0.2, ids()), choose(7, 1, 0.2, ids())] {
        assert!((20..=60).contains(&same(&other)), "another seed or fault: {}", same(&other));
    }
    assert_eq!(choose(7, 0, 0.001, ids()[..10].to_vec()).len(), 1, "at least one");
    // Without a list, each device is drawn by itself.
    let fault = Fault { share: 0.2, ..Fault::new(FaultKind::Close) };
    let drawn = ids().iter().filter(|id| fault.affects(7, 0, id)).count();
    assert!((150..=250).contains(&drawn), "{drawn}");
    let listed = Fault { devices: Some(chosen), ..Fault::new(FaultKind::Close) };
    assert_eq!(ids().iter().filter(|id| listed.affects(7, 0, id)).count(), 200);
}

#[test]
fn indices_are_chosen_like_ids() {
    let ids = (0..1_000).map(|n| format!("d{n}").into()).collect::<Vec<Box<str>>>();
    let chosen = choose_indices(7, 3, 0.2, 1_000, |index| format!("d{index}"));
    let mut same: Vec<Box<str>> = chosen.iter().map(|index| ids[*index as usize].clone()).collect();
    same.sort();
    assert_eq!(same, choose(7, 3, 0.2, ids));
    assert!(chosen.is_sorted());
}

#[test]
fn faults_of_the_hub_and_of_fleets_never_contradict_each_other() {
    for hub in FaultKind::HUB.into_iter().filter(|kind| *kind != FaultKind::Reset) {
        for fleet in FaultKind::FLEET.into_iter().filter(|kind| *kind != FaultKind::Reset) {
            let (one, two) = (fault(hub, 0, 5), fault(fleet, 0, 5));
            assert_eq!(one.contradicts(&two), None, "{hub:?} {fleet:?}");
        }
    }
}

#[test]
fn contradictions_need_the_same_time() {
    use FaultKind::*;
    for (one, two) in [
        (HoldAcks, DropAcks),
        (StallReads, HoldAcks),
        (Close, Reset),
        (Refuse, SlowConnack),
        (DisableDevice, StallReads),
        (QuotaExhausted, DropAcks),
        (DisableDevice, QuotaExhausted),
        (DisableDevice, Refuse),
    ] {
        let (one, two) = (fault(one, 10, 5), fault(two, 14, 5));
        assert!(one.contradicts(&two).is_some() && two.contradicts(&one).is_some(), "{one:?} {two:?}");
        assert!(one.overlaps(&two) && two.overlaps(&one));
    }
    for (one, two) in [(Close, HoldAcks), (Delay, HoldAcks), (HoldAcks, HoldAcks), (CertificateChange, Close)]
    {
        assert_eq!(fault(one, 0, 5).contradicts(&fault(two, 0, 5)), None, "{one:?} {two:?}");
    }
    let refuse = |code| Fault { code, ..fault(Refuse, 0, 5) };
    assert_eq!(refuse(5).contradicts(&fault(DisableDevice, 0, 5)), None, "both refuse with code 5");
    assert!(refuse(3).contradicts(&refuse(5)).is_some());
    let slower = Fault { by: seconds(2), ..fault(Delay, 0, 5) };
    assert!(slower.contradicts(&fault(Delay, 0, 5)).is_some());
    // The end is not part of the window; an instant is.
    assert!(!fault(HoldAcks, 0, 10).overlaps(&fault(DropAcks, 10, 5)));
    assert!(fault(Close, 5, 0).overlaps(&fault(Reset, 5, 0)));
    assert!(fault(Close, 5, 0).overlaps(&fault(Reset, 0, 10)));
}

#[test]
fn chaos_has_its_rate_its_kinds_and_its_seed() {
    let kinds = vec![FaultKind::Close, FaultKind::HoldAcks, FaultKind::DropAcks];
    let chaos = Chaos { rate_hz: 2.0 / 60.0, kinds, length: seconds(10), share: 0.1 };
    let (hour, seeds) = (seconds(3_600), 0..100);
    let counts: Vec<usize> = seeds.map(|seed| chaos.faults(seed, hour).len()).collect();
    let mean = counts.iter().sum::<usize>() / counts.len();
    // 120 in an hour, less those that contradict an earlier one.
    assert!((95..=120).contains(&mean), "{mean}");
    let faults = chaos.faults(7, hour);
    assert_eq!(faults, chaos.faults(7, hour));
    assert_ne!(faults, chaos.faults(8, hour));
    assert!(faults.is_sorted_by_key(|fault| fault.at));
    assert!(faults.iter().all(|fault| fault.end() <= hour && chaos.kinds.contains(&fault.kind)));
    for (n, fault) in faults.iter().enumerate() {
        let found =
            faults[..n].iter().find(|other| fault.overlaps(other) && fault.contradicts(other).is_some());
        assert_eq!(found, None, "{fault:?}");
        assert_eq!(fault.length.is_zero(), fault.kind == FaultKind::Close, "{}", written_duration(fault.at));
    }
}

#[test]
fn each_kind_has_one_name() {
    for kind in FaultKind::HUB {
        assert_eq!(FaultKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(FaultKind::from_name("Close"), None);
}
