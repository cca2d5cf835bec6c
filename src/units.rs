//! Parses and formats durations, rates and shares: `250ms`, `1h30m`, `400/s`, `99.9%`. Used for scenarios, the command line and reports. It
//! must not depend on any room.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The text is not a quantity of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {expected}")]
pub struct UnitError {
    found: String,
    expected: &'static str,
}

fn unit_error(found: &str, expected: &'static str) -> UnitError {
    UnitError { found: found.to_owned(), expected }
}

/// Description of a duration, for errors.
pub(crate) const EXPECTED_DURATION: &str = "a duration such as 250ms, 30s, 5m or 1h30m";
/// Description of a signed duration, for errors.
pub(crate) const EXPECTED_SIGNED: &str = "a duration with a sign, such as -3m or +6m";
/// Description of a rate, for errors.
pub(crate) const EXPECTED_RATE: &str = "a rate such as 400/s, 50/1s, 300/1m or 2.5/s";
const EXPECTED_PERCENT: &str = "a share such as 99.9%";

/// Parses `250us`, `10ms`, `1.5s`, `3m`, `1h30m`, `2d`.
///
/// # Errors
/// The number has no unit, the unit is unknown, or the value is negative or too large.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(unit_error(text, EXPECTED_DURATION));
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let seconds_per_unit = match unit {
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(unit_error(text, EXPECTED_DURATION)),
        };
        let number: f64 = number.parse().map_err(|_| unit_error(text, EXPECTED_DURATION))?;
        let part = Duration::try_from_secs_f64(number * seconds_per_unit)
            .map_err(|_| unit_error(text, EXPECTED_DURATION))?;
        total = total.checked_add(part).ok_or_else(|| unit_error(text, EXPECTED_DURATION))?;
        rest = tail;
    }
    Ok(total)
}

/// Parses `-3m`, `+6m` or `0s`. Returns microseconds.
///
/// # Errors
/// The text is not a sign and a duration. Only a zero duration may omit the sign.
pub fn parse_signed_us(text: &str) -> Result<i64, UnitError> {
    let error = || unit_error(text, EXPECTED_SIGNED);
    let trimmed = text.trim();
    let us = |text: &str| {
        let duration = parse_duration(text).map_err(|_| error())?;
        i64::try_from(duration.as_micros()).map_err(|_| error())
    };
    match (trimmed.strip_prefix('-'), trimmed.strip_prefix('+')) {
        (Some(behind), _) => Ok(-us(behind)?),
        (_, Some(ahead)) => us(ahead),
        (None, None) => us(trimmed).and_then(|us| if us == 0 { Ok(0) } else { Err(error()) }),
    }
}

/// Formats a duration for people: three significant digits in a suitable unit (`847 µs`, `12.3 ms`, `4.00 s`, `2m 05s`, `1h`).
#[must_use]
pub fn human_duration(duration: Duration) -> String {
    let us = duration.as_secs_f64() * 1e6;
    match us {
        // The bounds take rounding into account: 999.6 µs is 1.00 ms.
        _ if us < 999.5 => format!("{us:.0} µs"),
        _ if us < 9_995.0 => format!("{:.2} ms", us / 1e3),
        _ if us < 99_950.0 => format!("{:.1} ms", us / 1e3),
        _ if us < 999_500.0 => format!("{:.0} ms", us / 1e3),
        _ if us < 9_995_000.0 => format!("{:.2} s", us / 1e6),
        _ if us < 120_000_000.0 => format!("{:.1} s", us / 1e6),
        _ => {
            let seconds = duration.as_secs();
            let (hours, minutes, seconds) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
            match (hours, minutes, seconds) {
                (0, _, 0) => format!("{minutes}m"),
                (0, _, _) => format!("{minutes}m {seconds:02}s"),
                (_, 0, 0) => format!("{hours}h"),
                (1, _, 1..) => format!("1h {minutes:02}m {seconds:02}s"),
                _ => format!("{hours}h {minutes:02}m"),
            }
        }
    }
}

/// Formats a duration that a user set, without a fraction that is zero: `20 s`.
#[must_use]
pub fn set_duration(duration: Duration) -> String {
    human_duration(duration).replace(".00 ", " ").replace(".0 ", " ")
}

