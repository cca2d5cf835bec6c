//! Checks topic names and topic filters (MQTT 3.1.1 §4.7). Called by the strict decoder and by `plan`. It must not depend on packets.
//!
//! hubstorm does not use the functions that mqttbytes has for this: they accept `a+` and NUL, and its `matches` panics on some topics.

use super::packet::STRING_BYTES_MAX;

/// Returns true for a topic name: 1 to 65,535 bytes without wildcards or U+0000 (MQTT 3.1.1 §4.7.3, §3.3.2.1).
#[must_use]
pub fn is_name(topic: &str) -> bool {
    (1..=STRING_BYTES_MAX).contains(&topic.len())
        && !topic.bytes().any(|byte| matches!(byte, b'+' | b'#' | 0))
}

/// Returns true for a topic filter: like a topic name, except that any level may be `+` and the last level may be `#` (MQTT 3.1.1 §4.7.1).
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

/// Returns true if a filter matches a topic (MQTT 3.1.1 §4.7.1, §4.7.2). Never panics, even for invalid filters or topics.
/// For many topics and filters, `plan` has an index, whose tests compare it with this function.
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

    /// The examples from §4.7.1 and §4.7.2.
    #[test]
    fn filters_match_the_examples_from_the_standard() {
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
        fn matching_never_panics(filter: String, topic: String) {
            prop_assert!(matches("#", &topic) != topic.starts_with('$'));
            prop_assert!(matches(&topic, &topic) || topic.contains(['+', '#']));
            let _ = matches(&filter, &topic);
        }
    }

    /// The examples from §4.7.1.2, §4.7.1.3 and §4.7.3.
    #[test]
    fn names_and_filters_follow_the_standard() {
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
