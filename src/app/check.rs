//! `hubstorm check`: prints a plan and the resources it needs, with warnings about mistakes and about resources that this machine lacks.
//! It starts nothing and sends nothing.

mod faults;
mod fleet;

use super::columns::Layout;
use super::{AppError, Env, consent, cost, plan_warnings, preflight, print, read_scenario};
use crate::cli::CheckArgs;
use crate::plan::{CallPlan, DrivePlan, FleetPlan, Needs, PhasePlan, Plan, Spread, TargetKind, Threshold};
use crate::report::exit;
use crate::units::{
    Percent, Rate, human_bytes, human_count, human_duration, plural, whole, written_duration,
};
use fleet::write_fleet;
use plan_warnings::Warnings;

/// The indent and the width of the labels in `thresholds` and `needs`.
const LABELS: (usize, usize) = (2, 14);

/// Resolves the scenario and prints its plan. With `--strict` or `--machine`, returns an error for warnings after it has printed them.
pub(super) async fn run(args: &CheckArgs, env: &mut Env) -> Result<(), AppError> {
    let plan = read_scenario::plan(&args.scenario, env).await?;
    super::run::check_ca(&plan)?;
    let workers = super::run::workers(args.workers, &plan);
    let layout = Layout::of((env.out_width)());
    let warnings = plan_warnings::collect(&plan, &preflight::shortfalls(&plan, workers).await, layout);
    let blank = if warnings.text.is_empty() { "" } else { "\n" };
    print(env, &format!("{}{blank}{}", describe(&plan, workers, layout), warnings.text))?;
    verdict(args, &warnings)
}

/// Returns an error if there are warnings that `--strict` or `--machine` does not allow. If both options apply, returns the error whose
/// exit code takes precedence.
fn verdict(args: &CheckArgs, warnings: &Warnings) -> Result<(), AppError> {
    let all = plural((warnings.plan + warnings.machine) as u64, "warning", "warnings");
    let strict = (args.strict && warnings.plan + warnings.machine > 0)
        .then(|| AppError::Scenario(format!("{all}, and --strict makes warnings errors; see above")));
    let machine = (args.machine && warnings.machine > 0).then(|| {
        AppError::Environment(
            "this machine lacks resources for the plan, and --machine makes that an error; see above"
                .to_owned(),
        )
    });
    let errors: Vec<AppError> = strict.into_iter().chain(machine).collect();
    let codes: Vec<u8> = errors.iter().map(AppError::exit_code).collect();
    let strongest = exit::strongest(&codes);
    errors.into_iter().find(|error| error.exit_code() == strongest).map_or(Ok(()), Err)
}

/// Describes the plan and the resources it needs with `workers` workers, laid out by `layout`. The text contains no secrets.
#[must_use]
fn describe(plan: &Plan, workers: usize, layout: Layout) -> String {
    let head = format!("{}  ({}, seed {})", plan.name, plan.source.file, plan.seed);
    let mut out = layout.wrapped("", "  ", &head);
    out.extend(plan.source.overrides.iter().map(|text| layout.wrapped("  with ", "    ", text)));
    out += "\ntarget\n";
    out += &layout.wrapped("  ", "    ", &target(plan));
    out.extend(hosts(plan).map(|text| layout.wrapped("  ", "    ", &text)));
    out += "\nfleets\n";
    for (fleet, number) in plan.fleets.iter().zip(0..) {
        write_fleet((&mut out, layout), fleet, number, &plan.deliveries);
    }
    if !plan.drives.is_empty() {
        out += "\nservice client\n";
    }
    out.extend(
        plan.drives.iter().map(|drive| layout.wrapped("  ", "    ", &self::drive(drive, &plan.fleets))),
    );
    let [total, drain] = [plan.schedule.end(), plan.drain].map(human_duration);
    out += &layout.wrapped("\n", "  ", &format!("phases  ({total} in total, then up to {drain} to drain)"));
    out += &layout.table(2, &phases(plan));
    faults::write((&mut out, layout), plan);
    out += "\nthresholds\n";
    write_thresholds((&mut out, layout), plan);
    out += "\nneeds\n";
    write_needs((&mut out, layout), plan, workers);
    out
}

