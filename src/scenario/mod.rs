//! The scenario file: text in, typed values with their places out, and everything that is wrong with it at once.
//! Called by `plan::load`. It knows the shape of the file and the units in it; what the values mean together
//! (does the fleet exist, does the topic fit in MQTT) is `plan`'s business.

mod error;
mod host;
mod input;
mod keys;
mod mask;
mod model;
mod node;
mod overrides;
mod quantities;
mod reader;
mod schema;
mod value;

pub use error::{Errors, Origin, Place, Problem, nearest};
pub use host::{check_host, is_connection_string};
pub use input::{FileText, Input, located, no_files};
pub use mask::{looks_like_key, masked, may_be_key};
pub use model::{
    ArrivalKind, AuthSpec, CallKind, DriveSpec, EmulatorSpec, FleetSpec, MessageSpec, MethodSpec,
    PayloadSpec, PhaseSpec, ReconnectSpec, RenewSpec, ReportSpec, Scenario, Sdk, SendSpec, Spacing,
    SubscribeSpec, TargetKind, TargetSpec, ThresholdSpec, Timing, TokenSpec, TwinSpec, ValiditySpec,
    WillSpec,
};
pub use quantities::DURATION_MAX;
pub use schema::schema;
pub use value::{Secret, Written};

use node::Value;
use reader::Reader;

/// Reads a scenario as far as it goes. What is wrong is in the errors, and missing or `None` in the scenario;
/// it may be used only while no error was found, or to look for more of them.
#[must_use]
pub fn read(input: &Input<'_>) -> (Scenario, Errors) {
    let mut reader = Reader { env: input.env, files: input.files, errors: Errors::new(input.file) };
    let mut scenario = Scenario {
        file: input.file.to_owned(),
        text: input.text.to_owned(),
        overrides: input.overrides.to_vec(),
        ..Scenario::default()
    };
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
