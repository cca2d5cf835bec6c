//! `hubstorm plan`: the units, the hubs and the price that a load needs in each tier. It starts nothing and opens no connection.
//! `crate::capacity` computes, and `crate::report` renders.

use super::{AppError, Env, ci, environment_error, exports, paths, print, read_scenario, tell};
use crate::capacity::{Assertion, CapacityPlan, PriceList, Settings, SimpleFleet, plan_capacity};
use crate::cli::{PlanArgs, PlanFormat, ScenarioArgs};
use crate::plan::{self, Plan, TargetKind};
use crate::report::{self, Export, Format, exit};
use crate::result::disk;
use crate::result::model::Tool;
use crate::scenario::{DURATION_MAX, Input, no_files, typed_duration};
use crate::text_file;
use crate::units::{Percent, Rate};
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

/// Prints the plan, and returns the exit code: 99 if an assertion is false.
pub(super) async fn run(args: &PlanArgs, env: &mut Env) -> Result<u8, AppError> {
    let headroom = headroom(&args.headroom)?;
    let reconnect_within =
        args.reconnect_within.as_deref().map(|text| duration("--reconnect-within", text)).transpose()?;
    let assertions = assertions(&args.assertions)?;
    let inputs: Vec<&Path> =
        args.scenario.iter().chain(&args.prices).map(std::path::PathBuf::as_path).collect();
    let mut files: Vec<(&Path, &str)> = Vec::new();
    for Export { format, file } in &args.export {
        files.push((file, extension(of_export(*format)?)));
    }
    exports::check_files(&files, &inputs)?;
    let prices = prices(args.prices.as_deref())?;
    let plan = match &args.scenario {
        Some(file) => {
            let scenario = ScenarioArgs { set: args.set.clone(), ..ScenarioArgs::of(file.clone()) };
            read_scenario::on_paper(&scenario, env).await?
        }
        None => of_fleet(&simple_fleet(args)?)?,
    };
    if plan.target.kind == TargetKind::Mqtt {
        let text =
            "the target is an MQTT broker, which has no units; hubstorm plan needs a scenario for an IoT hub";
        return Err(AppError::Scenario(format!("{}: {text}", plan.source.file)));
    }
    let settings = Settings {
        headroom,
        reconnect_within,
        prices,
        hub: plan.hub_size(),
        scenario: args.scenario.is_some().then(|| plan.source.file.clone()),
        assertions,
    };
    let capacity = plan_capacity(&plan, settings, Tool::this_program());
    let text = match args.format {
        PlanFormat::Text => report::capacity_text(&capacity, true, (env.out_width)()),
        other => rendered(&capacity, other)?,
    };
    print(env, &text)?;
    if !args.no_step_summary {
        ci::summarize(Ok::<_, Infallible>(report::capacity_markdown(&capacity)), env);
    }
    let write = |Export { format, file }: &Export| {
        let text = rendered(&capacity, of_export(*format)?)?;
        disk::replace(file, text.as_bytes())
            .map_err(|error| environment_error(&format!("cannot write {}", file.display()), &error))
    };
    exports::all_written(args.export.iter().filter_map(|file| write(file).err()).collect())?;
    Ok(verdict(&capacity, env))
}

/// Prints the assertions that are false. Returns the exit code.
fn verdict(capacity: &CapacityPlan, env: &mut Env) -> u8 {
    let failed: Vec<String> =
        capacity.assertions.iter().filter(|one| !one.passed).map(report::assertion_words).collect();
    for words in &failed {
        tell(env, &format!("assertion failed: {words}\n"));
    }
    if failed.is_empty() { exit::PASSED } else { exit::FAILED }
}

fn rendered(capacity: &CapacityPlan, format: PlanFormat) -> Result<String, AppError> {
    let failed = |error: &dyn std::fmt::Display| environment_error("cannot render the plan", error);
    match format {
        PlanFormat::Text => Ok(report::capacity_text(capacity, false, report::Width::FILE)),
        PlanFormat::Markdown => Ok(report::capacity_markdown(capacity)),
        PlanFormat::Json => {
            serde_json::to_string_pretty(capacity).map(|json| json + "\n").map_err(|error| failed(&error))
        }
        PlanFormat::Html => report::capacity_page(capacity).map_err(|error| failed(&error)),
    }
}

