//! The load of a run: the fleet, with progress, Ctrl-C, the built-in hub's calls and a trace. Used by `run`.

use super::super::early_end::{Early, Watch};
use super::super::emulator_process::EmulatorProcess;
use super::super::{AppError, Env};
use crate::cli::RunArgs;
use crate::fleet::{self, Command, DeviceRef, Finished, Tracer};
use crate::live::{Console, Outline, Progress, Style};
use crate::plan::Plan;
use std::cell::RefCell;
use std::sync::Arc;
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// The device whose packets are to be told, and where its lines come out.
pub(super) fn tracer(plan: &Plan, id: &str) -> Result<(Tracer, UnboundedReceiver<String>), AppError> {
    let mut devices = (0_u16..).zip(&plan.fleets).flat_map(|(number, fleet)| {
        (0..fleet.devices).map(move |index| (number, index, fleet.device_id(index)))
    });
    let (fleet, index, id) = devices.find(|(_, _, device)| device == id).ok_or_else(|| {
        let first = plan.fleets.first().map(|fleet| fleet.device_id(0)).unwrap_or_default();
        AppError::Usage(format!(
            "--trace {id}: no device of this scenario has that name; the first is {first}"
        ))
    })?;
    let (lines, traced) = mpsc::unbounded_channel();
    Ok((Tracer { device: DeviceRef { fleet, index }, id, lines }, traced))
}

/// The fleet's run, with progress and Ctrl-C.
pub(super) async fn run_load(
    args: &RunArgs,
    env: &mut Env,
    plan: &Arc<Plan>,
    (settings, mut watch): (fleet::Settings, Watch),
    hub: Option<&mut EmulatorProcess>,
    mut traced: Option<UnboundedReceiver<String>>,
) -> Result<(Finished, Option<Early>), AppError> {
    let (command_sender, commands) = mpsc::unbounded_channel();
    let (events, mut event_stream) = mpsc::unbounded_channel();
    let mut interrupts = env.interrupts.clone();
    let style = match (args.quiet, env.terminal && !args.no_tui) {
        (true, _) => Style::Quiet,
        (false, true) => Style::Redrawn,
        (false, false) => Style::Lines,
    };
    let outline = Outline {
        phases: plan.schedule.phases().iter().map(|phase| phase.name.clone()).collect(),
        devices: plan.devices(),
        end: plan.schedule.end(),
        drain: plan.drain,
    };
    // Shared by the run's events and by Ctrl-C, on one thread. Progress is talk: a stream that is gone must not end the run.
    let ended_early = RefCell::new(None);
    let console = RefCell::new(Console::new(Progress::new(style, &mut env.err), outline));
    let (calls, mut call_stream) = mpsc::unbounded_channel();
    let (answer_sender, answers) = mpsc::unbounded_channel();
    let service = fleet::Service { calls, answers };
    let running = fleet::run(plan.clone(), settings, Some(service), commands, events);
    let showing = async {
        while let Some(event) = event_stream.recv().await {
            drop(console.borrow_mut().hear(&event));
            if let Some(early) = watch.on(&event) {
                drop(console.borrow_mut().progress().say(&early.text));
                drop(command_sender.send(Command::Stop));
                ended_early.replace(Some(early));
            }
        }
        std::future::pending::<()>().await;
    };
    let listening = async {
        let mut before = *interrupts.borrow();
        while interrupts.changed().await.is_ok() {
            let count = *interrupts.borrow_and_update();
            let (command, text) = match (std::mem::replace(&mut before, count), count) {
                (_, 0 | 1) => (Command::Stop, "interrupted: draining; press Ctrl-C again to stop now"),
                (0, _) => (Command::Abort, "interrupted: stopping now"),
                _ => (Command::Abort, "interrupted again: stopping now"),
            };
            drop(console.borrow_mut().progress().say(text));
            // A run that has ended needs no command.
            drop(command_sender.send(command));
        }
        std::future::pending::<()>().await;
    };
    let outliving = async {
        let Some(hub) = hub else { return std::future::pending().await };
        hub.relay_calls(&mut call_stream, &answer_sender).await;
        // Without it nothing is measured any more.
        drop(console.borrow_mut().progress().say("the built-in hub has ended: stopping"));
        drop(command_sender.send(Command::Stop));
        std::future::pending::<()>().await;
    };
    let tracing = async {
        while let Some(line) = next_line(&mut traced).await {
            drop(console.borrow_mut().progress().print(&line));
        }
        std::future::pending::<()>().await;
    };
    let finished = tokio::select! {
        finished = running => finished,
        () = showing => unreachable!("it waits for ever once nothing happens any more"),
        () = listening => unreachable!("it waits for ever once nobody can interrupt"),
        () = outliving => unreachable!("it waits for ever once the hub has ended"),
        () = tracing => unreachable!("it waits for ever once nothing is traced"),
    };
    while let Ok(event) = event_stream.try_recv() {
        drop(console.borrow_mut().hear(&event));
    }
    while let Some(Ok(line)) = traced.as_mut().map(UnboundedReceiver::try_recv) {
        drop(console.borrow_mut().progress().print(&line));
    }
    drop(console.borrow_mut().progress().finish());
    let finished = finished.map_err(|error| AppError::Environment(error.to_string()))?;
    Ok((finished, ended_early.take()))
}

/// The next line of a trace; `None` without one.
async fn next_line(traced: &mut Option<UnboundedReceiver<String>>) -> Option<String> {
    traced.as_mut()?.recv().await
}
