//! The end of a run: both files, the summary, and where they are. A folder that cannot be written any more costs nothing:
//! the result then goes to the system's folder for temporary files. Called by `run`.

use super::{AppError, Env, environment, print};
use crate::report;
use crate::result::{self, model};
use std::path::{Path, PathBuf};

/// Writes the result, prints the summary and returns the exit code: the verdict's, or that of a folder that failed.
pub(super) fn conclude(out: &Path, env: &mut Env, mut result: model::RunResult) -> Result<u8, AppError> {
    let written = match keep(out, &mut result) {
        Ok(json) => Ok((json, None)),
        Err(first) => match keep(&std::env::temp_dir(), &mut result) {
            Ok(json) => Ok((json, Some(first))),
            Err(second) => Err(AppError::Environment(format!(
                "{first}\n  {second}\n  the result is lost, but for the summary above"
            ))),
        },
    };
    let summary = report::text(&result, true);
    let (json, moved) = match written {
        Ok(written) => written,
        Err(lost) => {
            // Whether or not there is still somebody to read it.
            drop(print(env, &summary));
            return Err(lost);
        }
    };
    // The file is safe by now: a page that fails costs the page.
    let html = json.with_extension("html");
    let page = page(&html, &result);
    let shown = if page.is_ok() { format!("{}\n", html.display()) } else { String::new() };
    print(env, &format!("{summary}\n{}\n{shown}", json.display()))?;
    let page = page.map_err(|error| {
        let (json, html) = (json.display(), html.display());
        let again = format!("hubstorm report {json} --format html --out {html}");
        AppError::Environment(format!("{error}\n  the result is in {json}; to make the page again:  {again}"))
    });
    match (moved, page) {
        (None, page) => page.map(|()| result.verdict.exit_code),
        (Some(error), Ok(())) => {
            let json = json.display();
            Err(AppError::Environment(format!("{error}\n  the result is in {json} instead")))
        }
        (Some(error), Err(page)) => Err(AppError::Environment(format!("{error}\n  {page}"))),
    }
}

fn page(path: &Path, result: &model::RunResult) -> Result<(), AppError> {
    let page = report::html(result).map_err(|error| environment("cannot render the report", &error))?;
    result::replace(path, page.as_bytes())
        .map_err(|error| environment(&format!("cannot write {}", path.display()), &error))
}

/// Writes the result under the first free name of the folder.
fn keep(folder: &Path, result: &mut model::RunResult) -> Result<PathBuf, AppError> {
    let id = reserve(folder, &result.run.id)?;
    let path = folder.join(format!("{id}.json"));
    result.run.id = id;
    if let Err(error) = result::write(&path, result) {
        // It was made empty to hold the name.
        let _ = std::fs::remove_file(&path);
        return Err(AppError::Environment(error.to_string()));
    }
    Ok(path)
}

/// The first of `id`, `id-2`, `id-3`, .. that no file in the folder has, made empty at once: two runs may begin in the same
/// second, and neither may overwrite the other's result.
fn reserve(folder: &Path, id: &str) -> Result<String, AppError> {
    let (mut free, mut n) = (id.to_owned(), 1);
    loop {
        let path = folder.join(format!("{free}.json"));
        match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => return Ok(free),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(environment(&format!("cannot write {}", path.display()), &error)),
        }
        n += 1;
        free = format!("{id}-{n}");
    }
}

/// The file name of a run: its scenario's file name and the second it began.
pub(super) fn run_id(file: &str, started: &str) -> String {
    let stem =
        PathBuf::from(file).file_stem().map_or("run".into(), |stem| stem.to_string_lossy().into_owned());
    let stamp: String = started.chars().take(19).filter(|c| c.is_ascii_alphanumeric()).collect();
    format!("{stem}-{stamp}Z")
}

#[cfg(test)]
mod tests {
    use super::super::assemble;
    use super::*;
    use crate::fleet;
    use crate::link::{self, Endpoint};
    use crate::policy::backoff::BackOff;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::{mpsc, watch};

    /// A run of two workers, of which the second panics: it has a device that waits for ever, which no clock can hold.
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
        // A port that was free a moment ago refuses.
        let free = link::listen::bind("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap();
        let endpoint = Endpoint { host: free.ip().to_string(), port: free.port(), ..Endpoint::default() };
        let (plan, workers) = (Arc::new(plan), 2);
        let settings = fleet::Settings { workers, endpoint: Arc::new(endpoint), trace: None };
        let ((_commander, commands), (events, _listener)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let finished = fleet::run(plan.clone(), settings, None, commands, events).await.unwrap();
        assemble::result(&plan, finished, false, None, workers, &[])
    }

    fn env() -> Env {
        let (_sender, interrupts) = watch::channel(0);
        let (out, err) = (Box::new(std::io::sink()), Box::new(std::io::sink()));
        Env { out, err, ..Env::of_process(interrupts) }
    }

    #[tokio::test]
    async fn a_worker_that_panics_costs_the_verdict_and_not_the_result() {
        let folder = tempfile::tempdir().unwrap();
        let result = with_a_worker_that_panics().await;
        assert_eq!(conclude(folder.path(), &mut env(), result).unwrap(), 120);
        let mut files: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        let [html, json] = &files[..] else { panic!("{files:?}") };
        let written = result::read(json).unwrap();
        assert!(!written.run.complete);
        assert_eq!((written.verdict.status, written.verdict.exit_code), (model::Status::Invalid, 120));
        let [reason, ..] = &written.verdict.reasons[..] else { panic!("{:?}", written.verdict) };
        assert!(reason.contains("worker 1") && reason.contains("a defect of hubstorm"), "{reason}");
        for face in [report::text(&written, false), std::fs::read_to_string(html).unwrap()] {
            assert!(face.contains("worker 1 of the load generator ended unexpectedly"), "{face}");
        }

        // The page alone cannot be written.
        std::fs::remove_file(html).and_then(|()| std::fs::create_dir(html)).unwrap();
        std::fs::remove_file(json).unwrap();
        let error = conclude(folder.path(), &mut env(), written).unwrap_err().to_string();
        let again = format!("hubstorm report {} --format html --out {}", json.display(), html.display());
        assert!(error.contains("cannot write") && error.contains(&again), "{error}");
        assert!(result::read(json).is_ok() && std::fs::read_dir(folder.path()).unwrap().count() == 2);
    }

    #[test]
    fn two_runs_of_one_second_keep_their_own_files() {
        let folder = tempfile::tempdir().unwrap();
        let ids: Vec<String> = (0..3).map(|_| reserve(folder.path(), "quick-Z").unwrap()).collect();
        assert_eq!(ids, ["quick-Z", "quick-Z-2", "quick-Z-3"]);
        assert!(reserve(&folder.path().join("gone"), "quick-Z").is_err());
    }
}
