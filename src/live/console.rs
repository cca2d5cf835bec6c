//! Follows the events of a run and shows them as progress. Fed by `app`; it knows of the plan only what a progress line needs.

use super::{Moment, Progress};
use crate::measure::{Event, Second};
use std::io::Write;
use std::time::Duration;

/// What a progress line shows of the plan.
#[derive(Clone, Debug)]
pub struct Outline {
    /// The names of the phases.
    pub phases: Vec<String>,
    /// All devices of the plan.
    pub devices: u64,
    /// When the load ends.
    pub end: Duration,
    /// How long the last acknowledgments are then awaited.
    pub drain: Duration,
}

/// A listener that shows a run on a stream.
pub struct Console<W> {
    progress: Progress<W>,
    outline: Outline,
    draining: bool,
}

impl<W: Write> Console<W> {
    /// A console for a run of this outline.
    pub fn new(progress: Progress<W>, outline: Outline) -> Console<W> {
        Console { progress, outline, draining: false }
    }

    /// Takes an event in, and shows it if it has something to show.
    ///
    /// # Errors
    /// The stream is gone.
    pub fn hear(&mut self, event: &Event) -> std::io::Result<()> {
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

    /// For what is said between the lines.
    pub fn progress(&mut self) -> &mut Progress<W> {
        &mut self.progress
    }

    fn show(&mut self, second: &Second) -> std::io::Result<()> {
        let Second { at, phase, planned_per_s, live } = second;
        if self.draining {
            // The drain's clock starts with the first second that is shown of it.
            self.outline.end = self.outline.end.min(*at);
        }
        let Outline { phases, devices, end, drain } = &self.outline;
        let (phase, planned_per_s) = match phases.get(usize::from(*phase)) {
            Some(name) if at < end => (name.as_str(), *planned_per_s),
            _ => ("drain", Some(0.0)),
        };
        let moment =
            Moment { at: *at, end: *end, drain: *drain, phase, devices: *devices, planned_per_s, live };
        self.progress.show(&moment)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Style;
    use super::*;
    use crate::measure::Live;

    fn second(at_s: u64, phase: u16) -> Event {
        let live = Live { online: 2, achieved_per_s: 9.0, ..Live::default() };
        Event::Second(Second { at: Duration::from_secs(at_s), phase, planned_per_s: Some(10.0), live })
    }

    /// The first columns of the line that a terminal shows for each second.
    fn shown(events: &[Event]) -> Vec<String> {
        let mut out = Vec::new();
        let outline = Outline {
            phases: vec!["ramp".to_owned(), "steady".to_owned()],
            devices: 2,
            end: Duration::from_secs(4),
            drain: Duration::from_secs(5),
        };
        let mut console = Console::new(Progress::new(Style::Redrawn, &mut out), outline);
        for event in events {
            console.hear(event).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        let lines = text.split("\r\x1b[2K").skip(1);
        lines.map(|line| line.split("  online").next().unwrap().trim().to_owned()).collect()
    }

    #[test]
    fn phases_and_drain_are_shown_with_their_own_clocks() {
        let drained = Event::Draining { at: Duration::from_secs(4) };
        let events = [second(1, 0), second(3, 1), drained, second(4, 1), second(6, 1)];
        assert_eq!(shown(&events), ["1s/4s  ramp", "3s/4s  steady", "0s/5s  drain", "2s/5s  drain"]);
    }

    #[test]
    fn drain_after_a_stop_starts_at_its_first_second() {
        let stopped = Event::Draining { at: Duration::from_millis(2_050) };
        // The second that had ended before the stop is closed after it.
        let events = [second(1, 0), stopped, second(2, 1), second(3, 1)];
        assert_eq!(shown(&events), ["1s/4s  ramp", "0s/5s  drain", "1s/5s  drain"]);
    }

    #[test]
    fn appended_load_moves_the_end() {
        let appended = Event::LoadAppended { until: Duration::from_secs(9), factor: [1.0; 2] };
        assert_eq!(shown(&[second(3, 1), appended, second(5, 1)]), ["3s/4s  steady", "5s/9s  steady"]);
    }
}
