//! `hubstorm capacity`: reads the scenario, prepares the run, searches for the highest load that still meets the thresholds, and writes the
//! result. This file contains the order of the steps; the steps themselves are in other files.

mod counts;
mod output;
mod prepare;
mod remaining;
mod resume;
mod settings;
mod trials;

use super::read_scenario::{self, ScenarioText};
use super::run::{outline, print_rest, stop_emulator, until_interrupted, workers};
use super::run_fleet::{Lines, run_fleet, style};
use super::{AppError, Env, build_result};
use crate::capacity::answer::{answer, criteria, curve};
use crate::capacity::measured::{CapacityResult, EndReason, SCHEMA, SearchRun, Trial};
use crate::capacity::{Answer, SearchRules};
use crate::cli::CapacityArgs;
use crate::clock::WallClock;
use crate::fleet::{self, Finished};
use crate::live::Style;
use crate::plan::Plan;
use crate::report::exit;
use crate::result::model::RunResult;
use crate::units::plural;
use settings::{Scale, Setup};
use std::sync::Arc;
use tokio::sync::mpsc;
use trials::Trials;

/// A search that has been checked against its scenario.
struct Planned {
    /// The plan with the devices of the highest level.
    plan: Plan,
    /// Hash of the plan of the scenario as written.
    plan_sha256: String,
    workers: usize,
    setup: Setup,
    /// The trials of the search to resume.
    resumed: Vec<Trial>,
}

/// Resolves the scenario, and checks the options.
fn planned(args: &CapacityArgs, env: &mut Env, scenario: &ScenarioText) -> Result<Planned, AppError> {
    if read_scenario::is_stdin(&args.scenario.scenario) {
        // The scenario is read from stdin, so the user cannot answer a question there.
        env.answer = None;
    }
    let plan = scenario.resolve(&args.scenario, env, |_| {})?;
    let workers = workers(args.workers, &plan);
    let setup = settings::resolve(args, &plan, &prepare::machine(workers))?;
    let resumed = resume::trials(args, &plan, &setup)?;
    let plan_sha256 = plan.fingerprint();
    let plan = match &setup.devices {
        None => plan,
        Some(devices) => prepare::scaled(args, env, scenario, &devices.fleets(setup.rules.to))?,
    };
    Ok(Planned { plan, plan_sha256, workers, setup, resumed })
}

/// Searches for the capacity. Returns the exit code.
pub(super) async fn run(args: &CapacityArgs, env: &mut Env) -> Result<u8, AppError> {
    let interrupts = env.interrupts.clone();
    let scenario = until_interrupted(&interrupts, 0, ScenarioText::read(&args.scenario)).await?;
    let Planned { mut plan, plan_sha256, workers, setup, resumed } = planned(args, env, &scenario)?;
    output::check(args, &plan)?;
    // The progress must be the only output on a terminal, so the search prints the hub's messages itself.
    let style = style(args.quiet, args.no_tui, env);
    let (messages, mut hub_messages) = mpsc::unbounded_channel();
    let messages = (style == Style::Redrawn).then_some(messages);
    let preparing = prepare::prepare(args, env, &mut plan, (&setup, workers, messages));
    let prepared = match until_interrupted(&interrupts, 0, preparing).await {
        Ok(prepared) => prepared,
        Err(error) => {
            print_rest(&mut hub_messages, env).await;
            return Err(error);
        }
    };
    let preflight_passed = prepared.emulator.is_none() && !args.no_preflight;
    let mut before = build_result::before(&plan, workers, preflight_passed, &env.argv);
    // The load is that of the scenario, not that of the highest number of devices.
    before.run.scenario.plan_sha256 = plan_sha256;

    let limits = prepare::message_limits(args, &plan);
    let plan = Arc::new(setup.trials(plan));
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
    let running = run_fleet(
        env,
        &plan,
        (settings, style, outline(&plan)),
        emulator.as_mut(),
        (&mut trials, first),
        Lines { trace: None, messages: &mut hub_messages },
    );
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
    print_rest(&mut hub_messages, env).await;
    let result = conclusion(&setup, (before, &finished, breakdowns), trials, changed);
    output::conclude(args, env, result)
}

/// Ends the search and returns its result. `changed` is the number of verdicts that changed after the search, because of the emulator's own
/// delays.
fn conclusion(
    setup: &Setup,
    (before, finished, breakdowns): (RunResult, &Finished, Vec<String>),
    trials: Trials<'_>,
    changed: usize,
) -> CapacityResult {
    let may_hide_a_burst = trials.may_hide_a_burst();
    let (mut end, trials, found) = trials.finish();
    if !breakdowns.is_empty() {
        end = EndReason::Breakdown;
    } else if end == EndReason::Breakdown {
        // The load ended because it was not extended in time.
        end = EndReason::Generator;
    }
    let mut result = result(setup, (before, finished, breakdowns), (end, trials, &found));
    if may_hide_a_burst {
        result.notes.push(
            "The target did not reach its limit in the burst before the trials at the lower bound. It may let a longer burst through, and its \
             capacity may be lower; use a longer --hold, of which a third is for the burst"
                .to_owned(),
        );
    }
    if changed > 0 {
        result.notes.push(format!(
            "{} after the search, because this machine slowed down the built-in hub; stop other programs, or use a remote target",
            plural(changed as u64, "trial was judged differently", "trials were judged differently")
        ));
    }
    result
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
            "The growth of the backlog was not tested in some trials: their judged parts were shorter than 18 s, or had too few messages".to_owned(),
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
