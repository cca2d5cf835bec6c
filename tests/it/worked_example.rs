//! The worked example of docs/capacity.md: a folder gets its files, its commands run there in their order, and their output must be the
//! one that the page shows. Each number in its text must be in a command, a file or an output.

use crate::support::hubstorm::read_result;
use hubstorm::capacity::measured::{CapacityResult, EndReason, Verdict};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The search takes more than a minute with the options of the page. The test replaces these, so that there is only time for the trial of
/// the lower level. With the environment variable `FULL`, which is for runs by hand, the test replaces nothing.
const SHORTER: [(&str, &str); 2] = [("--hold 30s", "--hold 6s"), ("--max-time 5m", "--max-time 11s")];
const FULL: &str = "HUBSTORM_TEST_FULL_EXAMPLE";
/// Stands for lines that the page leaves out.
const LEFT_OUT: &str = "...";
/// The limit of an S2 unit, in messages and in connections per second.
const LIMIT_PER_S: f64 = 120.0;

/// A run on a machine with enough processor time stalls for less than this.
const STALLED_US: u64 = 500_000;

/// A part of the example.
#[derive(Debug)]
enum Part {
    Text(String),
    File { name: String, text: String },
    Command(String),
    Output { text: String, measured: bool },
}

/// Returns the parts of the example, in their order.
fn example() -> Vec<Part> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/capacity.md");
    let page = fs::read_to_string(file).expect("it is there");
    let section = page.split("\n## From 40,000 meters").nth(1).expect("the example");
    let mut rest = section.split("\n## ").next().expect("a section");
    let mut parts = Vec::new();
    while let Some((text, fenced)) = rest.split_once("```") {
        let (block, after) = fenced.split_once("\n```").expect("the end of a block");
        let (language, content) = block.split_once('\n').expect("a language");
        let content = format!("{content}\n");
        parts.push(Part::Text(text.to_owned()));
        parts.push(match language {
            "toml" => {
                // The text before a file ends with its name: `meters.toml`:
                let name = text.trim_end().strip_suffix("`:").and_then(|text| text.rsplit('`').next());
                Part::File { name: name.expect("the name of the file").to_owned(), text: content }
            }
            "sh" => Part::Command(content),
            "text" => Part::Output { text: content, measured: text.ends_with("<!-- measured -->\n\n") },
            other => panic!("a block of {other}"),
        });
        rest = after;
    }
    parts.push(Part::Text(rest.to_owned()));
    parts
}

/// Returns a file of the example.
pub fn file(wanted: &str) -> String {
    let parts = example().into_iter();
    let mut files = parts.filter_map(|part| match part {
        Part::File { name, text } if name == wanted => Some(text),
        _ => None,
    });
    files.next().expect("a file of the example")
}

/// A folder with the files of the example, in which its commands run.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("bin")).expect("a folder");
        let program = folder.path().join("bin/hubstorm");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hubstorm"), program).expect("a link");
        Place(folder)
    }

    fn start(&self, script: &str) -> Child {
        let folder = self.0.path();
        let mut shell = Command::new("bash");
        shell.args(["-ec", &format!("exec 2>&1\n{script}")]).current_dir(folder).env_clear();
        shell.env("HOME", folder).env("PATH", format!("{}:/usr/bin:/bin", folder.join("bin").display()));
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("bash")
    }

    /// Returns the only result of a command: `capacity` is a part of the names of capacity results.
    fn json(&self, capacity: bool) -> PathBuf {
        let files = fs::read_dir(self.0.path().join("reports")).expect("results").flatten();
        let mut files: Vec<PathBuf> = files
            .map(|entry| entry.path())
            .filter(|file| file.extension().is_some_and(|extension| extension == "json"))
            .filter(|file| file.to_string_lossy().contains("-capacity-") == capacity)
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }
}

/// Asserts that an output contains the shown lines, in their order.
#[track_caller]
fn shows(output: &str, shown: &str) {
    let mut rest = output;
    let lines: Vec<&str> = shown.lines().collect();
    for part in lines.split(|line| *line == LEFT_OUT).filter(|part| !part.is_empty()) {
        let part = part.join("\n");
        let found = rest.split_once(&part);
        (_, rest) = found.unwrap_or_else(|| panic!("the output does not contain\n{part}\nin\n{output}"));
    }
    assert!(shown.contains(&format!("{LEFT_OUT}\n")) || output == shown, "{output}\ninstead of\n{shown}");
}

/// Returns a text in which all numbers with their units of time, and all white space, are alike. The lengths of numbers decide where lines
/// are wrapped.
fn without_numbers(text: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let is_number = word.contains(|c: char| c.is_ascii_digit());
        let is_unit = matches!(word.trim_end_matches([',', ';', '.']), "s" | "ms" | "µs");
        match word {
            LEFT_OUT => words.push("\n...\n"),
            _ if is_unit => {}
            _ if is_number => words.push("#"),
            _ => words.push(word),
        }
    }
    words.join(" ").replace(" \n", "\n").replace("\n ", "\n")
}

