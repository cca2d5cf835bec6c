//! Prints the emulator's notices to stderr, one line each, with a rate limit. Used by `emulator`. A separate thread prints them, because
//! stderr may be a pipe that is not being read, and the emulator must not block on it.

use crate::clock;
use crate::emulator::admission::Refusal;
use crate::emulator::notice::{Notice, Shortage};
use crate::report::without_commands;
use crate::scenario::{masked, may_be_key};
use crate::units::{human_count, plural};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How many lines to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// Maximum number of lines in one window.
    lines: u64,
    window: Duration,
    /// Where to find the numbers of the other lines.
    elsewhere: &'static str,
}

/// The limit for `hubstorm emulator`, whose lines are its output.
pub(super) const ALONE: Most =
    Most { lines: 20, window: Duration::from_secs(10), elsewhere: "`stats` of --control counts them all" };

/// The limit for a hub with `--control`, whose stderr is usually read together with that of another program.
pub(super) const CONTROLLED: Most = Most { lines: 6, window: Duration::from_secs(60), ..ALONE };

/// The limit for the built-in hub of a run, whose lines must not hide the run's own progress and error messages. With the line that counts
/// the others, these are at most three lines in 60 s.
pub(super) const IN_RUN: Most = Most {
    lines: 2,
    window: Duration::from_secs(60),
    elsewhere: "the errors of the run count every refused connection",
};

/// How long the program waits for the last lines before it exits.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// A handle to the printing thread.
pub(super) struct Printing {
    /// Disconnects when the thread ends, which is after it has printed everything.
    ended: Receiver<()>,
}

impl Printing {
    /// Waits up to [`FINISH_TIMEOUT`] for the last lines. Drop the hub first, because it holds the sender of the notices.
    pub(super) fn finish(self) {
        // Ignore a timeout: it means that stderr is not being read.
        let _ = self.ended.recv_timeout(FINISH_TIMEOUT);
    }
}

