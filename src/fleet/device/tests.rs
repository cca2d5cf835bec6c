//! One device against a scripted hub, in virtual time: how it comes, stays and goes, and what is counted.

mod dead_peer;
mod iot_hub;

use super::*;
use crate::clock::{RunClock, WallClock};
use crate::link::{Buffers, Deadlines, End, Endpoint, Link, Transport};
use crate::measure::{Measurement, Operation, Source, Totals};
use crate::plan;
use crate::policy::backoff::Retries;
use crate::scenario::Input;
use crate::wire::{self, Packet, Strictness, encode};
use std::sync::Arc;

mod clock_steps;
mod tokens;

/// A plan of one fleet with one phase of `load_s` seconds; `fleet` is what it says beside its name.
fn context(load_s: u64, fleet: &str, send: &str) -> Rc<Context> {
    let text = format!(
        "seed = 1\ndrain = \"2s\"\n[fleet.a]\ndevices = 1\n{fleet}\n\
         [[fleet.a.send]]\n{send}\n[[phase]]\nname = \"p\"\nduration = \"{load_s}s\"\n"
    );
    let input = Input {
        file: "device.toml",
        text: &text,
        overrides: &[],
        env: &|_| None,
        files: &crate::scenario::no_files,
    };
    let plan = Arc::new(plan::load(&input, &mut rand::rng()).unwrap());
    let endpoint = Arc::new(Endpoint { host: "hub".to_owned(), port: 8883, ..Endpoint::default() });
    let (reports, _) = tokio::sync::mpsc::unbounded_channel();
    let (zero, zero_unix) = (crate::clock::now(), Duration::from_secs(1_800_000_000));
    let clock = RunClock { zero, zero_unix };
    let wall = WallClock::of(zero, zero_unix);
    Rc::new(Context::new(plan, endpoint, (clock, wall), (Buffers::shared(), Deadlines::new()), reports))
}

/// A device that is to be online, and the bytes between it and the hub.
struct Wire {
    context: Rc<Context>,
    device: Device,
    now: Instant,
    out: BytesMut,
    to_device: BytesMut,
}

impl Wire {
    fn new(load_s: u64, fleet: &str, send: &str) -> Wire {
        Wire::of(context(load_s, fleet, send))
    }

    /// The wall clock steps between the run's zero and the first attempt, in a load of twelve hours.
    fn stepped_at_the_start(by_us: i64, fleet: &str, send: &str) -> Wire {
        let context = context(12 * 3_600, fleet, send);
        context.wall.step(by_us);
        Wire::of(context)
    }

    fn of(context: Rc<Context>) -> Wire {
        let mut device = Device::new(context.clone(), DeviceRef { fleet: 0, index: 0 });
        device.start_span(context.plan.schedule.online_spans(0, 1)[0]);
        let now = context.clock.zero;
        let mut wire = Wire { context, device, now, out: BytesMut::new(), to_device: BytesMut::new() };
        wire.attempt();
        wire
    }

    fn online(load_s: u64, fleet: &str, send: &str) -> Wire {
        let mut wire = Wire::new(load_s, fleet, send);
        wire.connack(0);
        wire
    }

    fn attempt(&mut self) {
        self.device.start_attempt(self.context.ns(self.now), self.now);
        self.turn().unwrap();
    }

    fn connack(&mut self, code: u8) {
        encode::connack(&mut self.to_device, false, code);
        self.turn().unwrap();
    }

    /// What the link does in one wake. The packets that the device sent are taken by `sent`.
    fn turn(&mut self) -> Result<(), SessionError> {
        self.device.handle_input(self.now, &mut self.to_device)?;
        self.device.handle_timeout(self.now)?;
        self.device.poll_output(self.now, &mut self.out);
        Ok(())
    }

    /// Moves time on, with a turn whenever the device asks for one.
    fn pass(&mut self, seconds: f64) -> Result<(), SessionError> {
        let until = self.now + Duration::from_secs_f64(seconds);
        while let Some(at) = self.device.poll_timeout().filter(|at| *at <= until) {
            assert!(at >= self.now, "what has passed was handled");
            self.now = at;
            self.turn()?;
        }
        self.now = until;
        self.turn()
    }

