//! Reads `[fleet.NAME]`. Used by `keys`; `auth`, `reconnect`, messages, twins and methods have separate files.

use super::{auth, faults, messages, reconnect, twin_methods};
use crate::scenario::model::{FleetSpec, Sdk};
use crate::scenario::node::{Entry, Node};
use crate::scenario::reader::Reader;
use crate::scenario::value::Written;
use crate::units;

/// The maximum number of devices in one fleet.
const DEVICES_MAX: i64 = 1_000_000;

/// Reads one `[fleet.NAME]`.
pub(super) fn fleet(reader: &mut Reader<'_>, entry: &Entry) -> Option<FleetSpec> {
    let mut fields = reader.table(&entry.node, "a table: [fleet.NAME]")?;
    fields.place = entry.place.clone();
    reader.check_name(&entry.place, &entry.key, &entry.key);
    let devices = fields.require(reader, "devices", "devices = 100");
    let offline = [("queue", false), ("skip", true)];
    let spec = FleetSpec {
        name: entry.key.clone(),
        place: entry.place.clone(),
        devices: devices.and_then(|node| reader.integer(node, 1..=DEVICES_MAX)).map(|devices| devices.value),
        id: fields.take("id").and_then(|node| reader.text(node, "an id such as \"meter-{index:05}\"")),
        sdk: fields.take("sdk").and_then(|node| sdk(reader, node)),
        auth: fields.take("auth").map(|node| auth::auth(reader, node)),
        keep_alive_s: fields.take("keep_alive").and_then(|node| keep_alive(reader, node)),
        clean_session: fields.take("clean_session").and_then(|node| reader.boolean(node)),
        unsubscribe: fields.take("unsubscribe").and_then(|node| reader.boolean(node)).unwrap_or(false),
        reconnect: fields.take("reconnect").and_then(|node| reconnect::reconnect(reader, node)),
        connect_timeout: fields.take("connect_timeout").and_then(|node| reader.duration(node)),
        ack_timeout: fields.take("ack_timeout").and_then(|node| reader.duration(node)),
        send_by: fields.take("send_by").and_then(|node| reader.duration(node)),
        offline_skip: fields.take("offline").and_then(|node| reader.choice(node, &offline, &[])),
        in_flight: fields
            .take("in_flight")
            .and_then(|node| reader.integer(node, 1..=65_535))
            .map(|in_flight| in_flight.value),
        subscribe: messages::subscribe(reader, &mut fields),
        will: fields.take("will").and_then(|node| messages::will(reader, node)),
        sends: messages::sends(reader, &mut fields),
        twin: fields.take("twin").and_then(|node| twin_methods::twin(reader, node)),
        reports: twin_methods::reports(reader, &mut fields),
        methods: twin_methods::methods(reader, &mut fields),
        faults: fields.take("fault").map_or_else(Vec::new, |node| {
            let elements = reader.list(node, "a list of tables: [[fleet.NAME.fault]]");
            elements.iter().filter_map(|element| faults::fleet_fault(reader, element)).collect()
        }),
    };
    fields.finish(reader, &[("modules", "module identities")]);
    Some(spec)
}

fn keep_alive(reader: &mut Reader<'_>, node: &Node) -> Option<u16> {
    let duration = reader.duration_or_zero(node)?;
    let whole = (duration.subsec_nanos() == 0).then(|| u16::try_from(duration.as_secs()).ok()).flatten();
    if whole.is_none() {
        let found = units::human_duration(duration);
        reader
            .errors
            .add(&node.place, "not a keep-alive that MQTT can express")
            .found(found)
            .allowed("whole seconds from 0s (off) to 65,535 s");
    }
    whole
}

fn sdk(reader: &mut Reader<'_>, node: &Node) -> Option<Written<Sdk>> {
    let value = reader.choice(node, &Sdk::ALL.map(|sdk| (sdk.name(), sdk)), &[])?;
    Some(Written { value, text: value.name().to_owned(), place: node.place.clone() })
}
