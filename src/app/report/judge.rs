//! `report --judge`: replaces the verdict, thresholds and findings of a result, with the thresholds of the run or of another scenario file.
//! Used by `report`. It changes the result in memory only.

use super::super::{AppError, Env, read_scenario, tell};
use crate::cli::ScenarioArgs;
use crate::measure::Rules;
use crate::plan::rules_for_run;
use crate::report::{self, Judgment};
use crate::result::model::RunResult;
use crate::scenario::{self, Input, ThresholdsOnly};
use std::path::Path;

/// Judges the measurement again by the rules in the file. If the file is from an earlier version and contains no rules, the verdict stays
/// unchanged.
pub(super) fn again(result: &mut RunResult, env: &mut Env) {
    match report::judge_again(result) {
        Some(judged) => replace(result, judged),
        None => {
            let text = "note: this file was written by an earlier version of hubstorm and cannot be judged again; this is the stored verdict\n";
            tell(env, text);
        }
    }
}

fn replace(result: &mut RunResult, judged: Judgment) {
    result.verdict = judged.verdict;
    result.thresholds = judged.thresholds;
    result.findings = judged.findings;
}

/// Judges the measurement by the thresholds of a scenario file, and by the run's own limits of validity. Notes say what else differs.
///
/// # Errors
/// The file has no valid thresholds, or they name phases or fleets that the run did not have. Or the result is from an earlier version.
pub(super) async fn with_thresholds_of(
    path: &Path,
    result: &mut RunResult,
    env: &mut Env,
) -> Result<(), AppError> {
    let Some(rules) = result.rules.clone() else {
        let text = "this result was written by an earlier version of hubstorm, without the data that a verdict needs. Run its scenario \
                    again, and judge the new result";
        return Err(AppError::Environment(text.to_owned()));
    };
    let (file, text) = read_scenario::read_text(path).await?;
    let input = Input {
        file: &file,
        text: &text,
        overrides: &[],
        env: &|name| (env.var)(name),
        files: &scenario::no_files,
    };
    let (found, mut errors) = scenario::read_thresholds(&input);
    let left_out = left_out(&found, result);
    let (thresholds, without) = rules_for_run(&found.thresholds, &result.measurement, &left_out, &mut errors);
    if !errors.is_empty() {
        let text = format!(
            "the result cannot be judged with the thresholds of {file}; nothing was written\n{errors}"
        );
        return Err(AppError::Scenario(text));
    }
    if let Some(note) = other_load(path, &text, &found, result, env).await {
        tell(env, &format!("note: {note}\n"));
    }
    if !without.is_empty() {
        let without = without.join(", ");
        tell(env, &format!("note: the run left out the fleets of these thresholds (--fleet): {without}\n"));
    }
    result.rules = Some(Rules { thresholds, thresholds_from: Some(file), ..rules });
    if let Some(judged) = report::judge_again(result) {
        replace(result, judged);
    }
    Ok(())
}

/// Returns the fleets of the scenario that a run with `--fleet` left out. Other fleets that the run did not have are mistakes.
fn left_out(found: &ThresholdsOnly, result: &RunResult) -> Vec<String> {
    let is_part = result.run.overrides.iter().any(|change| change.starts_with("--fleet "));
    let ran = |name: &String| result.measurement.fleets.iter().any(|fleet| fleet.name == *name);
    if is_part { found.fleets.iter().filter(|name| !ran(name)).cloned().collect() } else { Vec::new() }
}

/// Says whether the scenario describes another load than that of the run. `None` if it is the same, or if the file has only thresholds.
async fn other_load(
    path: &Path,
    text: &str,
    found: &ThresholdsOnly,
    result: &RunResult,
    env: &Env,
) -> Option<String> {
    let of_run = &result.run.scenario;
    if found.fleets.is_empty() || of_run.text == text || of_run.plan_sha256.is_empty() {
        return None;
    }
    let file = path.display();
    let args = ScenarioArgs::of(path.to_owned());
    // Stdin has been read already.
    let plan = if read_scenario::is_stdin(path) { None } else { read_scenario::plan(&args, env).await.ok() };
    let changes = match result.run.overrides.as_slice() {
        [] => String::new(),
        changes => format!(" (the run had {})", report::plain(&changes.join(", "))),
    };
    match plan {
        Some(plan) if plan.fingerprint() == of_run.plan_sha256 => None,
        Some(_) => Some(format!(
            "{file} describes another load than that of the run{changes}; only its thresholds are used"
        )),
        None => Some(format!(
            "the load of {file} cannot be compared with that of the run; only its thresholds are used"
        )),
    }
}
