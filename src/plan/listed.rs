//! Devices that a file lists, each with its own secret: a key or a password. Read once by `fleets`, asked by devices before
//! every attempt.
//!
//! Tens of thousands of them are kept in one block of bytes, which is wiped when dropped. What is wrong with a line is said
//! by its number and never by its text: it may be a secret in the wrong place.

use crate::iothub::connection_string::ConnectionString;
use crate::iothub::registry::{self, Exported};
use crate::iothub::{names, sas};
use crate::text_file;
use crate::wire::STRING_BYTES_MAX;
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use zeroize::Zeroizing;

/// Devices by index: id, user name, secret.
pub struct DeviceList {
    bytes: Zeroizing<Vec<u8>>,
    /// Where each device's three parts end in `bytes`.
    ends: Vec<[u32; 3]>,
}

/// What the lines of a file are to hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form<'a> {
    /// Keys of an IoT hub: `id,key`, connection strings, or a registry export.
    Keys {
        /// The host that connection strings must name; `None` for the built-in hub, which answers to any.
        host: Option<&'a str>,
    },
    /// Passwords of a broker: `id,username,password`.
    Passwords,
}

impl Form<'_> {
    /// What a line may be, for errors.
    pub(super) fn allowed(self) -> &'static str {
        match self {
            Form::Keys { .. } => {
                "id,key, a connection string (HostName=..;DeviceId=..;SharedAccessKey=..), or a line of a registry export; or the file is \
                 the list that az iot hub device-identity list prints"
            }
            Form::Passwords => "id,username,password, or username,password when the user name is the id",
        }
    }
}

/// A line that cannot be read; the first is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) line: usize,
    pub(super) what: Cow<'static, str>,
}

/// A file as far as it could be read.
pub(super) struct Read {
    pub(super) listed: DeviceList,
    pub(super) bad: Vec<BadLine>,
    /// Identities of a registry export that no device can use a key for.
    pub(super) unusable: usize,
}

impl DeviceList {
    fn with_capacity(devices: usize, bytes: usize) -> DeviceList {
        DeviceList { bytes: Zeroizing::new(Vec::with_capacity(bytes)), ends: Vec::with_capacity(devices) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The memory that they take, in bytes.
    #[must_use]
    pub fn bytes_kept(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<[u32; 3]>()
    }

    /// True without any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The device id; empty beyond the last.
    #[must_use]
    pub fn id(&self, index: u32) -> &str {
        std::str::from_utf8(self.part(index, 0)).unwrap_or_default()
    }

    /// The user name; empty where the list has none.
    #[must_use]
    pub fn user_name(&self, index: u32) -> &str {
        std::str::from_utf8(self.part(index, 1)).unwrap_or_default()
    }

    /// The key's bytes, or the password.
    #[must_use]
    pub fn secret(&self, index: u32) -> &[u8] {
        self.part(index, 2)
    }

    /// The id with the most bytes.
    pub(super) fn longest_id(&self) -> &str {
        let ids = (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).map(|index| self.id(index));
        ids.max_by_key(|id| id.len()).unwrap_or_default()
    }

    fn part(&self, index: u32, part: usize) -> &[u8] {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(ends) = self.ends.get(index) else { return &[] };
        let before = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |ends| ends[2]);
        let start = part.checked_sub(1).map_or(before, |part| ends[part]);
        // `push` has made both from lengths of `bytes`.
        self.bytes.get(start as usize..ends[part] as usize).unwrap_or_default()
    }

    /// Adds one; false when the block would be longer than its places can say.
    fn push(&mut self, parts: [&[u8]; 3]) -> bool {
        let mut ends = [0; 3];
        for (part, end) in parts.into_iter().zip(&mut ends) {
            self.bytes.extend_from_slice(part);
            let Ok(length) = u32::try_from(self.bytes.len()) else { return false };
            *end = length;
        }
        self.ends.push(ends);
        true
    }

    /// The devices of these indices alone, in this order.
    pub(super) fn pick(&self, indices: &[u32]) -> DeviceList {
        let parts = |index| [self.part(index, 0), self.part(index, 1), self.part(index, 2)];
        let bytes = indices.iter().flat_map(|&index| parts(index)).map(<[u8]>::len).sum();
        let mut picked = DeviceList::with_capacity(indices.len(), bytes);
        for &index in indices {
            // No longer than this one, unless an index is there twice: then it is the caller's error.
            picked.push(parts(index));
        }
        picked
    }

    /// The index of each id.
    pub(super) fn by_id(&self) -> HashMap<&str, u32> {
        (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).map(|index| (self.id(index), index)).collect()
    }
}

impl fmt::Debug for DeviceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceList({} devices)", self.len())
    }
}

