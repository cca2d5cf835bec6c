//! `hubstorm compare` of two capacity results. Used by `compare`; `crate::capacity` decides.

use super::output;
use crate::app::capacity::read;
use crate::app::{AppError, Env, ci, environment_error, exports, print, print_text};
use crate::capacity::comparison::{CapacityComparison, Outcome, compare_capacities};
use crate::capacity::measured::CapacityResult;
use crate::cli::{CompareArgs, CompareFormat, InconclusiveAs};
use crate::report::{Export, capacity_comparison_text, exit};
use crate::result::disk;
use crate::units::Percent;
use std::convert::Infallible;
use std::path::Path;

/// The default for `--tolerance`.
const TOLERANCE: &str = "10%";

/// Reads both sides if the base is a capacity result.
pub(super) fn both(args: &CompareArgs) -> Result<Option<[CapacityResult; 2]>, AppError> {
    if !is_capacity(&args.base) {
        return Ok(None);
    }
    Ok(Some([read(&args.base)?, read(&args.new)?]))
}

/// Returns whether a file is a capacity result. The schema is its first field.
fn is_capacity(file: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else { return false };
    text.trim_start().trim_start_matches('{').trim_start().starts_with("\"schema\": \"hubstorm.capacity.")
}

/// Compares the capacities, prints the comparison, and returns the exit code.
pub(super) fn run(
    args: &CompareArgs,
    [base, new]: &[CapacityResult; 2],
    env: &mut Env,
) -> Result<u8, AppError> {
    let options = &args.options;
    if !options.metric.is_empty() || options.update_baseline {
        return Err(AppError::Usage(
            "a comparison of capacity results has no --metric and no --update-baseline; leave them out"
                .to_owned(),
        ));
    }
    let tolerance = options.tolerance.first().map_or(TOLERANCE, String::as_str);
    let tolerance = tolerance.parse::<Percent>().map_err(|_| {
        AppError::Usage(format!("--tolerance {tolerance:?} is not valid; allowed: a share such as 10%"))
    })?;
    for Export { format, .. } in &args.export {
        check(output::of_export(*format)?)?;
    }
    check(args.format)?;
    let compared =
        compare_capacities(base, new, (tolerance.as_fraction(), options.force)).map_err(|error| {
            AppError::Environment(format!(
                "{} and {} are not comparable: {error}",
                args.base.display(),
                args.new.display()
            ))
        })?;
    match args.format {
        CompareFormat::Json => print(env, &rendered(&compared, args.format)?)?,
        other => print_text(env, &rendered(&compared, other)?)?,
    }
    if !args.no_step_summary {
        ci::summarize(Ok::<_, Infallible>(capacity_comparison_text(&compared)), env);
    }
    let write = |Export { format, file }: &Export| {
        disk::replace(file, rendered(&compared, output::of_export(*format)?)?.as_bytes())
            .map_err(|error| environment_error(&format!("cannot write {}", file.display()), &error))
    };
    exports::all_written(args.export.iter().filter_map(|file| write(file).err()).collect())?;
    Ok(exit_code(compared.outcome, options.inconclusive))
}

fn check(format: CompareFormat) -> Result<(), AppError> {
    if format == CompareFormat::Html {
        let text = "a comparison of capacity results has no format html: use json, text or markdown";
        return Err(AppError::Usage(text.to_owned()));
    }
    Ok(())
}

fn rendered(compared: &CapacityComparison, format: CompareFormat) -> Result<String, AppError> {
    if format != CompareFormat::Json {
        return Ok(capacity_comparison_text(compared));
    }
    serde_json::to_string_pretty(compared)
        .map(|json| json + "\n")
        .map_err(|error| environment_error("cannot render the comparison", &error))
}

fn exit_code(outcome: Outcome, inconclusive: Option<InconclusiveAs>) -> u8 {
    match (outcome, inconclusive) {
        (Outcome::Regressed, _) | (Outcome::Inconclusive, Some(InconclusiveAs::Fail)) => exit::REGRESSED,
        (Outcome::SameOrBetter, _) | (Outcome::Inconclusive, Some(InconclusiveAs::Pass)) => exit::PASSED,
        (Outcome::Inconclusive, None) => exit::INCONCLUSIVE,
        (Outcome::Invalid, _) => exit::INVALID,
    }
}
