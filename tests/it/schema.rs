//! The JSON Schema of scenarios against the reader. The tests check every table of the schema with both, with every key, every enum word
//! and values of every type. The reader must refuse everything that the schema refuses, so that editors raise no false alarms. The schema
//! must refuse everything that the reader refuses because of its shape.

use hubstorm::plan;
use hubstorm::scenario::{self, FileText, Input, Problem, Scenario};
use jsonschema::Validator;
use rand::SeedableRng;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A key that no table has.
const UNKNOWN: &str = "no-such-key";
/// A reference to an environment variable that holds the example of a key.
const REFERENCE: &str = "${env.EXAMPLE}";

/// Errors in the meaning of a scenario. The schema may accept them, but must refuse every other error.
const MEANING: [&str; 12] = [
    "not allowed with arrival = \"closed\"",
    "think_time requires arrival = \"closed\"",
    "rate and every are mutually exclusive",
    "not allowed with answer = false",
    "more than one source of keys",
    "shorter than base",
    "a fixed delay cannot have decorrelated jitter",
    "too long",
    "not a keep-alive that MQTT can express",
    "not a timeout that IoT Hub supports",
    "invalid reference to an environment variable",
    "duplicate key",
];

/// The start of further errors in the meaning.
const MEANING_OF: [&str; 3] = ["the environment variable ", "cannot read a secret from ", "not a speed "];

/// Edge cases of units, names and addresses, separated by bars.
const TEXTS: &str = "| |x|a b|zzz|7|10|-2m|never|${device}|${env.}|x${env.EXAMPLE|${file.key.txt}|x${file.key.txt}|\
    0s|0.0s|10s| 10s |10 s|1.5s|.5s|5.s|1..5s|1h30m|1m1|1us|1µs|100d|5 parsecs|-10s|+10s|- 10s|+0s|\
    5%/1m|5%/s| 5 % / 10s |101%/1m|5%/|5%/0s|5/1m|400|400/s|+400/s|1e3/s|0/s|300/1m|2.5 / s|60/m|1/0s|1/s/s|/s|\
    50|0%|0.5%|50%|+5%| 5 % |99.95%|100%|100.0%|100.5%|101%|1e1%|10000%|10001%|-1%|%|\
    0% -> 100%|0%->50%|0% -> 50% in 10 steps|0% -> 50% in 1 steps|0% -> 50% in 1000 steps |0% -> 50% in 1001 steps|\
    50% in 10 steps|0% -> 50% in 07 steps|0% -> 50% in +7 steps|0% -> 50%  in 7 steps|0% -> 50% in  7 steps|0% -> 50% in 7|0% ->|-> 5%|0% -> 101%|50% -> 10001%|0% -> 50% -> 100%|\
    2x| 2 x |2X|+2x|0x|0.0x|2e1x|.5x|5.x|10000x|10001x|x|10.0.0.1|::1|fe80::1|10.0.0|10.0.0.0/8|1:2";

fn environment(name: &str, example: &str) -> Option<String> {
    let value = match name {
        "EXAMPLE" => example,
        "HOST" | "IOTHUB_HOST" | "BROKER_HOST" => "example.azure-devices.net",
        "KEY" | "PASSWORD" | "IOTHUB_GROUP_KEY" | "BROKER_PASSWORD" => {
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        }
        _ => return None,
    };
    Some(value.to_owned())
}

/// Returns a file with one secret for every path.
fn files(_: &Path) -> std::io::Result<FileText> {
    Ok(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n".to_vec().into())
}

/// Returns all problems that the reader reports.
fn read(file: &str, text: &str, example: &str) -> Vec<Problem> {
    reading(file, text, example).1
}

/// Returns what the reader makes of a scenario, and all problems that it reports.
fn reading(file: &str, text: &str, example: &str) -> (Scenario, Vec<Problem>) {
    let env = |name: &str| environment(name, example);
    let input = Input { file, text, overrides: &[], env: &env, files: &files };
    let (scenario, errors) = scenario::read(&input);
    (scenario, errors.problems().into_iter().cloned().collect())
}

fn by_meaning(problem: &Problem) -> bool {
    MEANING.contains(&problem.what.as_str()) || MEANING_OF.iter().any(|what| problem.what.starts_with(what))
}

/// Returns the scenario with `value` at `pointer`, whose parent must exist.
fn with(document: &Value, pointer: &str, value: Value) -> Value {
    let mut document = document.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("not the root");
    match document.pointer_mut(parent).expect("the parent is there") {
        Value::Object(table) => {
            table.insert(key.to_owned(), value);
        }
        Value::Array(list) => list.splice(.., [value]).for_each(drop),
        other => panic!("{pointer}: below {other}"),
    }
    document
}

fn without(document: &Value, pointer: &str, key: &str) -> Value {
    let mut document = document.clone();
    table_at(&mut document, pointer).remove(key);
    document
}

fn table_at<'v>(document: &'v mut Value, pointer: &str) -> &'v mut Map<String, Value> {
    document.pointer_mut(pointer).and_then(Value::as_object_mut).expect("a table is there")
}

