//! The cloud-to-device messages that wait for a device: their queue, its locks and its expiry. Pure; owned by [`super::device`].
//!
//! Rules are those of "Send cloud-to-device messages from an IoT hub". A message is enqueued, invisible while it is delivered and
//! not acknowledged, and gone with its PUBACK. There is no delivery count: that page has it raised by a device that abandons a
//! message, and MQTT can neither reject nor abandon one, so here it would be 0 for ever. Feedback is not given yet.
//!
//! What is delivered again on a session that goes on keeps its packet id and has DUP set, whether its lock ran out or the
//! connection did (MQTT 3.1.1 §4.4, §3.3.1.1); a new session knows nothing of it, and gets it as new. An acknowledgement that comes
//! after the lock ran out still counts, because MQTT cannot tell which delivery it is for: that is our choice.

use crate::iothub::limits;
use crate::wire::QoS;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Packet ids from here on are those of cloud-to-device messages, which outlive a connection; smaller ones are the session's.
pub(super) const FIRST_PID: u16 = 0x8000;

/// A message as it is delivered.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// With the encoded property bag.
    pub topic: String,
    /// The body.
    pub payload: Vec<u8>,
}

/// One delivery of a message.
#[derive(Debug)]
pub struct Delivery {
    /// What is delivered.
    pub message: Arc<Message>,
    /// As the device subscribed.
    pub qos: QoS,
    /// 0 at QoS 0.
    pub pid: u16,
    /// It was delivered before in this session.
    pub dup: bool,
}

#[derive(Debug)]
struct Waiting {
    message: Arc<Message>,
    /// `None`: beyond what the clock can say.
    expires: Option<Instant>,
    /// `None` before its first delivery in this session.
    pid: Option<u16>,
    /// Invisible until then.
    locked_until: Option<Instant>,
}

/// The queue of one device.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Waiting>,
}

impl Queue {
    /// Messages that wait, delivered or not, without those that have expired.
    pub fn count(&mut self, now: Instant) -> usize {
        self.expire(now);
        self.waiting.len()
    }

    /// True when none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts a message at the end; false when there is no room.
    pub fn send(&mut self, now: Instant, message: Message, ttl: Duration) -> bool {
        self.expire(now);
        if self.waiting.len() >= limits::C2D_QUEUE_MAX {
            return false;
        }
        let expires = now.checked_add(ttl);
        self.waiting.push_back(Waiting {
            message: Arc::new(message),
            expires,
            pid: None,
            locked_until: None,
        });
        true
    }

    /// The next message to deliver to a subscription of that QoS. At QoS 0 it is gone with that, because nothing will acknowledge
    /// it: our choice. `last_pid` is the packet id of the device's last first delivery, 0 before any: the next one is counted on
    /// from it.
    pub fn next(&mut self, now: Instant, qos: QoS, last_pid: &mut u16) -> Option<Delivery> {
        self.expire(now);
        let is_locked = |waiting: &Waiting| waiting.locked_until.is_some_and(|until| now < until);
        let at = self.waiting.iter().position(|waiting| !is_locked(waiting))?;
        if qos == QoS::AtMostOnce {
            let message = self.waiting.remove(at)?.message;
            return Some(Delivery { message, qos, pid: 0, dup: false });
        }
        if self.waiting.iter().filter(|waiting| is_locked(waiting)).count() >= limits::C2D_WINDOW {
            return None;
        }
        let before = self.waiting.get(at)?.pid;
        let pid = before.unwrap_or_else(|| self.fresh_pid(last_pid));
        let waiting = self.waiting.get_mut(at)?;
        waiting.locked_until = Some(now + limits::C2D_LOCK);
        waiting.pid = Some(pid);
        let dup = before.is_some();
        Some(Delivery { message: Arc::clone(&waiting.message), qos, pid, dup })
    }

    /// A PUBACK: the message is complete. One that nothing waits for means nothing.
    pub fn acknowledge(&mut self, pid: u16) {
        self.waiting.retain(|waiting| waiting.pid != Some(pid));
    }

