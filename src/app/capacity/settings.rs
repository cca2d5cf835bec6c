//! The settings of a search: checks the options against the scenario, and fills in their defaults. Used by `capacity` before anything starts.
//! Uses only the command line and the plan. [`levels`] converts levels, and determines the range.

mod levels;

use crate::app::AppError;
use crate::capacity::generator::Machine;
use crate::capacity::measured::{SearchSettings, Vary};
use crate::capacity::pace::{LEAD_S, SlotTimes};
use crate::capacity::search_assertion::Assertion;
use crate::capacity::{SearchRules, burst};
use crate::cli::{CapacityArgs, VaryArg};
use crate::iothub::throttles::Class;
use crate::measure::{Operation, Rules, Test};
use crate::plan::{Plan, Spread, TargetKind, Threshold, TrialSlots, samples_needed, share_devices};
use crate::units::{Percent, human_count, human_duration, parse_duration, whole};
use levels::{range, scenario_error};
use std::sync::Arc;
use std::time::Duration;

/// Time without load between two trials.
const IDLE: Duration = Duration::from_secs(5);
/// Settling time of targets that do not shape traffic.
const SETTLE: Duration = Duration::from_secs(5);
const HOLD: Duration = Duration::from_secs(30);
/// Length of a trial on a hub that lets a burst through before it shapes traffic.
const HOLD_SHAPED: Duration = Duration::from_secs(180);
/// Shorter trials have too few whole seconds.
const HOLD_MIN: Duration = Duration::from_secs(3);
const HOLD_MAX: Duration = Duration::from_secs(3_600);
const SLOTS: u64 = 40;
const SLOTS_MAX: u64 = 400;
/// Devices connect and disconnect at this rate per second, unless the scenario or the size of the hub determines another one, or this takes
/// too long (our choice).
const CONNECTS_PER_S: f64 = 200.0;
const CONNECTING_S_MAX: f64 = 60.0;
/// While the search narrows its interval, at most about this share of the devices connects or disconnects between two trials.
const STEP: f64 = 0.1;

/// The settings of a search, and everything derived from the plan.
#[derive(Debug)]
pub(super) struct Setup {
    /// The searched phase.
    pub(super) phase: usize,
    pub(super) settings: SearchSettings,
    pub(super) rules: SearchRules,
    pub(super) slots: TrialSlots,
    /// The thresholds that trials are judged by.
    pub(super) judge: Rules,
    pub(super) scale: Scale,
    /// Converts levels to online devices. `None` if the load varies.
    pub(super) devices: Option<VariedDevices>,
    pub(super) assertions: Vec<Assertion>,
    pub(super) notes: Vec<String>,
}

/// Converts levels to online devices, for a search that varies the number of devices.
#[derive(Debug)]
pub(super) struct VariedDevices {
    /// For each fleet, its devices in the scenario, and the share of them that is online in the searched phase.
    fleets: Vec<(u32, f64)>,
    /// Planned connects and disconnects per second.
    per_s: f64,
    /// Length of the part of a slot in which devices connect, in seconds.
    connect_s: u64,
}

impl VariedDevices {
    /// Returns the number of devices of each fleet at a level.
    pub(super) fn fleets(&self, level: u64) -> Vec<u32> {
        let devices: Vec<u32> = self.fleets.iter().map(|(devices, _)| *devices).collect();
        share_devices(&devices, level)
    }

    /// Returns the number of online devices of each fleet at a level.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a device count")]
    pub(super) fn online(&self, level: u64) -> Arc<[u32]> {
        let online = |(devices, (_, share)): (u32, &(u32, f64))| (f64::from(devices) * share).round() as u32;
        self.fleets(level).into_iter().zip(&self.fleets).map(online).collect()
    }

    /// Returns how long the devices take to connect or disconnect between two levels, in whole seconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a device count; the cast saturates"
    )]
    pub(super) fn over_s(&self, before: u64, after: u64) -> u64 {
        (before.abs_diff(after) as f64 / self.per_s).ceil() as u64
    }
}

impl Setup {
    /// Returns the highest number of messages of a trial, in seconds of its level.
    pub(super) fn load_s(&self) -> u64 {
        let settle_s = self.slots.settle.as_secs();
        let burst_s = if self.settings.exhaust_burst { burst::extra_s(settle_s) } else { 0 };
        burst_s + settle_s + self.slots.judged.as_secs()
    }

