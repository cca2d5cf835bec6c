//! SUBSCRIBE, UNSUBSCRIBE and their acknowledgments. They use the last 256 packet ids, which messages never use. Used by
//! `Session`.

use super::types::{Event, SessionError, SubscribeError};
use crate::wire::{QoS, encode};
use bytes::BytesMut;
use std::time::Instant;

/// First packet id of SUBSCRIBE and UNSUBSCRIBE.
pub(super) const FIRST_PID: u16 = 0xff00;

/// Requests that wait for SUBACK or UNSUBACK.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    pid: u16,
    /// Number of filters in a SUBSCRIBE, and therefore of return codes in its SUBACK. `None` for an UNSUBSCRIBE.
    filters: Option<usize>,
    sent: Instant,
}

impl Subscriptions {
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        filters: &[(&str, QoS)],
        out: &mut BytesMut,
    ) -> Result<u16, SubscribeError> {
        let pid = self.free_pid()?;
        encode::subscribe(out, pid, filters)?;
        self.pending.push(Pending { pid, filters: Some(filters.len()), sent: now });
        Ok(pid)
    }

    pub(super) fn unsubscribe(
        &mut self,
        now: Instant,
        filters: &[&str],
        out: &mut BytesMut,
    ) -> Result<u16, SubscribeError> {
        let pid = self.free_pid()?;
        encode::unsubscribe(out, pid, filters)?;
        self.pending.push(Pending { pid, filters: None, sent: now });
        Ok(pid)
    }

    fn free_pid(&self) -> Result<u16, SubscribeError> {
        (FIRST_PID..=u16::MAX)
            .find(|pid| self.pending.iter().all(|pending| pending.pid != *pid))
            .ok_or(SubscribeError::TooMany)
    }

    /// Handles SUBACK (MQTT 3.1.1 §3.9), which has a return code for each filter.
    pub(super) fn suback<T>(&mut self, pid: u16, granted: Vec<u8>) -> Result<Event<T>, SessionError> {
        let unknown = SessionError::Protocol("SUBACK for a packet id that is not in use");
        let (filters, sent) =
            self.take(pid).and_then(|pending| Some((pending.filters?, pending.sent))).ok_or(unknown)?;
        if granted.len() != filters {
            return Err(SessionError::Protocol(
                "number of return codes in SUBACK differs from the number of filters",
            ));
        }
        Ok(Event::Subscribed { pid, sent, granted })
    }

    /// Handles UNSUBACK (MQTT 3.1.1 §3.11).
    pub(super) fn unsuback<T>(&mut self, pid: u16) -> Result<Event<T>, SessionError> {
        let pending = self.take(pid).filter(|pending| pending.filters.is_none());
        let unknown = SessionError::Protocol("UNSUBACK for a packet id that is not in use");
        pending.map(|pending| Event::Unsubscribed { pid, sent: pending.sent }).ok_or(unknown)
    }

    fn take(&mut self, pid: u16) -> Option<Pending> {
        let index = self.pending.iter().position(|pending| pending.pid == pid)?;
        let pending = self.pending.swap_remove(index);
        if self.pending.is_empty() {
            self.clear(); // Frees the memory of an idle device.
        }
        Some(pending)
    }

    pub(super) fn clear(&mut self) {
        self.pending = Vec::new();
    }
}
