//! Resolves `arrival = "replay"`: reads the rows of the recording, checks them against the fleet and the limits of the target, and counts
//! the rows that the phases leave out. Used by `resolve` when the schedules are known. `recording` parses the file.
//!
//! Recordings are too large for memory, so this file opens them itself, unlike the other files that a scenario names.

use super::context::ResolveContext;
use super::quoting::quoted;
use crate::iothub::message_size::message_bytes;
use crate::iothub::{limits, properties};
use crate::plan::model::{FleetPlan, SendPlan, TargetKind};
use crate::plan::payload::{Payload, TemplateContext};
use crate::plan::recording::{
    self, HeadColumn, LineProblem, PlannedRows, Recording, RowProblem, RowWriter, Summary, TableRow,
};
use crate::plan::schedule::{DeviceSeed, Schedule, Span, Stays};
use crate::scenario::{Errors, ReplaySpec, Scenario, SendSpec, Written, resolve_path};
use crate::units::{exact_bytes, human_count, human_duration, plural};
use crate::wire::{REMAINING_BYTES_MAX, STRING_BYTES_MAX};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Reads the recordings of all fleets. Returns warnings about rows that are not sent. Does nothing after an error, because the devices
/// may then be wrong.
pub(super) fn resolve(
    scenario: &Scenario,
    fleets: &mut [FleetPlan],
    (schedule, seed): (&Schedule, u64),
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if !errors.is_empty() {
        return warnings;
    }
    for (spec, fleet) in scenario.fleets.iter().zip(fleets) {
        for (number, send) in spec.sends.iter().enumerate() {
            let Some(ReplaySpec { file: Some(file), speed, repeat }) = &send.replay else { continue };
            let Some(plan) = fleet.sends.get(number) else { continue };
            let target = Target { fleet, send: plan, is_hub: context.kind == Some(TargetKind::IotHub) };
            let Some(mut recording) = read(send, file, (*speed, *repeat), &target, context, errors) else {
                continue;
            };
            let schedule = fleet.own_schedule.as_ref().unwrap_or(schedule);
            let rate_hz = match mean_rate(&mut recording, fleet, schedule, seed) {
                Ok(rate_hz) => rate_hz,
                Err(error) => {
                    temporary_file(&error, file, errors);
                    continue;
                }
            };
            let place = file.place.written(&scenario.file);
            warnings.extend(not_sent(&recording, schedule).map(|what| format!("{place}: {what}")));
            if let Some(plan) = fleet.sends.get_mut(number) {
                plan.arrival.rate_hz = rate_hz;
                plan.payload = Payload::recorded(recording);
            }
        }
    }
    warnings
}

/// The stream that sends the rows of a recording.
struct Target<'a> {
    fleet: &'a FleetPlan,
    send: &'a SendPlan,
    is_hub: bool,
}

/// Reads and checks a file.
fn read(
    spec: &SendSpec,
    file: &Written<PathBuf>,
    (speed, repeat): (f64, bool),
    target: &Target<'_>,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Option<Recording> {
    let path = resolve_path(context.scenario, &file.place, &file.value);
    let input = match open(&path) {
        Ok(input) => input,
        Err(error) => {
            let problem = errors.add(&file.place, format!("cannot read {}: {error}", path.display()));
            problem.fix("paths in a scenario are relative to the scenario's folder; check the path and the file's permissions");
            return None;
        }
    };
    let devices: HashMap<String, u32> =
        (0..target.fleet.devices).map(|index| (target.fleet.device_id(index), index)).collect();
    let topic_bytes = devices
        .iter()
        .map(|(device, &index)| target.send.topic.render(&TemplateContext { device, index }).len())
        .max()
        .unwrap_or(0);
    let mut summary = Summary::default();
    let mut writer = RowWriter::new(target.fleet.devices);
    let head = if target.is_hub { HeadColumn::Properties } else { HeadColumn::Topic };
    let table = recording::read(input, head, &mut |row| {
        let device = *devices.get(row.device).ok_or_else(|| unknown_device(row.device, target.fleet))?;
        let billed_bytes = target.check(row, topic_bytes)?;
        let head = row.head.unwrap_or_default();
        summary.add(row.time_ns, head.len() + row.payload.len(), billed_bytes, speed);
        if let Ok(rows) = &mut writer
            && let Err(error) = rows.push(device, row.time_ns, head.as_bytes(), row.payload)
        {
            writer = Err(error);
        }
        Ok(())
    });
    let path = path.display().to_string();
    add_problems(&table.problems, table.more, &path, file, errors);
    check_head(spec, head, table.has_head, &path, errors);
    if repeat && table.rows > 0 && summary.period_ns().is_none() {
        let problem = errors
            .add(&spec.place.below("repeat"), "all rows have the same time, so there is nothing to repeat");
        problem.fix("remove repeat");
    }
    (summary.sha256, summary.ignored) = (table.sha256, table.ignored);
    match writer.and_then(RowWriter::finish) {
        Ok(rows) if errors.is_empty() => {
            Some(Recording::new(rows, summary, file.text.clone(), speed, repeat))
        }
        Ok(_) => None,
        Err(error) => {
            temporary_file(&error, file, errors);
            None
        }
    }
}

