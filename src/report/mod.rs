//! The verdict, what else a reader should know, and the faces of a result: the terminal summary and the page.
//! Called by `app`. The faces are made from the result file alone and know nothing of how it came about, so that
//! a result of last year renders as well as the one of this minute.

pub mod exit;

mod bounds;
mod cause;
mod charts;
mod closings;
mod findings;
mod format;
mod from_hub;
mod html;
mod judge;
mod margin;
mod offered;
mod reason;
mod summary;
mod text;
mod threshold;
mod unseen;

#[cfg(test)]
mod testing;

pub use html::html;
pub use judge::{Judge, Judged, judge, judge_again};
pub use text::text;

/// A result that cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A chart cannot be drawn.
    #[error("chart cannot be drawn: {0}")]
    Chart(String),
    /// The page's template failed.
    #[error("page cannot be rendered: {0}")]
    Page(#[from] askama::Error),
}

impl ReportError {
    fn chart(error: &impl std::fmt::Display) -> ReportError {
        ReportError::Chart(error.to_string())
    }
}
