//! `--resume`: reads the trials of an earlier search, and checks that it was the same search. Used by `capacity`.

use super::settings::Setup;
use crate::app::{AppError, capacity_file};
use crate::capacity::measured::{CapacityResult, SearchSettings, Trial};
use crate::capacity::{Next, Search};
use crate::cli::CapacityArgs;
use crate::plan::Plan;

/// Returns the trials of the search to resume; none without `--resume`.
pub(super) fn trials(args: &CapacityArgs, plan: &Plan, setup: &Setup) -> Result<Vec<Trial>, AppError> {
    let Some(file) = &args.resume else { return Ok(Vec::new()) };
    let before = capacity_file::read(file)?;
    let differs = |what: &str| {
        AppError::Usage(format!(
            "--resume {}: {what} differs from that search; repeat its options, or start a new search",
            file.display()
        ))
    };
    if before.run.scenario.plan_sha256 != plan.fingerprint() {
        return Err(differs("the load (plan_sha256)"));
    }
    // Earlier versions did not write the level of the scenario, which follows from the plan.
    let settings = SearchSettings { whole: setup.settings.whole, ..before.search.clone() };
    if settings != setup.settings {
        return Err(differs(different(&before, setup)));
    }
    // The search chooses its levels from the trials so far, so the same trials lead to the same levels.
    let mut search = Search::new(setup.rules);
    for trial in &before.trials {
        if search.next() != (Next::Trial { level: trial.level.level }) {
            return Err(differs(
                "the order of the trials (the file is from another version, or was changed), which",
            ));
        }
        search.record(trial.level.level, trial.verdict.into());
    }
    Ok(before.trials.into_iter().map(|trial| Trial { resumed: true, ..trial }).collect())
}

/// Returns the name of a setting that differs.
fn different(before: &CapacityResult, setup: &Setup) -> &'static str {
    let (old, new) = (&before.search, &setup.settings);
    match () {
        () if old.vary != new.vary => "--vary",
        () if old.phase != new.phase => "--phase",
        () if old.from != new.from => "--from",
        () if old.to != new.to => "--to",
        () if (old.width - new.width).abs() > 0.0 => "--width",
        () if (old.hold_us, old.settle_us) != (new.hold_us, new.settle_us) => "--hold",
        () if old.confirm != new.confirm => "--confirm",
        () if old.exhaust_burst != new.exhaust_burst => "--exhaust-burst",
        () => "[thresholds]",
    }
}
