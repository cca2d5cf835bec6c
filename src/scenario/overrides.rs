//! Applies `--set key=value` overrides to the tree before it is read, so all rules apply to them as well. A path selects a list element by
//! its `name` or index: `phase.steady.duration=10s`. Used by `scenario::read`. This file knows only the keys `fleet` and `thresholds`.

use super::error::{Errors, Origin, Place};
use super::mask::{HIDDEN, may_be_key};
use super::node::{Entry, Node, Value, parse_override};
use super::reader::SECRET_KEYS;
use super::suggestion::{element_name as name_of, nearest};

/// Applies one override to the tree, or reports why it is invalid.
pub(super) fn apply(root: &mut Node, text: &str, errors: &mut Errors) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let key = key.trim();
    let path = split(key);
    if path.iter().any(|part| may_be_key(part) && !has_name(root, part)) {
        let place = Place { origin: Origin::Set(HIDDEN.to_owned()), key: String::new() };
        errors
            .add(&place, "part of this key looks like a secret; secrets are not allowed on the command line")
            .allowed("key=value, such as fleet.meter.devices=500");
        return;
    }
    let place = Place { origin: Origin::Set(key.to_owned()), key: String::new() };
    if !text.contains('=') || key.is_empty() {
        errors.add(&place, "invalid override").allowed("key=value, such as fleet.meter.devices=500");
        return;
    }
    if value.trim().is_empty() {
        let allowed = "key=value, or key='\"\"' for a text without characters";
        errors.add(&place, "the value is missing").allowed(allowed);
        return;
    }
    if let Some((before, _)) = key.split_once('[').filter(|_| !key.starts_with("thresholds.")) {
        let problem = errors.add(
            &place,
            format!(
                "invalid path: an element of {before} is selected with its index or its name after a dot"
            ),
        );
        if let Some(path) = with_dots(root, key) {
            problem.fix(format!("did you mean `{path}`?"));
        }
        return;
    }
    let new = parse_override(value.trim(), &Place { key: key.to_owned(), ..place.clone() });
    if path.last().is_some_and(|last| SECRET_KEYS.contains(&last.as_str())) || has_secret(&new) {
        errors
            .add(&place, "secrets are not allowed on the command line")
            .fix("write ${env.NAME} in the scenario and set that environment variable");
        return;
    }
    if let Some(target) = descend(root, &path, &place, errors) {
        *target = new;
    }
}

/// Splits a dotted path. Keys of `[thresholds]` contain dots and are not split.
fn split(key: &str) -> Vec<String> {
    let unquote = |part: &str| part.trim_matches('"').to_owned();
    match key.split_once('.') {
        Some(("thresholds", metric)) => vec!["thresholds".to_owned(), unquote(metric)],
        _ => key.split('.').map(unquote).collect(),
    }
}

/// Returns true if `node` contains a key or list element with this name.
fn has_name(node: &Node, name: &str) -> bool {
    match &node.value {
        Value::Table(entries) => entries.iter().any(|entry| entry.key == name || has_name(&entry.node, name)),
        Value::Array(elements) => {
            elements.iter().any(|element| name_of(element) == Some(name) || has_name(element, name))
        }
        _ => false,
    }
}

/// Returns true if `node` contains a key whose value is a secret.
fn has_secret(node: &Node) -> bool {
    match &node.value {
        Value::Table(entries) => {
            entries.iter().any(|entry| SECRET_KEYS.contains(&entry.key.as_str()) || has_secret(&entry.node))
        }
        Value::Array(elements) => elements.iter().any(has_secret),
        // A table with a syntax error is parsed as a string, which may still contain a secret.
        Value::String(text) => {
            text.trim_start().starts_with('{') && SECRET_KEYS.iter().any(|key| text.contains(key))
        }
        _ => false,
    }
}

