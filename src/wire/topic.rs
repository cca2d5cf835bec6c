//! What topic names and topic filters may look like (MQTT 3.1.1 §4.7). Called by the strict decoder and by `plan`.
//!
//! mqttbytes has its own functions for this: they accept `a+`, refuse nothing about NUL, and `matches` panics on
//! some topics. They are never called.

use super::packet::STRING_BYTES_MAX;

/// At least one character, no wildcard, no U+0000, at most 65,535 bytes (MQTT 3.1.1 §4.7.3, §3.3.2.1).
#[must_use]
pub fn is_name(topic: &str) -> bool {
    (1..=STRING_BYTES_MAX).contains(&topic.len())
        && !topic.bytes().any(|byte| matches!(byte, b'+' | b'#' | 0))
}

/// Like a name, but `+` may stand for a whole level, and `#` for the rest (MQTT 3.1.1 §4.7.1).
#[must_use]
pub fn is_filter(filter: &str) -> bool {
    if !(1..=STRING_BYTES_MAX).contains(&filter.len()) || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        match level {
            "+" => {}
            "#" if last => {}
            _ if level.contains(['+', '#']) => return false,
            _ => {}
        }
    }
    true
}

/// Whether a filter matches a topic (MQTT 3.1.1 §4.7.1, §4.7.2), both of any bytes: what is not valid matches nothing that
/// matters, and nothing panics. Tests compare the plan with it.
#[cfg(test)]
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut levels, mut names) = (filter.split('/'), topic.split('/'));
    loop {
        match (levels.next(), names.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(level), Some(name)) if level == name => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The examples of §4.7.1 and §4.7.2.
    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic) in [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("#", "a/b"),
            ("sport/tennis/+", "sport/tennis/player1"),
            ("sport/+", "sport/"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("$SYS/#", "$SYS/broker"),
            ("$SYS/monitor/+", "$SYS/monitor/clients"),
        ] {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("#", "$SYS/x"),
            ("+/monitor/clients", "$SYS/monitor/clients"),
            ("a", "A"),
            ("a/b", "a"),
            ("a", "a/b"),
            ("/finance", "finance"),
        ] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }

    proptest! {
        #[test]
        fn anything_can_be_compared(filter: String, topic: String) {
            prop_assert!(matches("#", &topic) != topic.starts_with('$'));
            prop_assert!(matches(&topic, &topic) || topic.contains(['+', '#']));
            let _ = matches(&filter, &topic);
        }
    }

    /// The examples of §4.7.1.2, §4.7.1.3 and §4.7.3.
    #[test]
    fn the_standards_examples() {
        for valid in [
            "sport/tennis/player1/#",
            "sport/#",
            "#",
            "+",
            "+/tennis/#",
            "sport/+/player1",
            "/finance",
            "/",
            "$SYS/#",
        ] {
            assert!(is_filter(valid), "{valid}");
        }
        for invalid in ["sport/tennis#", "sport/tennis/#/ranking", "sport+", "", "a/b+/c", "##", "a\0"] {
            assert!(!is_filter(invalid), "{invalid}");
        }
        for valid in ["sport", "/finance", "/", "ACCOUNTS/Accounts payable", "$SYS/x", "ä"] {
            assert!(is_name(valid), "{valid}");
        }
        for invalid in ["", "a/+", "#", "a\0b"] {
            assert!(!is_name(invalid), "{invalid}");
        }
        assert!(is_name(&"x".repeat(STRING_BYTES_MAX)));
        assert!(!is_name(&"x".repeat(STRING_BYTES_MAX + 1)));
        assert!(!is_filter(&"x".repeat(STRING_BYTES_MAX + 1)));
    }
}
