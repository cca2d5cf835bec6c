//! Conversions between counts and floating-point numbers, used in all of `judge`.

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds stay far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// Returns `part / whole`, or 0 if both are 0.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    float(part) / float(whole.max(1))
}
