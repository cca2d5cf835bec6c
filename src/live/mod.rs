//! What is seen while a run goes on: one plain line every few seconds, which greps well in a CI log, or one line
//! redrawn in place on a terminal. Called by `app` once a second; it reads measured numbers and changes nothing.

mod console;

pub use console::{Console, Outline};

use crate::measure::{Live, Operation};
use crate::units::{human_count, human_us};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

/// Seconds between two lines in a log.
const LINE_EVERY_S: u64 = 5;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Not at all.
    Quiet,
    /// A line every few seconds.
    Lines,
    /// One line, redrawn each second.
    Redrawn,
}

/// Where the run stands, for a progress line.
#[derive(Clone, Debug)]
pub struct Moment<'a> {
    /// Since the run's zero.
    pub at: Duration,
    /// When nothing will be due any more.
    pub end: Duration,
    /// How long the last acks are then waited for.
    pub drain: Duration,
    /// The phase under way.
    pub phase: &'a str,
    /// All devices of the plan.
    pub devices: u64,
    /// Messages a second that the plan has due, where it says so; those that were counted, otherwise.
    pub planned_per_s: Option<f64>,
    /// The last second's numbers.
    pub live: &'a Live,
}

/// What was seen since the last line: a line that comes every five seconds tells of five seconds.
#[derive(Clone, Debug, Default)]
struct Span {
    seconds: u32,
    offered_per_s: f64,
    achieved_per_s: f64,
    /// Of each operation, the worst second's.
    p99_us: BTreeMap<Operation, u64>,
}

impl Span {
    fn add(&mut self, live: &Live, planned_per_s: Option<f64>) {
        self.seconds += 1;
        // What waits in a backlog is counted when it is handled, too late for this.
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

/// The line for a moment and what led to it, without a newline.
fn line(moment: &Moment<'_>, span: &Span) -> String {
    let Moment { at, end, drain, phase, devices, live, .. } = moment;
    // The drain has a clock of its own: the load's would stand still.
    let (at, of) = if at < end { (*at, end) } else { (*at - *end, drain) };
    let mut out = format!(
        "{:>4}s/{}s  {phase:<10}  online {}/{}  offered {}/s  acked {}/s",
        at.as_secs().min(of.as_secs()),
        of.as_secs(),
        human_count(live.online),
        human_count(*devices),
        span.mean(span.offered_per_s),
        span.mean(span.achieved_per_s),
    );
    let of = |(operation, p99_us): (&Operation, &u64)| format!("{operation} {}", human_us(*p99_us));
    let p99: Vec<String> = span.p99_us.iter().map(of).collect();
    if !p99.is_empty() {
        let worst = if span.seconds > 1 { "worst p99" } else { "p99" };
        write!(out, "  {worst} {}", p99.join(", ")).expect("a string takes everything");
    }
    if live.errors > 0 {
        write!(out, "  errors {}", human_count(live.errors)).expect("a string takes everything");
    }
    out
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of messages")]
fn whole(per_s: f64) -> String {
    human_count(per_s.round() as u64)
}

/// Writes progress in its style; talk goes to stderr.
pub struct Progress<W> {
    style: Style,
    out: W,
    drawn: bool,
    span: Span,
}

impl<W: Write> Progress<W> {
    /// Progress onto `out`.
    pub fn new(style: Style, out: W) -> Progress<W> {
        Progress { style, out, drawn: false, span: Span::default() }
    }

    /// Shows a moment, if it is time for it.
    ///
    /// # Errors
    /// The stream is gone.
    pub fn show(&mut self, moment: &Moment<'_>) -> std::io::Result<()> {
        self.span.add(moment.live, moment.planned_per_s);
        if self.style == Style::Lines && !moment.at.as_secs().is_multiple_of(LINE_EVERY_S) {
            return Ok(());
        }
        let line = line(moment, &std::mem::take(&mut self.span));
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

    /// Says something between the lines, on one of its own.
    ///
    /// # Errors
    /// The stream is gone.
    pub fn say(&mut self, text: &str) -> std::io::Result<()> {
        if self.style == Style::Quiet {
            return Ok(());
        }
        self.print(text)
    }

    /// Says what was asked for, however quiet it is to be.
    ///
    /// # Errors
    /// The stream is gone.
    pub fn print(&mut self, text: &str) -> std::io::Result<()> {
        self.finish()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Clears a redrawn line, so that what follows starts on a clean one.
    ///
    /// # Errors
    /// The stream is gone.
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

    fn moment(live: &Live, second: u64) -> Moment<'_> {
        let (at, end) = (Duration::from_secs(second), Duration::from_secs(60));
        let drain = Duration::from_secs(10);
        Moment { at, end, drain, phase: "steady", devices: 1000, planned_per_s: None, live }
    }

    #[test]
    fn a_log_gets_a_line_every_five_seconds() {
        let mut out = Vec::new();
        let mut progress = Progress::new(Style::Lines, &mut out);
        for second in 1..=11 {
            // Seconds differ: the line tells their mean, and the worst of what has none.
            let p99_us = vec![(Operation::Telemetry, if second == 2 { 99_000 } else { 12_300 })];
            let offered_per_s = if second == 3 { 700.0 } else { 200.0 };
            progress.show(&moment(&Live { p99_us, offered_per_s, ..live() }, second)).unwrap();
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
    fn offered_is_what_the_plan_wants_however_little_of_it_was_handled() {
        let mut out = Vec::new();
        let live = Live { offered_per_s: 3.0, ..live() };
        let stalled = Moment { planned_per_s: Some(1_000.0), ..moment(&live, 5) };
        Progress::new(Style::Lines, &mut out).show(&stalled).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("offered 1,000/s  acked 199/s"));
    }

    #[test]
    fn the_drain_counts_its_own_seconds() {
        let line = |second| line(&Moment { phase: "drain", ..moment(&live(), second) }, &Span::default());
        assert!(line(59).starts_with("  59s/60s  "), "{}", line(59));
        assert!(line(60).starts_with("   0s/10s  drain "), "{}", line(60));
        assert!(line(62).starts_with("   2s/10s  drain "), "{}", line(62));
        assert!(line(99).starts_with("  10s/10s  drain "), "{}", line(99));
    }

    #[test]
    fn a_terminal_gets_one_line_that_is_cleared_at_the_end() {
        let mut out = Vec::new();
        let mut progress = Progress::new(Style::Redrawn, &mut out);
        progress.show(&moment(&live(), 1)).unwrap();
        progress.show(&moment(&live(), 2)).unwrap();
        progress.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains('\n') && text.ends_with("\x1b[2K"));
        assert!(text.contains("p99 telemetry 12.3 ms"));
    }

    #[test]
    fn what_is_said_in_between_stands_on_a_line_of_its_own() {
        let said = |style| {
            let mut out = Vec::new();
            let mut progress = Progress::new(style, &mut out);
            progress.show(&moment(&live(), 1)).unwrap();
            progress.say("hello").unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(said(Style::Redrawn).ends_with("\r\x1b[2Khello\n"));
        assert_eq!((said(Style::Lines).as_str(), said(Style::Quiet).as_str()), ("hello\n", ""));
    }
}
