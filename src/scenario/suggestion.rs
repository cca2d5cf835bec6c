//! "Did you mean": finds the word that the user probably meant, among the allowed ones. The table [`SYNONYMS`] contains the words of other
//! tools and formats. Used by `reader`, `quantities`, `plan` and the emulator's control lines. `suggestion/quantity.rs` does the same for
//! values with a unit, and `suggestion/set_path.rs` for the paths of `--set`. This file must not depend on the rest of the room.

mod quantity;
mod set_path;

pub use quantity::{Suggested, duration, share, typed_duration, whole_number};
pub(super) use quantity::{bytes_or_count, rate, renewal, seconds, share_change, signed_duration, speed};
pub(super) use set_path::{element_name, set_path, set_value};

/// Words that mean one of hubstorm's keys, values or placeholders.
struct Synonym {
    /// The words, in lower case and without `_`, `-` and spaces.
    words: &'static [&'static str],
    /// hubstorm's word. The row applies only where this word is allowed.
    known: &'static str,
    /// The fix, if another word alone is not enough. `{table}` stands for the path of the table that contains the key.
    fix: Option<&'static str>,
}

const fn same(words: &'static [&'static str], known: &'static str) -> Synonym {
    Synonym { words, known, fix: None }
}

const fn fixed(words: &'static [&'static str], known: &'static str, fix: &'static str) -> Synonym {
    Synonym { words, known, fix: Some(fix) }
}

