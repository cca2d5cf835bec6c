//! Resource usage of the load generator: CPU, memory, file descriptors. The coordinator reads it once per second. This file also
//! raises the limit on open files before a run. Written for Linux; on other systems, values that cannot be read stay 0.

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use std::time::{Duration, Instant};

/// Minimum length of an interval that is considered for the CPU peak. A shorter one mostly covers the end of a run.
const INTERVAL_MIN: Duration = Duration::from_millis(500);

/// CPU, memory and descriptors of this process.
#[derive(Clone, Debug)]
pub struct Usage {
    /// User and system time since the start of the run.
    pub cpu_us: u64,
    /// CPU usage in the busiest interval, in percent of one core.
    pub cpu_peak_percent: f64,
    /// Peak resident memory.
    pub rss_peak_bytes: u64,
    /// Peak number of open file descriptors.
    pub fd_peak: u64,
    base_us: u64,
    last_us: u64,
    last_at: Instant,
}

impl Usage {
    /// Starts measuring.
    #[must_use]
    pub fn start() -> Usage {
        let (cpu_us, rss_peak_bytes) = process();
        Usage {
            cpu_us: 0,
            cpu_peak_percent: 0.0,
            rss_peak_bytes,
            fd_peak: open_descriptors(),
            base_us: cpu_us,
            last_us: cpu_us,
            last_at: crate::clock::now(),
        }
    }

    /// Takes a reading. Returns the CPU usage since the last one in percent of one core, unless the interval is too short.
    pub fn interval(&mut self) -> Option<f64> {
        let (cpu_us, rss) = process();
        self.rss_peak_bytes = self.rss_peak_bytes.max(rss);
        self.fd_peak = self.fd_peak.max(open_descriptors());
        self.read(cpu_us, crate::clock::now())
    }

    #[expect(clippy::cast_precision_loss, reason = "a percentage may be rounded")]
    fn read(&mut self, cpu_us: u64, now: Instant) -> Option<f64> {
        self.cpu_us = cpu_us.saturating_sub(self.base_us);
        let elapsed = now.saturating_duration_since(self.last_at);
        if elapsed < INTERVAL_MIN && self.cpu_peak_percent > 0.0 {
            return None;
        }
        let elapsed_us = elapsed.as_micros().max(1) as f64;
        let percent = cpu_us.saturating_sub(self.last_us) as f64 / elapsed_us * 100.0;
        self.cpu_peak_percent = self.cpu_peak_percent.max(percent);
        (self.last_us, self.last_at) = (cpu_us, now);
        Some(percent)
    }
}

/// Returns the CPU time in microseconds and the peak memory in bytes of this process.
#[must_use]
pub fn process() -> (u64, u64) {
    let (cpu_us, rss) = own_rusage();
    (cpu_us, own_peak().unwrap_or(rss))
}

/// Reads `VmHWM`. Unlike `ru_maxrss`, it does not include the program that started this one.
fn own_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn own_rusage() -> (u64, u64) {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return (0, 0) };
    let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    // Linux reports KiB.
    let rss = u64::try_from(usage.max_rss()).unwrap_or(0) * 1024;
    (u64::try_from(cpu_us).unwrap_or(0), rss)
}

/// Counts open descriptors. Linux 6.2 and later report the count as the size of the directory. Listing 20,000 entries every
/// second would be too expensive.
fn open_descriptors() -> u64 {
    match std::fs::metadata("/proc/self/fd") {
        Ok(folder) if folder.len() > 0 => folder.len(),
        _ => std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
    }
}

/// Raises the soft limit on open files to the hard limit and returns it.
///
/// # Errors
/// The system refused to read or raise the limit.
pub fn raise_descriptor_limit() -> std::io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_descriptors_are_counted() {
        let before = open_descriptors();
        let files: Vec<_> = (0..10).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        // Other tests open files too, so the count includes at least ours.
        assert!(open_descriptors() >= 10, "{before} before, {} files", files.len());
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let mut usage = Usage::start();
        let mut sum = 0_u64;
        while usage.cpu_us == 0 {
            sum = sum.wrapping_mul(31).wrapping_add(std::hint::black_box(7));
            usage.interval();
        }
        assert!(usage.cpu_peak_percent > 0.0 && usage.rss_peak_bytes > 0, "{sum}");
    }

    /// Shutting down a run needs CPU, but that is not caused by the load.
    #[test]
    fn short_interval_sets_no_peak_but_its_time_counts() {
        let mut usage = Usage::start();
        let (zero, cpu_us) = (usage.last_at, usage.base_us);
        let at = |ms| zero + Duration::from_millis(ms);
        assert_eq!(usage.read(cpu_us + 100_000, at(1_000)), Some(10.0));
        assert_eq!(usage.read(cpu_us + 115_000, at(1_030)), None, "half a core, but only for 30 ms");
        assert_eq!((usage.cpu_us, usage.cpu_peak_percent), (115_000, 10.0));
        assert_eq!(usage.read(cpu_us + 400_000, at(2_000)), Some(30.0), "the next reading includes it");
    }
}
