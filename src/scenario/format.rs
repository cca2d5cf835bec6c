//! The keys of the format, table by table: `docs/scenario.md` as code. Keys that later work brings are refused as
//! "not built yet", so that nobody believes they had an effect.

use super::device;
use super::identity::{AuthSpec, RenewSpec, Sdk, TokenSpec};
use super::model::{
    EmulatorSpec, FleetSpec, PhaseSpec, ReconnectSpec, Scenario, TargetKind, TargetSpec, TlsSpec, Written,
};
use super::node::{Entry, Node, Value};
use super::reader::{Fields, Reader, quoted};
use super::{drives, sends, verdict};
use crate::policy::backoff::Jitter;
use crate::units::{self, Percent};
use core::net::IpAddr; // Addresses only: sockets live in std::net.

/// Devices of one fleet.
const DEVICES_MAX: i64 = 1_000_000;
/// A load of 10,000% is a hundred times the written rates: beyond it, a typing error is likelier.
const LOAD_MAX: f64 = 100.0;
/// The feature that `tier` and `units` need, for the "not built yet" message.
const THROTTLES: &str = "the throttles and quotas of a tier";

/// Reads the top level.
pub(super) fn scenario(reader: &mut Reader<'_>, root: &Node, out: &mut Scenario) {
    let Some(mut fields) = reader.table(root, "the scenario's keys") else { return };
    if let Some(node) = fields.take("name") {
        out.name = reader.text(node, "a name for the report").map(|name| name.value);
    }
    if let Some(node) = fields.take("seed") {
        out.seed = reader.integer(node, 0..=i64::MAX).map(|seed| seed.value);
    }
    out.target = fields.take("target").and_then(|node| target(reader, node));
    if let Some(node) = fields.take("emulator") {
        out.emulator = emulator(reader, node);
    }
    if let Some(node) = fields.require(reader, "fleet", "a table [fleet.NAME] with devices = 100") {
        for entry in reader.named(node, "a table per fleet: [fleet.NAME]") {
            out.fleets.extend(fleet(reader, entry));
        }
    }
    if let Some(node) =
        fields.require(reader, "phase", "[[phase]] with name = \"steady\" and duration = \"1m\"")
    {
        for element in reader.list(node, "a list of tables: [[phase]]") {
            out.phases.extend(phase(reader, element));
        }
    }
    out.drain = fields.take("drain").and_then(|node| reader.duration_or_zero(node));
    out.abort_when_unreachable =
        fields.take("abort_when_unreachable").and_then(|node| reader.duration_or_never(node));
    if let Some(node) = fields.take("thresholds") {
        out.thresholds = verdict::thresholds(reader, node);
    }
    if let Some(node) = fields.take("validity") {
        out.validity = verdict::validity(reader, node);
    }
    if let Some(node) = fields.take("drive") {
        for element in reader.list(node, "a list of tables: [[drive]]") {
            out.drives.extend(drives::drive(reader, element));
        }
    }
    if let Some(node) = fields.take("$schema") {
        // For the editor that it is written in; what holds here is this program's own.
        reader.text(node, "where the JSON Schema is");
    }
    fields.finish(reader, &[]);
}

fn target(reader: &mut Reader<'_>, node: &Node) -> Option<TargetSpec> {
    let mut fields = reader.table(node, "a table with kind and host")?;
    let kinds = [("iot-hub", TargetKind::IotHub), ("mqtt", TargetKind::Mqtt)];
    let kind = fields.require(reader, "kind", "kind = \"iot-hub\" or kind = \"mqtt\" to [target]");
    let host = fields.require(reader, "host", "host = \"example.azure-devices.net\"");
    let spec = TargetSpec {
        place: node.place.clone(),
        kind: kind.and_then(|node| reader.choice(node, &kinds, &[])),
        host: host.and_then(|node| reader.host(node)),
        port: fields.take("port").and_then(|node| reader.integer(node, 1..=65_535)).map(|port| port.value),
        tls: fields.take("tls").and_then(|node| tls(reader, node)),
        ca: fields.take("ca").and_then(|node| reader.path(node, "the path of a PEM file")),
        source_ips: fields.take("source_ips").map_or_else(Vec::new, |node| source_ips(reader, node)),
    };
    fields.finish(reader, &[("transport", "MQTT over WebSocket"), ("websocket", "MQTT over WebSocket")]);
    Some(spec)
}

