//! Reads a scenario file. The input is an [`Input`]: the text, `--set` overrides, and access to environment variables and files. The output
//! is a [`Scenario`], whose values carry their [`Place`] in the file, and all [`Errors`]. Start with `keys/mod.rs`, which reads the keys of
//! the format, then read `model/mod.rs`.
//!
//! Called by `plan::load`. This room checks each value on its own: key, type, unit, range. `plan` checks values against each other, for
//! example that a referenced fleet exists. This room must not depend on sockets, clocks or `plan`.

mod error;
mod host;
mod input;
mod json_advice;
mod keys;
mod mask;
mod model;
mod node;
mod overrides;
mod quantities;
mod reader;
mod schema;
mod suggestion;
mod value;

pub use error::{Errors, Origin, Place, Problem};
pub use host::{MeantHost, check_host, is_azure_hub, is_connection_string, meant_host};
pub use input::{FileText, Input, no_files, resolve_path};
pub use json_advice::in_json;
pub use mask::{looks_like_key, masked, may_be_key};
pub use model::{
    ArrivalKind, AuthSpec, BackOffSpec, CallKind, ChaosSpec, ChurnSpec, CourseSpec, DayPartSpec, DaySpec,
    DisconnectSpec, DriveSpec, EmulatorSpec, FaultSpec, FleetSpec, GiveUpSpec, HostSpec, LeftOut, LoadSpec,
    MessageSpec, MethodSpec, PayloadSpec, PhaseFleetSpec, PhaseSpec, ReconnectSpec, RenewSpec, ReplaySpec,
    ReportSpec, Scenario, Sdk, SendSpec, SizeSpec, Spacing, SubscribeSpec, TargetKind, TargetSpec,
    ThresholdSpec, ThresholdsOnly, Timing, TokenSpec, TwinSpec, ValiditySpec, WillSpec,
};
pub use node::is_json;
pub use quantities::DURATION_MAX;
pub use schema::schema;
pub use suggestion::{
    Meant, Suggested, duration as meant_duration, meant, nearest, share as meant_share, typed_duration,
    whole_number,
};
pub use value::{Secret, Written};

use node::Value;
use reader::Reader;

/// Reads as much of a scenario as possible. A value with an error is missing or `None` in the scenario. Callers may use the scenario
/// only if there are no errors, or to look for more errors.
#[must_use]
pub fn read(input: &Input<'_>) -> (Scenario, Errors) {
    let mut reader = Reader { env: input.env, files: input.files, errors: Errors::new(input.file) };
    let mut scenario = Scenario {
        file: input.file.to_owned(),
        text: input.text.to_owned(),
        overrides: input.overrides.to_vec(),
        ..Scenario::default()
    };
    reader.errors.json = node::is_json(input.file, input.text);
    let Some(mut root) = node::parse(input.file, input.text, &mut reader.errors) else {
        scenario.unreadable = true;
        return (scenario, reader.errors);
    };
    if !matches!(root.value, Value::Table(_)) {
        reader.wrong_type(&root, "a table with the scenario's keys");
        scenario.unreadable = true;
        return (scenario, reader.errors);
    }
    for text in input.overrides {
        overrides::apply(&mut root, text, &mut reader.errors);
    }
    keys::scenario(&mut reader, &root, &mut scenario);
    (scenario, reader.errors)
}

/// Reads only the thresholds of a scenario, and ignores the overrides. The rest of the file may be missing.
#[must_use]
pub fn read_thresholds(input: &Input<'_>) -> (ThresholdsOnly, Errors) {
    let mut reader = Reader { env: input.env, files: input.files, errors: Errors::new(input.file) };
    let mut found = ThresholdsOnly::default();
    if let Some(root) = node::parse(input.file, input.text, &mut reader.errors) {
        keys::thresholds_only(&mut reader, &root, &mut found);
    }
    (found, reader.errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds(text: &str) -> (ThresholdsOnly, Errors) {
        read_thresholds(&Input { file: "s.toml", text, overrides: &[], env: &|_| None, files: &no_files })
    }

    #[test]
    fn thresholds_need_no_other_part_of_a_scenario() {
        let (found, errors) =
            thresholds("[thresholds]\ntelemetry = [\"p(99) < 5ms\", \"count(lost) == 0\"]\n");
        assert!(errors.is_empty(), "{errors}");
        assert_eq!((found.thresholds.len(), found.fleets.len()), (2, 0));
        // A secret that is not set here, and a file that does not exist.
        let (found, errors) = thresholds(
            "[fleet.a]\ndevices = 1\nauth = { kind = \"sas\", group_key = \"${env.KEY}\" }\n[fleet.b]\n\
             auth = { kind = \"sas\", file = \"none.csv\" }\n[thresholds]\nconnect = [\"max < 1s\"]\n",
        );
        assert!(errors.is_empty(), "{errors}");
        assert_eq!(found.fleets, ["a", "b"]);
    }

    #[test]
    fn missing_thresholds_are_an_error() {
        for (text, part) in [
            ("", "thresholds: missing"),
            ("[thresholds]\n", "no thresholds"),
            ("[threshold]\ntelemetry = [\"p(99) < 5ms\"]\n", "did you mean `thresholds`?"),
            ("[thresholds]\ntelemetry = [\"${env.LIMIT}\"]\n", "LIMIT"),
            ("[thresholds\n", "invalid TOML"),
        ] {
            let (_, errors) = thresholds(text);
            assert!(errors.to_string().contains(part), "{text}: {errors}");
        }
    }

    /// A key of the format that is unknown here would be refused.
    #[test]
    fn every_top_level_key_is_known_to_both_readers() {
        let schema = schema();
        let keys = schema["properties"].as_object().unwrap().keys();
        for key in keys.filter(|key| *key != "thresholds") {
            let value = if key == "fleet" { "{}" } else { "1" };
            let (_, errors) =
                thresholds(&format!("\"{key}\" = {value}\n[thresholds]\nconnect = [\"max < 1s\"]\n"));
            assert!(errors.is_empty(), "{errors}");
        }
    }
}
