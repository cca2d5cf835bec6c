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

/// A load, and the size that a plan must find for it.
struct Case {
    tier: Tier,
    /// The class that determines the units.
    class: &'static str,
    /// The fleet `a`, without its name, and the calls of the service client.
    fleet: &'static str,
    phases: &'static str,
}

/// 10 s at the full load. The rest of the day is quiet, so that a throttle binds and not the quota.
const PEAK: &str = "[[phase]]\nname = \"ramp\"\nduration = \"10s\"\nwarmup = true\nonline = \"0% -> 100%\"\nload = \"0% -> 0%\"\n\
                    [[phase]]\nname = \"quiet\"\nduration = \"2s\"\nload = \"0% -> 0%\"\n\
                    [[phase]]\nname = \"peak\"\nduration = \"10s\"\n\
                    [[day.part]]\nphase = \"quiet\"\nhours = 23.99\n[[day.part]]\nphase = \"peak\"\nhours = 0.01\n";

/// Devices that connect for 10 s, on a day with a single start.
const CONNECTING: &str = "[[phase]]\nname = \"ramp\"\nduration = \"10s\"\nonline = \"0% -> 100%\"\n\
                          [[phase]]\nname = \"steady\"\nduration = \"2s\"\n";

/// A fleet that connects slowly before the load starts.
const SLOW_START: &str = "[[phase]]\nname = \"ramp\"\nduration = \"60s\"\nwarmup = true\nonline = \"0% -> 100%\"\nload = \"0% -> 0%\"\n\
                          [[phase]]\nname = \"steady\"\nduration = \"10s\"\nload = \"0% -> 0%\"\n";

const CHURN: &str = "[[phase]]\nname = \"ramp\"\nduration = \"20s\"\nwarmup = true\nonline = \"0% -> 100%\"\nload = \"0% -> 0%\"\n\
                     [[phase]]\nname = \"churn\"\nduration = \"10s\"\nload = \"0% -> 0%\"\n\
                     churn = { rate = \"10%/1s\", away = \"1s\" }\n";

/// A minute of the day.
const MINUTE: &str = "[[phase]]\nname = \"ramp\"\nduration = \"10s\"\nwarmup = true\nonline = \"0% -> 100%\"\nload = \"0% -> 0%\"\n\
                      [[phase]]\nname = \"steady\"\nduration = \"60s\"\n";

