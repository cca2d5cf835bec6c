//! Tests for the trees and places that TOML, JSON and `--set` produce.

use super::*;

fn places(node: &Node, out: &mut Vec<(String, Origin)>) {
    match &node.value {
        Value::Table(entries) => {
            for entry in entries {
                out.push((entry.place.key.clone(), entry.place.origin.clone()));
                places(&entry.node, out);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| places(element, out)),
        _ => {}
    }
}

fn file(line: usize, column: usize) -> Origin {
    Origin::File { line, column }
}

#[test]
fn toml_and_json_give_the_same_key_paths() {
    let toml = "seed = 1\n[fleet.b]\ndevices = 2\n[fleet.a]\n  devices = 3\n[[phase]]\nname = \"ramp\"\n\
                duration = \"1s\"\n";
    let json = "{\n \"seed\": 1, // any\n \"fleet\": {\"b\": {\"devices\": 2}, \"a\": {\"devices\": 3}},\n \
                \"phase\": [{\"name\": \"ramp\", \"duration\": \"1s\"}]}";
    let mut errors = Errors::new("x");
    let (mut from_toml, mut from_json) = (Vec::new(), Vec::new());
    places(&parse("x.toml", toml, &mut errors).unwrap(), &mut from_toml);
    places(&parse("x.json", json, &mut errors).unwrap(), &mut from_json);
    assert!(errors.is_empty(), "{errors}");
    let keys = |places: &[(String, Origin)]| places.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&from_toml), keys(&from_json));
    assert_eq!(keys(&from_toml)[2..4], ["fleet.b".to_owned(), "fleet.b.devices".to_owned()]);
    assert!(from_toml.contains(&("phase.ramp.duration".into(), file(8, 1))), "{from_toml:?}");
    assert!(from_toml.contains(&("fleet.a.devices".into(), file(5, 3))), "{from_toml:?}");
    assert!(from_json.contains(&("seed".into(), file(2, 2))), "{from_json:?}");
}

#[test]
fn text_that_starts_with_a_brace_is_json() {
    let mut errors = Errors::new("stdin");
    assert!(parse("stdin", "\n{\"seed\": 1}", &mut errors).is_some(), "{errors}");
}

#[test]
fn all_syntax_errors_in_a_toml_file_are_reported() {
    let mut errors = Errors::new("x.toml");
    assert!(parse("x.toml", "a = \nb = 1\nc = [1,,2]\n", &mut errors).is_none());
    assert!(errors.problems().len() >= 2, "{errors}");
}

#[test]
fn columns_count_characters() {
    let mut errors = Errors::new("x.toml");
    parse("x.toml", "a = { 'ü' = 1, b = }\n", &mut errors);
    assert_eq!(errors.problems()[0].place.origin, file(1, 20), "{errors}");
}

#[test]
fn overrides_need_no_quotes() {
    let place = Place { origin: Origin::Set("k".into()), key: "k".into() };
    assert!(matches!(parse_override("500", &place).value, Value::Integer(500)));
    assert!(matches!(parse_override("true", &place).value, Value::Boolean(true)));
    for text in ["10s", "0% -> 100%", "2024-01-01", "a b"] {
        assert!(matches!(parse_override(text, &place).value, Value::String(t) if t == text), "{text}");
    }
    assert!(matches!(parse_override("['p(99) < 1s']", &place).value, Value::Array(a) if a.len() == 1));
}

#[test]
fn syntax_error_names_the_cause_once() {
    let quoted = "name = \u{201c}a\u{201d}\nhost = \u{201c}b\u{201d}\n[fleet.a]\nid = \u{201c}c\u{201d}\n";
    let json = "{\"name\": \u{201c}a\u{201d}}";
    let wrong = "a = = 1\n".repeat(50);
    for (file, text, fix, count) in [
        ("x.toml", quoted, "replace the typographic quotes \u{201c} \u{201d} with \"", 1),
        ("x.json", json, "replace the typographic quotes \u{201c} \u{201d} with \"", 1),
        ("x.toml", "seed = 1\r[target]\rhost = \"h\"\r", "save the file with LF or CR LF line endings", 1),
        ("x.toml", "a = \"\u{201c}b\u{201d}\" 3\r\n", "correct the syntax", 1),
        ("x.toml", &wrong, "correct the syntax", 3),
    ] {
        let mut errors = Errors::new(file);
        assert!(parse(file, text, &mut errors).is_none());
        let shown = errors.to_string();
        assert_eq!(shown.matches("fix:").count(), count, "{shown}");
        assert!(shown.contains(fix), "{shown}");
    }
}
