//! One device of each fleet connects and disconnects before the load: a wrong name, certificate or key ends the run at
//! once. These connections are in no operation and no count of the result.

use super::super::AppError;
use crate::clock;
use crate::link::{self, Buffers, Deadlines, DialError, End, Endpoint, Link, Resolver};
use crate::plan::{FleetPlan, Plan, TargetKind};
use crate::policy::ping::PingPolicy;
use crate::sansio::{Close, Closed, Machine};
use crate::session::{self, Event, Session, SessionError, Settings};
use bytes::BytesMut;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

/// Connects the first device of each fleet and disconnects it again.
///
/// # Errors
/// One of them cannot connect: what happened, the evidence, and what to do.
pub(in crate::app) async fn connections(plan: &Plan, endpoint: &Arc<Endpoint>) -> Result<(), AppError> {
    for (before, fleet) in plan.fleets.iter().enumerate() {
        let device = fleet.device_id(0);
        connect(plan, fleet, endpoint, &device, before > 0).await.map_err(|failure| {
            AppError::Environment(format!(
                "preflight check failed: device {device} of fleet {} cannot connect to {}\n    \
                 cause:   {}\n    fix:     {}\n             \
                 to start the load without this check, add --no-preflight",
                fleet.name,
                plan.target.address(),
                failure.cause,
                failure.fix
            ))
        })?;
    }
    Ok(())
}

/// Why a device cannot connect.
struct Failure {
    /// The evidence.
    cause: String,
    /// What to do about it.
    fix: &'static str,
}

impl Failure {
    fn new(cause: String, fix: &'static str) -> Failure {
        Failure { cause, fix }
    }
}

/// Connects one device. `others`: the server has already accepted devices of other fleets.
async fn connect(
    plan: &Plan,
    fleet: &FleetPlan,
    endpoint: &Endpoint,
    device: &str,
    others: bool,
) -> Result<(), Failure> {
    let deadline = clock::now() + fleet.connect_timeout;
    let dialled = link::dial(endpoint, &Resolver::default(), fleet.first, deadline)
        .await
        .map_err(|error| Failure::new(error.to_string(), dial_fix(&error, endpoint)))?;
    let credentials = fleet.auth.credentials(&plan.target, device, 0, clock::unix());
    let mut trial = TrialDevice {
        session: Session::new(Settings {
            keep_alive_s: fleet.keep_alive_s,
            // As the fleet: a clean session would discard what the server keeps for this device.
            clean_session: fleet.clean_session,
            in_flight: 1,
            ack_timeout: fleet.ack_timeout,
            connack_timeout: fleet.connect_timeout,
            pings: PingPolicy::OWN,
            frame_mib_max: plan.packet_mib_max,
        }),
        device: device.to_owned(),
        user_name: credentials.user_name,
        password: credentials.password,
        connect_sent: false,
        connack: None,
    };
    let deadlines = Deadlines::new();
    let mut link = Link::new(dialled.transport, Buffers::shared(), &deadlines);
    let end = tokio::select! {
        end = poll_fn(|cx| link.poll(cx, &mut trial)) => end,
        error = deadlines.run() => {
            return Err(Failure::new(error.to_string(), "raise `ulimit -n`: a timer needs a file descriptor"));
        }
    };
    match (trial.connack, end) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(refusal(plan.target.kind, code)),
        (None, End::Closed(Closed::TlsAlert(end))) => {
            Err(Failure::new(format!("TLS failed before CONNACK: {}", end.cause), end.fix))
        }
        (None, End::Closed(why)) => {
            Err(Failure::new(closed(why).to_owned(), no_connack_fix(plan.target.kind, endpoint, others)))
        }
        (None, End::Failed(error)) => {
            Err(Failure::new(error.to_string(), no_connack_fix(plan.target.kind, endpoint, others)))
        }
    }
}

/// What to do about a dial that failed.
pub(in crate::app) fn dial_fix(error: &DialError, endpoint: &Endpoint) -> &'static str {
    if let Some(fix) = error.tls_fix(endpoint.own_roots) {
        return fix;
    }
    match error.class {
        "dns" => "check the target's host name, and that this machine can resolve it",
        "tcp_refused" | "tcp_timeout" | "tcp_unreachable" => {
            "check the host, the port, and firewalls between here and there (MQTT over TLS uses 8883)"
        }
        "source_address" => {
            "check source_ips in [target]: addresses of this machine, of the same kind as the host's"
        }
        "reset" | "closed_by_peer" if endpoint.tls.is_none() => {
            "check that an MQTT 3.1.1 server listens on this port; its log may say why it ended the connection"
        }
        _ => {
            "check that the server speaks TLS 1.2 or 1.3 on this port; for a server without TLS set tls = false in [target]"
        }
    }
}