/// Reads a whole file. Empty lines and a header (`id,..`) are passed over.
pub(super) fn parse(text: &[u8], form: Form<'_>) -> Read {
    // What is kept of a line is never longer than the line: the block does not move, and leaves no copies behind.
    let listed = DeviceList::with_capacity(0, text.len());
    let read = Read { listed, bad: Vec::new(), unusable: 0 };
    let mut reading = Reading { read, places: HashMap::new() };
    let text = match text_file::skip_bom(text) {
        Ok(text) => text,
        Err(error) => {
            reading.bad(1, error.to_string().into());
            return reading.read;
        }
    };
    if let (Form::Keys { .. }, [b'[', ..]) = (form, text.trim_ascii_start()) {
        reading.list(text);
    } else {
        reading.lines(text, form);
    }
    reading.read
}

/// A file that is being read.
struct Reading {
    read: Read,
    /// Where each id stands.
    places: HashMap<Box<str>, usize>,
}

impl Reading {
    fn lines(&mut self, text: &[u8], form: Form<'_>) {
        let lines = text_file::lines(text).map(|line| std::str::from_utf8(line).map(str::trim));
        let mut lines = (1..).zip(lines).filter(|(_, line)| *line != Ok("")).peekable();
        if let Some(&(line, Ok(first))) = lines.peek()
            && has_semicolons(first)
        {
            // Every line would be told otherwise.
            return self.bad(line, "fields are separated by semicolons; separate them by commas".into());
        }
        for (number, line) in lines {
            match line {
                Err(_) => self.bad(number, "not UTF-8".into()),
                Ok(line) if number == 1 && is_header(line) => {}
                Ok(line) => {
                    if let Err(what) = device(line, form).and_then(|device| self.take(device, "line", number))
                    {
                        self.bad(number, what);
                    }
                }
            }
        }
    }

    /// A JSON list: where an entry stands is told by its number.
    fn list(&mut self, text: &[u8]) {
        let Ok(text) = std::str::from_utf8(text) else { return self.bad(1, "not UTF-8".into()) };
        let entries = match registry::parse_list(text) {
            Ok(entries) => entries,
            Err((line, error)) => return self.bad(line, error.to_string().into()),
        };
        for (number, entry) in (1..).zip(entries) {
            if let Err(what) = exported(entry).and_then(|device| self.take(device, "entry", number)) {
                self.bad(1, format!("entry {number} of the list: {what}").into());
            }
        }
    }

    fn bad(&mut self, line: usize, what: Fault) {
        self.read.bad.push(BadLine { line, what });
    }

    /// Keeps a device, unless it is there already; `None` is one that cannot come in.
    fn take(&mut self, device: Option<Device>, counted: &str, number: usize) -> Result<(), Fault> {
        let Some(device) = device else {
            self.read.unusable += 1;
            return Ok(());
        };
        match self.places.entry(device.id.as_str().into()) {
            Entry::Occupied(first) => Err(format!("the id of {counted} {} again", first.get()).into()),
            Entry::Vacant(place) => {
                place.insert(number);
                if self.read.listed.push(device.parts()) {
                    Ok(())
                } else {
                    Err("the file is longer than 4 GiB".into())
                }
            }
        }
    }
}

/// True for a line of CSV as some spreadsheets write it.
fn has_semicolons(line: &str) -> bool {
    line.contains(';') && !line.contains(',') && !line.starts_with('{') && !is_connection_string(line)
}

fn is_header(line: &str) -> bool {
    let first = line.split(',').next().unwrap_or_default().trim().trim_matches('"');
    ["id", "device", "deviceid", "device_id", "username", "client_id"]
        .iter()
        .any(|name| first.eq_ignore_ascii_case(name))
}

struct Device {
    id: String,
    user_name: String,
    secret: Zeroizing<Vec<u8>>,
}

impl Device {
    fn parts(&self) -> [&[u8]; 3] {
        [self.id.as_bytes(), self.user_name.as_bytes(), &self.secret]
    }
}

type Fault = Cow<'static, str>;

/// The device of a line; `None` for one that cannot come in.
fn device(line: &str, form: Form<'_>) -> Result<Option<Device>, Fault> {
    match form {
        Form::Passwords => password(line).map(Some),
        Form::Keys { .. } if line.starts_with('{') => {
            exported(registry::parse_line(line).map_err(|error| error.to_string())?)
        }
        Form::Keys { host } if is_connection_string(line) => {
            let parsed = ConnectionString::parse(line).map_err(|error| error.to_string())?;
            if host.is_some_and(|host| !host.eq_ignore_ascii_case(parsed.host)) {
                return Err("the connection string is another hub's than [target] host".into());
            }
            keyed(parsed.device, parsed.key).map(Some)
        }
        Form::Keys { .. } => match &fields(line)?[..] {
            [id, key] => keyed(id, key).map(Some),
            fields => Err(format!("{} fields instead of id and key", fields.len()).into()),
        },
    }
}

