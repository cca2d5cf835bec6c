//! The closed loop in virtual time: the size that a capacity plan names holds the load, and the next smaller one throttles in the class
//! that the plan names. Three parts of hubstorm must agree: `capacity` (the plan), the throttles of `emulator`, and the limits that a run
//! is compared with (`app::limits`).

mod simulation;

use crate::capacity::model::{CapacityPlan, QUOTA, SizeOption};
use crate::capacity::{PriceList, Settings, plan_capacity};
use crate::iothub::limits::Tier;
use crate::iothub::throttles::HubSize;
use crate::plan::{self, Plan};
use crate::result::model::{Status, Tool};
use crate::scenario::{Input, no_files};
use simulation::Run;
use std::time::Duration;

const MINUTES: u64 = 24 * 60;

/// A load, and the limit that determines its size.
struct Case {
    tier: Tier,
    /// The class that binds.
    class: &'static str,
    /// The keys of the fleet `a`, and the calls of the service client.
    load: &'static str,
    phases: &'static str,
}

/// A time of full load. The rest of the day is quiet, so that a throttle binds and not the quota.
const PEAK: &str = r#"
[[phase]]
name = "ramp"
duration = "10s"
warmup = true
online = "0% -> 100%"
load = "0% -> 0%"
[[phase]]
name = "quiet"
duration = "2s"
load = "0% -> 0%"
[[phase]]
name = "peak"
duration = "5s"
[[day.part]]
phase = "quiet"
hours = 23.99
[[day.part]]
phase = "peak"
hours = 0.01
"#;

/// Devices that connect over 10 s.
const CONNECTING: &str = r#"
[[phase]]
name = "ramp"
duration = "10s"
online = "0% -> 100%"
[[phase]]
name = "steady"
duration = "2s"
"#;

/// Devices that connect slowly, and then only renew their tokens.
const RENEWING: &str = r#"
[[phase]]
name = "ramp"
duration = "30s"
warmup = true
online = "0% -> 100%"
load = "0% -> 0%"
[[phase]]
name = "steady"
duration = "5s"
load = "0% -> 0%"
"#;

const CHURN: &str = r#"
[[phase]]
name = "ramp"
duration = "20s"
warmup = true
online = "0% -> 100%"
load = "0% -> 0%"
[[phase]]
name = "churn"
duration = "5s"
load = "0% -> 0%"
churn = { rate = "10%/1s", away = "1s" }
"#;

/// A minute of the day.
const MINUTE: &str = r#"
[[phase]]
name = "ramp"
duration = "10s"
warmup = true
online = "0% -> 100%"
load = "0% -> 0%"
[[phase]]
name = "steady"
duration = "60s"
"#;

const fn case(tier: Tier, class: &'static str, phases: &'static str, load: &'static str) -> Case {
    Case { tier, class, load, phases }
}

