//! Runs that end early: by Ctrl-C once and twice, by other signals, after a closed terminal, with a failed folder or a full disk. The
//! result must be written, the exit code must be right, and the output must say what happened. `docs/reliability.md` has the table. The
//! unit tests of `app::outcome` cover panicking workers, those of `app::run` Ctrl-C before the load, `fleet` a killed hub, and `cli`
//! Ctrl-C under load.

use crate::support::address::own_address;
use crate::support::hubstorm::{
    Finished, Running, WIDE_VALIDITY, Workplace, all_ok, hubstorm, read_result, totals,
};
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

/// Returns a scenario with three devices that connect through the proxy, and these phases.
fn work(broker: &Mosquitto, proxy: &Proxy, phases: &str) -> Workplace {
    let sensors = broker.sensors(proxy, 3);
    let scenario = format!(
        r#"
drain = "30m"
{sensors}
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

/// Starts a broker and a proxy, and returns both with a scenario.
fn set_up(phases: &str) -> (Mosquitto, Proxy, Workplace) {
    let broker = broker();
    let proxy = Proxy::start(own_address(), broker.plain());
    let work = work(&broker, &proxy, phases);
    (broker, proxy, work)
}

const RAMP: &str = "[[phase]]\nname = \"ramp\"\nduration = \"1h\"\nonline = \"50% -> 100%\"";
const STEADY: &str = "[[phase]]\nname = \"steady\"\nduration = \"1h\"";
const SHORT: &str = "[[phase]]\nname = \"short\"\nduration = \"3s\"";

/// Asserts that the result and the page of an interrupted run were written.
fn is_partial(work: &Workplace) {
    is_interrupted(work);
    assert_eq!(work.outputs("html").len(), 1);
}

fn is_interrupted(work: &Workplace) {
    let result = work.result();
    assert!(!result.run.complete);
    assert_eq!(result.verdict.exit_code, 105);
    assert!(result.verdict.reasons.iter().any(|reason| reason.contains("interrupted")));
}

#[test]
fn ctrl_c_in_the_ramp_writes_a_partial_result() {
    let (_broker, proxy, work) = set_up(RAMP);
    let running = work.start();
    proxy.wait_for_upstream_bytes(100);
    running.interrupt();
    running.wait().exits(105);
    is_partial(&work);
}

#[test]
fn second_ctrl_c_in_the_ramp_stops_at_once() {
    let (_broker, proxy, work) = set_up(RAMP);
    let running = work.start();
    proxy.wait_for_upstream_bytes(500);
    // No acknowledgment arrives any more, so the first Ctrl-C does not end the run.
    proxy.freeze_for(Duration::from_secs(3_600));
    proxy.wait_until_it_holds();
    let finished = running.interrupt_until_it_ends(Duration::from_millis(500));
    finished.exits(105);
    assert!(finished.stderr.contains("interrupted again: stopping now"), "{}", finished.stderr);
    is_partial(&work);
    let (_, outcomes) = totals(&work.result(), "publish");
    assert!(outcomes.get("unfinished").is_some_and(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn second_ctrl_c_ends_unanswered_connects() {
    let broker = broker();
    let proxy = Proxy::start(own_address(), broker.plain());
    proxy.freeze_for(Duration::from_secs(3_600));
    let work = work(&broker, &proxy, STEADY).without_preflight();
    let running = work.start();
    proxy.wait_until_it_holds();
    running.interrupt_until_it_ends(Duration::from_millis(500)).exits(105);
    is_partial(&work);
    let (due, outcomes) = totals(&work.result(), "connect");
    assert_eq!(outcomes.get("unfinished"), Some(&due), "{outcomes:?}");
}

/// The load has ended, so the run waits for acknowledgments as before and is complete.
#[test]
fn ctrl_c_in_the_drain_changes_nothing() {
    let (_broker, proxy, work) = set_up(SHORT);
    let mut running = work.start();
    proxy.wait_for_upstream_bytes(500);
    proxy.freeze_for(Duration::from_secs(3_600));
    running.says("drain");
    running.interrupt();
    running.says("interrupted: draining");
    proxy.thaw();
    running.wait().exits(0);
    let result = work.result();
    assert!(result.run.complete);
    all_ok(&result, "publish");
}

#[test]
fn second_ctrl_c_in_the_drain_stops_at_once() {
    let (_broker, proxy, work) = set_up(SHORT);
    let mut running = work.start();
    proxy.wait_for_upstream_bytes(500);
    proxy.freeze_for(Duration::from_secs(3_600));
    running.says("drain");
    running.interrupt_until_it_ends(Duration::from_millis(500)).exits(105);
    is_partial(&work);
}

/// Interrupts the preflight check while it waits for CONNACK.
fn interrupt_the_preflight_check(times: usize) {
    let silent = listen::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    silent.set_nonblocking(false).expect("it is a socket");
    let port = silent.local_addr().expect("it is bound").port();
    let work = Workplace::new(&format!(
        "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = false\n\
         [fleet.a]\ndevices = 1\nconnect_timeout = \"1h\"\n[[phase]]\nname = \"p\"\nduration = \"1h\"\n"
    ));
    let running = work.start();
    let _device = silent.accept().expect("the check connects");
    (0..times).for_each(|_| running.interrupt());
    let finished = running.wait();
    finished.exits(105);
    assert!(finished.stderr.contains("nothing was measured"), "{}", finished.stderr);
    assert!(work.outputs("json").is_empty(), "nothing was measured");
}

/// Makes a named pipe that a program reads as a file. Opening it for writing waits for the reader.
fn fifo(path: &Path) -> &str {
    assert!(Command::new("mkfifo").arg(path).status().expect("coreutils").success());
    path.to_str().expect("a plain path")
}

/// Returns a command with default signal actions, even if the parent of these tests ignores signals.
fn with_default_signals(arguments: [&str; 3]) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM", env!("CARGO_BIN_EXE_hubstorm")]).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The first signal ends commands that have no work to finish.
#[test]
fn other_commands_end_at_the_first_signal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = format!("file:{}", fifo(&folder.path().join("token")));
    let scenario = fifo(&folder.path().join("scenario.toml")).to_owned();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for (arguments, pipe) in
            [(["token", "--decode", &token], "token"), (["check", "--seed=1", &scenario], "scenario.toml")]
        {
            let mut child = with_default_signals(arguments).spawn().expect("the program was built");
            let writer = File::create(folder.path().join(pipe)).expect("it is being read");
            kill(Pid::from_raw(i32::try_from(child.id()).expect("it fits")), signal)
                .expect("it is a child process");
            // A command that ignored the signal would continue and end with an exit code.
            drop(writer);
            assert_eq!(
                child.wait().expect("it is a child process").signal(),
                Some(signal as i32),
                "{arguments:?}"
            );
        }
    }
}

#[test]
fn doctor_ends_at_the_first_signal() {
    let silent = listen::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    silent.set_nonblocking(false).expect("it is a socket");
    let target = silent.local_addr().expect("it is bound").to_string();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut child =
            with_default_signals(["doctor", "--target", &target]).spawn().expect("the program was built");
        let (mut peer, _) = silent.accept().expect("doctor connects");
        peer.read_exact(&mut [0]).expect("a TLS client speaks first");
        kill(Pid::from_raw(i32::try_from(child.id()).expect("it fits")), signal)
            .expect("it is a child process");
        drop(peer);
        assert_eq!(child.wait().expect("it is a child process").signal(), Some(signal as i32));
    }
}

#[test]
fn ctrl_c_once_ends_the_preflight_check() {
    interrupt_the_preflight_check(1);
}

#[test]
fn ctrl_c_twice_ends_the_preflight_check() {
    interrupt_the_preflight_check(2);
}

/// Starts a run with the default action for these signals, even if the parent of these tests ignores them.
fn start_with_default(work: &Workplace, signals: &str) -> Running {
    work.start_under("env", &[&format!("--default-signal={signals}")])
}

#[test]
fn termination_signals_act_like_ctrl_c() {
    let broker = broker();
    for signal in [Signal::SIGTERM, Signal::SIGALRM, Signal::SIGUSR1] {
        let proxy = Proxy::start(own_address(), broker.plain());
        let work = work(&broker, &proxy, STEADY);
        let running = start_with_default(&work, "TERM,ALRM,USR1");
        proxy.wait_for_upstream_bytes(1_000);
        running.signal(signal);
        let finished = running.wait();
        finished.exits(105);
        assert!(finished.stderr.contains("interrupted: draining"), "{signal}: {}", finished.stderr);
        is_partial(&work);
    }
}

/// After one Ctrl-C, the drain would last half an hour.
#[test]
fn sigquit_writes_the_result_now() {
    let (_broker, proxy, work) = set_up(STEADY);
    let running = start_with_default(&work, "QUIT");
    proxy.wait_for_upstream_bytes(500);
    proxy.freeze_for(Duration::from_secs(3_600));
    proxy.wait_until_it_holds();
    running.signal(Signal::SIGQUIT);
    let finished = running.wait();
    finished.exits(105);
    assert!(finished.stderr.contains("interrupted: stopping now"), "{}", finished.stderr);
    is_partial(&work);
    let (_, outcomes) = totals(&work.result(), "publish");
    assert!(outcomes.get("unfinished").is_some_and(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn signals_that_the_parent_ignores_stay_ignored() {
    let (_broker, proxy, work) = set_up(SHORT);
    let running = work.start_under("env", &["--ignore-signal=HUP,QUIT,ALRM,USR1"]);
    proxy.wait_for_upstream_bytes(500);
    for signal in [Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGALRM, Signal::SIGUSR1] {
        running.signal(signal);
    }
    let finished = running.wait();
    finished.exits(0);
    assert!(!finished.stderr.contains("interrupted"), "{}", finished.stderr);
    assert!(work.result().run.complete);
}

/// Starts a run with closed stdout and stderr.
fn start_unread(work: &Workplace) -> Child {
    let mut child = work
        .run_command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built");
    drop((child.stdout.take(), child.stderr.take()));
    child
}

#[test]
fn sighup_writes_a_partial_result() {
    let (_broker, proxy, work) = set_up(STEADY);
    let mut child = start_unread(&work);
    proxy.wait_for_upstream_bytes(1_000);
    kill(Pid::from_raw(i32::try_from(child.id()).expect("it fits")), Signal::SIGHUP)
        .expect("it is a child process");
    assert_eq!(child.wait().expect("it is a child process").code(), Some(105));
    is_partial(&work);
}

#[test]
fn closed_stdout_and_stderr_do_not_stop_a_run() {
    let (_broker, _proxy, work) = set_up(SHORT);
    assert_eq!(start_unread(&work).wait().expect("it is a child process").code(), Some(0));
    assert!(work.result().run.complete);
}

#[test]
fn failed_folder_moves_the_result_to_the_temporary_folder() {
    let (_broker, proxy, work) = set_up(STEADY);
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let path = elsewhere.path().to_str().expect("a plain path");
    let work = work.env("TMPDIR", path);
    let running = work.start();
    proxy.wait_for_upstream_bytes(1_000);
    // A file takes the place of the folder, as if its file system had failed.
    fs::remove_dir_all(work.out()).expect("it was made before the load");
    fs::write(work.out(), "in the way").expect("the folder is writable");
    running.interrupt();
    let finished = running.wait();
    finished.exits(1);
    let mut files = fs::read_dir(path).expect("it is there").map(|file| file.expect("readable").path());
    let json = files.find(|file| file.extension().is_some_and(|extension| extension == "json"));
    let json = json.unwrap_or_else(|| panic!("no result: {}", finished.stderr));
    read_result(&json);
    for part in [work.out().display().to_string(), json.display().to_string()] {
        assert!(finished.stderr.contains(&part), "{part}: {}", finished.stderr);
    }
    assert!(finished.stdout.contains("INTERRUPTED"), "the summary is shown: {}", finished.stdout);
}

/// Not even root can write to these folders.
#[test]
fn read_only_folder_fails_before_the_load() {
    let work = Workplace::new(&format!("[fleet.a]\ndevices = 1\n{STEADY}\n"));
    let scenario = work.scenario();
    for (folder, what) in [
        ("/proc/hubstorm", "cannot create the output folder /proc/hubstorm"),
        ("/proc", "cannot write to the output folder /proc:"),
    ] {
        let finished = hubstorm(&["run", scenario.to_str().expect("a plain path"), "--out", folder]);
        finished.exits(1);
        for part in [what, "choose another folder with --out"] {
            assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
        }
        assert!(!finished.stderr.contains("1 phase"), "the run was announced: {}", finished.stderr);
    }
}

/// Starts a run with a limit of the shell, and with the default action for SIGXFSZ: the kernel ends a process whose file exceeds the
/// limit.
fn start_limited(work: &Workplace, limit: &str) -> Running {
    let script = format!("{limit} exec env --default-signal=XFSZ \"$@\"");
    work.start_under("sh", &["-c", &script, "sh"])
}

/// Limits the file size of a running program.
fn limit_files_to(running: &Running, bytes: u64) {
    let limited = Command::new("prlimit")
        .args([format!("--pid={}", running.id()), format!("--fsize={bytes}")])
        .status()
        .expect("util-linux has prlimit");
    assert!(limited.success());
}

fn files_in(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("it is there");
    files.map(|file| file.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn file_size_limit_fails_before_the_load() {
    let work = Workplace::new(&format!("[fleet.a]\ndevices = 1\n{STEADY}\n"));
    let finished = start_limited(&work, "ulimit -f 1;").wait();
    finished.exits(1);
    for part in ["cannot write to the output folder", "File too large", "ulimit -f"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    assert_eq!(files_in(&work.out()), [""; 0], "no file remains");
}

/// Runs with a file size limit of `bytes` in every folder from the load on.
fn filled_up_to(bytes: u64) -> (Workplace, tempfile::TempDir, Finished) {
    let (_broker, proxy, work) = set_up(STEADY);
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let path = elsewhere.path().to_str().expect("a plain path");
    let work = work.env("TMPDIR", path);
    let running = start_limited(&work, "");
    proxy.wait_for_upstream_bytes(1_000);
    limit_files_to(&running, bytes);
    running.interrupt();
    let finished = running.wait();
    finished.exits(1);
    assert!(finished.stdout.contains("INTERRUPTED"), "the summary is shown: {}", finished.stdout);
    (work, elsewhere, finished)
}

#[test]
fn full_disks_leave_the_summary_and_both_errors() {
    let (work, elsewhere, finished) = filled_up_to(1);
    let files = (files_in(&work.out()), files_in(elsewhere.path()));
    let is_journal = |file: &String| file.ends_with(".journal");
    assert!(files.0.iter().all(is_journal) && files.1.is_empty(), "no partial file remains: {files:?}");
    let kept = format!("the journal of the run is in {}/", work.out().display());
    for part in [kept.as_str(), "; to recover the result:  hubstorm report --recover "] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    let places =
        [work.out(), elsewhere.path().to_owned()].map(|folder| format!("cannot write {}/", folder.display()));
    for part in [places[0].as_str(), &places[1], "the result file could not be written"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
}

/// The page is larger than the result of a short run.
#[test]
fn page_without_room_can_be_rendered_later() {
    let (work, _elsewhere, finished) = filled_up_to(64 * 1024);
    let [json] = &work.outputs("json")[..] else { panic!("the result is kept: {}", finished.stderr) };
    assert_eq!(files_in(&work.out()).len(), 1, "no partial page remains: {:?}", files_in(&work.out()));
    is_interrupted(&work);
    let (json, html) = (json.display().to_string(), json.with_extension("html").display().to_string());
    let again = format!("hubstorm report {json} --format html --out {html}");
    for part in [format!("cannot write {html}"), again] {
        assert!(finished.stderr.contains(&part), "{part}: {}", finished.stderr);
    }
    hubstorm(&["report", &json, "--format", "html", "--out", &html]).exits(0);
}

/// Commands that write only to stdout report the limit too.
#[test]
fn file_size_limit_fails_a_command_with_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("schema.json");
    let script = "ulimit -f 1; exec env --default-signal=XFSZ \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_hubstorm"), "schema", "result"])
        .stdout(File::create(&page).expect("the folder is writable"))
        .output()
        .expect("the program was built");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("cannot write to stdout") && stderr.contains("File too large"), "{stderr}");
}

/// Starts a run with a file system of this size as its output folder. `None` if this machine does not allow it.
fn start_on_a_small_disk(work: &Workplace, bytes: u64) -> Option<Running> {
    fs::create_dir(work.out()).expect("the folder is writable");
    let unshare = |script: &str| ["-rm".to_owned(), "sh".into(), "-c".into(), script.to_owned(), "sh".into()];
    let mount = format!("mount -t tmpfs -o size={bytes} tmpfs '{}'", work.out().display());
    let may = Command::new("unshare").args(unshare(&mount)).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let arguments = unshare(&format!("{mount} && exec \"$@\""));
    Some(work.start_under("unshare", &arguments.each_ref().map(String::as_str)))
}

#[test]
fn small_disk_fails_before_the_load() {
    let work = Workplace::new(&format!("[fleet.a]\ndevices = 1\n{STEADY}\n"));
    let Some(running) = start_on_a_small_disk(&work, 512 * 1024) else { return };
    let finished = running.wait();
    finished.exits(1);
    for part in ["cannot write to the output folder", "No space left on device", "free up disk space"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
}

#[test]
fn full_disk_moves_the_result_to_the_temporary_folder() {
    let (_broker, proxy, work) = set_up(STEADY);
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let path = elsewhere.path().to_str().expect("a plain path");
    let work = work.env("TMPDIR", path);
    let Some(running) = start_on_a_small_disk(&work, 2 * 1024 * 1024) else { return };
    proxy.wait_for_upstream_bytes(1_000);
    // The path inside of the run's mount namespace.
    let seen = format!("/proc/{}/root{}/ballast", running.id(), work.out().display());
    fs::write(seen, vec![0; 4 * 1024 * 1024]).expect_err("the disk is full");
    running.interrupt();
    let finished = running.wait();
    finished.exits(1);
    for part in ["No space left on device", "the result is in", path] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    let json = files_in(elsewhere.path()).into_iter().find(|name| name.ends_with(".json")).expect("a result");
    read_result(&elsewhere.path().join(json));
    assert!(finished.stdout.contains("INTERRUPTED"), "the summary is shown: {}", finished.stdout);
}
