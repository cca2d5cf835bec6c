//! Translates advice into JSON. Fixes are written in TOML, such as `add [[phase]] with duration = "1m"`; [`in_json`] returns the same advice
//! for the author of a JSON scenario. Used by `error`, which prints all fixes, and for
//! advice about a valid scenario. This file must not depend on the rest of the room.

/// The first word of the headings that advice contains. Other text in brackets is a list.
const TABLES: [&str; 7] = ["target", "emulator", "fleet", "phase", "thresholds", "validity", "drive"];

/// Returns `advice` with its parts in TOML syntax replaced by JSON: keys with values, headings, and strings in single quotes. Other text,
/// including text in double quotes, stays unchanged, except that JSON calls a table an object.
#[must_use]
pub fn in_json(advice: &str) -> String {
    let mut out = String::with_capacity(advice.len() * 2);
    let mut rest = advice;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let starts_word = !before.is_alphanumeric() && !"_.-$".contains(before);
        let found =
            starts_word.then(|| heading(rest).or_else(|| pair(rest)).or_else(|| value(rest))).flatten();
        let (text, after) = match found {
            // A number or a boolean is the same in JSON.
            Some((text, after)) => (text, after),
            None => (first.to_string(), &rest[first.len_utf8()..]),
        };
        before = rest[..rest.len() - after.len()].chars().next_back().unwrap_or(' ');
        out.push_str(&text);
        rest = after;
    }
    out.replace("a list of tables", "a list of objects")
        .replace("one table per", "one object per")
        .replace("a table", "an object")
}

/// A translated part and the text after it.
type Part<'a> = Option<(String, &'a str)>;

/// Translates `[fleet.NAME]`, or `[[phase]] with name = "a" and duration = "1m"`.
fn heading(text: &str) -> Part<'_> {
    let (open, close) = if text.starts_with("[[") { ("[[", "]]") } else { ("[", "]") };
    let (path, mut rest) = text.strip_prefix(open)?.split_once(close)?;
    let is_path = path.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !is_path || !TABLES.contains(&path.split('.').next()?) {
        return None;
    }
    let mut pairs = Vec::new();
    let mut after = rest.strip_prefix(" with ").or_else(|| rest.strip_prefix(", with "));
    while let Some((found, next)) = after.and_then(pair) {
        pairs.push(found);
        rest = next;
        after = next.strip_prefix(", ").or_else(|| next.strip_prefix(" and "));
    }
    let inner = if pairs.is_empty() { "{ .. }".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) };
    let inner = if open == "[[" { format!("[{inner}]") } else { inner };
    let nested = path.rsplit('.').fold(inner, |inner, key| match inner.starts_with('"') {
        true => format!("\"{key}\": {{ {inner} }}"),
        false => format!("\"{key}\": {inner}"),
    });
    Some((nested, rest))
}

/// Translates `key = value`.
fn pair(text: &str) -> Part<'_> {
    let (key, rest) = text.split_once(" = ")?;
    let key = key.trim_matches('"');
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.$".contains(c));
    let (value, rest) = value(rest)?;
    is_key.then(|| (format!("\"{key}\": {value}"), rest))
}

/// Translates a value: a string, an inline table, a list, a number or a boolean.
fn value(text: &str) -> Part<'_> {
    match text.chars().next()? {
        '"' => {
            let end = text[1..].find('"')? + 2;
            Some((text[..end].to_owned(), &text[end..]))
        }
        '\'' => {
            let (inner, rest) = text[1..].split_once('\'')?;
            Some((serde_json::Value::from(inner).to_string(), rest))
        }
        '{' => {
            let mut rest = text.strip_prefix("{ ")?;
            let mut pairs = Vec::new();
            loop {
                let (found, after) = match rest.strip_prefix("..") {
                    Some(after) => ("..".to_owned(), after),
                    None => pair(rest)?,
                };
                pairs.push(found);
                match after.strip_prefix(", ") {
                    Some(after) => rest = after,
                    None => return Some((format!("{{ {} }}", pairs.join(", ")), after.strip_prefix(" }")?)),
                }
            }
        }
        '[' => {
            let end = text.find(']')? + 1;
            Some((text[..end].to_owned(), &text[end..]))
        }
        _ => {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-');
            let end = end.unwrap_or(text.len());
            let word = text[..end].trim_end_matches('.');
            let is_value = ["true", "false"].contains(&word) || word.parse::<f64>().is_ok();
            is_value.then(|| (word.to_owned(), &text[word.len()..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::in_json;

    #[test]
    fn advice_in_toml_becomes_json() {
        for (toml, json) in [
            (
                "add [[phase]] with name = \"steady\" and duration = \"1m\"",
                r#"add "phase": [{ "name": "steady", "duration": "1m" }]"#,
            ),
            (
                "add a table [fleet.NAME] with devices = 100",
                r#"add an object "fleet": { "NAME": { "devices": 100 } }"#,
            ),
            ("a list of tables: [[phase]]", r#"a list of objects: "phase": [{ .. }]"#),
            (
                "messages belong to [[fleet.a.send]], with every = \"15s\" and payload = \"..\"",
                r#"messages belong to "fleet": { "a": { "send": [{ "every": "15s", "payload": ".." }] } }"#,
            ),
            ("write payload = { size = 256 }", r#"write "payload": { "size": 256 }"#),
            (
                "auth = { kind = \"sas\", file = \"devices.txt\" } in [fleet.NAME]",
                r#""auth": { "kind": "sas", "file": "devices.txt" } in "fleet": { "NAME": { .. } }"#,
            ),
            (
                "credentials belong to a fleet: auth = { kind = \"password\", .. } in [fleet.NAME]",
                r#"credentials belong to a fleet: "auth": { "kind": "password", .. } in "fleet": { "NAME": { .. } }"#,
            ),
            ("add payload = '{\"seq\":${seq}}'", r#"add "payload": "{\"seq\":${seq}}""#),
            ("a template such as '{\"seq\":${seq}}'", r#"a template such as "{\"seq\":${seq}}""#),
            ("a list such as [\"c2d\", \"twin\"]", "a list such as [\"c2d\", \"twin\"]"),
            ("set tls = false in [target].", r#"set "tls": false in "target": { .. }."#),
            (
                "did you mean \"15s\"? 15000 has no unit: 15000 ms = 15s",
                "did you mean \"15s\"? 15000 has no unit: 15000 ms = 15s",
            ),
            ("export A=1 for the device's key", "export A=1 for the device's key"),
            ("not allowed with arrival = \"closed\"", r#"not allowed with "arrival": "closed""#),
            ("expected with `renew = \"never\"`", "expected with `\"renew\": \"never\"`"),
            ("check `host` in `[target]`, and `auth`", r#"check `host` in `"target": { .. }`, and `auth`"#),
            ("set source_ips in [target]", r#"set source_ips in "target": { .. }"#),
            ("telemetry p(99) < 500ms, rate(ok) == 100%", "telemetry p(99) < 500ms, rate(ok) == 100%"),
            ("add \"connect.tls\" = [\"max < 1s\"]", r#"add "connect.tls": ["max < 1s"]"#),
        ] {
            assert_eq!(in_json(toml), json, "{toml}");
        }
    }
}
