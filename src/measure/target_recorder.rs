//! Records the numbers of each host of a target that has several, for one worker. Part of the [`Recorder`](super::Recorder); called
//! by `fleet`, and never in a run with one host.

use super::latency::{Pool, to_us};
use super::layout::DIGITS_TOTAL;
use super::operation::{Culprit, Outcome};
use super::target_totals::TargetTotals;

/// The numbers of each host since the last snapshot. Allocates nothing before its first use.
#[derive(Debug)]
pub struct TargetRecorder {
    hosts: Vec<TargetTotals>,
    /// The histograms start small, because there may be many hosts.
    pool: Pool,
}

impl TargetRecorder {
    pub(super) fn new(highest_us: u64) -> TargetRecorder {
        TargetRecorder { hosts: Vec::new(), pool: Pool::growing(DIGITS_TOTAL, highest_us) }
    }

    /// Records the end of a connection attempt to a host. `response_ns` counts from its due time.
    pub fn connect(&mut self, host: u16, outcome: Outcome, response_ns: u64) {
        grown(&mut self.hosts, host).connects[outcome] += 1;
        if outcome == Outcome::Ok {
            grown(&mut self.hosts, host).connect.record_rare(to_us(response_ns), &mut self.pool);
        }
    }

    /// Records a message that ended ok. `response_ns` counts from its due time.
    pub fn message(&mut self, host: u16, response_ns: u64) {
        grown(&mut self.hosts, host).messages.record_rare(to_us(response_ns), &mut self.pool);
    }

    /// Counts an error of a device of a host.
    pub fn error(&mut self, host: u16, class: &str, culprit: Culprit) {
        grown(&mut self.hosts, host).add_errors(class, culprit, 1);
    }

    /// Counts a device that was at one host and is now online at another one.
    pub fn moved(&mut self, from: u16, to: u16) {
        grown(&mut self.hosts, from).moved_out += 1;
        grown(&mut self.hosts, to).moved_in += 1;
    }

    /// Moves the numbers into a snapshot, and resets them.
    pub(super) fn swap(&mut self, into: &mut Vec<TargetTotals>) {
        std::mem::swap(&mut self.hosts, into);
    }

    /// Clears the numbers of a snapshot that have been added up, and keeps their histograms.
    pub(super) fn recycle(&mut self, hosts: &mut Vec<TargetTotals>) {
        for mut totals in hosts.drain(..) {
            self.pool.recycle(&mut totals.connect);
            self.pool.recycle(&mut totals.messages);
        }
    }
}

/// Returns the numbers of a host, which may not have any yet.
fn grown(hosts: &mut Vec<TargetTotals>, host: u16) -> &mut TargetTotals {
    let index = usize::from(host);
    if hosts.len() <= index {
        hosts.resize_with(index + 1, TargetTotals::default);
    }
    &mut hosts[index]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Collector, Layout, Recorder, Source};
    use std::rc::Rc;
    use std::time::Duration;

    fn layout() -> Layout {
        Layout::new(1, 1, Duration::from_secs(60))
    }

    fn host(name: &str, devices: u64) -> TargetTotals {
        TargetTotals { host: name.to_owned(), port: 8883, devices, ..TargetTotals::default() }
    }

    #[test]
    fn snapshots_of_several_workers_add_up_by_host() {
        let mut collector = Collector::unnamed(layout()).with_targets(vec![host("a", 3), host("b", 2)]);
        for worker in 0..2 {
            let stalls = Rc::new(crate::stalls::Stalls::new(crate::clock::now()));
            let mut recorder = Recorder::new(layout(), stalls);
            for second in 0..3 {
                let targets = recorder.targets();
                targets.connect(1, Outcome::Ok, 5_000_000);
                targets.connect(0, Outcome::Refused, 1_000);
                targets.error(0, "tcp_refused", Culprit::Target);
                targets.message(1, 2_000_000 * (second + 1));
                targets.moved(0, 1);
                let snapshot = recorder.swap();
                collector.add(&snapshot, Source::Worker(worker));
                recorder.recycle(snapshot);
            }
            // Nothing is counted twice.
            collector.add(&recorder.swap(), Source::Worker(worker));
        }
        let [a, b] = &collector.measurement().targets[..] else { panic!("two hosts") };
        assert_eq!((a.host.as_str(), a.devices, a.moved_out, a.moved_in), ("a", 3, 6, 0));
        assert_eq!((b.host.as_str(), b.devices, b.moved_out, b.moved_in), ("b", 2, 0, 6));
        assert_eq!((a.connects[Outcome::Refused], a.attempts(), a.connect.count()), (6, 6, 0));
        assert_eq!((b.connects[Outcome::Ok], b.attempts(), b.connect.count()), (6, 6, 6));
        assert_eq!((a.error_count(), b.error_count(), a.errors.len()), (6, 0, 1));
        assert_eq!((b.messages.count(), b.messages.min(), a.messages.count()), (6, Some(2_000), 0));
    }

    #[test]
    fn measurements_of_two_processes_merge_by_host() {
        let mut one = crate::measure::Measurement { targets: vec![host("a", 1)], ..Default::default() };
        let mut theirs = host("a", 2);
        theirs.connects[Outcome::Ok] = 2;
        let other = crate::measure::Measurement { targets: vec![theirs, host("b", 4)], ..Default::default() };
        one.merge(&other);
        let hosts: Vec<_> = one.targets.iter().map(|t| (t.host.as_str(), t.devices, t.attempts())).collect();
        assert_eq!(hosts, [("a", 3, 2), ("b", 4, 0)]);
    }
}
