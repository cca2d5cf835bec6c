//! What is wrong with a scenario, and where: collected while it is read and resolved, shown all at once.

use super::mask::masked;
use crate::units::{human_count, plural};
use std::fmt::{self, Write};

/// So many errors are shown: a file of another kind has thousands.
const SHOWN_MAX: usize = 25;

/// Where a key or value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// In the file, or on the command line.
    pub origin: Origin,
    /// The dotted path, as `--set` takes it: `fleet.meter.send.0.every`. Empty for the file itself.
    pub key: String,
}

impl Place {
    /// The place of a key below this one.
    #[must_use]
    pub fn below(&self, key: &str) -> Place {
        let key = if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) };
        Place { origin: self.origin.clone(), key }
    }
}

impl Default for Place {
    fn default() -> Place {
        Place { origin: Origin::File { line: 1, column: 1 }, key: String::new() }
    }
}

/// Who wrote a value. Ordered as errors are shown: the file from top to bottom, then the command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The scenario file; both numbers start at 1, columns count characters.
    File {
        /// The line.
        line: usize,
        /// The character in the line.
        column: usize,
    },
    /// `--set`, with the key it names. The value is left out: it could be a secret.
    Set(String),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong: a lowercase fragment.
    pub what: String,
    /// What was written.
    pub found: Option<String>,
    /// What may be written.
    pub allowed: Option<String>,
    /// The likely fix.
    pub fix: Option<String>,
}

impl Problem {
    /// Says what was written. Never call it for a secret.
    pub fn found(&mut self, found: impl Into<String>) -> &mut Problem {
        self.found = Some(found.into());
        self
    }

    /// Says what may be written.
    pub fn allowed(&mut self, allowed: impl Into<String>) -> &mut Problem {
        self.allowed = Some(allowed.into());
        self
    }

    /// Says what would probably help.
    pub fn fix(&mut self, fix: impl Into<String>) -> &mut Problem {
        self.fix = Some(fix.into());
        self
    }
}

/// Everything that is wrong with a scenario. Its `Display` is for a person and spans several lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    file: String,
    problems: Vec<Problem>,
}

impl Errors {
    /// No errors yet, for a file that will be shown under this name.
    #[must_use]
    pub fn new(file: &str) -> Errors {
        Errors { file: file.to_owned(), problems: Vec::new() }
    }

    /// The file's name.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Adds a problem; say more about it with what is returned.
    #[expect(clippy::missing_panics_doc, reason = "the vector was pushed to in the line above")]
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

    /// True while nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// What is wrong, in the order of the file.
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
        for problem in self.problems().into_iter().take(SHOWN_MAX) {
            out.push_str("\n\n");
            match &problem.place.origin {
                Origin::File { line, column } => write!(out, "{}:{line}:{column}: ", self.file)?,
                Origin::Set(key) => write!(out, "--set {key}: ")?,
            }
            if !problem.place.key.is_empty() {
                write!(out, "{}: ", problem.place.key)?;
            }
            out.push_str(&problem.what);
            let details = [("found", &problem.found), ("allowed", &problem.allowed), ("fix", &problem.fix)];
            for (label, text) in details {
                if let Some(text) = text {
                    write!(out, "\n    {:<9}{text}", format!("{label}:"))?;
                }
            }
        }
        if count > SHOWN_MAX {
            write!(out, "\n\nand {} more", human_count((count - SHOWN_MAX) as u64))?;
        }
        f.write_str(&masked(&out))
    }
}

impl std::error::Error for Errors {}

/// The candidate that was probably meant, if one is near enough.
#[must_use]
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = found.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_recognised_and_far_ones_are_not() {
        let keys = ["devices", "keep_alive", "qos"];
        assert_eq!(nearest("devcies", keys), Some("devices"));
        assert_eq!(nearest("keepAlive", keys), Some("keep_alive"));
        assert_eq!(nearest("QoS", keys), Some("qos"));
        assert_eq!(nearest("colour", keys), None);
    }

    #[test]
    fn errors_are_shown_in_the_order_of_the_file_and_the_command_line_comes_last() {
        let place = |line| Place { origin: Origin::File { line, column: 2 }, key: "a.b".into() };
        let mut errors = Errors::new("x.toml");
        errors.add(&Place { origin: Origin::Set("seed".into()), key: "seed".into() }, "third");
        errors.add(&place(9), "second").found("1").allowed("2").fix("3");
        errors.add(&place(3), "first");
        assert_eq!(
            errors.to_string(),
            "x.toml: 3 errors\n\nx.toml:3:2: a.b: first\n\nx.toml:9:2: a.b: second\n    found:   1\n    \
             allowed: 2\n    fix:     3\n\n--set seed: seed: third"
        );
    }

    #[test]
    fn of_thousands_of_errors_the_first_are_shown_and_the_rest_counted() {
        let shown = |count| {
            let mut errors = Errors::new("x.toml");
            for line in 1..=count {
                let place = Place { origin: Origin::File { line, column: 1 }, key: String::new() };
                errors.add(&place, "wrong");
            }
            errors.to_string()
        };
        assert!(shown(25).ends_with("x.toml:25:1: wrong"), "{}", shown(25));
        let many = shown(1_500);
        assert!(many.starts_with("x.toml: 1,500 errors\n"), "{many}");
        assert!(many.ends_with("x.toml:25:1: wrong\n\nand 1,475 more"), "{many}");
    }
}
