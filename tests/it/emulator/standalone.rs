//! `hubstorm emulator` for scripts and containers: the ready file, the health endpoints, the lines with counts, and how it stops.

use super::device::{Device, GROUP_KEY, online};
use crate::support::address::listen_at;
use crate::support::emulator::Emulator;
use crate::support::http;
use crate::support::hubstorm::{command, hubstorm};
use hubstorm::emulator::control::Ready;
use hubstorm::iothub::topics;
use hubstorm::wire::QoS;
use hubstorm::wire::encode::{self, PublishRef};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Stdio;
use tokio::io::AsyncReadExt;
use tokio::runtime::Runtime;

const ANY_PORT: &str = "localhost:0";

fn start(arguments: &[&str]) -> Emulator {
    let key = ["--group-key", "env:HUB_KEY", "--shards", "1"];
    Emulator::start(Ipv4Addr::LOCALHOST.into(), &[&key[..], arguments].concat(), &[("HUB_KEY", GROUP_KEY)])
}

fn health(hub: &Emulator) -> SocketAddr {
    hub.ready().health.as_ref().unwrap().parse().unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Sends more messages than one unit of S1 acknowledges at once (6,000), and a ping. The acknowledgments of the others are late.
async fn flood(device: &mut Device, messages: u16) {
    let topic = topics::telemetry("meter-1");
    device
        .send(|out| {
            for pid in 1..=messages {
                let publish = PublishRef {
                    topic: &topic,
                    payload: b"{}",
                    qos: QoS::AtLeastOnce,
                    dup: false,
                    retain: false,
                    pid,
                };
                encode::publish(out, &publish).unwrap();
            }
            encode::pingreq(out);
        })
        .await;
}

/// Reads acknowledgments, until the answer to a ping. Returns their number.
async fn acks_before_pong(device: &mut Device) -> u16 {
    for acks in 0.. {
        let mut head = [0; 2];
        device.0.read_exact(&mut head).await.unwrap();
        match head {
            [0xD0, 0] => return acks,
            [0x40, 2] => drop(device.0.read_u16().await.unwrap()),
            _ => panic!("{head:?}"),
        }
    }
    unreachable!("the hub acknowledges no message twice")
}

/// Waits until the endpoints say that the hub is stopping.
fn wait_until_stopping(health: SocketAddr) {
    while http::get(health, "/readyz") != (503, "stopping\n".to_owned()) {
        std::thread::yield_now();
    }
}

#[test]
fn ready_file_exists_while_the_hub_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/ready.json");
    let option = ["--ready-file", path.to_str().unwrap()];
    let hub = start(&[&option[..], &["--health-listen", ANY_PORT]].concat());
    assert_eq!(fs::read_to_string(&path).unwrap(), hub.ready_line);
    let Ready { mqtt, port, pid, .. } = hub.ready();
    assert_eq!((mqtt, *pid), (&format!("127.0.0.1:{port}"), hub.id()));
    assert!(*port > 0 && health(&hub).port() > 0);
    // Another emulator leaves the file alone, and tells why.
    let arguments = ["emulator", "--listen", ANY_PORT];
    let second = hubstorm(&[&arguments[..], &option].concat());
    let in_use = format!("ready.json (process {}); stop it", hub.id());
    assert!(second.exits(1).stderr.contains(&in_use), "{}", second.stderr);
    hub.stop();
    assert!(!path.exists());
    // A killed emulator leaves its file behind, and the next one replaces it.
    let killed = start(&option);
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.wait().0, None);
    assert!(path.exists());
    let hub = start(&option);
    assert_eq!(fs::read_to_string(&path).unwrap(), hub.ready_line);
    hub.stop();
    fs::write(&path, "notes").unwrap();
    let other = hubstorm(&[&arguments[..], &option].concat());
    assert!(other.exits(1).stderr.contains("is not the ready file"), "{}", other.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), "notes");
}

