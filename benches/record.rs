//! What recording one operation costs: `cargo bench --bench record`. The bar is 30 ns and no allocation.
//!
//! An operation is `due` and then `ok`: five histograms, two counters and the series. Swapping, adding up and
//! recycling happen once a second in a run; here once per 10,000 operations, and their share is shown apart.

use hubstorm::measure::{Gathered, Key, Layout, Operation, Recorder, Times};
use std::alloc::{GlobalAlloc, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts what is asked of the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator is unsafe by nature; this one only counts and hands on")]
// SAFETY: every call goes to `System` unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: std::alloc::Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const PER_SWAP: u64 = 10_000;
const NS_PER_S: u64 = 1_000_000_000;

/// One second of a fleet at 10,000 messages/s: 100 us apart, acked 0.2 to 3.5 ms later.
fn second(recorder: &mut Recorder, key: Key, n: u64) {
    for i in 0..PER_SWAP {
        let due = n * NS_PER_S + i * (NS_PER_S / PER_SWAP);
        let took = 200_000 + i.wrapping_mul(2_654_435_761) % 3_300_000;
        let times = Times { due, picked: due + 40_000, sent: due + 55_000, acked: due + took };
        recorder.due(black_box(key), black_box(due));
        recorder.ok(black_box(key), black_box(&times));
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark asks the clock itself")]
#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn main() {
    // `cargo test --benches` runs this too: then only the allocations are of interest.
    let seconds: u64 = if std::env::args().any(|arg| arg == "--bench") { 1_000 } else { 20 };
    let layout = Layout::new(1, 1, Duration::from_secs(60), Duration::from_millis(100));
    let key = Key { operation: Operation::Telemetry, fleet: 0, phase: 0 };
    let (mut recorder, mut gathered) = (Recorder::new(layout), Gathered::new(layout));
    let (mut recording, mut swapping, mut allocated) = (Vec::new(), Vec::new(), 0);
    for n in 0..seconds {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let started = std::time::Instant::now();
        second(&mut recorder, key, n);
        let recorded = std::time::Instant::now();
        let snapshot = recorder.swap();
        let after = ALLOCATIONS.load(Ordering::Relaxed);
        gathered.add(&snapshot, 0);
        recorder.recycle(snapshot);
        gathered.tick((n + 1) * NS_PER_S, 0.0, 0);
        // The first seconds make the histograms and give the vectors their size.
        if n >= 5 {
            allocated += after - before;
            recording.push((recorded - started).as_nanos() / u128::from(PER_SWAP));
            swapping.push(recorded.elapsed().as_micros());
        }
    }
    // The best is what it costs; the median adds what the machine's other work takes.
    let best_and_median = |figures: &mut Vec<u128>| {
        figures.sort_unstable();
        (figures[0], figures[figures.len() / 2])
    };
    let (best, median) = best_and_median(&mut recording);
    println!(
        "recording one operation: {best} ns at best, {median} ns in the median; {allocated} allocations"
    );
    let (best, median) = best_and_median(&mut swapping);
    println!("swap, add, recycle and tick, once a second: {best} us at best, {median} us in the median");
    assert_eq!(allocated, 0, "recording and swapping allocate nothing once warm");
}
