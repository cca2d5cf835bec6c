//! The steady loop of a sender allocates nothing: publish, its bytes, the PUBACK's bytes, the event, and recording all of it. And a
//! TLS connection that waits owns no buffers.

#[path = "support/allocator.rs"]
mod allocator;

use allocator::CountingAllocator;
use bytes::BytesMut;
use hubstorm::clock;
use hubstorm::link::tls::{self, ClientOptions};
use hubstorm::link::{Endpoint, Resolver, accept_tls, dial, listen};
use hubstorm::measure::{Collector, Fleet, Key, Layout, Operation, Phase, Recorder, Source, Times};
use hubstorm::policy::ping::PingPolicy;
use hubstorm::session::{Credentials, Event, Message, Session, Settings};
use hubstorm::stalls::Stalls;
use hubstorm::wire::{QoS, encode};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Allocated less freed; wraps where a thread frees what another one allocated.
    static HELD_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Counts per thread, so that tests that run at the same time do not disturb each other.
fn count(allocated: usize, freed: usize) {
    // A thread that is being torn down has nothing to count for.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + u64::from(allocated > 0)));
    let _ = HELD_BYTES.try_with(|held| held.set(held.get().wrapping_add(allocated).wrapping_sub(freed)));
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator(count);

fn allocations() -> u64 {
    ALLOCATIONS.get()
}

const WINDOW: u16 = 8;
const TOPIC: &str = "devices/meter-1/messages/events/";

/// One session and the buffers of its link.
struct Sender {
    session: Session<u64>,
    now: Instant,
    input: BytesMut,
    out: BytesMut,
    seq: u64,
}

impl Sender {
    fn online(clean_session: bool) -> Sender {
        let settings = Settings {
            keep_alive_s: 60,
            clean_session,
            in_flight: WINDOW,
            ack_timeout: Duration::from_secs(10),
            connack_timeout: Duration::from_secs(10),
            pings: PingPolicy::OWN,
            frame_mib_max: 1,
        };
        #[expect(clippy::disallowed_methods, reason = "some instant for virtual time to start from")]
        let now = Instant::now();
        let (input, out) = (BytesMut::with_capacity(4096), BytesMut::with_capacity(64 * 1024));
        let mut sender = Sender { session: Session::new(settings), now, input, out, seq: 0 };
        let credentials = Credentials { client_id: "meter-1", username: None, password: None };
        sender.session.connect(now, &credentials, &mut sender.out).expect("short fields");
        sender.input.extend_from_slice(&[0x20, 2, 0, 0]);
        assert_eq!(sender.events(), 1);
        sender
    }

    /// Takes every frame and every event; how many events.
    fn events(&mut self) -> usize {
        let mut events = 0;
        while self.session.handle_input(self.now, &mut self.input).expect("MQTT") {
            while let Some(event) = self.session.poll_event() {
                assert!(matches!(event, Event::Acked { .. } | Event::Connected { .. }), "{event:?}");
                events += 1;
            }
        }
        events
    }

    /// The packet ids of the written messages, which have equal lengths. Meaningless at QoS 0, which has no packet ids.
    fn pids(&self) -> [u16; WINDOW as usize] {
        let length = self.out.len() / usize::from(WINDOW);
        // A packet id follows the fixed header of three bytes and the topic with its length.
        let at = 3 + 2 + TOPIC.len();
        std::array::from_fn(|n| {
            let bytes = &self.out[n * length + at..];
            u16::from_be_bytes([bytes[0], bytes[1]])
        })
    }

    /// A full window out, its acks in, in one turn of a link.
    fn turn(&mut self, qos: QoS) {
        self.now += Duration::from_millis(5);
        self.session.handle_timeout(self.now).expect("no timeout");
        self.out.clear();
        self.session.poll_output(self.now, &mut self.out);
        for _ in 0..WINDOW {
            let message = Message { topic: TOPIC, payload: &[7; 256], qos, retain: false };
            self.session.publish(self.now, &message, self.seq, &mut self.out).expect("room");
            self.seq += 1;
        }
        assert!(self.out.len() > 256 * usize::from(WINDOW));
        let pids = self.pids();
        let acked = match qos {
            QoS::AtMostOnce => {
                self.session.handle_flushed(self.now);
                std::iter::from_fn(|| self.session.poll_event()).count()
            }
            QoS::AtLeastOnce => {
                for pid in pids {
                    encode::puback(&mut self.input, pid);
                }
                self.events()
            }
            QoS::ExactlyOnce => {
                for pid in pids {
                    encode::pubrec(&mut self.input, pid);
                }
                assert_eq!(self.events(), 0);
                self.out.clear();
                self.session.poll_output(self.now, &mut self.out);
                assert_eq!(self.out.len(), 4 * usize::from(WINDOW), "a PUBREL for each");
                for pid in pids {
                    encode::pubcomp(&mut self.input, pid);
                }
                self.events()
            }
        };
        assert_eq!(acked, usize::from(WINDOW));
        assert!(self.session.poll_timeout().is_some());
    }
}

fn steady(clean_session: bool, qos: QoS) {
    let mut sender = Sender::online(clean_session);
    for _ in 0..10 {
        sender.turn(qos);
    }
    let before = allocations();
    for _ in 0..5_000 {
        sender.turn(qos); // 25 s of virtual time: past the ack timeout.
    }
    assert_eq!(allocations() - before, 0);
}

#[test]
fn the_counter_counts() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(allocations() - before, 1);
}

