//! The health of each source over the whole run: the sum over all phases. Called by `text` and `page`. Independent of formats.

use super::format::plural;
use crate::measure::{Latency, Measurement, Source};
use crate::units::human_us;

/// The health of a source over all phases.
#[derive(Clone, Debug)]
pub(super) struct SourceHealth {
    pub(super) source: Source,
    /// Total time in which the source had work to do but did not run.
    pub(super) stall_us: u64,
    /// Longest stall.
    pub(super) longest_us: u64,
    /// Busy share in the source's busiest phase.
    pub(super) busy_share: Option<f64>,
    /// Number of operations that failed on this machine.
    pub(super) environment_errors: u64,
    pub(super) lag: Latency,
}

/// Returns every source in a result, in the order of the file.
pub(super) fn sources(measurement: &Measurement) -> Vec<SourceHealth> {
    let mut all: Vec<SourceHealth> = Vec::new();
    for health in &measurement.health {
        let place = all.iter().position(|known| known.source == health.source).unwrap_or_else(|| {
            all.push(SourceHealth {
                source: health.source,
                stall_us: 0,
                longest_us: 0,
                busy_share: None,
                environment_errors: 0,
                lag: Latency::default(),
            });
            all.len() - 1
        });
        let sum = &mut all[place];
        let longest_us = health.stalls.entries().iter().map(|entry| entry.stalled_us).max().unwrap_or(0);
        sum.stall_us += health.stall_us;
        sum.longest_us = sum.longest_us.max(longest_us);
        sum.busy_share = sum.busy_share.into_iter().chain(health.busy_share).max_by(f64::total_cmp);
        sum.environment_errors += health.environment_errors;
        sum.lag.add(&health.lag);
    }
    all
}

/// Returns true if a source is a shard of the built-in hub.
pub(super) fn is_emulator(source: Source) -> bool {
    matches!(source, Source::Emulator(_))
}

/// Describes the stalls of the sources (`stalled 60.0 ms in total, longest 20.0 ms`), and their local errors, if any. `None` if there
/// are no sources.
pub(super) fn stalls<'a>(sources: impl Iterator<Item = &'a SourceHealth>) -> Option<String> {
    let (mut known, mut stall_us, mut longest_us, mut errors) = (false, 0, 0, 0);
    for source in sources {
        known = true;
        stall_us += source.stall_us;
        longest_us = longest_us.max(source.longest_us);
        errors += source.environment_errors;
    }
    let stalled = match stall_us {
        0 => "no stalls".to_owned(),
        _ => format!("stalled {} in total, longest {}", human_us(stall_us), human_us(longest_us)),
    };
    let errors = match errors {
        0 => String::new(),
        _ => format!(", {}", plural(errors, "local error", "local errors")),
    };
    known.then(|| stalled + &errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Phase;
    use crate::stalls::StallEntry;

    #[test]
    fn phases_add_up_by_source() {
        let phase = |name: &str, start_us, end_us| Phase {
            name: name.to_owned(),
            start_us,
            end_us,
            ..Phase::default()
        };
        let mut measurement = Measurement {
            phases: vec![phase("ramp", 0, 1_000_000), phase("steady", 1_000_000, 2_000_000)],
            ..Measurement::default()
        };
        let stall = |from_us, to_us| StallEntry { from_us, to_us, stalled_us: to_us - from_us };
        measurement.add_stall(Source::Worker(0), stall(10_000, 30_000));
        measurement.add_stall(Source::Worker(0), stall(1_500_000, 1_540_000));
        measurement.add_stall(Source::Emulator(0), stall(0, 5_000));
        measurement.health_mut(Source::Worker(0), "steady").busy_share = Some(0.5);
        measurement.health_mut(Source::Worker(0), "steady").environment_errors = 1;
        let all = sources(&measurement);
        assert_eq!(all.len(), 2);
        let stalls = |emulator| stalls(all.iter().filter(|health| is_emulator(health.source) == emulator));
        assert_eq!(stalls(false).unwrap(), "stalled 60.0 ms in total, longest 40.0 ms, 1 local error");
        assert_eq!(stalls(true).unwrap(), "stalled 5.00 ms in total, longest 5.00 ms");
        assert_eq!(all[0].busy_share, Some(0.5));
        assert_eq!(super::stalls([].iter()), None);
    }
}