#[rustfmt::skip]
const CASES: [Case; 22] = [
    // 100 per second up to eight units, then 12 for each: ten units, and nine.
    case(Tier::S1, "d2c", PEAK, "devices = 50\n[[fleet.a.send]]\nrate = \"118/s\"\npayload = { size = 300 }"),
    case(Tier::B1, "d2c", PEAK, "devices = 50\n[[fleet.a.send]]\nrate = \"107/s\"\npayload = { size = 300 }"),
    case(Tier::S2, "d2c", PEAK, "devices = 50\n[[fleet.a.send]]\nrate = \"300/s\"\narrival = \"poisson\"\npayload = \"x\""),
    case(Tier::B2, "d2c", PEAK, "devices = 50\n[[fleet.a.send]]\nrate = \"130/s\"\nqos = 0\npayload = { size = 300 }"),
    case(Tier::B3, "d2c", PEAK, "devices = 200\n[[fleet.a.send]]\nrate = \"6500/s\"\npayload = \"x\""),
    case(Tier::S1, "connections", CONNECTING, "devices = 1150\n[[fleet.a.send]]\nevery = \"1h\"\npayload = \"x\""),
    case(Tier::B2, "connections", CHURN, "devices = 1700\n[[fleet.a.send]]\nevery = \"1h\"\npayload = \"x\""),
    // A device renews its token after 4.75 s on average.
    case(Tier::B2, "connections", RENEWING, "devices = 760\nauth = { kind = \"sas\", ttl = \"10s\", renew = \"50%\" }\n[[fleet.a.send]]\nevery = \"1h\"\npayload = \"x\""),
    case(Tier::S1, "c2d", PEAK, "devices = 50\nsubscribe = [\"c2d\"]\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"4.9/s\"\npayload = \"x\""),
    case(Tier::S2, "c2d", PEAK, "devices = 50\nsubscribe = [\"c2d\"]\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"3.2/s\"\npayload = \"x\""),
    case(Tier::S3, "c2d", PEAK, "devices = 50\nsubscribe = [\"c2d\"]\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"160/s\"\npayload = \"x\""),
    case(Tier::S2, "twin_reads", PEAK, "devices = 50\nsubscribe = [\"twin\"]\ntwin = { rate = \"118/s\" }"),
    case(Tier::S3, "twin_reads", PEAK, "devices = 50\nsubscribe = [\"twin\"]\ntwin = { rate = \"990/s\" }"),
    // A read after each connect: 115 connects a second need one unit, and 115 reads need twelve.
    case(Tier::S2, "twin_reads", CONNECTING, "devices = 1150\nsubscribe = [\"twin\"]\ntwin = { get = \"on-connect\" }"),
    case(Tier::S2, "twin_updates", PEAK, "devices = 50\nsubscribe = [\"twin\"]\n[[fleet.a.report]]\nrate = \"59/s\"\npayload = '{\"a\":${seq}}'"),
    case(Tier::S3, "twin_updates", PEAK, "devices = 50\nsubscribe = [\"twin\"]\n[[fleet.a.report]]\nrate = \"200/s\"\npayload = '{\"a\":${seq}}'\n[[drive]]\ncall = \"desired\"\nfleet = \"a\"\nrate = \"90/s\"\npayload = '{\"b\":${seq}}'"),
    case(Tier::S1, "methods", PEAK, "devices = 50\nsubscribe = [\"methods\"]\n[fleet.a.methods.m]\nstatus = 200\n[[drive]]\ncall = \"method\"\nname = \"m\"\nfleet = \"a\"\nrate = \"118/s\""),
    // Payloads of two blocks.
    case(Tier::S2, "methods", PEAK, "devices = 50\nsubscribe = [\"methods\"]\n[fleet.a.methods.m]\nstatus = 200\n[[drive]]\ncall = \"method\"\nname = \"m\"\nfleet = \"a\"\nrate = \"118/s\"\npayload = { size = 5000 }"),
    // Several classes: the cloud-to-device messages need five units, the others four or fewer.
    case(Tier::S2, "c2d", PEAK, "devices = 50\nsubscribe = [\"c2d\", \"twin\"]\ntwin = { rate = \"90/s\" }\n[[fleet.a.send]]\nrate = \"470/s\"\npayload = \"x\"\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"8.2/s\"\npayload = \"x\""),
    // 11 messages a second are 950,400 a day.
    case(Tier::S1, QUOTA, MINUTE, "devices = 50\n[[fleet.a.send]]\nrate = \"11/s\"\npayload = { size = 300 }"),
    case(Tier::B2, QUOTA, MINUTE, "devices = 50\n[[fleet.a.send]]\nrate = \"80/s\"\npayload = { size = 5000 }"),
    // Every billed operation, some with more than one block: with the properties, the cloud-to-device messages have two.
    case(Tier::S1, QUOTA, MINUTE, "devices = 50\nsubscribe = [\"c2d\", \"twin\", \"methods\"]\ntwin = { rate = \"2/s\" }\n[[fleet.a.report]]\nrate = \"1/s\"\npayload = '{\"a\":${seq}}'\n[fleet.a.methods.m]\nstatus = 200\n[[drive]]\ncall = \"method\"\nname = \"m\"\nfleet = \"a\"\nrate = \"2/s\"\npayload = { size = 5000 }\n[[drive]]\ncall = \"desired\"\nfleet = \"a\"\nrate = \"1/s\"\npayload = '{\"b\":${seq}}'\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"1/s\"\npayload = { size = 4090 }"),
];

#[test]
fn planned_units_hold_the_telemetry_and_one_less_does_not() {
    check_all(&["d2c"]);
}

#[test]
fn planned_units_hold_the_connections_and_one_less_does_not() {
    check_all(&["connections"]);
}

#[test]
fn planned_units_hold_calls_and_messages_and_one_less_does_not() {
    check_all(&["c2d", "methods"]);
}

#[test]
fn planned_units_hold_the_twin_load_and_one_less_does_not() {
    check_all(&["twin_reads", "twin_updates"]);
}

