//! Recognizes files that are not scenarios, such as YAML, XML, PEM files and scripts. Parsed as TOML, they would produce errors that hide the
//! cause. Used by `read_scenario` and `report`. Never quotes the content, which may be secret.

use super::file_kind::FileKind;
use super::shell::shell_word;
use crate::result::journal;
use crate::text_file::{self, Compression};
use std::path::Path;

/// The start of the schemas of result files of all versions.
pub(super) const RESULT_SCHEMAS: &str = "hubstorm.result.";

/// Words at the start of a script. In TOML, such a word could only be a key.
const SCRIPT_WORDS: [&str; 9] =
    ["import", "export", "const", "let", "var", "function", "from", "def", "class"];
const SCRIPT_EXTENSIONS: [&str; 5] = ["js", "mjs", "ts", "py", "sh"];

/// Returns what a compressed file is, and how to decompress it.
pub(super) fn compressed(file: &str, bytes: &[u8]) -> Option<String> {
    let compression = text_file::compression(bytes)?;
    Some(format!("{file} is compressed ({compression}). {}", decompress(file, compression)))
}

fn decompress(file: &str, compression: Compression) -> String {
    format!("Decompress it:  {} {}", compression.command(), shell_word(file))
}

/// Returns what the journal of a run is, and how to recover its result.
pub(super) fn journal(file: &str, bytes: &[u8]) -> Option<String> {
    let command = journal::recover_command(&shell_word(file));
    journal::is_journal(bytes).then(|| {
        format!(
            "{file} is the journal of a run, not a scenario. To recover the result of the run:  {command}"
        )
    })
}

/// Returns what a text is that is not a scenario, and what to do.
pub(super) fn other_text(file: &str, text: &str) -> Option<String> {
    let start = text.trim_start();
    let instead = "A scenario is TOML or JSON; to write a first scenario:  hubstorm init";
    if start.is_empty() {
        return Some(format!("{file} is empty. To write a first scenario:  hubstorm init"));
    }
    if start.starts_with('<') {
        let kind = if text_file::is_html(text) { "HTML page" } else { "XML file" };
        return Some(format!("{file} is an {kind}, not a scenario. {instead}"));
    }
    if start.starts_with("-----BEGIN ") {
        let trust = match start.starts_with("-----BEGIN CERTIFICATE-----") {
            true => "To trust it, pass it with --ca",
            false => instead,
        };
        return Some(format!("{file} is a PEM file, not a scenario. {trust}"));
    }
    if let Some(kind) = FileKind::of(text.as_bytes()) {
        return Some(kind.instead_of("a scenario", file));
    }
    // The start of a JSON file is no line of a script or of YAML.
    if is_json_name(file) || start.starts_with('{') {
        return None;
    }
    if is_script(file, text) {
        return Some(format!("{file} is a script, not a scenario. {instead}"));
    }
    is_yaml(text).then(|| format!("{file} looks like YAML. {instead}"))
}

fn is_json_name(file: &str) -> bool {
    file.ends_with(".json") || file.ends_with(".jsonc")
}

fn is_script(file: &str, text: &str) -> bool {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str());
    let line = first_line(text, &["//", "#", "*", "/*"]);
    let mut words = line.split_whitespace();
    let first_word = words.next().unwrap_or_default();
    text.starts_with("#!")
        || extension.is_some_and(|extension| SCRIPT_EXTENSIONS.contains(&extension))
        || SCRIPT_WORDS.contains(&first_word) && words.next().is_some_and(|word| !word.starts_with('='))
}

/// A line `key:` or `- value` cannot be TOML.
fn is_yaml(text: &str) -> bool {
    let line = first_line(text, &["#"]);
    let is_key = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    let key = line.split_once(':').filter(|(_, rest)| rest.is_empty() || rest.starts_with([' ', '\t']));
    line == "---"
        || line.starts_with("- ")
        || line.starts_with("%YAML")
        || key.is_some_and(|(key, _)| is_key(key))
}

/// Returns the first line that is neither blank nor a comment.
fn first_line<'a>(text: &'a str, comments: &[&str]) -> &'a str {
    let is_comment = |line: &str| comments.iter().any(|comment| line.starts_with(comment));
    text.lines().map(str::trim).find(|line| !line.is_empty() && !is_comment(line)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_kinds_of_text_are_named() {
        let k6 = "// load\nimport http from 'k6/http';\n";
        let result = r#"{"verdict": {}, "schema": "hubstorm.result.v1"}"#;
        for (file, text, expected) in [
            ("s.toml", " \n", "s.toml is empty. To write a first scenario:  hubstorm init"),
            (
                "p.html",
                "\n<!DOCTYPE html>",
                "p.html is an HTML page, not a scenario. A scenario is TOML or JSON",
            ),
            ("p.html", "<html>", "p.html is an HTML page, not a scenario."),
            (
                "plan.jmx",
                "<?xml version=\"1.0\"?>\n<jmeterTestPlan>",
                "plan.jmx is an XML file, not a scenario.",
            ),
            ("x.toml", "<target>", "x.toml is an XML file"),
            (
                "ca.pem",
                "-----BEGIN CERTIFICATE-----\nMII",
                "ca.pem is a PEM file, not a scenario. To trust it, pass it with --ca",
            ),
            (
                "k.pem",
                "-----BEGIN PRIVATE KEY-----\nMII",
                "k.pem is a PEM file, not a scenario. A scenario is",
            ),
            (
                "r.json",
                result,
                "r.json is a result file, not a scenario. To render it:  hubstorm report r.json",
            ),
            ("script.js", "// nothing", "script.js is a script, not a scenario."),
            ("x", k6, "x is a script, not a scenario."),
            ("x", "#!/bin/sh\necho", "x is a script"),
            (
                "y.yaml",
                "# load\nfleet:\n  meter: 1\n",
                "y.yaml looks like YAML. A scenario is TOML or JSON; to write a first scenario:  hubstorm init",
            ),
            ("y", "---\nseed: 1\n", "y looks like YAML."),
            ("y", "config.phases: 5", "y looks like YAML."),
            ("y", "- duration: 60", "y looks like YAML."),
        ] {
            let found = other_text(file, text).unwrap_or_default();
            assert!(found.starts_with(expected), "{file}: {found}");
        }
    }

    #[test]
    fn scenarios_are_not_taken_for_other_files() {
        for (file, text) in [
            ("x.toml", "seed = 1"),
            ("x.yaml", "seed = 1"),
            ("x.toml", "# a: comment\n[target]\nhost = \"a: b\""),
            ("x.toml", "\"a: b\" = 1"),
            ("x.toml", "import = 1"),
            ("x.toml", "const=1"),
            ("x.toml", "# only a comment"),
            ("x.json", "// a comment\n{\"schema\":1}"),
            ("x", "{\n  \"seed\": 1\n}"),
        ] {
            assert_eq!(other_text(file, text), None, "{text}");
        }
    }

    #[test]
    fn journals_are_named() {
        assert_eq!(
            journal("a b.journal", b"hubstorm.journal.v1\n\xff").unwrap(),
            "a b.journal is the journal of a run, not a scenario. To recover the result of the run:  \
             hubstorm report --recover 'a b.journal' --export json=recovered.json"
        );
        assert_eq!(journal("x", b"seed = 1"), None);
    }

    #[test]
    fn compressed_files_are_named() {
        assert_eq!(
            compressed("a b.gz", b"\x1f\x8b\x08").unwrap(),
            "a b.gz is compressed (gzip). Decompress it:  gunzip 'a b.gz'"
        );
        assert_eq!(compressed("x", b"seed"), None);
    }
}
