//! A device's connection string, as the portal shows it: `HostName=..;DeviceId=..;SharedAccessKey=..`. Read by `plan` from
//! files with credentials.
//!
//! Errors name fields and never repeat a value: any of them may be a mistyped secret.

/// A text is not a device's connection string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// A field without `=`.
    #[error("a field of the connection string has no value")]
    NoValue,
    /// A field twice.
    #[error("the connection string has {0} twice")]
    Repeated(&'static str),
    /// A field is not there, or empty.
    #[error("the connection string has no {0}")]
    Missing(&'static str),
    /// It is a module's.
    #[error("the connection string is a module's; modules are not built yet")]
    Module,
    /// It is a shared access policy's.
    #[error("the connection string is a shared access policy's; give it as policy and key")]
    Policy,
    /// The device proves itself with a certificate.
    #[error("the connection string has no key: the device has a certificate")]
    Certificate,
}

/// A device's connection string, taken apart.
#[derive(PartialEq, Eq)]
pub struct ConnectionString<'a> {
    /// The hub's host name.
    pub host: &'a str,
    /// The device id.
    pub device: &'a str,
    /// Its key in base64; not yet checked.
    pub key: &'a str,
}

impl<'a> ConnectionString<'a> {
    /// Takes one apart: fields in any order, names in any case (as Azure's SDKs), unknown ones ignored.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn parse(text: &'a str) -> Result<ConnectionString<'a>, ConnectionError> {
        const NAMES: [&str; 6] =
            ["HostName", "DeviceId", "SharedAccessKey", "ModuleId", "SharedAccessKeyName", "x509"];
        let mut values = [None; NAMES.len()];
        for field in text.split(';').map(str::trim).filter(|field| !field.is_empty()) {
            // A key ends in `=` itself: only the first one counts.
            let (name, value) = field.split_once('=').ok_or(ConnectionError::NoValue)?;
            let known =
                NAMES.iter().zip(&mut values).find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
            let Some((known, slot)) = known else { continue };
            if slot.replace(value.trim()).is_some() {
                return Err(ConnectionError::Repeated(known));
            }
        }
        let [host, device, key, module, policy, certificate] = values;
        let wanted = |value: Option<&'a str>, name| {
            value.filter(|value| !value.is_empty()).ok_or(ConnectionError::Missing(name))
        };
        let host = wanted(host, "HostName")?;
        match (module, policy, certificate, key) {
            (Some(_), ..) => return Err(ConnectionError::Module),
            (_, Some(_), ..) => return Err(ConnectionError::Policy),
            (.., Some(_), None) => return Err(ConnectionError::Certificate),
            _ => {}
        }
        Ok(ConnectionString {
            host,
            device: wanted(device, "DeviceId")?,
            key: wanted(key, "SharedAccessKey")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the portal shows it.
    const WHOLE: &str = "HostName=example-hub.azure-devices.net;DeviceId=dev-1;\
                         SharedAccessKey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn the_portals_form_is_taken_apart_in_any_order_and_case() {
        for text in [
            WHOLE.to_owned(),
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
    fn what_is_not_a_devices_is_told_apart() {
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
