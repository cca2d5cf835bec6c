//! The JSON Schema of the format, from `schema.json`. Editors use it to complete and check scenarios; `hubstorm schema scenario` prints it.
//! The reader does not use it, because its own errors are more precise. `tests/it/schema.rs` checks that the schema and the reader accept
//! the same keys and values. This file must not depend on the reader.

use serde_json::{Map, Value};

/// Returns the JSON Schema (draft 2020-12) of a scenario. References are replaced with their definitions, because TOML editors do not show
/// a description next to a `$ref`.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "the schema is part of the program")]
pub fn schema() -> Value {
    let mut schema: Value =
        serde_json::from_str(include_str!("schema.json")).expect("the embedded schema is valid JSON");
    let definitions = schema.as_object_mut().and_then(|root| root.remove("$defs"));
    let definitions =
        definitions.and_then(|definitions| definitions.as_object().cloned()).unwrap_or_default();
    inlined(&schema, &definitions)
}

/// Replaces each reference with its definition. Keywords next to the reference take precedence.
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

    /// Finds keywords that occur both next to a reference and in its definition. Both apply, but inlining would keep only one.
    fn overridden_keywords(schema: &Value, definitions: &Map<String, Value>, found: &mut Vec<String>) {
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
                        None => found.push(format!("{reference} has no definition")),
                    }
                }
                keywords.values().for_each(|value| overridden_keywords(value, definitions, found));
            }
            Value::Array(elements) => {
                elements.iter().for_each(|element| overridden_keywords(element, definitions, found))
            }
            _ => {}
        }
    }

    #[test]
    fn inlining_keeps_every_rule_of_a_reference() {
        let written: Value = serde_json::from_str(include_str!("schema.json")).unwrap();
        let mut found = Vec::new();
        overridden_keywords(&written, written["$defs"].as_object().unwrap(), &mut found);
        assert!(found.is_empty(), "{found:?}");
        let text = schema().to_string();
        assert!(!text.contains("$ref") && !text.contains("$defs"), "{text}");
        let timeout = &schema()["properties"]["fleet"]["additionalProperties"]["properties"]["ack_timeout"];
        assert_eq!(timeout["default"], "30s");
        assert!(timeout["pattern"].is_string() && timeout["description"].is_string(), "{timeout}");
    }
}
