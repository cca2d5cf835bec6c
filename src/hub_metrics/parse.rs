//! Parses the JSON of `az monitor metrics list`: one output, an array of outputs, or several outputs one after the other. Called by `app`.
//!
//! Missing values are null. Times end in `Z` or `+00:00`, with or without a fraction of a second. A metric that is split by a dimension has
//! several time series.

use super::error::{HubMetricsError, METRICS_BYTES_MAX};
use super::interval::length_us;
use super::known::{KNOWN, Known, Reading};
use super::model::{HubMetrics, NotUsed};
use super::series::{Bin, Collected};
use crate::text_file;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The kind of resource that an IoT hub is.
const NAMESPACE: &str = "Microsoft.Devices/IotHubs";
/// No counter of a hub is larger. Sums of such values are exact enough.
const VALUE_MAX: f64 = 1e15;

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    interval: Option<String>,
    #[serde(default)]
    value: Option<Vec<RawMetric>>,
}

#[derive(Deserialize)]
struct RawMetric {
    name: Name,
    #[serde(default)]
    id: Option<String>,
    #[serde(rename = "errorCode", default)]
    error_code: Option<String>,
    #[serde(rename = "errorMessage", default)]
    error_message: Option<String>,
    #[serde(default)]
    timeseries: Option<Vec<RawSeries>>,
}

#[derive(Deserialize)]
struct Name {
    value: String,
}

#[derive(Deserialize)]
struct RawSeries {
    #[serde(default)]
    data: Option<Vec<RawPoint>>,
}

#[derive(Deserialize)]
struct RawPoint {
    #[serde(rename = "timeStamp")]
    time: String,
    #[serde(default)]
    total: Option<f64>,
    #[serde(default)]
    average: Option<f64>,
    #[serde(default)]
    minimum: Option<f64>,
    #[serde(default)]
    maximum: Option<f64>,
}

/// Parses the metrics of an IoT hub. A byte order mark is skipped.
///
/// # Errors
/// The bytes are not JSON as Azure prints it, or contain values that no hub has. A metric that cannot be used is not an error.
pub fn parse(bytes: &[u8]) -> Result<HubMetrics, HubMetricsError> {
    if bytes.len() as u64 > METRICS_BYTES_MAX {
        return Err(HubMetricsError::TooLarge);
    }
    if let Some(compression) = text_file::compression(bytes) {
        return Err(HubMetricsError::Compressed(compression));
    }
    let text = text_file::decode(bytes).map_err(HubMetricsError::Encoding)?;
    if text.trim().is_empty() {
        return Err(HubMetricsError::Empty);
    }
    let mut reader = Reader::default();
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let document = document.map_err(|error| not_json(text, &error))?.get();
        let place = Place { text, document };
        if document.starts_with('[') {
            let outputs: Vec<Output> = place.parse()?;
            outputs.into_iter().try_for_each(|output| reader.add(output))?;
        } else {
            reader.add(place.parse()?)?;
        }
    }
    reader.finish()
}

fn not_json(text: &str, error: &serde_json::Error) -> HubMetricsError {
    if error.is_eof() {
        return HubMetricsError::CutOff;
    }
    // The output of `-o table` or of a failed command is recognized by its first character.
    let starts_json = text.trim_start().starts_with(['{', '[']);
    let what = if starts_json { without_place(error) } else { "it starts with neither { nor [".to_owned() };
    HubMetricsError::NotJson { line: error.line(), column: error.column(), what }
}

/// Returns the message of an error without its place.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

/// A document in a text. Its errors are relative to its start.
struct Place<'a> {
    text: &'a str,
    document: &'a str,
}

impl Place<'_> {
    fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, HubMetricsError> {
        serde_json::from_str(self.document).map_err(|error| {
            // The document is a part of the text.
            let start = self.document.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
            let before = self.text.get(..start).unwrap_or_default();
            let lines = before.matches('\n').count();
            let columns = if error.line() == 1 { before.rsplit('\n').next().map_or(0, str::len) } else { 0 };
            HubMetricsError::Shape {
                line: lines + error.line(),
                column: columns + error.column(),
                what: without_place(&error),
            }
        })
    }
}

/// Collects the metrics of all outputs.
#[derive(Default)]
struct Reader {
    hub: Option<String>,
    collected: Vec<Collected>,
    not_used: Vec<NotUsed>,
    span_us: Option<[i64; 2]>,
}

impl Reader {
    fn add(&mut self, output: Output) -> Result<(), HubMetricsError> {
        if let Some(schema) = output.schema.filter(|schema| schema.starts_with("hubstorm.")) {
            return Err(HubMetricsError::OfHubstorm(schema.chars().take(60).collect()));
        }
        let metrics = output.value.ok_or(HubMetricsError::NoValue)?;
        if let Some(other) = output.namespace.filter(|name| !name.eq_ignore_ascii_case(NAMESPACE)) {
            return Err(HubMetricsError::OtherResource(other.chars().take(80).collect()));
        }
        let interval = match &output.interval {
            Some(interval) => {
                length_us(interval).ok_or_else(|| format!("{interval:?} is not a length of time"))
            }
            None => Err("the key \"interval\" is missing".to_owned()),
        };
        let interval_us = interval.map_err(HubMetricsError::Interval)?;
        metrics.into_iter().try_for_each(|metric| self.add_metric(metric, interval_us))
    }

