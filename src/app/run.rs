//! `hubstorm run`: reads the scenario, prepares the run, runs the load, judges the run and writes the result. Returns the exit code of
//! the verdict. This file contains the order of the steps; the steps themselves are in other files.

mod built_in_hub;
mod load;

use super::build_result::EmulatorReport;
use super::columns::Layout;
use super::early_end::{EarlyEnd, EarlyEndCheck};
use super::emulator_process::EmulatorProcess;
use super::journal::{Journal, JournalWriter};
use super::run_fleet::{Actions, Lines, run_fleet, style};
use super::{
    AppError, Env, build_result, compare, consent, cost, environment_error, exports, plan_warnings,
    preflight, read_scenario, tell, tell_laid_out, write_result,
};
use crate::cli::RunArgs;
use crate::clock::WallClock;
use crate::fleet::{self, Finished};
use crate::link::{Endpoint, tls};
use crate::live::Style;
use crate::plan::{HostPort, Plan, Target, address_of};
use crate::result::model::{EndedBy, RunResult};
use crate::units::{human_duration, plural};
use load::EarlyEndObserver;
use std::sync::Arc;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

pub(super) use built_in_hub::{control_config, set_target, stop_emulator};
pub(super) use load::{outline, tracer};

/// Runs a scenario. Returns the exit code of its verdict.
pub(super) async fn run(args: &RunArgs, env: &mut Env) -> Result<u8, AppError> {
    let interrupts = env.interrupts.clone();
    if read_scenario::is_stdin(&args.scenario.scenario) {
        // The scenario is read from stdin, so the user cannot answer a question there.
        env.answer = None;
    }
    let mut plan = until_interrupted(&interrupts, 0, read_scenario::plan(&args.scenario, env)).await?;
    let (trace, trace_lines) = args.trace.as_ref().map(|id| tracer(&plan, id)).transpose()?.unzip();
    let workers = workers(args.workers, &plan);
    // A progress line that is redrawn must be the only output on the terminal, so the run prints the hub's messages itself.
    let (messages, mut hub_messages) = mpsc::unbounded_channel();
    let notes = messages.clone();
    let style = style(args.quiet, args.no_tui, env);
    let messages = (style == Style::Redrawn).then_some(messages);
    let preparing = prepare(args, env, &mut plan, workers, messages);
    let prepared = until_interrupted(&interrupts, 0, preparing).await;
    let (mut emulator, endpoints) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            // The rest ends when no sender is left.
            drop(notes);
            print_rest(&mut hub_messages, env).await;
            return Err(error);
        }
    };
    let preflight_passed = emulator.is_none() && !args.no_preflight;
    let plan = Arc::new(plan);
    let early_end_check = EarlyEndCheck::new(&plan);
    let start = build_result::before(&plan, workers, preflight_passed, &env.argv);
    let journal = JournalWriter::start(&args.out, start, args.fsync, notes)
        .map_err(|error| environment_error("cannot start the thread that writes the journal", &error))?;
    let settings = fleet::Settings {
        workers,
        endpoints,
        trace,
        measured: early_end_check.needs_measurement(),
        observer: None,
        journal: Some(journal.entries()),
        wall: WallClock::default(),
    };
    let mut observer = EarlyEndObserver { check: early_end_check, early: None };
    let mut finished = run_fleet(
        env,
        &plan,
        (settings, style, outline(&plan)),
        emulator.as_mut(),
        (&mut observer, Actions::default()),
        Lines { trace: trace_lines, messages: &mut hub_messages },
    )
    .await?;
    let journal = journal.finish();
    let emulator_report = match emulator {
        Some(emulator) => report_and_stop(emulator, &interrupts, &mut finished).await,
        None => None,
    };
    print_rest(&mut hub_messages, env).await;
    let ended_by = ended_by(finished.complete, observer.early, *interrupts.borrow() > 0);
    // A run that ends early because of the scenario is complete.
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
    conclude(args, journal, env, result)
}

