//! The outcome of comparing a metric: a row of the table, and findings. Created by `compare` and `signs`.

use super::timeline::{Shown, Time};
use super::words;
use crate::report::findings::finding;
use crate::result::model::{Finding, Severity};

/// The outcome of comparing a metric.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    /// Metric, hubstorm's number, the hub's number, and the difference.
    pub(super) row: [String; 4],
    pub(super) agrees: bool,
    pub(super) findings: Vec<Finding>,
}

impl Comparison {
    pub(super) fn new(shown: &Shown, ours: String, hub: String, difference: String) -> Comparison {
        let difference = words::with_missing(difference, shown);
        let row = [words::name(shown.metric).to_owned(), ours, hub, difference];
        Comparison { row, agrees: false, findings: Vec::new() }
    }

    pub(super) fn agreeing(self) -> Comparison {
        Comparison { agrees: true, ..self }
    }

    pub(super) fn with(
        self,
        severity: Severity,
        text: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Comparison {
        Comparison { findings: vec![finding(severity, text, evidence)], ..self }
    }
}

/// Returns a stretch of time in words: `10:02 to 10:05 UTC`.
pub(super) fn stretch(stretches: &[[i64; 2]], time: Time) -> String {
    let (from, to) =
        (stretches.first().map_or(0, |[from, _]| *from), stretches.last().map_or(0, |[_, to]| *to));
    format!("{} to {} UTC", time.clock(from), time.clock(to))
}
