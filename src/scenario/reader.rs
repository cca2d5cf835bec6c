//! Reads tables, strings, hosts and secrets, expands `${env.NAME}`, and reports unknown keys. Used by `keys`; `quantities` adds values with
//! a unit or range. The only keys that this file knows are those for secrets.

use super::error::{Errors, Origin, Place, Problem};
use super::host::{self, check_host, is_connection_string};
use super::input::{FileText, resolve_path};
use super::mask::{HIDDEN, looks_like_key, may_be_key};
use super::node::{Entry, Node, Value};
use super::suggestion::{Meant, Suggested, meant, set_path, set_value};
use super::value::{Secret, Written};
use crate::text_file;
use core::net::IpAddr; // `core::net` has addresses but no sockets.
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Keys whose value is a secret. In a file, the value must be `${env.NAME}` or `${file.PATH}`. `--set` refuses these keys, and messages
/// never show their values.
pub(super) const SECRET_KEYS: [&str; 3] = ["group_key", "key", "password"];

/// The start of a reference to an environment variable.
const ENV_PREFIX: &str = "${env.";
/// The start of a reference to a file with a secret.
const FILE_PREFIX: &str = "${file.";

/// Reads values and collects their errors.
pub(super) struct Reader<'a> {
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) files: &'a dyn Fn(&Path) -> io::Result<FileText>,
    pub(super) errors: Errors,
}

/// The fields of a table. Each key that a caller requests becomes known, and [`Fields::finish`] reports the others.
pub(super) struct Fields<'n> {
    pub(super) place: Place,
    entries: &'n [Entry],
    known: Vec<&'static str>,
    retired: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Returns the value of a key, if present, and marks the key as known.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        self.entry(key).map(|entry| &entry.node)
    }

    /// Returns the value of a required key, or reports that the key is missing. `fix` says what to add.
    pub(super) fn require(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        fix: &str,
    ) -> Option<&'n Node> {
        let found = self.take(key);
        if found.is_none() {
            reader.errors.add(&self.place.below(key), "missing").fix(format!("add {fix}"));
        }
        found
    }

    /// Returns the entry of a key, if present. Does not mark the key as known.
    pub(super) fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Reports keys that only earlier versions supported. `keys` lists their names and former meanings.
    pub(super) fn retire(&mut self, reader: &mut Reader<'_>, keys: &[(&'static str, &str)], fix: &str) {
        for (key, what) in keys {
            self.retired.push(key);
            if let Some(entry) = self.entry(key) {
                reader.errors.add(&entry.place, format!("no longer supported: {what}")).fix(fix);
            }
        }
    }

    /// Reports unknown keys. `later` lists keys that a later version will support, each with its meaning.
    pub(super) fn finish(self, reader: &mut Reader<'_>, later: &[(&str, &str)]) {
        for entry in self.entries {
            if self.known.iter().chain(&self.retired).any(|key| *key == entry.key) {
                continue;
            }
            if let Some((_, what)) = later.iter().find(|(key, _)| *key == entry.key) {
                reader.errors.not_supported_yet(&entry.place, what);
                continue;
            }
            let (place, found) = masked_entry(entry);
            let problem = reader.errors.add(&place, "unknown key");
            problem.found(found).allowed(self.known.join(", "));
            let known: Vec<&str> =
                self.known.iter().copied().chain(later.iter().map(|(key, _)| *key)).collect();
            let is_set = matches!(entry.place.origin, Origin::Set(_));
            let path = is_set
                .then(|| set_path(&self.place.key, self.entries, &entry.key, &entry.node.value))
                .flatten();
            if let Some(path) = path {
                problem.fix(format!("did you mean --set {path}?"));
                continue;
            }
            match meant(&entry.key, &known) {
                Some(Meant::Word(key)) => {
                    problem.fix(format!("did you mean `{key}`?"));
                    reader.errors.remove_missing(&self.place, key);
                }
                Some(Meant::Fix(fix)) => {
                    problem.fix(fix.replace("{table}", &self.place.key));
                }
                None => {
                    problem.fix("remove it");
                }
            }
        }
    }
}

