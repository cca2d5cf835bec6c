//! Reading one value at a time: its type, its unit, its range, `${env.NAME}`; and tables of which every key must
//! be known. Used by `format` and `sends`; it knows no key of the format but those that hold secrets.

use super::error::{Errors, Place, Problem, nearest};
use super::host::{self, check_host, is_connection_string};
use super::mask::{HIDDEN, looks_like_key, may_be_key};
use super::model::{Secret, Written};
use super::node::{Entry, Node, Value};
use super::{DURATION_MAX, FileText, located};
use crate::text_file;
use crate::units::{self, Percent, Rate};
use core::net::IpAddr; // Addresses only: sockets live in std::net.
use std::fmt::Display;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Keys whose value is a secret: only `${env.NAME}` or `${file.PATH}` in a file, never in `--set`, never shown.
pub(super) const SECRET_KEYS: [&str; 3] = ["group_key", "key", "password"];

/// Reads values and notes what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) files: &'a dyn Fn(&Path) -> io::Result<FileText>,
    pub(super) errors: Errors,
}

/// A table being read: each key is asked for once, and what nobody asked for is an error in the end.
pub(super) struct Fields<'n> {
    pub(super) place: Place,
    entries: &'n [Entry],
    asked: Vec<&'static str>,
    retired: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The value of a key, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.push(key);
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

    /// Whatever was not asked for is unknown, or belongs to later work.
    pub(super) fn finish(self, reader: &mut Reader<'_>, later: &[(&str, &str)]) {
        for entry in self.entries {
            if self.asked.iter().chain(&self.retired).any(|key| *key == entry.key) {
                continue;
            }
            if let Some((_, what)) = later.iter().find(|(key, _)| *key == entry.key) {
                reader.not_built_yet(&entry.place, what);
                continue;
            }
            let (place, found) = shown(entry);
            let problem = reader.errors.add(&place, "unknown key");
            problem.found(found).allowed(self.asked.join(", "));
            let known = self.asked.iter().copied().chain(later.iter().map(|(key, _)| *key));
            match nearest(&entry.key, known) {
                Some(near) => problem.fix(format!("did you mean `{near}`?")),
                None => problem.fix("remove it"),
            };
        }
    }
}

