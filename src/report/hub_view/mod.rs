//! The hub's own view of a run: the metrics that an IoT hub publishes about itself, on the timeline of a result, beside hubstorm's numbers.
//! `app` creates a [`HubView`] for `report --hub-metrics`; `text`, `page`, `charts` and `formats::markdown` show it. Pure. It changes neither
//! the result nor its verdict.
//!
//! `timeline` puts the hub's intervals on the time of the run, `ours` counts hubstorm's side, `compare` and `signs` compare both (`comparison` is
//! the outcome), and `words` has the sentences.

mod compare;
mod comparison;
mod error;
mod ours;
mod signs;
mod timeline;
mod words;

use super::findings::finding;
use super::format::plain;
use crate::hub_metrics::{HubMetrics, Metric};
use crate::result::model::{Finding, RunResult, Severity};
use comparison::Comparison;
pub use error::HubViewError;
pub(super) use ours::{ended_ok_d2c, slow};
use timeline::Time;
pub(super) use timeline::{RunBin, Shown};

/// The hub's metrics beside those of a result.
#[derive(Clone, Debug)]
pub struct HubView {
    /// Sentences about the file, the compared time and the assumptions.
    pub(super) lead: Vec<String>,
    /// A row for each metric.
    pub(super) rows: Vec<[String; 4]>,
    /// Metrics that are not shown, each with the reason.
    pub(super) not_used: Vec<String>,
    /// Where the two sides agree and disagree, warnings first.
    pub(super) findings: Vec<Finding>,
    shown: Vec<Shown>,
}

/// The columns of a row.
pub(super) const COLUMNS: [&str; 4] = ["Metric", "hubstorm", "The hub", "Difference"];
/// The heading of the section.
pub(super) const HEADING: &str = "The hub's own view";

impl HubView {
    /// Puts metrics beside a result. `file` names the metrics in messages.
    ///
    /// # Errors
    /// The target was not an IoT hub in Azure, or the metrics have no value during the run.
    pub fn of(result: &RunResult, metrics: &HubMetrics, file: &str) -> Result<HubView, HubViewError> {
        let target = &result.run.target;
        if target.kind != "iot-hub" {
            return Err(HubViewError::Broker);
        }
        if target.embedded {
            return Err(HubViewError::BuiltIn);
        }
        let file = plain(file);
        let time = Time::of(result).ok_or_else(|| HubViewError::NoStart(result.run.started.clone()))?;
        let not_used: Vec<String> = metrics
            .not_used
            .iter()
            .map(|one| format!("{}: {}", plain(&one.name), plain(&one.reason)))
            .collect();
        if metrics.series.is_empty() {
            let reasons = if not_used.is_empty() { "it lists none".to_owned() } else { not_used.join("; ") };
            return Err(HubViewError::NothingUsable { file, reasons });
        }
        let shown: Vec<Shown> = metrics.series.iter().filter_map(|series| Shown::of(series, time)).collect();
        if shown.is_empty() {
            return Err(time.outside(file, &metrics.series));
        }
        // A run against several hubs has one series of numbers for all of them.
        let is_comparable = result.measurement.targets.len() < 2;
        let comparisons: Vec<Comparison> = match is_comparable {
            true => shown.iter().map(|one| compare::compare(result, one, time)).collect(),
            false => shown.iter().map(compare::only_hub).collect(),
        };
        let compared = match is_comparable {
            true => words::compared(&shown, time).ok_or("the run covers no whole interval of them"),
            false => Err("the run used several hosts"),
        };
        let mut findings: Vec<Finding> = comparisons.iter().flat_map(|one| one.findings.clone()).collect();
        findings.extend(agreement(&comparisons, &compared, time));
        findings.extend(other_hub(result, metrics));
        findings.extend(clock_steps(result));
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(HubView {
            lead: words::lead(metrics.hub.as_deref(), &file, &compared, time),
            rows: comparisons.into_iter().map(|one| one.row).collect(),
            not_used,
            findings,
            shown,
        })
    }

    /// Returns the length of an interval in words: `1 minute`.
    pub(super) fn interval(&self, shown: &Shown) -> String {
        words::interval(shown.length_us)
    }

    /// Returns the intervals of a metric during the run.
    pub(super) fn shown(&self, metric: Metric) -> Option<&Shown> {
        self.shown.iter().find(|one| one.metric == metric)
    }
}

/// Returns the findings of a run, with those of the hub's own view, warnings first.
pub(super) fn with_findings<'a>(result: &'a RunResult, hub: Option<&'a HubView>) -> Vec<&'a Finding> {
    let of_hub = hub.map_or(&[][..], |view| view.findings.as_slice());
    let mut findings: Vec<&Finding> = result.findings.iter().chain(of_hub).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// Returns a finding about the metrics on which the hub and hubstorm agree, or about the reason why none is compared. `compared` is the
/// compared time.
fn agreement(comparisons: &[Comparison], compared: &Result<String, &str>, time: Time) -> Option<Finding> {
    let compared = match compared {
        Ok(compared) => compared,
        Err(why) => {
            let text = format!("The hub's metrics were not compared with the run, because {why}");
            return Some(finding(Severity::Note, text, words::run_time(time)));
        }
    };
    let agreed: Vec<&str> =
        comparisons.iter().filter(|one| one.agrees).map(|one| one.row[0].as_str()).collect();
    (!agreed.is_empty()).then(|| {
        let text = format!("The hub and hubstorm agree on {}", words::list(&agreed));
        let evidence = format!("{compared}; differences up to {} count as agreement", words::TOLERANCE);
        finding(Severity::Note, text, evidence)
    })
}

/// Returns a warning if this machine's clock was stepped during the run, because it recorded the start of the run.
fn clock_steps(result: &RunResult) -> Option<Finding> {
    let steps = result.measurement.clock_steps.len() as u64;
    (steps > 0).then(|| {
        let text = "This machine's clock was stepped during the run, so the hub's intervals may be shifted against the run";
        finding(Severity::Warning, text, super::format::plural(steps, "step", "steps"))
    })
}

/// Returns a warning if the metrics are not those of the run's target. A hub's host name starts with its name (Azure:
/// `NAME.azure-devices.net`); other host names, such as those of a gateway, say nothing about the hub.
fn other_hub(result: &RunResult, metrics: &HubMetrics) -> Option<Finding> {
    let (name, domain) = result.run.target.host.split_once('.')?;
    let hub = metrics.hub.as_ref()?;
    let is_other =
        domain.to_ascii_lowercase().starts_with("azure-devices.") && !name.eq_ignore_ascii_case(hub);
    is_other.then(|| {
        let text = "The metrics are those of another hub than the target of the run. Specify the target with --resource";
        let evidence = format!("metrics of {}, target {}", plain(hub), plain(&result.run.target.host));
        finding(Severity::Warning, text, evidence)
    })
}

#[cfg(test)]
mod tests;
