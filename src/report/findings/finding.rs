//! Creates a [`Finding`]. Used by every file in this folder. Independent of measurements.

use crate::result::model::{Finding, Severity};

/// Creates a finding.
pub(in crate::report) fn finding(
    severity: Severity,
    text: impl Into<String>,
    evidence: impl Into<String>,
) -> Finding {
    Finding { severity, text: text.into(), evidence: evidence.into() }
}
