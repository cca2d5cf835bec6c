//! How a fleet's devices prove who they are: each CONNECT's user name and password, and when they must be renewed.
//! Called by devices before every attempt; `now` is an argument, and nothing here is ever printed.

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
    /// The credentials of one device for a connection that is made now (time since the Unix epoch).
    #[must_use]
    pub fn credentials(&self, target: &Target, device: &str, index: u32, now_unix: Duration) -> Credentials {
        match self {
            Auth::SasGroup { key, ttl, renew_at } => {
                sas_credentials(&key.derive(device), None, target, device, now_unix, *ttl, *renew_at)
            }
            Auth::SasPolicy { policy, key, ttl, renew_at } => {
                sas_credentials(key, Some(policy), target, device, now_unix, *ttl, *renew_at)
            }
            Auth::Password { username, password } => Credentials {
                user_name: Some(username.render(&Names { device, index })),
                password: Some(Zeroizing::new(password.expose().as_bytes().to_vec())),
                renew_after: None,
            },
            Auth::None => Credentials { user_name: None, password: None, renew_after: None },
        }
    }
}

fn sas_credentials(
    key: &sas::Key,
    policy: Option<&str>,
    target: &Target,
    device: &str,
    now_unix: Duration,
    ttl: Duration,
    renew_at: f64,
) -> Credentials {
    let resource = names::resource(&target.host, device);
    let token = sas::token(key, &resource, (now_unix + ttl).as_secs(), policy);
    Credentials {
        user_name: Some(names::user_name(&target.host, device)),
        password: Some(Zeroizing::new(token.as_bytes().to_vec())),
        renew_after: Some(ttl.mul_f64(renew_at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::types::TargetKind;

    const NOW: Duration = Duration::from_secs(1_893_452_400);

    fn target() -> Target {
        Target {
            kind: TargetKind::IotHub,
            host: "example-hub.azure-devices.net".into(),
            port: 8883,
            tls: None,
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
