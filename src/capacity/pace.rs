//! When a search offers which load: trials in slots of equal length, waiting between them, and the early end of a bad trial. `app` reports the
//! state of the run once a second, and receives the next step. Pure: it counts whole seconds since the start of the run.
//!
//! If trials differ in their number of devices, the devices connect or disconnect first, without load. A trial whose devices are not online at
//! the end of the idle part moves to the next slot.
//!
//! A slot is an idle part, a settling part and a judged part. The load can only be extended, so every decision is made [`LEAD_S`] before it
//! takes effect.

use super::burst::{Burst, Flow};

/// The load is extended this long before it ends.
pub const LEAD_S: u64 = 2;
/// How long to wait for the backlog, or for devices that are not online (our choice).
pub const WAIT_S_MAX: u64 = 60;

/// The parts of each slot, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotTimes {
    /// Start of the first slot.
    pub start_s: u64,
    /// Length of the idle part.
    pub idle_s: u64,
    /// The last part of the idle part, in which devices connect or disconnect. 0 if the number of devices does not vary.
    pub connect_s: u64,
    /// Length of the settling part.
    pub settle_s: u64,
    /// Length of the judged part.
    pub judged_s: u64,
    /// Number of slots.
    pub count: u16,
}

impl SlotTimes {
    /// Returns the length of a slot.
    #[must_use]
    pub fn length_s(&self) -> u64 {
        self.idle_s + self.settle_s + self.judged_s
    }

    /// Returns the start of the judged part. Slots are numbered from 1.
    #[must_use]
    pub fn judged_from_s(&self, slot: u16) -> u64 {
        self.load_from_s(slot) + self.settle_s
    }

    /// Returns the end of the idle part.
    fn load_from_s(&self, slot: u16) -> u64 {
        self.start_s + self.length_s() * u64::from(slot.saturating_sub(1)) + self.idle_s
    }

    /// Returns when a trial starts: when its devices begin to connect, or when its load begins.
    fn starts_s(&self, slot: u16) -> u64 {
        self.load_from_s(slot) - self.connect_s
    }

    fn end_s(&self, slot: u16) -> u64 {
        self.judged_from_s(slot) + self.judged_s
    }

    /// Returns the length of the parts in which the load of a trial is appended: a bad trial ends early at such a boundary. Each boundary
    /// wakes every device, so there are few.
    fn chunk_s(&self) -> u64 {
        (self.judged_s / 3).max(5)
    }
}

/// What happened until the end of a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tick {
    /// End of the second.
    pub at_s: u64,
    /// Whether no message is open or waiting.
    pub drained: bool,
    /// Whether the devices that should be online are.
    pub steady: bool,
    /// Whether the trial has failed already, whatever follows.
    pub failed: bool,
    /// How the target keeps up with the load.
    pub flow: Flow,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for the next second.
    Wait,
    /// Extend the load. A level of 0 is no load.
    Load {
        /// End of the segment.
        until_s: u64,
        /// Level.
        level: u64,
    },
    /// Change the number of online devices.
    Online {
        /// Start.
        from_s: u64,
        /// Time in which the devices connect or disconnect.
        over_s: u64,
        /// Level.
        level: u64,
    },
    /// Judge the trial that has ended.
    Judge(EndedTrial),
    /// Start the next trial, if there is one: [`Pace::start`] or [`Pace::start_connecting`].
    Next,
    /// The devices did not come online in time.
    Offline,
    /// There is no slot left.
    OutOfTime,
}

/// A trial whose load has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedTrial {
    /// Its slot.
    pub slot: u16,
    /// Its level.
    pub level: u64,
    /// End of its load.
    pub ended_s: u64,
    /// Whether it ended early, because it had failed already.
    pub cut: bool,
    /// Whether messages were still open when the time limit for the drain passed.
    pub undrained: bool,
    /// Whether the burst before the level did not reach the limit of the hub.
    pub burst_left: bool,
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    slot: u16,
    level: u64,
    /// Set until the devices are online and the load begins.
    connecting: Option<Connecting>,
    /// End of the load, if the trial ends early.
    cut_s: Option<u64>,
}

