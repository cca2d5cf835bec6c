//! Combines the metrics: checks that the results are comparable, compares each metric, and decides over all of them.

use super::CompareError;
use super::judge::{FOLDER_MIN, Judged, judge};
use super::model::{ComparedRun, Comparison, Effect, Method, Metric, Note, Outcome, SCHEMA, Settings};
use super::options::Options;
use super::sample::Sample;
use super::stats::{ALPHA, holm, more_runs};
use crate::measure::Phase;
use crate::result::metric::MetricSpec;
use crate::result::model::{EndedBy, RunResult, Status, Tool};

/// A result with the path of its file.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Path, for messages.
    pub file: &'a str,
    /// Result.
    pub result: &'a RunResult,
}

/// Compares `new` with `base`. The same results always give the same comparison, except for `tool`.
///
/// # Errors
/// The results are not comparable, or a metric is not in them.
pub fn compare(
    base: &[Input],
    new: &[Input],
    options: &Options,
    tool: Tool,
) -> Result<Comparison, CompareError> {
    let (base, new) = (sorted(base), sorted(new));
    let last = new.last().ok_or(CompareError::NoResults)?;
    check_comparable(&base, &new, last)?;
    options.check(last.result)?;
    if base.is_empty() {
        return Ok(without_base(&new, options, tool));
    }
    let valid = |side: &[Input]| side.iter().any(|input| input.result.verdict.status != Status::Invalid);
    let mut notes = Vec::new();
    let is_invalid = !valid(&base) || new.iter().any(|input| input.result.verdict.status == Status::Invalid);
    let dropped = base.iter().filter(|input| input.result.verdict.status == Status::Invalid).count();
    let used: Vec<Input> =
        base.iter().filter(|input| input.result.verdict.status != Status::Invalid).copied().collect();
    let mut note = |code: &str, text: String| notes.push(Note { code: code.to_owned(), text });
    if is_invalid {
        let side = if valid(&base) { "new" } else { "base" };
        note(
            "invalid",
            format!("The {side} result is invalid: its own reasons say why. Run the scenario again"),
        );
    } else if dropped > 0 {
        note(
            "invalid_base",
            format!("{dropped} of {} base results are invalid and were left out", base.len()),
        );
    }
    let differs = !options.force && !is_invalid && environment_notes(&used, &new, &mut note);
    let metrics = if is_invalid { Vec::new() } else { metrics(&used, &new, last.result, options, differs)? };
    if metrics.iter().any(|metric| metric.method == Method::BlockBootstrap) {
        note("one_run_each", one_run_each(used.len(), options.noise));
    }
    let outcome = if is_invalid { Outcome::Invalid } else { overall(&metrics) };
    let comparison = without_base(&new, options, tool);
    Ok(Comparison {
        outcome,
        exit_code: exit_code(outcome).unwrap_or(comparison.exit_code),
        summary: summary(outcome, &metrics),
        base: base.iter().map(compared_run).collect(),
        metrics,
        notes,
        ..comparison
    })
}

/// Returns the comparison of the first results of a baseline.
fn without_base(new: &[Input], options: &Options, tool: Tool) -> Comparison {
    let codes = new.iter().map(|input| input.result.verdict.exit_code);
    Comparison {
        schema: SCHEMA.to_owned(),
        tool,
        outcome: Outcome::NoBase,
        // 99 (failed) wins over 120 (invalid).
        exit_code: codes.filter(|code| *code != 0).min().unwrap_or(0),
        summary: summary(Outcome::NoBase, &[]),
        base: Vec::new(),
        new: new.iter().map(compared_run).collect(),
        settings: Settings {
            alpha: ALPHA,
            tolerance: options.default_tolerance(),
            floor_us: options.floor_us,
            error_tolerance: options.error_tolerance,
            noise: options.noise,
            forced: options.force,
        },
        metrics: Vec::new(),
        notes: Vec::new(),
    }
}

/// Returns the exit code of an outcome; without a base, there is only that of the run.
fn exit_code(outcome: Outcome) -> Option<u8> {
    match outcome {
        Outcome::SameOrBetter => Some(0),
        Outcome::Invalid => Some(120),
        Outcome::Regressed => Some(121),
        Outcome::Inconclusive => Some(122),
        Outcome::NoBase => None,
    }
}

fn sorted<'a>(side: &[Input<'a>]) -> Vec<Input<'a>> {
    let mut side = side.to_vec();
    side.sort_by_key(|input| (&input.result.run.started, &input.result.run.id));
    side
}

