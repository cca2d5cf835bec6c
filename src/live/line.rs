//! The text of a progress line: for a log, with every figure, and for a terminal, fitted to its width. Used by `progress`. Pure.

use crate::measure::Operation;
use crate::report::{columns, cut};
use crate::units::{human_count, human_us, whole};
use anstyle::{AnsiColor, Style};
use std::fmt::Write as _;
use std::time::Duration;

/// The smallest and the largest number of columns of the bar.
const BAR: [usize; 2] = [8, 32];
/// The maximum number of error classes that a line on a terminal names.
const CLASSES_MAX: usize = 3;

/// The figures of a progress line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    /// Time since the start of the run.
    pub(super) at: Duration,
    /// End of the load.
    pub(super) end: Duration,
    /// Name, start and end of the current phase. The drain counts as a phase.
    pub(super) phase: String,
    pub(super) phase_start: Duration,
    pub(super) phase_end: Duration,
    pub(super) online: u64,
    /// Number of devices that should be online; `None` during the drain, when devices disconnect.
    pub(super) planned: Option<u64>,
    pub(super) offered_per_s: f64,
    pub(super) acked_per_s: f64,
    /// The main operation, and its highest p99 of any second.
    pub(super) p99: Option<(Operation, u64)>,
    /// Number of operations since the start of the run whose outcome is not ok.
    pub(super) failed: u64,
    /// Errors since the start of the run by class, most frequent first.
    pub(super) classes: Vec<(String, u64)>,
    /// The status of a search for capacity.
    pub(super) search: Option<SearchStatus>,
}

/// The status of a search for capacity.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchStatus {
    /// The bounds so far: `between 4,100/s and 4,300/s`.
    pub interval: String,
    /// Remaining trials and time: `about 6 trials left (4m)`.
    pub remaining: String,
    /// Replaces the phase; `None` in the phases before the search.
    pub stage: Option<SearchStage>,
}

/// A stage of a search, such as a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchStage {
    /// Name: `trial 4: 4,200/s`.
    pub name: String,
    /// Start and end, measured from the start of the run; `None` if they are those of the phase.
    pub times: Option<[Duration; 2]>,
}

/// The parts of a line on a terminal, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Phase,
    Bar,
    Times,
    Online,
    Rates,
    P99,
    Errors,
}

/// A step towards a shorter line.
#[derive(Clone, Copy)]
enum Step {
    /// Uses the next shorter form of a part, if there is one.
    Shorten(Part),
    /// Leaves a part out.
    Drop(Part),
}

/// The steps until a line fits, from the least important part.
const STEPS: [Step; 13] = [
    Step::Shorten(Part::Errors),
    Step::Shorten(Part::P99),
    Step::Shorten(Part::Rates),
    Step::Shorten(Part::Times),
    Step::Drop(Part::Bar),
    Step::Shorten(Part::Times),
    Step::Shorten(Part::Times),
    Step::Shorten(Part::Errors),
    Step::Drop(Part::P99),
    Step::Drop(Part::Rates),
    Step::Drop(Part::Times),
    Step::Drop(Part::Errors),
    Step::Drop(Part::Online),
];

/// A part, its forms from the longest to the shortest, and the index of the form to show. An index without a form shows nothing.
struct Fitted {
    part: Part,
    forms: Vec<String>,
    shown: usize,
}

impl Fitted {
    fn text(&self) -> &str {
        self.forms.get(self.shown).map_or("", String::as_str)
    }

    /// Number of columns before the part.
    fn gap(&self) -> usize {
        match self.part {
            Part::Phase => 0,
            Part::Bar | Part::Times => 1,
            _ => 2,
        }
    }

    fn columns(&self) -> usize {
        if self.text().is_empty() { 0 } else { self.gap() + columns(self.text()) }
    }
}

