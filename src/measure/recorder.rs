//! The recorder of one worker: histograms and counters that only this thread touches, swapped out each second.
//! Called by `fleet` for every operation. After the first use of a key nothing here allocates: cells lie in a
//! dense vector, and histograms come back from the collector.

use super::echo::Echoes;
use super::errors::ErrorTotals;
use super::fleet_counts::FleetCounts;
use super::health::Busy;
use super::latency::{Latency, Pool, us};
use super::operation::{Culprit, Key, Outcome, Times};
use super::series::Seconds;
use super::totals::Totals;
use super::{DIGITS_ROW, DIGITS_TOTAL, Layout};
use crate::stalls::Stalls;
use std::rc::Rc;

/// A delay by this load generator from which on an operation is kept apart: below it, the bounds are as wide as a tick of the
/// deadlines anyway.
const OWN_DELAY_MIN_NS: u64 = 1_000_000;

/// The share of its age, as a divisor, that the generator's own delay must have of an operation that timed out or expired before it
/// may have caused that. Our choice: with less, every timeout of a minute would be excused by the pauses that any machine has.
pub(crate) const EXCUSE_SHARE: u64 = 10;

/// The shortest time that a server is assumed to wait for a client's next step in a handshake: NATS has 2 s (its `authorization` and
/// `tls` timeouts), other brokers more. Only an own delay that is large for such a server may have made it close a connection attempt.
const SERVER_WAITS_NS: u64 = 2_000_000_000;

/// What a worker counted between two swaps. Made by [`Recorder::swap`], added by `Collector::add`, and best handed
/// back to [`Recorder::recycle`].
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(super) cells: Vec<(Key, Totals)>,
    pub(super) seconds: Seconds,
    pub(super) fleets: Vec<(FleetCounts, Online)>,
    pub(super) errors: Vec<ErrorTotals>,
    pub(super) heartbeat: Latency,
    /// By phase.
    pub(super) busy: Vec<Busy>,
    /// `[from_ns, to_ns]`
    pub(super) stalls: Vec<[u64; 2]>,
    /// `[from_ns, to_ns]`
    pub(super) saturated: Vec<[u64; 2]>,
    /// Each is a step, or larger than all before it.
    pub(super) divergences: Vec<Divergence>,
}

/// By how much the wall clock moved against the monotonic clock between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Divergence {
    /// When it was noticed.
    pub(super) at_ns: u64,
    /// Negative when the wall clock fell behind.
    pub(super) by_us: i64,
    /// The clock was set, or the machine was suspended.
    pub(super) is_step: bool,
}

/// Devices online: how many now, and the most since the last snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Online {
    pub(super) now: i64,
    pub(super) peak: i64,
}

impl Online {
    fn change(&mut self, delta: i64) {
        self.now += delta;
        self.peak = self.peak.max(self.now);
    }
}

/// The cells of a recorder, and which of them were touched since the last swap.
#[derive(Debug)]
struct Cells {
    layout: Layout,
    cells: Vec<Cell>,
    dirty: Vec<Key>,
}

#[derive(Debug, Default)]
struct Cell {
    dirty: bool,
    totals: Totals,
    /// Messages that wait are few: what most have waited is the same, and is counted until it changes.
    wait_us: u64,
    waits: u64,
}

impl Cells {
    #[inline]
    fn at(&mut self, key: Key) -> &mut Cell {
        let cell = &mut self.cells[self.layout.index(key)];
        if !cell.dirty {
            cell.dirty = true;
            self.dirty.push(key);
        }
        cell
    }

    #[inline]
    fn totals(&mut self, key: Key) -> &mut Totals {
        &mut self.at(key).totals
    }
}

impl Cell {
    #[inline]
    fn waited(&mut self, us: u64, pool: &mut Pool) {
        if us != self.wait_us {
            self.end_run(pool);
            self.wait_us = us;
        }
        self.waits += 1;
    }

    fn end_run(&mut self, pool: &mut Pool) {
        let waits = std::mem::take(&mut self.waits);
        self.totals.clipped += self.totals.wait.record_run(self.wait_us, waits, pool);
    }
}

