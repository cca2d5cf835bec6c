//! Peers that misbehave, each as a script: every operation ends in the outcome that the wire allows to say, every error
//! has its class and its culprit, and the run ends. Counts are asserted, never times.
//!
//! `docs/reliability.md` lists them beside what was promised.

use crate::support::address::own_address;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, is_undecided_by_stalls, totals};
use crate::support::mqtt::{CONNECT, PUBLISH, PUBREL, SUBSCRIBE};
use crate::support::script::{
    Script, Step, closes, dribbles, floods, floods_and_reads, hears, receives, sends, sends_raw, serves,
};
use crate::support::tls::Identity;
use hubstorm::result::model::RunResult;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// CONNACK, accepted, no session (MQTT 3.1.1 §3.2).
const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];
/// The ack of a device's first message.
const FIRST_ACK: [u8; 4] = [0x40, 2, 0, 1];
/// Messages that are due in a run, if nothing else is said.
const DUE: u64 = 6;
/// Ends the wait for what never comes.
const IMPATIENT: &str = r#"connect_timeout = "400ms""#;
/// Twice what a run of one device takes (20 MiB without optimisation), and well below what a peer can send in one, or a device
/// has to send.
const RSS_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// One device, one message at a time, which never comes back after a loss; and what is to be different.
struct Case {
    address: SocketAddr,
    script: Option<Script>,
    tls: &'static str,
    ca: Option<PathBuf>,
    fleet: &'static str,
    send: &'static str,
    duration: &'static str,
}

impl Case {
    fn at(address: SocketAddr) -> Case {
        Case {
            address,
            script: None,
            tls: "false",
            ca: None,
            fleet: "",
            send: "every = \"100ms\"\nqos = 1\npayload = \"x\"",
            duration: "600ms",
        }
    }

    fn script(script: Script) -> Case {
        Case { ca: script.ca(), ..Case::at(script.address()) }.with_script(script)
    }

    fn with_script(self, script: Script) -> Case {
        Case { script: Some(script), ..self }
    }

    fn plain(steps: impl IntoIterator<Item = Step>) -> Case {
        Case::script(Script::connections(steps))
    }

    /// From CONNACK on.
    fn online(steps: impl IntoIterator<Item = Step>) -> Case {
        Case::plain([receives(CONNECT), sends(ACCEPTED)].into_iter().chain(steps))
    }

    /// Over TLS.
    fn secure(identity: Identity, steps: impl IntoIterator<Item = Step>) -> Case {
        Case { tls: "true", ..Case::script(Script::connections_over_tls(identity, steps)) }
    }

    /// The device wants TLS, and the peer says what the steps say.
    fn without_tls(steps: impl IntoIterator<Item = Step>) -> Case {
        Case { tls: "{ verify = false }", ..Case::plain(steps) }
    }

    fn fleet(self, fleet: &'static str) -> Case {
        Case { fleet, ..self }
    }

    fn send(self, send: &'static str) -> Case {
        Case { send, ..self }
    }

    fn lasts(self, duration: &'static str) -> Case {
        Case { duration, ..self }
    }

    /// Runs it to its end, after which every step must have been played.
    #[track_caller]
    fn run(self, exit_code: i32) -> Seen {
        self.run_to(&[exit_code])
    }

    /// The same against a peer that floods the device. A machine that is busy with the flood cannot tell whether the missing acks are
    /// the peer's fault: then the verdict is invalid.
    #[track_caller]
    fn run_flooded(self) -> Seen {
        self.run_to(&[99, 120])
    }

