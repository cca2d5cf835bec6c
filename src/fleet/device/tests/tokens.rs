//! Tokens: renewals, and connections that end because of a token. Also SUBACK timeouts and retries.

use super::*;
use crate::measure::{ErrorTotals, FleetCounts};
use crate::policy::backoff::Retries;

const HALF: &str = "auth = { kind = \"sas\", ttl = \"100s\", renew = \"50%\", jitter = \"0%\" }";
const NEVER: &str = "keep_alive = \"0s\"\nauth = { kind = \"sas\", ttl = \"100s\", renew = \"never\" }";

const QUIET: &str = "every = \"10000s\"\npayload = \"x\"";

impl Wire {
    /// Advances time while the hub acknowledges every message.
    fn run_to(&mut self, seconds: f64) {
        let until = self.context.clock.zero + Duration::from_secs_f64(seconds);
        while self.now < until {
            self.pass(0.5).unwrap();
            self.ack();
            self.turn().unwrap();
        }
    }

    pub(super) fn counts(&self) -> FleetCounts {
        *self.context.recorder.borrow_mut().counts(0)
    }

    /// Returns the errors since the last call.
    pub(super) fn errors(&self) -> Vec<ErrorTotals> {
        self.measurement().errors
    }

    fn only_error(&self) -> (String, String) {
        let errors = self.errors();
        let [error] = &errors[..] else { panic!("expected one error class: {errors:?}") };
        (error.class.clone(), error.example.clone())
    }

    /// Returns the expiry of the token in the CONNECT that the device has sent.
    pub(super) fn expiry_unix(&mut self) -> u64 {
        let sent = self.sent();
        let Some(Packet::Connect(connect)) = sent.first() else { panic!("{sent:?}") };
        let password = connect.password.as_ref().expect("a token");
        crate::iothub::sas::Token::parse(std::str::from_utf8(password).unwrap()).unwrap().expiry_unix
    }
}

#[test]
fn renewal_lasts_from_its_due_time_until_online_again() {
    let mut wire = Wire::online(600, HALF, QUIET);
    wire.pass(50.0).unwrap();
    assert_eq!(wire.device.poll_close(), Some(Close::AfterFlush), "nothing is in flight");
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Renewal);
    // Refused once, then accepted.
    wire.now += Duration::from_secs(1);
    wire.attempt();
    wire.connack(5);
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Failed);
    wire.now += Duration::from_secs(2);
    wire.attempt();
    wire.connack(0);
    assert_eq!(wire.counts().renewals, 1);
    let renewal = wire.totals_at_end(Operation::Renewal);
    assert_eq!((renewal.due, renewal.outcome(Outcome::Ok)), (1, 1));
    let seconds = |us: Option<u64>| us.map(|us| us / 1_000_000);
    assert_eq!(seconds(renewal.response.max()), Some(3), "from its due time");
    assert_eq!(seconds(renewal.wait.max()), Some(3), "until the successful attempt");
    assert_eq!(seconds(renewal.service.max()), Some(0));
}

#[test]
fn renewal_after_a_loss_ends_when_online_again() {
    let mut wire = Wire::online(600, HALF, "every = \"100ms\"\npayload = \"x\"");
    wire.run_to(49.5);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.device.poll_close(), None, "an acknowledgment is outstanding");
    assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
    wire.now += Duration::from_secs(4);
    wire.attempt();
    wire.connack(0);
    assert_eq!((wire.counts().reconnects, wire.counts().renewals), (1, 0), "a reconnect after a loss");
    let renewal = wire.totals_at_end(Operation::Renewal);
    assert_eq!((renewal.due, renewal.outcome(Outcome::Ok)), (1, 1));
}

#[test]
fn renewal_at_the_end_of_the_run_is_unfinished() {
    let mut wire = Wire::online(600, HALF, EACH_SECOND);
    wire.run_to(49.5);
    wire.pass(1.5).unwrap();
    wire.close(Closed::Eof);
    let renewal = wire.totals_at_end(Operation::Renewal);
    assert_eq!((renewal.due, renewal.outcome(Outcome::Unfinished)), (1, 1));
}

#[test]
fn jitter_makes_renewals_earlier_and_never_later() {
    let mut instants = Vec::new();
    for (jitter, earliest) in [("0%", 50), ("10%", 45), ("100%", 0)] {
        let auth = HALF.replace("0%\" }", &format!("{jitter}\" }}"));
        let wire = Wire::online(600, &auth, EACH_SECOND);
        let after = Duration::from_nanos(wire.device.renew_at_ns);
        assert!((earliest..=50).contains(&after.as_secs()), "{jitter}: {after:?}");
        instants.push(after);
    }
    assert_eq!(instants[0], Duration::from_secs(50));
    assert!(
        instants[1] < instants[0] && instants[2] < instants[1],
        "the same random number, scaled: {instants:?}"
    );
}

