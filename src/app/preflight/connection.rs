//! The preflight connections: one device of each fleet connects and disconnects before the load, so that a wrong host, certificate or key ends
//! the run immediately. The result does not count these connections. `run` makes the connections; `doctor` uses the fixes.

use super::super::AppError;
use super::trial_device::TrialDevice;
use crate::clock;
use crate::link::{self, Buffers, Deadlines, DialError, End, Endpoint, Link, Resolver};
use crate::plan::{FleetPlan, Plan, TargetKind};
use crate::policy::ping::PingPolicy;
use crate::sansio::Closed;
use crate::session::{Session, SessionError, Settings};
use crate::units::set_duration;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

/// How long the check waits for the target before it says so.
const SILENT: Duration = Duration::from_secs(2);

/// Connects and disconnects the first device of each fleet. Calls `note` once if the target does not answer within [`SILENT`].
///
/// # Errors
/// A device cannot connect. The text names the device, the cause and a fix.
pub(in crate::app) async fn connections(
    plan: &Plan,
    endpoint: &Arc<Endpoint>,
    note: impl FnMut(&str),
) -> Result<(), AppError> {
    connections_noting(plan, endpoint, SILENT, note).await
}

/// Connects the devices. If the target takes longer than `silent`, calls `note` once with a text that says so.
async fn connections_noting(
    plan: &Plan,
    endpoint: &Arc<Endpoint>,
    silent: Duration,
    mut note: impl FnMut(&str),
) -> Result<(), AppError> {
    let mut noted = false;
    for (before, fleet) in plan.fleets.iter().enumerate() {
        let device = fleet.device_id(0);
        let connecting = connect(plan, fleet, endpoint, &device, before > 0);
        tokio::pin!(connecting);
        let connected = tokio::select! {
            connected = &mut connecting => connected,
            () = tokio::time::sleep(silent) => {
                if !std::mem::replace(&mut noted, true) {
                    let most = set_duration(fleet.connect_timeout);
                    note(&format!("waiting for {} (up to {most})\n", plan.target.address()));
                }
                connecting.await
            }
        };
        connected.map_err(|failure| {
            AppError::Environment(format!(
                "preflight check failed: device {device} of fleet {} cannot connect to {}\n    \
                 cause:   {}\n    fix:     {}\n             \
                 add --no-preflight to start the load without this check",
                fleet.name,
                plan.target.address(),
                failure.cause,
                failure.fix
            ))
        })?;
    }
    Ok(())
}

/// Why a device cannot connect, and what to do.
struct Failure {
    /// The error or the return code.
    cause: String,
    /// Advice in the imperative.
    fix: &'static str,
}

impl Failure {
    fn new(cause: String, fix: &'static str) -> Failure {
        Failure { cause, fix }
    }
}

