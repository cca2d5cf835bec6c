//! SUBSCRIBE and its SUBACK. Their packet ids are the last 256: those of messages never come near.

use super::types::{Event, SessionError, SubscribeError};
use crate::wire::{QoS, encode};
use bytes::BytesMut;
use std::time::Instant;

/// The ids from here on belong to subscriptions.
pub(super) const FIRST_PID: u16 = 0xff00;

/// Subscriptions that wait for their SUBACK.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    pid: u16,
    filters: usize,
    sent: Instant,
}

impl Subscriptions {
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        filters: &[(&str, QoS)],
        out: &mut BytesMut,
    ) -> Result<u16, SubscribeError> {
        if filters.iter().any(|(_, qos)| *qos == QoS::ExactlyOnce) {
            return Err(SubscribeError::QoS2);
        }
        let pid = (FIRST_PID..=u16::MAX)
            .find(|pid| self.pending.iter().all(|pending| pending.pid != *pid))
            .ok_or(SubscribeError::TooMany)?;
        encode::subscribe(out, pid, filters)?;
        self.pending.push(Pending { pid, filters: filters.len(), sent: now });
        Ok(pid)
    }

    /// SUBACK came (MQTT 3.1.1 §3.9): a return code for each filter.
    pub(super) fn suback(&mut self, pid: u16, granted: &[u8]) -> Result<Event, SessionError> {
        let pending = self.pending.iter().position(|pending| pending.pid == pid);
        let index = pending.ok_or(SessionError::Protocol("SUBACK for a packet id that is not in use"))?;
        let pending = self.pending.swap_remove(index);
        if self.pending.is_empty() {
            self.clear(); // An idle device owns no memory for it.
        }
        if granted.len() != pending.filters {
            return Err(SessionError::Protocol("SUBACK with another number of return codes than filters"));
        }
        let granted_all = granted.iter().all(|code| *code != 0x80);
        Ok(Event::Subscribed { pid, sent: pending.sent, granted_all })
    }

    pub(super) fn clear(&mut self) {
        self.pending = Vec::new();
    }
}
