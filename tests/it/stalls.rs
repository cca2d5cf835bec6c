//! Processes that are suspended during a run. A suspended load generator or built-in hub must not fail a threshold. A suspended external
//! hub must. The tests assert codes and counts, never times.

use crate::support::emulator::Emulator;
use crate::support::hubstorm::{Running, Workplace, is_undecided_by_stalls};
use hubstorm::result::model::{RunResult, Status, ThresholdStatus};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::Ipv4Addr;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::Duration;

/// 50 devices, 500 messages a second for 12 s.
fn scenario(head: &str, thresholds: &str) -> String {
    format!(
        r#"
seed = 7
{head}
[[fleet.meter.send]]
rate = "500/s"
qos = 1
payload = "x"
[[phase]]
name = "steady"
duration = "12s"
[thresholds]
"telemetry{{phase:steady}}" = [{thresholds}]
"#
    )
}

const BUILT_IN: &str = "[fleet.meter]\ndevices = 50";

/// Suspends processes for this time.
fn stop(processes: &[i32], length: Duration) {
    let signal = |signal| {
        processes.iter().for_each(|pid| kill(Pid::from_raw(*pid), signal).expect("it is a child process"))
    };
    signal(Signal::SIGSTOP);
    let (_open, silence) = mpsc::channel::<()>();
    assert_eq!(silence.recv_timeout(length), Err(mpsc::RecvTimeoutError::Timeout));
    signal(Signal::SIGCONT);
}

/// A process of a run.
#[derive(Clone, Copy)]
enum Process {
    Generator,
    BuiltInHub,
}

/// Runs a scenario against the built-in hub and suspends a process during the load, for each of these times.
fn run(work: &Workplace, process: Process, stops_ms: &[u64]) -> RunResult {
    let mut running = work.start();
    running.says("5s/12s");
    for length in stops_ms {
        let pids = match process {
            Process::Generator => vec![i32::try_from(running.id()).expect("a process id")],
            Process::BuiltInHub => running.children(),
        };
        stop(&pids, Duration::from_millis(*length));
        // The other processes run in between.
        stop(&[], Duration::from_millis(300));
    }
    finish(work, running)
}

fn finish(work: &Workplace, running: Running) -> RunResult {
    let finished = running.wait();
    let result = work.result();
    finished.exits(result.verdict.exit_code.into());
    result
}

fn stalled_us(result: &RunResult, source: &str) -> u64 {
    let health = result.health.iter().filter(|health| health.source.to_string().starts_with(source));
    health.map(|health| health.stall_us).sum()
}

fn codes(result: &RunResult) -> Vec<&str> {
    result.verdict.details.iter().map(|detail| detail.code.as_str()).collect()
}

#[track_caller]
fn does_not_fail(result: &RunResult) {
    let verdict = &result.verdict;
    assert_ne!(verdict.status, Status::Fail, "{verdict:#?} {:#?}", result.thresholds);
    assert_eq!(verdict.exit_code, if verdict.status == Status::Pass { 0 } else { 120 });
}