/// The place and the name of an unknown entry. A name that may be a secret is hidden in both.
fn shown(entry: &Entry) -> (Place, String) {
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
    pub(super) fn wrong_kind(&mut self, node: &Node, allowed: &str) {
        self.errors.add(&node.place, "wrong type").found(node.value.kind()).allowed(allowed);
    }

    /// A table, to be read key by key.
    pub(super) fn table<'n>(&mut self, node: &'n Node, allowed: &str) -> Option<Fields<'n>> {
        match &node.value {
            Value::Table(entries) => {
                Some(Fields { place: node.place.clone(), entries, asked: Vec::new(), retired: Vec::new() })
            }
            _ => {
                self.wrong_kind(node, allowed);
                None
            }
        }
    }

    /// A table whose keys are names that the user chose.
    pub(super) fn named<'n>(&mut self, node: &'n Node, allowed: &str) -> &'n [Entry] {
        match &node.value {
            Value::Table(entries) => entries,
            _ => {
                self.wrong_kind(node, allowed);
                &[]
            }
        }
    }

    /// A list.
    pub(super) fn list<'n>(&mut self, node: &'n Node, allowed: &str) -> &'n [Node] {
        match &node.value {
            Value::Array(elements) => elements,
            _ => {
                self.wrong_kind(node, allowed);
                &[]
            }
        }
    }

    /// A string with `${env.NAME}` expanded.
    pub(super) fn string(&mut self, node: &Node, allowed: &str) -> Option<Written<String>> {
        let Some(text) = written(node) else {
            self.wrong_kind(node, allowed);
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
        let text = written(node).unwrap_or_default();
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
                self.wrong_kind(node, "true or false");
                None
            }
        }
    }

    /// A whole number in a range.
    pub(super) fn integer<T>(&mut self, node: &Node, range: RangeInclusive<i64>) -> Option<Written<T>>
    where
        T: TryFrom<i64>,
    {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let Value::Integer(number) = node.value else {
            self.wrong_kind(node, &allowed);
            return None;
        };
        let value = range.contains(&number).then(|| T::try_from(number).ok()).flatten();
        let Some(value) = value else {
            self.errors.add(&node.place, "out of range").found(number.to_string()).allowed(allowed);
            return None;
        };
        Some(Written { value, text: number.to_string(), place: node.place.clone() })
    }

    /// A duration longer than zero.
    pub(super) fn duration(&mut self, node: &Node) -> Option<Duration> {
        let value = self.duration_or_zero(node)?;
        if value.is_zero() {
            self.impossible(node, "must be longer than zero", "a duration such as 250ms, 30s, 5m or 1h30m");
            return None;
        }
        Some(value)
    }

    /// A duration.
    pub(super) fn duration_or_zero(&mut self, node: &Node) -> Option<Duration> {
        let allowed = "a duration such as 250ms, 30s, 5m or 1h30m";
        if let Value::Integer(number) = node.value {
            let problem = self.errors.add(&node.place, "a duration needs a unit");
            let fix = format!("did you mean \"{number}s\" or \"{number}ms\"?");
            problem.found(number.to_string()).allowed(allowed).fix(fix);
            return None;
        }
        let value = self.parse(node, allowed, units::parse_duration)?;
        if value > DURATION_MAX {
            self.impossible(node, "too long", "up to 100d");
            return None;
        }
        Some(value)
    }

    /// A duration longer than zero; `None` for `"never"`.
    pub(super) fn duration_or_never(&mut self, node: &Node) -> Option<Duration> {
        let allowed = "a duration such as 30s or 5m, or \"never\"";
        if let Value::Integer(_) = node.value {
            return self.duration(node);
        }
        let value = self.parse(node, allowed, |text| match text {
            "never" => Ok(None),
            text => units::parse_duration(text).map(Some),
        })?;
        match value {
            Some(Duration::ZERO) => {
                self.impossible(node, "must be longer than zero", allowed);
                None
            }
            Some(value) if value > DURATION_MAX => {
                self.impossible(node, "too long", "up to 100d");
                None
            }
            value => value,
        }
    }

    /// A duration with its sign, in microseconds: `-3m`, `+6m`.
    pub(super) fn signed_duration_us(&mut self, node: &Node) -> Option<i64> {
        let allowed = "a duration with its sign, such as -3m or +6m";
        let signed_us = self.parse(node, allowed, units::parse_signed_us)?;
        if signed_us.unsigned_abs() > u64::try_from(DURATION_MAX.as_micros()).unwrap_or(u64::MAX) {
            self.impossible(node, "too long", "from -100d to +100d");
            return None;
        }
        Some(signed_us)
    }

    /// Events per second.
    pub(super) fn rate(&mut self, node: &Node) -> Option<Rate> {
        self.parse(node, "a rate such as 400/s, 50/1s, 300/1m or 2.5/s", Rate::from_str)
    }

    /// A share up to `most` (a fraction of 1).
    pub(super) fn percent(&mut self, node: &Node, most: f64) -> Option<Percent> {
        let most = Percent::from_fraction(most);
        let allowed = format!("a share from 0% to {most}, such as 85%");
        let value = self.parse(node, &allowed, Percent::from_str)?;
        if value > most {
            self.impossible(node, "out of range", &allowed);
            return None;
        }
        Some(value)
    }

    /// A share, or a linear change between two: `100%`, `0% -> 100%`.
    pub(super) fn change(&mut self, node: &Node, most: f64) -> Option<[f64; 2]> {
        let allowed = format!(
            "a share or a change, from 0% to {}, such as 100% or 0% -> 100%",
            Percent::from_fraction(most)
        );
        let [from, to] = self.parse(node, &allowed, |text| {
            let (from, to) = text.split_once("->").unwrap_or((text, text));
            Ok::<_, units::UnitError>([
                from.parse::<Percent>()?.as_fraction(),
                to.parse::<Percent>()?.as_fraction(),
            ])
        })?;
        if from > most || to > most {
            self.impossible(node, "out of range", &allowed);
            return None;
        }
        Some([from, to])
    }

    /// One of a few words; `later` are words that a later version will know.
    pub(super) fn choice<T: Copy>(
        &mut self,
        node: &Node,
        words: &[(&'static str, T)],
        later: &[(&str, &str)],
    ) -> Option<T> {
        let allowed = words.iter().map(|(word, _)| quoted(word)).collect::<Vec<_>>().join(", ");
        let text = self.string(node, &allowed)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        if let Some((word, what)) = later.iter().find(|(word, _)| *word == text.value) {
            self.not_built_yet(&node.place, &format!("{} ({what})", quoted(word)));
            return None;
        }
        let problem =
            self.errors.add(&node.place, "unknown value").found(quoted(&text.text)).allowed(allowed);
        if let Some(near) = nearest(&text.value, words.iter().map(|(word, _)| *word)) {
            problem.fix(format!("did you mean {}?", quoted(near)));
        }
        None
    }

    /// Refuses a value that was understood and cannot be.
    pub(super) fn impossible(&mut self, node: &Node, what: &str, allowed: &str) -> &mut Problem {
        let found = written(node).map_or_else(|| node.value.kind().to_owned(), |text| quoted(&text));
        self.errors.add(&node.place, what).found(found).allowed(allowed)
    }

    fn parse<T, E: Display>(
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
                    self.unset(name, end < after.len(), place);
                }
            }
            rest = after.get(end + 1..).unwrap_or_default();
        }
        out.push_str(rest);
        complete.then_some(out)
    }

    fn unset(&mut self, name: &str, closed: bool, place: &Place) -> &mut Problem {
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
fn written(node: &Node) -> Option<String> {
    let from_set = matches!(node.place.origin, super::Origin::Set(_));
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
mod tests {
    use super::*;

    fn node(value: Value) -> Node {
        Node { value, place: Place::default() }
    }

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example".to_owned()),
            "KEY" => Some("hunter2".to_owned()),
            _ => None,
        }
    }

    fn files(path: &Path) -> io::Result<FileText> {
        match path.to_str() {
            Some("key.txt") => Ok(b"hunter2\n".to_vec().into()),
            Some("bom.txt") => Ok(b"\xef\xbb\xbfhunter2\n".to_vec().into()),
            Some("empty.txt") => Ok(b"\n".to_vec().into()),
            _ => super::super::no_files(path),
        }
    }

    fn read<T>(value: Value, read: impl FnOnce(&mut Reader<'_>, &Node) -> T) -> (T, String) {
        let mut reader = Reader { env: &env, files: &files, errors: Errors::new("x.toml") };
        let read = read(&mut reader, &node(value));
        (read, reader.errors.to_string())
    }

    #[test]
    fn the_environment_is_expanded_and_what_was_written_is_kept() {
        let (text, _) = read(Value::String("a ${env.HOST} b ${device}".into()), |r, n| r.string(n, "x"));
        let text = text.unwrap();
        assert_eq!(text.value, "a example b ${device}");
        assert_eq!(text.text, "a ${env.HOST} b ${device}");
        for bad in ["${env.NOPE}", "${env.}", "${env.HOST", "${env.A-B}"] {
            let (text, errors) = read(Value::String(bad.into()), |r, n| r.string(n, "x"));
            assert!(text.is_none() && errors.contains("1 error"), "{bad}: {errors}");
        }
    }

    #[test]
    fn a_secret_comes_from_the_environment_alone_and_is_never_shown() {
        let (secret, _) = read(Value::String("${env.KEY}".into()), |r, n| r.secret(n));
        let secret = secret.unwrap();
        assert_eq!(secret.value.expose(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        for file in ["${file.key.txt}", "${file.bom.txt}"] {
            let (secret, _) = read(Value::String(file.into()), |r, n| r.secret(n));
            assert_eq!(secret.unwrap().value.expose(), "hunter2");
        }
        for (missing, why) in [("${file.none.txt}", "from none.txt"), ("${file.empty.txt}", "it is empty")] {
            let (secret, errors) = read(Value::String(missing.into()), |r, n| r.secret(n));
            assert!(secret.is_none() && errors.contains(why), "{errors}");
        }
        for literal in ["hunter2", "x${env.KEY}", "${env.KEY}hunter2", "${env.KEY}${env.KEY}"] {
            let (secret, errors) = read(Value::String(literal.into()), |r, n| r.secret(n));
            assert!(secret.is_none() && errors.contains("use ${env.NAME}"), "{errors}");
            assert!(!errors.contains("hunter2"), "{errors}");
        }
    }

    #[test]
    fn a_host_with_a_port_is_told_where_the_port_goes_and_what_holds_a_key_is_not_repeated() {
        let of = |written: &str, value: &str| {
            let env = |_: &str| Some(value.to_owned());
            let mut reader = Reader { env: &env, files: &files, errors: Errors::new("x.toml") };
            assert!(reader.host(&node(Value::String(written.to_owned()))).is_none(), "{written}");
            reader.errors.to_string()
        };
        let from_env = of("${env.IOTHUB_HOST}", "localhost:8883");
        for part in ["the value of the environment variable IOTHUB_HOST is not a host alone", "port = 8883"] {
            assert!(from_env.contains(part), "{from_env}");
        }
        let literal = of("localhost:8883", "");
        assert!(literal.contains("port = 8883") && !literal.contains("environment"), "{literal}");
        for secret in ["HostName=h;SharedAccessKey=hunter2=:8883", "hunter2=:8883", "hunter2 and more"] {
            let told = of("${env.IOTHUB_HOST}", secret);
            assert!(!told.contains("hunter2") && !told.contains("port ="), "{told}");
        }
    }

    #[test]
    fn changes_are_linear_and_bounded() {
        let change = |text: &str| read(Value::String(text.into()), |r, n| r.change(n, 1.0)).0;
        assert_eq!(change("0% -> 100%"), Some([0.0, 1.0]));
        assert_eq!(change("50%"), Some([0.5, 0.5]));
        for bad in ["", "->", "0% ->", "0 -> 1", "0% -> 101%", "0% -> 50% -> 100%"] {
            assert_eq!(change(bad), None, "{bad}");
        }
    }
}