    fn sent(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| wire::decode(&mut self.out, 1 << 20, Strictness::Strict).unwrap()).collect()
    }

    /// Acknowledges what was published since; returns how many messages that were.
    fn ack(&mut self) -> usize {
        let sent = self.sent();
        let published = sent.iter().filter_map(|packet| match packet {
            Packet::Publish(publish) => Some(publish.pid),
            _ => None,
        });
        published.map(|pid| encode::puback(&mut self.to_device, pid)).count()
    }

    fn close(&mut self, why: Closed) -> ConnectionEnd {
        self.device.handle_closed(self.now, why);
        self.device.connection_end()
    }

    /// The end of the run: how many of an operation ended in each way.
    fn totals_at_end(self, operation: Operation) -> Totals {
        self.totals_and_errors(operation).0
    }

    /// What was counted since the last call.
    fn measurement(&self) -> Measurement {
        let mut collector = crate::fleet::collector(&self.context.plan);
        collector.add(&self.context.recorder.borrow_mut().swap(), Source::Worker(0));
        collector.finish(u64::MAX, Vec::new(), Vec::new())
    }

    /// The same, with the classes of errors.
    fn totals_and_errors(mut self, operation: Operation) -> (Totals, Vec<&'static str>) {
        self.device.settle(self.now);
        let measurement = self.measurement();
        let totals = measurement.sum(|key| key.operation == operation);
        let ended: u64 = Outcome::ALL.map(|outcome| totals.outcome(outcome)).iter().sum();
        assert_eq!(totals.due, ended, "every due operation ends once");
        (totals, measurement.errors.iter().map(|error| &*error.class.clone().leak()).collect())
    }
}

/// A test may end while operations are open. Their end is that of a run.
impl Drop for Wire {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.device.settle(self.now);
            assert_eq!(self.context.recorder.borrow().open(), 0, "every due operation ends");
        }
    }
}

const EACH_SECOND: &str = "every = \"1s\"\npayload = \"x\"";

#[test]
fn an_attempt_that_cannot_dial_ends_as_its_step_did() {
    use crate::link::{DialError, Step, Steps};
    use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, TimedOut};
    for (step, error, outcome) in [
        (Step::Dns, TimedOut, Outcome::TimedOut),
        (Step::Tcp, TimedOut, Outcome::TimedOut),
        (Step::Tls, TimedOut, Outcome::TimedOut),
        (Step::Tcp, ConnectionRefused, Outcome::Refused),
        (Step::Dns, NotFound, Outcome::Lost),
        (Step::Tls, ConnectionReset, Outcome::Lost),
    ] {
        let mut wire = Wire::new(5, "", EACH_SECOND);
        let error = DialError::new(step, Steps::default(), error.into());
        wire.device.dial_failed(&error, wire.now);
        assert_eq!(wire.totals_at_end(Operation::Connect).outcome(outcome), 1, "{error}");
    }
}

/// A server's FIN or RST is told apart from what the device ended itself, and from the end of an open connection.
#[test]
fn only_the_peers_ends_count_as_before_connack() {
    use crate::link::{DialError, Step, Steps};
    let counted = |end: &dyn Fn(&mut Wire)| {
        let mut wire = Wire::new(60, "", EACH_SECOND);
        end(&mut wire);
        let counts = wire.counts();
        (counts.closed_before_connack, counts.reset_before_connack)
    };
    let closes = |why: Closed| counted(&|wire: &mut Wire| assert_ne!(wire.close(why), ConnectionEnd::Lost));
    assert_eq!(closes(Closed::Eof), (1, 0));
    assert_eq!(closes(Closed::Reset), (0, 1));
    assert_eq!(closes(Closed::Local), (0, 0), "the device ended it");
    let dials = |kind: std::io::ErrorKind| {
        counted(&|wire: &mut Wire| {
            let error = DialError::new(Step::Tls, Steps::default(), kind.into());
            wire.device.dial_failed(&error, wire.now);
        })
    };
    assert_eq!(dials(std::io::ErrorKind::ConnectionReset), (0, 1));
    assert_eq!(dials(std::io::ErrorKind::UnexpectedEof), (1, 0));
    assert_eq!(dials(std::io::ErrorKind::TimedOut), (0, 0));
    let online = counted(&|wire: &mut Wire| {
        wire.connack(0);
        wire.close(Closed::Eof);
    });
    assert_eq!(online, (0, 0), "an open connection");
}

