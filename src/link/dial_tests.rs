//! Dialing, TLS and the ways to close a connection, over real sockets on loopback.

use bytes::BytesMut;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::testing::{
    FixedCertificate, connected, dial, endpoint, identity, listener, run_to_close, test_deadline,
};
use super::tls::{self, ClientOptions, TlsError};
use super::{
    AcceptError, Buffers, Culprit, Deadlines, DialError, Dialed, Endpoint, Link, Step, Transport, accept_tls,
};
use crate::clock;
use crate::sansio::{Close, Closed, Machine, OUTPUT_BYTES_MAX};

/// Dials a server with this configuration, and returns the results of both ends.
async fn meet(
    server: &Arc<ServerConfig>,
    host: &str,
    options: &ClientOptions,
) -> (Result<Dialed, DialError>, Result<Transport, AcceptError>) {
    let (listener, address) = listener();
    let endpoint = endpoint(host, address.port(), options);
    let serve = async {
        let (stream, _) = listener.accept().await.expect("a client connects");
        accept_tls(stream, server, test_deadline()).await
    };
    tokio::join!(dial(&endpoint, 0, test_deadline()), serve)
}

/// Sends `to_send` bytes, and records flushes and the end of the connection.
#[derive(Debug, Default)]
struct Sender {
    to_send: usize,
    received: usize,
    flushed: Vec<usize>,
    sent: usize,
    close: Option<Close>,
    closed: Vec<Closed>,
}

impl Machine for Sender {
    type Error = std::convert::Infallible;
    fn handle_input(&mut self, _: Instant, input: &mut BytesMut) -> Result<(), Self::Error> {
        self.received += input.len();
        input.clear();
        Ok(())
    }
    fn handle_timeout(&mut self, _: Instant) -> Result<(), Self::Error> {
        Ok(())
    }
    fn handle_flushed(&mut self, _: Instant) {
        self.flushed.push(self.sent);
    }
    fn handle_closed(&mut self, _: Instant, why: Closed) {
        self.closed.push(why);
    }
    fn poll_output(&mut self, _: Instant, out: &mut BytesMut) {
        let n = (OUTPUT_BYTES_MAX - out.len()).min(self.to_send - self.sent);
        out.resize(out.len() + n, b'x');
        self.sent += n;
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn wants_input(&self) -> bool {
        true
    }
    fn poll_close(&self) -> Option<Close> {
        self.close
    }
}

#[tokio::test]
async fn each_step_is_timed_and_the_newest_tls_is_negotiated() {
    let identity = identity(&["localhost", "127.0.0.1"]);
    let (by_name, server) = meet(&identity.server(), "localhost", &identity.trusted()).await;
    let by_name = by_name.expect("trusted");
    assert!(by_name.steps.dns.is_some() && by_name.steps.tcp.is_some() && by_name.steps.tls.is_some());
    let facts = by_name.tls.expect("TLS");
    assert_eq!((facts.version, facts.suite, facts.group), ("1.3", "TLS_AES_256_GCM_SHA384", "X25519"));
    assert_eq!(server.expect("it accepts").tls_facts(), Some(facts));

    let (by_address, _server) = meet(&identity.server(), "127.0.0.1", &identity.trusted()).await;
    assert_eq!(by_address.expect("the certificate names the address").steps.dns, None);
}

#[tokio::test]
async fn older_tls_versions_and_groups_are_supported() {
    use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    let identity = identity(&["127.0.0.1"]);
    for (versions, group, expected) in [
        (&[&rustls::version::TLS12][..], SECP256R1, Some(("1.2", "secp256r1"))),
        // The certificate's key is on P-256, so this works only because P-256 is offered too.
        (&[&rustls::version::TLS12][..], X25519, Some(("1.2", "X25519"))),
        (&[&rustls::version::TLS13][..], SECP256R1, Some(("1.3", "secp256r1"))),
        (&[&rustls::version::TLS13][..], X25519, Some(("1.3", "X25519"))),
        (&[&rustls::version::TLS12][..], SECP384R1, Some(("1.2", "secp384r1"))),
        (&[&rustls::version::TLS13][..], SECP384R1, Some(("1.3", "secp384r1"))),
        // Post-quantum groups are not offered.
        (&[&rustls::version::TLS13][..], X25519MLKEM768, None),
    ] {
        let server = identity.old_server(versions, group);
        let (client, _server) = meet(&server, "127.0.0.1", &identity.trusted()).await;
        match client {
            Ok(dialed) => {
                let facts = dialed.tls.expect("TLS");
                assert_eq!(Some((facts.version, facts.group)), expected);
            }
            Err(error) => {
                assert_eq!((error.class, error.culprit(), expected), ("tls", Culprit::Target, None));
            }
        }
    }
}

/// The ClientHello has a key share for the first group only, so adding a last group does not change any handshake that
/// works without it.
#[test]
fn p_384_is_offered_last() {
    let client = tls::client(&identity(&["a.example"]).trusted()).expect("options are valid");
    let groups: Vec<_> = client.crypto_provider().kx_groups.iter().map(|group| group.name()).collect();
    use rustls::NamedGroup::{X25519, secp256r1, secp384r1};
    assert_eq!(groups, [X25519, secp256r1, secp384r1]);
}

#[tokio::test]
async fn untrusted_certificates_fail_unless_verify_is_off() {
    let ours = identity(&["127.0.0.1"]);
    let unknown = identity(&["127.0.0.1"]);
    let renamed = identity(&["hub.example"]);
    for (server, trusted) in [(&unknown, &ours), (&renamed, &renamed)] {
        let (client, accepted) = meet(&server.server(), "127.0.0.1", &trusted.trusted()).await;
        let error = client.expect_err("untrusted");
        assert_eq!(
            (error.step, error.class, error.culprit()),
            (Step::Tls, "tls_certificate", Culprit::Target)
        );
        assert!(error.steps.tcp.is_some() && error.steps.tls.is_none());
        assert!(error.to_string().starts_with("the server's certificate was not accepted"), "{error}");
        assert!(matches!(accepted, Err(AcceptError::Tls(_))) || accepted.is_ok());

        let anyone = ClientOptions { verify: false, ..trusted.trusted() };
        let (client, _accepted) = meet(&server.server(), "127.0.0.1", &anyone).await;
        client.expect("checks are off");
    }
}

#[tokio::test]
async fn a_cached_chain_without_its_key_is_refused() {
    let (ours, other) = (identity(&["127.0.0.1"]), identity(&["127.0.0.1"]));
    let tls = tls::client(&ours.trusted()).expect("options are valid");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let signing_key = |key: &[u8]| {
        let key = PrivatePkcs8KeyDer::from(key.to_vec()).into();
        provider.key_provider.load_private_key(key).expect("a key")
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        // The chain is cached from the second time on.
        for (key, good) in [(&ours.key, true), (&other.key, false), (&ours.key, true)] {
            let chain = vec![CertificateDer::from(ours.certificate.clone())];
            let presents = FixedCertificate(Arc::new(CertifiedKey::new(chain, signing_key(key))));
            let server = ServerConfig::builder_with_provider(Arc::new(provider.clone()))
                .with_protocol_versions(&[version])
                .expect("versions are supported")
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(presents));
            let (listener, address) = listener();
            let endpoint = Endpoint {
                host: "127.0.0.1".into(),
                port: address.port(),
                tls: Some(tls.clone()),
                ..Endpoint::default()
            };
            let server = Arc::new(server);
            let serve = async {
                let (stream, _) = listener.accept().await.expect("a client connects");
                accept_tls(stream, &server, test_deadline()).await
            };
            let (client, _accepted) = tokio::join!(dial(&endpoint, 0, test_deadline()), serve);
            match client {
                Ok(_) => assert!(good),
                Err(error) => assert_eq!((error.class, good), ("tls_certificate", false), "{error}"),
            }
        }
    }
}

