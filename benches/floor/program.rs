//! The floor: the least that a client can do for a device, with tokio-rustls, one thread and hand-coded packets. It checks
//! certificates and counts acks, and measures, plans and records nothing.

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep_until;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What each connection does once it is there.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// Nothing.
    Idle,
    /// QoS 1, one message each `every`, whatever the acks do.
    Open { every: Duration },
    /// QoS 1, a new message for each ack, so many in flight.
    Window(usize),
}

/// When a run does what: connections start evenly over `ramp`; work begins then and lasts `work`.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) start: Instant,
    pub(crate) ramp: Duration,
    pub(crate) work: Duration,
}

/// Runs `connections` of them and returns how many messages were acknowledged.
pub(crate) fn run(address: SocketAddr, ca: &Path, connections: u32, times: Times, work: Work) -> usize {
    let connector = TlsConnector::from(config(ca));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let tasks: Vec<_> = (0..connections)
            .map(|index| {
                let connector = connector.clone();
                let share = f64::from(index) / f64::from(connections);
                tokio::task::spawn_local(async move {
                    sleep_until((times.start + times.ramp.mul_f64(share)).into()).await;
                    let mut stream = connect(&connector, address, index).await;
                    let begin = times.start + times.ramp;
                    let acked = match work {
                        Work::Idle => 0,
                        Work::Open { every } => {
                            open(&mut stream, begin + every.mul_f64(share), begin + times.work, every).await
                        }
                        Work::Window(window) => {
                            sleep_until(begin.into()).await;
                            closed(&mut stream, begin + times.work, window).await
                        }
                    };
                    sleep_until((begin + times.work).into()).await;
                    send(&mut stream, &[0xe0, 0]).await;
                    stream.shutdown().await.expect("a goodbye");
                    acked
                })
            })
            .collect();
        let mut acked = 0;
        for task in tasks {
            acked += task.await.expect("no task panics");
        }
        acked
    })
}

fn config(ca: &Path) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a PEM file")).expect("a certificate");
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions are supported")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

async fn connect(connector: &TlsConnector, address: SocketAddr, index: u32) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.expect("the broker listens");
    tcp.set_nodelay(true).expect("a socket");
    // Boxed, so that an idle task is no larger than its stream.
    let handshake = Box::pin(connector.connect(address.ip().into(), tcp));
    let mut stream = handshake.await.expect("the broker is trusted");
    // CONNECT: MQTT level 4, clean session, keep-alive 240 s, a client id of ten characters.
    let mut packet = b"\x10\x16\x00\x04MQTT\x04\x02\x00\xf0\x00\x0a".to_vec();
    packet.extend_from_slice(format!("floor{index:05}").as_bytes());
    send(&mut stream, &packet).await;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await.expect("CONNACK");
    assert_eq!(connack[3], 0, "refused");
    stream
}

async fn send(stream: &mut TlsStream<TcpStream>, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("the broker reads");
    stream.flush().await.expect("the broker reads");
}

/// A QoS 1 PUBLISH with 256 bytes to a topic of eleven characters; its id is at `PID`.
fn publish() -> Vec<u8> {
    let mut packet = b"\x32\x8f\x02\x00\x0bbench/floor\x00\x00".to_vec();
    packet.resize(packet.len() + 256, b'x');
    packet
}

const PID: std::ops::Range<usize> = 16..18;

/// Ids go from 1 to 65,535 and round again.
fn stamp(packet: &mut [u8], n: usize) {
    let pid = u16::try_from(n % 65_535 + 1).expect("in range");
    packet[PID].copy_from_slice(&pid.to_be_bytes());
}

async fn open(stream: &mut TlsStream<TcpStream>, first: Instant, end: Instant, every: Duration) -> usize {
    let (mut packet, mut acks) = (publish(), vec![0; 512]);
    let (mut sent, mut bytes, mut due) = (0, 0, first);
    while due < end || bytes < 4 * sent {
        tokio::select! {
            biased;
            () = sleep_until(due.into()), if due < end => {
                stamp(&mut packet, sent);
                send(stream, &packet).await;
                sent += 1;
                due += every;
            }
            n = stream.read(&mut acks) => bytes += n.expect("the broker stays"),
        }
    }
    bytes / 4
}

#[expect(clippy::disallowed_methods, reason = "the floor times itself")]
async fn closed(stream: &mut TlsStream<TcpStream>, end: Instant, window: usize) -> usize {
    let (mut packet, mut acks, mut out) = (publish(), vec![0; 4 * window], Vec::new());
    let (mut sent, mut bytes) = (0, 0);
    loop {
        out.clear();
        while sent < bytes / 4 + window && Instant::now() < end {
            stamp(&mut packet, sent);
            out.extend_from_slice(&packet);
            sent += 1;
        }
        if bytes == 4 * sent {
            return sent;
        }
        if !out.is_empty() {
            send(stream, &out).await;
        }
        bytes += stream.read(&mut acks).await.expect("the broker stays");
    }
}
