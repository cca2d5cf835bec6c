//! Runs the fleet for a search, and connects it with the trials: events go to the trials and to the progress lines, commands to the fleet.
//! Used by `capacity`.

use super::trials::{Actions, Trials};
use crate::app::emulator_process::EmulatorProcess;
use crate::app::{AppError, Env, run::outline};
use crate::capacity::measured::EndReason;
use crate::fleet::{self, Command, Finished};
use crate::iothub::service::{ServiceCall, ServiceResult};
use crate::live::{Console, Progress, Screen, Style};
use crate::measure::Event;
use crate::plan::Plan;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

/// Runs the fleet until the search has ended and the load has drained. `first` extends the load up to the first trial.
pub(super) async fn search_run(
    env: &mut Env,
    plan: &Arc<Plan>,
    (settings, style): (fleet::Settings, Style),
    emulator: Option<&mut EmulatorProcess>,
    (trials, first): (&mut Trials<'_>, Actions),
) -> Result<Finished, AppError> {
    let mut interrupts = env.interrupts.clone();
    let (command_sender, commands) = mpsc::unbounded_channel();
    let (event_sender, mut events) = mpsc::unbounded_channel();
    let (call_sender, mut calls) = mpsc::unbounded_channel();
    let (result_sender, results) = mpsc::unbounded_channel();
    let service = fleet::ServiceChannel { calls: call_sender, results };
    let fleet = fleet::run(plan.clone(), settings, Some(service), commands, event_sender);
    let screen = Screen { width: env.err_width, color: env.color };
    let (started_sender, started) = oneshot::channel();
    let ui = Ui {
        console: RefCell::new(Console::new(Progress::new(style, screen, &mut env.err), outline(plan))),
        commands: command_sender,
        trials: RefCell::new(trials),
        started: Cell::new(Some(started_sender)),
    };
    ui.act(first);
    let finished = tokio::select! {
        finished = fleet => finished,
        never = ui.handle_events(&mut events) => match never {},
        never = ui.obey_interrupts(&mut interrupts) => match never {},
        never = ui.relay_calls(emulator, started, &mut calls, &result_sender) => match never {},
    };
    while let Ok(event) = events.try_recv() {
        ui.show(&event);
    }
    drop(ui.console.borrow_mut().progress().finish());
    finished.map_err(|error| AppError::Environment(error.to_string()))
}

/// The console, the trials and the command channel, shared by the tasks that run alongside the fleet on one thread.
///
/// Console write errors are ignored: a closed stderr must not end the search. Send errors on the command channel are ignored too: they
/// mean that the fleet has ended.
struct Ui<'a, 'b, W> {
    console: RefCell<Console<W>>,
    commands: UnboundedSender<Command>,
    trials: RefCell<&'a mut Trials<'b>>,
    /// Receives the start of the run, for the faults of the built-in hub.
    started: Cell<Option<oneshot::Sender<Duration>>>,
}

impl<W: Write> Ui<'_, '_, W> {
    async fn handle_events(&self, events: &mut UnboundedReceiver<Event>) -> Infallible {
        while let Some(event) = events.recv().await {
            if let Event::Started { unix } = event
                && let Some(started) = self.started.take()
            {
                // Fails without a built-in hub, which is the only receiver.
                let _ = started.send(unix);
            }
            self.show(&event);
            let actions = self.trials.borrow_mut().handle_event(&event);
            self.act(actions);
        }
        std::future::pending().await
    }

    /// Shows an event. The end of the load is not known, so that of the last slot is shown.
    fn show(&self, event: &Event) {
        if let Event::Noted { text } = event {
            drop(self.console.borrow_mut().progress().note(text));
        }
        if !matches!(event, Event::LoadAppended { .. }) {
            drop(self.console.borrow_mut().handle_event(event));
        }
    }

    fn act(&self, actions: Actions) {
        for line in actions.lines {
            drop(self.console.borrow_mut().progress().note(&line));
        }
        for command in actions.commands {
            drop(self.commands.send(command));
        }
    }

    /// Ends the search at the first Ctrl-C, and aborts the run at the second.
    async fn obey_interrupts(&self, interrupts: &mut watch::Receiver<u8>) -> Infallible {
        let mut before = *interrupts.borrow();
        while interrupts.changed().await.is_ok() {
            let count = *interrupts.borrow_and_update();
            let first = std::mem::replace(&mut before, count) == 0 && count <= 1;
            let (command, text) = match first {
                true => (Command::Stop, "interrupted: draining; press Ctrl-C again to stop now"),
                false => (Command::Abort, "interrupted again: stopping now"),
            };
            self.stop(command, EndReason::Interrupted, text);
        }
        std::future::pending().await
    }

    /// Relays the start of the run and calls to the built-in hub, if there is one, and ends the search if the hub exits.
    async fn relay_calls(
        &self,
        emulator: Option<&mut EmulatorProcess>,
        started: oneshot::Receiver<Duration>,
        calls: &mut UnboundedReceiver<ServiceCall>,
        results: &UnboundedSender<ServiceResult>,
    ) -> Infallible {
        if let Some(emulator) = emulator {
            emulator.relay_calls(started, calls, results).await;
            self.stop(Command::Stop, EndReason::Breakdown, "the built-in hub exited: stopping");
        }
        std::future::pending().await
    }

    fn stop(&self, command: Command, end: EndReason, text: &str) {
        self.trials.borrow_mut().stop(end);
        drop(self.console.borrow_mut().progress().note(text));
        drop(self.commands.send(command));
    }
}
