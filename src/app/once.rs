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
    AppError, Env, consent, cost, environment_error, plan_warnings, print_text, read_scenario, tell,
};
use crate::cli::RunArgs;
use crate::fleet::Tracer;
use crate::link::Endpoint;
use crate::plan::{OncePlan, OnceScope, Plan};
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
    let trace = args.trace.as_ref().map(|id| tracer(&once.plan, id)).transpose()?;
    let starting = start(&env.exe, &mut once.plan);
    let (mut emulator, endpoint) = until_interrupted(&interrupts, 0, starting).await?;
    if !args.quiet {
        tell(env, &overview(&once));
    }
    let mut list = Checklist::new(&once);
    let plan = Arc::new(once.plan);
    let trial =
        Trial { plan: &plan, endpoint, emulator: emulator.as_mut(), interrupts, trace, err: &mut *env.err };
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
    if let Some(emulator) = emulator {
        emulator.stop().await?;
    }
    Ok(if list.has_failed() { exit::FAILED } else { exit::PASSED })
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

/// Starts the built-in hub if it is the target. Returns it, and the endpoint for the devices.
pub(super) async fn start(
    exe: &Path,
    plan: &mut Plan,
) -> Result<(Option<EmulatorProcess>, Arc<Endpoint>), AppError> {
    let mut emulator = None;
    let mut roots = None;
    if plan.emulator.is_some() {
        let (started, ready) = EmulatorProcess::start(exe, control_config(plan, 1), None).await?;
        roots = Some(set_target(plan, ready)?);
        emulator = Some(started);
    }
    Ok((emulator, Arc::new(run::endpoint(plan, roots)?)))
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
    let target = if plan.emulator.is_some() { "the built-in hub" } else { plan.target.host.as_str() };
    let mut text = format!(
        "{}: every operation once, by one device of each fleet, against {target} on port {}\n",
        plan.name, plan.target.port,
    );
    if consent::bills(plan) {
        let messages = plural(cost::billed_once(plan), "billed message", "billed messages");
        text.push_str(&format!("sends up to {messages}\n"));
    }
    text.extend(plan_warnings::cleartext_password(plan).map(|warning| format!("warning: {warning}\n")));
    text
}
