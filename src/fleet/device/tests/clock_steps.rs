//! A device on a machine whose wall clock steps: at the start and during the run, forward and back by two hours, with short and
//! long tokens.

use super::*;
use crate::units::human_signed_us;

const FORWARD_US: i64 = 7_200_000_000;
const BACK_US: i64 = -FORWARD_US;
const HOUR_S: u64 = 3_600;

/// Returns a fleet with tokens of this lifetime, and with a keep-alive and ack timeout that do not interfere.
fn tokens(ttl: &str) -> String {
    let quiet = "clean_session = true\nkeep_alive = \"0s\"\nack_timeout = \"3h\"";
    format!("{quiet}\nauth = {{ kind = \"sas\", ttl = \"{ttl}\", renew = \"never\" }}")
}

const RARELY: &str = "every = \"10m\"\npayload = \"${now}\"";

impl Wire {
    fn culprits(&self) -> Vec<(String, Culprit)> {
        self.measurement().errors.into_iter().map(|error| (error.class, error.culprit)).collect()
    }

    fn unix_s(&self) -> u64 {
        self.context.wall.unix(self.now).as_secs()
    }
}

#[test]
fn token_is_stamped_by_the_current_clock() {
    for by_us in [FORWARD_US, BACK_US] {
        for ttl_s in [HOUR_S, 12 * HOUR_S] {
            // The clock steps between the plan and the first attempt.
            let mut wire = Wire::stepped_at_the_start(by_us, &tokens(&format!("{ttl_s}s")), RARELY);
            assert_eq!(wire.expiry_unix(), wire.unix_s() + ttl_s, "{by_us}");
            wire.connack(0);
            wire.pass(600.0).unwrap();
            wire.close(Closed::Eof);
            // Then it steps back during the run.
            wire.context.wall.step(-by_us);
            wire.pass(60.0).unwrap();
            wire.out.clear();
            wire.attempt();
            assert_eq!(wire.expiry_unix(), wire.unix_s() + ttl_s, "{by_us}");
        }
    }
}

#[test]
fn now_in_a_payload_follows_the_clock() {
    let mut wire = Wire::online(2 * HOUR_S, &tokens("12h"), "every = \"10m\"\npayload = \"${now}\"");
    wire.context.wall.step(BACK_US);
    wire.pass(1_200.0).unwrap();
    let published = wire.sent();
    let payloads: Vec<String> = published
        .iter()
        .filter_map(|packet| match packet {
            Packet::Publish(publish) => Some(String::from_utf8_lossy(&publish.payload).into_owned()),
            _ => None,
        })
        .collect();
    // 1,800,000,000 is 2027-01-15T08:00:00Z.
    assert!(
        !payloads.is_empty() && payloads.iter().all(|text| text.starts_with("2027-01-15T06:")),
        "{payloads:?}"
    );
}

/// The hub's clock does not step, so tokens from a clock that was set back look expired to it.
#[test]
fn refusals_after_a_step_back_are_the_generators_error() {
    for (ttl, by_us, code, is_step) in [
        ("1h", BACK_US, 5, true),
        ("1h", BACK_US, 4, true),
        ("1h", BACK_US, 3, false),
        ("12h", BACK_US, 5, false),
        ("1h", FORWARD_US, 5, false),
        ("1h", 0, 5, false),
    ] {
        let mut wire = Wire::stepped_at_the_start(by_us, &tokens(ttl), RARELY);
        wire.connack(code);
        wire.close(Closed::Eof);
        let case = format!("{ttl} {} {code}", human_signed_us(by_us));
        let measurement = wire.measurement();
        let connect = measurement.of(Operation::Connect);
        assert_eq!(
            (connect.outcome(Outcome::Refused), connect.excused[Outcome::Refused]),
            (1, u64::from(is_step)),
            "{case}"
        );
        let errors: Vec<_> = measurement.errors.iter().map(|error| (&*error.class, error.culprit)).collect();
        let refused = connect::connack_class(code);
        assert_eq!(
            errors,
            [if is_step { ("clock_step", Culprit::Generator) } else { (refused, Culprit::Target) }],
            "{case}"
        );
        let stepped: Vec<_> = measurement.clock_steps.iter().map(|step| step.by_us).collect();
        assert_eq!(stepped, if by_us == 0 { vec![] } else { vec![by_us] }, "{case}");
    }
}

