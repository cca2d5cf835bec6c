//! A capacity result as text, Markdown, JUnit test cases and a page. [`words`] puts the answer into words for all of them. Called by `app`.
//! Uses only the capacity result.

mod junit;
mod level;
mod markdown;
mod page;
mod text;
mod words;

pub use junit::junit;
pub use level::{interval_text, level_text};
pub use markdown::markdown;
pub use page::html;
pub use text::text;
pub(super) use words::end_reason;

#[cfg(test)]
mod tests;
