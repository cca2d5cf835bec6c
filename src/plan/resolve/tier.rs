//! Resolves the tier of a hub: `tier`, `units`, `quota_used` and `throttle` of `[emulator]`, and `tier` and `units` of `[target]`. Used by
//! `resolve` and its `target`. Checks that the tier has what the fleets use.

use crate::iothub::emulator_options::TierOptions;
use crate::iothub::limits::{Tier, UNLIMITED};
use crate::iothub::throttles::{Class, HubSize};
use crate::plan::model::{CallPlan, DrivePlan, FleetPlan, Subscription, Target, TargetKind};
use crate::scenario::{EmulatorSpec, Errors, Place, Scenario, SizeSpec, TargetSpec};

/// Resolves the tier of the built-in hub. `None` means `"unlimited"`.
pub(super) fn emulator(spec: &EmulatorSpec, errors: &mut Errors) -> Option<TierOptions> {
    let Some(size) = size(&spec.size, errors) else {
        if spec.size.tier.as_ref().is_none_or(|tier| tier.value == UNLIMITED) {
            let quota_used = spec.quota_used.as_ref().map(|used| ("quota_used", &used.place));
            let throttle = spec.throttle.as_ref().map(|throttle| ("throttle", &throttle.place));
            for (key, place) in [quota_used, throttle].into_iter().flatten() {
                needs_tier(key, place, errors);
            }
        }
        return None;
    };
    let default = TierOptions::of(size);
    let throttle = spec.throttle.as_ref();
    Some(TierOptions {
        quota_used: spec.quota_used.as_ref().map_or(0, |used| used.value),
        burst: throttle.and_then(|throttle| throttle.burst).unwrap_or(default.burst),
        queue: throttle.and_then(|throttle| throttle.queue).unwrap_or(default.queue),
        connect_wait: throttle.and_then(|throttle| throttle.connect_wait).unwrap_or(default.connect_wait),
        ..default
    })
}

/// Resolves the size of a real hub.
pub(super) fn target(spec: &TargetSpec, errors: &mut Errors) -> Option<HubSize> {
    let given = spec.size.tier.as_ref().map(|tier| &tier.place);
    if let Some(place) = given.filter(|_| spec.kind == Some(TargetKind::Mqtt)) {
        let problem = errors.add(place, "only an IoT hub has a tier");
        problem.fix("remove tier and units, or use kind = \"iot-hub\"");
        return None;
    }
    size(&spec.size, errors)
}

fn size(spec: &SizeSpec, errors: &mut Errors) -> Option<HubSize> {
    let tier = spec.tier.as_ref().and_then(|tier| Tier::from_name(tier.value));
    let Some(tier) = tier else {
        if let Some(units) = &spec.units {
            needs_tier("units", &units.place, errors);
        }
        return None;
    };
    let units = spec.units.as_ref().map_or(1, |units| units.value);
    let max = tier.units_max();
    if let Some(written) = spec.units.as_ref().filter(|_| units > max) {
        let name = tier.name();
        let problem = errors.add(
            &written.place,
            format!("a hub of tier {name} has at most {max} {}", if max == 1 { "unit" } else { "units" }),
        );
        problem.found(units.to_string()).fix(format!("units = {max}, or a larger tier"));
        return None;
    }
    Some(HubSize { tier, units })
}

fn needs_tier(key: &str, place: &Place, errors: &mut Errors) {
    let problem = errors.add(place, format!("{key} has no effect without a tier"));
    problem.fix(format!("tier = \"S1\", or remove {key}"));
}

