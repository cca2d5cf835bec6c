//! Each fault, as a peer on loopback sees it: the silence, the late bytes, the slow bytes, the reset, and the cut packet.

use super::testing::{endpoint, identity, listener, test_deadline};
use super::{Buffers, Deadlines, Dialed, End, Endpoint, FaultWindow, Faults, Link, Resolver, dial_device};
use crate::clock;
use crate::policy::fault::FaultKind;
use crate::policy::network::Network;
use crate::rng::{Purpose, generator};
use crate::sansio::{Close, Closed, Machine};
use bytes::{Buf, BytesMut};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

const MS: Duration = Duration::from_millis(1);

/// A device that sends whole packets at their times, and keeps what it receives. It leaves after `expects` bytes.
#[derive(Default)]
struct Talker {
    packets: Vec<(Option<Instant>, Vec<u8>)>,
    received: BytesMut,
    received_at: Option<Instant>,
    expects: Option<usize>,
    leaves_at: Option<Instant>,
    closed: Option<Closed>,
    now: Option<Instant>,
}

impl Talker {
    fn saying(packet: &[u8]) -> Talker {
        Talker { packets: vec![(None, packet.to_vec())], ..Talker::default() }
    }
}

impl Machine for Talker {
    type Error = std::convert::Infallible;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Self::Error> {
        self.received.extend_from_slice(input);
        self.received_at = Some(now);
        input.advance(input.len());
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::Error> {
        self.now = Some(now);
        Ok(())
    }

    fn handle_flushed(&mut self, _: Instant) {}

    fn handle_closed(&mut self, _: Instant, why: Closed) {
        self.closed = Some(why);
    }

    fn poll_output(&mut self, now: Instant, out: &mut BytesMut) {
        while self.packets.first().is_some_and(|(at, _)| at.is_none_or(|at| at <= now)) {
            out.extend_from_slice(&self.packets.remove(0).1);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let next = self.packets.first().and_then(|(at, _)| *at);
        [next, self.leaves_at].into_iter().flatten().filter(|at| self.now.is_none_or(|now| *at > now)).min()
    }

    fn wants_input(&self) -> bool {
        true
    }

    fn poll_close(&self) -> Option<Close> {
        let has_all = self.expects.is_some_and(|expects| self.received.len() >= expects);
        let is_late = self.leaves_at.zip(self.now).is_some_and(|(at, now)| at <= now);
        (has_all || is_late).then_some(Close::AfterFlush)
    }
}

/// A fault from `from` for `length` (zero: once), counted from now.
struct Fault {
    kind: FaultKind,
    by: Duration,
    network: Network,
    from: Duration,
    length: Duration,
}

impl Fault {
    fn once(kind: FaultKind, from: Duration) -> Fault {
        Fault { kind, by: Duration::ZERO, network: Network::default(), from, length: Duration::ZERO }
    }

    fn lasting(kind: FaultKind, length: Duration) -> Fault {
        Fault { length, ..Fault::once(kind, Duration::ZERO) }
    }

    fn network(kind: FaultKind, network: Network) -> Fault {
        Fault { network, ..Fault::lasting(kind, Duration::from_secs(600)) }
    }
}

fn faults(fault: Fault) -> (Rc<Faults>, Rc<Deadlines>) {
    let (now, deadlines) = (clock::now(), Deadlines::new());
    let Fault { kind, by, network, from, length } = fault;
    let window = FaultWindow::new(kind, by, network, now + from, now + from + length);
    let rng = generator(1, 0, Purpose::Jitter);
    (Rc::new(Faults::new(vec![window], deadlines.clone(), rng)), deadlines)
}

/// Runs a test with the timer of the faults, on a runtime that can keep silent connections.
fn run<T>(fault: Fault, test: impl AsyncFnOnce(Rc<Faults>, Rc<Deadlines>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let (faults, deadlines) = faults(fault);
        let timer = deadlines.clone();
        tokio::select! {
            biased;
            result = test(faults, deadlines) => result,
            error = timer.run() => panic!("{error}"),
        }
    })
}

/// Dials without TLS. Returns the link's end and the peer's.
async fn connect(faults: &Rc<Faults>) -> (Dialed, TcpStream) {
    let (listener, address) = listener();
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: address.port(), ..Endpoint::default() };
    let resolver = Resolver::default();
    let dialing = dial_device(&endpoint, &resolver, 0, test_deadline(), Some(Rc::clone(faults)));
    let (dialed, accepted) = tokio::join!(dialing, listener.accept());
    (dialed.expect("it connects"), accepted.expect("a client").0)
}

