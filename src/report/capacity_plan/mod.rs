//! A capacity plan as text, as Markdown and as a page. [`words`] puts numbers into words for all of them. Called by `app`. Uses only the plan.

mod markdown;
mod page;
mod text;
pub(super) mod words;

pub use markdown::markdown;
pub use page::html;
pub use text::text;
pub use words::assertion_words;

#[cfg(test)]
mod tests;
