//! Reads files that list devices with their keys or passwords: JSON that Azure's tools write, connection strings, and tables. Called by
//! `resolve`. `row` turns one row or identity into a device, `table` splits rows, and `iothub::registry` parses JSON.
//!
//! Errors give the position and never repeat the line, which may contain a misplaced secret.

use super::credential_format::CredentialFormat;
use super::device_list::DeviceList;
use super::refusal::Refusal;
use super::row::{self, Device, Entry};
use super::table::{self, Layout};
use crate::iothub::connection_string::looks_like_connection_string;
use crate::iothub::registry::{self, Identity, Unusable};
use crate::plan::duplicates::Duplicates;
use crate::text_file::{self, EncodingError};
use serde::de::IgnoredAny;

/// An invalid line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct BadLine {
    /// Line, from 1. `None` for an identity in JSON, of which the message gives the number.
    pub(in crate::plan) line: Option<usize>,
    /// Problem and fix.
    pub(in crate::plan) refusal: Refusal,
}

/// Counts of skipped identities, ignored fields and comments in a file. They are not errors, but users should know about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::plan) struct Oddities {
    /// Disabled devices.
    pub(in crate::plan) disabled: usize,
    /// Devices with certificates.
    pub(in crate::plan) certificates: usize,
    /// Modules.
    pub(in crate::plan) modules: usize,
    /// Identities without their keys, which are not twins.
    pub(in crate::plan) without_key: usize,
    /// Twins.
    pub(in crate::plan) twins: usize,
    /// Connection strings with a gateway.
    pub(in crate::plan) gateways: usize,
    /// Connection strings whose device id contains `%`.
    pub(in crate::plan) percent_ids: usize,
    /// Comments that would be devices without their `#`.
    pub(in crate::plan) commented_devices: usize,
}

/// A parsed file.
pub(in crate::plan) struct CredentialFile {
    pub(in crate::plan) devices: DeviceList,
    pub(in crate::plan) bad_lines: Vec<BadLine>,
    pub(in crate::plan) oddities: Oddities,
}

/// Parses a whole file. Skips empty lines, comments (`#`) and a header.
pub(in crate::plan) fn parse(bytes: &[u8], format: CredentialFormat<'_>) -> CredentialFile {
    // A stored device is never longer than its line, so the list never outgrows this capacity. Growing would move its contents
    // and leave copies of the secrets behind.
    let devices = DeviceList::with_capacity(0, bytes.len());
    let file = CredentialFile { devices, bad_lines: Vec::new(), oddities: Oddities::default() };
    let mut parser = Parser {
        file,
        format,
        ids: Duplicates::default(),
        layout: None,
        separator: None,
        has_bad_header: false,
    };
    match text_file::decode(bytes) {
        _ if bytes.starts_with(b"PK\x03\x04") => parser.bad(1, workbook()),
        Err(error) => parser.encoding(error),
        Ok(text) if text.trim_start().starts_with('<') => parser.bad(1, html_page()),
        Ok(text) if text_file::lines(text.as_bytes()).any(is_phase) => parser.bad(1, scenario()),
        Ok(text) if matches!(format, CredentialFormat::Keys { .. }) && is_json_document(text) => {
            parser.json(text)
        }
        Ok(text) => parser.lines(text),
    }
    parser.file
}

/// Returns true if the whole file is JSON, and false for a file with an object on each line.
fn is_json_document(text: &str) -> bool {
    let text = text.trim_start();
    let first_line = text_file::lines(text.as_bytes()).next().unwrap_or_default();
    text.starts_with('[')
        || (text.starts_with('{') && serde_json::from_slice::<IgnoredAny>(first_line).is_err())
}

fn html_page() -> Refusal {
    Refusal::new(
        "an HTML or XML page, not a list of devices",
        "download the file itself; a browser may have saved its page",
    )
}

/// Returns true for a heading that every scenario in TOML has.
fn is_phase(line: &[u8]) -> bool {
    line.trim_ascii().starts_with(b"[[phase]]")
}

fn scenario() -> Refusal {
    Refusal::new("a scenario, not a list of devices", "specify the file with the keys, such as devices.csv")
}

/// Excel's workbooks are ZIP archives.
fn workbook() -> Refusal {
    Refusal::new("an Excel workbook or a ZIP archive, not a text file", "in Excel, save it as CSV UTF-8")
}

/// Returns true for the header of a table that `az iot hub device-identity list -o table` prints: columns with blanks between them.
fn is_printed_table(line: &str) -> bool {
    let mut columns = line.split("  ").map(str::trim).filter(|column| !column.is_empty());
    !line.contains([',', ';', '\t'])
        && columns.clone().count() > 1
        && columns.any(|column| column.eq_ignore_ascii_case("deviceid"))
}

fn printed_table() -> Refusal {
    Refusal::new(
        "a table that az printed with -o table, which contains no keys",
        "write all devices with their keys: az iot hub state export -n HUB -f devices.json --aspects devices",
    )
}

/// The state of the parser.
struct Parser<'a> {
    file: CredentialFile,
    format: CredentialFormat<'a>,
    ids: Duplicates<Box<str>>,
    /// Layout of the table, from its first row.
    layout: Option<Layout>,
    /// Separator from a line such as `sep=;`.
    separator: Option<char>,
    /// Whether the header lacks a column, so that the rows cannot be read.
    has_bad_header: bool,
}