/// The part of a trial in which its devices connect or disconnect.
#[derive(Clone, Copy, Debug)]
struct Connecting {
    /// When the last device connects or disconnects.
    ready_s: u64,
    /// Whether the load begins with a burst.
    burst: bool,
}

/// The pace of a search.
#[derive(Debug)]
pub struct Pace {
    times: SlotTimes,
    /// End of the known load.
    loaded_s: u64,
    /// The slot whose idle part is the last part of the known load.
    next_slot: u16,
    trial: Option<Trial>,
    /// The burst before the level of the trial.
    burst: Option<Burst>,
    /// Whether the burst of the trial did not reach the limit of the hub.
    burst_left: bool,
    /// When the devices were first not online although the next trial could have started.
    waiting_since_s: Option<u64>,
}

impl Pace {
    /// Returns the pace, and the first segment of the load: the idle part of the first slot.
    #[must_use]
    pub fn new(times: SlotTimes) -> (Pace, Step) {
        let until_s = times.starts_s(1);
        let pace = Pace {
            times,
            loaded_s: until_s,
            next_slot: 1,
            trial: None,
            burst: None,
            burst_left: false,
            waiting_since_s: None,
        };
        (pace, Step::Load { until_s, level: 0 })
    }

    /// Returns the running trial: its slot and its level.
    #[must_use]
    pub fn running(&self) -> Option<(u16, u64)> {
        self.trial.map(|trial| (trial.slot, trial.level))
    }

    /// Returns what to do next. Call it again until it returns [`Step::Wait`].
    pub fn step(&mut self, tick: &Tick) -> Step {
        match self.trial {
            Some(trial) => self.step_in_trial(trial, tick),
            None => self.step_between(tick),
        }
    }

    /// Starts a trial in the next slot. With `burst`, it first uses up the burst allowance of the hub.
    pub fn start(&mut self, level: u64, burst: bool) -> Step {
        self.waiting_since_s = None;
        self.start_load(Trial { slot: self.next_slot, level, connecting: None, cut_s: None }, burst)
    }

    /// Starts a trial in one of the next slots. First, its devices connect or disconnect within `over_s`. With `burst`, see [`Pace::start`].
    pub fn start_connecting(&mut self, level: u64, over_s: u64, burst: bool) -> Step {
        let (from_s, ready_s) = (self.loaded_s, self.loaded_s + over_s);
        let connecting = Some(Connecting { ready_s, burst });
        self.trial = Some(Trial { slot: self.next_slot, level, connecting, cut_s: None });
        Step::Online { from_s, over_s, level }
    }

    fn start_load(&mut self, trial: Trial, burst: bool) -> Step {
        self.trial = Some(trial);
        self.burst_left = burst;
        self.burst = burst.then(|| Burst::new(trial.level, self.loaded_s, self.times.settle_s));
        self.extend(trial, None)
    }

    fn is_due(&self, tick: &Tick) -> bool {
        self.loaded_s <= tick.at_s + LEAD_S
    }

    fn step_between(&mut self, tick: &Tick) -> Step {
        if !self.is_due(tick) {
            return Step::Wait;
        }
        if self.next_slot > self.times.count {
            return Step::OutOfTime;
        }
        // If the number of devices varies, devices connect at the start of a trial, not between trials.
        if tick.steady || self.times.connect_s > 0 {
            return Step::Next;
        }
        let since_s = *self.waiting_since_s.get_or_insert(tick.at_s);
        if tick.at_s - since_s >= WAIT_S_MAX {
            self.waiting_since_s = None;
            return Step::Offline;
        }
        self.idle()
    }

