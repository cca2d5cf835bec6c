//! Parses a device's connection string: `HostName=..;DeviceId=..;SharedAccessKey=..`. Used by `plan` for credential files.
//!
//! Errors name fields but never repeat a value, which may be a mistyped secret. This file must not access the file system.

/// The text is not the connection string of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// A field has no `=`.
    #[error("a field of the connection string has no value")]
    NoValue,
    /// A field occurs twice.
    #[error("the connection string has two {0} fields")]
    Repeated(&'static str),
    /// A field is missing or empty.
    #[error("the connection string has no {0}")]
    Missing(&'static str),
    /// An unknown field follows the device id, so the id may contain `;`.
    #[error(
        "the connection string has an unknown field after DeviceId, or the device id contains both ; and ="
    )]
    AfterDeviceId,
    /// The connection string is for a module.
    #[error("the connection string is for a module; modules are not supported yet")]
    Module,
    /// The connection string is for a shared access policy.
    #[error("the connection string is for a shared access policy, not for a device")]
    Policy,
    /// The connection string has a token in place of a key.
    #[error(
        "the connection string has a SAS token, which is valid only until its expiry (se); hubstorm makes and renews its own \
         tokens, so it needs the key itself"
    )]
    Token,
    /// The device authenticates with a certificate.
    #[error(
        "the connection string has no key, because the device uses a certificate (x509), which is not supported yet"
    )]
    Certificate,
}

impl ConnectionError {
    /// Returns the fix for the error, as an imperative.
    #[must_use]
    pub fn fix(self) -> &'static str {
        match self {
            ConnectionError::NoValue | ConnectionError::Repeated(_) | ConnectionError::Missing(_) => {
                "copy the whole connection string of the device: HostName=..;DeviceId=..;SharedAccessKey=.."
            }
            ConnectionError::AfterDeviceId => {
                "write the device as id,key instead, or remove the unknown field"
            }
            ConnectionError::Module => "use the connection string of the device itself, or remove the line",
            ConnectionError::Policy => {
                "remove the line; in a scenario, use auth = { kind = \"sas\", policy = \"NAME\", key = \"${env.POLICY_KEY}\" } without a file"
            }
            ConnectionError::Token => {
                "copy the connection string with SharedAccessKey= (az iot hub device-identity connection-string show)"
            }
            ConnectionError::Certificate => "remove the line, or use a device with a symmetric key",
        }
    }
}

/// A parsed connection string of a device.
#[derive(PartialEq, Eq)]
pub struct ConnectionString<'a> {
    /// Host name of the hub.
    pub host: &'a str,
    /// Device id, as written.
    pub device: &'a str,
    /// Key in base64, not checked yet.
    pub key: &'a str,
    /// Whether the device should connect through a gateway (`GatewayHostName`).
    pub has_gateway: bool,
}

/// The names of known fields: those that hubstorm reads, and others that Azure's SDKs know.
const NAMES: [&str; 10] = [
    "HostName",
    "DeviceId",
    "SharedAccessKey",
    "ModuleId",
    "SharedAccessKeyName",
    "x509",
    "X509Cert",
    "SharedAccessSignature",
    "GatewayHostName",
    "ModelId",
];
/// The positions of `DeviceId` and `ModelId` in [`NAMES`].
const DEVICE_ID: usize = 1;
const MODEL_ID: usize = 9;

/// The kind of the field before the current one.
enum Previous {
    /// The device id, whose value begins at this byte.
    DeviceId(usize),
    /// A field that hubstorm ignores, whose value may contain `;`.
    Ignored,
    /// Another field.
    Other,
}

/// Returns true if `text` begins with a field of a connection string and has at least two of them. A device id may contain `;` and
/// `=`, but is unlikely to look like this.
#[must_use]
pub fn looks_like_connection_string(text: &str) -> bool {
    let mut names = text.split(';').map(|field| field.split_once('=').and_then(|(name, _)| known(name)));
    names.next().flatten().is_some() && names.any(|name| name.is_some())
}

fn known(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| known.eq_ignore_ascii_case(name.trim()))
}

