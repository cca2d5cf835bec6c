//! What messages contain: a template parsed once, rendered per message into a buffer that the worker reuses, with
//! seeded numbers. Called by devices; it knows neither topics nor clocks.

use super::fixed::{Fixed, FixedRange};
use super::lines::Lines;
use super::stamp::Stamp;
use crate::rng::{Purpose, Rng, generator};
use rand::{Rng as _, RngExt};
use serde::de::IgnoredAny;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// The contents of a stream's messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    parts: Vec<Part>,
    walks: usize,
    has_now: bool,
    json: JsonCheck,
}

/// What each message must be checked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum JsonCheck {
    /// Nothing: any bytes will do, or every rendering is JSON.
    #[default]
    None,
    Value,
    Object,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(Vec<u8>),
    Device,
    Index,
    Seq,
    Now,
    Uptime,
    Stamp,
    Uniform(FixedRange),
    Walk {
        slot: usize,
        start: i64,
        step: i64,
        range: FixedRange,
    },
    /// Lines of a file, in order or in any; which is next is kept where walks are.
    Line {
        slot: usize,
        lines: Arc<Lines>,
        shuffled: bool,
    },
    /// With a stamp at its begin, if it is to be tracked.
    Filler {
        bytes: usize,
        stamped: bool,
    },
}

/// What one device remembers of one stream's payloads: its generator and where its walks are.
#[derive(Clone, Debug)]
pub struct PayloadState {
    rng: Rng,
    walks: Box<[i64]>,
}

/// What a message is rendered with.
#[derive(Clone, Copy, Debug)]
pub struct PayloadContext<'a> {
    /// The device id: `${device}`.
    pub device: &'a str,
    /// The device's index within its fleet: `${index}`.
    pub index: u32,
    /// The message's number in its stream: `${seq}`.
    pub seq: u64,
    /// Time since the Unix epoch: `${now}`. Ignored if [`Payload::has_now`] is false.
    pub now_unix: Duration,
    /// Time since the run's zero: `${uptime}`.
    pub uptime: Duration,
}

/// A payload that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// `${` without its `}`.
    #[error("${{ is not closed")]
    Unclosed,
    /// No such placeholder.
    #[error("unknown placeholder ${{{0}}}")]
    Unknown(String),
    /// An argument is missing, unknown or no number.
    #[error("${{{placeholder}}}: {what}")]
    Argument {
        /// As written.
        placeholder: String,
        /// What is wrong with it.
        what: String,
    },
}

impl PayloadError {
    /// The name in the placeholder, where there is one.
    #[must_use]
    pub fn placeholder(&self) -> Option<&str> {
        match self {
            PayloadError::Unknown(text) | PayloadError::Argument { placeholder: text, .. } => {
                Some(text.split('(').next().unwrap_or(text).trim())
            }
            PayloadError::Unclosed => None,
        }
    }
}

/// The names of all placeholders, for errors.
pub(super) const PLACEHOLDERS: [&str; 8] =
    ["device", "index", "seq", "now", "uptime", "stamp", "uniform", "walk"];

/// What a payload may contain, for errors.
pub(super) const ALLOWED: &str = "${device}, ${index}, ${seq}, ${now}, ${uptime}, ${stamp}, ${uniform(min=0, \
                                  max=1.0)}, ${walk(start=20.0, step=0.5, min=0, max=40)}";

