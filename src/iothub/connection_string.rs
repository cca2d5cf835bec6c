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
    /// The connection string is for a module.
    #[error("the connection string is for a module; modules are not supported yet")]
    Module,
    /// The connection string is for a shared access policy.
    #[error("the connection string is for a shared access policy; use policy and key instead")]
    Policy,
    /// The device authenticates with a certificate.
    #[error("the connection string has no key, because the device uses a certificate")]
    Certificate,
}

/// A parsed connection string of a device.
#[derive(PartialEq, Eq)]
pub struct ConnectionString<'a> {
    /// Host name of the hub.
    pub host: &'a str,
    /// Device id.
    pub device: &'a str,
    /// Key in base64, not checked yet.
    pub key: &'a str,
}

impl<'a> ConnectionString<'a> {
    /// Parses a connection string. As in Azure's SDKs, fields may be in any order, names may be in any case, and unknown
    /// fields are ignored.
    ///
    /// # Errors
    /// The text is not the connection string of a device; see [`ConnectionError`].
    pub fn parse(text: &'a str) -> Result<ConnectionString<'a>, ConnectionError> {
        const NAMES: [&str; 6] =
            ["HostName", "DeviceId", "SharedAccessKey", "ModuleId", "SharedAccessKeyName", "x509"];
        let mut values = [None; NAMES.len()];
        for field in text.split(';').map(str::trim).filter(|field| !field.is_empty()) {
            // A key may end in `=`, so only the first one separates name and value.
            let (name, value) = field.split_once('=').ok_or(ConnectionError::NoValue)?;
            let known =
                NAMES.iter().zip(&mut values).find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
            let Some((known, slot)) = known else { continue };
            if slot.replace(value.trim()).is_some() {
                return Err(ConnectionError::Repeated(known));
            }
        }
        let [host, device, key, module, policy, certificate] = values;
        let required = |value: Option<&'a str>, name| {
            value.filter(|value| !value.is_empty()).ok_or(ConnectionError::Missing(name))
        };
        let host = required(host, "HostName")?;
        match (module, policy, certificate, key) {
            (Some(_), ..) => return Err(ConnectionError::Module),
            (_, Some(_), ..) => return Err(ConnectionError::Policy),
            (.., Some(_), None) => return Err(ConnectionError::Certificate),
            _ => {}
        }
        Ok(ConnectionString {
            host,
            device: required(device, "DeviceId")?,
            key: required(key, "SharedAccessKey")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As shown by the Azure portal.
    const COMPLETE: &str = "HostName=example-hub.azure-devices.net;DeviceId=dev-1;\
                         SharedAccessKey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn fields_may_be_in_any_order_and_case() {
        for text in [
            COMPLETE.to_owned(),
            "sharedaccesskey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=; DEVICEID = dev-1 ;\
             GatewayHostName=edge;HostName=example-hub.azure-devices.net;"
                .to_owned(),
        ] {
            let parsed = ConnectionString::parse(&text).ok().unwrap();
            assert_eq!((parsed.host, parsed.device), ("example-hub.azure-devices.net", "dev-1"));
            assert_eq!(parsed.key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
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
            ("HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey=k", ConnectionError::Module),
            ("HostName=h;SharedAccessKeyName=device;SharedAccessKey=k", ConnectionError::Policy),
            ("HostName=h;DeviceId=d;x509=true", ConnectionError::Certificate),
        ] {
            assert_eq!(ConnectionString::parse(text).err(), Some(expected), "{text}");
        }
    }
}