#[test]
fn hub_is_healthy_but_not_ready_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    assert!(std::process::Command::new("mkfifo").arg(&key).status().unwrap().success());
    let health = listen_at(8080).local_addr().unwrap();
    let check = || hubstorm(&["emulator", "--health-check", &health.to_string()]);
    assert!(check().exits(1).stderr.contains("Connection refused"));
    let mut child = command(["emulator", "--listen", ANY_PORT, "--health-listen", &health.to_string()])
        .arg("--group-key")
        .arg(format!("file:{}", key.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Blocks until the emulator reads its key, when the endpoints answer already.
    let mut pipe = fs::OpenOptions::new().write(true).open(&key).unwrap();
    assert_eq!(http::get(health, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(http::get(health, "/readyz"), (503, "starting\n".to_owned()));
    assert!(check().exits(1).stderr.contains("is starting or stopping"));
    pipe.write_all(GROUP_KEY.as_bytes()).unwrap();
    drop(pipe);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Ready = serde_json::from_str(&line).unwrap();
    assert_eq!(ready.health, Some(health.to_string()));
    assert_eq!(http::get(health, "/readyz?verbose"), (200, "ready\n".to_owned()));
    assert_eq!((check().exits(0).stdout.as_str(), http::get(health, "/metrics").0), ("", 404));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn sigterm_sends_the_acknowledgments_in_flight() {
    const MESSAGES: u16 = 6_700;
    let hub = start(&["--tier", "S1", "--health-listen", ANY_PORT, "--stats", "24h", "--drain", "1h"]);
    let (health, mqtt): (_, SocketAddr) = (health(&hub), hub.ready().mqtt.parse().unwrap());
    runtime().block_on(async {
        let mut device = online(hub.ready().clone()).await;
        flood(&mut device, MESSAGES).await;
        let early = acks_before_pong(&mut device).await;
        assert!(early < MESSAGES, "no acknowledgment was late");
        hub.signal(Signal::SIGTERM);
        wait_until_stopping(health);
        assert_eq!(http::get(health, "/healthz").0, 200);
        TcpStream::connect(mqtt).expect_err("the hub accepts nothing more");
        for pid in early + 1..=MESSAGES {
            let [high, low] = pid.to_be_bytes();
            device.expect([0x40, 2, high, low]).await;
        }
        device.expect_end().await;
    });
    let (code, stderr) = hub.wait();
    assert_eq!(code, Some(0), "{stderr}");
    let total = stderr.lines().last().unwrap();
    assert!(total.starts_with("hub: total 1 connections, 6,700 msgs, 6,700 acks, "), "{stderr}");
    assert!(!stderr.contains("before all acknowledgments"), "{stderr}");
}

#[test]
fn second_signal_or_the_limit_ends_the_hub() {
    for (drain, signals) in
        [("1h", &[Signal::SIGINT, Signal::SIGINT][..]), ("0s", &[Signal::SIGINT]), ("1h", &[Signal::SIGQUIT])]
    {
        let hub = start(&["--tier", "S1", "--health-listen", ANY_PORT, "--stats", "24h", "--drain", drain]);
        let health = health(&hub);
        let runtime = runtime();
        let _open = runtime.block_on(async {
            let mut device = online(hub.ready().clone()).await;
            flood(&mut device, 6_900).await;
            acks_before_pong(&mut device).await;
            for (n, signal) in signals.iter().enumerate() {
                if n > 0 {
                    wait_until_stopping(health);
                }
                hub.signal(*signal);
            }
            device
        });
        let (code, stderr) = hub.wait();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("hub: closed 1 connection before all acknowledgments were sent"), "{stderr}");
        assert!(stderr.contains("hub: total 1 connections, 6,900 msgs, "), "{drain}: {stderr}");
    }
}

#[test]
fn stats_are_one_line_of_80_columns() {
    let mut hub = start(&["--stats", "100ms"]);
    let first = hub.says("online");
    assert_eq!(first, "hub: 0 online, 0 msg/s, 0 acks, 0 throttled, 0 refused\n");
    runtime().block_on(async {
        let mut device = online(hub.ready().clone()).await;
        device.publish(&topics::telemetry("meter-1"), 1).await;
        device.expect([0x40, 2, 0, 1]).await;
        hub.says("hub: 1 online");
    });
    let stderr = hub.stop();
    assert!(stderr.lines().all(|line| line.starts_with("hub: ") && line.len() <= 80), "{stderr}");
    let total = "hub: total 1 connections, 1 msgs, 1 acks, 0 throttled, 0 refused";
    assert_eq!(stderr.lines().last(), Some(total));
    for (option, fix) in
        [("--stats=0s", "100ms to 24h"), ("--stats=10", "did you mean 10s?"), ("--drain=2d", "24h or less")]
    {
        let finished = hubstorm(&["emulator", "--listen", ANY_PORT, option]);
        assert!(finished.exits(2).stderr.contains(fix), "{}", finished.stderr);
    }
}

#[test]
fn hostile_http_clients_do_not_stop_the_endpoints() {
    let hub = start(&["--health-listen", ANY_PORT]);
    let health = health(&hub);
    let long = format!("GET /healthz HTTP/1.1\r\nX: {}", "x".repeat(1 << 20));
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(1_000));
    for (request, statuses) in [
        (long.as_bytes(), &["", "431"][..]),
        (many.as_bytes(), &["", "431"]),
        (b"\x16\x03\x01\x00\xff\x01", &["400"]),
        (b"\r\n\r\n\r\nnonsense\r\n\r\n", &["400"]),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\nx", &["405"]),
        (
            b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nfff",
            &["200", "400"],
        ),
        (b"GET /../etc/passwd HTTP/1.1\r\n\r\n", &["404"]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &["", "400", "505"]),
    ] {
        let answer = http::send(health, request);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(
            statuses.contains(&status),
            "{:?}: {answer:?}",
            String::from_utf8_lossy(&request[..request.len().min(60)])
        );
    }
    // Silent clients hold all places, until their time is over.
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(health).unwrap()).collect();
    assert_eq!(http::get(health, "/readyz").0, 200);
    drop(silent);
    hub.stop();
}
