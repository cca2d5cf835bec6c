//! The recorder of one worker: histograms and counters that only the worker's thread accesses. `fleet` calls it for every
//! operation and takes a snapshot every second. After the first use of a key, it does not allocate: cells are in a dense
//! vector, and the histograms in snapshots are reused.

use super::cells::{Cell, Cells};
use super::connections::{Connections, Offline, Outage};
use super::echo::Echoes;
use super::errors::ErrorTotals;
use super::fleet_counts::FleetCounts;
use super::health::Busy;
use super::latency::{Latency, Pool, to_us};
use super::layout::{DIGITS_ROW, DIGITS_TOTAL, Layout};
use super::operation::{Culprit, Key, Operation, Outcome, Times};
use super::seconds::Seconds;
use super::snapshot::{Divergence, Online, Snapshot};
use super::strays::Strays;
use super::target_recorder::TargetRecorder;
use super::totals::Totals;
use crate::stalls::Stalls;
use std::rc::Rc;

/// An operation is also recorded in `delayed` if the load generator delayed it by at least this much. Smaller delays are
/// within one tick of the deadlines anyway.
const OWN_DELAY_MIN_NS: u64 = 1_000_000;

/// A stall excuses an operation that timed out or expired if the generator's own delay is at least this fraction (1/n) of
/// the operation's age. Our choice: with a smaller fraction, the ordinary pauses of any machine would excuse every
/// one-minute timeout.
pub(crate) const EXCUSE_SHARE: u64 = 10;

/// The minimum time that we assume a server waits for a client's next step in a handshake. NATS waits 2 s (its
/// `authorization` and `tls` timeouts); other brokers wait longer. Only a delay that is large compared with this time may
/// have made a server close a connection attempt.
const SERVER_TIMEOUT_MIN_NS: u64 = 2_000_000_000;

/// Records the operations of one worker.
#[derive(Debug)]
pub struct Recorder {
    cells: Cells,
    /// The operations of devices under a fault of the scenario, which `cells` contains too. Allocated when first needed.
    under_fault: Option<Box<Cells>>,
    /// Intervals in which this thread had work to do but did not run.
    stalls: Rc<Stalls>,
    echoes: Echoes,
    /// Number of due operations that have not ended.
    open: u64,
    seconds: Seconds,
    /// The operations that were not due in the second that this snapshot covers.
    strays: Strays,
    fleets: Vec<(FleetCounts, Online)>,
    errors: Vec<ErrorTotals>,
    targets: TargetRecorder,
    heartbeat: Latency,
    /// Busy time by phase.
    busy: Vec<Busy>,
    saturated: Vec<[u64; 2]>,
    divergences: Vec<Divergence>,
    connections: Connections,
    totals_pool: Pool,
    /// For unfinished operations, and for operations that the load generator delayed.
    rare_pool: Pool,
    rows_pool: Pool,
    spare: Vec<Snapshot>,
}

impl Recorder {
    /// Number of bytes per key before anything is recorded for it.
    pub(super) const CELL_BYTES: usize = size_of::<Cell>() + size_of::<Key>();

    /// Creates a recorder for a thread; `stalls` holds the stalls of that thread. Does not allocate histograms yet.
    #[must_use]
    pub fn new(layout: Layout, stalls: Rc<Stalls>) -> Recorder {
        Recorder {
            cells: Cells::new(layout),
            under_fault: None,
            stalls,
            echoes: Echoes::default(),
            open: 0,
            seconds: Seconds::default(),
            strays: Strays::new(layout.highest_us),
            fleets: vec![Default::default(); layout.fleets],
            errors: Vec::new(),
            targets: TargetRecorder::new(layout.highest_us),
            heartbeat: Latency::default(),
            busy: vec![Busy::default(); layout.phases],
            saturated: Vec::new(),
            divergences: Vec::new(),
            connections: Connections::default(),
            totals_pool: Pool::new(DIGITS_TOTAL, layout.highest_us),
            rare_pool: Pool::growing(DIGITS_TOTAL, layout.highest_us),
            rows_pool: Pool::new(DIGITS_ROW, layout.highest_us),
            spare: Vec::new(),
        }
    }