#[test]
fn token_without_renewal_is_used_until_the_peer_closes() {
    let mut wire = Wire::online(3_600, NEVER, QUIET);
    assert_eq!(wire.device.renew_at_ns, u64::MAX);
    wire.pass(399.0).unwrap();
    wire.close(Closed::Eof);
    let (class, example) = wire.only_error();
    assert_eq!(class, "closed_after_expiry");
    assert!(example.contains("after CONNACK, 4m 59s after its token expired"), "{example}");
    assert_eq!(wire.counts(), FleetCounts::default(), "no other counter changes");
    assert_eq!(wire.totals_at_end(Operation::Renewal).due, 0);
}

#[test]
fn close_long_before_or_after_expiry_has_another_cause() {
    for seconds in [98.0, 702.0] {
        let mut wire = Wire::online(3_600, NEVER, QUIET);
        wire.pass(seconds).unwrap();
        wire.close(Closed::Eof);
        assert_eq!(wire.only_error().0, "closed_by_peer", "{seconds}");
    }
}

#[test]
fn clock_skew_shifts_the_token_expiry() {
    for (skew, expiry) in [("-3m", 1_800_003_420), ("+6m", 1_800_003_960)] {
        let auth = format!("auth = {{ kind = \"sas\", clock_skew = \"{skew}\" }}");
        let mut wire = Wire::new(60, &auth, EACH_SECOND);
        assert_eq!(wire.expiry_unix(), expiry, "{skew}");
    }
}

#[test]
fn suback_times_out_and_a_late_one_is_counted() {
    let fleet = "subscribe = [\"c2d\"]\nack_timeout = \"5s\"\nkeep_alive = \"0s\"";
    let mut wire = Wire::online(60, fleet, QUIET);
    let pids: Vec<u16> = wire
        .sent()
        .iter()
        .filter_map(|packet| match packet {
            Packet::Subscribe(subscribe) => Some(subscribe.pid),
            _ => None,
        })
        .collect();
    let [pid] = pids[..] else { panic!("one SUBSCRIBE: {pids:?}") };
    wire.pass(4.999).unwrap();
    assert_eq!(wire.errors(), []);
    wire.pass(0.002).unwrap();
    assert_eq!(wire.only_error().0, "subscribe_timeout");
    assert_eq!(wire.device.poll_close(), None, "the connection continues");
    encode::suback(&mut wire.to_device, pid, &[1]);
    wire.turn().unwrap();
    assert_eq!((wire.counts().late_subacks, wire.counts().late_acks), (1, 0), "no message was late");
    // Earlier snapshots contain the outcome, so it is not counted again.
    assert_eq!(wire.totals_at_end(Operation::Subscribe).due, 0);
}

#[test]
fn repeated_short_connections_are_counted_once() {
    let mut wire = Wire::online(600, "", QUIET);
    for connection in 1..=5 {
        wire.pass(10.0).unwrap();
        wire.close(Closed::Eof);
        assert_eq!(wire.counts().closed_soon_devices, u64::from(connection >= 3), "{connection} connections");
        wire.attempt();
        wire.connack(0);
    }
    let mut wire = Wire::online(600, "", QUIET);
    for seconds in [10.0, 10.0, 61.0, 10.0, 10.0] {
        wire.pass(seconds).unwrap();
        wire.close(Closed::Eof);
        wire.attempt();
        wire.connack(0);
    }
    assert_eq!(wire.counts().closed_soon_devices, 0, "one connection was not short");
}

#[test]
fn close_records_the_wait_of_the_oldest_message() {
    let mut wire = Wire::online(600, "keep_alive = \"0s\"", QUIET);
    wire.pass(1.0).unwrap();
    wire.close(Closed::Eof);
    assert_eq!(wire.counts().closed_waiting, 0, "nothing was outstanding");
    for session in ["false", "true"] {
        let keys = format!("keep_alive = \"0s\"\nclean_session = {session}");
        let mut wire = Wire::online(600, &keys, EACH_SECOND);
        wire.pass(1.0).unwrap();
        wire.ack();
        wire.pass(8.0).unwrap();
        wire.close(Closed::Eof);
        let counts = wire.counts();
        let waited = (counts.closed_waiting, counts.closed_waiting_us / 1_000_000);
        assert_eq!(waited, (1, 7), "the oldest of eight, clean_session = {session}");
    }
}

#[test]
fn sdk_preset_gives_up_after_a_permanent_refusal() {
    let mut wire = Wire::new(600, "sdk = \"java\"", QUIET);
    let mut retries = Retries::default();
    for (code, goes_on) in [(3, true), (5, false)] {
        wire.connack(code);
        wire.close(Closed::Local);
        let now = wire.now;
        assert_eq!(wire.device.back_off(&mut retries, now).is_some(), goes_on, "code {code}");
        wire.attempt();
    }
    assert_eq!(wire.counts().gave_up, 1);
    // After four minutes offline, it gives up with any code.
    wire.connack(3);
    wire.close(Closed::Local);
    let later = wire.context.clock.zero + Duration::from_secs(240);
    assert_eq!(wire.device.back_off(&mut retries, later), None);
}
