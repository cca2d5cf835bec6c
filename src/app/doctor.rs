//! `hubstorm doctor`: shows how much load this machine can generate, warns about limits and explains how to raise them, and tests a target
//! or a scenario step by step. It prints its conclusion last. It changes only the open-files limit of its own process.

mod scenario;
mod target;

use super::columns::{DOCTOR_TEXT_COLUMN, Layout};
use super::{AppError, Env, machine, preflight, print, read_scenario};
use crate::cli::DoctorArgs;
use crate::clock;
use crate::link::tls;
use crate::plan::Needs;
use crate::units::{human_bytes, human_count, human_us, plural};
use std::time::Duration;

/// The number of file descriptors that a load of a few thousand devices needs.
const DESCRIPTORS_COMFORTABLE: u64 = 4_096;
/// The number and the length of the sleeps that test the timer.
const TIMER_TESTS: u32 = 50;
const TIMER_SLEEP: Duration = Duration::from_millis(1);
/// The timer delay above which latencies are distorted.
const TIMER_LATE_US: u64 = 1_000;

/// Prints the report. Fails if the target cannot be reached, or if a step of the scenario's devices fails.
pub(super) async fn run(args: &DoctorArgs, env: &mut Env) -> Result<(), AppError> {
    let target = args.target.as_deref().map(read_scenario::host_and_port).transpose()?;
    let once = match &args.scenario {
        Some(file) => Some(scenario::plan(args, file, env).await?),
        None => None,
    };
    let mut report = Report::default();
    hardware(&mut report);
    timing(&mut report);
    roots(&mut report);
    print(env, &report.text(Layout::of((env.out_width)())))?;
    let is_partial = once.is_none() && target.is_some();
    match (once, target) {
        (Some(once), _) => scenario::try_devices(once, env).await?,
        (None, Some((host, port))) => target::connect(args, host, port, env).await?,
        (None, None) => {}
    }
    print(env, &report.conclusion(is_partial))
}

/// The report: named lines, and warnings with fixes.
#[derive(Default)]
struct Report {
    lines: Vec<(&'static str, String)>,
    warnings: Vec<String>,
}

impl Report {
    fn line(&mut self, name: &'static str, text: String) {
        self.lines.push((name, text));
    }

    fn text(&self, layout: Layout) -> String {
        let lines =
            self.lines.iter().map(|(name, text)| layout.labelled((2, DOCTOR_TEXT_COLUMN - 2), name, text));
        let warnings = self.warnings.iter().map(|warning| layout.message("warning", warning));
        "this machine\n".to_owned() + &lines.chain(warnings).collect::<String>()
    }

    /// Returns the last line, if there was no error. `is_partial` is true if the target was not tested completely.
    fn conclusion(&self, is_partial: bool) -> String {
        match self.warnings.len() as u64 {
            0 if is_partial => "no problems found in the tested steps\n".to_owned(),
            0 => "no problems found\n".to_owned(),
            count => format!("no errors, {}: see above\n", plural(count, "warning", "warnings")),
        }
    }
}

fn hardware(report: &mut Report) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    report.line(
        "cores",
        format!("{cores}, {}", machine::processor().unwrap_or_else(|| "unknown processor".to_owned())),
    );
    if machine::has_aes() {
        report.line("AES", "in hardware".to_owned());
    } else {
        report.line("AES", "in software".to_owned());
        report
            .warnings
            .push("this processor has no AES instructions: TLS needs several times the CPU time".to_owned());
    }
    let mut capacity = vec![];
    if let Some(bytes) = machine::memory_available() {
        report.line("memory", format!("{} available", human_bytes(bytes)));
        capacity.push((Needs::devices_in(bytes), "memory"));
    }
    match crate::fleet::raise_descriptor_limit() {
        Ok(limit) => {
            report.line("descriptors", format!("{} per process", human_count(limit)));
            capacity.push((limit.saturating_sub(Needs::DESCRIPTORS_BESIDE), "descriptors"));
            if limit < DESCRIPTORS_COMFORTABLE {
                let need = "a load of a few thousand devices needs";
                let more = preflight::more_descriptors(DESCRIPTORS_COMFORTABLE, limit);
                report.warnings.push(format!("{need} {more}"));
            }
        }
        Err(error) => report.warnings.push(format!("cannot raise the limit on open files: {error}")),
    }
    if let Some((first, last)) = machine::ephemeral_ports() {
        let count = (last + 1).saturating_sub(first);
        report.line("ports", format!("{} per target ({first}-{last})", human_count(count)));
        capacity.push((count, "ports"));
    }
    match capacity.into_iter().min() {
        Some((0, bound)) => report.line("capacity", format!("no devices: not enough {bound}")),
        Some((devices, bound)) => report
            .line("capacity", format!("about {} devices over TLS, limited by {bound}", human_count(devices))),
        None => {}
    }
}

/// Reports the clock source and the delay of timers.
fn timing(report: &mut Report) {
    let mut late_us = Vec::new();
    for _ in 0..TIMER_TESTS {
        let due = clock::now() + TIMER_SLEEP;
        // This uses the same kernel timer as the deadlines during a load.
        std::thread::sleep(TIMER_SLEEP);
        late_us
            .push(u64::try_from(clock::now().saturating_duration_since(due).as_micros()).unwrap_or(u64::MAX));
    }
    late_us.sort_unstable();
    let (median, worst) = (late_us[late_us.len() / 2], late_us[late_us.len() - 1]);
    let source = machine::clock_source().map_or(String::new(), |source| format!("{source}, "));
    let sync = if std::path::Path::new("/run/systemd/timesync/synchronized").exists() {
        "synchronized"
    } else {
        "synchronization unknown (tokens allow a skew of 5 minutes)"
    };
    report.line("clock", format!("{source}{sync}"));
    report.line("timer", format!("median delay {}, maximum {}", human_us(median), human_us(worst)));
    if median > TIMER_LATE_US {
        report.warnings.push(
            "timers fire late on this machine, which distorts latencies; stop other programs, or use another machine"
                .to_owned(),
        );
    }
}

fn roots(report: &mut Report) {
    match tls::client(&tls::ClientOptions::default()) {
        Ok(_) => report.line("TLS roots", "the system's root certificates".to_owned()),
        Err(error) => {
            report.line("TLS roots", "none".to_owned());
            report.warnings.push(error.to_string());
        }
    }
}
