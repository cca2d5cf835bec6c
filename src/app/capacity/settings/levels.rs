//! The levels of a search: loads or numbers of devices. Converts and parses them, and determines the range of a search. Part of `settings`.
//! Uses only the command line and the plan.

use crate::app::AppError;
use crate::capacity::SearchRules;
use crate::capacity::generator::{Machine, devices_max, messages_max};
use crate::capacity::measured::{Level, Vary};
use crate::cli::CapacityArgs;
use crate::iothub::throttles::Class;
use crate::plan::{FleetPlan, Plan, share_devices};
use crate::report::level_text;
use crate::units::{Percent, Rate, human_count, plural, whole};

/// The level of the phase's own load.
const WHOLE: u64 = 1_000_000;
/// The default for the lowest level, as a share of the scenario's load or devices.
const FROM: f64 = 0.1;
/// The maximum number of devices of a fleet, as in a scenario.
const FLEET_MAX: u32 = 1_000_000;

/// Converts levels.
#[derive(Clone, Copy, Debug)]
pub(in crate::app::capacity) struct Scale {
    pub(super) vary: Vary,
    /// Messages per second at the phase's own load with the scenario's devices.
    pub(super) whole_per_s: f64,
    /// Number of devices in the scenario.
    pub(super) devices: u64,
}

#[expect(clippy::cast_precision_loss, reason = "levels are far below 2^53")]
impl Scale {
    /// Returns the level of the scenario itself.
    pub(super) fn whole(self) -> u64 {
        match self.vary {
            Vary::Load => WHOLE,
            Vary::Devices => self.devices,
        }
    }

    /// Returns a level with its messages per second and its devices.
    pub(in crate::app::capacity) fn level(self, level: u64) -> Level {
        let devices = if self.vary == Vary::Devices { level } else { self.devices };
        Level { level, per_s: self.whole_per_s * self.share(level), devices }
    }

    /// Returns a level as a share of that of the scenario.
    pub(in crate::app::capacity) fn share(self, level: u64) -> f64 {
        level as f64 / self.whole() as f64
    }

    /// Returns the load factor at a level in a trial of another level, or the same one.
    pub(in crate::app::capacity) fn factor(self, level: u64, trial: u64) -> f64 {
        match self.vary {
            Vary::Load => self.share(level),
            Vary::Devices => level as f64 / trial.max(1) as f64,
        }
    }

    pub(super) fn of_share(self, share: f64) -> u64 {
        let level = share * self.whole() as f64;
        // A fraction of a device counts as a whole device.
        let rounded = if self.vary == Vary::Devices { (level - 1e-6).ceil() } else { level.round() };
        whole(rounded).max(1)
    }

    fn of_per_s(self, per_s: f64) -> u64 {
        self.of_share(per_s / self.whole_per_s)
    }
}

/// Returns an error in the scenario.
pub(super) fn scenario_error(text: String) -> AppError {
    AppError::Scenario(format!("the scenario cannot be searched; nothing was started\n  {text}"))
}

/// Returns the range of the search. `least` is the lowest level that gives the thresholds enough samples, with the threshold that needs it.
pub(super) fn range(
    args: &CapacityArgs,
    (plan, phase): (&Plan, &str),
    (scale, least): (Scale, Option<(u64, String)>),
    machine: &Machine,
) -> Result<SearchRules, AppError> {
    let to = match &args.to {
        Some(text) => parse("--to", text, scale)?,
        None => default_most(plan, scale, machine),
    };
    let shown = |level: u64| level_text(scale.vary, &scale.level(level));
    let (least, why) = least.unwrap_or((1, String::new()));
    let from = match &args.from {
        Some(text) => parse("--from", text, scale)?,
        None => scale.of_share(FROM).min(to / 10).max(least),
    };
    if from > to && least <= to {
        return Err(AppError::Usage(format!(
            "--from ({}) is above --to ({}); swap them, or leave one out",
            shown(from),
            shown(to)
        )));
    }
    if to < least {
        return Err(scenario_error(format!(
            "no level gives the thresholds of phase {phase} enough samples: {why} in each trial, which requires {}, and the highest level is {}; \
             use a longer --hold, a higher --to, or a lower percentile",
            if least == u64::MAX { "messages that are never due".to_owned() } else { shown(least) },
            shown(to)
        )));
    }
    if from < least {
        let fix = match scale.vary {
            Vary::Load => Percent::from_fraction((scale.share(least) * 1e3).ceil() / 1e3).to_string(),
            Vary::Devices => least.to_string(),
        };
        return Err(scenario_error(format!(
            "the lowest level, {}, does not give the thresholds of phase {phase} enough samples: {why} in each trial, which requires {}; use \
             --from {fix}, or a longer --hold",
            shown(from),
            shown(least),
        )));
    }
    if let Some(limit) = d2c_limit(plan).filter(|limit| scale.level(from).per_s > *limit) {
        // Only a trial shows whether another level is bad.
        let size = plan.hub_size().map_or_else(String::new, |size| size.to_string());
        let text = format!(
            "the lowest level, {}, is above the D2C limit of {size}, {}/s, so it cannot pass; use a lower --from",
            shown(from),
            human_count(whole(limit))
        );
        return Err(if args.from.is_some() { AppError::Usage(text) } else { scenario_error(text) });
    }
    if scale.vary == Vary::Devices {
        check_devices(plan, to)?;
    }
    Ok(SearchRules { from, to, width: 0.0, confirm: 0 })
}

