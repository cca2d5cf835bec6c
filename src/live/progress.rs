//! The progress line: its text, and how it is written in each [`Style`]. Used by `console` and by `app`.

use crate::measure::{Live, Operation};
use crate::units::{human_count, human_us};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

/// Seconds between two lines in a log.
const LINE_EVERY_S: u64 = 5;

/// How progress is displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// No output.
    Quiet,
    /// One line every few seconds, for a log.
    Lines,
    /// One line that is redrawn each second, for a terminal.
    Redrawn,
}

/// The state of a run that a progress line shows.
#[derive(Clone, Debug)]
pub struct RunState<'a> {
    /// Time since the start of the run.
    pub at: Duration,
    /// End of the load.
    pub end: Duration,
    /// Length of the drain that follows the load.
    pub drain: Duration,
    /// Name of the current phase.
    pub phase: &'a str,
    /// Number of devices in the plan.
    pub devices: u64,
    /// Planned messages per second. `None` if the plan does not determine the rate: the counted messages are shown instead.
    pub planned_per_s: Option<f64>,
    /// Numbers from the last second.
    pub live: &'a Live,
}

/// The numbers since the last printed line, which may cover several seconds.
#[derive(Clone, Debug, Default)]
struct Interval {
    seconds: u32,
    offered_per_s: f64,
    achieved_per_s: f64,
    /// The highest p99 of any second, by operation.
    p99_us: BTreeMap<Operation, u64>,
}

impl Interval {
    fn add(&mut self, live: &Live, planned_per_s: Option<f64>) {
        self.seconds += 1;
        // Prefer the planned rate: `live.offered_per_s` counts a backlogged message only once it is sent, so it is too low while
        // there is a backlog.
        self.offered_per_s += planned_per_s.unwrap_or(live.offered_per_s);
        self.achieved_per_s += live.achieved_per_s;
        for (operation, p99_us) in &live.p99_us {
            let worst = self.p99_us.entry(*operation).or_default();
            *worst = (*worst).max(*p99_us);
        }
    }

    fn mean(&self, sum: f64) -> String {
        whole(sum / f64::from(self.seconds.max(1)))
    }
}

/// Returns the line for a state and the interval before it, without a newline.
fn line(state: &RunState<'_>, interval: &Interval) -> String {
    let RunState { at, end, drain, phase, devices, live, .. } = state;
    // The seconds of the drain are counted from 0.
    let (at, of) = if at < end { (*at, end) } else { (*at - *end, drain) };
    let mut out = format!(
        "{:>4}s/{}s  {phase:<10}  online {}/{}  offered {}/s  acked {}/s",
        at.as_secs().min(of.as_secs()),
        of.as_secs(),
        human_count(live.online),
        human_count(*devices),
        interval.mean(interval.offered_per_s),
        interval.mean(interval.achieved_per_s),
    );
    let of = |(operation, p99_us): (&Operation, &u64)| format!("{operation} {}", human_us(*p99_us));
    let p99: Vec<String> = interval.p99_us.iter().map(of).collect();
    if !p99.is_empty() {
        let worst = if interval.seconds > 1 { "worst p99" } else { "p99" };
        write!(out, "  {worst} {}", p99.join(", ")).expect("writing to a String cannot fail");
    }
    if live.errors > 0 {
        write!(out, "  errors {}", human_count(live.errors)).expect("writing to a String cannot fail");
    }
    out
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative and fits in a u64"
)]
fn whole(per_s: f64) -> String {
    human_count(per_s.round() as u64)
}

/// Writes progress lines and notes to a stream.
pub struct Progress<W> {
    style: Style,
    out: W,
    drawn: bool,
    interval: Interval,
}

impl<W: Write> Progress<W> {
    /// Returns a `Progress` that writes to `out`.
    pub fn new(style: Style, out: W) -> Progress<W> {
        Progress { style, out, drawn: false, interval: Interval::default() }
    }

    /// Writes the line for a state if one is due.
    ///
    /// # Errors
    /// Writing to the stream failed.
    pub fn show(&mut self, state: &RunState<'_>) -> std::io::Result<()> {
        self.interval.add(state.live, state.planned_per_s);
        if self.style == Style::Lines && !state.at.as_secs().is_multiple_of(LINE_EVERY_S) {
            return Ok(());
        }
        let line = line(state, &std::mem::take(&mut self.interval));
        match self.style {
            Style::Quiet => Ok(()),
            Style::Lines => writeln!(self.out, "{line}"),
            Style::Redrawn => {
                self.drawn = true;
                write!(self.out, "\r\x1b[2K{line}")?;
                self.out.flush()
            }
        }
    }

