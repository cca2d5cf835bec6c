//! `--fleet` and `--duration`: the plan, its overrides and its hash, and the errors.

use super::*;
use crate::plan::{self, Plan};
use crate::scenario::{Input, no_files, read};
use crate::units::parse_duration;

const SCENARIO: &str = r#"
drain = "7s"
[fleet.meter]
devices = 10
[[fleet.meter.send]]
every = "1s"
payload = "x"
[fleet.lock]
devices = 5
subscribe = ["c2d"]
[fleet.pump]
devices = 3
subscribe = ["methods"]
methods = { stop = {} }
[[drive]]
call = "c2d"
fleet = "lock"
rate = "1/s"
payload = "x"
[[drive]]
call = "method"
name = "stop"
fleet = "pump"
rate = "1/s"
[[phase]]
name = "ramp"
warmup = true
duration = "10s"
online = "0% -> 100%"
[[phase]]
name = "steady"
duration = "50s"
[thresholds]
"telemetry" = [{ expr = "p(90) < 1s", abort = true, after = "5s" }]
"telemetry{phase:steady,fleet:meter}" = ["rate(ok) > 99%"]
"connect{fleet:lock}" = ["p(50) < 1s", "max < 2s"]
"service.method" = ["rate(ok) > 99%"]
"#;

fn load(text: &str, fleets: &[&str], duration: Option<&str>) -> Result<Plan, String> {
    let input = Input { file: "s.toml", text, overrides: &[], env: &|_| None, files: &no_files };
    let (mut scenario, errors) = read(&input);
    let fleets: Vec<String> = fleets.iter().map(|&name| name.to_owned()).collect();
    Part { fleets: &fleets, duration }.restrict(&mut scenario).map_err(|error| error.to_string())?;
    plan::resolve(&scenario, errors, &no_files, &mut rand::rng()).map_err(|errors| errors.to_string())
}

#[test]
fn only_the_named_fleets_run_with_their_drives_and_thresholds() {
    let names = |plan: &Plan| plan.fleets.iter().map(|fleet| fleet.name.clone()).collect::<Vec<_>>();
    let plan = load(SCENARIO, &["meter"], None).unwrap();
    assert_eq!((names(&plan), plan.drives.len(), plan.thresholds.len()), (vec!["meter".to_owned()], 0, 2));
    assert_eq!(
        plan.source.overrides,
        [
            "--fleet meter (leaves out fleets lock, pump; drives service.c2d to fleet lock, service.method stop to fleet pump; \
          thresholds connect{fleet:lock} p(50) < 1s, connect{fleet:lock} max < 2s, service.method rate(ok) > 99%)"
        ]
    );
    let plan = load(SCENARIO, &["pump", "meter", "pump"], None).unwrap();
    assert_eq!(names(&plan), ["meter", "pump"], "in the order of the file, once");
    assert_eq!(plan.drives[0].fleet, 1, "the drive calls the same fleet");
    assert_eq!(plan.fleets[1].first, 10);
    let all = load(SCENARIO, &["meter", "lock", "pump"], None).unwrap();
    assert_eq!(all.source.overrides, [""; 0], "nothing is left out");
}

#[test]
fn long_lists_are_shortened() {
    let names = ["a", "b", "c", "d", "e"].map(str::to_owned);
    assert_eq!(list("fleet", &names[..1]), "fleet a");
    assert_eq!(list("fleet", &names[..4]), "fleets a, b, c, d");
    assert_eq!(list("fleet", &names), "fleets a, b, c and 2 more");
}

#[test]
fn part_of_the_load_has_another_hash() {
    let hash = |fleets: &[&str], duration| load(SCENARIO, fleets, duration).unwrap().fingerprint();
    let whole = hash(&[], None);
    assert_eq!(hash(&["meter", "lock", "pump"], Some("1m")), whole);
    for (fleets, duration) in [(&["meter"][..], None), (&["meter", "lock"], None), (&[], Some("30s"))] {
        assert_ne!(hash(fleets, duration), whole, "{fleets:?} {duration:?}");
    }
}

