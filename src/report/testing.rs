//! Measurements and threshold results for the tests in this room. Independent of formats.

use crate::measure::{Collector, Compare, Layout, Measurement, Outcome, Recorder, Source, Test};
use crate::result::model::{ThresholdResult, ThresholdStatus};
use crate::stalls::Stalls;
use std::rc::Rc;
use std::time::Duration;

/// Returns the measurement of a run with this number of fleets (`fleet-0`, ..) and one-minute phases (`phase-0`, ..).
pub(crate) fn measured(fleets: usize, phases: usize, record: impl FnOnce(&mut Recorder)) -> Measurement {
    measured_with_stalls(fleets, phases, &Rc::new(Stalls::new(crate::clock::now())), record)
}

/// Like [`measured`], on a thread with these stalls.
pub(crate) fn measured_with_stalls(
    fleets: usize,
    phases: usize,
    stalls: &Rc<Stalls>,
    record: impl FnOnce(&mut Recorder),
) -> Measurement {
    let layout = Layout::new(fleets, phases, Duration::from_secs(60));
    let (mut recorder, mut collector) = (Recorder::new(layout, stalls.clone()), Collector::unnamed(layout));
    record(&mut recorder);
    collector.add(&recorder.swap(), Source::Worker(0));
    collector.finish(u64::MAX, Vec::new(), Vec::new())
}

/// Returns the result of a threshold on `telemetry`, with `observed` in `unit`.
pub(crate) fn threshold(unit: &str, observed: Option<f64>, status: ThresholdStatus) -> ThresholdResult {
    ThresholdResult {
        metric: "telemetry".to_owned(),
        expression: "p(99) < 500ms".to_owned(),
        phase: None,
        fleet: None,
        without_faults: false,
        limit: 500_000.0,
        unit: unit.to_owned(),
        observed,
        observed_best: observed,
        observed_worst: observed,
        observed_text: "> 500 ms".to_owned(),
        margin: None,
        samples: 1,
        passed: status == ThresholdStatus::Passed,
        status: Some(status),
        test: Some(Test::Count { outcome: Outcome::Ok, compare: Compare::Less, limit: 0 }),
        line: None,
    }
}
