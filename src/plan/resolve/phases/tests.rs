//! Phases: steps, the values of single fleets, and errors.

use crate::plan::Part;
use crate::plan::resolve::resolve;
use crate::plan::test_support::{load, plan};
use crate::scenario::{Input, no_files};

/// Two fleets, and a phase with these keys.
fn scenario(phase: &str) -> String {
    format!(
        "[fleet.a]\ndevices = 10\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
         [fleet.b]\ndevices = 20\n[[fleet.b.send]]\nevery = \"1s\"\npayload = \"x\"\n\
         [[phase]]\nname = \"p\"\nduration = \"10s\"\n{phase}\n"
    )
}

#[test]
fn a_fleet_overrides_single_keys_of_a_phase() {
    let plan = plan(&scenario(
        "online = \"50%\"\nload = \"100% -> 300% in 5 steps\"\n[phase.fleet.b]\nload = \"200%\"\n\
         [[phase]]\nname = \"q\"\nduration = \"10s\"\n[phase.fleet.b]\nonline = \"0%\"",
    ));
    let phases = |fleet: usize| {
        let phases = plan.schedule_of(&plan.fleets[fleet]).phases().iter();
        phases.map(|phase| (phase.online, phase.load, phase.load_steps)).collect::<Vec<_>>()
    };
    let whole = ([1.0; 2], [1.0; 2], None);
    assert_eq!(phases(0), [([0.5; 2], [1.0, 3.0], Some(5)), whole]);
    assert_eq!(phases(1), [([0.5; 2], [2.0; 2], None), ([0.0; 2], [1.0; 2], None)]);
    assert!(plan.fleets[0].own_schedule.is_none());
    assert_eq!([5, 15].map(|s| plan.planned_online(s * 1_000_000_000)), [5 + 10, 10]);
    // 5 devices at 200% on average, and 10 devices at 200%; then 10 devices at 100%.
    assert_eq!(plan.planned_messages().round(), 5.0 * 20.0 + 10.0 * 20.0 + 10.0 * 10.0);
    let loads = plan.run_loads();
    let offered = |s: u64| plan.offered_per_s(&loads, s * 1_000_000_000, (s + 1) * 1_000_000_000);
    assert_eq!([0, 9, 12].map(offered), [Some(5.0 + 20.0), Some(15.0 + 20.0), Some(10.0)]);
}

#[test]
fn new_keys_change_the_fingerprint() {
    let fingerprint = |phase: &str| plan(&scenario(phase)).fingerprint();
    let ramp = fingerprint("load = \"100% -> 300%\"");
    let steps = fingerprint("load = \"100% -> 300% in 5 steps\"");
    let fleet = fingerprint("load = \"100% -> 300%\"\n[phase.fleet.b]\nload = \"100%\"");
    let churn = fingerprint("load = \"100% -> 300%\"\nchurn = { rate = \"1%/1m\", away = \"1s\" }");
    let faster = fingerprint("load = \"100% -> 300%\"\nchurn = { rate = \"2%/1m\", away = \"1s\" }");
    let calm = "load = \"100% -> 300%\"\n[[phase]]\nname = \"q\"\nduration = \"9s\"\n";
    let storm = fingerprint(&format!("{calm}disconnect = {{ how = \"close\" }}"));
    let hashes = [ramp, steps, fleet, churn, faster, fingerprint(calm), storm];
    let different: std::collections::BTreeSet<&String> = hashes.iter().collect();
    assert_eq!(different.len(), hashes.len());
}

