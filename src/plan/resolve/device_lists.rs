//! Reads the file of `auth = { file = ".." }` and matches its devices with the fleet's. Used by `authentication`. `credentials`
//! parses the lines.

use super::context::ResolveContext;
use super::quoting::quoted;
use crate::plan::credentials::{self, CredentialFormat, DeviceList};
use crate::plan::payload::{Template, TemplateContext};
use crate::scenario::{Errors, FleetSpec, Written};
use std::path::PathBuf;

/// Number of reported invalid lines. In a file of another kind, every line is invalid.
const BAD_LINES_TOLD: usize = 5;

/// Returns the fleet's devices from its file: those that `id` names, or the first ones. `None` after an error.
pub(super) fn read(
    spec: &FleetSpec,
    file: Option<&Written<PathBuf>>,
    form: CredentialFormat<'_>,
    id: &Template,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Option<DeviceList> {
    let (file, devices) = (file?, spec.devices?);
    let (path, bytes) = context.read(file, errors)?;
    let read = credentials::parse(&bytes, form);
    drop(bytes);
    if !read.bad.is_empty() {
        for bad in read.bad.iter().take(BAD_LINES_TOLD) {
            let what = format!("{}:{}: {}", path.display(), bad.line, bad.what);
            errors.add(&file.place, what).allowed(form.allowed());
        }
        if let Some(more) = read.bad.len().checked_sub(BAD_LINES_TOLD).filter(|more| *more > 0) {
            errors.add(&file.place, format!("{}: {more} more lines like these", path.display()));
        }
        return None;
    }
    let unusable = match read.unusable {
        0 => String::new(),
        n => format!(", and {n} unusable (disabled, modules, or without a symmetric key)"),
    };
    let found = format!("{} devices{unusable}", read.devices.len());
    let indices = match &spec.id {
        None if read.devices.len() < devices as usize => {
            let problem = errors.add(&file.place, format!("{} has too few devices", path.display()));
            problem
                .found(found)
                .allowed(format!("at least {devices}, as many as the fleet has"))
                .fix(format!("devices = {}, or add lines", read.devices.len().max(1)));
            return None;
        }
        None => (0..devices).collect(),
        Some(written) => match named(&read.devices, id, devices) {
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
    Some(read.devices.pick(&indices))
}

/// Returns the indices of the devices that `id` names.
///
/// # Errors
/// The first id that is not in the list.
fn named(listed: &DeviceList, id: &Template, devices: u32) -> Result<Vec<u32>, String> {
    let places = listed.by_id();
    let place = |index| {
        let id = id.render(&TemplateContext { device: "", index });
        places.get(id.as_str()).copied().ok_or(id)
    };
    (0..devices).map(place).collect()
}

#[cfg(test)]
mod tests;
