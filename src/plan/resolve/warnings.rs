//! Finds mistakes that do not make a scenario invalid: payloads that look like JSON and are not, placeholders of other tools, which would be
//! sent as they are, and faults without effect. Used by `resolve`, after a scenario without errors.

use super::templates::from_printf;
use crate::plan::model::{CallPlan, DrivePlan, FleetPlan};
use crate::plan::payload::{Payload, PayloadContext};
use crate::rng::Purpose;
use crate::scenario::{MessageSpec, PayloadSpec, Place, Scenario, Written};
use serde::de::IgnoredAny;
use std::time::Duration;

/// The maximum number of characters of a payload that a warning repeats.
const EXCERPT_CHARS: usize = 30;

/// Returns all warnings, each with its place. `fleets` and `drives` are those of `scenario`, in the same order.
pub(super) fn warnings(scenario: &Scenario, fleets: &[FleetPlan], drives: &[DrivePlan]) -> Vec<String> {
    let at = |place: &Place| place.written(&scenario.file);
    let mut found = Vec::new();
    let faults = scenario.emulator.faults.iter().map(|fault| &fault.place);
    let faults = faults.chain(scenario.emulator.chaos.as_ref().map(|chaos| &chaos.place)).next();
    if let Some(place) = faults.filter(|_| scenario.target.is_some()) {
        found.push(format!("{}: faults have no effect: the target is not the built-in hub", at(place)));
    }
    for (spec, fleet) in scenario.fleets.iter().zip(fleets) {
        let will = spec
            .will
            .iter()
            .zip(&fleet.will)
            .filter_map(|(spec, will)| Some((spec.payload.as_ref()?, &will.payload)));
        for (written, payload) in will {
            found.extend(
                not_json(payload, fleet, Some(written)).map(|what| format!("{}: {what}", at(&written.place))),
            );
        }
        for (spec, send) in spec.sends.iter().zip(&fleet.sends) {
            if let Some(topic) = &spec.topic
                && let Some(meant) = from_printf(&topic.value).filter(|_| topic.value == topic.text)
            {
                let place = at(&topic.place);
                found.push(format!(
                    "{place}: devices send to {} as written; did you mean {meant:?}?",
                    topic.text
                ));
            }
            let Some(written) = &spec.payload else { continue };
            let place = at(&written.place);
            found.extend(match &written.value {
                MessageSpec::FileLines { path, .. } => lines_not_json(&send.payload)
                    .map(|(line, what)| format!("{place}: line {line} of {} {what}", path.text)),
                MessageSpec::Payload(spec) => {
                    let written = Written {
                        value: spec.clone(),
                        text: written.text.clone(),
                        place: written.place.clone(),
                    };
                    not_json(&send.payload, fleet, Some(&written)).map(|what| format!("{place}: {what}"))
                }
            });
        }
    }
    for (spec, drive) in scenario.drives.iter().zip(drives) {
        // The payloads of the other calls must be JSON.
        if let (CallPlan::C2d { .. }, Some(written), Some(fleet)) =
            (&drive.call, &spec.payload, fleets.get(usize::from(drive.fleet)))
        {
            found.extend(
                not_json(&drive.payload, fleet, Some(written))
                    .map(|what| format!("{}: {what}", at(&written.place))),
            );
        }
    }
    found
}