    /// When the first lock runs out.
    #[must_use]
    pub fn retry_at(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|waiting| waiting.locked_until).min()
    }

    /// The connection is over: what was not acknowledged is to be delivered again.
    pub fn unlock(&mut self) {
        for waiting in &mut self.waiting {
            waiting.locked_until = None;
        }
    }

    /// The session is over, and with it the memory of what was delivered.
    pub fn forget_deliveries(&mut self) {
        for waiting in &mut self.waiting {
            waiting.pid = None;
        }
    }

    fn expire(&mut self, now: Instant) {
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        // One that is delivered is its device's until its lock runs out.
        self.waiting.retain(|waiting| {
            !is_over(waiting.expires) || waiting.locked_until.is_some_and(|until| now < until)
        });
    }

    fn fresh_pid(&self, last_pid: &mut u16) -> u16 {
        loop {
            *last_pid = last_pid.wrapping_add(1).max(FIRST_PID);
            if self.waiting.iter().all(|waiting| waiting.pid != Some(*last_pid)) {
                return *last_pid;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do: time is what the test says")]
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

    /// Topic, packet id and DUP of what is delivered now.
    fn delivered(queue: &mut Queue, last_pid: &mut u16, now: Instant) -> Vec<(String, u16, bool)> {
        std::iter::from_fn(|| queue.next(now, QoS::AtLeastOnce, last_pid))
            .map(|it| (it.message.topic.clone(), it.pid, it.dup))
            .collect()
    }

    #[test]
    fn fifty_wait_and_ten_are_delivered_at_once_in_order() {
        let now = start();
        let (mut queue, mut last_pid) = (filled(now, 50), 0);
        assert!(!queue.send(now, message(50), SECOND));
        let first = delivered(&mut queue, &mut last_pid, now);
        assert_eq!(first.len(), 10);
        assert_eq!((first[0].clone(), first[9].0.as_str()), (("t/0".to_owned(), 0x8000, false), "t/9"));
        queue.acknowledge(first[3].1);
        queue.acknowledge(first[3].1);
        queue.acknowledge(7);
        assert_eq!(queue.waiting.len(), 49);
        assert_eq!(delivered(&mut queue, &mut last_pid, now), [("t/10".to_owned(), 0x800a, false)]);
        assert!(queue.send(now, message(50), SECOND));
    }

    #[test]
    fn what_is_not_acknowledged_comes_again_with_its_id_and_dup() {
        let now = start();
        let (mut queue, mut last_pid) = (filled(now, 2), 0);
        let first = delivered(&mut queue, &mut last_pid, now);
        assert_eq!(queue.retry_at(), Some(now + limits::C2D_LOCK));
        assert_eq!(delivered(&mut queue, &mut last_pid, now + limits::C2D_LOCK - SECOND), []);
        let again = delivered(&mut queue, &mut last_pid, now + limits::C2D_LOCK);
        assert_eq!(again, first.iter().map(|(t, pid, _)| (t.clone(), *pid, true)).collect::<Vec<_>>());
        // The session goes on over another connection.
        queue.unlock();
        assert_eq!(queue.retry_at(), None);
        assert_eq!(delivered(&mut queue, &mut last_pid, now + limits::C2D_LOCK), again);
        // Another session.
        queue.unlock();
        queue.forget_deliveries();
        let anew = delivered(&mut queue, &mut last_pid, now + limits::C2D_LOCK);
        assert_eq!(anew, [("t/0".to_owned(), 0x8002, false), ("t/1".to_owned(), 0x8003, false)]);
        queue.acknowledge(0x8000);
        assert_eq!(queue.waiting.len(), 2, "an id of the session before");
    }

    #[test]
    fn a_message_expires_unless_it_is_being_delivered() {
        let now = start();
        let mut queue = Queue::default();
        assert!(queue.send(now, message(0), 10 * SECOND) && queue.send(now, message(1), 10 * SECOND));
        assert_eq!(queue.next(now + 9 * SECOND, QoS::AtLeastOnce, &mut 0).unwrap().message.topic, "t/0");
        assert!(queue.next(now + 10 * SECOND, QoS::AtLeastOnce, &mut 0).is_none());
        assert_eq!(queue.waiting.len(), 1);
        assert!(queue.next(now + 9 * SECOND + limits::C2D_LOCK, QoS::AtLeastOnce, &mut 0).is_none());
        assert!(queue.is_empty());
        assert!(queue.send(now, message(2), Duration::MAX));
    }

    #[test]
    fn at_qos_0_it_is_gone_when_it_is_sent() {
        let now = start();
        let mut queue = filled(now, 20);
        for n in 0..20 {
            let delivery = queue.next(now, QoS::AtMostOnce, &mut 0).unwrap();
            assert_eq!((delivery.message.topic.as_str(), delivery.pid), (format!("t/{n}").as_str(), 0));
        }
        assert!(queue.is_empty());
    }

    #[test]
    fn packet_ids_that_are_in_use_are_passed_over() {
        let now = start();
        let (mut queue, mut last_pid) = (filled(now, 1), 0);
        assert_eq!(delivered(&mut queue, &mut last_pid, now)[0].1, FIRST_PID);
        last_pid = u16::MAX;
        assert!(queue.send(now, message(1), SECOND));
        assert_eq!(delivered(&mut queue, &mut last_pid, now)[0].1, FIRST_PID + 1);
    }
}