#[rustfmt::skip]
const CASES: [Case; 23] = [
    // The limit is 100 per second up to eight units, then 12 for each.
    Case { tier: Tier::S1, class: "d2c", phases: PEAK, fleet: "devices = 50\n[[fleet.a.send]]\nrate = \"118/s\"\npayload = { size = 300 }\n" },
    Case { tier: Tier::B1, class: "d2c", phases: PEAK, fleet: "devices = 50\n[[fleet.a.send]]\nrate = \"107/s\"\npayload = { size = 300 }\n" },
    Case { tier: Tier::S2, class: "d2c", phases: PEAK, fleet: "devices = 50\n[[fleet.a.send]]\nrate = \"355/s\"\npayload = { size = 300 }\n" },
    Case { tier: Tier::B2, class: "d2c", phases: PEAK, fleet: "devices = 50\n[[fleet.a.send]]\nrate = \"130/s\"\nqos = 0\npayload = { size = 300 }\n" },
    Case { tier: Tier::B3, class: "d2c", phases: PEAK, fleet: "devices = 200\n[[fleet.a.send]]\nrate = \"6500/s\"\npayload = \"x\"\n" },
    Case { tier: Tier::S1, class: "connections", phases: CONNECTING, fleet: "devices = 1150\n[[fleet.a.send]]\nevery = \"1h\"\npayload = \"x\"\n" },
    Case { tier: Tier::B2, class: "connections", phases: CHURN, fleet: "devices = 1700\n[[fleet.a.send]]\nevery = \"1h\"\npayload = \"x\"\n" },
    // Renewals after 5 s: 115 per second.
    Case { tier: Tier::S1, class: "connections", phases: SLOW_START, fleet: "devices = 575\nauth = { kind = \"sas\", ttl = \"10s\", renew = \"50%\" }\n[[fleet.a.send]]\nevery = \"1h\"\npayload = \"x\"\n" },
    Case { tier: Tier::S1, class: "c2d", phases: PEAK, fleet: "devices = 50\nsubscribe = [\"c2d\"]\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"4.9/s\"\npayload = \"x\"\n" },
    Case { tier: Tier::S2, class: "c2d", phases: PEAK, fleet: "devices = 50\nsubscribe = [\"c2d\"]\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"3.2/s\"\npayload = \"x\"\n" },
    Case { tier: Tier::S3, class: "c2d", phases: PEAK, fleet: "devices = 50\nsubscribe = [\"c2d\"]\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"160/s\"\npayload = \"x\"\n" },
    Case { tier: Tier::S2, class: "twin_reads", phases: PEAK, fleet: "devices = 50\nsubscribe = [\"twin\"]\ntwin = { rate = \"118/s\" }\n" },
    Case { tier: Tier::S3, class: "twin_reads", phases: PEAK, fleet: "devices = 50\nsubscribe = [\"twin\"]\ntwin = { rate = \"990/s\" }\n" },
    // A read after each connect: 170 connects a second need two units, and 170 reads need 17.
    Case { tier: Tier::S2, class: "twin_reads", phases: CHURN, fleet: "devices = 1700\nsubscribe = [\"twin\"]\ntwin = { get = \"on-connect\" }\n" },
    Case { tier: Tier::S2, class: "twin_updates", phases: PEAK, fleet: "devices = 50\nsubscribe = [\"twin\"]\n[[fleet.a.report]]\nrate = \"59/s\"\npayload = '{\"a\":${seq}}'\n" },
    Case { tier: Tier::S3, class: "twin_updates", phases: PEAK, fleet: "devices = 50\nsubscribe = [\"twin\"]\n[[fleet.a.report]]\nrate = \"200/s\"\npayload = '{\"a\":${seq}}'\n[[drive]]\ncall = \"desired\"\nfleet = \"a\"\nrate = \"90/s\"\npayload = '{\"b\":${seq}}'\n" },
    Case { tier: Tier::S1, class: "methods", phases: PEAK, fleet: "devices = 50\nsubscribe = [\"methods\"]\n[fleet.a.methods.m]\nstatus = 200\n[[drive]]\ncall = \"method\"\nname = \"m\"\nfleet = \"a\"\nrate = \"118/s\"\n" },
    // Payloads of one, two and three blocks.
    Case { tier: Tier::S2, class: "methods", phases: PEAK, fleet: "devices = 50\nsubscribe = [\"methods\"]\n[fleet.a.methods.m]\nstatus = 200\n[[drive]]\ncall = \"method\"\nname = \"m\"\nfleet = \"a\"\nrate = \"118/s\"\npayload = { size = 5000 }\n" },
    // Several classes: the cloud-to-device messages need five units, the others four or fewer.
    Case { tier: Tier::S2, class: "c2d", phases: PEAK, fleet: "devices = 50\nsubscribe = [\"c2d\", \"twin\"]\ntwin = { rate = \"90/s\" }\n[[fleet.a.send]]\nrate = \"470/s\"\npayload = \"x\"\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"8.2/s\"\npayload = \"x\"\n" },
    // The quota: 11 messages a second are 950,400 a day.
    Case { tier: Tier::S1, class: QUOTA, phases: MINUTE, fleet: "devices = 50\n[[fleet.a.send]]\nrate = \"11/s\"\npayload = { size = 300 }\n" },
    Case { tier: Tier::B2, class: QUOTA, phases: MINUTE, fleet: "devices = 50\n[[fleet.a.send]]\nrate = \"80/s\"\npayload = { size = 5000 }\n" },
    // Messages and calls of which some have more than one block, with their answers and notifications.
    Case { tier: Tier::S1, class: QUOTA, phases: MINUTE, fleet: "devices = 50\nsubscribe = [\"c2d\", \"twin\", \"methods\"]\ntwin = { rate = \"2/s\" }\n[[fleet.a.report]]\nrate = \"1/s\"\npayload = '{\"a\":${seq}}'\n[fleet.a.methods.m]\nstatus = 200\n[[drive]]\ncall = \"method\"\nname = \"m\"\nfleet = \"a\"\nrate = \"2/s\"\npayload = { size = 5000 }\n[[drive]]\ncall = \"desired\"\nfleet = \"a\"\nrate = \"1/s\"\npayload = '{\"b\":${seq}}'\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"1/s\"\npayload = { size = 4090 }\nproperties = { kind = \"test\" }\n" },
    Case { tier: Tier::S3, class: QUOTA, phases: "[[phase]]\nname = \"ramp\"\nduration = \"10s\"\nwarmup = true\nonline = \"0% -> 100%\"\nload = \"0% -> 0%\"\n[[phase]]\nname = \"steady\"\nduration = \"6s\"\n", fleet: "devices = 100\n[[fleet.a.send]]\nrate = \"2000/s\"\npayload = { size = 12200 }\n" },
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
    let text = format!("seed = 7\ndrain = \"20s\"\n[fleet.a]\n{}{}", case.fleet, case.phases);
    let capacity = capacity(&load(&text));
    let option = capacity.option(case.tier.name()).expect("every tier has an option");
    let what = format!("{} x {} by {}: {}", option.tier, option.units, option.bound_by, case.fleet);
    assert!(option.fits && option.units > 1, "{what}");
    assert_eq!((option.bound_by.as_str(), option.hubs), (case.class, 1), "{what}");

    let size = |units: u64| HubSize { tier: case.tier, units: u32::try_from(units).expect("a count") };
    let run = |units| on_hub(&text, size(units));
    let (_, enough) = run(option.units);
    assert_eq!(throttled(&enough), [""; 0], "{what}");
    assert_eq!(enough.result.verdict.status, Status::Pass, "{what}: {:?}", enough.result.verdict);
    assert_eq!(limit_findings(&enough), [""; 0], "{what}");
    compare_limits(option, &enough, &what);

    let (current, small) = run(option.units - 1);
    assert_eq!((current.fits, current.bound_by.as_str()), (false, case.class), "{what}: {current:?}");
    assert_eq!(throttled(&small), [case.class], "{what}: {:?}", small.hub);
    let reported = small.result.limits.iter().filter(|row| row.first_us.is_some());
    assert_eq!(reported.map(|row| row.class.as_str()).collect::<Vec<_>>(), [case.class], "{what}");
    let findings = limit_findings(&small);
    assert!(matches!(findings[..], [one] if one.contains(words(case.class))), "{what}: {findings:?}");
}