impl Payload {
    /// Parses a template such as `{"id":"${device}","kwh":${walk(start=1200, step=0.4, min=0)}}`. Numbers are
    /// printed with as many decimals as the most precise argument has.
    ///
    /// # Errors
    /// An unknown placeholder or argument.
    pub fn template(text: &str) -> Result<Payload, PayloadError> {
        let mut payload = Payload::empty();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let end = start + rest[start..].find('}').ok_or(PayloadError::Unclosed)?;
            if start > 0 {
                payload.parts.push(Part::Literal(rest.as_bytes()[..start].to_vec()));
            }
            let part = payload.placeholder(rest[start + 2..end].trim())?;
            payload.parts.push(part);
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            payload.parts.push(Part::Literal(rest.as_bytes().to_vec()));
        }
        Ok(payload)
    }

    /// Nothing.
    #[must_use]
    pub fn empty() -> Payload {
        Payload { parts: Vec::new(), walks: 0, has_now: false, json: JsonCheck::None }
    }

    /// `bytes` bytes that do not compress and are valid JSON (a string) from two bytes on.
    #[must_use]
    pub fn filler(bytes: usize) -> Payload {
        Payload { parts: vec![Part::Filler { bytes, stamped: false }], ..Payload::empty() }
    }

    /// Lines of a file: in order, each device from another one on, or any line each time.
    pub(super) fn lines(lines: Lines, shuffled: bool) -> Payload {
        let parts = vec![Part::Line { slot: 0, lines: Arc::new(lines), shuffled }];
        Payload { parts, walks: 1, ..Payload::empty() }
    }

    /// Whether it has a `${stamp}`, or room for one: filler has from `STAMPED_BYTES_MIN` on.
    #[must_use]
    pub fn can_carry_stamp(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Filler { bytes, .. } => *bytes >= STAMPED_BYTES_MIN,
            part => *part == Part::Stamp,
        })
    }

    /// Requires messages that are JSON, or even a JSON object. The caller has checked one rendering: from here on they are checked only
    /// if others may not be JSON.
    pub(super) fn require_json(&mut self, object: bool) {
        self.json = match (self.is_always_json(), object) {
            (true, _) => JsonCheck::None,
            (false, true) => JsonCheck::Object,
            (false, false) => JsonCheck::Value,
        };
    }

    /// Describes a rendered message that is not JSON although it must be.
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

    /// True if every rendering is JSON as soon as one is: if placeholders stand only in strings, where their characters need no escape,
    /// or are numbers that are a whole JSON value. `1${seq}` is not proved, because a number may be negative, nor is a file's line.
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
            // Devices of an IoT hub have no quotes and backslashes in their ids, and stamps have none.
            Part::Device | Part::Stamp => in_string,
            Part::Filler { bytes, .. } => *bytes >= 2,
            Part::Line { .. } => false,
        })
    }

    /// True if it has a `${now}`. Without one, the caller need not read a clock.
    #[must_use]
    pub fn has_now(&self) -> bool {
        self.has_now
    }

    /// Whether it was written with a `${stamp}`.
    #[must_use]
    pub fn has_stamp(&self) -> bool {
        self.parts.contains(&Part::Stamp)
    }

    /// Puts a stamp where there is room for one; false if there is none.
    pub(super) fn carry_stamp(&mut self) -> bool {
        for part in &mut self.parts {
            if let Part::Filler { bytes, stamped } = part {
                *stamped = *bytes >= STAMPED_BYTES_MIN;
            }
        }
        self.can_carry_stamp()
    }

    fn placeholder(&mut self, text: &str) -> Result<Part, PayloadError> {
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.strip_suffix(')')),
            None => (text, Some("")),
        };
        let arguments =
            Arguments::parse(text, arguments.ok_or_else(|| PayloadError::Unknown(text.to_owned()))?)?;
        match name {
            "device" => arguments.none(Part::Device),
            "index" => arguments.none(Part::Index),
            "seq" => arguments.none(Part::Seq),
            "now" => {
                self.has_now = true;
                arguments.none(Part::Now)
            }
            "uptime" => arguments.none(Part::Uptime),
            "stamp" => arguments.none(Part::Stamp),
            "uniform" => {
                let digits = arguments.only(&["min", "max"])?;
                let (min, max) = (arguments.require("min")?.at(digits), arguments.require("max")?.at(digits));
                Ok(Part::Uniform(arguments.range(min, max, digits)?))
            }
            "walk" => {
                let digits = arguments.only(&["start", "step", "min", "max"])?;
                let (start, step) =
                    (arguments.require("start")?.at(digits), arguments.require("step")?.at(digits));
                let bound = |name, otherwise| arguments.get(name).map_or(otherwise, |fixed| fixed.at(digits));
                // Without bounds a walk of 2^62 steps stays inside 64 bits.
                let range =
                    arguments.range(bound("min", i64::MIN / 2), bound("max", i64::MAX / 2), digits)?;
                if step < 0 || start < range.min || start > range.max {
                    return Err(
                        arguments.wrong("start must lie from min to max, and step must not be negative")
                    );
                }
                self.walks += 1;
                Ok(Part::Walk { slot: self.walks - 1, start, step, range })
            }
            _ => Err(PayloadError::Unknown(text.to_owned())),
        }
    }

    /// A device's state before the first message of a stream, whose random numbers are for `purpose`.
    #[must_use]
    pub fn state(&self, seed: u64, device_global: u64, purpose: Purpose) -> PayloadState {
        let walks = self.parts.iter().filter_map(|part| match part {
            Part::Walk { start, .. } => Some(*start),
            Part::Line { lines, .. } => Some((device_global % lines.len() as u64).cast_signed()),
            _ => None,
        });
        PayloadState { rng: generator(seed, device_global, purpose), walks: walks.collect() }
    }

    /// Appends a message to `out`. Nothing is allocated once `out` is large enough.
    pub fn render(&self, state: &mut PayloadState, context: &PayloadContext<'_>, out: &mut Vec<u8>) {
        self.render_stamped(state, context, None, out);
    }

    /// As [`render`](Payload::render), with the stamp that makes it known again where it arrives.
    pub fn render_stamped(
        &self,
        state: &mut PayloadState,
        context: &PayloadContext<'_>,
        stamp: Option<&Stamp>,
        out: &mut Vec<u8>,
    ) {
        for part in &self.parts {
            // Writing to a Vec cannot fail.
            let _ = match part {
                Part::Literal(bytes) => out.write_all(bytes),
                Part::Device => out.write_all(context.device.as_bytes()),
                Part::Index => write!(out, "{}", context.index),
                Part::Seq => write!(out, "{}", context.seq),
                Part::Now => write_time(out, context.now_unix),
                Part::Uptime => write!(out, "{}", context.uptime.as_secs()),
                Part::Uniform(range) => range.write(out, state.rng.random_range(range.min..=range.max)),
                Part::Walk { slot, step, range, .. } => match state.walks.get_mut(*slot) {
                    Some(value) => {
                        let moved = value.saturating_add(state.rng.random_range(-*step..=*step));
                        let now = std::mem::replace(value, moved.clamp(range.min, range.max));
                        range.write(out, now)
                    }
                    None => Ok(()),
                },
                Part::Line { slot, lines, shuffled } => {
                    let line = match state.walks.get_mut(*slot) {
                        Some(next) if !shuffled => {
                            let line = usize::try_from(*next).unwrap_or(0);
                            *next = (*next + 1) % i64::try_from(lines.len()).unwrap_or(i64::MAX);
                            line
                        }
                        _ => state.rng.random_range(0..lines.len()),
                    };
                    out.write_all(lines.get(line))
                }
                Part::Stamp => stamp.map_or(Ok(()), |stamp| out.write_all(&stamp.to_text())),
                Part::Filler { bytes, stamped } => {
                    fill(out, *bytes, stamp.filter(|_| *stamped), &mut state.rng);
                    Ok(())
                }
            };
        }
    }

    /// An upper bound of a message's size, for a device id of that many bytes.
    #[must_use]
    pub fn bytes_max(&self, device_bytes: usize) -> usize {
        let size = |part: &Part| match part {
            Part::Literal(bytes) => bytes.len(),
            Part::Device => device_bytes,
            Part::Index => 10,
            Part::Seq | Part::Uptime => 20,
            Part::Now => TIME_BYTES,
            Part::Uniform(range) | Part::Walk { range, .. } => range.bytes_max(),
            Part::Stamp => Stamp::BYTES,
            Part::Line { lines, .. } => lines.longest_bytes(),
            Part::Filler { bytes, .. } => *bytes,
        };
        self.parts.iter().map(size).sum()
    }
}

