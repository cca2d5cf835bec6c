//! The floor: the least that a client can do for a device, with tokio-rustls, one thread and hand-coded packets. It checks
//! certificates and waits for acknowledgments; it measures, plans and records nothing. It sends an IoT device's user name,
//! password and topic to mosquitto and to the emulator alike, so that one client compares both servers.

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep_until;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::load::{Kind, Load, WINDOW};

/// The credentials: a hub name and a SAS token for the emulator. mosquitto ignores them.
pub(crate) struct Login {
    pub(crate) hub: String,
    pub(crate) token: String,
}

/// Connections start evenly over the ramp, then work evenly.
#[expect(clippy::disallowed_methods, reason = "the floor times itself")]
pub(crate) fn run(address: SocketAddr, ca: &Path, load: Load, login: Login) {
    let (connector, login) = (TlsConnector::from(config(ca)), Rc::new(login));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let start = Instant::now();
    let ramp = Duration::from_secs(load.ramp_s.into());
    let work_start = start + ramp;
    let end = work_start + Duration::from_secs(load.work_s.into());
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let tasks: Vec<_> = (0..load.connections)
            .map(|index| {
                let (connector, login) = (connector.clone(), Rc::clone(&login));
                let share = f64::from(index) / f64::from(load.connections);
                tokio::task::spawn_local(async move {
                    sleep_until((start + ramp.mul_f64(share)).into()).await;
                    let device = format!("bench{index:05}");
                    let mut stream = connect(&connector, address, &device, &login).await;
                    match load.kind {
                        Kind::Idle => {}
                        Kind::Open(rate) => {
                            let every =
                                Duration::from_secs_f64(f64::from(load.connections) / f64::from(rate));
                            open(&mut stream, &device, work_start + every.mul_f64(share), end, every).await;
                        }
                        Kind::Window => {
                            sleep_until(work_start.into()).await;
                            closed(&mut stream, &device, end).await;
                        }
                    }
                    sleep_until(end.into()).await;
                    send(&mut stream, &[0xe0, 0]).await;
                    stream.shutdown().await.expect("close_notify");
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no task panics");
        }
    });
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

async fn connect(
    connector: &TlsConnector,
    address: SocketAddr,
    device: &str,
    login: &Login,
) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.expect("the broker listens");
    tcp.set_nodelay(true).expect("a socket");
    // Boxed, so that an idle task is no larger than its stream.
    let handshake = Box::pin(connector.connect(address.ip().into(), tcp));
    let mut stream = handshake.await.expect("the broker is trusted");
    // CONNECT: MQTT level 4, clean session, keep-alive 240 s, user name and password.
    let user = format!("{}/{device}/?api-version=2021-04-12", login.hub);
    let mut body = b"\x00\x04MQTT\x04\xc2\x00\xf0".to_vec();
    for field in [device, &user, &login.token] {
        body.extend_from_slice(&u16::try_from(field.len()).expect("short").to_be_bytes());
        body.extend_from_slice(field.as_bytes());
    }
    send(&mut stream, &frame(0x10, &body)).await;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await.expect("CONNACK");
    assert_eq!(connack[3], 0, "refused");
    stream
}

/// Returns a packet whose length takes two bytes, as for all packets here.
fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let [low, high] = [body.len() % 128, body.len() / 128].map(|part| u8::try_from(part).expect("short"));
    [&[first, low | 0x80, high], body].concat()
}

async fn send(stream: &mut TlsStream<TcpStream>, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("the broker reads");
    stream.flush().await.expect("the broker reads");
}

/// Returns a QoS 1 PUBLISH with 256 bytes, and the offset of its packet id.
fn publish(device: &str) -> (Vec<u8>, usize) {
    let topic = format!("devices/{device}/messages/events/");
    let mut body = u16::try_from(topic.len()).expect("short").to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    body.resize(body.len() + 2 + 256, b'x');
    let packet = frame(0x32, &body);
    let pid = packet.len() - 256 - 2;
    (packet, pid)
}

/// Sets the packet id. Ids run from 1 to 65,535 and start again.
fn stamp(packet: &mut [u8], pid: usize, n: usize) {
    let id = u16::try_from(n % 65_535 + 1).expect("in range");
    packet[pid..pid + 2].copy_from_slice(&id.to_be_bytes());
}

async fn open(
    stream: &mut TlsStream<TcpStream>,
    device: &str,
    first: Instant,
    end: Instant,
    every: Duration,
) {
    let ((mut packet, pid), mut acks) = (publish(device), vec![0; 512]);
    let (mut sent, mut bytes, mut due) = (0, 0, first);
    while due < end || bytes < 4 * sent {
        tokio::select! {
            biased;
            () = sleep_until(due.into()), if due < end => {
                stamp(&mut packet, pid, sent);
                send(stream, &packet).await;
                sent += 1;
                due += every;
            }
            n = stream.read(&mut acks) => bytes += received(n),
        }
    }
}

/// Returns the number of received bytes. Zero is the end of the connection.
fn received(n: std::io::Result<usize>) -> usize {
    let n = n.expect("the connection stays open");
    assert!(n > 0, "the broker closed the connection");
    n
}

#[expect(clippy::disallowed_methods, reason = "the floor times itself")]
async fn closed(stream: &mut TlsStream<TcpStream>, device: &str, end: Instant) {
    let ((mut packet, pid), window) = (publish(device), usize::from(WINDOW));
    let (mut acks, mut out) = (vec![0; 4 * window], Vec::new());
    let (mut sent, mut bytes) = (0, 0);
    loop {
        out.clear();
        while sent < bytes / 4 + window && Instant::now() < end {
            stamp(&mut packet, pid, sent);
            out.extend_from_slice(&packet);
            sent += 1;
        }
        if bytes == 4 * sent {
            return;
        }
        if !out.is_empty() {
            send(stream, &out).await;
        }
        bytes += received(stream.read(&mut acks).await);
    }
}
