//! The queue of cloud-to-device messages of one device, with locks and expiry. Owned by [`Device`](super::device::Device). Pure: time is an
//! argument.
//!
//! The rules follow "Send cloud-to-device messages from an IoT hub" in Azure's documentation. A message is queued, becomes invisible
//! (locked) when it is delivered, and is removed by its PUBACK. There is no delivery count, because one matters only for messages that a
//! device abandons, and an MQTT device cannot abandon a message. Feedback is not emulated yet.
//!
//! A continued session receives an unacknowledged message again, with the same packet id and DUP set, after the lock expires or the
//! connection is lost (MQTT 3.1.1 §4.4, §3.3.1.1). A new session receives it as a new message. An acknowledgment that arrives after the
//! lock has expired still counts (our choice), because MQTT does not say which delivery an acknowledgment is for.

use crate::iothub::limits;
use crate::wire::QoS;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first packet id of cloud-to-device messages, whose ids outlive a connection. Smaller ids belong to the session.
pub(super) const FIRST_PID: u16 = 0x8000;

/// A message to deliver.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Topic with the encoded property bag.
    pub topic: String,
    /// Body.
    pub payload: Vec<u8>,
}

/// One delivery of a message.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Arc<Message>,
    /// Granted QoS of the subscription.
    pub qos: QoS,
    /// Packet id; 0 at QoS 0.
    pub pid: u16,
    /// True if the message was delivered before in this session.
    pub dup: bool,
}

/// A message in the queue.
#[derive(Debug)]
struct Queued {
    message: Arc<Message>,
    /// When the message expires; `None` if that is beyond the range of `Instant`.
    expires: Option<Instant>,
    /// Packet id; `None` before the first delivery in this session.
    pid: Option<u16>,
    /// End of the lock, during which the message is not delivered again.
    locked_until: Option<Instant>,
}

/// The queue of one device.
#[derive(Debug, Default)]
pub struct Queue {
    messages: VecDeque<Queued>,
}

impl Queue {
    /// Returns the number of unexpired messages, whether or not they have been delivered.
    pub fn count(&mut self, now: Instant) -> usize {
        self.expire(now);
        self.messages.len()
    }

    /// Returns true if there are no messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Appends a message. Returns false if the queue is full.
    pub fn send(&mut self, now: Instant, message: Message, ttl: Duration) -> bool {
        self.expire(now);
        if self.messages.len() >= limits::C2D_QUEUE_MAX {
            return false;
        }
        let expires = now.checked_add(ttl);
        self.messages.push_back(Queued {
            message: Arc::new(message),
            expires,
            pid: None,
            locked_until: None,
        });
        true
    }

    /// Returns the next message to deliver with this QoS. At QoS 0 the message is removed (our choice), because no acknowledgment follows.
    /// `last_pid` is the packet id of the device's last message, or 0 before the first one; a new message gets the next packet id.
    pub fn next(&mut self, now: Instant, qos: QoS, last_pid: &mut u16) -> Option<Delivery> {
        self.expire(now);
        let is_locked = |queued: &Queued| queued.locked_until.is_some_and(|until| now < until);
        let at = self.messages.iter().position(|queued| !is_locked(queued))?;
        if qos == QoS::AtMostOnce {
            let message = self.messages.remove(at)?.message;
            return Some(Delivery { message, qos, pid: 0, dup: false });
        }
        if self.messages.iter().filter(|queued| is_locked(queued)).count() >= limits::C2D_WINDOW {
            return None;
        }
        let before = self.messages.get(at)?.pid;
        let pid = before.unwrap_or_else(|| self.fresh_pid(last_pid));
        let queued = self.messages.get_mut(at)?;
        queued.locked_until = Some(now + limits::C2D_LOCK);
        queued.pid = Some(pid);
        let dup = before.is_some();
        Some(Delivery { message: Arc::clone(&queued.message), qos, pid, dup })
    }

    /// Removes the message that a PUBACK acknowledges. An unknown packet id has no effect.
    pub fn acknowledge(&mut self, pid: u16) {
        self.messages.retain(|queued| queued.pid != Some(pid));
    }

    /// Returns the time at which the first lock expires.
    #[must_use]
    pub fn retry_at(&self) -> Option<Instant> {
        self.messages.iter().filter_map(|queued| queued.locked_until).min()
    }

    /// Removes all locks at the end of the connection, so that unacknowledged messages are delivered again.
    pub fn unlock(&mut self) {
        for queued in &mut self.messages {
            queued.locked_until = None;
        }
    }

    /// Forgets all deliveries at the end of the session.
    pub fn forget_deliveries(&mut self) {
        for queued in &mut self.messages {
            queued.pid = None;
        }
    }

    fn expire(&mut self, now: Instant) {
        let has_passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        // A delivered message does not expire while it is locked.
        self.messages.retain(|queued| {
            !has_passed(queued.expires) || queued.locked_until.is_some_and(|until| now < until)
        });
    }