fn refusal(kind: TargetKind, code: u8) -> Failure {
    let fix = match (kind, code) {
        (TargetKind::IotHub, 5) => {
            "the hub does not say why; check that the device exists and is enabled, that its key is right (in the file, derived from \
             this group key, or of a policy with DeviceConnect), and that this machine's clock is right to five minutes"
        }
        (TargetKind::Mqtt, 4 | 5) => "check the user name and password, and the broker's access rules",
        (_, 3) => "the server says that it is unavailable; try again",
        _ => "see MQTT 3.1.1 section 3.2.2.3 for the code",
    };
    Failure::new(format!("the server refused the connection with CONNACK return code {code}"), fix)
}

fn closed(why: Closed) -> &'static str {
    match why {
        Closed::Eof => "the server closed the connection before CONNACK",
        Closed::Reset => "the connection was reset before CONNACK",
        Closed::Unreachable => "the server became unreachable before CONNACK",
        Closed::TlsAlert(end) => end.cause,
        Closed::Local => "the connection ended before CONNACK",
    }
}

/// What to do if CONNECT was not answered. Once the server has accepted a device, port and TLS are right.
fn no_connack_fix(kind: TargetKind, endpoint: &Endpoint, others: bool) -> &'static str {
    match kind {
        _ if others => {
            "the server accepted devices of other fleets: compare this fleet's ids and auth with theirs, and check the server's \
             connection limit and its log"
        }
        TargetKind::Mqtt if endpoint.tls.is_none() => {
            "if the server expects TLS, set tls = true in [target]; otherwise check that an MQTT 3.1.1 server listens on this port"
        }
        TargetKind::Mqtt => {
            "check that an MQTT 3.1.1 server listens on this port; its log may say why it ended the connection"
        }
        TargetKind::IotHub => {
            "check that an IoT hub listens on this port; a hub that throttles connections answers late"
        }
    }
}

/// A device that disconnects as soon as the server has accepted it.
struct TrialDevice {
    session: Session<()>,
    device: String,
    user_name: Option<String>,
    password: Option<zeroize::Zeroizing<Vec<u8>>>,
    connect_sent: bool,
    connack: Option<u8>,
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
            // The plan has bounded every string of it.
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
    use crate::emulator::{self, Config, certificate};
    use crate::iothub::sas::Key;
    use crate::link::{listen, tls};
    use crate::scenario::Input;
    use std::time::Duration;

    /// Runs the check against a hub with one group key, by devices with the same or another key.
    async fn ask(hub_key: &Key, device_key: &Key, trusted: bool) -> Result<(), AppError> {
        let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let certificate = certificate::make(&["localhost".to_owned()], clock::unix()).unwrap();
        let roots_pem = trusted.then(|| certificate.ca_pem.clone().into());
        let server = tls::server(certificate.chain, certificate.key).unwrap();
        let config = Config { group_keys: vec![hub_key.clone()], shards: 1, ..Config::default() };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::task::spawn_local(emulator::serve(listener, server, config, async {
            drop(stopped.await);
        }));

        let text = format!(
            "[target]\nkind = \"iot-hub\"\nhost = \"localhost\"\nport = {port}\n[fleet.a]\ndevices = 3\n\
             auth = {{ kind = \"sas\", group_key = \"${{env.KEY}}\" }}\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n"
        );
        let key = device_key.to_base64();
        let env = |_: &str| Some(key.to_string());
        let input = Input {
            file: "preflight.toml",
            text: &text,
            overrides: &[],
            env: &env,
            files: &crate::scenario::no_files,
        };
        let plan = crate::plan::load(&input, &mut rand::rng()).unwrap();
        let options = tls::ClientOptions { roots_pem, ..tls::ClientOptions::default() };
        let tls = tls::client(&options).ok();
        let endpoint = Arc::new(Endpoint { host: "localhost".to_owned(), port, tls, ..Endpoint::default() });
        let answer = connections(&plan, &endpoint).await;
        drop(stop);
        serving.await.unwrap().unwrap();
        answer
    }

    fn runtime() -> tokio::runtime::LocalRuntime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap()
    }

    #[test]
    fn a_wrong_key_is_refused_with_what_to_check() {
        let (key, other) = (Key::random(&mut rand::rng()), Key::random(&mut rand::rng()));
        runtime().block_on(ask(&key, &key, true)).unwrap();
        let message = runtime().block_on(ask(&key, &other, true)).unwrap_err().to_string();
        assert!(message.contains("a-00000") && message.contains("return code 5"), "{message}");
        assert!(message.contains("group key"), "{message}");
        assert!(!message.contains(other.to_base64().as_str()), "a message never holds a key");
    }

    #[test]
    fn a_flooding_server_is_not_read_without_bound() {
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

    #[test]
    fn an_unknown_certificate_authority_names_the_ca_option() {
        let key = Key::random(&mut rand::rng());
        let message = runtime().block_on(ask(&key, &key, false)).unwrap_err().to_string();
        assert!(message.contains("--ca FILE"), "{message}");
    }
}