impl Figures {
    /// Returns the line for a log: the times, then `key=value` for each figure.
    pub(super) fn for_log(&self) -> String {
        let planned = self.planned.map(|planned| format!("/{planned}")).unwrap_or_default();
        let mut line = format!(
            "{}s/{}s phase={} phase_left={}s run_left={}s online={}{planned} offered={:.0}/s acked={:.0}/s",
            self.at.as_secs(),
            self.end.max(self.at).as_secs(),
            self.phase,
            self.phase_left().as_secs(),
            self.run_left().as_secs(),
            self.online,
            self.offered_per_s,
            self.acked_per_s,
        );
        let mut add = |text: std::fmt::Arguments<'_>| {
            line.write_fmt(text).expect("writing to a String cannot fail");
        };
        if let Some((operation, p99_us)) = self.p99 {
            add(format_args!(" {operation}.p99={}", human_us(p99_us).replace(' ', "")));
        }
        add(format_args!(" failed={} errors={}", self.failed, self.errors()));
        for (class, count) in &self.classes {
            add(format_args!(" {class}={count}"));
        }
        line
    }

    /// Returns the lines for a terminal, at most `most` columns wide: one, or two during a search.
    pub(super) fn for_terminal(&self, most: usize, color: bool) -> String {
        let Some(search) = &self.search else { return self.line(most, color) };
        let mut stage = Figures { search: None, end: self.phase_end, ..self.clone() };
        if let Some(SearchStage { name, times }) = &search.stage {
            name.clone_into(&mut stage.phase);
            [stage.phase_start, stage.phase_end] = times.unwrap_or([self.phase_start, self.phase_end]);
            stage.end = stage.phase_end;
        }
        format!("{}\n{}", search.line(most, color), stage.line(most, color))
    }

    fn line(&self, most: usize, color: bool) -> String {
        let mut parts = self.parts();
        fit(&mut parts, most);
        let left = most.saturating_sub(total(&parts));
        let mut line = String::new();
        for part in parts.iter().filter(|part| !part.text().is_empty()) {
            line.push_str(&" ".repeat(part.gap()));
            let text = match part.part {
                Part::Bar => self.bar((BAR[0] + left).min(BAR[1])),
                Part::Phase => cut(part.text(), most),
                _ => part.text().to_owned(),
            };
            let style = match part.part {
                Part::Phase => Style::new().bold(),
                Part::Errors => AnsiColor::Red.on_default(),
                _ => Style::new(),
            };
            if color && style != Style::new() {
                write!(line, "{style}{text}{style:#}").expect("writing to a String cannot fail");
            } else {
                line.push_str(&text);
            }
        }
        line
    }

    fn parts(&self) -> Vec<Fitted> {
        let [offered, acked] = [self.offered_per_s, self.acked_per_s].map(|rate| human_count(whole(rate)));
        let planned = self.planned.map(|planned| format!("/{}", human_count(planned))).unwrap_or_default();
        let p99 = self.p99.map(|(operation, us)| {
            let us = human_us(us);
            vec![format!("p99 {operation} {us}"), format!("p99 {us}")]
        });
        let parts = [
            (Part::Phase, vec![self.phase.clone()]),
            (Part::Bar, vec!["=".repeat(BAR[0])]),
            (Part::Times, self.times()),
            (Part::Online, vec![format!("online {}{planned}", human_count(self.online))]),
            (
                Part::Rates,
                vec![format!("offered {offered}/s  acked {acked}/s"), format!("acked {acked}/{offered}/s")],
            ),
            (Part::P99, p99.unwrap_or_default()),
            (Part::Errors, self.error_forms()),
        ];
        parts.into_iter().map(|(part, forms)| Fitted { part, forms, shown: 0 }).collect()
    }

    /// The time left in the phase, and in the run if that is longer.
    fn times(&self) -> Vec<String> {
        let [phase, run] = [self.phase_left(), self.run_left()].map(short_time);
        if self.run_left() <= self.phase_left() {
            return vec![format!("{phase} left"), phase];
        }
        vec![
            format!("{phase} left, run {run} left"),
            format!("{phase}, run {run}"),
            format!("{phase} left"),
            phase,
        ]
    }

    fn error_forms(&self) -> Vec<String> {
        let failed = format!("failed {}", human_count(self.failed));
        if self.classes.is_empty() {
            return if self.failed > 0 { vec![failed] } else { Vec::new() };
        }
        let named = |most: usize| {
            let named = self.classes.iter().take(most);
            let named: Vec<_> =
                named.map(|(class, count)| format!("{class} {}", human_count(*count))).collect();
            let more = self.classes.len().saturating_sub(most);
            let more = if more > 0 { format!(", {more} more") } else { String::new() };
            named.join(", ") + &more
        };
        vec![
            format!("{failed}  errors: {}", named(CLASSES_MAX)),
            format!("errors: {}", named(1)),
            format!("errors {}", human_count(self.errors())),
        ]
    }

    fn errors(&self) -> u64 {
        self.classes.iter().map(|(_, count)| count).sum()
    }

    fn phase_left(&self) -> Duration {
        self.phase_end.saturating_sub(self.at)
    }

    fn run_left(&self) -> Duration {
        self.end.saturating_sub(self.at)
    }

    /// Returns the bar of the phase, in ASCII: other characters are two columns wide on some terminals.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a few columns"
    )]
    fn bar(&self, columns: usize) -> String {
        let length = self.phase_end.saturating_sub(self.phase_start).as_secs_f64();
        let passed = self.at.saturating_sub(self.phase_start).as_secs_f64();
        let share = if length > 0.0 { (passed / length).min(1.0) } else { 1.0 };
        let cells = columns.saturating_sub(2);
        let full = (share * cells as f64).floor() as usize;
        let tip = if full < cells { ">" } else { "" };
        format!("[{}{tip}{}]", "=".repeat(full), " ".repeat(cells - full - tip.len()))
    }
}

