//! Compares the needs of a plan with this machine: file descriptors, local ports, source addresses, memory. Each error contains the needed
//! amount and a command to provide it. `run` refuses a plan that cannot work; `check` only prints warnings.

use super::super::AppError;
use super::super::machine::{descriptors_max, ephemeral_ports, memory_available};
use crate::fleet::raise_descriptor_limit;
use crate::link::{self, Endpoint};
use crate::plan::{Needs, Plan, Target};
use crate::units::{human_bytes, human_count};
use std::fmt;
use std::net::IpAddr;

/// The widest sensible range of ephemeral ports.
const PORT_FIRST: u64 = 1_024;
const PORT_LAST: u64 = 65_535;

/// Raises the open-files limit. Fails if this machine lacks a resource that the plan needs.
pub(in crate::app) async fn resources(plan: &Plan, workers: usize) -> Result<(), AppError> {
    let needs = plan.needs(workers);
    let limit = raise_descriptor_limit()
        .map_err(|error| AppError::Environment(format!("cannot raise the limit on open files: {error}")))?;
    descriptors(needs.descriptors, limit)?;
    source_ips(&plan.target.source_ips)?;
    match offered(plan, needs.ports).await {
        Some(offer) => ports(needs.ports, &offer),
        None => Ok(()),
    }
}

/// Returns a warning for each resource that this machine lacks, or may lack according to an estimate. The lines below the first are ways to
/// fix it. Empty if nothing is missing.
#[must_use]
pub(in crate::app) async fn shortfalls(plan: &Plan, workers: usize) -> Vec<String> {
    let needs = plan.needs(workers);
    let hard_limit = raise_descriptor_limit().unwrap_or(u64::MAX);
    let offer = offered(plan, needs.ports + needs.ports_closing).await;
    let missing = [
        descriptors(needs.descriptors, hard_limit).err(),
        source_ips(&plan.target.source_ips).err(),
        offer.as_ref().and_then(|offer| ports(needs.ports, offer).err()),
    ];
    let missing = missing.into_iter().flatten().map(|error| error.to_string());
    let closing = offer.and_then(|offer| closing_ports(&needs, &offer));
    let memory = memory_available().and_then(|available| memory(&needs, available));
    missing.chain(closing).chain(memory).collect()
}

/// Checks that every source address belongs to this machine.
fn source_ips(ips: &[IpAddr]) -> Result<(), AppError> {
    let failed = ips.iter().find_map(|ip| link::check_source_address(*ip).err().map(|error| (ip, error)));
    failed.map_or(Ok(()), |(ip, error)| {
        Err(AppError::Environment(format!(
            "devices cannot connect from {ip} in target.source_ips: {error}\n  \
             remove the address from source_ips, or add it to this machine (as root):  ip address add {ip} dev <interface>"
        )))
    })
}

/// The local ports available for connections to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offer {
    first: u64,
    last: u64,
    /// The number of pairs of a source and a target address. Each pair can use the whole range.
    pairs: u64,
    /// Number of source addresses: the addresses in `source_ips`, or one address that the system chooses.
    sources: u64,
    /// True for the built-in hub, which has no `source_ips`.
    embedded: bool,
}

impl Offer {
    fn ports(self) -> u64 {
        (self.last + 1).saturating_sub(self.first).saturating_mul(self.pairs)
    }

    /// Returns the ways to get the needed number of ports, one per line. Leaves out ways that would not yield enough ports.
    fn fixes(self, needed: u64) -> String {
        let widest = Offer { first: PORT_FIRST, last: PORT_LAST, ..self };
        let widen = (widest.ports() >= needed.max(self.ports() + 1)).then(|| {
            format!("widen the range (as root):  sysctl -w net.ipv4.ip_local_port_range=\"{PORT_FIRST} {PORT_LAST}\"")
        });
        let addresses = needed.div_ceil((self.ports() / self.sources.max(1)).max(1));
        let list = if self.embedded {
            format!(
                "start an emulator yourself (hubstorm emulator --help) and set it as the target, with at least {addresses} source_ips: \
                 [\"127.0.0.1\", \"127.0.0.2\", ..]"
            )
        } else {
            format!(
                "add addresses to this machine and list at least {addresses} in target.source_ips: [\"10.0.0.2\", \"10.0.0.3\", \
                 ..]"
            )
        };
        widen.into_iter().chain([list]).map(|fix| format!("  {fix}\n")).collect()
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} to {}", human_count(self.ports()), self.first, self.last)?;
        match self.pairs {
            1 => f.write_str(")"),
            pairs => write!(f, ", for each of {pairs} pairs of source and target addresses)"),
        }
    }
}