fn one_run_each(base: usize, noise: f64) -> String {
    let percent = crate::units::Percent::from_fraction(noise);
    let folder = match base {
        1 => String::new(),
        _ => format!(" The base folder has {base} valid results, of which the latest is compared."),
    };
    format!(
        "One run each: a single pair cannot show the noise between runs, which is assumed to be {percent} (--noise).{folder} With a folder \
         of at least {FOLDER_MIN} base results, it is measured"
    )
}

/// Checks that all results are of the same load, complete, and different runs.
fn check_comparable(base: &[Input], new: &[Input], last: &Input) -> Result<(), CompareError> {
    for input in base.iter().chain(new) {
        let file = || input.file.to_owned();
        if !input.result.run.complete {
            return Err(CompareError::Incomplete { file: file() });
        }
        if input.result.run.ended_by.is_some_and(EndedBy::is_early) {
            return Err(CompareError::EndedEarly { file: file() });
        }
        if input.result.run.scenario.plan_sha256.is_empty() {
            return Err(CompareError::NoPlan { file: file() });
        }
    }
    for input in base.iter().chain(new) {
        let file = || input.file.to_owned();
        let (run, other) = (&last.result.run, &input.result.run);
        let differs = |what| CompareError::OtherLoad { file: last.file.to_owned(), other: file(), what };
        if run.scenario.plan_sha256 != other.scenario.plan_sha256 {
            return Err(differs("the load (plan_sha256)"));
        }
        if run.target.kind != other.target.kind || run.target.embedded != other.target.embedded {
            return Err(differs("the kind of the target"));
        }
        // The plan is the same, so its phases were changed during a run.
        if !same_phases(last.result, input.result) {
            return Err(differs("the list of phases"));
        }
    }
    for (index, input) in new.iter().enumerate() {
        let same = |other: &&Input| other.result.run == input.result.run;
        if let Some(other) = base.iter().chain(&new[index + 1..]).find(same) {
            let id = input.result.run.id.clone();
            return Err(CompareError::SameRun {
                file: input.file.to_owned(),
                other: other.file.to_owned(),
                id,
            });
        }
    }
    Ok(())
}

/// Returns true if the runs had the same phases, as planned.
fn same_phases(one: &RunResult, other: &RunResult) -> bool {
    let planned = |result: &RunResult| -> Vec<_> {
        let of = |phase: &Phase| (phase.name.clone(), phase.warmup, phase.planned_online, phase.planned_load);
        result.measurement.phases.iter().map(of).collect()
    };
    planned(one) == planned(other)
}

/// Adds a note for each difference of machine or version. Returns true if there is any.
fn environment_notes(base: &[Input], new: &[Input], note: &mut impl FnMut(&str, String)) -> bool {
    let Some(reference) = new.last() else { return false };
    let others = || base.iter().chain(new);
    let host = others().find(|input| input.result.run.host != reference.result.run.host);
    if let Some(other) = host {
        let words = |input: &Input| {
            let host = &input.result.run.host;
            format!("{} with {} cores", host.cpu, host.cores)
        };
        let text = "the machine decides the numbers, so the outcome is inconclusive. Compare runs on the same machine, or specify --force";
        note(
            "other_machine",
            format!("Other machine: base {}, new {}; {text}", words(other), words(reference)),
        );
    }
    let tool = |input: &Input| (input.result.tool.version.clone(), input.result.tool.git.clone());
    let version = others().find(|input| tool(input) != tool(reference));
    if let Some(other) = version {
        let words = |input: &Input| match tool(input) {
            (version, Some(git)) => format!("{version} ({git})"),
            (version, None) => version,
        };
        let text =
            "so the outcome is inconclusive. Record a new baseline with this version, or specify --force";
        note(
            "other_version",
            format!("Other hubstorm version: base {}, new {}, {text}", words(other), words(reference)),
        );
    }
    host.is_some() || version.is_some()
}

fn compared_run(input: &Input) -> ComparedRun {
    let run = &input.result.run;
    ComparedRun {
        file: input.file.to_owned(),
        id: run.id.clone(),
        scenario: run.scenario.name.clone(),
        started: run.started.clone(),
        status: input.result.verdict.status,
        tool: input.result.tool.clone(),
        host: run.host.clone(),
        target: run.target.clone(),
    }
}

fn metrics(
    base: &[Input],
    new: &[Input],
    last: &RunResult,
    options: &Options,
    differs: bool,
) -> Result<Vec<Metric>, CompareError> {
    let defaults = || MetricSpec::defaults(last);
    let specs = if options.metrics.is_empty() { defaults() } else { options.metrics.clone() };
    if specs.is_empty() {
        return Err(CompareError::NoMetrics);
    }
    let judged: Vec<Judged> = (0..)
        .zip(&specs)
        .map(|(stream, spec)| {
            let samples =
                |side: &[Input]| side.iter().map(|input| Sample::of(input.result, spec)).collect::<Vec<_>>();
            judge(spec, &samples(base), &samples(new), options, (specs.len(), stream))
        })
        .collect();
    Ok(decide_all(judged, differs))
}

