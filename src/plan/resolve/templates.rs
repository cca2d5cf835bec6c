//! Resolves templates for ids, topics and user names. Used by the other files in this folder.

use super::quoting::quoted;
use crate::plan::payload::{TEMPLATE_ALLOWED, Template, TemplateError};
use crate::scenario::{Errors, Meant, Place, Written, meant};
use std::fmt::Display;

pub(super) fn parse_template(written: &Written<String>, errors: &mut Errors) -> Option<Template> {
    match Template::parse(&written.value) {
        Ok(template) => Some(template),
        Err(error) => {
            let as_written = written.value == written.text;
            let problem = errors.add(&written.place, template_error(&error, as_written));
            problem.found(quoted(&written.text)).allowed(TEMPLATE_ALLOWED);
            problem.fix = match error {
                TemplateError::Unknown(placeholder) if as_written => {
                    meant_placeholder(&placeholder, &written.place)
                        .map(|meant| format!("did you mean {meant}?"))
                }
                TemplateError::Unknown(_) | TemplateError::Unclosed => None,
            };
            None
        }
    }
}

/// Returns the placeholder of a template that `found` probably means, such as `{index:05}` for `{i:5}`. An id has no `${device}`.
fn meant_placeholder(found: &str, place: &Place) -> Option<String> {
    let inner = found.trim_matches(['$', '{', '}', '_', ' ']);
    let (name, width) = inner.split_once(':').unwrap_or((inner, ""));
    let name = name.split('(').next().unwrap_or(name).trim();
    let allowed: &[&str] = if place.key.ends_with(".id") { &["index"] } else { &["device", "index"] };
    let width: String = width.chars().filter(char::is_ascii_digit).collect();
    match (meant(name, allowed)?, width.trim_start_matches('0')) {
        (Meant::Word("device"), _) => Some("${device}".to_owned()),
        (_, "") => Some("{index}".to_owned()),
        (_, width) => Some(format!("{{index:0{width}}}")),
    }
}

/// Replaces the placeholders of emqtt-bench and of printf by those of a template: `%i` and `%05d` by `{index}` and `{index:05}`, and `%c` by
/// `${device}`. Returns `None` if there are none.
pub(super) fn from_printf(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        // A number without a leading zero, as in %20, is probably an encoded character. So is a letter before a hexadecimal digit, as in
        // %dF.
        let width = after[..end].strip_prefix('0').unwrap_or(if end == 0 { "" } else { "x" });
        let mut letters = after[end..].chars();
        let letter = letters.next().filter(|_| !letters.next().is_some_and(|c| c.is_ascii_hexdigit()));
        match (letter, width) {
            (Some('i' | 'd'), "") => out.push_str("{index}"),
            (Some('i' | 'd'), width) if width != "x" => out += &format!("{{index:0{width}}}"),
            (Some('c' | 'u'), "") => out.push_str("${device}"),
            _ => {
                out.push('%');
                rest = after;
                continue;
            }
        }
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    (out != text).then_some(out)
}

/// Returns the message for an invalid template. If `${env.NAME}` was replaced in the template, the invalid placeholder may be
/// part of a secret, so it is not repeated.
pub(super) fn template_error(error: &impl Display, as_written: bool) -> String {
    if as_written {
        return error.to_string();
    }
    "a placeholder is invalid after ${env.NAME} is replaced".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printf_placeholders_are_replaced() {
        for (text, expected) in [
            ("dev-%i", Some("dev-{index}")),
            ("dev-%05d", Some("dev-{index:05}")),
            ("bench/%c/%i", Some("bench/${device}/{index}")),
            ("100%", None),
            ("a%2Fb", None),
            ("a%20day/%c3%d0", None),
            ("%%", None),
            ("plain", None),
        ] {
            assert_eq!(from_printf(text).as_deref(), expected, "{text}");
        }
    }
}