async fn drive(dialed: Dialed, deadlines: &Rc<Deadlines>, mut talker: Talker) -> Talker {
    let mut link = Link::new(dialed.transport, Buffers::shared(), deadlines);
    let End::Closed(why) = poll_fn(|cx| link.poll(cx, &mut talker)).await;
    assert_eq!(talker.closed, Some(why));
    talker
}

/// Reads until `count` bytes or the end. Returns the bytes, and how the stream ended, if it did.
async fn read(peer: &mut (impl AsyncReadExt + Unpin), count: usize) -> (Vec<u8>, Option<io::Result<()>>) {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        match peer.read_buf(&mut bytes).await {
            Ok(0) => return (bytes, Some(Ok(()))),
            Ok(_) => {}
            Err(error) => return (bytes, Some(Err(error))),
        }
    }
    (bytes, None)
}

/// Echoes `count` bytes, and waits for the end.
async fn echo(mut peer: TcpStream, count: usize) -> Vec<u8> {
    let (bytes, _) = read(&mut peer, count).await;
    peer.write_all(&bytes).await.unwrap();
    let _ = read(&mut peer, 1).await;
    bytes
}

#[test]
fn latency_delays_each_round_trip_including_the_handshake() {
    let network = Network { round_trip: 80 * MS, jitter: 20 * MS, ..Network::default() };
    run(Fault::network(FaultKind::Latency, network), async |faults, deadlines| {
        let (dialed, peer) = connect(&faults).await;
        assert!(dialed.steps.tcp.unwrap() >= 60 * MS, "{:?}", dialed.steps);
        let packet: Vec<u8> = (0..=255).cycle().take(9_000).collect();
        let start = clock::now();
        let talker = Talker { expects: Some(packet.len()), ..Talker::saying(&packet) };
        let (talker, seen) = tokio::join!(drive(dialed, &deadlines, talker), echo(peer, packet.len()));
        assert!(seen == packet && talker.received == packet, "the order of bytes stays");
        assert!(talker.received_at.unwrap() - start >= 60 * MS);
        assert_eq!(faults.take_applied().collect::<Vec<_>>(), [1]);
    });
}

#[test]
fn bandwidth_limits_both_directions() {
    // 40,000 bytes per second.
    let network = Network { up_bits_per_s: 320_000, down_bits_per_s: 320_000, ..Network::default() };
    run(Fault::network(FaultKind::Bandwidth, network), async |faults, deadlines| {
        let (dialed, peer) = connect(&faults).await;
        let packet = vec![7; 8_000];
        let start = clock::now();
        let talker = Talker { expects: Some(packet.len()), ..Talker::saying(&packet) };
        let serve = async {
            let seen = echo(peer, packet.len());
            (seen.await, clock::now())
        };
        let (talker, (seen, _)) = tokio::join!(drive(dialed, &deadlines, talker), serve);
        assert!(seen == packet && talker.received == packet);
        assert!(talker.received_at.unwrap() - start >= 400 * MS, "200 ms in each direction");
    });
}

