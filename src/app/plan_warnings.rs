//! Warnings and notes about a valid plan: settings that are allowed but rarely intended, such as a threshold that can only fail. `check` and
//! `run` print them, together with the warnings about this machine. Uses only the plan.

use super::columns::Layout;
use crate::measure::{Compare, Test};
use crate::plan::{
    CallPlan, DrivePlan, FleetPlan, Offline, Plan, Remedy, Subscription, TargetKind, address_of,
    is_loopback_host,
};
use crate::scenario::masked;
use crate::units::{Percent, human_count, human_duration, plural, set_duration, written_duration};
use message::{Weight, format_threshold};
use std::collections::BTreeSet;

mod message;
mod recoveries;

/// The warnings and notes about a plan, and the warnings about this machine.
pub(super) struct Warnings {
    /// The text: warnings about the plan, then about this machine, then notes.
    pub(super) text: String,
    /// Number of warnings about the plan.
    pub(super) plan: usize,
    /// Number of warnings about this machine.
    pub(super) machine: usize,
}

/// Collects the warnings and notes. `shortfalls` are the warnings about this machine.
#[must_use]
pub(super) fn collect(plan: &Plan, shortfalls: &[String], layout: Layout) -> Warnings {
    let (warnings, notes): (Vec<_>, Vec<_>) =
        found(plan).into_iter().partition(|(weight, _)| *weight == Weight::Warning);
    let line = |label: &str, text: &str| layout.message(label, &masked(&plan.source.advice(text)));
    let about_plan = warnings.iter().map(|(_, text)| line("warning", text));
    let about_machine = shortfalls.iter().map(|text| line("warning", text));
    let text = about_plan.chain(about_machine).chain(notes.iter().map(|(_, text)| line("note", text)));
    Warnings { text: text.collect(), plan: warnings.len(), machine: shortfalls.len() }
}

/// Returns the warnings and notes about a plan.
fn found(plan: &Plan) -> Vec<(Weight, String)> {
    let warning = |text| (Weight::Warning, text);
    let fleets = plan.fleets.iter().zip(0..);
    let from_scenario = plan.warnings.iter().cloned().map(warning);
    from_scenario
        .chain(incomplete_hosts(plan).map(warning))
        .chain(cleartext_password(plan).map(warning))
        .chain(thin_thresholds(plan).map(warning))
        .chain(impossible_thresholds(plan).map(warning))
        .chain(recoveries::unreachable(plan).map(warning))
        .chain(recoveries::undisturbed(plan))
        .chain(never_online(plan).into_iter().map(warning))
        .chain(late_aborts(plan).map(warning))
        .chain(plan.drives.iter().filter_map(|drive| unhandled_calls(plan, drive)))
        .chain(fleets.flat_map(|(fleet, number)| untracked(plan, fleet, number)))
        .chain(device_lists(plan))
        .chain(plan.fleets.iter().filter_map(|fleet| gives_up(plan, fleet)).map(|text| (Weight::Note, text)))
        .collect()
}

/// Warns about names of IoT hubs without their domain, or with a misspelled one.
fn incomplete_hosts(plan: &Plan) -> impl Iterator<Item = String> {
    let is_hub = plan.target.kind == TargetKind::IotHub && plan.emulator.is_none();
    plan.target.hosts().filter(move |_| is_hub).filter_map(|(host, _)| incomplete_host(host))
}

fn incomplete_host(host: &str) -> Option<String> {
    if is_loopback_host(host) {
        return None;
    }
    if !host.contains(['.', ':']) {
        return Some(format!("target.host {host} has no domain; did you mean {host}.azure-devices.net?"));
    }
    let (name, domain) = host.split_once('.')?;
    matches!(&*domain.to_ascii_lowercase(), "azure-device.net" | "azuredevices.net" | "azure-devices.com")
        .then(|| {
            format!(
                "target.host {host} is not in the domain of IoT hubs; did you mean {name}.azure-devices.net?"
            )
        })
}

/// Returns a warning if passwords cross the network unencrypted. `run` and `check` print it, and the result records it.
#[must_use]
pub(super) fn cleartext_password(plan: &Plan) -> Option<String> {
    let has_password = plan.fleets.iter().any(|fleet| fleet.auth.has_password());
    let remote = plan.target.hosts().filter(|(host, _)| !is_loopback_host(host));
    let remote: Vec<String> = remote.map(|(host, port)| address_of(host, port)).collect();
    (has_password && plan.target.tls.is_none() && !remote.is_empty()).then(|| {
        format!(
            "passwords are sent to {} in clear text over plain TCP; set tls = true in [target]",
            remote.join(", ")
        )
    })
}

