//! Reading one value at a time: its type, its unit, its range, `${env.NAME}`; and tables of which every key must
//! be known. Used by `format` and `sends`; it knows no key of the format but those that hold secrets.

use super::error::{Errors, Origin, Place, Problem, nearest};
use super::host::{self, check_host, is_connection_string};
use super::input::{FileText, located};
use super::mask::{HIDDEN, looks_like_key, may_be_key};
use super::node::{Entry, Node, Value};
use super::value::{Secret, Written};
use crate::text_file;

use core::net::IpAddr; // Addresses only: sockets live in std::net.
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Keys whose value is a secret: only `${env.NAME}` or `${file.PATH}` in a file, never in `--set`, never shown.
pub(super) const SECRET_KEYS: [&str; 3] = ["group_key", "key", "password"];

/// Reads values and notes what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) files: &'a dyn Fn(&Path) -> io::Result<FileText>,
    pub(super) errors: Errors,
}

/// A table being read: each key is known for once, and what nobody known for is an error in the end.
pub(super) struct Fields<'n> {
    pub(super) place: Place,
    entries: &'n [Entry],
    known: Vec<&'static str>,
    retired: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The value of a key, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        self.entry(key).map(|entry| &entry.node)
    }

    /// The value of a key that must be there.
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

    /// The place of a key that is there.
    pub(super) fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Refuses keys that an earlier version read. `keys` says what each was.
    pub(super) fn retire(&mut self, reader: &mut Reader<'_>, keys: &[(&'static str, &str)], fix: &str) {
        for (key, what) in keys {
            self.retired.push(key);
            if let Some(entry) = self.entry(key) {
                reader.errors.add(&entry.place, format!("no longer used: {what}")).fix(fix);
            }
        }
    }

    /// Whatever was not known for is unknown, or belongs to later work.
    pub(super) fn finish(self, reader: &mut Reader<'_>, later: &[(&str, &str)]) {
        for entry in self.entries {
            if self.known.iter().chain(&self.retired).any(|key| *key == entry.key) {
                continue;
            }
            if let Some((_, what)) = later.iter().find(|(key, _)| *key == entry.key) {
                reader.not_built_yet(&entry.place, what);
                continue;
            }
            let (place, found) = masked_entry(entry);
            let problem = reader.errors.add(&place, "unknown key");
            problem.found(found).allowed(self.known.join(", "));
            let known = self.known.iter().copied().chain(later.iter().map(|(key, _)| *key));
            match nearest(&entry.key, known) {
                Some(near) => problem.fix(format!("did you mean `{near}`?")),
                None => problem.fix("remove it"),
            };
        }
    }
}

/// The place and the name of an unknown entry. A name that may be a secret is hidden in both.
fn masked_entry(entry: &Entry) -> (Place, String) {
    if !may_be_key(&entry.key) {
        return (entry.place.clone(), entry.key.clone());
    }
    let parent = entry.place.key.strip_suffix(&entry.key).unwrap_or_default();
    (Place { key: format!("{parent}{HIDDEN}"), origin: entry.place.origin.clone() }, HIDDEN.to_owned())
}

