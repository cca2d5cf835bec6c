//! Parses files that list devices with their keys or passwords. Called by `resolve`.
//!
//! Errors give the line number and never repeat the line, which may contain a misplaced secret.

use super::device_list::DeviceList;
use crate::iothub::connection_string::ConnectionString;
use crate::iothub::registry::{self, Exported};
use crate::iothub::{names, sas};
use crate::plan::duplicates::Duplicates;
use crate::text_file;
use crate::wire::STRING_BYTES_MAX;
use std::borrow::Cow;
use zeroize::Zeroizing;

/// The format of a credential file.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) enum CredentialFormat<'a> {
    /// Keys for an IoT hub: `id,key`, connection strings, or a registry export.
    Keys {
        /// Host that connection strings must name. `None` for the built-in hub, which accepts any host.
        host: Option<&'a str>,
    },
    /// Passwords for a broker: `id,username,password`.
    Passwords,
}

impl CredentialFormat<'_> {
    /// Returns a description of the permitted lines, for error messages.
    pub(in crate::plan) fn allowed(self) -> &'static str {
        match self {
            CredentialFormat::Keys { .. } => {
                "id,key; a connection string (HostName=..;DeviceId=..;SharedAccessKey=..); a line of a registry export; or the whole \
                 output of `az iot hub device-identity list`"
            }
            CredentialFormat::Passwords => {
                "id,username,password, or username,password when the user name is the id"
            }
        }
    }
}

/// An invalid line. Line numbers start at 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct BadLine {
    pub(in crate::plan) line: usize,
    pub(in crate::plan) what: Cow<'static, str>,
}

/// A parsed file.
pub(in crate::plan) struct CredentialFile {
    pub(in crate::plan) devices: DeviceList,
    pub(in crate::plan) bad_lines: Vec<BadLine>,
    /// Number of identities in a registry export that have no usable key.
    pub(in crate::plan) unusable: usize,
}

/// Parses a whole file. Skips empty lines and a header (`id,..`).
pub(in crate::plan) fn parse(text: &[u8], format: CredentialFormat<'_>) -> CredentialFile {
    // A stored device is never longer than its line, so the list never outgrows this capacity. Growing would move its contents
    // and leave copies of the secrets behind.
    let devices = DeviceList::with_capacity(0, text.len());
    let file = CredentialFile { devices, bad_lines: Vec::new(), unusable: 0 };
    let mut parser = Parser { file, ids: Duplicates::default() };
    let text = match text_file::skip_bom(text) {
        Ok(text) => text,
        Err(error) => {
            parser.bad(1, error.to_string().into());
            return parser.file;
        }
    };
    if let (CredentialFormat::Keys { .. }, [b'[', ..]) = (format, text.trim_ascii_start()) {
        parser.list(text);
    } else {
        parser.lines(text, format);
    }
    parser.file
}

/// The state of the parser.
struct Parser {
    file: CredentialFile,
    ids: Duplicates<Box<str>>,
}

impl Parser {
    fn lines(&mut self, text: &[u8], format: CredentialFormat<'_>) {
        let lines = text_file::lines(text).map(|line| std::str::from_utf8(line).map(str::trim));
        let mut lines = (1..).zip(lines).filter(|(_, line)| *line != Ok("")).peekable();
        if let Some(&(line, Ok(first))) = lines.peek()
            && has_semicolons(first)
        {
            // Report one error instead of one for every line.
            return self.bad(line, "fields are separated by semicolons; use commas".into());
        }
        for (number, line) in lines {
            match line {
                Err(_) => self.bad(number, "not UTF-8".into()),
                Ok(line) if number == 1 && is_header(line) => {}
                Ok(line) => {
                    if let Err(what) =
                        device(line, format).and_then(|device| self.add(device, "line", number))
                    {
                        self.bad(number, what);
                    }
                }
            }
        }
    }

