//! "Did you mean" for values with a unit: reads durations, rates, shares and sizes as other tools write them, and returns them as a scenario
//! writes them. Used by `quantities` and by `plan`, only for the fix in an error.

use crate::units::{self, Percent};
use std::time::Duration;

/// The value that the user probably meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggested {
    /// The value as a scenario writes it, without quotes.
    pub value: String,
    /// How the text was read, if the value alone does not show it.
    pub why: Option<String>,
    /// The whole fix, if another key is needed.
    instead: Option<String>,
}

impl Suggested {
    pub(in crate::scenario) fn new(value: impl Into<String>) -> Suggested {
        Suggested { value: value.into(), ..Suggested::default() }
    }

    /// Creates a suggestion that is not a value for the same key.
    pub(in crate::scenario) fn instead(fix: String) -> Suggested {
        Suggested { instead: Some(fix), ..Suggested::default() }
    }

    /// Returns the text of a fix: `did you mean "15s"? 15000 has no unit: 15000 ms = 15s`.
    #[must_use]
    pub fn fix(&self) -> String {
        if let Some(instead) = &self.instead {
            return instead.clone();
        }
        let why = self.why.as_ref().map_or_else(String::new, |why| format!(" {why}"));
        format!("did you mean {:?}?{why}", self.value)
    }
}

/// The names of the units of time, with hubstorm's name first.
const TIME_UNITS: [&[&str]; 6] = [
    &["us", "µs", "μs", "usec", "usecs", "microsecond", "microseconds"],
    &["ms", "msec", "msecs", "milli", "millis", "millisecond", "milliseconds"],
    &["s", "sec", "secs", "second", "seconds"],
    &["m", "min", "mins", "minute", "minutes"],
    &["h", "hr", "hrs", "hour", "hours"],
    &["d", "day", "days"],
];

/// Nouns that users put between a number and `/s`.
const COUNTED: [&str; 12] = [
    "",
    "msg",
    "msgs",
    "message",
    "messages",
    "req",
    "reqs",
    "requests",
    "events",
    "calls",
    "publishes",
    "ops",
];

/// Abbreviations of "per second".
const PER_SECOND: [&str; 5] = ["rps", "qps", "tps", "mps", "hz"];

fn time_unit(name: &str) -> Option<&'static str> {
    TIME_UNITS.into_iter().find(|names| names.contains(&name)).map(|names| names[0])
}

/// Returns the duration that `text` probably means. A number without a unit is seconds, or milliseconds from 100 on unless it is whole
/// minutes (300) and not whole seconds in milliseconds (60000).
#[must_use]
pub fn duration(text: &str) -> Option<Suggested> {
    let lower = text.trim().to_lowercase();
    if let Some(value) = lower.strip_prefix('-').filter(|value| !value.starts_with('-')) {
        let parsed = units::parse_duration(value).map(units::written_duration).ok();
        let value = parsed.or_else(|| duration(value).map(|meant| meant.value))?;
        let why = Some("a duration cannot be negative".to_owned());
        return Some(Suggested { value, why, instead: None });
    }
    if let Some((Some(number), "")) = split_number(&lower) {
        let as_ms = number >= 100.0 && (number % 60.0 != 0.0 || number % 1_000.0 == 0.0);
        return unitless(&lower, number, as_ms);
    }
    let total = iso_duration(&lower).or_else(|| clock_time(&lower)).or_else(|| units_of_time(&lower))?;
    Some(Suggested::new(units::written_duration(total)))
}

/// Parses a duration from the command line. The error names the duration that the text probably means.
///
/// # Errors
/// Returns the message if the text is not a duration.
pub fn typed_duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).map_err(|error| match duration(text) {
        Some(meant) => format!("{error}; did you mean {}?", meant.value),
        None => error.to_string(),
    })
}

fn unitless(text: &str, number: f64, as_ms: bool) -> Option<Suggested> {
    let (unit, seconds) = if as_ms { ("ms", number / 1_000.0) } else { ("s", number) };
    let value = units::written_duration(Duration::try_from_secs_f64(seconds).ok()?);
    let plain = value == format!("{text}{unit}") || text.contains(['.', ',']);
    let why = (!plain).then(|| format!("{text} has no unit: {text} {unit} = {value}"));
    Some(Suggested { value, why, instead: None })
}

/// Returns the duration for a number of seconds without a unit.
pub(in crate::scenario) fn seconds(number: u32) -> Suggested {
    let value = units::written_duration(Duration::from_secs(number.into()));
    let why = (value != format!("{number}s")).then(|| format!("{number} has no unit: {number} s = {value}"));
    Suggested { value, why, instead: None }
}

