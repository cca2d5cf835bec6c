//! Judges a run and reports the result. Judging turns a [`Measurement`](crate::measure::Measurement) and its rules into a verdict with
//! reasons, threshold results and findings. Reporting turns a result file into JSON, an HTML page or a terminal summary. Read
//! `judge/mod.rs` first, then `findings/mod.rs`, `text.rs` and `page/mod.rs`.
//!
//! `app` calls this room. It depends only on results and measurements, never on `fleet` or `emulator`. Every format is rendered from the
//! result file alone, so old results stay readable.

pub mod exit;

mod banner;
mod charts;
mod connected;
mod findings;
mod format;
mod from_hub;
mod judge;
mod margin;
mod page;
mod render;
mod sources;
mod standing;
mod summary;
mod text;
mod width;

#[cfg(test)]
pub(crate) mod testing;

pub use findings::TargetFacts;
pub use format::plain;
pub use judge::{JudgeInput, Judgment, failed_early, judge, judge_again};
pub use page::html;
pub use render::{Export, Format, names as format_names, unknown_extension};
pub use text::{culprit, text, verdict_text};
pub use width::{Width, columns, cut, wrap, wrap_lines};

/// An error while rendering a result.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Serializing the result failed.
    #[error("cannot write the result as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Rendering the page's template failed.
    #[error("cannot render the page: {0}")]
    Page(#[from] askama::Error),
}
