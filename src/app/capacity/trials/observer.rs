//! The trials of a search as the observer of its load: passes the events on, and returns the status for the progress. Used by `run_fleet`.

use super::Trials;
use crate::app::capacity::remaining::remaining;
use crate::app::run_fleet::{Actions, Observer, Stop};
use crate::capacity::Next;
use crate::capacity::measured::EndReason;
use crate::live::{SearchStage, SearchStatus};
use crate::measure::Event;
use crate::units::plural;
use std::time::Duration;

impl Observer for Trials<'_> {
    fn handle_event(&mut self, event: &Event) -> Actions {
        let mut actions = Actions::default();
        match event {
            Event::Measured { measurement, .. } => self.measurement = Some(measurement.clone()),
            Event::Second(second) if self.end.is_none() => self.second(second, &mut actions),
            Event::Noted { text } => actions.lines.push(text.clone()),
            _ => {}
        }
        actions
    }

    /// Ends the search, unless it has ended.
    fn stopped(&mut self, why: Stop) {
        self.end.get_or_insert(match why {
            Stop::Interrupted => EndReason::Interrupted,
            Stop::HubExited => EndReason::Breakdown,
        });
    }

    /// The end of the load is unknown until the search ends, so the progress does not show appended loads but the end of the last slot.
    fn shows(&self, event: &Event) -> bool {
        !matches!(event, Event::LoadAppended { .. })
    }

    fn status(&self, at: Duration) -> Option<SearchStatus> {
        if self.pace.running().is_none() && matches!(self.search.next(), Next::Done(_)) {
            return None;
        }
        let (trials, time) = remaining(&self.search, self.times.length_s());
        Some(SearchStatus {
            interval: self.interval(),
            remaining: format!("about {} left ({time})", plural(trials, "trial", "trials")),
            stage: self.stage(at),
        })
    }
}

impl Trials<'_> {
    /// Returns the stage of the search. `None` in the phases before the searched one.
    fn stage(&self, at: Duration) -> Option<SearchStage> {
        let number = self.trials.len() + 1;
        let Some((slot, level)) = self.pace.running() else {
            return (at.as_secs() > self.times.start_s)
                .then(|| SearchStage { name: format!("before trial {number}"), times: None });
        };
        let judged_s = self.times.judged_from_s(slot);
        let [start, end] =
            [judged_s - self.times.settle_s, judged_s + self.times.judged_s].map(Duration::from_secs);
        let level = self.shown(level);
        let name = match at < end {
            true => format!("trial {number}: {level}"),
            false => format!("trial {number}: draining"),
        };
        Some(SearchStage { name, times: Some([start, end]) })
    }
}
