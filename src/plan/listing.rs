//! The file behind `auth = { file = ".." }`: read, every bad line told, and its devices matched with the fleet's. A part of
//! `fleets`; what a line means is `listed`'s.

use super::fleets::{ResolveContext, shown};
use super::listed::{self, DeviceList, Form};
use super::template::{Template, TemplateContext};
use crate::scenario::{Errors, FleetSpec, Written, located};
use std::path::PathBuf;

/// Bad lines that are told; of a file of another kind, every line is one.
const BAD_LINES_TOLD: usize = 5;

/// The devices of a fleet from its file: those that `id` names, or else the first ones. `None` after an error.
pub(super) fn read(
    spec: &FleetSpec,
    file: Option<&Written<PathBuf>>,
    form: Form<'_>,
    id: &Template,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Option<DeviceList> {
    let (file, devices) = (file?, spec.devices?);
    let path = located(context.scenario, &file.place, &file.value);
    let text = match (context.files)(&path) {
        Ok(text) => text,
        Err(error) => {
            let problem = errors.add(&file.place, format!("cannot read {}: {error}", path.display()));
            problem
                .fix("a path in the scenario is relative to its folder; check the name and who may read it");
            return None;
        }
    };
    let read = listed::parse(&text, form);
    drop(text);
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
        n => format!(", and {n} that are disabled, modules, or without a symmetric key"),
    };
    let found = format!("{} devices{unusable}", read.listed.len());
    let indices = match &spec.id {
        None if read.listed.len() < devices as usize => {
            let problem = errors.add(&file.place, format!("{} has too few devices", path.display()));
            problem
                .found(found)
                .allowed(format!("at least {devices}, as many as the fleet has"))
                .fix(format!("devices = {}, or add lines", read.listed.len().max(1)));
            return None;
        }
        None => (0..devices).collect(),
        Some(written) => match named(&read.listed, id, devices) {
            Ok(indices) => indices,
            Err(missing) => {
                let problem =
                    errors.add(&file.place, format!("{} has no line for {missing}", path.display()));
                problem.found(found).fix(format!(
                    "add one, or remove id = {}: then the fleet takes the first {devices} devices of the file",
                    shown(&written.text)
                ));
                return None;
            }
        },
    };
    Some(read.listed.pick(&indices))
}

/// The places in the list of the devices that `id` names.
///
/// # Errors
/// The first that is not there.
fn named(listed: &DeviceList, id: &Template, devices: u32) -> Result<Vec<u32>, String> {
    let places = listed.by_id();
    let place = |index| {
        let id = id.render(&TemplateContext { device: "", index });
        places.get(id.as_str()).copied().ok_or(id)
    };
    (0..devices).map(place).collect()
}