/// Prints to `out` until the hub is dropped.
///
/// # Errors
/// The system cannot start a thread.
pub(super) fn print_from(
    notices: Receiver<Notice>,
    mut out: impl Write + Send + 'static,
    most: Most,
) -> io::Result<Printing> {
    let (end, ended): (SyncSender<()>, _) = sync_channel(0);
    let print = move || {
        let _end = end;
        let mut limit = Limit::new(most, clock::now());
        loop {
            let notice = notices.recv_timeout(limit.wait(clock::now()));
            let text = match &notice {
                Ok(notice) => limit.add(clock::now(), || line(notice)),
                Err(RecvTimeoutError::Timeout) => limit.roll(clock::now()),
                Err(RecvTimeoutError::Disconnected) => limit.rest(),
            };
            let written = text.map_or(Ok(()), |text| out.write_all(text.as_bytes()));
            if written.is_err() || notice == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("notices".to_owned()).spawn(print)?;
    Ok(Printing { ended })
}

/// A rate limit.
struct Limit {
    most: Most,
    from: Instant,
    printed: u64,
    suppressed: u64,
}

impl Limit {
    fn new(most: Most, now: Instant) -> Limit {
        Limit { most, from: now, printed: 0, suppressed: 0 }
    }

    /// Returns the time until suppressed lines must be reported.
    fn wait(&self, now: Instant) -> Duration {
        match self.suppressed {
            0 => Duration::from_secs(3600),
            _ => (self.from + self.most.window).saturating_duration_since(now),
        }
    }

    /// Adds a line. Returns the text to print, if any.
    fn add(&mut self, now: Instant, line: impl FnOnce() -> String) -> Option<String> {
        let rest = self.roll(now);
        if self.printed == self.most.lines {
            self.suppressed += 1;
            return rest;
        }
        self.printed += 1;
        Some(rest.unwrap_or_default() + &line())
    }

    /// Starts a new window if the current one has ended. Returns the report about suppressed lines, if any.
    fn roll(&mut self, now: Instant) -> Option<String> {
        if now < self.from + self.most.window {
            return None;
        }
        let rest = self.rest();
        *self = Limit::new(self.most, now);
        rest
    }

    fn rest(&self) -> Option<String> {
        let more = plural(self.suppressed, "more line", "more lines");
        (self.suppressed > 0).then(|| format!("hub: {more} not shown; {}\n", self.most.elsewhere))
    }
}

/// Formats a notice. Escapes control characters and masks possible secrets in text received from the network.
fn line(notice: &Notice) -> String {
    let line = match notice {
        Notice::Refused { peer, client_id, refusal } => {
            let id = match &**client_id {
                // The client id is not read if the protocol level is wrong.
                "" if matches!(refusal, Refusal::Level(_)) => String::new(),
                id if may_be_key(id) => " with client id \"<hidden>\"".to_owned(),
                id => format!(" with client id {:?}", masked(id)),
            };
            let fix = refusal.fix();
            format!("hub: refused CONNECT from {peer}{id}: {refusal}; {fix}\n")
        }
        Notice::NoConnect { peer, error } => {
            format!("hub: closed a connection from {peer} before CONNECT: {error}\n")
        }
        Notice::CutOff { connections } => {
            let connections = plural(*connections, "connection", "connections");
            format!(
                "hub: closed {connections} before all acknowledgments were sent; increase --drain to wait longer for them\n"
            )
        }
        Notice::Shortage(shortage) => {
            let shortage = match shortage {
                Shortage::Memory => {
                    "too many connections have not sent CONNECT; find their source with `ss -tn`".to_owned()
                }
                Shortage::Descriptors(limit) => format!(
                    "out of file descriptors (limit {}); raise the limit before you start the hub, for example `ulimit -n {}`",
                    human_count(*limit),
                    limit.saturating_mul(4).max(65_536)
                ),
                Shortage::SystemDescriptors => {
                    "the system is out of file descriptors; increase fs.file-max (`sysctl fs.file-max`)"
                        .to_owned()
                }
            };
            format!(
                "hub: {shortage}. Connected devices are not affected. New connections wait, and the hub closes the oldest connections that have not sent CONNECT\n"
            )
        }
    };
    without_commands(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::session::HubError;

    fn refused(client_id: &str, refusal: Refusal) -> Notice {
        Notice::Refused { peer: ([127, 0, 0, 1], 7).into(), client_id: client_id.into(), refusal }
    }

    #[test]
    fn refusal_is_one_line_with_reason_and_fix() {
        assert_eq!(
            line(&refused("d1", Refusal::Module)),
            "hub: refused CONNECT from 127.0.0.1:7 with client id \"d1\": modules are not emulated; connect as a device\n"
        );
        assert_eq!(
            line(&refused("", Refusal::Level(5))),
            "hub: refused CONNECT from 127.0.0.1:7: the protocol level is 5, not 4 as in MQTT 3.1.1; set the client to MQTT 3.1.1\n"
        );
        let error = HubError::NotConnect;
        assert_eq!(
            line(&Notice::NoConnect { peer: ([127, 0, 0, 1], 7).into(), error }),
            "hub: closed a connection from 127.0.0.1:7 before CONNECT: the first packet is not CONNECT\n"
        );
    }

    #[test]
    fn network_text_stays_on_its_line_and_hides_secrets() {
        const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        for id in
            [KEY, KEY.trim_end_matches('='), &format!("HostName=h;SharedAccessKey={KEY}"), "x&sig=abcdef"]
        {
            let line = line(&refused(id, Refusal::ClientId));
            assert!(!line.contains("AwQFBgcI") && !line.contains("abcdef"), "{line}");
        }
        let command = line(&refused("##vso[task.complete result=Succeeded]", Refusal::ClientId));
        assert!(command.contains("\"## vso[task.complete result=Succeeded]\""), "{command}");
        let line = line(&refused("a\nb\u{1b}[2J\u{202e}", Refusal::ClientId));
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
        assert!(!line.contains('\u{1b}') && !line.contains('\u{202e}'), "{line:?}");
    }

    #[test]
    fn notices_above_the_limit_are_counted() {
        let start = clock::now();
        let mut limit = Limit::new(ALONE, start);
        let at = |s| start + Duration::from_secs(s);
        let printed = (0..1_000).filter_map(|_| limit.add(at(1), || "x\n".to_owned())).count();
        assert_eq!(printed, 20);
        assert_eq!(limit.wait(at(4)), Duration::from_secs(6));
        assert_eq!(limit.roll(at(9)), None);
        let more = "hub: 980 more lines not shown; `stats` of --control counts them all\n";
        assert_eq!(limit.rest().as_deref(), Some(more));
        assert_eq!(limit.add(at(10), || "y\n".to_owned()), Some(format!("{more}y\n")));
        assert_eq!((limit.roll(at(30)), limit.rest()), (None, None));
    }

    #[test]
    fn hub_of_another_program_prints_few_lines() {
        let elsewhere =
            ["`stats` of --control counts them all", "the errors of the run count every refused connection"];
        for (most, lines, elsewhere) in [(CONTROLLED, 6, elsewhere[0]), (IN_RUN, 2, elsewhere[1])] {
            let start = clock::now();
            let mut limit = Limit::new(most, start);
            let printed = (0..1_000).filter_map(|_| limit.add(start, || "x\n".to_owned())).count();
            assert_eq!(printed, lines);
            let more = format!("hub: {} more lines not shown; {elsewhere}\n", 1_000 - lines);
            assert_eq!(limit.rest(), Some(more));
        }
    }

    #[test]
    fn last_lines_are_printed_before_the_exit() {
        let (sender, notices) = sync_channel(8);
        let (out, printed) = std::sync::mpsc::channel::<Vec<u8>>();
        struct Lines(std::sync::mpsc::Sender<Vec<u8>>);
        impl Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let printing = print_from(notices, Lines(out), ALONE).unwrap();
        sender.send(refused("d1", Refusal::Expired)).unwrap();
        drop(sender);
        printing.finish();
        assert!(String::from_utf8(printed.try_recv().unwrap()).unwrap().contains("expired"));
    }
}
