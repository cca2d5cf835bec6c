//! A level of a search in words, and the interval between two of them. The only place that knows the unit of a level. Used by all formats of a
//! capacity result, by comparisons, and by `app` for its progress.

use crate::capacity::measured::{Level, Vary};
use crate::report::format::rate_text;
use crate::units::plural;

/// Formats a level: `4,100/s`, or `4,100 devices` if the number of devices varies.
#[must_use]
pub fn level_text(vary: Vary, level: &Level) -> String {
    match vary {
        Vary::Load => rate_text(level.per_s),
        Vary::Devices => plural(level.devices, "device", "devices"),
    }
}

/// Formats an interval: `between 4,100/s and 4,300/s`. `unknown` stands for an interval without bounds.
#[must_use]
pub fn interval_text(vary: Vary, lower: Option<&Level>, upper: Option<&Level>, unknown: &str) -> String {
    let at = |level: &Level| level_text(vary, level);
    match (lower, upper) {
        (Some(lower), Some(upper)) => format!("between {} and {}", at(lower), at(upper)),
        (Some(lower), None) => format!("at least {}", at(lower)),
        (None, Some(upper)) => format!("below {}", at(upper)),
        (None, None) => unknown.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_has_the_unit_of_what_varies() {
        let level = |devices: u64| Level { level: devices, per_s: 4_100.0, devices };
        let (one, many) = (level(1), level(4_300));
        let text = |vary, lower, upper| interval_text(vary, lower, upper, "unknown");
        assert_eq!(text(Vary::Load, Some(&one), None), "at least 4,100/s");
        assert_eq!(text(Vary::Load, None, Some(&one)), "below 4,100/s");
        assert_eq!(text(Vary::Devices, Some(&one), Some(&many)), "between 1 device and 4,300 devices");
        assert_eq!(text(Vary::Devices, None, None), "unknown");
    }
}