fn write_thresholds((out, layout): (&mut String, Layout), plan: &Plan) {
    let longest = plan.thresholds.iter().map(|threshold| threshold.metric.name().len() + 2).max();
    let (indent, width) = LABELS;
    let columns = (indent, longest.unwrap_or(0).max(width));
    for threshold in &plan.thresholds {
        let phase = threshold.phase.and_then(|index| plan.schedule.phases().get(usize::from(index)));
        let fleet = threshold.fleet.and_then(|index| plan.fleets.get(usize::from(index)));
        let phase = phase.map_or_else(String::new, |phase| format!(" in phase {}", phase.name));
        let fleet = fleet.map_or_else(String::new, |fleet| format!(" of fleet {}", fleet.name));
        let faults = if threshold.without_faults { ", without operations under a fault" } else { "" };
        let text = format!("{}{phase}{fleet}{faults}{}", threshold.expression, aborts(plan, threshold));
        *out += &layout.labelled(columns, threshold.metric.name(), &text);
    }
    *out += "  every fleet connects at least once\n";
    if let Some(unreachable) = plan.abort_when_unreachable {
        let unreachable = human_duration(unreachable);
        let text =
            format!("the run ends early if all devices that should be online are offline for {unreachable}");
        *out += &layout.wrapped("  ", "    ", &text);
    }
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
        let limits = match plan.hub_size() {
            Some(size) => format!("limits of {size}"),
            None => "no throttling, no quotas".to_owned(),
        };
        return format!("the built-in IoT hub on this machine, over TLS ({limits})");
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

/// Returns how devices use the hosts of a target that has several.
fn hosts(plan: &Plan) -> impl Iterator<Item = String> {
    let (devices, count) = (plan.devices(), u64::from(plan.target.host_count()));
    let (fewest, most) = (devices / count, devices.div_ceil(count));
    let each = if fewest == most {
        plural(most, "device", "devices")
    } else {
        format!("{fewest} or {most} devices")
    };
    let turns = (count > 1).then(|| format!("devices use the {count} hosts in turn, {each} each"));
    let failover = plan.target.failover.then(|| {
        "failover: a device tries the next host after it could not connect or lost its connection".to_owned()
    });
    turns.into_iter().chain(failover)
}

fn drive(drive: &DrivePlan, fleets: &[FleetPlan]) -> String {
    let call = match &drive.call {
        CallPlan::Method { name, .. } => format!("the method {name}"),
        CallPlan::Desired => "desired properties".to_owned(),
        CallPlan::C2d { .. } => "cloud-to-device messages".to_owned(),
    };
    let fleet = fleets.get(usize::from(drive.fleet)).map_or("", |fleet| fleet.name.as_str());
    let spread = if drive.arrival.spread == Spread::Poisson { "poisson" } else { "regular, in turn" };
    let rate = Rate::per_second(drive.arrival.rate_hz).map(|rate| rate.to_string()).unwrap_or_default();
    let operation = drive.call.operation();
    format!("{operation}: {call} of fleet {fleet}, {spread}, {rate} in total with every device online")
}

/// Returns the cells of a phase in the table of phases.
/// Describes each phase, and below it the fleets for which it differs.
fn phases(plan: &Plan) -> Vec<(&str, [String; 4])> {
    let mut rows = Vec::new();
    for (number, phase) in plan.schedule.phases().iter().enumerate() {
        rows.push((phase.name.as_str(), self::phase(phase)));
        for fleet in &plan.fleets {
            let own = fleet.own_schedule.as_ref().and_then(|own| own.phases().get(number));
            if let Some(own) = own.filter(|own| !own.same_course(phase)) {
                let [_, online, load, notes] = self::phase(own);
                rows.push(("", [format!("fleet {}", fleet.name), online, load, notes]));
            }
        }
    }
    rows
}

fn phase(phase: &PhasePlan) -> [String; 4] {
    let change = |[from, to]: [f64; 2]| {
        let (from, to) = (Percent::from_fraction(from), Percent::from_fraction(to));
        if from == to { from.to_string() } else { format!("{from} -> {to}") }
    };
    let storm = phase.disconnect.map(|plan| {
        let (share, over) = (Percent::from_fraction(plan.share), written_duration(plan.over));
        format!("disconnect {share} ({}) over {over}", plan.how.name())
    });
    let warmup = phase.warmup.then(|| "warm-up".to_owned());
    let churn = phase.churn.map(|plan| {
        let (share, away) = (Percent::from_fraction(plan.rate_hz * 60.0), written_duration(plan.away));
        format!("churn {share}/1m ({}), away {away}", plan.how.name())
    });
    let pace =
        phase.connect_rate_hz.and_then(Rate::per_second).map(|rate| format!("connects at most {rate}"));
    let notes: Vec<String> = [warmup, pace, storm, churn].into_iter().flatten().collect();
    let steps = phase.load_steps.map_or_else(String::new, |steps| format!(" in {steps} steps"));
    [
        human_duration(phase.end - phase.start),
        format!("online {}", change(phase.online)),
        format!("load {}{steps}", change(phase.load)),
        notes.join(", "),
    ]
}

fn write_needs((out, layout): (&mut String, Layout), plan: &Plan, workers: usize) {
    let Needs { descriptors, ports, ports_closing, memory_bytes, memory_max_bytes } = plan.needs(workers);
    let mut line = |label: &str, text: &str| *out += &layout.labelled(LABELS, label, text);
    line("messages", &format!("about {}", human_count(whole(plan.planned_messages()))));
    if !plan.drives.is_empty() {
        let calls: f64 = plan.drives.iter().map(|drive| plan.planned_calls(drive)).sum();
        line("calls", &format!("about {}", human_count(whole(calls))));
    }
    if plan.target.kind == TargetKind::IotHub {
        let [run, day] = cost::cost(plan).description();
        let free =
            if consent::bills(plan) { "" } else { "; a hub on this machine bills nothing, Azure does" };
        line("billed", &format!("{run}{free}"));
        line("billed a day", &day);
    }
    let emulator = if plan.emulator.is_some() { ", and the same number for the built-in hub" } else { "" };
    line("descriptors", &format!("{}{emulator}", human_count(descriptors)));
    let closing = match ports_closing {
        0 => String::new(),
        closing => format!(", and up to {} for closed connections", human_count(closing)),
    };
    let sources = match plan.target.source_ips.len() {
        0 => String::new(),
        n => format!(", rotating over {}", plural(n as u64, "source address", "source addresses")),
    };
    line("ports", &format!("{} ephemeral ports to the target{closing}{sources}", human_count(ports)));
    line(
        "memory",
        &format!(
            "about {} with {}, up to {} if the hub stops reading and acknowledging",
            human_bytes(memory_bytes),
            plural(workers as u64, "worker", "workers"),
            human_bytes(memory_max_bytes)
        ),
    );
}

#[cfg(test)]
mod tests;