    /// Returns the plan of the trials.
    pub(super) fn trials(&self, plan: Plan) -> Plan {
        match &self.devices {
            None => plan.into_trials(self.phase, &self.slots),
            Some(_) => {
                let share = self.scale.share(self.rules.from) / self.scale.share(self.rules.to);
                plan.into_device_trials(self.phase, &self.slots, share)
            }
        }
    }

    /// Returns the times of the slots for the plan of the trials.
    pub(super) fn times(&self, trials: &Plan) -> SlotTimes {
        SlotTimes {
            start_s: trials.schedule.load_end().as_secs(),
            idle_s: self.slots.idle.as_secs(),
            connect_s: self.devices.as_ref().map_or(0, |devices| devices.connect_s),
            settle_s: self.slots.settle.as_secs(),
            judged_s: self.slots.judged.as_secs(),
            count: self.slots.count,
        }
    }
}

/// Checks the options and returns the settings. `plan` is that of the scenario as written.
pub(super) fn resolve(args: &CapacityArgs, plan: &Plan, machine: &Machine) -> Result<Setup, AppError> {
    let vary = match args.vary {
        VaryArg::Load => Vary::Load,
        VaryArg::Devices => Vary::Devices,
    };
    let assertions = args.assertions.iter().map(|text| Assertion::parse(text, vary));
    let assertions =
        assertions.collect::<Result<_, _>>().map_err(|error| AppError::Usage(error.to_string()))?;
    let phase = phase(args, plan)?;
    let name = plan.schedule.phases()[phase].name.clone();
    let whole_per_s = searchable_rate(plan, (phase, &name), vary)?;
    let (thresholds, notes) = thresholds(plan, (phase, &name), vary)?;
    let scale = Scale { vary, whole_per_s, devices: plan.devices() };
    let mut slots = slots(args, plan)?;
    let least = least_level(&thresholds, plan, phase, (scale, slots.judged));
    let rules = range(args, (plan, &name), (scale, least), machine)?;
    let rules = SearchRules { width: width(&args.width)?, confirm: args.confirm, ..rules };
    let devices = (vary == Vary::Devices).then(|| varied_devices(plan, phase, rules.to));
    slots.idle += Duration::from_secs(devices.as_ref().map_or(0, |devices| devices.connect_s));
    slots.count = slot_count(args, &slots)?;
    let all = plan.rules();
    let kept = |number: &usize| thresholds.iter().any(|(kept, _)| kept == number);
    let judge: Vec<_> = all
        .thresholds
        .into_iter()
        .enumerate()
        .filter(|(number, _)| kept(number))
        .map(|(_, rule)| rule)
        .collect();
    let label = |rule: &crate::measure::Rule| {
        let metric = crate::measure::threshold_label(
            rule.metric.name(),
            None,
            rule.fleet.as_deref(),
            rule.without_faults,
        );
        format!("{metric} {}", rule.expression)
    };
    let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let settings = SearchSettings {
        vary,
        phase: name,
        from: scale.level(rules.from),
        to: scale.level(rules.to),
        whole: Some(scale.level(scale.whole())),
        width: rules.width,
        hold_us: us(hold(args, plan)?),
        settle_us: us(slots.settle),
        judged_us: us(slots.judged),
        confirm: rules.confirm,
        exhaust_burst: shapes(args, plan),
        thresholds: judge.iter().map(label).collect(),
    };
    let judge = Rules { thresholds: judge, ..plan.rules() };
    let setup = Setup { phase, settings, rules, slots, judge, scale, devices, assertions, notes };
    enough_messages(args, &setup)?;
    Ok(setup)
}

/// A search that cannot try its lowest level finds nothing. A resumed one may have its answer.
fn enough_messages(args: &CapacityArgs, setup: &Setup) -> Result<(), AppError> {
    #[expect(clippy::cast_precision_loss, reason = "a number of seconds")]
    let needed = whole(setup.settings.from.per_s * setup.load_s() as f64);
    match args.max_messages {
        Some(most) if most < needed && args.resume.is_none() => Err(AppError::Usage(format!(
            "--max-messages {most} is too few for one trial of the lowest level, which sends {}; allow more, or use a shorter --hold",
            human_count(needed)
        ))),
        _ => Ok(()),
    }
}

