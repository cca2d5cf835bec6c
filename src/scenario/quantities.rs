//! Reads values with a unit, a range or a fixed list of words: numbers, durations, rates, shares and choices. Used by `keys`. This file
//! must not depend on the format's keys.

use super::node::{Node, Value};
use super::reader::{Reader, quoted};
use super::suggestion::nearest;
use super::value::Written;
use crate::units::{self, Percent, Rate};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The longest duration that a scenario may contain: 100 days, far below the limits of the clocks.
pub const DURATION_MAX: Duration = Duration::from_secs(100 * 86_400);

impl Reader<'_> {
    /// Reads a whole number in a range.
    pub(super) fn integer<T>(&mut self, node: &Node, range: RangeInclusive<i64>) -> Option<Written<T>>
    where
        T: TryFrom<i64>,
    {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let Value::Integer(number) = node.value else {
            self.wrong_type(node, &allowed);
            return None;
        };
        let value = range.contains(&number).then(|| T::try_from(number).ok()).flatten();
        let Some(value) = value else {
            self.errors.add(&node.place, "out of range").found(number.to_string()).allowed(allowed);
            return None;
        };
        Some(Written { value, text: number.to_string(), place: node.place.clone() })
    }

    /// Reads a duration longer than zero.
    pub(super) fn duration(&mut self, node: &Node) -> Option<Duration> {
        let value = self.duration_or_zero(node)?;
        self.check_above_zero(node, value, units::EXPECTED_DURATION)
    }

    /// Reads a duration.
    pub(super) fn duration_or_zero(&mut self, node: &Node) -> Option<Duration> {
        let allowed = units::EXPECTED_DURATION;
        if let Value::Integer(number) = node.value {
            let problem = self.errors.add(&node.place, "a duration needs a unit");
            let fix = format!("did you mean \"{number}s\" or \"{number}ms\"?");
            problem.found(number.to_string()).allowed(allowed).fix(fix);
            return None;
        }
        let value = self.parse(node, allowed, units::parse_duration)?;
        self.check_not_too_long(node, value)
    }

    /// Reads a duration longer than zero, or `"never"`, which is `None`.
    pub(super) fn duration_or_never(&mut self, node: &Node) -> Option<Duration> {
        let allowed = "a duration such as 30s or 5m, or \"never\"";
        if let Value::Integer(_) = node.value {
            return self.duration(node);
        }
        let value = self.parse(node, allowed, |text| match text {
            "never" => Ok(None),
            text => units::parse_duration(text).map(Some),
        })?;
        let value = self.check_above_zero(node, value?, allowed)?;
        self.check_not_too_long(node, value)
    }

    fn check_above_zero(&mut self, node: &Node, value: Duration, allowed: &str) -> Option<Duration> {
        if value.is_zero() {
            self.invalid(node, "must be longer than zero", allowed);
            return None;
        }
        Some(value)
    }

    fn check_not_too_long(&mut self, node: &Node, value: Duration) -> Option<Duration> {
        if value > DURATION_MAX {
            self.invalid(node, "too long", "up to 100d");
            return None;
        }
        Some(value)
    }

    /// Reads a duration with a sign, such as `-3m` or `+6m`. Returns microseconds.
    pub(super) fn signed_duration_us(&mut self, node: &Node) -> Option<i64> {
        let signed_us = self.parse(node, units::EXPECTED_SIGNED, units::parse_signed_us)?;
        if signed_us.unsigned_abs() > u64::try_from(DURATION_MAX.as_micros()).unwrap_or(u64::MAX) {
            self.invalid(node, "too long", "from -100d to +100d");
            return None;
        }
        Some(signed_us)
    }

    /// Reads a rate.
    pub(super) fn rate(&mut self, node: &Node) -> Option<Rate> {
        self.parse(node, units::EXPECTED_RATE, Rate::from_str)
    }

    /// Reads a share of at most `most`, which is a fraction of 1.
    pub(super) fn percent(&mut self, node: &Node, most: f64) -> Option<Percent> {
        let most = Percent::from_fraction(most);
        let allowed = format!("a share from 0% to {most}, such as 85%");
        let value = self.parse(node, &allowed, Percent::from_str)?;
        if value > most {
            self.invalid(node, "out of range", &allowed);
            return None;
        }
        Some(value)
    }

    /// Reads a share or a linear change between two shares: `100%`, `0% -> 100%`.
    pub(super) fn change(&mut self, node: &Node, most: f64) -> Option<[f64; 2]> {
        let allowed = format!(
            "a share from 0% to {}, or a change from one share to another, such as 0% -> 100%",
            Percent::from_fraction(most)
        );
        let [from, to] = self.parse(node, &allowed, |text| {
            let (from, to) = text.split_once("->").unwrap_or((text, text));
            Ok::<_, units::UnitError>([
                from.parse::<Percent>()?.as_fraction(),
                to.parse::<Percent>()?.as_fraction(),
            ])
        })?;
        if from > most || to > most {
            self.invalid(node, "out of range", &allowed);
            return None;
        }
        Some([from, to])
    }

    /// Reads one of `words`. `later` lists words that a later version will support, each with its meaning.
    pub(super) fn choice<T: Copy>(
        &mut self,
        node: &Node,
        words: &[(&'static str, T)],
        later: &[(&str, &str)],
    ) -> Option<T> {
        let allowed = words.iter().map(|(word, _)| quoted(word)).collect::<Vec<_>>().join(", ");
        let text = self.string(node, &allowed)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        if let Some((word, what)) = later.iter().find(|(word, _)| *word == text.value) {
            self.errors.not_supported_yet(&node.place, &format!("{} ({what})", quoted(word)));
            return None;
        }
        let problem =
            self.errors.add(&node.place, "unknown value").found(quoted(&text.text)).allowed(allowed);
        if let Some(near) = nearest(&text.value, words.iter().map(|(word, _)| *word)) {
            problem.fix(format!("did you mean {}?", quoted(near)));
        }
        None
    }
}
