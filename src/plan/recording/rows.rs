//! The temporary file with the rows of a recording. The rows are in the order of their times, so that devices that send at the same time
//! read from the same place. Each row has the offset of the next row of its device, so that no index has to be kept in memory.
//! `resolve` writes the file once; all workers read it, each row when it is due. Must not depend on CSV.
//!
//! A row is `next`, `time_ns` (8 bytes each), `device`, `head` and `payload` (4 bytes each, the last two are lengths), all little-endian,
//! then the head and the payload themselves.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

const HEADER_BYTES: usize = 28;
/// The file begins with these bytes, so that no row is at offset 0, which means "no row".
const START: [u8; 8] = *b"hubstorm";
/// Rows are written in blocks of this size.
const BLOCK_BYTES: usize = 256 * 1024;

/// The place and the sizes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    at: u64,
    /// Offset of the next row of the same device; 0 for the last row.
    pub(super) next: u64,
    /// Recorded time since the first row of the file.
    pub(super) time_ns: u64,
    device: u32,
    head_bytes: u32,
    payload_bytes: u32,
}

impl Row {
    fn of(at: u64, header: &[u8; HEADER_BYTES]) -> Row {
        let long =
            |from: usize| header[from..from + 8].iter().rfold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let short =
            |from: usize| header[from..from + 4].iter().rfold(0, |sum, byte| sum << 8 | u32::from(*byte));
        Row {
            at,
            next: long(0),
            time_ns: long(8),
            device: short(16),
            head_bytes: short(20),
            payload_bytes: short(24),
        }
    }

    fn content_bytes(self) -> u64 {
        u64::from(self.head_bytes) + u64::from(self.payload_bytes)
    }
}

/// Writes the rows of a recording.
pub(in crate::plan) struct RowWriter {
    file: File,
    /// The rows that are not in the file yet. They follow the first `flushed` bytes.
    block: Vec<u8>,
    flushed: u64,
    /// For each device, the offset of its first row, or 0.
    first: Vec<u64>,
    /// For each device, the offset of its last row, or 0.
    last: Vec<u64>,
}

impl RowWriter {
    /// Creates a temporary file without a name, which the operating system deletes when the process ends.
    ///
    /// # Errors
    /// The folder for temporary files is not writable.
    pub(in crate::plan) fn new(devices: u32) -> io::Result<RowWriter> {
        let devices = usize::try_from(devices).unwrap_or(usize::MAX);
        Ok(RowWriter {
            file: tempfile::tempfile()?,
            block: START.to_vec(),
            flushed: 0,
            first: vec![0; devices],
            last: vec![0; devices],
        })
    }

