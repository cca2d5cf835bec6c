//! The faults of a worker's devices on the generator's side, and which operations they affect. `device_task` gives them to the link, and
//! `device_recorder` asks which operations to count as under a fault. A run without such faults has none of this.

use super::{DeviceRef, nanos};
use crate::clock::RunClock;
use crate::link::{Deadlines, FaultWindow, Faults};
use crate::measure::{Operation, Outcome, Times};
use crate::plan::Plan;
use crate::rng::{Purpose, generator};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// The faults of a worker's devices, each created when the device first needs it.
pub(crate) struct WorkerFaults {
    devices: RefCell<HashMap<DeviceRef, Option<Rc<DeviceFaults>>>>,
}

impl WorkerFaults {
    /// Returns `None` if the plan has no faults on the generator's side.
    pub(crate) fn of(plan: &Plan) -> Option<Box<WorkerFaults>> {
        let any = plan.fleets.iter().any(|fleet| !fleet.faults.is_empty());
        any.then(|| Box::new(WorkerFaults { devices: RefCell::default() }))
    }

    /// Returns the faults of a device; `None` if no fault affects it.
    pub(crate) fn of_device(
        &self,
        device: DeviceRef,
        plan: &Plan,
        clock: &RunClock,
        deadlines: &Rc<Deadlines>,
    ) -> Option<Rc<DeviceFaults>> {
        let mut devices = self.devices.borrow_mut();
        devices
            .entry(device)
            .or_insert_with(|| DeviceFaults::new(device, plan, clock, deadlines).map(Rc::new))
            .clone()
    }

    /// Returns, by fleet, how many connections or packets each fault affected.
    pub(crate) fn applied(&self, plan: &Plan) -> Vec<Vec<u64>> {
        let mut applied: Vec<Vec<u64>> =
            plan.fleets.iter().map(|fleet| vec![0; fleet.faults.len()]).collect();
        for (device, faults) in self.devices.borrow().iter() {
            let Some(faults) = faults else { continue };
            for (number, count) in faults.numbers.iter().zip(faults.link.take_applied()) {
                applied[usize::from(device.fleet)][*number] += count;
            }
        }
        applied
    }
}

/// The faults of one device.
pub(crate) struct DeviceFaults {
    /// The faults as connections see them.
    pub(crate) link: Rc<Faults>,
    /// The number of each of them among the faults of the fleet.
    numbers: Vec<usize>,
    /// Start and end of each.
    windows_ns: Vec<[u64; 2]>,
    /// An operation that was due before this time was due while the device had a backlog from a fault, or was offline because of one.
    backlog_until_ns: Cell<u64>,
}

impl DeviceFaults {
    fn new(
        device: DeviceRef,
        plan: &Plan,
        clock: &RunClock,
        deadlines: &Rc<Deadlines>,
    ) -> Option<DeviceFaults> {
        let faults = &device.fleet(plan).faults;
        let affecting: Vec<_> =
            faults.iter().enumerate().filter(|(_, fault)| fault.affects(device.index)).collect();
        if affecting.is_empty() {
            return None;
        }
        let windows = affecting.iter().map(|(_, plan)| {
            let fault = &plan.fault;
            let [from, until] = [fault.at, fault.end()].map(|at| clock.at(nanos(at)));
            FaultWindow::new(fault.kind, fault.by, fault.network, from, until)
        });
        let jitter = generator(plan.seed, device.global(plan), Purpose::Jitter);
        Some(DeviceFaults {
            link: Rc::new(Faults::new(windows.collect(), deadlines.clone(), jitter)),
            numbers: affecting.iter().map(|(number, _)| *number).collect(),
            windows_ns: affecting
                .iter()
                .map(|(_, plan)| [plan.fault.at, plan.fault.end()].map(nanos))
                .collect(),
            backlog_until_ns: Cell::new(0),
        })
    }

    /// Returns whether an operation that ends now, or a failure at `to_ns`, is under a fault: its time overlaps a fault of the device, or
    /// the device had a backlog from one at its due time.
    pub(crate) fn affects(&self, due_ns: u64, to_ns: u64) -> bool {
        self.link.is_broken()
            || due_ns < self.backlog_until_ns.get()
            || self.windows_ns.iter().any(|[from_ns, until_ns]| *from_ns <= to_ns && due_ns <= *until_ns)
    }

    /// Notes the end of an operation. Returns whether the operation is under a fault.
    pub(crate) fn note_end(&self, operation: Operation, outcome: Outcome, times: &Times) -> bool {
        let affects = self.affects(times.due, times.acked);
        if affects {
            // A message waits until it is sent. An operation of a connection keeps the device offline until it ends.
            let waited_until_ns = match outcome {
                Outcome::Ok if operation == Operation::Online => times.acked,
                Outcome::Ok => times.sent,
                Outcome::Expired | Outcome::Offline => times.acked,
                _ => 0,
            };
            self.backlog_until_ns.set(self.backlog_until_ns.get().max(waited_until_ns));
        }
        if operation == Operation::Online && outcome == Outcome::Ok {
            self.link.recovered();
        }
        affects
    }
}

#[cfg(test)]
mod tests;
