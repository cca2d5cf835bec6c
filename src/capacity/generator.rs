//! The machines, cores, memory, descriptors and source addresses that generate a load. The costs are those that `docs/performance.md`
//! measures. Also the highest load of a machine, from the same costs. Used by `plan_capacity`, and by `app` for the range of a search. Pure.

use super::demand::PhaseLoad;
use super::model::Generator;
use crate::iothub::throttles::Class;
use crate::plan::{Needs, Plan};
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

/// The machine that generates a load.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Worker threads, each of which can use a core.
    pub workers: usize,
    /// Available memory in bytes; `u64::MAX` if unknown.
    pub memory_bytes: u64,
    /// Limit on open files.
    pub descriptors: u64,
}

/// Returns the highest number of messages per second that the devices of a plan can send from a machine.
#[must_use]
pub fn messages_max(plan: &Plan, machine: &Machine) -> f64 {
    messages_in(cpu_max(machine) - pings_per_s(plan) * PING_S, 0.0)
}

/// Returns the highest number of devices like those of a plan that a machine can run. `per_s` is the rate of messages of all devices of the
/// plan together.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "device counts are far below 2^53")]
pub fn devices_max(plan: &Plan, per_s: f64, machine: &Machine) -> u64 {
    let messages = messages_in(cpu_max(machine), pings_per_s(plan) / per_s * PING_S);
    let by_cpu = whole(messages / per_s * plan.devices() as f64);
    // The built-in hub needs as much memory as the devices.
    let processes = if plan.emulator.is_some() { 2 } else { 1 };
    let by_memory = Needs::devices_in(machine.memory_bytes / processes);
    let by_descriptors = machine.descriptors.saturating_sub(Needs::DESCRIPTORS_BESIDE);
    let addresses = plan.target.source_ips.len().max(1) as u64 * u64::from(plan.target.host_count());
    let most = [by_cpu, by_memory, by_descriptors, addresses * DEVICES_PER_ADDRESS];
    most.into_iter().min().unwrap_or(1).max(1)
}

/// Returns the CPU time that a machine may use, in seconds per second.
#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn cpu_max(machine: &Machine) -> f64 {
    CORE_SHARE * machine.workers as f64
}

/// Returns the highest number of messages per second that need at most this CPU time, in seconds per second. `beside_s` is the CPU time that
/// each message needs besides its own costs.
fn messages_in(cpu: f64, beside_s: f64) -> f64 {
    let next = MESSAGE_US.iter().skip(1).map(|(rate, _)| *rate).chain([f64::INFINITY]);
    let most = MESSAGE_US.iter().zip(next).enumerate().filter_map(|(row, ((rate, us), next))| {
        let per_s = (cpu / (us / 1e6 + beside_s)).min(next);
        // The costs of a row apply from its rate on. The costs of the first row also apply below its rate.
        (row == 0 || per_s >= *rate).then_some(per_s)
    });
    most.fold(0.0, f64::max)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::load;
    use crate::scenario::{Input, no_files};

    fn plan(devices: u32, fleet: &str) -> Plan {
        let text = format!(
            "[target]\nkind = \"mqtt\"\nhost = \"h\"\n[fleet.a]\ndevices = {devices}\n{fleet}topic = \"t\"\npayload = \"x\"\n\
             [[phase]]\nname = \"p\"\nduration = \"1m\"\n"
        );
        let input = Input { file: "t.toml", text: &text, overrides: &[], env: &|_| None, files: &no_files };
        load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"))
    }

    const MACHINE: Machine = Machine { workers: 2, memory_bytes: u64::MAX, descriptors: 1_000_000 };

    #[test]
    fn highest_load_uses_the_permitted_share_of_the_cores() {
        let busy = plan(10, "[[fleet.a.send]]\nevery = \"1s\"\n");
        for (workers, expected) in [(1, 76_923.0), (2, 175_000.0), (4, 350_000.0)] {
            let most = messages_max(&busy, &Machine { workers, ..MACHINE });
            assert!((most - expected).abs() < 1.0, "{most} with {workers} workers");
            // The forecast of `plan` for this load needs as many cores.
            let cpu = most * message_us(most) / 1e6;
            assert!(cpu <= CORE_SHARE * f64::from(u32::try_from(workers).unwrap()) + 1e-9, "{cpu}");
        }
        assert!((messages_in(0.05, 0.0) - 909.0).abs() < 1.0, "3,000 per second would need 0.079 s");
        assert!(messages_in(-1.0, 0.0) <= 0.0, "nothing is left");
    }

    #[test]
    fn tightest_resource_limits_the_devices() {
        let slow = plan(100, "keep_alive = \"60s\"\n[[fleet.a.send]]\nevery = \"5m\"\n");
        let per_s = 100.0 / 300.0;
        let most = |machine: Machine| devices_max(&slow, per_s, &machine);
        assert_eq!(most(MACHINE), DEVICES_PER_ADDRESS, "one source address");
        assert_eq!(most(Machine { descriptors: 1_256, ..MACHINE }), 1_000);
        assert_eq!(most(Machine { memory_bytes: (48 << 20) + 16_384 * 500, ..MACHINE }), 500);
        assert_eq!(most(Machine { memory_bytes: 0, ..MACHINE }), 1, "at least one device");
        let fast = plan(10, "[[fleet.a.send]]\nevery = \"10ms\"\n");
        assert_eq!(devices_max(&fast, 1_000.0, &MACHINE), 1_750, "100 messages per second each");
    }
}
