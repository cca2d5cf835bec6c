//! `hubstorm run --once`: one device of each fleet does every operation of its scenario once, and a checklist shows each outcome.
//! It uses the engine of `run`, but measures nothing: no phases, no thresholds, no result file. `doctor --scenario` uses the same engine
//! for one message. Read `drive.rs` first.

mod cause;
mod checklist;
mod drive;
mod items;
mod reason;
mod text;
mod times;

use super::columns::Layout;
use super::emulator_process::EmulatorProcess;
use super::run::{self, control_config, set_target, until_interrupted};
use super::{
    AppError, Env, consent, cost, environment_error, plan_warnings, print, print_text, read_scenario, tell,
};
use crate::cli::RunArgs;
use crate::fleet::Tracer;
use crate::link::Endpoint;
use crate::plan::{OncePlan, OnceScope, Plan, address_of};
use crate::report::exit;
use crate::units::plural;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

pub(super) use checklist::Checklist;
pub(super) use drive::{Ended, Trial, drive};
pub(super) use times::times;

/// Does every operation of a scenario once. Returns the exit code.
pub(super) async fn run(args: &RunArgs, env: &mut Env) -> Result<u8, AppError> {
    let interrupts = env.interrupts.clone();
    let read = read_scenario::once(&args.scenario, env);
    let (plan, skipped_drives) = until_interrupted(&interrupts, 0, read).await?;
    let mut once = plan.once(OnceScope::Everything);
    let trace = args.trace.as_ref();
    if let Some(id) = trace {
        // An unknown device is an error before anything starts.
        tracer(&once.plan, id)?;
    }
    let starting = start(&env.exe, &mut once.plan);
    let (mut emulator, endpoints) = until_interrupted(&interrupts, 0, starting).await?;
    if !args.quiet {
        tell(env, &overview(&once));
    }
    let lists: Vec<Checklist> = endpoints.iter().map(|_| Checklist::new(&once)).collect();
    let plan = Arc::new(once.plan);
    let mut failed = false;
    for (endpoint, mut list) in endpoints.iter().cloned().zip(lists) {
        print(env, &heading(&endpoint, &endpoints))?;
        let (interrupts, trace) =
            (interrupts.clone(), trace.as_ref().map(|id| tracer(&plan, id)).transpose()?);
        let emulator = emulator.as_mut();
        let trial = Trial { plan: &plan, endpoint, emulator, interrupts, trace, err: &mut *env.err };
        let ended = drive(trial, &mut list).await?;
        list.close(ended.cut_short());
        if ended.interrupted && env.terminal {
            // A terminal shows ^C, without a line break.
            tell(env, "\n");
        }
        let layout = Layout::of((env.out_width)());
        print_text(env, &layout.list(&text::text(&list, &plan, &skipped_drives), text::TEXT_COLUMN))?;
        if ended.interrupted {
            return Ok(exit::INTERRUPTED);
        }
        check_breakdowns(&ended)?;
        failed |= list.has_failed();
    }
    if let Some(emulator) = emulator {
        emulator.stop().await?;
    }
    Ok(if failed { exit::FAILED } else { exit::PASSED })
}

/// Returns the line above the checklist of a host, if there are several.
pub(super) fn heading(endpoint: &Endpoint, all: &[Endpoint]) -> String {
    match all {
        [_] => String::new(),
        _ => format!("host {}\n", address_of(&endpoint.host, endpoint.port)),
    }
}

/// Returns the tracer for the device of `--trace`, and the receiver of its lines.
fn tracer(plan: &Plan, id: &str) -> Result<(Tracer, UnboundedReceiver<String>), AppError> {
    let ids: Vec<String> = plan.fleets.iter().map(|fleet| fleet.device_id(0)).collect();
    if !ids.iter().any(|known| known == id) {
        let text = format!(
            "--trace {id}: with --once, only the first device of each fleet connects; use one of: {}",
            ids.join(", ")
        );
        return Err(AppError::Usage(text));
    }
    run::tracer(plan, id)
}

/// Starts the built-in hub if it is the target. Returns it, and the hosts for the devices.
pub(super) async fn start(
    exe: &Path,
    plan: &mut Plan,
) -> Result<(Option<EmulatorProcess>, Arc<[Endpoint]>), AppError> {
    let mut emulator = None;
    let mut roots = None;
    if plan.emulator.is_some() {
        let (started, ready) = EmulatorProcess::start(exe, control_config(plan, 1), None).await?;
        roots = Some(set_target(plan, ready)?);
        emulator = Some(started);
    }
    Ok((emulator, run::endpoints(plan, roots)?))
}

/// Returns an error if the built-in hub or the worker died.
pub(super) fn check_breakdowns(ended: &Ended) -> Result<(), AppError> {
    if ended.hub_exited {
        return Err(AppError::Environment("the built-in hub exited; see its messages above".to_owned()));
    }
    match ended.finished.measurement.breakdowns.first() {
        Some(breakdown) => Err(environment_error("the load generator failed", breakdown)),
        None => Ok(()),
    }
}

/// Describes the check in one line, followed by the billed messages and a warning.
fn overview(once: &OncePlan) -> String {
    let plan = &once.plan;
    let mut text = format!(
        "{}: every operation once, by one device of each fleet, against {}\n",
        plan.name,
        run::against(plan),
    );
    if consent::bills(plan) {
        let messages = plural(
            cost::billed_once(plan) * u64::from(plan.target.host_count()),
            "billed message",
            "billed messages",
        );
        text.push_str(&format!("sends up to {messages}\n"));
    }
    text.extend(plan_warnings::cleartext_password(plan).map(|warning| format!("warning: {warning}\n")));
    text
}