    /// Writes a note on a separate line, unless the style is `Quiet`.
    ///
    /// # Errors
    /// Writing to the stream failed.
    pub fn note(&mut self, text: &str) -> std::io::Result<()> {
        if self.style == Style::Quiet {
            return Ok(());
        }
        self.print(text)
    }

    /// Writes text on a separate line, in every style.
    ///
    /// # Errors
    /// Writing to the stream failed.
    pub fn print(&mut self, text: &str) -> std::io::Result<()> {
        self.finish()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Clears a redrawn line, so that the next output starts at column 0.
    ///
    /// # Errors
    /// Writing to the stream failed.
    pub fn finish(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.drawn) {
            write!(self.out, "\r\x1b[2K")?;
            self.out.flush()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Live {
        Live {
            online: 1000,
            offered_per_s: 200.0,
            achieved_per_s: 199.2,
            p99_us: vec![(Operation::Telemetry, 12_300)],
            ..Live::default()
        }
    }

    fn state(live: &Live, second: u64) -> RunState<'_> {
        let (at, end) = (Duration::from_secs(second), Duration::from_secs(60));
        let drain = Duration::from_secs(10);
        RunState { at, end, drain, phase: "steady", devices: 1000, planned_per_s: None, live }
    }

    #[test]
    fn log_gets_a_line_every_five_seconds() {
        let mut out = Vec::new();
        let mut progress = Progress::new(Style::Lines, &mut out);
        for second in 1..=11 {
            // The line shows the mean rates and the highest p99 of its five seconds.
            let p99_us = vec![(Operation::Telemetry, if second == 2 { 99_000 } else { 12_300 })];
            let offered_per_s = if second == 3 { 700.0 } else { 200.0 };
            progress.show(&state(&Live { p99_us, offered_per_s, ..live() }, second)).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert_eq!(
            text.lines().next().unwrap(),
            "   5s/60s  steady      online 1,000/1,000  offered 300/s  acked 199/s  worst p99 telemetry 99.0 ms"
        );
        assert!(
            text.lines().nth(1).unwrap().ends_with("offered 200/s  acked 199/s  worst p99 telemetry 12.3 ms")
        );
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn offered_is_the_planned_rate_even_during_a_stall() {
        let mut out = Vec::new();
        let live = Live { offered_per_s: 3.0, ..live() };
        let stalled = RunState { planned_per_s: Some(1_000.0), ..state(&live, 5) };
        Progress::new(Style::Lines, &mut out).show(&stalled).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("offered 1,000/s  acked 199/s"));
    }

    #[test]
    fn drain_seconds_are_counted_from_zero() {
        let line =
            |second| line(&RunState { phase: "drain", ..state(&live(), second) }, &Interval::default());
        assert!(line(59).starts_with("  59s/60s  "), "{}", line(59));
        assert!(line(60).starts_with("   0s/10s  drain "), "{}", line(60));
        assert!(line(62).starts_with("   2s/10s  drain "), "{}", line(62));
        assert!(line(99).starts_with("  10s/10s  drain "), "{}", line(99));
    }

    #[test]
    fn terminal_line_is_redrawn_and_cleared_at_the_end() {
        let mut out = Vec::new();
        let mut progress = Progress::new(Style::Redrawn, &mut out);
        progress.show(&state(&live(), 1)).unwrap();
        progress.show(&state(&live(), 2)).unwrap();
        progress.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains('\n') && text.ends_with("\x1b[2K"));
        assert!(text.contains("p99 telemetry 12.3 ms"));
    }

    #[test]
    fn note_has_its_own_line() {
        let written = |style| {
            let mut out = Vec::new();
            let mut progress = Progress::new(style, &mut out);
            progress.show(&state(&live(), 1)).unwrap();
            progress.note("hello").unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(written(Style::Redrawn).ends_with("\r\x1b[2Khello\n"));
        assert_eq!((written(Style::Lines).as_str(), written(Style::Quiet).as_str()), ("hello\n", ""));
    }
}
