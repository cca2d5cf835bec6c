//! The faces of a capacity result: `report` and `compare` of its file, its page in Chromium, its schema, and files of another kind in its
//! place. The result in `tests/results/capacity` is that of a real search; the tests derive other ends from it.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use crate::browser::{chromium, dump_dom, faults, measured};
use crate::support::hubstorm::{Finished, command, finish, hubstorm};
use crate::support::readers;
use hubstorm::capacity::measured::{Bound, CapacityResult, EndReason, Level, Verdict};
use hubstorm::report;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const ENDS: [EndReason; 6] = [
    EndReason::Width,
    EndReason::Generator,
    EndReason::Interrupted,
    EndReason::LowestBad,
    EndReason::HighestGood,
    EndReason::Undecided,
];

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/results/capacity/search.json")
}

fn sample() -> CapacityResult {
    serde_json::from_slice(&fs::read(file()).unwrap()).unwrap()
}

/// Returns a result that ended for this reason.
pub(crate) fn ended(end: EndReason) -> CapacityResult {
    let mut result = sample();
    let lowest = |verdict| {
        let trials = result.trials.iter().filter(|trial| trial.verdict == verdict);
        trials.map(|trial| trial.level).min_by_key(|level| level.level)
    };
    let highest =
        result.trials.iter().filter(|trial| trial.verdict == Verdict::Good).map(|trial| trial.level);
    let (good, bad) = (highest.max_by_key(|level| level.level), lowest(Verdict::Bad));
    let keep = |result: &mut CapacityResult, verdicts: &[Verdict]| {
        result.trials.retain(|trial| verdicts.contains(&trial.verdict));
        result.curve.retain(|point| result.trials.iter().any(|trial| trial.level == point.level));
    };
    let (lower, upper, bound): (Option<Level>, Option<Level>, Option<Bound>) = match end {
        EndReason::Generator => {
            for trial in result.trials.iter_mut().filter(|trial| trial.verdict == Verdict::Undecided) {
                trial.verdict = Verdict::Void;
                "a core of the load generator was saturated".clone_into(&mut trial.reason);
            }
            (good, None, Some(Bound::Generator))
        }
        EndReason::HighestGood => {
            keep(&mut result, &[Verdict::Good]);
            (good, None, Some(Bound::Range))
        }
        EndReason::LowestBad => {
            keep(&mut result, &[Verdict::Bad]);
            (None, bad, Some(Bound::Threshold))
        }
        EndReason::Interrupted => (None, None, None),
        _ => (good, bad, Some(Bound::Threshold)),
    };
    (result.answer.lower, result.answer.upper) = (lower, upper);
    (result.answer.end, result.answer.bound_by) = (end, bound);
    result.answer.exit_code = report::exit::of_search(end, &[]);
    result.assertions.clear();
    result.run.breakdowns.clear();
    result
}

fn write(folder: &Path, name: &str, result: &CapacityResult) -> String {
    let path = folder.join(name);
    fs::write(&path, serde_json::to_string_pretty(result).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Half of the capacity, with the same trials.
fn slower() -> CapacityResult {
    let mut slower = ended(EndReason::Width);
    let halve = |level: &mut Option<Level>| {
        *level = level.map(|level| Level { level: level.level / 2, per_s: level.per_s / 2.0, ..level });
    };
    halve(&mut slower.answer.lower);
    halve(&mut slower.answer.upper);
    slower
}

#[test]
fn report_renders_a_capacity_result() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "result.json", &sample());
    for (format, part) in [
        ("text", "\nTrials\n"),
        ("json", "\"schema\": \"hubstorm.capacity.v1\""),
        ("html", "id=\"chart-knee\""),
        ("junit", "<testcase name=\"capacity\""),
        ("markdown", "\n### Trials\n"),
    ] {
        let printed = hubstorm(&["report", &path, "--format", format]);
        assert!(printed.exits(0).stdout.contains(part), "{format}: {}", printed.stdout);
        let export = folder.path().join(format!("capacity.{format}"));
        let exported = hubstorm(&["report", &path, "--export", &format!("{format}={}", export.display())]);
        assert_eq!(exported.exits(0).stdout, "");
        assert!(fs::read_to_string(export).unwrap().contains(part), "{format}");
    }
    let same: CapacityResult =
        serde_json::from_str(&hubstorm(&["report", &path, "--format", "json"]).stdout).unwrap();
    assert_eq!(same, sample());
    let mut piped = command(["report", "-"]);
    piped.stdin(File::open(&path).unwrap());
    assert!(finish(piped).exits(0).stdout.contains("The capacity is "));
    for (option, part) in [("--format=hlog", "has no format hlog"), ("--export=csv=x", "has no format csv")] {
        assert!(hubstorm(&["report", &path, option]).exits(2).stderr.contains(part), "{option}");
    }
}

