//! The memory of the emulator's unadmitted connections, as the allocator counts it. Whatever state a client leaves a connection in, the memory
//! must not exceed what the emulator counts for it, nor the limit.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

#[path = "support/allocator.rs"]
mod allocator;

use allocator::CountingAllocator;
use hubstorm::emulator::unadmitted::{BASE_BYTES, BYTES_MAX, CONNECTION_BYTES_MAX};
use hubstorm::emulator::{Config, EmulatorError, Hub, Stats, certificate};
use hubstorm::iothub::limits::CONNECT_BYTES_MAX;
use hubstorm::link::{listen, tls};
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Maximum of `HELD_BYTES`.
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IS_CLIENT: Cell<bool> = const { Cell::new(false) };
}

/// Counts on every thread except those of the tests, which act as clients.
fn count(allocated: usize, freed: usize) {
    if !IS_CLIENT.try_with(Cell::get).unwrap_or(true) {
        let change = allocated.wrapping_sub(freed);
        let held = HELD_BYTES.fetch_add(change, Ordering::SeqCst).wrapping_add(change);
        PEAK_BYTES.fetch_max(held, Ordering::SeqCst);
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator(count);

/// A hub with one shard.
struct Target {
    hub: Arc<Hub>,
    address: SocketAddr,
    roots_pem: Vec<u8>,
    /// While it is locked, the shard blocks at the next ClientHello.
    gate: Arc<Mutex<()>>,
    stop: oneshot::Sender<()>,
    serving: std::thread::JoinHandle<Result<Stats, EmulatorError>>,
}

impl Target {
    fn start() -> Target {
        Target::start_within(BYTES_MAX)
    }

    fn start_within(unadmitted_bytes_max: usize) -> Target {
        IS_CLIENT.set(true);
        let config = Config {
            shards: 1,
            connect_arrival_timeout: Duration::from_secs(600),
            unadmitted_bytes_max,
            ..Config::default()
        };
        let certificate = certificate::make(&config.host_names, hubstorm::clock::unix()).unwrap();
        let rsa = certificate.rsa;
        let server =
            tls::server_with_rsa((certificate.chain, certificate.key), Box::new(move || rsa.get()), false)
                .unwrap();
        let gate = Arc::new(Mutex::new(()));
        let mut server = Arc::unwrap_or_clone(server);
        server.cert_resolver = Arc::new(Gated(Arc::clone(&gate), server.cert_resolver));
        let server = Arc::new(server);
        let listener = listen::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let hub = Hub::new(config);
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&hub);
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::LocalRuntime::new().unwrap();
            runtime.block_on(served.serve(listener, server, async { drop(stopped.await) }))
        });
        Target { hub, address, roots_pem: certificate.ca_pem.into_bytes(), gate, stop, serving }
    }

    fn connect(&self, version: Option<&'static SupportedProtocolVersion>) -> Stranger {
        let socket = TcpStream::connect(self.address).unwrap();
        let Some(version) = version else { return Stranger { socket, tls: None } };
        let mut tls = self.tls(version);
        let mut stranger = Stranger { socket, tls: None };
        while tls.is_handshaking() {
            tls.complete_io(&mut stranger.socket).unwrap();
        }
        stranger.tls = Some(tls);
        stranger
    }

    /// Blocks the shard while `act` runs.
    fn frozen(&self, act: impl FnOnce()) {
        let gate = self.gate.lock().unwrap();
        let mut hello = TcpStream::connect(self.address).unwrap();
        self.tls(&rustls::version::TLS13).write_tls(&mut hello).unwrap();
        act();
        drop(gate);
    }

    fn tls(&self, version: &'static SupportedProtocolVersion) -> ClientConnection {
        let mut roots = rustls::RootCertStore::empty();
        use rustls::pki_types::pem::PemObject as _;
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&self.roots_pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        ClientConnection::new(Arc::new(config), name).unwrap()
    }

    /// Waits until the hub counts at least `bytes`.
    #[track_caller]
    fn wait_for_bytes(&self, bytes: usize) {
        wait_until(|| self.hub.unadmitted_bytes() >= bytes);
    }

    fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.join().unwrap().unwrap();
    }
}

#[track_caller]
fn wait_until(done: impl Fn() -> bool) {
    let deadline = hubstorm::clock::now() + Duration::from_secs(60);
    while !done() {
        assert!(hubstorm::clock::now() < deadline, "timed out");
        std::thread::yield_now();
    }
}

/// The hub's certificates, behind a gate.
#[derive(Debug)]
struct Gated(Arc<Mutex<()>>, Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Gated {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let _open = self.0.lock().unwrap();
        self.1.resolve(hello)
    }
}

/// A client without credentials.
struct Stranger {
    socket: TcpStream,
    tls: Option<ClientConnection>,
}