#[test]
fn mistakes_name_the_key_and_the_fix() {
    let cases: [(&str, &[&str]); 5 + 11] = [
        (
            "[phase.fleet.bb]\nload = \"200%\"",
            &["phase.p.fleet.bb", "no such fleet", "a, b", "did you mean b?"],
        ),
        ("[phase.fleet.b]\nlaod = \"200%\"", &["unknown key", "did you mean `load`?"]),
        ("[phase.fleet.b]\nwarmup = true", &["unknown key", "online, load"]),
        ("load = \"100% -> 300% in 1 steps\"", &["phase.p.load", "2 to 1000 steps"]),
        ("load = \"100% in 5 steps\"", &["phase.p.load", "100% -> 300% in 10 steps"]),
        ("connect_rate = \"0/s\"", &["phase.p.connect_rate", "must be above zero"]),
        (
            "connect_rate = \"2/s\"",
            &[
                "phase.p.connect_rate",
                "too slow",
                "15.0 s for 30 devices",
                "connect_rate = \"3/s\"",
                "duration = \"15s\"",
            ],
        ),
        (
            "disconnect = { how = \"close\" }",
            &["phase.p.disconnect", "no device is online when", "add a [[phase]] before"],
        ),
        (
            "[[phase]]\nname = \"q\"\nduration = \"5s\"\ndisconnect = { how = \"close\", over = \"6s\" }",
            &["phase.q.disconnect.over", "longer than its phase", "6s", "up to 5s", "shorten `over`"],
        ),
        (
            "[[phase]]\nname = \"q\"\nduration = \"5s\"\nonline = \"0%\"\ndisconnect = { how = \"close\" }",
            &["phase.q.disconnect", "no device is online when", "increase `online`"],
        ),
        ("disconnect = { share = \"101%\", how = \"close\" }", &["disconnect.share", "from 0% to 100%"]),
        ("disconnect = { how = \"kill\" }", &["disconnect.how", "\"close\", \"reset\", \"silent\""]),
        ("disconnect = { share = \"10%\" }", &["disconnect.how", "missing", "how = \"close\""]),
        (
            "churn = { rate = \"5%/1m\", away = \"20m\" }",
            &["phase.p.churn", "leave faster than they can return", "100% of the online", "shorten `away`"],
        ),
        ("churn = { rate = \"120%/1m\", away = \"1s\" }", &["phase.p.churn.rate", "from 0% to 100%"]),
        (
            "[phase.fleet.b]\nchurn = { rate = \"50%/1m\", away = \"20m\" }",
            &["phase.p.fleet.b.churn", "leave faster", "1000% of"],
        ),
    ];
    for (phase, parts) in cases {
        let error = load(&scenario(phase)).err().unwrap_or_else(|| panic!("{phase} is accepted"));
        for part in parts {
            assert!(error.contains(part), "{part:?} is missing:\n{error}");
        }
    }
}

#[test]
fn tables_of_fleets_that_do_not_run_are_ignored() {
    let text = scenario("[phase.fleet.b]\nload = \"200%\"");
    let input = Input { file: "s.toml", text: &text, overrides: &[], env: &|_| None, files: &no_files };
    let (mut scenario, errors) = crate::scenario::read(&input);
    let part = Part { fleets: &["a".to_owned()], duration: None };
    part.restrict(&mut scenario).unwrap();
    let plan = resolve(&scenario, errors, &no_files, &mut rand::rng()).unwrap();
    assert!(plan.fleets.iter().all(|fleet| fleet.name == "a" && fleet.own_schedule.is_none()));
}

#[test]
fn fleets_share_the_connect_rate_by_their_connects() {
    let plan = plan(&scenario("connect_rate = \"6/s\""));
    let rates = plan.fleets.iter().map(|fleet| plan.schedule_of(fleet).phases()[0].connect_rate_hz);
    assert_eq!(rates.collect::<Vec<_>>(), [Some(2.0), Some(4.0)]);
    assert_eq!([0, 1, 2, 5].map(|s| plan.planned_online(s * 1_000_000_000)), [2, 3 + 5, 5 + 9, 30]);
    let text = format!("{:?}", plan.fleets[0].own_schedule);
    assert_ne!(self::plan(&scenario("")).fingerprint(), plan.fingerprint(), "{text}");
}
