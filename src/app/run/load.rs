//! The load of a run: starts the fleet, prints progress and trace lines, stops the load on Ctrl-C, and forwards calls to the built-in
//! hub. Used by `run`. It does not judge the run or write files.

use super::super::early_end::{EarlyEnd, EarlyEndCheck};
use super::super::emulator_process::EmulatorProcess;
use super::super::{AppError, Env};
use crate::cli::RunArgs;
use crate::fleet::{self, Command, DeviceRef, Finished, Tracer};
use crate::iothub::service::{ServiceCall, ServiceResult};
use crate::live::{Console, Outline, PhaseOutline, Progress, Screen, Style};
use crate::measure::{Event, Operation, Test};
use crate::plan::Plan;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

/// Finds the device for `--trace`. Returns its tracer and the receiver of the trace lines.
pub(in crate::app) fn tracer(plan: &Plan, id: &str) -> Result<(Tracer, UnboundedReceiver<String>), AppError> {
    let mut devices = (0_u16..).zip(&plan.fleets).flat_map(|(number, fleet)| {
        (0..fleet.devices).map(move |index| (number, index, fleet.device_id(index)))
    });
    let (fleet, index, id) = devices.find(|(_, _, device)| device == id).ok_or_else(|| {
        let first = plan.fleets.first().map(|fleet| fleet.device_id(0)).unwrap_or_default();
        AppError::Usage(format!(
            "--trace {id}: the scenario has no device with this id; its first device is {first}"
        ))
    })?;
    let (lines, trace_lines) = mpsc::unbounded_channel();
    Ok((Tracer { device: DeviceRef { fleet, index }, id, lines }, trace_lines))
}

/// Returns how progress is displayed.
pub(super) fn style(args: &RunArgs, env: &Env) -> Style {
    match (args.quiet, env.terminal && !args.no_tui) {
        (true, _) => Style::Quiet,
        (false, true) => Style::Redrawn,
        (false, false) => Style::Lines,
    }
}

/// Runs the fleet until the load has ended and drained. Returns the measurement, and the reason if the load ended early.
pub(super) async fn run_load(
    args: &RunArgs,
    env: &mut Env,
    plan: &Arc<Plan>,
    (settings, mut early_end_check): (fleet::Settings, EarlyEndCheck),
    emulator: Option<&mut EmulatorProcess>,
    (mut trace_lines, hub_messages): (Option<UnboundedReceiver<String>>, &mut UnboundedReceiver<String>),
) -> Result<(Finished, Option<EarlyEnd>), AppError> {
    let style = style(args, env);
    let mut interrupts = env.interrupts.clone();
    let (command_sender, commands) = mpsc::unbounded_channel();
    let (event_sender, mut events) = mpsc::unbounded_channel();
    let (call_sender, mut calls) = mpsc::unbounded_channel();
    let (result_sender, results) = mpsc::unbounded_channel();
    let service = fleet::ServiceChannel { calls: call_sender, results };
    let fleet = fleet::run(plan.clone(), settings, Some(service), commands, event_sender);
    let screen = Screen { width: env.err_width, color: env.color };
    let console = Console::new(Progress::new(style, screen, &mut env.err), outline(plan));
    let (started_sender, started) = oneshot::channel();
    let ui = Ui {
        console: RefCell::new(console),
        commands: command_sender,
        early: RefCell::default(),
        started: Cell::new(Some(started_sender)),
    };
    let finished = tokio::select! {
        finished = fleet => finished,
        never = ui.show_events(&mut events, &mut early_end_check) => match never {},
        never = ui.obey_interrupts(&mut interrupts) => match never {},
        never = ui.relay_calls(emulator, started, &mut calls, &result_sender) => match never {},
        never = ui.print_trace(&mut trace_lines) => match never {},
        never = ui.print_notes(hub_messages) => match never {},
        never = ui.redraw_after_resize(), if style == Style::Redrawn => match never {},
    };
    ui.print_rest(&mut events, &mut trace_lines);
    let finished = finished.map_err(|error| AppError::Environment(error.to_string()))?;
    Ok((finished, ui.early.into_inner()))
}

/// Returns the parts of the plan that the progress lines show.
pub(in crate::app) fn outline(plan: &Plan) -> Outline {
    let phases = plan.schedule.phases().iter().map(|phase| PhaseOutline {
        name: phase.name.clone(),
        start: phase.start,
        end: phase.end,
    });
    // As in reports: the operation of the first latency threshold that is not about connecting.
    let mut latencies = plan.thresholds.iter().filter(|threshold| {
        matches!(threshold.test, Test::Percentile { .. } | Test::Mean { .. } | Test::Max { .. })
    });
    let headline = latencies.find(|threshold| {
        let metric = threshold.metric;
        metric.is_message() || matches!(metric, Operation::Deliver | Operation::Method | Operation::C2d)
    });
    Outline {
        phases: phases.collect(),
        drain: plan.drain,
        headline: headline.map(|threshold| threshold.metric),
        json: plan.source.is_json(),
    }
}