/// Describes the error in the first message of the fleet's first device, if it looks like JSON.
fn not_json(payload: &Payload, fleet: &FleetPlan, written: Option<&Written<PayloadSpec>>) -> Option<String> {
    let device = fleet.device_id(0);
    let facts = PayloadContext {
        device: &device,
        index: 0,
        seq: 0,
        now_unix: Duration::ZERO,
        uptime: Duration::ZERO,
    };
    let mut message = Vec::new();
    payload.render(&mut payload.state(0, 0, Purpose::Payload(0)), &facts, &mut message);
    let error = json_error(&message)?;
    // The value of an environment variable may be a secret, so it is not repeated.
    let template = match written.map(|written| (&written.value, &written.text)) {
        Some((PayloadSpec::Template(value), text)) if value == text => Some(value),
        _ => None,
    };
    let excerpt = template.map_or_else(String::new, |_| excerpt(&message, &error));
    let hint = template.filter(|template| template.replace("${index", "").contains("{index"));
    let hint = hint.map_or("", |_| "; in a payload, the placeholder is ${index}");
    Some(format!(
        "the payload looks like JSON, but its first message is not valid: {} at {}{excerpt}{hint}",
        reason(&error),
        position(&error)
    ))
}

/// Describes the first line of a payload file that looks like JSON and is not.
fn lines_not_json(payload: &Payload) -> Option<(usize, String)> {
    let mut errors = payload.file_lines()?.filter_map(|(line, text)| Some((line, json_error(text)?)));
    let (line, error) = errors.next()?;
    let more = match errors.count() {
        0 => String::new(),
        1 => " (1 more line has an error)".to_owned(),
        more => format!(" ({more} more lines have errors)"),
    };
    let what =
        format!("looks like JSON, but is not valid{more}: {} at column {}", reason(&error), error.column());
    Some((line, what))
}

/// Returns the error of a message that begins like a JSON object or a JSON array.
fn json_error(message: &[u8]) -> Option<serde_json::Error> {
    let text = std::str::from_utf8(message).ok()?.trim_start();
    let looks_like_json = match text.strip_prefix('[') {
        // A line of a log may begin with [INFO].
        Some(inner) => {
            let inner = inner.trim_start();
            ["true", "false", "null"].iter().any(|word| inner.starts_with(word))
                || inner.starts_with(|c: char| "{[\"-]".contains(c) || c.is_ascii_digit())
        }
        None => text.starts_with('{'),
    };
    if looks_like_json { serde_json::from_slice::<IgnoredAny>(message).err() } else { None }
}

/// Returns the error without its position.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.find(" at line ").unwrap_or(text.len());
    match &text[..end] {
        reason if error.is_eof() => reason.replace("EOF while parsing", "the end is missing from"),
        reason => reason.to_owned(),
    }
}

fn position(error: &serde_json::Error) -> String {
    match error.line() {
        0 | 1 => format!("column {}", error.column()),
        line => format!("line {line}, column {}", error.column()),
    }
}

/// Shows the rendered message before the error.
fn excerpt(message: &[u8], error: &serde_json::Error) -> String {
    let line = message.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let before = String::from_utf8_lossy(line.get(..error.column()).unwrap_or(line)).into_owned();
    let skipped = before.chars().count().saturating_sub(EXCERPT_CHARS);
    let shown: String = before.chars().skip(skipped).collect();
    let dots = if skipped > 0 { "..." } else { "" };
    format!(": {dots}{}", shown.trim_end())
}

#[cfg(test)]
mod tests {
    use crate::plan::test_support::plan;
    use crate::scenario::{Input, no_files};

    fn warnings(fleet: &str) -> Vec<String> {
        let text = format!("[fleet.a]\ndevices = 2\n{fleet}\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n");
        plan(&text).warnings
    }

    fn payload(payload: &str) -> Vec<String> {
        warnings(&format!("[[fleet.a.send]]\nevery = \"1s\"\npayload = {payload}"))
    }

