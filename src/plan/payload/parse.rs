//! Parses payload templates: `{"id":"${device}","kwh":${walk(start=1200, step=0.4, min=0)}}`. Called by `resolve`.

use super::fixed::{Fixed, FixedRange};
use super::parts::{Part, Payload};

/// An invalid payload template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// `${` without `}`.
    #[error("${{ is not closed")]
    Unclosed,
    /// A placeholder without a brace, before this text.
    #[error("${{{0} is not closed before the comma")]
    Comma(String),
    /// An unknown placeholder.
    #[error("unknown placeholder ${{{0}}}")]
    Unknown(String),
    /// An argument that is missing, unknown or not a number.
    #[error("${{{placeholder}}}: {what}")]
    Argument {
        /// Placeholder as written.
        placeholder: String,
        /// Description of the problem.
        what: String,
        /// The placeholder that was probably meant.
        meant: Option<String>,
    },
}

impl PayloadError {
    /// Returns the name in the placeholder, if any.
    #[must_use]
    pub fn placeholder(&self) -> Option<&str> {
        match self {
            PayloadError::Unknown(text) | PayloadError::Argument { placeholder: text, .. } => {
                Some(text.split('(').next().unwrap_or(text).trim())
            }
            PayloadError::Unclosed | PayloadError::Comma(_) => None,
        }
    }

    /// Returns the placeholder that was probably meant, such as `${uniform(min=1, max=10)}` for `${uniform(1,10)}`.
    #[must_use]
    pub fn meant(&self) -> Option<String> {
        match self {
            PayloadError::Comma(name) => Some(format!("${{{name}}}")),
            PayloadError::Argument { meant, .. } => meant.clone(),
            PayloadError::Unclosed | PayloadError::Unknown(_) => None,
        }
    }
}

/// Names of all placeholders, for error messages.
pub(in crate::plan) const PLACEHOLDERS: [&str; 8] =
    ["device", "index", "seq", "now", "uptime", "stamp", "uniform", "walk"];

/// Permitted placeholders, for error messages.
pub(in crate::plan) const ALLOWED: &str = "${device}, ${index}, ${seq}, ${now}, ${uptime}, ${stamp}, ${uniform(min=0, \
                                  max=1.0)}, ${walk(start=20.0, step=0.5, min=0, max=40)}";

impl Payload {
    /// Parses a template such as `{"id":"${device}","kwh":${walk(start=1200, step=0.4, min=0)}}`. Numbers have as many decimals
    /// as the most precise argument.
    ///
    /// # Errors
    /// A placeholder or an argument is invalid.
    pub fn template(text: &str) -> Result<Payload, PayloadError> {
        let mut payload = Payload::empty();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let end = start + rest[start..].find('}').ok_or(PayloadError::Unclosed)?;
            if start > 0 {
                payload.parts.push(Part::Literal(rest.as_bytes()[..start].to_vec()));
            }
            let part = payload.placeholder(rest[start + 2..end].trim())?;
            payload.parts.push(part);
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            payload.parts.push(Part::Literal(rest.as_bytes().to_vec()));
        }
        Ok(payload)
    }

    fn placeholder(&mut self, text: &str) -> Result<Part, PayloadError> {
        // The next brace may belong to the JSON around: `{"t":${now, "d":1}`.
        if let Some((name, _)) = text.split_once(',')
            && PLACEHOLDERS.contains(&name.trim())
        {
            return Err(PayloadError::Comma(name.trim().to_owned()));
        }
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.strip_suffix(')')),
            None => (text, Some("")),
        };
        let arguments =
            Arguments::parse(text, arguments.ok_or_else(|| PayloadError::Unknown(text.to_owned()))?)?;
        match name {
            "device" => arguments.none(Part::Device),
            "index" => arguments.none(Part::Index),
            "seq" => arguments.none(Part::Seq),
            "now" => {
                self.has_now = true;
                arguments.none(Part::Now)
            }
            "uptime" => arguments.none(Part::Uptime),
            "stamp" => arguments.none(Part::Stamp),
            "uniform" => {
                let digits = arguments.only(&["min", "max"])?;
                let (min, max) = (arguments.require("min")?.at(digits), arguments.require("max")?.at(digits));
                Ok(Part::Uniform(arguments.range(min, max, digits)?))
            }
            "walk" => {
                let digits = arguments.only(&["start", "step", "min", "max"])?;
                let (start, step) =
                    (arguments.require("start")?.at(digits), arguments.require("step")?.at(digits));
                let bound = |name, otherwise| arguments.get(name).map_or(otherwise, |fixed| fixed.at(digits));
                // The default bounds are half the range of `i64`, so a walk without explicit bounds stays far from an overflow.
                let range =
                    arguments.range(bound("min", i64::MIN / 2), bound("max", i64::MAX / 2), digits)?;
                if step < 0 || start < range.min || start > range.max {
                    return Err(
                        arguments.wrong("start must be between min and max, and step must not be negative")
                    );
                }
                self.walks += 1;
                Ok(Part::Walk { slot: self.walks - 1, start, step, range })
            }
            _ => Err(PayloadError::Unknown(text.to_owned())),
        }
    }
}