impl SearchStatus {
    /// Returns the line of a search. Without space for the rest, only the interval is left.
    fn line(&self, most: usize, color: bool) -> String {
        let interval = format!("capacity {}", self.interval);
        let remaining = format!(", {}", self.remaining);
        let fits = columns(&interval) + columns(&remaining) <= most;
        let (interval, remaining) = (cut(&interval, most), if fits { &*remaining } else { "" });
        let style = Style::new().bold();
        if color {
            format!("{style}{interval}{style:#}{remaining}")
        } else {
            format!("{interval}{remaining}")
        }
    }
}

fn total(parts: &[Fitted]) -> usize {
    parts.iter().map(Fitted::columns).sum()
}

/// Shortens a line until it fits. Then undoes the steps that later ones made unnecessary.
fn fit(parts: &mut [Fitted], most: usize) {
    let mut undo = Vec::new();
    for step in STEPS {
        if total(parts) <= most {
            break;
        }
        let (Step::Shorten(wanted) | Step::Drop(wanted)) = step;
        let Some(index) = parts.iter().position(|part| part.part == wanted) else { continue };
        let part = &mut parts[index];
        undo.push((index, part.shown));
        part.shown = match step {
            Step::Shorten(_) => (part.shown + 1).min(part.forms.len().saturating_sub(1)),
            Step::Drop(_) => part.forms.len(),
        };
    }
    for (index, before) in undo.into_iter().rev() {
        let after = std::mem::replace(&mut parts[index].shown, before);
        if total(parts) > most {
            parts[index].shown = after;
        }
    }
}

/// Formats a time without spaces: `12s`, `1m05s`, `2h07m`.
fn short_time(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Figures for the tests of this room.

    use super::*;

    /// Returns the figures at a second of a run of 60 s, whose phase ends after 50 s.
    pub(crate) fn figures(second: u64) -> Figures {
        Figures {
            at: Duration::from_secs(second),
            end: Duration::from_secs(60),
            phase: "steady".to_owned(),
            phase_start: Duration::from_secs(10),
            phase_end: Duration::from_secs(50),
            online: 998,
            planned: Some(1_000),
            offered_per_s: 200.0,
            acked_per_s: 199.2,
            p99: Some((Operation::Telemetry, 12_300)),
            failed: 0,
            classes: Vec::new(),
            search: None,
        }
    }

    /// Returns the figures of [`figures`] during a trial.
    pub(crate) fn searching() -> Figures {
        let stage = SearchStage {
            name: "trial 4: 4,200/s".to_owned(),
            times: Some([20, 55].map(Duration::from_secs)),
        };
        let search = SearchStatus {
            interval: "between 4,100/s and 4,300/s".to_owned(),
            remaining: "about 6 trials left (4m)".to_owned(),
            stage: Some(stage),
        };
        Figures { search: Some(search), ..figures(41) }
    }
}

#[cfg(test)]
mod tests;