    /// Waits without load until the devices of a trial are online at the end of an idle part.
    fn step_connecting(
        &mut self,
        trial: Trial,
        Connecting { ready_s, burst }: Connecting,
        tick: &Tick,
    ) -> Step {
        if !self.is_due(tick) {
            return Step::Wait;
        }
        // All devices must have had their turn before the number of online devices is read.
        let is_ready = self.loaded_s >= ready_s + LEAD_S;
        if is_ready && tick.steady && self.loaded_s == self.times.load_from_s(trial.slot) {
            return self.start_load(Trial { connecting: None, ..trial }, burst);
        }
        if !tick.steady && self.loaded_s >= ready_s + WAIT_S_MAX {
            self.trial = None;
            return Step::Offline;
        }
        let mut slot = trial.slot;
        while slot <= self.times.count
            && self.times.load_from_s(slot) < (ready_s + LEAD_S).max(self.loaded_s + 1)
        {
            slot += 1;
        }
        if slot > self.times.count {
            return Step::OutOfTime;
        }
        self.next_slot = slot;
        self.trial = Some(Trial { slot, ..trial });
        let limit_s = if self.loaded_s < ready_s + WAIT_S_MAX { ready_s + WAIT_S_MAX } else { u64::MAX };
        self.loaded_s = self.times.load_from_s(slot).min(limit_s);
        Step::Load { until_s: self.loaded_s, level: 0 }
    }

    fn step_in_trial(&mut self, mut trial: Trial, tick: &Tick) -> Step {
        if let Some(connecting) = trial.connecting {
            return self.step_connecting(trial, connecting, tick);
        }
        // In the second in which a trial fails and ends, the next one may start.
        let has_failed = tick.failed && tick.at_s > self.times.judged_from_s(trial.slot);
        if has_failed && trial.cut_s.is_none() && self.loaded_s < self.times.end_s(trial.slot) {
            trial.cut_s = Some(self.loaded_s);
        }
        self.trial = Some(trial);
        if let Some(burst) = &mut self.burst {
            burst.observe(tick.at_s, tick.flow, tick.steady);
            self.burst_left = !burst.was_used_up();
        }
        let ended_s = trial.cut_s.unwrap_or(self.times.end_s(trial.slot));
        let undrained = !tick.drained;
        if tick.at_s >= ended_s && (tick.drained || tick.at_s - ended_s >= WAIT_S_MAX) {
            self.trial = None;
            let Trial { slot, level, cut_s, .. } = trial;
            let (cut, burst_left) = (cut_s.is_some(), self.burst_left);
            return Step::Judge(EndedTrial { slot, level, ended_s, cut, undrained, burst_left });
        }
        if !self.is_due(tick) {
            return Step::Wait;
        }
        if self.loaded_s >= ended_s { self.idle() } else { self.extend(trial, Some(tick)) }
    }

    /// Extends the load of a trial.
    fn extend(&mut self, trial: Trial, tick: Option<&Tick>) -> Step {
        let judged_s = self.times.judged_from_s(trial.slot);
        let now = tick.map(|tick| (tick.at_s, tick.flow));
        let burst = self.burst.as_mut().and_then(|burst| burst.next(self.loaded_s, now));
        let (until_s, level) = if let Some(part) = burst {
            part
        } else {
            self.burst = None;
            // The whole settling part, and the first part of the judged one.
            (self.loaded_s.max(judged_s) + self.times.chunk_s(), trial.level)
        };
        self.loaded_s = until_s.min(self.times.end_s(trial.slot));
        Step::Load { until_s: self.loaded_s, level }
    }

    /// Offers no load until the next trial may start.
    fn idle(&mut self) -> Step {
        while self.times.starts_s(self.next_slot) <= self.loaded_s {
            self.next_slot += 1;
        }
        self.loaded_s = self.times.starts_s(self.next_slot);
        Step::Load { until_s: self.loaded_s, level: 0 }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod shaping_tests;