fn of_export(format: Format) -> Result<PlanFormat, AppError> {
    Ok(match format {
        Format::Text => PlanFormat::Text,
        Format::Json => PlanFormat::Json,
        Format::Markdown => PlanFormat::Markdown,
        Format::Html => PlanFormat::Html,
        other => {
            let text =
                format!("a capacity plan has no format {}: use json, html, text or markdown", other.name());
            return Err(AppError::Usage(text));
        }
    })
}

fn extension(format: PlanFormat) -> &'static str {
    match format {
        PlanFormat::Text => "txt",
        PlanFormat::Json => "json",
        PlanFormat::Markdown => "md",
        PlanFormat::Html => "html",
    }
}

fn headroom(text: &str) -> Result<f64, AppError> {
    let share = text.parse::<Percent>().map(Percent::as_fraction);
    share.ok().filter(|share| *share > 0.0 && *share <= 1.0).ok_or_else(|| {
        AppError::Usage(format!(
            "--headroom {text:?} is not valid; allowed: a share above 0% and up to 100%, such as 75%"
        ))
    })
}

fn duration(option: &str, text: &str) -> Result<Duration, AppError> {
    let duration = typed_duration(text).map_err(|error| AppError::Usage(format!("{option}: {error}")))?;
    match duration {
        duration if duration.is_zero() => Err(AppError::Usage(format!("{option}: must be longer than zero"))),
        duration if duration > DURATION_MAX => Err(AppError::Usage(format!("{option}: at most 100d"))),
        duration => Ok(duration),
    }
}

fn assertions(typed: &[String]) -> Result<Vec<Assertion>, AppError> {
    let parse = |text: &String| {
        text.parse().map_err(|error: crate::capacity::AssertionError| AppError::Usage(error.to_string()))
    };
    typed.iter().map(parse).collect()
}

/// Reads a price list, or returns the built-in one.
fn prices(file: Option<&Path>) -> Result<PriceList, AppError> {
    let Some(file) = file else { return Ok(PriceList::built_in()) };
    let bytes = std::fs::read(file)
        .map_err(|error| AppError::Scenario(paths::unreadable("price list", file, &error, &["toml"])))?;
    let name = file.display().to_string();
    let text = text_file::decode(&bytes).map_err(|error| AppError::Scenario(format!("{name}: {error}")))?;
    PriceList::parse(&name, text)
        .map_err(|error| AppError::Scenario(format!("the price list is invalid\n{error}")))
}

/// Returns the fleet that the command line describes.
fn simple_fleet(args: &PlanArgs) -> Result<SimpleFleet, AppError> {
    let (Some(devices), Some(every), Some(size)) = (args.devices, args.every.as_deref(), args.size) else {
        return Err(AppError::Usage(
            "nothing to plan: name a scenario file, or describe a fleet with --devices, --every and --size"
                .to_owned(),
        ));
    };
    let reads = |text: &str| {
        let rate: Rate = text
            .parse()
            .map_err(|error| AppError::Usage(format!("--twin-reads: {error}; for a day: 4/1d")))?;
        let least = 1.0 / DURATION_MAX.as_secs_f64();
        match rate.as_per_second() {
            hz if (least..=1_000.0).contains(&hz) => Ok(rate),
            0.0 => Err(AppError::Usage(
                "--twin-reads: must be above zero; leave it out if the devices do not read their twins"
                    .to_owned(),
            )),
            _ => Err(AppError::Usage(format!(
                "--twin-reads {text:?} is out of range; allowed: 1/100d to 1000/s"
            ))),
        }
    };
    Ok(SimpleFleet {
        devices,
        every: duration("--every", every)?,
        size,
        sdk: args.sdk.clone(),
        twin_reads: args.twin_reads.as_deref().map(reads).transpose()?,
    })
}

/// Resolves a fleet from the command line.
fn of_fleet(fleet: &SimpleFleet) -> Result<Plan, AppError> {
    let text = fleet.scenario();
    // No device connects, so the key has no effect.
    let key = |name: &str| (name == SimpleFleet::KEY).then(|| "AAAAAAAAAAAAAAAAAAAAAA==".to_owned());
    let input = Input { file: "the command line", text: &text, overrides: &[], env: &key, files: &no_files };
    plan::load(&input, &mut rand::rng())
        .map_err(|errors| AppError::Scenario(format!("hubstorm cannot plan this fleet\n{errors}")))
}
