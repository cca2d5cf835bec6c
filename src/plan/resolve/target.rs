//! Resolves `[target]` and `[emulator]`. Used by `resolve`.

use super::{hosts, tier};
use crate::iothub::emulator_options::{EmulatorOptions, TierOptions};
use crate::plan::model::{HostPort, Target, TargetKind, TlsPlan};
use crate::scenario::{Errors, Scenario, TargetSpec, resolve_path};
use core::net::IpAddr; // `core::net` has addresses but no sockets.

/// Ports of MQTT over TLS and over TCP, as registered with IANA (`secure-mqtt`, `mqtt`).
const TLS_PORT: u16 = 8883;
const PLAIN_PORT: u16 = 1883;

/// Resolves the target. The kind is `None` if the scenario's `kind` is invalid, so that other errors do not depend on a wrong
/// kind.
pub(super) fn target(scenario: &Scenario, errors: &mut Errors) -> (Target, Option<TargetKind>) {
    let Some(spec) = &scenario.target else {
        let tls = Some(TlsPlan { ca: None, verify: true, resumption: scenario.emulator.resumption });
        let target = Target {
            kind: TargetKind::IotHub,
            host: String::new(),
            port: 0,
            others: Vec::new(),
            failover: false,
            tls,
            source_ips: Vec::new(),
            size: None,
        };
        return (target, Some(TargetKind::IotHub));
    };
    let hub = spec.kind == Some(TargetKind::IotHub);
    if let Some(tls) = spec.tls.as_ref().filter(|tls| !tls.on) {
        if hub {
            let problem = errors.add(&tls.place, "an IoT hub accepts MQTT only over TLS");
            problem.found("false").fix("remove it, or use kind = \"mqtt\" for a plain broker");
        }
        if let Some(ca) = &spec.ca {
            errors.add(&ca.place, "ca and tls = false contradict each other").fix("remove one of the two");
        }
    }
    // Port 8883 implies TLS, so that forgetting `tls` does not expose a password in clear text.
    let ports = spec.hosts.iter().filter_map(|host| host.port).chain(spec.port);
    let meant = hub || spec.ca.is_some() || ports.into_iter().any(|port| port == TLS_PORT);
    let on = spec.tls.as_ref().map_or(meant, |tls| tls.on);
    let tls = on.then(|| TlsPlan {
        ca: spec.ca.as_ref().map(|ca| resolve_path(&scenario.file, &ca.place, &ca.value)),
        verify: spec.tls.as_ref().is_none_or(|tls| tls.verify),
        resumption: spec.tls.as_ref().is_some_and(|tls| tls.resumption),
    });
    let port = spec.port.unwrap_or(if on { TLS_PORT } else { PLAIN_PORT });
    let mut hosts = hosts::hosts(scenario, spec, port, errors).into_iter();
    let first = hosts.next().unwrap_or(HostPort { host: String::new(), port });
    let target = Target {
        kind: spec.kind.unwrap_or(TargetKind::IotHub),
        host: first.host,
        port: first.port,
        others: hosts.collect(),
        failover: spec.failover.as_ref().is_some_and(|failover| failover.value),
        tls,
        source_ips: source_ips(spec, errors),
        size: tier::target(spec, errors),
    };
    (target, spec.kind)
}

fn source_ips(spec: &TargetSpec, errors: &mut Errors) -> Vec<IpAddr> {
    let hosts = spec.hosts.iter().filter_map(|host| host.host.value.parse::<IpAddr>().ok());
    let hosts: Vec<IpAddr> = hosts.collect();
    let mut found: Vec<IpAddr> = Vec::new();
    for written in &spec.source_ips {
        let ip = written.value;
        let what = if ip.is_unspecified() || ip.is_multicast() {
            "not an address to connect from"
        } else if hosts.iter().any(|host| host.is_ipv4() != ip.is_ipv4()) {
            "the host's address is of the other family (IPv4 or IPv6)"
        } else if found.contains(&ip) {
            "given twice"
        } else {
            found.push(ip);
            continue;
        };
        let problem = errors.add(&written.place, what).found(format!("{:?}", written.text));
        problem.allowed(
            "addresses of this machine, without duplicates, of the same family as the host's address",
        );
    }
    found
}

pub(super) fn emulator(scenario: &Scenario, tier: Option<TierOptions>) -> Option<EmulatorOptions> {
    let (spec, default) = (&scenario.emulator, EmulatorOptions::default());
    scenario.target.is_none().then(|| EmulatorOptions {
        expiry_grace: spec.expiry_grace.unwrap_or(default.expiry_grace),
        lenient_properties: spec.lenient_properties.unwrap_or(default.lenient_properties),
        tls_resumption: spec.resumption,
        tier,
    })
}
