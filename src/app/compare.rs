//! `hubstorm compare`, and `run --compare`: reads the results, compares them, prints the comparison, and updates the baseline folder.
//! `crate::compare` decides.

mod baseline;
mod capacity;
mod output;
mod side;

use super::{AppError, Env, print, tell};
use crate::cli::{CompareArgs, CompareFormat, CompareOptions, InconclusiveAs};
use crate::compare::model::{Comparison, Outcome};
use crate::compare::{CompareError, Input, Options, compare};
use crate::report::exit;
use crate::result;
use crate::result::metric::MetricError;
use crate::result::model::{EndedBy, Tool};
use output::Compared;
use side::Read;
use std::path::Path;

/// Compares the results, prints the comparison, and returns the exit code.
pub(super) fn run(args: &CompareArgs, env: &mut Env) -> Result<u8, AppError> {
    if let Some(both) = capacity::both(args)? {
        return capacity::run(args, &both, env);
    }
    let options = to_options(&args.options)?;
    baseline::check(&args.options, &args.base)?;
    let new = side::read(&args.new, env)?;
    let base = read_base(&args.base, &args.options, env)?;
    let inputs: Vec<&Path> = base.iter().chain(&new).map(|(path, _)| path.as_path()).collect();
    output::check(&args.export, &inputs)?;
    let compared = compare_sides(&options, &base, &new)?;
    // A format replaces the text; files do not.
    print(env, &compared.rendered(args.format, env)?)?;
    if !args.no_step_summary {
        compared.summarize(env);
    }
    compared.write(&args.export)?;
    conclude(&compared, &args.base, &args.options, exit::PASSED, env)
}

/// Checks the options and the baseline of `run --compare` before the load. `plan` is the fingerprint of the load.
pub(super) fn check(
    base: &Path,
    options: &CompareOptions,
    plan: &str,
    env: &mut Env,
) -> Result<(), AppError> {
    let parsed = to_options(options)?;
    baseline::check(options, base)?;
    let base = read_base(base, options, env)?;
    let Some((file, first)) = base.first() else { return Ok(()) };
    // The base results must be complete, and comparable with each other.
    compare_sides(&parsed, &[], &base)?;
    if first.run.scenario.plan_sha256 == plan {
        return Ok(());
    }
    Err(AppError::Environment(format!(
        "{} is not comparable with this scenario: the load (plan_sha256) differs. Compare runs of the same scenario, or record a new \
         baseline",
        file.display()
    )))
}

/// Compares the result of a run that has just ended with the baseline. `code` is the exit code of the run. Returns that of both.
pub(super) fn after_run(
    base_path: &Path,
    file: &Path,
    (options, code): (&CompareOptions, u8),
    step_summary: bool,
    env: &mut Env,
) -> Result<u8, AppError> {
    let newest = result::read(file).map_err(|error| AppError::Environment(error.to_string()))?;
    if !newest.run.complete || newest.run.ended_by.is_some_and(EndedBy::is_early) {
        tell(env, "the run ended early, so its result is not compared with the baseline\n");
        return Ok(code);
    }
    let mut base = side::read_if_any(base_path, env)?;
    // The run may have written its result into the baseline folder.
    base.retain(|(_, result)| result.run.id != newest.run.id);
    let new = [(file.to_owned(), newest)];
    let compared = compare_sides(&to_options(options)?, &base, &new)?;
    print(env, &compared.rendered(CompareFormat::Text, env)?)?;
    if step_summary {
        compared.summarize(env);
    }
    conclude(&compared, base_path, options, code, env)
}

/// Updates the baseline, if the options ask for it. Returns the exit code of the comparison and the run, whose code is `code`.
fn conclude(
    compared: &Compared,
    base: &Path,
    options: &CompareOptions,
    code: u8,
    env: &mut Env,
) -> Result<u8, AppError> {
    let code = exit::strongest(&[code, exit_code(&compared.comparison, options.inconclusive)]);
    if options.update_baseline {
        baseline::update(base, (compared.base, compared.new), options.keep, code, env)?;
    }
    Ok(code)
}

fn exit_code(comparison: &Comparison, inconclusive: Option<InconclusiveAs>) -> u8 {
    match (comparison.outcome, inconclusive) {
        (Outcome::Inconclusive, Some(InconclusiveAs::Pass)) => exit::PASSED,
        (Outcome::Inconclusive, Some(InconclusiveAs::Fail)) => exit::REGRESSED,
        _ => comparison.exit_code,
    }
}

/// Reads the base results. An empty folder is only a start with `--update-baseline`.
fn read_base(path: &Path, options: &CompareOptions, env: &mut Env) -> Result<Vec<Read>, AppError> {
    if options.update_baseline { side::read_if_any(path, env) } else { side::read(path, env) }
}

fn compare_sides<'a>(options: &Options, base: &'a [Read], new: &'a [Read]) -> Result<Compared<'a>, AppError> {
    let names = |side: &[Read]| side.iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>();
    let (base_names, new_names) = (names(base), names(new));
    let bases: Vec<Input> =
        base_names.iter().zip(base).map(|(file, (_, result))| Input { file, result }).collect();
    let news: Vec<Input> =
        new_names.iter().zip(new).map(|(file, (_, result))| Input { file, result }).collect();
    let comparison =
        compare(&bases, &news, options, Tool::this_program()).map_err(|error| app_error(&error))?;
    Ok(Compared { comparison, base, new })
}

/// A wrong metric is wrong usage; results that cannot be compared are bad files.
fn app_error(error: &CompareError) -> AppError {
    match error {
        CompareError::Metric(_)
        | CompareError::Tolerance(_)
        | CompareError::Selector { .. }
        | CompareError::NoMetrics => AppError::Usage(error.to_string()),
        _ => AppError::Environment(error.to_string()),
    }
}

fn to_options(args: &CompareOptions) -> Result<Options, AppError> {
    let usage = |option: &str, text: &str, allowed: &str| {
        AppError::Usage(format!("{option} {text:?} is not valid; allowed: {allowed}"))
    };
    let share = |option: &str, text: &str| {
        let percent: Result<crate::units::Percent, _> = text.parse();
        percent
            .map(crate::units::Percent::as_fraction)
            .map_err(|_| usage(option, text, "a share such as 10% or 0.1%"))
    };
    let floor = crate::units::parse_duration(&args.floor)
        .map_err(|_| usage("--floor", &args.floor, "a duration such as 1ms or 0s"))?;
    let metric =
        |text: &String| text.parse().map_err(|error: MetricError| AppError::Usage(error.to_string()));
    let invalid = |error: CompareError| app_error(&error);
    Ok(Options {
        metrics: args.metric.iter().map(metric).collect::<Result<_, _>>()?,
        tolerances: args
            .tolerance
            .iter()
            .map(|text| text.parse().map_err(invalid))
            .collect::<Result<_, _>>()?,
        floor_us: u64::try_from(floor.as_micros()).unwrap_or(u64::MAX),
        error_tolerance: share("--error-tolerance", &args.error_tolerance)?,
        noise: share("--noise", &args.noise)?,
        force: args.force,
    })
}
