//! The summary on the terminal: the verdict, then the numbers behind it. Called by `app`, which prints the summary and the paths of the
//! files, and passes the width of the terminal. Sentences wrap at 80 columns or less. Uses only the result.

mod comparison;
mod operations;
pub(super) mod writer;

pub use comparison::comparison_text;

use super::banner::Banner;
use super::connected::Thresholds;
use super::format::{self, NONE, plain};
use super::hub_view::{self, HubView};
use super::sources::{is_emulator, sources, stalls};
use super::standing::{self, Standing};
use super::summary::Summary;
use super::width::{Width, columns, pad};
use super::{
    connects, faults as fault_words, from_hub, limits, margin, recoveries as recovery_words, targets,
};
use crate::measure::{Culprit, Operation, Stream, threshold_label};
use crate::plan::address_of;
use crate::result::model::{Finding, RunResult, Severity, ThresholdResult};
use crate::units::{human_bytes, human_count};
use anstyle::Style;
use operations::operations;
use writer::{BOLD, DIM, FAILED, PASSED, PLAIN, WARNING, Writer};

/// The fewest columns for the text of an error. If the name of its class leaves fewer columns, the text gets its own lines.
const ERROR_COLUMNS_MIN: usize = 36;

/// Returns the summary of a run as text of this width that ends in a line break. `color` adds ANSI styles.
#[must_use]
pub fn text(result: &RunResult, color: bool, width: Width) -> String {
    text_with_hub(result, None, color, width)
}

/// Like [`text`], with the hub's own view of the run.
#[must_use]
pub fn text_with_hub(result: &RunResult, hub: Option<&HubView>, color: bool, width: Width) -> String {
    let mut out = Writer::new(color, width);
    verdict(&mut out, result);
    thresholds(&mut out, result);
    let summary = Summary::of(result);
    operations(&mut out, &summary);
    run(&mut out, result, &summary);
    faults(&mut out, result);
    recoveries(&mut out, result);
    streams(&mut out, result);
    errors(&mut out, result);
    if let Some(view) = hub {
        hub_section(&mut out, view);
    }
    findings(&mut out, &hub_view::with_findings(result, hub));
    out.text
}

/// Returns only the hub's own view, with its findings.
#[must_use]
pub fn hub_text(view: &HubView, color: bool, width: Width) -> String {
    let mut out = Writer::new(color, width);
    hub_section(&mut out, view);
    findings(&mut out, &view.findings.iter().collect::<Vec<_>>());
    out.text
}

/// Returns only the verdict and the thresholds.
#[must_use]
pub fn verdict_text(result: &RunResult, color: bool, width: Width) -> String {
    let mut out = Writer::new(color, width);
    verdict(&mut out, result);
    thresholds(&mut out, result);
    out.text
}

fn verdict(out: &mut Writer, result: &RunResult) {
    let banner = Banner::of(result);
    let style = match banner.class {
        "pass" => PASSED,
        "fail" => FAILED,
        _ => WARNING,
    };
    let word = format!("{}  ", banner.word.to_uppercase());
    out.marked("", (&word, style), (&plain(&result.run.scenario.name), BOLD));
    // For a pass, the meaning is about the load generator, which the section "Run" describes anyway.
    let shows_meaning = banner.class != "pass";
    if shows_meaning && !banner.meaning.is_empty() {
        out.wrapped("  ", "  ", &banner.meaning);
    }
    for reason in &banner.reasons {
        out.wrapped("  - ", "    ", reason);
    }
}

/// Returns the metric of a threshold with its selectors: `telemetry{phase:steady,fleet:meter}`.
pub(super) fn metric(threshold: &ThresholdResult) -> String {
    let [phase, fleet] = [&threshold.phase, &threshold.fleet].map(|name| name.as_deref().map(plain));
    threshold_label(&plain(&threshold.metric), phase.as_deref(), fleet.as_deref(), threshold.without_faults)
}

