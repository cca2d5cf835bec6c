//! Tests for any broker: traffic, resets, `kill -9`. Paho counts the deliveries independently. Used by `aedes` and `nats`.

use super::address::own_address;
use super::conversation::Conversation;
use super::hubstorm::{Running, WIDE_VALIDITY, Workplace, all_ok, rows};
use super::local_broker::LocalBroker;
use super::proxy::Proxy;
use super::subscriber::{Report, Subscriber};
use hubstorm::measure::Outcome;
use hubstorm::result::model::RunResult;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Longer than the run, because a reset ends the freeze.
const FREEZE: Duration = Duration::from_secs(600);

/// A scenario with time to connect and subscribe before the load.
pub(super) fn scenario(address: SocketAddr, ca: Option<&Path>, steady: &str, more: &str) -> String {
    format!(
        r#"
seed = 11
drain = "60s"
[target]
kind = "mqtt"
host = "{host}"
port = {port}
{ca}
{more}
[[phase]]
name = "ramp"
warmup = true
duration = "500ms"
online = "0% -> 100%"
load = "0%"
[[phase]]
name = "settle"
warmup = true
duration = "1500ms"
load = "0%"
[[phase]]
name = "steady"
duration = "{steady}"
{WIDE_VALIDITY}"#,
        host = address.ip(),
        port = address.port(),
        ca = ca.map(|file| format!("ca = \"{}\"", file.display())).unwrap_or_default(),
    )
}

/// Sends at every QoS up to `qos_max` from sensors to collectors, over TLS. Sensors' acknowledgments, collectors' deliveries and Paho's
/// messages are equal in number.
pub fn counts_agree(broker: &LocalBroker, qos_max: u8) {
    let sends: String =
        (1..=qos_max).map(|qos| send("sensor", &format!("up/q{qos}"), qos, "200ms")).collect();
    let fleets = format!(
        "[fleet.sensor]\ndevices = 10\n{sends}{zero}\n\
         [fleet.zeros]\ndevices = 2\nsubscribe = [{{ filter = \"zero/+\", qos = 0 }}]\n\
         [fleet.ups]\ndevices = 2\nsubscribe = [{{ filter = \"up/+/+\", qos = {qos_max} }}]",
        zero = send("sensor", "zero", 0, "200ms"),
    );
    let ca = broker.ca();
    let [mut zeros, mut ups] = [("zero/+", 0), ("up/+/+", qos_max)]
        .map(|(filter, qos)| Subscriber::start(broker.address(), ca.as_deref(), &[filter], qos));
    let work = Workplace::new(&scenario(broker.address(), ca.as_deref(), "3s", &fleets));
    work.run().exits(0);
    let result = work.result();
    assert!(result.run.target.tls.as_ref().is_some_and(|tls| tls.verified));
    assert_eq!(all_ok(&result, "connect.tls"), 14);
    let [handed_over, acked] = [all_ok(&result, "publish.qos0"), all_ok(&result, "publish")];
    // 3 s at 5/s, minus one: regular arrivals are within one of the planned number.
    assert!(handed_over >= 10 * 14 && acked >= u64::from(qos_max) * 10 * 14, "{handed_over}, {acked}");
    assert_eq!(all_ok(&result, "deliver"), 2 * (handed_over + acked));
    assert!(result.errors.is_empty(), "{:#?}", result.errors);

    for (subscriber, count) in [(&mut zeros, handed_over), (&mut ups, acked)] {
        let report = subscriber.report(count);
        assert_eq!(report.messages(""), count, "{report:?}");
        assert_eq!([report.duplicates("zero/"), report.duplicates("up/q2/")], [0, 0], "{report:?}");
        assert!(report.topics.values().all(|topic| gaps(&topic.seqs) == 0), "{report:?}");
    }
}

/// A scenario of ten devices that send at one QoS, over plain TCP.
pub fn one_stream(address: SocketAddr, qos: u8) -> String {
    scenario(
        address,
        None,
        "3s",
        &("[fleet.sensor]\ndevices = 10\n".to_owned() + &send("sensor", "up/one", qos, "200ms")),
    )
}

