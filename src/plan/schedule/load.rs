//! The load factor over time, its integral, and the inverse of the integral. Read by `run_load`, which extends it during a run.

use super::nanoseconds::{nanoseconds, ns, seconds};
use std::time::Duration;

/// A segment that extends the load of a running plan. It starts where the existing load ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// End, measured from the start of the run.
    pub until: Duration,
    /// Load factor at start and end. Linear in between.
    pub factor: [f64; 2],
}

/// The load factor over time: an append-only list of linear pieces, beginning at the start of the run. Computes the exact integral
/// `L(t)` and its inverse. The unit of `L` is seconds at a load of 100%.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    pieces: Vec<Piece>,
    end_ns: u64,
    /// `L` at the end.
    total: f64,
}

/// A time span with a linear load factor.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    /// Start, in seconds since the start of the run.
    start: f64,
    /// End, in seconds since the start of the run.
    end: f64,
    /// Load factor at start and end.
    factor: [f64; 2],
    /// `L` at the start.
    before: f64,
}

impl Piece {
    fn area(&self, passed: f64) -> f64 {
        let slope = (self.factor[1] - self.factor[0]) / (self.end - self.start);
        passed * (self.factor[0] + slope * passed / 2.0)
    }

    /// Returns the root of `factor * x + slope / 2 * x^2 = area`, in a form that does not subtract nearly equal numbers.
    fn passed(&self, area: f64) -> f64 {
        let slope = (self.factor[1] - self.factor[0]) / (self.end - self.start);
        let root = (self.factor[0] * self.factor[0] + 2.0 * slope * area).max(0.0).sqrt();
        if self.factor[0] + root == 0.0 { 0.0 } else { 2.0 * area / (self.factor[0] + root) }
    }
}

impl Load {
    /// Appends a piece that starts where the last piece ends.
    pub fn push(&mut self, end_ns: u64, factor: [f64; 2]) {
        let piece = Piece { start: seconds(self.end_ns), end: seconds(end_ns), factor, before: self.total };
        if piece.end > piece.start {
            self.total += piece.area(piece.end - piece.start);
            self.end_ns = end_ns;
            self.pieces.push(piece);
        }
    }

    /// Appends one piece per step from the first factor to the last. All steps have the same length and the same height.
    pub fn push_steps(&mut self, end_ns: u64, [from, to]: [f64; 2], steps: u32) {
        let (start_ns, last) = (self.end_ns, steps.saturating_sub(1).max(1));
        for step in 0..steps {
            let passed = u128::from(end_ns - start_ns) * u128::from(step + 1) / u128::from(steps);
            let factor = from + (to - from) * f64::from(step) / f64::from(last);
            self.push(start_ns + u64::try_from(passed).unwrap_or(u64::MAX), [factor; 2]);
        }
    }

    /// Appends a segment. Returns false and changes nothing if the segment does not extend the load, or if a factor is negative
    /// or not finite.
    #[must_use]
    pub fn append(&mut self, segment: Segment) -> bool {
        let until_ns = ns(segment.until);
        let fits = until_ns > self.end_ns
            && segment.factor.iter().all(|factor| factor.is_finite() && *factor >= 0.0);
        if fits {
            self.push(until_ns, segment.factor);
        }
        fits
    }

    /// Returns the end of the last piece, in nanoseconds since the start of the run.
    #[must_use]
    pub fn end_ns(&self) -> u64 {
        self.end_ns
    }

    /// Returns `L` at the end of the last piece.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Returns `L(t)`.
    #[must_use]
    pub fn integral(&self, t_ns: u64) -> f64 {
        let t = seconds(t_ns);
        let index = self.pieces.partition_point(|piece| piece.start <= t).saturating_sub(1);
        self.pieces.get(index).map_or(0.0, |piece| piece.before + piece.area(t.min(piece.end) - piece.start))
    }

