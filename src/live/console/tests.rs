//! Progress lines of whole runs.

use super::super::progress::{Screen, Style};
use super::*;
use crate::measure::{Culprit, LiveErrors};
use crate::report::Width;

const SCREEN: Screen = Screen { width: || Width::of(None, Some(200)), color: false };

fn live() -> Live {
    Live { online: 2, planned_online: 2, achieved_per_s: 9.0, ..Live::default() }
}

fn second(at_s: u64, phase: u16) -> Event {
    second_of(at_s, phase, live())
}

fn second_of(at_s: u64, phase: u16, live: Live) -> Event {
    Event::Second(Second { at: Duration::from_secs(at_s), phase, planned_per_s: Some(10.0), live })
}

fn written(style: Style, events: &[Event]) -> String {
    let mut out = Vec::new();
    let phase = |name: &str, start, end| PhaseOutline {
        name: name.to_owned(),
        start: Duration::from_secs(start),
        end: Duration::from_secs(end),
    };
    let outline = Outline {
        phases: vec![phase("ramp", 0, 2), phase("steady", 2, 4)],
        drain: Duration::from_secs(5),
        headline: Some(Operation::Deliver),
        json: false,
    };
    let mut console = Console::new(Progress::new(style, SCREEN, &mut out), outline);
    for event in events {
        console.handle_event(event).unwrap();
    }
    String::from_utf8(out).unwrap()
}

/// Returns the phase and the times of each line on a terminal.
fn lines(events: &[Event]) -> Vec<String> {
    let text = written(Style::Redrawn, events);
    let lines = text.split("\r\x1b[J").skip(1).map(|line| {
        let (phase, rest) = line.trim_start_matches("\x1b[?7l").split_once(" [").unwrap();
        let times = rest.split_once("] ").unwrap().1.split("  online").next().unwrap();
        format!("{phase} {times}")
    });
    lines.collect()
}

#[test]
fn load_and_drain_seconds_are_counted_separately() {
    let drained = Event::Draining { at: Duration::from_secs(4) };
    let events = [second(1, 0), second(3, 1), drained, second(4, 1), second(6, 1)];
    assert_eq!(
        lines(&events),
        ["ramp 1s left, run 3s left", "steady 1s left", "drain 5s left", "drain 3s left"]
    );
}

#[test]
fn drain_after_a_stop_starts_at_its_first_second() {
    let stopped = Event::Draining { at: Duration::from_millis(2_050) };
    // The event for the second before the stop arrives after the stop.
    let events = [second(1, 0), stopped, second(2, 1), second(3, 1)];
    assert_eq!(lines(&events), ["ramp 1s left, run 3s left", "drain 5s left", "drain 4s left"]);
}

#[test]
fn appended_load_moves_the_end() {
    let appended = Event::LoadAppended { until: Duration::from_secs(9), factor: [1.0; 2] };
    assert_eq!(lines(&[second(3, 1), appended, second(5, 1)]), ["steady 1s left", "steady 4s left"]);
}

#[test]
fn log_line_has_mean_rates_and_the_highest_p99() {
    let events: Vec<Event> = (1..=11)
        .map(|at| {
            let p99_us = vec![(Operation::Telemetry, if at == 2 { 99_000 } else { 12_300 })];
            let achieved_per_s = if at == 3 { 509.0 } else { 9.0 };
            second_of(at, 0, Live { p99_us, achieved_per_s, offered_per_s: 3.0, ..live() })
        })
        .collect();
    let text = written(Style::Lines, &events);
    let lines: Vec<&str> = text.lines().collect();
    let [first, second] = lines[..] else { panic!("{text}") };
    assert!(first.contains(" acked=109/s telemetry.p99=99.0ms "), "{first}");
    assert!(second.contains(" acked=9/s telemetry.p99=12.3ms "), "{second}");
}

#[test]
fn offered_is_the_planned_rate_even_during_a_stall() {
    let stalled = second_of(1, 0, Live { offered_per_s: 3.0, ..live() });
    assert!(written(Style::Redrawn, &[stalled]).contains("offered 10/s  acked 9/s"));
}

#[test]
fn main_latency_is_the_first_that_has_samples() {
    let p99 = |operations: &[Operation]| {
        let p99_us = operations.iter().map(|operation| (*operation, 1_000)).collect();
        let text = written(Style::Redrawn, &[second_of(1, 0, Live { p99_us, ..live() })]);
        let shown = text.split_once("p99 ").map(|(_, rest)| rest.split(' ').next().unwrap().to_owned());
        shown.unwrap_or_default()
    };
    use Operation::{Connect, Deliver, Ping, Publish, TwinGet};
    assert_eq!(p99(&[Connect, TwinGet, Publish, Deliver]), "deliver");
    assert_eq!(p99(&[Connect, TwinGet, Publish]), "publish");
    assert_eq!(p99(&[Connect, TwinGet]), "twin.get");
    assert_eq!(p99(&[Connect, Ping]), "connect");
    assert_eq!(p99(&[Ping]), "");
}

#[test]
fn frequent_errors_are_told_at_once_and_counted_in_the_line() {
    let class = LiveErrors {
        class: "connack_5".to_owned(),
        culprit: Culprit::Target,
        count: 2,
        total: 2,
        example: "meter-1: refused".to_owned(),
    };
    let failing = || Live { ended: 4, attempts: 4, errors: 2, classes: vec![class.clone()], ..live() };
    let events = [second(1, 0), second_of(2, 0, failing()), second_of(3, 1, failing())];
    let log = written(Style::Lines, &events);
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(
        log.starts_with("connack_5 (target): 2 of 4 connection attempts failed in the last second (50%)"),
        "{log}"
    );
    let screen = written(Style::Redrawn, &events);
    assert!(
        screen.contains("\n\x1b[?7lramp [") && screen.contains("failed 2  errors: connack_5 2\x1b[?7h\r"),
        "{screen:?}"
    );
    assert_eq!(screen.matches("connection attempts failed").count(), 1);
    assert_eq!(written(Style::Quiet, &events), "");
}
