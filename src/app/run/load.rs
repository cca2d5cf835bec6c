//! The load of a run: what its progress shows, the device of `--trace`, and its early end. Used by `run`.

use crate::app::AppError;
use crate::app::early_end::{EarlyEnd, EarlyEndCheck};
use crate::app::run_fleet::{Actions, Observer};
use crate::fleet::{Command, DeviceRef, Tracer};
use crate::live::{Outline, PhaseOutline};
use crate::measure::{Event, Operation, Test};
use crate::plan::Plan;
use tokio::sync::mpsc::{self, UnboundedReceiver};

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

/// Stops the load if it should end early.
pub(super) struct EarlyEndObserver {
    pub(super) check: EarlyEndCheck,
    /// The reason, if the load ended early.
    pub(super) early: Option<EarlyEnd>,
}

impl Observer for EarlyEndObserver {
    fn handle_event(&mut self, event: &Event) -> Actions {
        let Some(early) = self.check.handle_event(event) else { return Actions::default() };
        let actions =
            Actions { commands: vec![Command::Stop], lines: vec![early.text.clone()], log: Vec::new() };
        self.early = Some(early);
        actions
    }
}
