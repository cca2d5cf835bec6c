//! All deadlines of a session in one table. Used by the other files of this room; independent of their rules.
//!
//! A timer may fire **early**, never late. The keep-alive and ack deadlines move with every message, so their timers stay armed
//! and are checked again when they fire. This lets the link arm its alarm once per period instead of once per message.

use std::time::Instant;

/// The purpose of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// CONNACK or PINGRESP is overdue. Never both at the same time.
    Answer,
    /// PINGREQ may be due.
    KeepAlive,
    /// The ack timeout of the oldest PUBLISH may have expired.
    Ack,
}

const COUNT: usize = 3;

/// The armed timers.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; COUNT]);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    /// Arms a timer whose deadlines only move later. An armed timer keeps its deadline.
    pub(super) fn set_if_clear(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize].get_or_insert(at);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(super) fn clear_all(&mut self) {
        self.0 = [None; COUNT];
    }

    /// Returns whether the deadline has passed. If so, clears the timer.
    pub(super) fn expired(&mut self, timer: Timer, now: Instant) -> bool {
        self.0[timer as usize].take_if(|at| *at <= now).is_some()
    }

    /// Returns the earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }
}
