//! The messages of a device: which one is due, when it may be sent, and its outcome if it is not sent. Called by `device` from
//! inside `Machine::poll_output`.
//!
//! The backlog is a cursor into computed arrivals, not a queue: a stalled hub costs no memory, and no message is dropped before
//! its `send_by`. Twin requests are messages that end with an answer. After they are sent, `twin_requests` tracks them.

use super::device_recorder::{DeviceRecorder, Excuse};
use super::open::{Open, Outgoing};
use super::twin_requests::TwinRequests;
use super::{DeviceRef, nanos};
use crate::iothub::topics;
use crate::measure::{Culprit, Operation, Outcome};
use crate::plan::{
    Cursor, Due, PayloadContext, PayloadState, Plan, Recording, Row, RunLoad, SendPlan, Span, Spread, Stamp,
    TemplateContext,
};
use crate::rng::Purpose;
use crate::sansio::OUTPUT_BYTES_MAX;
use crate::session::{Message, NotPublished, PublishError, Session};
use crate::wire::QoS;
use bytes::BytesMut;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Maximum number of expired messages that are ended in one turn, so that the other devices of the worker are not delayed.
const UNSENT_PER_TURN_MAX: usize = 4096;

/// Minimum time between two wake-ups of an offline device for its messages. They are reported each second anyway.
const OFFLINE_INTERVAL_NS: u64 = 1_000_000_000;

/// One `[[fleet.x.send]]` of one device.
struct Stream {
    cursor: Cursor,
    payload: PayloadState,
    /// Created with the first message.
    topic: Option<Box<str>>,
}

/// The messages of one device.
pub(crate) struct Messages {
    streams: Box<[Stream]>,
    /// Device id, created with the first message.
    id: Option<Box<str>>,
    /// The time since which the hub or the network, rather than the load generator, has been delaying due messages: first for
    /// messages without a packet id (QoS 0), then for messages with one.
    blocked_from_ns: [Option<u64>; 2],
    /// Offline periods of a device with `offline = "skip"` that at least one cursor has not passed yet.
    skipped: Vec<Span>,
    /// Created when the device has subscribed to twin answers.
    requests: Option<Box<TwinRequests>>,
}

impl Messages {
    pub(crate) fn new(plan: &Plan, load: &RunLoad, device: DeviceRef) -> Messages {
        let (fleet, global) = (device.fleet(plan), device.global(plan));
        let streams = fleet.sends.iter().zip(0_u16..).map(|(send, number)| Stream {
            cursor: match send.payload.recording().filter(|_| send.arrival.spread == Spread::Replay) {
                Some(recording) => Cursor::replay(recording, load, device.index),
                None => {
                    let purpose = Purpose::Arrivals(number);
                    Cursor::new(&send.arrival, load, plan.seed, global, purpose, device.index)
                }
            },
            payload: send.payload.state(plan.seed, global, Purpose::Payload(number)),
            topic: None,
        });
        Messages {
            streams: streams.collect(),
            id: None,
            blocked_from_ns: [None; 2],
            skipped: Vec::new(),
            requests: None,
        }
    }

    /// Starts a span during which the device should be online. Messages are due only within spans.
    pub(crate) fn start_span(&mut self, span: Span) {
        for stream in &mut self.streams {
            stream.cursor.enter(span);
        }
        // The device should be online but is not connected yet.
        self.blocked_from_ns = [Some(span.from_ns); 2];
    }

    /// Ends the span early: messages are not due at this time or later.
    pub(crate) fn end_span(&mut self, to_ns: u64) {
        self.streams.iter_mut().for_each(|stream| stream.cursor.leave_at(to_ns));
    }

    /// Notes that due messages wait from now on for a reason outside the load generator.
    pub(crate) fn block(&mut self, now_ns: u64) {
        for from_ns in &mut self.blocked_from_ns {
            from_ns.get_or_insert(now_ns);
        }
    }