/// Opens a file. Refuses devices and pipes, which may never end.
fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    match file.metadata()? {
        data if data.is_file() => Ok(file),
        data if data.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

fn temporary_file(error: &io::Error, file: &Written<PathBuf>, errors: &mut Errors) {
    let folder = std::env::temp_dir();
    let what = format!("cannot copy the rows to a temporary file in {}: {error}", folder.display());
    errors.add(&file.place, what).fix(
        "free as much space there as the file has, or set the environment variable TMPDIR to another folder",
    );
}

fn add_problems(
    problems: &[LineProblem],
    more: u64,
    path: &str,
    file: &Written<PathBuf>,
    errors: &mut Errors,
) {
    for LineProblem { line, problem: RowProblem { what, fix } } in problems {
        let at = line.map_or_else(|| path.to_owned(), |line| format!("{path}:{line}"));
        errors.add(&file.place, format!("{at}: {what}")).fix(fix.clone());
    }
    if more > 0 {
        errors.add(&file.place, format!("{path}: {} with mistakes", plural(more, "more row", "more rows")));
    }
}

/// Checks that the topic or the properties come either from the file or from the scenario.
fn check_head(spec: &SendSpec, head: HeadColumn, has_column: bool, path: &str, errors: &mut Errors) {
    let both = |name: &str| format!("{path} has the column {name}, too");
    let fix = "remove the key, or the column";
    match head {
        HeadColumn::Topic => match &spec.topic {
            Some(topic) if has_column => {
                errors.add(&topic.place, both("topic")).found(quoted(&topic.text)).fix(fix);
            }
            // Another error, such as an unreadable header, is enough.
            None if !has_column && errors.is_empty() => {
                let what = format!("missing: a plain broker needs topics, and {path} has no column topic");
                errors
                    .add(&spec.place.below("topic"), what)
                    .fix("add the column, or topic = \"bench/${device}\" for all messages");
            }
            _ => {}
        },
        HeadColumn::Properties => {
            if let Some((_, value)) = spec.properties.first().filter(|_| has_column) {
                errors.add(&value.place, both("properties")).fix(fix);
            }
        }
    }
}

fn unknown_device(id: &str, fleet: &FleetPlan) -> RowProblem {
    let [first, last] = [0, fleet.devices - 1].map(|index| fleet.device_id(index));
    let what = format!("fleet {} has no device {}", fleet.name, recording::excerpt(id));
    RowProblem::new(
        what,
        format!("its devices are {first} to {last}: change devices or id, or remove the row"),
    )
}

impl Target<'_> {
    /// Checks a row against the limits of the target. `topic_bytes` is the size of the longest topic without the part from the file.
    /// Returns the size of the message as an IoT hub counts it.
    fn check(&self, row: &TableRow<'_>, topic_bytes: usize) -> Result<usize, RowProblem> {
        let head = row.head.unwrap_or_default();
        if head.contains('\0') {
            return Err(RowProblem::new("a topic must not contain a NUL", "remove it"));
        }
        let topic_bytes = topic_bytes + head.len();
        if topic_bytes > STRING_BYTES_MAX {
            let what = format!("the topic is too long for MQTT: {}", exact_bytes(topic_bytes));
            return Err(RowProblem::new(what, format!("use at most {}", exact_bytes(STRING_BYTES_MAX))));
        }
        if !self.is_hub {
            if row.head.is_some_and(str::is_empty) {
                return Err(RowProblem::new("the topic is empty", "write a topic, such as bench/device-1"));
            }
            if head.contains(['+', '#']) {
                let what = format!("the topic {} contains a wildcard", recording::excerpt(head));
                return Err(RowProblem::new(
                    what,
                    "wildcards are for subscriptions: use a topic without + or #",
                ));
            }
            let most = REMAINING_BYTES_MAX - 4 - topic_bytes;
            if row.payload.len() > most {
                let what = format!("too large for MQTT: {}", exact_bytes(row.payload.len()));
                return Err(RowProblem::new(what, format!("use at most {}", exact_bytes(most))));
            }
            return Ok(row.payload.len());
        }
        if let Some(wrong) = properties::unescaped(head) {
            let what = format!("the properties contain an unescaped {wrong}");
            return Err(RowProblem::new(
                what,
                "percent-encode names and values: name=value&%24.ct=application%2Fjson",
            ));
        }
        if properties::decode(head).is_err() {
            return Err(RowProblem::new(
                "the properties are not UTF-8 after decoding",
                "percent-encode them as UTF-8",
            ));
        }
        let bytes = message_bytes(row.payload.len(), head) + self.send.properties_bytes;
        if bytes > limits::TELEMETRY_BYTES_MAX {
            let what = format!("too large for an IoT hub: {} with properties", exact_bytes(bytes));
            return Err(RowProblem::new(
                what,
                format!("use at most {}", exact_bytes(limits::TELEMETRY_BYTES_MAX)),
            ));
        }
        Ok(bytes)
    }
}

