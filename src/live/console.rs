//! Turns the events of a run into progress lines. Called by `app`. It uses only the parts of the plan that a line shows, as an
//! [`Outline`].

use super::progress::{Progress, RunState};
use crate::measure::{Event, Second};
use std::io::Write;
use std::time::Duration;

/// The parts of the plan that a progress line shows.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Names of the phases.
    pub phases: Vec<String>,
    /// Number of devices in the plan.
    pub devices: u64,
    /// When the load ends, measured from the start of the run.
    pub end: Duration,
    /// Length of the drain that follows the load.
    pub drain: Duration,
}

/// Shows the events of one run on a stream.
pub struct Console<W> {
    progress: Progress<W>,
    outline: Outline,
    draining: bool,
}

impl<W: Write> Console<W> {
    /// Returns a console for a run with this outline.
    pub fn new(progress: Progress<W>, outline: Outline) -> Console<W> {
        Console { progress, outline, draining: false }
    }

    /// Handles an event, and writes a line if one is due.
    ///
    /// # Errors
    /// Writing to the stream failed.
    pub fn handle_event(&mut self, event: &Event) -> std::io::Result<()> {
        match event {
            Event::Second(second) => return self.show(second),
            Event::LoadAppended { until, .. } => self.outline.end = *until,
            Event::Draining { .. } => self.draining = true,
            Event::Started { .. }
            | Event::PhaseStarted { .. }
            | Event::Measured { .. }
            | Event::Noted { .. }
            | Event::Stopped { .. } => {}
        }
        Ok(())
    }

    /// Returns the progress display, so that the caller can write notes between the lines.
    pub fn progress(&mut self) -> &mut Progress<W> {
        &mut self.progress
    }

    fn show(&mut self, second: &Second) -> std::io::Result<()> {
        let Second { at, phase, planned_per_s, live } = second;
        if self.draining {
            // Count the drain from the first drain second that is shown.
            self.outline.end = self.outline.end.min(*at);
        }
        let Outline { phases, devices, end, drain } = &self.outline;
        let (phase, planned_per_s) = match phases.get(usize::from(*phase)) {
            Some(name) if at < end => (name.as_str(), *planned_per_s),
            _ => ("drain", Some(0.0)),
        };
        let state =
            RunState { at: *at, end: *end, drain: *drain, phase, devices: *devices, planned_per_s, live };
        self.progress.show(&state)
    }
}

#[cfg(test)]
mod tests {
    use super::super::progress::Style;
    use super::*;
    use crate::measure::Live;

    fn second(at_s: u64, phase: u16) -> Event {
        let live = Live { online: 2, achieved_per_s: 9.0, ..Live::default() };
        Event::Second(Second { at: Duration::from_secs(at_s), phase, planned_per_s: Some(10.0), live })
    }

    /// Returns the first columns of each line on a terminal.
    fn lines(events: &[Event]) -> Vec<String> {
        let mut out = Vec::new();
        let outline = Outline {
            phases: vec!["ramp".to_owned(), "steady".to_owned()],
            devices: 2,
            end: Duration::from_secs(4),
            drain: Duration::from_secs(5),
        };
        let mut console = Console::new(Progress::new(Style::Redrawn, &mut out), outline);
        for event in events {
            console.handle_event(event).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        text.split("\r\x1b[2K")
            .skip(1)
            .map(|line| line.split("  online").next().unwrap().trim().to_owned())
            .collect()
    }

    #[test]
    fn load_and_drain_seconds_are_counted_separately() {
        let drained = Event::Draining { at: Duration::from_secs(4) };
        let events = [second(1, 0), second(3, 1), drained, second(4, 1), second(6, 1)];
        assert_eq!(lines(&events), ["1s/4s  ramp", "3s/4s  steady", "0s/5s  drain", "2s/5s  drain"]);
    }

    #[test]
    fn drain_after_a_stop_starts_at_its_first_second() {
        let stopped = Event::Draining { at: Duration::from_millis(2_050) };
        // The event for the second before the stop arrives after the stop.
        let events = [second(1, 0), stopped, second(2, 1), second(3, 1)];
        assert_eq!(lines(&events), ["1s/4s  ramp", "0s/5s  drain", "1s/5s  drain"]);
    }

    #[test]
    fn appended_load_moves_the_end() {
        let appended = Event::LoadAppended { until: Duration::from_secs(9), factor: [1.0; 2] };
        assert_eq!(lines(&[second(3, 1), appended, second(5, 1)]), ["3s/4s  steady", "5s/9s  steady"]);
    }
}
