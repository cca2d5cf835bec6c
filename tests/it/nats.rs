//! `run` and Paho against Debian's nats-server 2.9. NATS stores a message at QoS 1 before it acknowledges it, so an
//! acknowledged message survives a `kill -9`. A subscriber may then receive messages again, because NATS stores its progress later.

use crate::support::hubstorm::{Workplace, totals};
use crate::support::nats::nats;
use crate::support::trial::{self, Paho};

#[test]
fn counts_at_qos_0_and_1_over_tls_agree_with_paho() {
    trial::counts_agree(&nats(true), 1);
}

#[test]
fn kept_sessions_lose_nothing_when_connections_are_reset() {
    trial::resets_lose_nothing(&nats(false));
}

#[test]
fn acknowledged_messages_survive_a_broker_kill() {
    let report = trial::kill_in_mid_run(&mut nats(false), 1, Paho::Stays);
    let complete = report.of("up/kept/").all(|arrivals| trial::gaps(&arrivals.seqs) == 0);
    assert!(complete, "{report:?}");
}

/// NATS 2.9 does not support QoS 2, and MQTT 3.1.1 has no error code for that, so it closes the connection.
#[test]
fn close_at_qos_2_is_the_servers_error() {
    let broker = nats(false);
    let work = Workplace::new(&trial::one_stream(broker.address(), 2));
    work.run().exits(0);
    let result = work.result();
    let (due, outcomes) = totals(&result, "publish");
    assert!(due > 0 && !outcomes.contains_key("ok"), "{outcomes:?}");
    let closed = |class: &str| result.errors.iter().any(|error| error.class == class);
    assert!(closed("closed_by_peer") && !closed("protocol_error"), "{:#?}", result.errors);
    assert!(
        result.findings.iter().any(|finding| finding.text.contains("rejecting a packet after CONNECT")),
        "{:#?}",
        result.findings
    );
}
