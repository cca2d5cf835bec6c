//! A folder with four scenarios of the same load, which end in different ways on every machine. Used by tests of several commands in a row.

use super::hubstorm::{WIDE_VALIDITY, command};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// `pass.toml`, `fail.toml`, `invalid.toml` and `wrong.toml`. Commands run in its folder.
pub struct Project {
    folder: TempDir,
}

impl Project {
    pub fn new() -> Project {
        let project = Project { folder: tempfile::tempdir().expect("a temporary folder") };
        // Timers have ticks of 0.9 ms, so each message of the invalid run starts late.
        let late = "[validity]\nlate_after = \"1us\"\nlate_share = \"0%\"\n";
        for (name, threshold, validity) in [
            ("pass", "count(ok) > 0", WIDE_VALIDITY),
            ("fail", "count(ok) < 1", WIDE_VALIDITY),
            ("invalid", "count(ok) > 0", late),
            ("wrong", "p(99) < fast", WIDE_VALIDITY),
        ] {
            let scenario = format!(
                "[fleet.meter]\ndevices = 2\n[[fleet.meter.send]]\nevery = \"100ms\"\npayload = \"x\"\n\
                 [[phase]]\nname = \"steady\"\nduration = \"1s\"\n[thresholds]\ntelemetry = [\"{threshold}\"]\n{validity}"
            );
            fs::write(project.path(&format!("{name}.toml")), scenario).expect("a writable folder");
        }
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns a command in its folder.
    pub fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = command(arguments);
        command.current_dir(self.folder.path());
        command
    }
}
