//! Tables in credential files: separators, quotes, and headers that name the columns. Used by `credential_file`.
//!
//! Errors never repeat a field, which may be a misplaced secret.

use super::refusal::Refusal;
use zeroize::Zeroizing;

/// A field of a row. It is wiped when dropped, because it may be a secret.
pub(super) type Field = Zeroizing<String>;

/// The separators of fields, in the order in which they are tried.
const SEPARATORS: [char; 3] = [',', '\t', ';'];

/// The columns that are read, in the order of [`NAMES`]. All other columns are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Device id.
    Id,
    /// User name.
    User,
    /// Key or password.
    Secret,
    /// Connection string.
    Connection,
    /// `enabled` or `disabled`.
    Status,
}

/// The names of columns in lowercase, without `_`, `-`, `.` and blanks. A better name comes before a less specific one.
const NAMES: [(Column, &[&str]); 5] = [
    (Column::Id, &["deviceid", "clientid", "device", "id"]),
    (Column::User, &["username", "user", "login"]),
    (
        Column::Secret,
        &[
            "primarykey",
            "authenticationsymmetrickeyprimarykey",
            "symmetrickeyprimarykey",
            "symmetrickey",
            "sharedaccesskey",
            "devicekey",
            "key",
            "password",
            "pass",
            "pw",
        ],
    ),
    (Column::Connection, &["primaryconnectionstring", "deviceconnectionstring", "connectionstring"]),
    (Column::Status, &["status"]),
];

/// The layout of a table, which its first row determines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Separator of fields.
    pub(super) separator: char,
    /// The positions of the columns that the header names. `None`: there is no header.
    pub(super) columns: Option<[Option<usize>; NAMES.len()]>,
}

impl Layout {
    /// Determines the layout from the first row. The separator is the first one that makes the row a header, or else a device
    /// (`is_device`). If no separator does, it is the first one that the row contains.
    pub(super) fn of(row: &str, forced: Option<char>, is_device: impl Fn(&[Field]) -> bool) -> Layout {
        let separators: Vec<char> = match forced {
            Some(separator) => vec![separator],
            None => SEPARATORS.into_iter().filter(|&separator| row.contains(separator)).collect(),
        };
        let separators = if separators.is_empty() { vec![','] } else { separators };
        let split = || separators.iter().filter_map(|&it| Some((it, fields(row, it).ok()?)));
        if let Some(separator) = split().find(|(_, fields)| is_device(fields)).map(|(separator, _)| separator)
        {
            return Layout { separator, columns: None };
        }
        for (separator, fields) in split() {
            let columns = NAMES.map(|(_, names)| names.iter().find_map(|name| position(&fields, name)));
            if columns.iter().any(Option::is_some) {
                return Layout { separator, columns: Some(columns) };
            }
        }
        Layout { separator: separators.first().copied().unwrap_or(','), columns: None }
    }

    /// Returns whether the header names this column.
    pub(super) fn has(&self, column: Column) -> bool {
        self.columns.is_some_and(|columns| columns[column as usize].is_some())
    }

    /// Returns the field in a column that the header names. `None` if the row has no such field, or an empty one.
    pub(super) fn field<'a>(&self, fields: &'a [Field], column: Column) -> Option<&'a Field> {
        fields.get(self.columns?[column as usize]?).filter(|field| !field.is_empty())
    }
}

/// Returns true for the name of a column.
pub(super) fn is_column_name(field: &str) -> bool {
    let name = folded(field);
    NAMES.iter().any(|(_, names)| names.contains(&name.as_str()))
}

fn position(fields: &[Field], name: &str) -> Option<usize> {
    fields.iter().position(|field| folded(field).as_str() == name)
}

/// Returns a name as in [`NAMES`]. It is wiped, because a field in the first row may be a misplaced secret.
fn folded(name: &str) -> Field {
    let mut folded = Zeroizing::new(String::with_capacity(name.len()));
    folded.extend(name.chars().filter(|c| !"_-. ".contains(*c)).map(|c| c.to_ascii_lowercase()));
    folded
}

/// Returns the separator that a line such as `sep=;` sets, which Excel writes and reads.
pub(super) fn separator_line(line: &str) -> Option<char> {
    let mut rest =
        line.get(..4).filter(|start| start.eq_ignore_ascii_case("sep=")).and(line.get(4..))?.chars();
    let separator = rest.next().filter(|c| SEPARATORS.contains(c))?;
    rest.next().is_none().then_some(separator)
}

/// Splits a row into fields as CSV does (RFC 4180), with any separator. Unquoted fields are trimmed; in quoted fields, `""` stands for a
/// quote.
pub(super) fn fields(row: &str, separator: char) -> Result<Vec<Field>, Refusal> {
    let blank = |c: char| c.is_whitespace() && c != separator;
    let mut fields = Vec::new();
    let mut rest = row;
    loop {
        let (field, after) = match rest.trim_start_matches(blank).strip_prefix('"') {
            Some(quoted) => {
                let (field, after) = quoted_field(quoted)?;
                (field, after.trim_start_matches(blank))
            }
            None => {
                let end = rest.find(separator).unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                (Zeroizing::new(field.trim().to_owned()), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(separator) {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(fields),
            None => {
                return Err(Refusal::new(
                    "text after a closing quote",
                    "write a quote inside a quoted field as two quotes (\"\")",
                ));
            }
        }
    }
}

/// Parses a quoted field, starting after its opening quote. Returns the field and the rest of the row.
fn quoted_field(mut rest: &str) -> Result<(Field, &str), Refusal> {
    let mut field = Zeroizing::new(String::with_capacity(rest.len()));
    loop {
        let Some((text, after)) = rest.split_once('"') else {
            return Err(Refusal::new(
                "a quote is not closed",
                "add the closing quote; write a quote inside a quoted field as two quotes (\"\")",
            ));
        };
        field.push_str(text);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Ok((field, after)),
        }
    }
}