/// Writes the files of the run and, with `--compare`, compares the result. Returns the exit code of both.
fn conclude(
    args: &RunArgs,
    journal: Option<Journal>,
    env: &mut Env,
    result: RunResult,
) -> Result<u8, AppError> {
    let (code, file) = write_result::conclude(&files(args), journal, env, result)?;
    match (&args.compare, &file) {
        (Some(base), Some(file)) => {
            compare::after_run(base, file, (&args.compare_options, code), !args.no_step_summary, env)
        }
        _ => Ok(code),
    }
}

/// Returns the reason why the run ended.
fn ended_by(complete: bool, early: Option<EarlyEnd>, is_interrupted: bool) -> EndedBy {
    match (complete, early) {
        (true, _) => EndedBy::Plan,
        (false, _) if is_interrupted => EndedBy::Interrupt,
        (false, Some(early)) => early.ended_by,
        (false, None) => EndedBy::Breakdown,
    }
}

/// Returns the files that the command line asks for.
fn files(args: &RunArgs) -> write_result::Files<'_> {
    write_result::Files {
        out: &args.out,
        exports: &args.export,
        compact: args.compact,
        step_summary: !args.no_step_summary,
        keep_journal: args.keep_journal,
    }
}

/// Prints the last messages of the built-in hub, which has exited.
pub(super) async fn print_rest(messages: &mut UnboundedReceiver<String>, env: &mut Env) {
    while let Some(message) = messages.recv().await {
        tell(env, &format!("{message}\n"));
    }
}

/// Performs all steps before the load: checks this machine and the output files, starts the built-in hub, asks for confirmation, and
/// makes the preflight connections. Returns the built-in hub, if it is the target, and the hosts for the devices.
async fn prepare(
    args: &RunArgs,
    env: &mut Env,
    plan: &mut Plan,
    workers: usize,
    messages: Option<UnboundedSender<String>>,
) -> Result<(Option<EmulatorProcess>, Arc<[Endpoint]>), AppError> {
    preflight::resources(plan, workers).await?;
    preflight::output_folder(&args.out)?;
    if let Some(base) = &args.compare {
        compare::check(base, &args.compare_options, &plan.fingerprint(), env)?;
    }
    exports::check(&args.export, &plan.source.files)?;
    let mut emulator = None;
    let mut roots = None;
    if plan.emulator.is_some() {
        let (started, ready) =
            EmulatorProcess::start(&env.exe, control_config(plan, workers), messages).await?;
        roots = Some(set_target(plan, ready)?);
        emulator = Some(started);
    }
    let endpoints = endpoints(plan, roots)?;
    if !args.quiet {
        tell(env, &overview(plan, workers));
        let layout = Layout::of((env.err_width)());
        let warnings = plan_warnings::collect(plan, &preflight::shortfalls(plan, workers).await, layout);
        tell_laid_out(env, &warnings.text);
    }
    consent::confirm(plan, args.yes, args.quiet, env).await?;
    if emulator.is_none() && !args.no_preflight {
        let quiet = args.quiet;
        let note = |text: &str| {
            if !quiet {
                tell(env, text);
            }
        };
        preflight::connections(plan, &endpoints, note).await?;
    }
    Ok((emulator, endpoints))
}

/// Awaits `step`, but returns [`AppError::Interrupted`] once the number of Ctrl-C presses exceeds `allowed`.
pub(super) async fn until_interrupted<T>(
    interrupts: &watch::Receiver<u8>,
    allowed: u8,
    step: impl Future<Output = Result<T, AppError>>,
) -> Result<T, AppError> {
    let mut interrupts = interrupts.clone();
    tokio::select! {
        // An earlier Ctrl-C takes precedence over a step that is ready immediately.
        biased;
        // In tests the sender may be dropped, which disables this branch.
        Ok(_) = interrupts.wait_for(|count| *count > allowed) => Err(AppError::Interrupted),
        result = step => result,
    }
}

