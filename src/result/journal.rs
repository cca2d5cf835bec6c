//! The journal of a run: the file from which `report --recover` rebuilds the result of a run that was killed. `app` writes and reads it.
//!
//! A journal is the line `hubstorm.journal.v1`, then records. A record is its length and its checksum, as little-endian 32-bit numbers,
//! and its bytes. The checksum is the CRC-32 of the record's number, starting at 0, as a little-endian 32-bit number, and its bytes.
//! Record 0 is a result file whose numbers are 0: everything that is known at the start. Each other record contains what the collector
//! received in one second ([`Delta`](crate::measure::Delta)).
//!
//! It must not trust its input: memory use is bounded, and a record is used only if its checksum is right.

use super::file_error::FileError;
use super::journal_head::{MAGIC, STEM};
use super::model::{EndedBy, RunResult, Tls, operation_sums};
use super::recoveries::recoveries;
use crate::measure::{Latency, Limits, Replay, Replayed};
use crate::text_file;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

pub use super::journal_head::{is_journal, recover_command};

/// The length and the checksum of a record.
const FRAME_BYTES: usize = 8;
/// The maximum number of combinations of a fleet and a phase. Each takes a few hundred bytes.
const CELLS_MAX: usize = 1 << 18;
/// The maximum length of a record, far more than a second of the largest run takes.
const RECORD_BYTES_MAX: usize = 256 << 20;

/// Returns the start of the journal of a run. `start` contains everything that is known at the start.
///
/// # Errors
/// The result cannot be serialized.
pub fn head(start: &RunResult) -> Result<Vec<u8>, serde_json::Error> {
    Ok([MAGIC.as_bytes(), &record(0, &serde_json::to_vec(start)?)].concat())
}

/// Returns the record with this number.
#[must_use]
pub fn record(number: u32, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], &checksum(number, bytes).to_le_bytes(), bytes].concat()
}

fn checksum(number: u32, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&number.to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system reported an error.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The file is empty.
    #[error("{} is empty: hubstorm ended before the load began, so there is nothing to recover", path.display())]
    Empty {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is a result.
    #[error("{0} is a result file, not a journal. To render it:  hubstorm report {0}", path.display())]
    Result {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "{} is not a journal. Specify the .journal file that `hubstorm run` left in the folder for its results",
        path.display()
    )]
    Other {
        /// Path of the file.
        path: PathBuf,
    },
    /// A later version of hubstorm wrote the file.
    #[error(
        "{} is a journal of version {version}, but this hubstorm only reads version 1. Use the hubstorm that wrote it",
        path.display()
    )]
    Newer {
        /// Path of the file.
        path: PathBuf,
        /// Version in the first line.
        version: String,
    },
    /// The first record is incomplete.
    #[error("{} is cut off in its first record, before the first second: there is nothing to recover", path.display())]
    NoStart {
        /// Path of the file.
        path: PathBuf,
    },
    /// The first record is damaged.
    #[error("{} is damaged: its first record {why}. Copy it again from its source", path.display())]
    BadStart {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with the record.
        why: String,
    },
}

/// A recovered run. Its verdict, thresholds and findings are still those of the start.
#[derive(Debug)]
pub struct Recovered {
    /// The result up to the last record.
    pub result: RunResult,
    /// Number of recovered seconds.
    pub seconds: u32,
    /// Why the rest of the journal could not be used: a fragment such as `record 12 has a wrong checksum`.
    pub problem: Option<String>,
}

/// A record, or the reason why the journal has no further one.
enum Next {
    Record(Vec<u8>),
    End,
    CutOff,
    Damaged,
}

struct Records<R> {
    input: R,
    number: u32,
    /// Number of bytes that were read since the last good record.
    pending: u64,
}

impl<R: Read> Records<R> {
    fn next(&mut self) -> std::io::Result<Next> {
        self.pending = 0;
        let frame = self.take(FRAME_BYTES)?;
        let Ok([a, b, c, d, e, f, g, h]) = <[u8; FRAME_BYTES]>::try_from(frame.as_slice()) else {
            return Ok(if frame.is_empty() { Next::End } else { Next::CutOff });
        };
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > RECORD_BYTES_MAX {
            return Ok(Next::Damaged);
        }
        let bytes = self.take(length)?;
        if bytes.len() < length {
            return Ok(Next::CutOff);
        }
        if checksum(self.number, &bytes) != u32::from_le_bytes([e, f, g, h]) {
            return Ok(Next::Damaged);
        }
        self.number += 1;
        Ok(Next::Record(bytes))
    }

    /// Reads this number of bytes, or fewer at the end of the input.
    fn take(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.input.by_ref().take(count as u64).read_to_end(&mut bytes)?;
        self.pending += bytes.len() as u64;
        Ok(bytes)
    }

    /// Returns the number of bytes after the last good record.
    fn rest(&mut self) -> std::io::Result<u64> {
        Ok(self.pending + std::io::copy(&mut self.input, &mut std::io::sink())?)
    }
}

