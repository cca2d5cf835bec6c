//! Tracks what is published on one side of a broker and delivered on the other. Each worker keeps its own tracker while
//! the load runs; the collector balances them when it is over. Written by `device`.
//!
//! Publisher and subscriber may live on different workers and share nothing. So the one counts how many copies of what was
//! acknowledged are to arrive, the other what arrived, both by the instant at which a message was due; what is missing in the end
//! is lost. A message that arrives although its ack never came is told apart by name, so that it makes up for no other.

use super::DeviceRef;
use super::sequence_tracker::{Arrival, SequenceTracker};
use crate::plan::{ExpectedStream, Plan, Stamp};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Unacknowledged messages that a worker remembers by name. Beyond, they count as acknowledged: no hub looks better for it.
const UNACKED_MAX: usize = 1 << 20;

/// One device's stream: the device's index over all fleets, and which of its fleet's sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    device: u32,
    send: u16,
}

/// Copies of the messages of one send to one fleet that were due in one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct DeliveryCounts {
    /// To arrive: their message was acknowledged (QoS 0: flushed).
    expected: u64,
    /// Arrived, of those that were to.
    arrived: u64,
    /// Arrived at all, each once.
    ok: u64,
    duplicates: u64,
    reordered: u64,
}

impl DeliveryCounts {
    fn add(&mut self, other: DeliveryCounts) {
        self.expected += other.expected;
        self.arrived += other.arrived;
        self.ok += other.ok;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
    }

    fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.arrived)
    }
}

/// What one subscriber has had, by stream. Made for its first message.
pub type Inbox = HashMap<Stream, StreamState, BuildHasherDefault<StreamHasher>>;

/// What one subscriber has had of one stream.
#[derive(Debug)]
pub struct StreamState {
    heard: ExpectedStream,
    sequence: SequenceTracker,
}

/// How far a worker is, for the collector to see that everything has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Devices that may still publish what is tracked.
    sending: u64,
    expected: u64,
    arrived: u64,
    unacked: bool,
}

/// The published and delivered messages of one worker.
#[derive(Debug)]
pub struct DeliveryTracker {
    fleets: usize,
    phases: usize,
    /// By send, fleet and phase.
    cells: Vec<DeliveryCounts>,
    /// Messages that were sent and not acknowledged: number, and when they were due.
    unacked: HashMap<Stream, Vec<(u64, u64)>>,
    unacked_count: usize,
    /// What subscribers have had that are gone.
    inboxes: Vec<(DeviceRef, Box<Inbox>)>,
    progress: Progress,
}

impl DeliveryTracker {
    /// Returns an empty tracker for a run of this plan.
    #[must_use]
    pub fn new(plan: &Plan) -> DeliveryTracker {
        let (fleets, phases) = (plan.fleets.len(), plan.schedule.phases().len());
        DeliveryTracker {
            fleets,
            phases,
            cells: vec![DeliveryCounts::default(); plan.deliveries.sends() * fleets * phases],
            unacked: HashMap::new(),
            unacked_count: 0,
            inboxes: Vec::new(),
            progress: Progress::default(),
        }
    }

    /// A device of this worker will publish what is tracked, until it says [`remove_sender`](DeliveryTracker::remove_sender).
    pub(crate) fn add_sender(&mut self) {
        self.progress.sending += 1;
    }

    /// A device will publish nothing any more.
    pub(crate) fn remove_sender(&mut self) {
        self.progress.sending = self.progress.sending.saturating_sub(1);
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    fn cell(&mut self, plan: &Plan, send: usize, fleet: u16, due_ns: u64) -> Option<&mut DeliveryCounts> {
        let phase = usize::from(plan.schedule.phase_at(due_ns));
        self.cells.get_mut((send * self.fleets + usize::from(fleet)) * self.phases + phase)
    }

    /// A tracked message was acknowledged: its copies are to arrive.
    pub(crate) fn published(&mut self, plan: &Plan, from: DeviceRef, stream: u16, due_ns: u64) {
        // As its stamp says it.
        let due_ns = due_ns / 1_000 * 1_000;
        for (send, to, copies) in plan.deliveries.copies(from.fleet, stream, from.index, due_ns) {
            self.progress.expected += copies;
            if let Some(cell) = self.cell(plan, send, to, due_ns) {
                cell.expected += copies;
            }
        }
    }

    /// A tracked message was sent, and nobody knows whether the broker has it.
    pub(crate) fn unacked(&mut self, plan: &Plan, from: DeviceRef, stream: u16, (seq, due_ns): (u64, u64)) {
        if self.unacked_count >= UNACKED_MAX {
            return self.published(plan, from, stream, due_ns);
        }
        let Ok(device) = u32::try_from(from.global(plan)) else { return };
        self.unacked.entry(Stream { device, send: stream }).or_default().push((seq, due_ns / 1_000 * 1_000));
        self.unacked_count += 1;
        self.progress.unacked = true;
    }

    /// A message with a stamp of this run came to a device; `None` if it was not to.
    #[inline]
    pub fn arrived(
        &mut self,
        plan: &Plan,
        inbox: &mut Inbox,
        to: DeviceRef,
        stamp: &Stamp,
    ) -> Option<Arrival> {
        let stream = Stream { device: stamp.device, send: stamp.stream };
        let state = match inbox.entry(stream) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                let heard =
                    plan.deliveries.expected_stream(stamp.device, stamp.stream, to.fleet, to.index)?;
                vacant.insert(StreamState { heard, sequence: SequenceTracker::default() })
            }
        };
        let arrival = state.sequence.record(stamp.seq);
        let (heard, due_ns) = (state.heard, stamp.due_us.saturating_mul(1_000));
        let once = u64::from(arrival != Arrival::Duplicate);
        let expected = once * u64::from(plan.deliveries.expects(to.fleet, to.index, heard.kept, due_ns));
        self.progress.arrived += expected;
        if let Some(cell) = self.cell(plan, heard.send, to.fleet, due_ns) {
            cell.ok += once;
            cell.arrived += expected;
            cell.duplicates += 1 - once;
            cell.reordered += u64::from(arrival == Arrival::Reordered);
        }
        Some(arrival)
    }

    /// A subscriber is gone for good.
    pub(crate) fn add_inbox(&mut self, device: DeviceRef, inbox: Box<Inbox>) {
        self.inboxes.push((device, inbox));
    }
}

