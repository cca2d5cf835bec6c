//! The batches of one operation, fleet and phase in a file: one list per number, and all histograms deflated together. This takes half
//! of the space of one object per batch, which files from earlier versions contain. Used by `batches` only.

use super::super::hdr;
use super::super::latency::Latency;
use super::super::operation::Outcome;
use super::{BATCHES_MAX, Batch, Batches};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The operations of one operation, fleet and phase in batches of equal length, by due time. The n-th entry of each list belongs to the
/// batch that starts at `start_us` + n * `length_us`. Merging is exact: the batches add up to the totals.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Batches")]
pub(super) struct Columns {
    /// Start of the first batch: the second that contains the start of the phase.
    start_us: u64,
    /// Length of a batch: whole seconds. The last batch may end after its phase.
    length_us: u64,
    /// Number of operations that were due in each batch.
    #[serde(default)]
    due: Vec<u64>,
    /// Number of these operations by outcome, whenever they ended. Outcomes without operations are left out.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Vec<u64>>")]
    outcomes: BTreeMap<Outcome, Vec<u64>>,
    /// Response times of these operations that ended ok: for each batch with an ok operation, its histogram (HdrHistogram V2, not
    /// compressed), one after the other; together deflated, base64. They have two significant digits, or one in results with many
    /// batches. Left out if no operation ended ok.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    histograms: String,
    /// The batches in files from earlier versions. Batches without operations are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    list: Vec<Batch>,
}

/// Why batches in a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ColumnsError {
    /// A list is too long, or shorter than another one.
    #[error("the lists of batches differ in length, or have more than {BATCHES_MAX} entries")]
    Lengths,
    /// The times are out of range.
    #[error("the batches have no possible times")]
    Times,
    /// There are more or fewer histograms than batches with an ok operation.
    #[error("the number of histograms differs from the number of batches with ok operations")]
    Histograms,
    /// A histogram is damaged.
    #[error(transparent)]
    Decode(#[from] hdr::DecodeError),
}

impl From<Batches> for Columns {
    fn from(batches: Batches) -> Columns {
        let Batches { start_us, length_us, list } = batches;
        let index = |batch: &Batch| usize::try_from((batch.t_us - start_us) / length_us.max(1));
        let mut columns = Columns { start_us, length_us, ..Columns::default() };
        let length = list.last().and_then(|last| index(last).ok()).map_or(0, |last| last + 1);
        columns.due.resize(length, 0);
        for batch in &list {
            let Ok(index) = index(batch) else { continue };
            columns.due[index] = batch.due;
            for (outcome, count) in batch.outcomes.iter() {
                columns.outcomes.entry(outcome).or_insert_with(|| vec![0; length])[index] = count;
            }
        }
        let histograms = list.iter().filter_map(|batch| batch.response.histogram());
        columns.histograms = hdr::encode_all(histograms);
        columns
    }
}

impl TryFrom<Columns> for Batches {
    type Error = ColumnsError;

    fn try_from(columns: Columns) -> Result<Batches, ColumnsError> {
        let Columns { start_us, length_us, due, outcomes, histograms, list } = columns;
        if due.is_empty() {
            return Ok(Batches { start_us, length_us, list });
        }
        if due.len() as u64 > BATCHES_MAX || outcomes.values().any(|counts| counts.len() != due.len()) {
            return Err(ColumnsError::Lengths);
        }
        // The sums below cannot overflow.
        if length_us == 0 || start_us.max(length_us) > hdr::HIGHEST_US_MAX {
            return Err(ColumnsError::Times);
        }
        let mut list: Vec<Batch> = (0..)
            .zip(due)
            .map(|(index, due)| Batch { t_us: start_us + index * length_us, due, ..Batch::default() })
            .collect();
        for (outcome, counts) in outcomes {
            list.iter_mut().zip(counts).for_each(|(batch, count)| batch.outcomes[outcome] = count);
        }
        let mut decoded = hdr::decode_all(&histograms)?.into_iter();
        let with_ok = list.iter_mut().filter(|batch| batch.outcomes[Outcome::Ok] > 0);
        for batch in with_ok {
            batch.response = Latency::from(decoded.next().ok_or(ColumnsError::Histograms)?);
        }
        if decoded.next().is_some() {
            return Err(ColumnsError::Histograms);
        }
        list.retain(|batch| !batch.is_empty());
        Ok(Batches { start_us, length_us, list })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::latency::Pool;
    use proptest::prelude::*;

    fn batch(t_us: u64, due: u64, latencies_us: &[u64]) -> Batch {
        let mut pool = Pool::new(2, 60_000_000);
        let mut batch = Batch { t_us, due, ..Batch::default() };
        for us in latencies_us {
            batch.outcomes[Outcome::Ok] += 1;
            batch.response.record(*us, &mut pool);
        }
        batch.outcomes[Outcome::Lost] = due.saturating_sub(batch.outcomes[Outcome::Ok]);
        batch
    }

    proptest! {
        #[test]
        fn batches_are_read_as_they_were_written(
            batches in prop::collection::btree_map(0..64_u64, prop::collection::vec(1..50_000_000_u64, 0..40), 0..64),
            length_s in 1..100_u64,
            lost in 1..5_u64,
        ) {
            let (start_us, length_us) = (7_000_000, length_s * 1_000_000);
            let list = batches.iter().map(|(index, latencies)| {
                batch(start_us + index * length_us, latencies.len() as u64 + lost, latencies)
            });
            let batches = Batches { start_us, length_us, list: list.collect() };
            let json = serde_json::to_string(&batches).unwrap();
            prop_assert_eq!(serde_json::from_str::<Batches>(&json).unwrap(), batches);
        }
    }

    #[test]
    fn batches_of_earlier_versions_are_read() {
        let batches =
            Batches { start_us: 0, length_us: 1_000_000, list: vec![batch(1_000_000, 3, &[5, 900])] };
        let list = serde_json::to_value(&batches.list).unwrap();
        let json = serde_json::json!({"start_us": 0, "length_us": 1_000_000, "list": list});
        assert_eq!(serde_json::from_value::<Batches>(json).unwrap(), batches);
    }

    #[test]
    fn impossible_batches_are_refused() {
        let list = vec![batch(0, 2, &[5]), batch(1_000_000, 2, &[7, 8])];
        let batches = Batches { start_us: 0, length_us: 1_000_000, list };
        let good = serde_json::to_value(&batches).unwrap();
        let fails = |key: &str, value: serde_json::Value, expected: &str| {
            let mut json = good.clone();
            json[key] = value;
            let error = serde_json::from_value::<Batches>(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{key}: {error}");
        };
        fails("due", vec![1; 65].into(), "differ in length");
        fails("outcomes", serde_json::json!({"ok": [1]}), "differ in length");
        fails("outcomes", serde_json::json!({"ok": [1, 0]}), "the number of histograms");
        fails("histograms", "".into(), "the number of histograms");
        fails("histograms", "x".into(), "base64");
        fails("length_us", 0.into(), "possible times");
        fails("start_us", (1_u64 << 60).into(), "possible times");
    }
}
