//! `doctor --scenario`: one device of each fleet connects, subscribes and sends one message that the target acknowledges. The engine of
//! `run` does and times each step. Without a target, the command starts the built-in hub.

use super::super::columns::{DOCTOR_TEXT_COLUMN, Layout};
use super::super::once::{self, Checklist, Trial};
use super::super::{AppError, Env, print, print_text, read_scenario, run};
use crate::cli::{DoctorArgs, ScenarioArgs};
use crate::plan::{OncePlan, OnceScope};
use crate::units::plural;
use std::path::Path;
use std::sync::Arc;

/// Reads the scenario, and derives the plan in which one device of each fleet sends one message.
pub(super) async fn plan(args: &DoctorArgs, file: &Path, env: &Env) -> Result<OncePlan, AppError> {
    let args = ScenarioArgs {
        set: args.set.clone(),
        target: args.target.clone(),
        ca: args.ca.clone(),
        ..ScenarioArgs::of(file.to_owned())
    };
    let (plan, _) = read_scenario::once(&args, env).await?;
    Ok(plan.once(OnceScope::OneMessage))
}

/// Runs one device of each fleet against each host, and prints the times of the steps. Fails if a step failed.
pub(super) async fn try_devices(mut once: OncePlan, env: &mut Env) -> Result<(), AppError> {
    let (mut emulator, endpoints) = once::start(&env.exe, &mut once.plan).await?;
    print(env, &format!("scenario {}, {}\n", once.plan.source.file, run::against(&once.plan)))?;
    let lists: Vec<Checklist> = endpoints.iter().map(|_| Checklist::new(&once)).collect();
    let plan = Arc::new(once.plan);
    let mut failed: Vec<String> = Vec::new();
    for (endpoint, mut list) in endpoints.iter().cloned().zip(lists) {
        print(env, &once::heading(&endpoint, &endpoints))?;
        let interrupts = env.interrupts.clone();
        let emulator = emulator.as_mut();
        let trial = Trial { plan: &plan, endpoint, emulator, interrupts, trace: None, err: &mut *env.err };
        let ended = once::drive(trial, &mut list).await?;
        list.close(ended.cut_short());
        let layout = Layout::of((env.out_width)());
        print_text(
            env,
            &layout.list(&once::times(&list, &plan, ended.finished.tls.as_ref()), DOCTOR_TEXT_COLUMN),
        )?;
        once::check_breakdowns(&ended)?;
        let names = list.failed_fleets(&plan);
        failed.extend(
            names
                .iter()
                .map(|name| (*name).to_string())
                .filter(|name| !failed.contains(name))
                .collect::<Vec<_>>(),
        );
    }
    if let Some(emulator) = emulator {
        emulator.stop().await?;
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(AppError::Environment(format!(
            "{} of {} of the scenario failed: {}; the lines above give the cause and the fix",
            failed.len(),
            plural(plan.fleets.len() as u64, "fleet", "fleets"),
            failed.join(", ")
        ))),
    }
}