#[tokio::test]
async fn closed_ports_and_unknown_names_have_their_own_classes() {
    let (listener, address) = listener();
    drop(listener);
    let closed = Endpoint { host: "127.0.0.1".into(), port: address.port(), ..Endpoint::default() };
    let error = dial(&closed, 0, test_deadline()).await.expect_err("no listener");
    assert_eq!((error.step, error.class, error.culprit()), (Step::Tcp, "tcp_refused", Culprit::Target));

    // RFC 6761 §6.4: `.invalid` never resolves.
    let nowhere = Endpoint { host: "hub.invalid".into(), port: 8883, ..Endpoint::default() };
    let error = dial(&nowhere, 0, test_deadline()).await.expect_err("no such name");
    assert_eq!((error.step, error.class, error.culprit()), (Step::Dns, "dns", Culprit::Network));
}

#[tokio::test]
async fn a_silent_server_times_out_in_tls() {
    let (listener, address) = listener();
    let options = ClientOptions { verify: false, ..ClientOptions::default() };
    let endpoint = endpoint("127.0.0.1", address.port(), &options);
    let dialing = dial(&endpoint, 0, clock::now() + Duration::from_millis(500));
    let (result, _kept_open) = tokio::join!(dialing, listener.accept());
    let error = result.expect_err("the server is silent");
    assert_eq!((error.step, error.class, error.culprit()), (Step::Tls, "tls_timeout", Culprit::Target));
    assert!(error.steps.tcp.is_some());
}

