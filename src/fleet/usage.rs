//! What the load generator itself uses: CPU, memory, descriptors. Read by the collector once a second, and
//! before a run for the limit of open files. Linux first; elsewhere what cannot be read stays 0.

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use std::time::{Duration, Instant};

/// A reading sooner after another than this says nothing of how busy the run was: mostly it is what remains at the end.
const INTERVAL_MIN: Duration = Duration::from_millis(500);

/// CPU, memory and descriptors of this process.
#[derive(Clone, Debug)]
pub struct Usage {
    /// User and system time since the start of the run.
    pub cpu_us: u64,
    /// The busiest interval, in percent of one core.
    pub cpu_peak_percent: f64,
    /// Peak resident memory.
    pub rss_peak_bytes: u64,
    /// Peak of open file descriptors.
    pub fd_peak: u64,
    base_us: u64,
    last_us: u64,
    last_at: Instant,
}

impl Usage {
    /// Starts counting.
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

    /// Takes a reading; returns the CPU since the last one, in percent of one core, unless that was just now.
    pub fn interval(&mut self) -> Option<f64> {
        let (cpu_us, rss) = process();
        self.rss_peak_bytes = self.rss_peak_bytes.max(rss);
        self.fd_peak = self.fd_peak.max(open_descriptors());
        self.read(cpu_us, crate::clock::now())
    }

    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
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

/// CPU time in microseconds and peak memory in bytes of this process, so far.
#[must_use]
pub fn process() -> (u64, u64) {
    let (cpu_us, rss) = own_rusage();
    (cpu_us, own_peak().unwrap_or(rss))
}

/// `VmHWM`: unlike `ru_maxrss` it does not remember the program that started this one.
fn own_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn own_rusage() -> (u64, u64) {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return (0, 0) };
    let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    // Linux counts in KiB.
    let rss = u64::try_from(usage.max_rss()).unwrap_or(0) * 1024;
    (u64::try_from(cpu_us).unwrap_or(0), rss)
}

/// Linux 6.2 and later give the count as the folder's size; reading 20,000 entries a second would cost more
/// than the measurement may.
fn open_descriptors() -> u64 {
    match std::fs::metadata("/proc/self/fd") {
        Ok(folder) if folder.len() > 0 => folder.len(),
        _ => std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
    }
}

/// Raises the soft limit of open files to the hard one and returns it.
///
/// # Errors
/// The system refused to say or to raise it.
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
        // Other tests open files too: at least ours are in it.
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

    /// Taking a run down is busy, and not what the run needed.
    #[test]
    fn a_sliver_sets_no_peak_but_its_time_counts() {
        let mut usage = Usage::start();
        let (zero, cpu_us) = (usage.last_at, usage.base_us);
        let at = |ms| zero + Duration::from_millis(ms);
        assert_eq!(usage.read(cpu_us + 100_000, at(1_000)), Some(10.0));
        assert_eq!(usage.read(cpu_us + 115_000, at(1_030)), None, "it was half a core, for 30 ms");
        assert_eq!((usage.cpu_us, usage.cpu_peak_percent), (115_000, 10.0));
        assert_eq!(
            usage.read(cpu_us + 400_000, at(2_000)),
            Some(30.0),
            "what it took is in the next reading"
        );
    }
}