/// Formats a duration as a scenario writes it, in microseconds at the finest: `250ms`, `15s`, `1h30m`.
#[must_use]
pub fn written_duration(duration: Duration) -> String {
    const UNITS: [(u128, &str); 6] = [
        (86_400_000_000, "d"),
        (3_600_000_000, "h"),
        (60_000_000, "m"),
        (1_000_000, "s"),
        (1_000, "ms"),
        (1, "us"),
    ];
    let mut rest = duration.as_micros();
    let mut out = String::new();
    for (unit, name) in UNITS {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            out += &format!("{count}{name}");
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// Formats a count with its noun: `1 device`, `1,000 devices`.
#[must_use]
pub fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", human_count(count), if count == 1 { one } else { many })
}

/// Formats microseconds, the unit of the result file, with [`human_duration`].
#[must_use]
pub fn human_us(us: u64) -> String {
    human_duration(Duration::from_micros(us))
}

/// Formats a signed duration for people: `+2h`, `-6m`. Durations over 10 s are rounded to seconds, so that two measurements of one clock
/// step look the same.
#[must_use]
pub fn human_signed_us(us: i64) -> String {
    const SECOND: u64 = 1_000_000;
    let sign = if us < 0 { '-' } else { '+' };
    let us = match us.unsigned_abs() {
        long if long > 10 * SECOND => (long + SECOND / 2) / SECOND * SECOND,
        short => short,
    };
    format!("{sign}{}", human_us(us))
}

/// Formats a count for people: `1,234,567`.
#[must_use]
pub fn human_count(count: u64) -> String {
    grouped(&count.to_string())
}

/// Formats an exact size with separators: `300,000 bytes`. [`human_bytes`] is for sizes that need not be exact.
#[must_use]
pub fn exact_bytes(bytes: usize) -> String {
    plural(bytes as u64, "byte", "bytes")
}

/// Separates groups of integer digits with commas: `1,803.8`.
#[must_use]
pub fn grouped(number: &str) -> String {
    let (digits, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut out = String::with_capacity(number.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// Returns the nearest whole number, and 0 for a negative number and NaN.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
pub fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// Formats bytes for people in binary units: `512 B`, `1.5 KiB`, `3.2 GiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn human_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// Events per second.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// Creates a rate from events per second, which must be finite and not negative.
    #[must_use]
    pub fn per_second(events: f64) -> Option<Rate> {
        (events.is_finite() && events >= 0.0).then_some(Rate(events))
    }

    /// Returns events per second.
    #[must_use]
    pub fn as_per_second(self) -> f64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    /// Parses `400/s`, `50/1s`, `300/1m`, `2.5/s`.
    fn from_str(text: &str) -> Result<Rate, UnitError> {
        let error = || unit_error(text, EXPECTED_RATE);
        let (events, unit) = text.trim().split_once('/').ok_or_else(error)?;
        let events: f64 = events.trim().parse().map_err(|_| error())?;
        let unit = unit.trim();
        let per = if unit.starts_with(|c: char| c.is_ascii_digit()) {
            parse_duration(unit)
        } else {
            parse_duration(&format!("1{unit}"))
        }
        .map_err(|_| error())?;
        if per.is_zero() {
            return Err(error());
        }
        Rate::per_second(events / per.as_secs_f64()).ok_or_else(error)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 1000.0).round() / 1000.0;
        write!(f, "{}/s", grouped(&rounded.to_string()))
    }
}

/// Description of a bandwidth, for errors.
pub(crate) const EXPECTED_BITS: &str = "a bandwidth such as 250kbit/s or 2Mbit/s, in whole numbers";

/// Parses a bandwidth: `250kbit/s`, `2 Mbit/s`. Returns bits per second, at least 1,000.
///
/// # Errors
/// The number is not a whole number from 1 to 999,999, or the unit is missing or unknown.
pub fn parse_bits_per_s(text: &str) -> Result<u64, UnitError> {
    let error = || unit_error(text, EXPECTED_BITS);
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
    let (number, unit) = trimmed.split_at(digits);
    let bits = match unit.trim_start() {
        "kbit/s" => 1_000,
        "Mbit/s" => 1_000_000,
        _ => return Err(error()),
    };
    let number = number.parse::<u64>().ok().filter(|number| (1..1_000_000).contains(number));
    number.map(|number| number * bits).ok_or_else(error)
}

/// Formats a bandwidth with the unit that makes the number short: `250 kbit/s`, `2 Mbit/s`.
#[must_use]
pub fn human_bits_per_s(bits_per_s: u64) -> String {
    match bits_per_s {
        1_000_000.. if bits_per_s.is_multiple_of(1_000_000) => format!("{} Mbit/s", bits_per_s / 1_000_000),
        _ => format!("{} kbit/s", grouped(&(bits_per_s / 1_000).to_string())),
    }
}

/// A share, stored as a fraction: `25%` is 0.25. Load factors can be above 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// Creates a share from a fraction of 1.
    #[must_use]
    pub fn from_fraction(fraction: f64) -> Percent {
        Percent(fraction)
    }

    /// Returns the share as a fraction of 1.
    #[must_use]
    pub fn as_fraction(self) -> f64 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Percent, UnitError> {
        let error = || unit_error(text, EXPECTED_PERCENT);
        let number = text.trim().strip_suffix('%').ok_or_else(error)?;
        let number = number.trim();
        // Appending an exponent makes 99.9% exactly 0.999; dividing by 100 does not.
        let fraction = number.parse::<f64>().and_then(|_| format!("{number}e-2").parse::<f64>());
        let fraction = fraction.map_err(|_| error())?;
        if fraction.is_finite() && fraction >= 0.0 { Ok(Percent(fraction)) } else { Err(error()) }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 100.0 * 10_000.0).round() / 10_000.0;
        write!(f, "{rounded}%")
    }
}

#[cfg(test)]
mod tests;