/// The hub's clock steps too, as the built-in hub's does, so the token expires immediately.
#[test]
fn closings_after_a_step_forward_are_the_generators_error() {
    for (ttl, is_step) in [("1h", true), ("12h", false)] {
        let mut wire = Wire::online(12 * HOUR_S, &tokens(ttl), RARELY);
        wire.pass(1_200.0).unwrap();
        let sent = wire.ack();
        wire.turn().unwrap();
        assert!(sent > 0);
        wire.context.wall.step(FORWARD_US);
        wire.pass(600.0).unwrap();
        let open = wire.sent().len() as u64;
        assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
        let measurement = wire.measurement();
        let telemetry = measurement.of(Operation::Telemetry);
        assert_eq!(
            (telemetry.outcome(Outcome::Lost), telemetry.excused[Outcome::Lost]),
            (open, if is_step { open } else { 0 })
        );
        let class = if is_step { "clock_step" } else { "closed_by_peer" };
        assert_eq!(measurement.errors.iter().map(|error| &*error.class).collect::<Vec<_>>(), [class]);
        // The next token is valid, and the device recovers.
        wire.out.clear();
        wire.attempt();
        let ttl_s = if is_step { HOUR_S } else { 12 * HOUR_S };
        assert_eq!(wire.expiry_unix(), wire.unix_s() + ttl_s);
        wire.connack(0);
        wire.ack();
        wire.turn().unwrap();
        assert_eq!(wire.device.excuse, Excuse::None, "online without a backlog");
    }
}

/// If this machine's clock stays behind, the hub closes each connection when the token expires on the hub's clock.
#[test]
fn connection_closed_two_hours_early_is_the_generators_error() {
    let mut wire = Wire::stepped_at_the_start(BACK_US, &tokens("3h"), RARELY);
    wire.connack(0);
    wire.pass(3_600.0 + 120.0).unwrap();
    wire.close(Closed::Eof);
    assert_eq!(wire.culprits(), [("clock_step".to_owned(), Culprit::Generator)]);
}

/// A hub that accepts a token from a clock that was set back has stepped too, so a later refusal has another cause.
#[test]
fn hub_that_steps_too_is_not_excused() {
    let mut wire = Wire::stepped_at_the_start(BACK_US, &tokens("1h"), RARELY);
    wire.connack(0);
    wire.pass(60.0).unwrap();
    wire.close(Closed::Eof);
    wire.pass(1.0).unwrap();
    wire.out.clear();
    wire.attempt();
    wire.connack(5);
    let mut classes: Vec<_> = wire.culprits().into_iter().map(|(class, _)| class).collect();
    classes.sort();
    assert_eq!(classes, ["closed_by_peer", "connack_5"]);
}

/// Tries certificates that expire one hour after the start of the run or become valid one hour before it.
#[test]
fn certificate_invalid_after_a_step_is_the_generators_error() {
    use crate::link::DialError;
    use rustls::CertificateError::{ExpiredContext, NotValidYetContext};
    use rustls::pki_types::UnixTime;
    let time = |seconds: u64| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let (zero_s, hour_s) = (1_800_000_000, HOUR_S);
    let expired = || ExpiredContext { time: time(zero_s), not_after: time(zero_s + hour_s) };
    let early = || NotValidYetContext { time: time(zero_s), not_before: time(zero_s - hour_s) };
    let long_expired = || ExpiredContext { time: time(zero_s), not_after: time(zero_s - 100 * hour_s) };
    for (by_us, error, is_step) in [
        (FORWARD_US, expired(), true),
        (BACK_US, early(), true),
        (FORWARD_US, long_expired(), false),
        (BACK_US, long_expired(), false),
        (FORWARD_US, rustls::CertificateError::UnknownIssuer, false),
        (0, expired(), false),
    ] {
        let mut wire = Wire::stepped_at_the_start(by_us, &tokens("1h"), RARELY);
        let error = DialError::of_tls(rustls::Error::InvalidCertificate(error));
        wire.device.dial_failed(&error, wire.now);
        let expected =
            if is_step { ("clock_step", Culprit::Generator) } else { ("tls_certificate", Culprit::Target) };
        let measurement = wire.measurement();
        let errors: Vec<_> = measurement.errors.iter().map(|error| (&*error.class, error.culprit)).collect();
        assert_eq!(errors, [expected], "{error} {by_us}");
        assert_eq!(measurement.of(Operation::Connect).excused.sum(), u64::from(is_step), "{error} {by_us}");
    }
}