    #[track_caller]
    fn run_to(self, exit_codes: &[i32]) -> Seen {
        let or = |key: &str, line: &'static str| if self.fleet.contains(key) { "" } else { line };
        let work = Workplace::new(&format!(
            r#"
drain = "500ms"
[target]
kind = "mqtt"
host = "{host}"
port = {port}
tls = {tls}
{ca}
[fleet.one]
devices = 1
id = "one"
auth = {{ kind = "none" }}
{reconnect}
{in_flight}
{fleet}
[[fleet.one.send]]
topic = "a/b"
{send}
[[phase]]
name = "only"
duration = "{duration}"
[thresholds]
"publish" = ["rate(ok) == 100%"]
{WIDE_VALIDITY}"#,
            host = self.address.ip(),
            port = self.address.port(),
            tls = self.tls,
            ca = self.ca.as_ref().map_or_else(String::new, |path| format!("ca = {path:?}")),
            reconnect = or("reconnect", r#"reconnect = { kind = "never" }"#),
            in_flight = or("in_flight", "in_flight = 1"),
            fleet = self.fleet,
            send = self.send,
            duration = self.duration,
        ))
        .without_preflight();
        let finished = work.run();
        let connections = self.script.map_or(0, Script::finish);
        let result = work.result();
        // A busy machine may keep the verdict from being a fail. What was counted stays.
        let is_undecided =
            finished.code == Some(120) && exit_codes.contains(&99) && is_undecided_by_stalls(&result);
        assert!(
            is_undecided || finished.code.is_some_and(|code| exit_codes.contains(&code)),
            "{:?}, stdout:\n{}\nstderr:\n{}",
            finished.code,
            finished.stdout,
            finished.stderr
        );
        assert!(result.generator.rss_peak_bytes < RSS_BYTES_MAX, "{} bytes", result.generator.rss_peak_bytes);
        Seen { result, connections }
    }
}

/// What a run left behind.
struct Seen {
    result: RunResult,
    connections: usize,
}

impl Seen {
    /// Exactly these outcomes.
    #[track_caller]
    fn ended(&self, operation: &str, outcomes: &[(&str, u64)]) -> &Seen {
        let wanted: BTreeMap<String, u64> =
            outcomes.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        let (_, seen) = totals(&self.result, operation);
        assert_eq!(seen, wanted, "{operation}; errors: {:#?}", self.result.errors);
        self
    }

    fn count(&self, operation: &str, outcome: &str) -> u64 {
        totals(&self.result, operation).1.get(outcome).copied().unwrap_or_default()
    }

    /// Exactly these classes of errors, each with its culprit.
    #[track_caller]
    fn errors(&self, wanted: &[(&str, &str)]) -> &Seen {
        let seen: BTreeMap<&str, &str> =
            self.result.errors.iter().map(|error| (&*error.class, error.culprit.name())).collect();
        assert_eq!(seen, BTreeMap::from_iter(wanted.iter().copied()), "{:#?}", self.result.errors);
        self
    }

    /// Asserts that the only error's example contains `part`.
    #[track_caller]
    fn example(&self, part: &str) -> &Seen {
        let [error] = &self.result.errors[..] else { panic!("{:#?}", self.result.errors) };
        assert!(error.example.contains(part), "{}", error.example);
        self
    }

    /// Asserts that a finding contains `part`.
    #[track_caller]
    fn finding(&self, part: &str) -> &Seen {
        let findings = &self.result.findings;
        assert!(findings.iter().any(|finding| finding.text.contains(part)), "{findings:#?}");
        self
    }

