//! The loads of a running plan, which commands may extend, and the number of online devices, which commands may change. Read by `arrival` and
//! by the engine. Must not depend on commands.

use super::load::{Load, Segment};
use super::nanoseconds::ns;
use super::online_devices::{OnlineChange, OnlineDevices};
use super::phases::Schedule;
use std::cell::{Ref, RefCell};
use std::rc::Rc;

/// A load that grows while cursors read it. All cursors of a thread share it. It never leaves the thread, so reading it does not
/// take a lock. Appending affects only the time after the previous end, so due times that a cursor has found do not change.
#[derive(Clone, Debug)]
pub struct RunLoad(Rc<RefCell<Load>>);

impl RunLoad {
    /// Creates a growing load that starts with the planned load.
    #[must_use]
    pub fn new(planned: &Load) -> RunLoad {
        RunLoad(Rc::new(RefCell::new(planned.clone())))
    }

    /// Appends a segment. See [`Load::append`].
    #[must_use]
    pub fn append(&self, segment: Segment) -> bool {
        self.0.borrow_mut().append(segment)
    }

    /// Returns the current end of the load, in nanoseconds since the start of the run.
    #[must_use]
    pub fn end_ns(&self) -> u64 {
        self.read().end_ns()
    }

    /// Returns the current load.
    #[must_use]
    #[inline]
    pub fn read(&self) -> Ref<'_, Load> {
        self.0.borrow()
    }
}

/// The growing loads of a thread: that of the plan, and those of the fleets whose load differs from it. Also the number of online devices.
#[derive(Clone, Debug)]
pub struct RunLoads {
    plan: Appended,
    /// For each fleet; `None` if it follows the plan.
    fleets: Vec<Option<Appended>>,
    online: RefCell<OnlineDevices>,
}

/// A growing load, and the load to which the factors of its segments are relative.
#[derive(Clone, Debug)]
struct Appended {
    load: RunLoad,
    reference: f64,
}

impl Appended {
    fn new(schedule: &Schedule) -> Appended {
        Appended { load: RunLoad::new(schedule.load()), reference: schedule.reference_load() }
    }

    fn append(&self, segment: Segment) -> bool {
        let factor = segment.factor.map(|factor| factor * self.reference);
        self.load.append(Segment { factor, ..segment })
    }
}

impl RunLoads {
    /// Creates growing loads. `fleets` are the schedules of the fleets; `None` for a fleet that follows the plan.
    pub(in crate::plan) fn new<'a>(
        plan: &Schedule,
        fleets: impl Iterator<Item = Option<&'a Schedule>>,
    ) -> RunLoads {
        RunLoads {
            plan: Appended::new(plan),
            fleets: fleets.map(|own| own.map(Appended::new)).collect(),
            online: RefCell::default(),
        }
    }

    /// Returns the load of a fleet.
    #[must_use]
    pub fn of(&self, fleet: u16) -> &RunLoad {
        &self.fleets.get(usize::from(fleet)).and_then(Option::as_ref).unwrap_or(&self.plan).load
    }

    /// Appends a segment to all loads. Returns false and changes nothing if the segment does not extend them.
    #[must_use]
    pub fn append(&self, segment: Segment) -> bool {
        // All loads have the same end, so a segment extends all or none.
        self.plan.append(segment) && self.fleets.iter().flatten().all(|load| load.append(segment))
    }

    /// Changes the number of online devices. Returns false and changes nothing if the change starts before the end of the loads, because
    /// every device is woken there and then finds the change, or before the end of the previous change.
    #[must_use]
    pub fn change_online(&self, change: OnlineChange) -> bool {
        ns(change.from) >= self.end_ns() && self.online.borrow_mut().change(change)
    }

    /// Returns the number of online devices that commands have set.
    #[must_use]
    #[inline]
    pub fn online(&self) -> Ref<'_, OnlineDevices> {
        self.online.borrow()
    }

    /// Returns the current end of the loads, in nanoseconds since the start of the run.
    #[must_use]
    pub fn end_ns(&self) -> u64 {
        self.plan.load.end_ns()
    }
}