impl Stranger {
    /// Sends bytes over TLS. Ignores errors, because the hub may have closed the connection.
    fn send(&mut self, plaintext: &[u8]) {
        let tls = self.tls.as_mut().unwrap();
        tls.set_buffer_limit(None);
        tls.writer().write_all(plaintext).unwrap();
        while tls.wants_write() && tls.write_tls(&mut self.socket).is_ok() {}
    }

    /// Sends a record with this plaintext, without its last byte.
    fn send_without_last_byte(&mut self, plaintext: &[u8]) {
        let tls = self.tls.as_mut().unwrap();
        tls.writer().write_all(plaintext).unwrap();
        let mut record = Vec::new();
        tls.write_tls(&mut record).unwrap();
        let _ = self.socket.write_all(&record[..record.len() - 1]);
    }
}

/// The largest accepted CONNECT, without its last byte.
fn almost_connect() -> Vec<u8> {
    let mut connect = vec![0; CONNECT_BYTES_MAX - 1];
    let remaining = CONNECT_BYTES_MAX - 4;
    let byte = |shift: usize| u8::try_from(remaining >> shift & 0x7f).unwrap();
    connect[..4].copy_from_slice(&[0x10, byte(0) | 0x80, byte(7) | 0x80, byte(14)]);
    connect
}

/// Most of a ClientHello of 60 KiB, in records of 15 KiB.
fn almost_hello() -> Vec<u8> {
    let mut hello = vec![1, 0, 0xf0, 0];
    hello.resize(4 + 0xf000 - 1, 0);
    hello
        .chunks(15 * 1024)
        .flat_map(|part| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&[22, 3, 1, length[0], length[1]][..], part].concat()
        })
        .collect()
}

const PART: usize = 16 * 1024;

/// Opens a connection and brings it into a state.
type Open = fn(&Target) -> Stranger;

/// States of a connection, with the minimum number of bytes in its buffers.
const STATES: [(&str, usize, Open); 6] = [
    ("a part of a ClientHello", 60 * 1024 - 1, |target| {
        let mut stranger = target.connect(None);
        stranger.socket.write_all(&almost_hello()).unwrap();
        stranger
    }),
    ("TLS 1.3 and one byte", 1, |target| {
        let mut stranger = target.connect(Some(&rustls::version::TLS13));
        stranger.send(&[0x10]);
        stranger
    }),
    ("TLS 1.2 and one byte", 1, |target| {
        let mut stranger = target.connect(Some(&rustls::version::TLS12));
        stranger.send(&[0x10]);
        stranger
    }),
    ("a part of a CONNECT", CONNECT_BYTES_MAX - 1, |target| {
        let mut stranger = target.connect(Some(&rustls::version::TLS13));
        stranger.send(&almost_connect());
        stranger
    }),
    ("a part of a CONNECT, just past the size at which buffers grow", 16 * 1024 + 2, |target| {
        let mut stranger = target.connect(Some(&rustls::version::TLS13));
        for part in almost_connect()[..16 * 1024 + 2].chunks(4 * 1024 + 1) {
            stranger.send(part);
        }
        stranger
    }),
    ("parts of a CONNECT and of a record", CONNECT_BYTES_MAX - 1 + PART - 1, |target| {
        let mut stranger = target.connect(Some(&rustls::version::TLS12));
        stranger.send(&almost_connect());
        stranger.send_without_last_byte(&[0; PART]);
        stranger
    }),
];

#[test]
fn unadmitted_connection_holds_at_most_80_kib() {
    const CONNECTIONS: usize = 40;
    assert_eq!((CONNECTION_BYTES_MAX, BYTES_MAX), (80 * 1024, 16 * 1024 * 1024));
    let _alone = run_alone();
    let target = Target::start();
    for (state, buffers_bytes, open) in STATES {
        // The first connection also allocates shared memory.
        let first = open(&target);
        target.wait_for_bytes(BASE_BYTES + buffers_bytes);
        drop(first);
        wait_until(|| target.hub.unadmitted_bytes() == 0);
        let before = HELD_BYTES.load(Ordering::SeqCst);
        let strangers: Vec<Stranger> = (0..CONNECTIONS).map(|_| open(&target)).collect();
        target.wait_for_bytes(CONNECTIONS * (BASE_BYTES + buffers_bytes));
        let held = (HELD_BYTES.load(Ordering::SeqCst) - before) / CONNECTIONS;
        let counted = target.hub.unadmitted_bytes() / CONNECTIONS;
        eprintln!("{state}: holds {held}, is counted as {counted}");
        assert!(held >= buffers_bytes, "{state}: {held} bytes held: the test did not count all memory");
        assert!(held <= counted, "{state}: {held} bytes held, {counted} counted");
        assert!(counted <= CONNECTION_BYTES_MAX, "{state}: {counted} bytes");
        drop(strangers);
        wait_until(|| target.hub.unadmitted_bytes() == 0);
    }
    target.stop();
}

