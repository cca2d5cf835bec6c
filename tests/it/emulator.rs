//! The emulator over real sockets, in process: TLS, refusals, takeover across shards, expiry, stopping. What a packet means
//! is tested in `emulator::session`; here the peers write and read raw bytes.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use crate::support::emulator::Emulator;
use bytes::BytesMut;
use hubstorm::emulator::control::{
    ControlCommand as Control, ControlConfig, ControlReply, Ready, SecretText,
};
use hubstorm::emulator::{Config, EmulatorError, Stats, certificate, serve};
use hubstorm::iothub::sas::{self, Key};
use hubstorm::iothub::{names, topics};
use hubstorm::link::{listen, tls};
use hubstorm::wire::QoS;
use hubstorm::wire::encode::{self, ConnectRef, PublishRef};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustls::pki_types::ServerName;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

const GROUP_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
const CONNACK_PRESENT: [u8; 4] = [0x20, 2, 1, 0];
const REFUSED: [u8; 4] = [0x20, 2, 0, 5];

fn group() -> Key {
    Key::from_base64(GROUP_KEY).unwrap()
}

fn now_unix() -> u64 {
    hubstorm::clock::unix().as_secs()
}

/// A hub that serves until the test is through.
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
        let server = tls::server_with_rsa(identity, Box::new(move || rsa.get())).unwrap();
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

    /// A device that has sent CONNECT with a token of its own key.
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

fn token(id: &str, expiry_unix: u64) -> String {
    sas::token(&group().derive(id), &names::resource("localhost", id), expiry_unix, None).to_string()
}

struct Device(TlsStream<TcpStream>);

impl Device {
    async fn connect(&mut self, id: &str, token: &str, clean_session: bool) {
        let name = names::user_name("localhost", id);
        let connect = ConnectRef {
            client_id: id,
            keep_alive_s: 60,
            clean_session,
            username: Some(&name),
            password: Some(token.as_bytes()),
            will: None,
        };
        self.send(|out| encode::connect(out, &connect).unwrap()).await;
    }

