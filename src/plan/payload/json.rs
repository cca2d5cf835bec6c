//! Checks of messages that must be JSON. Used by `resolve` and by devices.

use super::parts::{JsonCheck, Part, Payload};
use serde::de::IgnoredAny;

impl Payload {
    /// Requires messages to be JSON, or a JSON object. The caller must have checked one rendering. Messages are then checked
    /// only if others may not be JSON.
    pub(in crate::plan) fn require_json(&mut self, object: bool) {
        self.json = match (self.is_always_json(), object) {
            (true, _) => JsonCheck::None,
            (false, true) => JsonCheck::Object,
            (false, false) => JsonCheck::Value,
        };
    }

    /// Describes a rendered message that must be JSON and is not.
    #[must_use]
    pub fn json_problem(&self, message: &[u8]) -> Option<&'static str> {
        let is_json = || serde_json::from_slice::<IgnoredAny>(message).is_ok();
        let is_object = || message.trim_ascii_start().starts_with(b"{");
        match self.json {
            JsonCheck::None => None,
            _ if !is_json() => Some("not JSON"),
            JsonCheck::Object if !is_object() => Some("not a JSON object"),
            JsonCheck::Object | JsonCheck::Value => None,
        }
    }

    /// Returns whether every rendering is JSON if one is. This holds if placeholders occur only in strings, where their
    /// characters need no escape, or are numbers that form a whole JSON value. It cannot be known for `1${seq}`, because a
    /// number may be negative, and for lines of a file.
    fn is_always_json(&self) -> bool {
        let literal = |at: Option<usize>| match at.and_then(|at| self.parts.get(at)) {
            Some(Part::Literal(bytes)) => Some(bytes.trim_ascii()),
            Some(_) => None,
            None => Some(&[][..]),
        };
        let mut in_string = false;
        self.parts.iter().enumerate().all(|(at, part)| match part {
            Part::Literal(bytes) => {
                let quotes = bytes.iter().filter(|&&byte| byte == b'"').count();
                in_string ^= quotes % 2 == 1;
                !bytes.contains(&b'\\')
            }
            Part::Index | Part::Seq | Part::Uptime | Part::Uniform(_) | Part::Walk { .. } if !in_string => {
                let before = literal(at.checked_sub(1)).map(|text| text.last().copied());
                let after = literal(Some(at + 1)).map(|text| text.first().copied());
                matches!(before, Some(None | Some(b':' | b'[' | b',')))
                    && matches!(after, Some(None | Some(b',' | b']' | b'}')))
            }
            Part::Index | Part::Seq | Part::Uptime | Part::Uniform(_) | Part::Walk { .. } | Part::Now => {
                in_string
            }
            // Device ids of an IoT hub contain no quotes or backslashes, and neither do stamps.
            Part::Device | Part::Stamp => in_string,
            Part::Filler { bytes, .. } => *bytes >= 2,
            Part::Line { .. } => false,
        })
    }
}
