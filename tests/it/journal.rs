//! The journal: runs that are killed, and the results that are recovered from it.

use crate::support::hubstorm::{Running, WIDE_VALIDITY, Workplace, hubstorm, read_result, totals};
use hubstorm::measure::Cause;
use hubstorm::result::model::EndedBy;
use nix::sys::signal::Signal;
use std::path::Path;
use std::process::Command;

fn scenario() -> String {
    format!(
        "[fleet.meter]\ndevices = 10\n[[fleet.meter.send]]\nevery = \"100ms\"\npayload = '{{\"seq\":${{seq}}}}'\n\
         [[phase]]\nname = \"steady\"\nduration = \"60s\"\n{WIDE_VALIDITY}"
    )
}

/// Starts a run and waits until its journal contains some seconds. Returns the run and the journal.
fn started(workplace: &Workplace) -> (Running, std::path::PathBuf) {
    let mut run = workplace.start();
    run.says("steady");
    loop {
        if let [journal] = &workplace.outputs("journal")[..]
            && recover(journal).is_some_and(|until_us| until_us >= 2_000_000)
        {
            return (run, journal.clone());
        }
    }
}

/// Recovers a journal, and returns the end of its last second.
fn recover(journal: &Path) -> Option<u64> {
    let json = journal.with_extension("recovered.json");
    let export = format!("json={}", json.display());
    let done = hubstorm(&["report", "--recover", journal.to_str().expect("UTF-8"), "--export", &export]);
    (done.code == Some(0)).then(|| read_result(&json).run.recovery.expect("it was recovered").until_us)
}

#[test]
fn killed_runs_are_recovered_from_their_journal() {
    let workplace = Workplace::new(&scenario());
    let (run, journal) = started(&workplace);
    let path = journal.to_str().unwrap();
    let so_far = hubstorm(&["report", "--recover", path]);
    assert!(so_far.exits(0).stderr.contains("this run is still in progress"), "{}", so_far.stderr);
    run.signal(Signal::SIGKILL);
    assert_eq!(run.wait().code, None);
    let until_us = recover(&journal).unwrap();
    let result = read_result(&journal.with_extension("recovered.json"));
    assert!(!result.run.complete);
    assert_eq!((result.run.ended_by, result.run.duration_us), (Some(EndedBy::Unknown), until_us));
    let (due, outcomes) = totals(&result, "telemetry");
    assert!(outcomes["ok"] > 0 && due <= until_us / 10_000 + 20, "{due} due, {outcomes:?}");
    let judged = hubstorm(&["report", "--recover", path, "--judge"]);
    assert!(judged.exits(105).stdout.contains("recovered from its journal"), "{}", judged.stdout);
    assert!(!judged.stderr.contains("still in progress"), "{}", judged.stderr);
    let confused = hubstorm(&["report", path]);
    assert!(confused.exits(1).stderr.contains("hubstorm report --recover"), "{}", confused.stderr);
}

#[test]
fn recoveries_survive_a_kill_in_a_storm() {
    let storm = scenario()
        .replace("[[phase]]", "[[phase]]\nname = \"ramp\"\nduration = \"1s\"\nonline = \"100%\"\n[[phase]]");
    let workplace = Workplace::new(
        &storm.replace("duration = \"60s\"\n", "duration = \"60s\"\ndisconnect = { how = \"reset\" }\n"),
    );
    let (run, journal) = started(&workplace);
    // The journal knows a bin after 3 s.
    while recover(&journal).is_none_or(|until_us| until_us < 6_000_000) {}
    run.signal(Signal::SIGKILL);
    run.wait();
    recover(&journal).unwrap();
    let result = read_result(&journal.with_extension("recovered.json"));
    let [recovery] = &result.recoveries[..] else { panic!("{:?}", result.recoveries) };
    assert_eq!(
        (recovery.cause, recovery.start_us, recovery.lowest_online),
        (Cause::Disconnect, 1_000_000, 0)
    );
}

/// Limits the size of the files that a run writes. The run may lift the limit again.
fn limit_files_to(run: &Running, bytes: &str) {
    let limit = [format!("--pid={}", run.id()), format!("--fsize={bytes}:")];
    assert!(Command::new("prlimit").args(limit).status().expect("util-linux has prlimit").success());
}

#[test]
fn run_survives_a_journal_that_cannot_be_written() {
    let workplace = Workplace::new(&scenario());
    let (mut run, journal) = started(&workplace);
    limit_files_to(&run, "1");
    run.says("ends here: File too large");
    // The record that did not fit is gone; the earlier ones can still be read.
    let so_far = hubstorm(&["report", "--recover", journal.to_str().unwrap()]);
    assert!(!so_far.exits(0).stderr.contains("ignored"), "{}", so_far.stderr);
    limit_files_to(&run, "unlimited");
    run.interrupt();
    let finished = run.wait();
    finished.exits(105);
    for part in [format!("the journal {}", journal.display()), "The run continues".to_owned()] {
        assert!(finished.stderr.contains(&part), "{part}: {}", finished.stderr);
    }
    let [json] = &results_of(&workplace)[..] else { panic!("one result: {}", finished.stdout) };
    read_result(json);
    assert!(!journal.exists(), "a written result replaces the journal");
}

/// Returns the results that runs wrote, without the recovered ones.
fn results_of(workplace: &Workplace) -> Vec<std::path::PathBuf> {
    let mut files = workplace.outputs("json");
    files.retain(|file| !file.to_string_lossy().ends_with(".recovered.json"));
    files
}

#[test]
fn commands_say_how_to_recover_a_journal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let journal = folder.path().join("a.journal");
    std::fs::write(&journal, b"hubstorm.journal.v1\n\xff\x00").expect("the folder is writable");
    let journal = journal.to_str().unwrap();
    let hint = format!(":  hubstorm report --recover {journal} --export json=");
    for (code, command) in [
        (104, &["run", journal][..]),
        (104, &["check", journal]),
        (1, &["report", journal]),
        (1, &["report", journal, "--judge"]),
        (1, &["compare", journal, journal]),
    ] {
        let refused = hubstorm(command);
        assert!(refused.exits(code).stderr.contains(&hint), "{command:?}: {}", refused.stderr);
    }
}

#[test]
fn the_journal_is_removed_unless_it_is_to_be_kept() {
    let text = scenario().replace("\"60s\"", "\"1s\"");
    for (keep, fsync) in [(false, None), (true, Some("always")), (true, Some("end")), (true, Some("never"))] {
        let workplace = Workplace::new(&text);
        let mut command = workplace.run_command();
        command.args(fsync.iter().flat_map(|when| ["--fsync", when])).args(keep.then_some("--keep-journal"));
        let done = workplace.start_command(command).wait();
        done.exits(0);
        let journals = workplace.outputs("journal");
        assert_eq!(journals.len(), usize::from(keep), "{}", done.stdout);
        if let [journal] = &journals[..] {
            recover(journal).unwrap();
            let recovered = read_result(&journal.with_extension("recovered.json"));
            let written = read_result(&journal.with_extension("json"));
            assert_eq!(totals(&recovered, "telemetry"), totals(&written, "telemetry"));
        }
    }
    let wrong = hubstorm(&["run", "s.toml", "--fsync", "sometimes"]);
    assert!(wrong.exits(2).stderr.contains("always, end, never"), "{}", wrong.stderr);
}
