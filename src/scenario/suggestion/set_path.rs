//! "Did you mean" for a `--set` override: finds the place in the scenario where a misplaced key belongs, and writes a value that must be a
//! list or a table. Used by `reader`.

use super::{Meant, meant};
use crate::scenario::error::Origin;
use crate::scenario::mask::may_be_key;
use crate::scenario::node::{Entry, Node, Value};

/// Places, each with its keys. `*` stands for the first name in the scenario. The first place that knows a key wins.
const PLACES: [(&[&str], &[&str]); 5] = [
    (
        &["fleet", "*"],
        &[
            "devices",
            "id",
            "sdk",
            "auth",
            "keep_alive",
            "clean_session",
            "unsubscribe",
            "reconnect",
            "connect_timeout",
            "ack_timeout",
            "send_by",
            "offline",
            "in_flight",
            "subscribe",
        ],
    ),
    (&["phase", "*"], &["duration", "online", "load", "warmup"]),
    (
        &["fleet", "*", "send", "*"],
        &["every", "rate", "arrival", "think_time", "burst", "qos", "retain", "topic", "payload"],
    ),
    (&["target"], &["kind", "host", "port", "tls", "ca", "source_ips"]),
    (&["emulator"], &["tier", "expiry_grace", "lenient_properties"]),
];

/// Returns the path for `key`, which is not allowed in the table at `table` with these entries. Finds places below this table, or, at the
/// top level, all places. `value` is appended if it cannot be a secret.
pub(in crate::scenario) fn set_path(
    table: &str,
    entries: &[Entry],
    key: &str,
    value: &Value,
) -> Option<String> {
    let above: Vec<&str> = table.split('.').filter(|part| !part.is_empty()).collect();
    let word = |exact: bool| {
        PLACES.iter().find_map(|(place, keys)| {
            let below = place.get(above.len()..).filter(|below| !below.is_empty())?;
            let is_above = above.iter().zip(place.iter()).all(|(part, place)| part == place || *place == "*");
            let word = match exact {
                true => keys.iter().copied().find(|known| *known == key),
                false => match meant(key, keys)? {
                    Meant::Word(word) => Some(word),
                    Meant::Fix(_) => None,
                },
            }?;
            let found = is_above.then(|| names(entries, below)).flatten()?;
            Some((found, word))
        })
    };
    let (below, word) = word(true).or_else(|| word(false))?;
    let mut path: Vec<String> = above.into_iter().map(str::to_owned).chain(below).collect();
    path.push(word.to_owned());
    Some(path.join(".") + &shown(value))
}

/// Returns the names along a place: keys of tables, and names or indices of list elements.
fn names(entries: &[Entry], place: &[&str]) -> Option<Vec<String>> {
    let Some((first, rest)) = place.split_first() else { return Some(Vec::new()) };
    let entry = match *first {
        "*" => entries.first(),
        key => entries.iter().find(|entry| entry.key == key),
    };
    let (name, node) = match entry {
        Some(entry) => (entry.key.clone(), &entry.node),
        // An override adds a missing table.
        None if rest.is_empty() && *first != "*" => return Some(vec![(*first).to_owned()]),
        None => return None,
    };
    let below = match (&node.value, rest) {
        (Value::Array(elements), ["*", rest @ ..]) => {
            let element = elements.first()?;
            let below = if rest.is_empty() { Vec::new() } else { names(table(element)?, rest)? };
            std::iter::once(element_name(element).unwrap_or("0").to_owned()).chain(below).collect()
        }
        (_, []) => Vec::new(),
        (Value::Table(entries), rest) => names(entries, rest)?,
        _ => return None,
    };
    Some(std::iter::once(name).chain(below).collect())
}

fn table(node: &Node) -> Option<&[Entry]> {
    if let Value::Table(entries) = &node.value { Some(entries) } else { None }
}

/// Returns the name by which `--set` selects a list element, if the element has one.
pub(in crate::scenario) fn element_name(element: &Node) -> Option<&str> {
    let name = table(element)?.iter().find(|entry| entry.key == "name")?;
    if let Value::String(name) = &name.node.value { Some(name) } else { None }
}

/// What to append to the path of a list or a table of tables, by a part of the text that describes its allowed values.
#[rustfmt::skip]
const KEYS: [(&str, &str); 13] = [
    ("[[phase]]", ".0.duration=1m"),
    ("[[drive]]", ".0.rate=1/s"),
    (".send]]", ".0.every=10s"),
    (".report]]", ".0.every=10s"),
    ("keys every and payload", ".every=10s"),
    ("keys name and duration", ".duration=1m"),
    ("keys call, fleet and rate", ".rate=1/s"),
    ("keys kind and host", ".host=broker.example"),
    ("a table: [fleet.NAME]", ".devices=100"),
    ("one table per fleet", ".NAME.devices=100"),
    // A key in `auth` may be a secret, which --set refuses.
    ("group_key = ", ".file=devices.txt"),
    (".methods.reboot]", ".reboot.status=200"),
    ("a table: \"telemetry\"", ".telemetry=[\"p(99) < 500ms\"]"),
];

/// Returns the fix for a value of `--set` that must be a list or a table: the option to write. `None` for a value in the file.
/// `allowed` describes the allowed values, with an example in TOML.
pub(in crate::scenario) fn set_value(node: &Node, allowed: &str) -> Option<String> {
    let Origin::Set(_) = node.place.origin else { return None };
    let path = &node.place.key;
    if allowed.starts_with("true") {
        return Some(format!("write --set {path}=true or --set {path}=false"));
    }
    if let Some((_, rest)) = KEYS.iter().find(|(kind, _)| allowed.contains(kind)) {
        return Some(format!("set a key of it, such as --set '{path}{rest}'"));
    }
    let value = match &node.value {
        Value::String(text) if allowed.contains('[') && !may_be_key(text) && !text.contains(['\'', '[']) => {
            format!("{:?}", text.split(',').map(str::trim).collect::<Vec<_>>())
        }
        _ => allowed.get(allowed.find(['[', '{'])?..=allowed.rfind([']', '}'])?)?.to_owned(),
    };
    Some(format!("write --set '{path}={value}'"))
}

/// Returns `=VALUE` for a number, a boolean, or a short text that starts with a digit; nothing for other values, which could be secrets.
fn shown(value: &Value) -> String {
    match value {
        Value::Integer(number) => format!("={number}"),
        Value::Float(number) => format!("={number}"),
        Value::Boolean(boolean) => format!("={boolean}"),
        Value::String(text)
            if text.len() <= 12 && text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(' ') =>
        {
            format!("={text}")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::PLACES;

    #[test]
    fn places_name_keys_of_the_schema() {
        let schema = include_str!("../schema.json");
        for (_, keys) in PLACES {
            for key in keys {
                assert!(schema.contains(&format!("\"{key}\":")), "{key}");
            }
        }
    }
}