#[test]
fn short_stop_does_not_affect_a_wide_limit() {
    let work = Workplace::new(&scenario(BUILT_IN, r#""p(99) < 500ms", "rate(ok) > 99.9%""#));
    let result = run(&work, Process::Generator, &[60]);
    does_not_fail(&result);
    assert!(stalled_us(&result, "worker") >= 50_000, "{:?}", result.health);
    if result.verdict.status == Status::Invalid {
        // On a busy machine, the result contains other stalls.
        let all = stalled_us(&result, "worker") + stalled_us(&result, "emulator");
        assert!(all >= 200_000, "{:#?}", result.verdict);
    }
}

#[test]
fn stop_across_the_limit_is_invalid_with_both_bounds() {
    let work = Workplace::new(&scenario(BUILT_IN, r#""p(99) < 500ms", "max < 300ms""#));
    let result = run(&work, Process::Generator, &[2_000]);
    assert_eq!(result.verdict.status, Status::Invalid, "{:#?}", result.verdict);
    let undecided = result.verdict.details.iter().find(|detail| detail.code == "threshold_undecided");
    let text = &undecided.expect("a threshold is undecided").text;
    assert!(text.contains("p(99) < 500ms is undecided: the value is "), "{text}");
    assert!(text.contains("the load generator delayed "), "{text}");
    let p99 = &result.thresholds[0];
    assert_eq!(p99.status, Some(ThresholdStatus::Undecided));
    assert!(p99.observed_best < Some(500_000.0) && p99.observed_worst > Some(500_000.0), "{p99:?}");
    let named = result.findings.iter().any(|finding| finding.text.contains("load generator stalled"));
    assert!(named, "{:#?}", result.findings);
}

#[test]
fn half_second_stop_does_not_fail_a_maximum() {
    let work = Workplace::new(&scenario(BUILT_IN, r#""max < 300ms""#));
    let result = run(&work, Process::Generator, &[500]);
    does_not_fail(&result);
    assert_eq!(result.thresholds[0].status, Some(ThresholdStatus::Undecided), "{:#?}", result.thresholds);
}

#[test]
fn many_short_stops_do_not_fail_a_tight_percentile() {
    let work = Workplace::new(&scenario(BUILT_IN, r#""p(99) < 100ms""#));
    let result = run(&work, Process::Generator, &[250; 6]);
    does_not_fail(&result);
    assert!(stalled_us(&result, "worker") >= 1_000_000, "{:?}", result.health);
}

#[test]
fn messages_expired_in_a_stop_do_not_fail_the_hub() {
    let work = Workplace::new(&scenario(
        "[fleet.meter]\ndevices = 50\nsend_by = \"1s\"",
        r#""count(expired) == 0", "rate(ok) > 99.9%""#,
    ));
    let result = run(&work, Process::Generator, &[2_000]);
    does_not_fail(&result);
    let expired = &result.thresholds[0];
    assert_eq!(expired.status, Some(ThresholdStatus::Undecided), "{expired:?}");
    assert_eq!(expired.observed_best, Some(0.0));
    assert!(codes(&result).contains(&"not_sent"), "{:#?}", result.verdict);
    let named = result.findings.iter().any(|finding| finding.text.contains("load generator stalled"));
    assert!(named, "{:#?}", result.findings);
}

#[test]
fn stopped_built_in_hub_does_not_fail() {
    let work = Workplace::new(&scenario(BUILT_IN, r#""p(99) < 500ms", "max < 1s", "rate(ok) > 99.9%""#));
    let result = run(&work, Process::BuiltInHub, &[2_000]);
    does_not_fail(&result);
    assert!(stalled_us(&result, "emulator") >= 1_500_000, "{:?}", result.health);
    let text = result.verdict.reasons.join("\n");
    assert!(text.contains("the built-in hub stalled for "), "{text}");
}

/// Programs that use the CPU until they are dropped.
struct Hogs(Vec<Child>);

impl Hogs {
    fn start(count: usize) -> Hogs {
        let hog =
            |_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("there is a shell");
        Hogs((0..count).map(hog).collect())
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}

#[test]
fn starved_built_in_hub_does_not_fail() {
    let work = Workplace::new(&scenario(BUILT_IN, r#""p(99) < 10ms", "max < 20ms""#));
    let mut running = work.start();
    running.says("5s/12s");
    let hogs = Hogs::start(8 * std::thread::available_parallelism().map_or(1, usize::from));
    let result = finish(&work, running);
    drop(hogs);
    does_not_fail(&result);
}

#[test]
fn stopped_external_hub_fails() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let hub =
        Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", "env:HUB_KEY"], &[("HUB_KEY", key)]);
    let work = Workplace::new(&scenario(&hub.meters(), r#""p(99) < 500ms""#)).env("HUB_KEY", key);
    let mut running = work.start();
    running.says("5s/12s");
    stop(&[i32::try_from(hub.id()).expect("a process id")], Duration::from_secs(2));
    let result = finish(&work, running);
    hub.stop();
    assert!(result.thresholds[0].observed_worst > Some(1_000_000.0), "{:?}", result.thresholds);
    if stalled_us(&result, "worker") >= 200_000 && is_undecided_by_stalls(&result) {
        return; // On a busy machine, the result contains other stalls.
    }
    assert_eq!(
        (result.verdict.status, result.verdict.exit_code),
        (Status::Fail, 99),
        "{:#?}",
        result.verdict
    );
    assert_eq!(codes(&result)[0], "threshold_failed");
    assert_eq!(result.thresholds[0].status, Some(ThresholdStatus::Failed));
}