/// The words that users of k6, emqtt-bench, mqtt-stresser, JMeter and Azure's tools know. The first row that applies wins.
#[rustfmt::skip]
const SYNONYMS: &[Synonym] = &[
    // Keys of a message stream.
    same(&["interval", "period", "frequency", "freq", "pubinterval", "publishinterval", "messageinterval", "intervalofmsg", "sleep", "delay", "pacing"], "every"),
    same(&["throughput", "rps", "tps", "qps", "mps", "msgspersecond", "messagespersecond", "targetrate", "ratepersecond"], "rate"),
    same(&["thinktime", "pause"], "think_time"),
    same(&["message", "msg", "body", "data", "content", "text", "template", "file", "payloadfile"], "payload"),
    fixed(&["size", "messagesize", "payloadsize", "msgsize"], "payload", "write payload = { size = 256 }"),
    same(&["retained"], "retain"),
    same(&["headers", "props", "userproperties", "applicationproperties"], "properties"),
    same(&["bytes", "length", "messagesize", "payloadsize"], "size"),
    // Keys of a fleet.
    same(&["count", "clients", "clientcount", "numclients", "connections", "conns", "devicecount", "numdevices", "instances", "vus", "users", "threads", "numthreads", "number", "n"], "devices"),
    same(&["clientid", "clientidprefix", "deviceid", "idprefix", "prefix", "name"], "id"),
    same(&["clean", "cleanstart"], "clean_session"),
    same(&["inflight", "maxinflight", "inflightwindow", "window"], "in_flight"),
    same(&["topics", "subscriptions", "subscription", "sub", "filter", "filters", "subscribes"], "subscribe"),
    same(&["lwt", "lastwill"], "will"),
    same(&["backoff", "retry", "retries", "reconnectdelay", "autoreconnect"], "reconnect"),
    same(&["subscribefilter", "topic"], "filter"),
    fixed(&["timeout", "responsetimeout", "requesttimeout"], "ack_timeout", "did you mean `ack_timeout` (from sending to the acknowledgment) or `connect_timeout`?"),
    fixed(&["connectionstring", "connectionstrings"], "auth",
        "put the connection strings of the devices in a file, one on each line: auth = { kind = \"sas\", file = \"devices.txt\" }"),
    fixed(&["tier", "units", "sku"], "devices", "tier and units describe the hub, not the devices: move them to [emulator] or [target]"),
    fixed(&["username", "user", "password", "pass", "credentials", "groupkey", "key", "sas", "token", "ttl"], "auth",
        "credentials belong to `auth`, such as auth = { kind = \"password\", username = \"${device}\", password = \"${env.PASSWORD}\" }"),
    fixed(&["publish", "pub", "messages", "message", "telemetry", "sends", "every", "interval", "rate", "payload", "topic", "qos", "retain"], "send",
        "messages belong to [[{table}.send]], with every = \"15s\" and payload = \"..\""),
    // Keys of a phase.
    fixed(&["stages", "stage", "steps", "ramps"], "online",
        "each stage is a phase of its own: write [[phase]] with name = \"ramp\", duration = \"30s\" and online = \"0% -> 100%\""),
    same(&["time", "length", "period", "runtime", "hold", "holdfor", "for", "stay"], "duration"),
    fixed(&["target", "vus", "users", "devices", "clients", "share"], "online", "write the share of online devices, such as online = \"0% -> 100%\""),
    fixed(&["rampup", "ramp", "ramptime", "rampuptime"], "online", "write online = \"0% -> 100%\", with the time of the ramp as the phase's duration"),
    fixed(&["rate", "rps", "factor"], "load", "write the share of the rates in [[fleet.NAME.send]], such as load = \"200%\""),
    // Top-level keys.
    fixed(&["tier", "units", "sku"], "emulator", "tier and units describe the hub: move them to [emulator] for the built-in hub, or to [target]"),
    fixed(&["stages", "stage", "phases", "steps", "duration", "scenarios", "iterations"], "phase", "write [[phase]] with name = \"steady\" and duration = \"1m\""),
    fixed(&["fleets", "devices", "clients", "count", "groups", "vus", "executor"], "fleet", "write [fleet.NAME] with devices = 100"),
    fixed(&["host", "hostname", "port", "broker", "server", "url", "hub", "endpoint", "connectionstring"], "target", "write [target] with kind = \"mqtt\" and host = \"broker.example\""),
    fixed(&["send", "publish", "payload", "topic", "every", "interval", "rate", "qos"], "fleet", "messages belong to [[fleet.NAME.send]]"),
    // Keys of the target.
    same(&["hostname", "server", "address", "addr", "url", "uri", "broker", "endpoint", "hub", "ip"], "host"),
    fixed(&["connectionstring"], "host", "write host = \"..\" with the connection string's HostName, and put the devices' connection strings in a file: auth = { kind = \"sas\", file = \"devices.txt\" } in [fleet.NAME]"),
    fixed(&["username", "user", "password", "credentials", "auth"], "host", "credentials belong to a fleet: auth = { kind = \"password\", .. } in [fleet.NAME]"),
    same(&["cafile", "cacert", "cacertfile", "rootca", "castore"], "ca"),
    same(&["ssl", "usetls", "secure", "https"], "tls"),
    fixed(&["insecure", "verify", "skipverify", "tlsskipverify"], "tls", "write tls = { verify = false }"),
    same(&["sourceip", "ifaddr", "localaddress", "bind"], "source_ips"),
    // Keys of credentials.
    same(&["user", "login"], "username"),
    same(&["pass", "pw", "secret"], "password"),
    same(&["sharedaccesskeyname", "policyname"], "policy"),
    same(&["sharedaccesskey", "saskey", "primarykey", "symmetrickey", "devicekey"], "key"),
    same(&["enrollmentgroupkey", "masterkey"], "group_key"),
    same(&["lifetime", "expiry", "expiresin", "validfor", "tokenttl", "duration", "timetolive"], "ttl"),
    fixed(&["connectionstring", "connectionstrings"], "file",
        "put the connection strings of the devices in a file, one on each line: auth = { kind = \"sas\", file = \"devices.txt\" }"),
    same(&["devices", "path", "csv"], "file"),
    // Keys of reconnects and calls.
    same(&["initial", "min", "minimum", "initialdelay", "start"], "base"),
    same(&["maximum", "cap", "maxdelay", "limit"], "max"),
    same(&["firstdelay", "startupdelay"], "start_delay"),
    same(&["maxattempts", "attempts", "maxretries", "retries", "maxelapsedtime", "giveupafter"], "give_up"),
    same(&["interval", "wait", "every"], "delay"),
    same(&["type", "kind", "action"], "call"),
    same(&["type", "mode", "protocol", "method"], "kind"),
    same(&["method", "methodname"], "name"),
    same(&["title", "label"], "name"),
    same(&["threshold", "slo", "checks", "criteria"], "thresholds"),
    same(&["expression", "condition", "threshold"], "expr"),
    same(&["abortonfail", "stop"], "abort"),
    same(&["delayaborteval", "delay"], "after"),
    // Values.
    same(&["iothub", "azureiothub", "azure", "hub", "iot"], "iot-hub"),
    same(&["broker", "mosquitto", "emqx", "mqtts", "mqtt3", "mqtt311", "tcp"], "mqtt"),
    same(&["symmetrickey", "sastoken", "connectionstring", "key"], "sas"),
    same(&["userpass", "userpassword", "username", "basic"], "password"),
    same(&["anonymous", "no", "false"], "none"),
    same(&["constant", "fixed", "uniform", "even", "open"], "regular"),
    same(&["random", "exponential"], "poisson"),
    same(&["closedloop", "closedmodel"], "closed"),
    // Disconnects and faults. A disconnect can be silent, and a fault half-open.
    same(&["graceful", "disconnect", "clean", "orderly", "normal", "fin", "shutdown"], "close"),
    same(&["rst", "tcpreset", "abort", "abrupt", "drop", "lost", "kill", "disconnect", "ungraceful"], "reset"),
    same(SILENT, "silent"),
    same(SILENT, "half-open"),
    same(&["delay", "lag", "slow", "rtt"], "latency"),
    same(&["throttle", "limit", "rate", "slowlink", "bandwidthlimit"], "bandwidth"),
    same(&["freeze", "hang", "pause", "timeout", "outage"], "stall"),
    same(&["slowtls", "slowconnect", "slowclienthello"], "slow-handshake"),
    same(&["noack", "neveracks", "dropacks", "nopuback"], "never-ack"),
    same(&["truncate", "halfframe", "halfpacket", "partialframe"], "close-mid-frame"),
    same(&["lte", "ltecatm1", "catm1", "catm"], "lte-m"),
    same(&["catnb1", "nb1", "nb"], "nb-iot"),
    same(&["umts", "hspa", "fast3g"], "3g"),
    same(&["sat", "vsat", "geo"], "satellite"),
    // Placeholders.
    same(&["deviceid", "clientid", "client", "name", "id", "username", "c", "u"], "device"),
    same(&["i", "n", "x", "idx", "number", "num", "no", "counter", "count", "id", "threadnum", "vu", "d", ""], "index"),
    same(&["sequence", "seqno", "message", "messageid", "msgid", "iter", "iteration"], "seq"),
    same(&["timestamp", "time", "ts", "datetime", "date", "utcnow", "isotimestamp"], "now"),
    fixed(&["random", "rand", "randint", "int", "float", "rnd", "randomint", "value"], "uniform", "${uniform(min=0, max=100)}"),
    // Metrics of thresholds. Which of the first two applies depends on the target.
    same(MESSAGE_METRICS, "telemetry"),
    same(MESSAGE_METRICS, "publish"),
    same(&["connection", "connections", "connecttime", "mqttconnect", "httpreqconnecting", "connack"], "connect"),
    same(&["tls", "handshake", "httpreqtlshandshaking"], "connect.tls"),
    same(&["tcp"], "connect.tcp"),
    same(&["dns"], "connect.dns"),
    same(&["delivery", "deliver", "e2e", "endtoend", "received", "receive"], "deliver"),
    same(&["cloudtodevice", "c2dmessage"], "c2d"),
    same(&["twin", "gettwin"], "twin.get"),
    same(&["reported", "report", "twinpatch"], "twin.report"),
    same(&["desired"], "service.desired"),
    same(&["directmethod", "methods"], "method"),
    same(&["reconnect", "reconnects"], "online"),
];

