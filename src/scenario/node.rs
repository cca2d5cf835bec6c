//! Parses TOML or JSON into a tree of [`Node`]s, in which every key and value has its place. Used by `overrides`, `reader` and `keys`. Only
//! this file uses the TOML and JSON parsers. It must not depend on the format's keys.

use super::error::{Errors, Origin, Place};
use jsonc_parser::ast as json;
use jsonc_parser::common::Ranged;
use toml::de::{DeTable, DeValue};

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// A value from either format.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    String(String),
    Array(Vec<Node>),
    Table(Vec<Entry>),
    /// A value that no key accepts, described for error messages, such as "a date or time".
    Other(&'static str),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Place of the key.
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Value {
    /// Returns the name of the type for error messages, such as "a string".
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Boolean(_) => "a boolean",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(name) => name,
        }
    }
}

/// Parses a scenario. It is JSON if the file's name ends in `.json` or `.jsonc`, or if the text starts with a brace, which TOML never does.
/// Otherwise it is TOML. Returns `None` after a syntax error, because errors in the rest of the file would be misleading.
pub(super) fn parse(file: &str, text: &str, errors: &mut Errors) -> Option<Node> {
    let lines = Lines::of(text);
    if is_json(file, text) { parse_json(text, &lines, errors) } else { parse_toml(text, &lines, errors) }
}

/// Returns true if a scenario is JSON, not TOML.
#[must_use]
pub fn is_json(file: &str, text: &str) -> bool {
    file.ends_with(".json") || file.ends_with(".jsonc") || text.trim_start().starts_with('{')
}

/// Parses the value of a `--set` override as TOML. A value that is not TOML is a string, so `10s` needs no quotes.
pub(super) fn parse_override(text: &str, place: &Place) -> Node {
    match DeValue::parse(text) {
        Ok(value) if !matches!(value.get_ref(), DeValue::Datetime(_)) => {
            from_toml(value.get_ref(), 0, &|_| place.origin.clone(), place.key.clone())
        }
        _ => Node { value: Value::String(text.to_owned()), place: place.clone() },
    }
}

/// Converts byte offsets to lines and columns.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl Lines<'_> {
    fn of(text: &str) -> Lines<'_> {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { text, starts }
    }

    fn origin(&self, offset: usize) -> Origin {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        Origin::File { line, column: before.chars().count() + 1 }
    }

    fn place(&self, offset: usize) -> Place {
        Place { origin: self.origin(offset), key: String::new() }
    }
}

/// Returns the key path of a list element in the form that `--set` uses: with its name, or else with its index.
fn element_path(path: &str, index: usize, name: Option<&str>) -> String {
    name.map_or_else(|| format!("{path}.{index}"), |name| format!("{path}.{name}"))
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The number of syntax errors that are reported.
const SYNTAX_ERRORS_MAX: usize = 3;

/// Returns the fix for a syntax error at `offset`, and whether it is the cause of the later errors as well.
fn syntax_fix(text: &str, offset: usize) -> (&'static str, bool) {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let line_before = before.rsplit('\n').next().unwrap_or_default();
    let line = [line_before, after.split('\n').next().unwrap_or_default()].concat();
    // Within a string, typographic quotes are text.
    let is_quote = |(at, _): (usize, &str)| {
        let before = line[..at].trim_end();
        before.is_empty() || before.ends_with(['=', ',', ':', '[', '{'])
    };
    if line.trim_end_matches('\r').contains('\r') {
        ("save the file with LF or CR LF line endings: a line ends with CR alone", true)
    } else if line.match_indices(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}']).any(is_quote) {
        ("replace the typographic quotes \u{201c} \u{201d} with \"", true)
    } else {
        ("correct the syntax; errors in keys and values are reported afterwards", false)
    }
}

fn parse_toml(text: &str, lines: &Lines<'_>, errors: &mut Errors) -> Option<Node> {
    let (table, found) = DeTable::parse_recoverable(text);
    // One mistake often causes many errors.
    for error in found.iter().take(SYNTAX_ERRORS_MAX) {
        let offset = error.span().map_or(0, |span| span.start);
        let (fix, is_cause) = syntax_fix(text, offset);
        errors.add(&lines.place(offset), format!("invalid TOML: {}", error.message())).fix(fix);
        if is_cause {
            break;
        }
    }
    let origin = |offset| lines.origin(offset);
    found.is_empty().then(|| Node {
        value: table_from_toml(table.get_ref(), &origin, ""),
        place: Place { origin: lines.origin(0), key: String::new() },
    })
}