#[test]
fn judging_again_exits_with_the_code_of_the_search() {
    let folder = tempfile::tempdir().unwrap();
    for end in ENDS {
        // The recorded code is wrong, so the code is derived again.
        let mut result = ended(end);
        result.answer.exit_code = 7;
        let path = write(folder.path(), "capacity.json", &result);
        let judged = hubstorm(&["report", &path, "--judge"]);
        let code = report::exit::of_search(end, &[]).into();
        assert!(judged.exits(code).stdout.contains("The capacity is "), "{end:?}: {}", judged.stdout);
    }
    let path = write(folder.path(), "capacity.json", &sample());
    let other = hubstorm(&["report", &path, "--judge", "--scenario", "x.toml"]);
    assert!(other.exits(2).stderr.contains("this file is a capacity result"), "{}", other.stderr);
}

#[test]
fn files_of_another_kind_are_named_with_their_command() {
    let folder = tempfile::tempdir().unwrap();
    let here = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let capacity = write(folder.path(), "capacity.json", &sample());
    let run = format!("{}/tests/results/pass.json", env!("CARGO_MANIFEST_DIR"));
    let (plan, compared, runs) = (here("plan.json"), here("compared.json"), here("runs.json"));
    hubstorm(&["plan", "--devices", "10", "--every", "15s", "--size", "300", "--export", &plan]).exits(0);
    hubstorm(&["compare", &capacity, &capacity, "--inconclusive", "pass", "--export", &compared]);
    fs::write(&runs, "{\"schema\": \"hubstorm.compare.v1\"}").unwrap();
    let newer = here("newer.json");
    fs::write(&newer, fs::read_to_string(&capacity).unwrap().replacen("capacity.v1", "capacity.v2", 1))
        .unwrap();
    for (args, code, parts) in [
        (
            &["report", &plan][..],
            1,
            ["is a capacity plan, not a result", "hubstorm plan SCENARIO --export FILE"],
        ),
        (
            &["report", &compared],
            1,
            ["a comparison of capacity results, not a result", "hubstorm compare BASE"],
        ),
        (&["report", &runs], 1, ["is a comparison, not a result", "hubstorm compare BASE.json NEW.json"]),
        (&["report", &newer], 1, ["capacity result of another version than 1", "Use a newer hubstorm"]),
        (&["report", "--recover", &capacity], 1, ["capacity.json", "journal"]),
        (&["check", &capacity], 104, ["is a capacity result, not a scenario", "hubstorm report "]),
        (&["run", &plan], 104, ["is a capacity plan, not a scenario", "hubstorm plan SCENARIO"]),
        (
            &["capacity", &compared],
            104,
            ["a comparison of capacity results, not a scenario", "hubstorm compare "],
        ),
        (&["plan", &capacity], 104, ["is a capacity result, not a scenario", "hubstorm report "]),
        (
            &["compare", &capacity, &run],
            1,
            ["pass.json is a result file, not a capacity result", "hubstorm report"],
        ),
        (
            &["compare", &run, &capacity],
            1,
            ["pass.json is a result file, not a capacity result", "hubstorm report"],
        ),
        (&["compare", &plan, &run], 1, ["is a capacity plan, not a result", "hubstorm plan SCENARIO"]),
        (&["compare", &here(""), &capacity], 2, ["is a folder", "file by file"]),
        (
            &["run", "scenarios/quickstart.toml", "--compare", &capacity],
            1,
            ["is a capacity result, not the", "report"],
        ),
    ] {
        let finished = hubstorm(args);
        finished.exits(code);
        for part in parts {
            assert!(finished.stderr.contains(part), "{args:?}: {}", finished.stderr);
        }
    }
}

