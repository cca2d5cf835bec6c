//! Plans for tests in this room.

use super::Plan;
use crate::scenario::{Input, no_files};

/// Resolves a scenario that does not name other files. The value of an environment variable is a host name if the variable's name
/// ends with `HOST`, and a key otherwise.
pub(super) fn load(text: &str) -> Result<Plan, String> {
    load_as("test.toml", text)
}

/// Like [`load`], with a path. The recordings that the scenario names are relative to its folder.
pub(super) fn load_as(file: &str, text: &str) -> Result<Plan, String> {
    let env = |name: &str| {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        Some(if name.ends_with("HOST") { "hub.example" } else { key }.to_owned())
    };
    let input = Input { file, text, overrides: &[], env: &env, files: &no_files };
    super::load(&input, &mut rand::rng()).map_err(|errors| errors.to_string())
}

/// Resolves a scenario. Panics if it has errors.
#[track_caller]
pub(super) fn plan(text: &str) -> Plan {
    load(text).unwrap_or_else(|errors| panic!("{errors}"))
}
