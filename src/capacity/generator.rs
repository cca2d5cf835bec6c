//! The machines, cores, memory, descriptors and source addresses that generate a load. The costs are those that `docs/performance.md`
//! measures. Used by `plan_capacity`. Pure.

use super::demand::PhaseLoad;
use super::model::Generator;
use crate::iothub::throttles::Class;
use crate::plan::Plan;
use crate::units::whole;

/// CPU time of a message in microseconds, by messages per second in all ("By rate: what a message costs").
const MESSAGE_US: [(f64, f64); 5] =
    [(1_000.0, 55.0), (3_000.0, 26.3), (10_000.0, 17.3), (30_000.0, 9.1), (100_000.0, 8.0)];
/// CPU time of a connect in seconds ("By devices: what one more costs, idle").
const CONNECT_S: f64 = 0.000_41;
/// CPU time of a PINGREQ in seconds ("The arithmetic for one million devices").
const PING_S: f64 = 0.000_020;
/// Devices per source address with constant costs ("The next bottlenecks").
const DEVICES_PER_ADDRESS: u64 = 14_000;
/// Memory of the kernel per device ("The arithmetic for one million devices").
const KERNEL_BYTES: u64 = 4_500;
/// The machine of that section.
const MACHINE_CORES: u64 = 4;
const MACHINE_BYTES: u64 = 16 << 30;
/// Share of a core that the load may use, so that delays stay short. Our choice.
const CORE_SHARE: f64 = 0.7;

/// Returns the resources for a plan.
pub(super) fn generator(plan: &Plan, loads: &[PhaseLoad]) -> Generator {
    let pings = pings_per_s(plan);
    let busiest = loads.iter().map(|load| cpu(load) + pings * PING_S).fold(0.0, f64::max);
    let cores = whole((busiest / CORE_SHARE).ceil()).max(1);
    let workers = usize::try_from(cores).unwrap_or(usize::MAX).min(1_024);
    let needs = plan.needs(workers);
    let devices = plan.devices();
    let memory_bytes = needs.memory_bytes + devices * KERNEL_BYTES;
    Generator {
        machines: cores.div_ceil(MACHINE_CORES).max(memory_bytes.div_ceil(MACHINE_BYTES)).max(1),
        cores,
        cpu_seconds_per_s: busiest,
        memory_bytes,
        descriptors: needs.descriptors,
        source_addresses: devices.div_ceil(DEVICES_PER_ADDRESS).max(1),
        machine_cores: MACHINE_CORES,
        machine_memory_bytes: MACHINE_BYTES,
    }
}

/// Returns the CPU time of a phase, in seconds per second. Devices that connect at once are spread over the phase.
fn cpu(load: &PhaseLoad) -> f64 {
    let connects = load.of(Class::Connections);
    let per_s = connects.sustained.max(connects.average + connects.once / load.seconds);
    let messages = load.operations.sustained;
    per_s * CONNECT_S + messages * message_us(messages) / 1e6
}

/// Returns the CPU time of a message, in microseconds: that of the next lower rate in the table, which is higher.
fn message_us(per_s: f64) -> f64 {
    let lower = MESSAGE_US.iter().rev().find(|(rate, _)| *rate <= per_s);
    lower.map_or(MESSAGE_US[0].1, |(_, us)| *us)
}

/// Returns the PINGREQs per second of devices that send less often than their keep-alive.
fn pings_per_s(plan: &Plan) -> f64 {
    let fleets = plan.fleets.iter().filter(|fleet| fleet.keep_alive_s > 0);
    let each = fleets.map(|fleet| {
        let pings_hz = 1.0 / f64::from(fleet.keep_alive_s);
        let sends_hz: f64 = fleet.sends.iter().map(|send| send.arrival.rate_hz).sum();
        if sends_hz < pings_hz { f64::from(fleet.devices) * pings_hz } else { 0.0 }
    });
    each.sum()
}