    /// Parses a JSON list. Errors give the number of the entry.
    fn list(&mut self, text: &[u8]) {
        let Ok(text) = std::str::from_utf8(text) else { return self.bad(1, "not UTF-8".into()) };
        let entries = match registry::parse_list(text) {
            Ok(entries) => entries,
            Err((line, error)) => return self.bad(line, error.to_string().into()),
        };
        for (number, entry) in (1..).zip(entries) {
            if let Err(what) = exported(entry).and_then(|device| self.add(device, "entry", number)) {
                self.bad(1, format!("entry {number} of the list: {what}").into());
            }
        }
    }

    fn bad(&mut self, line: usize, what: Message) {
        self.file.bad_lines.push(BadLine { line, what });
    }

    /// Adds a device, or returns an error if its id is a duplicate. `None` stands for an identity without a usable key.
    fn add(&mut self, device: Option<Device>, unit: &str, number: usize) -> Result<(), Message> {
        let Some(device) = device else {
            self.file.unusable += 1;
            return Ok(());
        };
        if let Some(first) = self.ids.first(device.id.as_str().into(), number) {
            return Err(format!("duplicate id, first used in {unit} {first}").into());
        }
        if self.file.devices.push(device.parts()) {
            Ok(())
        } else {
            Err("the file is larger than 4 GiB".into())
        }
    }
}

/// Returns whether a line is CSV with semicolons, which some spreadsheet programs write.
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

type Message = Cow<'static, str>;

/// Parses a line. Returns `None` for an identity without a usable key.
fn device(line: &str, format: CredentialFormat<'_>) -> Result<Option<Device>, Message> {
    match format {
        CredentialFormat::Passwords => device_with_password(line).map(Some),
        CredentialFormat::Keys { .. } if line.starts_with('{') => {
            exported(registry::parse_line(line).map_err(|error| error.to_string())?)
        }
        CredentialFormat::Keys { host } if is_connection_string(line) => {
            let parsed = ConnectionString::parse(line).map_err(|error| error.to_string())?;
            if host.is_some_and(|host| !host.eq_ignore_ascii_case(parsed.host)) {
                return Err("the connection string names a hub other than [target] host".into());
            }
            device_with_key(parsed.device, parsed.key).map(Some)
        }
        CredentialFormat::Keys { .. } => match &fields(line)?[..] {
            [id, key] => device_with_key(id, key).map(Some),
            fields => Err(format!("expected 2 fields (id, key), found {}", fields.len()).into()),
        },
    }
}

fn exported(identity: Exported) -> Result<Option<Device>, Message> {
    match identity {
        Exported::Device { id, key } => device_with_key(&id, &key).map(Some),
        Exported::Unusable => Ok(None),
    }
}

fn is_connection_string(line: &str) -> bool {
    const NAMES: [&str; 3] = ["HostName", "DeviceId", "SharedAccessKey"];
    let names = line.split(';').filter_map(|field| field.split_once('=')).map(|(name, _)| name.trim());
    // A device id in a CSV file may contain `;` and `=`, but is unlikely to contain two of these names.
    names.filter(|name| NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))).count() >= 2
}

fn device_with_key(id: &str, key: &str) -> Result<Device, Message> {
    if !names::is_device_id(id) {
        return Err("not a valid device id for an IoT hub (1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ ')".into());
    }
    let key = sas::Key::from_base64(key).map_err(|error| error.to_string())?;
    let secret = Zeroizing::new(key.expose().to_vec());
    Ok(Device { id: id.to_owned(), user_name: String::new(), secret })
}

fn device_with_password(line: &str) -> Result<Device, Message> {
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

/// Splits a line of CSV (RFC 4180) into fields. Unquoted fields are trimmed; in quoted fields, `""` stands for a quote.
fn fields(line: &str) -> Result<Vec<Zeroizing<String>>, Message> {
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

/// Parses a quoted field, starting after its opening quote. Returns the field and the rest of the line.
fn quoted_field(mut rest: &str) -> Result<(Zeroizing<String>, &str), Message> {
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
