//! The user name and password of each CONNECT, and their expiry. Called by devices before every connection attempt. The
//! current time is an argument.

use super::device_list::DeviceList;
use super::token::TokenLife;
use crate::iothub::{names, sas};
use crate::plan::payload::{Template, TemplateContext};
use crate::scenario::Secret;
use std::time::Duration;
use zeroize::Zeroizing;

/// The credentials of a fleet.
#[derive(Debug)]
pub enum Auth {
    /// A SAS token for each device.
    Sas {
        /// Signing keys.
        keys: Keys,
        /// Lifetime and renewal.
        life: TokenLife,
        /// API version in the user name.
        api_version: &'static str,
    },
    /// A user name and password for each device.
    PasswordFile {
        /// Device ids, user names and passwords.
        devices: DeviceList,
    },
    /// One password for all devices, with a user name for each.
    Password {
        /// User name.
        username: Template,
        /// Password.
        password: Secret,
    },
    /// No user name and no password.
    None,
}

/// The keys that sign SAS tokens.
#[derive(Debug)]
pub enum Keys {
    /// Device keys are derived from a group key.
    Group(sas::Key),
    /// The key of a shared access policy signs for all devices.
    Policy {
        /// Policy name.
        policy: String,
        /// Policy key.
        key: sas::Key,
    },
    /// Each device has its own key.
    PerDevice(DeviceList),
}

/// The credentials of one CONNECT.
#[derive(Clone)]
pub struct Credentials {
    /// User name.
    pub user_name: Option<String>,
    /// Password.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// Expiry, in seconds since the Unix epoch.
    pub expiry_unix: Option<u64>,
}

impl Auth {
    /// Returns the device list, if the devices come from a file. It is indexed by the device's index within the fleet.
    #[must_use]
    pub fn device_list(&self) -> Option<&DeviceList> {
        match self {
            Auth::Sas { keys: Keys::PerDevice(devices), .. } | Auth::PasswordFile { devices } => {
                Some(devices)
            }
            Auth::Sas { .. } | Auth::Password { .. } | Auth::None => None,
        }
    }

    /// Returns the lifetime of tokens, if the fleet uses tokens.
    #[must_use]
    pub fn tokens(&self) -> Option<&TokenLife> {
        match self {
            Auth::Sas { life, .. } => Some(life),
            Auth::Password { .. } | Auth::PasswordFile { .. } | Auth::None => None,
        }
    }

    /// Returns whether devices log in with a password. SAS tokens do not count as passwords.
    #[must_use]
    pub fn has_password(&self) -> bool {
        matches!(self, Auth::Password { .. } | Auth::PasswordFile { .. })
    }

    /// Returns the credentials of a device for a connection attempt to `host` at `now_unix` (time since the Unix epoch).
    #[must_use]
    pub fn credentials(&self, host: &str, device: &str, index: u32, now_unix: Duration) -> Credentials {
        let (user_name, password, expiry_unix) = match self {
            Auth::Sas { keys, life, api_version } => {
                let (expiry_unix, resource) = (life.expiry_unix(now_unix), names::resource(host, device));
                let token = keys.token(&resource, expiry_unix, device, index);
                let user_name = names::user_name_at(host, device, api_version);
                (Some(user_name), Some(token.as_bytes().to_vec()), Some(expiry_unix))
            }
            Auth::PasswordFile { devices } => {
                (Some(devices.user_name(index).to_owned()), Some(devices.secret(index).to_vec()), None)
            }
            Auth::Password { username, password } => {
                let user_name = username.render(&TemplateContext { device, index });
                (Some(user_name), Some(password.expose().as_bytes().to_vec()), None)
            }
            Auth::None => (None, None, None),
        };
        Credentials { user_name, password: password.map(Zeroizing::new), expiry_unix }
    }
}

