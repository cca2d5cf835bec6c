//! Expected deliveries: which sends are tracked, and how many copies of each message should arrive, and where. Built once from the
//! plan's fleets; read by `fleet`.

use super::matching::{Group, filters, heard};
use super::presence::Presence;
use crate::plan::model::FleetPlan;
use crate::plan::payload::Stamp;
use crate::plan::schedule::Schedule;
use std::collections::HashMap;
use std::sync::Arc;

/// Where the tracked messages of a run go.
#[derive(Debug, Default)]
pub struct Deliveries {
    run: u64,
    fleets: Vec<Fleet>,
    sends: usize,
}

#[derive(Debug)]
struct Fleet {
    /// Index of its first device over all fleets.
    first: u64,
    devices: u32,
    /// What of each send is tracked.
    sends: Vec<Option<Tracked>>,
    /// How many of its devices are there to receive, when: those that are online, and those that have been and will be.
    present: Option<[Presence; 2]>,
}

/// A send whose messages are tracked.
#[derive(Debug)]
struct Tracked {
    /// Among all sends of the plan.
    number: usize,
    /// Who hears each device, or in one element all of them.
    heard: Vec<Arc<[Group]>>,
}

/// A subscriber of a stream that the plan knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedStream {
    /// The send, among all of the plan.
    pub send: usize,
    /// The broker keeps its messages while the subscriber is offline.
    pub kept: bool,
}

impl Deliveries {
    /// Matches what `fleets` send with what they subscribe to. Filler payloads that somebody hears get their stamp here.
    pub(in crate::plan) fn resolve(fleets: &mut [FleetPlan], schedule: &Schedule, run: u64) -> Deliveries {
        let filters = filters(fleets);
        let mut number = 0;
        let mut known = HashMap::new();
        let mut found: Vec<Fleet> = Vec::new();
        for fleet in fleets.iter_mut() {
            let mut sends = Vec::new();
            for send in 0..fleet.sends.len() {
                let heard = heard(fleet, send, &filters, &mut known);
                let somebody = heard.iter().any(|groups| !groups.is_empty());
                let tracked = somebody && fleet.sends[send].payload.carry_stamp();
                sends.push(tracked.then_some(Tracked { number, heard }));
                number += 1;
            }
            found.push(Fleet { first: fleet.first, devices: fleet.devices, sends, present: None });
        }
        let sends = found.iter().flat_map(|fleet| &fleet.sends).flatten();
        let groups = sends.flat_map(|tracked| &tracked.heard).flat_map(|groups| groups.iter());
        let mut receiving = vec![false; found.len()];
        groups.for_each(|group| receiving[usize::from(group.fleet)] = true);
        for (fleet, receiving) in found.iter_mut().zip(receiving) {
            fleet.present =
                receiving.then(|| [false, true].map(|kept| Presence::of(schedule, fleet.devices, kept)));
        }
        Deliveries { run: run & Stamp::RUN_MASK, fleets: found, sends: number }
    }

    /// The number that this run's stamps carry.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Sends of the plan, tracked or not.
    #[must_use]
    pub fn sends(&self) -> usize {
        self.sends
    }

    /// Whether anything is tracked.
    #[must_use]
    pub fn tracks_any(&self) -> bool {
        self.fleets.iter().any(|fleet| fleet.present.is_some())
    }

    /// Whether tracked messages come to a fleet.
    #[inline]
    #[must_use]
    pub fn receives(&self, fleet: u16) -> bool {
        self.fleets.get(usize::from(fleet)).is_some_and(|fleet| fleet.present.is_some())
    }

    /// Whether a fleet sends tracked messages.
    #[must_use]
    pub fn sends_tracked(&self, fleet: u16) -> bool {
        self.fleets.get(usize::from(fleet)).is_some_and(|fleet| fleet.sends.iter().any(Option::is_some))
    }

    /// Whether the messages of a send are tracked.
    #[inline]
    #[must_use]
    pub fn is_tracked(&self, fleet: u16, stream: u16) -> bool {
        self.tracked(fleet, stream).is_some()
    }

    fn tracked(&self, fleet: u16, stream: u16) -> Option<&Tracked> {
        self.fleets.get(usize::from(fleet))?.sends.get(usize::from(stream))?.as_ref()
    }

    /// How many devices of which fleets are to receive a message of a device's stream that was due at `due_ns`; with the
    /// number of its send.
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

    /// What the plan knows of a stream, named by its stamp, and a device that it came to; `None` if it was not to.
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

    /// Whether a device is to receive what is due at that instant.
    #[inline]
    #[must_use]
    pub fn expects(&self, fleet: u16, index: u32, kept: bool, due_ns: u64) -> bool {
        index < self.present(fleet, kept, due_ns)
    }

    fn present(&self, fleet: u16, kept: bool, due_ns: u64) -> u32 {
        let present = self.fleets.get(usize::from(fleet)).and_then(|fleet| fleet.present.as_ref());
        present.map_or(0, |present| present[usize::from(kept)].at(due_ns))
    }

    /// How many copies there are of a message of that send at most, the fewest and the most of all its devices; `None` if it
    /// is not tracked.
    #[must_use]
    pub fn copies_planned(&self, fleet: u16, stream: u16) -> Option<[u64; 2]> {
        let heard = &self.tracked(fleet, stream)?.heard;
        let counts = heard.iter().map(|groups| groups.iter().map(|group| self.size(group)).sum::<u64>());
        Some([counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0)])
    }

    /// Copies of a message of that send to `to`, or to everyone, on the average of its devices.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of devices are far below 2^52")]
    pub fn copies_mean(&self, fleet: u16, stream: u16, to: Option<u16>) -> f64 {
        let Some(tracked) = self.tracked(fleet, stream) else { return 0.0 };
        let groups = tracked.heard.iter().flat_map(|groups| groups.iter());
        let wanted = groups.filter(|group| to.is_none_or(|to| group.fleet == to));
        wanted.map(|group| self.size(group)).sum::<u64>() as f64 / tracked.heard.len() as f64
    }

    /// Pairs of a stream and a device that is to hear it.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        let sends = self.fleets.iter().flat_map(|fleet| fleet.sends.iter().map(move |send| (fleet, send)));
        let pairs = sends.filter_map(|(fleet, send)| {
            let heard = &send.as_ref()?.heard;
            // One answer stands for every device.
            let times = if heard.len() == 1 { u64::from(fleet.devices) } else { 1 };
            let groups = heard.iter().flat_map(|groups| groups.iter());
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
        let only = if self.heard.len() == 1 { 0 } else { index as usize };
        self.heard.get(only).map_or(&[], |groups| groups)
    }
}
