//! Reads values with a unit, a range or a fixed list of words: numbers, durations, rates, shares and choices. Used by `keys`. This file
//! must not depend on the format's keys.

use super::model::LoadSpec;
use super::node::{Node, Value};
use super::reader::{Reader, number_of, quoted, text_of};
use super::suggestion::{self, Meant, Suggested, meant};
use super::value::Written;
use crate::units::{self, Percent, Rate};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The longest duration that a scenario may contain: 100 days, far below the limits of the clocks.
pub const DURATION_MAX: Duration = Duration::from_secs(100 * 86_400);

/// The largest number of steps of a load. More steps are as good as a line.
const STEPS_MAX: u32 = 1000;

/// The speeds of a replay. Others are probably typos.
const SPEEDS: RangeInclusive<f64> = 0.001..=10_000.0;

impl Reader<'_> {
    /// Reads a whole number in a range.
    pub(super) fn integer<T>(&mut self, node: &Node, range: RangeInclusive<i64>) -> Option<Written<T>>
    where
        T: TryFrom<i64>,
    {
        let [least, most] = [range.start(), range.end()].map(|end| units::grouped(&end.to_string()));
        let allowed = format!("a whole number from {least} to {most}");
        let Value::Integer(number) = node.value else {
            let meant = meant_whole(node).filter(|number| range.contains(number));
            let quotes = if matches!(node.value, Value::String(_)) { ", without quotes" } else { "" };
            self.wrong_type(node, &allowed).fix =
                meant.map(|number| format!("did you mean {number}{quotes}?"));
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
        let suggest = |text: &str| meant_duration(node, text);
        let value = self.parse(node, units::EXPECTED_DURATION, units::parse_duration, suggest)?;
        self.check_not_too_long(node, value)
    }

    /// Reads a duration longer than zero, or `"never"`, which is `None`.
    pub(super) fn duration_or_never(&mut self, node: &Node) -> Option<Duration> {
        let allowed = "a duration such as 30s or 5m, or \"never\"";
        let parse = |text: &str| match text {
            "never" => Ok(None),
            text => units::parse_duration(text).map(Some),
        };
        let value = self.parse(node, allowed, parse, |text| meant_duration(node, text))?;
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
        let signed_us =
            self.parse(node, units::EXPECTED_SIGNED, units::parse_signed_us, suggestion::signed_duration)?;
        if signed_us.unsigned_abs() > u64::try_from(DURATION_MAX.as_micros()).unwrap_or(u64::MAX) {
            self.invalid(node, "too long", "from -100d to +100d");
            return None;
        }
        Some(signed_us)
    }

    /// Reads a rate.
    pub(super) fn rate(&mut self, node: &Node) -> Option<Rate> {
        self.parse(node, units::EXPECTED_RATE, Rate::from_str, meant_rate)
    }

    /// Reads a share of at most `most`, which is a fraction of 1.
    pub(super) fn percent(&mut self, node: &Node, most: f64) -> Option<Percent> {
        let most = Percent::from_fraction(most);
        let allowed = format!("a share from 0% to {most}, such as 85%");
        let suggest = |text: &str| {
            suggestion::share(text)
                .filter(|share| share.value.parse().is_ok_and(|share: Percent| share <= most))
        };
        let value = self.parse(node, &allowed, Percent::from_str, suggest)?;
        if value > most {
            self.invalid(node, "out of range", &allowed).fix(format!("use at most {most}"));
            return None;
        }
        Some(value)
    }

    /// Reads a bandwidth. Returns bits per second.
    pub(super) fn bits_per_s(&mut self, node: &Node) -> Option<u64> {
        self.parse(node, units::EXPECTED_BITS, units::parse_bits_per_s, meant_bits_per_s)
    }

    /// Reads a share of devices per time: `5%/1m`. Returns the fraction per second.
    pub(super) fn share_per_time(&mut self, node: &Node) -> Option<f64> {
        let allowed = "a share from 0% to 100% per time, such as 5%/1m";
        let parse = |text: &str| {
            let (share, time) = text.split_once('/')?;
            let share: Percent = share.parse().ok()?;
            let times = Rate::from_str(&format!("1/{time}")).ok()?;
            Some((share.as_fraction(), times.as_per_second()))
        };
        let (share, times_per_s) = self.parse(node, allowed, |text| parse(text).ok_or(""), |_| None)?;
        if share > 1.0 {
            self.invalid(node, "out of range", allowed)
                .fix("use a shorter time, such as 5%/1s instead of 300%/1m");
            return None;
        }
        Some(share * times_per_s)
    }

    /// Reads a share or a linear change between two shares: `100%`, `0% -> 100%`.
    pub(super) fn change(&mut self, node: &Node, most: f64) -> Option<[f64; 2]> {
        let allowed = format!(
            "a share from 0% to {}, or a change from one share to another, such as 0% -> 100%",
            Percent::from_fraction(most)
        );
        let (ends, _) = self.shares(node, most, &allowed, |text| Some((text, None)))?;
        Some(ends)
    }

    /// Reads a factor, a linear change or a change in steps: `200%`, `100% -> 300%`, `100% -> 300% in 10 steps`.
    pub(super) fn load(&mut self, node: &Node, most: f64) -> Option<LoadSpec> {
        let allowed = format!(
            "a share from 0% to {}, or a change from one share to another, such as 100% -> 300% or 100% -> 300% in 10 steps \
             (2 to {STEPS_MAX} steps)",
            Percent::from_fraction(most)
        );
        let (ends, steps) = self.shares(node, most, &allowed, split_steps)?;
        Some(LoadSpec { ends, steps })
    }

    /// Reads one or two shares. `split` separates the shares from the number of steps.
    fn shares(
        &mut self,
        node: &Node,
        most: f64,
        allowed: &str,
        split: impl Fn(&str) -> Option<(&str, Option<u32>)>,
    ) -> Option<([f64; 2], Option<u32>)> {
        let parse = |text: &str| {
            let (shares, steps) = split(text)?;
            let (from, to) = match (shares.split_once("->"), steps) {
                (Some(ends), _) => ends,
                (None, None) => (shares, shares),
                (None, Some(_)) => return None,
            };
            let share = |text: &str| text.parse::<Percent>().ok().map(Percent::as_fraction);
            Some(([share(from)?, share(to)?], steps))
        };
        let suggest = |text: &str| {
            suggestion::share_change(text, most > 1.0).filter(|meant| {
                parse(&meant.value).is_some_and(|(ends, _)| ends.iter().all(|end| *end <= most))
            })
        };
        if let Value::Array(ends) = &node.value {
            let ends: Vec<String> =
                ends.iter().filter_map(|end| text_of(end).or_else(|| number_of(end))).collect();
            self.wrong_type(node, allowed).fix = suggest(&ends.join(" -> ")).map(|meant| meant.fix());
            return None;
        }
        let (ends, steps) = self.parse(node, allowed, |text| parse(text).ok_or(""), suggest)?;
        if ends.iter().any(|end| *end > most) {
            self.invalid(node, "out of range", allowed);
            return None;
        }
        Some((ends, steps))
    }

    /// Reads the speed of a replay: a number above zero with an x, such as `2x`.
    pub(super) fn speed(&mut self, node: &Node) -> Option<f64> {
        let allowed = "a number above zero with an x, such as 2x or 0.5x";
        let parse = |text: &str| {
            let number = text.trim().strip_suffix('x')?.trim_end();
            let is_decimal = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            number.parse::<f64>().ok().filter(|speed| is_decimal && *speed > 0.0)
        };
        let suggest = |text: &str| suggestion::speed(text).filter(|meant| parse(&meant.value).is_some());
        let speed = self.parse(node, allowed, |text| parse(text).ok_or(""), suggest)?;
        if !SPEEDS.contains(&speed) {
            self.invalid(node, "not a speed for a replay", "from 0.001x to 10000x");
            return None;
        }
        Some(speed)
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
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        if let Some(Meant::Word(word)) = meant(&text.value, &words) {
            problem.fix(format!("did you mean {}?", quoted(word)));
        } else if let Some(word) = words.first() {
            problem.fix(format!("use {}, or another of the allowed values", quoted(word)));
        }
        None
    }
}

