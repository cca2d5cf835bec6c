//! `docs/result.md`: its tables list every field of the result file, and its `jq` commands work.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use crate::committed_results::{RESULTS, read};
use crate::report::sample;
use hubstorm::measure::{Culprit, Operation, Outcome};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/result.md");
const BEGIN: &str = "<!-- The tables below are made from reports/schema.json. -->\n";

/// Returns the type of a field, with a link if it has a table of its own.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if schema["items"].is_object() {
        return format!("list of {}", kind(&schema["items"]));
    }
    if schema["additionalProperties"].is_object() {
        return format!("map to {}", kind(&schema["additionalProperties"]));
    }
    match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            names.iter().map(|name| name.as_str().unwrap()).collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    }
}

/// Returns the unit of a number, which the end of its name gives in most cases.
fn unit(name: &str, kind: &str) -> &'static str {
    let is_number =
        kind.starts_with("integer") || kind.starts_with("number") || kind.starts_with("list of number");
    match name {
        _ if !is_number => "",
        _ if name.ends_with("_us") => "µs",
        _ if name.ends_with("_bits_per_s") => "bit/s",
        // The times in `reached_us`.
        "50" | "90" | "99" | "100" => "µs",
        _ if name.ends_with("_percent") => "% of one core",
        _ if name.contains("bytes") => "bytes",
        // In phases, it is a pair of shares.
        "planned_online" if kind.starts_with("integer") => "count",
        "rate_ok" | "margin" | "planned_online" | "planned_load" | "quantile" => "fraction of 1",
        _ if name.ends_with("_share") => "fraction of 1",
        "limit" | "observed" | "observed_best" | "observed_worst" => "see `unit`",
        "port" | "line" | "exit_code" | "seed" | "send" => "number",
        _ => "count",
    }
}

/// Removes the line breaks and links of a doc comment.
fn plain(text: &str) -> String {
    text.replace('\n', " ").replace("[`", "`").replace("`]", "`")
}

fn cell(text: &str) -> String {
    plain(text).replace('|', "\\|")
}

/// Adds the table of an object, or the values of an enum.
fn table(out: &mut String, name: &str, schema: &Value) {
    writeln!(out, "\n### {name}\n").unwrap();
    // The schema has no values for these.
    let values: Vec<&str> = match name {
        "Culprit" => [Culprit::Target, Culprit::Network, Culprit::Generator].map(Culprit::name).to_vec(),
        "Operation" => Operation::ALL.map(Operation::name).to_vec(),
        "Outcome" => Outcome::ALL.map(Outcome::name).to_vec(),
        _ => Vec::new(),
    };
    let description = match schema["description"].as_str() {
        Some(description) => plain(description),
        None if !values.is_empty() => format!("One of `{}`.", values.join("`, `")),
        None => format!("A {}.", kind(schema)),
    };
    writeln!(out, "{description}").unwrap();
    let empty = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&empty);
    if !fields.is_empty() {
        out.push_str("\n| field | type | unit | meaning |\n|---|---|---|---|\n");
    }
    for (field, schema) in fields {
        let kind = kind(schema);
        let meaning = schema["description"].as_str().unwrap_or_default();
        writeln!(out, "| `{field}` | {kind} | {} | {} |", unit(field, &kind), cell(meaning)).unwrap();
    }
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    if schema["oneOf"].is_array() {
        out.push('\n');
    }
    for choice in choices {
        let value = choice["const"].as_str().or(choice["properties"]["kind"]["const"].as_str());
        let others = choice["properties"].as_object().into_iter().flatten();
        let others: Vec<String> = others
            .filter(|(field, _)| *field != "kind")
            .map(|(field, schema)| {
                format!("`{field}`: {}", schema["description"].as_str().unwrap_or_default())
            })
            .collect();
        let meaning = choice["description"].as_str().unwrap_or_default();
        let line = format!("- `{}`: {meaning} {}", value.unwrap_or_default(), others.join(" "));
        writeln!(out, "{}", line.replace('\n', " ").trim_end()).unwrap();
    }
}

/// Run with `UPDATE=1` to write the tables.
#[test]
fn result_page_lists_every_field() {
    let schema = hubstorm::result::schema();
    let mut tables = String::new();
    table(&mut tables, "Result", &schema);
    for (name, schema) in schema["$defs"].as_object().unwrap() {
        table(&mut tables, name, schema);
    }
    let page = fs::read_to_string(PAGE).unwrap();
    let (head, found) = page.split_once(BEGIN).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(PAGE, format!("{head}{BEGIN}{tables}")).unwrap();
    } else {
        assert!(found == tables, "run UPDATE=1 cargo test --test it result_doc::");
    }
}

#[test]
fn jq_commands_of_the_result_page_work() {
    let page = fs::read_to_string(PAGE).unwrap();
    let commands: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim()).collect();
    assert!(commands.len() >= 10, "{}", commands.len());
    let results = RESULTS.map(|(name, ..)| (name, read(name)));
    for (name, result) in results.into_iter().chain([("sample", sample::fail())]) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("result.json"), hubstorm::result::to_json(&result).unwrap()).unwrap();
        let mut outputs = String::new();
        for command in &commands {
            let output =
                Command::new("sh").args(["-c", command]).current_dir(folder.path()).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {command}: {errors}");
            writeln!(outputs, "$ {command}\n{}", String::from_utf8_lossy(&output.stdout)).unwrap();
        }
        if name == "sample" {
            insta::assert_snapshot!("jq_sample", outputs);
        }
    }
}