    /// Skips the messages that are due from `from_ns` to `to_ns`.
    pub(crate) fn skip_due(&mut self, from_ns: u64, to_ns: u64) {
        let next_ns =
            self.streams.iter().filter_map(|stream| stream.cursor.peek()).map(|due| due.at_ns).min();
        self.skipped.retain(|span| next_ns.is_some_and(|next_ns| next_ns <= span.to_ns));
        self.skipped.push(Span { from_ns, to_ns });
    }

    /// Sends the due messages that can be sent. Returns when to call it again.
    pub(crate) fn send_due(
        &mut self,
        recorder: DeviceRecorder<'_>,
        session: &mut Session<Outgoing>,
        now: Instant,
        out: &mut BytesMut,
    ) -> Option<u64> {
        let context = recorder.context;
        let fleet = recorder.device.fleet(&context.plan);
        let (now_ns, send_by_ns) = (context.ns(now), nanos(fleet.send_by));
        let get_until_ns = self.send_get(recorder, session, now, out);
        let listening = self.requests.as_ref().is_some_and(|requests| requests.listening);
        // The time when the first message that waits for a packet id expires, set once the window is full; and the time when the
        // first request expires, set once it is clear that the device has not subscribed to the answers.
        let (mut full_until_ns, mut not_listening_until_ns) = (None, None);
        let mut given_up = 0;
        let next_ns = loop {
            // QoS 0 messages do not wait for packet ids, and messages without an answer do not wait for the subscription.
            let can_send = |number: usize| {
                let send = &fleet.sends[number];
                (full_until_ns.is_none() || send.qos == 0)
                    && (not_listening_until_ns.is_none() || !send.operation.is_request())
            };
            let Some((number, due)) = self.next_due(context.released_ns(), can_send) else { break None };
            if due.at_ns > now_ns {
                break Some(due.at_ns);
            }
            let send = &fleet.sends[number];
            if let Some(outcome) = self.unsent_outcome(due, send_by_ns, now_ns) {
                if given_up == UNSENT_PER_TURN_MAX {
                    // The remaining messages keep their blocked state.
                    return Some(get_until_ns.map_or(now_ns, |until| until.min(now_ns)));
                }
                given_up += 1;
                // A message may have expired because of the load generator's lag, so record when it was picked.
                let picked_ns = (outcome == Outcome::Expired).then(|| self.picked_ns(send, due, now_ns));
                self.end_unsent(recorder, number, due, (outcome, picked_ns), now);
                // Without the 1 ns, a closed loop with no think time would loop forever at one instant.
                self.streams[number].cursor.ended(now_ns + 1);
                continue;
            }
            let expires_ns = due.at_ns.saturating_add(send_by_ns);
            if out.len() >= OUTPUT_BYTES_MAX {
                self.block(now_ns);
                let until_ns = [Some(expires_ns), full_until_ns, not_listening_until_ns, get_until_ns];
                return until_ns.into_iter().flatten().min();
            }
            if send.operation.is_request() && !listening {
                not_listening_until_ns = Some(expires_ns);
                continue;
            }
            if send.qos > 0 && !session.has_room() {
                self.blocked_from_ns[1].get_or_insert(now_ns);
                full_until_ns = Some(expires_ns);
                continue;
            }
            let picked_ns = self.picked_ns(send, due, now_ns);
            self.publish(recorder, (number, due, picked_ns), session, now, out);
        };
        self.blocked_from_ns[0] = None;
        if full_until_ns.is_none() {
            self.blocked_from_ns[1] = None;
        }
        if let Some(requests) = self.requests.as_mut().filter(|requests| requests.listening) {
            requests.not_listening_from_ns = None;
        }
        [next_ns, full_until_ns, not_listening_until_ns, get_until_ns].into_iter().flatten().min()
    }

