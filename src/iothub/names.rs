//! Device ids, the user name of CONNECT, and the resource of a device's token. `plan` builds them, and the emulator parses them.
//! Independent of which devices exist.

use percent_encoding::percent_decode_str;

/// The API version in user names, from Azure's current documents and SDKs.
pub const API_VERSION: &str = "2021-04-12";

/// The maximum number of characters in a device id (Azure: "Understand the identity registry in your IoT hub").
pub const DEVICE_ID_CHARS_MAX: usize = 128;

/// The last segments of the user name that an SDK preview sends, with slashes where other SDKs send escapes.
const PREVIEW_TAIL: [&str; 3] =
    ["api-version=2017-06-30", "DeviceClientType=Microsoft.Azure.Devices.Client", "1.5.1-preview-003"];

/// Returns the user name of a device: `{host}/{device}/?api-version=2021-04-12` (Azure: "Communicate with an IoT hub using the MQTT
/// protocol").
#[must_use]
pub fn user_name(host: &str, device: &str) -> String {
    user_name_at(host, device, API_VERSION)
}

/// Returns the user name of a device with another API version.
#[must_use]
pub fn user_name_at(host: &str, device: &str, api_version: &str) -> String {
    format!("{host}/{device}/?api-version={api_version}")
}

/// Returns the unescaped resource of a device's token: `{host}/devices/{device}`.
#[must_use]
pub fn resource(host: &str, device: &str) -> String {
    format!("{host}/devices/{device}")
}

/// Returns true for a valid device id: 1 to 128 ASCII letters, digits and `- : . + % _ # * ? ! ( ) , = @ ; $ '`
/// (Azure: "Understand the identity registry in your IoT hub").
#[must_use]
pub fn is_device_id(id: &str) -> bool {
    (1..=DEVICE_ID_CHARS_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-:.+%_#*?!(),=@;$'".contains(&byte))
}

/// The text is not the user name of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserNameError {
    /// The text is not `{host}/{device}` with an optional module and properties.
    #[error("it does not have the form {{host}}/{{device}}/?api-version=...")]
    Form,
    /// The device or module id has invalid characters or an invalid length.
    #[error("the device or module id is invalid")]
    Id,
    /// The properties are not `name=value` pairs joined by `&`.
    #[error("its properties are not name=value pairs")]
    Properties,
}

/// A parsed user name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName<'a> {
    /// Host name of the hub, as sent.
    pub host: &'a str,
    /// Device id.
    pub device: &'a str,
    /// Module id, if a module connects.
    pub module: Option<&'a str>,
    /// `api-version`, if present. It is not checked, because Azure does not document how a hub treats an unknown version.
    pub api_version: Option<String>,
}

/// Parses a user name: `{host}/{device}[/{module}]/?{properties}`, the same without `?` (legacy), or `{host}/{device}`, which hubs accept
/// for telemetry. A `?` starts the properties only at the start of the last segment, because ids may contain `?`.
///
/// # Errors
/// The text has none of these forms.
pub fn parse_user_name(text: &str) -> Result<UserName<'_>, UserNameError> {
    let segments: Vec<&str> = text.split('/').collect();
    let (host, device, module, bag) = match segments[..] {
        [host, device] => (host, device, None, ""),
        [host, device, bag] => (host, device, None, bag),
        [host, device, module, bag] => (host, device, Some(module), bag),
        [host, device, module, a, b, c] if [a, b, c] == PREVIEW_TAIL => (host, device, Some(module), a),
        _ => return Err(UserNameError::Form),
    };
    if host.is_empty() {
        return Err(UserNameError::Form);
    }
    if !is_device_id(device) || !module.is_none_or(is_device_id) {
        return Err(UserNameError::Id);
    }
    let mut api_version = None;
    let bag = bag.strip_prefix('?').unwrap_or(bag);
    for property in bag.split('&').filter(|property| !property.is_empty()) {
        let (name, value) = property.split_once('=').ok_or(UserNameError::Properties)?;
        let value = percent_decode_str(value).decode_utf8().map_err(|_| UserNameError::Properties)?;
        // If there are several versions, the first one counts. Other properties are ignored.
        if name == "api-version" && api_version.is_none() {
            api_version = Some(value.into_owned());
        }
    }
    Ok(UserName { host, device, module, api_version })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (&str, &str, Option<&str>, Option<String>) {
        let name = parse_user_name(text).unwrap();
        (name.host, name.device, name.module, name.api_version)
    }

    #[test]
    fn current_legacy_and_short_user_names_are_parsed() {
        let version = |text: &str| Some(text.to_owned());
        for (text, expected) in [
            ("h.net/d1/?api-version=2021-04-12", ("h.net", "d1", None, version("2021-04-12"))),
            ("h.net/d1/api-version=2016-11-14", ("h.net", "d1", None, version("2016-11-14"))),
            ("h.net/d1/m/?api-version=2018-06-30", ("h.net", "d1", Some("m"), version("2018-06-30"))),
            ("h.net/d1/m/api-version=2018-06-30", ("h.net", "d1", Some("m"), version("2018-06-30"))),
            ("h.net/d1", ("h.net", "d1", None, None)),
            ("h.net/d1/", ("h.net", "d1", None, None)),
            ("h.net/?d/?x=1&api-version=a%2Db&api-version=c", ("h.net", "?d", None, version("a-b"))),
            (
                "h.net/d/?api-version=2020-09-30&DeviceClientType=py%2F2.14.0%28x%29&model-id=dtmi%3Aa%3B1",
                ("h.net", "d", None, version("2020-09-30")),
            ),
            (
                "h.net/d/m/api-version=2017-06-30/DeviceClientType=Microsoft.Azure.Devices.Client/1.5.1-preview-003",
                ("h.net", "d", Some("m"), version("2017-06-30")),
            ),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
        assert_eq!(parsed(&user_name("h.net", "d#1")).1, "d#1");
    }

    #[test]
    fn invalid_user_names_are_refused() {
        for (text, error) in [
            ("", UserNameError::Form),
            ("h.net", UserNameError::Form),
            ("/d1", UserNameError::Form),
            ("h.net/", UserNameError::Id),
            ("h.net/d 1", UserNameError::Id),
            ("h.net/d1/m n/?api-version=1", UserNameError::Id),
            ("h.net/d1/nothing", UserNameError::Properties),
            ("h.net/d1/?api-version=%ff", UserNameError::Properties),
            ("h.net/d/m/x/?api-version=1", UserNameError::Form),
        ] {
            assert_eq!(parse_user_name(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn device_ids_have_a_valid_length_and_characters() {
        assert!(is_device_id("A-z0:.+%_#*?!(),=@;$'"));
        assert!(is_device_id(&"x".repeat(128)));
        for id in ["", "a b", "a/b", "a&b", "ä", &"x".repeat(129)] {
            assert!(!is_device_id(id), "{id}");
        }
    }
}
