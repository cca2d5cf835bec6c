//! How a connection ends when its hub stops: it first sends all waiting acknowledgments. Independent of sockets, like the rest of the session.

use super::{HubSession, State};

impl HubSession {
    /// Closes the connection because the hub is stopping. An admitted connection first sends the acknowledgments and answers that it owes,
    /// also those that a throttle delays. It discards all further input, and delivers nothing new.
    pub fn drain(&mut self) {
        match self.state {
            State::Online => {
                self.draining = true;
                self.woken = false;
            }
            State::Closing => {}
            State::Waiting | State::Throttled | State::Claiming | State::Opening => {
                self.state = State::Closing;
                self.will = None;
            }
        }
    }

    /// Returns true if a connection of a stopping hub owes the device nothing more.
    pub(super) fn is_drained(&self) -> bool {
        self.draining && self.outgoing.is_empty() && self.held.len() == 0
    }
}