#[test]
fn a_connack_that_comes_in_the_drain_still_lets_due_messages_go() {
    let mut wire = Wire::new(5, "connect_timeout = \"30s\"", EACH_SECOND);
    wire.pass(6.0).unwrap();
    assert_eq!(wire.device.poll_close(), None, "the drain has a second left");
    wire.connack(0);
    assert_eq!(wire.ack(), 5);
    assert_eq!(wire.device.poll_close(), None, "acks are outstanding");
    wire.turn().unwrap();
    assert_eq!(wire.device.poll_close(), Some(Close::AfterFlush));
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Finished);
    assert_eq!(wire.totals_at_end(Operation::Telemetry).outcome(Outcome::Ok), 5);
}

#[test]
fn an_attempt_that_hangs_ends_with_the_drain_and_is_unfinished() {
    let mut wire = Wire::new(5, "connect_timeout = \"60s\"", EACH_SECOND);
    wire.pass(6.9).unwrap();
    assert_eq!(wire.device.poll_close(), None);
    wire.pass(0.2).unwrap();
    assert_eq!(wire.device.poll_close(), Some(Close::AfterFlush));
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Finished);
    let connect = wire.totals_at_end(Operation::Connect);
    assert_eq!((connect.due, connect.outcome(Outcome::Unfinished)), (1, 1));
}

#[test]
fn an_attempt_that_fails_counts_for_its_step_too() {
    for (code, outcome) in [(None, Outcome::TimedOut), (Some(5), Outcome::Refused)] {
        let mut wire = Wire::new(30, "connect_timeout = \"5s\"", EACH_SECOND);
        match code {
            Some(code) => wire.connack(code),
            None => assert_eq!(wire.pass(6.0), Err(SessionError::ConnackTimeout)),
        }
        assert_eq!(wire.close(Closed::Local), ConnectionEnd::Failed);
        let measurement = wire.measurement();
        let sum = |operation| measurement.sum(|key| key.operation == operation);
        let (step, connect) = (sum(Operation::ConnectMqtt), sum(Operation::Connect));
        assert_eq!((step.due, step.outcome(outcome)), (1, 1), "{outcome:?}");
        assert_eq!((connect.due, connect.lag.count()), (1, 1), "how late it began counts also when it fails");
    }
}

#[test]
fn online_counts_from_the_plan_over_all_failed_attempts() {
    let mut wire = Wire::new(30, "", EACH_SECOND);
    for _ in 0..3 {
        wire.connack(3);
        wire.close(Closed::Local);
        wire.now += Duration::from_secs(2);
        wire.attempt();
    }
    wire.connack(0);
    let online = wire.totals_at_end(Operation::Online);
    assert_eq!((online.due, online.outcome(Outcome::Ok)), (1, 1));
    assert_eq!(online.response.max().map(|us| us / 1_000_000), Some(6));
}

#[test]
fn a_loss_after_the_plan_wants_the_device_gone_is_no_absence() {
    let mut wire = Wire::online(3, "reconnect = { kind = \"never\" }", EACH_SECOND);
    wire.pass(4.0).unwrap();
    assert_eq!(wire.device.poll_close(), None, "three acks are outstanding");
    assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
    let context = wire.context.clone();
    assert_eq!(wire.device.back_off(&mut Retries::default(), wire.now), None);
    assert_eq!(wire.totals_at_end(Operation::Online).due, 1, "only the planned coming");
    let counts = *context.recorder.borrow_mut().counts(0);
    assert_eq!((counts.reconnects, counts.gave_up), (0, 0));
}

