//! The texts about a credential file that are the same for a scenario and for the emulator: what was skipped in it, and why it is of no use.
//! Used by `resolve` and `device_file`. Never quotes the file.

use super::credential_file::{BadLine, CredentialFile, Oddities};
use crate::units::plural;

/// The maximum number of invalid lines to report. In a file of the wrong kind, every line is invalid.
pub(in crate::plan) const REPORTED_LINES_MAX: usize = 5;

/// How to get a file with keys.
pub(in crate::plan) const WITHOUT_KEYS_FIX: &str = "write all devices with their keys: az iot hub state export -n HUB -f devices.json \
     --aspects devices (or az iot hub device-identity export --include-keys)";

/// Returns the place of an invalid line, as `file:line:column`.
pub(in crate::plan) fn place(file: &str, bad: &BadLine) -> String {
    let position = [bad.line, bad.refusal.column].into_iter().flatten();
    position.fold(file.to_owned(), |place, number| format!("{place}:{number}"))
}

/// Returns what a file contains whose devices have no keys; `None` for any other file.
pub(in crate::plan) fn without_keys(file: &CredentialFile) -> Option<&'static str> {
    let Oddities { twins, without_key, .. } = file.oddities;
    match (file.devices.is_empty(), twins, without_key) {
        (false, ..) | (true, 0, 0) => None,
        (true, 0, _) => Some("contains identities, but not their keys"),
        (true, ..) => {
            Some("contains twins, as az iot hub device-identity list prints them; twins contain no keys")
        }
    }
}

/// Returns the number of skipped identities by reason, or `None` if no identity was skipped.
pub(in crate::plan) fn skipped(oddities: &Oddities) -> Option<String> {
    let reasons = [
        (oddities.disabled, "disabled"),
        (oddities.certificates, "with a certificate"),
        (oddities.modules, "modules"),
        (oddities.without_key + oddities.twins, "without a key"),
    ];
    let reasons = reasons.iter().filter(|(count, _)| *count > 0);
    let reasons: Vec<String> = reasons.map(|(count, reason)| format!("{count} {reason}")).collect();
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

/// Returns the notes about a file that was read.
pub(in crate::plan) fn notes(oddities: &Oddities, file: &str) -> Vec<String> {
    let skipped =
        skipped(oddities).map(|skipped| format!("{file}: skipped identities that cannot connect: {skipped}"));
    let percent_ids = (oddities.percent_ids > 0).then(|| {
        format!(
            "{file}: {} % in the id; hubstorm uses such ids as written and does not decode escapes such as %3B",
            plural(oddities.percent_ids as u64, "connection string has", "connection strings have")
        )
    });
    let comments = (oddities.commented_devices > 0).then(|| {
        format!(
            "{file}: skipped {} in comments (#); if an id begins with #, put it in quotes",
            plural(oddities.commented_devices as u64, "device", "devices")
        )
    });
    [skipped, percent_ids, comments].into_iter().flatten().collect()
}