/// `2026-07-08T09:10:11.123Z`
const TIME_BYTES: usize = 24;

fn write_time(out: &mut Vec<u8>, unix: Duration) -> std::io::Result<()> {
    let millis = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    write!(out, "{time:.3}")
}

/// Letters that JSON needs not escape, 64 of them: one per six random bits.
const FILLER: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The least filler that has room for a stamp between its quotes.
pub(super) const STAMPED_BYTES_MIN: usize = Stamp::BYTES + 2;

fn fill(out: &mut Vec<u8>, bytes: usize, stamp: Option<&Stamp>, rng: &mut Rng) {
    let quotes = usize::from(bytes >= 2);
    out.extend(std::iter::repeat_n(b'"', quotes));
    let mut left = bytes - 2 * quotes;
    if let Some(stamp) = stamp.filter(|_| left >= Stamp::BYTES) {
        out.extend_from_slice(&stamp.to_text());
        left -= Stamp::BYTES;
    }
    while left > 0 {
        let mut bits = rng.next_u64();
        for _ in 0..left.min(10) {
            out.push(FILLER[(bits & 63) as usize]);
            bits >>= 6;
        }
        left -= left.min(10);
    }
    out.extend(std::iter::repeat_n(b'"', quotes));
}

/// The `name=number` pairs of one placeholder.
struct Arguments<'a> {
    placeholder: &'a str,
    pairs: Vec<(&'a str, Fixed)>,
}