/// The console and the command channel, shared by the tasks that run alongside the fleet. They all run on one thread.
///
/// Console write errors are ignored: a closed stderr must not end the run. Send errors on the command channel are ignored too: they
/// mean that the fleet has ended.
struct Ui<W> {
    console: RefCell<Console<W>>,
    commands: UnboundedSender<Command>,
    early: RefCell<Option<EarlyEnd>>,
    /// Receives the start of the run, for the faults of the built-in hub.
    started: Cell<Option<oneshot::Sender<Duration>>>,
}

impl<W: Write> Ui<W> {
    /// Shows the events as progress, and stops the load when `check` finds a reason.
    async fn show_events(
        &self,
        events: &mut UnboundedReceiver<Event>,
        check: &mut EarlyEndCheck,
    ) -> Infallible {
        while let Some(event) = events.recv().await {
            if let Event::Started { unix } = event
                && let Some(started) = self.started.take()
            {
                // Fails without a built-in hub, which is the only receiver.
                let _ = started.send(unix);
            }
            drop(self.console.borrow_mut().handle_event(&event));
            if let Some(early) = check.handle_event(&event) {
                self.command(Command::Stop, &early.text);
                self.early.replace(Some(early));
            }
        }
        std::future::pending().await
    }

    /// Stops the load at the first Ctrl-C and aborts it at the second.
    async fn obey_interrupts(&self, interrupts: &mut watch::Receiver<u8>) -> Infallible {
        let mut before = *interrupts.borrow();
        while interrupts.changed().await.is_ok() {
            let count = *interrupts.borrow_and_update();
            let (command, text) = match (std::mem::replace(&mut before, count), count) {
                (_, 0 | 1) => (Command::Stop, "interrupted: draining; press Ctrl-C again to stop now"),
                (0, _) => (Command::Abort, "interrupted: stopping now"),
                _ => (Command::Abort, "interrupted again: stopping now"),
            };
            self.command(command, text);
        }
        std::future::pending().await
    }

    /// Relays the start of the run and calls to the built-in hub, if there is one, and stops the load if the hub exits.
    async fn relay_calls(
        &self,
        emulator: Option<&mut EmulatorProcess>,
        started: oneshot::Receiver<Duration>,
        calls: &mut UnboundedReceiver<ServiceCall>,
        results: &UnboundedSender<ServiceResult>,
    ) -> Infallible {
        if let Some(emulator) = emulator {
            emulator.relay_calls(started, calls, results).await;
            self.command(Command::Stop, "the built-in hub exited: stopping");
        }
        std::future::pending().await
    }

    /// Prints the lines of `--trace`.
    async fn print_trace(&self, lines: &mut Option<UnboundedReceiver<String>>) -> Infallible {
        if let Some(lines) = lines {
            while let Some(line) = lines.recv().await {
                drop(self.console.borrow_mut().progress().print(&line));
            }
        }
        std::future::pending().await
    }

    /// Prints the messages of the built-in hub.
    async fn print_notes(&self, messages: &mut UnboundedReceiver<String>) -> Infallible {
        while let Some(message) = messages.recv().await {
            drop(self.console.borrow_mut().progress().note(&message));
        }
        std::future::pending().await
    }

    /// Draws the progress line again after each resize of the terminal.
    async fn redraw_after_resize(&self) -> Infallible {
        // Without a handler, the next line has the new width.
        if let Ok(mut resized) = signal(SignalKind::window_change()) {
            while resized.recv().await.is_some() {
                drop(self.console.borrow_mut().progress().redraw());
            }
        }
        std::future::pending().await
    }

    /// Prints the events and trace lines that were still queued when the fleet ended.
    fn print_rest(
        &self,
        events: &mut UnboundedReceiver<Event>,
        trace_lines: &mut Option<UnboundedReceiver<String>>,
    ) {
        let mut console = self.console.borrow_mut();
        while let Ok(event) = events.try_recv() {
            drop(console.handle_event(&event));
        }
        while let Some(Ok(line)) = trace_lines.as_mut().map(UnboundedReceiver::try_recv) {
            drop(console.progress().print(&line));
        }
        drop(console.progress().finish());
    }

    /// Shows `text` to the user and sends the command to the fleet.
    fn command(&self, command: Command, text: &str) {
        drop(self.console.borrow_mut().progress().note(text));
        drop(self.commands.send(command));
    }
}
