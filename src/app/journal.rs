//! Writes the journal of a run, from which `report --recover` rebuilds the result if hubstorm is killed. Used by `run`. A thread of its
//! own writes, so a slow disk delays neither the load nor the coordinator. `result::journal` defines the format.

use super::build_result;
use super::shell::shell_word;
use crate::cli::Fsync;
use crate::fleet::JournalEntry;
use crate::result::journal;
use crate::result::model::RunResult;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::mpsc::UnboundedSender;

/// The number of seconds that may wait for the disk. A second of 10,000 messages takes about 30 KB per worker.
const SECONDS_WAITING_MAX: usize = 60;

/// The thread that writes the journal.
pub(super) struct JournalWriter {
    entries: SyncSender<JournalEntry>,
    thread: JoinHandle<Option<Journal>>,
}

/// A journal that contains at least the start of the run. It is locked while this exists, so that a reader can see that the run is in
/// progress.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Length without the record that could not be written.
    length: u64,
    records: u32,
}

impl JournalWriter {
    /// Starts the thread. `start` contains everything that is known before the run. The thread sends its errors to `notes`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(
        folder: &Path,
        start: RunResult,
        fsync: Fsync,
        notes: UnboundedSender<String>,
    ) -> io::Result<JournalWriter> {
        let (entries, receiver) = sync_channel(SECONDS_WAITING_MAX);
        let folder = folder.to_owned();
        let thread = std::thread::Builder::new()
            .name("hubstorm-journal".to_owned())
            .spawn(move || write(&folder, start, fsync, &receiver, &notes))?;
        Ok(JournalWriter { entries, thread })
    }

    /// Returns the sender for the entries.
    pub(super) fn entries(&self) -> SyncSender<JournalEntry> {
        self.entries.clone()
    }

    /// Waits until everything is written. The fleet must have ended, because it also has a sender. Returns `None` if there is no journal.
    pub(super) fn finish(self) -> Option<Journal> {
        drop(self.entries);
        self.thread.join().ok().flatten()
    }
}

impl Journal {
    /// Removes the journal after its result was written.
    pub(super) fn remove(self) {
        // Ignore the error: a journal that is left over is harmless.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Returns the path, unless the file no longer exists.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.is_file().then_some(&*self.path)
    }

    /// Returns how to recover the result, unless the file no longer exists.
    pub(super) fn how_to_recover(&self) -> Option<String> {
        let path = self.path()?;
        Some(format!(
            "the journal of the run is in {}; to recover the result:  {}",
            path.display(),
            journal::recover_command(&shell_word(&path.display().to_string()))
        ))
    }

    fn append(&mut self, bytes: &[u8], fsync: Fsync) -> io::Result<()> {
        // A single write, without a buffer: what is written survives the end of this process.
        self.file.write_all(bytes)?;
        if fsync == Fsync::Always {
            self.file.sync_data()?;
        }
        self.length += bytes.len() as u64;
        self.records += 1;
        Ok(())
    }
}

fn write(
    folder: &Path,
    start: RunResult,
    fsync: Fsync,
    entries: &Receiver<JournalEntry>,
    notes: &UnboundedSender<String>,
) -> Option<Journal> {
    // Ignore send errors: a message that is not shown must not end the run.
    let note = |text: String| drop(notes.send(text));
    let Ok(JournalEntry::Started(unix)) = entries.recv() else { return None };
    let start = build_result::started(start, unix);
    let created = create(folder, &start.run.id)
        .and_then(|mut journal| journal.append(&journal::head(&start)?, fsync).map(|()| journal));
    let mut journal = match created {
        Ok(journal) => journal,
        Err(error) => {
            note(format!(
                "the journal cannot be written to {}: {error}. The run continues; if hubstorm is killed, its result is lost",
                folder.display()
            ));
            return None;
        }
    };
    while let Ok(JournalEntry::Second(bytes)) = entries.recv() {
        if let Err(error) = journal.append(&journal::record(journal.records, &bytes), fsync) {
            // Without the torn record, the rest stays readable.
            let _ = journal.file.set_len(journal.length);
            note(format!(
                "the journal {} ends here: {error}. The run continues; if hubstorm is killed, later seconds are lost",
                journal.path.display()
            ));
            break;
        }
    }
    if fsync != Fsync::Never {
        // Ignore the error: the result follows, and an error there is reported.
        let _ = journal.file.sync_data();
    }
    Some(journal)
}

/// Creates the journal under the first free name.
fn create(folder: &Path, id: &str) -> io::Result<Journal> {
    std::fs::create_dir_all(folder)?;
    let mut n = 1_u64;
    loop {
        let name = if n == 1 { format!("{id}.journal") } else { format!("{id}-{n}.journal") };
        let path = folder.join(name);
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => {
                // Ignore the error: without locks, a reader cannot see that the run is in progress, and nothing else.
                let _ = file.try_lock();
                return Ok(Journal { path, file, length: 0, records: 0 });
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => n += 1,
            Err(error) => return Err(error),
        }
    }
}