/// Resets every connection of devices with persistent sessions three times while messages are unacknowledged. Paho receives each
/// message. The recorded packets show that devices resend each unacknowledged message as the standard requires.
pub fn resets_lose_nothing(broker: &LocalBroker) {
    let proxy = Proxy::recording(own_address(), broker.address());
    let address = SocketAddr::new(broker.address().ip(), proxy.port());
    let mut subscriber = Subscriber::start(broker.address(), None, &["up/+/+"], 1);
    let work = Workplace::new(&scenario(address, None, "1h", &kept_fleet(10, 16, 1))).without_preflight();
    let running = work.start();
    // Every device sends, so it has subscribed before.
    subscriber.reaches("up/kept/", 10, 3);
    let mut arrived = subscriber.waits_for(0);
    let mut resets = 0;
    for answers_only in [false, true, false] {
        arrived = subscriber.waits_for(arrived + 50);
        if answers_only {
            // The broker has these messages, and their devices have no PUBACK.
            proxy.hold_answers();
            arrived = subscriber.waits_for(0);
            arrived = subscriber.waits_for(arrived + 50);
        } else {
            // The broker does not have these messages.
            proxy.freeze_for(FREEZE);
            proxy.wait_until_it_holds();
        }
        resets += proxy.reset();
    }
    // A device may resend a whole window. Only a later message shows that the device has reconnected.
    let after = subscriber.highest() + 20;
    subscriber.reaches("up/kept/", 10, after);
    let result = ctrl_c(&work, running);
    let published = all_ok(&result, "publish");
    let [error] = &result.errors[..] else { panic!("one class expected: {:#?}", result.errors) };
    assert_eq!((error.class.as_str(), error.culprit.name()), ("reset", "network"), "{error:?}");
    assert_eq!(error.count, resets as u64, "{error:?}");

    let report = subscriber.report(published);
    assert_eq!(report.messages("up/kept/"), published, "{report:?}");
    assert!(report.topics.values().all(|topic| gaps(&topic.seqs) == 0), "{report:?}");
    let wire = Conversation::read(&proxy.recorded());
    judge_wire(&wire, published);
    assert!(wire.duplicates() > wire.repeated(), "a device sent a message again that the proxy had dropped");
    let duplicates = report.duplicates("up/kept/");
    assert!((1..=wire.repeated()).contains(&duplicates), "{duplicates} of {}", wire.repeated());
}

/// MQTT 3.1.1 §4.4: the session survives a reset, and the device resends unacknowledged messages with DUP and the same packet id.
fn judge_wire(wire: &Conversation, published: u64) {
    assert_eq!(wire.sessions.len(), 10);
    for (device, sessions) in &wire.sessions {
        assert!(sessions.len() > 1, "{device} was never reset");
        assert!(
            sessions.iter().enumerate().all(|(number, present)| *present == (number > 0)),
            "{sessions:?}"
        );
    }
    assert_eq!(wire.messages.len() as u64, published);
    for (message, sendings) in &wire.messages {
        let (first, again) = sendings.split_first().expect("it was sent");
        let as_a_duplicate = again.iter().all(|one| one.duplicate && one.packet_id == first.packet_id);
        let acked_at_last = sendings.last().is_some_and(|last| last.acked);
        assert!(as_a_duplicate && acked_at_last, "{message:?}: {sendings:?}");
    }
}

/// What Paho does while the broker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paho {
    /// It is connected, and reconnects by itself.
    Stays,
    /// It has subscribed and disconnected. After the run it connects and receives the messages stored in its session.
    IsAway,
}