/// Records what one worker does.
#[derive(Debug)]
pub struct Recorder {
    cells: Cells,
    /// When this thread did not run although it had something to do.
    stalls: Rc<Stalls>,
    echoes: Echoes,
    /// Operations that are due and have not ended.
    open: u64,
    seconds: Seconds,
    fleets: Vec<(FleetCounts, Online)>,
    errors: Vec<ErrorTotals>,
    heartbeat: Latency,
    /// By phase.
    busy: Vec<Busy>,
    saturated: Vec<[u64; 2]>,
    divergences: Vec<Divergence>,
    totals_pool: Pool,
    /// For unfinished operations, and those that the load generator delayed.
    rare_pool: Pool,
    rows_pool: Pool,
    spare: Vec<Snapshot>,
}

impl Recorder {
    /// Bytes of a key before its first record.
    pub(super) const CELL_BYTES: usize = size_of::<Cell>() + size_of::<Key>();

    /// An empty recorder of the thread that has these stalls; it makes no histogram yet.
    #[must_use]
    pub fn new(layout: Layout, stalls: Rc<Stalls>) -> Recorder {
        let cells = layout.cells();
        let mut empty = Vec::new();
        empty.resize_with(cells, Cell::default);
        Recorder {
            cells: Cells { layout, cells: empty, dirty: Vec::with_capacity(cells) },
            stalls,
            echoes: Echoes::default(),
            open: 0,
            seconds: Seconds::default(),
            fleets: vec![Default::default(); layout.fleets],
            errors: Vec::new(),
            heartbeat: Latency::default(),
            busy: vec![Busy::default(); layout.phases],
            saturated: Vec::new(),
            divergences: Vec::new(),
            totals_pool: Pool::new(DIGITS_TOTAL, layout.highest_us),
            rare_pool: Pool::growing(DIGITS_TOTAL, layout.highest_us),
            rows_pool: Pool::new(DIGITS_ROW, layout.highest_us),
            spare: Vec::new(),
        }
    }

