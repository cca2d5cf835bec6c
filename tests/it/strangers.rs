//! Clients without credentials beside devices: the emulator still accepts and serves the devices. `tests/strangers.rs` checks how much
//! memory such clients can use.

use crate::support::TEST_TIMEOUT;
use crate::support::emulator::Emulator;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, command};
use bytes::BytesMut;
use hubstorm::emulator::control::Ready;
use hubstorm::iothub::sas::{self, Key};
use hubstorm::iothub::{names, topics};
use hubstorm::link::tls;
use hubstorm::wire::QoS;
use hubstorm::wire::encode::{self, ConnectRef, PublishRef};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

const GROUP_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// The emulator's port, with a client configuration that trusts it.
struct Endpoint {
    port: u16,
    client: Arc<rustls::ClientConfig>,
}

impl Endpoint {
    fn new(port: u16, ca: &str) -> Endpoint {
        let options = tls::ClientOptions { ca: Some(PathBuf::from(ca)), ..tls::ClientOptions::default() };
        Endpoint { port, client: tls::client(&options).expect("its certificate") }
    }

    /// Opens a TLS connection that sends nothing.
    fn stranger(&self) -> Tls {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("it listens");
        socket.set_read_timeout(Some(TEST_TIMEOUT)).expect("a socket");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::clone(&self.client), name).expect("a configuration");
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).expect("a handshake");
        }
        StreamOwned::new(tls, socket)
    }

    /// Connects a device.
    fn device(&self, id: &str) -> Tls {
        let key = Key::from_base64(GROUP_KEY).expect("a key").derive(id);
        let expiry = hubstorm::clock::unix().as_secs() + 600;
        let token = sas::token(&key, &names::resource("localhost", id), expiry, None);
        let name = names::user_name("localhost", id);
        let connect = ConnectRef {
            client_id: id,
            keep_alive_s: 0,
            clean_session: true,
            username: Some(&name),
            password: Some(token.as_bytes()),
            will: None,
        };
        let mut device = self.stranger();
        send(&mut device, |out| encode::connect(out, &connect).expect("short fields"));
        receive(&mut device, [0x20, 2, 0, 0]);
        device
    }
}

fn send(tls: &mut Tls, write: impl FnOnce(&mut BytesMut)) {
    let mut out = BytesMut::new();
    write(&mut out);
    tls.write_all(&out).expect("it is open");
    tls.flush().expect("it is open");
}

#[track_caller]
fn receive<const N: usize>(tls: &mut Tls, bytes: [u8; N]) {
    let mut got = [0; N];
    tls.read_exact(&mut got).expect("an answer");
    assert_eq!(got, bytes);
}

/// Sends a message and waits for its acknowledgment.
#[track_caller]
fn is_served(device: &mut Tls, id: &str) {
    let topic = topics::telemetry(id);
    let (qos, payload) = (QoS::AtLeastOnce, b"x");
    let publish = PublishRef { topic: &topic, payload, qos, dup: false, retain: false, pid: 1 };
    send(device, |out| encode::publish(out, &publish).expect("short fields"));
    receive(device, [0x40, 2, 0, 1]);
}

#[track_caller]
fn is_closed(tls: &mut Tls) {
    let read = tls.read(&mut [0]);
    let waited = matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(matches!(read, Ok(0) | Err(_)) && !waited, "it is still open");
}

#[test]
fn a_first_byte_that_is_not_connect_closes_the_connection() {
    let hub = Emulator::start(Ipv4Addr::LOCALHOST.into(), &[], &[]);
    let mut stranger = Endpoint::new(hub.port(), hub.ca()).stranger();
    stranger.write_all(b"G").expect("it is open");
    stranger.flush().expect("it is open");
    is_closed(&mut stranger);
    let stderr_text = hub.stop();
    assert!(stderr_text.contains("before CONNECT: the first packet is not CONNECT"), "{stderr_text}");
}

/// The devices of a whole run connect. A test of `emulator` does it with less room.
#[test]
fn devices_connect_beside_500_silent_clients() {
    let key = [("HUB_KEY", GROUP_KEY)];
    let hub = Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", "env:HUB_KEY"], &key);
    let endpoint = Endpoint::new(hub.port(), hub.ca());
    let mut strangers: Vec<Tls> = (0..500).map(|_| endpoint.stranger()).collect();
    let scenario = format!(
        "drain = \"60s\"\n{}\nconnect_timeout = \"60s\"\nreconnect = {{ kind = \"never\" }}\n\
         [[fleet.meter.send]]\nevery = \"2s\"\npayload = \"x\"\n\
         [[phase]]\nname = \"steady\"\nduration = \"10s\"\n{WIDE_VALIDITY}",
        hub.meters().replace("devices = 50", "devices = 2000")
    );
    let work = Workplace::new(&scenario).env("HUB_KEY", GROUP_KEY).without_preflight();
    work.run().exits(0);
    assert_eq!(all_ok(&work.result(), "connect"), 2_000);
    // The limits were not reached, so the emulator closed none of them.
    let last = strangers.last_mut().expect("some");
    send(last, encode::pingreq);
    is_closed(last);
    let stderr_text = hub.stop();
    assert!(!stderr_text.contains("too many connections"), "{stderr_text}");
}

