//! Reads the CSV file of a recording row by row, and finds the mistakes in it. Called by `resolve`, which checks what depends on the
//! fleet. Quoting is that of RFC 4180: a quoted field may contain separators, quotes and line ends.

use super::row_time::{self, Form};
use crate::scenario::nearest;
use crate::text_file;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use csv::{ByteRecord, ReaderBuilder};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};

/// The maximum number of lines whose mistakes are reported.
pub(in crate::plan) const LINES_REPORTED_MAX: usize = 10;

/// The maximum number of characters of a field that a message repeats.
const EXCERPT_CHARS: usize = 40;

/// The longest recording. A longer one has times in a smaller unit.
const LENGTH_MAX_NS: u64 = 10 * 365 * 86_400 * 1_000_000_000;

const NAMES: [&str; 6] = ["time", "device", "topic", "properties", "payload", "payload_base64"];

/// The column between the device and the payload: a broker needs topics, and an IoT hub has properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum HeadColumn {
    /// `topic`.
    Topic,
    /// `properties`.
    Properties,
}

/// A row of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) struct TableRow<'a> {
    /// Time since the first row, in nanoseconds.
    pub(in crate::plan) time_ns: u64,
    /// Device id.
    pub(in crate::plan) device: &'a str,
    /// Topic or properties. `None` without such a column.
    pub(in crate::plan) head: Option<&'a str>,
    pub(in crate::plan) payload: &'a [u8],
}

/// A mistake in a row, and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct RowProblem {
    pub(in crate::plan) what: String,
    pub(in crate::plan) fix: String,
}

impl RowProblem {
    pub(in crate::plan) fn new(what: impl Into<String>, fix: impl Into<String>) -> RowProblem {
        RowProblem { what: what.into(), fix: fix.into() }
    }
}

/// A mistake and its line. `None`: it concerns the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct LineProblem {
    pub(in crate::plan) line: Option<u64>,
    pub(in crate::plan) problem: RowProblem,
}

/// The result of reading a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::plan) struct Table {
    /// The first mistakes.
    pub(in crate::plan) problems: Vec<LineProblem>,
    /// Number of further mistakes.
    pub(in crate::plan) more: u64,
    /// Number of rows without a mistake.
    pub(in crate::plan) rows: u64,
    /// Whether the file has the column of topics or properties.
    pub(in crate::plan) has_head: bool,
    /// Names of columns that are not read.
    pub(in crate::plan) ignored: Vec<String>,
    /// SHA-256 of the file, in hexadecimal.
    pub(in crate::plan) sha256: String,
}

impl Table {
    fn add(&mut self, line: Option<u64>, problem: RowProblem) {
        if self.problems.len() < LINES_REPORTED_MAX {
            self.problems.push(LineProblem { line, problem });
        } else {
            self.more += 1;
        }
    }
}

/// Reads a file and passes each row to `each`, which may refuse it.
pub(in crate::plan) fn read(
    input: impl Read,
    head: HeadColumn,
    each: &mut dyn FnMut(&TableRow<'_>) -> Result<(), RowProblem>,
) -> Table {
    let mut table = Table::default();
    let mut input = BufReader::with_capacity(64 * 1024, Observed::new(input));
    match Style::of(&mut input) {
        Ok(style) => read_rows(&mut input, style, head, &mut table, each),
        Err(problem) => table.add(None, problem),
    }
    let observed = input.into_inner();
    for byte in observed.sha.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(table.sha256, "{byte:02x}");
    }
    table
}

/// The form of a file, which its start shows.
#[derive(Clone, Copy, Debug)]
struct Style {
    separator: u8,
    /// Whether lines end with CR LF.
    is_crlf: bool,
}

impl Style {
    fn of(input: &mut impl BufRead) -> Result<Style, RowProblem> {
        let unreadable = |error: std::io::Error| unreadable(&error.to_string());
        let start = input.fill_buf().map_err(unreadable)?;
        if let Some(compression) = text_file::compression(start) {
            let what = format!("it is compressed ({compression}), or an Excel workbook");
            let fix = format!("decompress it with {}, or save it as CSV", compression.command());
            return Err(RowProblem::new(what, fix));
        }
        let text = text_file::skip_bom(start)
            .map_err(|error| RowProblem::new(error.to_string(), "save the file as CSV in UTF-8"))?;
        let header = text.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        let separators = [b',', b';', b'\t'].into_iter();
        Ok(Style {
            separator: separators.into_iter().find(|separator| header.contains(separator)).unwrap_or(b','),
            is_crlf: header.ends_with(b"\r\n"),
        })
    }
}

fn unreadable(error: &str) -> RowProblem {
    RowProblem::new(format!("cannot be read: {error}"), "check the file and its permissions")
}