    /// Operations that are due and have not ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open
    }

    /// An operation was due. A message counts as offered in the second of `due_ns`, however late this call.
    #[inline]
    pub fn due(&mut self, key: Key, due_ns: u64) {
        self.echoes.observe(&self.stalls, self.open);
        self.open += 1;
        self.cells.totals(key).due += 1;
        if key.operation.is_message() {
            self.seconds.at(due_ns).offered += 1;
        }
    }

    /// A due operation ended well.
    #[inline]
    pub fn ok(&mut self, key: Key, times: &Times) {
        self.echoes.observe(&self.stalls, self.open);
        self.open = self.open.saturating_sub(1);
        let response_ns = times.acked.saturating_sub(times.due);
        let response_us = us(response_ns);
        let lag_ns = times.picked.saturating_sub(times.due);
        let lag_us = us(lag_ns);
        let pool = &mut self.totals_pool;
        let cell = self.cells.at(key);
        cell.waited(us(times.sent.saturating_sub(times.picked)), pool);
        let totals = &mut cell.totals;
        totals.outcomes[Outcome::Ok] += 1;
        let mut clipped = u64::from(totals.response.record(response_us, pool));
        if key.operation.has_ack() {
            clipped += u64::from(totals.service.record(us(times.acked.saturating_sub(times.sent)), pool));
        }
        clipped += u64::from(totals.lag.record(lag_us, pool));
        totals.clipped += clipped;
        if lag_ns >= OWN_DELAY_MIN_NS || totals.closed_loop || self.echoes.may_delay(times.due) {
            self.delayed(key, times);
        }
        let second = self.seconds.at(times.acked);
        second.response.of_mut(key.operation).record(response_us, &mut self.rows_pool);
        if key.operation.is_message() {
            second.achieved += 1;
            self.seconds.at(times.picked).lagged(lag_us);
        }
    }

    /// Keeps how much of a response is this load generator's: its lag, its stalls since, and for what was due in the echo of a stall
    /// the stalls since that echo's begin.
    #[cold]
    fn delayed(&mut self, key: Key, times: &Times) {
        let lag_ns = times.picked.saturating_sub(times.due);
        let stalled_ns = self.stalls.between_ns(times.picked, times.acked);
        let echo_ns = self.echoes.delay_ns(&self.stalls, times.due);
        let response_ns = times.acked.saturating_sub(times.due);
        let own_ns = (lag_ns + stalled_ns + echo_ns).min(response_ns);
        let totals = self.cells.totals(key);
        if totals.closed_loop {
            totals.own_delay_sum_us += own_ns / 1_000;
        }
        if own_ns >= OWN_DELAY_MIN_NS {
            delayed(totals, response_ns, own_ns, &mut self.rare_pool);
        }
    }

    /// The worker handled a due operation at `picked_ns`. Only for what ended otherwise than ok, so that its lag
    /// is not forgotten: [`ok`](Recorder::ok) knows its own.
    #[inline]
    pub fn picked(&mut self, key: Key, due_ns: u64, picked_ns: u64) {
        let lag_ns = picked_ns.saturating_sub(due_ns);
        let totals = self.cells.totals(key);
        totals.clipped += u64::from(totals.lag.record(us(lag_ns), &mut self.totals_pool));
        if key.operation.is_message() {
            self.seconds.at(picked_ns).lagged(us(lag_ns));
        }
    }

    /// A due operation ended otherwise than ok, at `at_ns`. What is unfinished leaves its age.
    #[inline]
    pub fn ended(&mut self, key: Key, outcome: Outcome, due_ns: u64, at_ns: u64) {
        self.end(key, outcome, due_ns, at_ns, false);
    }

    /// The same where it is known that this load generator may have caused it: its connection was lost after a stall, or could not be
    /// made for want of something on this machine.
    pub fn ended_excused(&mut self, key: Key, outcome: Outcome, due_ns: u64, at_ns: u64) {
        self.end(key, outcome, due_ns, at_ns, true);
    }

    fn end(&mut self, key: Key, outcome: Outcome, due_ns: u64, at_ns: u64, known: bool) {
        debug_assert!(outcome != Outcome::Ok, "what ended well has times");
        self.echoes.observe(&self.stalls, self.open);
        self.open = self.open.saturating_sub(1);
        let age_ns = at_ns.saturating_sub(due_ns);
        // The shortest timeout that may have led to this end.
        let timeout_ns = match outcome {
            Outcome::TimedOut | Outcome::Expired | Outcome::Unfinished => Some(age_ns),
            // A server that waits for a handshake in vain closes the connection. If it does so at once, it did not wait for us.
            Outcome::Lost if key.operation.is_of_connects() => Some(age_ns.max(SERVER_WAITS_NS)),
            _ => None,
        };
        let own_ns = timeout_ns.map_or(0, |_| {
            self.stalls.between_ns(due_ns, at_ns) + self.echoes.delay_ns(&self.stalls, due_ns)
        });
        let by_delay = timeout_ns.is_some_and(|timeout_ns| own_ns > 0 && own_ns >= timeout_ns / EXCUSE_SHARE);
        let may_be_ours = known || by_delay;
        let totals = self.cells.totals(key);
        totals.outcomes[outcome] += 1;
        totals.excused[outcome] += u64::from(may_be_ours);
        if may_be_ours {
            totals.own_delay_max_us = totals.own_delay_max_us.max(us(own_ns));
        }
        if outcome == Outcome::Unfinished {
            totals.clipped += u64::from(totals.unfinished_age.record_rare(us(age_ns), &mut self.rare_pool));
        }
        if !key.operation.is_step() {
            self.seconds.at(at_ns).errors += 1;
        }
    }

    /// So many operations were due and are lost, as was found at `at_ns`.
    pub fn lost(&mut self, key: Key, count: u64, at_ns: u64) {
        let totals = self.cells.totals(key);
        totals.due += count;
        totals.outcomes[Outcome::Lost] += count;
        self.seconds.at(at_ns).errors += count;
    }

    /// Something took so long until `at_ns` (TCP, TLS, a message's way here): due and ok at once, response equals service where
    /// there is one. Not part of the series.
    #[inline]
    pub fn duration(&mut self, key: Key, at_ns: u64, took_ns: u64) {
        let own_ns = self.stalls.between_ns(at_ns.saturating_sub(took_ns), at_ns);
        let (took_us, pool) = (us(took_ns), &mut self.totals_pool);
        let totals = self.cells.totals(key);
        totals.due += 1;
        totals.outcomes[Outcome::Ok] += 1;
        totals.clipped += u64::from(totals.response.record(took_us, pool));
        if key.operation.has_ack() {
            totals.clipped += u64::from(totals.service.record(took_us, pool));
        }
        if own_ns >= OWN_DELAY_MIN_NS {
            delayed(totals, took_ns, own_ns.min(took_ns), &mut self.rare_pool);
        }
    }

    /// Marks a key as QoS 0: its ok means flushed.
    #[inline]
    pub fn no_ack(&mut self, key: Key) {
        self.cells.totals(key).no_ack = true;
    }

    /// Marks a key as a closed loop: what was due waited for the answers, and then for so long.
    #[inline]
    pub fn closed_loop(&mut self, key: Key, think_ns: u64) {
        let totals = self.cells.totals(key);
        totals.closed_loop = true;
        totals.think_sum_us += think_ns / 1_000;
    }

    /// Counts an error. `example` is asked once per class and worker, so a storm of errors formats nothing.
    pub fn error(
        &mut self,
        class: &'static str,
        culprit: Culprit,
        at_ns: u64,
        example: impl FnOnce() -> String,
    ) {
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

    /// What a fleet counts beside its operations.
    #[inline]
    pub fn counts(&mut self, fleet: u16) -> &mut FleetCounts {
        &mut self.fleets[usize::from(fleet)].0
    }

    /// Devices of a fleet came online (positive) or went.
    #[inline]
    pub fn online(&mut self, fleet: u16, delta: i64) {
        self.fleets[usize::from(fleet)].1.change(delta);
    }

    /// This worker's own tick came at `at_ns`, `late_ns` late.
    #[inline]
    pub fn heartbeat(&mut self, at_ns: u64, late_ns: u64) {
        self.heartbeat.record(us(late_ns), &mut self.totals_pool);
        self.echoes.observe(&self.stalls, self.open);
        self.echoes.beat(&self.stalls, at_ns, late_ns, self.open);
    }

    /// This worker had something to do for `busy_ns` of `passed_ns` in that phase.
    #[inline]
    pub fn busy(&mut self, phase: u16, busy_ns: u64, passed_ns: u64) {
        self.busy[usize::from(phase)].add(Busy { busy_ns, passed_ns });
    }

    /// This worker was busy nearly all of the time in this interval.
    pub fn saturated(&mut self, from_ns: u64, to_ns: u64) {
        self.saturated.push([from_ns, to_ns]);
    }

    /// Records that at `at_ns` the wall clock had moved by `by_us` against the monotonic clock since the last reading.
    pub fn clocks_diverged(&mut self, at_ns: u64, by_us: i64, is_step: bool) {
        let size = |divergence: &Divergence| divergence.by_us.unsigned_abs();
        if is_step || self.divergences.iter().map(size).max().is_none_or(|most| most < by_us.unsigned_abs()) {
            self.divergences.push(Divergence { at_ns, by_us, is_step });
        }
    }

    /// Hands out what was counted since the last swap, and starts anew.
    #[must_use]
    pub fn swap(&mut self) -> Snapshot {
        let mut snapshot = self.spare.pop().unwrap_or_default();
        for key in self.cells.dirty.drain(..) {
            let cell = &mut self.cells.cells[self.cells.layout.index(key)];
            cell.dirty = false;
            cell.end_run(&mut self.totals_pool);
            let closed_loop = cell.totals.closed_loop;
            snapshot.cells.push((key, std::mem::take(&mut cell.totals)));
            cell.totals.closed_loop = closed_loop;
        }
        std::mem::swap(&mut self.seconds, &mut snapshot.seconds);
        snapshot.heartbeat = std::mem::take(&mut self.heartbeat);
        snapshot.busy.extend(self.busy.iter_mut().map(std::mem::take));
        snapshot.stalls = self.stalls.take();
        snapshot.saturated = std::mem::take(&mut self.saturated);
        std::mem::swap(&mut self.divergences, &mut snapshot.divergences);
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

    /// Takes back a snapshot that was added up: its histograms, cleared, serve again.
    pub fn recycle(&mut self, mut snapshot: Snapshot) {
        for (_, mut totals) in snapshot.cells.drain(..) {
            totals.recycle(&mut self.totals_pool, &mut self.rare_pool);
        }
        snapshot.seconds.recycle(&mut self.rows_pool);
        self.totals_pool.recycle(&mut snapshot.heartbeat);
        snapshot.busy.clear();
        snapshot.fleets.clear();
        snapshot.errors.clear();
        snapshot.divergences.clear();
        self.spare.push(snapshot);
    }
}

#[cold]
fn delayed(totals: &mut Totals, response_ns: u64, own_ns: u64, pool: &mut Pool) {
    totals.delayed.record_rare(us(response_ns), pool);
    totals.delayed_lower.record_rare(us(response_ns.saturating_sub(own_ns)), pool);
    totals.own_delay_max_us = totals.own_delay_max_us.max(own_ns / 1_000);
}

/// Snapshots travel from a worker to the collector.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Snapshot>();
};

