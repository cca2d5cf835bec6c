//! A file with one recorded message per line, shared by all devices that send it. Read by `resolve`, rendered by `render`.

use crate::text_file;

/// The non-empty lines of a file. There is at least one.
#[derive(Debug, PartialEq)]
pub(in crate::plan) struct Lines {
    text: Box<[u8]>,
    /// Start and end of each line in `text`.
    places: Box<[(usize, usize)]>,
}

impl Lines {
    /// Splits a file into lines. Returns `None` if all lines are empty. Messages may contain any bytes.
    pub(in crate::plan) fn parse(text: &[u8]) -> Option<Lines> {
        let ranges = text_file::line_ranges(text).filter(|range| !range.is_empty());
        let places: Box<[_]> = ranges.map(|range| (range.start, range.end)).collect();
        (!places.is_empty()).then(|| Lines { text: text.into(), places })
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns line `n`, counted from 0. After the last line, starts again with the first.
    pub(super) fn get(&self, n: usize) -> &[u8] {
        let (start, end) = self.places[n % self.places.len()];
        &self.text[start..end]
    }

    /// Returns the non-empty lines with their line numbers in the file, from 1.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let lines = (1..).zip(text_file::lines(&self.text));
        lines.filter(|(_, line)| !line.is_empty())
    }

    pub(super) fn longest_bytes(&self) -> usize {
        self.places.iter().map(|(start, end)| end - start).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lines_are_skipped() {
        let lines = Lines::parse(b"one\n\n two \r\n\r\n\xff").unwrap();
        let read: Vec<&[u8]> = (0..4).map(|n| lines.get(n)).collect();
        assert_eq!(read, [&b"one"[..], b" two ", b"\xff", b"one"]);
        assert_eq!((lines.len(), lines.longest_bytes()), (3, 5));
        assert_eq!(lines.numbered().map(|(number, _)| number).collect::<Vec<_>>(), [1, 3, 5]);
        assert!(Lines::parse(b"").is_none() && Lines::parse(b"\n\r\n").is_none());
    }
}