    fn add_metric(&mut self, metric: RawMetric, interval_us: u64) -> Result<(), HubMetricsError> {
        self.note_hub(metric.id.as_deref())?;
        let name = metric.name.value;
        let failed = metric.error_code.filter(|code| !code.eq_ignore_ascii_case("Success"));
        let all = metric.timeseries.unwrap_or_default();
        let reason = match (Known::of(&name), failed) {
            (None, _) => "hubstorm does not know it".to_owned(),
            (Some(Known { reading: Reading::Replaced(by), .. }), _) => {
                format!("Azure replaced it by {by}; query that metric")
            }
            (_, Some(code)) => match metric.error_message {
                Some(message) => format!("Azure Monitor reported the error {code}: {message}"),
                None => format!("Azure Monitor reported the error {code}"),
            },
            (Some(Known { reading: Reading::Snapshot, .. }), None) if all.len() > 1 => {
                "it is split by a dimension, and its parts cannot be added; query it without --dimension and --filter".to_owned()
            }
            (Some(known), None) => {
                let points = self.points(known, all, interval_us)?;
                let index = self.collected.iter().position(|one| one.known == known).unwrap_or_else(|| {
                    self.collected.push(Collected::new(known));
                    self.collected.len() - 1
                });
                self.collected[index].add(interval_us, points);
                return Ok(());
            }
        };
        let not_used = NotUsed { name, reason };
        if !self.not_used.contains(&not_used) {
            self.not_used.push(not_used);
        }
        Ok(())
    }

    /// Adds up the time series of a metric.
    fn points(
        &mut self,
        known: &Known,
        all: Vec<RawSeries>,
        interval_us: u64,
    ) -> Result<BTreeMap<i64, Bin>, HubMetricsError> {
        let mut points: BTreeMap<i64, Bin> = BTreeMap::new();
        for raw in all.into_iter().filter_map(|series| series.data).flatten() {
            let start_us = time_us(known, &raw.time)?;
            let values = [raw.total, raw.average, raw.minimum, raw.maximum];
            let value = |value: f64| -> Result<f64, HubMetricsError> {
                let is_count = (0.0..=VALUE_MAX).contains(&value);
                is_count.then_some(value).ok_or_else(|| HubMetricsError::Value {
                    metric: known.name.to_owned(),
                    time: raw.time.clone(),
                    value: format!("{value:?}"),
                })
            };
            let mut checked = [None; 4];
            for (checked, raw) in checked.iter_mut().zip(values) {
                *checked = raw.map(value).transpose()?;
            }
            let [total, average, minimum, maximum] = checked;
            let sum = points.get(&start_us).and_then(|bin| bin.total);
            let total = total.map_or(sum, |total| Some(total + sum.unwrap_or(0.0)));
            points.insert(start_us, Bin { start_us, total, average, minimum, maximum });
            let end_us = start_us.saturating_add(i64::try_from(interval_us).unwrap_or(i64::MAX));
            let [first, last] = self.span_us.unwrap_or([start_us, end_us]);
            self.span_us = Some([first.min(start_us), last.max(end_us)]);
        }
        Ok(points)
    }

    /// Notes the hub of a metric, from an id such as `/subscriptions/../providers/Microsoft.Devices/IotHubs/NAME/providers/..`.
    fn note_hub(&mut self, id: Option<&str>) -> Result<(), HubMetricsError> {
        let mut parts =
            id.unwrap_or_default().split('/').skip_while(|part| !part.eq_ignore_ascii_case("IotHubs"));
        let Some(name) = parts.nth(1).filter(|name| !name.is_empty()) else { return Ok(()) };
        match &self.hub {
            Some(known) if !known.eq_ignore_ascii_case(name) => {
                Err(HubMetricsError::SeveralHubs(known.clone(), name.to_owned()))
            }
            Some(_) => Ok(()),
            None => {
                self.hub = Some(name.to_owned());
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<HubMetrics, HubMetricsError> {
        let Reader { hub, mut collected, mut not_used, span_us } = self;
        collected.sort_by_key(|one| KNOWN.iter().position(|known| known == one.known));
        let mut series = Vec::new();
        for one in collected {
            let known = one.known;
            match one.finish()? {
                Ok(found) => series.push(found),
                Err(reason) => not_used.push(NotUsed { name: known.name.to_owned(), reason }),
            }
        }
        Ok(HubMetrics { hub, series, not_used, span_us })
    }
}

fn time_us(known: &Known, time: &str) -> Result<i64, HubMetricsError> {
    let error =
        |_| HubMetricsError::Time { metric: known.name.to_owned(), time: time.chars().take(60).collect() };
    time.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_microsecond).map_err(error)
}
