//! Whether this machine has what a plan needs: descriptors, local ports, source addresses, memory. Every refusal names
//! the number needed and the command that gives it.

use super::super::AppError;
use super::super::machine::{descriptors_max, ephemeral_ports, memory_available};
use crate::fleet::raise_descriptor_limit;
use crate::link::{self, Endpoint};
use crate::plan::{Needs, Plan, Target};
use crate::units::{human_bytes, human_count};
use std::fmt;
use std::net::IpAddr;

/// The widest range that the system's own services leave to connections.
const PORT_FIRST: u64 = 1_024;
const PORT_LAST: u64 = 65_535;

/// Raises the descriptor limit and refuses what cannot work.
pub(in crate::app) async fn resources(plan: &Plan, workers: usize) -> Result<(), AppError> {
    let needs = plan.needs(workers);
    let limit = raise_descriptor_limit()
        .map_err(|error| AppError::Environment(format!("cannot raise the limit of open files: {error}")))?;
    descriptors(needs.descriptors, limit)?;
    source_ips(&plan.target.source_ips)?;
    match offered(plan, needs.ports).await {
        Some(offer) => ports(needs.ports, &offer),
        None => Ok(()),
    }
}

/// What this machine lacks or may come to lack, in words with what to do; empty when all is well. For `check`, which refuses
/// nothing, and for what is only an estimate.
#[must_use]
pub(in crate::app) async fn shortfalls(plan: &Plan, workers: usize) -> String {
    let needs = plan.needs(workers);
    let hard_limit = raise_descriptor_limit().unwrap_or(u64::MAX);
    let offer = offered(plan, needs.ports + needs.ports_closing).await;
    let lacking = [
        descriptors(needs.descriptors, hard_limit).err(),
        source_ips(&plan.target.source_ips).err(),
        offer.as_ref().and_then(|offer| ports(needs.ports, offer).err()),
    ];
    let lacking = lacking.into_iter().flatten().map(|error| format!("warning: {error}\n"));
    let resting = offer.and_then(|offer| resting(&needs, &offer));
    let memory = memory_available().and_then(|available| memory(&needs, available));
    lacking.chain(resting).chain(memory).collect()
}

/// Addresses that are not this machine's would fail every device.
fn source_ips(ips: &[IpAddr]) -> Result<(), AppError> {
    let failed = ips.iter().find_map(|ip| link::check_source_address(*ip).err().map(|error| (ip, error)));
    failed.map_or(Ok(()), |(ip, error)| {
        Err(AppError::Environment(format!(
            "devices cannot connect from {ip}, one of [target] source_ips: {error}\n  \
             remove it, or give it to this machine (as root):  ip address add {ip} dev <interface>"
        )))
    })
}

/// Local ports that this machine offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offer {
    first: u64,
    last: u64,
    /// Pairs of a source and a target address; each has the whole range.
    pairs: u64,
    /// Source addresses: those that are listed, or the one that the system takes.
    sources: u64,
    /// Towards the built-in hub there is but that one.
    embedded: bool,
}

impl Offer {
    fn ports(self) -> u64 {
        (self.last + 1).saturating_sub(self.first).saturating_mul(self.pairs)
    }

    /// What can be done about it, a line for each way; only what would be enough.
    fn ways_to(self, needed: u64) -> String {
        let widest = Offer { first: PORT_FIRST, last: PORT_LAST, ..self };
        let widen = (widest.ports() >= needed.max(self.ports() + 1)).then(|| {
            format!("widen the range (as root):  sysctl -w net.ipv4.ip_local_port_range=\"{PORT_FIRST} {PORT_LAST}\"")
        });
        let addresses = needed.div_ceil((self.ports() / self.sources.max(1)).max(1));
        let list = if self.embedded {
            format!(
                "start a hub by hand (hubstorm emulator --help) and name it in [target], with at least {addresses} source_ips: \
                 [\"127.0.0.1\", \"127.0.0.2\", ..]"
            )
        } else {
            format!(
                "give this machine more addresses and list at least {addresses}:  [target] source_ips = [\"10.0.0.2\", \"10.0.0.3\", \
                 ..]"
            )
        };
        widen.into_iter().chain([list]).map(|way| format!("  {way}\n")).collect()
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} to {}", human_count(self.ports()), self.first, self.last)?;
        match self.pairs {
            1 => f.write_str(")"),
            pairs => write!(f, ", {pairs} times: once for each pair of a source and a target address)"),
        }
    }
}

