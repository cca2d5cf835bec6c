//! Resolves a fleet's `id`, and checks that all device ids differ. Used by `fleets`.

use super::context::ResolveContext;
use super::mqtt_limits::check_string;
use super::quoting::quoted;
use super::templates::{from_printf, parse_template};
use crate::iothub::names;
use crate::plan::duplicates::Duplicates;
use crate::plan::model::{FleetPlan, TargetKind};
use crate::plan::payload::{Template, TemplateContext};
use crate::scenario::{Errors, FleetSpec};

/// The maximum length of an id that a suggestion repeats.
const ID_CHARS_REPEATED: usize = 40;

/// Resolves a fleet's `id`.
pub(super) fn resolve(
    spec: &FleetSpec,
    devices: u32,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Template {
    let default = format!("{}-{{index:05}}", spec.name);
    let template = match &spec.id {
        Some(written) => parse_template(written, errors),
        None => Template::parse(&default).ok(),
    };
    // Any template will do, because the plan is discarded after an error.
    let Some(template) = template else { return Template::literal(&spec.name) };
    let place = spec.id.as_ref().map_or_else(|| spec.place.below("id"), |written| written.place.clone());
    let text = spec.id.as_ref().map_or(default.clone(), |written| written.text.clone());
    if template.uses_device() {
        let problem = errors.add(&place, "an id cannot contain ${device}, which is the id itself");
        problem
            .found(quoted(&text))
            .allowed("{index}, or {index:05} for leading zeros")
            .fix(format!("id = \"{default}\""));
        return template;
    }
    let render = |index| template.render(&TemplateContext { device: "", index });
    if devices > 1 && render(0) == render(1) {
        let problem = errors.add(&place, "every device would have the same id");
        problem.found(quoted(&text)).fix(match (from_printf(&text), text.chars().count()) {
            (Some(meant), ..=ID_CHARS_REPEATED) if !meant.contains("${device}") => {
                format!("id = \"{meant}\"")
            }
            (_, ..=ID_CHARS_REPEATED) => format!("id = \"{}-{{index:05}}\"", text.trim_end_matches('-')),
            _ => format!("id = \"{default}\""),
        });
    }
    let longest = render(devices - 1);
    if context.kind == Some(TargetKind::IotHub) && !names::is_device_id(&longest) {
        let problem = errors.add(&place, "not a valid device id for an IoT hub");
        problem
            .found(quoted(spec.id.as_ref().filter(|id| id.value != id.text).map_or(&longest, |id| &id.text)))
            .allowed("1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '");
    } else {
        check_string(&longest, "the client id", &place, errors);
    }
    template
}

/// Checks that no two fleets have a device with the same id. Within a fleet, indices make ids unique.
pub(super) fn check_unique(specs: &[FleetSpec], fleets: &[FleetPlan], errors: &mut Errors) {
    if fleets.len() < 2 {
        return;
    }
    let mut ids = Duplicates::default();
    for (number, (fleet, spec)) in fleets.iter().zip(specs).enumerate() {
        for index in 0..fleet.devices {
            let other = ids.first(fleet.device_id(index), number).and_then(|first| fleets.get(first));
            let Some(other) = other else { continue };
            let place = spec.id.as_ref().map_or_else(|| spec.place.below("id"), |id| id.place.clone());
            let problem = errors.add(&place, format!("fleet {} has a device with the same id", other.name));
            problem.found(quoted(&fleet.device_id(index)));
            problem.fix(match fleet.auth.device_list() {
                Some(_) => "use a separate file for each fleet, or set id so that each fleet selects different devices".to_owned(),
                None => format!("id = \"{}-{{index:05}}\"", fleet.name),
            });
            break;
        }
    }
}
