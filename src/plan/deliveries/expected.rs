//! The tracked sends of a plan, and how many copies of each message should arrive, and where. Built once from the plan's
//! fleets; read by `fleet`.

use super::matching::{Group, filters, receivers};
use super::presence::Presence;
use crate::plan::model::FleetPlan;
use crate::plan::payload::Stamp;
use crate::plan::schedule::Schedule;
use std::collections::HashMap;
use std::sync::Arc;

/// The expected deliveries of a run.
#[derive(Debug, Default)]
pub struct Deliveries {
    run: u64,
    fleets: Vec<Fleet>,
    sends: usize,
}

#[derive(Debug)]
struct Fleet {
    /// Index of its first device among the devices of all fleets.
    first: u64,
    devices: u32,
    /// Tracked sends.
    sends: Vec<Option<Tracked>>,
    /// Number of devices that can receive, over time: devices that are online, and devices with a kept session.
    present: Option<[Presence; 2]>,
}

/// A send with tracked messages.
#[derive(Debug)]
struct Tracked {
    /// Number of the send among all sends of the plan.
    number: usize,
    /// Receivers of each sender's messages. One element if they are the same for every sender.
    receivers: Vec<Arc<[Group]>>,
}

/// A stream that a device should receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedStream {
    /// Number of the send among all sends of the plan.
    pub send: usize,
    /// Whether the broker keeps messages while the subscriber is offline.
    pub kept: bool,
}

impl Deliveries {
    /// Matches sends with subscriptions. Adds stamps to filler payloads that have receivers.
    pub(in crate::plan) fn resolve(fleets: &mut [FleetPlan], schedule: &Schedule, run: u64) -> Deliveries {
        let filters = filters(fleets);
        let mut number = 0;
        let mut interned = HashMap::new();
        let mut found: Vec<Fleet> = Vec::new();
        for fleet in fleets.iter_mut() {
            let mut sends = Vec::new();
            for send in 0..fleet.sends.len() {
                let receivers = receivers(fleet, send, &filters, &mut interned);
                let is_received = receivers.iter().any(|groups| !groups.is_empty());
                let tracked = is_received && fleet.sends[send].payload.carry_stamp();
                sends.push(tracked.then_some(Tracked { number, receivers }));
                number += 1;
            }
            found.push(Fleet { first: fleet.first, devices: fleet.devices, sends, present: None });
        }
        let sends = found.iter().flat_map(|fleet| &fleet.sends).flatten();
        let groups = sends.flat_map(|tracked| &tracked.receivers).flat_map(|groups| groups.iter());
        let mut receiving = vec![false; found.len()];
        groups.for_each(|group| receiving[usize::from(group.fleet)] = true);
        for (fleet, receiving) in found.iter_mut().zip(receiving) {
            fleet.present =
                receiving.then(|| [false, true].map(|kept| Presence::new(schedule, fleet.devices, kept)));
        }
        Deliveries { run: run & Stamp::RUN_MASK, fleets: found, sends: number }
    }

    /// Returns the run number in this run's stamps.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Returns the number of sends of the plan, tracked or not.
    #[must_use]
    pub fn sends(&self) -> usize {
        self.sends
    }

    /// Returns whether any send is tracked.
    #[must_use]
    pub fn tracks_any(&self) -> bool {
        self.fleets.iter().any(|fleet| fleet.present.is_some())
    }

    /// Returns whether a fleet should receive tracked messages.
    #[inline]
    #[must_use]
    pub fn receives(&self, fleet: u16) -> bool {
        self.fleets.get(usize::from(fleet)).is_some_and(|fleet| fleet.present.is_some())
    }

    /// Returns whether a fleet sends tracked messages.
    #[must_use]
    pub fn sends_tracked(&self, fleet: u16) -> bool {
        self.fleets.get(usize::from(fleet)).is_some_and(|fleet| fleet.sends.iter().any(Option::is_some))
    }

    /// Returns whether a send is tracked.
    #[inline]
    #[must_use]
    pub fn is_tracked(&self, fleet: u16, stream: u16) -> bool {
        self.tracked(fleet, stream).is_some()
    }

    fn tracked(&self, fleet: u16, stream: u16) -> Option<&Tracked> {
        self.fleets.get(usize::from(fleet))?.sends.get(usize::from(stream))?.as_ref()
    }

