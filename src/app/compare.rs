//! `hubstorm compare`, and `run --compare`: reads the results, compares them, prints the comparison, and updates the baseline folder.
//! `crate::compare` decides.

mod output;

use super::{AppError, Env, environment_error, print, report, tell};
use crate::cli::{CompareArgs, CompareFormat, CompareOptions, InconclusiveAs};
use crate::compare::model::Outcome;
use crate::compare::{CompareError, Input, Options, compare};
use crate::report::exit;
use crate::result::model::Tool;
use crate::result::{self, disk};
use output::{Compared, Read};
use std::path::{Path, PathBuf};

/// Compares the results, prints the comparison, and returns the exit code.
pub(super) fn run(args: &CompareArgs, env: &mut Env) -> Result<u8, AppError> {
    let new = read_side(&args.new)?;
    if args.update_baseline && args.base.is_dir() && json_files(&args.base)?.is_empty() {
        return start_baseline(args, &new, env);
    }
    let base = read_side(&args.base)?;
    output::check(&args.export, &base, &new)?;
    let compared = compare_sides(&to_options(&args.options)?, &base, &new)?;
    // A format replaces the text; files do not.
    print(env, &compared.rendered(args.format, env)?)?;
    if !args.no_step_summary {
        compared.summarize(env);
    }
    compared.write(&args.export)?;
    let code = exit_code(compared.comparison.outcome, args.options.inconclusive);
    if args.update_baseline && code == exit::PASSED {
        update_baseline(&args.base, &base, &new, args.keep, env)?;
    }
    Ok(code)
}

/// Adds results that passed to an empty baseline. Returns the exit code of the results: there is nothing to compare them with.
fn start_baseline(args: &CompareArgs, new: &[Read], env: &mut Env) -> Result<u8, AppError> {
    let codes: Vec<u8> = new.iter().map(|(_, result)| result.verdict.exit_code).collect();
    let code = exit::strongest(&codes);
    let folder = args.base.display();
    if code == exit::PASSED {
        tell(env, &format!("the baseline {folder} was empty; later results are compared with this one\n"));
        update_baseline(&args.base, &[], new, args.keep, env)?;
    } else {
        tell(env, &format!("the baseline {folder} is still empty: only a result that passed starts it\n"));
    }
    Ok(code)
}

/// Checks the baseline of `run --compare` before the load.
pub(super) fn check_baseline(base: &Path) -> Result<(), AppError> {
    read_side(base).map(drop)
}

/// Compares the result of a run that has just ended with the baseline. Returns the exit code of the comparison.
pub(super) fn after_run(base: &Path, file: &Path, step_summary: bool, env: &mut Env) -> Result<u8, AppError> {
    let newest = result::read(file).map_err(|error| AppError::Environment(error.to_string()))?;
    // The run may have written its result into the baseline folder.
    let mut base = read_side(base)?;
    base.retain(|(_, result)| result.run.id != newest.run.id);
    let new = [(file.to_owned(), newest)];
    let compared = compare_sides(&Options::default(), &base, &new)?;
    print(env, &compared.rendered(CompareFormat::Text, env)?)?;
    if step_summary {
        compared.summarize(env);
    }
    Ok(exit_code(compared.comparison.outcome, None))
}

fn exit_code(outcome: Outcome, inconclusive: Option<InconclusiveAs>) -> u8 {
    match (outcome, inconclusive) {
        (Outcome::SameOrBetter, _) | (Outcome::Inconclusive, Some(InconclusiveAs::Pass)) => exit::PASSED,
        (Outcome::Regressed, _) | (Outcome::Inconclusive, Some(InconclusiveAs::Fail)) => exit::REGRESSED,
        (Outcome::Inconclusive, None) => exit::INCONCLUSIVE,
        (Outcome::Invalid, _) => exit::INVALID,
    }
}

fn compare_sides<'a>(options: &Options, base: &'a [Read], new: &'a [Read]) -> Result<Compared<'a>, AppError> {
    let names = |side: &[Read]| side.iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>();
    let (base_names, new_names) = (names(base), names(new));
    let bases: Vec<Input> =
        base_names.iter().zip(base).map(|(file, (_, result))| Input { file, result }).collect();
    let news: Vec<Input> =
        new_names.iter().zip(new).map(|(file, (_, result))| Input { file, result }).collect();
    let tool = Tool {
        name: "hubstorm".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git: option_env!("HUBSTORM_GIT").map(str::to_owned),
    };
    let comparison = compare(&bases, &news, options, tool).map_err(|error| app_error(&error))?;
    Ok(Compared { comparison, base, new })
}

/// A wrong metric is wrong usage; results that cannot be compared are bad files.
fn app_error(error: &CompareError) -> AppError {
    match error {
        CompareError::Metric { .. }
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
    let invalid = |error: CompareError| app_error(&error);
    Ok(Options {
        metrics: args.metric.iter().map(|text| text.parse().map_err(invalid)).collect::<Result<_, _>>()?,
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

/// Reads a result file, or all `.json` files of a folder.
fn read_side(path: &Path) -> Result<Vec<Read>, AppError> {
    if !path.is_dir() {
        return read_file(path).map(|read| vec![read]);
    }
    let files = json_files(path)?;
    if files.is_empty() {
        return Err(AppError::Environment(format!(
            "the folder {} contains no result (no .json file). Copy the .json file of a good run into it:  cp RESULT.json {}",
            path.display(),
            path.display()
        )));
    }
    files.iter().map(|file| read_file(file)).collect()
}

/// Returns the `.json` files of a folder, sorted.
fn json_files(folder: &Path) -> Result<Vec<PathBuf>, AppError> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        environment_error(&format!("cannot read the folder {}", folder.display()), &error)
    })?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Read, AppError> {
    report::read(path).map(|result| (path.to_owned(), result))
}

/// Adds the new results to the baseline folder, then removes the oldest ones. Never replaces a file.
fn update_baseline(
    folder: &Path,
    base: &[Read],
    new: &[Read],
    keep: usize,
    env: &mut Env,
) -> Result<(), AppError> {
    if !folder.is_dir() {
        return Err(AppError::Usage(format!(
            "--update-baseline needs a folder of results, but {} is a file. Create a folder, and move the file into it",
            folder.display()
        )));
    }
    for (file, result) in new {
        let to = folder.join(format!("{}.json", result.run.id));
        let bytes = std::fs::read(file)
            .map_err(|error| environment_error(&format!("cannot read {}", file.display()), &error))?;
        disk::create(&to, &bytes).map_err(|error| {
            environment_error(&format!("cannot add {} to the baseline", to.display()), &error)
        })?;
        tell(env, &format!("added {} to the baseline\n", to.display()));
    }
    let mut oldest_first: Vec<&Read> = base.iter().collect();
    oldest_first.sort_by_key(|(_, result)| &result.run.started);
    let surplus = (base.len() + new.len()).saturating_sub(keep);
    for (file, _) in oldest_first.into_iter().take(surplus) {
        std::fs::remove_file(file)
            .map_err(|error| environment_error(&format!("cannot remove {}", file.display()), &error))?;
        tell(env, &format!("removed {} from the baseline\n", file.display()));
    }
    Ok(())
}
