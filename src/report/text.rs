//! The summary on the terminal: the verdict, then the numbers behind it. Called by `app`, which prints the summary and the paths of the
//! files. Sentences wrap at 80 columns; tables are up to 100 columns wide. Uses only the result.

use super::banner::Banner;
use super::connected::Thresholds;
use super::format::{self, NONE, plain};
use super::sources::{is_emulator, sources, stalls};
use super::standing::{self, Standing};
use super::summary::{OperationSummary, Summary, not_ok};
use super::{from_hub, margin};
use crate::measure::{Culprit, Operation, Stream, Totals, threshold_label};
use crate::result::model::{RunResult, Severity, ThresholdResult};
use crate::units::{human_bytes, human_count};
use anstyle::{AnsiColor, Style};

/// Line width of sentences.
const PROSE_COLUMNS: usize = 80;
/// Line width of tables.
const TABLE_COLUMNS: usize = 100;
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const PASSED: Style = AnsiColor::Green.on_default().bold();
const FAILED: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Returns the summary of a run as text that ends in a line break. `color` adds ANSI styles.
#[must_use]
pub fn text(result: &RunResult, color: bool) -> String {
    let mut out = Writer { text: String::new(), color };
    verdict(&mut out, result);
    thresholds(&mut out, result);
    let summary = Summary::of(result);
    operations(&mut out, &summary);
    run(&mut out, result, &summary);
    streams(&mut out, result);
    errors(&mut out, result);
    findings(&mut out, result);
    out.text
}

/// Returns only the verdict and the thresholds.
#[must_use]
pub fn verdict_text(result: &RunResult, color: bool) -> String {
    let mut out = Writer { text: String::new(), color };
    verdict(&mut out, result);
    thresholds(&mut out, result);
    out.text
}

/// Collects lines of text, with or without styles.
struct Writer {
    text: String,
    color: bool,
}

