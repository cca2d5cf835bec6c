//! The layout of a result file's text: readable for people, and small. Used by `file` only. Independent of the contents.

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::io::{Result, Write};

/// Values that are nested deeper than this are on one line without spaces: a row of the series, a histogram, a list of stalls. With
/// indentation, they would be most of a long run's file.
const DEPTH_MAX: usize = 3;

/// Serializes a value as JSON with indented outer levels.
///
/// # Errors
/// The value cannot be serialized.
pub(super) fn to_string(value: &impl Serialize) -> std::result::Result<String, serde_json::Error> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Layout::default()))?;
    Ok(String::from_utf8(bytes).expect("serde_json writes UTF-8"))
}

#[derive(Default)]
struct Layout {
    outer: PrettyFormatter<'static>,
    depth: usize,
}

impl Layout {
    fn is_outer(&self) -> bool {
        self.depth <= DEPTH_MAX
    }
}

/// Writes the separator before a value that is on one line with its neighbors.
fn separate<W: ?Sized + Write>(writer: &mut W, first: bool) -> Result<()> {
    if first { Ok(()) } else { writer.write_all(b",") }
}

impl Formatter for Layout {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.depth += 1;
        if self.is_outer() { self.outer.begin_array(writer) } else { writer.write_all(b"[") }
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        let is_outer = self.is_outer();
        self.depth -= 1;
        if is_outer { self.outer.end_array(writer) } else { writer.write_all(b"]") }
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Result<()> {
        if self.is_outer() { self.outer.begin_array_value(writer, first) } else { separate(writer, first) }
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        if self.is_outer() { self.outer.end_array_value(writer) } else { Ok(()) }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.depth += 1;
        if self.is_outer() { self.outer.begin_object(writer) } else { writer.write_all(b"{") }
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        let is_outer = self.is_outer();
        self.depth -= 1;
        if is_outer { self.outer.end_object(writer) } else { writer.write_all(b"}") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Result<()> {
        if self.is_outer() { self.outer.begin_object_key(writer, first) } else { separate(writer, first) }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        if self.is_outer() { self.outer.begin_object_value(writer) } else { writer.write_all(b":") }
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        if self.is_outer() { self.outer.end_object_value(writer) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inner_values_are_on_one_line() {
        let value = json!({
            "empty": {}, "none": [],
            "series": { "rows": [{ "t": 0, "list": [1, { "a": [] }] }, { "t": 1 }] },
        });
        let expected = "{
  \"empty\": {},
  \"none\": [],
  \"series\": {
    \"rows\": [
      {\"list\":[1,{\"a\":[]}],\"t\":0},
      {\"t\":1}
    ]
  }
}";
        let text = to_string(&value).unwrap();
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