#[test]
fn planned_units_hold_the_day_and_one_less_does_not() {
    check_all(&[QUOTA]);
}

fn check_all(classes: &[&str]) {
    CASES.iter().filter(|case| classes.contains(&case.class)).for_each(check);
}

fn check(case: &Case) {
    let text = scenario(case.load, case.phases);
    let capacity = capacity(&load(&text));
    let option = capacity.option(case.tier.name()).expect("every tier has an option");
    let what = format!("{} x {} by {}: {}", option.tier, option.units, option.bound_by, case.load);
    assert!(option.fits && option.units > 1, "{what}");
    assert_eq!((option.bound_by.as_str(), option.hubs), (case.class, 1), "{what}");

    let run = |units: u64| {
        let units = u32::try_from(units).expect("at most 200");
        on_hub(&text, HubSize { tier: case.tier, units }, case.class == QUOTA)
    };
    let (_, enough) = run(option.units);
    assert_eq!(throttled(&enough), [""; 0], "{what}: {:?}", enough.hub);
    assert_eq!(limit_findings(&enough), [""; 0], "{what}");
    assert_eq!(enough.result.verdict.status, Status::Pass, "{what}: {:?}", enough.result.verdict);
    compare_limits(option, &enough, &what);
    if case.class == QUOTA {
        let planned = share_of_day(capacity.day.messages);
        assert!(enough.billed.abs_diff(planned) <= 1, "{what}: {} instead of {planned}", enough.billed);
    }

    let (current, small) = run(option.units - 1);
    assert_eq!((current.fits, current.bound_by.as_str()), (false, case.class), "{what}: {current:?}");
    assert_eq!(throttled(&small), [case.class], "{what}: {:?}", small.hub);
    let rows = &small.result.limits;
    let reported = rows.iter().filter(|row| row.first_us.is_some());
    assert_eq!(reported.map(|row| row.class.as_str()).collect::<Vec<_>>(), [case.class], "{what}");
    // The daily quota counts the average of the run, with its ramp.
    let exceeded = rows.iter().filter(|row| row.share > 1.0 && row.class != QUOTA);
    let expected = [case.class].into_iter().filter(|class| *class != QUOTA);
    assert!(exceeded.map(|row| row.class.as_str()).eq(expected), "{what}: {rows:?}");
    let findings = limit_findings(&small);
    assert!(matches!(findings[..], [one] if one.contains(words(case.class))), "{what}: {findings:?}");
}

fn scenario(load: &str, phases: &str) -> String {
    format!("seed = 7\ndrain = \"20s\"\n[fleet.a]\n{load}\n{phases}")
}

/// Returns a minute's share of a day's messages.
fn share_of_day(messages: u64) -> u64 {
    messages / MINUTES
}

/// Runs a scenario on a hub of this size. With `minute`, the hub has the quota of a minute left. Also returns the plan's judgment of
/// the hub. The burst is short, because the runs are: a hub with the default of 60 s would not throttle in them.
fn on_hub(text: &str, size: HubSize, minute: bool) -> (SizeOption, Run) {
    let quota = size.messages_per_day();
    let used = if minute { quota - share_of_day(quota) } else { 0 };
    let plan = load(&format!(
        "{text}\n[emulator]\ntier = \"{}\"\nunits = {}\nquota_used = {used}\n[emulator.throttle]\nburst = \"100ms\"\n",
        size.tier.name(),
        size.units
    ));
    let current = capacity(&plan).current.expect("the size of the hub is known");
    (current, simulation::run(plan))
}

/// Returns the classes that the hub throttled, by its own counts.
fn throttled(run: &Run) -> Vec<&str> {
    let quota = (run.hub.quota_refused > 0).then_some(QUOTA);
    run.hub.classes.keys().map(String::as_str).chain(quota).collect()
}

/// Returns the findings about limits that were reached.
fn limit_findings(run: &Run) -> Vec<&str> {
    let starts = ["The hub throttled:", "The daily message quota of the hub was used up"];
    let texts = run.result.findings.iter().map(|finding| finding.text.as_str());
    texts.filter(|text| starts.iter().any(|start| text.starts_with(start))).collect()
}

/// Returns the name of a limit in a finding.
fn words(class: &str) -> &'static str {
    match class {
        "connections" => "the limit for new connections of",
        "d2c" => "the D2C limit of",
        "c2d" => "the C2D limit of",
        "twin_reads" => "the limit for twin reads of",
        "twin_updates" => "the limit for twin updates of",
        "methods" => "the limit for method calls of",
        _ => "The daily message quota",
    }
}

