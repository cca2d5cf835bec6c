//! How long a thread has had nothing to do. Its runtime reports when it begins and ends to wait. Workers and the emulator's
//! shards read it at each heartbeat. Time that is not idle is busy, also while other programs had the processor.
//!
//! Only the thread itself writes and reads it. It is not a `Cell` because the runtime's hooks have to be `Send` and `Sync`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time that a thread has waited.
#[derive(Debug)]
pub struct Idle {
    base: Instant,
    since_ns: AtomicU64,
    total_ns: AtomicU64,
}

impl Default for Idle {
    /// A thread that has not waited yet.
    fn default() -> Idle {
        Idle { base: crate::clock::now(), since_ns: AtomicU64::new(0), total_ns: AtomicU64::new(0) }
    }
}

impl Idle {
    /// The thread begins to wait.
    pub fn begins(&self) {
        self.since_ns.store(self.now_ns(), Ordering::Relaxed);
    }

    /// There is something to do again.
    pub fn ends(&self) {
        let waited_ns = self.now_ns().saturating_sub(self.since_ns.load(Ordering::Relaxed));
        self.total_ns.fetch_add(waited_ns, Ordering::Relaxed);
    }

    /// All that it has waited so far.
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

    /// A runtime that sleeps is idle for as long, and one that computes is not.
    #[test]
    fn what_a_runtime_waits_is_idle() {
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
        assert_eq!(waited, Duration::ZERO, "it always had something to do");
        assert!(idle.total() >= Duration::from_millis(30), "{:?}", idle.total());
    }
}
