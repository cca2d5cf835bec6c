//! The cells of a recorder: one per operation, fleet and phase, in a dense vector. Used by the recorder only.

use super::latency::Pool;
use super::layout::Layout;
use super::operation::Key;
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
