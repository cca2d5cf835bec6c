//! The history of a scenario: metrics over many results. `app` reads the results; this file groups them by plan, orders them by start
//! time, and finds the changes between them. [`text`], [`page`] and [`csv`] render the history. Independent of files.

mod csv;
mod page;
mod text;

use super::banner::Banner;
use super::format::{self, plain};
use super::metric::{self, Reading};
use crate::result::metric::MetricSpec;
use crate::result::model::{RunResult, Status};
use jiff::Timestamp;

pub use csv::{Table, csv};
pub use page::html;
pub use text::text;

/// Shows that something is unknown.
const UNKNOWN: &str = "unknown";
/// The number of digits of a plan's hash that are shown.
const PLAN_DIGITS: usize = 8;

/// A result to put into a history.
#[derive(Debug)]
pub struct HistoryInput {
    /// Name of the file in its folder.
    pub file: String,
    /// Name of the HTML report beside it, if there is one.
    pub page: Option<String>,
    /// The result, without the data that a history does not show.
    result: RunResult,
}

impl HistoryInput {
    /// Keeps only the parts of a result that a history shows, because a folder can contain many results.
    #[must_use]
    pub fn new(file: String, page: Option<String>, mut result: RunResult) -> HistoryInput {
        result.measurement.series.rows.clear();
        result.measurement.health.clear();
        result.measurement.errors.clear();
        result.totals.clear();
        result.run.scenario.text.clear();
        HistoryInput { file, page, result }
    }
}

/// The histories of the plans in a folder, the most recent one first.
#[derive(Debug)]
pub struct History {
    /// One for each scenario and plan.
    pub groups: Vec<Group>,
    /// Copies of runs that are already in a group: the file, and the file that is shown.
    pub copies: Vec<(String, String)>,
}

/// The results of one scenario and plan.
#[derive(Debug)]
pub struct Group {
    /// Name of the scenario.
    pub name: String,
    /// Start of the plan's hash.
    pub plan: String,
    /// Metrics, in the order of the columns.
    pub metrics: Vec<MetricSpec>,
    /// Runs, from the oldest.
    pub runs: Vec<HistoryRun>,
    /// Limits of the thresholds of the newest run, by metric.
    limits: Vec<Option<f64>>,
}

/// A run in a history.
#[derive(Debug)]
pub struct HistoryRun {
    /// Name of the result file.
    pub file: String,
    /// Name of the HTML report beside it, if there is one.
    pub page: Option<String>,
    /// Id of the run.
    pub id: String,
    /// Start of the run.
    pub started: Timestamp,
    /// Verdict, as a report shows it.
    pub(super) banner: Banner,
    /// True if the verdict is pass or fail and the run followed its plan to the end.
    pub is_valid: bool,
    /// Version of hubstorm, with the commit if it is known.
    version: String,
    commit: String,
    host: String,
    target: String,
    /// What differs from the previous run.
    pub changes: Vec<Change>,
    /// A value for each metric.
    pub values: Vec<Option<Reading>>,
}

/// A difference between a run and the previous one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `version`, `host` or `target`.
    pub what: &'static str,
    /// Value in the previous run.
    pub from: String,
    /// Value in this run.
    pub to: String,
}

impl Change {
    /// Returns the change in words.
    fn words(&self) -> String {
        format!("{} changed from {} to {}", self.what, self.from, self.to)
    }
}

impl History {
    /// Groups results by scenario and plan, and reads the metrics. Without `wanted`, each group has the metrics of its newest run's
    /// thresholds.
    #[must_use]
    pub fn of(mut inputs: Vec<HistoryInput>, wanted: &[MetricSpec]) -> History {
        // A run's own file comes before copies of it under other names.
        let is_copy = |input: &HistoryInput| input.file != format!("{}.json", input.result.run.id);
        inputs.sort_by_cached_key(|input| (is_copy(input), input.file.clone()));
        let mut copies = Vec::new();
        let mut kept: Vec<HistoryInput> = Vec::new();
        for input in inputs {
            let run = &input.result.run;
            let same = |other: &&HistoryInput| {
                (&other.result.run.id, &other.result.run.started) == (&run.id, &run.started)
            };
            match kept.iter().find(same) {
                Some(first) => copies.push((input.file, first.file.clone())),
                None => kept.push(input),
            }
        }
        kept.sort_by_cached_key(|input| (started(&input.result), input.file.clone()));
        let mut groups: Vec<(String, String, Vec<HistoryInput>)> = Vec::new();
        for input in kept {
            let (name, plan) = (plain(&input.result.run.scenario.name), plan(&input.result));
            match groups.iter_mut().find(|(known, of, _)| (known, of) == (&name, &plan)) {
                Some((.., inputs)) => inputs.push(input),
                None => groups.push((name, plan, vec![input])),
            }
        }
        let mut groups: Vec<Group> = groups
            .into_iter()
            .filter_map(|(name, plan, inputs)| Group::of(name, &plan, inputs, wanted))
            .collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.runs.last().map(|run| run.started)));
        History { groups, copies }
    }

    /// Returns the first of these metrics that no run has.
    #[must_use]
    pub fn never_read<'a>(&self, wanted: &'a [MetricSpec]) -> Option<&'a MetricSpec> {
        let is_read = |index: usize| {
            self.groups
                .iter()
                .flat_map(|group| &group.runs)
                .any(|run| run.values.get(index).is_some_and(Option::is_some))
        };
        wanted.iter().enumerate().find(|(index, _)| !is_read(*index)).map(|(_, metric)| metric)
    }
}