/// Returns the ports available to this plan. Resolves the target's name only if the ports for one target address are not enough.
async fn offered(plan: &Plan, needed: u64) -> Option<Offer> {
    let (first, last) = ephemeral_ports()?;
    let Target { source_ips, failover, .. } = &plan.target;
    let sources = source_ips.len().max(1) as u64;
    // Each host has all ports of a source address. After a failover, one host may have all devices.
    let hosts = if *failover { 1 } else { u64::from(plan.target.host_count()) };
    let offer = Offer { first, last, pairs: sources * hosts, sources, embedded: plan.emulator.is_some() };
    if needed <= offer.ports() || offer.embedded {
        return Some(offer);
    }
    let mut pairs = Vec::new();
    for (host, port) in plan.target.hosts() {
        let endpoint =
            Endpoint { host: host.to_owned(), port, sources: source_ips.clone(), ..Endpoint::default() };
        match link::address_pairs(&endpoint).await {
            Ok(count) => pairs.push(count.max(1)),
            // The preflight connection reports the error.
            Err(_) => return Some(offer),
        }
    }
    // Without failover, the host with the fewest pairs limits its equal share of the devices.
    let fewest = pairs.into_iter().min().unwrap_or(1);
    Some(Offer { pairs: fewest * hosts, ..offer })
}

/// Warns if closed connections, whose ports the kernel reserves for a minute, may use up the range.
fn closing_ports(needs: &Needs, offer: &Offer) -> Option<String> {
    let together = needs.ports + needs.ports_closing;
    (ports(needs.ports, offer).is_ok() && ports(together, offer).is_err()).then(|| {
        format!(
            "this plan may need {} local ports for connections closed in the last minute, in addition to {} in use; the \
             system offers {offer}; do one of:\n{}  \
             use fewer devices, renew tokens less often (ttl), or change the online share more slowly",
            human_count(needs.ports_closing),
            human_count(needs.ports),
            offer.fixes(together),
        )
    })
}

fn descriptors(needed: u64, limit: u64) -> Result<(), AppError> {
    if needed <= limit {
        return Ok(());
    }
    Err(AppError::Environment(format!("this plan needs {}", more_descriptors(needed, limit))))
}

/// Describes the needed number of open files and the limit, and how to raise the limit.
pub(in crate::app) fn more_descriptors(needed: u64, limit: u64) -> String {
    let first = match descriptors_max() {
        Some(most) if most < needed => {
            format!("first raise the system limit (as root):  sysctl -w fs.nr_open={needed}\n  ")
        }
        _ => String::new(),
    };
    format!(
        "{} open files, but the limit of this process is {}\n  \
         {first}raise the limit in the shell that starts hubstorm (as root):  ulimit -n {needed}\n  \
         or permanently in /etc/security/limits.conf:  * hard nofile {needed}",
        human_count(needed),
        human_count(limit),
    )
}

fn ports(needed: u64, offer: &Offer) -> Result<(), AppError> {
    if needed <= offer.ports() {
        return Ok(());
    }
    Err(AppError::Environment(format!(
        "this plan needs {} local ports to the target, but the system offers {offer}; do one of:\n{}  \
         use at most {} devices",
        human_count(needed),
        offer.fixes(needed),
        human_count(offer.ports()),
    )))
}

/// Warns if there may be too little memory. The needed amount is an estimate, so this is never an error.
fn memory(needs: &Needs, available: u64) -> Option<String> {
    let (about, most) = (needs.memory_bytes, needs.memory_max_bytes);
    let [about, most] = [about, most].map(|bytes| (bytes > available).then(|| human_bytes(bytes)));
    let (need, fix) = match (about, most) {
        (Some(about), _) => {
            (format!("needs about {about} of memory"), "use fewer devices or smaller messages")
        }
        (None, Some(most)) => (
            format!("needs up to {most} of memory if the hub stops reading and acknowledging"),
            "use smaller messages, a lower in_flight or fewer devices",
        ),
        (None, None) => return None,
    };
    Some(format!("this plan {need}, but only {} is available; {fix}", human_bytes(available)))
}

#[cfg(test)]
mod tests;