#[test]
fn capacities_are_compared_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let base = write(folder.path(), "base.json", &ended(EndReason::Width));
    let new = write(folder.path(), "new.json", &slower());
    let compare = |more: &[&str]| hubstorm(&[&["compare", &base, &new], more].concat());
    let text = compare(&[]);
    assert!(
        text.exits(121).stdout.starts_with("✗ The new capacity is lower by more than 10%."),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout.lines().all(|line| report::columns(line) <= 80 || line.contains('/')),
        "{}",
        text.stdout
    );
    let read = |finished: &Finished| serde_json::from_str::<Value>(&finished.exits(121).stdout).unwrap();
    let json = read(&compare(&["--format", "json"]));
    assert_eq!((&json["outcome"], &json["exit_code"]), (&"regressed".into(), &121.into()));
    assert_eq!(json["new"]["file"], new.as_str());
    let markdown = readers::python("markdown", &compare(&["--format", "markdown"]).stdout);
    assert_eq!(markdown["tables"][0][1][1], "capacity", "{markdown}");
    let junit = readers::python("junit", &compare(&["--format", "junit"]).stdout);
    let cases = junit["cases"].as_array().unwrap();
    assert_eq!(cases[0]["results"][0]["type"], "regressed", "{junit}");
    assert_eq!(cases.len(), 2 + sample().criteria.len(), "{junit}");
    let page = folder.path().join("compared.html");
    compare(&["--export", page.to_str().unwrap()]).exits(121);
    let html = fs::read_to_string(&page).unwrap();
    for series in ["base", "new", "interval-base", "interval-new"] {
        assert!(html.contains(&format!("data-series=\"{series}\"")), "{series}");
    }
    assert_eq!(faults(&[page]), "");
    for (option, part) in [
        ("--export=hlog=x", "a comparison has no format hlog"),
        ("--metric=telemetry p(99)", "no --metric"),
        ("--tolerance=much", "allowed: a share up to 100%"),
        (&format!("--export={base}"), "the command reads this file"),
    ] {
        assert!(compare(&[option]).exits(2).stderr.contains(part), "{option}");
    }
}

#[test]
fn published_schemas_describe_their_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let base = write(folder.path(), "base.json", &ended(EndReason::Width));
    let help = hubstorm(&["schema", "--help"]).stdout;
    let meters = ["plan", "--devices", "10", "--every", "15s", "--size", "300", "--format", "json"];
    for (name, output) in [
        ("capacity", hubstorm(&["report", &base, "--format", "json"])),
        ("capacity-comparison", hubstorm(&["compare", &base, &base, "--format", "json"])),
        ("plan", hubstorm(&meters)),
    ] {
        assert!(help.contains(&format!("- {name}:")), "{name}: {help}");
        let schema: Value = serde_json::from_str(&hubstorm(&["schema", name]).exits(0).stdout).unwrap();
        let output: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(schema["title"], output["schema"], "{name}");
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let errors: Vec<String> = validator.iter_errors(&output).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}

/// Writes the page of each end of a search.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let page = |end: EndReason| {
        let path = folder.join(format!("{end:?}.html").to_lowercase());
        fs::write(&path, report::search_page(&ended(end)).unwrap()).unwrap();
        path
    };
    ENDS.map(page).to_vec()
}

