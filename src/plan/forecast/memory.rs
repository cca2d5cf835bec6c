//! The memory of a run, as the allocator counts it: a model of the data structures in other rooms. Used by `needs`.
//! `tests/memory.rs` compares the forecast with real runs.

use super::frames::largest_acked_bytes;
use super::operation_use::{NOT_RETURNED, OperationUse};
use crate::measure::{Layout, kept_bytes, series_bytes};
use crate::plan::model::{Plan, Subscription};
use std::time::Duration;

/// Program, command line, root certificates and threads. Does not depend on the plan.
const BASE_BYTES: u64 = 256 * 1024;
/// A worker thread: its runtime, and the buffers that its links share.
const WORKER_BYTES: u64 = 128 * 1024;
/// A device with its TLS stream.
const DEVICE_TLS_BYTES: u64 = 5_500;
/// The TLS session of a device that resumes: its ticket with the server's certificate, and a TLS configuration of its own.
const SESSION_BYTES: u64 = 1_232;
/// A device's window of unacknowledged messages, allocated with the first message.
const WINDOW_BYTES: u64 = 1024;
/// A device's packet ids that stay in use after messages at QoS 2: at most eight, in a table that grows by doubling.
const QOS2_IDS_BYTES: u64 = 1_152;
/// State of a device of an IoT hub: twin, method calls and cloud-to-device messages.
const HUB_BYTES: u64 = 3 * 1024;
/// A device over plain TCP.
const DEVICE_PLAIN_BYTES: u64 = 2_000;
/// Number of copies of the largest message while it is being sent: rendered, encoded, and waiting to be written.
const MESSAGE_COPIES: u64 = 3;
/// A subscriber's entry for one stream, in a table that is at least half full.
const STREAM_BYTES: u64 = 112;

impl Plan {
    /// Returns the memory of a run with `workers` workers, in bytes, while the target responds.
    pub(super) fn memory_bytes(&self, workers: usize, largest_message: u64) -> u64 {
        let devices = self.devices();
        let per_device = match &self.target.tls {
            Some(tls) => DEVICE_TLS_BYTES + if tls.resumption { SESSION_BYTES } else { 0 },
            None => DEVICE_PLAIN_BYTES,
        };
        let device_lists = self.fleets.iter().filter_map(|fleet| fleet.auth.device_list());
        let uses = self.operation_uses();
        let workers = workers.max(1) as u64;
        BASE_BYTES
            + workers * (WORKER_BYTES + MESSAGE_COPIES * largest_message)
            + self.kept_packet_bytes()
            + self.device_state_bytes()
            + devices * per_device
            + device_lists.map(|list| list.bytes_kept() as u64).sum::<u64>()
            + self.deliveries.pairs() * STREAM_BYTES
            + self.recorders_bytes(&uses, workers)
            + self.collector_bytes(&uses)
    }

    /// Returns the memory that devices need in addition to their connections.
    fn device_state_bytes(&self) -> u64 {
        let each = self.fleets.iter().map(|fleet| {
            let window = if largest_acked_bytes(fleet) > 0 { WINDOW_BYTES } else { 0 };
            let needs_hub = |to: &Subscription| !matches!(to, Subscription::Filter(..));
            let hub = if fleet.subscribe.iter().any(needs_hub) { HUB_BYTES } else { 0 };
            let packet_ids = if fleet.sends.iter().any(|send| send.qos == 2) { QOS2_IDS_BYTES } else { 0 };
            u64::from(fleet.devices) * (window + packet_ids + hub)
        });
        each.sum()
    }

    /// Returns the memory of packets in persistent sessions: one per device, for retransmission. A session keeps its buffer after the
    /// acknowledgment.
    pub(super) fn kept_packet_bytes(&self) -> u64 {
        let fleets = self.fleets.iter().filter(|fleet| !fleet.clean_session);
        fleets.map(|fleet| u64::from(fleet.devices) * largest_acked_bytes(fleet)).sum()
    }

    /// Returns the layout of the measurement. Its histograms cover the longest wait that the plan permits.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let longest = Duration::from_micros(self.highest_us());
        Layout::new(self.fleets.len(), self.schedule.phases().len(), longest)
    }

    /// Returns the memory of all recorders: those of the workers, and that of the service client.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    fn recorders_bytes(&self, uses: &[OperationUse], workers: u64) -> u64 {
        let layout = self.layout();
        let [total, second] = [layout.total_bytes(), layout.second_bytes()];
        // Excludes histograms of delayed operations, which are few unless this machine stalls.
        let each = uses.iter().map(|used| {
            let [totals, seconds] = used.operation.histograms();
            (totals * total + seconds * second) as f64
        });
        let each: Vec<f64> = each.collect();
        let sum = |copies: &dyn Fn(&OperationUse) -> f64| {
            uses.iter().zip(&each).map(|(used, bytes)| copies(used) * bytes).sum::<f64>()
        };
        let worker_count = workers as f64;
        let phases = self.schedule.phases();
        let in_use = (0..phases.len()).map(|phase| {
            let seconds = (phases[phase].end - phases[phase].start).as_secs_f64();
            // During each second, the histograms of the previous second are on their way to the collector and back. The histograms of
            // a phase's last second are back by the time the next phase needs the same number for late messages.
            if seconds >= 2.0 {
                sum(&|used| {
                    used.in_first_second(phase, worker_count)
                        + used
                            .in_next_seconds(phase, worker_count)
                            .max(used.late_in_first_second(phase, worker_count))
                })
            } else {
                let both = |used: &OperationUse, phase| {
                    used.in_first_second(phase, worker_count) + used.late_in_first_second(phase, worker_count)
                };
                sum(&|used| both(used, phase) + NOT_RETURNED * both(used, phase + 1))
            }
        });
        let recorders = workers + u64::from(!self.drives.is_empty());
        // Two histograms for the heartbeat of each worker.
        recorders * layout.recorder_bytes() + workers * 2 * total + in_use.fold(0.0, f64::max) as u64
    }

    /// Returns the memory of the collector: totals and series.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    fn collector_bytes(&self, uses: &[OperationUse]) -> u64 {
        let keys = uses.iter().flat_map(|used| used.phases.iter().map(|(count, _)| (used.operation, *count)));
        let kept: f64 = keys
            .filter(|(_, count)| *count > 0.0)
            .map(|(operation, count)| kept_bytes(operation, count))
            .sum();
        let over_time = uses.iter().filter(|used| used.operation.histograms()[1] > 0);
        let samples = over_time.map(|used| used.count());
        let messages = uses.iter().filter(|used| used.operation.is_message()).map(OperationUse::count).sum();
        (kept + series_bytes(self.schedule.end().as_secs_f64(), samples, self.fleets.len(), messages)) as u64
    }
}
