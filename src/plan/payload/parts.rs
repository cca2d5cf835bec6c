//! A parsed payload: its parts, and what a device keeps of it between messages. Made by `parse`, written out by `render`.

use super::filler::STAMPED_BYTES_MIN;
use super::fixed::FixedRange;
use super::payload_file::Lines;
use crate::rng::Rng;
use std::sync::Arc;
use std::time::Duration;

/// The contents of a stream's messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    pub(super) parts: Vec<Part>,
    pub(super) walks: usize,
    pub(super) has_now: bool,
    pub(super) json: JsonCheck,
}

/// What each message must be checked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum JsonCheck {
    /// Nothing: any bytes will do, or every rendering is JSON.
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
    pub(super) rng: Rng,
    pub(super) walks: Box<[i64]>,
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

impl Payload {
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
    pub(in crate::plan) fn lines(lines: Lines, shuffled: bool) -> Payload {
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
    pub(in crate::plan) fn carry_stamp(&mut self) -> bool {
        for part in &mut self.parts {
            if let Part::Filler { bytes, stamped } = part {
                *stamped = *bytes >= STAMPED_BYTES_MIN;
            }
        }
        self.can_carry_stamp()
    }
}
