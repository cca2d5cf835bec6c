//! Reads the file in `auth = { file = ".." }` and matches its devices with the fleet's. Used by `authentication`. `credentials`
//! parses the lines.

use super::context::ResolveContext;
use super::quoting::quoted;
use crate::plan::credentials::{self, CredentialFormat, DeviceList};
use crate::plan::payload::{Template, TemplateContext};
use crate::scenario::{Errors, FleetSpec, Written};
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
    if !list.bad_lines.is_empty() {
        for bad in list.bad_lines.iter().take(REPORTED_LINES_MAX) {
            let what = format!("{}:{}: {}", path.display(), bad.line, bad.what);
            errors.add(&file.place, what).allowed(format.allowed());
        }
        if let Some(more) = list.bad_lines.len().checked_sub(REPORTED_LINES_MAX).filter(|more| *more > 0) {
            errors.add(&file.place, format!("{}: {more} more invalid lines", path.display()));
        }
        return None;
    }
    let unusable = match list.unusable {
        0 => String::new(),
        n => format!(", and {n} unusable (disabled, a module, or without a symmetric key)"),
    };
    let found = format!("{} devices{unusable}", list.devices.len());
    let indices = match &spec.id {
        None if list.devices.len() < devices as usize => {
            let problem = errors.add(&file.place, format!("{} has too few devices", path.display()));
            problem
                .found(found)
                .allowed(format!("at least {devices} devices, the size of the fleet"))
                .fix(format!("devices = {}, or add lines", list.devices.len().max(1)));
            return None;
        }
        None => (0..devices).collect(),
        Some(written) => match indices_of(&list.devices, id, devices) {
            Ok(indices) => indices,
            Err(missing) => {
                let problem =
                    errors.add(&file.place, format!("{} has no line for {missing}", path.display()));
                problem.found(found).fix(format!(
                    "add a line, or remove id = {}; the fleet then uses the first {devices} devices of the file",
                    quoted(&written.text)
                ));
                return None;
            }
        },
    };
    Some(list.devices.pick(&indices))
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
