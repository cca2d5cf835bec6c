//! The tracked sends of a plan: for each message, how many copies should arrive, and at which devices. Built once from the plan's
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
    /// Index of the fleet's first device among the devices of all fleets.
    first: u64,
    devices: u32,
    /// The fleet's sends. `None` for a send that is not tracked.
    sends: Vec<Option<Tracked>>,
    /// Number of devices that can receive messages, over time: without and with a persistent session. `None` if the fleet should
    /// not receive any tracked messages.
    present: Option<[Presence; 2]>,
}

/// A send with tracked messages.
#[derive(Debug)]
struct Tracked {
    /// Index of the send among all sends in the plan.
    number: usize,
    /// Receivers of each sender's messages. A single element if they are the same for every sender.
    receivers: Vec<Arc<[Group]>>,
}

/// A stream that a device should receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedStream {
    /// Index of the send among all sends in the plan.
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
        for ((fleet, receiving), plan) in found.iter_mut().zip(receiving).zip(fleets.iter()) {
            let schedule = plan.own_schedule.as_ref().unwrap_or(schedule);
            fleet.present =
                receiving.then(|| [false, true].map(|kept| Presence::new(schedule, fleet.devices, kept)));
        }
        Deliveries { run: run & Stamp::RUN_MASK, fleets: found, sends: number }
    }

    /// Returns the run number that this run's stamps contain.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Returns the number of sends in the plan, tracked or not.
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

    /// Returns the expected copies of the message that was due at `due_ns` in a device's stream. Each item is the index of the send,
    /// the receiving fleet, and the number of copies.
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

    /// Returns the stream that the device should receive from the sender, or `None` if it should receive nothing from it.
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

    /// Returns whether a device should receive messages that are due at `due_ns`.
    #[inline]
    #[must_use]
    pub fn expects(&self, fleet: u16, index: u32, kept: bool, due_ns: u64) -> bool {
        index < self.present(fleet, kept, due_ns)
    }

    fn present(&self, fleet: u16, kept: bool, due_ns: u64) -> u32 {
        let present = self.fleets.get(usize::from(fleet)).and_then(|fleet| fleet.present.as_ref());
        present.map_or(0, |present| present[usize::from(kept)].at(due_ns))
    }

    /// Returns the minimum and the maximum number of copies of a message in a send, over all senders. `None` if the send is not tracked.
    #[must_use]
    pub fn copies_planned(&self, fleet: u16, stream: u16) -> Option<[u64; 2]> {
        let receivers = &self.tracked(fleet, stream)?.receivers;
        let counts = receivers.iter().map(|groups| groups.iter().map(|group| self.size(group)).sum::<u64>());
        Some([counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0)])
    }

    /// Returns the number of copies of a message in a send that the fleet `to`, or all fleets together, should receive. Averaged over
    /// the senders.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of devices are far below 2^52")]
    pub fn copies_mean(&self, fleet: u16, stream: u16, to: Option<u16>) -> f64 {
        let Some(tracked) = self.tracked(fleet, stream) else { return 0.0 };
        let groups = tracked.receivers.iter().flat_map(|groups| groups.iter());
        let wanted = groups.filter(|group| to.is_none_or(|to| group.fleet == to));
        wanted.map(|group| self.size(group)).sum::<u64>() as f64 / tracked.receivers.len() as f64
    }

    /// Returns the number of pairs, each made up of a stream and a device that should receive it.
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
