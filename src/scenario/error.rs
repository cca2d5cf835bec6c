//! The errors in a scenario, each with its place. `scenario` and `plan` collect all errors, so that the user sees them together. This file
//! must not depend on the format's keys.

use super::json_advice::in_json;
use super::mask::masked;
use crate::units::plural;
use std::fmt::{self, Write};

/// The maximum number of errors that are printed. A file that is not a scenario can have thousands.
const PRINTED_MAX: usize = 25;

/// The place of a key or value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Where the key or value is written: a position in the file, or a command line option.
    pub origin: Origin,
    /// Dotted key path in the form that `--set` uses: `fleet.meter.send.0.every`. Empty for the file itself.
    pub key: String,
}

impl Place {
    /// Returns the place of `key` in the table at this place.
    #[must_use]
    pub fn below(&self, key: &str) -> Place {
        let key = if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) };
        Place { origin: self.origin.clone(), key }
    }

    /// Returns the place as messages begin with it: `x.toml:3:7: fleet.meter.devices`, or `--set seed`.
    #[must_use]
    pub fn written(&self, file: &str) -> String {
        let origin = match &self.origin {
            Origin::File { line, column } => format!("{file}:{line}:{column}"),
            Origin::Set(key) => format!("--set {key}"),
        };
        // Most errors in an override are about the key that it names.
        let is_same = matches!(&self.origin, Origin::Set(key) if *key == self.key);
        if self.key.is_empty() || is_same { origin } else { format!("{origin}: {}", self.key) }
    }

    /// Returns the line in the scenario file, starting at 1. `None` for a value from the command line.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        match self.origin {
            Origin::File { line, .. } => u64::try_from(line).ok(),
            Origin::Set(_) => None,
        }
    }
}

impl Default for Place {
    fn default() -> Place {
        Place { origin: Origin::File { line: 1, column: 1 }, key: String::new() }
    }
}

/// The source of a value. Errors are printed in the order of sources: the file from top to bottom, then the command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The scenario file. Both numbers start at 1. Columns count characters.
    File {
        /// Line number.
        line: usize,
        /// Column number.
        column: usize,
    },
    /// A `--set` override, with its key but without its value, which could be a secret.
    Set(String),
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Place of the error.
    pub place: Place,
    /// Description, as a lowercase fragment.
    pub what: String,
    /// Text of the invalid value.
    pub found: Option<String>,
    /// Allowed values.
    pub allowed: Option<String>,
    /// Suggested fix.
    pub fix: Option<String>,
}

impl Problem {
    /// Sets the text of the invalid value. Do not call this for a secret.
    pub fn found(&mut self, found: impl Into<String>) -> &mut Problem {
        self.found = Some(found.into());
        self
    }

    /// Sets the allowed values.
    pub fn allowed(&mut self, allowed: impl Into<String>) -> &mut Problem {
        self.allowed = Some(allowed.into());
        self
    }

    /// Sets the suggested fix.
    pub fn fix(&mut self, fix: impl Into<String>) -> &mut Problem {
        self.fix = Some(fix.into());
        self
    }
}

/// All errors in a scenario. `Display` prints them for a person, on several lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    file: String,
    /// Whether the file is JSON, so that advice about it must be, too.
    pub(super) json: bool,
    problems: Vec<Problem>,
}

impl Errors {
    /// Returns an empty list for the named file.
    #[must_use]
    pub fn new(file: &str) -> Errors {
        Errors { file: file.to_owned(), json: false, problems: Vec::new() }
    }

    /// Returns the file's name.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Adds an error. The caller can add details to the returned [`Problem`].
    #[expect(clippy::missing_panics_doc, reason = "an element was pushed just before")]
    pub fn add(&mut self, place: &Place, what: impl Into<String>) -> &mut Problem {
        self.problems.push(Problem {
            place: place.clone(),
            what: what.into(),
            found: None,
            allowed: None,
            fix: None,
        });
        self.problems.last_mut().expect("just pushed")
    }

    /// Adds an error about a key or value that a later version will support.
    pub fn not_supported_yet(&mut self, place: &Place, what: &str) {
        self.add(place, format!("not supported yet: {what}"))
            .fix("remove it; a later version will support it");
    }

    /// Removes the error that `key` is missing from the table at `table`, because another error says which key was meant.
    pub(super) fn remove_missing(&mut self, table: &Place, key: &str) {
        let place = table.below(key);
        self.problems.retain(|problem| problem.place != place || !problem.what.starts_with("missing"));
    }

    /// Returns true if there are no errors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Returns the errors in file order.
    #[must_use]
    pub fn problems(&self) -> Vec<&Problem> {
        let mut problems: Vec<&Problem> = self.problems.iter().collect();
        problems.sort_by_key(|problem| &problem.place);
        problems
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let mut out = format!("{}: {}", self.file, plural(count as u64, "error", "errors"));
        for problem in self.problems().into_iter().take(PRINTED_MAX) {
            out.push_str("\n\n");
            write!(out, "{}: ", problem.place.written(&self.file))?;
            // The values of options are TOML in every scenario.
            let is_json = self.json && matches!(problem.place.origin, Origin::File { .. });
            let advice = |text: &String| if is_json { in_json(text) } else { text.clone() };
            out.push_str(&advice(&problem.what));
            let found = problem.found.as_ref().map(|found| match (is_json, found.as_str()) {
                (true, "a table") => "an object".to_owned(),
                _ => found.clone(),
            });
            let [allowed, fix] = [&problem.allowed, &problem.fix].map(|text| text.as_ref().map(advice));
            for (label, text) in [("found", found), ("allowed", allowed), ("fix", fix)] {
                if let Some(text) = text {
                    write!(out, "\n    {:<9}{text}", format!("{label}:"))?;
                }
            }
        }
        if count > PRINTED_MAX {
            write!(out, "\n\nand {}", plural((count - PRINTED_MAX) as u64, "more error", "more errors"))?;
        }
        f.write_str(&masked(&out))
    }
}

impl std::error::Error for Errors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_follow_the_file_then_the_command_line() {
        let place = |line| Place { origin: Origin::File { line, column: 2 }, key: "a.b".into() };
        let mut errors = Errors::new("x.toml");
        errors.add(&Place { origin: Origin::Set("seed".into()), key: "seed".into() }, "third");
        errors.add(&place(9), "second").found("1").allowed("2").fix("3");
        errors.add(&place(3), "first");
        assert_eq!(
            errors.to_string(),
            "x.toml: 3 errors\n\nx.toml:3:2: a.b: first\n\nx.toml:9:2: a.b: second\n    found:   1\n    \
             allowed: 2\n    fix:     3\n\n--set seed: third"
        );
    }

    #[test]
    fn only_the_first_errors_are_printed() {
        let printed = |count| {
            let mut errors = Errors::new("x.toml");
            for line in 1..=count {
                let place = Place { origin: Origin::File { line, column: 1 }, key: String::new() };
                errors.add(&place, "wrong");
            }
            errors.to_string()
        };
        assert!(printed(25).ends_with("x.toml:25:1: wrong"), "{}", printed(25));
        let many = printed(1_500);
        assert!(many.starts_with("x.toml: 1,500 errors\n"), "{many}");
        assert!(many.ends_with("x.toml:25:1: wrong\n\nand 1,475 more errors"), "{many}");
    }
}
