//! `hubstorm emulator --control`: commands and answers as JSON lines, as a run uses them for its built-in hub.

use super::device::{GROUP_KEY, REFUSED, now_unix, online, stranger, token};
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