/// Counts the due rows, and returns the mean rate of a device while it is online, at a load of 100%.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^52")]
fn mean_rate(
    recording: &mut Recording,
    fleet: &FleetPlan,
    schedule: &Schedule,
    seed: u64,
) -> io::Result<f64> {
    let load = recording.load();
    if let Some(period) = load.repeats_after {
        return Ok(load.rows as f64 / period.as_secs_f64() / f64::from(fleet.devices));
    }
    let planned = planned(recording, fleet, schedule, seed)?;
    let due: u64 = planned.by_phase.iter().sum();
    recording.set_planned(planned);
    let load_seconds = schedule.load_seconds(fleet.devices.into(), 0, u64::MAX);
    Ok(if due > 0 { due as f64 / load_seconds } else { 0.0 })
}

/// The planned spans of a device.
struct Presence<'a> {
    stays: Stays<'a>,
    span: Option<Span>,
}

impl Presence<'_> {
    /// Returns whether the device is planned to be online. The times must be in order.
    fn is_online(&mut self, at_ns: u64) -> bool {
        while self.span.is_some_and(|span| span.to_ns <= at_ns) {
            self.span = self.stays.next().map(|stay| stay.span);
        }
        self.span.is_some_and(|span| span.from_ns <= at_ns)
    }
}

/// Counts the rows of a recording that is replayed once, by the phase in which they are due.
#[expect(clippy::cast_precision_loss, reason = "exact for a hundred days, and scenarios are shorter")]
fn planned(
    recording: &Recording,
    fleet: &FleetPlan,
    schedule: &Schedule,
    seed: u64,
) -> io::Result<PlannedRows> {
    let devices = u64::from(fleet.devices);
    let presence = |rank| {
        let mut stays = schedule.stays(&DeviceSeed { seed, first: fleet.first, rank, devices });
        let span = stays.next().map(|stay| stay.span);
        Presence { stays, span }
    };
    let mut online: Vec<Presence<'_>> = (0..devices).map(presence).collect();
    let mut planned = PlannedRows { by_phase: vec![0; schedule.phases().len()], ..PlannedRows::default() };
    recording.for_each(|device, time_ns| {
        let Some(due_ns) = schedule.load().inverse(time_ns as f64 / 1e9 / recording.speed()) else {
            planned.after_end += 1;
            return;
        };
        let online = online.get_mut(usize::try_from(device).unwrap_or(usize::MAX));
        match planned.by_phase.get_mut(usize::from(schedule.phase_at(due_ns))) {
            Some(due) if online.is_some_and(|online| online.is_online(due_ns)) => *due += 1,
            _ => planned.offline += 1,
        }
    })?;
    Ok(planned)
}

/// Describes the rows that are not sent.
fn not_sent(recording: &Recording, schedule: &Schedule) -> impl Iterator<Item = String> {
    let (load, planned) = (recording.load(), recording.planned());
    let of = |rows: u64| format!("{} of {} rows", human_count(rows), human_count(load.rows));
    let after_end = (planned.after_end > 0).then(|| {
        format!(
            "{} would be due after the last phase and are not sent: the replay takes {} at a load of 100%, and the phases only {}; \
             lengthen a phase, or increase speed",
            of(planned.after_end),
            human_duration(load.length),
            human_duration(Duration::from_secs_f64(schedule.load().total())),
        )
    });
    let offline = (planned.offline > 0).then(|| {
        format!(
            "{} would be due while their device is planned to be offline and are not sent; a load of \"0%\" pauses the replay, \
             for example until all devices have connected",
            of(planned.offline)
        )
    });
    [after_end, offline].into_iter().flatten()
}

#[cfg(test)]
mod tests;
