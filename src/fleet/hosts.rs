//! The hosts of the target, and the host that each device uses: device i uses host i mod n until a failover moves it. One per worker,
//! part of `context`. A target with one host keeps no state per device. Independent of connections.

use crate::link::Endpoint;
use crate::plan::Plan;
use std::cell::Cell;
use std::sync::Arc;

/// The hosts of the target, and the host of each device.
pub(crate) struct Hosts {
    endpoints: Arc<[Endpoint]>,
    /// Whether a device tries the next host after it could not connect or lost its connection.
    failover: bool,
    /// By the device's index over all fleets; empty for a target with one host.
    devices: Vec<Cell<HostOfDevice>>,
}

#[derive(Clone, Copy)]
struct HostOfDevice {
    /// Index of the host of the current or next connection.
    current: u16,
    /// Index of the host where the device was last online; at first, the host that it starts at.
    online: u16,
}

impl Hosts {
    /// Returns the hosts of a run. `endpoints` are in the order of the plan, and not empty.
    pub(crate) fn new(plan: &Plan, endpoints: Arc<[Endpoint]>) -> Hosts {
        let count = endpoints.len() as u64;
        let start = |global| {
            let host = u16::try_from(global % count).unwrap_or(0);
            Cell::new(HostOfDevice { current: host, online: host })
        };
        let devices = if count > 1 { (0..plan.devices()).map(start).collect() } else { Vec::new() };
        Hosts { endpoints, failover: plan.target.failover, devices }
    }

    /// Returns whether the target has several hosts.
    pub(crate) fn are_several(&self) -> bool {
        !self.devices.is_empty()
    }

    /// Returns the index of a device's host.
    pub(crate) fn index(&self, global: u64) -> u16 {
        self.device(global).map_or(0, |device| device.get().current)
    }

    /// Returns a device's host.
    pub(crate) fn endpoint(&self, global: u64) -> &Endpoint {
        &self.endpoints[usize::from(self.index(global))]
    }

    /// Moves a device to the next host, if the scenario says so. Call this when the device will reconnect after it could not connect or
    /// lost its connection.
    pub(crate) fn fail_over(&self, global: u64) {
        if let Some(device) = self.device(global).filter(|_| self.failover) {
            let HostOfDevice { current, online } = device.get();
            let next = usize::from(current) + 1;
            let current = if next < self.endpoints.len() { current + 1 } else { 0 };
            device.set(HostOfDevice { current, online });
        }
    }

    /// Notes that a device is online. Returns the previous and the current host if they differ.
    pub(crate) fn connected(&self, global: u64) -> Option<[u16; 2]> {
        let device = self.device(global)?;
        let HostOfDevice { current, online } = device.get();
        device.set(HostOfDevice { current, online: current });
        (online != current).then_some([online, current])
    }

    fn device(&self, global: u64) -> Option<&Cell<HostOfDevice>> {
        self.devices.get(usize::try_from(global).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Input, no_files};

    const SCENARIO: &str = "[fleet.a]\ndevices = 5\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n[[phase]]\nname = \"p\"\nduration = \"9s\"\n";

    fn hosts(count: usize, failover: bool) -> Hosts {
        let input =
            Input { file: "hosts.toml", text: SCENARIO, overrides: &[], env: &|_| None, files: &no_files };
        let mut plan = crate::plan::load(&input, &mut rand::rng()).unwrap();
        plan.target.failover = failover;
        let endpoint = |port| Endpoint { host: "hub".to_owned(), port, ..Endpoint::default() };
        Hosts::new(&plan, (1..).take(count).map(endpoint).collect())
    }

    fn ports(hosts: &Hosts) -> Vec<u16> {
        (0..5).map(|device| hosts.endpoint(device).port).collect()
    }

    #[test]
    fn devices_use_the_hosts_in_turn() {
        assert_eq!(ports(&hosts(1, false)), [1, 1, 1, 1, 1]);
        assert_eq!(ports(&hosts(2, false)), [1, 2, 1, 2, 1]);
        assert_eq!(ports(&hosts(3, false)), [1, 2, 3, 1, 2]);
    }

    #[test]
    fn failover_moves_a_device_around_all_hosts() {
        let hosts = hosts(3, true);
        assert_eq!(hosts.connected(1), None, "it starts there");
        hosts.fail_over(1);
        assert_eq!(ports(&hosts), [1, 3, 3, 1, 2]);
        assert_eq!(hosts.connected(1), Some([1, 2]));
        assert_eq!(hosts.connected(1), None, "it was online there");
        (0..3).for_each(|_| hosts.fail_over(1));
        assert_eq!(hosts.connected(1), None, "it reached the same host again before it was online");
        hosts.fail_over(1);
        assert_eq!((hosts.connected(1), ports(&hosts)[1]), (Some([2, 0]), 1));
    }

    #[test]
    fn without_failover_devices_stay() {
        for hosts in [hosts(2, false), hosts(1, true)] {
            let before = ports(&hosts);
            (0..5).for_each(|device| hosts.fail_over(device));
            assert_eq!(ports(&hosts), before);
            assert_eq!(hosts.connected(0), None);
        }
    }
}