/// The `name=number` arguments of one placeholder.
struct Arguments<'a> {
    placeholder: &'a str,
    pairs: Vec<(&'a str, Fixed)>,
}

impl<'a> Arguments<'a> {
    fn parse(placeholder: &'a str, text: &'a str) -> Result<Arguments<'a>, PayloadError> {
        let mut arguments = Arguments { placeholder, pairs: Vec::new() };
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let number =
                pair.split_once('=').map(|(name, number)| (name.trim(), Fixed::parse(number.trim())));
            let Some((name, Some(number))) = number else {
                let what = format!("{pair:?} is not name=number (at most 9 decimals)");
                let (placeholder, meant) = (placeholder.to_owned(), named(placeholder, text));
                return Err(PayloadError::Argument { placeholder, what, meant });
            };
            arguments.pairs.push((name, number));
        }
        Ok(arguments)
    }

    fn wrong(&self, what: &str) -> PayloadError {
        PayloadError::Argument {
            placeholder: self.placeholder.to_owned(),
            what: what.to_owned(),
            meant: None,
        }
    }

    fn none(&self, part: Part) -> Result<Part, PayloadError> {
        self.only(&[]).map(|_| part)
    }

    /// Rejects arguments that are not in `known`. Returns the number of decimals in the most precise argument.
    fn only(&self, known: &[&str]) -> Result<u8, PayloadError> {
        for (name, _) in &self.pairs {
            if !known.contains(name) {
                return Err(self.wrong(&format!("unknown argument {name:?}")));
            }
        }
        Ok(self.pairs.iter().map(|(_, fixed)| fixed.digits).max().unwrap_or(0))
    }

    fn get(&self, name: &str) -> Option<Fixed> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, fixed)| *fixed)
    }

    fn require(&self, name: &str) -> Result<Fixed, PayloadError> {
        self.get(name).ok_or_else(|| self.wrong(&format!("{name} is missing")))
    }

    fn range(&self, min: i64, max: i64, digits: u8) -> Result<FixedRange, PayloadError> {
        if min > max {
            Err(self.wrong("min is greater than max"))
        } else {
            Ok(FixedRange { min, max, digits })
        }
    }
}

/// Returns a placeholder whose arguments are only numbers with their names, in the order in which messages show them.
fn named(placeholder: &str, arguments: &str) -> Option<String> {
    let name = placeholder.split('(').next()?.trim();
    let names: &[&str] = match name {
        "uniform" => &["min", "max"],
        "walk" => &["start", "step", "min", "max"],
        _ => return None,
    };
    let numbers: Vec<&str> = arguments.split(',').map(str::trim).collect();
    let are_numbers = numbers.len() <= names.len() && numbers.iter().all(|text| Fixed::parse(text).is_some());
    let pairs: Vec<String> =
        names.iter().zip(&numbers).map(|(name, number)| format!("{name}={number}")).collect();
    (are_numbers && numbers.len() >= 2).then(|| format!("${{{name}({})}}", pairs.join(", ")))
}
