//! The facts that all parts of a scenario are resolved against, and access to the files that it names. Made by `resolve`, used
//! by the other files in this folder.

use crate::iothub::sas;
use crate::plan::model::TargetKind;
use crate::scenario::{Errors, FileText, Written, resolve_path};
use std::io;
use std::path::{Path, PathBuf};

/// The facts that parts of a scenario are resolved against.
pub(super) struct ResolveContext<'a> {
    /// Kind of target. `None` if the scenario's `kind` is invalid.
    pub(super) kind: Option<TargetKind>,
    /// Whether the target is the built-in hub.
    pub(super) is_built_in_hub: bool,
    /// Group key for fleets without keys. Used only with the built-in hub.
    pub(super) group_key: sas::Key,
    /// Hosts of the target. Empty for the built-in hub.
    pub(super) hosts: &'a [&'a str],
    /// File name of the scenario.
    pub(super) scenario: &'a str,
    /// Reads a file.
    pub(super) files: &'a dyn Fn(&Path) -> io::Result<FileText>,
}

impl ResolveContext<'_> {
    /// Reads a file that the scenario names. Returns its path and bytes, or adds an error.
    pub(super) fn read(&self, file: &Written<PathBuf>, errors: &mut Errors) -> Option<(PathBuf, FileText)> {
        let path = resolve_path(self.scenario, &file.place, &file.value);
        match (self.files)(&path) {
            Ok(bytes) => Some((path, bytes)),
            Err(error) => {
                let problem = errors.add(&file.place, format!("cannot read {}: {error}", path.display()));
                problem.fix(
                    "paths in a scenario are relative to the scenario's folder; check the path and the file's permissions",
                );
                None
            }
        }
    }
}
