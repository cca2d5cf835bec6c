//! `report --hub-metrics`: the hub's own metrics beside the result of a real run. The metrics are made from Azure's documentation
//! (`tests/support/hub_metrics/README.md`).

use crate::support::hubstorm::{Finished, command, finish, hubstorm};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/hub_metrics")
}

fn path(name: &str) -> String {
    folder().join(name).to_str().expect("a UTF-8 path").to_owned()
}

/// Runs `report` in the folder of the files, so that the output contains short paths.
fn report(more: &[&str]) -> Finished {
    let arguments = [&["report", "run.json", "--hub-metrics", "metrics.json"], more].concat();
    let mut command = command(arguments);
    command.current_dir(folder());
    finish(command)
}

/// Returns a file in a new folder.
fn file(name: &str, contents: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    fs::write(&path, contents).expect("a writable folder");
    (folder, path)
}

/// Returns the part of a text from a heading on, up to `end`.
fn section(text: &str, heading: &str, end: &str) -> String {
    let rest = text.split_once(heading).unwrap_or_else(|| panic!("no {heading} in {text}")).1;
    format!("{heading}{}", rest.split_once(end).map_or(rest, |(part, _)| part))
}

#[test]
fn text_shows_both_sides_of_each_metric() {
    let shown = report(&[]);
    shown.exits(0);
    insta::assert_snapshot!("hub_text", section(&shown.stdout, "The hub's own view", "\nnothing follows"));
}

#[test]
fn markdown_shows_a_table() {
    let shown = report(&["--format", "markdown"]);
    shown.exits(0);
    insta::assert_snapshot!("hub_markdown", section(&shown.stdout, "### The hub's own view", "<details>"));
}

#[test]
fn page_has_a_section_with_charts() {
    let shown = report(&["--format", "html"]);
    shown.exits(0);
    let page = shown.stdout;
    let [timeline, hub, spectrum] = ["id=\"timeline\"", "id=\"hub-view\"", "id=\"spectrum-heading\""]
        .map(|part| page.find(part).unwrap_or_else(|| panic!("no {part}")));
    assert!(timeline < hub && hub < spectrum);
    for chart in ["hub-connected", "hub-messages", "hub-throttling", "hub-used"] {
        assert!(page.contains(&format!("<figure id=\"chart-{chart}\">")), "{chart}");
    }
    for part in [
        "partly outside the run",
        "RoutingDeliveries: hubstorm does not know it",
        "<th scope=\"row\">connected devices</th>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let plain = hubstorm(&["report", &path("run.json"), "--format", "html"]);
    assert!(!plain.stdout.contains("hub-view"), "a page without metrics has no such section");
}

/// The run failed. The metrics change neither that nor the result file.
#[test]
fn verdict_exit_code_and_result_stay_as_they_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [json, page] = ["again.json", "page.html"].map(|name| folder.path().join(name).display().to_string());
    let judged = report(&["--judge", "--export", &json, "--export", &page]);
    judged.exits(99);
    let without = hubstorm(&["report", &path("run.json"), "--judge", "--export", &format!("{json}.json")]);
    without.exits(99);
    assert!(judged.stdout.starts_with(&without.stdout), "{}", judged.stdout);
    assert!(judged.stdout.contains("The hub's own view"), "{}", judged.stdout);
    let read = |file: &str| fs::read_to_string(file).expect("an exported file");
    assert!(read(&json) == read(&format!("{json}.json")), "the result does not contain the metrics");
    assert!(read(&page).contains("id=\"hub-view\""));
}

#[test]
fn formats_without_the_metrics_are_refused() {
    for more in [
        &["--format", "json"][..],
        &["--format", "metrics"],
        &["--export", "/tmp/hub-metrics-never.json"],
        &["--out", "/tmp/hub-metrics-never.xml"],
    ] {
        let refused = report(more);
        refused.exits(2);
        assert!(
            refused.stderr.contains("--hub-metrics appears in html, text and markdown only"),
            "{}",
            refused.stderr
        );
    }
    let history = hubstorm(&["report", "--history", ".", "--hub-metrics", &path("metrics.json")]);
    history.exits(2);
    let two =
        hubstorm(&["report", &path("run.json"), &path("run.json"), "--hub-metrics", &path("metrics.json")]);
    two.exits(2);
    assert!(two.stderr.contains("hubstorm compare BASE NEW"), "{}", two.stderr);
}

#[test]
fn metrics_may_come_from_stdin() {
    let (metrics, result) = (path("metrics.json"), path("run.json"));
    let mut piped = command(["report", &result, "--hub-metrics", "-"]);
    piped.stdin(Stdio::from(fs::File::open(metrics).expect("the metrics")));
    let shown = finish(piped);
    shown.exits(0);
    assert!(shown.stdout.contains("Metrics of the hub meters, from stdin."), "{}", shown.stdout);
    let both = hubstorm(&["report", "-", "--hub-metrics", "-"]);
    both.exits(2);
    assert!(both.stderr.contains("only one of the result, the scenario and the metrics"), "{}", both.stderr);
}

#[test]
fn unusable_files_have_place_and_fix() {
    let good = fs::read_to_string(path("metrics.json")).expect("the metrics");
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(good.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let earlier = good.replace("2026-11-", "2025-11-");
    for (contents, expected) in [
        (Vec::new(), "is empty. Save the output of `az monitor metrics list --output json`"),
        (good.as_bytes()[..900].to_vec(), "is cut off: its JSON is incomplete"),
        (utf16, "is encoded as UTF-16; save the file as UTF-8. In PowerShell:"),
        (b"Timestamp Name\n".to_vec(), "is not JSON at line 1"),
        (
            fs::read(path("run.json")).expect("the result"),
            "is a file of hubstorm (hubstorm.result.v1), not the metrics",
        ),
        (earlier.into_bytes(), "has no values during the run"),
    ] {
        let (_folder, metrics) = file("metrics.json", contents);
        let refused =
            hubstorm(&["report", &path("run.json"), "--hub-metrics", metrics.to_str().expect("UTF-8")]);
        refused.exits(1);
        assert!(refused.stderr.contains(expected), "{expected}: {}", refused.stderr);
        assert_eq!(refused.stdout, "", "nothing is rendered");
    }
    let missing = hubstorm(&["report", &path("run.json"), "--hub-metrics", "missing.json"]);
    missing.exits(1);
    assert!(
        missing.stderr.contains("missing.json does not exist. Check the path of the metrics file"),
        "{}",
        missing.stderr
    );
    let pass = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/results/pass.json").display().to_string();
    let built_in = hubstorm(&["report", &pass, "--hub-metrics", &path("metrics.json")]);
    built_in.exits(1);
    assert!(
        built_in.stderr.contains("the built-in hub, which Azure does not measure"),
        "{}",
        built_in.stderr
    );
}
