//! The JSON Schema of the format, with which editors complete and check scenarios: `schema.json`, printed by
//! `hubstorm schema scenario`. The reader does not use it: its errors say more. `tests/it/schema.rs` holds the two together,
//! so whoever gives the reader a key is told to describe it there.

use serde_json::{Map, Value};

/// The JSON Schema (draft 2020-12) of a scenario. Its definitions stand where they are used: editors for TOML show nothing of
/// what stands beside a `$ref`, and that is what a key means.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "the text is part of the program")]
pub fn schema() -> Value {
    let mut schema: Value =
        serde_json::from_str(include_str!("schema.json")).expect("every test of the schema parses it");
    let definitions = schema.as_object_mut().and_then(|root| root.remove("$defs"));
    let definitions =
        definitions.and_then(|definitions| definitions.as_object().cloned()).unwrap_or_default();
    inlined(&schema, &definitions)
}

/// The schema with each reference replaced by its definition, in which what stands beside the reference wins.
fn inlined(schema: &Value, definitions: &Map<String, Value>) -> Value {
    match schema {
        Value::Object(keywords) => {
            let mut out = Map::new();
            let referenced = keywords.get("$ref").and_then(Value::as_str);
            let name = referenced.and_then(|reference| reference.strip_prefix("#/$defs/"));
            if let Some(Value::Object(definition)) =
                name.and_then(|name| definitions.get(name)).map(|definition| inlined(definition, definitions))
            {
                out.extend(definition);
            }
            let own = keywords.iter().filter(|(keyword, _)| *keyword != "$ref" || name.is_none());
            out.extend(own.map(|(keyword, value)| (keyword.clone(), inlined(value, definitions))));
            Value::Object(out)
        }
        Value::Array(elements) => {
            Value::Array(elements.iter().map(|element| inlined(element, definitions)).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a reference has neighbours that check something, both must hold; merged, only one would.
    fn neighbours(schema: &Value, definitions: &Map<String, Value>, found: &mut Vec<String>) {
        match schema {
            Value::Object(keywords) => {
                if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
                    let definition =
                        reference.strip_prefix("#/$defs/").and_then(|name| definitions.get(name));
                    match definition {
                        Some(definition) => found.extend(
                            keywords
                                .keys()
                                .filter(|keyword| {
                                    !["$ref", "description", "default", "examples"]
                                        .contains(&keyword.as_str())
                                        && definition.get(keyword).is_some()
                                })
                                .map(|keyword| format!("{reference} with {keyword}")),
                        ),
                        None => found.push(format!("{reference} leads nowhere")),
                    }
                }
                keywords.values().for_each(|value| neighbours(value, definitions, found));
            }
            Value::Array(elements) => {
                elements.iter().for_each(|element| neighbours(element, definitions, found))
            }
            _ => {}
        }
    }

    #[test]
    fn every_reference_is_replaced_and_none_of_them_loses_a_rule() {
        let written: Value = serde_json::from_str(include_str!("schema.json")).unwrap();
        let mut found = Vec::new();
        neighbours(&written, written["$defs"].as_object().unwrap(), &mut found);
        assert!(found.is_empty(), "{found:?}");
        let text = schema().to_string();
        assert!(!text.contains("$ref") && !text.contains("$defs"), "{text}");
        let timeout = &schema()["properties"]["fleet"]["additionalProperties"]["properties"]["ack_timeout"];
        assert_eq!(timeout["default"], "30s");
        assert!(timeout["pattern"].is_string() && timeout["description"].is_string(), "{timeout}");
    }
}