#[test]
fn phases_keep_their_proportions() {
    for (duration, lengths_ms) in [("30s", [5_000, 25_000]), ("6ms", [1, 5]), ("2h", [1_200_000, 6_000_000])]
    {
        let plan = load(SCENARIO, &[], Some(duration)).unwrap();
        let phases = plan.schedule.phases();
        let lengths = [0, 1].map(|index: usize| (phases[index].end - phases[index].start).as_millis());
        assert_eq!(lengths, lengths_ms, "{duration}");
        assert_eq!(plan.schedule.end(), parse_duration(duration).unwrap());
        let expected = format!("--duration {duration} (all phases together; as written: 60.0 s)");
        assert_eq!(plan.source.overrides, [expected]);
        let unscaled = (plan.drain, plan.thresholds[0].abort_after);
        assert_eq!(unscaled, (Duration::from_secs(7), Some(Duration::from_secs(5))));
    }
}

/// Rounding every length down would lose a nanosecond per phase.
#[test]
fn rounding_does_not_change_the_total() {
    let thirds: String = (0..3).map(|n| format!("[[phase]]\nname = \"p{n}\"\nduration = \"7s\"\n")).collect();
    let text = format!("[fleet.a]\ndevices = 1\n{thirds}");
    let end = load(&text, &[], Some("1s")).unwrap().schedule.end();
    assert_eq!(end, Duration::from_secs(1));
}

#[test]
fn unknown_parts_are_errors() {
    for (fleets, duration, expected) in [
        (
            &["metre"][..],
            None,
            "--fleet metre: the scenario has no such fleet; did you mean meter? Its fleets are meter, lock, pump",
        ),
        (
            &["meter", "x"],
            None,
            "--fleet x: the scenario has no such fleet; its fleets are meter, lock, pump",
        ),
        (
            &["fleet.meter"],
            None,
            "--fleet fleet.meter: the scenario has no such fleet; did you mean meter? Its fleets are meter, lock, pump",
        ),
        (
            &["meter,pump"],
            None,
            "--fleet meter,pump: the scenario has no such fleet; specify one fleet per option: --fleet meter --fleet pump",
        ),
        (
            &["meter,metre"],
            None,
            "--fleet meter,metre: the scenario has no such fleet; its fleets are meter, lock, pump",
        ),
        (
            &["meter, x"],
            None,
            "--fleet meter, x: the scenario has no such fleet; its fleets are meter, lock, pump",
        ),
        (
            &[],
            Some("30"),
            "--duration: \"30\" is not a duration such as 250ms, 30s, 5m or 1h30m; did you mean 30s?",
        ),
        (
            &[],
            Some("1 minute"),
            "--duration: \"1 minute\" is not a duration such as 250ms, 30s, 5m or 1h30m; did you mean 1m?",
        ),
        (&[], Some("soon"), "--duration: \"soon\" is not a duration such as 250ms, 30s, 5m or 1h30m"),
        (&[], Some("5ms"), "--duration 5ms: phase ramp would last only 833 µs; use at least 6ms"),
        (&[], Some("0s"), "--duration 0s: phase ramp would last only 0 µs; use at least 6ms"),
        (&[], Some("101d"), "--duration 101d is too long; use at most 100d"),
    ] {
        assert_eq!(load(SCENARIO, fleets, duration).unwrap_err(), expected);
    }
}

/// A name that is no fleet of the scenario is a typo, also if other fleets are left out.
#[test]
fn typos_are_errors_in_a_part_too() {
    for (from, to) in
        [("\"connect{fleet:lock}\"", "\"connect{fleet:lokc}\""), ("fleet = \"lock\"", "fleet = \"lokc\"")]
    {
        let error = load(&SCENARIO.replace(from, to), &["meter", "lock"], None).unwrap_err();
        assert!(error.contains("unknown fleet") && error.contains("lock"), "{error}");
    }
    let text = SCENARIO.replace("\"max < 2s\"", "\"max << 2s\"");
    assert!(load(&text, &["meter"], None).is_err(), "the expression of a threshold that is left out");
}

#[test]
fn faults_scale_with_the_phases_and_follow_their_fleet() {
    let text = format!(
        "{SCENARIO}\n[[emulator.fault]]\nkind = \"hold-acks\"\nat = \"10s\"\nfor = \"30s\"\n\
         [[emulator.fault]]\nkind = \"close\"\nat = \"20s\"\nfleet = \"lock\"\n"
    );
    let whole = load(&text, &[], None).unwrap();
    let part = load(&text, &["meter"], Some("30s")).unwrap();
    assert_eq!((whole.faults.len(), part.faults.len()), (2, 1));
    assert_eq!(part.faults[0].fault.at, Duration::from_secs(5));
    assert_eq!(part.faults[0].fault.length, Duration::from_secs(15));
}