impl<'a> ConnectionString<'a> {
    /// Parses a connection string. Fields may be in any order, and their names in any case. Unknown fields are ignored.
    ///
    /// Device ids may contain `;`. Azure's SDKs for Python and Node split there, and its SDK for .NET starts a new field only where a
    /// name and `=` follow. This parser does the same, but does not guess: an unknown name after the id is an error. The id is not
    /// decoded, as in these SDKs, because `%` is a legal character of an id.
    ///
    /// # Errors
    /// The text is not the connection string of a device; see [`ConnectionError`].
    pub fn parse(text: &'a str) -> Result<ConnectionString<'a>, ConnectionError> {
        let text = text.trim().trim_end_matches(';');
        let mut values: [Option<&str>; NAMES.len()] = [None; NAMES.len()];
        let (mut previous, mut next) = (Previous::Other, 0);
        for field in text.split(';') {
            let start = next;
            next += field.len() + 1;
            // A key may end in `=`, so only the first one separates name and value.
            let Some((name, value)) = field.split_once('=') else {
                match previous {
                    Previous::DeviceId(from) => {
                        values[DEVICE_ID] = text.get(from..start + field.len()).map(str::trim);
                    }
                    Previous::Other if !field.trim().is_empty() => return Err(ConnectionError::NoValue),
                    Previous::Other | Previous::Ignored => {}
                }
                continue;
            };
            previous = match (known(name), previous) {
                (None, Previous::DeviceId(_)) => return Err(ConnectionError::AfterDeviceId),
                (None, _) => Previous::Ignored,
                (Some(known), _) => {
                    if values[known].replace(value.trim()).is_some() {
                        return Err(ConnectionError::Repeated(NAMES[known]));
                    }
                    match known {
                        DEVICE_ID => Previous::DeviceId(start + field.len() - value.len()),
                        MODEL_ID => Previous::Ignored,
                        _ => Previous::Other,
                    }
                }
            };
        }
        let [host, device, key, module, policy, x509, x509_cert, token, gateway, _model] = values;
        let required = |value: Option<&'a str>, name| {
            value.filter(|value| !value.is_empty()).ok_or(ConnectionError::Missing(name))
        };
        let host = required(host, "HostName")?;
        match key {
            _ if module.is_some() => return Err(ConnectionError::Module),
            _ if policy.is_some() => return Err(ConnectionError::Policy),
            None if token.is_some() => return Err(ConnectionError::Token),
            None if x509.or(x509_cert).is_some() => return Err(ConnectionError::Certificate),
            _ => {}
        }
        Ok(ConnectionString {
            host,
            device: required(device, "DeviceId")?,
            key: required(key, "SharedAccessKey")?,
            has_gateway: gateway.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn fields_may_be_in_any_order_and_case() {
        for (text, device, has_gateway) in [
            // As shown by the Azure portal.
            ("HostName=h.net;DeviceId=dev-1;SharedAccessKey=KEY", "dev-1", false),
            ("sharedaccesskey=KEY; DEVICEID = dev-1 ;GatewayHostName=edge;HostName=h.net;", "dev-1", true),
            ("DeviceId=a;b;SharedAccessKey=KEY;HostName=h.net", "a;b", false),
            ("HostName=h.net;SharedAccessKey=KEY;DeviceId=a; b;;", "a; b", false),
            ("HostName=h.net;DeviceId=a;;SharedAccessKey=KEY", "a;", false),
            ("HostName=h.net;DeviceId=a%3Bb=;SharedAccessKey=KEY", "a%3Bb=", false),
            ("HostName=h.net;DeviceId=a;ModelId=dtmi:x;1;SharedAccessKey=KEY", "a", false),
            ("HostName=h.net;Other=1;2;DeviceId=a;SharedAccessKey=KEY", "a", false),
        ] {
            let text = text.replace("KEY", KEY);
            let parsed = ConnectionString::parse(&text).ok().unwrap();
            assert_eq!((parsed.host, parsed.device, parsed.key), ("h.net", device, KEY), "{text}");
            assert_eq!(parsed.has_gateway, has_gateway, "{text}");
        }
    }

    #[test]
    fn other_connection_strings_are_refused_with_a_reason() {
        for (text, expected) in [
            ("HostName", ConnectionError::NoValue),
            ("HostName=a;hostname=b", ConnectionError::Repeated("HostName")),
            ("DeviceId=d;SharedAccessKey=k", ConnectionError::Missing("HostName")),
            ("HostName=h;SharedAccessKey=k", ConnectionError::Missing("DeviceId")),
            ("HostName=h;DeviceId=d;SharedAccessKey=", ConnectionError::Missing("SharedAccessKey")),
            ("HostName=h;DeviceId=d", ConnectionError::Missing("SharedAccessKey")),
            ("HostName=h;DeviceId=a;b=c;SharedAccessKey=k", ConnectionError::AfterDeviceId),
            ("HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey=k", ConnectionError::Module),
            ("HostName=h;SharedAccessKeyName=device;SharedAccessKey=k", ConnectionError::Policy),
            (
                "HostName=h;DeviceId=d;SharedAccessSignature=SharedAccessSignature sr=h&sig=x&se=1",
                ConnectionError::Token,
            ),
            ("HostName=h;DeviceId=d;x509=true", ConnectionError::Certificate),
        ] {
            assert_eq!(ConnectionString::parse(text).err(), Some(expected), "{text}");
            assert!(!expected.fix().is_empty());
        }
    }

    #[test]
    fn connection_strings_begin_with_a_known_field() {
        for (text, expected) in [
            ("HostName=h;DeviceId=d", true),
            (" deviceid = d ;x509=true", true),
            ("d1,HostName=h;DeviceId=d", false),
            ("DeviceId=d", false),
            ("a;b=c;d=e", false),
        ] {
            assert_eq!(looks_like_connection_string(text), expected, "{text}");
        }
    }
}