    async fn send(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        write(&mut out);
        self.0.write_all(&out).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn expect<const N: usize>(&mut self, bytes: [u8; N]) {
        let mut got = [0; N];
        self.0.read_exact(&mut got).await.unwrap();
        assert_eq!(got, bytes);
    }

    /// The hub closes, and says so in TLS or just goes.
    async fn expect_end(&mut self) {
        let mut byte = [0];
        assert!(matches!(self.0.read(&mut byte).await, Ok(0) | Err(_)), "{byte:?}");
    }
}

#[tokio::test]
async fn a_device_sends_telemetry_and_is_acknowledged() {
    let hub = Hub::start(Config::default());
    let mut device = hub.connecting("meter-1", true).await;
    device.expect(CONNACK).await;
    let topic = topics::telemetry("meter-1");
    for pid in [1, 2] {
        let publish = PublishRef {
            topic: &topic,
            payload: b"{}",
            qos: QoS::AtLeastOnce,
            dup: false,
            retain: false,
            pid,
        };
        device.send(|out| encode::publish(out, &publish).unwrap()).await;
    }
    device.expect([0x40, 2, 0, 1, 0x40, 2, 0, 2]).await;
    device.send(encode::disconnect).await;
    device.expect_end().await;
    assert_eq!(hub.stop(), Stats { accepted: 1, telemetry: 2, ..Stats::default() });
}

#[tokio::test]
async fn refusals_are_5_and_the_end() {
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
async fn a_device_that_connects_again_takes_over_on_any_shard_with_its_subscriptions() {
    let hub = Hub::start(Config::default());
    let mut old = hub.connecting("d1", false).await;
    old.expect(CONNACK).await;
    old.send(|out| encode::subscribe(out, 1, &[(topics::TWIN_DESIRED, QoS::AtLeastOnce)]).unwrap()).await;
    old.expect([0x90, 3, 0, 1, 1]).await;
    // Connections go to the two shards in turn: five of them meet every combination.
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
    assert_eq!(hub.stop(), Stats { accepted: 8, taken_over: 6, ..Stats::default() });
}

#[tokio::test]
async fn a_storm_of_takeovers_leaves_one_connection() {
    let hub = Hub::start(Config::default());
    // All at once: each waits for the one before it, which may itself be waiting.
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
    let mut answered = 0;
    for _ in 0..9 {
        answered += usize::from(devices.join_next().await.unwrap().unwrap());
    }
    for _ in 0..=answered {
        admissions.recv().await.unwrap();
    }
    assert!(devices.try_join_next().is_none(), "the last one was admitted and stays");
    let stats = hub.stop();
    assert_eq!((stats.accepted, stats.taken_over), (answered as u64 + 1, 9));
    assert!(devices.join_next().await.unwrap().unwrap());
}

#[tokio::test]
async fn a_token_that_runs_out_ends_its_connection() {
    let hub = Hub::start(Config { expiry_grace: Duration::ZERO, ..Config::default() });
    let mut device = hub.device().await;
    // Over already, and still within the clock skew: admitted, and closed at once.
    device.connect("d1", &token("d1", now_unix() - 10), true).await;
    device.expect(CONNACK).await;
    device.expect_end().await;
    assert_eq!(hub.stop(), Stats { accepted: 1, expired: 1, ..Stats::default() });
}

#[tokio::test]
async fn who_says_nothing_is_closed() {
    let hub = Hub::start(Config { connect_arrival_timeout: Duration::from_millis(200), ..Config::default() });
    let mut silent = hub.device().await;
    silent.expect_end().await;
    let mut tcp = TcpStream::connect(hub.address).await.unwrap();
    let mut byte = [0];
    assert!(matches!(tcp.read(&mut byte).await, Ok(0) | Err(_)));
    let stats = hub.stop();
    // On a machine that is busy with other things, the first one may not even have got through TLS.
    assert!(matches!((stats.protocol_errors, stats.tls_failed), (1, 1) | (0, 2)), "{stats:?}");
}

#[tokio::test]
async fn what_is_not_mqtt_is_closed_and_the_hub_goes_on() {
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
async fn the_certificate_has_the_names_of_the_hub_and_no_others() {
    let host_names = ["localhost", "127.0.0.1", "hub.test"].map(str::to_owned).to_vec();
    let hub = Hub::start(Config { host_names, ..Config::default() });
    for name in ["localhost", "127.0.0.1", "hub.test"] {
        hub.try_tls(name).await.unwrap();
    }
    let error = hub.try_tls("other.test").await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    hub.stop();
}

/// Idle connections leave room for only six handshakes at a time. The devices wait for each other, and no connection is closed.
#[tokio::test]
async fn a_storm_of_devices_waits_for_room_and_none_is_closed() {
    const STRANGERS: usize = 500;
    const DEVICES: usize = 2_000;
    let room = (STRANGERS + 6) * hubstorm::emulator::unadmitted::BASE_BYTES;
    hubstorm::fleet::raise_descriptor_limit().unwrap();
    let hub = Hub::start(Config {
        unadmitted_bytes_max: room.div_ceil(3) * 4,
        silence_max: Duration::from_secs(3600),
        first_byte_max: Duration::from_secs(3600),
        connect_arrival_timeout: Duration::from_secs(3600),
        ..Config::default()
    });
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        strangers.push(hub.device().await);
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
        let publish = PublishRef {
            topic: &topic,
            payload: b"x",
            qos: QoS::AtLeastOnce,
            dup: false,
            retain: false,
            pid: 1,
        };
        device.send(|out| encode::publish(out, &publish).unwrap()).await;
    }
    for (_, device) in &mut devices {
        device.expect([0x40, 2, 0, 1]).await;
    }
    assert_eq!(hub.stop(), Stats { accepted: 40, telemetry: 40, ..Stats::default() });
}

/// What a run does with its built-in hub.
#[test]
fn a_child_is_driven_by_json_lines_and_ends_with_its_stdin() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hubstorm"))
        .args(["emulator", "--control"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut answer = || lines.next().unwrap().unwrap();
    let mut tell =
        |command: &Control| writeln!(stdin, "{}", serde_json::to_string(command).unwrap()).unwrap();

    tell(&Control::Config(ControlConfig {
        hosts: vec!["hub.test".to_owned()],
        shards: 1,
        ..ControlConfig::default()
    }));
    let ready: Ready = serde_json::from_str(&answer()).unwrap();
    assert_eq!(ready.host, "hub.test");
    assert!(ready.ca_pem.unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(ready.ca_file, None, "a kill would leave it behind");
    // Ctrl-C reaches the whole group; when the child ends is its parent's decision.
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    tell(&Control::Start { unix_us: 0 });
    tell(&Control::Stats);
    let ControlReply::Stats { counted, refused_by, cpu_us, rss_peak_bytes, shards } =
        serde_json::from_str(&answer()).unwrap()
    else {
        panic!("another answer")
    };
    assert_eq!(counted, Stats::default());
    assert!(refused_by.is_empty());
    assert!(cpu_us > 0 && rss_peak_bytes > 0, "it has at least made a certificate");
    assert_eq!(shards.len(), 1);
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// A hub of `--control`, ready to be told more.
struct ControlledHub {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    ready: Ready,
}

impl ControlledHub {
    fn start(shards: usize) -> ControlledHub {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hubstorm"))
            .args(["emulator", "--control"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let group_keys = vec![SecretText::new(Zeroizing::new(GROUP_KEY.to_owned()))];
        let config = Control::Config(ControlConfig { group_keys, shards, ..ControlConfig::default() });
        writeln!(stdin, "{}", serde_json::to_string(&config).unwrap()).unwrap();
        let ready = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        ControlledHub { child, stdin, lines, ready }
    }
}

/// A connection to a hub that has sent nothing over TLS.
async fn stranger(ready: &Ready) -> Device {
    let roots_pem = ready.ca_pem.clone().map(String::into_bytes);
    let ca = ready.ca_file.as_ref().map(std::path::PathBuf::from);
    let client = tls::client(&tls::ClientOptions { roots_pem, ca, verify: true }).unwrap();
    let socket = TcpStream::connect(ready.mqtt.as_str()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    Device(TlsConnector::from(client).connect(name, socket).await.unwrap())
}

/// A connected device of a hub.
async fn online(ready: Ready) -> Device {
    let mut device = stranger(&ready).await;
    device.connect("meter-1", &token("meter-1", now_unix() + 600), true).await;
    device.expect(CONNACK).await;
    device
}

/// One line on stderr for each, and their number by reason in `stats`.
#[test]
fn refusals_are_reported_with_their_reason() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hubstorm"))
        .args(["emulator", "--control"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    writeln!(stdin, r#"{{"config":{{"group_keys":["{GROUP_KEY}"]}}}}"#).unwrap();
    let ready: Ready = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let good = token("d1", now_unix() + 600);
    runtime.block_on(async {
        for (client_id, name, password) in [
            ("d1", "localhost/d1/?api-version=2021-04-12", "SharedAccessSignature sr=a&sig=c2VjcmV0&se=1"),
            ("d1/m", "localhost/d1/m/?api-version=2021-04-12", &good),
            ("d1/m", "localhost/d1/?api-version=2021-04-12", &good),
            ("d1", "elsewhere/d1/?api-version=2021-04-12", &good),
            ("d1", "localhost/d1/?api-version=2021-04-12", &token("d1", now_unix() - 3600)),
        ] {
            let mut device = stranger(&ready).await;
            let connect = ConnectRef {
                client_id,
                keep_alive_s: 60,
                clean_session: true,
                username: Some(name),
                password: Some(password.as_bytes()),
                will: None,
            };
            device.send(|out| encode::connect(out, &connect).unwrap()).await;
            device.expect(REFUSED).await;
            device.expect_end().await;
        }
        let mut other = stranger(&ready).await;
        other.send(|out| out.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n")).await;
        other.expect_end().await;
    });
    writeln!(stdin, "\"stats\"").unwrap();
    let answer = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let ControlReply::Stats { counted, refused_by, .. } = answer else {
        panic!("another answer: {answer:?}")
    };
    assert_eq!((counted.refused, counted.protocol_errors), (5, 1));
    let wanted = [("expired", 1), ("host", 1), ("module", 2), ("token", 1)];
    assert_eq!(refused_by, wanted.map(|(reason, count)| (reason.to_owned(), count)).into());
    drop(stdin);
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert_eq!(said.lines().count(), 6, "{said}");
    assert_eq!(said.matches("modules are not emulated").count(), 2, "{said}");
    for words in ["client id \"d1/m\"", "the token has expired", "--host NAME", "is not CONNECT"] {
        assert!(said.contains(words), "{words} is missing: {said}");
    }
    let signature = good.split("sig=").nth(1).unwrap().split('&').next().unwrap();
    assert!(!said.contains("c2VjcmV0") && !said.contains(signature), "{said}");
}

#[test]
fn stopped_hub_reports_the_stall() {
    const STOPPED_FOR: Duration = Duration::from_millis(500);
    // A shard beats every 10 ms while its connections are quiet. The rest is for wall clocks that are corrected.
    const SLACK_US: u64 = 50_000;
    let unix_us = || u64::try_from(hubstorm::clock::unix().as_micros()).unwrap();
    let ControlledHub { mut child, mut stdin, mut lines, ready } = ControlledHub::start(1);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let device = runtime.block_on(online(ready));

    kill(pid, Signal::SIGSTOP).unwrap();
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGSTOP));
    let from_us = unix_us();
    // Nothing can be sent: the time itself is what the test needs.
    let (_open, silence) = mpsc::channel::<()>();
    assert_eq!(silence.recv_timeout(STOPPED_FOR), Err(mpsc::RecvTimeoutError::Timeout));
    let to_us = unix_us();
    kill(pid, Signal::SIGCONT).unwrap();

    writeln!(stdin, "{}", serde_json::to_string(&Control::Stats).unwrap()).unwrap();
    let answer = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let ControlReply::Stats { counted: Stats { accepted: 1, .. }, shards, .. } = answer else {
        panic!("another answer: {answer:?}")
    };
    let [shard] = &shards[..] else { panic!("one shard was configured: {shards:?}") };
    let stalled_us: u64 = shard.stalls.iter().map(|stall| stall.at_most_us(from_us, to_us)).sum();
    assert!(stalled_us + SLACK_US >= to_us - from_us, "{stalled_us} us of {from_us} to {to_us}: {shard:?}");
    assert!(shard.busy_share > 0.0 && shard.busy_share <= 1.0, "{shard:?}");
    drop((device, stdin));
    assert!(child.wait().unwrap().success());
}

/// A call crosses threads twice: to the shard that has the device, and back to who asked.
#[test]
fn a_back_end_calls_over_control_while_devices_are_connected() {
    let ControlledHub { mut child, mut stdin, mut lines, ready } = ControlledHub::start(2);
    let mut answer = || lines.next().unwrap().unwrap();
    let mut tell = |line: &str| writeln!(stdin, "{line}").unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut device = runtime.block_on(async {
        let mut device = online(ready).await;
        device.send(|out| encode::subscribe(out, 1, &[(topics::METHODS, QoS::AtMostOnce)]).unwrap()).await;
        device.expect([0x90, 3, 0, 1, 0]).await;
        device
    });
    // Two at once: the one that cannot be is answered before the one that takes its time.
    tell(r#"{"call":{"id":1,"device":"meter-1","ask":{"method":{"name":"m","payload":1}}}}"#);
    tell(r#"{"call":{"id":2,"device":"meter-2","ask":{"method":{"name":"m"}}}}"#);
    tell(r#"{"call":{"id":3,"device":"meter-1","ask":{"desired":{"patch":{"a":1}}}}}"#);
    let failed = r#"{"failed":{"id":2,"code":404103,"message":"the device is not online"}}"#;
    let mut early = [answer(), answer()];
    early.sort();
    assert_eq!(early, [r#"{"called":{"id":3,"version":2}}"#, failed]);
    runtime.block_on(async {
        // The call, with the request id 1.
        let topic = topics::method("m", "1");
        let mut call =
            vec![0x30, u8::try_from(2 + topic.len() + 1).unwrap(), 0, u8::try_from(topic.len()).unwrap()];
        call.extend_from_slice(topic.as_bytes());
        call.push(b'1');
        let mut got = vec![0; call.len()];
        device.0.read_exact(&mut got).await.unwrap();
        assert_eq!(got, call);
        let publish = PublishRef {
            topic: "$iothub/methods/res/202/?$rid=1",
            payload: b"[]",
            qos: QoS::AtMostOnce,
            dup: false,
            retain: false,
            pid: 0,
        };
        device.send(|out| encode::publish(out, &publish).unwrap()).await;
    });
    assert_eq!(answer(), r#"{"called":{"id":1,"status":202,"payload":[]}}"#);
    // A slip of who asks is not the end of the hub.
    tell(r#"{"call":{"id":6,"device":"meter-1","ask":"clsoe"}}"#);
    let slip = answer();
    assert!(slip.starts_with(r#"{"failed":{"id":6,"code":400004,"message":"#), "{slip}");
    assert!(slip.contains("unknown variant `clsoe`"), "{slip}");
    tell(r#"{"call":{"id":4,"device":"meter-1","ask":"close"}}"#);
    assert_eq!(answer(), r#"{"called":{"id":4}}"#);
    runtime.block_on(device.expect_end());
    // A device that never comes is waited for as long as was asked.
    let wait =
        r#"{"call":{"id":5,"device":"meter-2","ask":{"method":{"name":"m","connect_timeout_ms":20}}}}"#;
    tell(wait);
    assert_eq!(answer(), failed.replace(r#""id":2"#, r#""id":5"#));
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_unescaped_bag_ends_the_connection_unless_the_flag_is_set() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (flags, accepted) in [(&[][..], false), (&["--lenient-properties"], true)] {
        let arguments = [&["--group-key", "env:HUB_KEY", "--shards", "1"], flags].concat();
        let hub = Emulator::start(Ipv4Addr::LOCALHOST.into(), &arguments, &[("HUB_KEY", GROUP_KEY)]);
        let mut ready: Ready = serde_json::from_str(&hub.ready_line).unwrap();
        ready.ca_pem = Some(std::fs::read_to_string(hub.ca()).unwrap());
        runtime.block_on(async {
            let mut device = online(ready).await;
            let topic = format!("{}at=a/b+c", topics::telemetry("meter-1"));
            let publish = PublishRef {
                topic: &topic,
                payload: b"{}",
                qos: QoS::AtLeastOnce,
                dup: false,
                retain: false,
                pid: 1,
            };
            device.send(|out| encode::publish(out, &publish).unwrap()).await;
            match accepted {
                true => device.expect([0x40, 2, 0, 1]).await,
                false => device.expect_end().await,
            }
        });
        hub.stop();
    }
}

/// The next emulator removes the CA file of a killed one.
#[test]
fn the_ca_file_of_a_killed_emulator_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hubstorm"))
            .args(["emulator", "--listen", "127.0.0.1:0"])
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Ready = serde_json::from_str(&line).unwrap();
        (child, std::path::PathBuf::from(ready.ca_file.unwrap()))
    };
    let left =
        || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let (mut killed, stale) = start();
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(left(), [stale], "a killed emulator cannot remove it");
    let (mut first, live) = start();
    assert_eq!(left(), std::slice::from_ref(&live));
    let (mut second, other) = start();
    let mut both = left();
    both.sort();
    let mut wanted = vec![live, other];
    wanted.sort();
    assert_eq!(both, wanted, "the file of a live emulator stays");
    for child in [&mut first, &mut second] {
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
        assert!(child.wait().unwrap().success());
    }
    assert!(left().is_empty());
}