#[test]
fn a_stall_passes_nothing_until_its_end_and_loses_nothing() {
    run(Fault::lasting(FaultKind::Stall, 150 * MS), async |faults, deadlines| {
        let end = faults.windows()[0].until;
        let (listener, address) = listener();
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: address.port(), ..Endpoint::default() };
        let resolver = Resolver::default();
        let dialing = dial_device(&endpoint, &resolver, 0, clock::now() + 50 * MS, Some(Rc::clone(&faults)));
        let error = dialing.await.unwrap_err();
        assert_eq!((error.class, error.is_timeout()), ("fault", true), "{error}");
        drop(listener);
        let (dialed, peer) = connect(&faults).await;
        assert!(clock::now() >= end, "the handshake waits");
        let talker = Talker { expects: Some(4), ..Talker::saying(b"ping") };
        let (talker, seen) = tokio::join!(drive(dialed, &deadlines, talker), echo(peer, 4));
        assert_eq!((&seen[..], &talker.received[..]), (&b"ping"[..], &b"ping"[..]));
    });
}

#[test]
fn a_stall_on_an_open_connection_delays_both_ends() {
    let fault = Fault { length: 150 * MS, ..Fault::once(FaultKind::Stall, 60 * MS) };
    run(fault, async |faults, deadlines| {
        let (from, until) = (faults.windows()[0].from, faults.windows()[0].until);
        let (dialed, mut peer) = connect(&faults).await;
        let mut talker = Talker { expects: Some(5), ..Talker::default() };
        talker.packets = vec![(Some(from), b"late".to_vec())];
        let serve = async {
            deadlines.until(from).await;
            peer.write_all(b"early").await.unwrap();
            let (bytes, _) = read(&mut peer, 4).await;
            (bytes, clock::now())
        };
        let (talker, (bytes, read_at)) = tokio::join!(drive(dialed, &deadlines, talker), serve);
        assert_eq!((&bytes[..], &talker.received[..]), (&b"late"[..], &b"early"[..]));
        assert!(read_at >= until && talker.received_at.unwrap() >= until);
        assert_eq!(faults.take_applied().collect::<Vec<_>>(), [1]);
        assert!(!faults.is_broken(), "the connection survives");
    });
}

#[test]
fn a_reset_is_a_reset_for_the_peer() {
    run(Fault::once(FaultKind::Reset, 50 * MS), async |faults, deadlines| {
        let (dialed, mut peer) = connect(&faults).await;
        let (talker, (bytes, end)) =
            tokio::join!(drive(dialed, &deadlines, Talker::saying(b"before")), read(&mut peer, 99));
        assert_eq!(bytes, b"before");
        let error = end.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(talker.closed, Some(Closed::Fault));
        assert!(faults.is_broken(), "until the device is online again");
        assert!(!faults.is_cut_off(clock::now()), "the network is fine");
        faults.recovered();
        assert!(!faults.is_broken());
        // It happened once: a connection that was established later stays.
        let (dialed, peer) = connect(&faults).await;
        let talker = Talker { expects: Some(5), ..Talker::saying(b"after") };
        let (talker, _) = tokio::join!(drive(dialed, &deadlines, talker), echo(peer, 5));
        assert_eq!(talker.closed, Some(Closed::Local));
    });
}

#[test]
fn a_reset_with_a_length_also_ends_new_connections() {
    run(Fault::lasting(FaultKind::Reset, Duration::from_secs(600)), async |faults, deadlines| {
        for n in 1..=3 {
            let (dialed, mut peer) = connect(&faults).await;
            let (talker, (bytes, end)) =
                tokio::join!(drive(dialed, &deadlines, Talker::saying(b"x")), read(&mut peer, 99));
            assert_eq!((talker.closed, bytes.len()), (Some(Closed::Fault), 0));
            assert!(end.unwrap().is_err());
            assert_eq!(faults.take_applied().next(), Some(1), "connection {n}");
        }
    });
}

