//! Runs the trials of a search: reads the events of the run, asks the pace and the search what to do, extends the load, and judges each trial
//! when its messages have ended. Used by `run_fleet`. It does no I/O: it returns commands and lines of progress.

mod observer;

use super::counts::Counts;
use super::settings::Setup;
use crate::app::capacity::remaining::remaining;
use crate::app::run_fleet::Actions;
use crate::capacity::backlog::BacklogGrowth;
use crate::capacity::burst::Flow;
use crate::capacity::measured::{Bound, EndReason, Trial, Verdict};
use crate::capacity::pace::{EndedTrial, Pace, SlotTimes, Step, Tick};
use crate::capacity::trial::{Judged, TrialFacts, judge};
use crate::capacity::{Answer, End, Next, Search};
use crate::fleet::Command;
use crate::measure::{Measurement, Operation, Second, Totals};
use crate::plan::{OnlineChange, Segment, TrialSlots};
use crate::report::{PhaseJudgment, interval_text, judge_phase, level_text, phase_has_failed};
use crate::units::{human_count, human_us};
use std::time::Duration;

/// The share of the planned devices that must be online before a trial starts.
const ONLINE_PERCENT: u64 = 99;

/// The limits on the messages of a search.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageLimits {
    /// `--max-messages`.
    pub(super) option: u64,
    /// Messages until the daily quota of the hub is used up.
    pub(super) quota: u64,
}

/// The trials of a search.
pub(super) struct Trials<'a> {
    setup: &'a Setup,
    times: SlotTimes,
    limits: MessageLimits,
    pace: Pace,
    search: Search,
    counts: Counts,
    trials: Vec<Trial>,
    /// For each trial, its slot; `None` for a resumed trial, and if its devices were not online.
    ended: Vec<Option<EndedTrial>>,
    /// The latest measurement.
    measurement: Option<Box<Measurement>>,
    end: Option<EndReason>,
    /// The number of devices that the latest command set, if the search varies it.
    devices: u64,
}

impl<'a> Trials<'a> {
    /// Starts a search, or continues one after these trials. Returns it with the first command.
    pub(super) fn new(
        setup: &'a Setup,
        (times, limits): (SlotTimes, MessageLimits),
        resumed: Vec<Trial>,
    ) -> (Trials<'a>, Actions) {
        let (pace, first) = Pace::new(times);
        let mut search = Search::new(setup.rules);
        resumed.iter().for_each(|trial| search.record(trial.level.level, trial.verdict.into()));
        let ended = resumed.iter().map(|_| None).collect();
        let mut trials = Trials {
            setup,
            times,
            limits,
            pace,
            search,
            counts: Counts::default(),
            trials: resumed,
            ended,
            measurement: None,
            end: None,
            devices: setup.rules.from,
        };
        let mut actions = Actions::default();
        trials.set_devices(
            Step::Online { from_s: times.start_s, over_s: 0, level: setup.rules.from },
            &mut actions,
        );
        trials.load(first, &mut actions);
        (trials, actions)
    }

    /// Returns why the search ended, its trials, and the bounds that they prove.
    pub(super) fn finish(self) -> (EndReason, Vec<Trial>, Answer) {
        (self.end.unwrap_or(EndReason::Breakdown), self.trials, self.search.answer_so_far())
    }

    /// Returns whether the hub may still have let a burst through in the trials at the lower bound: twice their level did not reach its limit,
    /// although the upper bound is below twice their level.
    pub(super) fn may_hide_a_burst(&self) -> bool {
        let Answer { lower: Some(lower), upper: Some(upper), .. } = self.search.answer_so_far() else {
            return false;
        };
        let at_lower = self.ended.iter().flatten().filter(|ended| ended.level == lower).collect::<Vec<_>>();
        upper < 2 * lower && !at_lower.is_empty() && at_lower.iter().all(|ended| ended.burst_left)
    }

    fn second(&mut self, second: &Second, actions: &mut Actions) {
        let Some(measurement) = self.measurement.take() else { return };
        let planned_per_s = second.planned_per_s.unwrap_or(0.0);
        self.counts.add(&measurement, &self.setup.judge, planned_per_s);
        let tick = self.tick(second, &measurement);
        loop {
            match self.pace.step(&tick) {
                Step::Wait => break,
                step @ Step::Load { .. } => self.load(step, actions),
                step @ Step::Online { .. } => self.set_devices(step, actions),
                Step::Judge(ended) => self.judge(ended, &measurement, actions),
                Step::Next => self.next(actions),
                Step::Offline => self.record_offline(actions),
                Step::OutOfTime => self.end(EndReason::Time, actions),
            }
            if self.end.is_some() {
                break;
            }
        }
        self.measurement = Some(measurement);
    }

    fn tick(&self, second: &Second, measurement: &Measurement) -> Tick {
        let at_s = second.at.as_secs();
        let (online, planned) = (second.live.online, second.live.planned_online);
        let steady = online.saturating_mul(100) >= planned.saturating_mul(ONLINE_PERCENT);
        let level = self.setup.scale.level(1).per_s;
        Tick {
            at_s,
            drained: self.counts.is_drained() && steady,
            steady,
            failed: self
                .pace
                .running()
                .is_some_and(|(slot, level)| self.has_failed(slot, level, at_s, measurement)),
            flow: Flow { backlog: self.counts.backlog() / level, served: self.counts.newly_ok() / level },
        }
    }

