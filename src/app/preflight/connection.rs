//! One device of each fleet connects and disconnects before the load: a wrong name, certificate or key ends the run at
//! once. These connections are in no operation and no count of the result.

use super::super::AppError;
use super::trial_device::TrialDevice;
use crate::clock;
use crate::link::{self, Buffers, Deadlines, DialError, End, Endpoint, Link, Resolver};
use crate::plan::{FleetPlan, Plan, TargetKind};
use crate::policy::ping::PingPolicy;
use crate::sansio::Closed;
use crate::session::{Session, Settings};
use std::future::poll_fn;
use std::sync::Arc;

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
    let dialed = link::dial(endpoint, &Resolver::default(), fleet.first, deadline)
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
    let mut link = Link::new(dialed.transport, Buffers::shared(), &deadlines);
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

#[cfg(test)]
mod tests;