impl Reader<'_> {
    /// Refuses what a later version will know.
    pub(super) fn not_built_yet(&mut self, place: &Place, what: &str) {
        self.errors
            .add(place, format!("not built yet: {what}"))
            .fix("remove it; a later version will read it");
    }

    /// Refuses a value of the wrong type. Its text stays unsaid: it could be a secret in the wrong place.
    pub(super) fn wrong_type(&mut self, node: &Node, allowed: &str) {
        self.errors.add(&node.place, "wrong type").found(node.value.type_name()).allowed(allowed);
    }

    /// A table, to be read key by key.
    pub(super) fn table<'n>(&mut self, node: &'n Node, allowed: &str) -> Option<Fields<'n>> {
        match &node.value {
            Value::Table(entries) => {
                Some(Fields { place: node.place.clone(), entries, known: Vec::new(), retired: Vec::new() })
            }
            _ => {
                self.wrong_type(node, allowed);
                None
            }
        }
    }

    /// A table whose keys are names that the user chose.
    pub(super) fn named<'n>(&mut self, node: &'n Node, allowed: &str) -> &'n [Entry] {
        match &node.value {
            Value::Table(entries) => entries,
            _ => {
                self.wrong_type(node, allowed);
                &[]
            }
        }
    }

    /// A list.
    pub(super) fn list<'n>(&mut self, node: &'n Node, allowed: &str) -> &'n [Node] {
        match &node.value {
            Value::Array(elements) => elements,
            _ => {
                self.wrong_type(node, allowed);
                &[]
            }
        }
    }

    /// A string with `${env.NAME}` expanded.
    pub(super) fn string(&mut self, node: &Node, allowed: &str) -> Option<Written<String>> {
        let Some(text) = text_of(node) else {
            self.wrong_type(node, allowed);
            return None;
        };
        let value = self.expand(&text, &node.place)?;
        Some(Written { value, text, place: node.place.clone() })
    }

    /// A string that is not empty: a name, a topic, a path. What is a connection string is neither, and has a key in it.
    pub(super) fn text(&mut self, node: &Node, allowed: &str) -> Option<Written<String>> {
        let text = self.string(node, allowed)?;
        if text.value.is_empty() {
            self.errors.add(&node.place, "empty").found(quoted(&text.text)).allowed(allowed);
            return None;
        }
        if is_connection_string(&text.value) {
            let problem =
                self.errors.add(&node.place, "a connection string does not belong here").allowed(allowed);
            problem.fix("give the part that is wanted; whole ones go into a file: auth = { kind = \"sas\", file = \"devices.txt\" }");
            return None;
        }
        Some(text)
    }

    /// A name as fleets, phases and methods have it: it stands in threshold selectors, topics and `--set` paths.
    pub(super) fn name(&mut self, node: &Node, allowed: &str) -> Option<Written<String>> {
        let name = self.text(node, allowed)?;
        self.check_name(&name.place, &name.value, &name.text).then_some(name)
    }

    /// Refuses what is not a name; `text` is how it was written.
    pub(super) fn check_name(&mut self, place: &Place, name: &str, text: &str) -> bool {
        let is_name =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !is_name {
            self.errors.add(place, "not a name").found(quoted(text)).allowed("letters, digits, - and _");
        }
        is_name
    }

    /// The path of a file, which is not opened here.
    pub(super) fn path(&mut self, node: &Node, allowed: &str) -> Option<Written<PathBuf>> {
        let Written { value, text, place } = self.text(node, allowed)?;
        Some(Written { value: PathBuf::from(value), text, place })
    }

    /// A host. What is none is not repeated: people paste connection strings.
    pub(super) fn host(&mut self, node: &Node) -> Option<Written<String>> {
        let host = self.string(node, host::ALLOWED)?;
        match check_host(&host.value) {
            Ok(()) => Some(host),
            Err(what) => {
                let variable = host.text.strip_prefix(REFERENCE).and_then(|rest| rest.strip_suffix('}'));
                let what = match variable.filter(|name| is_variable_name(name)) {
                    Some(name) => {
                        format!("the value of the environment variable {name} is not a host alone ({what})")
                    }
                    None => what.to_owned(),
                };
                let problem = self.errors.add(&node.place, what).allowed(host::ALLOWED);
                if let Some(port) = host::port_behind(&host.value) {
                    problem.fix(format!("leave the port out there, and write port = {port} beside host"));
                }
                None
            }
        }
    }

    /// An IP address.
    pub(super) fn address(&mut self, node: &Node) -> Option<Written<IpAddr>> {
        let allowed = "an IPv4 or IPv6 address, without brackets and port";
        let value = self.parse(node, allowed, IpAddr::from_str)?;
        let text = text_of(node).unwrap_or_default();
        Some(Written { value, text, place: node.place.clone() })
    }

    /// A key or password: exactly one `${env.NAME}` or `${file.PATH}`.
    pub(super) fn secret(&mut self, node: &Node) -> Option<Written<Secret>> {
        let advice =
            "use ${env.NAME} and put the secret in the environment, or ${file.PATH} and put it in a file";
        let Value::String(text) = &node.value else {
            self.errors.add(&node.place, "a secret must come from the environment or a file").fix(advice);
            return None;
        };
        if let Some(path) = text.strip_prefix(FILE_REFERENCE).and_then(|rest| rest.strip_suffix('}')) {
            let value = self.secret_file(Path::new(path), &node.place)?;
            return Some(Written { value, text: text.clone(), place: node.place.clone() });
        }
        if !is_one_reference(text) {
            self.errors
                .add(&node.place, "a secret must not stand in the scenario")
                .allowed("${env.NAME} or ${file.PATH}, and nothing around it")
                .fix(advice);
            return None;
        }
        let value = Secret::new(self.expand(text, &node.place)?);
        Some(Written { value, text: text.clone(), place: node.place.clone() })
    }

    /// The text of a file that holds one secret, without the end of its line.
    fn secret_file(&mut self, named: &Path, place: &Place) -> Option<Secret> {
        let path = located(self.errors.file(), place, named);
        let what = match (self.files)(&path) {
            Ok(bytes) => match text_file::decode(&bytes) {
                Ok(text) if !text.trim().is_empty() => return Some(Secret::new(text.trim().to_owned())),
                Ok(_) => "it is empty".to_owned(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let hidden = named.to_str().is_some_and(looks_like_key);
        let shown = if hidden { "the file".into() } else { path.to_string_lossy() };
        let problem = self.errors.add(place, format!("cannot read a secret from {shown}: {what}"));
        problem.allowed("a file with the secret alone; the path is relative to the scenario's folder");
        None
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, node: &Node) -> Option<bool> {
        match node.value {
            Value::Boolean(value) => Some(value),
            _ => {
                self.wrong_type(node, "true or false");
                None
            }
        }
    }

    /// Refuses a value that was understood and cannot be.
    pub(super) fn invalid(&mut self, node: &Node, what: &str, allowed: &str) -> &mut Problem {
        let found = text_of(node).map_or_else(|| node.value.type_name().to_owned(), |text| quoted(&text));
        self.errors.add(&node.place, what).found(found).allowed(allowed)
    }

    /// Parses a string by a function.
    pub(super) fn parse<T, E: Display>(
        &mut self,
        node: &Node,
        allowed: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.string(node, allowed)?;
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(_) => {
                self.errors.add(&node.place, "cannot be read").found(quoted(&text.text)).allowed(allowed);
                None
            }
        }
    }

    /// Replaces every `${env.NAME}`; `None` (and one error each) when a variable is not set.
    fn expand(&mut self, text: &str, place: &Place) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut complete = true;
        while let Some(at) = rest.find(REFERENCE) {
            out.push_str(&rest[..at]);
            let after = &rest[at + REFERENCE.len()..];
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

    fn report_bad_reference(&mut self, name: &str, closed: bool, place: &Place) -> &mut Problem {
        // A key in place of its variable's name is not repeated.
        if closed && is_variable_name(name) && !looks_like_key(name) {
            let problem = self.errors.add(place, format!("the environment variable {name} is not set"));
            return problem.found(format!("${{env.{name}}}")).fix(format!("export {name}=..."));
        }
        self.errors
            .add(place, "not an environment reference")
            .allowed("${env.NAME}; a name has letters, digits and underscores")
    }
}

const REFERENCE: &str = "${env.";
const FILE_REFERENCE: &str = "${file.";

fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_one_reference(text: &str) -> bool {
    let name = text.strip_prefix(REFERENCE).and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(is_variable_name)
}

/// The text of a string; of a scalar too when it came from `--set`, where nobody quotes.
fn text_of(node: &Node) -> Option<String> {
    let from_set = matches!(node.place.origin, Origin::Set(_));
    match &node.value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) if from_set => Some(number.to_string()),
        Value::Float(number) if from_set => Some(number.to_string()),
        _ => None,
    }
}

/// In double quotes, shortened to what fits on a line.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return format!("{text:?}");
    }
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{shown:?}...")
}

#[cfg(test)]
mod tests;
