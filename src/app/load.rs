//! From what was typed to a plan: read the file, apply overrides, resolve. Used by `run` and `check`.

use super::{AppError, Env};
use crate::cli::ScenarioArgs;
use crate::plan::{self, Plan};
use crate::scenario::Input;

/// Reads and resolves a scenario.
pub(super) fn plan(args: &ScenarioArgs, env: &Env) -> Result<Plan, AppError> {
    let file = args.scenario.display().to_string();
    let text = std::fs::read_to_string(&args.scenario)
        .map_err(|error| AppError::Scenario(format!("cannot read the scenario {file}: {error}")))?;
    let overrides = overrides(args)?;
    let input = Input { file: &file, text: &text, overrides: &overrides, env: &|name| (env.var)(name) };
    plan::load(&input, &mut rand::rng()).map_err(|errors| {
        AppError::Scenario(format!("the scenario is invalid; nothing was started\n{errors}"))
    })
}

/// Options that mean a scenario key are overrides like any other.
fn overrides(args: &ScenarioArgs) -> Result<Vec<String>, AppError> {
    let mut overrides = args.set.clone();
    if let Some(seed) = args.seed {
        overrides.push(format!("seed={seed}"));
    }
    if let Some(target) = &args.target {
        let (host, port) = match target.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => {
                let port: u16 = port.parse().map_err(|_| {
                    AppError::Usage(format!(
                        "--target {target}: {port:?} is not a port; write HOST or HOST:PORT"
                    ))
                })?;
                (host, Some(port))
            }
            _ => (target.as_str(), None),
        };
        overrides.push(format!("target.host={host}"));
        overrides.extend(port.map(|port| format!("target.port={port}")));
    }
    if let Some(ca) = &args.ca {
        overrides.push(format!("target.ca={}", ca.display()));
    }
    Ok(overrides)
}
