//! The length of the intervals of a metric. Used by `parse`.

use jiff::{Span, SpanRelativeTo, Unit};

/// The longest interval that Azure Monitor has: a day.
const LONGEST_S: u64 = 86_400;

/// Returns the length of an interval in microseconds: `PT1M` (ISO 8601), or `0:01:00` and `1 day, 0:00:00`, which earlier versions of
/// Azure's command line print. `None` for other text, and for lengths that are zero or longer than a day.
pub(super) fn length_us(text: &str) -> Option<u64> {
    let text = text.trim();
    let seconds = iso_8601(text).or_else(|| clock(text))?;
    (1..=LONGEST_S).contains(&seconds).then(|| seconds * 1_000_000)
}

fn iso_8601(text: &str) -> Option<u64> {
    let span: Span = text.strip_prefix('P').and_then(|_| text.parse().ok())?;
    // A day of a metric has 24 hours, because its times are in UTC.
    let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).ok()?;
    let whole = crate::units::whole(seconds);
    ((seconds - seconds.round()).abs() < 1e-9).then_some(whole)
}

fn clock(text: &str) -> Option<u64> {
    let (days, time) = match text.split_once(',') {
        Some((days, time)) => (days.split_whitespace().next()?.parse::<u64>().ok()?, time.trim()),
        None => (0, text),
    };
    let parts: Vec<u64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hours, minutes, seconds] = *parts.as_slice() else { return None };
    let hours = days.checked_mul(24)?.checked_add(hours)?;
    hours.checked_mul(3_600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_of_azure_are_read() {
        for (text, seconds) in [
            ("PT1M", Some(60)),
            ("PT5M", Some(300)),
            ("PT1H", Some(3_600)),
            ("P1D", Some(86_400)),
            (" PT1M ", Some(60)),
            ("0:01:00", Some(60)),
            ("00:05:00", Some(300)),
            ("1:00:00", Some(3_600)),
            ("1 day, 0:00:00", Some(86_400)),
            ("PT0S", None),
            ("-PT1M", None),
            ("PT0.5S", None),
            ("P2D", None),
            ("P1M", None),
            ("FULL", None),
            ("1:00", None),
            ("a:b:c", None),
            ("18446744073709551615:00:00", None),
            ("99999999999999999999 days, 0:00:00", None),
            (", ", None),
            ("", None),
        ] {
            assert_eq!(length_us(text), seconds.map(|seconds| seconds * 1_000_000), "{text:?}");
        }
    }
}
