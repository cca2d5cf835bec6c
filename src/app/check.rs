//! `hubstorm check`: prints a plan and the resources it needs, with warnings about resources that this machine lacks. It
//! starts nothing and sends nothing.

mod fleet;

use super::plan_warnings::{self, cleartext_password};
use super::{AppError, Env, preflight, print, read_scenario};
use crate::cli::CheckArgs;
use crate::plan::{CallPlan, DrivePlan, FleetPlan, Needs, PhasePlan, Plan, Spread, TargetKind, Threshold};
use crate::units::{Percent, Rate, human_bytes, human_count, human_duration, plural};
use fleet::write_fleet;
use std::fmt::{self, Write};

/// Resolves the scenario and prints its plan.
pub(super) async fn run(args: &CheckArgs, env: &mut Env) -> Result<(), AppError> {
    let plan = read_scenario::plan(&args.scenario, env).await?;
    let workers = super::run::workers(args.workers, &plan);
    let text = format!("{}{}", describe(&plan, workers), preflight::shortfalls(&plan, workers).await);
    print(env, &text)
}

/// Describes the plan and the resources it needs with `workers` workers. The text contains no secrets.
#[must_use]
fn describe(plan: &Plan, workers: usize) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_plan(&mut out, plan, workers);
    out
}

fn write_plan(out: &mut String, plan: &Plan, workers: usize) -> fmt::Result {
    writeln!(out, "{}  ({}, seed {})", plan.name, plan.source.file, plan.seed)?;
    for text in &plan.source.overrides {
        writeln!(out, "  with {text}")?;
    }
    writeln!(out, "\ntarget\n  {}", target(plan))?;
    if let Some(warning) = cleartext_password(plan) {
        writeln!(out, "  warning: {warning}")?;
    }
    writeln!(out, "\nfleets")?;
    for (fleet, number) in plan.fleets.iter().zip(0..) {
        write_fleet(out, fleet, number, &plan.deliveries)?;
    }
    if !plan.drives.is_empty() {
        writeln!(out, "\nservice client")?;
    }
    for drive in &plan.drives {
        write_drive(out, drive, &plan.fleets)?;
    }
    writeln!(
        out,
        "\nphases  ({} in total, then up to {} to drain)",
        human_duration(plan.schedule.end()),
        human_duration(plan.drain)
    )?;
    for phase in plan.schedule.phases() {
        write_phase(out, phase)?;
    }
    writeln!(out, "\nthresholds")?;
    let longest = plan.thresholds.iter().map(|threshold| threshold.metric.name().len() + 2).max();
    let width = longest.unwrap_or(0).max(14);
    for threshold in &plan.thresholds {
        let phase = threshold.phase.and_then(|index| plan.schedule.phases().get(usize::from(index)));
        let fleet = threshold.fleet.and_then(|index| plan.fleets.get(usize::from(index)));
        write!(out, "  {:<width$}{}", threshold.metric.name(), threshold.expression)?;
        if let Some(phase) = phase {
            write!(out, "  in phase {}", phase.name)?;
        }
        if let Some(fleet) = fleet {
            write!(out, "  of fleet {}", fleet.name)?;
        }
        writeln!(out, "{}", aborts(plan, threshold))?;
    }
    writeln!(out, "  every fleet connects at least once")?;
    if let Some(unreachable) = plan.abort_when_unreachable {
        let unreachable = human_duration(unreachable);
        writeln!(
            out,
            "  the run ends early if all devices that should be online are offline for {unreachable}"
        )?;
    }
    out.push_str(&plan_warnings::notes(plan));
    write_needs(out, plan, workers)
}

/// Describes when a failed threshold ends the run early.
fn aborts(plan: &Plan, threshold: &Threshold) -> String {
    match (threshold.abort_after, plan.first_judged(threshold)) {
        (None, _) => String::new(),
        (Some(after), Some(phase)) if !after.is_zero() => format!(
            "; a failure ends the run, but not before {} into phase {}",
            human_duration(after),
            phase.name
        ),
        (Some(_), _) => "; a failure ends the run".to_owned(),
    }
}

