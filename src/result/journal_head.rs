//! The first line of a journal, and what to do with one. Used by `journal`, and wherever a journal is passed instead of another file.

/// The first line of a journal.
pub(super) const MAGIC: &str = "hubstorm.journal.v1\n";
/// The first line of a journal of any version, without the version.
pub(super) const STEM: &str = "hubstorm.journal.v";

/// Returns whether a file is a journal of any version, according to its first bytes.
#[must_use]
pub fn is_journal(bytes: &[u8]) -> bool {
    bytes.starts_with(STEM.as_bytes())
}

/// Returns the command that recovers the result from a journal. `journal` is its path, as a word of a shell.
#[must_use]
pub fn recover_command(journal: &str) -> String {
    format!("hubstorm report --recover {journal} --export json=recovered.json")
}
