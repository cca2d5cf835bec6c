//! What the hot functions cost: `cargo bench --bench hot` in time, with divan; `cargo bench --bench hot -- instructions` in
//! instructions, with callgrind, against the committed `benches/instructions.toml`. Counts are what `tests/run` checks: time
//! differs between minutes, counts between compilers only.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's result is what it prints")]

#[path = "hot/functions.rs"]
mod functions;
#[path = "hot/instructions.rs"]
mod instructions;

use functions::{HOT, Hot};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["instructions"] => instructions::check(),
        ["instructions", "--update"] => instructions::update(),
        [instructions::STEPS, name, steps] => instructions::run(name, steps),
        _ => {
            divan::main();
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hot: {error}");
            ExitCode::FAILURE
        }
    }
}

impl std::fmt::Display for Hot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

// Samples of one step would be the timer's precision.
#[divan::bench(args = &HOT, sample_size = 1_000)]
fn step(bencher: divan::Bencher<'_, '_>, hot: &Hot) {
    bencher.bench_local((hot.prepare)());
}