    /// Sends this connection's pending request for the whole twin, if any. Returns when to call it again.
    fn send_get(
        &mut self,
        recorder: DeviceRecorder<'_>,
        session: &mut Session<Outgoing>,
        now: Instant,
        out: &mut BytesMut,
    ) -> Option<u64> {
        let context = recorder.context;
        let fleet = recorder.device.fleet(&context.plan);
        let requests = self.requests.as_mut()?;
        let expires_ns = requests.get_due_ns()?.saturating_add(nanos(fleet.send_by));
        if expires_ns <= context.ns(now) {
            if let Some(open) = requests.give_up_get() {
                recorder.ended(open, Outcome::Expired, now);
            }
            return None;
        }
        if out.len() >= OUTPUT_BYTES_MAX || (fleet.twin.qos > 0 && !session.has_room()) {
            return Some(expires_ns);
        }
        let open = requests.take_get()?;
        let picked_ns = open.due_ns();
        let due = (open.picked(picked_ns), None);
        if let Err((error, open)) =
            send_request(recorder, requests, due, (&[], fleet.twin.qos), session, now, out)
        {
            let id = || fleet.device_id(recorder.device.index);
            recorder.error("encode", Culprit::Generator, now, || format!("{}: {error}", id()));
            recorder.ended(open, Outcome::Lost, now);
        }
        None
    }

    /// Ends the messages of an offline device whose outcome is certain although the device may still connect: they have expired, or they
    /// were due after `skip_from_ns` and the fleet skips such messages. Otherwise, a device that never connects would report them only at
    /// its end. Returns when to call it again.
    pub(crate) fn end_while_offline(
        &mut self,
        recorder: DeviceRecorder<'_>,
        skip_from_ns: Option<u64>,
        now: Instant,
    ) -> Option<u64> {
        let context = recorder.context;
        let (now_ns, send_by_ns) = (context.ns(now), nanos(recorder.device.fleet(&context.plan).send_by));
        for _ in 0..UNSENT_PER_TURN_MAX {
            let (number, due) = self.next_due(context.released_ns(), |_| true)?;
            let skipped = skip_from_ns.is_some_and(|from_ns| from_ns <= due.at_ns);
            let certain_ns = if skipped { due.at_ns } else { due.at_ns.saturating_add(send_by_ns) };
            let outcome = match self.unsent_outcome(due, send_by_ns, now_ns) {
                None if certain_ns > now_ns => return Some(certain_ns.max(now_ns + OFFLINE_INTERVAL_NS)),
                _ if skipped => Outcome::Offline,
                outcome => outcome.unwrap_or(Outcome::Expired),
            };
            let send = &recorder.device.fleet(&context.plan).sends[number];
            let picked_ns = (outcome == Outcome::Expired).then(|| self.picked_ns(send, due, now_ns));
            self.end_unsent(recorder, number, due, (outcome, picked_ns), now);
            // Without the 1 ns, a closed loop with no think time would loop forever at one instant.
            self.streams[number].cursor.ended(now_ns + 1);
        }
        Some(now_ns)
    }

    /// Returns when the worker picked a due message. A blocked message counts as picked as soon as it is both due and blocked,
    /// because the worker can do nothing for it.
    fn picked_ns(&self, send: &SendPlan, due: Due, now_ns: u64) -> u64 {
        let requests = self.requests.as_ref().filter(|_| send.operation.is_request());
        let blocked_from_ns = [
            self.blocked_from_ns[usize::from(send.qos > 0)],
            requests.and_then(|requests| requests.not_listening_from_ns),
        ];
        blocked_from_ns.into_iter().flatten().min().map_or(now_ns, |from| from.max(due.at_ns))
    }

    /// Returns the outcome of a due message that must no longer be sent, or `None` if it may be sent.
    fn unsent_outcome(&self, due: Due, send_by_ns: u64, now_ns: u64) -> Option<Outcome> {
        let skipped = |span: &Span| (span.from_ns..=span.to_ns).contains(&due.at_ns);
        if self.skipped.iter().any(skipped) {
            return Some(Outcome::Offline);
        }
        (due.at_ns.saturating_add(send_by_ns) <= now_ns).then_some(Outcome::Expired)
    }