/// Reads a journal from `input`, up to its end or the first record that cannot be used. Errors refer to it as `path`.
///
/// # Errors
/// The input cannot be read, is not a journal, or lacks the first record.
pub fn read(path: &Path, mut input: impl Read) -> Result<Recovered, JournalError> {
    let io = |source| JournalError::Io { path: path.to_owned(), source };
    check_magic(path, &mut input)?;
    let mut records = Records { input, number: 0, pending: 0 };
    let bad_start = |why: String| JournalError::BadStart { path: path.to_owned(), why };
    let start = match records.next().map_err(io)? {
        Next::Record(bytes) => super::file::parse(path, &bytes).map_err(|error| match error {
            FileError::Newer { version, .. } => {
                JournalError::Newer { path: path.to_owned(), version: version.to_string() }
            }
            _ => bad_start("is not the start of a run".to_owned()),
        })?,
        Next::End | Next::CutOff => return Err(JournalError::NoStart { path: path.to_owned() }),
        Next::Damaged => return Err(bad_start("has a wrong checksum".to_owned())),
    };
    let measurement = &start.measurement;
    let cells = measurement.fleets.len().saturating_mul(measurement.phases.len());
    if measurement.highest_us > 1 << 50 || cells > CELLS_MAX {
        return Err(bad_start("is not the start of a run".to_owned()));
    }
    let mut replay =
        Replay::new(measurement.fleets.clone(), measurement.phases.clone(), measurement.highest_us)
            .with_targets(measurement.targets.clone());
    replay.schedule(measurement.disturbances.clone());
    let mut seconds = 0;
    let problem = loop {
        let number = records.number;
        let problem = match records.next().map_err(io)? {
            Next::Record(bytes) => match replay.add(&bytes) {
                Ok(()) => {
                    seconds += 1;
                    continue;
                }
                Err(error) => format!("record {number} is damaged: {error}"),
            },
            Next::End => break None,
            Next::CutOff => format!("record {number} is cut off"),
            Next::Damaged => format!("record {number} is damaged: its checksum is wrong"),
        };
        break Some(problem);
    };
    let ignored_bytes = if problem.is_some() { records.rest().map_err(io)? } else { 0 };
    Ok(Recovered { result: completed(start, replay.finish(), ignored_bytes), seconds, problem })
}

fn check_magic(path: &Path, input: &mut impl Read) -> Result<(), JournalError> {
    let path = path.to_owned();
    let mut magic = vec![0; MAGIC.len()];
    let mut length = 0;
    while length < magic.len() {
        match input.read(&mut magic[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(JournalError::Io { path, source }),
        }
    }
    magic.truncate(length);
    if magic == MAGIC.as_bytes() {
        return Ok(());
    }
    if magic.is_empty() {
        return Err(JournalError::Empty { path });
    }
    if MAGIC.as_bytes().starts_with(&magic) {
        return Err(JournalError::NoStart { path });
    }
    if let Some(version) = magic.strip_prefix(STEM.as_bytes()) {
        let version =
            String::from_utf8_lossy(version).trim_end().chars().filter(char::is_ascii_digit).collect();
        return Err(JournalError::Newer { path, version });
    }
    let text = text_file::skip_bom(&magic).unwrap_or(&magic).trim_ascii_start();
    Err(if text.starts_with(b"{") { JournalError::Result { path } } else { JournalError::Other { path } })
}

/// Returns the result of a run from what was known at its start and the replayed seconds.
fn completed(mut result: RunResult, replayed: Replayed, ignored_bytes: u64) -> RunResult {
    let Replayed { mut measurement, heartbeat, last } = replayed;
    measurement.breakdowns =
        [std::mem::take(&mut result.measurement.breakdowns), measurement.breakdowns].concat();
    let mut lag = Latency::default();
    for part in measurement.operations.iter().filter(|part| part.operation.is_message()) {
        lag.add(&part.totals.lag);
    }
    let generator = &mut result.generator;
    generator.cpu_us = last.generator.cpu_us;
    generator.cpu_peak_percent = last.generator.cpu_peak_percent;
    generator.rss_peak_bytes = last.generator.rss_peak_bytes;
    generator.fd_peak = last.generator.fd_peak;
    generator.heartbeat = heartbeat;
    generator.late = lag.count_above(Limits::default().late_after_us);
    generator.lag = lag;
    let run = &mut result.run;
    (run.duration_us, run.complete, run.ended_by) = (last.until_ns / 1_000, false, Some(EndedBy::Unknown));
    let recovery = run.recovery.get_or_insert_default();
    (recovery.until_us, recovery.ignored_bytes) = (run.duration_us, ignored_bytes);
    if let (Some([version, suite, group]), Some(tls)) = (last.tls, &mut run.target.tls) {
        *tls = Tls { version, suite, group, verified: tls.verified };
    } else {
        run.target.tls = None;
    }
    result.totals = operation_sums(&measurement);
    result.recoveries = recoveries(&measurement);
    result.measurement = measurement;
    result
}

#[cfg(test)]
mod tests;