    /// Returns how many devices of which fleets should receive a message of a device's stream that was due at `due_ns`. Each
    /// item is the number of the send, the receiving fleet, and the number of copies.
    pub fn copies(
        &self,
        fleet: u16,
        stream: u16,
        index: u32,
        due_ns: u64,
    ) -> impl Iterator<Item = (usize, u16, u64)> {
        let tracked = self.tracked(fleet, stream);
        tracked.into_iter().flat_map(move |tracked| {
            tracked.groups(index).iter().map(move |group| {
                let present = self.present(group.fleet, group.kept, due_ns);
                let copies = match &group.devices {
                    None => u64::from(present),
                    Some(devices) => devices.partition_point(|device| *device < present) as u64,
                };
                (tracked.number, group.fleet, copies)
            })
        })
    }

    /// Returns the expected stream of a sender at a device. `None` if the device should not receive it.
    #[must_use]
    pub fn expected_stream(
        &self,
        sender: u32,
        stream: u16,
        fleet: u16,
        index: u32,
    ) -> Option<ExpectedStream> {
        let after = self.fleets.partition_point(|fleet| fleet.first <= u64::from(sender));
        let from = u16::try_from(after.checked_sub(1)?).ok()?;
        let sender = u32::try_from(u64::from(sender) - self.fleets.get(usize::from(from))?.first).ok()?;
        if sender >= self.fleets.get(usize::from(from))?.devices {
            return None;
        }
        let tracked = self.tracked(from, stream)?;
        let group = tracked.groups(sender).iter().find(|group| {
            let devices = group.devices.as_deref();
            group.fleet == fleet && devices.is_none_or(|devices| devices.binary_search(&index).is_ok())
        })?;
        Some(ExpectedStream { send: tracked.number, kept: group.kept })
    }

    /// Returns whether a device should receive messages that are due at that time.
    #[inline]
    #[must_use]
    pub fn expects(&self, fleet: u16, index: u32, kept: bool, due_ns: u64) -> bool {
        index < self.present(fleet, kept, due_ns)
    }

    fn present(&self, fleet: u16, kept: bool, due_ns: u64) -> u32 {
        let present = self.fleets.get(usize::from(fleet)).and_then(|fleet| fleet.present.as_ref());
        present.map_or(0, |present| present[usize::from(kept)].at(due_ns))
    }

    /// Returns the fewest and the most copies of a message of a send, over all its senders. `None` if the send is not tracked.
    #[must_use]
    pub fn copies_planned(&self, fleet: u16, stream: u16) -> Option<[u64; 2]> {
        let receivers = &self.tracked(fleet, stream)?.receivers;
        let counts = receivers.iter().map(|groups| groups.iter().map(|group| self.size(group)).sum::<u64>());
        Some([counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0)])
    }

    /// Returns the copies of a message of a send to the fleet `to`, or to all fleets, averaged over its senders.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of devices are far below 2^52")]
    pub fn copies_mean(&self, fleet: u16, stream: u16, to: Option<u16>) -> f64 {
        let Some(tracked) = self.tracked(fleet, stream) else { return 0.0 };
        let groups = tracked.receivers.iter().flat_map(|groups| groups.iter());
        let wanted = groups.filter(|group| to.is_none_or(|to| group.fleet == to));
        wanted.map(|group| self.size(group)).sum::<u64>() as f64 / tracked.receivers.len() as f64
    }

    /// Returns the number of pairs of a stream and a receiving device.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        let sends = self.fleets.iter().flat_map(|fleet| fleet.sends.iter().map(move |send| (fleet, send)));
        let pairs = sends.filter_map(|(fleet, send)| {
            let receivers = &send.as_ref()?.receivers;
            // A single element stands for every sender.
            let times = if receivers.len() == 1 { u64::from(fleet.devices) } else { 1 };
            let groups = receivers.iter().flat_map(|groups| groups.iter());
            Some(times * groups.map(|group| self.size(group)).sum::<u64>())
        });
        pairs.sum()
    }

    fn size(&self, group: &Group) -> u64 {
        let whole = || self.fleets.get(usize::from(group.fleet)).map_or(0, |fleet| u64::from(fleet.devices));
        group.devices.as_ref().map_or_else(whole, |devices| devices.len() as u64)
    }
}

impl Tracked {
    fn groups(&self, index: u32) -> &[Group] {
        let only = if self.receivers.len() == 1 { 0 } else { index as usize };
        self.receivers.get(only).map_or(&[], |groups| groups)
    }
}
