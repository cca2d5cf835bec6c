//! The verdict, the findings, and the formats of a result: JSON, the page and the terminal summary. Called by `app`.
//! Every format is rendered from the result file alone, so that a result of last year renders as well as one of this minute.

pub mod exit;

mod banner;
mod charts;
mod findings;
mod format;
mod from_hub;
mod judge;
mod margin;
mod page;
mod render;
mod sources;
mod summary;
mod text;

#[cfg(test)]
pub(crate) mod testing;

pub use findings::TargetFacts;
pub use judge::{JudgeInput, Judgment, failed_early, judge, judge_again};
pub use page::html;
pub use render::{Export, Format};
pub use text::{text, verdict_text};

/// A result that cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A chart cannot be drawn.
    #[error("chart cannot be drawn: {0}")]
    Chart(String),
    /// The result cannot be serialized.
    #[error("result cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The page's template failed.
    #[error("page cannot be rendered: {0}")]
    Page(#[from] askama::Error),
}

impl ReportError {
    fn chart(error: &impl std::fmt::Display) -> ReportError {
        ReportError::Chart(error.to_string())
    }
}
