//! The steps of a search before its load: checks this machine, starts the built-in hub, asks for confirmation, and makes the preflight
//! connections. Used by `capacity`.

use super::settings::Setup;
use crate::app::capacity::trials::MessageLimits;
use crate::app::emulator_process::EmulatorProcess;
use crate::app::machine::memory_available;
use crate::app::read_scenario::ScenarioText;
use crate::app::run::{control_config, endpoints, set_target};
use crate::app::{AppError, Env, consent, cost, preflight, tell};
use crate::capacity::generator::Machine;
use crate::capacity::measured::Vary;
use crate::cli::CapacityArgs;
use crate::fleet::raise_descriptor_limit;
use crate::link::Endpoint;
use crate::plan::{Plan, scale_devices};
use crate::report::level_text;
use crate::units::{human_count, human_duration, plural, whole};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// A search that is ready to start.
pub(super) struct Prepared {
    /// The built-in hub, if it is the target.
    pub(super) emulator: Option<EmulatorProcess>,
    pub(super) endpoints: Arc<[Endpoint]>,
}

/// Performs all steps before the load.
pub(super) async fn prepare(
    args: &CapacityArgs,
    env: &mut Env,
    plan: &mut Plan,
    (setup, workers, messages): (&Setup, usize, Option<UnboundedSender<String>>),
) -> Result<Prepared, AppError> {
    preflight::resources(plan, workers).await?;
    preflight::output_folder(&args.out)?;
    let (mut emulator, mut roots) = (None, None);
    if plan.emulator.is_some() {
        let (started, ready) =
            EmulatorProcess::start(&env.exe, control_config(plan, workers), messages).await?;
        roots = Some(set_target(plan, ready)?);
        emulator = Some(started);
    }
    let endpoints = endpoints(plan, roots)?;
    if !args.quiet {
        tell(env, &overview(plan, setup));
    }
    if consent::bills(plan) && !args.yes {
        consent::ask(&question(args, plan, setup), "use --max-messages or --max-time", env).await?;
    }
    if emulator.is_none() && !args.no_preflight {
        let quiet = args.quiet;
        let note = |text: &str| {
            if !quiet {
                tell(env, text);
            }
        };
        preflight::connections(plan, &endpoints, note).await?;
    }
    Ok(Prepared { emulator, endpoints })
}

/// Returns this machine as the forecast of the load generator needs it.
pub(super) fn machine(workers: usize) -> Machine {
    Machine {
        workers,
        memory_bytes: memory_available().unwrap_or(u64::MAX),
        // The preflight check reports an error.
        descriptors: raise_descriptor_limit().unwrap_or(u64::MAX),
    }
}

/// Resolves the scenario with other numbers of devices, one for each fleet.
pub(super) fn scaled(
    args: &CapacityArgs,
    env: &Env,
    scenario: &ScenarioText,
    devices: &[u32],
) -> Result<Plan, AppError> {
    // A fleet that is very small beside the others has one device.
    let devices: Vec<u32> = devices.iter().map(|count| (*count).max(1)).collect();
    let all: u64 = devices.iter().copied().map(u64::from).sum();
    let plan = scenario.resolve(&args.scenario, env, |scenario| scale_devices(scenario, &devices));
    plan.map_err(|error| match error {
        AppError::Scenario(text) => AppError::Scenario(format!(
            "the scenario cannot have {}, the highest level: use a lower --to\n{text}",
            plural(all, "device", "devices")
        )),
        other => other,
    })
}

/// Describes the search in two lines.
fn overview(plan: &Plan, setup: &Setup) -> String {
    let target = if plan.emulator.is_some() { "the built-in hub".to_owned() } else { plan.target.address() };
    let settings = &setup.settings;
    let mut text = format!(
        "{}: searches the capacity of {target} with phase {}{}, from {} to {}, in trials of {}, at most {}, seed {}\n",
        plan.name,
        settings.phase,
        match settings.vary {
            Vary::Load => format!(" and {}", plural(plan.devices(), "device", "devices")),
            Vary::Devices => String::new(),
        },
        level_text(settings.vary, &settings.from),
        level_text(settings.vary, &settings.to),
        human_duration(setup.slots.settle + setup.slots.judged),
        human_duration(setup.slots.length() * u32::from(setup.slots.count)),
        plan.seed,
    );
    text.extend(plan.source.overrides.iter().map(|change| format!("  with {change}\n")));
    text.extend(setup.notes.iter().map(|note| format!("note: {note}.\n")));
    text
}

/// Returns the messages that a search may send. The hub's daily quota counts if its size is known.
pub(super) fn message_limits(args: &CapacityArgs, plan: &Plan) -> MessageLimits {
    let used = plan.emulator.and_then(|options| options.tier).map_or(0, |tier| tier.quota_used);
    let quota = plan.hub_size().map_or(u64::MAX, |size| {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53 messages")]
        let left = size.messages_per_day().saturating_sub(used) as f64;
        whole(left / cost::blocks_per_message(plan))
    });
    MessageLimits { option: args.max_messages.unwrap_or(u64::MAX), quota }
}

/// Returns the question before a search on a hub that bills.
fn question(args: &CapacityArgs, plan: &Plan, setup: &Setup) -> String {
    let slots = &setup.slots;
    let seconds = setup.load_s() * u64::from(slots.count);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 seconds")]
    let most = whole(setup.settings.to.per_s * seconds as f64).min(args.max_messages.unwrap_or(u64::MAX));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 messages")]
    let billed = whole(most as f64 * cost::blocks_per_message(plan));
    format!(
        "this search sends up to {} billed messages to {} in at most {}",
        human_count(billed),
        plan.target.address(),
        human_duration(slots.length() * u32::from(slots.count)),
    )
}