/// Returns the searched phase.
fn phase(args: &CapacityArgs, plan: &Plan) -> Result<usize, AppError> {
    let phases = plan.schedule.phases();
    let Some(name) = &args.phase else {
        return plan.heaviest_phase().ok_or_else(|| {
            scenario_error(
                "every phase is a warm-up: name the phase to search with --phase, or add a [[phase]] without warmup".to_owned(),
            )
        });
    };
    phases.iter().position(|phase| phase.name == *name).ok_or_else(|| {
        let names: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
        AppError::Usage(format!(
            "--phase {name}: the scenario has no such phase; its phases are {}",
            names.join(", ")
        ))
    })
}

/// Returns the conversion of levels up to `to`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "device counts are far below 2^53"
)]
fn varied_devices(plan: &Plan, phase: usize, to: u64) -> VariedDevices {
    let devices = plan.fleets.iter().map(|fleet| fleet.devices);
    let paced: f64 = {
        let schedules = plan.fleets.iter().map(|fleet| plan.schedule_of(fleet));
        schedules.filter_map(|schedule| schedule.phases().get(phase)?.connect_rate_hz).sum()
    };
    let throttle = plan.hub_size().and_then(|size| size.per_minute(Class::Connections));
    let per_s = match throttle {
        _ if paced > 0.0 => paced,
        Some(per_minute) => CONNECTS_PER_S.min(per_minute as f64 / 60.0),
        None => CONNECTS_PER_S.max(to as f64 / CONNECTING_S_MAX),
    };
    // The number of online devices is read some time after the last one has connected.
    let connect_s = (to as f64 * STEP / per_s).ceil().clamp(1.0, CONNECTING_S_MAX) as u64 + LEAD_S;
    VariedDevices { fleets: devices.zip(plan.online_shares(phase)).collect(), per_s, connect_s }
}

/// Returns the messages per second of a phase whose load can be varied.
fn searchable_rate(plan: &Plan, (number, name): (usize, &str), vary: Vary) -> Result<f64, AppError> {
    let schedules = plan.fleets.iter().map(|fleet| plan.schedule_of(fleet));
    if schedules.filter_map(|schedule| schedule.phases().get(number)).any(|phase| phase.disconnect.is_some())
    {
        return Err(scenario_error(format!(
            "phase {name} disconnects devices, so its load is not steady; name another phase with --phase"
        )));
    }
    if plan.fleets.iter().flat_map(|fleet| &fleet.sends).any(|send| send.arrival.is_closed()) {
        return Err(scenario_error(
            "a closed loop (arrival = \"closed\") does not follow the load, so there is no level to vary; use arrival = \"regular\" or \
             \"poisson\""
                .to_owned(),
        ));
    }
    if plan.fleets.iter().flat_map(|fleet| &fleet.sends).any(|send| send.arrival.spread == Spread::Replay) {
        return Err(scenario_error(
            "a recording has times of its own, so it does not follow the load; search with a stream that has `every` or `rate`".to_owned(),
        ));
    }
    if vary == Vary::Devices && plan.deliveries.tracks_any() {
        return Err(scenario_error(
            "which devices receive a tracked message (${stamp}) is not known if the number of devices varies; use --vary load, or remove the \
             stamp"
                .to_owned(),
        ));
    }
    let rate = plan.phase_rate(number);
    if rate > 0.0 {
        return Ok(rate);
    }
    Err(scenario_error(format!(
        "no messages are due in phase {name}, so there is no load to vary; add a [[fleet.NAME.send]], or name another phase with --phase"
    )))
}

/// Thresholds with their numbers in the plan.
type Numbered<'a> = Vec<(usize, &'a Threshold)>;

/// Returns the thresholds that a trial is judged by, and notes about those that are left out.
fn thresholds<'a>(
    plan: &'a Plan,
    (number, name): (usize, &str),
    vary: Vary,
) -> Result<(Numbered<'a>, Vec<String>), AppError> {
    let warmup = plan.schedule.phases()[number].warmup;
    let covers = |threshold: &Threshold| match threshold.phase {
        Some(phase) => usize::from(phase) == number,
        None => !warmup,
    };
    let covering = plan.thresholds.iter().enumerate().filter(|(_, threshold)| covers(threshold));
    let (kept, left_out): (Numbered, Numbered) =
        covering.partition(|(_, threshold)| !is_about_connections(threshold.metric));
    if kept.is_empty() {
        let others =
            if left_out.is_empty() { "" } else { " besides those on connections, which no trial judges" };
        return Err(scenario_error(format!(
            "no threshold covers phase {name}{others}, so every level would pass; add one to [thresholds], for example \
             \"telemetry{{phase:{name}}}\" = [\"p(99) < 500ms\", \"rate(ok) > 99.9%\"]"
        )));
    }
    let why = match vary {
        Vary::Load => "devices stay connected during the search",
        Vary::Devices => "devices connect before the judged part of a trial",
    };
    let note = |(_, threshold): &(usize, &Threshold)| {
        format!("The threshold {} {} is left out: {why}", threshold.metric, threshold.expression)
    };
    let notes = left_out.iter().map(note).collect();
    Ok((kept, notes))
}

