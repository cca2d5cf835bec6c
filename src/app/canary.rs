//! One device of each fleet connects before the load does: a wrong name, certificate or key is told at once, with
//! what to do, instead of after a minute of failures. Called by `run` for every target but the built-in hub.

use super::AppError;
use crate::clock;
use crate::link::{self, Buffers, DialError, End, Endpoint, Link};
use crate::plan::{FleetPlan, Plan, TargetKind};
use crate::sansio::{Close, Closed, Machine};
use crate::session::{self, Event, Session, SessionError, Settings};
use bytes::BytesMut;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connects the first device of each fleet and disconnects it again.
pub(super) async fn fly(plan: &Plan, endpoint: &Arc<Endpoint>) -> Result<(), AppError> {
    for fleet in &plan.fleets {
        let device = fleet.device_id(0);
        connect(plan, fleet, endpoint, &device).await.map_err(|trouble| {
            AppError::Environment(format!(
                "device {device} of fleet {} cannot connect to {} on port {}: {}\n  {}",
                fleet.name, endpoint.host, endpoint.port, trouble.what, trouble.fix
            ))
        })?;
    }
    Ok(())
}

struct Trouble {
    what: String,
    fix: String,
}

async fn connect(plan: &Plan, fleet: &FleetPlan, endpoint: &Endpoint, device: &str) -> Result<(), Trouble> {
    let deadline = clock::now() + fleet.connect_timeout;
    let dialled = link::dial(endpoint, deadline).await.map_err(|error| dial_trouble(&error))?;
    let credentials = fleet.auth.credentials(&plan.target, device, 0, clock::unix());
    let mut canary = Canary {
        session: Session::new(Settings {
            keep_alive_s: fleet.keep_alive_s,
            clean_session: true,
            in_flight: 1,
            ack_timeout: fleet.ack_timeout,
            connack_timeout: fleet.connect_timeout,
            ping_timeout: Duration::from_secs(30),
        }),
        device: device.to_owned(),
        user_name: credentials.user_name,
        password: credentials.password,
        asked: false,
        answer: None,
    };
    let mut link = Link::new(dialled.transport, Buffers::shared());
    let end = poll_fn(|cx| link.poll(cx, &mut canary)).await;
    match (canary.answer, end) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(refusal(plan.target.kind, code)),
        (None, End::Failed(error)) => Err(silent(&error.to_string())),
        (None, End::Closed(why)) => Err(silent(&format!("closed before CONNACK ({why:?})"))),
    }
}

fn dial_trouble(error: &DialError) -> Trouble {
    let fix = match error.class {
        "dns" => "check the target's host name, and that this machine can resolve it",
        "tcp_refused" | "tcp_timeout" | "tcp_unreachable" => {
            "check the host, the port, and firewalls between here and there (MQTT over TLS uses 8883)"
        }
        "tls_certificate" => {
            "give the root that signed the server's certificate with --ca FILE or [target] ca, and check the host name"
        }
        _ => "check that the server speaks TLS 1.2 or 1.3 on this port",
    };
    Trouble { what: error.to_string(), fix: fix.to_owned() }
}

fn refusal(kind: TargetKind, code: u8) -> Trouble {
    let fix = match (kind, code) {
        (TargetKind::IotHub, 5) => {
            "the hub refuses so for every reason: check that the device exists and is enabled, that its key is derived from this \
             group key (or that the policy has DeviceConnect), and that this machine's clock is right to five minutes"
        }
        (TargetKind::Mqtt, 4 | 5) => "check the user name and password, and the broker's access rules",
        (_, 3) => "the server says it is unavailable; try again",
        _ => "see MQTT 3.1.1 section 3.2.2.3 for the code",
    };
    Trouble { what: format!("CONNACK return code {code}"), fix: fix.to_owned() }
}

fn silent(what: &str) -> Trouble {
    Trouble {
        what: what.to_owned(),
        fix:
            "check that an MQTT 3.1.1 server listens on this port; a hub that throttles connects answers late"
                .to_owned(),
    }
}

/// A device that only wants to know whether it may come in.
struct Canary {
    session: Session,
    device: String,
    user_name: Option<String>,
    password: Option<zeroize::Zeroizing<Vec<u8>>>,
    asked: bool,
    answer: Option<u8>,
}

impl Canary {
    fn listen(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Connected { .. } => self.answer = Some(0),
                Event::Refused { code } => self.answer = Some(code),
                _ => {}
            }
        }
    }
}

impl Machine for Canary {
    type Error = SessionError;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), SessionError> {
        while self.session.handle_input(now, input)? {
            self.listen();
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
        if !std::mem::replace(&mut self.asked, true) {
            let offer = session::Credentials {
                client_id: &self.device,
                username: self.user_name.as_deref(),
                password: self.password.as_ref().map(|password| password.as_slice()),
            };
            // The plan has bounded every string of it.
            drop(self.session.connect(now, &offer, out));
        }
        if self.answer == Some(0) {
            self.session.disconnect(now, out);
        }
        self.session.poll_output(now, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    fn wants_input(&self) -> bool {
        true
    }

    fn poll_close(&self) -> Option<Close> {
        self.session.poll_close()
    }
}