impl<'a> Arguments<'a> {
    fn parse(placeholder: &'a str, text: &'a str) -> Result<Arguments<'a>, PayloadError> {
        let mut arguments = Arguments { placeholder, pairs: Vec::new() };
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let number =
                pair.split_once('=').map(|(name, number)| (name.trim(), Fixed::parse(number.trim())));
            let Some((name, Some(number))) = number else {
                return Err(arguments.wrong(&format!("{pair:?} is not name=number (at most 9 decimals)")));
            };
            arguments.pairs.push((name, number));
        }
        Ok(arguments)
    }

    fn wrong(&self, what: &str) -> PayloadError {
        PayloadError::Argument { placeholder: self.placeholder.to_owned(), what: what.to_owned() }
    }

    fn none(&self, part: Part) -> Result<Part, PayloadError> {
        self.only(&[]).map(|_| part)
    }

    /// Refuses other arguments than these; the decimals of the most precise one.
    fn only(&self, known: &[&str]) -> Result<u8, PayloadError> {
        for (name, _) in &self.pairs {
            if !known.contains(name) {
                return Err(self.wrong(&format!("unknown argument {name:?}")));
            }
        }
        Ok(self.pairs.iter().map(|(_, fixed)| fixed.digits).max().unwrap_or(0))
    }

    fn get(&self, name: &str) -> Option<Fixed> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, fixed)| *fixed)
    }

    fn require(&self, name: &str) -> Result<Fixed, PayloadError> {
        self.get(name).ok_or_else(|| self.wrong(&format!("{name} is missing")))
    }

    fn range(&self, min: i64, max: i64, digits: u8) -> Result<FixedRange, PayloadError> {
        if min > max { Err(self.wrong("min lies above max")) } else { Ok(FixedRange { min, max, digits }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: PayloadContext<'_> = PayloadContext {
        device: "meter-7",
        index: 7,
        seq: 41,
        now_unix: Duration::from_millis(1_751_965_811_120),
        uptime: Duration::from_millis(61_900),
    };

    fn messages(payload: &Payload, count: usize) -> Vec<String> {
        let mut state = payload.state(7, 3, Purpose::Payload(0));
        let message = |_| {
            let mut out = Vec::new();
            payload.render(&mut state, &CONTEXT, &mut out);
            assert!(out.len() <= payload.bytes_max(CONTEXT.device.len()));
            String::from_utf8(out).unwrap()
        };
        (0..count).map(message).collect()
    }

    #[test]
    fn placeholders_are_filled_in() {
        let payload =
            Payload::template(r#"{"id":"${device}","i":${index},"n":${ seq },"t":"${now}","up":${uptime}}"#)
                .unwrap();
        assert_eq!(
            messages(&payload, 1)[0],
            r#"{"id":"meter-7","i":7,"n":41,"t":"2025-07-08T09:10:11.120Z","up":61}"#
        );
        assert_eq!(messages(&Payload::template("").unwrap(), 1)[0], "");
    }

    #[test]
    fn numbers_have_the_decimals_that_were_written_and_stay_in_range() {
        let payload = Payload::template("${uniform(min=-1, max=2.50)}").unwrap();
        let found = messages(&payload, 1000);
        for text in &found {
            let number: f64 = text.parse().unwrap();
            assert!((-1.0..=2.5).contains(&number) && text.split_once('.').unwrap().1.len() == 2, "{text}");
        }
        assert!(found.iter().any(|text| text.starts_with("-0.")), "the sign of small numbers");
        let whole = messages(&Payload::template("${uniform(min=1,max=6)}").unwrap(), 1000);
        for face in 1..=6 {
            assert!(whole.contains(&face.to_string()));
        }
        assert!(whole.iter().all(|text| text.len() == 1));
    }

    #[test]
    fn a_walk_starts_where_it_should_steps_within_its_step_and_stays_in_its_bounds() {
        let payload = Payload::template("${walk(start=1.0, step=0.4, min=0, max=2)}").unwrap();
        let numbers: Vec<f64> = messages(&payload, 2000).iter().map(|text| text.parse().unwrap()).collect();
        assert!((numbers[0] - 1.0).abs() < 1e-9);
        assert!(numbers.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.4 + 1e-9));
        assert!(numbers.iter().all(|number| (0.0..=2.0).contains(number)));
        assert!(numbers.contains(&0.0) && numbers.contains(&2.0));
        let two = Payload::template("${walk(start=1, step=1)} ${walk(start=9, step=1)}").unwrap();
        assert_eq!(messages(&two, 1)[0], "1 9");
    }

    #[test]
    fn filler_is_json_of_exactly_that_size_and_does_not_repeat() {
        for bytes in [0, 1, 2, 3, 12, 256, 1000] {
            let found = messages(&Payload::filler(bytes), 2);
            assert_eq!(found[0].len(), bytes);
            if bytes >= 2 {
                assert!(serde_json::from_str::<String>(&found[0]).is_ok(), "{}", found[0]);
            }
            assert!(bytes < 12 || found[0] != found[1], "{bytes}");
        }
    }

    #[test]
    fn lines_come_in_order_from_another_one_for_each_device_or_in_any() {
        let lines = || Lines::of(b"a\nbb\nccc\n").unwrap();
        // Device 3 of `messages` is the fourth.
        assert_eq!(messages(&Payload::lines(lines(), false), 4), ["a", "bb", "ccc", "a"]);
        let mut fifth = Payload::lines(lines(), false).state(7, 4, Purpose::Payload(0));
        let mut out = Vec::new();
        Payload::lines(lines(), false).render(&mut fifth, &CONTEXT, &mut out);
        assert_eq!(out, b"bb");
        let any = messages(&Payload::lines(lines(), true), 300);
        assert!(["a", "bb", "ccc"].iter().all(|line| any.iter().filter(|found| found == line).count() > 50));
        assert_eq!(any, messages(&Payload::lines(lines(), true), 300), "the same seed, the same lines");
    }

    #[test]
    fn the_same_seed_gives_the_same_messages() {
        let payload = Payload::template("${uniform(min=0, max=1000000)}").unwrap();
        assert_eq!(messages(&payload, 5), messages(&payload, 5));
        let mut other = payload.state(7, 4, Purpose::Payload(0));
        let mut out = Vec::new();
        payload.render(&mut other, &CONTEXT, &mut out);
        assert_ne!(messages(&payload, 1)[0].as_bytes(), out);
    }

    #[test]
    fn only_payloads_that_may_not_be_json_are_checked() {
        for (text, checked) in [
            ("{}", false),
            (
                r#"{"id":"${device}","n":[${seq}, ${index}],"t":"${now}","v": ${uniform(min=-5,max=5)} }"#,
                false,
            ),
            ("${walk(start=0, step=1)}", false),
            (r#"{"v":1${uniform(min=-5,max=5)}}"#, true),
            (r#"{"v":${index}${seq}}"#, true),
            (r#"{"v":-${uniform(min=-5,max=5)}}"#, true),
            // An escape, such as \n, is JSON for some ids only.
            (r#"{"v":"\${device}"}"#, true),
            (r#"{"v":"a\"${now}"}"#, true),
        ] {
            let mut payload = Payload::template(text).unwrap();
            payload.require_json(true);
            assert_eq!(payload.json == JsonCheck::Object, checked, "{text}");
        }
        let mut payload = Payload::template(r#"{"v":1${uniform(min=-5,max=5)}}"#).unwrap();
        assert_eq!(payload.json_problem(b"1-1"), None, "no one requires JSON");
        payload.require_json(true);
        let problems = [&br#"{"v":11}"#[..], br#"{"v":1-1}"#, b" [1]"].map(|text| payload.json_problem(text));
        assert_eq!(problems, [None, Some("not JSON"), Some("not a JSON object")]);
        payload.require_json(false);
        assert_eq!(payload.json_problem(b" [1]"), None);
    }

    #[test]
    fn rendering_fills_a_buffer_that_is_reused() {
        let payload = Payload::template("${device} ${now} ${uniform(min=0.0, max=9.0)}").unwrap();
        let mut state = payload.state(1, 1, Purpose::Payload(1));
        let mut out = Vec::with_capacity(payload.bytes_max(7));
        let (pointer, capacity) = (out.as_ptr(), out.capacity());
        for _ in 0..100 {
            out.clear();
            payload.render(&mut state, &CONTEXT, &mut out);
        }
        assert_eq!((pointer, capacity), (out.as_ptr(), out.capacity()));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("${seq", "${ is not closed"),
            ("${sequence}", "unknown placeholder ${sequence}"),
            ("${uniform(min=1}", "unknown placeholder ${uniform(min=1}"),
            ("${uniform(min=1)}", "${uniform(min=1)}: max is missing"),
            ("${uniform(min=2, max=1)}", "${uniform(min=2, max=1)}: min lies above max"),
            (
                "${uniform(min=a, max=1)}",
                r#"${uniform(min=a, max=1)}: "min=a" is not name=number (at most 9 decimals)"#,
            ),
            ("${seq(x=1)}", r#"${seq(x=1)}: unknown argument "x""#),
            ("${walk(start=5, step=1, max=4)}", "start must lie"),
            ("${walk(start=5, step=-1)}", "start must lie"),
        ] {
            let error = Payload::template(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
