//! The cost of a process, as counted by the kernel. No program reports its own cost.

use super::Failure;
use super::load::Load;
use nix::sys::resource::{UsageWho, getrusage};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The cost of a client, including the processes that it started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu_us: u64,
    pub(crate) rss_peak_bytes: u64,
    /// CPU time of its first process alone, from one second after the ramp to the end of the work: without connecting and
    /// disconnecting.
    pub(crate) cpu_at_work_us: u64,
}

/// How often a client's memory and CPU are read.
const SAMPLE: Duration = Duration::from_millis(100);

/// Runs a client to its end, whatever its exit code. Its output goes to the file `log`. No other child process may be
/// waited for at the same time.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock itself")]
pub(crate) fn run(command: &mut Command, load: Load, log: &Path) -> Result<Cost, Failure> {
    let file = std::fs::File::create(log)?;
    let (before, started) = (children_cpu_us()?, Instant::now());
    let seconds = |s: u32| Duration::from_secs(s.into());
    let work = seconds(load.ramp_s + 1)..seconds(load.ramp_s + load.work_s);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    let (mut rss_peak_bytes, mut at_work) = (0, None);
    while child.try_wait()?.is_none() {
        rss_peak_bytes = tree_rss_peak_bytes(child.id()).max(rss_peak_bytes);
        if work.contains(&started.elapsed()) {
            let now = cpu_us(child.id())?;
            at_work = Some((at_work.map_or(now, |(first, _)| first), now));
        }
        std::thread::sleep(SAMPLE);
    }
    let cpu_at_work_us = at_work.map_or(0, |(first, last)| last - first);
    Ok(Cost { cpu_us: children_cpu_us()? - before, rss_peak_bytes, cpu_at_work_us })
}

/// Returns the user and system time of all ended children that were waited for, and of their descendants.
fn children_cpu_us() -> Result<u64, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let times = [usage.user_time(), usage.system_time()];
    Ok(u64::try_from(times.iter().map(|time| time.tv_sec() * 1_000_000 + time.tv_usec()).sum::<i64>())?)
}

/// Returns the summed peaks of a process and of its descendants. Ended processes count as 0.
fn tree_rss_peak_bytes(pid: u32) -> u64 {
    let read = |path: String| std::fs::read_to_string(path).unwrap_or_default();
    let status = read(format!("/proc/{pid}/status"));
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim_end_matches("kB").trim().parse::<u64>().ok());
    let children = read(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    kib.unwrap_or(0) * 1024 + children.map(tree_rss_peak_bytes).sum::<u64>()
}

/// Returns the user and system time of a running process, to 10 ms.
pub(crate) fn cpu_us(pid: u32) -> Result<u64, Failure> {
    /// Linux counts in hundredths of a second here, whatever its own tick (`man 5 proc`, USER_HZ).
    const TICK_US: u64 = 10_000;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may contain spaces. Field 3 follows it.
    let (_, fields) = stat.rsplit_once(')').ok_or("no process name")?;
    let ticks: Vec<u64> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<u64>() * TICK_US)
}