#[cfg(test)]
mod tests {
    use super::super::Operation;
    use super::*;
    use std::time::Duration;

    const S: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;
    const SEND: Key = Key { operation: Operation::Telemetry, fleet: 0, phase: 1 };

    fn recorder() -> Recorder {
        Recorder::new(Layout::new(2, 2, Duration::from_secs(60)), Rc::new(Stalls::new(crate::clock::now())))
    }

    #[test]
    fn the_four_instants_become_four_figures() {
        let mut recorder = recorder();
        recorder.due(SEND, S);
        recorder.ok(SEND, &Times { due: S, picked: S + MS, sent: S + 5 * MS, acked: S + 20 * MS });
        let snapshot = recorder.swap();
        let [(key, totals)] = snapshot.cells.as_slice() else { panic!("one cell is dirty") };
        assert_eq!((*key, totals.due, totals.outcome(Outcome::Ok)), (SEND, 1, 1));
        let max = |latency: &Latency| latency.max().map(|us| us / 1_000);
        assert_eq!(max(&totals.lag), Some(1));
        assert_eq!(max(&totals.wait), Some(4));
        assert_eq!(max(&totals.service), Some(15));
        assert_eq!(max(&totals.response), Some(20));
        assert_eq!(totals.clipped, 0);
    }