impl Writer {
    fn styled(&self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// Returns the mark of a threshold.
    fn mark(&self, standing: Standing) -> String {
        let style = match standing.class() {
            "passed" => PASSED,
            "failed" => FAILED,
            "undecided" => WARNING,
            _ => DIM,
        };
        self.styled(style, standing.mark())
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn heading(&mut self, name: &str) {
        let heading = self.styled(BOLD, name);
        self.line("");
        self.line(&heading);
    }

    /// Writes `body`, wrapped between words. The first line starts with `first`, the others with `rest`.
    fn wrapped(&mut self, first: &str, rest: &str, body: &str) {
        let mut line = first.to_owned();
        let mut empty = true;
        for word in body.split(' ').filter(|word| !word.is_empty()) {
            if !empty && line.chars().count() + 1 + word.chars().count() > PROSE_COLUMNS {
                self.line(&line);
                rest.clone_into(&mut line);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.line(&line);
    }
}

fn verdict(out: &mut Writer, result: &RunResult) {
    let banner = Banner::of(result);
    let style = match banner.class {
        "pass" => PASSED,
        "fail" => FAILED,
        _ => WARNING,
    };
    let word = out.styled(style, &banner.word.to_uppercase());
    let name = out.styled(BOLD, &plain(&result.run.scenario.name));
    out.line(&format!("{word}  {name}"));
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
    threshold_label(&plain(&threshold.metric), phase.as_deref(), fleet.as_deref())
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
        let widths = rows.map(|row| width(&row[i]));
        widths.filter(|width| *width <= most[i]).max().unwrap_or(0)
    });
    for (standing, [metric, expression, observed, margin]) in &rows {
        let mark = out.mark(*standing);
        let [first, second, third] = widths;
        let aligned = format!("{metric:first$}  {expression:second$}  {observed:third$}  {margin}");
        if width(&aligned) + 4 <= TABLE_COLUMNS {
            out.line(&format!("  {mark} {aligned}"));
        } else {
            out.line(&format!("  {mark} {metric}"));
            let margin = if margin.is_empty() { String::new() } else { format!(", {margin}") };
            out.wrapped("      ", "      ", &format!("{expression}: {observed}{margin}"));
        }
    }
    if let Some((words, first)) = thresholds.words().zip(thresholds.connected.first()) {
        let mark = out.mark(Standing::of(first, result));
        out.wrapped(&format!("  {mark} "), "    ", &words);
    }
    let notes = [standing::note(result).map(str::to_owned), margin::undecided_note(&result.thresholds)];
    for note in notes.iter().flatten() {
        out.wrapped("    ", "    ", note);
    }
}

/// Returns metric, expression, observation and margin of a threshold.
fn threshold_row(threshold: &ThresholdResult, result: &RunResult) -> (Standing, [String; 4]) {
    let standing = Standing::of(threshold, result);
    let margin = margin::words(threshold);
    let words = match standing {
        Standing::Undecided => "undecided".to_owned(),
        Standing::WouldPass => "would pass".to_owned(),
        _ => margin,
    };
    let observed = plain(&margin::observed(threshold));
    (standing, [metric(threshold), plain(&threshold.expression), observed, words])
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn operations(out: &mut Writer, summary: &Summary) {
    out.heading("Operations");
    if summary.operations.is_empty() {
        out.line("  no operations were due");
        return;
    }
    let head = ["ok / due", "rate(ok)", "p50", "p95", "p99", "p99.9", "max"].map(str::to_owned);
    let has_warmup =
        summary.operations.iter().any(|operation| operation.total.due > 0 && operation.warmup.due > 0);
    let key = if has_warmup { "  total: without warm-up" } else { "" };
    let groups = format!("{key:53}{:<39}{:>8}", "response (due to ack)", "service");
    for line in [groups, row("", "", &head, "p99")] {
        let line = out.styled(DIM, &line);
        out.line(&line);
    }
    for operation in &summary.operations {
        operation_rows(out, operation);
    }
}

fn operation_rows(out: &mut Writer, operation: &OperationSummary) {
    let name = operation.name();
    let (totals, label) = operation.headline();
    let mut rows = vec![(label.to_owned(), totals)];
    let measured = operation.phases.iter().filter(|part| !part.warmup);
    if measured.clone().count() > 1 && operation.operation.is_message() {
        rows.extend(measured.map(|part| (format!("- {}", plain(&part.name)), &part.totals)));
    }
    if operation.total.due > 0 && operation.warmup.due > 0 {
        rows.push(("warm-up".to_owned(), &operation.warmup));
    }
    for (i, (label, totals)) in rows.iter().enumerate() {
        let line = figures_row(if i == 0 { name } else { "" }, label, totals);
        out.line(&line);
        let outcomes = not_ok(totals);
        // The total includes the outcomes of the other phases, but not of the warm-up.
        if (i == 0 || label == "warm-up") && !outcomes.is_empty() {
            let outcomes: Vec<String> = outcomes
                .iter()
                .map(|(outcome, count)| format!("{} {outcome}", human_count(*count)))
                .collect();
            out.wrapped("                 not ok: ", "                 ", &plain(&outcomes.join(", ")));
        }
    }
    if totals.no_ack {
        out.line("                 no acknowledgment: a QoS 0 message is ok once it is sent");
    }
    if totals.closed_loop {
        out.line("                 closed loop, not corrected for coordinated omission");
    }
}

fn figures_row(name: &str, label: &str, totals: &Totals) -> String {
    let response = |quantile| format::us(totals.response.quantile(quantile));
    let cells = [
        format!("{} / {}", human_count(totals.ok()), human_count(totals.due)),
        format::share(totals.ok(), totals.due),
        response(0.5),
        response(0.95),
        response(0.99),
        response(0.999),
        format::us(totals.response.max()),
    ];
    row(name, label, &cells, &format::us(totals.service.quantile(0.99)))
}

/// Formats an aligned row of the table of operations, which has the maximum width of a table.
fn row(name: &str, label: &str, cells: &[String; 7], service: &str) -> String {
    let [ok, rate, p50, p95, p99, p999, max] = cells;
    let label = format::shorten(label, 10);
    // A long name such as `telemetry.qos0` leaves less space for the label.
    let head = if width(name) > 12 { format!("{name} {label}") } else { format!("{name:<12} {label}") };
    format!("  {head:<23} {ok:>17} {rate:>8} {p50:>7} {p95:>7} {p99:>7} {p999:>7} {max:>7} {service:>7}")
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
    fact("when", format!("{}, for {}", format::date(&run.started), format::span(run.duration_us)));
    let devices = [summary.online_peak, summary.devices].map(human_count);
    fact("devices", format!("{} of {} online at peak", devices[0], devices[1]));
    if summary.messages.due > 0 {
        fact("messages", load(summary));
    }
    let measurement = &result.measurement;
    fact(
        "sessions",
        format!(
            "{}, {}, {}",
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
    let built_in = if target.embedded { " (built-in)" } else { "" };
    let tls = match &target.tls {
        Some(tls) => {
            let checked = if tls.verified { "" } else { ", CERTIFICATE NOT CHECKED" };
            format!("TLS {}, {}, {}{checked}", plain(&tls.version), plain(&tls.suite), plain(&tls.group))
        }
        None if target.tls_wanted => "TLS, no handshake succeeded".to_owned(),
        None => "plain TCP".to_owned(),
    };
    let host = plain(&target.host);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    format!("{} at {host}:{}{built_in}, {tls}", plain(&target.kind), target.port)
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
        result.measurement.errors.iter().map(|error| width(&error.class)).max().unwrap_or(0).min(24);
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
        let first = format!("  {count:>9}  {class:<longest$}  ");
        out.wrapped(&first, &" ".repeat(15 + longest), &body);
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
        let body = format!("{lost} lost, {duplicates} duplicates, {reordered} out of order, {ok} arrived");
        out.wrapped(&format!("  {} to {}: ", plain(&stream.fleet), plain(&stream.topic)), "      ", &body);
    }
}

/// Returns a culprit in words.
pub(super) fn culprit(culprit: Culprit) -> &'static str {
    match culprit {
        Culprit::Target => "target",
        Culprit::Network => "network",
        Culprit::Generator => "this machine",
    }
}

fn findings(out: &mut Writer, result: &RunResult) {
    if result.findings.is_empty() {
        return;
    }
    out.heading("Findings");
    for finding in &result.findings {
        let mark = match finding.severity {
            Severity::Warning => "  ! ",
            Severity::Note => "  - ",
        };
        out.wrapped(mark, "    ", &format!("{} ({})", plain(&finding.text), plain(&finding.evidence)));
    }
}

#[cfg(test)]
mod tests;