    /// Returns the latest time with `L(t) <= area`, so that an event at the edge of a pause is due after the pause. `None` if
    /// the load ends before that time.
    #[must_use]
    pub fn inverse(&self, area: f64) -> Option<u64> {
        // Also rejects NaN.
        if !(area >= 0.0 && area < self.total()) {
            return None;
        }
        // While the load grows, most reads are in its last piece.
        let piece = match self.pieces.last() {
            Some(last) if last.before <= area => last,
            _ => {
                let index = self.pieces.partition_point(|piece| piece.before <= area).saturating_sub(1);
                self.pieces.get(index)?
            }
        };
        let passed = piece.passed(area - piece.before).min(piece.end - piece.start);
        Some(nanoseconds(piece.start + passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn steps_have_the_same_length_and_height() {
        let mut load = Load::default();
        load.push(10 * S, [1.0; 2]);
        load.push_steps(20 * S, [1.0, 3.0], 5);
        assert_eq!(load.end_ns(), 20 * S);
        for (second, factor) in (10..20).zip([1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 2.5, 2.5, 3.0, 3.0]) {
            let due = load.integral((second + 1) * S) - load.integral(second * S);
            assert!((due - factor).abs() < 1e-9, "second {second}: {due}");
        }
        let mut uneven = Load::default();
        uneven.push_steps(10, [0.0, 1.0], 3);
        assert_eq!(uneven.end_ns(), 10, "the last step ends with the phase");
    }

    #[test]
    fn append_rejects_the_past_and_invalid_factors() {
        let mut load = Load::default();
        load.push(10 * S, [1.0; 2]);
        let before = load.clone();
        let segment = |until_s, factor| Segment { until: Duration::from_secs(until_s), factor };
        for refused in [
            segment(10, [1.0; 2]),
            segment(9, [1.0; 2]),
            segment(11, [-1.0, 1.0]),
            segment(11, [1.0, f64::NAN]),
            segment(11, [f64::INFINITY, 1.0]),
        ] {
            assert!(!load.append(refused), "{refused:?}");
        }
        assert_eq!(load, before);
        assert!(load.append(segment(12, [1.0, 0.0])));
        assert_eq!((load.end_ns(), load.total()), (12 * S, 11.0));
    }

    #[test]
    fn event_at_the_edge_of_a_pause_is_due_after_it() {
        let mut load = Load::default();
        load.push(10 * S, [1.0; 2]);
        load.push(20 * S, [0.0; 2]);
        load.push(30 * S, [2.0; 2]);
        assert_eq!(load.inverse(10.0), Some(20 * S));
        assert_eq!(load.inverse(12.0), Some(21 * S));
        assert_eq!(load.integral(15 * S), 10.0);
        assert_eq!(load.inverse(30.0), None);
        assert_eq!(load.inverse(-1.0), None);
        assert_eq!(load.inverse(f64::NAN), None);
        assert_eq!(Load::default().inverse(0.0), None);
    }

    prop_compose! {
        fn loads()(parts in prop::collection::vec((1u64..600 * S, prop_oneof![Just(0.0), 0.0..10.0], prop_oneof![Just(0.0), 0.0..10.0]), 1..6)) -> Load {
            let mut load = Load::default();
            let mut end = 0;
            for (duration, from, to) in parts {
                end += duration;
                load.push(end, [from, to]);
            }
            load
        }
    }

    proptest! {
        #[test]
        fn inverse_undoes_the_integral(load in loads(), share in 0.0..1.0) {
            let area = load.total() * share;
            if let Some(t) = load.inverse(area) {
                let error = (load.integral(t) - area).abs();
                // Rounding to a nanosecond at a factor of ten, and floating-point error.
                prop_assert!(error < 1e-8 + area * 1e-12, "{error}");
            } else {
                prop_assert!(area >= load.total());
            }
        }

        #[test]
        fn integral_and_inverse_are_monotonic(load in loads(), a in 0.0..1.0, b in 0.0..1.0) {
            let (a, b) = (f64::min(a, b) * load.total(), f64::max(a, b) * load.total());
            if let (Some(a), Some(b)) = (load.inverse(a), load.inverse(b)) {
                prop_assert!(a <= b);
                prop_assert!(load.integral(a) <= load.integral(b) + 1e-9);
            }
        }
    }
}
