//! The packets that a throttle of the hub delays, in the order of their times. Kept by [`HubSession`](super::HubSession). Independent of what
//! the packets are.

use std::collections::VecDeque;
use std::time::Instant;

/// Packets that wait until a throttle lets them pass, in the order of their times. Without a throttle, empty and without memory.
#[derive(Debug)]
pub(super) struct HeldPackets<P> {
    packets: VecDeque<(Instant, P)>,
    /// When CONNACK may be sent.
    pub(super) connack_at: Option<Instant>,
    /// When the last held PUBACK may be sent. Later ones must not overtake it (MQTT 3.1.1 §4.6).
    pub(super) last_puback_at: Option<Instant>,
}

impl<P> Default for HeldPackets<P> {
    fn default() -> HeldPackets<P> {
        HeldPackets { packets: VecDeque::new(), connack_at: None, last_puback_at: None }
    }
}

impl<P> HeldPackets<P> {
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Returns when the next packet may be sent.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.packets.front().map(|(at, _)| *at)
    }

    pub(super) fn insert(&mut self, at: Instant, packet: P) {
        let index = self.packets.partition_point(|(other, _)| *other <= at);
        self.packets.insert(index, (at, packet));
    }

    /// Removes the next packet if it may be sent at `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<P> {
        self.packets.pop_front_if(|(at, _)| *at <= now).map(|(_, packet)| packet)
    }
}
