//! `hubstorm compare` of two capacity results. Used by `compare`; `crate::capacity` decides, and the formats are in `crate::report`.

use super::output;
use crate::app::file_kind::FileKind;
use crate::app::{AppError, Env, capacity_file, ci, environment_error, print, print_text};
use crate::capacity::comparison::{CapacityComparison, Input, Outcome, compare_capacities};
use crate::capacity::measured::CapacityResult;
use crate::cli::{CompareArgs, CompareFormat, InconclusiveAs};
use crate::report::{self, Width, exit};
use crate::result::model::Tool;
use crate::units::Percent;
use std::convert::Infallible;

/// The default for `--tolerance`.
const TOLERANCE: &str = "10%";

/// Reads both sides if one of them is a capacity result. Then the other one must be, too.
pub(super) fn both(args: &CompareArgs) -> Result<Option<[CapacityResult; 2]>, AppError> {
    let sides = [&args.base, &args.new];
    let is_capacity = sides
        .map(|file| std::fs::read(file).is_ok_and(|bytes| FileKind::of(&bytes) == Some(FileKind::Capacity)));
    if is_capacity == [false, false] {
        return Ok(None);
    }
    for (file, other) in [(&args.base, &args.new), (&args.new, &args.base)] {
        if file.is_dir() {
            return Err(AppError::Usage(format!(
                "{} is a folder, and {} is a capacity result: compare capacity results file by file",
                file.display(),
                other.display()
            )));
        }
    }
    Ok(Some([capacity_file::read(&args.base)?, capacity_file::read(&args.new)?]))
}

/// Compares the capacities, prints the comparison, and returns the exit code.
pub(super) fn run(args: &CompareArgs, both: &[CapacityResult; 2], env: &mut Env) -> Result<u8, AppError> {
    let options = &args.options;
    if !options.metric.is_empty() || options.update_baseline {
        return Err(AppError::Usage(
            "a comparison of capacity results has no --metric and no --update-baseline; leave them out"
                .to_owned(),
        ));
    }
    let tolerance = tolerance(&options.tolerance)?;
    output::check(&args.export, &[args.base.as_path(), args.new.as_path()])?;
    let [base, new] = both;
    let files = [&args.base, &args.new].map(|file| file.display().to_string());
    let [of_base, of_new] =
        [(&files[0], base), (&files[1], new)].map(|(file, result)| Input { file, result });
    let compared = compare_capacities(of_base, of_new, (tolerance, options.force), Tool::this_program())
        .map_err(|error| {
            let [base, new] = &files;
            AppError::Environment(format!("{base} and {new} are not comparable: {error}"))
        })?;
    match args.format {
        CompareFormat::Text => {
            print_text(env, &report::capacity_comparison_text(&compared, true, (env.out_width)()))?;
        }
        other => print(env, &rendered(&compared, both, other)?)?,
    }
    if !args.no_step_summary {
        ci::summarize(Ok::<_, Infallible>(report::capacity_comparison_markdown(&compared)), env);
    }
    output::write(&args.export, |format| rendered(&compared, both, format))?;
    Ok(exit_code(&compared, options.inconclusive))
}

fn tolerance(typed: &[String]) -> Result<f64, AppError> {
    let text = match typed {
        [] => TOLERANCE,
        [one] => one,
        _ => {
            return Err(AppError::Usage(
                "--tolerance: a comparison of capacity results has one tolerance, for the capacity; specify it once".to_owned(),
            ));
        }
    };
    // A capacity cannot decrease by more than all of it.
    let share = text.parse().map(Percent::as_fraction).ok().filter(|share| *share <= 1.0);
    share.ok_or_else(|| {
        AppError::Usage(format!(
            "--tolerance {text:?} is not valid; allowed: a share up to 100%, such as 10%"
        ))
    })
}

/// Renders the comparison for a file.
fn rendered(
    compared: &CapacityComparison,
    [base, new]: &[CapacityResult; 2],
    format: CompareFormat,
) -> Result<String, AppError> {
    let failed = |error: &dyn std::fmt::Display| environment_error("cannot render the comparison", error);
    match format {
        CompareFormat::Text => Ok(report::capacity_comparison_text(compared, false, Width::FILE)),
        CompareFormat::Markdown => Ok(report::capacity_comparison_markdown(compared)),
        CompareFormat::Json => {
            serde_json::to_string_pretty(compared).map(|json| json + "\n").map_err(|error| failed(&error))
        }
        CompareFormat::Html => {
            report::capacity_comparison_page(compared, base, new).map_err(|error| failed(&error))
        }
        CompareFormat::Junit => report::capacity_comparison_junit(compared).map_err(|error| failed(&error)),
    }
}

fn exit_code(compared: &CapacityComparison, inconclusive: Option<InconclusiveAs>) -> u8 {
    match (compared.outcome, inconclusive) {
        (Outcome::Inconclusive, Some(InconclusiveAs::Fail)) => exit::REGRESSED,
        (Outcome::Inconclusive, Some(InconclusiveAs::Pass)) => exit::PASSED,
        _ => compared.exit_code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_at_most_100_percent() {
        for (typed, expected) in [("10%", Some(0.1)), ("100%", Some(1.0)), ("200%", None), ("10", None)] {
            let tolerance = tolerance(&[typed.to_owned()]);
            assert_eq!(tolerance.as_ref().ok().copied(), expected, "{typed}");
            if let Err(error) = tolerance {
                let expected = format!("--tolerance {typed:?} is not valid; allowed: a share up to 100%");
                assert!(error.to_string().starts_with(&expected), "{error}");
            }
        }
    }
}