/// Returns the alternatives of a key: the schema itself, or its `anyOf`.
fn alternatives(schema: &Value) -> Vec<&Value> {
    schema["anyOf"].as_array().map_or_else(|| vec![schema], |any| any.iter().collect())
}

/// Returns the enum words of a key.
fn words(schema: &Value) -> Vec<Value> {
    let lists = alternatives(schema).into_iter().filter_map(|alternative| alternative["enum"].as_array());
    lists.flatten().cloned().collect()
}

/// Returns an example of the schema, or a value of its type.
fn example(schema: &Value) -> Value {
    let given = [&schema["examples"][0], &schema["default"], &schema["enum"][0]];
    if let Some(given) = given.into_iter().find(|given| !given.is_null()) {
        return given.clone();
    }
    match schema["type"].as_str() {
        Some("integer") => schema["minimum"].clone(),
        Some("boolean") => json!(true),
        Some("array") => json!([example(&schema["items"])]),
        Some("object") => json!({ "probe": example(&schema["additionalProperties"]) }),
        _ => example(schema["anyOf"].get(0).unwrap_or_else(|| panic!("no example of {schema}"))),
    }
}

/// Returns the allowed values that the reader names: the words of a list, or the ends of a range and their neighbors.
fn around(allowed: &str) -> Vec<Value> {
    let range = allowed.strip_prefix("a whole number from ").and_then(|range| range.split_once(" to "));
    match range {
        Some((from, to)) => {
            let ends = [from, to].map(|end| end.replace(',', "").parse::<i64>().expect("a number"));
            let near = ends.map(|end| [end.checked_sub(1), Some(end), end.checked_add(1)]);
            near.into_iter().flatten().flatten().map(|number| json!(number)).collect()
        }
        None => allowed.split(", ").filter_map(|word| serde_json::from_str(word).ok()).collect(),
    }
}

/// Walks the schema and collects every difference.
struct Comparison {
    validator: Validator,
    /// Differences, and reasons why a comparison was not possible.
    differences: BTreeSet<String>,
    tables: usize,
    scenarios: usize,
    /// Each key, with its schema and a valid scenario that contains it.
    keys: Vec<(String, Value, Value)>,
}

impl Comparison {
    fn differ(&mut self, what: String) {
        self.differences.insert(what);
    }

    /// Checks a scenario with both. Returns whether both accept it.
    fn agree(&mut self, document: &Value, example: &str, what: &dyn Fn() -> String) -> bool {
        self.scenarios += 1;
        let (scenario, problems) = reading("x.json", &document.to_string(), example);
        // The reader leaves a threshold without its list to the plan, which always refuses it and knows the form to write.
        let listed = scenario.thresholds.iter().all(|threshold| threshold.listed);
        let valid = self.validator.is_valid(document);
        match problems.iter().find(|problem| !by_meaning(problem)) {
            _ if !valid && listed && problems.is_empty() => {
                self.differ(format!("{}: the schema refuses what the reader accepts", what()));
            }
            _ if valid && !listed => self.differ(format!("{}: the schema accepts no list", what())),
            Some(problem) if valid => {
                let allowed = problem.allowed.as_deref().unwrap_or_default();
                self.differ(format!(
                    "{}: the schema accepts it, but the reader: {} ({allowed})",
                    what(),
                    problem.what
                ));
            }
            _ => {}
        }
        valid && listed && problems.is_empty()
    }