/// Checks that the tier has what the fleets and the service client use (Azure: "Choose the right IoT Hub tier and size for your solution").
pub(super) fn check_use(
    scenario: &Scenario,
    emulator: Option<TierOptions>,
    target: &Target,
    (fleets, drives): (&[FleetPlan], &[DrivePlan]),
    errors: &mut Errors,
) {
    let (size, spec) = match &scenario.target {
        Some(spec) => (target.size, &spec.size),
        None => (emulator.map(|options| options.size), &scenario.emulator.size),
    };
    let (Some(size), Some(written)) = (size, &spec.tier) else { return };
    if size.per_minute(Class::TwinReads).is_some() {
        return;
    }
    let name = size.tier.name();
    for (index, fleet) in fleets.iter().enumerate() {
        let calls = |kind: fn(&CallPlan) -> bool| {
            drives.iter().any(|drive| usize::from(drive.fleet) == index && kind(&drive.call))
        };
        let subscribes = |to: &Subscription| fleet.subscribe.contains(to);
        let twins = fleet.makes_twin_requests() || subscribes(&Subscription::Twin);
        let used = [
            (twins || calls(|call| matches!(call, CallPlan::Desired)), "device twins"),
            (
                subscribes(&Subscription::Methods) || calls(|call| matches!(call, CallPlan::Method { .. })),
                "direct methods",
            ),
            (
                subscribes(&Subscription::C2d) || calls(|call| matches!(call, CallPlan::C2d { .. })),
                "cloud-to-device messages",
            ),
        ];
        let used: Vec<&str> =
            used.into_iter().filter(|(is_used, _)| *is_used).map(|(_, what)| what).collect();
        if used.is_empty() {
            continue;
        }
        let used = used.join(" and ");
        let problem = errors.add(
            &written.place,
            format!("tier {name} does not have {used}, which fleet {} uses", fleet.name),
        );
        problem.found(format!("\"{name}\"")).allowed("\"F1\", \"S1\", \"S2\", \"S3\"");
        problem.fix(format!("tier = \"{}\"", name.replace('B', "S")));
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::test_support;

    fn errors(scenario: &str) -> String {
        let text = format!("{scenario}\n[[phase]]\nname = \"p\"\nduration = \"10s\"\n");
        test_support::load(&text).err().unwrap_or_default()
    }

    const FLEET: &str = "[fleet.m]\ndevices = 1\n[[fleet.m.send]]\nevery = \"1s\"\npayload = \"x\"\n";
    const HUB: &str = "[target]\nkind = \"iot-hub\"\nhost = \"h.azure-devices.net\"\n";

    #[test]
    fn wrong_tiers_and_units_are_refused_with_a_fix() {
        let auth = FLEET
            .replace("devices = 1", "devices = 1\nauth = { kind = \"sas\", group_key = \"${env.KEY}\" }");
        let broker = "[target]\nkind = \"mqtt\"\nhost = \"b\"\ntier = \"S1\"\n";
        for (tables, expected) in [
            (format!("[emulator]\ntier = \"S9\"\n{FLEET}"), "unknown value"),
            (format!("[emulator]\ntier = \"s1\"\n{FLEET}"), "did you mean \"S1\"?"),
            (format!("[emulator]\ntier = \"F1\"\nunits = 2\n{FLEET}"), "a hub of tier F1 has at most 1 unit"),
            (
                format!("[emulator]\ntier = \"S3\"\nunits = 11\n{FLEET}"),
                "a hub of tier S3 has at most 10 units",
            ),
            (format!("[emulator]\nunits = 2\n{FLEET}"), "units has no effect without a tier"),
            (format!("[emulator]\nquota_used = 2\n{FLEET}"), "quota_used has no effect without a tier"),
            (
                format!("[emulator]\ntier = \"unlimited\"\nthrottle = {{ burst = \"1s\" }}\n{FLEET}"),
                "throttle has no effect without a tier",
            ),
            (
                format!("[emulator]\ntier = \"B1\"\n{FLEET}")
                    .replace("devices = 1", "devices = 1\nsubscribe = [\"twin\", \"c2d\"]"),
                "tier B1 does not have device twins and cloud-to-device messages, which fleet m uses",
            ),
            (
                format!("{HUB}tier = \"B2\"\n{auth}")
                    .replace("devices = 1", "devices = 1\nsubscribe = [\"methods\"]"),
                "tier B2 does not have direct methods, which fleet m uses",
            ),
            (format!("{HUB}units = 2\n{auth}"), "units has no effect without a tier"),
            (format!("{broker}[fleet.m]\ndevices = 1\n"), "only an IoT hub has a tier"),
        ] {
            let errors = errors(&tables);
            assert!(errors.contains(expected) && errors.contains("test.toml:"), "{expected}: {errors}");
        }
        assert_eq!(errors(&format!("{HUB}tier = \"S2\"\nunits = 200\n{auth}")), "");
    }

    #[test]
    fn a_tier_changes_the_fingerprint_and_its_default_does_not() {
        let plan = |emulator: &str| {
            test_support::plan(&format!("{emulator}\n{FLEET}[[phase]]\nname = \"p\"\nduration = \"10s\"\n"))
        };
        let fingerprint = |emulator: &str| plan(emulator).fingerprint();
        assert_eq!(fingerprint("[emulator]\ntier = \"unlimited\""), fingerprint(""));
        assert_ne!(fingerprint("[emulator]\ntier = \"S1\""), fingerprint(""));
        let options = plan("[emulator]\ntier = \"S1\"\nunits = 3\nthrottle.queue = \"2s\"")
            .emulator
            .unwrap()
            .tier
            .unwrap();
        assert_eq!(
            (options.size.to_string(), options.queue.as_secs(), options.burst.as_secs()),
            ("S1 x 3".to_owned(), 2, 60)
        );
    }
}
