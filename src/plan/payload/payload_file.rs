//! Messages that somebody has recorded: a file's lines, read once and shared by every device that sends them. A part of
//! `payload`; `sends` reads the file.

use crate::text_file;

/// The lines of a file, without the empty ones; there is at least one.
#[derive(Debug, PartialEq)]
pub(in crate::plan) struct Lines {
    text: Box<[u8]>,
    /// Begin and end of each.
    places: Box<[(usize, usize)]>,
}

impl Lines {
    /// `None` when there is none. Messages may be any bytes.
    pub(in crate::plan) fn of(text: &[u8]) -> Option<Lines> {
        let ranges = text_file::line_ranges(text).filter(|range| !range.is_empty());
        let places: Box<[_]> = ranges.map(|range| (range.start, range.end)).collect();
        (!places.is_empty()).then(|| Lines { text: text.into(), places })
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The n-th; after the last comes the first again.
    pub(super) fn get(&self, n: usize) -> &[u8] {
        let (start, end) = self.places[n % self.places.len()];
        &self.text[start..end]
    }

    pub(super) fn longest_bytes(&self) -> usize {
        self.places.iter().map(|(start, end)| end - start).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_with_something_on_it() {
        let lines = Lines::of(b"one\n\n two \r\n\r\n\xff").unwrap();
        let read: Vec<&[u8]> = (0..4).map(|n| lines.get(n)).collect();
        assert_eq!(read, [&b"one"[..], b" two ", b"\xff", b"one"]);
        assert_eq!((lines.len(), lines.longest_bytes()), (3, 5));
        assert!(Lines::of(b"").is_none() && Lines::of(b"\n\r\n").is_none());
    }
}