    /// Returns the number of due operations that have not ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open
    }

    /// Records a due operation. A message counts as offered in the second that contains `due_ns`, no matter how late the
    /// call is.
    #[inline]
    pub fn due(&mut self, key: Key, due_ns: u64) {
        self.echoes.observe(&self.stalls, self.open);
        self.open += 1;
        self.cells.totals(key).due += 1;
        if self.strays.is_stray(due_ns) {
            self.strays.due(key, due_ns, 1, due_ns);
        }
        if key.operation.is_message() {
            self.seconds.at(due_ns).offered += 1;
        } else if key.operation == Operation::Connect {
            self.seconds.at(due_ns).connects_due += 1;
        }
    }

    /// Records that a due operation ended ok.
    #[inline]
    pub fn ok(&mut self, key: Key, times: &Times) {
        self.echoes.observe(&self.stalls, self.open);
        self.open = self.open.saturating_sub(1);
        let response_us = to_us(times.acked.saturating_sub(times.due));
        let lag_ns = times.picked.saturating_sub(times.due);
        let lag_us = to_us(lag_ns);
        let cell = self.cells.at(key);
        cell.add_ok(key.operation, times, &mut self.totals_pool);
        let is_closed_loop = cell.totals.closed_loop;
        if self.strays.is_stray(times.due) {
            self.strays.ok(key, times.due, response_us, times.acked);
        }
        if lag_ns >= OWN_DELAY_MIN_NS || is_closed_loop || self.echoes.may_delay(times.due) {
            let own_delay_ns = self.own_delay_ns(times);
            add_own_delay(self.cells.totals(key), times, own_delay_ns, &mut self.rare_pool);
        }
        let second = self.seconds.at(times.acked);
        second.response.of_mut(key.operation).record(response_us, &mut self.rows_pool);
        if key.operation.is_message() {
            second.achieved += 1;
            self.seconds.at(times.picked).note_lag(lag_us);
        }
    }

    /// Records again that an operation ended ok, as one of a device under a fault of the scenario.
    #[cold]
    pub fn ok_under_fault(&mut self, key: Key, times: &Times) {
        let own_delay_ns = self.own_delay_ns(times);
        let closed_loop = self.cells.totals(key).closed_loop;
        let cells = self.under_fault.get_or_insert_with(|| Box::new(Cells::new(self.cells.layout)));
        let cell = cells.at(key);
        cell.totals.due += 1;
        cell.totals.closed_loop = closed_loop;
        cell.add_ok(key.operation, times, &mut self.totals_pool);
        if own_delay_ns >= OWN_DELAY_MIN_NS || closed_loop {
            add_own_delay(&mut cell.totals, times, own_delay_ns, &mut self.rare_pool);
        }
    }

    /// Records again that an operation ended otherwise, as one of a device under a fault of the scenario. `picked_ns` is when the worker
    /// started it, if it did.
    #[cold]
    pub fn ended_under_fault(
        &mut self,
        key: Key,
        outcome: Outcome,
        (due_ns, picked_ns, at_ns): (u64, Option<u64>, u64),
        is_known: bool,
    ) {
        let (is_excused, _) = self.excuse(key, outcome, (due_ns, at_ns), is_known);
        let cells = self.under_fault.get_or_insert_with(|| Box::new(Cells::new(self.cells.layout)));
        let totals = cells.totals(key);
        totals.due += 1;
        totals.outcomes[outcome] += 1;
        totals.excused[outcome] += u64::from(is_excused);
        if let Some(picked_ns) = picked_ns {
            totals.lag.record(to_us(picked_ns.saturating_sub(due_ns)), &mut self.totals_pool);
        }
        if outcome == Outcome::Unfinished {
            totals.unfinished_age.record_rare(to_us(at_ns.saturating_sub(due_ns)), &mut self.rare_pool);
        }
    }

    /// Returns how much of a response time the load generator caused: the lag, the stalls after the operation was started,
    /// and for an operation that was due in an echo, the stalls of that echo.
    #[cold]
    fn own_delay_ns(&self, times: &Times) -> u64 {
        let lag_ns = times.picked.saturating_sub(times.due);
        let stalled_ns = self.stalls.between_ns(times.picked, times.acked);
        let echo_ns = self.echoes.delay_ns(&self.stalls, times.due);
        (lag_ns + stalled_ns + echo_ns).min(times.acked.saturating_sub(times.due))
    }

    /// Records the lag of a due operation that the worker started at `picked_ns`. Only for operations whose outcome is not
    /// ok, because [`ok`](Recorder::ok) also records the lag.
    #[inline]
    pub fn picked(&mut self, key: Key, due_ns: u64, picked_ns: u64) {
        let lag_ns = picked_ns.saturating_sub(due_ns);
        let totals = self.cells.totals(key);
        totals.clipped += u64::from(totals.lag.record(to_us(lag_ns), &mut self.totals_pool));
        if key.operation.is_message() {
            self.seconds.at(picked_ns).note_lag(to_us(lag_ns));
        }
    }

    /// Records that a due operation ended at `at_ns` with an outcome other than ok. For an unfinished operation, records
    /// its age.
    #[inline]
    pub fn ended(&mut self, key: Key, outcome: Outcome, due_ns: u64, at_ns: u64) {
        self.end(key, outcome, due_ns, at_ns, false);
    }

    /// Like [`ended`](Recorder::ended), but for an end that the load generator is known to have caused: the connection was
    /// lost after a stall, or this machine lacked a resource.
    pub fn ended_excused(&mut self, key: Key, outcome: Outcome, due_ns: u64, at_ns: u64) {
        self.end(key, outcome, due_ns, at_ns, true);
    }

    fn end(&mut self, key: Key, outcome: Outcome, due_ns: u64, at_ns: u64, is_known: bool) {
        debug_assert!(outcome != Outcome::Ok, "an ok operation has times");
        self.echoes.observe(&self.stalls, self.open);
        self.open = self.open.saturating_sub(1);
        let age_ns = at_ns.saturating_sub(due_ns);
        let (is_excused, own_delay_ns) = self.excuse(key, outcome, (due_ns, at_ns), is_known);
        let totals = self.cells.totals(key);
        totals.outcomes[outcome] += 1;
        totals.excused[outcome] += u64::from(is_excused);
        if is_excused {
            totals.own_delay_max_us = totals.own_delay_max_us.max(to_us(own_delay_ns));
        }
        if self.strays.is_stray(due_ns) {
            self.strays.ended(key, due_ns, (outcome, 1), at_ns);
        }
        if outcome == Outcome::Unfinished {
            totals.clipped +=
                u64::from(totals.unfinished_age.record_rare(to_us(age_ns), &mut self.rare_pool));
        }
        if !key.operation.is_step() {
            self.seconds.at(at_ns).errors += 1;
        }
    }

    /// Returns whether the load generator may have caused an outcome other than ok, and by how much it delayed the operation.
    fn excuse(&self, key: Key, outcome: Outcome, (due_ns, at_ns): (u64, u64), is_known: bool) -> (bool, u64) {
        let age_ns = at_ns.saturating_sub(due_ns);
        // The shortest timeout that may have led to this outcome.
        let timeout_ns = match outcome {
            Outcome::TimedOut | Outcome::Expired | Outcome::Unfinished => Some(age_ns),
            // A server may close the connection because it waited too long for the handshake. If the connection was closed
            // immediately, the server did not wait.
            Outcome::Lost if key.operation.is_connecting() => Some(age_ns.max(SERVER_TIMEOUT_MIN_NS)),
            _ => None,
        };
        let own_delay_ns = timeout_ns.map_or(0, |_| {
            self.stalls.between_ns(due_ns, at_ns) + self.echoes.delay_ns(&self.stalls, due_ns)
        });
        let by_delay = timeout_ns
            .is_some_and(|timeout_ns| own_delay_ns > 0 && own_delay_ns >= timeout_ns / EXCUSE_SHARE);
        (is_known || by_delay, own_delay_ns)
    }

    /// Records `count` operations that were due at `due_ns` as lost. The loss was discovered at `at_ns`.
    pub fn lost(&mut self, key: Key, count: u64, due_ns: u64, at_ns: u64) {
        if self.strays.is_stray(due_ns) {
            self.strays.due(key, due_ns, count, at_ns);
            self.strays.ended(key, due_ns, (Outcome::Lost, count), at_ns);
        }
        let totals = self.cells.totals(key);
        totals.due += count;
        totals.outcomes[Outcome::Lost] += count;
        self.seconds.at(at_ns).errors += count;
    }

    /// Records an operation that took `took_ns` and ended at `at_ns`, such as a TCP or TLS handshake. It counts as due and
    /// ok, and its response time equals its service time, if it has one. It is not part of the series.
    #[inline]
    pub fn duration(&mut self, key: Key, at_ns: u64, took_ns: u64) {
        let own_delay_ns = self.stalls.between_ns(at_ns.saturating_sub(took_ns), at_ns);
        let (took_us, pool) = (to_us(took_ns), &mut self.totals_pool);
        let totals = self.cells.totals(key);
        totals.due += 1;
        totals.outcomes[Outcome::Ok] += 1;
        totals.clipped += u64::from(totals.response.record(took_us, pool));
        if key.operation.has_ack() {
            totals.clipped += u64::from(totals.service.record(took_us, pool));
        }
        let due_ns = at_ns.saturating_sub(took_ns);
        if self.strays.is_stray(due_ns) {
            self.strays.due(key, due_ns, 1, at_ns);
            self.strays.ok(key, due_ns, took_us, at_ns);
        }
        if own_delay_ns >= OWN_DELAY_MIN_NS {
            add_delayed(totals, took_ns, own_delay_ns.min(took_ns), &mut self.rare_pool);
        }
    }

    /// Marks a key as QoS 0: `ok` means flushed.
    #[inline]
    pub fn no_ack(&mut self, key: Key) {
        self.cells.totals(key).no_ack = true;
    }

    /// Marks a key as a closed loop, and adds the think time before a message.
    #[inline]
    pub fn closed_loop(&mut self, key: Key, think_ns: u64) {
        let totals = self.cells.totals(key);
        totals.closed_loop = true;
        totals.think_sum_us += think_ns / 1_000;
    }

    /// Counts an error. `example` is called only once per class and worker, so that a flood of errors does not spend time
    /// on formatting.
    pub fn error(
        &mut self,
        class: &'static str,
        culprit: Culprit,
        at_ns: u64,
        example: impl FnOnce() -> String,
    ) {
        self.seconds.at(at_ns).note_error(class);
        let at_us = at_ns / 1_000;
        let known = self.errors.iter_mut().find(|known| known.class == class && known.culprit == culprit);
        match known {
            Some(known) => {
                if known.count == 0 {
                    known.first_us = at_us;
                }
                known.count += 1;
                known.last_us = at_us;
            }
            None => self.errors.push(ErrorTotals {
                class: class.to_owned(),
                culprit,
                count: 1,
                first_us: at_us,
                last_us: at_us,
                example: example(),
            }),
        }
    }

    /// Returns the counters of a fleet other than its operations.
    #[inline]
    pub fn counts(&mut self, fleet: u16) -> &mut FleetCounts {
        &mut self.fleets[usize::from(fleet)].0
    }

    /// Returns the recorder of the numbers by host.
    pub fn targets(&mut self) -> &mut TargetRecorder {
        &mut self.targets
    }

    /// Changes the number of a fleet's online devices, for tests of other numbers.
    #[cfg(test)]
    pub(crate) fn online(&mut self, fleet: u16, delta: i64) {
        self.fleets[usize::from(fleet)].1.change(delta);
    }

    /// Records that a device went online.
    pub fn went_online(&mut self, fleet: u16, at_ns: u64) {
        self.fleets[usize::from(fleet)].1.change(1);
        self.connections.connected(fleet, at_ns);
    }

    /// Records that a device went offline.
    pub fn went_offline(&mut self, fleet: u16, at_ns: u64, how: Offline) {
        self.fleets[usize::from(fleet)].1.change(-1);
        self.connections.disconnected(fleet, at_ns, how);
    }

    /// Records the start of a connection attempt.
    pub fn connection_attempt(&mut self, fleet: u16, at_ns: u64) {
        self.connections.attempt(fleet, at_ns);
    }

    /// Records the end of a device's time without a connection.
    pub fn outage(&mut self, outage: Outage) {
        self.connections.outage(outage);
    }

    /// Records a heartbeat of this worker at `at_ns`, which was `late_ns` late.
    #[inline]
    pub fn heartbeat(&mut self, at_ns: u64, late_ns: u64) {
        self.heartbeat.record(to_us(late_ns), &mut self.totals_pool);
        self.echoes.observe(&self.stalls, self.open);
        self.echoes.heartbeat(&self.stalls, at_ns, late_ns, self.open);
    }

    /// Adds `busy_ns` of `passed_ns` to the busy time of a phase.
    #[inline]
    pub fn busy(&mut self, phase: u16, busy_ns: u64, passed_ns: u64) {
        self.busy[usize::from(phase)].add(Busy { busy_ns, passed_ns });
    }

    /// Records an interval in which this worker was saturated.
    pub fn saturated(&mut self, from_ns: u64, to_ns: u64) {
        self.saturated.push([from_ns, to_ns]);
    }

    /// Records that the wall clock moved by `by_us` relative to the monotonic clock between the last reading and `at_ns`.
    pub fn clocks_diverged(&mut self, at_ns: u64, by_us: i64, is_step: bool) {
        let size = |divergence: &Divergence| divergence.by_us.unsigned_abs();
        if is_step || self.divergences.iter().map(size).max().is_none_or(|most| most < by_us.unsigned_abs()) {
            self.divergences.push(Divergence { at_ns, by_us, is_step });
        }
    }

    /// Returns the numbers since the last swap, and resets them.
    #[must_use]
    pub fn swap(&mut self) -> Snapshot {
        let mut snapshot = self.spare.pop().unwrap_or_default();
        self.cells.take(&mut snapshot.cells, &mut self.totals_pool);
        if let Some(cells) = &mut self.under_fault {
            cells.take(&mut snapshot.under_fault, &mut self.totals_pool);
        }
        std::mem::swap(&mut self.seconds, &mut snapshot.seconds);
        self.strays.swap(&mut snapshot.strays, &mut snapshot.second);
        self.targets.swap(&mut snapshot.targets);
        snapshot.heartbeat = std::mem::take(&mut self.heartbeat);
        snapshot.busy.extend(self.busy.iter_mut().map(std::mem::take));
        snapshot.stalls = self.stalls.take();
        snapshot.saturated = std::mem::take(&mut self.saturated);
        std::mem::swap(&mut self.divergences, &mut snapshot.divergences);
        std::mem::swap(&mut self.connections, &mut snapshot.connections);
        for (counts, online) in &mut self.fleets {
            snapshot.fleets.push((std::mem::take(counts), *online));
            online.peak = online.now;
        }
        for error in self.errors.iter_mut().filter(|error| error.count > 0) {
            snapshot.errors.push(error.clone());
            error.count = 0;
            error.example = String::new();
        }
        snapshot
    }

    /// Announces the second that the next snapshot covers: nearly all of its operations were due in this second, so only
    /// the others take additional work. Without a call, it is the second of the first operation.
    pub fn open_second(&mut self, second: u64) {
        self.strays.open_second(second);
    }

    /// Clears a snapshot that has been added up, and keeps its histograms for reuse.
    pub fn recycle(&mut self, mut snapshot: Snapshot) {
        for (_, mut totals) in snapshot.cells.drain(..).chain(snapshot.under_fault.drain(..)) {
            totals.recycle(&mut self.totals_pool, &mut self.rare_pool);
        }
        snapshot.seconds.recycle(&mut self.rows_pool);
        self.strays.recycle(&mut snapshot.strays);
        self.totals_pool.recycle(&mut snapshot.heartbeat);
        self.targets.recycle(&mut snapshot.targets);
        snapshot.busy.clear();
        snapshot.fleets.clear();
        snapshot.errors.clear();
        snapshot.divergences.clear();
        snapshot.connections.clear();
        self.spare.push(snapshot);
    }
}

/// Adds how much the load generator delayed an operation that ended ok.
#[cold]
fn add_own_delay(totals: &mut Totals, times: &Times, own_delay_ns: u64, pool: &mut Pool) {
    if totals.closed_loop {
        totals.own_delay_sum_us += own_delay_ns / 1_000;
    }
    if own_delay_ns >= OWN_DELAY_MIN_NS {
        add_delayed(totals, times.acked.saturating_sub(times.due), own_delay_ns, pool);
    }
}

#[cold]
fn add_delayed(totals: &mut Totals, response_ns: u64, own_delay_ns: u64, pool: &mut Pool) {
    totals.delayed.record_rare(to_us(response_ns), pool);
    totals.delayed_lower.record_rare(to_us(response_ns.saturating_sub(own_delay_ns)), pool);
    totals.own_delay_max_us = totals.own_delay_max_us.max(own_delay_ns / 1_000);
}

#[cfg(test)]
mod tests;
