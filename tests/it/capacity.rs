//! `hubstorm capacity` as a command: errors before any load, a search against the built-in hub, Ctrl-C, and `--resume`.

use crate::support::hubstorm::{Finished, Workplace, command, finish, hubstorm};
use hubstorm::capacity::measured::{Bound, CapacityResult, EndReason, Verdict};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

/// A hub that lets 100 messages per second through, after a short burst. A trial has few samples, so that the search is short.
const S1: &str = r#"
name = "Meters"
[emulator]
tier = "S1"
[emulator.throttle]
burst = "3s"
[fleet.meter]
devices = 20
[[fleet.meter.send]]
rate = "100/s"
payload = { size = 50 }
[[phase]]
name = "steady"
duration = "1m"
[thresholds]
"telemetry{phase:steady}" = ["med < 400ms", "rate(ok) > 90%"]
"#;

fn capacity(work: &Workplace, options: &[&str]) -> Finished {
    let (scenario, out) = (work.scenario(), work.out());
    let mut command = command(["capacity".as_ref(), scenario.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    command.args(options);
    finish(command)
}

fn result(work: &Workplace) -> CapacityResult {
    let [json] = &work.outputs("json")[..] else { panic!("one result") };
    serde_json::from_slice(&fs::read(json).expect("a readable result")).expect("a capacity result")
}

#[test]
fn bad_input_starts_nothing() {
    let work = Workplace::new(S1);
    for (options, code, part) in [
        (&["--from", "200%", "--to", "100%"][..], 2, "--from (200/s) is above --to (100/s)"),
        (&["--hold", "3s", "--from", "1%"], 104, "the lowest level, 1.00/s, does not give"),
        (&["--phase", "ramp"], 2, "its phases are steady"),
        (&["--vary", "devices", "--to", "5000/s"], 2, "--to \"5000/s\" is not a number of devices"),
        (
            &["--vary", "devices", "--from", "90", "--to", "80"],
            2,
            "--from (90 devices) is above --to (80 devices)",
        ),
        (&["--to", "80 devices"], 2, "add --vary devices"),
        (&["--assert", "capacity >= 80 devices"], 2, "the number of devices is the same in the whole search"),
        (&["--assert", "price >= 4/s"], 2, "unknown metric \"price\""),
        (&["--export", "csv=x"], 2, "a capacity result has no format csv"),
        (&["--resume", "none.json"], 1, "none.json does not exist"),
    ] {
        let finished = capacity(&work, options);
        finished.exits(code);
        assert!(finished.stderr.contains(part), "{options:?}: {}", finished.stderr);
        assert!(!work.out().exists(), "{options:?}");
    }
    let without = Workplace::new(S1.split("[thresholds]").next().expect("a part"));
    assert!(capacity(&without, &[]).exits(104).stderr.contains("no threshold covers phase steady"));
}

/// 20 devices of a file with 50.
#[test]
fn device_file_limits_the_number_of_devices() {
    let text =
        S1.replace("devices = 20\n", "devices = 20\nauth = { kind = \"sas\", file = \"devices.csv\" }\n");
    let work = Workplace::new(&text);
    let rows: String = (0..50).map(|n| format!("meter-{n},MDEyMzQ1Njc4OWFiY2RlZg==\n")).collect();
    fs::write(work.scenario().with_file_name("devices.csv"), format!("id,key\n{rows}")).expect("a file");
    let finished = capacity(&work, &["--vary", "devices", "--to", "200%", "--hold", "3s", "--phase", "none"]);
    assert!(finished.exits(2).stderr.contains("--phase none"), "{}", finished.stderr);
    let finished = capacity(&work, &["--vary", "devices", "--to", "300%", "--hold", "30s"]);
    let fix = "fleet meter has 60, but its file contains 50 devices; use --to 50, or add devices to the file";
    assert!(finished.exits(2).stderr.contains(fix), "{}", finished.stderr);
    assert!(!work.out().exists());
}

/// Two trials, of 30 devices and more. The hub keeps up with both, unless this machine was too slow to tell.
#[test]
fn search_varies_the_number_of_devices() {
    let work = Workplace::new(&S1.replace("rate = \"100/s\"", "every = \"1s\""));
    let range = ["--vary", "devices", "--hold", "3s", "--from", "30", "--to", "300%", "--width", "50%"];
    let options =
        [&range[..], &["--confirm", "1", "--max-time", "22s", "--assert", "capacity >= 25 devices"]].concat();
    let finished = capacity(&work, &options);
    let found = result(&work);
    assert_eq!(Some(i32::from(found.answer.exit_code)), finished.code, "{}", finished.stderr);
    assert!(found.run.breakdowns.is_empty(), "{found:?}");
    assert_eq!((found.search.from.devices, found.search.to.devices), (30, 60));
    assert_eq!(found.search.whole.map(|level| level.devices), Some(20));
    for trial in &found.trials {
        // Each device sends once per second.
        assert_eq!(trial.level.level, trial.level.devices, "{trial:?}");
        assert!(trial.due.abs_diff(trial.level.devices) <= 2, "{trial:?}");
    }
    if found.trials.iter().all(|trial| trial.verdict == Verdict::Good) {
        let levels: Vec<u64> = found.trials.iter().map(|trial| trial.level.devices).collect();
        assert!(levels.first() == Some(&30) && levels.is_sorted(), "{levels:?}");
        finished.exits(0);
        let answer = format!("The capacity is at least {} devices", levels[levels.len() - 1]);
        assert!(finished.stdout.contains(&answer), "{answer}: {}", finished.stdout);
    }
    let [json] = &work.outputs("json")[..] else { panic!("one result") };
    let json = json.to_str().expect("a UTF-8 path");
    let vary_load = ["--vary", "load", "--hold", "30s", "--resume", json];
    for (options, part) in [
        (&vary_load[..], "--vary differs"),
        (
            &["--vary", "devices", "--hold", "3s", "--from", "30", "--to", "70", "--resume", json],
            "--to differs",
        ),
    ] {
        let other = capacity(&work, options);
        assert!(other.exits(2).stderr.contains(part), "{options:?}: {}", other.stderr);
    }
}

/// The limit is inside of the interval, or at most 5% outside of it, unless this machine was too slow to tell. Trials that only wait for the
/// burst to end would find a third more.
#[test]
fn search_finds_the_limit_of_the_hub() {
    let work = Workplace::new(S1);
    let markdown = work.out().join("capacity.md");
    fs::create_dir_all(work.out()).expect("a folder");
    let export = format!("{}", markdown.display());
    let options = [
        "--hold",
        "9s",
        "--from",
        "60%",
        "--to",
        "160%",
        "--width",
        "40%",
        "--confirm",
        "1",
        "--assert",
        "capacity >= 10/s",
    ];
    let finished = capacity(&work, &[&options[..], &["--export", &export]].concat());
    let result = result(&work);
    assert_eq!(Some(i32::from(result.answer.exit_code)), finished.code, "{}", finished.stderr);
    assert!(!result.trials.is_empty() && result.run.breakdowns.is_empty(), "{result:?}");
    for trial in &result.trials {
        assert!(trial.due >= trial.ok, "{trial:?}");
        assert_eq!(trial.thresholds.len(), 2, "{trial:?}");
    }
    let decided = result.trials.iter().all(|trial| matches!(trial.verdict, Verdict::Good | Verdict::Bad));
    if let (true, Some(lower), Some(upper)) = (decided, result.answer.lower, result.answer.upper) {
        assert!(lower.per_s <= 105.0 && upper.per_s >= 95.0, "{result:?}");
        finished.exits(0);
    }
    assert!(finished.stdout.contains("The capacity is "), "{}", finished.stdout);
    assert!(fs::read_to_string(markdown).expect("an export").contains("### Trials"));
    assert_eq!(work.outputs("html").len(), 1);
    let [json] = &work.outputs("json")[..] else { panic!("one result") };
    let json = json.to_str().expect("a UTF-8 path");
    let compared = hubstorm(&["compare", json, json, "--tolerance", "60%", "--format", "json"]);
    let outcome: serde_json::Value = serde_json::from_str(&compared.stdout).expect("JSON");
    assert_eq!(outcome["schema"], "hubstorm.capacity-comparison.v1");
    assert!([Some(0), Some(120), Some(122)].contains(&compared.code), "{}", compared.stdout);
}

#[test]
fn ctrl_c_keeps_the_trials_and_resume_continues() {
    let work = Workplace::new(S1);
    let options = ["--hold", "3s", "--from", "40%", "--to", "80%", "--width", "50%"];
    let (scenario, out) = (work.scenario(), work.out());
    let mut search = command(["capacity".as_ref(), scenario.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    let mut child =
        search.args(options).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a started search");
    let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut signaled = false;
    for line in stderr.lines().map_while(Result::ok) {
        if !signaled && line.starts_with("trial 1: ") && line.contains(" is ") {
            kill(Pid::from_raw(i32::try_from(child.id()).expect("a process id")), Signal::SIGINT)
                .expect("a running search");
            signaled = true;
        }
    }
    assert_eq!(child.wait().expect("an ended search").code(), Some(105));
    let before = result(&work);
    assert_eq!(before.answer.end, EndReason::Interrupted);
    assert!(!before.trials.is_empty());
    let [file] = &work.outputs("json")[..] else { panic!("one result") };
    let file = file.to_str().expect("a UTF-8 path");
    let other = capacity(
        &work,
        &["--hold", "4s", "--from", "40%", "--to", "80%", "--width", "50%", "--resume", file],
    );
    assert!(other.exits(2).stderr.contains("--hold differs from that search"), "{}", other.stderr);
    let none = capacity(&work, &[&options[..], &["--resume", file, "--max-messages", "1"]].concat());
    assert!(none.stdout.contains("before it would have sent more than --max-messages"), "{}", none.stdout);
    let newest =
        work.outputs("json").into_iter().find(|json| json.to_str() != Some(file)).expect("a second result");
    let resumed: CapacityResult =
        serde_json::from_slice(&fs::read(newest).expect("a result")).expect("valid");
    assert_eq!(resumed.trials.len(), before.trials.len());
    assert!(resumed.trials.iter().all(|trial| trial.resumed));
}

/// The processor of the load generator does something else for three quarters of the time.
#[test]
fn starved_generator_is_not_the_capacity_of_the_hub() {
    let work = Workplace::new(&S1.replace("tier = \"S1\"", "tier = \"S3\""));
    let (scenario, out) = (work.scenario(), work.out());
    let mut search = command(["capacity".as_ref(), scenario.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    let options = ["--hold", "3s", "--from", "200%", "--to", "5000%", "--workers", "1", "--yes"];
    let mut child =
        search.args(options).stderr(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a started search");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let (_open, silence) = mpsc::channel::<()>();
    while child.try_wait().expect("a child process").is_none() {
        for (signal, ms) in [(Signal::SIGSTOP, 150), (Signal::SIGCONT, 50)] {
            kill(pid, signal).expect("it was not waited for");
            assert!(silence.recv_timeout(Duration::from_millis(ms)).is_err());
        }
    }
    let finished = child.wait_with_output().expect("its output");
    let text = String::from_utf8_lossy(&finished.stdout);
    assert_eq!(finished.status.code(), Some(120), "{text}");
    assert!(
        text.contains("The capacity is unknown.") && text.contains("The load generator was the limit"),
        "{text}"
    );
    let result = result(&work);
    assert_eq!((result.answer.end, result.answer.upper), (EndReason::Generator, None), "{result:?}");
    assert_eq!(result.answer.bound_by, Some(Bound::Generator));
}

#[test]
fn schema_is_printed() {
    let schema = hubstorm(&["schema", "capacity"]);
    assert!(schema.exits(0).stdout.contains("hubstorm.capacity.v1"));
}