    /// Compares a key. `document` has a valid value at `pointer`.
    fn key(&mut self, schema: &Value, pointer: &str, document: &Value) {
        self.values(schema, pointer, document);
        for alternative in alternatives(schema) {
            if alternative["properties"].is_object() {
                self.table(alternative, pointer, document);
            } else if alternative["type"] == "object" {
                // A table with names as keys.
                let entry = &alternative["additionalProperties"];
                let known = words(&alternative["propertyNames"]);
                let name = known.first().and_then(Value::as_str).unwrap_or("probe");
                let named = with(document, pointer, json!({ name: example(entry) }));
                self.key(entry, &format!("{pointer}/{name}"), &named);
                if known.is_empty() {
                    let odd = with(document, pointer, json!({ "an odd name": example(entry) }));
                    self.agree(&odd, "", &|| format!("{pointer} with an odd name"));
                }
            } else if alternative["type"] == "array" {
                let entry = &alternative["items"];
                let listed = with(document, pointer, json!([example(entry)]));
                self.key(entry, &format!("{pointer}/0"), &listed);
            }
        }
    }

    /// Compares values of every type, and the edge cases that the schema or the reader names.
    fn values(&mut self, schema: &Value, pointer: &str, document: &Value) {
        let mut values = vec![json!(null), json!(true), json!(false), json!(1.5), json!(i64::MAX)];
        values.extend([-1, 0, 1, 2, 7].map(|number| json!(number)));
        values.extend([
            json!([]),
            json!([1]),
            json!(["x"]),
            json!({}),
            json!({ "probe": 1 }),
            json!({ "probe": "x" }),
        ]);
        values.extend(TEXTS.split('|').map(|text| json!(text)));
        values.extend(words(schema));
        for wrong in [json!("zzz"), json!(null)] {
            for problem in read("x.json", &with(document, pointer, wrong).to_string(), "") {
                values.extend(around(problem.allowed.as_deref().unwrap_or_default()));
            }
        }
        for value in values {
            self.agree(&with(document, pointer, value.clone()), "", &|| format!("{pointer} = {value}"));
        }
        for alternative in alternatives(schema) {
            let good =
                [&alternative["enum"][0], &alternative["examples"][0]].into_iter().find_map(Value::as_str);
            let Some(text) = good else { continue };
            let expanded = with(document, pointer, json!(REFERENCE));
            self.agree(&expanded, text, &|| format!("{pointer} = {REFERENCE} for {text}"));
        }
    }

    /// Compares a table with known keys, in each of its shapes. The set of keys can depend on an enum word.
    fn table(&mut self, schema: &Value, pointer: &str, document: &Value) {
        self.tables += 1;
        let properties = schema["properties"].as_object().expect("it has keys");
        let place = |table: Value| if pointer.is_empty() { table } else { with(document, pointer, table) };
        let shapes: Vec<Value> =
            schema["examples"].as_array().into_iter().flatten().map(|table| place(table.clone())).collect();
        if shapes.is_empty() {
            self.differ(format!("{pointer}: the schema gives no example of this table"));
        }
        for shape in &shapes {
            if !self.agree(shape, "", &|| format!("{pointer}: an example")) {
                self.differ(format!("{pointer}: an example is refused: {shape}"));
            }
        }
        let mut states = shapes.clone();
        for (key, property) in properties {
            for word in words(property) {
                let worded = |shape| with(shape, &format!("{pointer}/{key}"), word.clone());
                let worded: Vec<Value> = shapes.iter().map(worded).collect();
                let good = worded
                    .iter()
                    .filter(|state| self.agree(state, "", &|| format!("{pointer}/{key} = {word}")));
                if good.count() == 0 {
                    self.differ(format!("{pointer}: no example of this table with {key} = {word}"));
                }
                states.extend(worded);
            }
        }
        let mut known = BTreeSet::new();
        for state in &states {
            known.extend(self.known_keys(state, pointer));
            self.each_key(state, pointer, properties);
        }
        let described: BTreeSet<String> = properties.keys().cloned().collect();
        for key in known.symmetric_difference(&described) {
            let who = if known.contains(key) { "only the reader" } else { "only the schema" };
            self.differ(format!("{pointer}: {who} knows the key {key}"));
        }
        for (key, property) in properties {
            let below = format!("{pointer}/{key}");
            let given = shapes.iter().map(|shape| with(shape, &below, example(property)));
            let good: Vec<Value> =
                given.filter(|given| self.agree(given, "", &|| format!("{below}: an example"))).collect();
            match good.first() {
                Some(document) => {
                    self.keys.push((below.clone(), property.clone(), document.clone()));
                    self.key(property, &below, document);
                }
                None => self.differ(format!("{pointer}: no example of this table takes {key}")),
            }
        }
    }