fn target(plan: &Plan) -> String {
    if plan.emulator.is_some() {
        return "the built-in IoT hub on this machine, over TLS (no throttling, no quotas)".to_owned();
    }
    let kind = match plan.target.kind {
        TargetKind::IotHub => "IoT hub",
        TargetKind::Mqtt => "MQTT 3.1.1 broker",
    };
    let transport = match &plan.target.tls {
        None => "plain TCP".to_owned(),
        Some(tls) => {
            let roots = tls
                .ca
                .as_ref()
                .map_or_else(|| "the system's root certificates".to_owned(), |ca| ca.display().to_string());
            if tls.verify {
                format!("TLS, trusting {roots}")
            } else {
                "TLS, certificates NOT verified".to_owned()
            }
        }
    };
    format!("{kind} {} over {transport}", plan.target.address())
}

fn write_drive(out: &mut String, drive: &DrivePlan, fleets: &[FleetPlan]) -> fmt::Result {
    let call = match &drive.call {
        CallPlan::Method { name, .. } => format!("the method {name}"),
        CallPlan::Desired => "desired properties".to_owned(),
        CallPlan::C2d { .. } => "cloud-to-device messages".to_owned(),
    };
    let fleet = fleets.get(usize::from(drive.fleet)).map_or("", |fleet| fleet.name.as_str());
    let spread = if drive.arrival.spread == Spread::Poisson { "poisson" } else { "regular, in turn" };
    let rate = Rate::per_second(drive.arrival.rate_hz).map(|rate| rate.to_string()).unwrap_or_default();
    let operation = drive.call.operation();
    writeln!(
        out,
        "  {operation}: {call} of fleet {fleet}, {spread}, {rate} in total with every device online"
    )
}

fn write_phase(out: &mut String, phase: &PhasePlan) -> fmt::Result {
    let change = |[from, to]: [f64; 2]| {
        let (from, to) = (Percent::from_fraction(from), Percent::from_fraction(to));
        if from == to { from.to_string() } else { format!("{from} -> {to}") }
    };
    let warmup = if phase.warmup { "  warm-up" } else { "" };
    let duration = human_duration(phase.end - phase.start);
    let (online, load) = (change(phase.online), change(phase.load));
    writeln!(out, "  {:<14}{duration:<10}online {online:<14}load {load}{warmup}", phase.name)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an approximate count for display; the cast saturates"
)]
fn whole(count: f64) -> String {
    human_count(count.round() as u64)
}

fn write_needs(out: &mut String, plan: &Plan, workers: usize) -> fmt::Result {
    let Needs { descriptors, ports, ports_closing, memory_bytes, memory_max_bytes } = plan.needs(workers);
    let emulator = if plan.emulator.is_some() { ", and the same number for the built-in hub" } else { "" };
    writeln!(out, "\nneeds")?;
    writeln!(out, "  messages      about {}", whole(plan.planned_messages()))?;
    if !plan.drives.is_empty() {
        let calls: f64 = plan.drives.iter().map(|drive| plan.planned_calls(drive)).sum();
        writeln!(out, "  calls         about {}", whole(calls))?;
    }
    writeln!(out, "  descriptors   {}{emulator}", human_count(descriptors))?;
    let closing = match ports_closing {
        0 => String::new(),
        closing => format!(", and up to {} for closed connections", human_count(closing)),
    };
    let sources = match plan.target.source_ips.len() {
        0 => String::new(),
        n => format!(", rotating over {}", plural(n as u64, "source address", "source addresses")),
    };
    writeln!(out, "  ports         {} ephemeral ports to the target{closing}{sources}", human_count(ports))?;
    writeln!(
        out,
        "  memory        about {} with {}, up to {} if the hub stops reading and acknowledging",
        human_bytes(memory_bytes),
        plural(workers as u64, "worker", "workers"),
        human_bytes(memory_max_bytes)
    )
}

#[cfg(test)]
mod tests;
