//! The number of devices in a fleet that can receive messages, over time. Used by `expected`.

use crate::plan::schedule::{Schedule, Span, ns};
use std::time::Duration;

/// The time after a planned connect, and before a planned disconnect, in which no message counts as missing.
const SETTLE: Duration = Duration::from_secs(1);

/// The number of devices that can receive, over time. Devices connect in the order of their indices and disconnect in reverse
/// order, so the number also determines which devices can receive.
#[derive(Debug)]
pub(super) struct Presence {
    /// Start of each step, in nanoseconds, and the number of devices from then on. In chronological order.
    steps: Vec<(u64, u32)>,
}

impl Presence {
    /// Computes the number of devices over time. With `kept`, devices are also counted between their online spans.
    pub(super) fn new(schedule: &Schedule, devices: u32, kept: bool) -> Presence {
        let (end, settle) = (ns(schedule.end()), ns(SETTLE));
        let mut changes: Vec<(u64, i32)> = Vec::new();
        for rank in 0..devices {
            let mut spans = schedule.online_spans(u64::from(rank), u64::from(devices));
            if let (true, [first, .., last]) = (kept, &spans[..]) {
                spans = vec![Span { from_ns: first.from_ns, to_ns: last.to_ns }];
            }
            if !kept {
                spans = without_churn(schedule, spans);
            }
            for span in spans {
                let from_ns = span.from_ns + settle;
                // Devices that are online at the end stay online during the drain.
                let to_ns = if span.to_ns >= end { u64::MAX } else { span.to_ns.saturating_sub(settle) };
                if from_ns < to_ns {
                    changes.extend([(from_ns, 1), (to_ns, -1)]);
                }
            }
        }
        changes.sort_unstable();
        let mut steps: Vec<(u64, u32)> = Vec::new();
        let mut count = 0;
        for (at_ns, change) in changes {
            count += change;
            let present = u32::try_from(count).unwrap_or(0);
            match steps.last_mut() {
                Some(last) if last.0 == at_ns => last.1 = present,
                _ => steps.push((at_ns, present)),
            }
        }
        Presence { steps }
    }

    /// Returns the number of devices at `t_ns`.
    pub(super) fn at(&self, t_ns: u64) -> u32 {
        let after = self.steps.partition_point(|(from_ns, _)| *from_ns <= t_ns);
        after.checked_sub(1).and_then(|step| self.steps.get(step)).map_or(0, |(_, count)| *count)
    }
}

/// Removes the times of churn, when devices leave and return in random order: without a persistent session, it is not known which of
/// them can receive a message.
fn without_churn(schedule: &Schedule, spans: Vec<Span>) -> Vec<Span> {
    let mut rest = spans;
    for phase in schedule.phases() {
        let Some(churn) = phase.churn else { continue };
        let (start_ns, end_ns) = (ns(phase.start), ns(phase.end + churn.away));
        let around = |span: Span| {
            let before = Span { from_ns: span.from_ns, to_ns: span.to_ns.min(start_ns) };
            let after = Span { from_ns: span.from_ns.max(end_ns), to_ns: span.to_ns };
            [before, after].into_iter().filter(|part| part.from_ns < part.to_ns)
        };
        rest = rest.into_iter().flat_map(around).collect();
    }
    rest
}