/// Asserts that the plan and the run have the same limits, and that the run offered the load that the plan expects.
fn compare_limits(option: &SizeOption, run: &Run, what: &str) {
    for row in &run.result.limits {
        let planned = option.limits.iter().find(|limit| limit.class == row.class);
        let Some(planned) = planned else {
            // The devices connect in a warm-up, which the plan does not count.
            assert_eq!(row.class, "connections", "{what}");
            continue;
        };
        let limit = planned.limit.expect("the tier has these operations");
        assert!((limit / row.limit - 1.0).abs() < 1e-9, "{what}: {planned:?} {row:?}");
        if row.class != QUOTA {
            // The run counts the busiest second, which may have a few more operations than the others.
            let each = if row.class == "methods" { 16.0 } else { 1.0 };
            let differs = (row.offered_peak - planned.demand).abs() > 0.1 * planned.demand + each;
            assert!(!differs || row.class == "connections", "{what}: {planned:?} {row:?}");
        }
    }
}

fn load(text: &str) -> Plan {
    let input = Input { file: "loop.toml", text, overrides: &[], env: &|_| None, files: &no_files };
    plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn capacity(plan: &Plan) -> CapacityPlan {
    let settings = Settings {
        headroom: 1.0,
        reconnect_within: None::<Duration>,
        prices: PriceList::built_in(),
        hub: plan.hub_size(),
        scenario: None,
        assertions: Vec::new(),
    };
    plan_capacity(plan, settings, Tool { name: "hubstorm".to_owned(), version: "0".to_owned(), git: None })
}

/// S1 hubs allow 100 twin reads a second, however many units they have.
#[test]
fn more_hubs_raise_a_limit_that_units_do_not() {
    let text = |devices: u64| {
        let load = format!("devices = {devices}\nsubscribe = [\"twin\"]\ntwin = {{ every = \"500ms\" }}");
        scenario(&load, PEAK)
    };
    let devices = 124;
    let capacity = capacity(&load(&text(devices)));
    let option = capacity.option("S1").expect("every tier has an option");
    assert_eq!((option.bound_by.as_str(), option.hubs), ("twin_reads", 3), "{option:?}");
    let of_hub = |devices: u64, units| on_hub(&text(devices), HubSize { tier: Tier::S1, units }, false);
    for (devices, units, expected) in [
        (devices, Tier::S1.units_max(), &["twin_reads"][..]),
        (devices.div_ceil(option.hubs - 1), 1, &["twin_reads"]),
        (devices.div_ceil(option.hubs), 1, &[]),
    ] {
        let (current, run) = of_hub(devices, units);
        assert_eq!(throttled(&run), expected, "{devices} devices on {units} units: {:?}", run.hub);
        assert_eq!(current.fits, expected.is_empty(), "{current:?}");
    }
}

/// F1 has one unit, and counts blocks of 512 bytes. A whole day is run.
#[test]
fn the_free_tier_holds_a_day_or_not_as_planned() {
    let day = "[[phase]]\nname = \"day\"\nduration = \"24h\"\n";
    for (every, fits) in [("33s", true), ("30s", false)] {
        let load_of_day = format!(
            "devices = 3\nkeep_alive = \"20m\"\n[[fleet.a.send]]\nevery = \"{every}\"\npayload = {{ size = 300 }}"
        );
        let text = scenario(&load_of_day, day);
        let capacity = capacity(&load(&text));
        let option = capacity.option("F1").expect("every tier has an option");
        assert_eq!((option.fits, option.bound_by.as_str()), (fits, QUOTA), "{option:?}");
        let (_, run) = on_hub(&text, HubSize { tier: Tier::F1, units: 1 }, false);
        assert_eq!(throttled(&run).is_empty(), fits, "{:?}", run.hub);
        // The run ends after midnight, when the next quota starts.
        assert_eq!(run.hub.quota_used, 0);
        let quota = run.result.limits.iter().find(|row| row.class == QUOTA).expect("messages were billed");
        assert!((quota.share > 1.0) != fits, "{quota:?}");
        if fits {
            assert!(
                run.billed.abs_diff(capacity.day.messages_free) <= 1,
                "{} {:?}",
                run.billed,
                capacity.day
            );
        }
    }
}
