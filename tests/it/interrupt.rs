//! Whatever ends a run early, the result is written, says what happened, and the exit code is right: Ctrl-C once and twice,
//! SIGTERM, a terminal or a reader that goes away, a folder that fails. (A worker that panics is in `fleet`'s own tests, a
//! hub that dies in `fleet` here, Ctrl-C before the load in `app::run`'s, and Ctrl-C under full load in `cli`.)

use crate::support::address::own_address;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, hubstorm, totals};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::Proxy;
use hubstorm::link::listen;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PASSWORD: &str = "interrupted";

fn broker() -> Mosquitto {
    Mosquitto::start((0..3).map(|index| format!("dev-{index}")), PASSWORD)
}

/// Three devices behind a proxy, which tells when they are there; `phases` is the rest of the scenario.
fn work(broker: &Mosquitto, proxy: &Proxy, phases: &str) -> Workplace {
    let (host, port) = (broker.host(), proxy.port());
    let scenario = format!(
        r#"
drain = "30m"
[target]
kind = "mqtt"
host = "{host}"
port = {port}
tls = false
[fleet.sensor]
devices = 3
id = "dev-{{index}}"
auth = {{ kind = "password", username = "${{device}}", password = "${{env.BROKER_PASSWORD}}" }}
ack_timeout = "30m"
connect_timeout = "30m"
[[fleet.sensor.send]]
every = "100ms"
arrival = "regular"
topic = "sensors/${{device}}"
payload = {{ size = 100 }}
{phases}
{WIDE_VALIDITY}"#
    );
    Workplace::new(&scenario).env("BROKER_PASSWORD", PASSWORD)
}

const RAMP: &str = "[[phase]]\nname = \"ramp\"\nduration = \"1h\"\nonline = \"50% -> 100%\"";
const STEADY: &str = "[[phase]]\nname = \"steady\"\nduration = \"1h\"";
const SHORT: &str = "[[phase]]\nname = \"short\"\nduration = \"3s\"";

/// The result says that it was interrupted, and every operation found its end.
fn is_partial(work: &Workplace) {
    let result = work.result();
    assert!(!result.run.complete);
    assert_eq!(result.verdict.exit_code, 105);
    assert_eq!(work.outputs("html").len(), 1);
    assert!(result.verdict.reasons.iter().any(|reason| reason.contains("interrupted")));
}

#[test]
fn ctrl_c_once_in_the_ramp() {
    let broker = broker();
    let proxy = Proxy::start(own_address(), broker.plain());
    let work = work(&broker, &proxy, RAMP);
    let running = work.start();
    proxy.wait_for_upstream_bytes(100);
    running.interrupt();
    running.wait().exits(105);
    is_partial(&work);
}

#[test]
fn ctrl_c_twice_while_connects_are_not_answered() {
    let broker = broker();
    let proxy = Proxy::start(own_address(), broker.plain());
    proxy.freeze_for(Duration::from_secs(3_600));
    let work = work(&broker, &proxy, STEADY);
    let running = work.start();
    proxy.wait_until_it_holds();
    running.interrupt_until_it_ends(Duration::from_millis(500)).exits(105);
    is_partial(&work);
    let (due, outcomes) = totals(&work.result(), "connect");
    assert_eq!(outcomes.get("unfinished"), Some(&due), "{outcomes:?}");
}

#[test]
fn ctrl_c_twice_in_the_drain() {
    let broker = broker();
    let proxy = Proxy::start(own_address(), broker.plain());
    let work = work(&broker, &proxy, SHORT);
    let mut running = work.start();
    proxy.wait_for_upstream_bytes(500);
    proxy.freeze_for(Duration::from_secs(3_600));
    running.says("drain");
    running.interrupt_until_it_ends(Duration::from_millis(500)).exits(105);
    is_partial(&work);
}

/// The canary flies before load that leaves this machine; as far as the name tells, this one does.
#[test]
fn ctrl_c_while_the_canary_waits_for_its_connack() {
    // "0.0.0.0" is this machine, and not written as such.
    let silent = listen::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    silent.set_nonblocking(false).expect("it is ours");
    let port = silent.local_addr().expect("it is bound").port();
    let work = Workplace::new(&format!(
        "[target]\nkind = \"mqtt\"\nhost = \"0.0.0.0\"\nport = {port}\ntls = false\n\
         [fleet.a]\ndevices = 1\nconnect_timeout = \"1h\"\n[[phase]]\nname = \"p\"\nduration = \"1h\"\n"
    ));
    let running = work.start();
    let _canary = silent.accept().expect("the canary comes");
    running.interrupt();
    let finished = running.wait();
    finished.exits(105);
    assert!(work.outputs("json").is_empty(), "nothing was measured");
}

/// A pipe that a program reads as a file: whoever opens it for writing knows that it is being read.
fn fifo(path: &Path) -> &str {
    assert!(Command::new("mkfifo").arg(path).status().expect("coreutils").success());
    path.to_str().expect("a plain path")
}