fn table_from_toml(table: &DeTable<'_>, origin: &dyn Fn(usize) -> Origin, path: &str) -> Value {
    let mut keys: Vec<_> = table.iter().collect();
    // The parser sorts keys by name. Restore the order in the file, which determines the device numbers of the fleets.
    keys.sort_by_key(|(key, _)| key.span().start);
    let entries = keys.into_iter().map(|(key, value)| {
        let name = key.get_ref().to_string();
        let path = below(path, &name);
        Entry {
            place: Place { origin: origin(key.span().start), key: path.clone() },
            node: from_toml(value.get_ref(), value.span().start, origin, path),
            key: name,
        }
    });
    Value::Table(entries.collect())
}

fn from_toml(value: &DeValue<'_>, offset: usize, origin: &dyn Fn(usize) -> Origin, path: String) -> Node {
    let converted = match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("an integer that does not fit in 64 bits"), Value::Integer),
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Other("not a number"), Value::Float),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(elements) => {
            let element = |(index, element): (usize, &toml::Spanned<DeValue<'_>>)| {
                let name = match element.get_ref() {
                    DeValue::Table(table) => table.get("name").and_then(|name| name.get_ref().as_str()),
                    _ => None,
                };
                let path = element_path(&path, index, name);
                from_toml(element.get_ref(), element.span().start, origin, path)
            };
            Value::Array(elements.iter().enumerate().map(element).collect())
        }
        DeValue::Table(table) => table_from_toml(table, origin, &path),
    };
    Node { value: converted, place: Place { origin: origin(offset), key: path } }
}

fn parse_json(text: &str, lines: &Lines<'_>, errors: &mut Errors) -> Option<Node> {
    let options = jsonc_parser::ParseOptions {
        allow_comments: true,
        allow_trailing_commas: false,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match jsonc_parser::parse_to_ast(text, &jsonc_parser::CollectOptions::default(), &options) {
        Ok(parsed) => match parsed.value {
            Some(value) => Some(from_json(&value, lines, String::new(), errors)),
            None => {
                errors.add(&lines.place(0), "the file is empty");
                None
            }
        },
        Err(error) => {
            let what = format!("invalid JSON: {}", error.kind().to_string().to_lowercase());
            errors.add(&lines.place(error.range().start), what).fix(syntax_fix(text, error.range().start).0);
            None
        }
    }
}

fn from_json(value: &json::Value<'_>, lines: &Lines<'_>, path: String, errors: &mut Errors) -> Node {
    let converted = match value {
        json::Value::StringLit(text) => Value::String(text.value.to_string()),
        json::Value::NumberLit(number) => match (number.value.parse(), number.value.parse()) {
            (Ok(whole), _) => Value::Integer(whole),
            (_, Ok(float)) => Value::Float(float),
            _ => Value::Other("not a number"),
        },
        json::Value::BooleanLit(boolean) => Value::Boolean(boolean.value),
        json::Value::NullKeyword(_) => Value::Other("null"),
        json::Value::Array(array) => {
            let element = |(index, element): (usize, &json::Value<'_>)| {
                let name = match element {
                    json::Value::Object(object) => object.properties.iter().find_map(|property| {
                        let name = property.value.as_string_lit()?;
                        (property.name.as_str() == "name").then_some(name.value.as_ref())
                    }),
                    _ => None,
                };
                from_json(element, lines, element_path(&path, index, name), errors)
            };
            Value::Array(array.elements.iter().enumerate().map(element).collect())
        }
        json::Value::Object(object) => table_from_json(object, lines, &path, errors),
    };
    Node { value: converted, place: Place { origin: lines.origin(value.range().start), key: path } }
}

fn table_from_json(object: &json::Object<'_>, lines: &Lines<'_>, path: &str, errors: &mut Errors) -> Value {
    let mut entries: Vec<Entry> = Vec::with_capacity(object.properties.len());
    for property in &object.properties {
        let key = property.name.as_str().to_owned();
        let path = below(path, &key);
        let place = Place { origin: lines.origin(property.range().start), key: path.clone() };
        if entries.iter().any(|entry| entry.key == key) {
            errors.add(&place, "duplicate key").fix("remove one of the two");
            continue;
        }
        let node = from_json(&property.value, lines, path, errors);
        entries.push(Entry { key, place, node });
    }
    Value::Table(entries)
}

#[cfg(test)]
mod tests;
