//! Judges a run and reports the result. Judging turns a [`Measurement`](crate::measure::Measurement) and its rules into a verdict with
//! reasons, threshold results and findings. Reporting turns a result file into JSON, an HTML page, a terminal summary, or
//! a format that another program reads. Read `judge/mod.rs` first, then `findings/mod.rs`, `text.rs`, `page/mod.rs` and
//! `formats/mod.rs`.
//!
//! `app` calls this room. It depends only on results and measurements, never on `fleet` or `emulator`. Every format is rendered from the
//! result file alone, so old results stay readable.

pub mod exit;

mod annotations;
mod banner;
mod capacity_plan;
mod charts;
mod comparison;
mod connected;
mod connects;
mod error_fix;
mod faults;
mod findings;
mod format;
mod formats;
mod from_hub;
mod history;
mod hub_view;
mod judge;
pub mod limits;
mod margin;
mod metric;
mod page;
mod recoveries;
mod search;
mod sources;
mod standing;
mod summary;
mod targets;
mod text;
mod width;

#[cfg(test)]
pub(crate) mod testing;

pub use crate::plan::in_json;
pub use annotations::{CiSystem, annotations, without_commands};
pub use capacity_plan::{
    assertion_words, html as capacity_page, markdown as capacity_markdown, text as capacity_text,
};
pub use comparison::{
    capacity_html as capacity_comparison_page, capacity_junit as capacity_comparison_junit,
    capacity_markdown as capacity_comparison_markdown, capacity_text as capacity_comparison_text,
    html as comparison_page, junit as comparison_junit, markdown as comparison_markdown,
};
pub use error_fix::{Connecting, connack_fix, dial_fix, error_fix};
pub use findings::TargetFacts;
pub use format::{plain, rate_text};
pub use formats::{Export, Format, names as format_names, unknown_extension};
pub use history::{
    Change, Group, History, HistoryInput, HistoryRun, Table, csv as history_csv, html as history_page,
    text as history_text,
};
pub use hub_view::{HubView, HubViewError};
pub use judge::{
    JudgeInput, Judgment, PhaseJudgment, failed_early, judge, judge_again, judge_phase, phase_has_failed,
};
pub use metric::Reading;
pub use page::{html, html_with_hub};
pub use search::{
    html as search_page, interval_text, junit as search_junit, level_text, markdown as search_markdown,
    text as search_text,
};
pub use text::{comparison_text, culprit, hub_text, text, text_with_hub, verdict_text};
pub use width::{Width, columns, cut, wrap, wrap_lines};

/// An error while rendering a result.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Writing a table failed.
    #[error("cannot write a table: {0}")]
    Csv(#[from] csv::Error),
    /// Writing the test cases failed.
    #[error("cannot write the test cases: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// Writing the histogram log failed.
    #[error("cannot write the histogram log: {0}")]
    Log(String),
    /// Serializing the result failed.
    #[error("cannot write the result as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Rendering the page's template failed.
    #[error("cannot render the page: {0}")]
    Page(#[from] askama::Error),
}

impl ReportError {
    fn log(error: &impl std::fmt::Display) -> ReportError {
        ReportError::Log(error.to_string())
    }
}
