//! The settings of a search: checks the options against the scenario, and fills in their defaults. Used by `capacity` before anything starts.
//! Uses only the command line and the plan.

use crate::app::AppError;
use crate::capacity::measured::{Level, SearchSettings, Vary};
use crate::capacity::search_assertion::Assertion;
use crate::capacity::{SearchRules, burst, pace::SlotTimes};
use crate::cli::{CapacityArgs, VaryArg};
use crate::iothub::throttles::Class;
use crate::measure::{Operation, Rules, Test};
use crate::plan::{Plan, Spread, TargetKind, Threshold, TrialSlots, samples_needed};
use crate::units::{Percent, Rate, human_count, human_duration, parse_duration, whole};
use std::time::Duration;

/// The level of the phase's own load.
const WHOLE: u64 = 1_000_000;
/// The default for the lowest level.
const FROM: u64 = WHOLE / 10;
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
/// Messages per second that one worker can generate: 80% of a core at 10 us per message (docs/performance.md, 10,000/s and more).
const WORKER_PER_S: f64 = 80_000.0;

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
    pub(super) assertions: Vec<Assertion>,
    pub(super) notes: Vec<String>,
}

/// Converts levels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Messages per second at the phase's own load.
    whole_per_s: f64,
    devices: u64,
}

impl Scale {
    /// Returns a level with its messages per second.
    pub(super) fn level(self, level: u64) -> Level {
        Level { level, per_s: self.whole_per_s * self.factor(level), devices: self.devices }
    }

    /// Returns the load factor of a level.
    #[expect(clippy::cast_precision_loss, reason = "levels are far below 2^53")]
    pub(super) fn factor(self, level: u64) -> f64 {
        level as f64 / WHOLE as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "a constant")]
    fn of_per_s(self, per_s: f64) -> u64 {
        whole((per_s / self.whole_per_s * WHOLE as f64).round()).max(1)
    }
}

impl Setup {
    /// Returns the messages of a trial at most, as seconds of its level.
    pub(super) fn load_s(&self) -> u64 {
        let settle_s = self.slots.settle.as_secs();
        let burst_s = if self.settings.exhaust_burst { burst::extra_s(settle_s) } else { 0 };
        burst_s + settle_s + self.slots.judged.as_secs()
    }

    /// Returns the times of the slots for the plan of the trials.
    pub(super) fn times(&self, trials: &Plan) -> SlotTimes {
        SlotTimes {
            start_s: trials.schedule.load_end().as_secs(),
            idle_s: self.slots.idle.as_secs(),
            settle_s: self.slots.settle.as_secs(),
            judged_s: self.slots.judged.as_secs(),
            count: self.slots.count,
        }
    }
}

/// Checks the options and returns the settings. `workers` is the number of worker threads.
pub(super) fn resolve(args: &CapacityArgs, plan: &Plan, workers: usize) -> Result<Setup, AppError> {
    if args.vary == VaryArg::Devices {
        return Err(AppError::Usage(
            "--vary devices is not available in this version; use --vary load, and run with other numbers of devices: \
             --set fleet.NAME.devices=N"
                .to_owned(),
        ));
    }
    let assertions = args.assertions.iter().map(|text| Assertion::parse(text));
    let assertions =
        assertions.collect::<Result<_, _>>().map_err(|error| AppError::Usage(error.to_string()))?;
    let phase = phase(args, plan)?;
    let name = plan.schedule.phases()[phase].name.clone();
    let whole_per_s = searchable_rate(plan, phase, &name)?;
    let (thresholds, notes) = thresholds(plan, phase, &name)?;
    let scale = Scale { whole_per_s, devices: plan.devices() };
    let slots = slots(args, plan)?;
    let least = least_level(&thresholds, plan, (phase, &name), (scale, slots.judged));
    let rules = range(args, plan, (scale, least, workers), &name)?;
    let rules = SearchRules { width: width(&args.width)?, confirm: args.confirm, ..rules };
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
        vary: Vary::Load,
        phase: name,
        from: scale.level(rules.from),
        to: scale.level(rules.to),
        width: rules.width,
        hold_us: us(hold(args, plan)?),
        settle_us: us(slots.settle),
        judged_us: us(slots.judged),
        confirm: rules.confirm,
        exhaust_burst: shapes(args, plan),
        thresholds: judge.iter().map(label).collect(),
    };
    let judge = Rules { thresholds: judge, ..plan.rules() };
    Ok(Setup { phase, settings, rules, slots, judge, scale, assertions, notes })
}