/// Words for a device that disappears without a trace.
const SILENT: &[&str] = &[
    "powerfailure",
    "powerloss",
    "poweroff",
    "poweroutage",
    "blackhole",
    "vanish",
    "unplug",
    "halfopen",
    "silence",
    "silent",
    "dead",
];

/// Names of the latency of messages in other tools.
const MESSAGE_METRICS: &[&str] = &[
    "httpreqduration",
    "httpreqs",
    "httpreqfailed",
    "httpreqwaiting",
    "checks",
    "iterationduration",
    "latency",
    "responsetime",
    "responsetimes",
    "rtt",
    "message",
    "messages",
    "msg",
    "pub",
    "puback",
    "publish",
    "telemetry",
    "d2c",
    "send",
    "sends",
    "requests",
    "mqttpublish",
    "errors",
    "errorrate",
];

/// The probable meaning of a wrong word.
#[derive(Debug, PartialEq, Eq)]
pub enum Meant<'a> {
    /// An allowed word.
    Word(&'a str),
    /// A sentence with the fix. `{table}` stands for the path of the table.
    Fix(&'static str),
}

/// Returns the probable meaning of `found` among the words in `allowed`: a synonym, or else the most similar word.
pub fn meant<'a>(found: &str, allowed: &[&'a str]) -> Option<Meant<'a>> {
    let folded = folded(found);
    let word = |known: &str| allowed.iter().copied().find(|word| *word == known);
    let row = SYNONYMS.iter().find(|row| word(row.known).is_some() && row.words.contains(&&*folded));
    // `MaxDelay` and `max_delay` are not synonyms, but the same word.
    let respelled = allowed.iter().find(|word| self::folded(word) == folded && **word != found);
    match (respelled, row) {
        (Some(word), _) => Some(Meant::Word(word)),
        (None, Some(Synonym { fix: Some(fix), .. })) => Some(Meant::Fix(fix)),
        (None, Some(row)) => word(row.known).map(Meant::Word),
        (None, None) => nearest(found, allowed.iter().copied())
            .or_else(|| without_unit(&folded, allowed))
            .map(Meant::Word),
    }
}

/// Finds the key in a key with its unit, such as `timeout_ms` or `interval_seconds`.
fn without_unit<'a>(folded: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let stem = ["ms", "millis", "milliseconds", "s", "sec", "secs", "seconds", "min", "minutes", "bytes"]
        .into_iter()
        .find_map(|unit| folded.strip_suffix(unit).filter(|stem| stem.len() > 2))?;
    let same_word = allowed.iter().copied().find(|word| self::folded(word) == stem);
    let row = || {
        SYNONYMS
            .iter()
            .find(|row| row.fix.is_none() && row.words.contains(&stem) && allowed.contains(&row.known))
    };
    same_word.or_else(|| row().and_then(|row| allowed.iter().copied().find(|word| *word == row.known)))
}

fn folded(word: &str) -> String {
    let kept = word.chars().filter(|c| !['_', '-', ' '].contains(c));
    kept.flat_map(char::to_lowercase).collect()
}

/// Returns the candidate that is most similar to `found`, if it is similar enough to be what the user meant.
#[must_use]
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = found.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests;
