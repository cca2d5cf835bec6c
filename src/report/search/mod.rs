//! A capacity result as text, Markdown, JUnit test cases and a page. [`words`] puts the answer into words for all of them. Called by `app`.
//! Uses only the capacity result.

mod comparison;
mod junit;
mod markdown;
mod page;
mod text;
mod words;

pub use comparison::comparison;
pub use junit::junit;
pub use markdown::markdown;
pub use page::html;
pub use text::text;

#[cfg(test)]
mod tests;