impl Group {
    /// `None` for a group without runs.
    fn of(name: String, plan: &str, inputs: Vec<HistoryInput>, wanted: &[MetricSpec]) -> Option<Group> {
        let newest = &inputs.last()?.result;
        let metrics = if wanted.is_empty() { MetricSpec::defaults(newest) } else { wanted.to_vec() };
        let rules = newest.rules.iter().flat_map(|rules| &rules.thresholds);
        let of_rules: Vec<(MetricSpec, f64)> = rules
            .zip(&newest.thresholds)
            .filter_map(|(rule, threshold)| Some((MetricSpec::of_rule(rule)?, threshold.limit)))
            .collect();
        let limit =
            |metric: &MetricSpec| of_rules.iter().find(|(of, _)| of == metric).map(|(_, limit)| *limit);
        let limits = metrics.iter().map(limit).collect();
        let mut runs: Vec<HistoryRun> = Vec::new();
        for input in inputs {
            let run = HistoryRun::of(input, &metrics, runs.last());
            runs.push(run);
        }
        let plan = plain(&plan.chars().take(PLAN_DIGITS).collect::<String>());
        Some(Group { name, plan, metrics, runs, limits })
    }

    /// Returns the scenario, the number of its results, and the plan.
    fn title(&self) -> String {
        let results = format::plural(self.runs.len() as u64, "result", "results");
        format!("{}: {results} of plan {}", self.name, self.plan)
    }

    /// Returns the days of the first and the last run.
    fn days(&self) -> String {
        let day = |run: Option<&HistoryRun>| {
            run.map_or_else(String::new, |run| run.started.strftime("%Y-%m-%d").to_string())
        };
        let (first, last) = (day(self.runs.first()), day(self.runs.last()));
        if first == last { first } else { format!("{first} to {last}") }
    }
}

impl HistoryRun {
    fn of(input: HistoryInput, metrics: &[MetricSpec], previous: Option<&HistoryRun>) -> HistoryRun {
        let HistoryInput { file, page, result } = input;
        let (run, tool) = (&result.run, &result.tool);
        let commit = tool.git.as_deref().map(plain).unwrap_or_default();
        let git = if commit.is_empty() { String::new() } else { format!(" ({commit})") };
        let cores = format::plural(run.host.cores.into(), "core", "cores");
        // The port of the built-in hub differs in each run.
        let target = match run.target.embedded {
            true => "the built-in hub".to_owned(),
            false => {
                format!("{} at {}:{}", plain(&run.target.kind), plain(&run.target.host), run.target.port)
            }
        };
        let mut this = HistoryRun {
            id: plain(&run.id),
            started: started(&result),
            banner: Banner::of(&result),
            is_valid: run.complete && result.verdict.status != Status::Invalid,
            version: format!("{}{git}", plain(&tool.version)),
            commit,
            host: format!("{}, {}, {cores}", plain(&run.host.os), plain(&run.host.cpu)),
            target,
            changes: Vec::new(),
            values: metrics.iter().map(|metric| metric::read(metric, &result)).collect(),
            file,
            page,
        };
        if let Some(previous) = previous {
            this.changes = this.changes_since(previous);
        }
        this
    }

    fn changes_since(&self, previous: &HistoryRun) -> Vec<Change> {
        [
            ("version", &previous.version, &self.version),
            ("host", &previous.host, &self.host),
            ("target", &previous.target, &self.target),
        ]
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(what, from, to)| Change { what, from: from.clone(), to: to.clone() })
        .collect()
    }
}

/// Returns the start of a run. A file with another text counts as the oldest.
fn started(result: &RunResult) -> Timestamp {
    result.run.started.parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Returns what identifies the plan of a run: its hash, or the hash of the scenario's text in files from earlier versions.
fn plan(result: &RunResult) -> String {
    let scenario = &result.run.scenario;
    match (scenario.plan_sha256.as_str(), scenario.sha256.as_str()) {
        ("", "") => UNKNOWN.to_owned(),
        ("", text) => text.to_owned(),
        (plan, _) => plan.to_owned(),
    }
}

#[cfg(test)]
mod tests;
