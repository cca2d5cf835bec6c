//! `hubstorm init`: writes the quick start scenario, so that an installed program has something to run.

use super::{AppError, Env, environment_error, print};
use crate::cli::InitArgs;
use crate::result::disk;
use crate::scenario::masked;
use std::io;
use std::path::Path;

const NAME: &str = "quickstart.toml";
const QUICKSTART: &str = include_str!("../../scenarios/quickstart.toml");

/// Writes the scenario, and refuses to replace a file unless `--force` is given.
pub(super) fn run(args: &InitArgs, env: &mut Env) -> Result<(), AppError> {
    let path = if args.dir == Path::new(".") { NAME.into() } else { args.dir.join(NAME) };
    let shown = path.display().to_string();
    let command = format!("hubstorm run {}", shell_word(&shown));
    // Its first comment says how it is run.
    let text = QUICKSTART.replace("hubstorm run scenarios/quickstart.toml", &command);
    let written = match args.force {
        true => disk::replace(&path, text.as_bytes()),
        false => disk::create(&path, text.as_bytes()),
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists if !args.force && path.symlink_metadata().is_ok() => {
            AppError::Environment(format!(
                "{shown} already exists and was not changed; name another folder, or replace it with --force"
            ))
        }
        _ => environment_error(&format!("cannot write {shown}"), &error),
    })?;
    print(env, &masked(&format!("{shown}\n\nTo run it:  {command}\n")))
}

/// The word as a shell reads it back: quoted where it has to be.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenario_says_how_it_is_run() {
        assert!(QUICKSTART.contains("#     hubstorm run scenarios/quickstart.toml\n"));
    }

    #[test]
    fn words_are_quoted_for_the_shell_where_they_have_to_be() {
        for (word, quoted) in [("a/b-c.toml", "a/b-c.toml"), ("a b", "'a b'"), ("it's", r"'it'\''s'")] {
            assert_eq!(shell_word(word), quoted);
        }
    }
}
