//! What `run` reports to the CI system that it runs in: a summary for GitHub Actions, and annotations for GitHub Actions and Azure
//! Pipelines. Used by `write_result`. A failure here never changes the exit code.

use super::Env;
use crate::report::{CiSystem, Format, annotations};
use crate::result::model::RunResult;
use crate::scenario::masked;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// Appends the summary if `step_summary` is true, and prints the annotations to stderr.
pub(super) fn report(result: &RunResult, step_summary: bool, env: &mut Env) {
    if step_summary {
        summarize(Format::Markdown.render(result).map(|parts| parts.concat()), env);
    }
    if let Some((system, root)) = ci_system(env.var) {
        let file = scenario_file(&result.run.scenario.file, root.as_deref());
        let lines = annotations(result, system, file.as_deref());
        drop(write!(env.err, "{}", masked(&lines)));
    }
}

/// Appends Markdown to the step summary of GitHub Actions, if there is one.
pub(super) fn summarize<E: Display>(markdown: Result<String, E>, env: &mut Env) {
    let Some(path) = (env.var)("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else { return };
    let failure = match markdown {
        Ok(text) => append(Path::new(&path), &text).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(error) = failure {
        let text = format!(
            "warning: cannot append the summary to {path}: {error}; --no-step-summary turns it off\n"
        );
        // Ignore the error: a closed stderr must not change the exit code.
        drop(write!(env.err, "{}", masked(&text)));
    }
}

/// Returns the CI system that started this process, and the folder that its paths are relative to.
fn ci_system(var: fn(&str) -> Option<String>) -> Option<(CiSystem, Option<String>)> {
    let is_set = |name: &str| var(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_set("GITHUB_ACTIONS") {
        Some((CiSystem::GitHub, var("GITHUB_WORKSPACE")))
    } else if is_set("TF_BUILD") {
        Some((CiSystem::Azure, var("BUILD_SOURCESDIRECTORY")))
    } else {
        None
    }
}

/// Returns the path of the scenario relative to `root`, or unchanged if it is outside. `None` if it was read from stdin.
fn scenario_file(file: &str, root: Option<&str>) -> Option<String> {
    if file == "stdin" {
        return None;
    }
    let absolute = |path: &str| Path::new(path).canonicalize().ok();
    let relative = root.and_then(absolute).and_then(|root| {
        let file = absolute(file)?;
        Some(file.strip_prefix(root).ok()?.display().to_string())
    });
    Some(relative.unwrap_or_else(|| file.to_owned()))
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    // An earlier command may have ended without a line break.
    let separator = if file.metadata()?.len() > 0 { "\n\n" } else { "" };
    file.write_all(format!("{separator}{text}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_workspace() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("load")).unwrap();
        let file = folder.path().join("load/x.toml");
        std::fs::write(&file, "").unwrap();
        let (file, root) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
        assert_eq!(scenario_file(file, Some(root)).as_deref(), Some("load/x.toml"));
        assert_eq!(scenario_file(file, Some("/nowhere")).as_deref(), Some(file));
        assert_eq!(scenario_file("x.toml", None).as_deref(), Some("x.toml"));
        assert_eq!(scenario_file("stdin", Some(root)), None);
    }

    #[test]
    fn only_a_true_variable_counts() {
        assert_eq!(ci_system(|_| None), None);
        assert_eq!(ci_system(|name| (name == "GITHUB_ACTIONS").then(|| "false".to_owned())), None);
        let azure = ci_system(|name| (name == "TF_BUILD").then(|| "True".to_owned()));
        assert_eq!(azure, Some((CiSystem::Azure, None)));
        let github = ci_system(|name| name.starts_with("GITHUB_").then(|| "true".to_owned()));
        assert_eq!(github, Some((CiSystem::GitHub, Some("true".to_owned()))));
    }
}