/// Returns the value at a path. Adds missing tables and a missing last key.
fn descend<'n>(
    root: &'n mut Node,
    path: &[String],
    place: &Place,
    errors: &mut Errors,
) -> Option<&'n mut Node> {
    let mut node = root;
    for (depth, part) in path.iter().enumerate() {
        let here = Place { key: path.get(..depth).unwrap_or_default().join("."), ..place.clone() };
        let known = known_parts(node);
        let what = match node.value {
            Value::Table(_) => "no such fleet".to_owned(),
            Value::Array(_) => "no such list element".to_owned(),
            _ => format!("{} has no keys", node.value.type_name()),
        };
        // Overrides cannot add fleets: the name of a missing fleet is probably a typo.
        let can_add = matches!(node.value, Value::Table(_)) && here.key != "fleet";
        let index = match &node.value {
            Value::Array(_) => known.iter().position(|name| name == part).or_else(|| part.parse().ok()),
            _ => known.iter().position(|name| name == part),
        };
        let found = match &mut node.value {
            Value::Table(entries) => {
                if index.is_none() && can_add {
                    entries.push(empty_table(here.below(part), part));
                }
                let index = index.or(can_add.then(|| entries.len() - 1));
                index.and_then(|index| entries.get_mut(index)).map(|entry| &mut entry.node)
            }
            Value::Array(elements) => index.and_then(|index| elements.get_mut(index)),
            _ => None,
        };
        let Some(found) = found else {
            let rest = path.get(depth..).unwrap_or_default();
            report_missing(errors, &here, what, rest, &known);
            return None;
        };
        node = found;
    }
    Some(node)
}

/// Translates `phase[1].duration` to `phase.steady.duration`, or to `phase.1.duration` if the element has no name.
fn with_dots(root: &Node, key: &str) -> Option<String> {
    let mut node = Some(root);
    let mut path = Vec::new();
    for part in key.replace(']', "").split(['.', '[']).map(|part| part.trim_matches(['"', '\''])) {
        let (next, name) = match node.map(|node| &node.value) {
            Some(Value::Table(entries)) => {
                (entries.iter().find(|entry| entry.key == part).map(|entry| &entry.node), part)
            }
            Some(Value::Array(elements)) => {
                let index = part.parse::<usize>().ok();
                let element = match index {
                    Some(index) => elements.get(index),
                    None => elements.iter().find(|element| name_of(element) == Some(part)),
                }?;
                (Some(element), name_of(element).unwrap_or(part))
            }
            _ => (None, part),
        };
        node = next;
        path.push(name.to_owned());
    }
    path.iter().all(|part| !part.is_empty()).then(|| path.join("."))
}

/// Reports the first part of `rest`, which does not exist below `place`.
fn report_missing(errors: &mut Errors, place: &Place, what: String, rest: &[String], known: &[String]) {
    let part = rest.first().map_or("", String::as_str);
    let problem = errors.add(place, what);
    problem.found(part);
    if !known.is_empty() {
        problem.allowed(known.join(", "));
    }
    if let Some(near) = nearest(part, known.iter().map(String::as_str)) {
        problem.fix(format!("did you mean `{near}`?"));
    } else if let (Some(first), true) = (known.first(), rest.len() == 1 && part.parse::<usize>().is_err()) {
        // A key of an element, without the element: `phase.duration` for `phase.steady.duration`.
        problem.fix(format!("did you mean `{}.{first}.{part}`?", place.key));
    }
}

/// Returns the possible next parts of a path: the keys of a table, or the names (or indices) of list elements.
fn known_parts(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Table(entries) => entries.iter().map(|entry| entry.key.clone()).collect(),
        Value::Array(elements) => {
            let name = |(index, element)| name_of(element).map_or_else(|| format!("{index}"), str::to_owned);
            elements.iter().enumerate().map(name).collect()
        }
        _ => Vec::new(),
    }
}

fn empty_table(place: Place, key: &str) -> Entry {
    let node = Node { value: Value::Table(Vec::new()), place: place.clone() };
    Entry { key: key.to_owned(), place, node }
}

#[cfg(test)]
mod tests;