fn source_ips(reader: &mut Reader<'_>, node: &Node) -> Vec<Written<IpAddr>> {
    let elements = reader.list(node, "a list of this machine's addresses: [\"10.0.0.2\", \"10.0.0.3\"]");
    elements.iter().filter_map(|element| reader.address(element)).collect()
}

fn tls(reader: &mut Reader<'_>, node: &Node) -> Option<TlsSpec> {
    let place = node.place.clone();
    if let Value::Boolean(on) = node.value {
        return Some(TlsSpec { place, on, verify: true });
    }
    let mut fields = reader.table(node, "true, false, or a table such as { verify = true }")?;
    let verify = fields.take("verify").and_then(|node| reader.boolean(node)).unwrap_or(true);
    fields.finish(reader, &[("resumption", "TLS session resumption")]);
    Some(TlsSpec { place, on: true, verify })
}

fn emulator(reader: &mut Reader<'_>, node: &Node) -> EmulatorSpec {
    let Some(mut fields) = reader.table(node, "a table such as { expiry_grace = \"5m\" }") else {
        return EmulatorSpec::default();
    };
    if let Some(node) = fields.take("tier") {
        let later = ["F1", "B1", "B2", "B3", "S1", "S2", "S3"].map(|tier| (tier, THROTTLES));
        // "unlimited" is the built-in hub's default, so the value need not be kept.
        reader.choice(node, &[("unlimited", ())], &later);
    }
    let spec = EmulatorSpec {
        expiry_grace: fields.take("expiry_grace").and_then(|node| reader.duration_or_zero(node)),
        lenient_properties: fields.take("lenient_properties").and_then(|node| reader.boolean(node)),
    };
    let later = [("units", THROTTLES), ("faults", "faults of the built-in hub")];
    fields.finish(reader, &later);
    spec
}

fn fleet(reader: &mut Reader<'_>, entry: &Entry) -> Option<FleetSpec> {
    let mut fields = reader.table(&entry.node, "a table: [fleet.NAME]")?;
    fields.place = entry.place.clone();
    name_is_plain(reader, entry);
    let devices = fields.require(reader, "devices", "devices = 100");
    let offline = [("queue", false), ("skip", true)];
    let spec = FleetSpec {
        name: entry.key.clone(),
        place: entry.place.clone(),
        devices: devices.and_then(|node| reader.integer(node, 1..=DEVICES_MAX)).map(|devices| devices.value),
        id: fields.take("id").and_then(|node| reader.text(node, "an id such as \"meter-{index:05}\"")),
        sdk: fields.take("sdk").and_then(|node| sdk(reader, node)),
        auth: fields.take("auth").map(|node| auth(reader, node)),
        keep_alive_s: fields.take("keep_alive").and_then(|node| keep_alive(reader, node)),
        clean_session: fields.take("clean_session").and_then(|node| reader.boolean(node)),
        unsubscribe: fields.take("unsubscribe").and_then(|node| reader.boolean(node)).unwrap_or(false),
        reconnect: fields.take("reconnect").and_then(|node| reconnect(reader, node)),
        connect_timeout: fields.take("connect_timeout").and_then(|node| reader.duration(node)),
        ack_timeout: fields.take("ack_timeout").and_then(|node| reader.duration(node)),
        send_by: fields.take("send_by").and_then(|node| reader.duration(node)),
        offline_skip: fields.take("offline").and_then(|node| reader.choice(node, &offline, &[])),
        in_flight: fields
            .take("in_flight")
            .and_then(|node| reader.integer(node, 1..=65_535))
            .map(|in_flight| in_flight.value),
        subscribe: sends::subscribe(reader, &mut fields),
        will: fields.take("will").and_then(|node| sends::will(reader, node)),
        sends: sends::sends(reader, &mut fields),
        twin: fields.take("twin").and_then(|node| device::twin(reader, node)),
        reports: device::reports(reader, &mut fields),
        methods: device::methods(reader, &mut fields),
    };
    fields.finish(reader, &[("churn", "devices that come and go"), ("modules", "module identities")]);
    Some(spec)
}

/// Fleet names stand in threshold selectors and in `--set` paths.
fn name_is_plain(reader: &mut Reader<'_>, entry: &Entry) {
    if !is_plain(&entry.key) {
        reader
            .errors
            .add(&entry.place, "not a name")
            .found(quoted(&entry.key))
            .allowed("letters, digits, - and _");
    }
}

pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn keep_alive(reader: &mut Reader<'_>, node: &Node) -> Option<u16> {
    let duration = reader.duration_or_zero(node)?;
    let whole = (duration.subsec_nanos() == 0).then(|| u16::try_from(duration.as_secs()).ok()).flatten();
    if whole.is_none() {
        let found = crate::units::human_duration(duration);
        reader
            .errors
            .add(&node.place, "MQTT counts the keep-alive in 16 bits of seconds")
            .found(found)
            .allowed("whole seconds from 0s (off) to 65535s");
    }
    whole
}

fn sdk(reader: &mut Reader<'_>, node: &Node) -> Option<Written<Sdk>> {
    let value = reader.choice(node, &Sdk::ALL.map(|sdk| (sdk.name(), sdk)), &[])?;
    Some(Written { value, text: value.name().to_owned(), place: node.place.clone() })
}

fn auth(reader: &mut Reader<'_>, node: &Node) -> Written<AuthSpec> {
    let (value, text) = read_auth(reader, node).unwrap_or((AuthSpec::Unreadable, ""));
    Written { value, text: text.to_owned(), place: node.place.clone() }
}

fn read_auth(reader: &mut Reader<'_>, node: &Node) -> Option<(AuthSpec, &'static str)> {
    #[derive(Clone, Copy)]
    enum Kind {
        Sas,
        Password,
        None,
    }
    let mut fields =
        reader.table(node, "a table such as { kind = \"sas\", group_key = \"${env.GROUP_KEY}\" }")?;
    let kinds = [("sas", Kind::Sas), ("password", Kind::Password), ("none", Kind::None)];
    let later = [("x509", "device certificates"), ("dps", "the device provisioning service")];
    let kind_node = fields.require(reader, "kind", "kind = \"sas\", \"password\" or \"none\"")?;
    let kind = reader.choice(kind_node, &kinds, &later)?;
    let read = match kind {
        Kind::Sas => {
            let own = !["group_key", "policy", "key", "file"].iter().any(|key| fields.entry(key).is_some());
            let from_file = fields.entry("file").is_some();
            let group_key = fields.take("group_key").and_then(|node| reader.secret(node));
            let policy = fields.take("policy").and_then(|node| reader.text(node, "a policy's name"));
            let key = fields.take("key").and_then(|node| reader.secret(node));
            let file = fields.take("file").and_then(|node| reader.path(node, "the path of a file with keys"));
            let token = token(reader, &mut fields);
            sas_sources(reader, &fields);
            let spec = if own {
                AuthSpec::SasOwn { token }
            } else if from_file {
                AuthSpec::SasFile { file, token }
            } else {
                AuthSpec::Sas { group_key, policy, key, token }
            };
            (spec, "sas")
        }
        Kind::Password if fields.entry("file").is_some() => {
            let file = fields.take("file");
            let file =
                file.and_then(|node| reader.path(node, "the path of a file with user names and passwords"));
            (AuthSpec::PasswordFile { file }, "password")
        }
        Kind::Password => {
            let username = fields.require(reader, "username", "username = \"${device}\"");
            let password = fields.require(reader, "password", "password = \"${env.PASSWORD}\"");
            let spec = AuthSpec::Password {
                username: username.and_then(|node| reader.text(node, "a user name; ${device} is allowed")),
                password: password.and_then(|node| reader.secret(node)),
            };
            (spec, "password")
        }
        Kind::None => (AuthSpec::None, "none"),
    };
    fields.finish(reader, &[]);
    Some(read)
}