    fn publish(
        &mut self,
        recorder: DeviceRecorder<'_>,
        (number, due, picked_ns): (usize, Due, u64),
        session: &mut Session<Outgoing>,
        now: Instant,
        out: &mut BytesMut,
    ) {
        let DeviceRecorder { context, device: DeviceRef { index, .. }, .. } = recorder;
        let fleet = recorder.device.fleet(&context.plan);
        let (send, seq) = (&fleet.sends[number], due.seq);
        let device = &**self.id.get_or_insert_with(|| fleet.device_id(index).into_boxed_str());
        let stream = &mut self.streams[number];
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        let mut payload = context.payload.borrow_mut();
        payload.clear();
        let facts = PayloadContext {
            device,
            index,
            seq,
            now_unix: if send.payload.has_now() { context.unix(now) } else { Duration::ZERO },
            uptime: context.clock.since(now),
        };
        let stamp = Stamp {
            run: context.plan.deliveries.run(),
            device: u32::try_from(fleet.first + u64::from(index)).unwrap_or(u32::MAX),
            stream: number,
            seq,
            due_us: due.at_ns / 1_000,
        };
        send.payload.render_stamped(&mut stream.payload, &facts, Some(&stamp), &mut payload);
        let open = recorder.message_due(send, due.at_ns).picked(picked_ns);
        let row = stream.cursor.row();
        stream.cursor.advance();
        let published = match &mut self.requests {
            Some(requests) if send.operation.is_request() => match send.payload.json_problem(&payload) {
                Some(what) => Err(("payload", format!("the payload for this device is {what}"), open)),
                None => {
                    let message = (&payload[..], send.qos);
                    send_request(recorder, requests, (open, Some(number)), message, session, now, out)
                        .map_err(encode_error)
                }
            },
            _ => {
                let topic = stream.topic.get_or_insert_with(|| {
                    send.topic.render(&TemplateContext { device, index }).into_boxed_str()
                });
                let mut recorded;
                let (topic, payload) = match send.payload.recording() {
                    None => (&**topic, &payload[..]),
                    Some(recording) => {
                        recorded = context.topic.borrow_mut();
                        let row = row.unwrap_or_else(|| recording.sample(index));
                        recorded_message((recording, row), topic, &mut recorded, &mut payload)
                    }
                };
                let qos = QoS::from_u8(send.qos).unwrap_or(QoS::AtLeastOnce);
                let message = Message { topic, payload, qos, retain: send.retain };
                let outgoing = Outgoing::Message { open, send: number, seq };
                session
                    .publish(now, &message, outgoing, out)
                    .map_err(|error| encode_error(not_published(error)))
            }
        };
        if let Err((class, error, open)) = published {
            recorder.error(class, Culprit::Generator, now, || format!("{device}: {error}"));
            DeviceRecorder { excuse: Excuse::Machine, ..recorder }.ended(open, Outcome::Lost, now);
            stream.cursor.ended(context.ns(now) + 1);
        }
    }

    /// Notes that the device has subscribed to the answers to its requests. `get` is the due request for the whole twin, if any.
    pub(crate) fn start_listening(&mut self, get: Option<Open>) {
        let requests = self.requests.get_or_insert_with(|| Box::new(TwinRequests::new()));
        requests.listening = true;
        if let Some(get) = get {
            requests.set_get(get);
        }
    }

    /// Returns the open requests. `None` until the device has subscribed to the answers.
    pub(crate) fn requests(&self) -> Option<&TwinRequests> {
        self.requests.as_deref()
    }

    /// Returns the open requests, mutably.
    pub(crate) fn requests_mut(&mut self) -> Option<&mut TwinRequests> {
        self.requests.as_deref_mut()
    }

    /// Notes that a sent message has ended. Returns the due time of the next message if that message had to wait for the end of
    /// this one.
    pub(crate) fn ended(&mut self, stream: u16, at_ns: u64) -> Option<u64> {
        self.streams.get_mut(usize::from(stream))?.cursor.ended(at_ns)
    }

