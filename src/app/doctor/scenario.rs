//! `doctor --scenario`: one device of each fleet connects, subscribes and sends one message that the target acknowledges. The engine of
//! `run` does and times each step. Without a target, the command starts the built-in hub.

use super::super::columns::{DOCTOR_TEXT_COLUMN, Layout};
use super::super::once::{self, Checklist, Trial};
use super::super::{AppError, Env, print, print_text, read_scenario};
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

/// Runs one device of each fleet, and prints the times of the steps. Fails if a step failed.
pub(super) async fn try_devices(mut once: OncePlan, env: &mut Env) -> Result<(), AppError> {
    let (mut emulator, endpoint) = once::start(&env.exe, &mut once.plan).await?;
    let target = &once.plan.target;
    let host = if emulator.is_some() { "the built-in hub" } else { &target.host };
    print(env, &format!("scenario {}, {host} on port {}\n", once.plan.source.file, target.port))?;
    let mut list = Checklist::new(&once);
    let plan = Arc::new(once.plan);
    let interrupts = env.interrupts.clone();
    let trial = Trial {
        plan: &plan,
        endpoint,
        emulator: emulator.as_mut(),
        interrupts,
        trace: None,
        err: &mut *env.err,
    };
    let ended = once::drive(trial, &mut list).await?;
    list.close(ended.cut_short());
    let layout = Layout::of((env.out_width)());
    print_text(
        env,
        &layout.list(&once::times(&list, &plan, ended.finished.tls.as_ref()), DOCTOR_TEXT_COLUMN),
    )?;
    once::check_breakdowns(&ended)?;
    if let Some(emulator) = emulator {
        emulator.stop().await?;
    }
    let failed = list.failed_fleets(&plan);
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
