//! `hubstorm init`: writes the starter scenario, quickstart.toml, which is embedded in the program.

use super::shell::shell_word;
use super::{AppError, Env, paths, print};
use crate::cli::InitArgs;
use crate::result::disk;
use crate::scenario::masked;
use std::io;
use std::path::Path;

const NAME: &str = "quickstart.toml";
const QUICKSTART: &str = include_str!("../../scenarios/quickstart.toml");

/// Writes the scenario. Refuses to replace a file without `--force`.
pub(super) fn run(args: &InitArgs, env: &mut Env) -> Result<(), AppError> {
    paths::check_folder(&args.dir, "init", NAME)?;
    let path = if args.dir == Path::new(".") { NAME.into() } else { args.dir.join(NAME) };
    let path_text = path.display().to_string();
    let command = format!("hubstorm run {}", shell_word(&path_text));
    // The first comment in the scenario shows the command that runs it.
    let text = QUICKSTART.replace("hubstorm run scenarios/quickstart.toml", &command);
    let written = match args.force {
        true => disk::replace(&path, text.as_bytes()),
        false => disk::create(&path, text.as_bytes()),
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists if !args.force && path.symlink_metadata().is_ok() => {
            AppError::Environment(format!(
                "{path_text} already exists and was not changed; choose another folder, or replace it with --force"
            ))
        }
        _ => paths::unwritable(&format!("cannot write {path_text}"), &error, "choose another folder"),
    })?;
    print(env, &masked(&format!("{path_text}\n\nTo run it:  {command}\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenario_shows_the_command_that_runs_it() {
        assert!(QUICKSTART.contains("#     hubstorm run scenarios/quickstart.toml\n"));
    }
}
