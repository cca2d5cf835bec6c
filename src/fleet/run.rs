//! Runs a plan: starts the workers, then drives the coordinator until the last worker has ended. Called by `app`.

use super::coordinator::Coordinator;
use super::service_task::ServiceChannel;
use super::{Command, Finished, FleetError, Settings, worker};
use crate::measure::Event;
use crate::plan::Plan;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Runs the plan to its end, or until a command ends it, and sends its events to `events`. A plan with `[[drive]]` tables needs a
/// `service` that carries the calls; without one, the calls stay unanswered.
///
/// # Errors
/// A worker cannot be started. Connection and protocol failures are counted, not returned. A worker that fails ends the load, but
/// the run still returns its result; only the numbers that this worker had not sent are missing.
pub async fn run(
    plan: Arc<Plan>,
    settings: Settings,
    service: Option<ServiceChannel>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::UnboundedSender<Event>,
) -> Result<Finished, FleetError> {
    let (sender, mut reports) = mpsc::unbounded_channel();
    let workers = worker::spawn_all(&plan, &settings, &sender)?;
    drop(sender);
    let mut coordinator = Coordinator::start(plan, &settings, workers, service, events);
    loop {
        let second_ends = coordinator.next_second();
        tokio::select! {
            report = reports.recv() => match report {
                Some(report) => coordinator.handle_report(report),
                None => break,
            },
            () = coordinator.service.step() => {}
            () = tokio::time::sleep_until(second_ends.into()) => coordinator.close_second(),
            Some(command) = commands.recv() => coordinator.handle_command(command),
        }
    }
    Ok(coordinator.finish(&mut commands).await)
}
