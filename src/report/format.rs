//! Formats numbers, dates and untrusted text in the same way in all formats of a report. Called by `text`, `page` and the charts.
//! Independent of results.

pub(super) use crate::units::plural;
use crate::units::{human_count, human_us, whole};
use std::time::Duration;

/// Stands for a missing number.
pub(super) const NONE: &str = "–";

/// Formats a latency, or a dash.
pub(super) fn us(value: Option<u64>) -> String {
    value.map_or_else(|| NONE.to_owned(), human_us)
}

/// Formats `part` of `whole` in percent, rounded **down**, so that only a complete whole is `100%`.
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return NONE.to_owned();
    }
    // Ten-thousandths of a percent.
    let exact = u128::from(part) * 1_000_000 / u128::from(whole);
    match exact {
        0 if part > 0 => "<0.0001%".to_owned(),
        0 => "0%".to_owned(),
        1_000_000.. => "100%".to_owned(),
        // Use more digits, to show the number of nines.
        999_900.. => format!("{}.{:04}%", exact / 10_000, exact % 10_000),
        _ => format!("{}.{:02}%", exact / 10_000, exact % 10_000 / 100),
    }
}

/// Formats the rest, `whole - part`, as a percentage of `whole`. Rounds **up**, so that it and [`share`] of `part` add up to 100%.
pub(super) fn rest(part: u64, whole: u64) -> String {
    let rest = whole.saturating_sub(part);
    if whole == 0 || rest == 0 || rest == whole {
        return share(rest, whole);
    }
    let exact = (u128::from(rest) * 1_000_000).div_ceil(u128::from(whole));
    match exact {
        1_000_000.. => "99.9999%".to_owned(),
        // Use more digits for small shares, as `share` does for shares near 100%.
        ..=100 => format!("0.{exact:04}%"),
        _ => {
            let hundredths = exact.div_ceil(100);
            format!("{}.{:02}%", hundredths / 100, hundredths % 100)
        }
    }
}

/// Formats a rate per second with three digits, without the unit: `1,234`, `98.7`, `0.52`.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        _ if !per_second.is_finite() || per_second < 0.0 => NONE.to_owned(),
        _ if per_second >= 99.95 => human_count(whole(per_second)),
        _ if per_second >= 9.995 => format!("{per_second:.1}"),
        _ => format!("{per_second:.2}"),
    }
}

/// Formats a rate with its unit: `1,234/s`.
#[must_use]
pub fn rate_text(per_second: f64) -> String {
    format!("{}/s", rate(per_second))
}

/// Formats a time span of the run: `0.5 s`, `75 s`, `5m`.
pub(super) fn span(us: u64) -> String {
    let seconds = Duration::from_micros(us).as_secs_f64();
    if seconds < 120.0 {
        let text = format!("{seconds:.1}");
        format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
    } else {
        human_us(us)
    }
}

/// Formats a time since the start of the run: `1:05.3` (minutes, seconds, tenths).
pub(super) fn instant(us: u64) -> String {
    let tenths = us / 100_000;
    let (seconds, tenths) = (tenths / 10, tenths % 10);
    if seconds >= 3600 {
        format!("{}:{:02}:{:02}", seconds / 3600, seconds % 3600 / 60, seconds % 60)
    } else {
        format!("{}:{:02}.{tenths}", seconds / 60, seconds % 60)
    }
}

/// Formats an RFC 3339 time as `2026-03-01 12:00:00 UTC`. Returns other text unchanged.
pub(super) fn date(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => plain(rfc3339),
    }
}

/// Makes untrusted text (names, messages from a peer) safe to print on one line: replaces characters that move a terminal's cursor or
/// change the reading direction.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// Like [`plain`], but keeps line breaks and tabs.
pub(super) fn plain_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| if is_harmful(c) && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Shortens text to at most `most` characters. An ellipsis replaces the omitted end.
pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_is_rounded_down() {
        assert_eq!(share(1_000_000, 1_000_000), "100%");
        assert_eq!(share(9_999_999, 10_000_000), "99.9999%");
        assert_eq!(share(99_999_999, 100_000_000), "99.9999%");
        assert_eq!(share(2, 3), "66.66%");
        assert_eq!(share(0, 3), "0%");
        assert_eq!(share(1, 100_000_000), "<0.0001%");
        assert_eq!(share(0, 0), NONE);
    }

    #[test]
    fn share_and_rest_add_up() {
        for (part, share_text, rest_text) in [
            (1_000_000, "100%", "0%"),
            (999_999, "99.9999%", "0.0001%"),
            (999_990, "99.9990%", "0.0010%"),
            (997_403, "99.74%", "0.26%"),
            (400_000, "40.00%", "60.00%"),
            (0, "0%", "100%"),
        ] {
            assert_eq!(
                (share(part, 1_000_000).as_str(), rest(part, 1_000_000).as_str()),
                (share_text, rest_text)
            );
        }
        assert_eq!(rest(1, 100_000_000), "99.9999%");
        assert_eq!(rest(0, 0), NONE);
    }

    #[test]
    fn rates_spans_and_instants() {
        assert_eq!([1234.4, 98.66, 0.516, 0.0].map(rate), ["1,234", "98.7", "0.52", "0.00"]);
        assert_eq!(rate(f64::NAN), NONE);
        assert_eq!([500_000, 60_000_000, 300_000_000].map(span), ["0.5 s", "60 s", "5m"]);
        assert_eq!([65_340_000, 3_661_000_000].map(instant), ["1:05.3", "1:01:01"]);
        assert_eq!(date("2026-03-01T12:00:00.25Z"), "2026-03-01 12:00:00 UTC");
        assert_eq!(date("yesterday"), "yesterday");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(plain("a\u{1b}[31mb\nc\u{202e}d"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d");
        assert_eq!(plain_lines("a\r\n\tb\u{7}"), "a\n\tb\u{fffd}");
    }

    #[test]
    fn shortening_counts_characters() {
        assert_eq!(shorten("überlang", 4), "übe…");
        assert_eq!(shorten("kurz", 4), "kurz");
    }
}
