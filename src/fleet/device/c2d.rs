//! Received cloud-to-device messages: their age, and whether each arrived once and in order. Part of `device`, called by
//! `received`.
//!
//! An age is correct only if the clocks of the sender and of this machine agree. If the run sends the messages itself, both times
//! come from a clock without steps.

use super::Device;
use crate::clock::Step;
use crate::iothub::received::{Stamp, stamp};
use crate::measure::{Culprit, Operation};
use crate::plan::CallPlan;
use std::time::{Duration, Instant};

impl Device {
    pub(super) fn on_c2d(&mut self, now: Instant, bag: &str) {
        let Stamp { sent, seq } = stamp(bag);
        let zero_unix = self.context.clock.zero_unix;
        match sent.map(|sent| self.age(sent, now)) {
            Some(Age::Known(age)) => self.recorder().ok_with_age(Operation::C2d, now, age),
            Some(Age::Ahead) => self.recorder().error("clock_ahead", Culprit::Target, now, || {
                format!("{}: a cloud-to-device message has a stamp later than its arrival", self.id())
            }),
            Some(Age::Stepped) => self.recorder().error("clock_step", Culprit::Generator, now, || {
                format!(
                    "{}: this machine's clock stepped while a cloud-to-device message was in transit",
                    self.id()
                )
            }),
            None => {}
        }
        // Ignore the sequence numbers of messages from an earlier run, which form a separate sequence.
        let seq = seq.filter(|_| sent.is_none_or(|sent| sent >= zero_unix));
        let counted = seq.map(|seq| self.iot_hub().c2d.record(seq)).unwrap_or_default();
        self.count_hub(|counts| {
            counts.c2d += 1;
            counts.c2d_unstamped += u64::from(sent.is_none());
            counts.c2d_duplicates += counted.c2d_duplicates;
            counts.c2d_skipped = counts.c2d_skipped.saturating_add(counted.c2d_skipped);
            counts.c2d_reordered += counted.c2d_reordered;
        });
    }
}

/// The age of a message, if it is known.
enum Age {
    Known(Duration),
    /// The stamp is later than the arrival.
    Ahead,
    /// This machine's clock stepped while the message was in transit.
    Stepped,
}

impl Device {
    /// Returns the age of a message whose stamp is `sent`, a time since the Unix epoch.
    fn age(&self, sent: Duration, now: Instant) -> Age {
        let context = &self.context;
        if context.plan.drives.iter().any(|drive| matches!(drive.call, CallPlan::C2d { .. })) {
            return context.clock.unstepped_unix(now).checked_sub(sent).map_or(Age::Ahead, Age::Known);
        }
        let age = context.compare_clocks(now).checked_sub(sent);
        let watch = context.steps.borrow();
        let reaches = |step: &Step| age.is_none_or(|age| now.saturating_duration_since(step.at) <= age);
        match age {
            _ if watch.steps().iter().any(reaches) => Age::Stepped,
            Some(age) => Age::Known(age),
            None => Age::Ahead,
        }
    }
}