    #[track_caller]
    fn connections(&self, wanted: usize) -> &Seen {
        assert_eq!(self.connections, wanted);
        self
    }
}

// Dialling.

/// The one attempt ends so, and no message is ever sent.
#[track_caller]
fn cannot_connect(case: Case, outcome: &str, class: &str, culprit: &str) -> Seen {
    let seen = case.run(99);
    seen.ended("connect", &[(outcome, 1)]).ended("online", &[("unfinished", 1)]);
    seen.ended("publish", &[("unfinished", DUE)]).errors(&[(class, culprit)]);
    seen
}

#[test]
fn nobody_listens() {
    let free = crate::support::address::listen(own_address()).local_addr().expect("it was bound");
    cannot_connect(Case::at(free), "refused", "tcp_refused", "peer");
}

#[test]
fn never_accepts() {
    let full = FullQueue::new();
    cannot_connect(Case::at(full.address).fleet(IMPATIENT), "timed_out", "tcp_timeout", "network");
}

#[test]
fn accepts_and_is_silent() {
    let case = Case::plain([receives(CONNECT), Step::Holds]).fleet(IMPATIENT);
    cannot_connect(case, "timed_out", "connack_timeout", "peer");
}

#[test]
fn accepts_and_is_silent_where_tls_is_wanted() {
    let case = Case::without_tls([hears(), Step::Holds]).fleet(IMPATIENT);
    cannot_connect(case, "timed_out", "tls_timeout", "peer");
}

#[test]
fn resets_in_the_handshake() {
    cannot_connect(Case::without_tls([hears(), Step::Resets]), "lost", "reset", "network")
        .example("the connection was reset during the TLS handshake")
        .finding("set tls = false");
}

#[test]
fn closes_in_the_handshake() {
    cannot_connect(Case::without_tls([hears(), Step::Ends]), "lost", "closed_by_peer", "peer")
        .example("the server closed the connection during the TLS handshake")
        .finding("set tls = false");
}

/// It is chance whether the dial, the first read or the first write reports the reset. Every attempt has the same class and outcome.
#[test]
fn an_immediate_reset_always_has_the_same_class() {
    let reconnect = r#"reconnect = { kind = "fixed", delay = "20ms" }"#;
    for (case, step) in
        [(Case::plain([Step::Resets]), "connect.mqtt"), (Case::without_tls([Step::Resets]), "connect.tls")]
    {
        // On a busy machine the verdict may be invalid. Only the counts matter here.
        let seen = case.fleet(reconnect).run_to(&[99, 120]);
        let (attempts, outcomes) = totals(&seen.result, "connect");
        assert!(attempts >= 2, "{attempts} attempts");
        let lost = outcomes.get("lost").copied().unwrap_or_default();
        assert!(
            lost >= attempts - 1 && outcomes.keys().all(|name| name == "lost" || name == "unfinished"),
            "{outcomes:?}"
        );
        assert_eq!(totals(&seen.result, step).1.get("lost").copied(), Some(lost), "{step}");
        let (_, tcp) = totals(&seen.result, "connect.tcp");
        assert!(
            tcp.keys().all(|name| name == "ok" || name == "unfinished"),
            "TCP's handshake was done: {tcp:?}"
        );
        seen.errors(&[("reset", "network")]);
    }
}

#[test]
fn answers_the_handshake_with_something_else() {
    let case = Case::without_tls([hears(), sends(*b"HTTP/1.1 400 Bad Request\r\n\r\n"), Step::Holds]);
    cannot_connect(case, "lost", "tls", "peer").example("the answer is not TLS");
}

#[test]
fn refuses_the_handshake_with_an_alert() {
    // A fatal handshake_failure (RFC 8446 §6), in the clear as before any key is agreed on.
    let case = Case::without_tls([hears(), sends([0x15, 3, 3, 0, 2, 2, 40]), Step::Holds]);
    cannot_connect(case, "lost", "tls", "peer");
}

#[test]
fn shows_the_certificate_of_another_host() {
    let case = Case::secure(Identity::of_another_host(), [Step::Holds]);
    cannot_connect(case, "lost", "tls_certificate", "peer");
}

#[test]
fn shows_an_expired_certificate() {
    cannot_connect(Case::secure(Identity::expired(), [Step::Holds]), "lost", "tls_certificate", "peer");
}

#[test]
fn shows_a_certificate_of_an_unknown_authority() {
    let case = Case::secure(Identity::of_an_unknown_authority(), [Step::Holds]);
    cannot_connect(case, "lost", "tls_certificate", "peer");
}

// TLS in mid-stream.

#[track_caller]
fn breaks_tls(steps: [Step; 2], class: &str) {
    let steps = [receives(CONNECT), sends(ACCEPTED), receives(PUBLISH)].into_iter().chain(steps);
    let seen = Case::secure(Identity::good(), steps).run(99);
    seen.ended("connect", &[("ok", 1)]).ended("publish", &[("lost", 1), ("unfinished", DUE - 1)]);
    seen.errors(&[(class, "peer")]).connections(1);
}

#[test]
fn a_tls_alert_in_mid_stream() {
    breaks_tls([Step::Alerts, Step::Holds], "tls_alert");
}

#[test]
fn garbage_below_tls_in_mid_stream() {
    breaks_tls([sends_raw([0x17, 3, 3, 0, 4, 1, 2, 3, 4]), Step::Holds], "tls_alert");
}

#[test]
fn the_end_of_tls_without_its_goodbye() {
    breaks_tls([Step::Ends, Step::Holds], "closed_by_peer");
}

// CONNACK.

#[track_caller]
fn refuses_with(code: u8, class: &str) {
    let case = Case::plain([receives(CONNECT), sends([0x20, 2, 0, code]), Step::Holds]);
    cannot_connect(case, "refused", class, "peer");
}

#[test]
fn refuses_the_protocol_version() {
    refuses_with(1, "connack_1");
}

#[test]
fn refuses_the_client_id() {
    refuses_with(2, "connack_2");
}

#[test]
fn refuses_because_it_is_unavailable() {
    refuses_with(3, "connack_3");
}

#[test]
fn refuses_the_user_name_or_password() {
    refuses_with(4, "connack_4");
}

#[test]
fn refuses_because_the_device_is_not_authorised() {
    refuses_with(5, "connack_5");
}

#[test]
fn refuses_with_a_code_that_mqtt_does_not_know() {
    refuses_with(0x87, "connack_unknown");
}

#[test]
fn half_a_connack_and_silence() {
    let case = Case::plain([receives(CONNECT), sends([0x20, 2, 0]), Step::Holds]).fleet(IMPATIENT);
    cannot_connect(case, "timed_out", "connack_timeout", "peer");
}

#[test]
fn a_connack_that_is_too_short() {
    let case = Case::plain([receives(CONNECT), sends([0x20, 1, 0]), Step::Holds]);
    cannot_connect(case, "lost", "protocol_error", "peer");
}

#[test]
fn another_packet_than_connack_first() {
    let case = Case::plain([receives(CONNECT), sends(*b"\x30\x04\x00\x01tx"), Step::Holds]);
    cannot_connect(case, "lost", "protocol_error", "peer");
}

#[test]
fn answers_with_a_tls_alert() {
    let case = Case::plain([receives(CONNECT), sends([0x15, 3, 3, 0, 2, 2, 70]), Step::Holds]);
    cannot_connect(case, "lost", "protocol_error", "peer").finding("set tls = true");
}

#[test]
fn closes_instead_of_connack() {
    cannot_connect(Case::plain([receives(CONNECT), Step::Ends]), "lost", "closed_by_peer", "peer")
        .example("the server closed the connection before CONNACK")
        .finding("set tls = true");
}

#[test]
fn resets_instead_of_connack() {
    cannot_connect(Case::plain([receives(CONNECT), Step::Resets]), "lost", "reset", "network")
        .example("the connection was reset before CONNACK")
        .finding("set tls = true");
}

// What no server may send.

/// The peer says this once a message is out: the connection ends, and the message is lost.
#[track_caller]
fn breaks_the_protocol(bytes: &[u8]) {
    let seen = Case::online([receives(PUBLISH), sends(bytes), Step::Holds]).run(99);
    seen.ended("connect", &[("ok", 1)]).ended("publish", &[("lost", 1), ("unfinished", DUE - 1)]);
    seen.errors(&[("protocol_error", "peer")]).connections(1);
}

#[test]
fn a_second_connack() {
    breaks_the_protocol(&ACCEPTED);
}

#[test]
fn an_ack_for_an_id_that_is_not_in_use() {
    breaks_the_protocol(&[0x40, 2, 0x7f, 0xff]);
}

#[test]
fn an_ack_for_id_0() {
    breaks_the_protocol(&[0x40, 2, 0, 0]);
}

#[test]
fn an_ack_of_qos_2() {
    breaks_the_protocol(&[0x50, 2, 0, 1]);
}

/// For the first message at once, and again long after it is complete. Each PUBREC gets a PUBREL, and each PUBREL may get a PUBCOMP.
#[test]
fn repeats_pubrec() {
    let [rec, comp] = [0x50, 0x70].map(|first| move |id: u8| [first, 2, 0, id]);
    let at_once = [sends([rec(1), rec(1)].concat()), receives(PUBREL), receives(PUBREL)];
    let late = [sends([rec(1), rec(2)].concat()), receives(PUBREL), receives(PUBREL)];
    let mut steps = vec![receives(PUBLISH)];
    steps.extend(at_once);
    steps.extend([sends([comp(1), comp(1)].concat()), receives(PUBLISH)]);
    steps.extend(late);
    steps.push(sends([comp(1), comp(2)].concat()));
    for id in 3..=6 {
        steps.extend([receives(PUBLISH), sends(rec(id)), receives(PUBREL), sends(comp(id))]);
    }
    steps.push(serves(usize::MAX));
    let seen = Case::online(steps).send("every = \"100ms\"\nqos = 2\npayload = \"x\"").run(0);
    seen.ended("publish", &[("ok", DUE)]).errors(&[]).connections(1);
}

/// Session Present on a clean session (MQTT 3.1.1 §3.2.2.2): the connection continues, and there is a finding.
#[test]
fn announces_a_session_on_a_clean_connection() {
    let case = Case::plain([receives(CONNECT), sends([0x20, 2, 1, 0]), serves(usize::MAX)]);
    let seen = case.run(0);
    seen.ended("publish", &[("ok", DUE)]).errors(&[]).connections(1);
    assert_eq!(seen.result.fleets[0].counts.clean_sessions_present, 1);
    let findings = &seen.result.findings;
    assert!(findings.iter().any(|finding| finding.text.contains("3.2.2.2")), "{findings:#?}");
}

#[test]
fn an_answer_to_a_ping_that_was_not_sent() {
    breaks_the_protocol(&[0xd0, 0]);
}

#[test]
fn a_suback_that_was_not_asked_for() {
    breaks_the_protocol(&[0x90, 3, 0xff, 0, 0]);
}

#[test]
fn a_packet_that_only_clients_send() {
    breaks_the_protocol(&[0xe0, 0]);
}

#[test]
fn a_message_at_qos_3() {
    breaks_the_protocol(b"\x36\x06\x00\x01t\x00\x01x");
}

#[test]
fn a_topic_that_is_not_utf_8() {
    breaks_the_protocol(b"\x30\x04\x00\x02\xff\xfe");
}

#[test]
fn a_topic_that_ends_behind_its_packet() {
    breaks_the_protocol(b"\x30\x03\x00\x09t");
}

#[test]
fn a_reserved_packet_type() {
    breaks_the_protocol(&[0x00, 0]);
}

/// Were it believed, what follows would be kept until all of it is there.
#[test]
fn a_length_beyond_every_message() {
    let announced = sends([0x30, 0xff, 0xff, 0xff, 0x7f]);
    let seen = Case::online([receives(PUBLISH), announced, floods(vec![0; 64 * 1024])]).run(99);
    seen.ended("connect", &[("ok", 1)]).ended("publish", &[("lost", 1), ("unfinished", DUE - 1)]);
    seen.errors(&[("protocol_error", "peer")]).connections(1);
}

#[test]
fn a_length_of_five_bytes() {
    breaks_the_protocol(&[0x30, 0xff, 0xff, 0xff, 0xff, 1]);
}

#[test]
fn a_storm_of_acks() {
    let seen = Case::online([receives(PUBLISH), floods([0x40, 2, 0x7f, 0xff].repeat(4096))]).run(99);
    seen.ended("publish", &[("lost", 1), ("unfinished", DUE - 1)]).errors(&[("protocol_error", "peer")]);
}

#[test]
fn an_ack_that_comes_twice_is_one_ack() {
    let seen = Case::online([receives(PUBLISH), sends([FIRST_ACK, FIRST_ACK].concat()), Step::Holds]).run(99);
    seen.ended("publish", &[("ok", 1), ("unfinished", DUE - 1)]).errors(&[("protocol_error", "peer")]);
}

/// What MQTT forbids and no device has to mind.
#[test]
fn reserved_bits_are_not_minded() {
    let steps = [receives(CONNECT), sends([0x20, 2, 0xfe, 0]), receives(PUBLISH), sends([0x4f, 2, 0, 1])];
    let seen = Case::plain(steps.into_iter().chain([serves(usize::MAX)])).run(0);
    assert_eq!(all_ok(&seen.result, "publish"), DUE);
    seen.errors(&[]).connections(1);
}

#[test]
fn bytes_one_at_a_time() {
    let steps = [receives(CONNECT), dribbles(ACCEPTED), dribbles(*b"\x30\x04\x00\x01tx"), serves(1)];
    for seen in [Case::plain(steps.clone()).run(0), Case::secure(Identity::good(), steps).run(0)] {
        assert_eq!(all_ok(&seen.result, "publish"), DUE);
        seen.errors(&[]).connections(1);
    }
}

// SUBACK.

const SUBSCRIBES: &str = r#"subscribe = ["c/d"]"#;

#[test]
fn refuses_a_subscription() {
    let steps = [receives(SUBSCRIBE), sends([0x90, 3, 0xff, 0, 0x80]), serves(usize::MAX)];
    let seen = Case::online(steps).fleet(SUBSCRIBES).run(0);
    seen.ended("subscribe", &[("refused", 1)]).errors(&[("subscribe_refused", "peer")]);
    assert_eq!(all_ok(&seen.result, "publish"), DUE);
}

#[test]
fn never_answers_a_subscription() {
    let seen = Case::online([receives(SUBSCRIBE), serves(usize::MAX)]).fleet(SUBSCRIBES).run(0);
    seen.ended("subscribe", &[("unfinished", 1)]).errors(&[]);
    assert_eq!(all_ok(&seen.result, "publish"), DUE);
}

#[test]
fn does_not_answer_a_subscription_in_time() {
    let fleet = "subscribe = [\"c/d\"]\nack_timeout = \"500ms\"";
    let seen = Case::online([receives(SUBSCRIBE), serves(usize::MAX)]).fleet(fleet).run(0);
    seen.ended("subscribe", &[("timed_out", 1)]).errors(&[("subscribe_timeout", "peer")]).connections(1);
    assert_eq!(all_ok(&seen.result, "publish"), DUE);
}

#[test]
fn answers_a_subscription_with_too_many_codes() {
    let seen = Case::online([receives(SUBSCRIBE), sends([0x90, 4, 0xff, 0, 0, 0]), Step::Holds])
        .fleet(SUBSCRIBES)
        .run(99);
    seen.errors(&[("protocol_error", "peer")]);
    assert_eq!(seen.count("publish", "ok"), 0);
}

// Silence.

#[test]
fn half_a_frame_and_silence() {
    let case = Case::online([receives(PUBLISH), sends([0x40, 2, 0]), Step::Holds]);
    let seen = case.fleet("ack_timeout = \"200ms\"\nsend_by = \"10s\"").run(99);
    seen.ended("publish", &[("timed_out", 1), ("unfinished", DUE - 1)]);
    seen.errors(&[("ack_stall", "peer"), ("ack_timeout", "peer")]).connections(1);
}

#[test]
fn fin_in_mid_frame() {
    let seen = Case::online([receives(PUBLISH), sends([0x40, 2, 0]), Step::Ends]).run(99);
    seen.ended("publish", &[("lost", 1), ("unfinished", DUE - 1)]).errors(&[("closed_by_peer", "peer")]);
}

#[test]
fn rst_in_mid_frame() {
    let seen = Case::online([receives(PUBLISH), sends([0x40, 2, 0]), Step::Resets]).run(99);
    seen.ended("publish", &[("lost", 1), ("unfinished", DUE - 1)]).errors(&[("reset", "network")]);
}

#[test]
fn never_answers_a_ping() {
    // Nothing is sent for a second while the one message waits for its ack.
    let seen =
        Case::online([receives(PUBLISH), Step::Holds]).fleet("keep_alive = \"1s\"").lasts("4s").run(99);
    seen.ended("ping", &[("timed_out", 1)]).errors(&[("ping_timeout", "peer")]).connections(1);
    assert_eq!(seen.count("publish", "lost"), 1);
}

#[test]
fn an_ack_for_a_quarantined_id_is_late_and_nothing_else() {
    // The fifth message finds room when the first has timed out, and not before.
    let messages =
        [receives(PUBLISH), receives(PUBLISH), receives(PUBLISH), receives(PUBLISH), receives(PUBLISH)];
    let acks = (1..=5).flat_map(|id| [0x40, 2, 0, id]).collect::<Vec<u8>>();
    let seen = Case::online(messages.into_iter().chain([sends(acks), serves(usize::MAX)]))
        .fleet("in_flight = 4\nack_timeout = \"2s\"")
        .send("every = \"500ms\"\nqos = 1\npayload = \"x\"")
        .lasts("4s")
        .run(99);
    let late = seen.result.fleets[0].counts.late_acks;
    assert!(late >= 1, "{late}");
    seen.ended("publish", &[("ok", 8 - late), ("timed_out", late)]).errors(&[("ack_timeout", "peer")]);
    seen.connections(1);
}

// More than it should, and less than it must.

/// In a second more than the socket buffers of both ends hold, and more than `RSS_BYTES_MAX`.
const BIG: &str = "rate = \"1000/s\"\nqos = 1\npayload = { size = 262144 }";

#[test]
fn stops_reading_until_our_buffers_fill() {
    let seen = Case::online([Step::Ignores])
        .fleet("in_flight = 4000\nkeep_alive = \"1s\"")
        .send(BIG)
        .lasts("4s")
        .run(99);
    seen.errors(&[("ping_timeout", "peer")]).connections(1);
    assert_eq!(seen.count("publish", "ok"), 0);
    assert!(seen.count("publish", "lost") >= 10, "{:?}", totals(&seen.result, "publish"));
}

#[test]
fn stops_reading_and_keep_alive_is_off() {
    let seen = Case::online([Step::Ignores])
        .fleet("in_flight = 1000\nkeep_alive = \"0s\"")
        .send(BIG)
        .lasts("1s")
        .run(99);
    seen.ended("publish", &[("unfinished", 1000)]).errors(&[]).connections(1);
}

/// A small one, with QoS 1.
const MESSAGE: &[u8] = b"\x32\x06\x00\x01t\x00\x01x";

#[test]
fn sends_without_end_and_reads_nothing() {
    let seen = Case::online([floods(MESSAGE.repeat(1000))]).fleet("in_flight = 10").run_flooded();
    seen.ended("connect", &[("ok", 1)]).ended("publish", &[("unfinished", DUE)]);
}

/// Each message is answered, and they come faster than that.
#[test]
fn sends_without_end_and_reads_the_answers() {
    let case = Case::online([floods_and_reads(MESSAGE.repeat(8192))]).fleet("in_flight = 10").lasts("4s");
    let seen = case.run_flooded();
    seen.ended("connect", &[("ok", 1)]).ended("publish", &[("unfinished", 40)]).errors(&[]);
}

// Back-off: a dead hub is not hammered, in whatever way it is dead.

const BACKS_OFF: &str =
    r#"reconnect = { kind = "exponential", base = "100ms", max = "60s", jitter = "none" }"#;

/// In a second there is time for four attempts: 100, 200, 400 and 800 ms lie between them and the next, at least.
#[track_caller]
fn is_not_hammered(case: Case) -> Seen {
    let seen = case.fleet(BACKS_OFF).lasts("1s").run(99);
    let (attempts, _) = totals(&seen.result, "connect");
    assert!((2..=4).contains(&attempts), "{attempts} attempts");
    seen
}

#[test]
fn nobody_listens_for_ever() {
    let free = crate::support::address::listen(own_address()).local_addr().expect("it was bound");
    is_not_hammered(Case::at(free)).errors(&[("tcp_refused", "peer")]);
}

#[test]
fn refuses_for_ever() {
    let case = Case::plain([receives(CONNECT), sends([0x20, 2, 0, 3]), closes()]);
    is_not_hammered(case).errors(&[("connack_3", "peer")]);
}

#[test]
fn resets_for_ever() {
    let case = Case::plain([receives(CONNECT), Step::Resets]);
    is_not_hammered(case).errors(&[("reset", "network")]);
}

#[test]
fn closes_at_once_after_connack_for_ever() {
    let seen = is_not_hammered(Case::online([Step::Ends]));
    seen.errors(&[("closed_by_peer", "peer")]);
    let (attempts, outcomes) = totals(&seen.result, "connect");
    assert_eq!(outcomes.get("ok"), Some(&attempts), "each was accepted");
    let told = seen.result.findings.iter().any(|finding| finding.text.contains("share an id"));
    assert_eq!(told, attempts >= 3, "{:#?}", seen.result.findings);
}

#[test]
fn resets_at_once_after_connack_for_ever() {
    let seen = is_not_hammered(Case::online([Step::Resets]));
    seen.errors(&[("reset", "network")]);
    let (attempts, _) = totals(&seen.result, "connect");
    let told = seen.result.findings.iter().find(|finding| finding.text.contains("closed or reset within"));
    let evidence = told.map(|finding| finding.evidence.as_str());
    assert_eq!(evidence, (attempts >= 3).then_some("1 of 1 device"), "{:#?}", seen.result.findings);
}

/// A listener whose queue is full: the kernel drops what else would come in.
struct FullQueue {
    address: SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl FullQueue {
    fn new() -> FullQueue {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let listener = listener.expect("a socket");
        listener.bind(&SocketAddr::new(own_address(), 0).into()).expect("loopback has free ports");
        listener.listen(0).expect("it is bound");
        let address =
            listener.local_addr().ok().and_then(|address| address.as_socket()).expect("it is bound");
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let waiting = std::iter::from_fn(connect).collect();
        FullQueue { address, _listener: listener, _waiting: waiting }
    }
}
