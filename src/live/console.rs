//! Turns the events of a run into progress lines. Called by `app`. It uses only the parts of the plan that a line shows, as an
//! [`Outline`].

use super::alerts::Alerts;
use super::line::{Figures, SearchStatus};
use super::progress::Progress;
use crate::measure::{Event, Live, Operation, Second};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// The parts of the plan that a progress line shows.
#[derive(Clone, Debug)]
pub struct Outline {
    /// The phases, in order. Not empty.
    pub phases: Vec<PhaseOutline>,
    /// Length of the drain that follows the load.
    pub drain: Duration,
    /// The operation whose latency is shown, if it has samples.
    pub headline: Option<Operation>,
    /// True if the scenario is JSON, so that advice about it must be, too.
    pub json: bool,
}

/// A phase of the plan.
#[derive(Clone, Debug)]
pub struct PhaseOutline {
    /// Name of the phase.
    pub name: String,
    /// Start of the phase, measured from the start of the run.
    pub start: Duration,
    /// End of the phase, measured from the start of the run.
    pub end: Duration,
}

/// Shows the events of one run on a stream.
pub struct Console<W> {
    progress: Progress<W>,
    outline: Outline,
    /// End of the load.
    end: Duration,
    draining: bool,
    interval: Interval,
    alerts: Alerts,
    search: Option<SearchStatus>,
}

/// The numbers since the last line, which may cover several seconds.
#[derive(Clone, Debug, Default)]
struct Interval {
    seconds: u32,
    offered_per_s: f64,
    acked_per_s: f64,
    /// The highest p99 of any second, by operation.
    p99_us: BTreeMap<Operation, u64>,
}

impl Interval {
    fn add(&mut self, live: &Live, planned_per_s: Option<f64>) {
        self.seconds += 1;
        // Prefer the planned rate: `live.offered_per_s` counts a backlogged message only once it is sent, so it is too low while
        // there is a backlog.
        self.offered_per_s += planned_per_s.unwrap_or(live.offered_per_s);
        self.acked_per_s += live.achieved_per_s;
        for (operation, p99_us) in &live.p99_us {
            let worst = self.p99_us.entry(*operation).or_default();
            *worst = (*worst).max(*p99_us);
        }
    }

    /// Returns the p99 of the main operation: `headline` if it has samples, otherwise a message, otherwise connection attempts.
    fn main_p99(&self, headline: Option<Operation>) -> Option<(Operation, u64)> {
        let messages = || Operation::ALL.into_iter().filter(|operation| operation.is_message());
        let first_choice = headline.into_iter().chain(messages().filter(|message| !message.is_request()));
        let mut choice = first_choice.chain(messages()).chain([Operation::Connect]);
        choice.find_map(|operation| Some((operation, *self.p99_us.get(&operation)?)))
    }
}

impl<W: Write> Console<W> {
    /// Returns a console for a run with this outline.
    pub fn new(progress: Progress<W>, outline: Outline) -> Console<W> {
        let end = outline.phases.last().map_or(Duration::ZERO, |phase| phase.end);
        let (interval, alerts, search) = Default::default();
        Console { progress, outline, end, draining: false, interval, alerts, search }
    }

    /// Handles an event: writes a line for frequent errors, and a progress line if one is due.
    ///
    /// # Errors
    /// Writing to the stream failed.
    pub fn handle_event(&mut self, event: &Event) -> std::io::Result<()> {
        match event {
            Event::Second(second) => return self.show(second),
            Event::LoadAppended { until, .. } => {
                self.end = *until;
                if let Some(last) = self.outline.phases.last_mut() {
                    last.end = *until;
                }
            }
            Event::Draining { .. } => self.draining = true,
            Event::Started { .. }
            | Event::PhaseStarted { .. }
            | Event::Measured { .. }
            | Event::Noted { .. }
            | Event::Stopped { .. } => {}
        }
        Ok(())
    }

    /// Sets the status of a search, which a terminal shows above the progress line.
    pub fn set_search(&mut self, search: Option<SearchStatus>) {
        self.search = search;
    }

    /// Returns the progress display, so that the caller can write notes between the lines.
    pub fn progress(&mut self) -> &mut Progress<W> {
        &mut self.progress
    }

    fn show(&mut self, second: &Second) -> std::io::Result<()> {
        let Second { at, phase, planned_per_s, live } = second;
        if self.draining {
            // Count the drain from the first drain second that is shown.
            self.end = self.end.min(*at);
        }
        for alert in self.alerts.check(*at, live, self.outline.json) {
            self.progress.note(&alert)?;
        }
        let Outline { phases, drain, headline, .. } = &self.outline;
        let phase = phases.get(usize::from(*phase)).filter(|_| *at < self.end);
        self.interval.add(live, if phase.is_some() { *planned_per_s } else { Some(0.0) });
        if !self.progress.is_due(at.as_secs()) {
            return Ok(());
        }
        let interval = std::mem::take(&mut self.interval);
        let (name, start, end) = match phase {
            Some(phase) => (phase.name.as_str(), phase.start, phase.end),
            None => ("drain", self.end, self.end + *drain),
        };
        let seconds = f64::from(interval.seconds);
        self.progress.show(Figures {
            at: *at,
            end: self.end,
            phase: name.to_owned(),
            phase_start: start,
            phase_end: end,
            online: live.online,
            planned: phase.map(|_| live.planned_online),
            offered_per_s: interval.offered_per_s / seconds,
            acked_per_s: interval.acked_per_s / seconds,
            p99: interval.main_p99(*headline),
            failed: live.errors,
            classes: live.classes.iter().map(|errors| (errors.class.clone(), errors.total)).collect(),
            search: phase.and_then(|_| self.search.clone()),
        })
    }
}

#[cfg(test)]
mod tests;
