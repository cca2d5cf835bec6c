//! Parses a file that lists devices with their secrets. Called by `resolve`.
//!
//! What is wrong with a line is said by its number and never by its text: it may be a secret in the wrong place.

use super::device_list::DeviceList;
use crate::iothub::connection_string::ConnectionString;
use crate::iothub::registry::{self, Exported};
use crate::iothub::{names, sas};
use crate::plan::duplicates::Duplicates;
use crate::text_file;
use crate::wire::STRING_BYTES_MAX;
use std::borrow::Cow;
use zeroize::Zeroizing;

/// What the lines of a file are to hold.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) enum CredentialFormat<'a> {
    /// Keys of an IoT hub: `id,key`, connection strings, or a registry export.
    Keys {
        /// The host that connection strings must name; `None` for the built-in hub, which answers to any.
        host: Option<&'a str>,
    },
    /// Passwords of a broker: `id,username,password`.
    Passwords,
}

impl CredentialFormat<'_> {
    /// What a line may be, for errors.
    pub(in crate::plan) fn allowed(self) -> &'static str {
        match self {
            CredentialFormat::Keys { .. } => {
                "id,key; a connection string (HostName=..;DeviceId=..;SharedAccessKey=..); a line of a registry export; or a whole file \
                 from `az iot hub device-identity list`"
            }
            CredentialFormat::Passwords => {
                "id,username,password, or username,password when the user name is the id"
            }
        }
    }
}

/// A line that cannot be read; the first is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct BadLine {
    pub(in crate::plan) line: usize,
    pub(in crate::plan) what: Cow<'static, str>,
}

/// A file as far as it could be read.
pub(in crate::plan) struct CredentialFile {
    pub(in crate::plan) devices: DeviceList,
    pub(in crate::plan) bad: Vec<BadLine>,
    /// Identities of a registry export that no device can use a key for.
    pub(in crate::plan) unusable: usize,
}

/// Reads a whole file. Empty lines and a header (`id,..`) are passed over.
pub(in crate::plan) fn parse(text: &[u8], form: CredentialFormat<'_>) -> CredentialFile {
    // What is kept of a line is never longer than the line: the block does not move, and leaves no copies behind.
    let devices = DeviceList::with_capacity(0, text.len());
    let read = CredentialFile { devices, bad: Vec::new(), unusable: 0 };
    let mut reading = Reading { read, ids: Duplicates::default() };
    let text = match text_file::skip_bom(text) {
        Ok(text) => text,
        Err(error) => {
            reading.bad(1, error.to_string().into());
            return reading.read;
        }
    };
    if let (CredentialFormat::Keys { .. }, [b'[', ..]) = (form, text.trim_ascii_start()) {
        reading.list(text);
    } else {
        reading.lines(text, form);
    }
    reading.read
}

/// A file that is being read.
struct Reading {
    read: CredentialFile,
    ids: Duplicates<Box<str>>,
}

impl Reading {
    fn lines(&mut self, text: &[u8], form: CredentialFormat<'_>) {
        let lines = text_file::lines(text).map(|line| std::str::from_utf8(line).map(str::trim));
        let mut lines = (1..).zip(lines).filter(|(_, line)| *line != Ok("")).peekable();
        if let Some(&(line, Ok(first))) = lines.peek()
            && has_semicolons(first)
        {
            // Every line would be told otherwise.
            return self.bad(line, "fields are separated by semicolons; use commas".into());
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
        if let Some(first) = self.ids.first(device.id.as_str().into(), number) {
            return Err(format!("duplicate id, first in {counted} {first}").into());
        }
        if self.read.devices.push(device.parts()) {
            Ok(())
        } else {
            Err("the file is longer than 4 GiB".into())
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
fn device(line: &str, form: CredentialFormat<'_>) -> Result<Option<Device>, Fault> {
    match form {
        CredentialFormat::Passwords => password(line).map(Some),
        CredentialFormat::Keys { .. } if line.starts_with('{') => {
            exported(registry::parse_line(line).map_err(|error| error.to_string())?)
        }
        CredentialFormat::Keys { host } if is_connection_string(line) => {
            let parsed = ConnectionString::parse(line).map_err(|error| error.to_string())?;
            if host.is_some_and(|host| !host.eq_ignore_ascii_case(parsed.host)) {
                return Err("the connection string names another hub than [target] host".into());
            }
            keyed(parsed.device, parsed.key).map(Some)
        }
        CredentialFormat::Keys { .. } => match &fields(line)?[..] {
            [id, key] => keyed(id, key).map(Some),
            fields => Err(format!("expected 2 fields (id, key), found {}", fields.len()).into()),
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
        fields => {
            return Err(
                format!("expected 2 or 3 fields (id, user name, password), found {}", fields.len()).into()
            );
        }
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
            None => return Err("text after a closing quote".into()),
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
mod tests;
