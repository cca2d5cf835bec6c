//! Tracks the messages that devices publish and that other devices receive through a broker. Each worker has a tracker, written
//! by `device`. The coordinator compares the trackers after the load.
//!
//! Publishers and subscribers may run on different workers and share nothing during the load. Publishers count the expected
//! copies of acknowledged messages; subscribers count received copies. Both count by the due time of the message. Missing copies
//! are lost. Unacknowledged messages that arrive are identified by stream and sequence number, so that they do not hide the loss
//! of others.

use super::DeviceRef;
use super::sequence_tracker::{Arrival, SequenceTracker};
use crate::plan::{ExpectedStream, Plan, Stamp};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Maximum number of unacknowledged messages that a worker remembers. Further ones count as acknowledged, which can only make the
/// hub look worse.
const UNACKED_MAX: usize = 1 << 20;

/// A stream: one `send` of one device. `device` is the device's index over all fleets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    device: u32,
    send: u16,
}

/// Counts of delivered copies, for one `send` to one receiving fleet, of messages that were due in one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct DeliveryCounts {
    /// Expected copies: copies of messages that were acknowledged, or flushed at QoS 0.
    expected: u64,
    /// Received copies that were expected.
    arrived: u64,
    /// Received copies, without duplicates.
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

/// The received messages of one subscriber, by stream. Allocated when the first message arrives.
pub type Inbox = HashMap<Stream, StreamState, BuildHasherDefault<StreamHasher>>;

/// The received messages of one stream at one subscriber.
#[derive(Debug)]
pub struct StreamState {
    expected_stream: ExpectedStream,
    sequence: SequenceTracker,
}

/// A worker's counts, from which the coordinator determines whether everything has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Number of devices that may still publish tracked messages.
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
    /// Counts by send, receiving fleet and phase.
    cells: Vec<DeliveryCounts>,
    /// The sequence number and due time of each unacknowledged message.
    unacked: HashMap<Stream, Vec<(u64, u64)>>,
    unacked_count: usize,
    /// Inboxes of devices that have finished.
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

    /// Adds a device that will publish tracked messages, until [`remove_sender`](DeliveryTracker::remove_sender).
    pub(crate) fn add_sender(&mut self) {
        self.progress.sending += 1;
    }

    /// Removes a device that has published its last message.
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

    /// Counts the copies of an acknowledged message as expected.
    pub(crate) fn published(&mut self, plan: &Plan, from: DeviceRef, stream: u16, due_ns: u64) {
        // Round to whole microseconds, like the stamp in the message.
        let due_ns = due_ns / 1_000 * 1_000;
        for (send, to, copies) in plan.deliveries.copies(from.fleet, stream, from.index, due_ns) {
            self.progress.expected += copies;
            if let Some(cell) = self.cell(plan, send, to, due_ns) {
                cell.expected += copies;
            }
        }
    }

    /// Remembers a sent message without an acknowledgment: the broker may or may not have received it.
    pub(crate) fn unacked(&mut self, plan: &Plan, from: DeviceRef, stream: u16, (seq, due_ns): (u64, u64)) {
        if self.unacked_count >= UNACKED_MAX {
            return self.published(plan, from, stream, due_ns);
        }
        let Ok(device) = u32::try_from(from.global(plan)) else { return };
        self.unacked.entry(Stream { device, send: stream }).or_default().push((seq, due_ns / 1_000 * 1_000));
        self.unacked_count += 1;
        self.progress.unacked = true;
    }

    /// Counts a received message that carries a stamp from this run. Returns `None` if the device does not subscribe to it.
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
                let expected_stream =
                    plan.deliveries.expected_stream(stamp.device, stamp.stream, to.fleet, to.index)?;
                vacant.insert(StreamState { expected_stream, sequence: SequenceTracker::default() })
            }
        };
        let arrival = state.sequence.record(stamp.seq);
        let (expected_stream, due_ns) = (state.expected_stream, stamp.due_us.saturating_mul(1_000));
        let once = u64::from(arrival != Arrival::Duplicate);
        let expected =
            once * u64::from(plan.deliveries.expects(to.fleet, to.index, expected_stream.kept, due_ns));
        self.progress.arrived += expected;
        if let Some(cell) = self.cell(plan, expected_stream.send, to.fleet, due_ns) {
            cell.ok += once;
            cell.arrived += expected;
            cell.duplicates += 1 - once;
            cell.reordered += u64::from(arrival == Arrival::Reordered);
        }
        Some(arrival)
    }

    /// Stores the inbox of a device that has finished.
    pub(crate) fn add_inbox(&mut self, device: DeviceRef, inbox: Box<Inbox>) {
        self.inboxes.push((device, inbox));
    }
}

/// Returns true if all workers report that everything published has arrived.
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

/// Expected copies to one fleet in one phase that did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LostDeliveries {
    pub(crate) fleet: u16,
    pub(crate) phase: u16,
    pub(crate) count: u64,
}

/// The deliveries of one `send`, summed over all fleets and phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamTotals {
    /// Received copies, without duplicates.
    pub ok: u64,
    /// Expected copies that did not arrive.
    pub lost: u64,
    /// Copies of messages that had already arrived.
    pub duplicates: u64,
    /// The part of `ok` that arrived after a later message of its stream.
    pub reordered: u64,
}

/// Compares the trackers of all workers. Returns the lost deliveries and the totals of each send in the plan, in order.
pub(crate) fn reconcile(
    plan: &Plan,
    mut trackers: Vec<DeliveryTracker>,
) -> (Vec<LostDeliveries>, Vec<StreamTotals>) {
    let Some(mut sum) = trackers.pop() else { return Default::default() };
    for tracker in trackers {
        for (mine, theirs) in sum.cells.iter_mut().zip(tracker.cells) {
            mine.add(theirs);
        }
        // No entry is overwritten: a stream belongs to one device, and so to one worker.
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
    /// Subtracts the received copies of unacknowledged messages from `arrived`, because they were never counted as expected.
    fn discount_unacked(&mut self, plan: &Plan) {
        if self.unacked.is_empty() {
            return;
        }
        for (device, inbox) in std::mem::take(&mut self.inboxes) {
            for (stream, state) in *inbox {
                let unacked = self.unacked.get(&stream).cloned().unwrap_or_default();
                let arrived = unacked.iter().filter(|(seq, due_ns)| {
                    state.sequence.contains(*seq)
                        && plan.deliveries.expects(
                            device.fleet,
                            device.index,
                            state.expected_stream.kept,
                            *due_ns,
                        )
                });
                for (_, due_ns) in arrived {
                    if let Some(cell) = self.cell(plan, state.expected_stream.send, device.fleet, *due_ns) {
                        cell.arrived = cell.arrived.saturating_sub(1);
                    }
                }
            }
        }
    }
}

/// A fast hasher for [`Stream`] keys. It need not resist attacks: only streams from the plan become keys, so a peer cannot choose
/// them.
#[derive(Debug, Default)]
pub struct StreamHasher(u64);

impl Hasher for StreamHasher {
    fn finish(&self) -> u64 {
        // The map uses both the upper and the lower bits.
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
        // 2^64 divided by the golden ratio.
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests;
