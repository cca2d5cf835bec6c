//! The lines of `hubstorm emulator --stats`: one at each interval, and the totals at the end. Used only by `emulator`. A separate thread prints
//! them, because stderr may be a pipe that is not being read, and the hub must not wait for it.

use crate::clock;
use crate::emulator::{Hub, Stats};
use crate::units::human_count;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// The maximum length of a line.
const COLUMNS: usize = 80;

/// How long the program waits for the last line before it exits.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// A handle to the printing thread.
pub(super) struct StatsLines {
    /// Takes the last line.
    last: Sender<String>,
    /// Disconnects when the thread ends.
    ended: Receiver<()>,
}

impl StatsLines {
    /// Prints a line to `out` at each interval.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub(super) fn start(
        hub: &Arc<Hub>,
        interval: Duration,
        mut out: impl Write + Send + 'static,
    ) -> io::Result<StatsLines> {
        let (last, ending) = mpsc::channel::<String>();
        let (end, ended) = mpsc::channel::<()>();
        // The notices end when the hub is dropped, and the totals come after them.
        let mut earlier = (clock::now(), Counted::of(hub));
        let hub = Arc::downgrade(hub);
        let print = move || {
            let _end = end;
            let mut next = earlier.0 + interval;
            loop {
                let (line, is_last) = match ending.recv_timeout(next.saturating_duration_since(clock::now()))
                {
                    Ok(line) => (line, true),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        let Some(hub) = hub.upgrade() else {
                            next += interval;
                            continue;
                        };
                        let now = (clock::now(), Counted::of(&hub));
                        let line = now.1.since(&earlier.1).line(elapsed(earlier.0, now.0));
                        earlier = now;
                        (line, false)
                    }
                };
                if out.write_all(format!("{line}\n").as_bytes()).is_err() || is_last {
                    return;
                }
                // A line that was late is not made up for.
                next = (next + interval).max(earlier.0);
            }
        };
        std::thread::Builder::new().name("stats".to_owned()).spawn(print)?;
        Ok(StatsLines { last, ended })
    }

    /// Prints the totals, and waits up to [`FINISH_TIMEOUT`] for them.
    pub(super) fn finish(self, totals: String) {
        // Fails only if the thread ended because stderr is closed.
        let _ = self.last.send(totals);
        // Ignore a timeout: it means that stderr is not being read.
        let _ = self.ended.recv_timeout(FINISH_TIMEOUT);
    }
}

/// Returns the line with everything that the hub has counted.
pub(super) fn totals(hub: &Hub) -> String {
    Counted::of(hub).total()
}

fn elapsed(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

/// The counts in a line, since the start or since the previous line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    /// Devices that are connected now.
    online: u64,
    connected: u64,
    messages: u64,
    acks: u64,
    /// Operations that a throttle delayed or refused, and those that were refused because the quota was used up.
    throttled: u64,
    /// CONNECT packets that were refused.
    refused: u64,
}

impl Counted {
    fn of(hub: &Hub) -> Counted {
        let stats @ Stats { accepted, refused, telemetry, acks, .. } = hub.stats();
        let throttled = hub.throttle_stats().map_or(0, |throttle| {
            let classes = throttle.classes.values().map(|class| class.delayed + class.rejected);
            classes.sum::<u64>() + throttle.quota_refused
        });
        Counted { online: stats.online(), connected: accepted, messages: telemetry, acks, throttled, refused }
    }

    fn since(&self, earlier: &Counted) -> Counted {
        Counted {
            online: self.online,
            connected: self.connected.saturating_sub(earlier.connected),
            messages: self.messages.saturating_sub(earlier.messages),
            acks: self.acks.saturating_sub(earlier.acks),
            throttled: self.throttled.saturating_sub(earlier.throttled),
            refused: self.refused.saturating_sub(earlier.refused),
        }
    }

    /// Returns the line for an interval of this many seconds.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is rounded; the cast of a float saturates"
    )]
    fn line(&self, seconds: f64) -> String {
        let rate = if seconds > 0.0 { (self.messages as f64 / seconds).round() as u64 } else { 0 };
        fitted(|number| {
            format!(
                "hub: {} online, {} msg/s, {} acks, {} throttled, {} refused",
                number(self.online),
                number(rate),
                number(self.acks),
                number(self.throttled),
                number(self.refused)
            )
        })
    }

    /// Returns the line with the totals.
    fn total(&self) -> String {
        fitted(|number| {
            format!(
                "hub: total {} connections, {} msgs, {} acks, {} throttled, {} refused",
                number(self.connected),
                number(self.messages),
                number(self.acks),
                number(self.throttled),
                number(self.refused)
            )
        })
    }
}

/// Returns the line with exact numbers, or with rounded ones if it would be too long.
fn fitted(line: impl Fn(fn(u64) -> String) -> String) -> String {
    let exact: [fn(u64) -> String; 2] = [human_count, |number| number.to_string()];
    let exact = exact.map(&line);
    exact.into_iter().find(|line| line.len() <= COLUMNS).unwrap_or_else(|| line(rounded))
}

/// Formats a number in at most four characters: `9999`, `12k`, `345M`.
fn rounded(number: u64) -> String {
    let mut value = number;
    for unit in ["", "k", "M", "G", "T", "P"] {
        if value < if unit.is_empty() { 10_000 } else { 1_000 } {
            return format!("{value}{unit}");
        }
        value /= 1_000;
    }
    format!("{value}E")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::Config;

    #[test]
    fn line_has_the_counts_of_the_interval() {
        let before = Counted { connected: 150, messages: 10, acks: 10, refused: 1, ..Counted::default() };
        let now = Counted {
            online: 200,
            connected: 201,
            messages: 40_010,
            acks: 39_990,
            throttled: 12,
            refused: 4,
        };
        assert_eq!(
            now.since(&before).line(10.0),
            "hub: 200 online, 4,000 msg/s, 39,980 acks, 12 throttled, 3 refused"
        );
        assert_eq!(
            now.total(),
            "hub: total 201 connections, 40,010 msgs, 39,990 acks, 12 throttled, 4 refused"
        );
        assert_eq!(Counted::default().line(0.0), "hub: 0 online, 0 msg/s, 0 acks, 0 throttled, 0 refused");
    }

    #[test]
    fn line_fits_80_columns() {
        for n in (0..64).map(|bit| 1 << bit).chain([9_999, 999_999, u64::MAX]) {
            let counted = Counted { online: n, connected: n, messages: n, acks: n, throttled: n, refused: n };
            for line in [counted.line(1.0), counted.line(0.001), counted.total()] {
                assert!(line.len() <= COLUMNS, "{} columns: {line}", line.len());
            }
        }
        assert_eq!([9_999, 12_345, 345_678_901].map(rounded), ["9999", "12k", "345M"]);
    }

    #[test]
    fn totals_are_printed_at_the_end() {
        let (out, printed) = mpsc::channel::<Vec<u8>>();
        struct Lines(Sender<Vec<u8>>);
        impl Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let hub = Hub::new(Config::default());
        let lines = StatsLines::start(&hub, Duration::from_millis(1), Lines(out)).unwrap();
        let first = String::from_utf8(printed.recv().unwrap()).unwrap();
        assert!(first.starts_with("hub: 0 online"), "{first}");
        lines.finish(totals(&hub));
        let last = String::from_utf8(printed.iter().last().unwrap()).unwrap();
        assert_eq!(last, "hub: total 0 connections, 0 msgs, 0 acks, 0 throttled, 0 refused\n");
    }
}