    #[test]
    fn what_comes_has_no_service_time_and_is_no_load() {
        for operation in [Operation::Deliver, Operation::C2d] {
            let (mut recorder, key) = (recorder(), Key { operation, ..SEND });
            recorder.due(key, 0);
            recorder.ok(key, &Times { due: 0, picked: MS, sent: MS, acked: MS });
            recorder.duration(key, MS, MS);
            let snapshot = recorder.swap();
            let [(_, totals)] = snapshot.cells.as_slice() else { panic!("one cell is dirty") };
            assert_eq!((totals.response.count(), totals.service.count()), (2, 0), "{operation}");
            let loads = snapshot.seconds.iter().map(|(_, second)| (second.offered, second.achieved));
            assert!(loads.into_iter().all(|load| load == (0, 0)), "{operation}");
        }
    }

    #[test]
    fn only_what_is_dirty_is_swapped_and_nothing_twice() {
        let mut recorder = recorder();
        recorder.due(SEND, 0);
        recorder.due(SEND, 0);
        assert_eq!(recorder.swap().cells.len(), 1);
        let nothing = recorder.swap();
        assert!(nothing.cells.is_empty() && nothing.errors.is_empty() && nothing.heartbeat.is_empty());
        assert_eq!(nothing.seconds.iter().count(), 0);
    }

