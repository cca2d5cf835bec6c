//! Counts allocations: the publish loop of a session and the recorder allocate nothing, and an idle TLS connection owns no buffers.

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
    /// Allocated minus freed bytes. Wraps if a thread frees memory of another thread.
    static HELD_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Counts per thread, so that tests that run at the same time do not disturb each other.
fn count(allocated: usize, freed: usize) {
    // While a thread ends, its counters are gone.
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

/// A session and the buffers of its link.
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
        #[expect(clippy::disallowed_methods, reason = "the start of virtual time")]
        let now = Instant::now();
        let (input, out) = (BytesMut::with_capacity(4096), BytesMut::with_capacity(64 * 1024));
        let mut sender = Sender { session: Session::new(settings), now, input, out, seq: 0 };
        let credentials = Credentials { client_id: "meter-1", username: None, password: None };
        sender.session.connect(now, &credentials, &mut sender.out).expect("short fields");
        sender.input.extend_from_slice(&[0x20, 2, 0, 0]);
        assert_eq!(sender.events(), 1);
        sender
    }

    /// Handles all frames. Returns the number of events.
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

    /// Returns the packet ids of the written messages, which have equal lengths. Not for QoS 0, which has no packet ids.
    fn pids(&self) -> [u16; WINDOW as usize] {
        let length = self.out.len() / usize::from(WINDOW);
        // A packet id follows the fixed header of three bytes and the topic with its length.
        let at = 3 + 2 + TOPIC.len();
        std::array::from_fn(|n| {
            let bytes = &self.out[n * length + at..];
            u16::from_be_bytes([bytes[0], bytes[1]])
        })
    }

    /// Sends a full window and receives its acknowledgments.
    fn turn(&mut self, qos: QoS) {
        self.now += Duration::from_millis(5);
        self.session.handle_timeout(self.now).expect("no timeout");
        self.out.clear();
        self.session.poll_output(self.now, &mut self.out);
        for _ in 0..WINDOW {
            let message = Message { topic: TOPIC, payload: &[7; 256], qos, retain: false };
            self.session
                .publish(self.now, &message, self.seq, &mut self.out)
                .expect("the window has a free slot");
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
        sender.turn(qos); // 25 s of virtual time, longer than the ack timeout.
    }
    assert_eq!(allocations() - before, 0);
}

#[test]
fn allocator_counts() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(allocations() - before, 1);
}

#[test]
fn clean_session_allocates_nothing_per_message() {
    steady(true, QoS::AtLeastOnce);
}

#[test]
fn persistent_session_allocates_nothing_per_message() {
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
fn idle_session_owns_no_memory() {
    let before = allocations();
    let sender = Sender::online(true);
    // The two buffers of its link.
    assert_eq!(allocations() - before, 2);
    drop(sender);
}

/// Limit for an idle client connection. Three quarters of it are rustls's state and the server's certificate. With tokio-rustls, which keeps
/// an input buffer, it is 7.2 KiB.
const IDLE_TLS_BYTES_MAX: usize = 4 * 1024;

#[test]
fn idle_tls_connection_owns_no_buffers() {
    const CONNECTIONS: usize = 64;
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a valid name");
    let server = tls::server(vec![made.cert.der().to_vec()], made.signing_key.serialize_der());
    let server = server.expect("key and certificate match");
    let roots_pem = Some(made.cert.pem().into_bytes());
    let client = tls::client(&ClientOptions { roots_pem, ..ClientOptions::default() }).expect("PEM");
    let listener = listen::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let port = listener.local_addr().expect("the listener is bound").port();
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port, tls: Some(client), ..Endpoint::default() };
    let deadline = clock::now() + Duration::from_secs(60);

    // Only the client's thread is counted. The first connection allocates the shared memory.
    let (measured, is_measured) = std::sync::mpsc::channel::<()>();
    let accepting = std::thread::spawn(move || {
        block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("inside a runtime");
            let mut accepted = Vec::new();
            for _ in 0..=CONNECTIONS {
                let (socket, _) = listener.accept().await.expect("a client connects");
                accepted.push(accept_tls(socket, &server, deadline).await.expect("a handshake"));
            }
            // Keep the connections open until the client has dropped its end of the channel.
            let _ = is_measured.recv();
        });
    });
    block_on(async {
        let mut dialled = Vec::with_capacity(CONNECTIONS + 1);
        dialled.push(
            dial(&endpoint, &Resolver::default(), 0, deadline)
                .await
                .expect("the server is trusted")
                .transport,
        );
        let before = HELD_BYTES.get();
        for _ in 0..CONNECTIONS {
            dialled.push(
                dial(&endpoint, &Resolver::default(), 0, deadline)
                    .await
                    .expect("the server is trusted")
                    .transport,
            );
        }
        let each = (HELD_BYTES.get() - before) / CONNECTIONS;
        // Fewer bytes than rustls's own state mean that the test counted nothing.
        assert!((1_024..IDLE_TLS_BYTES_MAX).contains(&each), "{each} bytes per connection");
    });
    drop(measured);
    accepting.join().expect("no panic");
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

