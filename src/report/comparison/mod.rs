//! A comparison of runs, or of capacities, as text, as Markdown, as a page and as test cases. [`view`] puts both into the same words. Called by
//! `app`. Uses only the comparison, and for the charts one result of each side.

mod junit;
mod markdown;
mod page;
mod text;
mod view;
mod words;

pub use junit::{capacity_junit, junit};
pub use markdown::{capacity_markdown, markdown};
pub use page::{capacity_html, html};
pub use text::capacity_text;

#[cfg(test)]
mod tests;