    #[test]
    fn valid_json_and_other_text_give_no_warning() {
        for text in [
            "'{\"i\":${index},\"d\":\"${device}\",\"t\":\"${now}\",\"v\":${uniform(min=-1.0, max=1)}}'",
            "'[1,2]'",
            "'  {}'",
            "'[INFO] started'",
            "'21.5'",
            "'x {\"a\"'",
            "{ size = 10 }",
            "''",
        ] {
            assert_eq!(payload(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn invalid_json_is_found_with_its_place() {
        for (text, expected) in [
            ("'{\"a\":1 \"b\":2}'", "expected `,` or `}` at column 8: {\"a\":1 \""),
            ("'{\"device\":${device}}'", "expected value at column 11: {\"device\":a"),
            ("'{\"seq\":${seq}'", "the end is missing from an object at column 8: {\"seq\":0"),
            ("'[1,2,]'", "expected value at column 6: [1,2,]"),
            ("'{\"i\":{index}}'", "; in a payload, the placeholder is ${index}"),
            ("\"{\\n \\\"a\\\":tru}\"", "expected ident at line 2, column 9:  \"a\":tru}"),
        ] {
            let found = payload(text);
            let [warning] = &found[..] else { panic!("{text}: {found:?}") };
            let start = "test.toml:5:11: fleet.a.send.0.payload: the payload looks like JSON, but its first message is not valid: ";
            assert!(warning.starts_with(start) && warning.ends_with(expected), "{text}: {warning}");
        }
    }

    #[test]
    fn wills_calls_and_brokers_are_checked() {
        let will = warnings("will = { payload = '{\"gone\"}' }");
        assert!(
            will[0].starts_with("test.toml:3:20: fleet.a.will.payload: the payload looks like JSON"),
            "{will:?}"
        );
        let c2d = warnings(
            "subscribe = [\"c2d\"]\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"1/s\"\npayload = '{x}'",
        );
        assert!(c2d[0].contains("drive.0.payload: the payload looks like JSON"), "{c2d:?}");
        let broker = plan(
            "[target]\nkind = \"mqtt\"\nhost = \"localhost\"\n[fleet.a]\ndevices = 2\n[[fleet.a.send]]\nevery = \"1s\"\n\
             topic = \"bench/%c/%i\"\npayload = '{\"x\":}'\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n",
        );
        let [topic, payload] = &broker.warnings[..] else { panic!("{:?}", broker.warnings) };
        assert!(topic.ends_with("as written; did you mean \"bench/${device}/{index}\"?"), "{topic}");
        assert!(payload.contains("expected value at column 6"), "{payload}");
    }

    #[test]
    fn lines_of_a_payload_file_are_checked() {
        let of = |file: &[u8]| {
            let text = "[fleet.a]\ndevices = 1\n[[fleet.a.send]]\nevery = \"1s\"\npayload = { file = \"x.txt\" }\n\
                        [[phase]]\nname = \"p\"\nduration = \"1s\"\n";
            let files = &|_: &std::path::Path| Ok(file.to_vec().into());
            let input = Input { file: "test.toml", text, overrides: &[], env: &|_| None, files };
            crate::plan::load(&input, &mut rand::rng()).unwrap().warnings
        };
        assert_eq!(of(b"{}\n\nplain\n[1]\n"), Vec::<String>::new());
        assert_eq!(
            of(b"{}\r\n\r\n{\"a\":}\r\n{\r\n{x\r\n"),
            [
                "test.toml:5:11: fleet.a.send.0.payload: line 3 of x.txt looks like JSON, but is not valid (2 more lines have errors): expected value at column 6"
            ]
        );
        assert!(of(b"\xef\xbb\xbf{x}")[0].contains("line 1 of x.txt"));
    }

    #[test]
    fn values_of_environment_variables_are_not_repeated() {
        let text = "[fleet.a]\ndevices = 1\n[[fleet.a.send]]\nevery = \"1s\"\npayload = '{\"k\":\"${env.KEY}\"'\n\
                    [[phase]]\nname = \"p\"\nduration = \"1s\"\n";
        let env = |_: &str| Some("hunter2".to_owned());
        let input = Input { file: "test.toml", text, overrides: &[], env: &env, files: &no_files };
        let found = crate::plan::load(&input, &mut rand::rng()).unwrap().warnings;
        assert!(found.len() == 1 && !found[0].contains("hunter2"), "{found:?}");
    }
}
