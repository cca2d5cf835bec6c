//! Runs the plan of a checklist with the engine of `run`: starts the fleet, passes observations to the checklist, and starts each
//! stage when the previous one has ended. Used by `once` and `doctor`.

use super::super::emulator_process::EmulatorProcess;
use super::super::{AppError, environment_error};
use super::checklist::Checklist;
use crate::clock::{self, WallClock};
use crate::fleet::{self, Command, Finished, Observer, Tracer};
use crate::link::Endpoint;
use crate::plan::Plan;
use crate::report::without_commands;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::oneshot;
use tokio::sync::watch;

/// The parts of a run that the caller has prepared.
pub(in crate::app) struct Trial<'a> {
    pub(in crate::app) plan: &'a Arc<Plan>,
    /// The host that all devices connect to.
    pub(in crate::app) endpoint: Endpoint,
    pub(in crate::app) emulator: Option<&'a mut EmulatorProcess>,
    pub(in crate::app) interrupts: watch::Receiver<u8>,
    /// The device to trace, and its lines.
    pub(in crate::app) trace: Option<(Tracer, UnboundedReceiver<String>)>,
    pub(in crate::app) err: &'a mut dyn Write,
}

/// The end of a trial run.
pub(in crate::app) struct Ended {
    pub(in crate::app) finished: Finished,
    pub(in crate::app) interrupted: bool,
    /// Whether the built-in hub exited during the trial run.
    pub(in crate::app) hub_exited: bool,
}

impl Ended {
    /// Returns the reason if the trial run ended before all of its operations.
    pub(in crate::app) fn cut_short(&self) -> Option<&'static str> {
        match self {
            Ended { interrupted: true, .. } => Some("interrupted"),
            Ended { hub_exited: true, .. } => Some("the built-in hub exited"),
            Ended { finished, .. } if !finished.measurement.breakdowns.is_empty() => {
                Some("the load generator failed")
            }
            Ended { .. } => None,
        }
    }
}

/// Runs the plan until every item of the checklist has ended, or until Ctrl-C.
///
/// # Errors
/// A worker could not start.
pub(in crate::app) async fn drive(trial: Trial<'_>, list: &mut Checklist) -> Result<Ended, AppError> {
    let Trial { plan, endpoint, emulator, mut interrupts, trace, err } = trial;
    let (trace, mut trace_lines) = trace.unzip();
    let (observer, mut observations) = Observer::new();
    // One worker is enough for one device of each fleet.
    let wall = WallClock::default();
    let settings = fleet::Settings {
        workers: 1,
        endpoints: Arc::new([endpoint]),
        trace,
        measured: false,
        observer: Some(observer),
        journal: None,
        wall,
    };
    let (commands, command_receiver) = mpsc::unbounded_channel();
    // The observer tells everything, so nothing receives the events.
    let (event_sender, _) = mpsc::unbounded_channel();
    let (call_sender, mut calls) = mpsc::unbounded_channel();
    let (result_sender, results) = mpsc::unbounded_channel();
    let service = fleet::ServiceChannel { calls: call_sender, results };
    let mut fleet = pin!(fleet::run(plan.clone(), settings, Some(service), command_receiver, event_sender));
    let mut relay = pin!(relay(emulator, &mut calls, &result_sender));
    let (mut interrupted, mut hub_exited) = (false, false);
    let mut give_up: Option<Instant> = None;
    let send = |command| drop(commands.send(command)); // An error means that the fleet has ended.
    let finished = loop {
        if let Some(command) = list.next_command() {
            send(command);
        }
        give_up = list.waits_for_receptions().then(|| give_up.unwrap_or_else(|| clock::now() + plan.drain));
        tokio::select! {
            finished = &mut fleet => break finished,
            Some(observed) = observations.recv() => {
                // After an abort, the remaining operations fail. These failures say nothing about the target.
                if !interrupted && !hub_exited {
                    list.handle(observed);
                }
            }
            () = &mut relay, if !hub_exited => {
                hub_exited = true;
                send(Command::Abort);
            }
            Ok(_) = interrupts.wait_for(|count| *count > 0), if !interrupted => {
                interrupted = true;
                send(Command::Abort);
            }
            () = until(give_up), if give_up.is_some() => list.end_receptions(),
            Some(line) = next_line(&mut trace_lines) => print(err, &line),
        }
    };
    while let Some(observed) = observations.try_recv().ok().filter(|_| !interrupted && !hub_exited) {
        list.handle(observed);
    }
    while let Some(Ok(line)) = trace_lines.as_mut().map(UnboundedReceiver::try_recv) {
        print(err, &line);
    }
    let finished = finished.map_err(|error| environment_error("cannot run the devices", &error))?;
    Ok(Ended { finished, interrupted, hub_exited })
}

/// Relays calls to the built-in hub until it exits; forever without one.
async fn relay(
    emulator: Option<&mut EmulatorProcess>,
    calls: &mut UnboundedReceiver<crate::iothub::service::ServiceCall>,
    results: &mpsc::UnboundedSender<crate::iothub::service::ServiceResult>,
) {
    match emulator {
        Some(emulator) => {
            // A checklist has no faults, so the hub needs no start.
            let (_, started) = oneshot::channel();
            emulator.relay_calls(started, calls, results).await;
        }
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn next_line(lines: &mut Option<UnboundedReceiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => None,
    }
}

/// Prints a trace line. Ignores the error: a closed stderr must not end the check.
fn print(err: &mut dyn Write, line: &str) {
    drop(writeln!(err, "{}", without_commands(line)));
}
