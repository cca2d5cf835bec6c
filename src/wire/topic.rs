//! What topic names and topic filters may look like (MQTT 3.1.1 §4.7). Called by the strict decoder and by `plan`.
//!
//! mqttbytes has its own functions for this: they accept `a+`, refuse nothing about NUL, and `matches` panics on
//! some topics. They are never called.

use super::STRING_BYTES_MAX;

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

#[cfg(test)]
mod tests {
    use super::*;

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
