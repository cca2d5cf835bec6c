//! Message payloads. A template, a size or a file comes in from the scenario and is parsed once; each message is rendered
//! into a buffer that the worker reuses. Start with `parts`, then `parse` and `render`. `template` is the simpler template
//! language for ids, topics and user names.
//!
//! Must not depend on topics, clocks or the rest of `plan`, except for recordings.

mod filler;
mod fixed;
mod json;
mod parse;
mod parts;
mod payload_file;
mod render;
mod stamp;
mod template;

pub use parse::PayloadError;
pub(super) use parse::{ALLOWED, PLACEHOLDERS};
pub use parts::{Payload, PayloadContext, PayloadState};
pub(super) use payload_file::Lines;
pub use stamp::Stamp;
pub(super) use template::ALLOWED as TEMPLATE_ALLOWED;
pub use template::{Template, TemplateContext, TemplateError};

#[cfg(test)]
mod tests;
