//! Steps of this machine's wall clock: the finding about them, and the refusals that they may explain. Called by `findings` and by
//! `judge`. Pure.

use super::finding::finding;
use crate::measure::{ClockStep, Measurement, Source};
use crate::report::format::instant;
use crate::result::model::{Finding, Severity};
use crate::units::human_signed_us;

/// The maximum number of steps that the finding lists.
const LISTED_MAX: usize = 3;

/// Returns the finding about clock steps. It concerns this machine, not the hub.
pub(super) fn finding_of_steps(measurement: &Measurement) -> Option<Finding> {
    let steps = &measurement.clock_steps;
    (!steps.is_empty()).then(|| {
        let text = "This machine's wall clock was set during the run, or the machine was suspended. Tokens, ${now} and certificate \
                    checks depend on this clock. Synchronize it before the next run (timedatectl shows its state)";
        let listed = steps.iter().take(LISTED_MAX);
        let listed: Vec<_> =
            listed.map(|step| format!("{} at {}", human_signed_us(step.by_us), instant(step.at_us))).collect();
        let more = match steps.len().saturating_sub(LISTED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        finding(Severity::Warning, text, format!("{}{more}", listed.join(", ")))
    })
}

/// Returns the last clock step forward after a refused connection or a rejected certificate. Before the step, this machine's clock was
/// slow: new tokens may already have expired, and a certificate may have looked not yet valid. The built-in hub shares this clock, so
/// a step does not explain its refusals.
pub(in crate::report) fn step_after_refusals(measurement: &Measurement) -> Option<&ClockStep> {
    let is_built_in = measurement.health.iter().any(|health| matches!(health.source, Source::Emulator(_)));
    let is_dated = |class: &str| matches!(class, "connack_4" | "connack_5" | "tls_certificate");
    let refused = measurement.errors.iter().filter(|error| is_dated(&error.class));
    let first_us = refused.map(|error| error.first_us).min().filter(|_| !is_built_in)?;
    measurement.clock_steps.iter().rev().find(|step| step.by_us > 0 && step.at_us > first_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Culprit, Recorder};
    use crate::report::testing;

    const S: u64 = 1_000_000_000;
    const TWO_HOURS_US: i64 = 7_200_000_000;

    fn of(record: impl FnOnce(&mut Recorder)) -> Measurement {
        testing::measured(1, 1, record)
    }

    #[test]
    fn clock_step_is_a_finding_about_this_machine() {
        assert_eq!(finding_of_steps(&of(|_| ())), None);
        let one = finding_of_steps(&of(|r| r.clocks_diverged(12 * S, -TWO_HOURS_US, true))).unwrap();
        assert!(one.text.contains("This machine's wall clock") && !one.text.contains("hub"), "{one:?}");
        assert_eq!((one.severity, one.evidence.as_str()), (Severity::Warning, "-2h at 0:12.0"));
        let five =
            finding_of_steps(&of(|r| (0..5).for_each(|n| r.clocks_diverged(10 * n * S, TWO_HOURS_US, true))))
                .unwrap();
        assert_eq!(five.evidence, "+2h at 0:00.0, +2h at 0:10.0, +2h at 0:20.0 and 2 more");
    }

    #[test]
    fn only_a_slow_clock_explains_earlier_refusals() {
        let refused_at = |seconds: u64, by_us: i64| {
            of(|r| {
                r.error("connack_5", Culprit::Target, seconds * S, String::new);
                r.clocks_diverged(10 * S, by_us, true);
            })
        };
        assert!(step_after_refusals(&refused_at(5, TWO_HOURS_US)).is_some());
        assert_eq!(step_after_refusals(&refused_at(11, TWO_HOURS_US)), None, "the clock was right by then");
        assert_eq!(
            step_after_refusals(&refused_at(5, -TWO_HOURS_US)),
            None,
            "a fast clock gives tokens more time"
        );
        let mut built_in = refused_at(5, TWO_HOURS_US);
        let phase = built_in.phases[0].name.clone();
        built_in.health_mut(Source::Emulator(0), &phase);
        assert_eq!(step_after_refusals(&built_in), None);
    }
}