/// Returns the number of workers: `--workers`, or one per core. The built-in hub needs half of the cores.
pub(super) fn workers(option: Option<u16>, plan: &Plan) -> usize {
    if let Some(option) = option {
        return usize::from(option);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if plan.emulator.is_some() { (cores / 2).max(1) } else { cores }
}

/// Gets the report of the built-in hub and stops the hub. If there is no report, the measurement is incomplete, and a breakdown in the
/// measurement says why; the run still has a result.
async fn report_and_stop(
    emulator: EmulatorProcess,
    interrupts: &watch::Receiver<u8>,
    finished: &mut Finished,
) -> Option<EmulatorReport> {
    let allowed = *interrupts.borrow();
    let breakdown = match until_interrupted(interrupts, allowed, stop_emulator(emulator)).await {
        Ok(report) => return Some(report),
        Err(AppError::Interrupted) => {
            finished.complete = false;
            "the stalls of the built-in hub are unknown: the run was interrupted a second time".to_owned()
        }
        Err(error) => format!("the built-in hub failed before the end of the run: {error}"),
    };
    finished.measurement.breakdowns.push(breakdown);
    None
}

/// Returns the hosts that devices connect to. `roots` are the trusted certificates of the built-in hub, in PEM format.
pub(super) fn endpoints(plan: &Plan, roots: Option<Vec<u8>>) -> Result<Arc<[Endpoint]>, AppError> {
    let target = &plan.target;
    let tls = match &target.tls {
        Some(options) => {
            let options =
                tls::ClientOptions { ca: options.ca.clone(), roots_pem: roots, verify: options.verify };
            Some(tls::client(&options).map_err(|error| AppError::Environment(error.to_string()))?)
        }
        None => None,
    };
    let resumption = target.tls.as_ref().is_some_and(|tls| tls.resumption);
    let sessions = tls.as_ref().filter(|_| resumption);
    let sessions = sessions.map(|config| Arc::new(tls::DeviceSessions::new(config, plan.devices())));
    let own_roots = target.tls.as_ref().is_some_and(|tls| tls.ca.is_some());
    let endpoint = |(host, port): (&str, u16)| Endpoint {
        host: host.to_owned(),
        port,
        tls: tls.clone(),
        sessions: sessions.clone(),
        own_roots,
        sources: target.source_ips.clone(),
    };
    Ok(target.hosts().map(endpoint).collect())
}

/// Reads the CA file of a plan, so that `check` finds the errors of this file that `run` finds.
pub(super) fn check_ca(plan: &Plan) -> Result<(), AppError> {
    // Without a CA file, only the machine that runs the load needs root certificates.
    let has_ca = plan.target.tls.as_ref().is_some_and(|tls| tls.ca.is_some());
    if has_ca && plan.emulator.is_none() { endpoints(plan, None).map(drop) } else { Ok(()) }
}

/// Returns the target in words: `a.example on port 8883`, or `a.example:8883 and b.example:8884`.
pub(super) fn against(plan: &Plan) -> String {
    let Target { host, port, others, .. } = &plan.target;
    match others.as_slice() {
        [] if plan.emulator.is_some() => format!("the built-in hub on port {port}"),
        [] => format!("{host} on port {port}"),
        [HostPort { host: second, port: second_port }] => {
            format!("{} and {}", address_of(host, *port), address_of(second, *second_port))
        }
        others => format!("{} and {} other hosts", address_of(host, *port), others.len()),
    }
}

/// Describes the run in one line, followed by its overrides and the cost on a hub that bills.
fn overview(plan: &Plan, workers: usize) -> String {
    let devices = plural(plan.devices(), "device", "devices");
    let phases = plural(plan.schedule.phases().len() as u64, "phase", "phases");
    let workers_text = plural(workers as u64, "worker", "workers");
    let mut text = format!(
        "{}: {devices} against {}, {} in {phases}, {workers_text}, seed {}\n",
        plan.name,
        against(plan),
        human_duration(plan.schedule.end()),
        plan.seed,
    );
    text.extend(plan.source.overrides.iter().map(|change| format!("  with {change}\n")));
    if consent::bills(plan) {
        text.push_str(&cost::cost(plan).line());
    }
    text
}

#[cfg(test)]
mod tests;
