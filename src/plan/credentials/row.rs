//! Turns a row of a table, a connection string or a JSON identity into a device. Used by `credential_file`.
//!
//! Errors never repeat a field, which may be a misplaced secret.

use super::credential_format::CredentialFormat;
use super::refusal::Refusal;
use super::table::{self, Column, Field, Layout, fields};
use crate::iothub::connection_string::{ConnectionString, looks_like_connection_string};
use crate::iothub::registry::{ExportError, Identity, Unusable};
use crate::iothub::{names, sas};
use crate::units::exact_bytes;
use crate::wire::STRING_BYTES_MAX;
use zeroize::Zeroizing;

/// A device, or an identity that cannot be used.
pub(super) enum Entry {
    Device(Device),
    Unusable(Unusable),
}

/// A device with its key or password.
pub(super) struct Device {
    pub(super) id: String,
    /// Empty for an IoT hub.
    pub(super) user_name: String,
    pub(super) secret: Zeroizing<Vec<u8>>,
    /// Whether its connection string names a gateway.
    pub(super) has_gateway: bool,
    /// Whether its connection string has an id with `%`, which may be an escape.
    pub(super) has_percent: bool,
}

const COLUMNS_FIX: &str = "write id,key in each line (or with a tab or semicolon), or name the columns in the first line, such as deviceId,primaryKey";
const PASSWORD_COLUMNS_FIX: &str =
    "write id,username,password in each line, or name these columns in the first line";

/// Determines the layout of a table from its first row.
pub(super) fn layout(row: &str, separator: Option<char>, format: CredentialFormat<'_>) -> Layout {
    Layout::of(row, separator, |fields| match format {
        CredentialFormat::Keys { .. } => matches!(device_with_key(fields, format), Ok(Entry::Device(_))),
        // Every row with two or three fields could be a device, so only the first field identifies a header.
        CredentialFormat::Passwords => {
            let is_header = fields.first().is_some_and(|first| table::is_column_name(first));
            !is_header && device_with_password(fields).is_ok()
        }
    })
}

/// Checks that a header names the required columns.
pub(super) fn check_header(layout: &Layout, format: CredentialFormat<'_>) -> Result<(), Refusal> {
    let missing = |what: &str, fix: &'static str| {
        Err(Refusal::format(format!("the header names no column {what}"), fix))
    };
    match format {
        CredentialFormat::Keys { .. } if layout.has(Column::Connection) => Ok(()),
        CredentialFormat::Keys { .. } if !layout.has(Column::Id) => {
            missing("for the device id", "name the columns id and key, or deviceId and primaryKey")
        }
        CredentialFormat::Keys { .. } if !layout.has(Column::Secret) => {
            missing("for the key", "name the columns id and key, or deviceId and primaryKey")
        }
        CredentialFormat::Passwords if !(layout.has(Column::User) || layout.has(Column::Id)) => {
            missing("for the user name", "name the columns id, username and password")
        }
        CredentialFormat::Passwords if !layout.has(Column::Secret) => {
            missing("for the password", "name the columns id, username and password")
        }
        CredentialFormat::Keys { .. } | CredentialFormat::Passwords => Ok(()),
    }
}

/// Parses a row of a table.
pub(super) fn device(row: &str, layout: &Layout, format: CredentialFormat<'_>) -> Result<Entry, Refusal> {
    let fields = fields(row, layout.separator)?;
    if layout.columns.is_none() {
        return match format {
            CredentialFormat::Keys { .. } => device_with_key(&fields, format),
            CredentialFormat::Passwords => device_with_password(&fields),
        };
    }
    let field = |column| layout.field(&fields, column);
    let required = |column, what: &str, fix: &'static str| {
        field(column).ok_or_else(|| Refusal::new(format!("the {what} is missing"), fix))
    };
    match format {
        CredentialFormat::Keys { .. } => {
            if field(Column::Status).is_some_and(|status| status.eq_ignore_ascii_case("disabled")) {
                return Ok(Entry::Unusable(Unusable::Disabled));
            }
            if let Some(text) = field(Column::Connection) {
                return from_connection_string(text, format).and_then(|it| with_id(it, field(Column::Id)));
            }
            let id = required(Column::Id, "device id", "add the id, or remove the line")?;
            let key = match layout.has(Column::Secret) {
                true => required(Column::Secret, "key", "add the device's primary key, or remove the line")?,
                false => required(Column::Connection, "connection string", "add it, or remove the line")?,
            };
            device_with_key(&[id.clone(), key.clone()], format)
        }
        CredentialFormat::Passwords => {
            let fix = "add the user name, or remove the line";
            let user = field(Column::User).or(field(Column::Id));
            let user = user.ok_or_else(|| Refusal::new("the user name is missing", fix))?;
            let id = field(Column::Id).unwrap_or(user);
            // An empty password is allowed.
            let password = field(Column::Secret).cloned().unwrap_or_default();
            device_with_password(&[id.clone(), user.clone(), password])
        }
    }
}