/// Connects one device. `others_connected` is true if the server has accepted a device of another fleet.
async fn connect(
    plan: &Plan,
    fleet: &FleetPlan,
    endpoint: &Endpoint,
    device: &str,
    others_connected: bool,
) -> Result<(), Failure> {
    let deadline = clock::now() + fleet.connect_timeout;
    let dialed =
        link::dial(endpoint, &Resolver::default(), fleet.first, deadline).await.map_err(|error| {
            let key = if error.is_timeout() { " (connect_timeout)" } else { "" };
            let cause = error.text_within(fleet.connect_timeout) + key;
            Failure::new(cause, dial_fix(&error, endpoint))
        })?;
    let credentials = fleet.auth.credentials(&plan.target, device, 0, clock::unix());
    let mut trial = TrialDevice {
        session: Session::new(Settings {
            keep_alive_s: fleet.keep_alive_s,
            // A clean session would discard the session that the server keeps for this device.
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
    let mut link = Link::new(dialed.transport, Buffers::shared(), &deadlines);
    let end = tokio::select! {
        end = poll_fn(|cx| link.poll(cx, &mut trial)) => end,
        error = deadlines.run() => {
            return Err(Failure::new(error.to_string(), "raise the limit on open files (`ulimit -n`)"));
        }
    };
    match (trial.connack, end) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(refusal(plan.target.kind, code)),
        (None, End::Closed(Closed::TlsAlert(end))) => {
            Err(Failure::new(format!("TLS failed before CONNACK: {}", end.cause), end.fix))
        }
        (None, End::Closed(why)) => Err(Failure::new(
            closed(why).to_owned(),
            no_connack_fix(plan.target.kind, endpoint.tls.is_some(), others_connected),
        )),
        (None, End::Failed(SessionError::ConnackTimeout)) => Err(Failure::new(
            no_connack_within(fleet.connect_timeout),
            connack_timeout_fix(plan.target.kind, endpoint.tls.is_some(), others_connected),
        )),
        (None, End::Failed(error)) => Err(Failure::new(
            error.to_string(),
            no_connack_fix(plan.target.kind, endpoint.tls.is_some(), others_connected),
        )),
    }
}

/// Returns the fix for a failed dial.
pub(in crate::app) fn dial_fix(error: &DialError, endpoint: &Endpoint) -> &'static str {
    error.tls_fix(endpoint.own_roots).unwrap_or_else(|| class_fix(error.class, endpoint.tls.is_some()))
}

/// Returns the fix for a dial that failed with this error class.
pub(in crate::app) fn class_fix(class: &str, tls: bool) -> &'static str {
    match class {
        "dns" => "check the host name of the target, and the DNS settings of this machine",
        "tcp_refused" | "tcp_timeout" | "tcp_unreachable" if !tls => {
            "check the host, the port, and any firewalls in between (MQTT over plain TCP usually uses port 1883)"
        }
        "tcp_refused" | "tcp_timeout" | "tcp_unreachable" => {
            "check the host, the port, and any firewalls in between (MQTT over TLS uses port 8883)"
        }
        "source_address" => {
            "check source_ips in [target]: they must be addresses of this machine, and all IPv4 or all IPv6, like the host's address"
        }
        "fd_limit" => "raise the limit on open files (`ulimit -n`)",
        "ports_exhausted" => {
            "wait until closed connections have released their ports (1 minute), widen net.ipv4.ip_local_port_range, or list \
             source_ips in [target]"
        }
        "no_memory" => "free memory on this machine, or raise the memory limit of its container",
        "tls_timeout" => {
            "check the load of the server, and that it uses TLS on this port; for a server without TLS, set tls = false in [target]"
        }
        "reset" | "closed_by_peer" if !tls => {
            "check that an MQTT 3.1.1 server listens on this port; see its log for why it closed the connection"
        }
        _ => {
            "check that the server uses TLS 1.2 or 1.3 on this port; for a server without TLS, set tls = false in [target]"
        }
    }
}

fn refusal(kind: TargetKind, code: u8) -> Failure {
    let what = format!("the server refused the connection with CONNACK return code {code}");
    Failure::new(what, refusal_fix(kind, code))
}

/// Returns the fix for a CONNACK return code.
pub(in crate::app) fn refusal_fix(kind: TargetKind, code: u8) -> &'static str {
    match (kind, code) {
        (TargetKind::IotHub, 5) => {
            "the hub does not send a reason; check that the device exists and is enabled, that its key is correct (in the file, derived \
             from this group key, or of a policy with DeviceConnect), and that the clock of this machine is correct to within 5 minutes"
        }
        (TargetKind::Mqtt, 4 | 5) => "check the user name and password, and the access rules of the broker",
        (_, 3) => "the server is unavailable; try again later",
        _ => "see MQTT 3.1.1 section 3.2.2.3 for this return code",
    }
}

/// Returns the return code in an error class such as `connack_5`.
pub(in crate::app) fn connack_code(class: &str) -> Option<u8> {
    class.strip_prefix("connack_")?.parse().ok()
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

/// Returns the fix for a connection without CONNACK. If the server has accepted another device, the port and the TLS settings are right.
pub(in crate::app) fn no_connack_fix(kind: TargetKind, tls: bool, others_connected: bool) -> &'static str {
    match kind {
        _ if others_connected => {
            "the server accepted devices of other fleets: compare the ids and auth of this fleet with theirs, and check the \
             connection limit and the log of the server"
        }
        TargetKind::Mqtt if !tls => {
            "if the server uses TLS, set tls = true in [target]; otherwise check that an MQTT 3.1.1 server listens on this port"
        }
        TargetKind::Mqtt => {
            "check that an MQTT 3.1.1 server listens on this port; see its log for why it closed the connection"
        }
        TargetKind::IotHub => {
            "check that an IoT hub listens on this port; if the hub is throttling connections, it responds late"
        }
    }
}

/// Returns the error of a connection without CONNACK until the fleet's timeout.
pub(in crate::app) fn no_connack_within(connect_timeout: Duration) -> String {
    format!("no CONNACK within {} (connect_timeout)", set_duration(connect_timeout))
}

/// Returns the fix for a server that accepts a connection and does not answer.
pub(in crate::app) fn connack_timeout_fix(
    kind: TargetKind,
    tls: bool,
    others_connected: bool,
) -> &'static str {
    match kind {
        TargetKind::Mqtt if tls && !others_connected => {
            "check that an MQTT 3.1.1 server listens on this port and is not overloaded; for a slow server, increase connect_timeout of \
             the fleet"
        }
        _ => no_connack_fix(kind, tls, others_connected),
    }
}

#[cfg(test)]
mod tests;
