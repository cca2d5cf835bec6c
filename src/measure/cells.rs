//! The cells of a recorder: one per operation, fleet and phase, in a dense vector. Used by the recorder only.

use super::latency::{Pool, to_us};
use super::layout::Layout;
use super::operation::{Key, Operation, Outcome, Times};
use super::totals::Totals;

/// The cells of a recorder, and the keys of the cells that changed since the last swap.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) layout: Layout,
    pub(super) cells: Vec<Cell>,
    pub(super) dirty: Vec<Key>,
}

#[derive(Debug, Default)]
pub(super) struct Cell {
    pub(super) dirty: bool,
    pub(super) totals: Totals,
    /// Most messages have the same wait time. `run_length` counts consecutive equal waits, which are recorded
    /// together when a different one occurs.
    run_wait_us: u64,
    run_length: u64,
}

impl Cells {
    pub(super) fn new(layout: Layout) -> Cells {
        let count = layout.cells();
        let mut cells = Vec::new();
        cells.resize_with(count, Cell::default);
        Cells { layout, cells, dirty: Vec::with_capacity(count) }
    }

    /// Moves the totals of the changed cells to `into`.
    pub(super) fn take(&mut self, into: &mut Vec<(Key, Totals)>, pool: &mut Pool) {
        for key in self.dirty.drain(..) {
            let cell = &mut self.cells[self.layout.index(key)];
            cell.dirty = false;
            cell.flush_run(pool);
            let closed_loop = cell.totals.closed_loop;
            into.push((key, std::mem::take(&mut cell.totals)));
            cell.totals.closed_loop = closed_loop;
        }
    }

    #[inline]
    pub(super) fn at(&mut self, key: Key) -> &mut Cell {
        let cell = &mut self.cells[self.layout.index(key)];
        if !cell.dirty {
            cell.dirty = true;
            self.dirty.push(key);
        }
        cell
    }

    #[inline]
    pub(super) fn totals(&mut self, key: Key) -> &mut Totals {
        &mut self.at(key).totals
    }
}

impl Cell {
    /// Adds an operation that ended ok.
    #[inline]
    pub(super) fn add_ok(&mut self, operation: Operation, times: &Times, pool: &mut Pool) {
        self.add_wait(to_us(times.sent.saturating_sub(times.picked)), pool);
        let totals = &mut self.totals;
        totals.outcomes[Outcome::Ok] += 1;
        let mut clipped =
            u64::from(totals.response.record(to_us(times.acked.saturating_sub(times.due)), pool));
        if operation.has_ack() {
            clipped += u64::from(totals.service.record(to_us(times.acked.saturating_sub(times.sent)), pool));
        }
        clipped += u64::from(totals.lag.record(to_us(times.picked.saturating_sub(times.due)), pool));
        totals.clipped += clipped;
    }

    #[inline]
    pub(super) fn add_wait(&mut self, us: u64, pool: &mut Pool) {
        if us != self.run_wait_us {
            self.flush_run(pool);
            self.run_wait_us = us;
        }
        self.run_length += 1;
    }

    pub(super) fn flush_run(&mut self, pool: &mut Pool) {
        let run_length = std::mem::take(&mut self.run_length);
        self.totals.clipped += self.totals.wait.record_n(self.run_wait_us, run_length, pool);
    }
}
