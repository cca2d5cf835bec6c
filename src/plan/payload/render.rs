//! Renders messages from payloads and seeded random numbers. Called by devices.

use super::filler::fill;
use super::parts::{Part, Payload, PayloadContext, PayloadState};
use super::stamp::Stamp;
use crate::rng::{Purpose, generator};
use rand::RngExt;
use std::io::Write;
use std::time::Duration;

impl Payload {
    /// Returns a device's state before the first message of a stream. `purpose` selects the sequence of random numbers.
    #[must_use]
    pub fn state(&self, seed: u64, device_global: u64, purpose: Purpose) -> PayloadState {
        let walks = self.parts.iter().filter_map(|part| match part {
            Part::Walk { start, .. } => Some(*start),
            Part::Line { lines, .. } => Some((device_global % lines.len() as u64).cast_signed()),
            _ => None,
        });
        PayloadState { rng: generator(seed, device_global, purpose), walks: walks.collect() }
    }

    /// Appends a message to `out`. Does not allocate if `out` has enough capacity.
    pub fn render(&self, state: &mut PayloadState, context: &PayloadContext<'_>, out: &mut Vec<u8>) {
        self.render_stamped(state, context, None, out);
    }

    /// Like [`render`](Payload::render), with a stamp by which subscribers recognize the message.
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
                Part::Recorded(_) => Ok(()),
                Part::Stamp => stamp.map_or(Ok(()), |stamp| out.write_all(&stamp.to_text())),
                Part::Filler { bytes, stamped } => {
                    fill(out, *bytes, stamp.filter(|_| *stamped), &mut state.rng);
                    Ok(())
                }
            };
        }
    }

    /// Returns an upper bound on the size of a message, given the size of the device id.
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
            Part::Recorded(recording) => recording.longest_bytes(),
            Part::Filler { bytes, .. } => *bytes,
        };
        self.parts.iter().map(size).sum()
    }
}

/// The size of a time such as `2026-07-08T09:10:11.123Z`.
const TIME_BYTES: usize = 24;

fn write_time(out: &mut Vec<u8>, unix: Duration) -> std::io::Result<()> {
    let millis = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    write!(out, "{time:.3}")
}
