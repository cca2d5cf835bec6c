//! The times in a recording: seconds, or dates with a time of day. Only the differences between them matter. Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The form of the times in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Seconds, also since 1970.
    Seconds,
    /// ISO 8601: with an offset from UTC, or all without one.
    Date,
}

/// Parses a time. Returns nanoseconds since some instant, which is the same for all times of a form.
pub(super) fn parse(text: &str) -> Option<(Form, i128)> {
    if let Some(ns) = seconds(text) {
        return Some((Form::Seconds, ns));
    }
    let zoned = text.parse::<Timestamp>().ok();
    // A time without an offset counts as UTC, because only differences matter.
    let time = zoned.or_else(|| {
        let local: DateTime = text.parse().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    });
    time.map(|time| (Form::Date, time.as_nanosecond()))
}

/// Parses a decimal number of seconds exactly, to the nanosecond. Also accepts an exponent, which some programs write.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
fn seconds(text: &str) -> Option<i128> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(whole) && digits(decimals) && whole.len() + decimals.len() > 0 && whole.len() <= 18 {
        let decimals = format!("{decimals:0<9}");
        return format!("{whole}{}", &decimals[..9]).parse().ok();
    }
    let is_number = text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(['e', 'E']);
    let number: f64 = text.parse().ok().filter(|_| is_number)?;
    (number < 1e18).then_some((number * 1e9).round() as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_iso_8601() {
        for (text, expected) in [
            ("0", 0),
            ("12", 12_000_000_000),
            ("1.5", 1_500_000_000),
            ("1735689600.123456789", 1_735_689_600_123_456_789),
            ("0.0000000019", 1),
            (".5", 500_000_000),
            ("5.", 5_000_000_000),
            ("1.5e3", 1_500_000_000_000),
        ] {
            assert_eq!(parse(text), Some((Form::Seconds, expected)), "{text}");
        }
        for (text, expected) in [
            ("1970-01-01T00:00:01Z", 1_000_000_000),
            ("1970-01-01T01:00:01.5+01:00", 1_500_000_000),
            ("1970-01-01T00:00:02", 2_000_000_000),
            ("1970-01-01 00:00:02.25", 2_250_000_000),
        ] {
            assert_eq!(parse(text), Some((Form::Date, expected)), "{text}");
        }
        for text in [
            "",
            "-1",
            "+1",
            "1,5",
            "abc",
            "1s",
            "NaN",
            "inf",
            ".",
            "1e",
            "12:00:00",
            "2026-13-01T00:00:00Z",
            "1e30",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
