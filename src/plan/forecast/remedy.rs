//! The changes to a scenario that give a threshold enough samples: a longer phase, more devices, or a lower percentile. Read by `app`, which
//! prints them before a run. The numbers come from `samples`.

use super::samples::{samples_needed, service_operation};
use crate::measure::{Operation, Test};
use crate::plan::model::{Plan, Threshold};
use crate::plan::schedule::{PhasePlan, Spread};
use std::time::Duration;

/// The percentiles that a remedy names, from the highest to the lowest.
const PERCENTILES: [f64; 7] = [0.9999, 0.999, 0.99, 0.95, 0.9, 0.75, 0.5];
/// The longest phase that a remedy names. A longer run is rarely an option.
const PHASE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// The largest fleet that a remedy names, which is the largest that a scenario may have.
const DEVICES_MAX: f64 = 1_000_000.0;

/// The changes to a scenario that give a threshold enough samples. Each one is enough on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Remedy {
    /// A phase and the duration that it needs.
    pub duration: Option<(u16, Duration)>,
    /// A fleet and the number of devices that it needs.
    pub devices: Option<(u16, u64)>,
    /// The highest usual percentile for which there are enough samples, as a fraction of 1.
    pub percentile: Option<f64>,
}

impl Plan {
    /// Returns the changes that give `threshold` the `needed` samples instead of the `planned` ones.
    #[must_use]
    pub fn remedy(&self, threshold: &Threshold, needed: u64, planned: u64) -> Remedy {
        let percentile = match threshold.test {
            Test::Percentile { quantile, .. } => {
                PERCENTILES.into_iter().find(|lower| *lower < quantile && samples_needed(*lower) <= planned)
            }
            _ => None,
        };
        let grows_with_devices =
            matches!(threshold.metric, Operation::Connect | Operation::Online | Operation::Renewal);
        match (planned, grows_with_devices) {
            (0, _) => Remedy::default(),
            (_, true) => Remedy {
                devices: self.more_devices(threshold, needed, planned),
                percentile,
                ..Remedy::default()
            },
            (_, false) => {
                Remedy { duration: self.longer_phase(threshold, needed), percentile, ..Remedy::default() }
            }
        }
    }

    /// Returns the longest phase that the threshold covers, and the duration with which the threshold has enough samples.
    #[expect(clippy::cast_precision_loss, reason = "counts of samples are far below 2^53")]
    fn longer_phase(&self, threshold: &Threshold, needed: u64) -> Option<(u16, Duration)> {
        if self.has_arrival(threshold, Spread::Replay) {
            return None;
        }
        let covered = self.phases_of(threshold);
        let length = |phase: &PhasePlan| phase.end - phase.start;
        let (longest, number) = covered.iter().copied().max_by_key(|(phase, _)| length(phase))?;
        let in_phase = self.samples_in(threshold, &[longest])?;
        let all = self.samples_in(threshold, &covered.iter().map(|(phase, _)| *phase).collect::<Vec<_>>())?;
        if in_phase < 1.0 {
            return None;
        }
        // Random arrivals may be fewer than planned: four standard deviations are enough.
        let random =
            if self.has_arrival(threshold, Spread::Poisson) { 4.0 * (needed as f64).sqrt() } else { 0.0 };
        let missing = (needed as f64 + random - all).max(0.0);
        let seconds = length(longest).as_secs_f64() * (1.0 + missing / in_phase);
        let to = rounded_up(seconds);
        (to <= PHASE_MAX).then_some((number, to))
    }

    /// Returns whether one of the streams or calls that cause a threshold's operations has this arrival process.
    fn has_arrival(&self, threshold: &Threshold, spread: Spread) -> bool {
        let covers = |number: u16| threshold.fleet.is_none_or(|fleet| fleet == number);
        let sends = self.fleets.iter().zip(0_u16..).flat_map(|(fleet, number)| {
            let sends = fleet.sends.iter().zip(0_u16..);
            sends.map(move |(send, stream)| (number, send, stream))
        });
        let sends = sends.filter(|(number, send, stream)| match threshold.metric {
            Operation::Deliver => self.deliveries.copies_mean(*number, *stream, threshold.fleet) > 0.0,
            metric => send.operation == metric && covers(*number),
        });
        let calls = self.drives.iter().filter(|drive| {
            drive.call.operation() == service_operation(threshold.metric) && covers(drive.fleet)
        });
        let arrivals = sends.map(|(_, send, _)| &send.arrival).chain(calls.map(|drive| &drive.arrival));
        arrivals.into_iter().any(|arrival| arrival.spread == spread)
    }

