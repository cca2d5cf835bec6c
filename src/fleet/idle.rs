//! How long a worker's thread has had nothing to do, as its runtime tells when it begins and ends to wait. Read by `worker` at each
//! heartbeat. What is not idle is busy, also where other programs had the processor: then there was something to do as well.
//!
//! Only the worker's own thread comes here; the runtime asks for more than a `Cell`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time that a thread has waited.
#[derive(Debug)]
pub(super) struct Idle {
    base: Instant,
    since_ns: AtomicU64,
    total_ns: AtomicU64,
}

impl Idle {
    pub(super) fn new() -> Idle {
        Idle { base: crate::clock::now(), since_ns: AtomicU64::new(0), total_ns: AtomicU64::new(0) }
    }

    /// The thread begins to wait.
    pub(super) fn begins(&self) {
        self.since_ns.store(self.now_ns(), Ordering::Relaxed);
    }

    /// There is something to do again.
    pub(super) fn ends(&self) {
        let waited_ns = self.now_ns().saturating_sub(self.since_ns.load(Ordering::Relaxed));
        self.total_ns.fetch_add(waited_ns, Ordering::Relaxed);
    }

    /// All that it has waited so far.
    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.total_ns.load(Ordering::Relaxed))
    }

    fn now_ns(&self) -> u64 {
        super::since(self.base, crate::clock::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// A runtime that sleeps is idle for as long, and one that computes is not.
    #[test]
    fn what_a_runtime_waits_is_idle() {
        let idle = Arc::new(Idle::new());
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