    #[test]
    fn a_recycled_snapshot_starts_empty() {
        let mut recorder = recorder();
        recorder.ok(SEND, &Times { due: 0, picked: 0, sent: 0, acked: 50 * MS });
        recorder.heartbeat(9 * MS, 9 * MS);
        recorder.error("closed_by_peer", Culprit::Peer, 1, || "x".to_owned());
        let used = recorder.swap();
        recorder.recycle(used);
        recorder.ok(SEND, &Times { due: 0, picked: 0, sent: 0, acked: MS });
        let snapshot = recorder.swap();
        assert_eq!(snapshot.cells.len(), 1);
        assert_eq!(snapshot.cells[0].1.response.max(), Some(1_000));
        assert_eq!(snapshot.cells[0].1.response.count(), 1);
        assert!(snapshot.heartbeat.is_empty() && snapshot.errors.is_empty());
    }

    #[test]
    fn whatever_was_picked_has_a_lag() {
        let mut recorder = recorder();
        for picked in [100 * MS, 200 * MS] {
            recorder.due(SEND, 0);
            recorder.picked(SEND, 0, picked);
            recorder.ended(SEND, Outcome::Lost, 0, S);
        }
        let totals = &recorder.swap().cells[0].1;
        assert_eq!(
            (totals.lag.count_above(150_000), totals.lag.count(), totals.outcome(Outcome::Lost)),
            (1, 2, 2)
        );
        assert!(totals.response.is_empty(), "percentiles are of ok operations");
    }

    #[test]
    fn open_is_what_is_due_and_has_not_ended() {
        let mut recorder = recorder();
        for _ in 0..3 {
            recorder.due(SEND, 0);
        }
        recorder.ok(SEND, &Times::default());
        recorder.ended(SEND, Outcome::Lost, 0, 0);
        assert_eq!(recorder.open(), 1);
        recorder.duration(SEND, MS, MS);
        recorder.lost(SEND, 5, S);
        assert_eq!(recorder.open(), 1, "due and ended at once");
    }

    /// A recorder of a thread that stalled from one instant to another, in ms.
    fn stalled(from_ms: u64, to_ms: u64) -> Recorder {
        let zero = crate::clock::now();
        let stalls = Rc::new(Stalls::new(zero));
        stalls.note(zero + Duration::from_millis(from_ms), zero + Duration::from_millis(to_ms));
        Recorder::new(Layout::new(2, 2, Duration::from_secs(60)), stalls)
    }

    #[test]
    fn own_delay_is_lag_and_stalls_since() {
        for (due, picked, acked, own_ms) in [
            (50, 50, 90, None),
            (50, 50, 130, Some(30)),
            (50, 50, 250, Some(100)),
            (120, 200, 210, Some(90)),
            (300, 300, 310, None),
            (300, 320, 330, Some(20)),
        ] {
            let mut recorder = stalled(100, 200);
            // With it, the echo of the stall has ended.
            recorder.heartbeat(250 * MS, 0);
            let [due, picked, acked] = [due, picked, acked].map(|ms: u64| ms * MS);
            recorder.ok(SEND, &Times { due, picked, sent: picked, acked });
            let totals = &recorder.swap().cells[0].1;
            let response_ms = (acked - due) / MS;
            assert_eq!(totals.delayed.count(), u64::from(own_ms.is_some()), "{due} {acked}");
            let lower = own_ms.map(|own| ((response_ms - own) * 1_000).max(1));
            assert_eq!(
                totals.delayed_lower.max().map(|us| us / 100),
                lower.map(|us| us / 100),
                "{due} {acked}"
            );
            assert_eq!(totals.lower().count(), 1);
        }
    }

    #[test]
    fn what_is_due_in_an_echo_waits_behind_the_burst() {
        let mut recorder = stalled(100, 200);
        recorder.heartbeat(200 * MS, 98 * MS);
        // The burst of what fell due in the stall, and one that was due after it.
        for n in 0..10 {
            recorder.due(SEND, (100 + n * 10) * MS);
        }
        recorder.due(SEND, 205 * MS);
        let at = |due: u64, acked: u64| Times {
            due: due * MS,
            picked: due * MS,
            sent: due * MS,
            acked: acked * MS,
        };
        recorder.ok(SEND, &at(205, 290));
        let totals = &recorder.swap().cells[0].1;
        assert_eq!(totals.own_delay_max_us, 85_000, "no more than the response");
        assert_eq!(totals.delayed_lower.max(), Some(1));
    }

