//! `hubstorm doctor`: what this machine lets a load do, what is in its way and how to change that, and whether a target
//! can be reached, step by step. It changes nothing but this process's own limit of open files.

use super::{AppError, Env, environment_error, machine, preflight, print, read_scenario};
use crate::cli::DoctorArgs;
use crate::clock;
use crate::link::{self, Dialed, Endpoint, Resolver, Steps, TlsFacts, tls};
use crate::plan::Needs;
use crate::sansio::TlsEnd;
use crate::units::{human_bytes, human_count, human_us};
use std::fmt::Write as _;
use std::time::Duration;

/// A target that takes longer is not reached.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a server that requested a client certificate has to refuse the connection without one.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Below this many descriptors a load of a few thousand devices does not fit.
const DESCRIPTORS_COMFORTABLE: u64 = 4_096;
/// How often, and how long, the timer is tried.
const NAPS: u32 = 50;
const NAP: Duration = Duration::from_millis(1);
/// A timer later than this shows in latencies.
const NAP_LATE_US: u64 = 1_000;

/// Prints what it finds; exit code 1 when the target cannot be reached.
pub(super) async fn run(args: &DoctorArgs, env: &mut Env) -> Result<(), AppError> {
    let target = args.target.as_deref().map(read_scenario::host_and_port).transpose()?;
    let mut report = Report::default();
    hardware(&mut report);
    timing(&mut report);
    roots(&mut report);
    print(env, &report.text())?;
    match target {
        Some((host, port)) => reach(args, host, port, env).await,
        None => Ok(()),
    }
}

/// Lines, each with its name, and what to do about some of them.
#[derive(Default)]
struct Report {
    lines: Vec<(&'static str, String)>,
    warnings: Vec<String>,
}

impl Report {
    fn line(&mut self, name: &'static str, text: String) {
        self.lines.push((name, text));
    }

    fn text(&self) -> String {
        let mut out = "this machine\n".to_owned();
        for (name, text) in &self.lines {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {name:<13}{text}");
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "warning: {warning}");
        }
        if self.warnings.is_empty() {
            out.push_str("nothing is in the way\n");
        }
        out
    }
}

fn hardware(report: &mut Report) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    report.line(
        "cores",
        format!("{cores}, {}", machine::processor().unwrap_or_else(|| "of unknown make".to_owned())),
    );
    if machine::has_aes() {
        report.line("AES", "in the processor".to_owned());
    } else {
        report.line("AES", "in software".to_owned());
        report
            .warnings
            .push("this processor has no AES instructions: TLS takes several times the time".to_owned());
    }
    let mut room = vec![];
    if let Some(bytes) = machine::memory_available() {
        report.line("memory", format!("{} available", human_bytes(bytes)));
        room.push((Needs::devices_in(bytes), "memory"));
    }
    match crate::fleet::raise_descriptor_limit() {
        Ok(limit) => {
            report.line("descriptors", format!("{} for each process", human_count(limit)));
            room.push((limit.saturating_sub(Needs::DESCRIPTORS_BESIDE), "descriptors"));
            if limit < DESCRIPTORS_COMFORTABLE {
                let wanted = "a load of a few thousand devices needs";
                let more = preflight::more_descriptors(DESCRIPTORS_COMFORTABLE, limit);
                report.warnings.push(format!("{wanted} {more}"));
            }
        }
        Err(error) => report.warnings.push(format!("the limit of open files cannot be raised: {error}")),
    }
    if let Some((first, last)) = machine::ephemeral_ports() {
        let count = (last + 1).saturating_sub(first);
        report.line("ports", format!("{} towards one target ({first} to {last})", human_count(count)));
        room.push((count, "ports"));
    }
    match room.into_iter().min() {
        Some((0, bound)) => report.line("room for", format!("no device: too few {bound}")),
        Some((devices, bound)) => report
            .line("room for", format!("about {} devices over TLS, bounded by {bound}", human_count(devices))),
        None => {}
    }
}