/// The plan has the device for 5 s, and again from 10 s on.
const TWICE: &str = "every = \"1s\"\npayload = \"x\"\n[[phase]]\nname = \"on\"\nduration = \"5s\"\n\
                     [[phase]]\nname = \"off\"\nonline = \"0%\"\nduration = \"5s\"";

#[test]
fn what_the_end_of_a_span_cuts_off_is_unfinished_unless_the_session_is_kept() {
    for (clean, unfinished, resent) in [(true, 5, 0), (false, 0, 5)] {
        let fleet = format!("clean_session = {clean}\nack_timeout = \"60s\"\nsubscribe = [\"c2d\"]");
        let mut wire = Wire::online(60, &fleet, TWICE);
        wire.pass(7.0).unwrap();
        assert_eq!(wire.device.poll_close(), Some(Close::AfterFlush), "it has waited for the drain");
        assert_eq!(wire.close(Closed::Local), ConnectionEnd::Finished);
        wire.device.end_span(wire.now);
        let mut measurement = wire.measurement();
        let telemetry = measurement.sum(|key| key.operation == Operation::Telemetry);
        assert_eq!(telemetry.outcome(Outcome::Unfinished), unfinished, "{clean}");
        assert_eq!(telemetry.due, 5);

        wire.now = wire.context.clock.zero + Duration::from_secs(10);
        wire.device.start_span(wire.context.plan.schedule.online_spans(0, 1)[1]);
        wire.attempt();
        wire.sent();
        encode::connack(&mut wire.to_device, !clean, 0);
        wire.turn().unwrap();
        let again = |packet: &Packet| matches!(packet, Packet::Publish(publish) if publish.dup);
        assert_eq!(wire.sent().iter().filter(|packet| again(packet)).count(), resent);
        assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
        wire.device.settle(wire.now);
        measurement.merge(&wire.measurement());
        let telemetry = measurement.sum(|key| key.operation == Operation::Telemetry);
        assert_eq!((telemetry.due, telemetry.outcome(Outcome::Unfinished)), (5, 5), "each ends once");
    }
}

#[test]
fn a_device_that_unsubscribes_waits_for_unsuback_before_it_disconnects() {
    let fleet = "unsubscribe = true\nsubscribe = [\"c2d\"]\nack_timeout = \"60s\"";
    let unsubscribe = |wire: &mut Wire| {
        let mut sent = wire.sent().into_iter();
        sent.find_map(|packet| match packet {
            Packet::Unsubscribe { pid, filters } => Some((pid, filters)),
            _ => None,
        })
    };
    for answers in [true, false] {
        let mut wire = Wire::online(60, fleet, &TWICE.replace("1s", "100d"));
        wire.suback();
        wire.pass(4.9).unwrap();
        assert_eq!(unsubscribe(&mut wire), None, "it is not yet to go");
        wire.pass(0.2).unwrap();
        let (pid, filters) = unsubscribe(&mut wire).expect("it is to go");
        assert_eq!(filters, ["devices/a-00000/messages/devicebound/#"]);
        assert_eq!(wire.device.poll_close(), None, "UNSUBACK is awaited");
        if answers {
            encode::unsuback(&mut wire.to_device, pid);
            wire.turn().unwrap();
        } else {
            wire.pass(2.0).unwrap();
        }
        assert_eq!(wire.sent(), [Packet::Disconnect]);
        assert_eq!(wire.close(Closed::Local), ConnectionEnd::Finished);
        let outcome = if answers { Outcome::Ok } else { Outcome::Unfinished };
        let ends = wire.totals_at_end(Operation::Unsubscribe);
        assert_eq!((ends.due, ends.outcome(outcome)), (1, 1));
    }
}

/// Operations that were picked over 100 ms late.
fn late(totals: &Totals) -> u64 {
    totals.lag.count_above(100_000)
}