#[test]
fn pages_of_searches_and_plans_are_accessible_and_fit_a_phone() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = pages(folder.path());
    for (name, more) in [("small", &[][..]), ("twins", &["--twin-reads", "4/1d", "--headroom", "75%"])] {
        let page = folder.path().join(format!("plan-{name}.html"));
        let meters = ["plan", "--devices", "40000", "--every", "15s", "--size", "300", "--export"];
        hubstorm(&[&meters[..], &[page.to_str().unwrap()], more].concat()).exits(0);
        all.push(page);
    }
    if let Some(keep) = std::env::var_os("HUBSTORM_TEST_PAGES") {
        for page in &all {
            fs::copy(page, Path::new(&keep).join(page.file_name().unwrap())).unwrap();
        }
    }
    assert_eq!(faults(&all), "");
}

/// The page has no script, so it is the same with scripts blocked. A headless browser cannot measure a printed page, so the print styles
/// become screen styles.
#[test]
fn page_of_a_search_fits_windows_and_paper() {
    let folder = tempfile::tempdir().unwrap();
    let screen = report::search_page(&ended(EndReason::Width)).unwrap();
    assert!(!screen.contains("<script>"), "the data block is not run");
    let print = screen.replace("@media print", "@media all").replace("@media screen", "@media speech");
    for (name, page, widths) in [("screen", screen, &[1280, 390][..]), ("print", print, &[718])] {
        let path = folder.path().join(format!("{name}.html"));
        fs::write(&path, page).unwrap();
        for width in widths {
            let found = measured(&chromium(), folder.path(), &path, *width);
            let get = |key: &str| found.iter().find(|(name, _)| name == key).unwrap().1;
            assert!(get("scroll") <= get("client"), "{name} at {width}: {found:?}");
            assert!(
                (get("charts") - 1.0).abs() < 1e-9,
                "{name} at {width}: the knee, in one size: {found:?}"
            );
            assert!(get("smallest") >= 10.0 && get("largest") <= 18.0, "{name} at {width}: {found:?}");
        }
    }
}

/// Each verdict has a shape of its own, in the chart and in the table, and the interval is a visible area.
#[test]
fn verdicts_differ_without_color() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let mut result = ended(EndReason::Width);
    let void = result.trials.iter_mut().rfind(|trial| trial.verdict == Verdict::Undecided).unwrap();
    void.verdict = Verdict::Void;
    let script = "<script>onload = () => { const wide = document.querySelector('svg.wide');
      const shape = id => { const one = wide.querySelector(`[data-series=${id}] > *`).cloneNode();
        for (const name of ['cx', 'cy', 'stroke', 'd']) {
          const value = one.getAttribute(name);
          if (name === 'd') one.setAttribute('d', value?.replace(/[^A-Za-z]/g, '')); else one.removeAttribute(name); }
        const fill = one.getAttribute('fill');
        if (fill) one.setAttribute('fill', fill === '#ffffff' || fill === 'none' ? 'empty' : 'filled');
        return one.outerHTML; };
      const box = wide.querySelector('[data-series=interval] > *').getBoundingClientRect();
      const marks = [...document.querySelectorAll('.trials .state')].map(one => one.textContent);
      document.body.innerHTML = '<pre id=\"found\"></pre>';
      found.textContent = JSON.stringify({
        shapes: SHAPES.map(shape), area: box.width * box.height, marks: [...new Set(marks)].sort() }); };</script>";
    let script = script.replace("SHAPES", "['good', 'bad', 'undecided', 'void']");
    // The page forbids scripts, except for this test.
    let html = report::search_page(&result).unwrap();
    let html =
        html.replacen("default-src 'none'", "default-src 'unsafe-inline'", 1).replacen("</body>", &script, 1);
    fs::write(&page, html).unwrap();
    let dom = dump_dom(&chromium(), &page);
    let json = dom.split_once("<pre id=\"found\">").unwrap().1.split_once("</pre>").unwrap().0;
    let json = json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let found: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let shapes: std::collections::BTreeSet<&str> =
        found["shapes"].as_array().unwrap().iter().map(|shape| shape.as_str().unwrap()).collect();
    assert_eq!(shapes.len(), 4, "{found}");
    assert!(found["area"].as_f64().unwrap() > 100.0, "{found}");
    assert_eq!(found["marks"], serde_json::json!(["?undecided", "–void", "✓good", "✗bad"]), "{found}");
}
