//! The format `hlog`: a histogram log, as the HdrHistogram libraries of all languages read it, with one entry for each operation. The
//! entry's tag is the name of the operation, and its values are the response times of ok operations in microseconds. Called by
//! `formats`. Uses only the result.

use super::super::ReportError;
use super::super::summary::Summary;
use crate::measure::{Latency, Phase};
use crate::result::model::RunResult;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use jiff::Timestamp;
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

/// Renders a histogram log. Its readers have the same samples, but Python's library rounds the rank of a percentile to the nearest
/// sample, while hubstorm and Java's library round it up. So with few samples, its percentile may be one sample lower.
pub(super) fn hlog(result: &RunResult) -> Result<String, ReportError> {
    let started = result.run.started.parse::<Timestamp>().map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    let (mut bytes, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("[Values: response times (due to acknowledgment) of ok operations, in microseconds]")
        .add_comment(
            "[Scope: all phases except warm-ups; warm-ups only, for operations that were due only there]",
        )
        // Readers disagree about which of the two the entries are relative to.
        .with_start_time(started)
        .with_base_time(started)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| ReportError::log(&error))?;
    for operation in Summary::of(result).operations {
        let (totals, _) = operation.headline();
        let (start, length) = span(result, operation.total.due == 0);
        let tag = Tag::new(operation.name());
        let histogram = histogram(&totals.response)?;
        let written = log.write_histogram(histogram.as_ref(), start, length, tag);
        written.map_err(|error| ReportError::log(&error))?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the samples; an empty histogram if no operation ended ok.
fn histogram(latency: &Latency) -> Result<Cow<'_, Histogram<u64>>, ReportError> {
    match latency.histogram() {
        Some(histogram) => Ok(histogram),
        None => Histogram::new(3).map(Cow::Owned).map_err(|error| ReportError::log(&error)),
    }
}

/// Returns the start and the length of the phases that an entry covers.
fn span(result: &RunResult, warmup: bool) -> (Duration, Duration) {
    let covered = || result.measurement.phases.iter().filter(|phase: &&Phase| warmup || !phase.warmup);
    let start_us = covered().map(|phase| phase.start_us).min().unwrap_or(0);
    let end_us = covered().map(|phase| phase.end_us).max().unwrap_or(0);
    (Duration::from_micros(start_us), Duration::from_micros(end_us.saturating_sub(start_us)))
}
