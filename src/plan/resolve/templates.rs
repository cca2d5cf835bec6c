//! Resolves templates for ids, topics and user names. Used by the other files in this folder.

use super::quoting::quoted;
use crate::plan::payload::{TEMPLATE_ALLOWED, Template};
use crate::scenario::{Errors, Written};
use std::fmt::Display;

pub(super) fn parse_template(written: &Written<String>, errors: &mut Errors) -> Option<Template> {
    match Template::parse(&written.value) {
        Ok(template) => Some(template),
        Err(error) => {
            let problem = errors.add(&written.place, template_error(&error, written.value == written.text));
            problem.found(quoted(&written.text)).allowed(TEMPLATE_ALLOWED);
            None
        }
    }
}

/// Returns the message for an invalid template. If `${env.NAME}` was replaced in the template, the invalid placeholder may be
/// part of a secret, so it is not repeated.
pub(super) fn template_error(error: &impl Display, as_written: bool) -> String {
    if as_written {
        return error.to_string();
    }
    "a placeholder is invalid after ${env.NAME} is replaced".to_owned()
}
