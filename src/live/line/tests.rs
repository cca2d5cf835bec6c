//! Progress lines at several widths.

use super::super::line::testing::{figures, searching};
use super::*;

fn with_errors() -> Figures {
    let classes = [("closed_by_peer", 1_200), ("connack_5", 35), ("reset", 5), ("ack_timeout", 1)];
    let classes = classes.map(|(class, count)| (class.to_owned(), count)).to_vec();
    Figures { failed: 12_345, classes, ..figures(41) }
}

#[test]
fn line_gets_shorter_with_the_terminal() {
    for (most, line) in [
        (59, "steady 9s  online 998/1,000  acked 199/200/s  p99 12.3 ms"),
        (79, "steady [=======>  ] 9s, run 19s  online 998/1,000  acked 199/200/s  p99 12.3 ms"),
        (
            99,
            "steady [======>  ] 9s left, run 19s left  online 998/1,000  offered 200/s  acked 199/s  p99 12.3 ms",
        ),
        (
            199,
            "steady [=======================>      ] 9s left, run 19s left  online 998/1,000  offered 200/s  acked 199/s  p99 telemetry 12.3 ms",
        ),
    ] {
        assert_eq!(figures(41).for_terminal(most, false), line, "{most}");
    }
}

#[test]
fn errors_are_named_where_there_is_space() {
    for (most, end) in [
        (59, "online 998/1,000  acked 199/200/s  errors 1,241"),
        (79, "online 998/1,000  acked 199/200/s  p99 12.3 ms  errors 1,241"),
        (
            99,
            "steady 9s  online 998/1,000  acked 199/200/s  p99 12.3 ms  errors: closed_by_peer 1,200, 3 more",
        ),
        (
            199,
            "p99 telemetry 12.3 ms  failed 12,345  errors: closed_by_peer 1,200, connack_5 35, reset 5, 1 more",
        ),
    ] {
        let line = with_errors().for_terminal(most, false);
        assert!(line.ends_with(end), "{most}: {line}");
    }
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let long = Figures { phase: "a-phase-with-a-very-long-name-indeed".to_owned(), ..with_errors() };
    let wide = Figures { phase: "東京の夜".to_owned(), ..with_errors() };
    for most in 1..200 {
        for figures in [&figures(41), &with_errors(), &long, &wide] {
            let line = figures.for_terminal(most, false);
            assert!(columns(&line) <= most, "{most}: {line}");
            if most > columns(&figures.phase) {
                assert!(line.starts_with(&figures.phase), "{most}: {line}");
            }
        }
    }
}

#[test]
fn color_adds_only_styles() {
    let colored = with_errors().for_terminal(199, true);
    assert!(colored.starts_with("\x1b[1msteady\x1b[0m ["), "{colored:?}");
    assert!(colored.contains("  \x1b[31mfailed 12,345  errors: "), "{colored:?}");
    let plain = colored.replace("\x1b[1m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
    assert_eq!(plain, with_errors().for_terminal(199, false));
}

#[test]
fn log_line_has_every_figure_as_key_and_value() {
    assert_eq!(
        with_errors().for_log(),
        "41s/60s phase=steady phase_left=9s run_left=19s online=998/1000 offered=200/s acked=199/s \
         telemetry.p99=12.3ms failed=12345 errors=1241 closed_by_peer=1200 connack_5=35 reset=5 ack_timeout=1"
    );
}

#[test]
fn times_are_short() {
    let times = [0, 59, 60, 3_599, 3_600, 90_061].map(|seconds| short_time(Duration::from_secs(seconds)));
    assert_eq!(times, ["0s", "59s", "1m00s", "59m59s", "1h00m", "25h01m"]);
}

#[test]
fn failures_without_an_error_class_are_counted() {
    let failed = Figures { failed: 7, ..figures(41) };
    assert!(failed.for_terminal(99, false).ends_with("  failed 7"));
    assert!(!figures(41).for_terminal(99, false).contains("failed"));
}

#[test]
fn search_has_a_line_above_the_trial() {
    for (most, lines) in [
        (
            79,
            "capacity between 4,100/s and 4,300/s, about 6 trials left (4m)\n\
             trial 4: 4,200/s [====>   ] 14s  online 998/1,000  acked 199/200/s  p99 12.3 ms",
        ),
        (59, "capacity between 4,100/s and 4,300/s\ntrial 4: 4,200/s 14s  online 998/1,000  acked 199/200/s"),
    ] {
        assert_eq!(searching().for_terminal(most, false), lines, "{most}");
    }
    for most in 1..200 {
        let lines = searching().for_terminal(most, false);
        assert!(
            lines.lines().count() == 2 && lines.lines().all(|line| columns(line) <= most),
            "{most}: {lines}"
        );
    }
    assert!(
        searching()
            .for_terminal(79, true)
            .starts_with("\x1b[1mcapacity between 4,100/s and 4,300/s\x1b[0m, ")
    );
    assert_eq!(searching().for_log(), figures(41).for_log());
}