#[test]
fn hub_without_descriptors_for_its_shards_fails() {
    let program = env!("CARGO_BIN_EXE_hubstorm");
    let hub = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$@\"", "sh", program])
        .args(["emulator", "--listen", "127.0.0.1:0", "--group-key", "env:HUB_KEY", "--shards", "64"])
        .env("HUB_KEY", GROUP_KEY)
        .output()
        .expect("a shell");
    let stderr_text = String::from_utf8_lossy(&hub.stderr);
    assert_eq!((hub.status.code(), hub.stdout.is_empty()), (Some(1), true), "{stderr_text}");
    assert!(
        stderr_text.contains("all 64 file descriptors are in use") && stderr_text.contains("ulimit -n"),
        "{stderr_text}"
    );
}

/// Clients reach the descriptor limit. Devices that connected before and after must be served.
#[test]
fn silent_connections_are_closed_without_descriptors() {
    let program = env!("CARGO_BIN_EXE_hubstorm");
    let mut hub = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$@\"", "sh", program])
        .args(["emulator", "--listen", "127.0.0.1:0", "--group-key", "env:HUB_KEY", "--shards", "1"])
        .env("HUB_KEY", GROUP_KEY)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    BufReader::new(hub.stdout.take().expect("piped")).read_line(&mut line).expect("UTF-8");
    let ready: Ready = serde_json::from_str(&line).expect("its ready line");
    let port = ready.mqtt.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let endpoint = Endpoint::new(port, ready.ca_file.as_deref().expect("without --control it writes one"));
    let ids: Vec<String> = (0..10).map(|n| format!("d{n}")).collect();
    let mut devices: Vec<Tls> = ids.iter().map(|id| endpoint.device(id)).collect();
    // The kernel queues connections that the hub has not accepted. These send nothing, so they need no answer.
    let silent: Vec<TcpStream> = (0..64)
        .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the kernel's queue has room"))
        .collect();
    let mut stderr = BufReader::new(hub.stderr.take().expect("piped"));
    let mut stderr_text = String::new();
    stderr.read_line(&mut stderr_text).expect("UTF-8");
    assert!(
        stderr_text.contains("out of file descriptors (limit 64)") && stderr_text.contains("ulimit -n 65536"),
        "{stderr_text}"
    );
    for (device, id) in devices.iter_mut().zip(&ids) {
        is_served(device, id);
    }
    let mut new = endpoint.device("new");
    is_served(&mut new, "new");
    let mut first = &silent[0];
    first.set_read_timeout(Some(TEST_TIMEOUT)).expect("a socket");
    assert!(matches!(first.read(&mut [0]), Ok(0) | Err(_)), "the oldest one is closed");
    for (device, id) in devices.iter_mut().zip(&ids) {
        is_served(device, id);
    }
    hub.kill().expect("it is a child process");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("UTF-8");
    hub.wait().expect("it is a child process");
    assert!(!rest.contains("descriptors"), "the message appears once a minute: {rest}");
}

/// Each connection announces a CONNECT of 300 KiB and sends everything except its end.
#[test]
fn large_connect_packets_stay_within_memory() {
    const RSS_BYTES_MAX: u64 = 64 * 1024 * 1024;
    let hub = Emulator::start(Ipv4Addr::LOCALHOST.into(), &[], &[]);
    let endpoint = Endpoint::new(hub.port(), hub.ca());
    // 300 KiB exceed the limit for CONNECT.
    let connect = [&[0x10, 0x80, 0xe0, 0x12][..], &vec![0; 300 * 1024 - 1]].concat();
    let mut strangers = Vec::new();
    for _ in 0..500 {
        let mut stranger = endpoint.stranger();
        // The hub may close it during the write.
        let _ = stranger.write_all(&connect).and_then(|()| stranger.flush());
        strangers.push(stranger);
    }
    for stranger in &mut strangers {
        is_closed(stranger);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", hub.id())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux prints it");
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak_kib * 1024 <= RSS_BYTES_MAX, "{peak_kib} KiB");
    hub.stop();
}

#[test]
fn stats_count_connections_closed_for_others() {
    let mut hub = command(["emulator", "--control"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program was built");
    let mut stdin = hub.stdin.take().expect("piped");
    writeln!(stdin, "{{\"config\":{{}}}}\n\"stats\"").expect("it reads");
    drop(stdin);
    let output = hub.wait_with_output().expect("it is a child process");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(stdout.contains(r#""closed_for_others":0"#), "{stdout}");
}