#[tokio::test]
async fn a_server_that_closes_fails_tls() {
    let (listener, address) = listener();
    let options = ClientOptions { verify: false, ..ClientOptions::default() };
    let endpoint = endpoint("127.0.0.1", address.port(), &options);
    let close = async { drop(listener.accept().await) };
    let (result, ()) = tokio::join!(dial(&endpoint, 0, test_deadline()), close);
    let error = result.expect_err("the server closes");
    // A FIN, or an RST if the peer has not read the client's first message.
    let found = (error.step, error.class, error.culprit());
    let ends = [(Step::Tls, "closed_by_peer", Culprit::Target), (Step::Tls, "reset", Culprit::Network)];
    assert!(ends.contains(&found) && error.may_lack_tls(), "{found:?}");
}

#[tokio::test]
async fn silent_and_plain_tcp_clients_are_not_accepted() {
    let server = identity(&["127.0.0.1"]).server();
    let (listener, address) = listener();
    let silent = TcpStream::connect(address).await.expect("it listens");
    let (stream, _) = listener.accept().await.expect("a client connected");
    let accepted = accept_tls(stream, &server, clock::now()).await;
    assert!(matches!(accepted, Err(AcceptError::Timeout)), "{accepted:?}");
    drop(silent);

    let mut plain = TcpStream::connect(address).await.expect("it listens");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("the peer receives bytes");
    let (stream, _) = listener.accept().await.expect("a client connected");
    let accepted = accept_tls(stream, &server, test_deadline()).await;
    assert!(matches!(accepted, Err(AcceptError::Tls(_))), "{accepted:?}");
}

#[tokio::test]
async fn flushed_under_tls_means_the_kernel_has_everything() {
    const BYTES: usize = 32 << 20;
    let (ours, mut theirs) = connected().await;
    let mut link = Link::new(ours, Buffers::shared(), &Deadlines::new());
    let mut sender = Sender { to_send: BYTES, close: Some(Close::AfterFlush), ..Sender::default() };
    let reader = async {
        let mut received = 0;
        let mut chunk = vec![0; 256 * 1024];
        loop {
            match theirs.read(&mut chunk).await.expect("a clean end") {
                0 => return received,
                n => received += n,
            }
        }
    };
    let (why, received) = tokio::join!(run_to_close(&mut link, &mut sender), reader);
    assert_eq!((why, received), (Closed::Local, BYTES));
    assert_eq!((link.bytes_out(), sender.flushed.last()), (BYTES as u64, Some(&BYTES)));
    assert!(sender.flushed.is_sorted());
}

#[tokio::test]
async fn a_peer_that_stops_reading_stops_flushes() {
    let (ours, theirs) = connected().await;
    let mut link = Link::new(ours, Buffers::shared(), &Deadlines::new());
    let mut sender = Sender { to_send: 1 << 30, ..Sender::default() };
    // Write until the sockets' buffers are full. The kernel decides how large they are.
    let mut before = 0;
    loop {
        let round = poll_fn(|cx| {
            assert!(link.poll(cx, &mut sender).is_pending());
            std::task::Poll::Ready(())
        });
        round.await;
        tokio::task::yield_now().await;
        if link.owned_bytes() > 0 && link.bytes_out() == before {
            break;
        }
        before = link.bytes_out();
    }
    let taken = link.bytes_out();
    assert!(sender.sent as u64 - taken <= OUTPUT_BYTES_MAX as u64);
    assert!(sender.flushed.last().is_none_or(|&flushed| (flushed as u64) < taken + OUTPUT_BYTES_MAX as u64));
    assert!(sender.sent < 1 << 30);
    drop(theirs);
    assert!(matches!(run_to_close(&mut link, &mut sender).await, Closed::Reset | Closed::Eof));
    assert_eq!(sender.closed.len(), 1);
}

#[tokio::test]
async fn close_notify_reset_and_garbage_are_distinguished() {
    let garbage = "the answer is not TLS";
    for expected in [Some(Closed::Eof), Some(Closed::Reset), None] {
        let (ours, mut theirs) = connected().await;
        let mut link = Link::new(ours, Buffers::shared(), &Deadlines::new());
        let mut sender = Sender::default();
        // Keeps the socket open while the link runs.
        let mut kept_open = None;
        match expected {
            Some(Closed::Eof) => theirs.shutdown().await.expect("it closes"),
            Some(_) => theirs.into_inner().0.set_zero_linger().expect("a socket"),
            None => {
                let mut socket = theirs.into_inner().0;
                socket.write_all(b"this is no TLS record").await.expect("the peer receives bytes");
                kept_open = Some(socket);
            }
        }
        let why = run_to_close(&mut link, &mut sender).await;
        match expected {
            Some(expected) => assert_eq!(why, expected),
            None => assert!(matches!(why, Closed::TlsAlert(end) if end.cause == garbage), "{why:?}"),
        }
        assert_eq!(sender.closed, [why]);
        drop(kept_open);
    }
    // Some brokers close without close_notify. For MQTT, that is an end of stream, not an attack.
    let (ours, theirs) = connected().await;
    drop(theirs.into_inner().0);
    assert_eq!(
        run_to_close(&mut Link::new(ours, Buffers::shared(), &Deadlines::new()), &mut Sender::default())
            .await,
        Closed::Eof
    );
}

