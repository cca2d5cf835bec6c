//! `hubstorm emulator --control`: commands and answers as JSON lines, as a run uses them for its built-in hub.

use super::device::{GROUP_KEY, REFUSED, now_unix, online, open_tls, token};
use hubstorm::emulator::Stats;
use hubstorm::emulator::control::{
    ControlCommand as Control, ControlConfig, ControlReply, Ready, SecretText,
};
use hubstorm::iothub::topics;
use hubstorm::wire::QoS;
use hubstorm::wire::encode::{self, ConnectRef, PublishRef};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

/// A configured hub with `--control`.
struct ControlledHub {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    ready: Ready,
}

impl ControlledHub {
    /// Starts a hub that admits the group key.
    fn start(shards: usize) -> ControlledHub {
        let group_keys = vec![SecretText::new(Zeroizing::new(GROUP_KEY.to_owned()))];
        ControlledHub::start_with(ControlConfig { group_keys, shards, ..ControlConfig::default() })
    }

    fn start_with(config: ControlConfig) -> ControlledHub {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hubstorm"))
            .args(["emulator", "--control"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        writeln!(stdin, "{}", serde_json::to_string(&Control::Config(config)).unwrap()).unwrap();
        let ready = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        ControlledHub { child, stdin, lines, ready }
    }
}

#[test]
fn hub_obeys_json_lines_and_ends_with_stdin() {
    let config = ControlConfig { hosts: vec!["hub.test".to_owned()], shards: 1, ..ControlConfig::default() };
    let ControlledHub { mut child, mut stdin, mut lines, ready } = ControlledHub::start_with(config);
    let mut send =
        |command: &Control| writeln!(stdin, "{}", serde_json::to_string(command).unwrap()).unwrap();
    assert_eq!(ready.host, "hub.test");
    assert!(ready.ca_pem.unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(ready.ca_file, None, "a killed hub would leave the file behind");
    // A terminal sends Ctrl-C to the whole process group. Only the end of stdin ends this hub.
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    send(&Control::Start { unix_us: 0 });
    send(&Control::Stats);
    let ControlReply::Stats { counted, refused_by, cpu_us, rss_peak_bytes, shards, .. } =
        serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap()
    else {
        panic!("unexpected answer")
    };
    assert_eq!(counted, Stats::default());
    assert!(refused_by.is_empty());
    assert!(cpu_us > 0 && rss_peak_bytes > 0, "it has made a certificate");
    assert_eq!(shards.len(), 1);
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// Each refusal is one line on stderr, and `stats` counts them by reason.
#[test]
fn refusals_are_reported_with_their_reason() {
    let ControlledHub { child, mut stdin, mut lines, ready } = ControlledHub::start(1);
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
            let mut device = open_tls(&ready).await;
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
        let mut other = open_tls(&ready).await;
        other.send(|out| out.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n")).await;
        other.expect_end().await;
    });
    writeln!(stdin, "\"stats\"").unwrap();
    let answer = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let ControlReply::Stats { counted, refused_by, .. } = answer else {
        panic!("unexpected answer: {answer:?}")
    };
    assert_eq!((counted.refused, counted.protocol_errors), (5, 1));
    let expected = [("expired", 1), ("host", 1), ("module", 2), ("token", 1)];
    assert_eq!(refused_by, expected.map(|(reason, count)| (reason.to_owned(), count)).into());
    drop(stdin);
    let stderr = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert_eq!(stderr.lines().count(), 6, "{stderr}");
    assert_eq!(stderr.matches("modules are not emulated").count(), 2, "{stderr}");
    for words in ["client id \"d1/m\"", "the token has expired", "--host NAME", "is not CONNECT"] {
        assert!(stderr.contains(words), "{words} is missing: {stderr}");
    }
    let signature = good.split("sig=").nth(1).unwrap().split('&').next().unwrap();
    assert!(!stderr.contains("c2VjcmV0") && !stderr.contains(signature), "{stderr}");
}

#[test]
fn stopped_hub_reports_the_stall() {
    const STOPPED_FOR: Duration = Duration::from_millis(500);
    // Shards have a heartbeat of 10 ms. The rest allows for corrections of the wall clock.
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
    // Waits for STOPPED_FOR; nothing is sent on this channel.
    let (_open, silence) = mpsc::channel::<()>();
    assert_eq!(silence.recv_timeout(STOPPED_FOR), Err(mpsc::RecvTimeoutError::Timeout));
    let to_us = unix_us();
    kill(pid, Signal::SIGCONT).unwrap();

    writeln!(stdin, "{}", serde_json::to_string(&Control::Stats).unwrap()).unwrap();
    let answer = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let ControlReply::Stats { counted: Stats { accepted: 1, .. }, shards, .. } = answer else {
        panic!("unexpected answer: {answer:?}")
    };
    let [shard] = &shards[..] else { panic!("one shard was configured: {shards:?}") };
    let stalled_us: u64 = shard.stalls.iter().map(|stall| stall.at_most_us(from_us, to_us)).sum();
    assert!(stalled_us + SLACK_US >= to_us - from_us, "{stalled_us} us of {from_us} to {to_us}: {shard:?}");
    assert!(shard.busy_share > 0.0 && shard.busy_share <= 1.0, "{shard:?}");
    drop((device, stdin));
    assert!(child.wait().unwrap().success());
}

/// A call crosses threads twice: to the shard of the device, and back to the control line.
#[test]
fn calls_reach_connected_devices() {
    let ControlledHub { mut child, mut stdin, mut lines, ready } = ControlledHub::start(2);
    let mut answer = || lines.next().unwrap().unwrap();
    let mut send = |line: &str| writeln!(stdin, "{line}").unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut device = runtime.block_on(async {
        let mut device = online(ready).await;
        device.send(|out| encode::subscribe(out, 1, &[(topics::METHODS, QoS::AtMostOnce)]).unwrap()).await;
        device.expect([0x90, 3, 0, 1, 0]).await;
        device
    });
    // The call to an offline device is answered before the call that waits for its device.
    send(r#"{"call":{"id":1,"device":"meter-1","ask":{"method":{"name":"m","payload":1}}}}"#);
    send(r#"{"call":{"id":2,"device":"meter-2","ask":{"method":{"name":"m"}}}}"#);
    send(r#"{"call":{"id":3,"device":"meter-1","ask":{"desired":{"patch":{"a":1}}}}}"#);
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
    // An invalid call does not end the hub.
    send(r#"{"call":{"id":6,"device":"meter-1","ask":"clsoe"}}"#);
    let invalid = answer();
    assert!(invalid.starts_with(r#"{"failed":{"id":6,"code":400004,"message":"#), "{invalid}");
    assert!(invalid.contains("unknown variant `clsoe`"), "{invalid}");
    send(r#"{"call":{"id":4,"device":"meter-1","ask":"close"}}"#);
    assert_eq!(answer(), r#"{"called":{"id":4}}"#);
    runtime.block_on(device.expect_end());
    // The call waits for an offline device for `connect_timeout_ms`.
    let wait =
        r#"{"call":{"id":5,"device":"meter-2","ask":{"method":{"name":"m","connect_timeout_ms":20}}}}"#;
    send(wait);
    assert_eq!(answer(), failed.replace(r#""id":2"#, r#""id":5"#));
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