/// Kills the broker during a run while devices wait for acknowledgments at `qos`, and starts it again. Devices with persistent
/// sessions have at most one message in flight, and all their messages end `ok`. Returns Paho's report; the caller checks the
/// topics `up/kept/`.
pub fn kill_in_mid_run(broker: &mut LocalBroker, qos: u8, paho: Paho) -> Report {
    const KEPT: usize = 4;
    const CLEAN: usize = 6;
    const QOS_0: usize = 4;
    let fleets = [
        kept_fleet(KEPT, 1, qos),
        format!("[fleet.clean]\ndevices = {CLEAN}\nreconnect = {RECONNECT}\n"),
        send("clean", "up/clean", qos, "100ms"),
        format!("[fleet.zero]\ndevices = {QOS_0}\nreconnect = {RECONNECT}\n"),
        send("zero", "zero", 0, "100ms"),
    ];
    let mut watcher = Subscriber::start(broker.address(), None, &["zero/+", "up/+/+"], 0);
    let mut subscriber = Subscriber::start(broker.address(), None, &["up/+/+"], qos);
    if paho == Paho::IsAway {
        subscriber.leaves();
    }
    let work = Workplace::new(&scenario(broker.address(), None, "1h", &fleets.concat())).without_preflight();
    let running = work.start();
    watcher.reaches("", KEPT + CLEAN + QOS_0, 10);
    // More than the connections of the two other fleets, so at least one has a clean session.
    broker.kill_with_unread(CLEAN + QOS_0);
    broker.restart();
    // A device may resend one message. Only the second new message shows that the device has reconnected.
    let after = watcher.highest() + 2;
    watcher.reaches("", KEPT + CLEAN + QOS_0, after);
    let result = ctrl_c(&work, running);
    judge_errors(&result, (KEPT + CLEAN + QOS_0) as u64);

    // Without a persistent session, unacknowledged messages are lost for hubstorm; Paho may have received them.
    let kept = outcomes(&result, "publish", "kept");
    assert!(kept.due >= KEPT as u64 * 10 && kept.ok == kept.due, "{kept:?}: {:#?}", result.errors);
    let clean = outcomes(&result, "publish", "clean");
    assert!(clean.due >= CLEAN as u64 * 10 && clean.lost > 0, "{clean:?}");
    assert_eq!(clean.ok + clean.lost, clean.due, "{clean:?}");
    if paho == Paho::IsAway {
        subscriber.returns();
    }
    let report = subscriber.report(kept.ok + clean.ok);
    let (first, later) = report.sessions.split_first().expect("Paho connected");
    assert!(!first && !later.is_empty() && later.iter().all(|kept| *kept), "{:?}", report.sessions);
    let received = report.messages("up/clean/");
    assert!((clean.ok..=clean.due).contains(&received), "{received}, {clean:?}: {report:?}");
    assert!(report.messages("up/kept/") <= kept.ok, "{report:?}");

    // At QoS 0 a publisher cannot know which messages arrive.
    let zero = outcomes(&result, "publish.qos0", "zero");
    assert_eq!(zero.ok + zero.lost, zero.due, "{zero:?}");
    let received = watcher.report(0);
    assert!((1..=zero.ok).contains(&received.messages("zero/")), "{zero:?}: {received:?}");
    assert_eq!(received.duplicates("zero/"), 0, "{received:?}");
    report
}

/// Interrupts a run in its long phase, and waits for its last acknowledgments.
pub(super) fn ctrl_c(work: &Workplace, running: Running) -> RunResult {
    running.interrupt();
    running.wait().exits(105);
    work.result()
}

/// Asserts that each connection was lost once, and that the load generator caused no error.
fn judge_errors(result: &RunResult, connections: u64) {
    let errors = &result.errors;
    assert!(errors.iter().all(|error| error.culprit.name() != "us"), "{errors:#?}");
    let broken = errors.iter().filter(|error| ["reset", "closed_by_peer"].contains(&error.class.as_str()));
    assert_eq!(broken.map(|error| error.count).sum::<u64>(), connections, "{errors:#?}");
    assert!(errors.iter().any(|error| (error.class.as_str(), error.culprit.name()) == ("reset", "network")));
}

pub(super) const RECONNECT: &str = r#"{ kind = "fixed", delay = "200ms" }"#;

/// Devices with persistent sessions. They subscribe because Aedes keeps no session without a subscription; the topic has no publisher.
pub(super) fn kept_fleet(devices: usize, in_flight: usize, qos: u8) -> String {
    format!(
        "[fleet.kept]\ndevices = {devices}\nclean_session = false\nin_flight = {in_flight}\n\
         reconnect = {RECONNECT}\nsubscribe = [\"command/${{device}}\"]\n{}",
        send("kept", "up/kept", qos, "100ms")
    )
}

pub(super) fn send(fleet: &str, topic: &str, qos: u8, every: &str) -> String {
    format!(
        r#"
[[fleet.{fleet}.send]]
every = "{every}"
qos = {qos}
topic = "{topic}/${{device}}"
payload = '{{"seq":${{seq}},"stamp":"${{stamp}}"}}'
"#
    )
}

/// How a fleet's operations ended, over the phases.
#[derive(Debug)]
pub(super) struct Outcomes {
    pub(super) due: u64,
    pub(super) ok: u64,
    pub(super) lost: u64,
}

pub(super) fn outcomes(result: &RunResult, operation: &str, fleet: &str) -> Outcomes {
    let rows: Vec<_> = rows(result, operation).into_iter().filter(|row| row.fleet == fleet).collect();
    let sum = |outcome| rows.iter().map(|row| row.outcome(outcome)).sum();
    let due = rows.iter().map(|row| row.due).sum();
    Outcomes { due, ok: sum(Outcome::Ok), lost: sum(Outcome::Lost) }
}

/// The number of missing sequence numbers from 0 to the highest.
pub fn gaps(seqs: &[u64]) -> u64 {
    seqs.last().map_or(0, |last| last + 1 - seqs.len() as u64)
}