/// Returns the duration with a sign that `text` probably means.
pub(in crate::scenario) fn signed_duration(text: &str) -> Option<Suggested> {
    let text = text.trim();
    let (sign, rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (&text[..1], rest),
        None => ("", text),
    };
    let found = duration(rest)?.value;
    Some(match sign {
        "" => Suggested::instead(format!(
            "write \"+{found}\" for clocks that are ahead, or \"-{found}\" for clocks that are behind"
        )),
        sign => Suggested::new(format!("{sign}{found}")),
    })
}

/// Reads `5 minutes`, `1h, 30 min`, `1 hour and 5 seconds`.
fn units_of_time(lower: &str) -> Option<Duration> {
    let mut rest = lower;
    let mut total = None;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let part = units::parse_duration(&format!("{}{}", number?, time_unit(unit)?)).ok()?;
        total = Some(total.unwrap_or(Duration::ZERO).checked_add(part)?);
        rest = after.trim_start_matches([' ', ',']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
    }
    total
}

/// Reads an ISO 8601 duration, such as `PT5M` or `P1DT2H`.
fn iso_duration(lower: &str) -> Option<Duration> {
    let (days, time) = lower.strip_prefix('p')?.split_once('t')?;
    let days = if days.is_empty() { Duration::ZERO } else { units::parse_duration(days).ok()? };
    (days.as_secs() % 86_400 == 0).then_some(())?;
    days.checked_add(units::parse_duration(time).ok()?)
}

/// Reads `hh:mm:ss`, as .NET writes time spans.
fn clock_time(lower: &str) -> Option<Duration> {
    let mut fields = lower.split(':');
    let (hours, minutes, seconds) = (fields.next()?, fields.next()?, fields.next()?);
    let text = format!("{hours}h{minutes}m{seconds}s");
    fields.next().is_none().then(|| units::parse_duration(&text).ok()).flatten()
}

/// Returns the rate that `text` probably means. Without a unit of time, it is per second.
pub(in crate::scenario) fn rate(text: &str) -> Option<Suggested> {
    let lower = text.trim().to_lowercase();
    let (number, rest) = scaled_number(&lower)?;
    if PER_SECOND.contains(&rest) || rest.is_empty() {
        return Some(Suggested::new(format!("{number}/s")));
    }
    let (counted, per) = rest.split_once('/').or_else(|| rest.split_once("per "))?;
    if !COUNTED.contains(&counted.trim()) {
        return None;
    }
    let (count, unit) = split_number(per.trim()).unwrap_or((None, per.trim()));
    let count =
        count.filter(|count| (*count - 1.0).abs() > 1e-9).map_or_else(String::new, |count| count.to_string());
    Some(Suggested::new(format!("{number}/{count}{}", time_unit(unit)?)))
}

/// Returns the time of a token renewal that `text` probably means: a share of its lifetime, or a time before its expiry.
pub(in crate::scenario) fn renewal(text: &str) -> Option<Suggested> {
    let before = || {
        let found = duration(text.trim().trim_start_matches('-'))?;
        Some(Suggested::new(format!("-{}", found.value)))
    };
    match share(text) {
        Some(share) => {
            let fraction = share.value.parse::<Percent>().ok()?.as_fraction();
            (0.0 < fraction && fraction <= 1.0).then_some(share)
        }
        None => before(),
    }
}

/// Returns the share that `text` probably means. Up to 1, a number is a fraction; above, it is in percent.
#[must_use]
pub fn share(text: &str) -> Option<Suggested> {
    shares(&[text], 1.0)
}

/// Returns the share, or the change between two shares, that `text` probably means. With `factors`, numbers up to 10 are factors: `2` is
/// `200%`.
pub(in crate::scenario) fn share_change(text: &str, factors: bool) -> Option<Suggested> {
    let arrows = ["->", "=>", "→", "..", " to ", "-"];
    let fraction_max = if factors { 10.0 } else { 1.0 };
    match arrows.into_iter().find_map(|arrow| text.split_once(arrow)) {
        Some((from, to)) => shares(&[from, to], fraction_max),
        None => shares(&[text], fraction_max),
    }
}