/// Whether everything that was published has arrived, as far as all workers say.
pub(crate) fn all_arrived(progress: &[Option<Progress>]) -> bool {
    let mut sum = Progress::default();
    for worker in progress {
        let Some(worker) = worker else { return false };
        sum.sending += worker.sending;
        sum.expected += worker.expected;
        sum.arrived += worker.arrived;
        sum.unacked |= worker.unacked;
    }
    sum.sending == 0 && !sum.unacked && sum.arrived >= sum.expected
}

/// Copies that were to arrive at a fleet in a phase and did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LostDeliveries {
    pub(crate) fleet: u16,
    pub(crate) phase: u16,
    pub(crate) count: u64,
}

/// What became of the messages of one send, over all fleets and phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamTotals {
    /// Copies that arrived, each counted once.
    pub ok: u64,
    /// Copies that were to arrive and did not.
    pub lost: u64,
    /// Copies of what had arrived before.
    pub duplicates: u64,
    /// Of `ok`, those that a later one of their stream had overtaken.
    pub reordered: u64,
}

/// Compares the trackers of all workers: what is lost, and each send of the plan in its order.
pub(crate) fn reconcile(
    plan: &Plan,
    mut trackers: Vec<DeliveryTracker>,
) -> (Vec<LostDeliveries>, Vec<StreamTotals>) {
    let Some(mut sum) = trackers.pop() else { return Default::default() };
    for tracker in trackers {
        for (mine, theirs) in sum.cells.iter_mut().zip(tracker.cells) {
            mine.add(theirs);
        }
        // A stream belongs to one device, and a device to one worker.
        sum.unacked.extend(tracker.unacked);
        sum.inboxes.extend(tracker.inboxes);
    }
    sum.discount_unacked(plan);
    let mut lost = Vec::new();
    for fleet in 0..sum.fleets {
        for phase in 0..sum.phases {
            let cells = sum.cells.iter().skip(fleet * sum.phases + phase).step_by(sum.fleets * sum.phases);
            let count: u64 = cells.map(DeliveryCounts::lost).sum();
            if count > 0 {
                let [fleet, phase] = [fleet, phase].map(|index| u16::try_from(index).unwrap_or(u16::MAX));
                lost.push(LostDeliveries { fleet, phase, count });
            }
        }
    }
    let sends = sum.cells.chunks(sum.fleets * sum.phases);
    let streams = sends.map(|cells| StreamTotals {
        ok: cells.iter().map(|cell| cell.ok).sum(),
        lost: cells.iter().map(DeliveryCounts::lost).sum(),
        duplicates: cells.iter().map(|cell| cell.duplicates).sum(),
        reordered: cells.iter().map(|cell| cell.reordered).sum(),
    });
    (lost, streams.collect())
}

impl DeliveryTracker {
    /// What arrived without having been acknowledged is none of what was to arrive.
    fn discount_unacked(&mut self, plan: &Plan) {
        if self.unacked.is_empty() {
            return;
        }
        for (device, inbox) in std::mem::take(&mut self.inboxes) {
            for (stream, state) in *inbox {
                let unacked = self.unacked.get(&stream).cloned().unwrap_or_default();
                let arrived = unacked.iter().filter(|(seq, due_ns)| {
                    state.sequence.contains(*seq)
                        && plan.deliveries.expects(device.fleet, device.index, state.heard.kept, *due_ns)
                });
                for (_, due_ns) in arrived {
                    if let Some(cell) = self.cell(plan, state.heard.send, device.fleet, *due_ns) {
                        cell.arrived = cell.arrived.saturating_sub(1);
                    }
                }
            }
        }
    }
}

/// Spreads the few bits of a [`Stream`]: every one that gets into a map was checked against the plan, so nobody outside
/// chooses them.
#[derive(Debug, Default)]
pub struct StreamHasher(u64);

impl Hasher for StreamHasher {
    fn finish(&self) -> u64 {
        // The map looks at the upper bits and at the lower ones.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 over the golden section.
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests;
