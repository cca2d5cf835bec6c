//! Every deadline of a session in one table. Used by the concerns of this room; it knows no rule of any of them.
//!
//! A timer may be armed **early**, never late: the keep-alive and ack deadlines move with every message, so they
//! are left where they are and looked at again when they fire. The link then re-arms its clock once per period
//! instead of once per message.

use std::time::Instant;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// CONNACK or PINGRESP is overdue. They are never awaited at the same time.
    Answer,
    /// A PINGREQ may be due.
    KeepAlive,
    /// The oldest PUBLISH may have waited too long for its ack.
    Ack,
}

const COUNT: usize = 3;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; COUNT]);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    /// Arms a timer whose deadlines only ever move later: an armed one stays.
    pub(super) fn set_if_clear(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize].get_or_insert(at);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(super) fn clear_all(&mut self) {
        self.0 = [None; COUNT];
    }

    /// True once its deadline has come; it is clear then.
    pub(super) fn expired(&mut self, timer: Timer, now: Instant) -> bool {
        self.0[timer as usize].take_if(|at| *at <= now).is_some()
    }

    /// The first deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }
}
