//! The cost of the hot functions: `cargo bench --bench hot` measures time with divan; `cargo bench --bench hot --
//! instructions` counts instructions with callgrind and compares them with `benches/instructions.toml`. `tests/run`
//! checks the counts, because time varies from minute to minute, and counts only with the compiler.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its result")]

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

// A sample of a single step would be shorter than the timer's precision.
#[divan::bench(args = &HOT, sample_size = 1_000)]
fn step(bencher: divan::Bencher<'_, '_>, hot: &Hot) {
    bencher.bench_local((hot.prepare)());
}
