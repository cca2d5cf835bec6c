//! Connection attempts that fail before CONNECT, in TCP or in the TLS handshake.

use super::{Case, SHORT_CONNECT_TIMEOUT, cannot_connect};
use crate::support::address::own_address;
use crate::support::hubstorm::totals;
use crate::support::mqtt::CONNECT;
use crate::support::script::{Step, receives, receives_bytes, sends};
use crate::support::tls::Identity;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[test]
fn closed_port_is_refused() {
    let free = crate::support::address::listen(own_address()).local_addr().expect("it was bound");
    cannot_connect(Case::at(free), "refused", "tcp_refused", "peer");
}

#[test]
fn full_accept_queue_times_out() {
    let full = FullQueue::new();
    cannot_connect(
        Case::at(full.address).fleet(SHORT_CONNECT_TIMEOUT),
        "timed_out",
        "tcp_timeout",
        "network",
    );
}

#[test]
fn silent_server_times_out_before_connack() {
    let case = Case::plain([receives(CONNECT), Step::Holds]).fleet(SHORT_CONNECT_TIMEOUT);
    cannot_connect(case, "timed_out", "connack_timeout", "peer");
}

#[test]
fn silent_server_times_out_in_the_tls_handshake() {
    let case = Case::without_tls([receives_bytes(), Step::Holds]).fleet(SHORT_CONNECT_TIMEOUT);
    cannot_connect(case, "timed_out", "tls_timeout", "peer");
}

#[test]
fn reset_in_the_tls_handshake_is_lost() {
    cannot_connect(Case::without_tls([receives_bytes(), Step::Resets]), "lost", "reset", "network")
        .example("the connection was reset during the TLS handshake")
        .finding("set tls = false");
}

#[test]
fn close_in_the_tls_handshake_is_lost() {
    cannot_connect(Case::without_tls([receives_bytes(), Step::Ends]), "lost", "closed_by_peer", "peer")
        .example("the server closed the connection during the TLS handshake")
        .finding("set tls = false");
}

/// The dial, the first read or the first write may report the reset. The class and the outcome are always the same.
#[test]
fn immediate_reset_always_has_the_same_class() {
    let reconnect = r#"reconnect = { kind = "fixed", delay = "20ms" }"#;
    for (case, step) in
        [(Case::plain([Step::Resets]), "connect.mqtt"), (Case::without_tls([Step::Resets]), "connect.tls")]
    {
        // On a busy machine, the verdict may be invalid. Only the counts matter here.
        let run = case.fleet(reconnect).run_to(&[99, 120]);
        let (attempts, outcomes) = totals(&run.result, "connect");
        assert!(attempts >= 2, "{attempts} attempts");
        let lost = outcomes.get("lost").copied().unwrap_or_default();
        assert!(
            lost >= attempts - 1 && outcomes.keys().all(|name| name == "lost" || name == "unfinished"),
            "{outcomes:?}"
        );
        assert_eq!(totals(&run.result, step).1.get("lost").copied(), Some(lost), "{step}");
        let (_, tcp) = totals(&run.result, "connect.tcp");
        assert!(
            tcp.keys().all(|name| name == "ok" || name == "unfinished"),
            "the TCP handshake was complete: {tcp:?}"
        );
        run.errors(&[("reset", "network")]);
    }
}

#[test]
fn http_answer_to_client_hello_is_a_tls_error() {
    let case =
        Case::without_tls([receives_bytes(), sends(*b"HTTP/1.1 400 Bad Request\r\n\r\n"), Step::Holds]);
    cannot_connect(case, "lost", "tls", "peer").example("the answer is not TLS");
}

#[test]
fn handshake_alert_is_a_tls_error() {
    // A fatal handshake_failure (RFC 8446 §6), unencrypted because there is no key yet.
    let case = Case::without_tls([receives_bytes(), sends([0x15, 3, 3, 0, 2, 2, 40]), Step::Holds]);
    cannot_connect(case, "lost", "tls", "peer");
}

#[test]
fn certificate_of_another_host_is_rejected() {
    let case = Case::secure(Identity::of_another_host(), [Step::Holds]);
    cannot_connect(case, "lost", "tls_certificate", "peer");
}

#[test]
fn expired_certificate_is_rejected() {
    cannot_connect(Case::secure(Identity::expired(), [Step::Holds]), "lost", "tls_certificate", "peer");
}

#[test]
fn certificate_of_an_unknown_authority_is_rejected() {
    let case = Case::secure(Identity::of_an_unknown_authority(), [Step::Holds]);
    cannot_connect(case, "lost", "tls_certificate", "peer");
}

/// A listener with a full queue. The kernel drops further connections.
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
