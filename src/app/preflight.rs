//! Before load: can this machine carry it, and does the reader know what it will cost? Called by `run`; every
//! refusal names the number needed and the command that gives it.

use super::AppError;
use super::machine::{ephemeral_ports, memory_available};
use crate::fleet::raise_descriptor_limit;
use crate::plan::{Needs, Plan};
use crate::units::human_bytes;
use std::path::Path;

/// What a common result and its page take; a longer run's take more.
const RESULT_BYTES: usize = 1024 * 1024;

/// Raises the descriptor limit and refuses what cannot work.
pub(super) fn machine(plan: &Plan) -> Result<(), AppError> {
    let needs = plan.needs();
    let limit = raise_descriptor_limit()
        .map_err(|error| AppError::Environment(format!("cannot raise the limit of open files: {error}")))?;
    descriptors(needs.descriptors, limit)?;
    if let Some(range) = ephemeral_ports() {
        ports(needs.ports, range)?;
    }
    Ok(())
}

/// What this machine lacks or may come to lack, in words with what to do; empty when all is well. For `check`, which refuses
/// nothing, and for what is only an estimate.
#[must_use]
pub(super) fn shortfalls(plan: &Plan) -> String {
    let needs = plan.needs();
    let hard_limit = raise_descriptor_limit().unwrap_or(u64::MAX);
    let lacking = [
        descriptors(needs.descriptors, hard_limit).err(),
        ephemeral_ports().and_then(|range| ports(needs.ports, range).err()),
    ];
    let lacking = lacking.into_iter().flatten().map(|error| format!("warning: {error}\n"));
    let resting = ephemeral_ports().and_then(|range| resting(&needs, range));
    let memory = memory_available().and_then(|available| memory(needs.memory_bytes, available));
    lacking.chain(resting).chain(memory).collect()
}

/// Ports that rest after a close may run out although those in use do not.
fn resting(needs: &Needs, range: (u64, u64)) -> Option<String> {
    let together = needs.ports + needs.ports_closing;
    (ports(needs.ports, range).is_ok() && ports(together, range).is_err()).then(|| {
        format!(
            "warning: up to {} local ports may rest for a minute after their devices renewed or left, beside {} in use; the \
             system offers {} ({} to {})\n  \
             widen the range (as root):  sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"\n  \
             or renew less often (ttl), or let devices come and go more slowly\n",
            needs.ports_closing,
            needs.ports,
            (range.1 + 1).saturating_sub(range.0),
            range.0,
            range.1,
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
pub(super) fn more_descriptors(needed: u64, limit: u64) -> String {
    format!(
        "{needed} open files and this process may have {limit}\n  \
         raise the hard limit in the shell that starts hubstorm (as root):  ulimit -Hn {needed} && ulimit -n {needed}\n  \
         or for good in /etc/security/limits.conf:  * hard nofile {needed}"
    )
}

fn ports(needed: u64, (first, last): (u64, u64)) -> Result<(), AppError> {
    let available = (last + 1).saturating_sub(first);
    if needed <= available {
        return Ok(());
    }
    Err(AppError::Environment(format!(
        "this plan needs {needed} local ports to one destination and the system offers {available} ({first} to {last})\n  \
         widen the range (as root):  sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"\n  \
         or use fewer devices"
    )))
}

/// Not enough memory is an estimate: warned of, never refused.
fn memory(needed: u64, available: u64) -> Option<String> {
    (needed > available).then(|| {
        format!(
            "warning: this plan needs about {} of memory and {} are available; use fewer devices, or split the run over \
             several machines\n",
            human_bytes(needed),
            human_bytes(available)
        )
    })
}

/// Makes the output folder now, and tries whether a result fits into it: a run must not end with nowhere to put one.
pub(super) fn output(folder: &Path) -> Result<(), AppError> {
    let shown = folder.display();
    let advice = "free some space, mount it writable, or name another folder with --out";
    std::fs::create_dir_all(folder).map_err(|error| {
        AppError::Environment(format!("cannot make the output folder {shown}: {error}\n  {advice}"))
    })?;
    let probe = folder.join(format!(".hubstorm-{}", std::process::id()));
    let written = std::fs::write(&probe, vec![0; RESULT_BYTES]);
    let removed = std::fs::remove_file(&probe);
    written.and(removed).map_err(|error| {
        AppError::Environment(format!("cannot write to the output folder {shown}: {error}\n  {advice}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_descriptors_name_the_number_and_the_command() {
        assert!(descriptors(1_000, 1_024).is_ok());
        let message = descriptors(50_000, 20_000).unwrap_err().to_string();
        assert!(message.contains("50000") && message.contains("ulimit -n 50000"), "{message}");
    }

    #[test]
    fn too_few_ports_name_the_number_and_the_command() {
        assert!(ports(28_232, (32_768, 60_999)).is_ok());
        let message = ports(28_233, (32_768, 60_999)).unwrap_err().to_string();
        assert!(message.contains("28233") && message.contains("ip_local_port_range"), "{message}");
    }

    #[test]
    fn too_little_memory_is_warned_of() {
        assert_eq!(memory(1 << 30, 1 << 30), None);
        let warning = memory(3 << 30, 1 << 30).unwrap();
        assert!(warning.contains("3.0 GiB") && warning.contains("1.0 GiB"), "{warning}");
    }

    #[test]
    fn ports_that_rest_are_warned_of_and_never_refused() {
        let needs = |ports_closing| Needs { descriptors: 0, ports: 20_000, ports_closing, memory_bytes: 0 };
        let range = (32_768, 60_999);
        assert_eq!(resting(&needs(8_232), range), None);
        let warning = resting(&needs(8_233), range).unwrap();
        assert!(warning.contains("8233") && warning.contains("ip_local_port_range"), "{warning}");
        let too_many = Needs { ports: 30_000, ..needs(1) };
        assert_eq!(resting(&too_many, range), None, "that is refused anyway");
    }

    #[test]
    fn an_output_folder_that_cannot_be_made_is_known_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("taken");
        std::fs::write(&file, "x").unwrap();
        assert!(output(&file.join("reports")).is_err());
        assert!(output(&folder.path().join("new")).is_ok());
    }
}
