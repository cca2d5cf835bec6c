//! How a fleet's devices prove who they are: each CONNECT's user name and password, and when they must be renewed.
//! Called by devices before every attempt; `now` is an argument, and nothing here is ever printed.

use super::listed::Listed;
use super::template::{Names, Template};
use super::types::Target;
use crate::iothub::{names, sas};
pub use crate::scenario::Secret;
use std::time::Duration;
use zeroize::Zeroizing;

/// A fleet's source of credentials.
#[derive(Debug)]
pub enum Auth {
    /// A SAS token per device, signed with a key derived from the group's.
    SasGroup {
        /// The group's key.
        key: sas::Key,
        /// How long a token is valid.
        ttl: Duration,
        /// When it is renewed, as a share of `ttl`.
        renew_at: f64,
    },
    /// A SAS token per device, signed with the key of a shared access policy.
    SasPolicy {
        /// The policy's name.
        policy: String,
        /// Its key.
        key: sas::Key,
        /// How long a token is valid.
        ttl: Duration,
        /// When it is renewed, as a share of `ttl`.
        renew_at: f64,
    },
    /// A SAS token per device, signed with its own key.
    SasFile {
        /// Ids and keys.
        devices: Listed,
        /// How long a token is valid.
        ttl: Duration,
        /// When it is renewed, as a share of `ttl`.
        renew_at: f64,
    },
    /// A user name and a password for each.
    PasswordFile {
        /// Ids, user names and passwords.
        devices: Listed,
    },
    /// The same password for all, a user name for each.
    Password {
        /// The user name.
        username: Template,
        /// The password.
        password: Secret,
    },
    /// Neither user name nor password.
    None,
}

/// What one CONNECT carries.
#[derive(Clone)]
pub struct Credentials {
    /// MQTT's user name.
    pub user_name: Option<String>,
    /// MQTT's password.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// How long from now the credentials are to be renewed, before jitter.
    pub renew_after: Option<Duration>,
}

impl Auth {
    /// The devices, where a file lists them; by index within the fleet.
    #[must_use]
    pub fn listed(&self) -> Option<&Listed> {
        match self {
            Auth::SasFile { devices, .. } | Auth::PasswordFile { devices } => Some(devices),
            Auth::SasGroup { .. } | Auth::SasPolicy { .. } | Auth::Password { .. } | Auth::None => None,
        }
    }

    /// How long after it was made a token is renewed; `None` without tokens.
    #[must_use]
    pub fn renewed_after(&self) -> Option<Duration> {
        match self {
            Auth::SasGroup { ttl, renew_at, .. }
            | Auth::SasPolicy { ttl, renew_at, .. }
            | Auth::SasFile { ttl, renew_at, .. } => Some(ttl.mul_f64(*renew_at)),
            Auth::Password { .. } | Auth::PasswordFile { .. } | Auth::None => None,
        }
    }

    /// True when devices send a password as it is.
    #[must_use]
    pub fn has_password(&self) -> bool {
        matches!(self, Auth::Password { .. } | Auth::PasswordFile { .. })
    }

