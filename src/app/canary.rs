//! One device of each fleet connects before the load does: a wrong name, certificate or key is told at once, with
//! what to do, instead of after a minute of failures. Called by `run` for every target that is not on this machine.

use super::AppError;
use crate::clock;
use crate::link::{self, Buffers, Deadlines, DialError, End, Endpoint, Link, Resolver};
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
    let dialled = link::dial(endpoint, &Resolver::default(), fleet.first, deadline)
        .await
        .map_err(|error| dial_trouble(&error))?;
    let credentials = fleet.auth.credentials(&plan.target, device, 0, clock::unix());
    let mut canary = Canary {
        session: Session::new(Settings {
            keep_alive_s: fleet.keep_alive_s,
            // As the fleet: a clean session would throw away what the server keeps for this device.
            clean_session: fleet.clean_session,
            in_flight: 1,
            ack_timeout: fleet.ack_timeout,
            connack_timeout: fleet.connect_timeout,
            ping_timeout: Duration::from_secs(30),
            frame_mib_max: plan.packet_mib_max,
        }),
        device: device.to_owned(),
        user_name: credentials.user_name,
        password: credentials.password,
        asked: false,
        answer: None,
    };
    let deadlines = Deadlines::new();
    let mut link = Link::new(dialled.transport, Buffers::shared(), &deadlines);
    let end = tokio::select! {
        end = poll_fn(|cx| link.poll(cx, &mut canary)) => end,
        error = deadlines.run() => {
            return Err(Trouble { what: error.to_string(), fix: "this machine has no timer left".to_owned() });
        }
    };
    match (canary.answer, end) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(refusal(plan.target.kind, code)),
        (None, End::Failed(error)) => Err(silent(&error.to_string(), endpoint.tls.is_none())),
        (None, End::Closed(why)) => {
            Err(silent(&format!("closed before CONNACK ({why:?})"), endpoint.tls.is_none()))
        }
    }
}

fn dial_trouble(error: &DialError) -> Trouble {
    Trouble { what: error.to_string(), fix: dial_fix(error).to_owned() }
}

/// What to do about a dial that failed.
pub(super) fn dial_fix(error: &DialError) -> &'static str {
    match error.class {
        "dns" => "check the target's host name, and that this machine can resolve it",
        "tcp_refused" | "tcp_timeout" | "tcp_unreachable" => {
            "check the host, the port, and firewalls between here and there (MQTT over TLS uses 8883)"
        }
        "tls_certificate" => {
            "give the root that signed the server's certificate with --ca FILE or [target] ca, and check the host name"
        }
        "source_address" => {
            "check source_ips in [target]: addresses of this machine, of the same kind as the host's"
        }
        _ => "check that the server speaks TLS 1.2 or 1.3 on this port",
    }
}

fn refusal(kind: TargetKind, code: u8) -> Trouble {
    let fix = match (kind, code) {
        (TargetKind::IotHub, 5) => {
            "the hub refuses so for every reason: check that the device exists and is enabled, that its key is the one that the file \
             has or that is derived from this group key (or that the policy has DeviceConnect), and that this machine's clock is right to five minutes"
        }
        (TargetKind::Mqtt, 4 | 5) => "check the user name and password, and the broker's access rules",
        (_, 3) => "the server says it is unavailable; try again",
        _ => "see MQTT 3.1.1 section 3.2.2.3 for the code",
    };
    Trouble { what: format!("CONNACK return code {code}"), fix: fix.to_owned() }
}

fn silent(what: &str, plain: bool) -> Trouble {
    let fix = if plain {
        "a server that expects TLS closes so: set tls = true in [target]; or check that an MQTT 3.1.1 server listens on this port"
    } else {
        "check that an MQTT 3.1.1 server listens on this port; a hub that throttles connects answers late"
    };
    Trouble { what: what.to_owned(), fix: fix.to_owned() }
}

/// A device that only wants to know whether it may come in.
struct Canary {
    session: Session<()>,
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
        while self.session.wants_input() && self.session.handle_input(now, input)? {
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

    /// A hub with one group key, and what a canary with that or another one says of it.
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
            file: "canary.toml",
            text: &text,
            overrides: &[],
            env: &env,
            files: &crate::scenario::no_files,
        };
        let plan = crate::plan::load(&input, &mut rand::rng()).unwrap();
        let options = tls::ClientOptions { roots_pem, ..tls::ClientOptions::default() };
        let tls = tls::client(&options).ok();
        let endpoint = Arc::new(Endpoint { host: "localhost".to_owned(), port, tls, ..Endpoint::default() });
        let answer = fly(&plan, &endpoint).await;
        drop(stop);
        serving.await.unwrap().unwrap();
        answer
    }

    fn runtime() -> tokio::runtime::LocalRuntime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap()
    }

    #[test]
    fn the_right_key_comes_in_and_the_wrong_one_is_told_what_to_check() {
        let (key, other) = (Key::random(&mut rand::rng()), Key::random(&mut rand::rng()));
        runtime().block_on(ask(&key, &key, true)).unwrap();
        let message = runtime().block_on(ask(&key, &other, true)).unwrap_err().to_string();
        assert!(message.contains("a-00000") && message.contains("return code 5"), "{message}");
        assert!(message.contains("group key"), "{message}");
        assert!(!message.contains(other.to_base64().as_str()), "a message never holds a key");
    }

    #[test]
    fn a_server_that_floods_is_not_read_without_bound() {
        let now = clock::now();
        let mut canary = Canary {
            session: Session::new(Settings {
                keep_alive_s: 60,
                clean_session: true,
                in_flight: 1,
                ack_timeout: Duration::from_secs(30),
                connack_timeout: Duration::from_secs(30),
                ping_timeout: Duration::from_secs(30),
                frame_mib_max: 1,
            }),
            device: "d".to_owned(),
            user_name: None,
            password: None,
            asked: false,
            answer: None,
        };
        canary.poll_output(now, &mut BytesMut::new());
        let flood = b"\x32\x06\x00\x01t\x00\x01x".repeat(100_000);
        let mut input = BytesMut::from([&[0x20, 2, 0, 0], flood.as_slice()].concat().as_slice());
        canary.handle_input(now, &mut input).unwrap();
        assert_eq!(canary.answer, Some(0));
        assert!(!canary.wants_input() && input.len() > flood.len() / 2, "{}", input.len());
    }

    #[test]
    fn an_unknown_authority_is_told_apart_from_a_refusal() {
        let key = Key::random(&mut rand::rng());
        let message = runtime().block_on(ask(&key, &key, false)).unwrap_err().to_string();
        assert!(message.contains("--ca FILE"), "{message}");
    }
}