    /// Returns whether the running trial has failed already, whatever follows.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn has_failed(&self, slot: u16, level: u64, at_s: u64, measurement: &Measurement) -> bool {
        if at_s <= self.times.judged_from_s(slot) {
            return false;
        }
        let phase = TrialSlots::phase_name(slot);
        let due = messages(measurement, &phase).due;
        let planned = self.setup.scale.level(level).per_s * self.times.judged_s as f64;
        // Arrivals are random, so a few more than planned may become due.
        due > 0
            && phase_has_failed(
                measurement,
                &self.setup.judge,
                &phase,
                (planned * 1.05 / due as f64).max(1.0),
            )
    }

    /// Extends the load.
    fn load(&self, step: Step, actions: &mut Actions) {
        if let Step::Load { until_s, level } = step {
            let factor = [self.setup.scale.factor(level, self.devices); 2];
            actions.commands.push(Command::Append(Segment { until: Duration::from_secs(until_s), factor }));
        }
    }

    /// Changes the number of devices, if the search varies it.
    fn set_devices(&mut self, step: Step, actions: &mut Actions) {
        if let (Some(devices), Step::Online { from_s, over_s, level }) = (&self.setup.devices, step) {
            self.devices = level;
            let [from, over] = [from_s, over_s].map(Duration::from_secs);
            let change = OnlineChange { from, over, devices: devices.online(level) };
            actions.commands.push(Command::ChangeOnline(change));
        }
    }

    /// Starts the next trial, or ends the search.
    fn next(&mut self, actions: &mut Actions) {
        match self.search.next() {
            Next::Done(answer) => self.end(reason(answer.end), actions),
            Next::Trial { level } => {
                let seconds = self.setup.load_s();
                #[expect(clippy::cast_precision_loss, reason = "a number of seconds")]
                let messages = crate::units::whole(self.setup.scale.level(level).per_s * seconds as f64);
                let after = self.counts.due().saturating_add(messages);
                if after > self.limits.quota {
                    return self.end(EndReason::Quota, actions);
                }
                if after > self.limits.option {
                    return self.end(EndReason::Messages, actions);
                }
                actions.log.push(format!(
                    "trial {}: {}{}",
                    self.trials.len() + 1,
                    self.shown(level),
                    self.left()
                ));
                let burst = self.setup.settings.exhaust_burst;
                match &self.setup.devices {
                    None => {
                        let step = self.pace.start(level, burst);
                        self.load(step, actions);
                    }
                    Some(devices) => {
                        let over_s = devices.over_s(self.devices, level);
                        let step = self.pace.start_connecting(level, over_s, burst);
                        self.set_devices(step, actions);
                    }
                }
            }
        }
    }

    fn shown(&self, level: u64) -> String {
        let scale = self.setup.scale;
        level_text(self.setup.settings.vary, &scale.level(level))
    }

    fn left(&self) -> String {
        let (trials, time) = remaining(&self.search, self.times.length_s());
        format!(", about {trials} to go ({time})")
    }

    /// Returns the bounds so far.
    fn interval(&self) -> String {
        let Answer { lower, upper, .. } = self.search.answer_so_far();
        let [lower, upper] = [lower, upper].map(|level| level.map(|level| self.setup.scale.level(level)));
        interval_text(self.setup.settings.vary, lower.as_ref(), upper.as_ref(), "not known yet")
    }

    fn end(&mut self, end: EndReason, actions: &mut Actions) {
        self.end = Some(end);
        actions.commands.push(Command::Stop);
    }

    /// Records that devices did not come online for the next trial.
    fn record_offline(&mut self, actions: &mut Actions) {
        let Next::Trial { level } = self.search.next() else { return };
        let judged = Judged {
            verdict: Verdict::Bad,
            reason: "devices were not online within a minute before the load".to_owned(),
            bound: Some(Bound::Offline),
        };
        let ended = EndedTrial { slot: 0, level, ended_s: 0, cut: true, undrained: false, burst_left: false };
        self.record((self.describe(&ended, judged, &Measurement::default()), None), actions);
    }

    fn judge(&mut self, ended: EndedTrial, measurement: &Measurement, actions: &mut Actions) {
        let growth = self.growth(&ended, measurement);
        let (judged, _) = self.verdict(&ended, growth.as_ref(), measurement);
        self.record((self.describe(&ended, judged, measurement), Some(ended)), actions);
    }

    fn verdict(
        &self,
        ended: &EndedTrial,
        backlog: Option<&BacklogGrowth>,
        measurement: &Measurement,
    ) -> (Judged, PhaseJudgment) {
        let phase = TrialSlots::phase_name(ended.slot);
        let found = judge_phase(measurement, &self.setup.judge, &phase);
        let judged = judge(&TrialFacts {
            thresholds: &found.thresholds,
            shortcomings: &found.shortcomings,
            saturated: found.saturated,
            backlog,
            undrained: ended.undrained,
        });
        (judged, found)
    }

    /// Judges all trials again, after the built-in hub has reported its stalls: a starved hub on this machine is not a slow hub. Returns
    /// the number of verdicts that changed. The search may then have ended too early, or for another reason.
    pub(super) fn judge_again(&mut self, measurement: &Measurement) -> usize {
        let mut changed = 0;
        for (number, ended) in self.ended.clone().iter().enumerate() {
            let Some(ended) = ended else { continue };
            let backlog = self.trials[number].backlog;
            let (judged, found) = self.verdict(ended, backlog.as_ref(), measurement);
            let trial = &mut self.trials[number];
            changed += usize::from(trial.verdict != judged.verdict);
            (trial.verdict, trial.reason, trial.bound_by) = (judged.verdict, judged.reason, judged.bound);
            trial.thresholds = found.thresholds;
        }
        if changed > 0 {
            self.search = Search::new(self.setup.rules);
            self.trials.iter().for_each(|trial| self.search.record(trial.level.level, trial.verdict.into()));
            self.end = self.end.map(|end| end_again(&self.search, end));
        }
        changed
    }

    fn growth(&self, ended: &EndedTrial, measurement: &Measurement) -> Option<BacklogGrowth> {
        let from_s = self.times.judged_from_s(ended.slot);
        let phase = TrialSlots::phase_name(ended.slot);
        (!ended.cut).then(|| self.counts.growth(measurement, &phase, (from_s, ended.ended_s)))?
    }

    /// Describes a trial for the result.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn describe(&self, ended: &EndedTrial, judged: Judged, measurement: &Measurement) -> Trial {
        let phase = TrialSlots::phase_name(ended.slot);
        let totals = messages(measurement, &phase);
        let from_s = self.times.judged_from_s(ended.slot);
        let seconds = ended.ended_s.saturating_sub(from_s);
        let per_s = |count: u64| count as f64 / seconds.max(1) as f64;
        let bad = totals.due - totals.ok().min(totals.due);
        Trial {
            number: u32::try_from(self.trials.len() + 1).unwrap_or(u32::MAX),
            level: self.setup.scale.level(ended.level),
            verdict: judged.verdict,
            reason: judged.reason,
            bound_by: judged.bound,
            start_us: from_s * 1_000_000,
            duration_us: seconds * 1_000_000,
            cut: ended.cut,
            resumed: false,
            due: totals.due,
            ok: totals.ok(),
            offered_per_s: per_s(totals.due),
            achieved_per_s: per_s(self.counts.ok_between(from_s, ended.ended_s)),
            p50_us: totals.response.quantile(0.5),
            p99_us: totals.response.quantile(0.99),
            error_share: bad as f64 / totals.due.max(1) as f64,
            backlog: self.growth(ended, measurement),
            thresholds: judge_phase(measurement, &self.setup.judge, &phase).thresholds,
        }
    }

    fn record(&mut self, (trial, ended): (Trial, Option<EndedTrial>), actions: &mut Actions) {
        self.search.record(trial.level.level, trial.verdict.into());
        actions.lines.push(self.line(&trial));
        self.trials.push(trial);
        self.ended.push(ended);
    }

    /// Describes a trial that has ended, and the interval after it, in one line.
    fn line(&self, trial: &Trial) -> String {
        let verdict = match trial.verdict {
            Verdict::Good => "good",
            Verdict::Bad => "bad",
            Verdict::Undecided => "undecided",
            Verdict::Void => "void",
        };
        let p99 = trial.p99_us.map_or_else(String::new, |us| format!(", p99 {}", human_us(us)));
        let reason = if trial.reason.is_empty() { String::new() } else { format!(" ({})", trial.reason) };
        let interval = self.interval();
        format!(
            "trial {}: {} is {verdict}: {} of {} ok{p99}{reason}; capacity {interval}",
            trial.number,
            self.shown(trial.level.level),
            human_count(trial.ok),
            human_count(trial.due),
        )
    }
}

/// Returns the sum of all messages that were due in a phase.
fn messages(measurement: &Measurement, phase: &str) -> Totals {
    measurement.sum(|part| Operation::is_message(part.operation) && part.phase == phase)
}

fn reason(end: Option<End>) -> EndReason {
    match end {
        Some(End::Narrow) => EndReason::Width,
        Some(End::AtLeast) => EndReason::HighestGood,
        Some(End::Below) => EndReason::LowestBad,
        Some(End::Capped(_)) => EndReason::Generator,
        Some(End::Undecided(_)) | None => EndReason::Undecided,
    }
}

/// Returns why a search ended whose trials were judged again. `end` is why it ended before.
fn end_again(search: &Search, end: EndReason) -> EndReason {
    match search.next() {
        _ if !end.is_by_the_trials() => end,
        Next::Done(answer) => reason(answer.end),
        Next::Trial { .. } => EndReason::JudgedAgain,
    }
}

#[cfg(test)]
mod tests;