    /// Ends the span: unsent messages due by `until_ns` are unfinished, unless they were skipped or have expired.
    pub(crate) fn settle(&mut self, recorder: DeviceRecorder<'_>, until_ns: u64, now: Instant) {
        let context = recorder.context;
        let send_by_ns = nanos(recorder.device.fleet(&context.plan).send_by);
        let now_ns = context.ns(now);
        while let Some((number, due)) = self.next_due(context.load_end_ns(), |_| true) {
            if due.at_ns > until_ns.min(now_ns) {
                break;
            }
            let outcome = self.unsent_outcome(due, send_by_ns, now_ns).unwrap_or(Outcome::Unfinished);
            self.end_unsent(recorder, number, due, (outcome, None), now);
            // The next message of a closed loop is due in the next span.
            self.streams[number].cursor.ended(u64::MAX);
        }
        self.skipped.clear();
    }

    /// Returns true if an unsent message is due.
    pub(crate) fn has_backlog(&self, load_end_ns: u64, now_ns: u64) -> bool {
        self.next_due(load_end_ns, |_| true).is_some_and(|(_, due)| due.at_ns <= now_ns)
    }

    /// Ends the next message of a stream without sending it. `picked_ns` is set if the worker handled it.
    fn end_unsent(
        &mut self,
        recorder: DeviceRecorder<'_>,
        number: usize,
        due: Due,
        (outcome, picked_ns): (Outcome, Option<u64>),
        now: Instant,
    ) {
        let send = &recorder.device.fleet(&recorder.context.plan).sends[number];
        let mut open = recorder.message_due(send, due.at_ns);
        if let Some(picked_ns) = picked_ns {
            open = open.picked(picked_ns);
        }
        recorder.ended(open, outcome, now);
        self.streams[number].cursor.advance();
    }

    fn next_due(&self, load_end_ns: u64, wanted: impl Fn(usize) -> bool) -> Option<(usize, Due)> {
        self.streams
            .iter()
            .enumerate()
            .filter(|(number, _)| wanted(*number))
            .filter_map(|(number, stream)| Some((number, stream.cursor.peek()?)))
            .filter(|(_, due)| due.at_ns < load_end_ns)
            .min_by_key(|(_, due)| due.at_ns)
    }
}

/// Reads a recorded message. Returns its topic, which begins with `prefix`, and its payload.
fn recorded_message<'b>(
    (recording, row): (&Recording, Row),
    prefix: &str,
    topic: &'b mut String,
    payload: &'b mut Vec<u8>,
) -> (&'b str, &'b [u8]) {
    let (head, body) = recording.message(row, payload);
    topic.clear();
    topic.push_str(prefix);
    topic.push_str(head);
    (topic, body)
}

/// A message that the session refused: the reason, and the operation to end.
type NotSent = (PublishError, Open);

fn not_published(refused: NotPublished<Outgoing>) -> NotSent {
    match refused.tag {
        Outgoing::Message { open, .. } | Outgoing::MethodAnswer(open) => (refused.error, open),
        Outgoing::Request => unreachable!("a request's tag has no operation"),
    }
}

/// Returns the error class and the text for a message that could not be encoded. The plan bounds messages and the caller checked
/// for room, so this is a bug.
fn encode_error((error, open): NotSent) -> (&'static str, String, Open) {
    ("encode", error.to_string(), open)
}

/// Sends a twin request, which then waits for its answer.
fn send_request(
    recorder: DeviceRecorder<'_>,
    requests: &mut TwinRequests,
    (open, send): (Open, Option<u16>),
    (payload, qos): (&[u8], u8),
    session: &mut Session<Outgoing>,
    now: Instant,
    out: &mut BytesMut,
) -> Result<(), NotSent> {
    let mut text = recorder.context.topic.borrow_mut();
    text.clear();
    let is_get = open.operation() == Operation::TwinGet;
    text.push_str(if is_get { topics::TWIN_GET } else { topics::TWIN_REPORT });
    // Writing to a String cannot fail.
    let _ = write!(text, "{}", requests.next_rid());
    let qos = QoS::from_u8(qos).unwrap_or(QoS::AtMostOnce);
    let message = Message { topic: &text, payload, qos, retain: false };
    match session.publish(now, &message, Outgoing::Request, out) {
        Ok(()) => {
            requests.sent(open, send, now);
            Ok(())
        }
        Err(NotPublished { error, .. }) => Err((error, open)),
    }
}
