//! The recorder of one worker: histograms and counters that only this thread touches, swapped out each second.
//! Called by `fleet` for every operation. After the first use of a key nothing here allocates: cells lie in a
//! dense vector, and histograms come back from the collector.

use super::kinds::{Culprit, Key, Outcome, Times};
use super::latency::{Latency, Pool, us};
use super::series::Seconds;
use super::totals::{Busy, ErrorTotals, FleetCounts, Online, Totals};
use super::{DIGITS_ROW, DIGITS_TOTAL, Layout};

/// What a worker counted between two swaps. Made by [`Recorder::swap`], added by `Measurement::add`, and best handed
/// back to [`Recorder::recycle`].
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(super) cells: Vec<(Key, Totals)>,
    pub(super) seconds: Seconds,
    pub(super) fleets: Vec<(FleetCounts, Online)>,
    pub(super) errors: Vec<ErrorTotals>,
    /// By phase.
    pub(super) heartbeat: Vec<Latency>,
    /// By phase.
    pub(super) busy: Vec<Busy>,
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
    late_after_ns: u64,
    seconds: Seconds,
    fleets: Vec<(FleetCounts, Online)>,
    errors: Vec<ErrorTotals>,
    /// By phase.
    heartbeat: Vec<Latency>,
    /// By phase.
    busy: Vec<Busy>,
    totals_pool: Pool,
    rows_pool: Pool,
    spare: Vec<Snapshot>,
    open: u64,
}

impl Recorder {
    /// An empty recorder; it makes no histogram yet.
    #[must_use]
    pub fn new(layout: Layout) -> Recorder {
        let cells = layout.cells();
        let mut empty = Vec::new();
        empty.resize_with(cells, Cell::default);
        Recorder {
            cells: Cells { layout, cells: empty, dirty: Vec::with_capacity(cells) },
            late_after_ns: layout.late_after_ns,
            seconds: Seconds::default(),
            fleets: vec![Default::default(); layout.fleets],
            errors: Vec::new(),
            heartbeat: vec![Latency::default(); layout.phases],
            busy: vec![Busy::default(); layout.phases],
            totals_pool: Pool::new(DIGITS_TOTAL, layout.highest_us),
            rows_pool: Pool::new(DIGITS_ROW, layout.highest_us),
            spare: Vec::new(),
            open: 0,
        }
    }

