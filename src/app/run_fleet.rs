//! Runs the fleet for `run` and `capacity`: shows the events of the load, passes them to an [`Observer`], stops the load on Ctrl-C, and relays
//! calls to the built-in hub. It neither judges the load nor writes files.

use super::emulator_process::EmulatorProcess;
use super::{AppError, Env};
use crate::fleet::{self, Command, Finished};
use crate::iothub::service::{ServiceCall, ServiceResult};
use crate::live::{Console, Outline, Progress, Screen, SearchStatus, Style};
use crate::measure::Event;
use crate::plan::Plan;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

/// What to do after an event.
#[derive(Debug, Default)]
pub(super) struct Actions {
    /// Commands for the fleet.
    pub(super) commands: Vec<Command>,
    /// Lines for the user.
    pub(super) lines: Vec<String>,
    /// Lines for a log. A terminal shows the same facts in its status.
    pub(super) log: Vec<String>,
}

/// Why the load is stopped early, except by its observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Ctrl-C.
    Interrupted,
    /// The built-in hub exited.
    HubExited,
}

/// Follows the events of a load, and controls it.
pub(super) trait Observer {
    /// Handles an event.
    fn handle_event(&mut self, event: &Event) -> Actions;

    /// Handles the early end of the load.
    fn stopped(&mut self, _why: Stop) {}

    /// Returns true if the progress shows an event.
    fn shows(&self, _event: &Event) -> bool {
        true
    }

    /// Returns the status of a search at this time of the run.
    fn status(&self, _at: Duration) -> Option<SearchStatus> {
        None
    }
}

/// Lines of other parts, which are printed during the load.
pub(super) struct Lines<'a> {
    /// The lines of `--trace`.
    pub(super) trace: Option<UnboundedReceiver<String>>,
    /// The messages of the built-in hub and of the journal.
    pub(super) messages: &'a mut UnboundedReceiver<String>,
}

/// Returns how progress is displayed.
pub(super) fn style(quiet: bool, no_tui: bool, env: &Env) -> Style {
    match (quiet, env.terminal && !no_tui) {
        (true, _) => Style::Quiet,
        (false, true) => Style::Redrawn,
        (false, false) => Style::Lines,
    }
}

/// Runs the fleet until the load has ended and drained. Starts with the actions in `first`.
pub(super) async fn run_fleet(
    env: &mut Env,
    plan: &Arc<Plan>,
    (settings, style, outline): (fleet::Settings, Style, Outline),
    emulator: Option<&mut EmulatorProcess>,
    (observer, first): (&mut impl Observer, Actions),
    mut lines: Lines<'_>,
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
        console: RefCell::new(Console::new(Progress::new(style, screen, &mut env.err), outline)),
        commands: command_sender,
        observer: RefCell::new(observer),
        started: Cell::new(Some(started_sender)),
    };
    ui.act(first);
    let finished = tokio::select! {
        finished = fleet => finished,
        never = ui.handle_events(&mut events) => match never {},
        never = ui.obey_interrupts(&mut interrupts) => match never {},
        never = ui.relay_calls(emulator, started, &mut calls, &result_sender) => match never {},
        never = ui.print_trace(&mut lines.trace) => match never {},
        never = ui.print_messages(lines.messages) => match never {},
        never = ui.redraw_after_resize(), if style == Style::Redrawn => match never {},
    };
    ui.print_rest(&mut events, &mut lines.trace);
    finished.map_err(|error| AppError::Environment(error.to_string()))
}

/// The console, the observer and the command channel, shared by the tasks that run alongside the fleet. They all run on one thread.
///
/// Console write errors are ignored: a closed stderr must not end the load. Send errors on the command channel are ignored too: they
/// mean that the fleet has ended.
struct Ui<'a, W, O> {
    console: RefCell<Console<W>>,
    commands: UnboundedSender<Command>,
    observer: RefCell<&'a mut O>,
    /// Receives the start of the run, for the faults of the built-in hub.
    started: Cell<Option<oneshot::Sender<Duration>>>,
}

impl<W: Write, O: Observer> Ui<'_, W, O> {
    async fn handle_events(&self, events: &mut UnboundedReceiver<Event>) -> Infallible {
        while let Some(event) = events.recv().await {
            if let Event::Started { unix } = event
                && let Some(started) = self.started.take()
            {
                // Fails without a built-in hub, which is the only receiver.
                let _ = started.send(unix);
            }
            let actions = self.observer.borrow_mut().handle_event(&event);
            self.show(&event);
            self.act(actions);
        }
        std::future::pending().await
    }

    fn show(&self, event: &Event) {
        let observer = self.observer.borrow();
        if let Event::Second(second) = event {
            self.console.borrow_mut().set_search(observer.status(second.at));
        }
        if observer.shows(event) {
            drop(self.console.borrow_mut().handle_event(event));
        }
    }

    fn act(&self, actions: Actions) {
        for line in actions.lines {
            drop(self.console.borrow_mut().progress().note(&line));
        }
        for line in actions.log {
            drop(self.console.borrow_mut().progress().log(&line));
        }
        for command in actions.commands {
            drop(self.commands.send(command));
        }
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
            self.stop(command, Stop::Interrupted, text);
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
            self.stop(Command::Stop, Stop::HubExited, "the built-in hub exited: stopping");
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

    async fn print_messages(&self, messages: &mut UnboundedReceiver<String>) -> Infallible {
        while let Some(message) = messages.recv().await {
            drop(self.console.borrow_mut().progress().note(&message));
        }
        std::future::pending().await
    }

    /// Draws the progress again after each resize of the terminal.
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
        while let Ok(event) = events.try_recv() {
            self.show(&event);
        }
        let mut console = self.console.borrow_mut();
        while let Some(Ok(line)) = trace_lines.as_mut().map(UnboundedReceiver::try_recv) {
            drop(console.progress().print(&line));
        }
        drop(console.progress().finish());
    }

    fn stop(&self, command: Command, why: Stop, text: &str) {
        self.observer.borrow_mut().stopped(why);
        drop(self.console.borrow_mut().progress().note(text));
        drop(self.commands.send(command));
    }
}