#[test]
fn a_late_generator_shows_in_what_expires() {
    let mut wire = Wire::online(60, "send_by = \"1s\"", EACH_SECOND);
    wire.pass(2.0).unwrap();
    assert_eq!(wire.ack(), 2);
    wire.turn().unwrap();
    // This process is stopped, and nothing but that keeps messages back.
    wire.now += Duration::from_secs(5);
    wire.turn().unwrap();
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    assert!(telemetry.outcome(Outcome::Expired) >= 4, "{telemetry:?}");
    assert!(telemetry.lag.max().is_some_and(|us| us > 4_000_000), "{:?}", telemetry.lag.max());
    assert!(late(&telemetry) >= 4);

    // What waits for a window that the hub keeps full expires because of the hub.
    let mut wire = Wire::online(60, "send_by = \"1s\"\nin_flight = 1\nack_timeout = \"60s\"", EACH_SECOND);
    wire.pass(2.0).unwrap();
    wire.now += Duration::from_secs(5);
    wire.turn().unwrap();
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    assert!(telemetry.outcome(Outcome::Expired) >= 4, "{telemetry:?}");
    assert_eq!(late(&telemetry), 0);
}

#[test]
fn a_backlog_that_is_too_late_leaves_the_others_their_turn() {
    let mut wire = Wire::new(60, "send_by = \"1s\"", "every = \"1us\"\npayload = \"x\"");
    wire.now += Duration::from_secs(3);
    wire.connack(0);
    let telemetry = wire.measurement().sum(|key| key.operation == Operation::Telemetry);
    assert_eq!(telemetry.outcome(Outcome::Expired), 4096);
    assert_eq!(wire.device.poll_timeout(), Some(wire.now), "and goes on at once");
    // It was offline, which is the hub's doing, however long it takes to end them all.
    let (mut late_in_all, mut expired) = (late(&telemetry), telemetry.outcome(Outcome::Expired));
    while expired < 2_000_000 {
        wire.turn().unwrap();
        let telemetry = wire.measurement().sum(|key| key.operation == Operation::Telemetry);
        (late_in_all, expired) =
            (late_in_all + late(&telemetry), expired + telemetry.outcome(Outcome::Expired));
        if wire.device.poll_timeout() != Some(wire.now) {
            break;
        }
    }
    assert_eq!((late_in_all, expired / 100_000), (0, 20), "those of two seconds");
}

#[test]
fn a_connection_that_fails_while_it_drains_for_a_renewal_is_lost_and_not_renewed() {
    let auth = "auth = { kind = \"sas\", ttl = \"10s\", renew = \"50%\" }\nack_timeout = \"5s\"";
    let mut wire = Wire::online(60, auth, "every = \"100ms\"\npayload = \"x\"");
    while !wire.device.is_reconnecting() {
        wire.ack();
        wire.pass(0.1).unwrap();
    }
    assert_eq!(wire.device.poll_close(), None, "an ack is outstanding");
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Lost);
    wire.attempt();
    wire.connack(0);
    let counts = *wire.context.recorder.borrow_mut().counts(0);
    assert_eq!((counts.reconnects, counts.renewals), (1, 0));
    assert_eq!(wire.totals_at_end(Operation::Online).due, 2, "the plan, and the loss");
}

#[test]
fn a_device_that_skips_sends_its_backlog_and_not_what_fell_due_while_it_was_offline() {
    let fleet = "offline = \"skip\"\nin_flight = 1\nsend_by = \"60s\"\nack_timeout = \"60s\"";
    let mut wire = Wire::online(60, fleet, EACH_SECOND);
    // Message 0 is in flight; 1, 2 and 3 wait for the window; then the connection goes.
    wire.pass(4.0).unwrap();
    assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
    wire.now += Duration::from_secs(10);
    wire.attempt();
    wire.sent();
    wire.connack(0);
    // One a turn, as far as the window lets them: the three from before, nothing of the ten, then the newest.
    let mut sent = 0;
    for _ in 0..10 {
        sent += wire.ack();
        wire.turn().unwrap();
    }
    assert_eq!(sent, 3);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.ack(), 1);
    wire.turn().unwrap();
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    assert_eq!((telemetry.outcome(Outcome::Offline), telemetry.outcome(Outcome::Lost)), (10, 1));
    assert_eq!((telemetry.outcome(Outcome::Ok), telemetry.due), (4, 15));
}

