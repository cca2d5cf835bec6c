//! The preflight connections: one device of each fleet connects and disconnects before the load, so that a wrong host, certificate or key ends
//! the run immediately. The result does not count these connections. `run` makes the connections; `doctor` uses the fixes.

use super::super::AppError;
use super::trial_device::TrialDevice;
use crate::clock;
use crate::fleet::connack_class;
use crate::link::{self, Buffers, Deadlines, DialError, End, Endpoint, Link, Resolver};
use crate::plan::{FleetPlan, Plan, address_of};
use crate::policy::ping::PingPolicy;
use crate::report::{self, Connecting};
use crate::sansio::Closed;
use crate::session::{Session, SessionError, Settings};
use crate::units::set_duration;
use std::future::poll_fn;
use std::time::Duration;

/// How long the check waits for the target before it says so.
const SILENT: Duration = Duration::from_secs(2);

/// Connects and disconnects the first device of each fleet; with several hosts, the first one of each host. Calls `note` once if the
/// target does not answer within [`SILENT`].
///
/// # Errors
/// A device cannot connect. The text names the device, the cause and a fix.
pub(in crate::app) async fn connections(
    plan: &Plan,
    endpoints: &[Endpoint],
    note: impl FnMut(&str),
) -> Result<(), AppError> {
    connections_noting(plan, endpoints, SILENT, note).await
}

/// Connects the devices. If the target takes longer than `silent`, calls `note` once with a text that says so.
async fn connections_noting(
    plan: &Plan,
    endpoints: &[Endpoint],
    silent: Duration,
    mut note: impl FnMut(&str),
) -> Result<(), AppError> {
    let mut noted = false;
    // The hosts that have accepted a device of another fleet.
    let mut accepted = vec![false; endpoints.len()];
    for trial in trials(plan, endpoints) {
        let Trial { fleet, host, .. } = trial;
        let endpoint = &endpoints[host];
        let device = fleet.device_id(trial.index);
        let address = address_of(&endpoint.host, endpoint.port);
        let connecting = connect(plan, &trial, endpoint, &device, accepted[host]);
        tokio::pin!(connecting);
        let connected = tokio::select! {
            connected = &mut connecting => connected,
            () = tokio::time::sleep(silent) => {
                if !std::mem::replace(&mut noted, true) {
                    let most = set_duration(fleet.connect_timeout);
                    note(&format!("waiting for {address} (up to {most})\n"));
                }
                connecting.await
            }
        };
        connected.map_err(|failure| {
            AppError::Environment(format!(
                "preflight check failed: device {device} of fleet {} cannot connect to {address}\n    \
                 cause:   {}\n    fix:     {}\n             \
                 add --no-preflight to start the load without this check",
                fleet.name,
                failure.cause,
                plan.source.advice(failure.fix)
            ))
        })?;
        accepted[host] = true;
    }
    Ok(())
}

/// A device that the check connects.
struct Trial<'a> {
    fleet: &'a FleetPlan,
    /// Index in the fleet.
    index: u32,
    /// Index of the device's host.
    host: usize,
}

/// Returns the first device of each fleet at each host.
fn trials<'a>(plan: &'a Plan, endpoints: &[Endpoint]) -> impl Iterator<Item = Trial<'a>> {
    let count = endpoints.len();
    plan.fleets.iter().flat_map(move |fleet| {
        let most = u32::try_from(count).unwrap_or(u32::MAX).min(fleet.devices);
        (0..most).map(move |index| {
            let global = fleet.first + u64::from(index);
            Trial { fleet, index, host: usize::try_from(global % count as u64).unwrap_or(0) }
        })
    })
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
    Trial { fleet, index, .. }: &Trial<'_>,
    endpoint: &Endpoint,
    device: &str,
    others_connected: bool,
) -> Result<(), Failure> {
    let deadline = clock::now() + fleet.connect_timeout;
    let turn = fleet.first + u64::from(*index);
    let dialed = link::dial(endpoint, &Resolver::default(), turn, deadline).await.map_err(|error| {
        let key = if error.is_timeout() { " (connect_timeout)" } else { "" };
        let cause = error.text_within(fleet.connect_timeout) + key;
        Failure::new(cause, dial_fix(&error, endpoint))
    })?;
    let credentials = fleet.auth.credentials(&endpoint.host, device, *index, clock::unix());
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
    let of = Connecting { kind: plan.target.kind, tls: endpoint.tls.is_some(), others_connected };
    let (class, cause) = match (trial.connack, end) {
        (Some(0), _) => return Ok(()),
        (Some(code), _) => (
            connack_class(code),
            format!("the server refused the connection with CONNACK return code {code}"),
        ),
        (None, End::Closed(Closed::TlsAlert(end))) => {
            return Err(Failure::new(format!("TLS failed before CONNACK: {}", end.cause), end.fix));
        }
        (None, End::Closed(why)) => ("closed_by_peer", closed(why).to_owned()),
        (None, End::Failed(SessionError::ConnackTimeout)) => {
            ("connack_timeout", no_connack_within(fleet.connect_timeout))
        }
        (None, End::Failed(error)) => ("protocol_error", error.to_string()),
    };
    Err(Failure::new(cause, report::connack_fix(class, of)))
}

/// Returns the fix for a failed dial.
pub(in crate::app) fn dial_fix(error: &DialError, endpoint: &Endpoint) -> &'static str {
    error.tls_fix(endpoint.own_roots).unwrap_or_else(|| report::dial_fix(error.class, endpoint.tls.is_some()))
}

fn closed(why: Closed) -> &'static str {
    match why {
        Closed::Eof => "the server closed the connection before CONNACK",
        Closed::Reset => "the connection was reset before CONNACK",
        Closed::Unreachable => "the server became unreachable before CONNACK",
        Closed::TlsAlert(end) => end.cause,
        Closed::Fault | Closed::Local => "the connection ended before CONNACK",
    }
}

/// Returns the error of a connection without CONNACK until the fleet's timeout.
pub(in crate::app) fn no_connack_within(connect_timeout: Duration) -> String {
    format!("no CONNACK within {} (connect_timeout)", set_duration(connect_timeout))
}

#[cfg(test)]
mod tests;