    #[test]
    fn an_echo_excuses_a_time_out() {
        let mut recorder = stalled(100, 200);
        recorder.heartbeat(200 * MS, 98 * MS);
        recorder.due(SEND, 205 * MS);
        recorder.ended(SEND, Outcome::TimedOut, 205 * MS, 405 * MS);
        assert_eq!(recorder.swap().cells[0].1.excused[Outcome::TimedOut], 1);
    }

    #[test]
    fn only_a_stall_that_a_server_feels_excuses_a_lost_attempt() {
        for (operation, stall_ms, at_ms, excused) in [
            // Half of the shortest server timeout, and a tenth of it.
            (Operation::Connect, 1_000, 2_100, 1),
            (Operation::ConnectTls, 200, 400, 1),
            // Half of a server's timeout of 10 s.
            (Operation::Connect, 5_000, 10_100, 1),
            // The server closed the connection at once: it waited for no one.
            (Operation::Connect, 5, 150, 0),
            (Operation::Connect, 199, 310, 0),
            // A tenth of the shortest timeout, but not of the time that this server waited.
            (Operation::Connect, 200, 10_000, 0),
            (Operation::Telemetry, 1_000, 2_100, 0),
        ] {
            let (mut recorder, key) = (stalled(100, 100 + stall_ms), Key { operation, ..SEND });
            // With it, the echo of the stall has ended.
            recorder.heartbeat((100 + 2 * stall_ms) * MS, 0);
            recorder.due(key, 50 * MS);
            recorder.ended(key, Outcome::Lost, 50 * MS, (50 + at_ms) * MS);
            let told = recorder.swap().cells[0].1.excused[Outcome::Lost];
            assert_eq!(told, excused, "{operation}: {stall_ms} ms of {at_ms} ms");
        }
    }

    #[test]
    fn only_a_large_part_of_the_age_excuses_a_bad_end() {
        for (outcome, at_ms, excused) in [
            (Outcome::TimedOut, 900, 1),
            (Outcome::TimedOut, 1_100, 0),
            (Outcome::Expired, 300, 1),
            (Outcome::Unfinished, 500, 1),
            (Outcome::Refused, 300, 0),
            (Outcome::Lost, 300, 0),
        ] {
            let mut recorder = stalled(100, 200);
            recorder.due(SEND, 50 * MS);
            recorder.ended(SEND, outcome, 50 * MS, at_ms * MS);
            assert_eq!(recorder.swap().cells[0].1.excused[outcome], excused, "{} at {at_ms}", outcome.name());
        }
        let mut recorder = recorder();
        recorder.due(SEND, 0);
        recorder.ended_excused(SEND, Outcome::Lost, 0, S);
        assert_eq!(recorder.swap().cells[0].1.excused[Outcome::Lost], 1);
    }

    #[test]
    fn what_lies_above_the_range_is_counted() {
        let mut recorder = recorder();
        recorder.ok(SEND, &Times { due: 0, picked: 0, sent: 0, acked: 3_600 * S });
        recorder.ended(SEND, Outcome::Unfinished, 0, 3_600 * S);
        let totals = &recorder.swap().cells[0].1;
        assert_eq!(totals.clipped, 3, "response, service and age");
        assert_eq!(totals.unfinished_age.max(), Some((1 << 26) - 1));
        recorder.duration(SEND, 3_600 * S, 3_600 * S);
        assert_eq!(recorder.swap().cells[0].1.clipped, 2, "response and service");
    }

    #[test]
    fn an_example_is_asked_once_per_class() {
        let mut recorder = recorder();
        let mut asked = 0;
        for at in 0..5 {
            recorder.error("connack_5", Culprit::Peer, at * 1_000, || {
                asked += 1;
                "refused".to_owned()
            });
            if at == 2 {
                assert_eq!(recorder.swap().errors[0].example, "refused");
            }
        }
        let again = recorder.swap().errors;
        assert_eq!(asked, 1);
        assert_eq!((again[0].count, again[0].first_us, again[0].last_us), (2, 3, 4));
    }
}