#[test]
fn what_needs_no_ack_does_not_wait_for_the_window() {
    let two = "every = \"1s\"\npayload = \"x\"\n[[fleet.a.send]]\narrival = \"regular\"\nevery = \"1s\"\nqos = 0\npayload = \"y\"";
    let mut wire = Wire::online(60, "in_flight = 1", two);
    wire.pass(5.0).unwrap();
    let qos_of = |packet: &Packet| match packet {
        Packet::Publish(publish) => Some(publish.qos),
        _ => None,
    };
    let mut qos: Vec<_> = wire.sent().iter().filter_map(qos_of).collect();
    qos.sort();
    assert_eq!(qos.iter().filter(|qos| **qos == wire::QoS::AtMostOnce).count(), 5);
    assert_eq!(qos.len(), 6, "and one that waits for its ack");
}

#[test]
fn a_closed_loop_waits_for_the_end_of_each_message_and_says_so() {
    let closed = "arrival = \"closed\"\nthink_time = \"1s\"\npayload = \"x\"";
    let mut wire = Wire::online(60, "ack_timeout = \"10s\"", closed);
    wire.pass(5.0).unwrap();
    assert_eq!(wire.ack(), 1, "one is under way, and no other is due");
    wire.turn().unwrap();
    for _ in 0..3 {
        wire.pass(0.999).unwrap();
        assert_eq!(wire.ack(), 0);
        wire.pass(0.001).unwrap();
        assert_eq!(wire.ack(), 1, "a second after the ack");
        wire.turn().unwrap();
    }
    // A message that times out has ended as well.
    wire.pass(1.0).unwrap();
    assert_eq!(wire.sent().len(), 1);
    wire.pass(10.0).unwrap();
    assert_eq!(wire.sent().len(), 0);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.sent().len(), 1);
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    assert!(telemetry.closed_loop);
    assert_eq!((telemetry.due, telemetry.outcome(Outcome::Ok)), (6, 4));
    assert_eq!((telemetry.outcome(Outcome::TimedOut), telemetry.outcome(Outcome::Unfinished)), (1, 1));
}

#[test]
fn a_closed_loop_goes_on_after_what_was_never_sent() {
    let closed = "arrival = \"closed\"\nthink_time = \"0s\"\npayload = \"x\"";
    let mut wire = Wire::online(60, "offline = \"skip\"\nsend_by = \"5s\"", closed);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.ack(), 1);
    wire.close(Closed::Reset);
    wire.to_device.clear();
    wire.now += Duration::from_secs(3);
    wire.attempt();
    wire.connack(0);
    wire.pass(1.0).unwrap();
    let published = |packet: &Packet| matches!(packet, Packet::Publish(_));
    assert_eq!(wire.sent().iter().filter(|packet| published(packet)).count(), 1, "and not for ever");
    let telemetry = wire.totals_at_end(Operation::Telemetry);
    let count = |outcome| telemetry.outcome(outcome);
    // The one that was due with CONNECT, and the one that was due with the loss.
    assert_eq!((count(Outcome::Lost), count(Outcome::Offline), count(Outcome::Unfinished)), (1, 2, 1));
}

#[test]
fn at_qos_0_a_closed_loop_goes_on_when_a_message_is_flushed() {
    let closed = "arrival = \"closed\"\nthink_time = \"1s\"\nqos = 0\npayload = \"x\"";
    let mut wire = Wire::online(60, "", closed);
    wire.pass(5.0).unwrap();
    wire.out.clear();
    wire.device.handle_flushed(wire.now);
    assert_eq!(wire.device.poll_timeout(), Some(wire.now + Duration::from_secs(1)));
    wire.pass(1.0).unwrap();
    assert_eq!(wire.sent().len(), 1);
}

#[test]
fn a_burst_goes_at_one_instant() {
    let mut wire = Wire::online(60, "", "every = \"10s\"\nburst = 5\nretain = true\npayload = \"x\"");
    wire.sent();
    while wire.out.is_empty() {
        let next = wire.device.poll_timeout().expect("a burst in each 10 s");
        wire.pass((next - wire.now).as_secs_f64()).unwrap();
    }
    let sent = wire.sent();
    let seqs = sent.iter().filter(|packet| matches!(packet, Packet::Publish(publish) if publish.retain));
    assert_eq!((seqs.count(), sent.len()), (5, 5));
    assert!(!wire.totals_at_end(Operation::Telemetry).closed_loop);
}