fn read_rows<R: Read>(
    input: &mut BufReader<Observed<R>>,
    style: Style,
    head: HeadColumn,
    table: &mut Table,
    each: &mut dyn FnMut(&TableRow<'_>) -> Result<(), RowProblem>,
) {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(style.separator)
        .from_reader(&mut *input);
    let mut record = ByteRecord::new();
    let columns = match reader.read_byte_record(&mut record) {
        Ok(true) => Columns::of(&record, head, table),
        Ok(false) => {
            table.add(None, RowProblem::new("it is empty", format!("add a header: {}", header(head))));
            None
        }
        Err(error) => {
            table.add(None, unreadable(&error.to_string()));
            None
        }
    };
    let Some(columns) = columns else { return };
    let mut parser = RowParser { columns, start: None, before: None, payload: Vec::new() };
    let mut line = None;
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                table.add(None, unreadable(&error.to_string()));
                return;
            }
        }
        line = Some(first_line(&reader, &record, style));
        match parser.row(&record).and_then(|row| each(&row)) {
            Ok(()) => table.rows += 1,
            Err(problem) => table.add(line, problem),
        }
    }
    if input.get_ref().quotes % 2 == 1 {
        let what = "the file has an odd number of quotes (\"), so a quoted field has no end; the last row begins here";
        let fix = "close the field, and double each quote within a quoted field";
        table.add(line, RowProblem::new(what, fix));
    } else if line.is_none() {
        table.add(None, RowProblem::new("it has a header but no rows", "add a row for each message"));
    }
}

/// Returns the first line of the record that was just read. The reader's own position of a record lies before empty lines, and before the
/// LF of a CR LF.
fn first_line<R: Read>(
    reader: &csv::Reader<&mut BufReader<Observed<R>>>,
    record: &ByteRecord,
    style: Style,
) -> u64 {
    let within: usize = record.iter().map(|field| memchr::memchr_iter(b'\n', field).count()).sum();
    let (read, input) = (reader.position(), reader.get_ref().get_ref());
    let is_in_quotes = input.quotes % 2 == 1;
    let ends_without_lf = read.byte() == input.bytes && (is_in_quotes || input.last != Some(b'\n'));
    let has_read_lf = !style.is_crlf && !ends_without_lf;
    read.line().saturating_sub(within as u64 + u64::from(has_read_lf))
}

/// Returns an example of a header.
fn header(head: HeadColumn) -> &'static str {
    match head {
        HeadColumn::Topic => "time,device,topic,payload",
        HeadColumn::Properties => "time,device,properties,payload",
    }
}

/// The positions of the columns.
#[derive(Clone, Copy, Debug)]
struct Columns {
    count: usize,
    time: usize,
    device: usize,
    head: Option<usize>,
    payload: usize,
    is_base64: bool,
}

impl Columns {
    /// Finds the columns in the header. Adds its mistakes to the table. The names in the header are not repeated if a column is missing,
    /// because the file may have no header, or may be a list of keys.
    fn of(record: &ByteRecord, head: HeadColumn, table: &mut Table) -> Option<Columns> {
        let names: Vec<String> =
            record.iter().map(|name| String::from_utf8_lossy(name).trim().to_lowercase()).collect();
        let position = |name: &str| names.iter().position(|column| column == name);
        let mut add = |what: String, fix: String| table.add(Some(1), RowProblem::new(what, fix));
        let example = || format!("the header must name them, such as {}", header(head));
        let [time, device] = ["time", "device"].map(position);
        for (name, found) in [("time", time), ("device", device)] {
            if found.is_none() {
                add(format!("the column {name} is missing"), example());
            }
        }
        let payload = match (position("payload"), position("payload_base64")) {
            (Some(text), None) => Some((text, false)),
            (None, Some(base64)) => Some((base64, true)),
            (None, None) => {
                add("the column payload, or payload_base64, is missing".to_owned(), example());
                None
            }
            (Some(_), Some(_)) => {
                add(
                    "both payload and payload_base64 are given".to_owned(),
                    "remove one of the columns".to_owned(),
                );
                None
            }
        };
        let (head_name, other, why) = match head {
            HeadColumn::Topic => {
                ("topic", "properties", "MQTT 3.1.1 has no properties; the target is a plain broker")
            }
            HeadColumn::Properties => {
                ("properties", "topic", "the topic of telemetry to an IoT hub is fixed")
            }
        };
        if position(other).is_some() {
            add(format!("column {other}: {why}"), "remove or rename the column".to_owned());
        }
        let near = |column: &&String| {
            nearest(column, NAMES).filter(|name| *name != column.as_str() && position(name).is_none())
        };
        for (column, meant) in names.iter().filter_map(|column| Some((column, near(&column)?))) {
            if [head_name, "payload_base64"].contains(&meant) {
                add(format!("unknown column {}", excerpt(column)), format!("did you mean {meant}?"));
            }
        }
        let twice = NAMES.into_iter().find(|name| names.iter().filter(|column| column == name).count() > 1);
        if let Some(name) = twice {
            add(format!("the column {name} is given twice"), "remove or rename one of them".to_owned());
        }
        if !table.problems.is_empty() {
            return None;
        }
        let (payload, is_base64) = payload?;
        let columns = Columns {
            count: names.len(),
            time: time?,
            device: device?,
            head: position(head_name),
            payload,
            is_base64,
        };
        table.has_head = columns.head.is_some();
        table.ignored = names.into_iter().filter(|column| !NAMES.contains(&column.as_str())).collect();
        Some(columns)
    }
}

