//! `doctor --target`: connects to a target once, and times each step as a run does. Tests TCP and TLS, not MQTT.

use super::super::columns::{DOCTOR_TEXT_COLUMN, Layout, doctor_row, doctor_step};
use super::super::{AppError, Env, preflight, print};
use crate::cli::DoctorArgs;
use crate::clock;
use crate::link::{self, Dialed, Endpoint, Resolver, Steps, TlsFacts, tls};
use crate::sansio::TlsEnd;
use std::time::Duration;

/// Maximum time to connect to the target.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to wait for a server that requested a client certificate to refuse the connection.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects to the target once and times each step.
pub(super) async fn connect(
    args: &DoctorArgs,
    host: &str,
    port: Option<u16>,
    env: &mut Env,
) -> Result<(), AppError> {
    let port = port.unwrap_or(if args.plain { 1883 } else { 8883 });
    let options = tls::ClientOptions { ca: args.ca.clone(), ..tls::ClientOptions::default() };
    let tls = match args.plain {
        true => None,
        false => Some(tls::client(&options).map_err(|error| AppError::Environment(error.to_string()))?),
    };
    print(env, &format!("target {host} on port {port}\n"))?;
    let own_roots = args.ca.is_some();
    let endpoint = Endpoint { host: host.to_owned(), port, tls, own_roots, ..Endpoint::default() };
    // As in a worker: the first handshake of a thread would otherwise take tens of milliseconds longer.
    tls::warm_up();
    let dialed = link::dial(&endpoint, &Resolver::default(), 0, clock::now() + DIAL_TIMEOUT).await;
    // After the timed lookup, because a second one may be answered from a cache.
    let layout = Layout::of((env.out_width)());
    print(env, &layout.list(&addresses(host, port).await, DOCTOR_TEXT_COLUMN))?;
    match dialed {
        Ok(Dialed { mut transport, steps, tls }) => {
            if let Err(end) = transport.await_refusal(clock::now() + REFUSAL_TIMEOUT).await {
                print(env, &layout.list(&step_times(&steps, tls.as_ref()), DOCTOR_TEXT_COLUMN))?;
                let TlsEnd { cause, fix } = end;
                return Err(AppError::Environment(format!("{cause}\n  {fix}")));
            }
            // Any server can accept a TCP connection. Only an MQTT exchange would show that it is a broker.
            let works = if tls.is_some() { "TCP and TLS work" } else { "TCP works" };
            let text =
                format!("{}{works}. To test MQTT, add --scenario FILE\n", step_times(&steps, tls.as_ref()));
            print(env, &layout.list(&text, DOCTOR_TEXT_COLUMN))
        }
        Err(error) => {
            print(env, &step_times(&error.steps, None))?;
            let fix = if error.may_lack_tls() {
                "check that the server uses TLS 1.2 or 1.3 on this port; for a server without TLS, add --plain"
            } else {
                preflight::dial_fix(&error, &endpoint)
            };
            Err(AppError::Environment(format!("{}\n  {fix}", error.text_within(DIAL_TIMEOUT))))
        }
    }
}

/// Returns a line with the addresses of a host name; empty for an address, and if the name cannot be resolved.
async fn addresses(host: &str, port: u16) -> String {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return String::new();
    }
    let Ok(found) = tokio::net::lookup_host((host, port)).await else { return String::new() };
    let mut addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
    addresses.dedup();
    doctor_row("addresses", &addresses.join(", "))
}

fn step_times(steps: &Steps, tls: Option<&TlsFacts>) -> String {
    let steps = [("DNS", steps.dns, None), ("TCP", steps.tcp, None), ("TLS", steps.tls, tls)];
    let timed = steps.into_iter().filter_map(|(name, time, tls)| Some(doctor_step(name, time?, tls)));
    timed.collect()
}