/// Warns about each threshold with too few planned samples, and names the changes that give it enough.
fn thin_thresholds(plan: &Plan) -> impl Iterator<Item = String> {
    plan.undersampled_thresholds().into_iter().map(|(threshold, needed, planned)| {
        let name = format_threshold(plan, threshold);
        let fails = "it will fail with \"not enough data\"";
        match (planned, threshold.phase) {
            (0, Some(_)) => format!("threshold {name} has no samples in that phase; {fails}; name another phase"),
            (0, None) => {
                format!("threshold {name} has no samples outside warm-up phases; {fails}; name the phase with the samples")
            }
            _ => format!(
                "threshold {name} needs {} samples, but the plan produces only about {}; {fails}; {}",
                human_count(needed),
                human_count(planned),
                remedies(plan, plan.remedy(threshold, needed, planned))
            ),
        }
    })
}

/// Warns about each threshold that fails whatever the run measures, such as `rate(ok) > 100%`.
fn impossible_thresholds(plan: &Plan) -> impl Iterator<Item = String> {
    plan.thresholds.iter().filter_map(|threshold| {
        let (range, fix) = match threshold.test {
            Test::Rate { compare: Compare::Greater, limit, .. } if limit >= 1.0 => {
                ("a rate is at most 100%", "use >= or a smaller limit")
            }
            Test::Rate { compare: Compare::Less, limit, .. } if limit <= 0.0 => {
                ("a rate is at least 0%", "use <= or a larger limit")
            }
            Test::Count { compare: Compare::Less, limit: 0, .. } => {
                ("a count is at least 0", "use <= or a larger limit")
            }
            _ => return None,
        };
        let threshold = format_threshold(plan, threshold);
        Some(format!("threshold {threshold} can only fail: {range}; {fix}"))
    })
}

/// Returns a note about a fleet whose devices can give up reconnecting before the end of the load.
fn gives_up(plan: &Plan, fleet: &FleetPlan) -> Option<String> {
    let (policy, load) = (&fleet.reconnect, plan.schedule.end());
    let earliest = policy.gives_up_after_at_least().filter(|earliest| *earliest < load)?;
    let limit = match (policy.gives_up_attempts, policy.gives_up_after) {
        (Some(attempts), _) => plural(attempts.into(), "failed attempt in a row", "failed attempts in a row"),
        (None, limit) => format!("{} offline", set_duration(limit.unwrap_or_default())),
    };
    let earliest = match policy.gives_up_attempts {
        Some(_) if earliest.is_zero() => ", which jitter can make arbitrarily short".to_owned(),
        Some(_) => format!(", at the earliest {} after a connection loss", set_duration(earliest)),
        None => String::new(),
    };
    let outcome = match fleet.offline {
        Offline::Queue => "expired",
        Offline::Skip => "offline",
    };
    Some(format!(
        "devices of fleet {} can give up reconnecting within the load of {}: after {limit}{earliest}. They then stay offline until the \
         plan connects them again, and their due messages end as {outcome}; for devices that retry without end, set `reconnect` \
         without `give_up`",
        fleet.name,
        set_duration(load)
    ))
}

/// Warns about fleets whose devices never connect, because `online` is too small in every phase.
fn never_online(plan: &Plan) -> Vec<String> {
    let schedules = plan.fleets.iter().map(|fleet| plan.schedule_of(fleet));
    let mut phases = schedules.flat_map(|schedule| schedule.phases());
    if phases.all(|phase| phase.online.iter().all(|share| *share <= 0.0)) {
        return vec![
            "no device connects: `online` is \"0%\" in every phase; set online = \"100%\" in a phase"
                .to_owned(),
        ];
    }
    let offline =
        |fleet: &&FleetPlan| plan.schedule_of(fleet).open_spans(0, u64::from(fleet.devices)).is_empty();
    let fleets = plan.fleets.iter().filter(offline);
    let text = |fleet: &FleetPlan| {
        format!(
            "no device of fleet {} connects: `online` rounds to 0 of {} in every phase; increase `online` or `devices`",
            fleet.name,
            plural(u64::from(fleet.devices), "device", "devices")
        )
    };
    fleets.map(text).collect()
}

