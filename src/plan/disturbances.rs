//! The disturbances of a run that are known in advance: planned disconnects, and faults. And the planned number of online devices, which
//! a recovery is compared with. Called by `fleet`, which counts the online devices.

use super::model::{FleetPlan, Plan};
use super::schedule::{PhasePlan, RunLoads, ns};
use crate::measure::{BIN_US, Cause, Disturbance};
use crate::policy::fault::{Fault, FaultKind};
use std::time::Duration;

/// Number of bins in a second.
const BINS_PER_S: u64 = 1_000_000 / BIN_US;

/// Devices of a busy load generator find out this much later (our choice).
const BUSY: Duration = Duration::from_secs(1);

impl Plan {
    /// Returns the disturbances with a known start, in the order of their starts.
    #[must_use]
    pub fn disturbances(&self) -> Vec<Disturbance> {
        let phases = self.schedule.phases();
        let disconnects = phases.iter().enumerate().filter_map(|(number, phase)| {
            let settled = self.last_disconnect(number)?;
            Some(known(Cause::Disconnect, phase, [phase.start, settled]))
        });
        // The other kinds slow a device down. If that ends many connections, it is a mass loss.
        let disconnects_devices = |kind: FaultKind| kind.ends_connections() || kind == FaultKind::Stall;
        let in_phase = |cause: Cause, fault: &Fault| {
            let phase = phases.get(usize::from(self.schedule.phase_at(ns(fault.at))))?;
            Some(known(cause, phase, [fault.at, fault.end()]))
        };
        let hub = self.faults.iter().filter_map(|plan| in_phase(Cause::Hub, &plan.fault));
        let fleets = self.fleets.iter().flat_map(|fleet| fleet.faults.iter().map(move |plan| (fleet, plan)));
        let fleets = fleets.filter(|(_, plan)| disconnects_devices(plan.fault.kind));
        let fleets = fleets.filter_map(|(fleet, plan)| {
            let found = in_phase(Cause::Fault, &plan.fault)?;
            if plan.fault.kind != FaultKind::HalfOpen {
                return Some(found);
            }
            let until = plan.fault.end().saturating_add(finds_out_within(fleet));
            Some(found.with_losses_until(ns(until) / 1_000))
        });
        let mut found: Vec<Disturbance> = disconnects.chain(hub).chain(fleets).collect();
        found.sort_by_key(|one| one.start_us);
        found
    }

    /// Returns when the last device of any fleet is disconnected in a phase.
    fn last_disconnect(&self, number: usize) -> Option<Duration> {
        let last = self.fleets.iter().filter_map(|fleet| {
            let schedule = self.schedule_of(fleet);
            let phase = schedule.phases().get(number)?;
            let over = phase.disconnect?.over;
            let count = u32::try_from(schedule.disconnected_in(number, fleet.devices.into())).ok()?;
            Some(phase.start + over * count.checked_sub(1)? / count)
        });
        last.max()
    }

    /// Returns the planned number of online devices of each fleet: just before the end of each 100 ms of the second that ends at `t_ns`, or
    /// a single number if they are equal. `loads` contains the changes by commands.
    #[must_use]
    pub fn planned_by_fleet(&self, loads: &RunLoads, t_ns: u64) -> Vec<Vec<u64>> {
        let ends = (0..BINS_PER_S).rev().map(|bins| t_ns.saturating_sub(bins * BIN_US * 1_000 + 1));
        let fleets = self.fleets.iter().zip(0_u16..).map(|(fleet, number)| {
            let mut list: Vec<u64> =
                ends.clone().map(|at_ns| self.planned_online_of((fleet, number), loads, at_ns)).collect();
            if list.iter().all(|planned| Some(planned) == list.first()) {
                list.truncate(1);
            }
            list
        });
        fleets.collect()
    }
}

/// Returns the longest time until a device finds out that its connection is half-open: by PINGRESP, or by an acknowledgment.
fn finds_out_within(fleet: &FleetPlan) -> Duration {
    let pings = fleet.pings.interval(fleet.keep_alive_s);
    pings.map_or(fleet.ack_timeout, |interval| interval + fleet.pings.timeout(fleet.keep_alive_s)) + BUSY
}

fn known(cause: Cause, phase: &PhasePlan, [start, settled]: [Duration; 2]) -> Disturbance {
    let us = |at: Duration| ns(at) / 1_000;
    Disturbance::known(cause, &phase.name, [us(start), us(settled), us(phase.end)])
}

#[cfg(test)]
mod tests {
    use crate::measure::Cause;
    use crate::plan::test_support::plan;

    const S: u64 = 1_000_000;

    #[test]
    fn planned_disconnects_and_faults_are_known() {
        let plan = plan(
            "[fleet.a]\ndevices = 10\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
             [[fleet.a.fault]]\nkind = \"reset\"\nat = \"2s\"\n\
             [[fleet.a.fault]]\nkind = \"latency\"\nby = \"100ms\"\nat = \"3s\"\nfor = \"1s\"\n\
             [[emulator.fault]]\nkind = \"hold-acks\"\nat = \"5s\"\nfor = \"4s\"\n\
             [[phase]]\nname = \"calm\"\nduration = \"10s\"\n\
             [[phase]]\nname = \"storm\"\nduration = \"20s\"\ndisconnect = { how = \"close\", share = \"50%\", over = \"2s\" }\n",
        );
        let found: Vec<(Cause, String, [u64; 3])> = plan
            .disturbances()
            .into_iter()
            .map(|one| (one.cause, one.phase, [one.start_us, one.settled_us, one.until_us]))
            .collect();
        // Five devices, one every 400 ms.
        assert_eq!(
            found,
            [
                (Cause::Fault, "calm".to_owned(), [2 * S, 2 * S, 10 * S]),
                (Cause::Hub, "calm".to_owned(), [5 * S, 9 * S, 10 * S]),
                (Cause::Disconnect, "storm".to_owned(), [10 * S, 11_600_000, 30 * S]),
            ]
        );
    }

    #[test]
    fn losses_of_half_open_connections_are_late() {
        let plan = plan(
            "[fleet.a]\ndevices = 10\nkeep_alive = \"5s\"\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
             [[fleet.a.fault]]\nkind = \"half-open\"\nat = \"2s\"\nfor = \"3s\"\n\
             [[phase]]\nname = \"calm\"\nduration = \"30s\"\n",
        );
        let found = &plan.disturbances()[0];
        // PINGREQ follows after 5 s of silence, and PINGRESP is missing 5 s later.
        assert_eq!((found.settled_us, found.losses_until_us), (5 * S, (5 + 5 + 5 + 1) * S));
    }

    #[test]
    fn planned_numbers_are_listed_only_while_they_change() {
        let plan = plan(
            "[fleet.a]\ndevices = 10\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
             [[phase]]\nname = \"ramp\"\nduration = \"2s\"\nonline = \"0% -> 100%\"\n\
             [[phase]]\nname = \"steady\"\nduration = \"10s\"\n",
        );
        let loads = plan.run_loads();
        let second = |end: u64| plan.planned_by_fleet(&loads, end * 1_000_000_000);
        assert_eq!(second(1), [[0, 1, 1, 2, 2, 3, 3, 4, 4, 5]]);
        assert_eq!(second(5), [[10]]);
    }
}