/// In a run the collector is on another thread, so its allocations do not count.
#[test]
fn recorder_allocates_nothing_after_warm_up() {
    const S: u64 = 1_000_000_000;
    let layout = Layout::new(1, 1, Duration::from_secs(60));
    let key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
    let mut recorder = Recorder::new(layout, Rc::new(Stalls::new(clock::now())));
    let mut collector = Collector::new(layout, vec![Fleet::default()], vec![Phase::default()]);
    let mut second = |n: u64| {
        let before = allocations();
        for i in 0..1_000 {
            let due = n * S + i * S / 1_000;
            // Acknowledged up to 3.5 ms later, so the last ones in the next second.
            let acked = due + 200_000 + i * 3_300;
            let times = Times { due, picked: due + 40_000, sent: due + 55_000, acked };
            recorder.due(key, due);
            recorder.ok(key, &times);
        }
        // Some were due in the previous second, so they are also recorded for the batch of that second.
        for i in 0..10 {
            let due = n.saturating_sub(1) * S + i * S / 1_000;
            recorder.due(key, due);
            recorder.ok(key, &Times { due, picked: due + 40_000, sent: due + 55_000, acked: n * S + i });
        }
        let snapshot = recorder.swap();
        let allocated = allocations() - before;
        collector.add(&snapshot, Source::Worker(0));
        recorder.recycle(snapshot);
        collector.tick((n + 1) * S, Some(0.0), 0);
        allocated
    };
    // The first seconds create the histograms and grow the vectors.
    let warm_up: u64 = (0..5).map(&mut second).sum();
    assert!(warm_up > 0);
    assert_eq!((5..20).map(second).sum::<u64>(), 0);
    let batches = &collector.measurement().operations[0].batches;
    let due: Vec<u64> = batches.list.iter().map(|batch| batch.due).collect();
    assert_eq!((due.len(), due[10], due[19]), (20, 1_010, 1_000), "late operations are in their own batch");
}

/// The collector keeps at most 600 rows. Nothing else grows with the length of a run.
#[test]
fn collector_stops_growing_when_its_rows_are_full() {
    const S: u64 = 1_000_000_000;
    const OPERATIONS: [Operation; 3] = [Operation::Telemetry, Operation::TwinReport, Operation::Ping];
    let layout = Layout::new(1, 1, Duration::from_secs(60));
    let mut recorder = Recorder::new(layout, Rc::new(Stalls::new(clock::now())));
    let mut collector = Collector::new(layout, vec![Fleet::default()], vec![Phase::default()]);
    let mut growth = |seconds: std::ops::Range<u64>| {
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
    // A warm-up, one minute, then twice the time that fills 600 rows, with rows of 1 s, 2 s and 4 s.
    growth(0..10);
    let minute = growth(10..70);
    let (full, twice) = (growth(70..590), growth(590..1_190));
    assert!((1_000..60 * 3_000).contains(&minute), "{minute} bytes in a minute of three operations");
    assert!(full < 10 * 60 * 3_000, "{full} bytes for 600 rows");
    // Rows of two seconds have up to twice as many buckets.
    assert!(twice < full, "{twice} bytes after {full}");
}
