//! Reads the file in `auth = { file = ".." }` and matches its devices with the fleet's. Used by `authentication`. `credentials`
//! parses the lines.

use super::context::ResolveContext;
use super::quoting::quoted;
use crate::plan::credentials::{self, BadLine, CredentialFile, CredentialFormat, DeviceList, Oddities};
use crate::plan::payload::{Template, TemplateContext};
use crate::scenario::{Errors, FleetSpec, Place, Written};
use crate::units::plural;
use std::path::PathBuf;

/// The maximum number of invalid lines to report. In a file of the wrong kind, every line is invalid.
const REPORTED_LINES_MAX: usize = 5;

/// Returns the fleet's devices from its file: the devices that `id` names or, without `id`, the first ones in the file. `None` after
/// an error.
pub(super) fn read(
    spec: &FleetSpec,
    file: Option<&Written<PathBuf>>,
    format: CredentialFormat<'_>,
    id: &Template,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Option<DeviceList> {
    let (file, devices) = (file?, spec.devices?);
    let (path, bytes) = context.read(file, errors)?;
    let list = credentials::parse(&bytes, format);
    drop(bytes);
    let path = path.display().to_string();
    if !list.bad_lines.is_empty() {
        add_bad_lines(&list, &path, format, &file.place, errors);
        return None;
    }
    let skipped = skipped(&list.oddities);
    if list.devices.is_empty() && list.oddities.twins + list.oddities.without_key > 0 {
        add_without_keys(&list.oddities, &path, &file.place, errors);
        return None;
    }
    let usable = plural(list.devices.len() as u64, "device", "devices");
    let found = match &skipped {
        None => usable,
        Some(skipped) => format!("{usable}; skipped: {skipped}"),
    };
    let indices = match &spec.id {
        None if list.devices.len() < devices as usize => {
            let problem = errors.add(&file.place, format!("{path} has too few devices"));
            problem.found(found).allowed(format!("at least {devices} devices, the size of the fleet")).fix(
                match list.devices.len() {
                    0 => format!("add devices to the file: {}", format.allowed()),
                    usable => format!("devices = {usable}, or add devices to the file"),
                },
            );
            return None;
        }
        None => (0..devices).collect(),
        Some(written) => match indices_of(&list.devices, id, devices) {
            Ok(indices) => indices,
            Err(missing) => {
                let problem = errors.add(&file.place, format!("{path} does not contain {missing}"));
                problem.found(found).fix(format!(
                    "add the device, or remove id = {}; the fleet then uses the first {devices} devices of the file",
                    quoted(&written.text)
                ));
                return None;
            }
        },
    };
    let warnings = gateways(&list.oddities, &path, context).into_iter().collect();
    let notes = notes(&list.oddities, skipped, &path);
    Some(list.devices.pick(&indices).with_messages(warnings, notes))
}

/// Reports the first invalid lines.
fn add_bad_lines(
    list: &CredentialFile,
    path: &str,
    format: CredentialFormat<'_>,
    place: &Place,
    errors: &mut Errors,
) {
    let mut is_first = true;
    for BadLine { line, refusal } in list.bad_lines.iter().take(REPORTED_LINES_MAX) {
        let position = [*line, refusal.column].into_iter().flatten();
        let position: String = position.map(|number| format!(":{number}")).collect();
        let problem = errors.add(place, format!("{path}{position}: {}", refusal.what));
        if refusal.is_format && std::mem::take(&mut is_first) {
            problem.allowed(format.allowed());
        }
        problem.fix(refusal.fix.clone());
    }
    if let Some(more) = list.bad_lines.len().checked_sub(REPORTED_LINES_MAX).filter(|more| *more > 0) {
        errors.add(place, format!("{path}: {more} more invalid lines"));
    }
}

/// Reports a file from a tool that left out the keys.
fn add_without_keys(oddities: &Oddities, path: &str, place: &Place, errors: &mut Errors) {
    let what = match oddities.twins {
        0 => "contains identities, but not their keys",
        _ => "contains twins, as az iot hub device-identity list prints them; twins contain no keys",
    };
    errors.add(place, format!("{path} {what}")).fix(
        "write all devices with their keys: az iot hub state export -n HUB -f devices.json --aspects devices \
         (or az iot hub device-identity export --include-keys)",
    );
}

/// Returns the number of skipped identities by reason, or `None` if no identity was skipped.
fn skipped(oddities: &Oddities) -> Option<String> {
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

/// Returns a warning about gateways: the load goes to another host than the file says.
fn gateways(oddities: &Oddities, path: &str, context: &ResolveContext<'_>) -> Option<String> {
    let target = if context.is_built_in_hub { "the built-in hub" } else { context.host };
    (oddities.gateways > 0).then(|| {
        format!(
            "{path}: GatewayHostName is ignored in {}; these devices connect directly to {target}, because hubstorm does not \
             support gateways",
            plural(oddities.gateways as u64, "connection string", "connection strings")
        )
    })
}

/// Returns the notes about a file that was read.
fn notes(oddities: &Oddities, skipped: Option<String>, path: &str) -> Vec<String> {
    let skipped = skipped.map(|skipped| format!("{path}: skipped identities that cannot connect: {skipped}"));
    let percent_ids = (oddities.percent_ids > 0).then(|| {
        format!(
            "{path}: {} % in the id; hubstorm uses such ids as written and does not decode escapes such as %3B",
            plural(oddities.percent_ids as u64, "connection string has", "connection strings have")
        )
    });
    let comments = (oddities.commented_devices > 0).then(|| {
        format!(
            "{path}: skipped {} in comments (#); if an id begins with #, put it in quotes",
            plural(oddities.commented_devices as u64, "device", "devices")
        )
    });
    [skipped, percent_ids, comments].into_iter().flatten().collect()
}

/// Returns the indices of the devices that `id` names.
///
/// # Errors
/// Returns the first id that is not in the list.
fn indices_of(list: &DeviceList, id: &Template, devices: u32) -> Result<Vec<u32>, String> {
    let indices = list.by_id();
    let index_of = |index| {
        let id = id.render(&TemplateContext { device: "", index });
        indices.get(id.as_str()).copied().ok_or(id)
    };
    (0..devices).map(index_of).collect()
}

#[cfg(test)]
mod tests;