#[test]
fn a_clean_session_allocates_nothing_per_message() {
    steady(true, QoS::AtLeastOnce);
}

#[test]
fn a_persistent_session_allocates_nothing_per_message() {
    steady(false, QoS::AtLeastOnce);
}

#[test]
fn qos_2_allocates_nothing_per_message() {
    steady(true, QoS::ExactlyOnce);
    steady(false, QoS::ExactlyOnce);
}

#[test]
fn qos_0_allocates_nothing_per_message() {
    steady(true, QoS::AtMostOnce);
}

#[test]
fn an_idle_session_owns_nothing() {
    let before = allocations();
    let sender = Sender::online(true);
    // The two buffers of its link.
    assert_eq!(allocations() - before, 2);
    drop(sender);
}

/// rustls's own state for both directions and the peer's certificate are three quarters of it. With tokio-rustls, which keeps a
/// buffer for what comes, it is 7.2 KiB.
const IDLE_TLS_BYTES_MAX: usize = 4 * 1024;

#[test]
fn a_tls_connection_that_waits_owns_no_buffers() {
    const CONNECTIONS: usize = 64;
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a valid name");
    let server = tls::server(vec![made.cert.der().to_vec()], made.signing_key.serialize_der());
    let server = server.expect("key and certificate match");
    let roots_pem = Some(made.cert.pem().into_bytes());
    let client = tls::client(&ClientOptions { roots_pem, ..ClientOptions::default() }).expect("PEM");
    let listener = listen::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port, tls: Some(client), ..Endpoint::default() };
    let deadline = clock::now() + Duration::from_secs(60);

    // Only what the client's thread holds is counted. The first connection pays for what all share.
    let accepting = std::thread::spawn(move || {
        in_a_runtime(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("inside a runtime");
            let mut accepted = Vec::new();
            for _ in 0..=CONNECTIONS {
                let (socket, _) = listener.accept().await.expect("a client comes");
                accepted.push(accept_tls(socket, &server, deadline).await.expect("a handshake"));
            }
            accepted
        })
    });
    in_a_runtime(async {
        let mut dialled = Vec::with_capacity(CONNECTIONS + 1);
        dialled.push(dial(&endpoint, &Resolver::default(), 0, deadline).await.expect("trusted").transport);
        let before = HELD_BYTES.get();
        for _ in 0..CONNECTIONS {
            dialled
                .push(dial(&endpoint, &Resolver::default(), 0, deadline).await.expect("trusted").transport);
        }
        let each = (HELD_BYTES.get() - before) / CONNECTIONS;
        // Less than rustls's own structure would mean that nothing was counted.
        assert!((1_024..IDLE_TLS_BYTES_MAX).contains(&each), "{each} bytes per connection");
    });
    accepting.join().expect("no panic");
}