    /// Operations that were due and have not ended, over all swaps.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open
    }

    /// An operation was due. A message counts as offered in the second of `due_ns`, however late this call.
    #[inline]
    pub fn due(&mut self, key: Key, due_ns: u64) {
        self.open = self.open.wrapping_add(1);
        self.cells.totals(key).due += 1;
        if key.operation.is_message() {
            self.seconds.at(due_ns).offered += 1;
        }
    }

    /// A due operation ended well.
    #[inline]
    pub fn ok(&mut self, key: Key, times: &Times) {
        self.open = self.open.wrapping_sub(1);
        let response_us = us(times.acked.saturating_sub(times.due));
        let lag_ns = times.picked.saturating_sub(times.due);
        let lag_us = us(lag_ns);
        let pool = &mut self.totals_pool;
        let cell = self.cells.at(key);
        cell.waited(us(times.sent.saturating_sub(times.picked)), pool);
        let totals = &mut cell.totals;
        totals.outcomes[Outcome::Ok.index()] += 1;
        let mut clipped = u64::from(totals.response.record(response_us, pool));
        if key.operation.has_ack() {
            clipped += u64::from(totals.service.record(us(times.acked.saturating_sub(times.sent)), pool));
        }
        clipped += u64::from(totals.lag.record(lag_us, pool));
        totals.clipped += clipped;
        totals.late += u64::from(lag_ns > self.late_after_ns);
        let second = self.seconds.at(times.acked);
        second.response[key.operation.index()].record(response_us, &mut self.rows_pool);
        if key.operation.is_message() {
            second.achieved += 1;
            self.seconds.at(times.picked).lagged(lag_us);
        }
    }

    /// The worker handled a due operation at `picked_ns`. Only for what ended otherwise than ok, so that its lag
    /// is not forgotten: [`ok`](Recorder::ok) knows its own.
    #[inline]
    pub fn picked(&mut self, key: Key, due_ns: u64, picked_ns: u64) {
        let lag_ns = picked_ns.saturating_sub(due_ns);
        let totals = self.cells.totals(key);
        totals.clipped += u64::from(totals.lag.record(us(lag_ns), &mut self.totals_pool));
        totals.late += u64::from(lag_ns > self.late_after_ns);
        if key.operation.is_message() {
            self.seconds.at(picked_ns).lagged(us(lag_ns));
        }
    }

    /// A due operation ended otherwise than ok, at `at_ns`. What is unfinished leaves its age.
    #[inline]
    pub fn ended(&mut self, key: Key, outcome: Outcome, due_ns: u64, at_ns: u64) {
        debug_assert!(outcome != Outcome::Ok, "what ended well has times");
        self.open = self.open.wrapping_sub(1);
        let totals = self.cells.totals(key);
        totals.outcomes[outcome.index()] += 1;
        if outcome == Outcome::Unfinished {
            let age_us = us(at_ns.saturating_sub(due_ns));
            totals.clipped += u64::from(totals.unfinished_age.record(age_us, &mut self.totals_pool));
        }
        if !key.operation.is_step() {
            self.seconds.at(at_ns).errors += 1;
        }
    }

    /// So many operations were due and are lost, as was found at `at_ns`.
    pub fn lost(&mut self, key: Key, count: u64, at_ns: u64) {
        let totals = self.cells.totals(key);
        totals.due += count;
        totals.outcomes[Outcome::Lost.index()] += count;
        self.seconds.at(at_ns).errors += count;
    }

    /// Something took so long (TCP, TLS, a message's way here): due and ok at once, response equals service where there is
    /// one. Not part of the series.
    #[inline]
    pub fn duration(&mut self, key: Key, took_ns: u64) {
        let (took_us, pool) = (us(took_ns), &mut self.totals_pool);
        let totals = self.cells.totals(key);
        totals.due += 1;
        totals.outcomes[Outcome::Ok.index()] += 1;
        totals.clipped += u64::from(totals.response.record(took_us, pool));
        if key.operation.has_ack() {
            totals.clipped += u64::from(totals.service.record(took_us, pool));
        }
    }

    /// Marks a key as QoS 0: its ok means flushed.
    #[inline]
    pub fn no_ack(&mut self, key: Key) {
        self.cells.totals(key).no_ack = true;
    }

    /// Marks a key as a closed loop: what was due waited for the answers.
    #[inline]
    pub fn closed_loop(&mut self, key: Key) {
        self.cells.totals(key).closed_loop = true;
    }

    /// Counts an error. `example` is asked once per class and worker, so a storm of errors formats nothing.
    pub fn error(
        &mut self,
        class: &'static str,
        culprit: Culprit,
        at_ns: u64,
        example: impl FnOnce() -> String,
    ) {
        let known = self.errors.iter_mut().find(|known| known.class == class && known.culprit == culprit);
        match known {
            Some(known) => {
                if known.count == 0 {
                    known.first_ns = at_ns;
                }
                known.count += 1;
                known.last_ns = at_ns;
            }
            None => self.errors.push(ErrorTotals {
                class,
                culprit,
                count: 1,
                first_ns: at_ns,
                last_ns: at_ns,
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

    /// This worker's own tick, which was due in that phase, came `late_ns` late.
    #[inline]
    pub fn heartbeat(&mut self, phase: u16, late_ns: u64) {
        self.heartbeat[usize::from(phase)].record(us(late_ns), &mut self.totals_pool);
    }

    /// This worker had something to do for `busy_ns` of `passed_ns` in that phase.
    #[inline]
    pub fn busy(&mut self, phase: u16, busy_ns: u64, passed_ns: u64) {
        self.busy[usize::from(phase)].add(Busy { busy_ns, passed_ns });
    }

    /// Hands out what was counted since the last swap, and starts anew.
    #[must_use]
    pub fn swap(&mut self) -> Snapshot {
        let mut snapshot = self.spare.pop().unwrap_or_default();
        for key in self.cells.dirty.drain(..) {
            let cell = &mut self.cells.cells[self.cells.layout.index(key)];
            cell.dirty = false;
            cell.end_run(&mut self.totals_pool);
            snapshot.cells.push((key, std::mem::take(&mut cell.totals)));
        }
        std::mem::swap(&mut self.seconds, &mut snapshot.seconds);
        snapshot.heartbeat.extend(self.heartbeat.iter_mut().map(std::mem::take));
        snapshot.busy.extend(self.busy.iter_mut().map(std::mem::take));
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
            totals.recycle(&mut self.totals_pool);
        }
        snapshot.seconds.recycle(&mut self.rows_pool);
        for mut heartbeat in snapshot.heartbeat.drain(..) {
            self.totals_pool.recycle(&mut heartbeat);
        }
        snapshot.busy.clear();
        snapshot.fleets.clear();
        snapshot.errors.clear();
        self.spare.push(snapshot);
    }
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
        Recorder::new(Layout::new(2, 2, Duration::from_secs(60), Duration::from_millis(100)))
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
        assert_eq!((totals.late, totals.clipped), (0, 0));
    }

    #[test]
    fn what_comes_has_no_service_time_and_is_no_load() {
        for operation in [Operation::Deliver, Operation::C2d] {
            let (mut recorder, key) = (recorder(), Key { operation, ..SEND });
            recorder.due(key, 0);
            recorder.ok(key, &Times { due: 0, picked: MS, sent: MS, acked: MS });
            recorder.duration(key, MS);
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
        assert!(
            nothing.cells.is_empty()
                && nothing.errors.is_empty()
                && nothing.heartbeat.iter().all(Latency::is_empty)
        );
        assert_eq!(nothing.seconds.iter().count(), 0);
    }

    #[test]
    fn a_recycled_snapshot_starts_empty() {
        let mut recorder = recorder();
        recorder.ok(SEND, &Times { due: 0, picked: 0, sent: 0, acked: 50 * MS });
        recorder.heartbeat(1, 9 * MS);
        recorder.error("closed_by_peer", Culprit::Peer, 1, || "x".to_owned());
        let used = recorder.swap();
        recorder.recycle(used);
        recorder.ok(SEND, &Times { due: 0, picked: 0, sent: 0, acked: MS });
        let snapshot = recorder.swap();
        assert_eq!(snapshot.cells.len(), 1);
        assert_eq!(snapshot.cells[0].1.response.max(), Some(1_000));
        assert_eq!(snapshot.cells[0].1.response.count(), 1);
        assert!(snapshot.heartbeat.iter().all(Latency::is_empty) && snapshot.errors.is_empty());
    }

    #[test]
    fn lateness_is_counted_beyond_its_threshold_and_for_whatever_was_picked() {
        let mut recorder = recorder();
        for picked in [100 * MS, 100 * MS + 1] {
            recorder.picked(SEND, 0, picked);
            recorder.ended(SEND, Outcome::Lost, 0, S);
        }
        let totals = &recorder.swap().cells[0].1;
        assert_eq!((totals.late, totals.lag.count(), totals.outcome(Outcome::Lost)), (1, 2, 2));
        assert!(totals.response.is_empty(), "percentiles are of ok operations");
    }

    #[test]
    fn what_lies_above_the_range_is_counted() {
        let mut recorder = recorder();
        recorder.ok(SEND, &Times { due: 0, picked: 0, sent: 0, acked: 3_600 * S });
        recorder.ended(SEND, Outcome::Unfinished, 0, 3_600 * S);
        let totals = &recorder.swap().cells[0].1;
        assert_eq!(totals.clipped, 3, "response, service and age");
        assert_eq!(totals.unfinished_age.max(), Some((1 << 26) - 1));
        recorder.duration(SEND, 3_600 * S);
        assert_eq!(recorder.swap().cells[0].1.clipped, 2, "response and service");
    }

    #[test]
    fn an_example_is_asked_once_per_class() {
        let mut recorder = recorder();
        let mut asked = 0;
        for at in 0..5 {
            recorder.error("connack_5", Culprit::Peer, at, || {
                asked += 1;
                "refused".to_owned()
            });
            if at == 2 {
                assert_eq!(recorder.swap().errors[0].example, "refused");
            }
        }
        let again = recorder.swap().errors;
        assert_eq!(asked, 1);
        assert_eq!((again[0].count, again[0].first_ns, again[0].last_ns), (2, 3, 4));
    }
}