/// Describes the changes that give a threshold enough samples.
fn remedies(plan: &Plan, remedy: Remedy) -> String {
    let Remedy { duration, devices, percentile } = remedy;
    let duration = duration.and_then(|(phase, duration)| {
        let phase = plan.schedule.phases().get(usize::from(phase))?;
        Some(format!("run phase {} for {}", phase.name, written_duration(duration)))
    });
    let devices = devices.and_then(|(fleet, devices)| {
        let fleet = plan.fleets.get(usize::from(fleet))?;
        Some(format!("use {} devices in fleet {}", human_count(devices), fleet.name))
    });
    let percentile = percentile.map(|quantile| {
        let percent = Percent::from_fraction(quantile).to_string();
        format!("use p({})", percent.trim_end_matches('%'))
    });
    let any: Vec<String> = [duration, devices, percentile].into_iter().flatten().collect();
    if any.is_empty() { "use max or avg instead".to_owned() } else { any.join(", or ") }
}

/// Warns about each threshold with `abort` that cannot end the run before the end of the load.
fn late_aborts(plan: &Plan) -> impl Iterator<Item = String> {
    plan.thresholds.iter().filter_map(|threshold| {
        let after = threshold.abort_after?;
        let too_late = plan.abort_from(threshold).is_none_or(|from| from >= plan.schedule.end());
        too_late.then(|| {
            let (threshold, after) = (format_threshold(plan, threshold), human_duration(after));
            format!(
                "threshold {threshold} cannot end the run early: the load ends before its `after` ({after}); shorten `after`"
            )
        })
    })
}

/// Returns a warning about calls to a fleet that does not subscribe to them, or a note if it does not implement the method.
fn unhandled_calls(plan: &Plan, drive: &DrivePlan) -> Option<(Weight, String)> {
    let fleet = plan.fleets.get(usize::from(drive.fleet))?;
    let subscribes = |to: &Subscription| fleet.subscribe.contains(to);
    let name = &fleet.name;
    match &drive.call {
        CallPlan::Method { .. } if !subscribes(&Subscription::Methods) => Some((
            Weight::Warning,
            format!(
                "fleet {name} does not subscribe to \"methods\": the hub refuses each call as if the device were offline; add \"methods\" to fleet.{name}.subscribe"
            ),
        )),
        CallPlan::Method { name: method, .. } if !fleet.methods.iter().any(|known| known.name == *method) => {
            Some((
                Weight::Note,
                format!(
                    "fleet {name} has no methods.{method}: its devices answer each call with status 501, which counts as an answer"
                ),
            ))
        }
        CallPlan::C2d { .. } if !subscribes(&Subscription::C2d) => Some((
            Weight::Warning,
            format!(
                "fleet {name} does not subscribe to \"c2d\": messages stay in the hub's queues of at most 50 messages per device; add \"c2d\" to fleet.{name}.subscribe"
            ),
        )),
        CallPlan::Method { .. } | CallPlan::C2d { .. } | CallPlan::Desired => None,
    }
}

/// Returns the warnings and notes about files with devices. Each appears once, because several fleets may use the same file.
fn device_lists(plan: &Plan) -> BTreeSet<(Weight, String)> {
    let lists = plan.fleets.iter().filter_map(|fleet| fleet.auth.device_list());
    let messages = lists.flat_map(|list| {
        let warnings = list.warnings().iter().map(|text| (Weight::Warning, text));
        warnings.chain(list.notes().iter().map(|text| (Weight::Note, text)))
    });
    messages.map(|(weight, text)| (weight, text.clone())).collect()
}

/// Returns warnings about stamped messages that no fleet subscribes to, and a note about a fleet that only subscribes but receives no
/// tracked messages.
fn untracked(plan: &Plan, fleet: &FleetPlan, number: u16) -> Vec<(Weight, String)> {
    let sends = fleet.sends.iter().zip(0..);
    let without_subscriber = sends
        .filter(|(send, stream)| send.payload.has_stamp() && !plan.deliveries.is_tracked(number, *stream));
    let name = &fleet.name;
    let mut notes: Vec<(Weight, String)> = without_subscriber
        .map(|(send, _)| {
            (Weight::Warning, format!("fleet {name} sends ${{stamp}} to {}, but no fleet subscribes to that topic: deliver is not measured", send.topic))
        })
        .collect();
    let filters = fleet.subscribe.iter().filter_map(|subscription| match subscription {
        Subscription::Filter(filter, _) => Some(filter.to_string()),
        Subscription::C2d | Subscription::Twin | Subscription::Methods => None,
    });
    let filters: Vec<String> = filters.collect();
    if fleet.sends.is_empty() && !filters.is_empty() && !plan.deliveries.receives(number) {
        notes.push((Weight::Note, format!(
            "fleet {name} subscribes to {}, but no fleet sends messages there that can be tracked (with ${{stamp}}, or with a size of 38 or more): \
             deliver is not measured",
            filters.join(", ")
        )));
    }
    notes
}

#[cfg(test)]
mod tests;