fn exported(identity: Exported) -> Result<Option<Device>, Fault> {
    match identity {
        Exported::Device { id, key } => keyed(&id, &key).map(Some),
        Exported::Unusable => Ok(None),
    }
}

fn is_connection_string(line: &str) -> bool {
    const NAMES: [&str; 3] = ["HostName", "DeviceId", "SharedAccessKey"];
    let names = line.split(';').filter_map(|field| field.split_once('=')).map(|(name, _)| name.trim());
    // An id of a CSV may contain both characters, but hardly two of these.
    names.filter(|name| NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))).count() >= 2
}

fn keyed(id: &str, key: &str) -> Result<Device, Fault> {
    if !names::is_device_id(id) {
        return Err("not a device id of an IoT hub (1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ ')".into());
    }
    let key = sas::Key::from_base64(key).map_err(|error| error.to_string())?;
    let secret = Zeroizing::new(key.expose().to_vec());
    Ok(Device { id: id.to_owned(), user_name: String::new(), secret })
}

fn password(line: &str) -> Result<Device, Fault> {
    let fields = fields(line)?;
    let (id, user_name, password) = match &fields[..] {
        [id, user_name, password] => (id, user_name, password),
        [user_name, password] => (user_name, user_name, password),
        fields => return Err(format!("{} fields instead of id, user name and password", fields.len()).into()),
    };
    for (field, name) in [(id, "id"), (user_name, "user name"), (password, "password")] {
        if field.len() > STRING_BYTES_MAX || field.contains('\0') {
            return Err(format!("the {name} is too long for MQTT, or contains a NUL").into());
        }
    }
    if id.is_empty() || user_name.is_empty() {
        return Err("the id or the user name is empty".into());
    }
    let secret = Zeroizing::new(password.as_bytes().to_vec());
    Ok(Device { id: id.to_string(), user_name: user_name.to_string(), secret })
}

/// The fields of one line of CSV (RFC 4180): plain ones without the blanks around them, or in quotes, with `""` for a quote.
fn fields(line: &str) -> Result<Vec<Zeroizing<String>>, Fault> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                (Zeroizing::new(field.trim().to_owned()), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(fields),
            None => return Err("text behind a closing quote".into()),
        }
    }
}