/// Runs a scenario on a hub of this size. Also returns what the plan says about this hub.
fn on_hub(text: &str, size: HubSize) -> (SizeOption, Run) {
    // A load at the limit must not wait, so the burst is short. The run is shorter than a day: so much of the quota is used up that the
    // same share of it is left.
    let mut plan = load(&format!(
        "{text}\n[emulator]\ntier = \"{}\"\nunits = {}\n[emulator.throttle]\nburst = \"100ms\"\n",
        size.tier.name(),
        size.units
    ));
    let capacity = capacity(&plan);
    if let [part] = &capacity.day.parts[..] {
        let phase = plan.schedule.phases().iter().find(|phase| phase.name == part.phase).expect("a phase");
        let seconds = (phase.end - phase.start).as_secs();
        let tier = plan.emulator.as_mut().and_then(|options| options.tier.as_mut()).expect("a tier");
        tier.quota_used = size.messages_per_day() - size.messages_per_day() * seconds / 86_400;
    }
    (capacity.current.expect("the size of the hub is known"), simulation::run(plan))
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

/// The limit of a class in the words of a finding.
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

/// The plan and the run have the same limits, and the run offered the load that the plan expects.
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
            // Operations are due one at a time, so a second may have one more.
            let each = if row.class == "methods" { 16.0 } else { 1.0 };
            let differs = (row.offered_peak - planned.demand).abs() > 0.05 * planned.demand + each;
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
