//! A parsed payload, and the state that a device keeps between its messages. Made by `parse`, written by `render`.

use super::filler::STAMPED_BYTES_MIN;
use super::fixed::FixedRange;
use super::payload_file::Lines;
use crate::plan::recording::Recording;
use crate::rng::Rng;
use std::sync::Arc;
use std::time::Duration;

/// The payload of a stream's messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    pub(super) parts: Vec<Part>,
    pub(super) walks: usize,
    pub(super) has_now: bool,
    pub(super) json: JsonCheck,
}

/// The check that each rendered message needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum JsonCheck {
    /// No check: any bytes are permitted, or every message is known to be JSON.
    #[default]
    None,
    Value,
    Object,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
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
    /// Lines of a file, in order or shuffled. The index of the next line is stored in `PayloadState::walks`.
    Line {
        slot: usize,
        lines: Arc<Lines>,
        shuffled: bool,
    },
    /// The payloads of recorded messages. The device reads them together with their topics or properties, so `render` writes nothing.
    Recorded(Arc<Recording>),
    /// Random bytes. They begin with a stamp if the stream is tracked.
    Filler {
        bytes: usize,
        stamped: bool,
    },
}

/// The state of a device's payloads in one stream: the random number generator, and the current value of each walk.
#[derive(Clone, Debug)]
pub struct PayloadState {
    pub(super) rng: Rng,
    pub(super) walks: Box<[i64]>,
}

/// The values with which a message is rendered.
#[derive(Clone, Copy, Debug)]
pub struct PayloadContext<'a> {
    /// Device id: `${device}`.
    pub device: &'a str,
    /// Device index within its fleet: `${index}`.
    pub index: u32,
    /// Sequence number of the message in its stream: `${seq}`.
    pub seq: u64,
    /// Time since the Unix epoch: `${now}`. Ignored if [`Payload::has_now`] is false.
    pub now_unix: Duration,
    /// Time since the start of the run: `${uptime}`.
    pub uptime: Duration,
}

impl Payload {
    /// Creates an empty payload.
    #[must_use]
    pub fn empty() -> Payload {
        Payload { parts: Vec::new(), walks: 0, has_now: false, json: JsonCheck::None }
    }

    /// Creates a payload of `bytes` bytes that does not compress. With at least two bytes, it is a JSON string.
    #[must_use]
    pub fn filler(bytes: usize) -> Payload {
        Payload { parts: vec![Part::Filler { bytes, stamped: false }], ..Payload::empty() }
    }

    /// Creates a payload from the lines of a file: shuffled, or in order, with a different first line for each device.
    pub(in crate::plan) fn lines(lines: Lines, shuffled: bool) -> Payload {
        let parts = vec![Part::Line { slot: 0, lines: Arc::new(lines), shuffled }];
        Payload { parts, walks: 1, ..Payload::empty() }
    }

    /// Creates a payload from a recording.
    pub(in crate::plan) fn recorded(recording: Recording) -> Payload {
        Payload { parts: vec![Part::Recorded(Arc::new(recording))], ..Payload::empty() }
    }

    /// Returns the recording from which the payload comes.
    #[must_use]
    #[inline]
    pub fn recording(&self) -> Option<&Arc<Recording>> {
        match self.parts.first() {
            Some(Part::Recorded(recording)) => Some(recording),
            _ => None,
        }
    }

    /// Returns whether the payload has a `${stamp}` or room for a stamp. A filler of at least `STAMPED_BYTES_MIN` bytes has room.
    #[must_use]
    pub fn can_carry_stamp(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Filler { bytes, .. } => *bytes >= STAMPED_BYTES_MIN,
            part => *part == Part::Stamp,
        })
    }

    /// Returns the non-empty lines of a payload file with their numbers, or `None` if the payload is not from a file.
    pub(in crate::plan) fn file_lines(&self) -> Option<impl Iterator<Item = (usize, &[u8])>> {
        self.parts.iter().find_map(|part| match part {
            Part::Line { lines, .. } => Some(lines.numbered()),
            _ => None,
        })
    }

    /// Returns whether the payload has a `${now}`. If not, the caller need not read a clock.
    #[must_use]
    pub fn has_now(&self) -> bool {
        self.has_now
    }

    /// Returns whether the template has a `${stamp}`.
    #[must_use]
    pub fn has_stamp(&self) -> bool {
        self.parts.contains(&Part::Stamp)
    }

    /// Adds a stamp to a filler with room for one. Returns whether messages carry a stamp.
    pub(in crate::plan) fn carry_stamp(&mut self) -> bool {
        for part in &mut self.parts {
            if let Part::Filler { bytes, stamped } = part {
                *stamped = *bytes >= STAMPED_BYTES_MIN;
            }
        }
        self.can_carry_stamp()
    }
}
