//! Compares the memory of runs, as the allocator counts it, with the forecast of `check`. Each run is in this process, against the built-in hub
//! (a separate process) or mosquitto. The quick shapes run with the other tests. The whole table of `docs/performance.md` and the soak test of
//! `docs/reliability.md` are run by hand:
//!
//!     cargo test --release --test memory -- --ignored --nocapture the_whole_table
//!     cargo test --release --test memory -- --ignored --nocapture soak

#[path = "support/allocator.rs"]
mod allocator;
#[path = "memory/recording.rs"]
mod recording;
#[path = "memory/shapes.rs"]
mod shapes;

use allocator::CountingAllocator;
use clap::Parser as _;
use hubstorm::app::{self, Env};
use hubstorm::cli::Cli;
use hubstorm::plan::{self, Needs};
use hubstorm::scenario::{Input, no_files};
use shapes::Shape;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Counts for the whole process: a run has several threads.
fn count(allocated: usize, freed: usize) {
    // `realloc` may hold both blocks for a moment.
    let live = LIVE_BYTES.fetch_add(allocated, Ordering::Relaxed) + allocated;
    PEAK_BYTES.fetch_max(live, Ordering::Relaxed);
    LIVE_BYTES.fetch_sub(freed, Ordering::Relaxed);
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator(count);

/// Held by each measurement, because the counters are those of the whole process.
static MEASURING: Mutex<()> = Mutex::new(());

/// Returns the highest number of bytes in use while `measured` runs, above those in use before.
fn peak_bytes<T>(measured: impl FnOnce() -> T) -> (usize, T) {
    // A failed test must not fail the others.
    let measuring = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    PEAK_BYTES.store(before, Ordering::Relaxed);
    let result = measured();
    let peak = PEAK_BYTES.load(Ordering::Relaxed) - before;
    drop(measuring);
    (peak, result)
}

/// Forecast and measured peak of a shape, in bytes.
struct Measured {
    forecast: u64,
    peak: u64,
}

impl Measured {
    fn error(&self) -> f64 {
        self.forecast as f64 / self.peak as f64 - 1.0
    }
}

fn forecast(text: &str, workers: u16) -> Needs {
    let files = &no_files;
    let input = Input { file: "memory.toml", text, overrides: &[], env: &|_| None, files };
    plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}")).needs(workers.into())
}

fn measured(shape: &Shape) -> Measured {
    hubstorm::fleet::raise_descriptor_limit().expect("the limit can be raised");
    let broker = shape.broker();
    let text = shape.scenario(broker.as_ref());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let forecast = forecast(&text, shape.workers).memory_bytes;
    let (peak, ()) = peak_bytes(|| run(&text, shape.workers, folder.path()));
    Measured { forecast, peak: peak as u64 }
}

/// Runs a scenario in this process, as `main` does.
fn run(text: &str, workers: u16, folder: &Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::write(path("memory.toml"), text).expect("a writable folder");
    let workers = workers.to_string();
    let (scenario, out) = (path("memory.toml"), path("out"));
    let arguments = ["hubstorm", "run", &scenario, "--workers", &workers, "--quiet", "--yes", "--out", &out];
    let cli = Cli::try_parse_from(arguments).expect("the command line is valid");
    let (_sender, interrupts) = watch::channel(0);
    let env = Env {
        exe: env!("CARGO_BIN_EXE_hubstorm").into(),
        out: Box::new(std::io::sink()),
        err: Box::new(std::io::stderr()),
        ..Env::from_process(interrupts)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let code = runtime.block_on(app::run(cli, env));
    // On a busy machine the verdict may be invalid. The memory is still correct.
    assert!([0, 99, 120].contains(&code), "exit code {code}");
}

/// Prints the table and checks that each error is within `allowed`. Stalls on a busy machine need more histograms and longer windows, so a
/// narrow range is only for a run by hand on a quiet machine.
fn table(shapes: &[Shape], allowed: RangeInclusive<f64>) {
    let mut wrong = Vec::new();
    say(format_args!("| shape | forecast, MiB | peak, MiB | forecast off by |\n|---|---:|---:|---:|"));
    for shape in shapes {
        let measured = measured(shape);
        let [forecast, peak] = [measured.forecast, measured.peak].map(mib);
        say(format_args!(
            "| {} | {forecast:.1} | {peak:.1} | {:+.0}% |",
            shape.name,
            measured.error() * 100.0
        ));
        if !allowed.contains(&measured.error()) {
            wrong.push(shape.name);
        }
    }
    assert!(wrong.is_empty(), "the error of the forecast is outside {allowed:?}: {wrong:?}");
}

#[expect(clippy::print_stdout, reason = "the tables are the output")]
fn say(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[test]
fn forecast_agrees_with_the_allocator() {
    table(&shapes::quick(), -0.5..=1.0);
}

#[test]
#[ignore = "takes a quarter of an hour and needs mosquitto"]
fn the_whole_table() {
    let filter = std::env::var("SHAPE").unwrap_or_default();
    table(
        &shapes::all().into_iter().filter(|shape| shape.name.contains(&filter)).collect::<Vec<_>>(),
        -0.25..=0.25,
    );
}

/// Prints the allocated memory each minute.
#[test]
#[ignore = "takes twenty minutes"]
fn soak() {
    let shape = shapes::soak(&std::env::var("SOAK").unwrap_or_else(|_| "20m".to_owned()));
    let began = hubstorm::clock::now();
    let (ends, ended) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        loop {
            let minutes = (hubstorm::clock::now() - began).as_secs_f64() / 60.0;
            let live = mib(LIVE_BYTES.load(Ordering::Relaxed) as u64);
            say(format_args!("| {minutes:.1} | {live:.1} | {:.1} |", mib(resident_bytes())));
            if ended.recv_timeout(Duration::from_secs(60)) != Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                break;
            }
        }
    });
    let measured = measured(&shape);
    drop(ends);
    say(format_args!("forecast {:.1} MiB, peak {:.1} MiB", mib(measured.forecast), mib(measured.peak)));
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