fn thresholds(out: &mut Writer, result: &RunResult) {
    if result.thresholds.is_empty() {
        return;
    }
    out.heading("Thresholds");
    let thresholds = Thresholds::of(result);
    let rows: Vec<(Standing, [String; 4])> =
        thresholds.rows.iter().map(|threshold| threshold_row(threshold, result)).collect();
    // Wide enough for `100% (1,000 of 1,000)`. Text without a margin after it, such as `not enough data (...)`, does not affect the
    // width.
    let most = [40, 22, 28];
    let widths: [usize; 3] = std::array::from_fn(|i| {
        let rows = rows.iter().map(|(_, row)| row).filter(|row| i < 2 || !row[3].is_empty());
        let widths = rows.map(|row| columns(&row[i]));
        widths.filter(|width| *width <= most[i]).max().unwrap_or(0)
    });
    let aligned = |[metric, expression, observed, margin]: &[String; 4]| {
        let cells = [pad(metric, widths[0]), pad(expression, widths[1]), pad(observed, widths[2])];
        format!("{}  {margin}", cells.join("  ")).trim_end().to_owned()
    };
    let table_columns = out.columns();
    let fits = |row: &[String; 4]| columns(&aligned(row)) + 4 <= table_columns;
    // If the table is too wide, its rows become sentences. A single long row does not change the others.
    let is_table = rows.iter().map(|(_, row)| row).filter(|row| !row[3].is_empty()).all(fits);
    for (standing, row) in &rows {
        let (mark, style) = (standing.mark(), style(*standing));
        if is_table && fits(row) {
            let mark = out.styled(style, mark);
            out.line(&format!("  {mark} {}", aligned(row)));
        } else {
            let [metric, expression, observed, margin] = row;
            let margin = if margin.is_empty() { String::new() } else { format!(", {margin}") };
            let text = format!("{metric} {expression}: {observed}{margin}");
            out.marked("  ", (&format!("{mark} "), style), (&text, PLAIN));
        }
    }
    if let Some((words, first)) = thresholds.words().zip(thresholds.connected.first()) {
        let standing = Standing::of(first, result);
        out.marked("  ", (&format!("{} ", standing.mark()), style(standing)), (&words, PLAIN));
    }
    let notes = [standing::note(result).map(str::to_owned), margin::undecided_note(&result.thresholds)];
    for note in notes.iter().flatten() {
        out.wrapped("    ", "    ", note);
    }
}

fn style(standing: Standing) -> Style {
    match standing.class() {
        "passed" => PASSED,
        "failed" => FAILED,
        "undecided" => WARNING,
        _ => DIM,
    }
}

/// Returns metric, expression, observation and margin of a threshold.
fn threshold_row(threshold: &ThresholdResult, result: &RunResult) -> (Standing, [String; 4]) {
    let standing = Standing::of(threshold, result);
    let words = match standing {
        Standing::Undecided => "undecided".to_owned(),
        Standing::WouldPass => "would pass".to_owned(),
        _ => margin::words(threshold),
    };
    let observed = plain(&margin::observed(threshold));
    (standing, [metric(threshold), plain(&threshold.expression), observed, words])
}

fn run(out: &mut Writer, result: &RunResult, summary: &Summary) {
    out.heading("Run");
    let mut fact =
        |name: &str, value: String| out.wrapped(&format!("  {name:<10} "), "             ", &value);
    let run = &result.run;
    let overrides = match run.overrides.as_slice() {
        [] => String::new(),
        overrides => format!(", with {}", plain(&overrides.join(", "))),
    };
    fact("scenario", format!("{}, seed {}{overrides}", plain(&run.scenario.file), run.seed));
    fact("target", target(result));
    for (number, line) in targets::lines(result).into_iter().enumerate() {
        fact(if number == 0 { "hosts" } else { "" }, line);
    }
    fact("when", format!("{}, for {}", format::date(&run.started), format::span(run.duration_us)));
    let devices = [summary.online_peak, summary.devices].map(human_count);
    fact("devices", format!("{} of {} online at peak", devices[0], devices[1]));
    if summary.messages.due > 0 {
        fact("messages", load(summary));
    }
    if let Some(connects) = connects::description(result) {
        fact("connects", connects);
    }
    let measurement = &result.measurement;
    let disconnects = match measurement.count(|counts| counts.disconnects) {
        0 => String::new(),
        count => format::plural(count, "planned disconnect, ", "planned disconnects, "),
    };
    fact(
        "sessions",
        format!(
            "{disconnects}{}, {}, {}",
            format::plural(measurement.count(|counts| counts.reconnects), "reconnect", "reconnects"),
            format::plural(measurement.count(|counts| counts.renewals), "token renewed", "tokens renewed"),
            format::plural(
                measurement.count(|counts| counts.late_acks),
                "late acknowledgment",
                "late acknowledgments"
            ),
        ),
    );
    for (name, value) in from_hub::facts(result) {
        fact(name, value);
    }
    if let Some(deliveries) = deliveries(result) {
        fact("delivered", deliveries);
    }
    if let Some(limits) = limits::description(result) {
        fact("limits", limits);
    }
    let sources = sources(measurement);
    let stalled = |emulator| stalls(sources.iter().filter(|health| is_emulator(health.source) == emulator));
    let of_generator = stalled(false).map(|stalled| format!("; {stalled}")).unwrap_or_default();
    fact("generator", generator(result) + &of_generator);
    if let Some(stalled) = stalled(true) {
        fact("emulator", stalled);
    }
    fact(
        "host",
        format!(
            "{}, {}, {}; {} {}",
            plain(&run.host.os),
            plain(&run.host.cpu),
            format::plural(run.host.cores.into(), "core", "cores"),
            plain(&result.tool.name),
            plain(&result.tool.version)
        ),
    );
}

