//! Checks messages that must be JSON. Used by `resolve` and by devices.

use super::parts::{JsonCheck, Part, Payload};
use serde::de::IgnoredAny;

impl Payload {
    /// Requires each message to be JSON, and a JSON object if `object` is true. The caller must have checked one rendered message. The
    /// others are checked when they are rendered, unless all of them are known to be JSON.
    pub(in crate::plan) fn require_json(&mut self, object: bool) {
        self.json = match (self.is_always_json(), object) {
            (true, _) => JsonCheck::None,
            (false, true) => JsonCheck::Object,
            (false, false) => JsonCheck::Value,
        };
    }

    /// Returns the problem with a rendered message that must be JSON but is not.
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

    /// Returns whether all messages are certain to be JSON if one is. This holds if each placeholder is inside a string, where its
    /// characters need no escape, or is a number that forms a whole JSON value. It does not hold for lines from a file, or for
    /// digits before a placeholder, as in `1${uniform(..)}`: the number may be negative.
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
            // The device ids of an IoT hub do not contain quotes or backslashes, and neither do stamps.
            Part::Device | Part::Stamp => in_string,
            Part::Filler { bytes, .. } => *bytes >= 2,
            Part::Line { .. } | Part::Recorded(_) => false,
        })
    }
}
