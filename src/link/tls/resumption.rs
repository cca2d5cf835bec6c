//! TLS session resumption for devices: each device has a store of its own, because a real device can only resume its own sessions. Used by
//! `dial`; created by `app`, if the scenario asks for resumption.
//!
//! Must not depend on sockets. rustls asks the store in its handshakes; nothing here runs per message.

use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The configurations of all devices. They are equal except for the session store.
pub struct DeviceSessions {
    base: Arc<ClientConfig>,
    /// By device. Set when a device first connects.
    devices: Box<[OnceLock<Arc<ClientConfig>>]>,
}

impl DeviceSessions {
    /// Returns configurations like `base`, with resumption, for this many devices.
    #[must_use]
    pub fn new(base: &Arc<ClientConfig>, devices: u64) -> DeviceSessions {
        let count = usize::try_from(devices).unwrap_or(usize::MAX);
        DeviceSessions {
            base: Arc::clone(base),
            devices: std::iter::repeat_with(OnceLock::new).take(count).collect(),
        }
    }

    /// Returns the configuration of a device. A device without a number here does not resume.
    pub(in crate::link) fn config_of(&self, device: u64) -> &Arc<ClientConfig> {
        let slot = usize::try_from(device).ok().and_then(|device| self.devices.get(device));
        slot.map_or(&self.base, |slot| {
            slot.get_or_init(|| {
                let mut config = ClientConfig::clone(&self.base);
                config.resumption = Resumption::store(Arc::new(SessionStore::default()));
                Arc::new(config)
            })
        })
    }
}

impl fmt::Debug for DeviceSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceSessions").field("devices", &self.devices.len()).finish_non_exhaustive()
    }
}

/// The last session of one device. A device that changes its server starts again with a full handshake.
#[derive(Default)]
struct SessionStore(Mutex<Option<(ServerName<'static>, Session)>>);

enum Session {
    /// TLS 1.2: a session id or a ticket, which may be used several times.
    Tls12(Tls12ClientSessionValue),
    /// TLS 1.3: a ticket, which is used once (RFC 8446 §C.4). The server sends a new one on every connection.
    Tls13(Tls13ClientSessionValue),
}

impl SessionStore {
    fn session(&self) -> MutexGuard<'_, Option<(ServerName<'static>, Session)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SessionStore {
    /// Shows no secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStore").finish_non_exhaustive()
    }
}

impl ClientSessionStore for SessionStore {
    /// Does nothing: without resumption, the first key share does not depend on earlier connections either.
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        *self.session() = Some((server, Session::Tls12(value)));
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        match &*self.session() {
            Some((name, Session::Tls12(value))) if name == server => Some(value.clone()),
            _ => None,
        }
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.session().take_if(|(name, session)| name == server && matches!(session, Session::Tls12(_)));
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        *self.session() = Some((server, Session::Tls13(value)));
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let taken =
            self.session().take_if(|(name, session)| name == server && matches!(session, Session::Tls13(_)));
        match taken {
            Some((_, Session::Tls13(value))) => Some(value),
            _ => None,
        }
    }
}
