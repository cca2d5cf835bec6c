//! Makes a [`Finding`]. Used by all files of this folder.

use crate::result::model::{Finding, Severity};

pub(super) fn finding(severity: Severity, text: impl Into<String>, evidence: impl Into<String>) -> Finding {
    Finding { severity, text: text.into(), evidence: evidence.into() }
}