/// What is offered for this plan. The target's name is looked up only where one address is not enough for what is needed.
async fn offered(plan: &Plan, needed: u64) -> Option<Offer> {
    let (first, last) = ephemeral_ports()?;
    let Target { host, port, source_ips, .. } = &plan.target;
    let sources = source_ips.len().max(1) as u64;
    let offer = Offer { first, last, pairs: sources, sources, embedded: plan.emulator.is_some() };
    if needed <= offer.ports() || offer.embedded {
        return Some(offer);
    }
    let endpoint =
        Endpoint { host: host.clone(), port: *port, sources: source_ips.clone(), ..Endpoint::default() };
    match link::address_pairs(&endpoint).await {
        Ok(pairs) => Some(Offer { pairs: pairs.max(1), ..offer }),
        // The preflight connection reports a name that does not resolve.
        Err(_) => Some(offer),
    }
}

/// Ports that rest after a close may run out although those in use do not.
fn resting(needs: &Needs, offer: &Offer) -> Option<String> {
    let together = needs.ports + needs.ports_closing;
    (ports(needs.ports, offer).is_ok() && ports(together, offer).is_err()).then(|| {
        format!(
            "warning: up to {} local ports may rest for a minute after their devices renewed or left, beside {} in use; the \
             system offers {offer}; any of these helps:\n{}  \
             use fewer devices, renew less often (ttl), or let devices come and go more slowly\n",
            human_count(needs.ports_closing),
            human_count(needs.ports),
            offer.ways_to(together),
        )
    })
}

fn descriptors(needed: u64, limit: u64) -> Result<(), AppError> {
    if needed <= limit {
        return Ok(());
    }
    Err(AppError::Environment(format!("this plan needs {}", more_descriptors(needed, limit))))
}

/// How many open files are wanted and there are, and what to do.
pub(in crate::app) fn more_descriptors(needed: u64, limit: u64) -> String {
    let first = match descriptors_max() {
        Some(most) if most < needed => {
            format!("first let a process have so many (as root):  sysctl -w fs.nr_open={needed}\n  ")
        }
        _ => String::new(),
    };
    format!(
        "{} open files and this process may have {}\n  \
         {first}raise the limit in the shell that starts hubstorm (as root):  ulimit -n {needed}\n  \
         or for good in /etc/security/limits.conf:  * hard nofile {needed}",
        human_count(needed),
        human_count(limit),
    )
}

fn ports(needed: u64, offer: &Offer) -> Result<(), AppError> {
    if needed <= offer.ports() {
        return Ok(());
    }
    Err(AppError::Environment(format!(
        "this plan needs {} local ports towards the target and the system offers {offer}; any of these helps:\n{}  \
         use {} devices or fewer",
        human_count(needed),
        offer.ways_to(needed),
        human_count(offer.ports()),
    )))
}

/// Not enough memory is an estimate: warned of, never refused.
fn memory(needs: &Needs, available: u64) -> Option<String> {
    let (about, most) = (needs.memory_bytes, needs.memory_max_bytes);
    let [about, most] = [about, most].map(|bytes| (bytes > available).then(|| human_bytes(bytes)));
    let (wants, fewer) = match (about, most) {
        (Some(about), _) => (format!("needs about {about} of memory"), "fewer devices or smaller messages"),
        (None, Some(most)) => (
            format!("needs up to {most} of memory if the hub stops reading and acknowledging"),
            "smaller messages, a lower in_flight or fewer devices",
        ),
        (None, None) => return None,
    };
    Some(format!("warning: this plan {wants}, and {} are available; use {fewer}\n", human_bytes(available)))
}

#[cfg(test)]
mod tests;