fn token(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> TokenSpec {
    TokenSpec {
        place: fields.place.clone(),
        ttl: fields.take("ttl").and_then(|node| reader.duration(node)),
        renew: fields.take("renew").and_then(|node| renew(reader, node)),
        jitter: fields.take("jitter").and_then(|node| reader.percent(node, 1.0)),
        clock_skew_us: fields.take("clock_skew").and_then(|node| reader.signed_duration_us(node)),
    }
}

fn renew(reader: &mut Reader<'_>, node: &Node) -> Option<Written<RenewSpec>> {
    let allowed = "a share of the token's life (\"85%\"), a time before its end (\"-2m\"), or \"never\"";
    let Written { value: text, text: shown, place } = reader.string(node, allowed)?;
    let value = match (text.as_str(), text.strip_prefix('-')) {
        ("never", _) => Some(RenewSpec::Never),
        (_, Some(margin)) => units::parse_duration(margin).ok().map(RenewSpec::Before),
        (share, None) => {
            let share =
                share.parse::<Percent>().ok().filter(|share| (0.0..=1.0).contains(&share.as_fraction()));
            // At 0% a device would do nothing else.
            share.filter(|share| share.as_fraction() > 0.0).map(RenewSpec::Share)
        }
    };
    if value.is_none() {
        reader.errors.add(&place, "not a time to renew a token").found(quoted(&shown)).allowed(allowed);
    }
    Some(Written { value: value?, text: shown, place })
}

/// At most one source of keys: a group key, a policy with its key, or a file.
fn sas_sources(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    let has = |key| fields.entry(key).is_some();
    let allowed = "group_key, policy with key, or file";
    let problem = match (has("group_key"), has("policy"), has("key"), has("file")) {
        (true, false, false, false) | (false, true, true, false) | (false, false, false, _) => return,
        (true, ..) | (.., true) => reader.errors.add(&fields.place, "two sources of keys"),
        (false, true, false, false) => reader.errors.add(&fields.place.below("key"), "missing"),
        (false, false, true, false) => reader.errors.add(&fields.place.below("policy"), "missing"),
    };
    problem.allowed(allowed).fix("group_key = \"${env.GROUP_KEY}\"");
}

fn reconnect(reader: &mut Reader<'_>, node: &Node) -> Option<ReconnectSpec> {
    #[derive(Clone, Copy)]
    enum Kind {
        Never,
        Fixed,
        Exponential,
    }
    let mut fields =
        reader.table(node, "a table such as { kind = \"exponential\", base = \"1s\", max = \"60s\" }")?;
    let kinds = [("exponential", Kind::Exponential), ("fixed", Kind::Fixed), ("never", Kind::Never)];
    let kind_node = fields.require(reader, "kind", "kind = \"exponential\"")?;
    let spec = match reader.choice(kind_node, &kinds, &[])? {
        Kind::Never => ReconnectSpec::Never,
        Kind::Fixed => {
            ReconnectSpec::Fixed { delay: fields.take("delay").and_then(|node| reader.duration(node)) }
        }
        Kind::Exponential => {
            let jitters = [("full", Jitter::Full), ("none", Jitter::None)];
            let base = fields.take("base").and_then(|node| reader.duration(node));
            let max_node = fields.take("max");
            let max = max_node.and_then(|node| reader.duration(node));
            if let (Some(base), Some(max), Some(node)) = (base, max, max_node)
                && max < base
            {
                reader.errors.add(&node.place, "shorter than base").allowed("at least base");
            }
            let jitter = fields.take("jitter").and_then(|node| reader.choice(node, &jitters, &[]));
            ReconnectSpec::Exponential { base, max, jitter }
        }
    };
    fields.finish(reader, &[]);
    Some(spec)
}

fn phase(reader: &mut Reader<'_>, node: &Node) -> Option<PhaseSpec> {
    let mut fields = reader.table(node, "a table with name and duration")?;
    let name_node = fields.require(reader, "name", "name = \"steady\"");
    let name = name_node.and_then(|node| reader.text(node, "a name")).filter(|name| {
        let plain = is_plain(&name.value);
        if !plain {
            let problem = reader.errors.add(&name.place, "not a name");
            problem.found(quoted(&name.text)).allowed("letters, digits, - and _");
        }
        plain
    });
    let duration = fields.require(reader, "duration", "duration = \"1m\"");
    let spec = PhaseSpec {
        place: node.place.clone(),
        name,
        warmup: fields.take("warmup").and_then(|node| reader.boolean(node)).unwrap_or(false),
        duration: duration.and_then(|node| reader.duration(node)),
        online: fields.take("online").and_then(|node| reader.change(node, 1.0)),
        load: fields.take("load").and_then(|node| reader.change(node, LOAD_MAX)),
    };
    fields.finish(
        reader,
        &[
            ("disconnect", "disconnecting a share of the fleets"),
            ("pause", "pauses"),
            ("churn", "devices that come and go"),
            ("faults", "faults on the way"),
        ],
    );
    Some(spec)
}