impl Keys {
    fn token(&self, resource: &str, expiry_unix: u64, device: &str, index: u32) -> Zeroizing<String> {
        match self {
            Keys::Group(key) => sas::token(&key.derive(device), resource, expiry_unix, None),
            Keys::Policy { policy, key } => sas::token(key, resource, expiry_unix, Some(policy)),
            Keys::PerDevice(devices) => {
                sas::token(&sas::Key::from_bytes(devices.secret(index)), resource, expiry_unix, None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::credentials::{CredentialFormat, parse};

    const HOST: &str = "example-hub.azure-devices.net";
    const NOW: Duration = Duration::from_secs(1_893_452_400);

    fn sas(keys: Keys) -> Auth {
        Auth::Sas { keys, life: TokenLife::default(), api_version: names::API_VERSION }
    }

    fn text(credentials: &Credentials) -> String {
        String::from_utf8(credentials.password.as_ref().unwrap().to_vec()).unwrap()
    }

    fn group_key() -> sas::Key {
        sas::Key::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
    }

    #[test]
    fn group_key_gives_each_device_a_different_key() {
        let auth = sas(Keys::Group(group_key()));
        let credentials = auth.credentials(HOST, "dev-1", 0, NOW);
        assert_eq!(
            credentials.user_name.as_deref(),
            Some("example-hub.azure-devices.net/dev-1/?api-version=2021-04-12")
        );
        assert_eq!(credentials.expiry_unix, Some(1_893_456_000));
        let text = text(&credentials);
        let token = sas::Token::parse(&text).unwrap();
        assert!(token.verify(&group_key().derive("dev-1")));
        assert!(!token.verify(&group_key().derive("dev-2")) && !token.verify(&group_key()));
        assert!(token.covers("example-hub.azure-devices.net/devices/dev-1"));
        assert!(text.ends_with("&se=1893456000"), "{text}");
    }

    #[test]
    fn policy_token_names_its_policy() {
        let auth = sas(Keys::Policy { policy: "device".into(), key: group_key() });
        let credentials = auth.credentials(HOST, "dev-1", 0, NOW);
        let text = text(&credentials);
        assert!(sas::Token::parse(&text).unwrap().verify(&group_key()));
        assert!(text.contains("&skn=device"), "{text}");
    }

    #[test]
    fn device_from_a_file_signs_with_its_own_key() {
        let read = parse(
            b"dev-1,AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\ndev-2,aHVudGVyMmh1bnRlcjJ4eA==",
            CredentialFormat::Keys { hosts: &[] },
        );
        let auth = sas(Keys::PerDevice(read.devices));
        let credentials = auth.credentials(HOST, "dev-1", 0, NOW);
        // Test vector, computed from the documented rule.
        assert_eq!(
            text(&credentials),
            "SharedAccessSignature sr=example-hub.azure-devices.net%2Fdevices%2Fdev-1&sig=16TMWISNAQHbvHgpFWCXZfRxM42mIGbNiEx6R8VTlLY%3D&se=1893456000"
        );
        let other = text(&auth.credentials(HOST, "dev-2", 1, NOW));
        assert!(
            sas::Token::parse(&other)
                .unwrap()
                .verify(&sas::Key::from_base64("aHVudGVyMmh1bnRlcjJ4eA==").unwrap())
        );
        assert!(!format!("{auth:?}").contains("hunter2"));
    }

    #[test]
    fn device_from_a_file_has_its_own_password() {
        let read = parse(b"c1,u1,hunter1\nu2,hunter2", CredentialFormat::Passwords);
        let auth = Auth::PasswordFile { devices: read.devices };
        let credentials = auth.credentials(HOST, "c1", 0, NOW);
        assert_eq!((credentials.user_name.as_deref(), text(&credentials).as_str()), (Some("u1"), "hunter1"));
        let credentials = auth.credentials(HOST, "u2", 1, NOW);
        assert_eq!((credentials.user_name.as_deref(), text(&credentials).as_str()), (Some("u2"), "hunter2"));
        assert!(auth.has_password() && !format!("{auth:?}").contains("hunter"));
    }

    #[test]
    fn shared_password_has_a_user_name_per_device() {
        let auth = Auth::Password {
            username: Template::parse("user-{index:03}").unwrap(),
            password: Secret::new("hunter2".into()),
        };
        let credentials = auth.credentials(HOST, "dev-1", 7, NOW);
        assert_eq!(credentials.user_name.as_deref(), Some("user-007"));
        assert_eq!(text(&credentials), "hunter2");
        assert_eq!(credentials.expiry_unix, None);
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