/// Waits for the run, and compares it with the text of the page.
fn check_run(place: &Place, run: Child, shown: &str) {
    let output = run.wait_with_output().expect("an output");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let result = read_result(&place.json(false));
    let recovery = result.recoveries.first().unwrap_or_else(|| panic!("a recovery: {text}"));
    // The hub lets 12 devices connect at once, and then 120 a second.
    assert!(recovery.reached_us.all.is_none_or(|all| all >= 3_100_000), "{recovery:?}");
    if output.status.success() {
        shows(&without_numbers(&text), &without_numbers(shown));
    } else {
        // Only a machine that is busy with other work cannot produce this load.
        let stalled_us = result.health.iter().map(|health| health.stall_us).max();
        assert!(stalled_us > Some(STALLED_US), "{text}");
    }
}

/// Waits for the search, and compares it with the text of the page, unless it was shortened. A machine that is busy with other work may
/// decide nothing.
fn check_search(place: &Place, search: Child, shown: &str) {
    let output = search.wait_with_output().expect("an output");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let result: CapacityResult =
        serde_json::from_slice(&fs::read(place.json(true)).expect("a result")).expect("a capacity result");
    let answer = &result.answer;
    assert_eq!(output.status.code(), Some(i32::from(answer.exit_code)), "{text}");
    for trial in result.trials.iter().filter(|trial| trial.verdict == Verdict::Good) {
        assert!(trial.level.per_s <= LIMIT_PER_S, "{text}");
    }
    match (answer.end, answer.lower, answer.upper) {
        (EndReason::Width, Some(lower), Some(upper)) => {
            assert!(lower.per_s <= LIMIT_PER_S && upper.per_s >= LIMIT_PER_S, "{text}");
            assert!(output.status.success(), "{text}");
            shows(&without_numbers(&text), &without_numbers(shown));
        }
        // The lower bound is enough for the assertion.
        (EndReason::Time, Some(_), None) => {
            assert!(output.status.success(), "{text}");
            let assertions = shown.split_once("Assertions\n").expect("an assertion").1;
            shows(&text, &format!("{LEFT_OUT}\nAssertions\n{assertions}"));
        }
        (end, lower, _) => {
            let is_busy = matches!(end, EndReason::Time | EndReason::Generator | EndReason::Undecided);
            assert!(is_busy && lower.is_none(), "{text}");
        }
    }
}

#[test]
fn commands_print_what_the_page_shows() {
    let place = Place::new();
    let mut command = None;
    let (mut run, mut search) = (None, None);
    for part in example() {
        match part {
            Part::Text(_) => {}
            Part::File { name, text } => {
                fs::write(place.0.path().join(name), text).expect("a writable folder");
            }
            Part::Command(text) => command = Some(text),
            Part::Output { text: shown, measured } => {
                let script = command.take().expect("a command before each output");
                if !measured {
                    let output = place.start(&script).wait_with_output().expect("an output");
                    let text = String::from_utf8(output.stdout).expect("UTF-8");
                    assert!(output.status.success(), "{script}: {text}");
                    shows(&text, &shown);
                } else if script.starts_with("hubstorm run ") {
                    run = Some((place.start(&script), shown));
                } else {
                    let shorter = SHORTER.iter().fold(script.clone(), |script, (long, short)| {
                        assert!(script.contains(long), "{script}");
                        script.replace(long, short)
                    });
                    let is_full = std::env::var_os(FULL).is_some();
                    search = Some((place.start(if is_full { &script } else { &shorter }), shown));
                }
            }
        }
    }
    assert!(command.is_none(), "an output follows each command");
    // Both put little load on this machine, so they run at the same time.
    let ((run, ran), (search, found)) = (run.expect("a run"), search.expect("a search"));
    check_run(&place, run, &ran);
    check_search(&place, search, &found);
}

/// Returns the numbers in a text, without separators of thousands.
fn numbers(text: &str) -> BTreeSet<String> {
    let numbers = text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ','));
    let numbers = numbers.map(|number| number.replace(',', "").trim_matches('.').to_owned());
    numbers.filter(|number| !number.is_empty()).collect()
}

#[test]
fn each_number_in_the_text_is_in_a_command_or_an_output() {
    let (mut texts, mut blocks) = (String::new(), String::new());
    for part in example() {
        match part {
            Part::Text(text) => {
                // The steps are numbered.
                let lines = text.lines().filter(|line| !line.starts_with("### "));
                lines.for_each(|line| texts += &format!("{line}\n"));
            }
            Part::File { text, .. } | Part::Command(text) | Part::Output { text, .. } => blocks += &text,
        }
    }
    for name in ["S1", "S2", "S3"] {
        texts = texts.replace(name, "");
    }
    let unknown: Vec<_> = numbers(&texts).difference(&numbers(&blocks)).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new());
}
