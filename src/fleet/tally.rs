//! The numbers of a run on the coordinator's thread: the collector, and the journal of everything that it receives. Owned by the
//! coordinator. It encodes records and hands them over; writing them is the receiver's job, so a slow disk does not delay the load.

use super::usage::Usage;
use crate::link::TlsFacts;
use crate::measure::{Collector, Delta, GeneratorUse, SecondEnd, Snapshot, Source};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

/// A part of a run's journal, in the order in which it must be written.
#[derive(Debug)]
pub enum JournalEntry {
    /// The run starts at this time, since the Unix epoch.
    Started(Duration),
    /// The bytes of a closed second.
    Second(Vec<u8>),
}

pub(super) struct Tally {
    pub(super) collector: Collector,
    journal: Option<(SyncSender<JournalEntry>, Delta)>,
}

impl Tally {
    /// Starts the journal, if the run has one.
    pub(super) fn start(
        collector: Collector,
        journal: Option<SyncSender<JournalEntry>>,
        unix: Duration,
    ) -> Tally {
        let mut tally = Tally { collector, journal: journal.map(|entries| (entries, Delta::default())) };
        // The first entry always has room.
        drop(tally.write(JournalEntry::Started(unix)));
        tally
    }

    /// Adds a snapshot from a source.
    pub(super) fn add(&mut self, snapshot: &Snapshot, source: Source) {
        if let Some((_, delta)) = &mut self.journal {
            delta.add(snapshot, source);
        }
        self.collector.add(snapshot, source);
    }

    /// Ends a second. Returns a message if the journal ends here, although the run continues.
    pub(super) fn close(&mut self, end: &SecondEnd) -> Option<String> {
        self.collector.tick(end.row_ns, end.cpu_percent, end.planned_online);
        self.collector.tick_planned(end.row_ns, &end.planned_by_fleet);
        let bytes = self.journal.as_mut().map(|(_, delta)| delta.end(end))?;
        self.write(JournalEntry::Second(bytes))
    }

    /// A record that is left out would make all later ones useless, so the journal ends at the first one.
    fn write(&mut self, entry: JournalEntry) -> Option<String> {
        let (entries, _) = self.journal.as_ref()?;
        let error = entries.try_send(entry).err()?;
        self.journal = None;
        match error {
            TrySendError::Full(_) => Some(
                "the disk is too slow for the journal, which ends here. The run continues; if hubstorm is killed, later seconds are lost"
                    .to_owned(),
            ),
            // The writer has said why.
            TrySendError::Disconnected(_) => None,
        }
    }
}

impl From<&Usage> for GeneratorUse {
    fn from(usage: &Usage) -> GeneratorUse {
        GeneratorUse {
            cpu_us: usage.cpu_us,
            cpu_peak_percent: usage.cpu_peak_percent,
            rss_peak_bytes: usage.rss_peak_bytes,
            fd_peak: usage.fd_peak,
        }
    }
}

/// Returns the TLS parameters of the first connection as a journal contains them.
pub(super) fn tls_text(facts: TlsFacts) -> [String; 3] {
    [facts.version, facts.suite, facts.group].map(str::to_owned)
}