    /// The credentials of one device for a connection that is made now (time since the Unix epoch).
    #[must_use]
    pub fn credentials(&self, target: &Target, device: &str, index: u32, now_unix: Duration) -> Credentials {
        let renew_after = self.renewed_after();
        let sas = |key: &sas::Key, policy, ttl: Duration| {
            let resource = names::resource(&target.host, device);
            let token = sas::token(key, &resource, (now_unix + ttl).as_secs(), policy);
            Credentials {
                user_name: Some(names::user_name(&target.host, device)),
                password: Some(Zeroizing::new(token.as_bytes().to_vec())),
                renew_after,
            }
        };
        match self {
            Auth::SasGroup { key, ttl, .. } => sas(&key.derive(device), None, *ttl),
            Auth::SasPolicy { policy, key, ttl, .. } => sas(key, Some(policy.as_str()), *ttl),
            Auth::SasFile { devices, ttl, .. } => {
                sas(&sas::Key::from_bytes(devices.secret(index)), None, *ttl)
            }
            Auth::PasswordFile { devices } => Credentials {
                user_name: Some(devices.user_name(index).to_owned()),
                password: Some(Zeroizing::new(devices.secret(index).to_vec())),
                renew_after,
            },
            Auth::Password { username, password } => Credentials {
                user_name: Some(username.render(&Names { device, index })),
                password: Some(Zeroizing::new(password.expose().as_bytes().to_vec())),
                renew_after,
            },
            Auth::None => Credentials { user_name: None, password: None, renew_after },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::listed;
    use crate::plan::types::TargetKind;

    const NOW: Duration = Duration::from_secs(1_893_452_400);

    fn target() -> Target {
        Target {
            kind: TargetKind::IotHub,
            host: "example-hub.azure-devices.net".into(),
            port: 8883,
            tls: None,
            source_ips: Vec::new(),
        }
    }

    fn text(credentials: &Credentials) -> String {
        String::from_utf8(credentials.password.as_ref().unwrap().to_vec()).unwrap()
    }

    fn group_key() -> sas::Key {
        sas::Key::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
    }

    #[test]
    fn a_group_gives_every_device_a_token_of_its_own_key() {
        let auth = Auth::SasGroup { key: group_key(), ttl: Duration::from_secs(3600), renew_at: 0.85 };
        let credentials = auth.credentials(&target(), "dev-1", 0, NOW);
        assert_eq!(
            credentials.user_name.as_deref(),
            Some("example-hub.azure-devices.net/dev-1/?api-version=2021-04-12")
        );
        assert_eq!(credentials.renew_after, Some(Duration::from_secs(3060)));
        let text = text(&credentials);
        let token = sas::Token::parse(&text).unwrap();
        assert!(token.verify(&group_key().derive("dev-1")));
        assert!(!token.verify(&group_key().derive("dev-2")) && !token.verify(&group_key()));
        assert!(token.covers("example-hub.azure-devices.net/devices/dev-1"));
        assert!(text.ends_with("&se=1893456000"), "{text}");
    }

    #[test]
    fn a_policy_signs_for_any_device_and_names_itself() {
        let auth = Auth::SasPolicy {
            policy: "device".into(),
            key: group_key(),
            ttl: Duration::from_secs(3600),
            renew_at: 1.0,
        };
        let credentials = auth.credentials(&target(), "dev-1", 0, NOW);
        let text = text(&credentials);
        assert!(sas::Token::parse(&text).unwrap().verify(&group_key()));
        assert!(text.contains("&skn=device"), "{text}");
    }

    #[test]
    fn a_listed_device_signs_with_its_own_key() {
        let read = listed::parse(
            b"dev-1,AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\ndev-2,aHVudGVyMmh1bnRlcjJ4eA==",
            listed::Form::Keys { host: None },
        );
        let auth = Auth::SasFile { devices: read.listed, ttl: Duration::from_secs(3600), renew_at: 0.5 };
        let credentials = auth.credentials(&target(), "dev-1", 0, NOW);
        // The vector of a device's token, from the documented rule.
        assert_eq!(
            text(&credentials),
            "SharedAccessSignature sr=example-hub.azure-devices.net%2Fdevices%2Fdev-1&sig=16TMWISNAQHbvHgpFWCXZfRxM42mIGbNiEx6R8VTlLY%3D&se=1893456000"
        );
        assert_eq!(credentials.renew_after, Some(Duration::from_secs(1800)));
        let other = text(&auth.credentials(&target(), "dev-2", 1, NOW));
        assert!(
            sas::Token::parse(&other)
                .unwrap()
                .verify(&sas::Key::from_base64("aHVudGVyMmh1bnRlcjJ4eA==").unwrap())
        );
        assert!(!format!("{auth:?}").contains("hunter2"));
    }

    #[test]
    fn a_listed_password_is_the_devices_own() {
        let read = listed::parse(b"c1,u1,hunter1\nu2,hunter2", listed::Form::Passwords);
        let auth = Auth::PasswordFile { devices: read.listed };
        let credentials = auth.credentials(&target(), "c1", 0, NOW);
        assert_eq!((credentials.user_name.as_deref(), text(&credentials).as_str()), (Some("u1"), "hunter1"));
        let credentials = auth.credentials(&target(), "u2", 1, NOW);
        assert_eq!((credentials.user_name.as_deref(), text(&credentials).as_str()), (Some("u2"), "hunter2"));
        assert!(auth.has_password() && !format!("{auth:?}").contains("hunter"));
    }

    #[test]
    fn a_password_is_shared_and_the_user_name_is_not() {
        let auth = Auth::Password {
            username: Template::parse("user-{index:03}").unwrap(),
            password: Secret::new("hunter2".into()),
        };
        let credentials = auth.credentials(&target(), "dev-1", 7, NOW);
        assert_eq!(credentials.user_name.as_deref(), Some("user-007"));
        assert_eq!(text(&credentials), "hunter2");
        assert_eq!(credentials.renew_after, None);
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