    /// Appends a row. The rows of each device must be in the order of their times.
    ///
    /// # Errors
    /// The folder for temporary files is full.
    pub(in crate::plan) fn push(
        &mut self,
        device: u32,
        time_ns: u64,
        head: &[u8],
        payload: &[u8],
    ) -> io::Result<()> {
        let at = self.flushed + self.block.len() as u64;
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput);
        self.block.extend_from_slice(&0_u64.to_le_bytes());
        self.block.extend_from_slice(&time_ns.to_le_bytes());
        for number in [device, size(head)?, size(payload)?] {
            self.block.extend_from_slice(&number.to_le_bytes());
        }
        self.block.extend_from_slice(head);
        self.block.extend_from_slice(payload);
        let index = usize::try_from(device).unwrap_or(usize::MAX);
        let (Some(first), Some(last)) = (self.first.get_mut(index), self.last.get_mut(index)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let before = std::mem::replace(last, at);
        if before == 0 {
            *first = at;
        } else {
            self.link(before, at)?;
        }
        if self.block.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Makes the row at `from` point to the row at `to`.
    fn link(&mut self, from: u64, to: u64) -> io::Result<()> {
        let Some(in_block) = from.checked_sub(self.flushed) else {
            return self.file.write_all_at(&to.to_le_bytes(), from);
        };
        let in_block = usize::try_from(in_block).unwrap_or(usize::MAX);
        if let Some(next) = self.block.get_mut(in_block..).and_then(|rest| rest.first_chunk_mut()) {
            *next = to.to_le_bytes();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.block, self.flushed)?;
        self.flushed += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    /// Returns the complete file.
    ///
    /// # Errors
    /// The folder for temporary files is full.
    pub(in crate::plan) fn finish(mut self) -> io::Result<Rows> {
        self.flush()?;
        Ok(Rows { file: self.file, first: self.first.into() })
    }
}

/// The rows of a recording, on disk.
pub(in crate::plan) struct Rows {
    file: File,
    /// For each device, the offset of its first row, or 0.
    first: Box<[u64]>,
}

impl Rows {
    /// Returns the first row of a device.
    pub(super) fn first(&self, device: u32) -> Option<Row> {
        let at = *self.first.get(usize::try_from(device).unwrap_or(usize::MAX))?;
        (at > 0).then(|| self.row(at))
    }

    /// Returns the first row of the file.
    pub(super) fn first_of_all(&self) -> Row {
        self.row(START.len() as u64)
    }

    /// Returns the row at an offset.
    pub(super) fn row(&self, at: u64) -> Row {
        let mut header = [0; HEADER_BYTES];
        readable(self.file.read_exact_at(&mut header, at));
        Row::of(at, &header)
    }

    /// Reads a row into `buffer`: its head, then its payload. Returns the length of the head. Allocates only if the buffer has to grow.
    pub(super) fn read(&self, row: Row, buffer: &mut Vec<u8>) -> usize {
        buffer.resize(usize::try_from(row.content_bytes()).unwrap_or(usize::MAX), 0);
        readable(self.file.read_exact_at(buffer, row.at + HEADER_BYTES as u64));
        usize::try_from(row.head_bytes).unwrap_or(usize::MAX)
    }

    /// Calls `each` with the device and the recorded time of every row, in order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(in crate::plan) fn for_each(&self, mut each: impl FnMut(u32, u64)) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let mut at = START.len() as u64;
        let mut file = BufReader::with_capacity(BLOCK_BYTES, &self.file);
        file.seek(SeekFrom::Start(at))?;
        while at < length {
            let mut header = [0; HEADER_BYTES];
            file.read_exact(&mut header)?;
            let row = Row::of(at, &header);
            each(row.device, row.time_ns);
            file.seek_relative(row.content_bytes().cast_signed())?;
            at += HEADER_BYTES as u64 + row.content_bytes();
        }
        Ok(())
    }
}

/// Returns what was read. This process wrote the file, and no other process can open it, so reading fails only with the disk. The worker
/// then ends, which makes the run invalid: without its messages, the run would look like one with a smaller load.
fn readable<T>(read: io::Result<T>) -> T {
    read.unwrap_or_else(|error| panic!("cannot read the temporary file of a recording: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_finds_its_rows_in_order() {
        // The payloads are large enough that rows point to rows in other blocks.
        let mut writer = RowWriter::new(4).unwrap();
        let rows: Vec<(u32, u64)> = (0..300_u64).map(|n| (u32::try_from(n * n % 3).unwrap(), n)).collect();
        for (device, time_ns) in &rows {
            let payload = vec![u8::try_from(time_ns % 251).unwrap(); 5_000];
            writer.push(*device, *time_ns, time_ns.to_string().as_bytes(), &payload).unwrap();
        }
        let file = writer.finish().unwrap();
        let mut buffer = Vec::new();
        for device in 0..4 {
            let mut found = Vec::new();
            let mut row = file.first(device);
            while let Some(this) = row {
                let head = file.read(this, &mut buffer);
                assert_eq!(&buffer[..head], this.time_ns.to_string().as_bytes());
                assert_eq!(&buffer[head..], vec![u8::try_from(this.time_ns % 251).unwrap(); 5_000]);
                found.push(this.time_ns);
                row = (this.next > 0).then(|| file.row(this.next));
            }
            let expected = rows.iter().filter(|(of, _)| *of == device).map(|(_, time_ns)| *time_ns);
            assert_eq!(found, expected.collect::<Vec<_>>(), "{device}");
        }
        let mut all = Vec::new();
        file.for_each(|device, time_ns| all.push((device, time_ns))).unwrap();
        assert_eq!(all, rows);
        assert_eq!(file.first_of_all().time_ns, 0);
        assert_eq!(file.first(7), None);
    }
}
