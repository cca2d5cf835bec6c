//! A comparison of results as Markdown and as a page. [`words`] puts numbers into words for both. Called by `app`. Uses only the comparison,
//! and for the charts one result of each side.

mod markdown;
mod page;
mod words;

pub use markdown::markdown;
pub use page::html;

#[cfg(test)]
mod tests;