#[test]
fn a_half_open_connection_is_silent_and_stays_open() {
    run(Fault::once(FaultKind::HalfOpen, 50 * MS), async |faults, deadlines| {
        let from = faults.windows()[0].from;
        let (dialed, mut peer) = connect(&faults).await;
        let mut talker = Talker::saying(b"before");
        talker.packets.push((Some(from + 20 * MS), b"lost".to_vec()));
        talker.leaves_at = Some(from + 40 * MS);
        let talker = drive(dialed, &deadlines, talker).await;
        assert_eq!(talker.closed, Some(Closed::Local), "the device gives up and may reconnect");
        let (bytes, _) = read(&mut peer, 6).await;
        assert_eq!(bytes, b"before");
        // Loopback delivers at once: neither the later bytes nor the end of the stream was sent.
        let silence = peer.try_read(&mut [0; 16]).unwrap_err();
        assert_eq!(silence.kind(), io::ErrorKind::WouldBlock);
        // The peer may write without an error, and ends the connection by itself.
        peer.write_all(b"anyone?").await.unwrap();
        assert!(faults.is_broken() && faults.is_cut_off(clock::now()));
        peer.shutdown().await.unwrap();
        let (bytes, end) = read(&mut peer, 1).await;
        assert!(bytes.is_empty() && end.is_some(), "only now it is closed on this side too");
    });
}

#[test]
fn close_mid_frame_sends_a_part_of_the_packet_and_the_end() {
    run(Fault::once(FaultKind::CloseMidFrame, 50 * MS), async |faults, deadlines| {
        let from = faults.windows()[0].from;
        let (dialed, mut peer) = connect(&faults).await;
        let mut talker = Talker::saying(b"whole packet.");
        talker.packets.push((Some(from + 10 * MS), b"half a packet".to_vec()));
        let (talker, (bytes, end)) = tokio::join!(drive(dialed, &deadlines, talker), read(&mut peer, 99));
        assert_eq!(bytes, b"whole packet.half a packe");
        assert!(matches!(end, Some(Ok(()))), "an end of stream, not a reset: {end:?}");
        assert_eq!(talker.closed, Some(Closed::Fault));
    });
}

/// Dials with TLS. Returns what the peer's `serve` made of the raw connection.
async fn connect_tls<T>(
    faults: &Rc<Faults>,
    serve: impl AsyncFnOnce(TcpStream, TlsAcceptor) -> T,
) -> (Dialed, T) {
    let identity = identity(&["127.0.0.1"]);
    let (listener, address) = listener();
    let endpoint = endpoint("127.0.0.1", address.port(), &identity.trusted());
    let resolver = Resolver::default();
    let serve = async {
        let (stream, _) = listener.accept().await.expect("a client connects");
        serve(stream, TlsAcceptor::from(identity.server())).await
    };
    let dialing = dial_device(&endpoint, &resolver, 0, test_deadline(), Some(Rc::clone(faults)));
    let (dialed, served) = tokio::join!(dialing, serve);
    (dialed.expect("it connects"), served)
}

async fn accept(stream: TcpStream, acceptor: TlsAcceptor) -> tokio_rustls::server::TlsStream<TcpStream> {
    acceptor.accept(stream).await.expect("a handshake")
}

#[test]
fn close_mid_frame_cuts_the_plaintext_under_tls() {
    let fault = Fault::lasting(FaultKind::CloseMidFrame, Duration::from_secs(600));
    run(fault, async |faults, deadlines| {
        let (dialed, mut peer) = connect_tls(&faults, accept).await;
        let (talker, (bytes, end)) =
            tokio::join!(drive(dialed, &deadlines, Talker::saying(b"half a packet")), read(&mut peer, 99));
        assert_eq!(bytes, b"half a packe");
        let error = end.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "without close_notify");
        assert_eq!(talker.closed, Some(Closed::Fault));
    });
}

#[test]
fn tls_works_on_a_slow_network() {
    let network = Network {
        round_trip: 40 * MS,
        jitter: Duration::ZERO,
        up_bits_per_s: 400_000,
        down_bits_per_s: 400_000,
    };
    run(Fault::network(FaultKind::Profile, network), async |faults, deadlines| {
        // The last bytes of the handshake are on their way when the dial ends, so only the driven link delivers them.
        let accepting = async |stream, acceptor| tokio::task::spawn_local(accept(stream, acceptor));
        let (dialed, accepted) = connect_tls(&faults, accepting).await;
        assert!(dialed.steps.tls.unwrap() >= 40 * MS, "one round trip: {:?}", dialed.steps);
        assert!(dialed.tls.is_some());
        let packet = vec![9; 4_000];
        let talker = Talker { expects: Some(packet.len()), ..Talker::saying(&packet) };
        let serve = async {
            let mut peer = accepted.await.unwrap();
            let (bytes, _) = read(&mut peer, packet.len()).await;
            peer.write_all(&bytes).await.unwrap();
            peer.flush().await.unwrap();
            read(&mut peer, 1).await.1
        };
        let (talker, end) = tokio::join!(drive(dialed, &deadlines, talker), serve);
        assert!(talker.received == packet);
        assert!(matches!(end, Some(Ok(()))), "close_notify arrives: {end:?}");
    });
}

