//! Templates for ids, topics and user names, with `{index}`, `{index:05}` and `${device}`. Parsed once by `resolve`, rendered
//! once per device.

use std::fmt::{self, Write};

/// Text with placeholders for a device's id and index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Text as written.
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Device,
    Index { width: usize },
}

/// The device that a template is rendered for.
#[derive(Clone, Copy, Debug)]
pub struct TemplateContext<'a> {
    /// Device id.
    pub device: &'a str,
    /// Device index within its fleet, from 0.
    pub index: u32,
}

/// An invalid template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{` without `}`.
    #[error("a brace is not closed")]
    Unclosed,
    /// An unknown placeholder.
    #[error("unknown placeholder {0}")]
    Unknown(String),
}

/// Permitted placeholders, for error messages.
pub(in crate::plan) const ALLOWED: &str = "${device}, {index}, and {index:05} for leading zeros";

/// The maximum width of an index with leading zeros. Without them, an index has at most ten digits.
const WIDTH_MAX: usize = 20;

impl Template {
    /// Parses a template such as `meter-{index:05}`, `bench/${device}` or `${index}`.
    ///
    /// # Errors
    /// A placeholder is unknown, or a brace is not closed.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find('{') {
            let start = if rest[..brace].ends_with('$') { brace - 1 } else { brace };
            let end = brace + rest[brace..].find('}').ok_or(TemplateError::Unclosed)?;
            let placeholder = &rest[start..=end];
            if start > 0 {
                parts.push(Part::Literal(rest[..start].to_owned()));
            }
            parts.push(part(placeholder).ok_or_else(|| TemplateError::Unknown(placeholder.to_owned()))?);
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Template { text: text.to_owned(), parts })
    }

    /// Creates a template without placeholders.
    #[must_use]
    pub fn literal(text: &str) -> Template {
        Template { text: text.to_owned(), parts: vec![Part::Literal(text.to_owned())] }
    }

    /// Returns the text for one device.
    #[must_use]
    pub fn render(&self, names: &TemplateContext<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Device => out.push_str(names.device),
                Part::Index { width } => {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "{:0width$}", names.index);
                }
            }
        }
        out
    }

    /// Returns whether the text is the same for all devices.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// Returns whether the template contains `${device}`. The template for ids must not contain it.
    #[must_use]
    pub fn uses_device(&self) -> bool {
        self.parts.contains(&Part::Device)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn part(placeholder: &str) -> Option<Part> {
    match placeholder {
        "${device}" => return Some(Part::Device),
        "{index}" | "${index}" => return Some(Part::Index { width: 0 }),
        _ => {}
    }
    let width = placeholder.strip_prefix("{index:0")?.strip_suffix('}')?;
    let width = width.parse().ok().filter(|width| *width <= WIDTH_MAX)?;
    Some(Part::Index { width })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> Result<String, TemplateError> {
        Template::parse(text)
            .map(|template| template.render(&TemplateContext { device: "meter-7", index: 42 }))
    }

    #[test]
    fn placeholders_are_replaced() {
        for (text, rendered) in [
            ("meter-{index:05}", "meter-00042"),
            ("{index}", "42"),
            ("{index:01}", "42"),
            ("bench/${device}/x", "bench/meter-7/x"),
            ("${index}-${device}", "42-meter-7"),
            ("$$device}", "$$device}"),
            ("", ""),
            ("ä$", "ä$"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(rendered), "{text}");
            assert_eq!(Template::parse(text).unwrap().to_string(), text, "as written");
        }
    }

    #[test]
    fn unknown_placeholders_are_rejected() {
        for text in ["{device}", "${env}", "{}", "{index:5}", "{index:0}", "{index:099}", "a{b}c"] {
            assert!(matches!(render(text), Err(TemplateError::Unknown(_))), "{text}");
        }
        assert_eq!(render("{index"), Err(TemplateError::Unclosed));
    }
}