    /// Returns the keys that the reader lists for an unknown key.
    fn known_keys(&mut self, state: &Value, pointer: &str) -> Vec<String> {
        let mut odd = state.clone();
        table_at(&mut odd, pointer).insert(UNKNOWN.to_owned(), json!(1));
        self.agree(&odd, "", &|| format!("{pointer} with an unknown key"));
        let problems = read("x.json", &odd.to_string(), "");
        let problem = problems.into_iter().find(|problem| problem.found.as_deref() == Some(UNKNOWN));
        let allowed = problem.and_then(|problem| problem.allowed).unwrap_or_default();
        allowed.split(", ").filter(|key| !key.is_empty()).map(str::to_owned).collect()
    }

    /// Adds every missing key and removes every present key, one at a time.
    fn each_key(&mut self, state: &Value, pointer: &str, properties: &Map<String, Value>) {
        let table = state.pointer(pointer).expect("it is there").clone();
        for (key, property) in properties {
            let changed = if table.get(key).is_some() {
                without(state, pointer, key)
            } else {
                with(state, &format!("{pointer}/{key}"), example(property))
            };
            self.agree(&changed, "", &|| format!("{pointer}: {key} added or removed in {table}"));
        }
    }
}

fn compared() -> Comparison {
    let schema = scenario::schema();
    let mut comparison = Comparison {
        validator: validator(),
        differences: BTreeSet::new(),
        tables: 0,
        scenarios: 0,
        keys: Vec::new(),
    };
    comparison.table(&schema, "", &schema["examples"][0]);
    comparison
}

fn validator() -> Validator {
    jsonschema::draft202012::meta::validate(&scenario::schema()).expect("it is a schema");
    jsonschema::draft202012::new(&scenario::schema()).expect("it is a schema")
}

#[test]
fn schema_and_reader_agree_on_every_key_word_and_value() {
    let compared = compared();
    let differences: Vec<String> = compared.differences.into_iter().collect();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert!(compared.tables >= 15, "{} tables", compared.tables);
    assert!(compared.scenarios >= 5_000, "{} scenarios", compared.scenarios);
}

/// Parses a scenario file to the value that editors check.
fn parsed(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).expect("the file exists");
    if path.extension().is_some_and(|extension| extension == "json") {
        return serde_json::from_str(&text).ok();
    }
    toml::from_str(&text).ok()
}

fn folder(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("the folder exists");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml" || extension == "json"));
    paths.sort();
    paths
}

#[test]
fn shipped_scenarios_are_valid() {
    let (validator, paths) = (validator(), folder("scenarios"));
    assert!(paths.len() >= 8);
    for path in paths {
        let scenario = parsed(&path).expect("it can be parsed");
        let errors: Vec<String> = validator
            .iter_errors(&scenario)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}:\n{}", path.display(), errors.join("\n"));
    }
}

#[test]
fn schema_refuses_scenarios_with_a_wrong_shape() {
    let validator = validator();
    let mut refused = 0;
    for path in folder("tests/scenarios_bad") {
        // A schema cannot check a file that does not parse.
        let Some(scenario) = parsed(&path) else { continue };
        if !validator.is_valid(&scenario) {
            refused += 1;
            continue;
        }
        let text = fs::read_to_string(&path).expect("it was read before");
        let unseen =
            read(&path.to_string_lossy(), &text, "").into_iter().find(|problem| !by_meaning(problem));
        assert!(unseen.is_none(), "{}: {unseen:?}", path.display());
    }
    assert!(refused >= 15, "{refused}");
}

