//! A device's messages: which is due, when it may be sent, and how it ends if it never is. Called by `device`
//! from inside `Machine::poll_output`.
//!
//! The backlog is a cursor into computed arrivals, not a queue: a stalled hub costs no memory, and nothing is
//! dropped until its `send_by`.

use super::account::Account;
use super::nanos;
use crate::measure::Outcome;
use crate::plan::{Cursor, Due, FleetPlan, Names, PayloadContext, PayloadState, SendPlan, Span};
use crate::sansio::OUTPUT_BYTES_MAX;
use crate::session::{Message, Session, State, Tag};
use crate::wire::QoS;
use bytes::BytesMut;
use std::time::Instant;

/// One `[[fleet.x.send]]` of one device.
struct Stream {
    cursor: Cursor,
    payload: PayloadState,
    topic: Box<str>,
}

/// All messages of one device.
pub(crate) struct Messages {
    streams: Box<[Stream]>,
    /// Since when the hub or the network, and not this generator, keeps due messages waiting.
    blocked_from_ns: Option<u64>,
}

impl Messages {
    pub(crate) fn new(account: Account<'_>, index: u32, device: &str) -> Messages {
        let plan = &account.context.plan;
        let fleet = &plan.fleets[usize::from(account.fleet)];
        let global = fleet.first + u64::from(index);
        let streams = fleet.sends.iter().zip(0_u16..).map(|(send, number)| Stream {
            cursor: Cursor::new(
                &send.arrival,
                plan.schedule.load(),
                plan.seed,
                global,
                number,
                fleet.devices,
                index,
            ),
            payload: send.payload.state(plan.seed, global, number),
            topic: send.topic.render(&Names { device, index }).into_boxed_str(),
        });
        Messages { streams: streams.collect(), blocked_from_ns: None }
    }

    /// The plan has the device online for this span: messages are due in it, and only in it.
    pub(crate) fn enter(&mut self, span: Span) {
        for stream in &mut self.streams {
            stream.cursor.enter(span);
        }
        // Until it is connected, the device is offline against the plan.
        self.blocked_from_ns = Some(span.from_ns);
    }

    /// Messages wait from now on, and not because of this generator.
    pub(crate) fn block(&mut self, now_ns: u64) {
        self.blocked_from_ns.get_or_insert(now_ns);
    }

    /// Sends what is due and may go; returns when to look again.
    pub(crate) fn pump(
        &mut self,
        account: Account<'_>,
        device: (&str, u32),
        session: &mut Session,
        now: Instant,
        out: &mut BytesMut,
    ) -> Option<u64> {
        let context = account.context;
        let fleet = &context.plan.fleets[usize::from(account.fleet)];
        let (now_ns, send_by_ns) = (context.ns(now), nanos(fleet.send_by));
        loop {
            let Some((number, due)) = self.earliest(context.load_end_ns()) else {
                self.blocked_from_ns = None;
                return None;
            };
            if due.at_ns > now_ns {
                self.blocked_from_ns = None;
                return Some(due.at_ns);
            }
            let expires_ns = due.at_ns.saturating_add(send_by_ns);
            if expires_ns <= now_ns {
                self.give_up(account, number, due, Outcome::Expired, now_ns);
                continue;
            }
            let send = &fleet.sends[number];
            let room = if send.qos == 0 { session.state() == State::Online } else { session.has_room() };
            if !room || out.len() >= OUTPUT_BYTES_MAX {
                self.block(now_ns);
                return Some(expires_ns);
            }
            // While it was blocked, the worker had nothing to do for a due message: it was picked at once.
            let picked_ns = self.blocked_from_ns.map_or(now_ns, |from| from.max(due.at_ns));
            let tag = Tag {
                due: context.at(due.at_ns),
                picked: context.at(picked_ns),
                stream: u16::try_from(number).unwrap_or(u16::MAX),
                seq: due.seq,
            };
            self.publish(account, send, device, session, (now, tag), out);
        }
    }

    fn publish(
        &mut self,
        account: Account<'_>,
        send: &SendPlan,
        (device, index): (&str, u32),
        session: &mut Session,
        (now, tag): (Instant, Tag),
        out: &mut BytesMut,
    ) {
        let context = account.context;
        let stream = &mut self.streams[usize::from(tag.stream)];
        let mut payload = context.payload.borrow_mut();
        payload.clear();
        let facts = PayloadContext {
            device,
            index,
            seq: tag.seq,
            now_unix: context.unix(now),
            uptime: now.saturating_duration_since(context.zero),
        };
        send.payload.render(&mut stream.payload, &facts, &mut payload);
        let qos = if send.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let message = Message { topic: &stream.topic, payload: &payload, qos };
        let due_ns = context.ns(tag.due);
        account.message_due(send, due_ns);
        if let Err(error) = session.publish(now, &message, tag, out) {
            // The plan bounds what a message may hold and the caller asked for room: this is our defect.
            account.message_ended(send, Outcome::Lost, due_ns, context.ns(now));
            account.error("encode", crate::measure::Culprit::Us, now, || format!("{device}: {error}"));
        }
        stream.cursor.advance();
    }

    /// Ends everything that was due by `until_ns` and not sent: a device that skips what falls due while it is
    /// offline keeps no backlog across a loss.
    pub(crate) fn skip(&mut self, account: Account<'_>, until_ns: u64, outcome: Outcome) {
        while let Some((number, due)) = self.earliest(account.context.load_end_ns()) {
            if due.at_ns > until_ns {
                return;
            }
            self.give_up(account, number, due, outcome, until_ns);
        }
    }

    /// The end of the device's books: what is due and unsent is unfinished, or expired if it is too old.
    pub(crate) fn close_books(&mut self, account: Account<'_>, fleet: &FleetPlan, now_ns: u64) {
        let until_ns = now_ns.min(account.context.load_end_ns());
        while let Some((number, due)) = self.earliest(account.context.load_end_ns()) {
            if due.at_ns > until_ns {
                return;
            }
            let expired = due.at_ns.saturating_add(nanos(fleet.send_by)) <= now_ns;
            let outcome = if expired { Outcome::Expired } else { Outcome::Unfinished };
            self.give_up(account, number, due, outcome, now_ns);
        }
    }

    /// Whether anything is due and unsent at this time.
    pub(crate) fn has_backlog(&self, load_end_ns: u64, now_ns: u64) -> bool {
        self.earliest(load_end_ns).is_some_and(|(_, due)| due.at_ns <= now_ns)
    }

    fn give_up(&mut self, account: Account<'_>, number: usize, due: Due, outcome: Outcome, now_ns: u64) {
        let send = &account.context.plan.fleets[usize::from(account.fleet)].sends[number];
        account.message_due(send, due.at_ns);
        account.message_ended(send, outcome, due.at_ns, now_ns);
        self.streams[number].cursor.advance();
    }

    fn earliest(&self, load_end_ns: u64) -> Option<(usize, Due)> {
        self.streams
            .iter()
            .enumerate()
            .filter_map(|(number, stream)| Some((number, stream.cursor.peek()?)))
            .filter(|(_, due)| due.at_ns < load_end_ns)
            .min_by_key(|(_, due)| due.at_ns)
    }
}
