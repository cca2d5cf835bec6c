//! Formats samples as Markdown, and writes them between the markers of `docs/performance.md`.

use super::Failure;
use super::figures::{Figure, Subject, Table};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::process::Command;

/// The value of each round by figure (its index) and subject. `None` without a value.
pub(crate) type Samples = HashMap<(usize, Subject), Vec<Option<f64>>>;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md");

/// Replaces the text between the markers with this name.
pub(crate) fn write_document(name: &str, tables: &str) -> Result<(), Failure> {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
    let text = std::fs::read_to_string(DOCUMENT).map_err(|error| format!("{DOCUMENT}: {error}"))?;
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) =
        parts.ok_or(format!("{DOCUMENT}: {begin:?} is missing, or {end:?} is missing after it"))?;
    Ok(std::fs::write(DOCUMENT, format!("{before}{begin}\n{}\n\n{end}{after}", tables.trim_end()))?)
}

/// Returns the tables: medians with minimum and maximum, then ratios.
pub(crate) fn render(figures: &[Figure], samples: &Samples) -> String {
    let mut out = String::new();
    for (table, heading) in [
        (Table::Clients, "Clients"),
        (Table::Alone, "hubstorm alone"),
        (Table::Servers, "Servers, the floor as the client of both"),
    ] {
        let rows: Vec<(usize, &Figure)> =
            figures.iter().enumerate().filter(|(_, figure)| figure.table == table).collect();
        let subjects = table.subjects();
        if rows.is_empty() {
            continue;
        }
        line(&mut out, &format!("### {heading}\n"));
        let names =
            |subjects: &[Subject]| subjects.iter().map(|&subject| name(table, subject)).collect::<Vec<_>>();
        header(&mut out, &[&["median (least to most)"], &names(subjects)[..], &["bar"]].concat());
        for (index, figure) in &rows {
            let mut cells = vec![figure.name.clone()];
            for &subject in subjects {
                cells.push(cell(
                    samples[&(*index, subject)].iter().flatten().copied().collect(),
                    figure.decimals,
                ));
            }
            cells.push(figure.bar.to_owned());
            row(&mut out, &cells);
        }
        out.push('\n');
        let [first, others @ ..] = subjects else { continue };
        if others.is_empty() {
            continue;
        }
        header(
            &mut out,
            &[&[format!("ratio to {}", name(table, *first)).as_str()], &names(others)[..]].concat(),
        );
        for (index, figure) in rows.iter().filter(|(_, figure)| !figure.bar.is_empty()) {
            let mut cells = vec![figure.name.clone()];
            for &subject in others {
                let rounds = samples[&(*index, subject)].iter().zip(&samples[&(*index, *first)]);
                cells.push(cell(rounds.filter_map(|(ours, first)| Some((*ours)? / (*first)?)).collect(), 2));
            }
            row(&mut out, &cells);
        }
        out.push('\n');
    }
    out
}

fn name(table: Table, subject: Subject) -> &'static str {
    match (table, subject) {
        (Table::Servers, Subject::Floor) => "mosquitto",
        (_, Subject::Floor) => "floor",
        (_, Subject::Rumqttc) => "rumqttc",
        (_, Subject::Tsung) => "tsung",
        (_, Subject::Hubstorm) => "hubstorm",
        (_, Subject::Emulator) => "emulator",
    }
}

/// `0.64 (0.61 to 0.66)`
fn cell(mut values: Vec<f64>, decimals: usize) -> String {
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(only), _, _) if values.len() == 1 => format!("{only:.decimals$}"),
        (Some(least), Some(median), Some(most)) => {
            format!("{median:.decimals$} ({least:.decimals$} to {most:.decimals$})")
        }
        _ => "-".to_owned(),
    }
}

pub(crate) fn header(out: &mut String, cells: &[&str]) {
    let names: Vec<String> = cells.iter().map(|&cell| cell.to_owned()).collect();
    row(out, &names);
    line(out, &format!("|---|{}", "---:|".repeat(cells.len() - 1)));
}

pub(crate) fn row(out: &mut String, cells: &[String]) {
    line(out, &format!("| {} |", cells.join(" | ")));
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

/// Describes the measurement: date, machine, versions and arguments.
pub(crate) fn provenance(arguments: &[String], rounds: usize) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("processor unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let seconds = i64::try_from(hubstorm::clock::unix().as_secs()).unwrap_or_default();
    let date = jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%-d %B %Y").to_string();
    let lock = read(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rumqttc/Cargo.lock"));
    let rumqttc =
        lock.split_once("name = \"rumqttc\"\nversion = \"").and_then(|(_, rest)| rest.split('"').next());
    let arguments = arguments.iter().map(|argument| format!(" {argument}")).collect::<String>();
    format!(
        "`benches/side-by-side{arguments}` ({rounds} rounds), {date}, {} with {cores} cores that client and server share, Linux {}; \
         hubstorm {} ({}), mosquitto {}, tsung {}, rumqttc {}, {}.\n",
        cpu.trim_start_matches([' ', '\t', ':']),
        read("/proc/sys/kernel/osrelease").trim(),
        env!("CARGO_PKG_VERSION"),
        first_line("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]),
        last_word(&first_line("mosquitto", &["-h"])),
        last_word(&first_line("tsung", &["-v"])),
        rumqttc.unwrap_or("unknown"),
        first_line("rustc", &["--version"]),
    )
}

/// Returns the first line that a program prints.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

fn last_word(text: &str) -> String {
    text.split_whitespace().last().unwrap_or("unknown").to_owned()
}