fn in_a_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

/// The collector works on another thread in a run; what it allocates does not count here.
#[test]
fn recording_and_swapping_allocate_nothing_once_warm() {
    const S: u64 = 1_000_000_000;
    let layout = Layout::new(1, 1, Duration::from_secs(60));
    let key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
    let mut recorder = Recorder::new(layout, Rc::new(Stalls::new(clock::now())));
    let mut collector = Collector::new(layout, vec![Fleet::default()], vec![Phase::default()]);
    let mut second = |n: u64| {
        let before = allocations();
        for i in 0..1_000 {
            let due = n * S + i * S / 1_000;
            // Acked up to 3.5 ms later: the last ones in the next second.
            let acked = due + 200_000 + i * 3_300;
            let times = Times { due, picked: due + 40_000, sent: due + 55_000, acked };
            recorder.due(key, due);
            recorder.ok(key, &times);
        }
        let snapshot = recorder.swap();
        let allocated = allocations() - before;
        collector.add(&snapshot, Source::Worker(0));
        recorder.recycle(snapshot);
        collector.tick((n + 1) * S, Some(0.0), 0);
        allocated
    };
    // The first seconds make the histograms and give the vectors their size.
    let warming: u64 = (0..5).map(&mut second).sum();
    assert!(warming > 0);
    assert_eq!((5..20).map(second).sum::<u64>(), 0);
}

/// The collector keeps at most 600 rows over time, and nothing else that grows with a run.
#[test]
fn a_collector_stops_growing_once_its_rows_are_full() {
    const S: u64 = 1_000_000_000;
    const OPERATIONS: [Operation; 3] = [Operation::Telemetry, Operation::TwinReport, Operation::Ping];
    let layout = Layout::new(1, 1, Duration::from_secs(60));
    let mut recorder = Recorder::new(layout, Rc::new(Stalls::new(clock::now())));
    let mut collector = Collector::new(layout, vec![Fleet::default()], vec![Phase::default()]);
    let mut held_after = |seconds: std::ops::Range<u64>| {
        let before = HELD_BYTES.get();
        for n in seconds {
            for i in 0..60 {
                let due = n * S + i * S / 60;
                let key = Key { operation: OPERATIONS[i as usize % 3], fleet: 0, phase: 0 };
                recorder.due(key, due);
                let acked = due + 200_000 + (n * 7 + i * 13) % 97 * 90_000;
                recorder.ok(key, &Times { due, picked: due + 40_000, sent: due + 55_000, acked });
            }
            let snapshot = recorder.swap();
            collector.add(&snapshot, Source::Worker(0));
            recorder.recycle(snapshot);
            collector.tick((n + 1) * S, Some(0.0), 0);
        }
        HELD_BYTES.get().wrapping_sub(before).cast_signed()
    };
    // Warm-up, one minute, and twice the time that fills 600 rows: with rows of 1 s, of 2 s and of 4 s.
    held_after(0..10);
    let minute = held_after(10..70);
    let (full, twice) = (held_after(70..590), held_after(590..1_190));
    assert!((1_000..60 * 3_000).contains(&minute), "{minute} bytes in a minute of three operations");
    assert!(full < 10 * 60 * 3_000, "{full} bytes of 600 rows");
    // Rows of two seconds have up to twice as many buckets.
    assert!(twice < full, "{twice} bytes after {full}");
}