/// Returns whether an operation happens only when devices connect or disconnect, or does not depend on the load.
fn is_about_connections(operation: Operation) -> bool {
    operation.is_connecting()
        || matches!(
            operation,
            Operation::Online | Operation::Subscribe | Operation::Unsubscribe | Operation::Ping
        )
}

/// Returns whether the target lets a burst through before it shapes traffic: then each trial uses up the burst first.
fn shapes(args: &CapacityArgs, plan: &Plan) -> bool {
    args.exhaust_burst || (plan.target.kind == TargetKind::IotHub && plan.hub_size().is_some())
}

fn duration(option: &str, text: &str) -> Result<Duration, AppError> {
    parse_duration(text).map_err(|_| {
        AppError::Usage(format!("{option} {text:?} is not a duration; write for example 30s or 10m"))
    })
}

/// Returns the length of a trial, in whole seconds.
fn hold(args: &CapacityArgs, plan: &Plan) -> Result<Duration, AppError> {
    let Some(text) = &args.hold else { return Ok(if shapes(args, plan) { HOLD_SHAPED } else { HOLD }) };
    let hold = Duration::from_secs(duration("--hold", text)?.as_secs());
    if (HOLD_MIN..=HOLD_MAX).contains(&hold) {
        return Ok(hold);
    }
    Err(AppError::Usage(format!("--hold {text}: use 3s to 1h, in whole seconds")))
}

/// Returns the parts of a slot. The time in which devices connect and the number of slots are not yet known.
fn slots(args: &CapacityArgs, plan: &Plan) -> Result<TrialSlots, AppError> {
    let hold = hold(args, plan)?;
    let (settle, judged) = if shapes(args, plan) {
        let judged = Duration::from_secs((hold.as_secs() / 3).max(1));
        (hold - judged, judged)
    } else {
        (SETTLE, hold)
    };
    Ok(TrialSlots { idle: IDLE, settle, judged, count: 0 })
}

/// Returns the number of slots in the permitted time.
fn slot_count(args: &CapacityArgs, slots: &TrialSlots) -> Result<u16, AppError> {
    let count = match &args.max_time {
        None => SLOTS,
        Some(text) => duration("--max-time", text)?.as_secs() / slots.length().as_secs(),
    };
    if count == 0 {
        return Err(AppError::Usage(format!(
            "--max-time {} is too short for one trial, which takes {}; use a shorter --hold",
            args.max_time.as_deref().unwrap_or_default(),
            human_duration(slots.length())
        )));
    }
    Ok(u16::try_from(count.min(SLOTS_MAX)).unwrap_or(u16::MAX))
}

/// Returns the lowest level that gives every percentile enough samples, with the threshold that needs it.
fn least_level(
    thresholds: &[(usize, &Threshold)],
    plan: &Plan,
    phase: usize,
    (scale, judged): (Scale, Duration),
) -> Option<(u64, String)> {
    let needs = thresholds.iter().filter_map(|(_, threshold)| {
        let needed = match threshold.test {
            Test::Percentile { quantile, .. } => samples_needed(quantile),
            _ => 1,
        };
        let whole_per_s = plan.phase_samples_per_s(threshold, phase)?;
        #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
        let share = needed as f64 / (whole_per_s * judged.as_secs_f64());
        // Arrivals are random, so a few more than needed.
        let level = if share.is_finite() { scale.of_share(share * 1.05) } else { u64::MAX };
        Some((
            level,
            format!("{} {} needs {} samples", threshold.metric, threshold.expression, human_count(needed)),
        ))
    });
    needs.max_by_key(|(level, _)| *level)
}

fn width(text: &str) -> Result<f64, AppError> {
    let width = text.parse::<Percent>().map(Percent::as_fraction);
    width.ok().filter(|width| (0.001..=0.5).contains(width)).ok_or_else(|| {
        AppError::Usage(format!("--width {text:?} is not valid; allowed: a share from 0.1% to 50%"))
    })
}

pub(super) use levels::Scale;

#[cfg(test)]
mod tests;
