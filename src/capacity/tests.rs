//! The worked examples of Azure's pages, and tables of units. `tests/it/capacity_plan.rs` compares more cases with an independent script.

use super::model::{CapacityPlan, QUOTA};
use super::units::{Bound, Target, limit_of_hubs, size};
use super::{PriceList, Settings, SimpleFleet, plan_capacity};
use crate::iothub::limits::Tier;
use crate::iothub::throttles::{Class, HubSize};
use crate::plan::Plan;
use crate::result::model::Tool;
use crate::scenario::{Input, no_files};
use std::time::Duration;

const PHASE: &str = "[[phase]]\nname = \"ramp\"\nwarmup = true\nduration = \"60s\"\nonline = \"0% -> 100%\"\n\
                     [[phase]]\nname = \"steady\"\nduration = \"60s\"\n";

fn load(text: &str) -> Plan {
    let key = |_: &str| Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
    let input = Input { file: "t.toml", text, overrides: &[], env: &key, files: &no_files };
    crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn capacity_with(text: &str, headroom: f64, reconnect_within: Option<Duration>) -> CapacityPlan {
    let plan = load(text);
    let settings = Settings {
        headroom,
        reconnect_within,
        prices: PriceList::built_in(),
        hub: plan.hub_size(),
        scenario: None,
        assertions: Vec::new(),
    };
    let tool = Tool { name: "hubstorm".to_owned(), version: "0".to_owned(), git: None };
    plan_capacity(&plan, settings, tool)
}

fn capacity(text: &str) -> CapacityPlan {
    capacity_with(text, 1.0, None)
}

fn fleet(devices: u64, every: Duration, sdk: Option<&str>) -> SimpleFleet {
    SimpleFleet { devices, every, size: 300, sdk: sdk.map(str::to_owned), twin_reads: None }
}

/// The examples of "Azure IoT Hub billing information".
#[test]
fn billed_messages_are_those_of_azures_examples() {
    // 1 KB a minute and a method call every ten minutes; the request and the response each count once.
    let text = "[fleet.a]\ndevices = 1\nsubscribe = [\"methods\"]\n[[fleet.a.send]]\nevery = \"1m\"\npayload = { size = 1024 }\n\
                [fleet.a.methods.m]\nstatus = 200\n[[drive]]\ncall = \"method\"\nname = \"m\"\nfleet = \"a\"\nevery = \"10m\"\n";
    assert_eq!(capacity(&format!("{text}{PHASE}")).day.messages, 1_728);
    // 100 KB an hour.
    let text = "[fleet.a]\ndevices = 1\n[[fleet.a.send]]\nevery = \"1h\"\npayload = { size = 102400 }\n";
    let plan = capacity(&format!("{text}{PHASE}"));
    assert_eq!((plan.day.messages, plan.day.messages_free), (600, 4_800));
}

/// A hub lets twice its limit through for a minute or two, which does not make it large enough.
#[test]
fn a_burst_that_a_hub_absorbs_does_not_hide_a_limit() {
    let text = "[emulator]\ntier = \"S1\"\n[fleet.a]\ndevices = 200\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n";
    let plan = capacity(&format!("{text}{PHASE}"));
    let current = plan.current.as_ref().unwrap();
    let share =
        |class: &str| current.limits.iter().find(|limit| limit.class == class).and_then(|limit| limit.share);
    assert!((share("d2c").unwrap() - 2.0).abs() < 1e-9, "{current:?}");
    assert!(!current.fits);
    let needed = plan.option("S1").unwrap();
    assert_eq!((needed.units, needed.bound_by.as_str()), (44, QUOTA), "17,280,000 messages a day");
}

/// At the throttle, a quota lasts for a part of the day.
#[test]
fn quota_at_the_throttle_lasts_as_long_as_computed_by_hand() {
    for (tier, per_s, hours) in
        [("S1", 100, 400_000.0 / 360_000.0), ("S2", 120, 13.888_888_9), ("S3", 6_000, 13.888_888_9)]
    {
        let text = format!(
            "[emulator]\ntier = \"{tier}\"\n[fleet.a]\ndevices = {per_s}\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n{PHASE}"
        );
        let current = capacity(&text).current.unwrap();
        assert!((current.quota_hours.unwrap() - hours).abs() < 1e-6, "{tier}: {current:?}");
    }
}

#[test]
fn time_to_connect_follows_the_limit_for_new_connections() {
    for (tier, units, devices, seconds) in [
        (Tier::S1, 1, 100_000.0, 1_000.0),
        (Tier::S3, 1, 1e6, 166.666_666_7),
        (Tier::S2, 10, 1e6, 833.333_333_3),
        (Tier::S2, 200, 1e6, 41.666_666_7),
    ] {
        let found = devices / limit_of_hubs(tier, (units, 1), Class::Connections).unwrap();
        assert!((found - seconds).abs() < 1e-6, "{tier:?} x {units}: {found}");
    }
    let plan = capacity(&fleet(100_000, Duration::from_secs(86_400), Some("c")).scenario());
    let s1 = plan.option("S1").unwrap();
    assert!((s1.online_seconds - 1_000.0).abs() < 1e-6 && s1.units == 1, "{s1:?}");
    // Azure's C SDK renews after 2,880 s: 35 connections per second.
    let renewals =
        plan.demand.iter().find(|row| row.class == "connections" && row.phase == "steady").unwrap();
    assert!((renewals.sustained - 34.722_222_2).abs() < 1e-6, "{renewals:?}");
}

#[test]
fn units_are_those_of_the_tables() {
    use Class::{C2d, Connections, D2c, Methods, TwinReads, TwinUpdates};
    use Tier::{B1, F1, S1, S2, S3};
    let quota = |messages| (messages, Vec::new());
    for (tier, (messages, rates), units, hubs, bound_by, bound) in [
        (S1, quota(1), 1, 1, QUOTA, Bound::Units),
        (S1, quota(400_000), 1, 1, QUOTA, Bound::Units),
        (S1, quota(400_001), 2, 1, QUOTA, Bound::Units),
        (S1, quota(80_000_000), 200, 1, QUOTA, Bound::Units),
        (S1, quota(80_000_001), 201, 2, QUOTA, Bound::Units),
        (S2, quota(230_400_000), 39, 1, QUOTA, Bound::Units),
        (S3, quota(3_000_000_001), 11, 2, QUOTA, Bound::Units),
        (F1, quota(8_001), 2, 2, QUOTA, Bound::OneHub),
        (S1, (1, vec![(D2c, 100.0)]), 1, 1, "d2c", Bound::Units),
        (S1, (1, vec![(D2c, 100.1)]), 9, 1, "d2c", Bound::Units),
        (S1, (1, vec![(Connections, 2_667.0)]), 223, 2, "connections", Bound::Units),
        // 1,000,000 devices that renew their tokens after 2,880 s.
        (S1, (1, vec![(Connections, 1e6 / 2_880.0)]), 29, 1, "connections", Bound::Units),
        (S2, (1, vec![(D2c, 120.5), (Connections, 500.0)]), 5, 1, "connections", Bound::Units),
        (S1, (1, vec![(C2d, 20.0)]), 12, 1, "c2d", Bound::Units),
        (S1, (1, vec![(TwinReads, 250.0)]), 3, 3, "twin_reads", Bound::Hubs),
        (S2, (1, vec![(TwinReads, 250.0)]), 25, 1, "twin_reads", Bound::Units),
        (S1, (8_000_000, vec![(TwinReads, 250.0)]), 20, 3, QUOTA, Bound::Units),
        (S2, (1, vec![(TwinUpdates, 50.0)]), 1, 1, "twin_updates", Bound::Units),
        (S1, (1, vec![(Methods, 161.0)]), 2, 1, "methods", Bound::Units),
        (S3, (1, vec![(Methods, 24.0 * 1024.0)]), 1, 1, "methods", Bound::Units),
        (B1, (1, vec![(TwinReads, 0.1)]), 1, 1, "twin_reads", Bound::Missing),
    ] {
        let target = Target { devices: 1, rates, subscribed: Vec::new(), messages, headroom: 1.0 };
        let found = size(tier, &target);
        let fits = matches!(bound, Bound::Units | Bound::Hubs);
        let expected = (units, hubs, bound_by, bound, fits);
        assert_eq!(
            (found.units, found.hubs, found.bound_by, found.bound, found.fits),
            expected,
            "{target:?}"
        );
    }
}

#[test]
fn devices_and_headroom_need_hubs_and_units() {
    let target = |devices, headroom| Target {
        devices,
        rates: vec![(Class::D2c, 240.0)],
        subscribed: Vec::new(),
        messages: 6_000_000,
        headroom,
    };
    let found = |devices, headroom| {
        let size = size(Tier::S2, &target(devices, headroom));
        (size.units, size.hubs, size.bound_by)
    };
    assert_eq!(found(1_000_000, 1.0), (2, 1, "d2c"));
    assert_eq!(found(1_000_001, 1.0), (2, 2, "d2c"));
    assert_eq!(found(4_000_001, 1.0), (5, 5, "devices"));
    assert_eq!(found(1, 0.75), (3, 1, "d2c"), "240 / 0.75 = 320");
    let free = Target { messages: 100, rates: Vec::new(), ..target(501, 1.0) };
    assert!(!size(Tier::F1, &free).fits && size(Tier::F1, &Target { devices: 500, ..free }).fits);
}

#[test]
fn a_subscription_needs_a_standard_tier() {
    let text = |subscribe: &str| {
        format!(
            "[fleet.a]\ndevices = 10\nsubscribe = [{subscribe}]\n[[fleet.a.send]]\nevery = \"60s\"\npayload = \"x\"\n{PHASE}"
        )
    };
    let plan = capacity(&text("\"c2d\""));
    assert_eq!(plan.recommended.as_ref().unwrap().tier, "S1");
    assert_eq!(plan.option("B1").unwrap().reason, "Basic tiers have no cloud-to-device messages");
    let plan = capacity(&text(""));
    assert_eq!(plan.recommended.as_ref().unwrap().tier, "B1");
    assert!(
        plan.notes.iter().any(|note| note.contains("The cheapest Standard size is S1 x 1, 25 USD")),
        "{:?}",
        plan.notes
    );
}

#[test]
fn the_day_consists_of_its_parts() {
    let text = format!(
        "[fleet.a]\ndevices = 100\n[[fleet.a.send]]\nevery = \"10s\"\npayload = \"x\"\n{PHASE}\
         [[phase]]\nname = \"evening\"\nduration = \"10s\"\nload = \"100% -> 300%\"\n"
    );
    // 10 messages per second; the evening has twice as many on average, and is the heaviest phase.
    let plan = capacity(&text);
    assert_eq!((plan.day.messages, plan.day.parts[0].phase.as_str()), (1_728_000, "evening"));
    let day = "[[day.part]]\nphase = \"steady\"\nhours = 20\n[[day.part]]\nphase = \"evening\"\nhours = 4\n";
    let plan = capacity(&format!("{text}{day}"));
    assert_eq!(plan.day.messages, 720_000 + 288_000);
    let d2c = plan.demand.iter().find(|row| row.class == "d2c" && row.phase == "evening").unwrap();
    assert!((d2c.average - 20.0).abs() < 1e-9 && (d2c.peak - 30.0).abs() < 1e-9, "{d2c:?}");
    // 2,000,000 messages of S1 x 3 last 11.1 hours at 30 messages per second.
    let s1 = plan.option("S1").unwrap();
    assert_eq!(s1.units, 3);
    assert!((s1.quota_hours.unwrap() - 1_200_000.0 / 108_000.0).abs() < 1e-9, "{s1:?}");
}

#[test]
fn a_storm_binds_only_within_a_time() {
    let text = format!(
        "[fleet.a]\ndevices = 6000\nsubscribe = [\"twin\"]\ntwin = {{ get = \"on-connect\" }}\n[[fleet.a.send]]\nevery = \"1h\"\npayload = \"x\"\n\
         {PHASE}[[phase]]\nname = \"storm\"\nduration = \"60s\"\ndisconnect = {{ share = \"100%\", how = \"reset\", over = \"2s\" }}\n"
    );
    let plan = capacity(&text);
    let storm = plan.demand.iter().find(|row| row.class == "connections" && row.phase == "storm").unwrap();
    let renewals = 6_000.0 / 2_907.0;
    assert!((storm.peak - renewals - 3_000.0).abs() < 1e-6, "{storm:?}");
    assert!(
        (storm.average - renewals - 100.0).abs() < 1e-6 && (storm.sustained - renewals).abs() < 1e-6,
        "{storm:?}"
    );
    let s2 = plan.option("S2").unwrap();
    assert_eq!((s2.units, s2.reconnect.messages, s2.reconnect.bound_by.as_str()), (1, 6_000, "twin_reads"));
    assert!((s2.online_seconds - 60.0).abs() < 1e-9, "100 twin reads per second: {s2:?}");
    assert!(
        plan.notes.iter().any(|note| note.starts_with("In phase storm, 6,000 devices connect at once.")),
        "{:?}",
        plan.notes
    );
    let plan = capacity_with(&text, 1.0, Some(Duration::from_secs(20)));
    let s2 = plan.option("S2").unwrap();
    assert_eq!((s2.units, s2.bound_by.as_str()), (30, "twin_reads"), "300 per second, 10 per unit");
}

#[test]
fn payloads_are_rendered_where_their_size_matters() {
    let text = |payload: &str| {
        format!(
            "[fleet.a]\ndevices = 100\n[[fleet.a.send]]\nevery = \"864s\"\npayload = '{payload}'\n{PHASE}"
        )
    };
    // The largest possible number has 20 digits, but a day has 100 messages.
    let near = format!("{}${{seq}}", "x".repeat(4_090));
    assert_eq!(capacity(&text(&near)).day.messages, 10_000);
    let above = format!("{}${{seq}}", "x".repeat(4_096));
    assert_eq!(capacity(&text(&above)).day.messages, 20_000);
}

#[test]
fn the_load_generator_needs_source_addresses_and_cores() {
    let plan = capacity(&fleet(40_000, Duration::from_secs(15), None).scenario());
    let needs = &plan.generator;
    assert_eq!((needs.machines, needs.cores, needs.source_addresses), (1, 1, 3));
    assert!(needs.descriptors > 40_000 && needs.memory_bytes > 40_000 * 10_000, "{needs:?}");
    let plan = capacity(&fleet(100_000, Duration::from_secs(1), None).scenario());
    // 100,000 messages per second at 8 us each.
    assert!(plan.generator.cpu_seconds_per_s > 0.8 && plan.generator.cores == 2, "{:?}", plan.generator);
}

#[test]
fn the_runner_up_is_compared_only_where_it_differs() {
    for (devices, every, differs) in [(10, 60, false), (5_000, 3, true)] {
        let plan = capacity(&fleet(devices, Duration::from_secs(every), None).scenario());
        let reason = plan.runner_up.unwrap().reason;
        for part in ["of its tightest limit instead of ", "it connects all devices in "] {
            assert_eq!(reason.contains(part), differs, "{devices} devices: {reason}");
        }
    }
}

#[test]
fn a_fleet_from_the_command_line_may_need_several_fleets() {
    let fleet = SimpleFleet {
        twin_reads: Some("4/1d".parse().unwrap()),
        ..fleet(2_500_000, Duration::from_secs(86_400), Some("python"))
    };
    let plan = load(&fleet.scenario());
    assert_eq!(
        plan.fleets.iter().map(|fleet| fleet.devices).collect::<Vec<_>>(),
        [1_000_000, 1_000_000, 500_000]
    );
    let plan = capacity(&SimpleFleet { devices: 1_000, ..fleet }.scenario());
    assert_eq!(plan.day.messages, 5_000);
    let reads = plan.demand.iter().find(|row| row.class == "twin_reads" && row.phase == "steady").unwrap();
    assert!((reads.peak - 4_000.0 / 86_400.0).abs() < 1e-9, "{reads:?}");
}

#[test]
fn existing_hub_is_judged_with_its_own_units() {
    let size = HubSize { tier: Tier::S1, units: 2 };
    let text = format!(
        "[emulator]\ntier = \"S1\"\nunits = 2\n[fleet.a]\ndevices = 9\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n{PHASE}"
    );
    let current = capacity(&text).current.unwrap();
    assert!(current.fits, "777,600 of {} messages: {current:?}", size.messages_per_day());
    assert_eq!(current.reason, "S1 x 2 allows 800,000 billed messages a day; the load is 777,600");
    let current = capacity_with(&text, 0.75, None).current.unwrap();
    assert!(!current.fits && current.reason.ends_with(", which may use 75% of it"), "{current:?}");
}
