//! An emulator in this process: TLS, refusals, takeover across shards, token expiry, many devices.

use super::device::{CONNACK, CONNACK_PRESENT, Device, REFUSED, group, now_unix, token};
use hubstorm::emulator::{Config, EmulatorError, Stats, certificate, serve};
use hubstorm::iothub::emulator_options::EmulatorOptions;
use hubstorm::iothub::sas;
use hubstorm::iothub::{names, topics};
use hubstorm::link::{listen, tls};
use hubstorm::wire::QoS;
use hubstorm::wire::encode;
use rustls::pki_types::ServerName;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A hub with two shards on a separate thread.
struct Hub {
    address: SocketAddr,
    client: Arc<rustls::ClientConfig>,
    stop: oneshot::Sender<()>,
    serving: std::thread::JoinHandle<Result<Stats, EmulatorError>>,
}

impl Hub {
    fn start(config: Config) -> Hub {
        let config = Config { group_keys: vec![group()], shards: 2, ..config };
        let certificate = certificate::make(&config.host_names, hubstorm::clock::unix()).unwrap();
        let rsa = certificate.rsa;
        let identity = (certificate.chain, certificate.key);
        let server = tls::server_with_rsa(identity, Box::new(move || rsa.get()), false).unwrap();
        let roots_pem = Some(certificate.ca_pem.into_bytes());
        let client = tls::client(&tls::ClientOptions { roots_pem, ..tls::ClientOptions::default() }).unwrap();
        let listener = listen::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::LocalRuntime::new().unwrap();
            let stop = async { drop(stopped.await) };
            runtime.block_on(serve(listener, server, config, stop))
        });
        Hub { address, client, stop, serving }
    }

    async fn try_tls(&self, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::clone(&self.client)).connect(name, socket).await
    }

    async fn device(&self) -> Device {
        Device(self.try_tls("localhost").await.unwrap())
    }

    /// Opens a connection and sends CONNECT with a valid token.
    async fn connecting(&self, id: &str, clean_session: bool) -> Device {
        let mut device = self.device().await;
        device.connect(id, &token(id, now_unix() + 600), clean_session).await;
        device
    }

    fn stop(self) -> Stats {
        self.stop.send(()).unwrap();
        self.serving.join().unwrap().unwrap()
    }
}

#[tokio::test]
async fn telemetry_is_acknowledged() {
    let hub = Hub::start(Config::default());
    let mut device = hub.connecting("meter-1", true).await;
    device.expect(CONNACK).await;
    let topic = topics::telemetry("meter-1");
    for pid in [1, 2] {
        device.publish(&topic, pid).await;
    }
    device.expect([0x40, 2, 0, 1, 0x40, 2, 0, 2]).await;
    device.send(encode::disconnect).await;
    device.expect_end().await;
    assert_eq!(hub.stop(), Stats { accepted: 1, telemetry: 2, acks: 2, ended: 1, ..Stats::default() });
}

#[tokio::test]
async fn refused_device_gets_code_5_and_is_closed() {
    let hub = Hub::start(Config::default());
    let now = now_unix();
    let wrong = sas::token(&group(), &names::resource("localhost", "d1"), now + 600, None).to_string();
    for token in [wrong, token("d1", now - 3600), token("d2", now + 600), "nonsense".to_owned()] {
        let mut device = hub.device().await;
        device.connect("d1", &token, true).await;
        device.expect(REFUSED).await;
        device.expect_end().await;
    }
    assert_eq!(hub.stop(), Stats { refused: 4, ..Stats::default() });
}

#[tokio::test]
async fn takeover_on_any_shard_keeps_the_session() {
    let hub = Hub::start(Config::default());
    let mut old = hub.connecting("d1", false).await;
    old.expect(CONNACK).await;
    old.send(|out| encode::subscribe(out, 1, &[(topics::TWIN_DESIRED, QoS::AtLeastOnce)]).unwrap()).await;
    old.expect([0x90, 3, 0, 1, 1]).await;
    // Connections go to the two shards in turn, so five takeovers cover every combination.
    for _ in 0..5 {
        let mut new = hub.connecting("d1", false).await;
        new.expect(CONNACK_PRESENT).await;
        old.expect_end().await;
        old = new;
    }
    let mut other = hub.connecting("d2", false).await;
    other.expect(CONNACK).await;
    old.send(encode::pingreq).await;
    old.expect([0xD0, 0]).await;
    let mut clean = hub.connecting("d1", true).await;
    clean.expect(CONNACK).await;
    assert_eq!(hub.stop(), Stats { accepted: 8, ended: 6, taken_over: 6, ..Stats::default() });
}

