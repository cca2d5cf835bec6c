//! The axes of the charts: positions of values, and ticks with labels. Called by the charts. Independent of what the values measure.

/// An axis with its ticks.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Creates a linear axis from zero to a round number at or above `max`, with about `ticks` ticks.
    pub(super) fn linear(max: f64, ticks: u32, label: impl Fn(f64) -> String) -> Axis {
        let step = nice_step(max / f64::from(ticks.max(1)));
        let count = (max / step - 1e-9).ceil().max(1.0);
        let mut at = 0.0;
        let mut list = Vec::new();
        while at <= count {
            list.push((at * step, label(at * step)));
            at += 1.0;
        }
        Axis { low: 0.0, high: count * step, log: false, ticks: list }
    }

    /// Creates an axis from `low` to `high`. Ticks outside this range are left out.
    pub(super) fn fixed(low: f64, high: f64, ticks: Vec<(f64, String)>) -> Axis {
        let ticks = ticks.into_iter().filter(|(at, _)| (low..=high).contains(at)).collect();
        Axis { low, high, log: false, ticks }
    }

    /// Creates a logarithmic axis that covers `min..=max` (both positive) and begins and ends at 1, 2 or 5 times a power of ten.
    pub(super) fn log(min: f64, max: f64, label: impl Fn(f64) -> String) -> Axis {
        let min = min.max(1.0);
        let steps = log_steps();
        let below = |limit: f64| steps.iter().rev().copied().find(|step| *step <= limit);
        let above = |limit: f64| steps.iter().copied().find(|step| *step >= limit);
        let mut low = below(min).unwrap_or(1.0);
        let high = above(max.max(min)).unwrap_or(1e12);
        if high / low < 10.0 {
            low = below(high / 10.0).unwrap_or(1.0);
        }
        let high = high.max(low * 10.0);
        let inside: Vec<f64> = steps.into_iter().filter(|step| (low..=high).contains(step)).collect();
        // On a wide range, only powers of ten have labels, because more labels would overlap. There are at least two.
        let decades_only = high / low > 100.5;
        let is_decade = |step: f64| (step.log10() - step.log10().round()).abs() < 1e-9;
        let ticks = inside
            .into_iter()
            .filter(|step| !decades_only || is_decade(*step))
            .map(|step| (step, label(step)))
            .collect();
        Axis { low, high, log: true, ticks }
    }

    /// Returns the position of a value as a share of the axis.
    pub(super) fn position(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if share.is_finite() { share } else { 0.0 }
    }

    /// Returns the smallest value.
    pub(super) fn low(&self) -> f64 {
        self.low
    }

    /// Returns the largest value.
    pub(super) fn high(&self) -> f64 {
        self.high
    }

    /// Returns the ticks and their labels, from the smallest.
    pub(super) fn ticks(&self) -> &[(f64, String)] {
        &self.ticks
    }
}

/// Returns 1, 2, 5, 10, ... up to 1e12.
fn log_steps() -> Vec<f64> {
    (0..=12).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power))).collect()
}

/// Returns the smallest number that is 1, 2 or 5 times a power of ten and at least `raw`.
fn nice_step(raw: f64) -> f64 {
    if !raw.is_finite() || raw <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(raw)
}

/// Formats seconds since the start of the run as `m:ss`, or as `h:mm` if `hours`.
fn clock(seconds: f64, hours: bool) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and a run's seconds fit in a u64"
    )]
    let seconds = seconds.max(0.0).round() as u64;
    if hours {
        format!("{}:{:02} h", seconds / 3600, seconds % 3600 / 60)
    } else {
        format!("{}:{:02}", seconds / 60, seconds % 60)
    }
}

/// Creates a time axis over `0..=end` seconds with about `most` ticks at round times.
pub(super) fn time(end: f64, most: u32) -> Axis {
    const STEPS: [f64; 16] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0,
        21_600.0, 86_400.0,
    ];
    let end = end.max(1.0);
    let fits = |step: &f64| end / step <= f64::from(most);
    let step = STEPS.into_iter().find(fits).unwrap_or_else(|| nice_step(end / f64::from(most)));
    let mut ticks = Vec::new();
    let mut at = 0.0;
    while at <= end {
        ticks.push((at, clock(at, end >= 7_200.0)));
        at += step;
    }
    Axis::fixed(0.0, end, ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn linear_axes_end_on_a_round_tick() {
        let axis = Axis::linear(930.0, 4, |value| format!("{value}"));
        assert_eq!(labels(&axis), ["0", "500", "1000"]);
        assert_eq!(Axis::linear(0.0, 4, |value| format!("{value}")).high(), 1.0);
    }

    #[test]
    fn log_axes_cover_their_values_with_few_labels() {
        let axis = Axis::log(800.0, 90_000.0, |value| format!("{value}"));
        assert_eq!((axis.low(), axis.high()), (500.0, 100_000.0));
        assert_eq!(labels(&axis), ["1000", "10000", "100000"]);
        assert_eq!([500.0, 1.0, 100_000.0].map(|value| axis.position(value)), [0.0, 0.0, 1.0], "clamped");
        let between = Axis::log(110_000.0, 3_000_000.0, |value| format!("{}", value / 1e3));
        assert_eq!(labels(&between), ["100", "200", "500", "1000", "2000", "5000"]);
        for (low, high) in (1..60).flat_map(|low| (low..60).map(move |high| (low, high))) {
            let axis = Axis::log(1.3_f64.powi(low), 1.3_f64.powi(high), |value| format!("{value}"));
            assert!((2..9).contains(&labels(&axis).len()), "1.3^{low} to 1.3^{high}: {axis:?}");
        }
        let flat = Axis::log(3.0, 3.0, |value| format!("{value}"));
        assert!(flat.high() / flat.low() >= 10.0, "a single value still has a range");
    }

    #[test]
    fn time_axis_uses_minutes_then_hours() {
        assert_eq!(labels(&time(75.0, 6)), ["0:00", "0:15", "0:30", "0:45", "1:00", "1:15"]);
        assert_eq!(labels(&time(0.0, 6)), ["0:00", "0:01"]);
        assert_eq!(labels(&time(14_400.0, 4)), ["0:00 h", "1:00 h", "2:00 h", "3:00 h", "4:00 h"]);
    }
}