/// Returns the device of a connection string.
pub(super) fn from_connection_string(text: &str, format: CredentialFormat<'_>) -> Result<Entry, Refusal> {
    let parsed = ConnectionString::parse(text)?;
    if let CredentialFormat::Keys { hosts } = format
        && !hosts.is_empty()
        && !hosts.iter().any(|host| host.eq_ignore_ascii_case(parsed.host))
    {
        return Err(Refusal::new(
            "the connection string is for another hub than the target",
            format!(
                "use connection strings of {}, or set host in [target] to their HostName",
                hosts.join(" or ")
            ),
        ));
    }
    let mut device = keyed(parsed.device, parsed.key)?;
    (device.has_gateway, device.has_percent) = (parsed.has_gateway, parsed.device.contains('%'));
    Ok(Entry::Device(device))
}

/// Returns the device of an identity in JSON.
pub(super) fn from_identity(identity: Identity, format: CredentialFormat<'_>) -> Result<Entry, Refusal> {
    match identity {
        Identity::Device { id, key } => keyed(&id, &key).map(Entry::Device),
        Identity::ConnectionString(text) => from_connection_string(&text, format),
        Identity::Unusable(why) => Ok(Entry::Unusable(why)),
        Identity::Unknown => Err(Refusal::format(
            "the JSON object has no device id",
            "use an object with deviceId (or id) and authentication.symmetricKey.primaryKey for each device",
        )),
    }
}

/// Returns the refusal of text that is not JSON, or not JSON with identities.
pub(super) fn json_error(error: &ExportError) -> Refusal {
    let refusal = match error.is_syntax {
        true => Refusal::new(
            error.to_string(),
            "write the file again with the tool that made it; it may be cut off",
        ),
        false => Refusal::format(
            error.to_string(),
            "use the output of az iot hub state export, device-identity export --include-keys, or device-identity show",
        ),
    };
    Refusal { column: Some(error.column), ..refusal }
}

fn with_id(entry: Entry, id: Option<&Field>) -> Result<Entry, Refusal> {
    match (&entry, id) {
        (Entry::Device(device), Some(id)) if device.id != id.as_str() => Err(Refusal::new(
            "the connection string is for another device than the id in this line",
            "correct the id or the connection string, or remove the column with the ids",
        )),
        _ => Ok(entry),
    }
}

fn device_with_key(fields: &[Field], format: CredentialFormat<'_>) -> Result<Entry, Refusal> {
    match fields {
        [text] if looks_like_connection_string(text) => from_connection_string(text, format),
        [id, text] if looks_like_connection_string(text) => {
            from_connection_string(text, format).and_then(|entry| with_id(entry, Some(id)))
        }
        [token] if sas::looks_like_token(token) => Err(sas::KeyError::Token.into()),
        [_, key] if key.is_empty() => {
            Err(Refusal::new("the key is missing", "add the device's primary key, or remove the line"))
        }
        [_, key] if key.starts_with('=') => {
            Err(Refusal::new("the key is an Excel formula", "save the column with the keys as text"))
        }
        [id, key] => keyed(id, key).map(Entry::Device),
        fields => {
            let what = format!("expected 2 fields (id, key), found {}", fields.len());
            Err(Refusal::format(what, COLUMNS_FIX))
        }
    }
}

fn keyed(id: &str, key: &str) -> Result<Device, Refusal> {
    if !names::is_device_id(id) {
        return Err(Refusal::new(
            "not a valid device id for an IoT hub (1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ ')",
            "correct the id; if the line is a header, name its columns id and key",
        ));
    }
    let secret = Zeroizing::new(sas::Key::from_base64(key)?.expose().to_vec());
    Ok(Device { id: id.to_owned(), user_name: String::new(), secret, has_gateway: false, has_percent: false })
}

fn device_with_password(fields: &[Field]) -> Result<Entry, Refusal> {
    let (id, user_name, password) = match fields {
        [id, user_name, password] => (id, user_name, password),
        [user_name, password] => (user_name, user_name, password),
        fields => {
            let what = format!("expected 2 or 3 fields (id, user name, password), found {}", fields.len());
            return Err(Refusal::format(what, PASSWORD_COLUMNS_FIX));
        }
    };
    for (field, name) in [(id, "id"), (user_name, "user name"), (password, "password")] {
        if field.len() > STRING_BYTES_MAX || field.contains('\0') {
            return Err(Refusal::new(
                format!("the {name} is too long for MQTT, or contains a NUL"),
                format!("use at most {}, without a NUL", exact_bytes(STRING_BYTES_MAX)),
            ));
        }
    }
    if id.is_empty() || user_name.is_empty() {
        return Err(Refusal::new("the id or the user name is empty", "add it, or remove the line"));
    }
    let secret = Zeroizing::new(password.as_bytes().to_vec());
    let (id, user_name) = (id.to_string(), user_name.to_string());
    Ok(Entry::Device(Device { id, user_name, secret, has_gateway: false, has_percent: false }))
}
