//! What a plan needs of this machine: counted before anything starts, so that running out is an error up front
//! and not a result that lies. Printed by `check`; held against the real limits by `app`.

use super::types::{FleetPlan, Plan};

/// What a plan needs of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// File descriptors of this process. The built-in hub needs as many of its own, in its own process.
    pub descriptors: u64,
    /// Ephemeral ports towards the target.
    pub ports: u64,
    /// Memory of this process, roughly.
    pub memory_bytes: u64,
}

/// Beside the sockets: the runtimes, the result, pipes to the built-in hub; and sockets of connections that are
/// still closing while their successors open.
const DESCRIPTORS_BESIDE: u64 = 256;
/// A device with its TLS stream: measured at about 10 KiB idle; what is on the way comes on top.
const DEVICE_TLS_BYTES: u64 = 16 * 1024;
/// A device over plain TCP.
const DEVICE_PLAIN_BYTES: u64 = 4 * 1024;
/// The program, its threads and buffers.
const BASE_BYTES: u64 = 48 * 1024 * 1024;
/// One histogram at three digits, from 1 us to some minutes.
const HISTOGRAM_BYTES: u64 = 160 * 1024;
/// Histograms per operation, fleet and phase: response, service, wait, lag.
const HISTOGRAMS_PER_KEY: u64 = 4;
/// Operations that a fleet commonly records.
const OPERATIONS: u64 = 8;
/// Every histogram exists on a worker, as its spare, and in the collector.
const COPIES: u64 = 3;

impl Plan {
    /// Devices of all fleets.
    #[must_use]
    pub fn devices(&self) -> u64 {
        self.fleets.iter().map(|fleet| u64::from(fleet.devices)).sum()
    }

    /// Devices that the plan wants online at an instant, in nanoseconds since the run's zero.
    #[must_use]
    pub fn planned_online(&self, t_ns: u64) -> u64 {
        self.fleets.iter().map(|fleet| self.schedule.planned_online(t_ns, u64::from(fleet.devices))).sum()
    }

    /// The longest duration worth recording, in microseconds: a message may wait for `send_by` and then for its
    /// ack, a connection for its timeout, and a device may be offline for the whole run.
    #[must_use]
    pub fn highest_us(&self) -> u64 {
        let message =
            self.fleets.iter().map(|fleet| fleet.send_by + fleet.ack_timeout.max(fleet.connect_timeout));
        let run = self.schedule.end() + self.drain;
        let highest = message.max().unwrap_or_default().max(run);
        // Rounded up to a whole second, and one more for what the clock adds.
        (highest.as_secs() + 2).saturating_mul(1_000_000)
    }

    /// Messages that are expected to be due in the whole run: exact for regular arrivals to one per device and
    /// stream, the mean for Poisson.
    #[must_use]
    pub fn planned_messages(&self) -> f64 {
        let fleet = |fleet: &FleetPlan| {
            let rate_hz: f64 = fleet.sends.iter().map(|send| send.arrival.rate_hz).sum();
            rate_hz * self.load_seconds(fleet)
        };
        self.fleets.iter().map(fleet).sum()
    }

    /// Seconds at a load of 100% that the devices of a fleet are planned to send for, all of them together.
    #[must_use]
    pub fn load_seconds(&self, fleet: &FleetPlan) -> f64 {
        let load = self.schedule.load();
        let devices = u64::from(fleet.devices);
        let spans = (0..devices).flat_map(|rank| self.schedule.online_spans(rank, devices));
        spans.map(|span| load.integral(span.to_ns) - load.integral(span.from_ns)).sum()
    }

    /// What the plan needs of this machine.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let devices = self.devices();
        let per_device = if self.target.tls.is_some() { DEVICE_TLS_BYTES } else { DEVICE_PLAIN_BYTES };
        let keys = self.fleets.len() as u64 * self.schedule.phases().len() as u64 * OPERATIONS;
        Needs {
            descriptors: devices + DESCRIPTORS_BESIDE,
            ports: devices,
            memory_bytes: BASE_BYTES
                + devices * per_device
                + keys * HISTOGRAMS_PER_KEY * COPIES * HISTOGRAM_BYTES,
        }
    }
}