impl Parser<'_> {
    fn lines(&mut self, text: &str) {
        for (number, range) in (1..).zip(text_file::line_ranges(text.as_bytes())) {
            // Tabs may separate empty fields.
            let line =
                text.get(range).unwrap_or_default().trim_matches(|c: char| c.is_whitespace() && c != '\t');
            // Excel writes rows of separators for empty rows.
            if !line.chars().all(|c| c.is_whitespace() || matches!(c, ',' | ';'))
                && let Err(refusal) = self.line(line, number)
            {
                self.bad(number, refusal);
            }
            if self.has_bad_header {
                return;
            }
        }
    }

    fn line(&mut self, line: &str, number: usize) -> Result<(), Refusal> {
        let is_keys = matches!(self.format, CredentialFormat::Keys { .. });
        if let Some(comment) = line.strip_prefix('#') {
            let layout = self.layout.clone().unwrap_or_else(|| self.layout_of(comment));
            let is_device = row::device(comment, &layout, self.format).is_ok();
            self.file.oddities.commented_devices += usize::from(is_keys && is_device);
            return Ok(());
        }
        if is_keys && line.starts_with('{') {
            let identities = registry::parse(line).map_err(|error| row::json_error(&error))?;
            self.identities(identities, Some(number));
            return Ok(());
        }
        let unquoted = line.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(line);
        if is_keys && looks_like_connection_string(unquoted) {
            return row::from_connection_string(unquoted, self.format)
                .and_then(|entry| self.add(entry, "line", number));
        }
        let Some(layout) = &self.layout else {
            if let Some(separator) = table::separator_line(line) {
                self.separator = Some(separator);
                return Ok(());
            }
            if is_keys && is_printed_table(line) {
                self.has_bad_header = true;
                return Err(printed_table());
            }
            let layout = self.layout_of(line);
            let is_header = layout.columns.is_some();
            let checked = if is_header { row::check_header(&layout, self.format) } else { Ok(()) };
            self.has_bad_header = checked.is_err();
            self.layout = Some(layout);
            return if is_header { checked } else { self.line(line, number) };
        };
        // Azure's command-line tool, among others, underlines a header.
        if layout.columns.is_some() && line.chars().all(|c| c == '-' || c.is_whitespace()) {
            return Ok(());
        }
        let entry = row::device(line, layout, self.format)?;
        self.add(entry, "line", number)
    }

    fn layout_of(&self, row: &str) -> Layout {
        row::layout(row, self.separator, self.format)
    }

    /// Parses a JSON document.
    fn json(&mut self, text: &str) {
        match registry::parse(text) {
            Ok(identities) => self.identities(identities, None),
            Err(error) => self.bad(error.line, row::json_error(&error)),
        }
    }

    /// Adds identities. Errors give the line if it contains one identity, or else the number of the identity.
    fn identities(&mut self, identities: Vec<Identity>, line: Option<usize>) {
        let line = line.filter(|_| identities.len() == 1);
        for (entry, identity) in (1..).zip(identities) {
            let (unit, number) = line.map_or(("entry", entry), |line| ("line", line));
            let added = row::from_identity(identity, self.format).and_then(|it| self.add(it, unit, number));
            if let Err(mut refusal) = added {
                if line.is_none() {
                    refusal.what = format!("entry {entry}: {}", refusal.what).into();
                }
                self.file.bad_lines.push(BadLine { line, refusal });
            }
        }
    }

    fn encoding(&mut self, error: EncodingError) {
        let (line, column) = match error {
            EncodingError::Utf16 => (1, None),
            EncodingError::NotUtf8 { line, byte } => (line, Some(byte)),
        };
        let fix = "save the file as UTF-8 (in Excel: CSV UTF-8; in PowerShell: Out-File -Encoding utf8)";
        let what = if column.is_some() { "not UTF-8" } else { "encoded as UTF-16" };
        self.bad(line, Refusal { column, ..Refusal::new(what, fix) });
    }

    fn bad(&mut self, line: usize, refusal: Refusal) {
        self.file.bad_lines.push(BadLine { line: Some(line), refusal });
    }

    /// Adds a device, or returns an error if its id is a duplicate.
    fn add(&mut self, entry: Entry, unit: &str, number: usize) -> Result<(), Refusal> {
        let oddities = &mut self.file.oddities;
        let Device { id, user_name, secret, has_gateway, has_percent } = match entry {
            Entry::Device(device) => device,
            Entry::Unusable(why) => {
                *match why {
                    Unusable::Disabled => &mut oddities.disabled,
                    Unusable::Certificate => &mut oddities.certificates,
                    Unusable::Module => &mut oddities.modules,
                    Unusable::NoKey => &mut oddities.without_key,
                    Unusable::Twin => &mut oddities.twins,
                } += 1;
                return Ok(());
            }
        };
        oddities.gateways += usize::from(has_gateway);
        oddities.percent_ids += usize::from(has_percent);
        if let Some(first) = self.ids.first(id.as_str().into(), number) {
            return Err(Refusal::new(
                format!("duplicate id, first used in {unit} {first}"),
                format!("remove this {unit} or {unit} {first}"),
            ));
        }
        if self.file.devices.push([id.as_bytes(), user_name.as_bytes(), &secret]) {
            Ok(())
        } else {
            Err(Refusal::new("the file is larger than 4 GiB", "use a smaller file"))
        }
    }
}

#[cfg(test)]
mod tests;