/// Returns the shares that `texts` probably mean, joined by an arrow. They are in percent if one of them has a unit or is above
/// `fraction_max`; otherwise they are fractions of 1.
fn shares(texts: &[&str], fraction_max: f64) -> Option<Suggested> {
    let parse = |text: &&str| {
        let lower = text.trim().to_lowercase();
        if let Some(factor) = lower.strip_prefix('x').or_else(|| lower.strip_suffix('x')) {
            return Some((100.0 * factor.parse::<f64>().ok()?, true));
        }
        let (number, unit) = split_number(&lower)?;
        let in_percent = match unit {
            "" => false,
            "%" | "percent" | "pct" | "per cent" => true,
            _ => return None,
        };
        Some((number?, in_percent))
    };
    let ends = texts.iter().map(parse).collect::<Option<Vec<_>>>()?;
    let all_in_percent = ends.iter().any(|(number, in_percent)| *in_percent || *number > fraction_max);
    let written = |(number, _): &(f64, bool)| match all_in_percent {
        true => format!("{number}%"),
        false => Percent::from_fraction(*number).to_string(),
    };
    Some(Suggested::new(ends.iter().map(written).collect::<Vec<_>>().join(" -> ")))
}

/// Returns the speed of a replay that `text` probably means: `2`, `x2`, `200%`, `twice`.
pub(in crate::scenario) fn speed(text: &str) -> Option<Suggested> {
    let lower = text.trim().to_lowercase();
    let factor = match lower.as_str() {
        "twice" | "double" => 2.0,
        "half" => 0.5,
        "normal" | "original" | "recorded" | "realtime" | "real-time" | "real time" => 1.0,
        _ => {
            let number = lower.trim_matches(['x', '×', ' ']);
            match split_number(number)? {
                (factor, "" | "times") => factor?,
                (percent, "%" | "percent") => percent? / 100.0,
                _ => return None,
            }
        }
    };
    Some(Suggested::new(format!("{factor}x")))
}

/// Returns the whole number that `text` probably means: `10k`, `1,000`, `1e3`.
#[must_use]
pub fn whole_number(text: &str) -> Option<i64> {
    let lower = text.trim().to_lowercase();
    let (number, rest) = scaled_number(&lower)?;
    rest.is_empty().then(|| whole(number)).flatten()
}

/// Like [`whole_number`], but also reads `1KB`, `4 KiB` and `256 bytes`. One KB is 1,024 bytes.
pub(in crate::scenario) fn bytes_or_count(text: &str) -> Option<i64> {
    let lower = text.trim().to_lowercase();
    let (number, unit) = split_number(&lower)?;
    let factor = match unit {
        "" | "b" | "byte" | "bytes" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        _ => return None,
    };
    whole(number? * factor)
}

#[expect(clippy::cast_possible_truncation, reason = "far below 2^53, and whole")]
fn whole(number: f64) -> Option<i64> {
    ((0.0..1e15).contains(&number) && number.fract() == 0.0).then_some(number as i64)
}

/// Reads a number with `k` (1,000) or `m` (1,000,000) behind it. Returns the rest, trimmed.
fn scaled_number(lower: &str) -> Option<(f64, &str)> {
    let (number, rest) = split_number(lower)?;
    let scaled = [("k", 1e3), ("m", 1e6)].into_iter().find_map(|(letter, factor)| {
        let after = rest.strip_prefix(letter)?;
        (!after.starts_with(char::is_alphabetic))
            .then(|| (number.map(|number| number * factor), after.trim_start()))
    });
    let (number, rest) = scaled.unwrap_or((number, rest));
    Some((number?, rest))
}

/// Splits `1,000 msg` into the number and the trimmed rest. The number is `None` if it is not one. Returns `None` if the text does not
/// begin with a digit.
fn split_number(lower: &str) -> Option<(Option<f64>, &str)> {
    let lower = lower.trim();
    if !lower.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let end = lower.find(|c: char| !c.is_ascii_digit() && !".,_".contains(c)).unwrap_or(lower.len());
    // The exponent in 1e3.
    let exponent = lower[end..]
        .strip_prefix('e')
        .map_or(0, |after| after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len()));
    let end = if exponent > 0 { end + 1 + exponent } else { end };
    let (digits, rest) = lower.split_at(end);
    let trimmed = digits.trim_end_matches([',', '.']);
    let rest = if trimmed.len() < digits.len() { &lower[trimmed.len()..] } else { rest };
    Some((number(trimmed), rest.trim_start()))
}

/// Parses a number with thousands separators (`1,000`, `1_000`) or a decimal comma (`0,5`).
fn number(digits: &str) -> Option<f64> {
    let grouped =
        digits.split(',').skip(1).all(|group| group.split('.').next().is_some_and(|group| group.len() == 3));
    let plain = match digits.split_once(',') {
        Some((whole, fraction)) if !grouped && !fraction.contains([',', '.']) => {
            format!("{whole}.{fraction}")
        }
        _ => digits.replace([',', '_'], ""),
    };
    plain.parse::<f64>().ok().filter(|number| number.is_finite())
}
