//! The end of a run: writes the result file, the HTML page and the exports, prints the summary and the paths, and reports to a CI
//! system. If the output folder is no longer writable, the result goes to the temporary directory. Used by `run`. Computing the verdict
//! is `report`'s job.

use super::journal::Journal;
use super::{AppError, Env, ci, environment_error, exports, print_text};
use crate::report::{self, Export};
use crate::result::{self, model};
use crate::scenario::masked;
use std::path::{Path, PathBuf};

/// The files of a run, as specified on the command line.
pub(super) struct Files<'a> {
    /// Folder for the result and the page.
    pub(super) out: &'a Path,
    pub(super) exports: &'a [Export],
    /// Whether to leave out empty histograms in JSON files.
    pub(super) compact: bool,
    /// Whether to append to the step summary of GitHub Actions.
    pub(super) step_summary: bool,
    /// Whether to keep the journal although the result is written.
    pub(super) keep_journal: bool,
}

/// Writes the files, prints the summary, and reports to a CI system. Returns the exit code of the verdict, and the path of the result.
///
/// # Errors
/// One or more files cannot be written. The other files are written anyway.
pub(super) fn conclude(
    files: &Files<'_>,
    journal: Option<Journal>,
    env: &mut Env,
    mut result: model::RunResult,
) -> Result<(u8, Option<PathBuf>), AppError> {
    let Files { out, exports, compact, step_summary, keep_journal } = *files;
    let mut errors = Vec::new();
    let mut files = Vec::new();
    let json = keep(out, compact, &mut result, &mut errors);
    // If the page or an export fails, the other files are still written.
    if let Some(json) = &json {
        files.push(json.clone());
        match page(json, &result) {
            Ok(html) => files.push(html),
            Err(error) => errors.push(error),
        }
    }
    let (written, failed) = exports::write(exports, &result, compact);
    errors.extend(failed.into_iter().map(|error| match &json {
        Some(json) => AppError::Environment(format!("{error}\n  the result is in {}", json.display())),
        None => error,
    }));
    if json.is_none() {
        let text = if written.is_empty() {
            "the result file could not be written; only the summary above remains"
        } else {
            "the result file could not be written, but the exports were"
        };
        errors.push(AppError::Environment(text.to_owned()));
    }
    match journal {
        Some(journal) if json.as_ref().is_none_or(|json| !json.starts_with(out)) => {
            errors.extend(journal.how_to_recover().map(AppError::Environment));
        }
        Some(journal) if keep_journal => files.extend(journal.path().map(Path::to_owned)),
        Some(journal) => journal.remove(),
        None => {}
    }
    let list = |file: &Path| format!("{}\n", file.display());
    let listed: String = files.iter().map(|file| list(file)).collect();
    // Mask the names: they come from the command line and may contain a secret.
    let exported: String = written.iter().map(|file| masked(&list(file))).collect();
    let printed =
        print_text(env, &format!("{}\n{listed}{exported}", report::text(&result, true, (env.out_width)())));
    ci::report(&result, step_summary, env);
    exports::all_written(errors)?;
    printed.map(|()| (result.verdict.exit_code, json))
}

/// Writes the result to the output folder or, if that fails, to the temporary directory. Returns `None` if both fail.
fn keep(
    out: &Path,
    compact: bool,
    result: &mut model::RunResult,
    errors: &mut Vec<AppError>,
) -> Option<PathBuf> {
    let elsewhere = std::env::temp_dir();
    for folder in [out, &elsewhere] {
        match result::write_new(folder, result, compact) {
            Ok(json) => {
                if !errors.is_empty() {
                    let text = format!("the result is in {} instead", json.display());
                    errors.push(AppError::Environment(text));
                }
                return Some(json);
            }
            Err(error) => errors.push(AppError::Environment(error.to_string())),
        }
    }
    None
}