fn load(summary: &Summary) -> String {
    format!(
        "{}/s offered, {}/s acknowledged over {}{}",
        format::rate(summary.offered_rate()),
        format::rate(summary.achieved_rate()),
        human_duration_s(summary.seconds),
        if summary.warmup_only { " of warm-up" } else { " outside warm-up" },
    )
}

fn human_duration_s(seconds: f64) -> String {
    let span = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    format::span(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}

/// Returns duplicates, reordered and foreign messages in words. `None` if the run did not track deliveries and received no foreign
/// messages.
pub(super) fn deliveries(result: &RunResult) -> Option<String> {
    let measurement = &result.measurement;
    let tracked = measurement.operations.iter().any(|part| part.operation == Operation::Deliver);
    let foreign = measurement.count(|counts| counts.foreign);
    (tracked || foreign > 0).then(|| {
        format!(
            "{}, {} out of order, {} foreign",
            format::plural(measurement.count(|counts| counts.duplicates), "duplicate", "duplicates"),
            human_count(measurement.count(|counts| counts.reordered)),
            human_count(foreign)
        )
    })
}

/// Returns the target in words: `iot-hub at localhost:8883 (built-in), TLS 1.3`.
pub(super) fn target(result: &RunResult) -> String {
    let target = &result.run.target;
    let tier = match (&target.tier, target.units) {
        (Some(tier), Some(units)) => format!("{} x {units}", plain(tier)),
        (Some(tier), None) => plain(tier),
        (None, _) => String::new(),
    };
    let built_in = match (target.embedded, tier.as_str()) {
        (true, "") => " (built-in)".to_owned(),
        (true, tier) => format!(" (built-in, {tier})"),
        (false, "") => String::new(),
        (false, tier) => format!(" ({tier})"),
    };
    let tls = match &target.tls {
        Some(tls) => {
            let checked = if tls.verified { "" } else { ", CERTIFICATE NOT CHECKED" };
            format!("TLS {}, {}, {}{checked}", plain(&tls.version), plain(&tls.suite), plain(&tls.group))
        }
        None if target.tls_wanted => "TLS, no handshake succeeded".to_owned(),
        None => "plain TCP".to_owned(),
    };
    let address = address_of(&plain(&target.host), target.port);
    let others = match result.measurement.targets.len().saturating_sub(1) {
        0 => String::new(),
        others => format!(" and {}", format::plural(others as u64, "other host", "other hosts")),
    };
    format!("{} at {address}{others}{built_in}, {tls}", plain(&target.kind))
}

fn generator(result: &RunResult) -> String {
    let generator = &result.generator;
    let lag = match &generator.lag {
        lag if lag.is_empty() => "no messages started".to_owned(),
        lag => format!("lag p99 {}, max {}", format::us(lag.quantile(0.99)), format::us(lag.max())),
    };
    format!(
        "{}; CPU mean {}, peak {:.0}% of one core; memory {}; {lag}",
        format::plural(generator.workers.into(), "worker", "workers"),
        cpu_average(result),
        generator.cpu_peak_percent,
        human_bytes(generator.rss_peak_bytes),
    )
}

/// Returns the mean CPU usage over the run, in percent of one core.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub(super) fn cpu_average(result: &RunResult) -> String {
    match result.run.duration_us {
        0 => NONE.to_owned(),
        duration_us => format!("{:.0}%", result.generator.cpu_us as f64 * 100.0 / duration_us as f64),
    }
}