/// A command for which no signal is ignored, whoever started these tests.
fn attentive(arguments: [&str; 3]) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM", env!("CARGO_BIN_EXE_hubstorm")]).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Commands that have nothing to finish are ended by the first signal, as any program, whatever they wait for.
#[test]
fn other_commands_end_at_the_first_signal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = format!("file:{}", fifo(&folder.path().join("token")));
    let scenario = fifo(&folder.path().join("scenario.toml")).to_owned();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for (arguments, pipe) in
            [(["token", "--decode", &token], "token"), (["check", "--seed=1", &scenario], "scenario.toml")]
        {
            let mut child = attentive(arguments).spawn().expect("it was built");
            let writer = File::create(folder.path().join(pipe)).expect("it is being read");
            kill(Pid::from_raw(i32::try_from(child.id()).expect("it fits")), signal).expect("it is ours");
            // One that swallows the signal goes on, and ends with a code.
            drop(writer);
            assert_eq!(child.wait().expect("it is ours").signal(), Some(signal as i32), "{arguments:?}");
        }
    }
}

#[test]
fn doctor_ends_at_the_first_signal_while_its_target_is_silent() {
    let silent = listen::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    silent.set_nonblocking(false).expect("it is ours");
    let target = silent.local_addr().expect("it is bound").to_string();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut child = attentive(["doctor", "--target", &target]).spawn().expect("it was built");
        let (mut peer, _) = silent.accept().expect("it comes");
        peer.read_exact(&mut [0]).expect("a TLS client speaks first");
        kill(Pid::from_raw(i32::try_from(child.id()).expect("it fits")), signal).expect("it is ours");
        drop(peer);
        assert_eq!(child.wait().expect("it is ours").signal(), Some(signal as i32));
    }
}

#[test]
fn sigterm_is_like_ctrl_c() {
    let broker = broker();
    let proxy = Proxy::start(own_address(), broker.plain());
    let work = work(&broker, &proxy, STEADY);
    let running = work.start();
    proxy.wait_for_upstream_bytes(1_000);
    running.signal(Signal::SIGTERM);
    running.wait().exits(105);
    is_partial(&work);
}

/// Starts it with pipes that nobody reads.
fn start_unread(work: &Workplace) -> Child {
    let mut child =
        work.run_command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it was built");
    drop((child.stdout.take(), child.stderr.take()));
    child
}

#[test]
fn a_terminal_that_goes_away_leaves_the_result() {
    let broker = broker();
    let proxy = Proxy::start(own_address(), broker.plain());
    let work = work(&broker, &proxy, STEADY);
    let mut child = start_unread(&work);
    proxy.wait_for_upstream_bytes(1_000);
    kill(Pid::from_raw(i32::try_from(child.id()).expect("it fits")), Signal::SIGHUP).expect("it is ours");
    assert_eq!(child.wait().expect("it is ours").code(), Some(105));
    is_partial(&work);
}

#[test]
fn a_closed_stdout_and_stderr_change_nothing() {
    let broker = broker();
    let proxy = Proxy::start(own_address(), broker.plain());
    let work = work(&broker, &proxy, SHORT);
    assert_eq!(start_unread(&work).wait().expect("it is ours").code(), Some(0));
    assert!(work.result().run.complete);
}

#[test]
fn a_folder_that_fails_after_the_load_moves_the_result_elsewhere() {
    let broker = broker();
    let proxy = Proxy::start(own_address(), broker.plain());
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let path = elsewhere.path().to_str().expect("a plain path");
    let work = work(&broker, &proxy, STEADY).env("TMPDIR", path);
    let running = work.start();
    proxy.wait_for_upstream_bytes(1_000);
    // As if its file system had gone: a file is where the folder was.
    fs::remove_dir_all(work.out()).expect("it was made before the load");
    fs::write(work.out(), "in the way").expect("the workplace is ours");
    running.interrupt();
    let finished = running.wait();
    finished.exits(1);
    let mut files = fs::read_dir(path).expect("it is there").map(|file| file.expect("readable").path());
    let json = files.find(|file| file.extension().is_some_and(|extension| extension == "json"));
    let json = json.unwrap_or_else(|| panic!("no result: {}", finished.stderr));
    assert!(hubstorm::result::read(&json).is_ok());
    for part in [work.out().display().to_string(), json.display().to_string()] {
        assert!(finished.stderr.contains(&part), "{part}: {}", finished.stderr);
    }
    assert!(finished.stdout.contains("INTERRUPTED"), "the summary is shown: {}", finished.stdout);
}

#[test]
fn a_read_only_folder_is_found_before_the_load() {
    // Nobody writes there, not even root.
    let work = Workplace::new(&format!("[fleet.a]\ndevices = 1\n{STEADY}\n"));
    let scenario = work.scenario();
    let finished = hubstorm(&["run", scenario.to_str().expect("a plain path"), "--out", "/proc/hubstorm"]);
    finished.exits(1);
    for part in ["/proc/hubstorm", "name another folder with --out"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
}