#[test]
fn a_slow_handshake_sends_the_client_hello_in_pieces() {
    let fault = Fault { by: 120 * MS, ..Fault::lasting(FaultKind::SlowHandshake, Duration::from_secs(600)) };
    run(fault, async |faults, deadlines| {
        let (dialed, (mut peer, first, whole, took)) = connect_tls(&faults, async |stream, acceptor| {
            let mut start = [0; 2048];
            stream.readable().await.unwrap();
            let first = stream.peek(&mut start).await.unwrap();
            let began = clock::now();
            let mut whole = first;
            // A TLS record's length is in its fourth and fifth byte.
            while whole < 5 || whole < 5 + usize::from(u16::from_be_bytes([start[3], start[4]])) {
                tokio::time::sleep(MS).await;
                whole = stream.peek(&mut start).await.unwrap();
            }
            let took = clock::now() - began;
            (acceptor.accept(stream).await.unwrap(), first, whole, took)
        })
        .await;
        assert!(first < whole, "{first} of {whole} bytes came first");
        assert!(took > Duration::ZERO);
        assert!(dialed.steps.tls.unwrap() >= 120 * MS, "{:?}", dialed.steps);
        let serve = async {
            let (bytes, _) = read(&mut peer, 2).await;
            peer.write_all(&bytes).await.unwrap();
            read(&mut peer, 1).await
        };
        let talker = Talker { expects: Some(2), ..Talker::saying(b"ok") };
        let (talker, _) = tokio::join!(drive(dialed, &deadlines, talker), serve);
        assert_eq!(&talker.received[..], b"ok", "the connection is normal afterwards");
        assert_eq!(faults.take_applied().next(), Some(1));
    });
}

#[test]
fn several_faults_shape_one_network() {
    let (now, deadlines) = (clock::now(), Deadlines::new());
    let window = |kind, network, until_s| {
        let until = now + Duration::from_secs(until_s);
        FaultWindow::new(kind, Duration::ZERO, network, now, until)
    };
    let latency = Network { round_trip: 80 * MS, ..Network::default() };
    let bandwidth = Network { up_bits_per_s: 1_000, down_bits_per_s: 1_000, ..Network::default() };
    let windows = vec![window(FaultKind::Latency, latency, 10), window(FaultKind::Bandwidth, bandwidth, 20)];
    let faults = Faults::new(windows, deadlines, generator(1, 0, Purpose::Jitter));
    let after = |seconds| faults.network(now + Duration::from_secs(seconds));
    assert_eq!(after(5), Some(Network { round_trip: 80 * MS, ..bandwidth }));
    assert_eq!([after(15), after(20)], [Some(bandwidth), None]);
    let jitter = Network { jitter: 40 * MS, ..latency };
    let draws: Vec<Duration> = (0..100).map(|_| faults.one_way(&jitter)).collect();
    assert!(draws.iter().all(|draw| (20 * MS..=60 * MS).contains(draw)), "{draws:?}");
    assert!(draws.iter().any(|draw| *draw < 35 * MS) && draws.iter().any(|draw| *draw > 45 * MS));
    let again = Faults::new(Vec::new(), Deadlines::new(), generator(1, 0, Purpose::Jitter));
    let same: Vec<Duration> = (0..100).map(|_| again.one_way(&jitter)).collect();
    assert_eq!(draws, same, "the same seed gives the same delays");
}
