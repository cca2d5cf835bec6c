//! The facts that every part of a scenario is resolved against, and the files that a scenario names. Made by `resolve`, read by its
//! helpers.

use crate::iothub::sas;
use crate::plan::model::TargetKind;
use crate::scenario::{Errors, FileText, Written, located};
use std::io;
use std::path::{Path, PathBuf};

/// What fleets are resolved against.
pub(super) struct ResolveContext<'a> {
    /// The target's kind; `None` after an error in it.
    pub(super) kind: Option<TargetKind>,
    /// True when the built-in hub is the target.
    pub(super) embedded: bool,
    /// For fleets that bring no keys to the built-in hub.
    pub(super) group_key: sas::Key,
    /// The target's host; empty for the built-in hub.
    pub(super) host: &'a str,
    /// The scenario's file name.
    pub(super) scenario: &'a str,
    /// Reads the files that it names.
    pub(super) files: &'a dyn Fn(&Path) -> io::Result<FileText>,
}

impl ResolveContext<'_> {
    /// Reads a file that the scenario names. Returns its path and its bytes.
    pub(super) fn read(&self, file: &Written<PathBuf>, errors: &mut Errors) -> Option<(PathBuf, FileText)> {
        let path = located(self.scenario, &file.place, &file.value);
        match (self.files)(&path) {
            Ok(bytes) => Some((path, bytes)),
            Err(error) => {
                let problem = errors.add(&file.place, format!("cannot read {}: {error}", path.display()));
                problem.fix(
                    "paths in a scenario are relative to its folder; check the path and its permissions",
                );
                None
            }
        }
    }
}