/// Where the time comes from, and how late this machine wakes who waits for it.
fn timing(report: &mut Report) {
    let mut late_us = Vec::new();
    for _ in 0..NAPS {
        let due = clock::now() + NAP;
        // The kernel's own timer, as a load's deadlines use it; nothing else waits for this thread.
        std::thread::sleep(NAP);
        late_us
            .push(u64::try_from(clock::now().saturating_duration_since(due).as_micros()).unwrap_or(u64::MAX));
    }
    late_us.sort_unstable();
    let (median, worst) = (late_us[late_us.len() / 2], late_us[late_us.len() - 1]);
    let source = machine::clock_source().map_or(String::new(), |source| format!("{source}, "));
    let sync = if std::path::Path::new("/run/systemd/timesync/synchronized").exists() {
        "synchronised"
    } else {
        "whether it is synchronised is not known (tokens allow five minutes)"
    };
    report.line("clock", format!("{source}{sync}"));
    report.line("timer", format!("wakes {} late, {} at worst", human_us(median), human_us(worst)));
    if median > NAP_LATE_US {
        report.warnings.push(
            "this machine wakes its tasks late, and latencies will show it; stop what else runs here, or use another machine"
                .to_owned(),
        );
    }
}

fn roots(report: &mut Report) {
    match tls::client(&tls::ClientOptions::default()) {
        Ok(_) => report.line("TLS roots", "the system's".to_owned()),
        Err(error) => {
            report.line("TLS roots", "none".to_owned());
            report.warnings.push(error.to_string());
        }
    }
}

/// Dials the target once, each step timed.
async fn reach(args: &DoctorArgs, host: &str, port: Option<u16>, env: &mut Env) -> Result<(), AppError> {
    let port = port.unwrap_or(if args.plain { 1883 } else { 8883 });
    let options = tls::ClientOptions { ca: args.ca.clone(), ..tls::ClientOptions::default() };
    let tls = match args.plain {
        true => None,
        false => Some(tls::client(&options).map_err(|error| AppError::Environment(error.to_string()))?),
    };
    print(env, &format!("target {host} on port {port}\n"))?;
    if host.parse::<std::net::IpAddr>().is_err() {
        let addresses = tokio::net::lookup_host((host, port)).await.map_err(|error| {
            environment_error(
                &format!("{host} cannot be resolved; check the name and this machine's DNS"),
                &error,
            )
        })?;
        let mut addresses: Vec<String> = addresses.map(|address| address.ip().to_string()).collect();
        addresses.dedup();
        print(env, &format!("  {:<13}{}\n", "addresses", addresses.join(", ")))?;
    }
    let own_roots = args.ca.is_some();
    let endpoint = Endpoint { host: host.to_owned(), port, tls, own_roots, ..Endpoint::default() };
    match link::dial(&endpoint, &Resolver::default(), 0, clock::now() + DIAL_TIMEOUT).await {
        Ok(Dialed { mut transport, steps, tls }) => {
            if let Err(end) = transport.await_refusal(clock::now() + REFUSAL_TIMEOUT).await {
                print(env, &took(&steps, tls.as_ref()))?;
                let TlsEnd { cause, fix } = end;
                return Err(AppError::Environment(format!("{cause}\n  {fix}")));
            }
            // Whatever listens there takes a connection: only a broker answers a CONNECT.
            let works = if tls.is_some() { "TCP and TLS work" } else { "TCP works" };
            print(env, &format!("{}{works}; MQTT was not tried\n", took(&steps, tls.as_ref())))
        }
        Err(error) => {
            print(env, &took(&error.steps, None))?;
            let fix = if error.may_lack_tls() {
                "check that the server speaks TLS 1.2 or 1.3 on this port; if it uses plain TCP there, pass --plain"
            } else {
                preflight::dial_fix(&error, &endpoint)
            };
            Err(AppError::Environment(format!("{error}\n  {fix}")))
        }
    }
}

fn took(steps: &Steps, tls: Option<&TlsFacts>) -> String {
    let mut out = String::new();
    for (name, took) in [("DNS", steps.dns), ("TCP", steps.tcp), ("TLS", steps.tls)] {
        let Some(took) = took else { continue };
        let took = human_us(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let facts = tls.filter(|_| name == "TLS");
        let facts =
            facts.map_or(String::new(), |tls| format!("  TLS {}, {}, {}", tls.version, tls.suite, tls.group));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {name:<13}{took}{facts}");
    }
    out
}