/// Returns the place and name of an unknown entry. A name that may be a secret is hidden in both.
fn masked_entry(entry: &Entry) -> (Place, String) {
    if !may_be_key(&entry.key) {
        return (entry.place.clone(), entry.key.clone());
    }
    let parent = entry.place.key.strip_suffix(&entry.key).unwrap_or_default();
    (Place { key: format!("{parent}{HIDDEN}"), origin: entry.place.origin.clone() }, HIDDEN.to_owned())
}

impl Reader<'_> {
    /// Reports a value of the wrong type. The message leaves out the value, which could be a misplaced secret.
    pub(super) fn wrong_type(&mut self, node: &Node, allowed: &str) -> &mut Problem {
        self.errors.add(&node.place, "wrong type").found(node.value.type_name()).allowed(allowed)
    }

    /// Reads a table with fixed keys.
    pub(super) fn table<'n>(&mut self, node: &'n Node, allowed: &str) -> Option<Fields<'n>> {
        match &node.value {
            Value::Table(entries) => {
                Some(Fields { place: node.place.clone(), entries, known: Vec::new(), retired: Vec::new() })
            }
            _ => {
                self.wrong_type(node, allowed).fix = set_value(node, allowed);
                None
            }
        }
    }

    /// Reads a table whose keys are names chosen by the user.
    pub(super) fn named<'n>(&mut self, node: &'n Node, allowed: &str) -> &'n [Entry] {
        match &node.value {
            Value::Table(entries) => entries,
            _ => {
                self.wrong_type(node, allowed).fix = set_value(node, allowed);
                &[]
            }
        }
    }

    /// Reads a list.
    pub(super) fn list<'n>(&mut self, node: &'n Node, allowed: &str) -> &'n [Node] {
        match &node.value {
            Value::Array(elements) => elements,
            other => {
                let fix = match other {
                    Value::Table(_) if allowed.contains("[[") => {
                        let brackets = if self.errors.json { "" } else { ", with two brackets" };
                        Some(format!("write [[{}]]{brackets}", node.place.key))
                    }
                    Value::String(text) if !may_be_key(text) && !allowed.contains("[[") => {
                        let elements: Vec<&str> = text.split(',').map(str::trim).collect();
                        Some(format!("write {elements:?}"))
                    }
                    _ => None,
                };
                self.wrong_type(node, allowed).fix = set_value(node, allowed).or(fix);
                &[]
            }
        }
    }

    /// Reads a string and expands `${env.NAME}`.
    pub(super) fn string(&mut self, node: &Node, allowed: &str) -> Option<Written<String>> {
        let Some(text) = text_of(node) else {
            self.wrong_type(node, allowed);
            return None;
        };
        let value = self.expand(&text, &node.place)?;
        Some(Written { value, text, place: node.place.clone() })
    }

    /// Reads a nonempty string, such as a name, topic or path. Refuses connection strings, which contain keys.
    pub(super) fn text(&mut self, node: &Node, allowed: &str) -> Option<Written<String>> {
        let text = self.string(node, allowed)?;
        if text.value.is_empty() {
            self.errors.add(&node.place, "must not be empty").found(quoted(&text.text)).allowed(allowed);
            return None;
        }
        if is_connection_string(&text.value) {
            let problem =
                self.errors.add(&node.place, "a connection string is not allowed here").allowed(allowed);
            problem.fix("use only the part that this key needs, or put connection strings in a file: auth = { kind = \"sas\", file = \"devices.txt\" }");
            return None;
        }
        Some(text)
    }

    /// Reads the name of a phase or method. Few characters are allowed, because it can occur in threshold selectors, topics and
    /// `--set` paths.
    pub(super) fn name(&mut self, node: &Node, allowed: &str) -> Option<Written<String>> {
        let name = self.text(node, allowed)?;
        self.check_name(&name.place, &name.value, &name.text).then_some(name)
    }

    /// Returns true if a name is valid; otherwise reports an error. `text` is the source text of the name.
    pub(super) fn check_name(&mut self, place: &Place, name: &str, text: &str) -> bool {
        let is_name =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !is_name {
            self.errors.add(place, "invalid name").found(quoted(text)).allowed("letters, digits, - and _");
        }
        is_name
    }

    /// Reads the path of a file. Does not open the file.
    pub(super) fn path(&mut self, node: &Node, allowed: &str) -> Option<Written<PathBuf>> {
        let Written { value, text, place } = self.text(node, allowed)?;
        Some(Written { value: PathBuf::from(value), text, place })
    }

    /// Reads a host. Messages do not repeat an invalid host, because users sometimes paste connection strings.
    pub(super) fn host(&mut self, node: &Node) -> Option<Written<String>> {
        let host = self.string(node, host::ALLOWED)?;
        let Err(what) = check_host(&host.value) else { return Some(host) };
        let variable = host.text.strip_prefix(ENV_PREFIX).and_then(|rest| rest.strip_suffix('}'));
        let variable = variable.filter(|name| is_variable_name(name));
        if let (Some(name), "") = (variable, &*host.value) {
            self.report_empty_variable(name, &node.place);
            return None;
        }
        let what = match variable {
            Some(name) => format!("invalid value of the environment variable {name}: {what}"),
            None => what.to_owned(),
        };
        let problem = self.errors.add(&node.place, what).allowed(host::ALLOWED);
        // Other text with references is too complex for a fix.
        problem.fix = match variable.is_some() || host.value == host.text {
            true => host::fix(&host.value, variable),
            false => None,
        };
        None
    }

    /// Reads an IP address.
    pub(super) fn address(&mut self, node: &Node) -> Option<Written<IpAddr>> {
        let allowed = "an IPv4 or IPv6 address, without brackets or port";
        let value = self.parse(node, allowed, IpAddr::from_str, |_| None)?;
        let text = text_of(node).unwrap_or_default();
        Some(Written { value, text, place: node.place.clone() })
    }

    /// Reads a key or password, which must be exactly one `${env.NAME}` or `${file.PATH}`.
    pub(super) fn secret(&mut self, node: &Node) -> Option<Written<Secret>> {
        let advice =
            "use ${env.NAME} to read it from an environment variable, or ${file.PATH} to read it from a file";
        let Value::String(text) = &node.value else {
            self.errors
                .add(&node.place, "a secret must come from an environment variable or a file")
                .fix(advice);
            return None;
        };
        if let Some(path) = text.strip_prefix(FILE_PREFIX).and_then(|rest| rest.strip_suffix('}')) {
            let value = self.secret_file(Path::new(path), &node.place)?;
            return Some(Written { value, text: text.clone(), place: node.place.clone() });
        }
        if !is_env_reference(text) {
            self.errors
                .add(&node.place, "a secret must not be written in the scenario")
                .allowed("${env.NAME} or ${file.PATH}, with nothing before or after it")
                .fix(advice);
            return None;
        }
        let value = Secret::new(self.expand(text, &node.place)?);
        if value.expose().is_empty() {
            let name =
                text.strip_prefix(ENV_PREFIX).and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
            self.report_empty_variable(name, &node.place);
            return None;
        }
        Some(Written { value, text: text.clone(), place: node.place.clone() })
    }

    /// Reads a file that contains one secret. Trims whitespace.
    fn secret_file(&mut self, path_in_scenario: &Path, place: &Place) -> Option<Secret> {
        let path = resolve_path(self.errors.file(), place, path_in_scenario);
        let what = match (self.files)(&path) {
            Ok(bytes) => match text_file::decode(&bytes) {
                Ok(text) if !text.trim().is_empty() => return Some(Secret::new(text.trim().to_owned())),
                Ok(_) => "the file is empty".to_owned(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let hidden = path_in_scenario.to_str().is_some_and(looks_like_key);
        let name = if hidden { "the file".into() } else { path.to_string_lossy() };
        let problem = self.errors.add(place, format!("cannot read a secret from {name}: {what}"));
        problem
            .allowed("a file that contains only the secret; its path is relative to the scenario's folder");
        None
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(&mut self, node: &Node) -> Option<bool> {
        match node.value {
            Value::Boolean(value) => Some(value),
            _ => {
                let meant = match text_of(node).or_else(|| number_of(node)).as_deref() {
                    Some("true" | "yes" | "on" | "1") => Some("did you mean true, without quotes?"),
                    Some("false" | "no" | "off" | "0") => Some("did you mean false, without quotes?"),
                    _ => None,
                };
                self.wrong_type(node, "true or false").fix = meant.map(str::to_owned);
                None
            }
        }
    }

    /// Reports a value that parses but is not allowed.
    pub(super) fn invalid(&mut self, node: &Node, what: &str, allowed: &str) -> &mut Problem {
        let found = text_of(node).map_or_else(|| node.value.type_name().to_owned(), |text| quoted(&text));
        self.errors.add(&node.place, what).found(found).allowed(allowed)
    }

    /// Reads a string and parses it with `parse`. `suggest` returns the value that an invalid text probably means.
    pub(super) fn parse<T, E: Display>(
        &mut self,
        node: &Node,
        allowed: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        suggest: impl FnOnce(&str) -> Option<Suggested>,
    ) -> Option<T> {
        if let (None, Some(number)) = (text_of(node), number_of(node)) {
            match suggest(&number) {
                Some(suggested) => {
                    let problem = self.errors.add(&node.place, "needs a unit and quotes").found(number);
                    problem.allowed(allowed).fix(suggested.fix());
                }
                None => {
                    self.wrong_type(node, allowed);
                }
            }
            return None;
        }
        let text = self.string(node, allowed)?;
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(_) => {
                let number = text.value.trim().parse::<f64>().is_ok_and(|number| number >= 0.0);
                let what = if number { "needs a unit" } else { "invalid value" };
                let problem = self.errors.add(&node.place, what).found(quoted(&text.text)).allowed(allowed);
                // The value of an environment variable may be a secret, so it is not repeated.
                let as_written = text.value == text.text;
                problem.fix = suggest(&text.value).filter(|_| as_written).map(|suggested| suggested.fix());
                None
            }
        }
    }

    /// Replaces every `${env.NAME}`. If variables are not set, reports each of them and returns `None`.
    fn expand(&mut self, text: &str, place: &Place) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut complete = true;
        while let Some(at) = rest.find(ENV_PREFIX) {
            out.push_str(&rest[..at]);
            let after = &rest[at + ENV_PREFIX.len()..];
            let end = after.find('}').unwrap_or(after.len());
            let name = &after[..end];
            let value = if is_variable_name(name) && end < after.len() { (self.env)(name) } else { None };
            match value {
                Some(value) => out.push_str(&value),
                None => {
                    complete = false;
                    self.report_bad_reference(name, end < after.len(), place);
                }
            }
            rest = after.get(end + 1..).unwrap_or_default();
        }
        out.push_str(rest);
        complete.then_some(out)
    }

    /// Reports a variable that is set to nothing, as CI systems do for a secret that is not defined. The name is valid.
    fn report_empty_variable(&mut self, name: &str, place: &Place) {
        let problem = self.errors.add(place, format!("the environment variable {name} is empty"));
        problem
            .found(format!("${{env.{name}}}"))
            .fix(format!("export {name}=... (in CI, check that the secret is defined)"));
    }

    /// Reports a variable that is not set, or an invalid reference.
    fn report_bad_reference(&mut self, name: &str, closed: bool, place: &Place) -> &mut Problem {
        // The name may be a key that the user pasted.
        if closed && is_variable_name(name) && !looks_like_key(name) {
            let problem = self.errors.add(place, format!("the environment variable {name} is not set"));
            return problem.found(format!("${{env.{name}}}")).fix(format!("export {name}=..."));
        }
        self.errors
            .add(place, "invalid reference to an environment variable")
            .allowed("${env.NAME}, where NAME contains only letters, digits and underscores")
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_env_reference(text: &str) -> bool {
    let name = text.strip_prefix(ENV_PREFIX).and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(is_variable_name)
}

/// Returns the text of a string. Accepts numbers from `--set` as well, because users do not quote values there.
pub(super) fn text_of(node: &Node) -> Option<String> {
    let from_set = matches!(node.place.origin, Origin::Set(_));
    match &node.value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) if from_set => Some(number.to_string()),
        Value::Float(number) if from_set => Some(number.to_string()),
        _ => None,
    }
}

/// Returns the text of a number that is not in quotes.
pub(super) fn number_of(node: &Node) -> Option<String> {
    match node.value {
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Returns the text in double quotes, shortened to fit on a line.
pub(super) fn quoted(text: &str) -> String {
    const QUOTED_CHARS_MAX: usize = 80;
    if text.chars().count() <= QUOTED_CHARS_MAX {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    format!("{start:?}...")
}

#[cfg(test)]
mod tests;