/// A field whose opening quote has been read, and what follows it.
fn quoted_field(mut rest: &str) -> Result<(Zeroizing<String>, &str), Fault> {
    let mut field = Zeroizing::new(String::with_capacity(rest.len()));
    loop {
        let (text, after) = rest.split_once('"').ok_or("a quote is not closed")?;
        field.push_str(text);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Ok((field, after.trim_start())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const KEYS: Form<'_> = Form::Keys { host: Some("hub.example") };

    fn bad(text: &str, form: Form<'_>) -> Vec<(usize, String)> {
        parse(text.as_bytes(), form).bad.into_iter().map(|bad| (bad.line, bad.what.into_owned())).collect()
    }

    fn ids(listed: &DeviceList) -> Vec<&str> {
        (0..u32::try_from(listed.len()).unwrap()).map(|index| listed.id(index)).collect()
    }

    #[test]
    fn keys_are_read_in_all_forms_even_from_one_file() {
        let text = format!(
            "\u{feff}Id,Key\r\nd1,{KEY}\r\n\r\n  \"d,2\" , \"{KEY}\" \n\
             HostName=HUB.example;DeviceId=d3;SharedAccessKey={KEY}\n\
             {{\"id\":\"d4\",\"authentication\":{{\"symmetricKey\":{{\"primaryKey\":\"{KEY}\"}}}}}}\n{{\"id\":\"off\"}}"
        );
        let read = parse(text.as_bytes(), KEYS);
        assert_eq!((ids(&read.listed), read.bad, read.unusable), (vec!["d1", "d,2", "d3", "d4"], vec![], 1));
        let key: Vec<u8> = (0..32).collect();
        assert!((0..4).all(|index| read.listed.secret(index) == key));
        assert!(read.listed.id(4).is_empty() && read.listed.secret(4).is_empty());
    }

    #[test]
    fn passwords_are_read_with_and_without_ids() {
        let read = parse(b"c1,u1,p 1\nu2,\"p\"\"2\"\nc3,u3,", Form::Passwords);
        let rows: Vec<_> = (0..3)
            .map(|index| (read.listed.id(index), read.listed.user_name(index), read.listed.secret(index)))
            .collect();
        assert_eq!(rows, [("c1", "u1", &b"p 1"[..]), ("u2", "u2", b"p\"2"), ("c3", "u3", b"")]);
        assert!(read.bad.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_by_its_line_and_never_by_its_text() {
        let hub = format!("HostName=other.example;DeviceId=d;SharedAccessKey={KEY}");
        let text = format!(
            "d1,{KEY}\nhunter2\nd2,hunter2\nd1,{KEY}\n hunter2 x,{KEY}\nd3,{KEY},hunter2\n\"hunter2\n\"d4\"hunter2,{KEY}\n\
             {{\"hunter2\n{hub}\nd5,aHVudGVyMg==\nd1,{KEY}"
        );
        let found = bad(&text, KEYS);
        let expected = [
            (2, "1 fields instead"),
            (3, "not base64"),
            (4, "the id of line 1 again"),
            (5, "not a device id"),
            (6, "3 fields instead"),
            (7, "a quote is not closed"),
            (8, "behind a closing quote"),
            (9, "invalid JSON"),
            (10, "another hub's"),
            (11, "7 bytes"),
            (12, "the id of line 1 again"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for ((line, what), (at, part)) in found.iter().zip(expected) {
            assert!(*line == at && what.contains(part) && !what.contains("hunter2"), "{line}: {what}");
        }
        assert!(bad(&hub, Form::Keys { host: None }).is_empty(), "the built-in hub answers to any name");
        assert_eq!(parse(b"d1,\xff\n", KEYS).bad[0].what, "not UTF-8");
        let utf16 = parse(b"\xff\xfed\x001\0", KEYS).bad;
        assert_eq!((utf16.len(), &*utf16[0].what), (1, "encoded as UTF-16; save the file as UTF-8"));
    }

    #[test]
    fn the_list_of_the_azure_command_line_is_read() {
        let identity = |id: &str, key: &str, status: &str| {
            format!(
                "  {{\n    \"authentication\": {{\n      \"symmetricKey\": {{\"primaryKey\": \"{key}\", \"secondaryKey\": \"x\"}},\n      \
                 \"type\": \"sas\"\n    }},\n    \"deviceId\": \"{id}\",\n    \"status\": \"{status}\"\n  }}"
            )
        };
        let list = |identities: &[String]| format!("\u{feff}[\n{}\n]\n", identities.join(",\n"));
        let good =
            [identity("d1", KEY, "enabled"), identity("d2", KEY, "disabled"), identity("d3", KEY, "enabled")];
        let read = parse(list(&good).as_bytes(), KEYS);
        assert_eq!((ids(&read.listed), read.bad, read.unusable), (vec!["d1", "d3"], vec![], 1));
        let wrong = [good[0].clone(), identity("d2", "hunter2", "enabled"), good[0].clone()];
        let told = bad(&list(&wrong), KEYS);
        assert!(told[0].1.starts_with("entry 2 of the list: ") && !told[0].1.contains("hunter2"), "{told:?}");
        assert_eq!(told[1].1, "entry 3 of the list: the id of entry 1 again");
        let told = bad(&list(&good).replace("\"d3\"", "hunter2"), KEYS);
        assert!(matches!(&told[..], [(23, what)] if what.contains("invalid JSON")), "{told:?}");
    }

    #[test]
    fn semicolons_are_told_once() {
        for (text, form) in [
            (format!("\ndeviceId;primaryKey\nd1;{KEY}\nd2;{KEY}\n"), KEYS),
            (format!("\"d1\";\"{KEY}\"\nd2;{KEY}\n"), KEYS),
            ("c1;u1;hunter2\nc2;u2;hunter2\n".to_owned(), Form::Passwords),
        ] {
            let told = bad(&text, form);
            assert!(matches!(&told[..], [(1 | 2, what)] if what.contains("by commas")), "{told:?}");
        }
    }

    #[test]
    fn passwords_that_mqtt_cannot_carry_are_refused() {
        let long = "x".repeat(65_536);
        for (text, part) in [
            (format!("a,b,{long}"), "the password is too long"),
            ("a,b\0,c".to_owned(), "the user name is too long"),
            (",b,c".to_owned(), "is empty"),
            ("a,b,c,d".to_owned(), "4 fields"),
        ] {
            let found = bad(&text, Form::Passwords);
            assert!(found[0].1.contains(part), "{found:?}");
        }
    }

    #[test]
    fn picked_devices_keep_what_is_theirs() {
        let read = parse(b"a,ua,pa\nb,ub,pb\nc,uc,pc", Form::Passwords);
        let picked = read.listed.pick(&[2, 0]);
        assert_eq!(ids(&picked), ["c", "a"]);
        assert_eq!((picked.user_name(1), picked.secret(0)), ("ua", &b"pc"[..]));
        assert_eq!(read.listed.by_id()["b"], 1);
        assert_eq!(picked.bytes.capacity(), picked.bytes.len(), "no room is wasted");
        assert_eq!(format!("{picked:?}"), "DeviceList(2 devices)");
    }
}
