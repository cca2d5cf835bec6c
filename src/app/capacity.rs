//! `hubstorm capacity`: reads the scenario, prepares the run, searches for the highest load that still meets the thresholds, and writes the
//! result. This file contains the order of the steps; the steps themselves are in other files.

mod counts;
mod output;
mod prepare;
mod remaining;
mod resume;
mod search_run;
mod settings;
mod trials;

use super::read_scenario::{self, ScenarioText};
use super::run::{stop_emulator, until_interrupted, workers};
use super::{AppError, Env, build_result};
use crate::capacity::answer::{answer, criteria, curve};
use crate::capacity::measured::{CapacityResult, EndReason, SCHEMA, SearchRun, Trial};
use crate::capacity::{Answer, SearchRules};
use crate::cli::CapacityArgs;
use crate::clock::WallClock;
use crate::fleet::{self, Finished};
use crate::live::Style;
use crate::report::exit;
use crate::result::model::RunResult;
use crate::units::plural;
use search_run::search_run;
use settings::{Scale, Setup};
use std::sync::Arc;
use trials::Trials;

/// Searches for the capacity. Returns the exit code.
pub(super) async fn run(args: &CapacityArgs, env: &mut Env) -> Result<u8, AppError> {
    let interrupts = env.interrupts.clone();
    if read_scenario::is_stdin(&args.scenario.scenario) {
        // The scenario is read from stdin, so the user cannot answer a question there.
        env.answer = None;
    }
    let scenario = until_interrupted(&interrupts, 0, ScenarioText::read(&args.scenario)).await?;
    let mut plan = scenario.resolve(&args.scenario, env, |_| {})?;
    let workers = workers(args.workers, &plan);
    let setup = settings::resolve(args, &plan, &prepare::machine(workers))?;
    let resumed = resume::trials(args, &plan, &setup)?;
    let plan_sha256 = plan.fingerprint();
    if let Some(devices) = &setup.devices {
        plan = prepare::scaled(args, env, &scenario, &devices.fleets(setup.rules.to))?;
    }
    output::check(args, &plan)?;
    let preparing = prepare::prepare(args, env, &mut plan, (&setup, workers));
    let prepared = until_interrupted(&interrupts, 0, preparing).await?;
    let preflight_passed = prepared.emulator.is_none() && !args.no_preflight;
    let mut before = build_result::before(&plan, workers, preflight_passed, &env.argv);
    // The load is that of the scenario, not that of the highest number of devices.
    before.run.scenario.plan_sha256 = plan_sha256;

    let limits = prepare::message_limits(args, &plan);
    let plan = Arc::new(match setup.devices {
        None => plan.into_trials(setup.phase, &setup.slots),
        Some(_) => {
            let share = setup.scale.share(setup.rules.from) / setup.scale.share(setup.rules.to);
            plan.into_device_trials(setup.phase, &setup.slots, share)
        }
    });
    let settings = fleet::Settings {
        workers,
        endpoints: prepared.endpoints,
        trace: None,
        measured: true,
        observer: None,
        journal: None,
        wall: WallClock::default(),
    };
    let mut emulator = prepared.emulator;
    let (mut trials, first) = Trials::new(&setup, (setup.times(&plan), limits), resumed);
    let running =
        search_run(env, &plan, (settings, style(args, env)), emulator.as_mut(), (&mut trials, first));
    let mut finished = running.await?;
    let mut changed = 0;
    let mut breakdowns = finished.measurement.breakdowns.clone();
    if let Some(emulator) = emulator {
        let allowed = *interrupts.borrow();
        let stopped = until_interrupted(&interrupts, allowed, stop_emulator(emulator)).await;
        match stopped {
            Ok(report) => {
                build_result::add_shards(&mut finished, &report.shards);
                changed = trials.judge_again(&finished.measurement);
            }
            Err(AppError::Interrupted) => {}
            Err(error) => {
                breakdowns.push(format!("the built-in hub failed before the end of the search: {error}"));
            }
        }
    }
    let (mut end, trials, found) = trials.finish();
    if end == EndReason::Breakdown && breakdowns.is_empty() {
        breakdowns
            .push("the load could not be extended in time, because this machine was too busy".to_owned());
    }
    if !breakdowns.is_empty() {
        end = EndReason::Breakdown;
    } else if changed > 0 && end == EndReason::Width && (found.lower.is_none() || found.upper.is_none()) {
        end = EndReason::Undecided;
    }
    let mut result = result(&setup, (before, &finished, breakdowns), (end, trials, &found));
    if changed > 0 {
        result.notes.push(format!(
            "{} after the search, because this machine slowed down the built-in hub; use fewer other processes, or a remote target",
            plural(changed as u64, "trial was judged differently", "trials were judged differently")
        ));
    }
    output::conclude(args, env, result)
}

/// Returns how progress is displayed.
fn style(args: &CapacityArgs, env: &Env) -> Style {
    match (args.quiet, env.terminal && !args.no_tui) {
        (true, _) => Style::Quiet,
        (false, true) => Style::Redrawn,
        (false, false) => Style::Lines,
    }
}

/// Puts the result together.
fn result(
    setup: &Setup,
    (before, finished, breakdowns): (RunResult, &Finished, Vec<String>),
    (end, trials, found): (EndReason, Vec<Trial>, &Answer),
) -> CapacityResult {
    let before = build_result::started(before, finished.started_unix);
    let run = before.run;
    let (rules, scale): (&SearchRules, Scale) = (&setup.rules, setup.scale);
    let level_of = |level: u64| scale.level(level);
    let mut answer = answer(rules, found, end, &trials, level_of);
    let assertions: Vec<_> =
        setup.assertions.iter().map(|assertion| assertion.test(&answer, setup.settings.whole())).collect();
    answer.exit_code = exit::of_search(end, &assertions);
    let mut notes = setup.notes.clone();
    if trials.iter().any(|trial| trial.backlog.is_none() && !trial.cut) {
        notes.push(
            "The growth of the backlog was not tested in some trials: they were shorter than 18 s, or had too few messages".to_owned(),
        );
    }
    CapacityResult {
        schema: SCHEMA.to_owned(),
        tool: before.tool,
        run: SearchRun {
            id: match run.id.rsplit_once('-') {
                Some((stem, time)) => format!("{stem}-capacity-{time}"),
                None => run.id,
            },
            argv: run.argv,
            scenario: run.scenario,
            overrides: run.overrides,
            seed: run.seed,
            started: run.started,
            duration_us: u64::try_from(finished.ended.as_micros()).unwrap_or(u64::MAX),
            target: run.target,
            host: run.host,
            workers: before.generator.workers,
            breakdowns,
        },
        search: setup.settings.clone(),
        criteria: criteria(rules, &trials, level_of),
        curve: curve(&trials),
        answer,
        trials,
        assertions,
        notes,
    }
}
