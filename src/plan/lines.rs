//! Messages that somebody has recorded: a file's lines, read once and shared by every device that sends them. A part of
//! `payload`; `sends` reads the file.

/// The lines of a file, without the empty ones; there is at least one.
#[derive(Debug, PartialEq)]
pub(super) struct Lines {
    text: Box<[u8]>,
    /// Begin and end of each.
    places: Box<[(usize, usize)]>,
}

impl Lines {
    /// `None` when there is none. A line ends with LF, or CR LF.
    pub(super) fn of(text: &[u8]) -> Option<Lines> {
        let mut places = Vec::new();
        let mut start = 0;
        for line in text.split(|byte| *byte == b'\n') {
            let kept = line.strip_suffix(b"\r").unwrap_or(line);
            if !kept.is_empty() {
                places.push((start, start + kept.len()));
            }
            start += line.len() + 1;
        }
        (!places.is_empty()).then(|| Lines { text: text.into(), places: places.into() })
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
