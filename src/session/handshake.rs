//! CONNECT and CONNACK (MQTT 3.1.1 §3.1, §3.2). Extends [`Session`]; used through it.

use super::Session;
use super::timers::Timer;
use super::types::{Credentials, Event, State};
use crate::sansio::Close;
use crate::wire::encode::{self, ConnectRef, EncodeError, WillRef};
use bytes::BytesMut;
use std::time::Instant;

impl<T> Session<T> {
    /// Writes CONNECT on a new connection. A closed session may connect again.
    ///
    /// # Errors
    /// MQTT cannot encode the client id, the user name or the password. Nothing was written.
    pub fn connect(
        &mut self,
        now: Instant,
        credentials: &Credentials<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.connect_with_will(now, credentials, None, out)
    }

    /// Does the same as [`connect`](Session::connect), with a will that the server publishes when the connection ends without
    /// DISCONNECT (MQTT 3.1.1 §3.1.2.5).
    ///
    /// # Errors
    /// As for `connect`, or MQTT cannot encode the will. Nothing was written.
    pub fn connect_with_will(
        &mut self,
        now: Instant,
        credentials: &Credentials<'_>,
        will: Option<WillRef<'_>>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        debug_assert!(matches!(self.state, State::Idle | State::Closed), "call handle_closed first");
        let connect = ConnectRef {
            client_id: credentials.client_id,
            keep_alive_s: self.settings.keep_alive_s,
            clean_session: self.settings.clean_session,
            username: credentials.username,
            password: credentials.password,
            will,
        };
        encode::connect(out, &connect)?;
        self.state = State::Connecting;
        self.close = None;
        self.keep_alive.sent(now);
        self.timers.clear_all();
        self.timers.set(Timer::Answer, now + self.settings.connack_timeout);
        Ok(())
    }

    /// Handles the expected CONNACK.
    pub(super) fn connack(&mut self, now: Instant, session_present: bool, code: u8) -> Event<T> {
        self.timers.clear_all();
        if code != 0 {
            self.state = State::Closed;
            self.close = Some(Close::AfterFlush);
            return Event::Refused { code, session_present };
        }
        self.state = State::Online;
        self.keep_alive.start(now, &self.settings, &mut self.timers);
        if !session_present {
            // The server has no session: nothing is resent (§4.4), and its packet ids start over.
            self.incoming.forget();
            if let Some(window) = &mut self.window {
                window.lose_kept();
            }
        }
        Event::Connected { session_present }
    }
}
