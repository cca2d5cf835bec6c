//! A real terminal for the program: tmux, with its own server. The test reads what the terminal shows, including the lines that have
//! scrolled out of it.

use super::TEST_TIMEOUT;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;
use tempfile::TempDir;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The row after the output of the command, once it has ended.
pub const ENDED: &str = "The command has ended.";

/// A terminal that runs one command. It stays open when the command ends, and closes on drop.
pub struct Tmux {
    socket: String,
    /// A message for each output of the command.
    outputs: Receiver<()>,
    _folder: TempDir,
}

impl Tmux {
    /// Runs a command in a terminal of this width.
    pub fn start(columns: u16, command: &Command) -> Tmux {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fifo = folder.path().join("outputs");
        assert!(Command::new("mkfifo").arg(&fifo).status().expect("coreutils").success());
        let copy = format!("cat > {}", fifo.display());
        let (sender, outputs) = channel();
        thread::spawn(move || {
            let mut copied = File::open(fifo).expect("it was made");
            let mut buffer = [0; 4096];
            while copied.read(&mut buffer).is_ok_and(|bytes| bytes > 0) && sender.send(()).is_ok() {}
        });
        let socket = format!("hubstorm-{}-{}", id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let terminal = Tmux { socket, outputs, _folder: folder };
        let columns = columns.to_string();
        let mut arguments: Vec<&OsStr> = Vec::new();
        let session = ["new-session", "-d", "-x", &columns, "-y", "30", "-s", "test"];
        // The output begins at the bottom, as in a terminal that is in use.
        // Ctrl-C must end only the command, not this shell.
        let script = format!(
            "trap : INT; printf '\\n%.0s' $(seq 40); env -u COLUMNS \"$@\"; echo '{ENDED}'; read -r _"
        );
        let shell = ["sh", "-c", &script, "sh"];
        arguments.extend(session.iter().chain(&shell).map(OsStr::new));
        let removed = command.get_envs().filter(|(_, value)| value.is_none());
        arguments.extend(removed.flat_map(|(name, _)| [OsStr::new("-u"), name]));
        let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let set: Vec<_> = set
            .map(|(name, value)| {
                let mut pair = name.to_owned();
                pair.push("=");
                pair.push(value);
                pair
            })
            .collect();
        arguments.extend(set.iter().map(|pair| pair.as_os_str()));
        arguments.push(command.get_program());
        arguments.extend(command.get_args());
        arguments.extend([";", "pipe-pane", "-t", "test", &copy].map(OsStr::new));
        terminal.tmux(arguments);
        terminal
    }

    /// Changes the width of the terminal.
    pub fn resize(&self, columns: u16) {
        self.tmux(["resize-window", "-t", "test", "-x", &columns.to_string()]);
    }

    /// Presses a key, such as `C-c`.
    pub fn press(&self, key: &str) {
        self.tmux(["send-keys", "-t", "test", key]);
    }

    /// Returns the rows of the terminal and of its history, without empty ones.
    pub fn rows(&self) -> Vec<String> {
        self.capture(&[])
    }

    /// Like [`rows`](Self::rows), but rows that the terminal wrapped are one line.
    pub fn lines(&self) -> Vec<String> {
        self.capture(&["-J"])
    }

    /// Waits until `found` returns a value for the rows of the terminal.
    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "a test's timeout is real time")]
    pub fn wait_for<T>(&self, what: &str, mut found: impl FnMut(&[String]) -> Option<T>) -> T {
        let until = Instant::now() + TEST_TIMEOUT;
        loop {
            let rows = self.rows();
            if let Some(value) = found(&rows) {
                return value;
            }
            let left = until.saturating_duration_since(Instant::now());
            let output = self.outputs.recv_timeout(left);
            assert!(output.is_ok(), "{what} was not shown:\n{}", rows.join("\n"));
        }
    }

    fn capture(&self, options: &[&str]) -> Vec<String> {
        let text = self.tmux([&["capture-pane", "-p", "-t", "test", "-S", "-"], options].concat());
        text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    }

    #[track_caller]
    fn tmux<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let mut tmux = Command::new("tmux");
        tmux.args(["-L", &self.socket, "-f", "/dev/null"]).args(arguments);
        // A terminal that tmux runs in must not matter.
        tmux.env_remove("TMUX");
        let output = tmux.output().expect("tmux is installed; see tests/run");
        assert!(output.status.success(), "tmux: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("the program prints UTF-8")
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let mut tmux = Command::new("tmux");
        // Ignore the error: a failed test may have ended before the server started.
        drop(tmux.args(["-L", &self.socket, "kill-server"]).output());
    }
}