#[test]
fn the_will_goes_with_connect() {
    let will = "will = { payload = 'gone ${device} ${uptime}', retain = true }";
    let mut wire = Wire::new(60, will, EACH_SECOND);
    let sent = wire.sent();
    let [Packet::Connect(connect)] = &sent[..] else { panic!("{sent:?}") };
    let will = connect.will.as_ref().expect("a will");
    assert_eq!(
        (will.topic.as_str(), &will.payload[..]),
        ("devices/a-00000/messages/events/", &b"gone a-00000 0"[..])
    );
    assert_eq!((will.qos, will.retain), (wire::QoS::AtLeastOnce, true));
}

/// A link over a pipe whose other end answers CONNECT and then reads nothing any more.
async fn against_a_frozen_hub(
    load_s: u64,
    fleet: &str,
) -> (End<SessionError>, ConnectionEnd, Totals, Duration) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let big = "rate = \"100/s\"\nqos = 0\npayload = { size = 4096 }";
    let context = context(load_s, fleet, big);
    let mut device = Device::new(context.clone(), DeviceRef { fleet: 0, index: 0 });
    device.start_span(context.plan.schedule.online_spans(0, 1)[0]);
    device.start_attempt(0, crate::clock::now());
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let mut link = Link::new(Transport::Duplex(ours), context.buffers.clone(), &context.deadlines);
    let hub = async {
        let mut connect = [0; 256];
        let _ = theirs.read(&mut connect).await.unwrap();
        let mut connack = BytesMut::new();
        encode::connack(&mut connack, false, 0);
        theirs.write_all(&connack).await.unwrap();
        std::future::pending::<()>().await;
    };
    let end = tokio::select! {
        end = std::future::poll_fn(|cx| link.poll(cx, &mut device)) => end,
        () = hub => unreachable!("it never ends"),
        error = context.deadlines.run() => panic!("{error}"),
    };
    let lasted = crate::clock::now() - context.clock.zero;
    let connection = device.connection_end();
    let wire =
        Wire { context, device, now: crate::clock::now(), out: BytesMut::new(), to_device: BytesMut::new() };
    let sent = wire.context.plan.fleets[0].sends[0].operation;
    (end, connection, wire.totals_at_end(sent), lasted)
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_stops_reading_does_not_hold_up_the_end() {
    let (end, connection, telemetry, lasted) = against_a_frozen_hub(5, "keep_alive = \"1000s\"").await;
    assert_eq!((end, connection), (End::Closed(Closed::Local), ConnectionEnd::Finished));
    assert_eq!((telemetry.due, telemetry.outcome(Outcome::Unfinished)), (500, 500));
    assert!(lasted < Duration::from_secs(5 + 2 + 2), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_stops_reading_is_missed_by_keep_alive() {
    let (end, connection, telemetry, lasted) = against_a_frozen_hub(600, "keep_alive = \"20s\"").await;
    assert_eq!(end, End::Failed(SessionError::PingTimeout));
    assert_eq!(connection, ConnectionEnd::Lost);
    assert_eq!(telemetry.outcome(Outcome::Ok), 0);
    assert!(lasted < Duration::from_secs(20 + 20 + 31), "{lasted:?}");
}

#[test]
fn a_hub_that_floods_a_device_and_does_not_read_is_not_read_either() {
    let mut wire = Wire::online(60, "", EACH_SECOND);
    let publish = encode::PublishRef {
        topic: "devices/a-00000/messages/devicebound/",
        payload: b"x",
        qos: wire::QoS::AtLeastOnce,
        dup: false,
        retain: false,
        pid: 1,
    };
    for _ in 0..5_000 {
        encode::publish(&mut wire.to_device, &publish).unwrap();
    }
    wire.device.handle_input(wire.now, &mut wire.to_device).unwrap();
    assert!(!wire.device.wants_input() && !wire.to_device.is_empty());
    let mut acks = 0;
    while !wire.to_device.is_empty() {
        wire.turn().unwrap();
        acks += wire.sent().iter().filter(|packet| matches!(packet, Packet::PubAck(1))).count();
    }
    assert_eq!(acks, 5_000, "none is forgotten");
}

#[test]
fn a_device_is_small() {
    let context = context(5, "", EACH_SECOND);
    // Tens of thousands of them: what is added here is paid for that often (`docs/performance.md`).
    assert!(size_of::<Device>() <= 608, "{}", size_of::<Device>());
    let task = size_of_val(&crate::fleet::device_task::run(context, 0, 0));
    assert!(task <= 1424, "{task}");
}

/// What a connection loses is the load generator's where it was silent for long just before, and the hub's otherwise.
#[test]
fn a_loss_after_a_long_stall_is_excused() {
    for (stall_s, before_s, excused) in [(3, 1.0, 1), (1, 1.0, 0), (0, 3.0, 0)] {
        let mut wire =
            Wire::online(60, "clean_session = true\nkeep_alive = \"5s\"\nack_timeout = \"60s\"", EACH_SECOND);
        let from = wire.now;
        wire.now += Duration::from_secs(stall_s);
        wire.context.deadlines.stalls().note(from, wire.now);
        wire.turn().unwrap();
        wire.now += Duration::from_secs_f64(before_s);
        wire.turn().unwrap();
        let sent = wire.sent().iter().filter(|packet| matches!(packet, Packet::Publish(_))).count() as u64;
        wire.close(Closed::Eof);
        wire.device.settle(wire.now);
        let telemetry = wire.measurement().of(Operation::Telemetry);
        assert!(sent > 0 || stall_s + before_s as u64 == 0, "{stall_s}");
        assert_eq!(telemetry.outcomes[Outcome::Lost], sent, "{stall_s} {before_s}");
        assert_eq!(telemetry.excused[Outcome::Lost], sent * excused, "{stall_s} {before_s}");
    }
}

/// A hub that stays away for long after a stall is the cause itself.
#[test]
fn an_excuse_for_a_stall_ends() {
    for (away_s, is_excused) in [(59, true), (61, false)] {
        let mut wire =
            Wire::online(300, "clean_session = true\nkeep_alive = \"5s\"\nsend_by = \"1s\"", EACH_SECOND);
        let from = wire.now;
        wire.now += Duration::from_secs(3);
        wire.context.deadlines.stalls().note(from, wire.now);
        wire.turn().unwrap();
        wire.close(Closed::Eof);
        let lost_ns = wire.context.ns(wire.now);
        assert_eq!(wire.device.excuse, Excuse::Stall);
        let ends_ns = wire.context.stall_excuse_ns.get();
        assert_eq!(lost_ns + away_s * 1_000_000_000 < ends_ns, is_excused, "{away_s}");
    }
}

#[test]
fn what_a_local_failure_delays_is_excused_until_it_is_sent() {
    let mut wire = Wire::new(60, "send_by = \"2s\"", EACH_SECOND);
    let full = std::io::Error::from_raw_os_error(24);
    let error = crate::link::DialError::new(crate::link::Step::Tcp, Default::default(), full);
    wire.device.dial_failed(&error, wire.now);
    wire.now += Duration::from_secs(5);
    wire.device.start_attempt(wire.context.ns(wire.now), wire.now);
    wire.connack(0);
    wire.pass(1.0).unwrap();
    wire.ack();
    let measurement = wire.measurement();
    let telemetry = measurement.of(Operation::Telemetry);
    assert!(telemetry.outcomes[Outcome::Expired] >= 2, "{telemetry:?}");
    assert_eq!(telemetry.excused[Outcome::Expired], telemetry.outcomes[Outcome::Expired]);
    assert_eq!(measurement.of(Operation::Connect).excused.sum(), 1);
    // From here on it is the hub's again.
    wire.now += Duration::from_secs(1);
    wire.turn().unwrap();
    wire.close(Closed::Eof);
    assert_eq!(wire.device.excuse, Excuse::None);
    wire.device.settle(wire.now);
}
