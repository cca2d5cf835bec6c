//! The device of a preflight connection: it connects, waits for CONNACK and disconnects. Used by `connection`.

use crate::sansio::{Close, Closed, Machine};
use crate::session::{self, Event, Session, SessionError};
use bytes::BytesMut;
use std::time::Instant;

/// A device that disconnects as soon as the server has accepted it.
pub(super) struct TrialDevice {
    pub(super) session: Session<()>,
    pub(super) device: String,
    pub(super) user_name: Option<String>,
    pub(super) password: Option<zeroize::Zeroizing<Vec<u8>>>,
    pub(super) connect_sent: bool,
    pub(super) connack: Option<u8>,
}

impl TrialDevice {
    fn handle_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Connected { .. } => self.connack = Some(0),
                Event::Refused { code, .. } => self.connack = Some(code),
                _ => {}
            }
        }
    }
}

impl Machine for TrialDevice {
    type Error = SessionError;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), SessionError> {
        while self.session.wants_input() && self.session.handle_input(now, input)? {
            self.handle_events();
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        self.session.handle_timeout(now)
    }

    fn handle_flushed(&mut self, now: Instant) {
        self.session.handle_flushed(now);
    }

    fn handle_closed(&mut self, now: Instant, _why: Closed) {
        self.session.handle_closed(now);
    }

    fn poll_output(&mut self, now: Instant, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.connect_sent, true) {
            let offer = session::Credentials {
                client_id: &self.device,
                username: self.user_name.as_deref(),
                password: self.password.as_ref().map(|password| password.as_slice()),
            };
            // `connect` cannot fail: the plan limits the length of every string.
            drop(self.session.connect(now, &offer, out));
        }
        if self.connack == Some(0) {
            self.session.disconnect(now, out);
        }
        self.session.poll_output(now, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    fn wants_input(&self) -> bool {
        self.session.wants_input()
    }

    fn poll_close(&self) -> Option<Close> {
        self.session.poll_close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::policy::ping::PingPolicy;
    use crate::session::Settings;
    use std::time::Duration;

    #[test]
    fn flood_after_connack_is_not_read() {
        let now = clock::now();
        let mut device = TrialDevice {
            session: Session::new(Settings {
                keep_alive_s: 60,
                clean_session: true,
                in_flight: 1,
                ack_timeout: Duration::from_secs(30),
                connack_timeout: Duration::from_secs(30),
                pings: PingPolicy::OWN,
                frame_mib_max: 1,
            }),
            device: "d".to_owned(),
            user_name: None,
            password: None,
            connect_sent: false,
            connack: None,
        };
        device.poll_output(now, &mut BytesMut::new());
        let flood = b"\x32\x06\x00\x01t\x00\x01x".repeat(100_000);
        let mut input = BytesMut::from([&[0x20, 2, 0, 0], flood.as_slice()].concat().as_slice());
        device.handle_input(now, &mut input).unwrap();
        assert_eq!(device.connack, Some(0));
        assert!(!device.wants_input() && input.len() > flood.len() / 2, "{}", input.len());
    }
}