/// Separates a number of steps from the shares before it: `100% -> 300% in 10 steps`. `None` if the number is not allowed.
fn split_steps(text: &str) -> Option<(&str, Option<u32>)> {
    let Some(counted) = text.trim_end().strip_suffix(" steps") else { return Some((text, None)) };
    let (shares, count) = counted.rsplit_once(" in ")?;
    let is_plain = count.starts_with(|first: char| matches!(first, '1'..='9'));
    let steps = count.parse().ok().filter(|steps| is_plain && (2..=STEPS_MAX).contains(steps))?;
    Some((shares, Some(steps)))
}

/// Returns the whole number that a string or a float probably means. For the key `size`, it may have a unit.
fn meant_whole(node: &Node) -> Option<i64> {
    let text = text_of(node).or_else(|| number_of(node))?;
    if node.place.key.ends_with(".size") {
        suggestion::bytes_or_count(&text)
    } else {
        suggestion::whole_number(&text)
    }
}

/// Returns the fix for a rate. A duration belongs to `every`.
fn meant_rate(text: &str) -> Option<Suggested> {
    suggestion::rate(text).or_else(|| {
        let every = suggestion::duration(text)?;
        Some(Suggested::instead(format!("write every = {:?}, which is for each device", every.value)))
    })
}

/// Returns the fix for a bandwidth with another spelling of its unit: `250kbps`.
fn meant_bits_per_s(text: &str) -> Option<Suggested> {
    let lower = text.trim().to_ascii_lowercase();
    let spellings = [("kbps", "kbit/s"), ("kb/s", "kbit/s"), ("kbit", "kbit/s"), ("kbit/s", "kbit/s")];
    let spellings =
        spellings.into_iter().chain([("mbps", "Mbit/s"), ("mbit", "Mbit/s"), ("mbit/s", "Mbit/s")]);
    let meant = |(spelling, unit)| Some(format!("{}{unit}", lower.strip_suffix(spelling)?.trim_end()));
    let mut meant = spellings.filter_map(meant);
    meant
        .find(|text| units::parse_bits_per_s(text).is_ok())
        .map(|text| Suggested::instead(format!("did you mean {text:?}?")))
}

/// Returns the fix for a duration. A rate in `every` belongs to `rate`, and the SDKs give lifetimes and keep-alives in seconds.
fn meant_duration(node: &Node, text: &str) -> Option<Suggested> {
    let key = |name: &str| node.place.key.ends_with(name);
    if key(".every") && text.contains('/') {
        let rate = suggestion::rate(text)?;
        return Some(Suggested::instead(format!(
            "write rate = {:?}, which is for the whole fleet",
            rate.value
        )));
    }
    match text.trim().parse::<u32>() {
        Ok(seconds) if key(".ttl") || key(".keep_alive") => Some(suggestion::seconds(seconds)),
        _ => suggestion::duration(text),
    }
}
