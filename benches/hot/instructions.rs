//! Counts the instructions of each hot function with callgrind, and compares them with the committed baseline.
//!
//! Each function runs in two processes, the second with twice the steps. The difference is the cost of the steps alone,
//! without startup and preparation. The environment is empty and glibc uses its plain string functions, so that the
//! count depends on the compiler and barely on the machine.

use super::functions::HOT;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::process::Command;

type Failure = Box<dyn std::error::Error>;

/// The argument with which this program runs itself.
pub(super) const STEPS: &str = "steps";
/// Number of steps of the first process; the second runs twice as many.
const STEPS_COUNTED: u64 = 2_000;
/// The same for a swap, which takes a thousand times as many instructions as the other functions.
const SWAPS_COUNTED: u64 = 20;
/// Permitted deviation from the baseline, in percent, with the baseline's compiler.
const TOLERANCE: f64 = 3.0;
/// Permitted deviation with another compiler, which still finds large regressions.
const TOLERANCE_OTHER_COMPILER: f64 = 10.0;
/// Selects glibc's baseline string functions. Its choice otherwise depends on the processor, and changes a count by up
/// to 20%.
const PLAIN: &str = "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-SSSE3,-SSE4_1,-SSE4_2";
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.toml");

/// The committed file.
#[derive(Serialize, Deserialize)]
struct Baseline {
    /// `1.95.0`
    rustc: String,
    /// `x86_64-unknown-linux-gnu`
    target: String,
    /// Instructions per step.
    instructions: BTreeMap<String, f64>,
}

/// Prints a table. Fails if a function costs more than its baseline allows, or has no baseline.
pub(super) fn check() -> Result<(), Failure> {
    let text = std::fs::read_to_string(BASELINE).map_err(|error| format!("{BASELINE}: {error}"))?;
    let baseline: Baseline = toml::from_str(&text).map_err(|error| format!("{BASELINE}: {error}"))?;
    let now = count_all()?;
    if baseline.target != now.target {
        println!("the baseline is for {}, and this is {}: nothing to compare", baseline.target, now.target);
        return Ok(());
    }
    let tolerance = if baseline.rustc == now.rustc { TOLERANCE } else { TOLERANCE_OTHER_COMPILER };
    println!("rustc {}, baseline from rustc {}: {tolerance}% more is allowed", now.rustc, baseline.rustc);
    let mut worse = Vec::new();
    println!("{:<22} {:>10} {:>10} {:>8}", "instructions per step", "baseline", "now", "change");
    for (name, count) in &now.instructions {
        let Some(before) = baseline.instructions.get(name) else {
            worse.push(format!("{name} has no baseline"));
            continue;
        };
        let change = (count / before - 1.0) * 100.0;
        println!("{name:<22} {before:>10.1} {count:>10.1} {change:>+7.1}%");
        if change > tolerance {
            worse.push(format!("{name} costs {change:.1}% more"));
        } else if change < -tolerance {
            println!(
                "  cheaper: update the baseline with `cargo bench --bench hot -- instructions --update`"
            );
        }
    }
    let removed = baseline.instructions.keys().filter(|name| !now.instructions.contains_key(*name));
    worse.extend(removed.map(|name| format!("{name} has a baseline but is not a hot function")));
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} (allowed: {tolerance}%). If this is intended, give the reason in the commit message and run `cargo bench --bench hot -- instructions --update`",
        worse.join("; ")
    )
    .into())
}

/// Writes the baseline.
pub(super) fn update() -> Result<(), Failure> {
    let text = format!(
        "# Instructions per step of the hot functions. Written by `cargo bench --bench hot -- instructions --update`.\n{}",
        toml::to_string(&count_all()?)?
    );
    std::fs::write(BASELINE, &text).map_err(|error| format!("{BASELINE}: {error}"))?;
    print!("{text}");
    Ok(())
}

fn count_all() -> Result<Baseline, Failure> {
    let folder = tempfile::tempdir()?;
    let count = |name: &str, steps: u64| callgrind(name, steps, &folder.path().join("callgrind.out"));
    let mut instructions = BTreeMap::new();
    for hot in HOT {
        let steps = if hot.name.starts_with("swap") { SWAPS_COUNTED } else { STEPS_COUNTED };
        let (once, twice) = (count(hot.name, steps)?, count(hot.name, 2 * steps)?);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let per_step =
            twice.checked_sub(once).ok_or("more steps took fewer instructions")? as f64 / steps as f64;
        instructions.insert(hot.name.to_owned(), (per_step * 10.0).round() / 10.0);
    }
    let [rustc, target] = compiler()?;
    Ok(Baseline { rustc, target, instructions })
}

/// Returns version and host of the compiler that cargo uses.
fn compiler() -> Result<[String; 2], Failure> {
    let text =
        Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV").output()?;
    let text = String::from_utf8(text.stdout)?;
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map(|value| value.trim().to_owned()).ok_or(format!("`rustc -vV` does not print {name}"))
    };
    Ok([field("release:")?, field("host:")?])
}

/// Returns the number of instructions of a process that runs `steps` steps.
fn callgrind(name: &str, steps: u64, out: &std::path::Path) -> Result<u64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args([STEPS, name, &steps.to_string()])
        .env_clear()
        .env("GLIBC_TUNABLES", PLAIN)
        .output()
        .map_err(|error| format!("cannot start valgrind ({error}): apt-get install valgrind"))?;
    if !output.status.success() {
        return Err(format!("{name} under callgrind: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let profile = std::fs::read_to_string(out)?;
    let total =
        profile.lines().find_map(|line| line.strip_prefix("summary:")).ok_or("no summary from callgrind")?;
    Ok(total.trim().parse()?)
}

/// Runs the steps in the child process of [`callgrind`].
pub(super) fn run(name: &str, steps: &str) -> Result<(), Failure> {
    let hot = HOT.iter().find(|hot| hot.name == name).ok_or("no such function")?;
    let mut step = (hot.prepare)();
    (0..steps.parse::<u64>()?).for_each(|_| step());
    Ok(())
}