    /// Returns the largest fleet that the threshold covers, and the number of devices with which the threshold has enough samples.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of devices are small, and checked against the largest"
    )]
    fn more_devices(&self, threshold: &Threshold, needed: u64, planned: u64) -> Option<(u16, u64)> {
        let fleets = self.fleets.iter().zip(0_u16..);
        let covered: Vec<_> =
            fleets.filter(|(_, number)| threshold.fleet.is_none_or(|fleet| fleet == *number)).collect();
        let (largest, number) = covered.iter().copied().max_by_key(|(fleet, _)| fleet.devices)?;
        let devices: u32 = covered.iter().map(|(fleet, _)| fleet.devices).sum();
        let per_device = planned as f64 / f64::from(devices);
        let more = ((needed - planned) as f64 / per_device).ceil();
        let devices = f64::from(largest.devices) + more;
        (devices <= DEVICES_MAX).then_some((number, devices as u64))
    }
}

/// Rounds up to whole seconds, to 10 s from one minute on, and to minutes from 20 minutes on.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn rounded_up(seconds: f64) -> Duration {
    let seconds = (seconds - 1e-6).ceil() as u64;
    let step = match seconds {
        0..=60 => 1,
        61..=1_200 => 10,
        _ => 60,
    };
    Duration::from_secs(seconds.div_ceil(step).saturating_mul(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_support::plan;

    /// A plan with 50 messages per second.
    fn text(threshold: &str, duration: &str, devices: u64) -> String {
        format!(
            "[fleet.a]\ndevices = {devices}\n[[fleet.a.send]]\nrate = \"50/s\"\npayload = \"x\"\n\
             [[phase]]\nname = \"ramp\"\nduration = \"10s\"\nwarmup = true\nonline = \"0% -> 100%\"\n\
             [[phase]]\nname = \"steady\"\nduration = \"{duration}\"\n[[phase]]\nname = \"end\"\nduration = \"10s\"\n\
             [thresholds]\n{threshold}\n"
        )
    }

    fn remedy(threshold: &str) -> Remedy {
        let plan = plan(&text(threshold, "60s", 100));
        let [(threshold, needed, planned)] = plan.undersampled_thresholds()[..] else {
            panic!("{threshold}")
        };
        plan.remedy(threshold, needed, planned)
    }

    #[test]
    fn longer_phase_gives_enough_samples() {
        for (threshold, seconds) in [
            ("\"telemetry{phase:steady}\" = [\"p(99.9) < 1s\"]", 200),
            ("\"telemetry\" = [\"p(99.9) < 1s\"]", 190),
        ] {
            let found = remedy(threshold);
            assert_eq!(found.duration, Some((1, Duration::from_secs(seconds))), "{threshold}");
            assert_eq!((found.devices, found.percentile), (None, Some(0.99)), "{threshold}");
            let longer = plan(&text(threshold, &format!("{seconds}s"), 100));
            assert_eq!(longer.undersampled_thresholds(), [], "{threshold}");
        }
    }

    #[test]
    fn more_devices_give_enough_connections() {
        let threshold = "\"connect{phase:ramp}\" = [\"p(99) < 1s\"]";
        assert_eq!(
            remedy(threshold),
            Remedy { duration: None, devices: Some((0, 1_000)), percentile: Some(0.9) }
        );
        assert_eq!(plan(&text(threshold, "60s", 1_000)).undersampled_thresholds(), []);
    }

    #[test]
    fn random_arrivals_get_headroom() {
        let text = text("\"telemetry{phase:steady}\" = [\"p(99.9) < 1s\"]", "60s", 100)
            .replace("rate = \"50/s\"", "rate = \"50/s\"\narrival = \"poisson\"");
        let plan = plan(&text);
        let [(threshold, needed, planned)] = plan.undersampled_thresholds()[..] else { panic!("{text}") };
        // 10,000 and 4 * 100 messages at 50/s.
        assert_eq!(plan.remedy(threshold, needed, planned).duration, Some((1, Duration::from_secs(210))));
    }

    /// Random twin reports do not make the arrivals of telemetry random.
    #[test]
    fn only_the_operations_of_a_threshold_count_as_random() {
        let other = "[[fleet.a.report]]\nevery = \"1s\"\narrival = \"poisson\"\npayload = '{}'\n";
        let text = text("\"telemetry{phase:steady}\" = [\"p(99.9) < 1s\"]", "60s", 100)
            .replacen("[[phase]]", &format!("{other}[[phase]]"), 1)
            .replacen("devices = 100", "devices = 100\nsubscribe = [\"twin\"]", 1);
        let plan = plan(&text);
        let [(threshold, needed, planned)] = plan.undersampled_thresholds()[..] else { panic!("{text}") };
        assert_eq!(plan.remedy(threshold, needed, planned).duration, Some((1, Duration::from_secs(200))));
    }

    #[test]
    fn durations_are_round() {
        for (seconds, rounded) in [(0.2, 1), (59.5, 60), (60.1, 70), (200.0, 200), (1_201.0, 1_260)] {
            assert_eq!(rounded_up(seconds).as_secs(), rounded, "{seconds}");
        }
    }
}