#[test]
fn oldest_connections_are_closed_above_16_mib() {
    const CONNECTIONS: usize = 320;
    let _alone = run_alone();
    let target = Target::start();
    let before = HELD_BYTES.load(Ordering::SeqCst);
    let mut strangers: Vec<Stranger> =
        (0..CONNECTIONS).map(|_| target.connect(Some(&rustls::version::TLS13))).collect();
    let buffers_bytes = CONNECT_BYTES_MAX - 1 + PART - 1;
    // The oldest connections fill their buffers first and are closed first.
    let are_full = |filled: usize| {
        let closed = usize::try_from(target.hub.stats().closed_for_others).unwrap();
        let least = (CONNECTIONS - closed) * BASE_BYTES + filled.saturating_sub(closed) * buffers_bytes;
        target.hub.unadmitted_bytes() >= least
    };
    for (sent, stranger) in (1..).zip(&mut strangers) {
        stranger.send(&almost_connect());
        stranger.send_without_last_byte(&[0; PART]);
        wait_until(|| are_full(sent));
        assert!(target.hub.unadmitted_bytes() <= BYTES_MAX);
    }
    let closed = usize::try_from(target.hub.stats().closed_for_others).unwrap();
    let fit = BYTES_MAX / (BASE_BYTES + buffers_bytes);
    assert!((CONNECTIONS - fit..=CONNECTIONS - fit / 2).contains(&closed), "{closed} closed, {fit} fit");
    for stranger in strangers.iter_mut().take(closed) {
        assert!(matches!(stranger.socket.read(&mut [0; 64]), Ok(0) | Err(_)), "the oldest are closed");
    }
    for stranger in strangers.iter_mut().skip(closed) {
        stranger.socket.set_nonblocking(true).unwrap();
        let error = stranger.socket.read(&mut [0; 64]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "the others are open");
    }
    let held = HELD_BYTES.load(Ordering::SeqCst) - before;
    eprintln!("{closed} of {CONNECTIONS} closed; the others hold {held}");
    assert!(held <= BYTES_MAX, "{held} bytes held");
    target.stop();
}

/// Opens as many connections as fit, lets all of them send at the same time, and checks the peak memory.
fn check_peak(
    version: Option<&'static SupportedProtocolVersion>,
    buffers_bytes: usize,
    send: fn(&mut Stranger),
) {
    const CONNECTIONS: usize = 420;
    let _alone = run_alone();
    // All connections are accepted, and no more would be.
    let bytes_max = (CONNECTIONS + 2) * BASE_BYTES / 3 * 4;
    let target = Target::start_within(bytes_max);
    // The first connection allocates the shared memory.
    let mut first = target.connect(version);
    send(&mut first);
    target.wait_for_bytes(BASE_BYTES + buffers_bytes);
    drop(first);
    wait_until(|| target.hub.unadmitted_bytes() == 0);
    let before = HELD_BYTES.load(Ordering::SeqCst);
    let mut strangers: Vec<Stranger> = (0..CONNECTIONS).map(|_| target.connect(version)).collect();
    target.wait_for_bytes(CONNECTIONS * BASE_BYTES);
    PEAK_BYTES.store(0, Ordering::SeqCst);
    target.frozen(|| strangers.iter_mut().for_each(send));
    // At the end no connection waits, and all open ones have been read.
    let fit = bytes_max / (BASE_BYTES + buffers_bytes);
    wait_until(|| target.hub.stats().closed_for_others >= u64::try_from(CONNECTIONS - fit).unwrap());
    wait_until(|| target.hub.unadmitted_bytes() <= bytes_max);
    let peak = PEAK_BYTES.load(Ordering::SeqCst) - before;
    // The shard reads one connection at a time, into its own buffer.
    assert!(peak <= bytes_max + 256 * 1024, "{peak} bytes held, {bytes_max} allowed");
    drop(strangers);
    wait_until(|| target.hub.unadmitted_bytes() == 0);
    target.stop();
}

#[test]
fn concurrent_large_client_hellos_stay_below_the_limit() {
    check_peak(None, 60 * 1024 - 1, |stranger| {
        let _ = stranger.socket.write_all(&almost_hello());
    });
}

#[test]
fn concurrent_large_connects_stay_below_the_limit() {
    check_peak(Some(&rustls::version::TLS13), CONNECT_BYTES_MAX - 1, |stranger| {
        stranger.send(&almost_connect());
    });
}

/// Locks out the other tests of this file, because each counts the memory of the whole process.
fn run_alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