/// Decides over all metrics together. `differs` is true if the machines or versions differ.
pub(super) fn decide_all(judged: Vec<Judged>, differs: bool) -> Vec<Metric> {
    let tested = |judged: &Judged| judged.estimate.filter(|_| judged.can_regress).map(|estimate| estimate.p);
    let p: Vec<f64> = judged.iter().filter_map(tested).collect();
    let mut adjusted = holm(&p).into_iter();
    let decided = judged.into_iter().map(|judged| {
        let adjusted = tested(&judged).and_then(|_| adjusted.next());
        let adjusted = judged.estimate.map(|_| adjusted.unwrap_or(1.0));
        decide(judged, adjusted, p.len(), differs)
    });
    decided.collect()
}

/// Returns the outcome over all metrics.
pub(super) fn overall(metrics: &[Metric]) -> Outcome {
    let any = |outcome| metrics.iter().any(|metric| metric.outcome == outcome);
    match () {
        () if any(Outcome::Regressed) => Outcome::Regressed,
        () if any(Outcome::Inconclusive) => Outcome::Inconclusive,
        () => Outcome::SameOrBetter,
    }
}

/// Decides one metric.
fn decide(judged: Judged, p_adjusted: Option<f64>, tests: usize, differs: bool) -> Metric {
    let estimate = judged.estimate;
    let mut reasons = judged.reasons;
    let mut outcome = match (judged.known, estimate, p_adjusted) {
        (Some(known), _, _) => known,
        (None, Some(_), Some(p)) if p <= ALPHA => Outcome::Regressed,
        (None, Some(estimate), _) if estimate.high <= judged.tolerance => Outcome::SameOrBetter,
        _ => Outcome::Inconclusive,
    };
    let mut more = None;
    if let (Outcome::Inconclusive, Some(estimate)) = (outcome, &estimate) {
        more = more_runs(estimate, tests, judged.tolerance).map(|more| match judged.method {
            // Fewer than five base results do not show the noise between runs.
            Method::BlockBootstrap => more.max(FOLDER_MIN as u64 - 1),
            _ => more,
        });
        reasons.push(if estimate.low > judged.tolerance {
            format!("the interval lies beyond the tolerance, but not for {tests} metrics together (Holm)")
        } else {
            "the interval contains the tolerance".to_owned()
        });
    }
    if differs && outcome != Outcome::Inconclusive {
        reasons.push(format!("{}, if the machine and the version were the same", outcome.words()));
        outcome = Outcome::Inconclusive;
    }
    let shown = |value: f64| match judged.effect {
        Effect::Ratio => value.exp_m1(),
        Effect::Difference => value,
    };
    let end = |of: fn(&super::stats::Estimate) -> f64| {
        estimate.as_ref().map(of).map(shown).filter(|value| value.is_finite())
    };
    let aggregate = judged.spec.aggregate;
    Metric {
        operation: judged.spec.operation,
        phase: judged.spec.phase,
        fleet: judged.spec.fleet,
        aggregation: aggregate.to_string(),
        unit: aggregate.unit().name().to_owned(),
        higher_is_better: aggregate.higher_is_better(),
        base: judged.base,
        new: judged.new,
        effect: judged.effect,
        change: end(|estimate| estimate.change),
        low: end(|estimate| estimate.low),
        high: end(|estimate| estimate.high),
        tolerance: shown(judged.tolerance),
        p_adjusted,
        outcome,
        method: judged.method,
        base_samples: judged.base_samples,
        new_samples: judged.new_samples,
        more_runs: more,
        reasons,
    }
}

/// Returns the outcome in one sentence.
fn summary(outcome: Outcome, metrics: &[Metric]) -> String {
    let of = |wanted: Outcome| metrics.iter().filter(move |metric| metric.outcome == wanted);
    let names = |wanted: Outcome| of(wanted).map(Metric::name).collect::<Vec<_>>().join(", ");
    match outcome {
        Outcome::Regressed => format!("Regressed: {}", names(outcome)),
        Outcome::SameOrBetter => {
            format!("Same or better in {}", crate::units::plural(metrics.len() as u64, "metric", "metrics"))
        }
        Outcome::Inconclusive => format!("Inconclusive: {}", names(outcome)),
        Outcome::Invalid => "Invalid: a result is invalid, so nothing was compared".to_owned(),
        Outcome::NoBase => "No base result yet, so nothing was compared".to_owned(),
    }
}
