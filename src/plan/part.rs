//! Restricts a scenario to a part of it: to some fleets (`--fleet`), and to another length of all phases together (`--duration`).
//! Called by `app` before it resolves the scenario. The effect becomes part of the plan's overrides, so that the result differs from
//! that of a whole run. Pure.

use crate::scenario::{DURATION_MAX, DriveSpec, FaultSpec, PhaseSpec, Scenario, nearest, typed_duration};
use crate::units::human_duration;
use std::time::Duration;

/// The shortest phase after scaling (our choice). The engine's timers have a resolution of about a millisecond.
const PHASE_MIN: Duration = Duration::from_millis(1);

/// The part of a scenario to run, as typed on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part<'a> {
    /// Names of the fleets to run. Empty: all fleets.
    pub fleets: &'a [String],
    /// Length of all phases together. `None`: as in the scenario.
    pub duration: Option<&'a str>,
}

/// An error in `--fleet` or `--duration`. The messages start with the option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// `--fleet` names no fleet of the scenario.
    #[error("--fleet {name}: the scenario has no such fleet; {hint}")]
    UnknownFleet {
        /// The name.
        name: String,
        /// The nearest name, and all names.
        hint: String,
    },
    /// `--duration` is not a duration.
    #[error("--duration: {0}")]
    NoDuration(String),
    /// `--duration` is too short for the shortest phase.
    #[error("--duration {typed}: phase {phase} would last only {length}; use at least {least_ms}ms")]
    TooShort {
        /// The duration as typed.
        typed: String,
        /// The shortest phase.
        phase: String,
        /// Its length after scaling, in words.
        length: String,
        /// The shortest possible duration, in milliseconds.
        least_ms: u128,
    },
    /// `--duration` is longer than a scenario may last.
    #[error("--duration {0} is too long; use at most 100d")]
    TooLong(String),
}

impl Part<'_> {
    /// Restricts a scenario without errors to this part.
    ///
    /// # Errors
    /// Returns an error if the scenario has no such fleet, or if its phases cannot have that length.
    pub fn restrict(&self, scenario: &mut Scenario) -> Result<(), PartError> {
        self.keep_fleets(scenario)?;
        let Some(typed) = self.duration else { return Ok(()) };
        let total = typed_duration(typed).map_err(PartError::NoDuration)?;
        let before = scale(&mut scenario.phases, typed, total)?;
        scale_faults(&mut scenario.emulator.faults, before, total);
        for fleet in &mut scenario.fleets {
            scale_faults(&mut fleet.faults, before, total);
        }
        let before = human_duration(before);
        scenario.overrides.push(format!("--duration {typed} (all phases together; as written: {before})"));
        Ok(())
    }

    /// Removes the other fleets, and the drives to them.
    fn keep_fleets(&self, scenario: &mut Scenario) -> Result<(), PartError> {
        if let Some(name) =
            self.fleets.iter().find(|name| scenario.fleets.iter().all(|fleet| fleet.name != **name))
        {
            let names: Vec<&str> = scenario.fleets.iter().map(|fleet| fleet.name.as_str()).collect();
            let hint = unknown_fleet_hint(name, &names);
            return Err(PartError::UnknownFleet { name: name.clone(), hint });
        }
        if self.fleets.is_empty() {
            return Ok(());
        }
        let runs = |name: &str| self.fleets.iter().any(|fleet| fleet == name);
        let names = scenario.fleets.iter().map(|fleet| fleet.name.clone());
        let others: Vec<String> = names.filter(|name| !runs(name)).collect();
        // A drive to an unknown fleet stays, because it is an error.
        let is_other =
            |drive: &DriveSpec| drive.fleet.as_ref().is_some_and(|fleet| others.contains(&fleet.value));
        scenario.left_out.drives =
            scenario.drives.iter().filter(|drive| is_other(drive)).map(DriveSpec::description).collect();
        scenario.fleets.retain(|fleet| runs(&fleet.name));
        scenario.drives.retain(|drive| !is_other(drive));
        scenario.left_out.fleets = others;
        Ok(())
    }
}

