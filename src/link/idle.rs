//! Measures how long a thread is idle. The thread's runtime reports when it starts and stops waiting; workers and the
//! emulator's shards read the total at each heartbeat. All other time is busy, even while another program has the CPU.
//!
//! Only the thread itself reads and writes the total. It is stored in atomics because the runtime's hooks must be
//! `Send` and `Sync`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The idle time of a thread.
#[derive(Debug)]
pub struct Idle {
    base: Instant,
    since_ns: AtomicU64,
    total_ns: AtomicU64,
}

impl Default for Idle {
    /// Starts with no idle time.
    fn default() -> Idle {
        Idle { base: crate::clock::now(), since_ns: AtomicU64::new(0), total_ns: AtomicU64::new(0) }
    }
}

impl Idle {
    /// Notes that the thread starts waiting.
    pub fn begins(&self) {
        self.since_ns.store(self.now_ns(), Ordering::Relaxed);
    }

    /// Notes that the thread stops waiting.
    pub fn ends(&self) {
        let waited_ns = self.now_ns().saturating_sub(self.since_ns.load(Ordering::Relaxed));
        self.total_ns.fetch_add(waited_ns, Ordering::Relaxed);
    }

    /// Returns the total idle time.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.total_ns.load(Ordering::Relaxed))
    }

    fn now_ns(&self) -> u64 {
        let since = crate::clock::now().saturating_duration_since(self.base);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn sleeping_is_idle_and_computing_is_not() {
        let idle = Arc::new(Idle::default());
        let (parks, unparks) = (idle.clone(), idle.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .on_thread_park(move || parks.begins())
            .on_thread_unpark(move || unparks.ends())
            .build()
            .unwrap();
        runtime.block_on(async {
            let computed = crate::clock::now() + Duration::from_millis(20);
            while crate::clock::now() < computed {
                tokio::task::yield_now().await;
            }
        });
        let waited = idle.total();
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(30)).await });
        assert_eq!(waited, Duration::ZERO, "the runtime was busy");
        assert!(idle.total() >= Duration::from_millis(30), "{:?}", idle.total());
    }
}