#[tokio::test]
async fn our_reset_arrives_as_a_reset() {
    let (ours, mut theirs) = connected().await;
    let mut sender = Sender { close: Some(Close::Reset), ..Sender::default() };
    assert_eq!(
        run_to_close(&mut Link::new(ours, Buffers::shared(), &Deadlines::new()), &mut sender).await,
        Closed::Local
    );
    let error = theirs.read(&mut [0; 1]).await.expect_err("a reset is not an end");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn our_silence_leaves_the_connection_open() {
    let silent = async {
        let (ours, mut theirs) = connected().await;
        let mut sender = Sender { close: Some(Close::Silent), ..Sender::default() };
        let mut link = Link::new(ours, Buffers::shared(), &Deadlines::new());
        assert_eq!(run_to_close(&mut link, &mut sender).await, Closed::Local);
        drop(link);
        theirs.write_all(b"unread").await.expect("the connection is open");
        let read = tokio::time::timeout(Duration::from_millis(50), theirs.read(&mut [0; 1])).await;
        assert!(read.is_err(), "neither data nor an end: {read:?}");
        theirs.shutdown().await.expect("the connection is open");
        // Now our side closes too. Unread data makes that a reset.
        assert!(matches!(theirs.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    };
    tokio::task::LocalSet::new().run_until(silent).await;
}

#[tokio::test]
async fn two_links_talk_to_each_other() {
    let identity = identity(&["127.0.0.1"]);
    let (ours, theirs) = meet(&identity.server(), "127.0.0.1", &identity.trusted()).await;
    let (ours, theirs) = (ours.expect("trusted").transport, theirs.expect("it accepts"));
    let (mut client, mut server) = (
        Link::new(ours, Buffers::shared(), &Deadlines::new()),
        Link::new(theirs, Buffers::shared(), &Deadlines::new()),
    );
    let mut sending = Sender { to_send: 1 << 20, close: Some(Close::AfterFlush), ..Sender::default() };
    let mut receiving = Sender::default();
    let ends =
        tokio::join!(run_to_close(&mut client, &mut sending), run_to_close(&mut server, &mut receiving));
    assert_eq!((ends, receiving.received), ((Closed::Local, Closed::Eof), 1 << 20));
}

#[tokio::test]
async fn plain_tcp_needs_no_certificate() {
    let (listener, address) = listener();
    let endpoint = Endpoint { host: "localhost".into(), port: address.port(), ..Endpoint::default() };
    // `localhost` may resolve to ::1 first, where no one listens. Then the next address is tried.
    let (dialed, accepted) = tokio::join!(dial(&endpoint, 0, test_deadline()), listener.accept());
    let (dialed, _accepted) = (dialed.expect("it listens"), accepted.expect("a client connected"));
    assert_eq!((dialed.tls, dialed.steps.tls), (None, None));
    match dialed.transport {
        Transport::Tcp(stream) => assert!(stream.nodelay().expect("a socket")),
        other => panic!("not TCP: {other:?}"),
    }
}

#[test]
fn unreadable_roots_name_their_file() {
    let missing = ClientOptions { ca: Some("/nonexistent/ca.pem".into()), ..ClientOptions::default() };
    let error = tls::client(&missing).expect_err("no such file");
    assert!(matches!(error, TlsError::Ca { .. }));
    assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");

    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let with_bom = ClientOptions { ca: Some(file.path().to_owned()), ..ClientOptions::default() };
    let pem = String::from_utf8(identity(&["a.example"]).pem).expect("PEM is text");
    std::fs::write(file.path(), format!("\u{feff}{pem}")).expect("a temporary file");
    assert!(tls::client(&with_bom).is_ok());
    std::fs::write(file.path(), b"\xff\xfe-\0").expect("a temporary file");
    let error = tls::client(&with_bom).expect_err("UTF-16").to_string();
    assert!(error.contains("encoded as UTF-16; save the file as UTF-8"), "{error}");

    let empty = ClientOptions { roots_pem: Some(b"no certificate".to_vec()), ..ClientOptions::default() };
    assert!(matches!(tls::client(&empty), Err(TlsError::Pem(_))));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, other) = (identity(&["a.example"]), identity(&["b.example"]));
    assert!(matches!(tls::server(vec![one.certificate], other.key), Err(TlsError::Setup(_))));
}