/// Writes the HTML page next to the result.
fn page(json: &Path, result: &model::RunResult) -> Result<PathBuf, AppError> {
    let html = json.with_extension("html");
    let written = report::html(result)
        .map_err(|error| environment_error("cannot render the report", &error))
        .and_then(|page| {
            result::replace(&html, page.as_bytes())
                .map_err(|error| environment_error(&format!("cannot write {}", html.display()), &error))
        });
    written.map(|()| html.clone()).map_err(|error| {
        let (json, html) = (json.display(), html.display());
        let command = format!("hubstorm report {json} --format html --out {html}");
        AppError::Environment(format!("{error}\n  the result is in {json}; to create the page:  {command}"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::build_result;
    use super::*;
    use crate::clock::WallClock;
    use crate::fleet;
    use crate::link::{self, Endpoint};
    use crate::policy::backoff::BackOff;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::{mpsc, watch};

    /// Runs two workers. The second one panics, because its device's reconnect delay exceeds the range of the clock.
    async fn with_a_worker_that_panics() -> model::RunResult {
        let text = "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\nport = 9\ntls = false\n\
                    [fleet.a]\ndevices = 1\n[fleet.b]\ndevices = 1\n\
                    [[phase]]\nname = \"p\"\nduration = \"1h\"\n";
        let input = crate::scenario::Input {
            file: "panic.toml",
            text,
            overrides: &[],
            env: &|_| None,
            files: &crate::scenario::no_files,
        };
        let mut plan = crate::plan::load(&input, &mut rand::rng()).unwrap();
        plan.fleets[1].reconnect = BackOff::Fixed { delay: Duration::MAX }.into();
        // Nothing listens on this port, so connections are refused.
        let free = link::listen::bind("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap();
        let endpoint = Endpoint { host: free.ip().to_string(), port: free.port(), ..Endpoint::default() };
        let (plan, workers) = (Arc::new(plan), 2);
        let settings = fleet::Settings {
            workers,
            endpoints: Arc::new([endpoint]),
            trace: None,
            measured: false,
            observer: None,
            journal: None,
            wall: WallClock::default(),
        };
        let ((_commander, commands), (events, _listener)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let finished = fleet::run(plan.clone(), settings, None, commands, events).await.unwrap();
        build_result::result(&plan, finished, model::EndedBy::Breakdown, None, workers, false, &[])
    }

    fn files(out: &Path) -> Files<'_> {
        Files { out, exports: &[], compact: false, step_summary: false, keep_journal: false }
    }

    fn env() -> Env {
        let (_sender, interrupts) = watch::channel(0);
        let (out, err) = (Box::new(std::io::sink()), Box::new(std::io::sink()));
        Env { out, err, var: |_| None, ..Env::from_process(interrupts) }
    }

    #[tokio::test]
    async fn worker_panic_keeps_the_result_and_is_invalid() {
        let folder = tempfile::tempdir().unwrap();
        let result = with_a_worker_that_panics().await;
        assert_eq!(conclude(&files(folder.path()), None, &mut env(), result).unwrap().0, 120);
        let mut found: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().path()).collect();
        found.sort();
        let [html, json] = &found[..] else { panic!("{found:?}") };
        let written = result::read(json).unwrap();
        assert!(!written.run.complete);
        let again = report::judge_again(&written).unwrap();
        assert_eq!((again.verdict, again.thresholds), (written.verdict.clone(), written.thresholds.clone()));
        assert_eq!(again.findings, written.findings);
        assert_eq!((written.verdict.status, written.verdict.exit_code), (model::Status::Invalid, 120));
        let [reason, ..] = &written.verdict.reasons[..] else { panic!("{:?}", written.verdict) };
        assert!(reason.contains("worker 1") && reason.contains("this is a bug in hubstorm"), "{reason}");
        for text in
            [report::text(&written, false, report::Width::FILE), std::fs::read_to_string(html).unwrap()]
        {
            assert!(text.contains("worker 1 of the load generator panicked"), "{text}");
        }

        // Only the page cannot be written.
        std::fs::remove_file(html).and_then(|()| std::fs::create_dir(html)).unwrap();
        std::fs::remove_file(json).unwrap();
        let error = conclude(&files(folder.path()), None, &mut env(), written).unwrap_err().to_string();
        let again = format!("hubstorm report {} --format html --out {}", json.display(), html.display());
        assert!(error.contains("cannot write") && error.contains(&again), "{error}");
        assert!(result::read(json).is_ok() && std::fs::read_dir(folder.path()).unwrap().count() == 2);
    }
}
