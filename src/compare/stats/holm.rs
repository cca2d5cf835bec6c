//! Holm's correction for several tests. Used by `compare`.

/// Returns the adjusted probabilities, in the order of `p`: rejecting those of at most alpha keeps the probability of any false rejection
/// at most alpha.
pub(in crate::compare) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max(p[index] * super::float((p.len() - rank) as u64)).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}