    fn fresh_pid(&self, last_pid: &mut u16) -> u16 {
        loop {
            *last_pid = last_pid.wrapping_add(1).max(FIRST_PID);
            if self.messages.iter().all(|queued| queued.pid != Some(*last_pid)) {
                return *last_pid;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do, because the test sets the time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn message(n: usize) -> Message {
        Message { topic: format!("t/{n}"), payload: vec![] }
    }

    fn filled(now: Instant, n: usize) -> Queue {
        let mut queue = Queue::default();
        for index in 0..n {
            assert!(queue.send(now, message(index), limits::C2D_TTL));
        }
        queue
    }

    /// Delivers all messages that can be delivered now. Returns the topic, packet id and DUP flag of each.
    fn delivered(queue: &mut Queue, last_pid: &mut u16, now: Instant) -> Vec<(String, u16, bool)> {
        std::iter::from_fn(|| queue.next(now, QoS::AtLeastOnce, last_pid))
            .map(|it| (it.message.topic.clone(), it.pid, it.dup))
            .collect()
    }

    #[test]
    fn up_to_fifty_messages_are_queued_and_ten_are_locked() {
        let now = start();
        let (mut queue, mut last_pid) = (filled(now, 50), 0);
        assert!(!queue.send(now, message(50), SECOND));
        let first = delivered(&mut queue, &mut last_pid, now);
        assert_eq!(first.len(), 10);
        assert_eq!((first[0].clone(), first[9].0.as_str()), (("t/0".to_owned(), 0x8000, false), "t/9"));
        queue.acknowledge(first[3].1);
        queue.acknowledge(first[3].1);
        queue.acknowledge(7);
        assert_eq!(queue.messages.len(), 49);
        assert_eq!(delivered(&mut queue, &mut last_pid, now), [("t/10".to_owned(), 0x800a, false)]);
        assert!(queue.send(now, message(50), SECOND));
    }

    #[test]
    fn an_unacknowledged_message_is_redelivered_with_dup() {
        let now = start();
        let (mut queue, mut last_pid) = (filled(now, 2), 0);
        let first = delivered(&mut queue, &mut last_pid, now);
        assert_eq!(queue.retry_at(), Some(now + limits::C2D_LOCK));
        assert_eq!(delivered(&mut queue, &mut last_pid, now + limits::C2D_LOCK - SECOND), []);
        let again = delivered(&mut queue, &mut last_pid, now + limits::C2D_LOCK);
        assert_eq!(again, first.iter().map(|(t, pid, _)| (t.clone(), *pid, true)).collect::<Vec<_>>());
        // The session continues on another connection.
        queue.unlock();
        assert_eq!(queue.retry_at(), None);
        assert_eq!(delivered(&mut queue, &mut last_pid, now + limits::C2D_LOCK), again);
        // A new session.
        queue.unlock();
        queue.forget_deliveries();
        let anew = delivered(&mut queue, &mut last_pid, now + limits::C2D_LOCK);
        assert_eq!(anew, [("t/0".to_owned(), 0x8002, false), ("t/1".to_owned(), 0x8003, false)]);
        queue.acknowledge(0x8000);
        assert_eq!(queue.messages.len(), 2, "the packet id is from the previous session");
    }

    #[test]
    fn a_message_does_not_expire_while_it_is_locked() {
        let now = start();
        let mut queue = Queue::default();
        assert!(queue.send(now, message(0), 10 * SECOND) && queue.send(now, message(1), 10 * SECOND));
        assert_eq!(queue.next(now + 9 * SECOND, QoS::AtLeastOnce, &mut 0).unwrap().message.topic, "t/0");
        assert!(queue.next(now + 10 * SECOND, QoS::AtLeastOnce, &mut 0).is_none());
        assert_eq!(queue.messages.len(), 1);
        assert!(queue.next(now + 9 * SECOND + limits::C2D_LOCK, QoS::AtLeastOnce, &mut 0).is_none());
        assert!(queue.is_empty());
        assert!(queue.send(now, message(2), Duration::MAX));
    }

    #[test]
    fn at_qos_0_a_message_is_removed_when_it_is_sent() {
        let now = start();
        let mut queue = filled(now, 20);
        for n in 0..20 {
            let delivery = queue.next(now, QoS::AtMostOnce, &mut 0).unwrap();
            assert_eq!((delivery.message.topic.as_str(), delivery.pid), (format!("t/{n}").as_str(), 0));
        }
        assert!(queue.is_empty());
    }

    #[test]
    fn packet_ids_in_use_are_skipped() {
        let now = start();
        let (mut queue, mut last_pid) = (filled(now, 1), 0);
        assert_eq!(delivered(&mut queue, &mut last_pid, now)[0].1, FIRST_PID);
        last_pid = u16::MAX;
        assert!(queue.send(now, message(1), SECOND));
        assert_eq!(delivered(&mut queue, &mut last_pid, now)[0].1, FIRST_PID + 1);
    }
}
