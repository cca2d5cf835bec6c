//! Reads the file in `auth = { file = ".." }` and matches its devices with the fleet's. Used by `authentication`. `credentials`
//! parses the lines.

use super::context::ResolveContext;
use super::quoting::quoted;
use crate::plan::credentials::{
    self, BadLine, CredentialFile, CredentialFormat, DeviceList, Oddities, REPORTED_LINES_MAX,
    WITHOUT_KEYS_FIX,
};
use crate::plan::payload::{Template, TemplateContext};
use crate::scenario::{Errors, FleetSpec, Place, Written};
use crate::units::plural;
use std::path::PathBuf;

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
    if let Some(what) = credentials::without_keys(&list) {
        errors.add(&file.place, format!("{path} {what}")).fix(WITHOUT_KEYS_FIX);
        return None;
    }
    let usable = plural(list.devices.len() as u64, "device", "devices");
    let found = match credentials::skipped(&list.oddities) {
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
    let notes = credentials::notes(&list.oddities, &path);
    let picked = list.devices.pick(&indices).with_messages(warnings, notes);
    Some(if spec.id.is_none() { picked.of_file(list.devices.len()) } else { picked })
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
    for bad @ BadLine { refusal, .. } in list.bad_lines.iter().take(REPORTED_LINES_MAX) {
        let problem = errors.add(place, format!("{}: {}", credentials::place(path, bad), refusal.what));
        if refusal.is_format && std::mem::take(&mut is_first) {
            problem.allowed(format.allowed());
        }
        problem.fix(refusal.fix.clone());
    }
    if let Some(more) = list.bad_lines.len().checked_sub(REPORTED_LINES_MAX).filter(|more| *more > 0) {
        errors.add(place, format!("{path}: {more} more invalid lines"));
    }
}

/// Returns a warning about gateways: the load goes to another host than the file says.
fn gateways(oddities: &Oddities, path: &str, context: &ResolveContext<'_>) -> Option<String> {
    let target =
        if context.is_built_in_hub { "the built-in hub".to_owned() } else { context.hosts.join(" or ") };
    (oddities.gateways > 0).then(|| {
        format!(
            "{path}: GatewayHostName is ignored in {}; these devices connect directly to {target}, because hubstorm does not \
             support gateways",
            plural(oddities.gateways as u64, "connection string", "connection strings")
        )
    })
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