/// The plan defines the subscriptions of an IoT hub device and the metrics.
#[test]
fn schema_lists_the_plans_subscriptions_and_metrics() {
    let schema = scenario::schema();
    let fleet = &schema["properties"]["fleet"]["additionalProperties"];
    let subscriptions = words(&fleet["properties"]["subscribe"]["items"]);
    let mut document = schema["examples"][0].clone();
    document["fleet"]["meter"]["subscribe"] = json!(subscriptions);
    planned(&document).expect("the plan knows them");
    document["fleet"]["meter"]["subscribe"] = json!(["zzz"]);
    document["thresholds"] = json!({ "zzz": ["max < 1s"] });
    let errors = planned(&document).expect_err("there are no such names");
    let subscriptions = subscriptions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let metrics = words(&schema["properties"]["thresholds"]["propertyNames"]);
    let metrics = metrics.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    for allowed in [subscriptions, metrics] {
        assert!(
            errors.lines().any(|line| line.trim() == format!("allowed: {allowed}")),
            "{allowed}\n{errors}"
        );
    }
}

/// Resolves a scenario and returns the plan as text, without the scenario's own text.
fn planned(document: &Value) -> Result<String, String> {
    let text = document.to_string();
    let env = |name: &str| environment(name, "");
    let input = Input { file: "tests/support/x.json", text: &text, overrides: &[], env: &env, files: &files };
    let mut plan =
        plan::load(&input, &mut rand::rngs::StdRng::seed_from_u64(1)).map_err(|errors| errors.to_string())?;
    plan.source.text.clear();
    plan.source.sha256.clear();
    Ok(format!("{plan:?}"))
}

/// Returns the scenario for a broker, and for a hub whose devices have every subscription. A key may be valid for only one of them.
fn for_both_targets(document: &Value) -> [Value; 2] {
    let mut document = document.clone();
    // A `disconnect` needs a phase before it, and a table of a phase needs a fleet with its name.
    if let Some(phases) = document["phase"].as_array_mut() {
        for phase in phases.iter_mut() {
            let fleets = phase.get_mut("fleet").and_then(Value::as_object_mut);
            if let Some((fleets, probe)) =
                fleets.and_then(|fleets| fleets.remove("probe").map(|probe| (fleets, probe)))
            {
                fleets.insert("meter".to_owned(), probe);
            }
        }
        phases.insert(0, json!({ "name": "before-the-others", "duration": "1m" }));
    }
    let [mut broker, mut hub] = [document.clone(), document];
    broker["target"]["kind"] = json!("mqtt");
    broker["target"]["host"] = json!("localhost");
    for fleet in hub["fleet"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        fleet["subscribe"] = json!(["c2d", "twin", "methods"]);
    }
    [broker, hub]
}

#[test]
fn documented_defaults_are_the_plans_defaults() {
    let (mut compared_here, mut wrong) = (0, Vec::new());
    for (pointer, schema, document) in compared().keys {
        let Some(default) = schema.get("default") else { continue };
        compared_here += 1;
        let (table, key) = pointer.rsplit_once('/').expect("a key is in a table");
        let given = [document.clone(), with(&document, &pointer, default.clone())];
        let [silent, spoken] = [without(&given[0], table, key), given[1].clone()];
        let plans = for_both_targets(&silent).into_iter().zip(for_both_targets(&spoken));
        let plans = plans.map(|(silent, spoken)| (planned(&silent), planned(&spoken)));
        let (read, unread): (Vec<_>, Vec<_>) =
            plans.partition(|(silent, spoken)| silent.is_ok() && spoken.is_ok());
        if read.iter().any(|(silent, spoken)| silent != spoken) {
            wrong.push(format!("{pointer}: {default} is not the default"));
        }
        if read.is_empty() {
            wrong.push(format!("{pointer}: no plan to compare: {unread:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared_here >= 40, "{compared_here} defaults");
}

#[test]
fn every_key_is_described_and_documented() {
    let documentation = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenario.md"));
    let documentation = documentation.expect("it is there");
    for (pointer, schema, _) in compared().keys {
        let description = schema["description"].as_str().unwrap_or_default();
        assert!(description.ends_with('.'), "{pointer} is not described");
        let key = pointer.rsplit('/').next().expect("a key");
        let forms = [
            format!("`{key}`"),
            format!("`[{key}]`"),
            format!("`[[{key}]]`"),
            format!(".{key}."),
            format!("{key} = "),
        ];
        assert!(
            forms.iter().any(|form| documentation.contains(form)),
            "docs/scenario.md does not mention {pointer}"
        );
    }
}
