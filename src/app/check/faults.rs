//! Describes the faults of a plan, for `check`: those of the built-in hub, and those of fleets. Uses only the plan.

use crate::app::columns::Layout;
use crate::plan::{FaultPlan, Plan};
use crate::policy::fault::{Fault, FaultKind};
use crate::policy::network::Network;
use crate::units::{human_bits_per_s, human_duration, plural};
use std::time::Duration;

/// The maximum number of faults that the description lists.
const FAULTS_MAX: usize = 20;

/// Writes the faults of the built-in hub, and those of fleets.
pub(super) fn write((out, layout): (&mut String, Layout), plan: &Plan) {
    let of_hub = plan.faults.iter().map(|FaultPlan { fault, fleet, devices, random, .. }| {
        let fleet = fleet.and_then(|fleet| plan.fleets.get(usize::from(fleet)));
        (fault, fleet.map(|fleet| fleet.name.as_str()), *devices, *random)
    });
    write_list((out, layout), "faults of the built-in hub", of_hub.collect());
    let of_fleets = plan.fleets.iter().flat_map(|fleet| {
        fleet.faults.iter().map(|one| (&one.fault, Some(fleet.name.as_str()), fleet.affected(one), false))
    });
    write_list((out, layout), "faults of fleets", of_fleets.collect());
}

/// A fault, its fleet, its number of devices, and whether it is random.
type Listed<'a> = (&'a Fault, Option<&'a str>, u64, bool);

fn write_list((out, layout): (&mut String, Layout), title: &str, faults: Vec<Listed<'_>>) {
    if faults.is_empty() {
        return;
    }
    *out += &format!("\n{title}\n");
    for (fault, fleet, devices, random) in faults.iter().take(FAULTS_MAX) {
        let length = match fault.length.is_zero() {
            true => "once".to_owned(),
            false => format!("for {}", human_duration(fault.length)),
        };
        let fleet = fleet.map_or_else(String::new, |fleet| format!(" of fleet {fleet}"));
        let text = format!(
            "{}, at {} {length}, {}{fleet}{}",
            what(fault),
            start(fault.at),
            plural(*devices, "device", "devices"),
            if *random { ", random" } else { "" },
        );
        *out += &layout.wrapped("  ", "    ", &text);
    }
    if let Some(more) = faults.len().checked_sub(FAULTS_MAX).filter(|more| *more > 0) {
        *out += &format!("  and {more} more\n");
    }
}

/// Formats the start of a fault.
fn start(at: Duration) -> String {
    if at.is_zero() { "0 s".to_owned() } else { human_duration(at) }
}

fn what(fault: &Fault) -> String {
    let name = fault.kind.name();
    match fault.kind {
        kind if kind.takes_code() => format!("{name} with code {}", fault.code),
        FaultKind::SlowHandshake => format!("{name} over {}", human_duration(fault.by)),
        FaultKind::Latency => format!("{name}: {}", network(&fault.network)),
        FaultKind::Bandwidth => format!("{name} of {}", human_bits_per_s(fault.network.up_bits_per_s)),
        FaultKind::Profile => {
            let profile = fault.profile.map_or("", |profile| profile.name);
            format!("{name} {profile} ({})", network(&fault.network))
        }
        kind if kind.takes_by() => format!("{name} by {}", human_duration(fault.by)),
        _ => name.to_owned(),
    }
}

/// Describes a network: `round trip 150 ms ± 50 ms, 750 kbit/s up, 1,600 kbit/s down`.
fn network(network: &Network) -> String {
    let mut text = format!("round trip {}", human_duration(network.round_trip));
    if network.jitter > Duration::ZERO {
        text += &format!(" ± {}", human_duration(network.jitter));
    }
    if network.up_bits_per_s > 0 {
        let [up, down] = [network.up_bits_per_s, network.down_bits_per_s].map(human_bits_per_s);
        text += &format!(", {up} up, {down} down");
    }
    text
}