/// Turns records into rows.
struct RowParser {
    columns: Columns,
    /// The form of the times, and the time of the first row.
    start: Option<(Form, i128)>,
    /// The time of the row before, and its text.
    before: Option<(i128, String)>,
    payload: Vec<u8>,
}

impl RowParser {
    fn row<'a>(&'a mut self, record: &'a ByteRecord) -> Result<TableRow<'a>, RowProblem> {
        let columns = self.columns;
        if record.len() != columns.count {
            let what = format!("{} columns instead of {}", record.len(), columns.count);
            return Err(RowProblem::new(
                what,
                "put fields with separators, quotes or line ends in quotes, and double each quote in them",
            ));
        }
        let text = |column: usize| {
            let field = record.get(column).unwrap_or_default();
            std::str::from_utf8(field).map_err(|_| {
                RowProblem::new("not UTF-8", "save the file as UTF-8, or use a column payload_base64")
            })
        };
        let time_ns = self.time(text(columns.time)?.trim())?;
        let head = columns.head.map(text).transpose()?;
        let field = record.get(columns.payload).unwrap_or_default();
        let payload = if columns.is_base64 {
            self.payload.clear();
            STANDARD.decode_vec(field.trim_ascii(), &mut self.payload).map_err(|error| {
                RowProblem::new(
                    format!("the payload is not Base64: {error}"),
                    "encode it as RFC 4648 says, with padding",
                )
            })?;
            &self.payload
        } else {
            field
        };
        Ok(TableRow { time_ns, device: text(columns.device)?.trim(), head, payload })
    }

    /// Returns the time since the first row.
    fn time(&mut self, text: &str) -> Result<u64, RowProblem> {
        let Some((form, ns)) = row_time::parse(text) else {
            let what = format!("not a time: {}", excerpt(text));
            return Err(RowProblem::new(
                what,
                "write seconds, such as 12.5, or ISO 8601, such as 2026-07-08T09:10:11.5Z",
            ));
        };
        let (first_form, start) = *self.start.get_or_insert((form, ns));
        if form != first_form {
            let what = format!("{} is not in the form of the first row's time", excerpt(text));
            return Err(RowProblem::new(what, "use either seconds or ISO 8601 in all rows"));
        }
        let before = self.before.replace((ns, text.to_owned()));
        if let Some((_, before)) = before.filter(|(before_ns, _)| *before_ns > ns) {
            let what = format!(
                "out of order: {} is earlier than {} in the row before",
                excerpt(text),
                excerpt(&before)
            );
            return Err(RowProblem::new(what, "sort the rows by time"));
        }
        if ns < start {
            let what = format!("out of order: {} is earlier than the first row", excerpt(text));
            return Err(RowProblem::new(what, "sort the rows by time"));
        }
        u64::try_from(ns - start).ok().filter(|since_ns| *since_ns <= LENGTH_MAX_NS).ok_or_else(|| {
            let what = format!("{} is more than ten years after the first row", excerpt(text));
            RowProblem::new(what, "write times in seconds, and divide milliseconds by 1000")
        })
    }
}

/// Quotes the start of a field.
pub(in crate::plan) fn excerpt(text: &str) -> String {
    let shown: String = text.chars().take(EXCERPT_CHARS).collect();
    let dots = if shown.len() < text.len() { "..." } else { "" };
    format!("\"{}{dots}\"", shown.escape_debug())
}

/// Computes the hash of a file, and counts its quotes and bytes, while it is read.
struct Observed<R> {
    inner: R,
    sha: Sha256,
    quotes: usize,
    bytes: u64,
    last: Option<u8>,
}

impl<R> Observed<R> {
    fn new(inner: R) -> Observed<R> {
        Observed { inner, sha: Sha256::new(), quotes: 0, bytes: 0, last: None }
    }
}

impl<R: Read> Read for Observed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        self.sha.update(bytes);
        self.quotes += memchr::memchr_iter(b'"', bytes).count();
        self.bytes += bytes.len() as u64;
        self.last = bytes.last().copied().or(self.last);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