/// Returns what to do about an unknown fleet: the fleets that the name probably means, and all names.
fn unknown_fleet_hint(name: &str, names: &[&str]) -> String {
    let known = |word: &str| {
        let word = word.trim().trim_start_matches("fleet.");
        nearest(word, names.iter().copied())
    };
    let words: Vec<&str> = name.split([',', ';', ' ']).filter(|word| !word.is_empty()).collect();
    let meant: Option<Vec<&str>> = words.iter().map(|word| known(word)).collect();
    let all = names.join(", ");
    match meant.as_deref() {
        Some([near]) => format!("did you mean {near}? Its fleets are {all}"),
        Some([first, rest @ ..]) if rest.iter().all(|name| name != first) => {
            let options: Vec<String> = meant.iter().flatten().map(|name| format!("--fleet {name}")).collect();
            format!("specify one fleet per option: {}", options.join(" "))
        }
        _ => format!("its fleets are {all}"),
    }
}

/// Describes the effect of `--fleet`, for the overrides. `thresholds` are those that need the other fleets. `None` if every fleet runs.
pub(super) fn selection(scenario: &Scenario, thresholds: &[String]) -> Option<String> {
    let left_out = &scenario.left_out;
    if left_out.fleets.is_empty() {
        return None;
    }
    let options: Vec<String> =
        scenario.fleets.iter().map(|fleet| format!("--fleet {}", fleet.name)).collect();
    let parts =
        [("fleet", left_out.fleets.as_slice()), ("drive", &left_out.drives), ("threshold", thresholds)];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(kind, names)| list(kind, names))
        .collect();
    Some(format!("{} (leaves out {})", options.join(" "), parts.join("; ")))
}

/// Lists up to four names, or three and the number of the others: the text is part of a line in the summary.
fn list(kind: &str, names: &[String]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    match names {
        [a, b, c, _, _, ..] => format!("{kind}{plural} {a}, {b}, {c} and {} more", names.len() - 3),
        names => format!("{kind}{plural} {}", names.join(", ")),
    }
}

/// Scales the phases to `total`, keeping their proportions. Returns their length before. `typed` is `total` as typed.
fn scale(phases: &mut [PhaseSpec], typed: &str, total: Duration) -> Result<Duration, PartError> {
    let before: Duration = phases.iter().filter_map(|phase| phase.duration).sum();
    if total > DURATION_MAX {
        return Err(PartError::TooLong(typed.to_owned()));
    }
    let lengths = phases.iter().filter_map(|phase| Some((phase.duration?, phase)));
    if let Some((shortest, phase)) = lengths.min_by_key(|(length, _)| *length) {
        // The shortest total for which no phase is shorter than `PHASE_MIN`.
        let least = (before.as_nanos() * PHASE_MIN.as_nanos()).div_ceil(shortest.as_nanos().max(1));
        if total.as_nanos() < least {
            return Err(PartError::TooShort {
                typed: typed.to_owned(),
                phase: phase.name.as_ref().map_or_else(String::new, |name| name.value.clone()),
                length: human_duration(shortest.mul_f64(total.as_secs_f64() / before.as_secs_f64())),
                least_ms: least.div_ceil(1_000_000),
            });
        }
    }
    // Scale the ends, so that rounding does not change the total.
    let scaled = |end: Duration| {
        let nanos = end.as_nanos() * total.as_nanos() / before.as_nanos().max(1);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    };
    let mut end = Duration::ZERO;
    for duration in phases.iter_mut().filter_map(|phase| phase.duration.as_mut()) {
        let start = scaled(end);
        end += *duration;
        *duration = scaled(end) - start;
    }
    Ok(before)
}

/// Scales the times of faults in the same way, so that each stays in its place in the phases.
fn scale_faults(faults: &mut [FaultSpec], before: Duration, total: Duration) {
    let ratio = total.as_secs_f64() / before.as_secs_f64().max(f64::MIN_POSITIVE);
    for time in faults.iter_mut().flat_map(|fault| [&mut fault.at, &mut fault.length]).flatten() {
        // Rounded down, so that a fault that ends with its phase still does.
        time.value =
            Duration::from_micros(u64::try_from(time.value.mul_f64(ratio).as_micros()).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests;
