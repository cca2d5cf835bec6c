//! Measurements for the tests of this room.

use crate::measure::{Collector, Layout, Measurement, Recorder, Source};
use crate::stalls::Stalls;
use std::rc::Rc;
use std::time::Duration;

/// What a recorder makes of a run of so many fleets (`fleet-0`, ..) and phases (`phase-0`, .., of a minute each).
pub(crate) fn measured(fleets: usize, phases: usize, record: impl FnOnce(&mut Recorder)) -> Measurement {
    measured_with_stalls(fleets, phases, &Rc::new(Stalls::new(crate::clock::now())), record)
}

/// The same on a thread with these stalls.
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