fn errors(out: &mut Writer, result: &RunResult) {
    if result.measurement.errors.is_empty() {
        return;
    }
    out.heading("Errors");
    let longest =
        result.measurement.errors.iter().map(|error| columns(&error.class)).max().unwrap_or(0).min(24);
    for error in &result.measurement.errors {
        let class = plain(&error.class);
        let body = format!(
            "{}, {} to {}, e.g. {}",
            culprit(error.culprit),
            format::instant(error.first_us),
            format::instant(error.last_us),
            plain(&error.example)
        );
        let count = human_count(error.count);
        let indent = 15 + longest;
        if out.columns() >= indent + ERROR_COLUMNS_MIN {
            let first = format!("  {count:>9}  {}  ", pad(&class, longest));
            out.wrapped(&first, &" ".repeat(indent), &body);
        } else {
            out.line(&format!("  {count:>9}  {class}"));
            out.wrapped("             ", "             ", &body);
        }
    }
}

/// Writes the faults that the scenario asked for.
fn faults(out: &mut Writer, result: &RunResult) {
    if result.faults.is_empty() {
        return;
    }
    out.heading("Faults");
    for line in fault_words::lines(result) {
        out.wrapped("  ", "      ", &line);
    }
}

/// Writes the recoveries from disturbances.
fn recoveries(out: &mut Writer, result: &RunResult) {
    let lines = recovery_words::lines(result);
    if !lines.is_empty() {
        out.heading("Recoveries");
    }
    for line in lines {
        out.wrapped("  ", "      ", &line);
    }
}

/// Writes the streams that have lost, duplicate or reordered messages.
fn streams(out: &mut Writer, result: &RunResult) {
    let uneven = |stream: &&Stream| [stream.lost, stream.duplicates, stream.reordered] != [0; 3];
    let mut streams = result.measurement.streams.iter().filter(uneven).peekable();
    if streams.peek().is_some() {
        out.heading("Streams");
    }
    for stream in streams {
        let [lost, duplicates, reordered, ok] =
            [stream.lost, stream.duplicates, stream.reordered, stream.ok].map(human_count);
        let body = format!(
            "{} to {}: {lost} lost, {duplicates} duplicates, {reordered} out of order, {ok} arrived",
            plain(&stream.fleet),
            plain(&stream.topic)
        );
        out.wrapped("  ", "      ", &body);
    }
}

/// Returns a culprit in words.
#[must_use]
pub fn culprit(culprit: Culprit) -> &'static str {
    match culprit {
        Culprit::Target => "target",
        Culprit::Network => "network",
        Culprit::Generator => "this machine",
    }
}

/// Writes the hub's metrics beside hubstorm's numbers.
fn hub_section(out: &mut Writer, view: &HubView) {
    out.heading(hub_view::HEADING);
    for sentence in &view.lead {
        out.wrapped("  ", "  ", sentence);
    }
    for [metric, ours, hub, difference] in &view.rows {
        let ours = if ours == NONE { String::new() } else { format!("hubstorm {ours}, ") };
        out.wrapped("  ", "      ", &format!("{metric}: {ours}the hub {hub}: {difference}"));
    }
    for metric in &view.not_used {
        out.wrapped("  ", "      ", &format!("not shown: {metric}"));
    }
}

fn findings(out: &mut Writer, findings: &[&Finding]) {
    if findings.is_empty() {
        return;
    }
    out.heading("Findings");
    for finding in findings {
        let mark = match finding.severity {
            Severity::Warning => "  ! ",
            Severity::Note => "  - ",
        };
        out.wrapped(mark, "    ", &format!("{} ({})", plain(&finding.text), plain(&finding.evidence)));
    }
}

#[cfg(test)]
mod tests;