/// Returns the default for the highest level: what this machine can generate, but no more than twice the throttle of a hub whose size is
/// known, and no more devices than the device files contain.
fn default_most(plan: &Plan, scale: Scale, machine: &Machine) -> u64 {
    let generator = match scale.vary {
        Vary::Load => scale.of_per_s(messages_max(plan, machine)),
        Vary::Devices => devices_max(plan, scale.whole_per_s, machine).min(known_devices(plan)),
    };
    d2c_limit(plan).map_or(generator, |limit| generator.min(scale.of_per_s(2.0 * limit)))
}

/// Returns the throttle for telemetry of a hub whose size is known, in messages per second.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn d2c_limit(plan: &Plan) -> Option<f64> {
    plan.hub_size()?.per_minute(Class::D2c).map(|per_minute| per_minute as f64 / 60.0)
}

/// Returns the number of devices that a fleet can have.
fn most_in(fleet: &FleetPlan) -> u32 {
    let list = fleet.auth.device_list();
    let known = list.map(|list| list.in_file().and_then(|count| u32::try_from(count).ok()));
    known.map_or(FLEET_MAX, |count| count.unwrap_or(fleet.devices)).min(FLEET_MAX)
}

fn sizes(plan: &Plan) -> Vec<u32> {
    plan.fleets.iter().map(|fleet| fleet.devices).collect()
}

/// Returns the highest number of devices for which each fleet has enough.
fn known_devices(plan: &Plan) -> u64 {
    let fits = |total: u64| {
        share_devices(&sizes(plan), total)
            .iter()
            .zip(&plan.fleets)
            .all(|(count, fleet)| *count <= most_in(fleet))
    };
    let (mut low, mut high) = (0, plan.fleets.iter().map(|fleet| u64::from(most_in(fleet))).sum::<u64>() + 1);
    while high - low > 1 {
        let middle = u64::midpoint(low, high);
        if fits(middle) { low = middle } else { high = middle }
    }
    low.max(1)
}

/// Checks that each fleet has enough devices for the highest level. A file whose devices an `id` selects is checked when it is read again.
fn check_devices(plan: &Plan, to: u64) -> Result<(), AppError> {
    let counts = share_devices(&sizes(plan), to);
    let lacks = |(fleet, count): &(&FleetPlan, u32)| {
        let is_listed = fleet.auth.device_list().is_some_and(|list| list.in_file().is_none());
        !is_listed && *count > most_in(fleet)
    };
    let Some((fleet, count)) = plan.fleets.iter().zip(counts).find(lacks) else { return Ok(()) };
    let (needed, most) = (human_count(count.into()), most_in(fleet));
    let known = known_devices(plan);
    Err(AppError::Usage(if fleet.auth.device_list().is_some() {
        format!(
            "--to: with {}, fleet {} has {needed}, but its file contains {}; use --to {known}, or add devices to the file",
            plural(to, "device", "devices"),
            fleet.name,
            plural(most.into(), "device", "devices"),
        )
    } else {
        format!(
            "--to: with {}, fleet {} has {needed}, but a fleet has at most {}; use --to {known}, or divide the fleet",
            plural(to, "device", "devices"),
            fleet.name,
            human_count(most.into()),
        )
    }))
}

/// Parses a level: a share of that of the scenario, messages per second, or a number of devices.
#[expect(clippy::cast_precision_loss, reason = "device counts are far below 2^53")]
fn parse(option: &str, text: &str, scale: Scale) -> Result<u64, AppError> {
    let share = text.parse::<Percent>().ok().filter(|_| text.trim().ends_with('%')).map(Percent::as_fraction);
    let is_devices = text.contains("device");
    let level = match scale.vary {
        Vary::Load => {
            let per_s = share.map(|share| share * scale.whole_per_s);
            let per_s = per_s.or_else(|| text.parse::<Rate>().map(Rate::as_per_second).ok());
            per_s.filter(|per_s| *per_s > 0.0).map(|per_s| scale.of_per_s(per_s))
        }
        Vary::Devices => {
            let share = share.filter(|share| *share > 0.0).map(|share| scale.of_share(share));
            share.or_else(|| devices(text).filter(|count| *count > 0 && (*count as f64) < 1e12))
        }
    };
    let form = match scale.vary {
        Vary::Load if is_devices => {
            "is a number of devices; add --vary devices, or write a share of the phase's load, such as 20%, or messages per second, such as 400/s"
        }
        Vary::Load => {
            "is not a level; write a share of the phase's load, such as 20%, or messages per second, such as 400/s"
        }
        Vary::Devices if text.contains('/') => {
            "is not a number of devices; write a number, such as 400, or a share of the scenario's devices, such as 20%; only --vary load has \
             levels in messages per second"
        }
        Vary::Devices => {
            "is not a number of devices; write a number, such as 400, or a share of the scenario's devices, such as 20%"
        }
    };
    level.ok_or_else(|| AppError::Usage(format!("{option} {text:?} {form}")))
}

/// Parses a number of devices: `12000`, `12,000`, `12_000`, each with or without the word.
fn devices(text: &str) -> Option<u64> {
    let number = text.trim();
    let number = number.strip_suffix("devices").or_else(|| number.strip_suffix("device")).unwrap_or(number);
    number.trim().replace([',', '_'], "").parse().ok()
}
