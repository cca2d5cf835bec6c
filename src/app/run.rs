//! `hubstorm run`: the main job from the scenario file to the exit code. It only puts the rooms in order; what
//! each does is theirs.

mod built_in_hub;
mod load;

use super::early_end::Watch;
use super::emulator_process::EmulatorProcess;
use super::{AppError, Env, build_result, consent, exports, preflight, read_scenario, write_result};
use crate::cli::RunArgs;
use crate::clock::WallClock;
use crate::fleet;
use crate::link::{Endpoint, tls};
use crate::plan::Plan;
use crate::result::model::EndedBy;
use crate::units::{human_duration, plural};
use built_in_hub::{control_config, set_target, stop_emulator};
use load::{run_load, tracer};
use std::io::Write;
use std::sync::Arc;
use tokio::sync::watch;

/// Runs the scenario; the exit code is the verdict's.
pub(super) async fn run(args: &RunArgs, env: &mut Env) -> Result<u8, AppError> {
    let interrupts = env.interrupts.clone();
    if read_scenario::is_stdin(&args.scenario.scenario) {
        // What is typed there is the scenario: nobody is left to answer.
        env.answer = None;
    }
    let mut plan = until_interrupted(&interrupts, 0, read_scenario::plan(&args.scenario, env)).await?;
    let (trace, traced) = args.trace.as_ref().map(|id| tracer(&plan, id)).transpose()?.unzip();
    let workers = workers(args.workers, &plan);
    let preparing = prepare(args, env, &mut plan, workers);
    let (mut hub, endpoint) = until_interrupted(&interrupts, 0, preparing).await?;
    let preflight_passed = hub.is_none() && !args.no_preflight;

    let plan = Arc::new(plan);
    let watch = Watch::new(&plan);
    let settings = fleet::Settings {
        workers,
        endpoint,
        trace,
        measured: watch.needs_measurement(),
        wall: WallClock::default(),
    };
    let (mut finished, early) = run_load(args, env, &plan, (settings, watch), hub.as_mut(), traced).await?;
    let so_far = *interrupts.borrow();
    let emulator_report = match hub {
        None => None,
        Some(hub) => match until_interrupted(&interrupts, so_far, stop_emulator(hub)).await {
            Ok(emulator_report) => Some(emulator_report),
            Err(AppError::Interrupted) => {
                finished.complete = false;
                let text =
                    "the built-in hub was not asked for its stalls: the run was interrupted again".to_owned();
                finished.measurement.breakdowns.push(text);
                None
            }
            // It costs its own counts and the measurement, not the result.
            Err(error) => {
                let died = format!("the built-in hub did not live to the end of the run: {error}");
                finished.measurement.breakdowns.push(died);
                None
            }
        },
    };
    let ended_by = match (finished.complete, early) {
        (true, _) => EndedBy::Plan,
        (false, _) if *interrupts.borrow() > 0 => EndedBy::Interrupt,
        (false, Some(early)) => early.ended_by,
        (false, None) => EndedBy::Breakdown,
    };
    // It ended as its scenario says.
    finished.complete |= matches!(ended_by, EndedBy::Abort | EndedBy::Unreachable);
    let result = build_result::result(
        &plan,
        finished,
        ended_by,
        emulator_report,
        workers,
        preflight_passed,
        &env.argv,
    );
    write_result::conclude(&args.out, &args.export, env, result)
}

/// All that comes before the load, and may wait: for names to be resolved, for the built-in hub, for an answer, for the preflight connections.
/// Returns the built-in hub, if it is the target, and where devices connect to.
async fn prepare(
    args: &RunArgs,
    env: &mut Env,
    plan: &mut Plan,
    workers: usize,
) -> Result<(Option<EmulatorProcess>, Arc<Endpoint>), AppError> {
    preflight::resources(plan, workers).await?;
    preflight::output_folder(&args.out)?;
    exports::check(&args.export, &plan.source.files)?;
    let mut hub = None;
    let mut roots = None;
    if plan.emulator.is_some() {
        let (started, ready) = EmulatorProcess::start(&env.exe, control_config(plan, workers)).await?;
        roots = Some(set_target(plan, ready)?);
        hub = Some(started);
    }
    let endpoint = Arc::new(endpoint(plan, roots)?);
    say(env, args.quiet, &overview(plan, &endpoint, workers).await);
    consent::given(plan, args.yes, args.quiet, env).await?;
    if hub.is_none() && !args.no_preflight {
        preflight::connections(plan, &endpoint).await?;
    }
    Ok((hub, endpoint))
}

/// `doing`, unless Ctrl-C has been pressed more often than `allowed` before it is done.
async fn until_interrupted<T>(
    interrupts: &watch::Receiver<u8>,
    allowed: u8,
    doing: impl Future<Output = Result<T, AppError>>,
) -> Result<T, AppError> {
    let mut interrupts = interrupts.clone();
    tokio::select! {
        // Whoever is waited for may be there at once, and Ctrl-C came earlier.
        biased;
        // In tests nobody can interrupt any more: then only `doing` counts.
        Ok(_) = interrupts.wait_for(|count| *count > allowed) => Err(AppError::Interrupted),
        done = doing => done,
    }
}

/// The number of workers: as given, or half the cores with the built-in hub, which needs the others, and all of them otherwise.
pub(super) fn workers(given: Option<u16>, plan: &Plan) -> usize {
    if let Some(given) = given {
        return usize::from(given);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if plan.emulator.is_some() { (cores / 2).max(1) } else { cores }
}

fn endpoint(plan: &Plan, roots: Option<Vec<u8>>) -> Result<Endpoint, AppError> {
    let target = &plan.target;
    let tls = match &target.tls {
        Some(options) => {
            let options =
                tls::ClientOptions { ca: options.ca.clone(), roots_pem: roots, verify: options.verify };
            Some(tls::client(&options).map_err(|error| AppError::Environment(error.to_string()))?)
        }
        None => None,
    };
    let own_roots = target.tls.as_ref().is_some_and(|tls| tls.ca.is_some());
    Ok(Endpoint {
        host: target.host.clone(),
        port: target.port,
        tls,
        own_roots,
        sources: target.source_ips.clone(),
    })
}

/// One line on what is about to happen, and for a hub that bills, what it will cost.
async fn overview(plan: &Plan, endpoint: &Endpoint, workers: usize) -> String {
    let devices = plural(plan.devices(), "device", "devices");
    let phases = plural(plan.schedule.phases().len() as u64, "phase", "phases");
    let running = plural(workers as u64, "worker", "workers");
    let place = if plan.emulator.is_some() { "the built-in hub" } else { endpoint.host.as_str() };
    let mut text = format!(
        "{}: {devices} against {place} on port {}, {} in {phases}, {running}, seed {}\n",
        plan.name,
        endpoint.port,
        human_duration(plan.schedule.end()),
        plan.seed,
    );
    if consent::bills(plan) {
        text.push_str(&super::cost::line(plan));
    }
    text.push_str(&super::plan_warnings::notes(plan));
    text.push_str(&preflight::shortfalls(plan, workers).await);
    text.extend(
        super::plan_warnings::cleartext_password(plan).map(|warning| format!("warning: {warning}\n")),
    );
    text
}

/// Talk: a stream that is gone must not end the run.
fn say(env: &mut Env, quiet: bool, text: &str) {
    if !quiet {
        drop(write!(env.err, "{text}"));
    }
}

#[cfg(test)]
mod tests;