#[tokio::test]
async fn concurrent_takeovers_leave_one_connection() {
    let hub = Hub::start(Config::default());
    // Each takeover waits for the connection before it, which may be waiting as well.
    let mut devices = tokio::task::JoinSet::new();
    let (admitted, mut admissions) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..10 {
        let mut device = hub.connecting("d1", true).await;
        let admitted = admitted.clone();
        devices.spawn(async move {
            let mut answer = [0; CONNACK.len()];
            let answered = device.0.read_exact(&mut answer).await.is_ok();
            if answered {
                assert_eq!(answer, CONNACK);
                admitted.send(()).unwrap();
                device.expect_end().await;
            }
            answered
        });
    }
    let mut connected = 0;
    for _ in 0..9 {
        connected += usize::from(devices.join_next().await.unwrap().unwrap());
    }
    for _ in 0..=connected {
        admissions.recv().await.unwrap();
    }
    assert!(devices.try_join_next().is_none(), "the last connection stays open");
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.taken_over), (connected as u64 + 1, 9));
    assert!(devices.join_next().await.unwrap().unwrap());
}

#[tokio::test]
async fn expired_token_ends_the_connection() {
    let hub = Hub::start(Config {
        options: EmulatorOptions { expiry_grace: Duration::ZERO, ..EmulatorOptions::default() },
        ..Config::default()
    });
    let mut device = hub.device().await;
    // The token has expired but is within the allowed clock skew: the hub admits the device and closes at once.
    device.connect("d1", &token("d1", now_unix() - 10), true).await;
    device.expect(CONNACK).await;
    device.expect_end().await;
    assert_eq!(hub.stop(), Stats { accepted: 1, ended: 1, expired: 1, ..Stats::default() });
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let hub = Hub::start(Config { connect_arrival_timeout: Duration::from_millis(200), ..Config::default() });
    let mut silent = hub.device().await;
    silent.expect_end().await;
    let mut tcp = TcpStream::connect(hub.address).await.unwrap();
    let mut byte = [0];
    assert!(matches!(tcp.read(&mut byte).await, Ok(0) | Err(_)));
    let stats = hub.stop();
    // On a busy machine the first connection may time out in the TLS handshake.
    assert!(matches!((stats.protocol_errors, stats.tls_failed), (1, 1) | (0, 2)), "{stats:?}");
}

#[tokio::test]
async fn non_mqtt_client_is_closed_and_the_hub_continues() {
    let hub = Hub::start(Config::default());
    let mut device = hub.device().await;
    device.send(|out| out.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n")).await;
    device.expect_end().await;
    let mut device = hub.connecting("d1", true).await;
    device.expect(CONNACK).await;
    assert_eq!(hub.stop().protocol_errors, 1);
    device.expect_end().await;
}

#[tokio::test]
async fn certificate_has_only_the_names_of_the_hub() {
    let host_names = ["localhost", "127.0.0.1", "hub.test"].map(str::to_owned).to_vec();
    let hub = Hub::start(Config { host_names, ..Config::default() });
    for name in ["localhost", "127.0.0.1", "hub.test"] {
        hub.try_tls(name).await.unwrap();
    }
    let error = hub.try_tls("other.test").await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    hub.stop();
}

/// Idle connections leave memory for only six handshakes at a time. The devices wait, and no connection is closed.
#[tokio::test]
async fn devices_wait_for_memory_and_none_is_closed() {
    const IDLE: usize = 500;
    const DEVICES: usize = 2_000;
    let memory_bytes = (IDLE + 6) * hubstorm::emulator::unadmitted::BASE_BYTES;
    hubstorm::fleet::raise_descriptor_limit().unwrap();
    let hub = Hub::start(Config {
        unadmitted_bytes_max: memory_bytes.div_ceil(3) * 4,
        silence_max: Duration::from_secs(3600),
        first_byte_max: Duration::from_secs(3600),
        connect_arrival_timeout: Duration::from_secs(3600),
        ..Config::default()
    });
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(hub.device().await);
    }
    let mut connecting = tokio::task::JoinSet::new();
    let hub = Arc::new(hub);
    for index in 0..DEVICES {
        let hub = Arc::clone(&hub);
        connecting.spawn(async move {
            let mut device = hub.connecting(&format!("d{index}"), true).await;
            device.expect(CONNACK).await;
            device
        });
    }
    let online = connecting.join_all().await;
    assert_eq!(online.len(), DEVICES);
    let stats = Arc::into_inner(hub).unwrap().stop();
    assert_eq!(stats, Stats { accepted: DEVICES as u64, ..Stats::default() });
}

#[tokio::test]
async fn many_devices_are_served_at_once() {
    let hub = Hub::start(Config::default());
    let mut devices = Vec::new();
    for index in 0..40 {
        devices.push((index, hub.connecting(&format!("d{index}"), true).await));
    }
    for (index, device) in &mut devices {
        device.expect(CONNACK).await;
        let topic = topics::telemetry(&format!("d{index}"));
        device.publish(&topic, 1).await;
    }
    for (_, device) in &mut devices {
        device.expect([0x40, 2, 0, 1]).await;
    }
    assert_eq!(hub.stop(), Stats { accepted: 40, telemetry: 40, acks: 40, ..Stats::default() });
}