fn scenario_error(text: String) -> AppError {
    AppError::Scenario(format!("the scenario cannot be searched; nothing was started\n  {text}"))
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

/// Returns the messages per second of a phase whose load can be varied.
fn searchable_rate(plan: &Plan, number: usize, name: &str) -> Result<f64, AppError> {
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
    number: usize,
    name: &str,
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
        let others = if left_out.is_empty() {
            ""
        } else {
            " besides those on connections, which stay open during the search"
        };
        return Err(scenario_error(format!(
            "no threshold covers phase {name}{others}, so every level would pass; add one to [thresholds], for example \
             \"telemetry{{phase:{name}}}\" = [\"p(99) < 500ms\", \"rate(ok) > 99.9%\"]"
        )));
    }
    let note = |(_, threshold): &(usize, &Threshold)| {
        format!(
            "The threshold {} {} is left out: devices stay connected during the search",
            threshold.metric, threshold.expression
        )
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

/// Returns the slots for the trials.
fn slots(args: &CapacityArgs, plan: &Plan) -> Result<TrialSlots, AppError> {
    let hold = hold(args, plan)?;
    let (settle, judged) = if shapes(args, plan) {
        let judged = Duration::from_secs((hold.as_secs() / 3).max(1));
        (hold - judged, judged)
    } else {
        (SETTLE, hold)
    };
    let mut slots = TrialSlots { idle: IDLE, settle, judged, count: 0 };
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
    slots.count = u16::try_from(count.min(SLOTS_MAX)).unwrap_or(u16::MAX);
    Ok(slots)
}

/// Returns the lowest level that gives every percentile enough samples, with the threshold that needs it.
fn least_level(
    thresholds: &[(usize, &Threshold)],
    plan: &Plan,
    (phase, _): (usize, &str),
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
        let level =
            if share.is_finite() { scale.of_per_s(scale.whole_per_s * share * 1.05) } else { u64::MAX };
        Some((
            level,
            format!("{} {} needs {} samples", threshold.metric, threshold.expression, human_count(needed)),
        ))
    });
    needs.max_by_key(|(level, _)| *level)
}

/// Returns the range of the search.
fn range(
    args: &CapacityArgs,
    plan: &Plan,
    (scale, least, workers): (Scale, Option<(u64, String)>, usize),
    phase: &str,
) -> Result<SearchRules, AppError> {
    let to = match &args.to {
        Some(text) => level("--to", text, scale)?,
        None => scale.of_per_s(default_most(plan, workers)),
    };
    let shown = |level: u64| show(scale.level(level));
    let (least, why) = least.unwrap_or((1, String::new()));
    let from = match &args.from {
        Some(text) => level("--from", text, scale)?,
        None => FROM.min(to / 10).max(least),
    };
    if to < least {
        return Err(scenario_error(format!(
            "no level can feed the thresholds of phase {phase}: {why} in each trial, which takes {}, and the highest level is {}; use a longer \
             --hold, a higher --to, or a lower percentile",
            if least == u64::MAX { "messages that are never due".to_owned() } else { shown(least) },
            shown(to)
        )));
    }
    if from < least {
        return Err(scenario_error(format!(
            "the lowest level, {}, cannot feed the thresholds of phase {phase}: {why} in each trial, which takes {}; use --from {}, or a \
             longer --hold",
            shown(from),
            shown(least),
            Percent::from_fraction((scale.factor(least) * 1e3).ceil() / 1e3)
        )));
    }
    if from > to {
        return Err(AppError::Usage(format!(
            "--from ({}) is above --to ({}); swap them, or leave one out",
            shown(from),
            shown(to)
        )));
    }
    Ok(SearchRules { from, to, width: 0.0, confirm: 0 })
}

/// Returns the messages per second of the default highest level: what this machine can generate, but no more than twice the throttle of a
/// hub whose size is known.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn default_most(plan: &Plan, workers: usize) -> f64 {
    let generator = WORKER_PER_S * workers as f64;
    let throttle = plan.hub_size().and_then(|size| size.per_minute(Class::D2c));
    throttle.map_or(generator, |per_minute| generator.min(2.0 * per_minute as f64 / 60.0))
}

/// Parses a level: a share of the phase's load, or messages per second.
fn level(option: &str, text: &str, scale: Scale) -> Result<u64, AppError> {
    let share = text.parse::<Percent>().map(|share| share.as_fraction() * scale.whole_per_s).ok();
    let per_s = share.or_else(|| text.parse::<Rate>().map(Rate::as_per_second).ok());
    per_s.filter(|per_s| *per_s > 0.0).map(|per_s| scale.of_per_s(per_s)).ok_or_else(|| {
        AppError::Usage(format!(
            "{option} {text:?} is not a level; write a share of the phase's load, such as 20%, or messages per second, such as 400/s"
        ))
    })
}

fn width(text: &str) -> Result<f64, AppError> {
    let width = text.parse::<Percent>().map(Percent::as_fraction);
    width.ok().filter(|width| (0.001..=0.5).contains(width)).ok_or_else(|| {
        AppError::Usage(format!("--width {text:?} is not valid; allowed: a share from 0.1% to 50%"))
    })
}

/// Formats a level: `2,400/s`.
pub(super) fn show(level: Level) -> String {
    crate::report::rate_text(level.per_s)
}

#[cfg(test)]
mod tests;
