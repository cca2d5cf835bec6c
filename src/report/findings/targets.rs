//! Findings about a target with several hosts: devices that moved to another host, and a host that accepted none. Called by `findings`.
//! Pure.

use super::finding::finding;
use crate::measure::{Measurement, Outcome, TargetTotals};
use crate::plan::address_of;
use crate::result::model::{Finding, Severity};
use crate::units::{human_count, plural};

/// The number of hosts that a finding names.
const NAMED_MAX: usize = 5;

/// Returns the findings about the hosts.
pub(super) fn targets(measurement: &Measurement) -> Vec<Finding> {
    unreachable(measurement).into_iter().chain(moved(measurement)).collect()
}

/// Hosts that refused all attempts while others accepted some.
fn unreachable(measurement: &Measurement) -> Option<Finding> {
    let accepted = |target: &&TargetTotals| target.connects[Outcome::Ok] > 0;
    let tried = |target: &&TargetTotals| target.attempts() > target.connects[Outcome::Unfinished];
    let silent: Vec<_> =
        measurement.targets.iter().filter(|target| tried(target) && !accepted(target)).collect();
    if silent.is_empty() || !measurement.targets.iter().any(|target| accepted(&target)) {
        return None;
    }
    let text = "No device could connect to some of the hosts, although others accepted connections. Check these hosts, and that \
                they accept the same keys";
    let words = |target: &&TargetTotals| {
        let attempts = plural(target.attempts(), "failed attempt", "failed attempts");
        format!("{}: {attempts}", address_of(&target.host, target.port))
    };
    Some(finding(Severity::Warning, text, listed(silent.iter().map(words))))
}

/// Devices that moved, as `failover` specifies.
fn moved(measurement: &Measurement) -> Option<Finding> {
    let moves = measurement.targets.iter().fold(0_u64, |sum, target| sum.saturating_add(target.moved_in));
    if moves == 0 {
        return None;
    }
    let times = plural(moves, "time", "times");
    let text = format!(
        "Devices moved to another host {times}, as `failover` specifies, after they could not connect or lost their connection. \
         They stay there until the next failure"
    );
    let words = |target: &TargetTotals| {
        let (into, away) = (human_count(target.moved_in), human_count(target.moved_out));
        format!("{}: {into} moved in, {away} moved away", address_of(&target.host, target.port))
    };
    let changed = measurement.targets.iter().filter(|target| target.moved_in + target.moved_out > 0);
    Some(finding(Severity::Note, text, listed(changed.map(words))))
}

/// Joins the words for the first hosts, and counts the others.
fn listed(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.collect();
    if let Some(more) = words.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        words.truncate(NAMED_MAX);
        words.push(plural(more as u64, "more host", "more hosts"));
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(host: &str, connects: &[(Outcome, u64)], moved: [u64; 2]) -> TargetTotals {
        let mut target = TargetTotals {
            host: host.to_owned(),
            port: 8883,
            moved_in: moved[0],
            moved_out: moved[1],
            ..TargetTotals::default()
        };
        for (outcome, count) in connects {
            target.connects[*outcome] = *count;
        }
        target
    }

    fn found(hosts: Vec<TargetTotals>) -> Vec<(Severity, String)> {
        let measurement = Measurement { targets: hosts, ..Measurement::default() };
        targets(&measurement).into_iter().map(|finding| (finding.severity, finding.evidence)).collect()
    }

    #[test]
    fn moved_devices_and_dead_hosts_are_reported() {
        let ok = &[(Outcome::Ok, 5)][..];
        assert_eq!(found(vec![]), []);
        assert_eq!(found(vec![host("a", ok, [0, 0]), host("b", ok, [0, 0])]), []);
        assert_eq!(
            found(vec![host("a", ok, [0, 3]), host("::1", ok, [3, 0])]),
            [(
                Severity::Note,
                "a:8883: 0 moved in, 3 moved away; [::1]:8883: 3 moved in, 0 moved away".to_owned()
            )]
        );
        let refused = &[(Outcome::Refused, 2), (Outcome::TimedOut, 1)][..];
        let dead = "b:8883: 3 failed attempts".to_owned();
        assert_eq!(
            found(vec![host("a", ok, [0, 0]), host("b", refused, [0, 0])]),
            [(Severity::Warning, dead)]
        );
        assert_eq!(
            found(vec![host("a", refused, [0, 0]), host("b", refused, [0, 0])]),
            [],
            "the whole target is down"
        );
        let cut_off = &[(Outcome::Unfinished, 1)][..];
        assert_eq!(found(vec![host("a", ok, [0, 0]), host("b", cut_off, [0, 0])]), []);
    }

    #[test]
    fn many_hosts_are_counted() {
        let hosts = (0..7).map(|n| host(&format!("h{n}"), &[(Outcome::Ok, 1)], [1, 1])).collect();
        let [(_, evidence)] = &found(hosts)[..] else { panic!("one finding") };
        assert!(evidence.ends_with("h4:8883: 1 moved in, 1 moved away; 2 more hosts"), "{evidence}");
    }
}
