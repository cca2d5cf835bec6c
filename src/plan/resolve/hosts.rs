//! Resolves the hosts of `[target]`, and the errors that only several hosts can have. Used by `target`.

use crate::plan::model::{HostPort, address_of};
use crate::scenario::{EmulatorSpec, Errors, HostSpec, Scenario, TargetSpec, is_azure_hub};

/// Returns the hosts with their ports. Empty if the scenario's are invalid.
pub(super) fn hosts(
    scenario: &Scenario,
    spec: &TargetSpec,
    default: u16,
    errors: &mut Errors,
) -> Vec<HostPort> {
    let mut found: Vec<HostPort> = Vec::new();
    for HostSpec { host, port } in &spec.hosts {
        let host_port = HostPort { host: host.value.clone(), port: port.unwrap_or(default) };
        let is_same = |other: &HostPort| {
            other.port == host_port.port && other.host.eq_ignore_ascii_case(&host_port.host)
        };
        if found.iter().any(is_same) {
            let problem = errors.add(&host.place, "the list has this host twice");
            problem.found(address_of(&host_port.host, host_port.port));
            problem.fix("remove it, or add the port of another server: \"HOST:PORT\"");
        } else {
            found.push(host_port);
        }
    }
    if spec.hosts.len() > 1 {
        check_kinds(&spec.hosts, errors);
        check_emulator(&scenario.emulator, &spec.hosts, errors);
        if let Some(tier) = &spec.size.tier {
            let problem = errors.add(&tier.place, "tier is for one hub, but [target] has several hosts");
            problem.found(format!("{:?}", tier.text));
            problem
                .fix("remove tier and units: a run against several hubs is not compared with their limits");
        }
    }
    if let (Some(failover), [host]) =
        (spec.failover.as_ref().filter(|written| written.value), &spec.hosts[..])
    {
        let problem = errors.add(&failover.place, "failover needs a second host, but [target] has one");
        problem.found("\"next\"");
        problem.fix(format!(
            "list all hosts: host = [\"{}\", \"...\"], or set failover = \"none\" (--set target.failover=none)",
            host.host.text
        ));
    }
    found
}

/// Reports a list with hubs of Azure and other servers: their keys, limits and prices differ, and the result would mix them.
fn check_kinds(hosts: &[HostSpec], errors: &mut Errors) {
    let Some(first) = hosts.first() else { return };
    let is_azure = is_azure_hub(&first.host.value);
    if let Some(other) = hosts.iter().find(|other| is_azure_hub(&other.host.value) != is_azure) {
        let what = "the list mixes hubs in Azure with other servers";
        let problem = errors.add(&other.host.place, what);
        problem.allowed("only names such as example.azure-devices.net, or none of them");
        problem.fix("test the two kinds with one scenario each, and compare the results");
    }
}

/// Reports settings of the built-in hub, which is a single host and does not run if there is a target.
fn check_emulator(emulator: &EmulatorSpec, hosts: &[HostSpec], errors: &mut Errors) {
    // Faults have an error of their own, with any target.
    let EmulatorSpec {
        expiry_grace,
        lenient_properties,
        size,
        quota_used,
        throttle,
        resumption,
        faults: _,
        chaos: _,
    } = emulator;
    let is_set = expiry_grace.is_some()
        || lenient_properties.is_some()
        || size.tier.is_some()
        || size.units.is_some()
        || quota_used.is_some()
        || throttle.is_some()
        || *resumption;
    if let (true, Some(first)) = (is_set, hosts.first()) {
        let what = "[emulator] is for the built-in hub, which is a single host: it cannot be one of several";
        let problem = errors.add(&first.host.place, what);
        problem
            .fix("start `hubstorm emulator` once for each host with these settings, and remove [emulator]");
    }
}
