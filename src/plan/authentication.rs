//! `auth` of a fleet, resolved and checked against the target: which secret proves whose identity. A part of `fleets`.

use super::credentials::{Auth, Keys};
use super::fleets::{ResolveContext, fits, parse, shown};
use super::listed::Form;
use super::listing;
use super::sdk::DevicePreset;
use super::template::{Template, TemplateContext};
use super::token::{self, TokenLife};
use super::types::TargetKind;
use crate::iothub::sas;
use crate::scenario::{AuthSpec, Errors, FleetSpec, Secret, Written};

/// How the fleet's devices prove who they are. `highest` is the id of the last one.
pub(super) fn resolve(
    spec: &FleetSpec,
    id: &Template,
    highest: &str,
    preset: &DevicePreset,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Auth {
    let Some(written) = &spec.auth else { return absent(spec, preset, context, errors) };
    if fits_target(written, context, errors) {
        given(spec, written, id, highest, preset, context, errors)
    } else {
        // After an error any will do: the plan is not used.
        Auth::None
    }
}

fn absent(
    spec: &FleetSpec,
    preset: &DevicePreset,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Auth {
    let hub = context.kind == Some(TargetKind::IotHub);
    if hub && !context.embedded {
        let problem =
            errors.add(&spec.place.below("auth"), "missing: an IoT hub admits no device without a key");
        problem.fix("add auth = { kind = \"sas\", group_key = \"${env.GROUP_KEY}\" }");
    }
    // Without a target the run makes a key for itself and the built-in hub.
    let key = context.group_key.clone();
    if hub { sas(Keys::Group(key), preset.tokens, preset) } else { Auth::None }
}

/// Whether targets of that kind know this way at all.
fn fits_target(written: &Written<AuthSpec>, context: &ResolveContext<'_>, errors: &mut Errors) -> bool {
    match (&written.value, context.kind) {
        (
            AuthSpec::Sas { .. } | AuthSpec::SasOwn { .. } | AuthSpec::SasFile { .. },
            Some(TargetKind::Mqtt),
        ) => {
            let problem =
                errors.add(&written.place, "SAS tokens are for IoT hubs; the target is a plain broker");
            problem.found(shown(&written.text)).allowed("\"password\", \"none\"");
            false
        }
        (
            AuthSpec::Password { .. } | AuthSpec::PasswordFile { .. } | AuthSpec::None,
            Some(TargetKind::IotHub),
        ) => {
            let problem = errors.add(&written.place, "an IoT hub checks SAS tokens");
            problem.found(shown(&written.text)).allowed("\"sas\"").fix(if context.embedded {
                "remove auth: the run makes a key for itself and the built-in hub"
            } else {
                "auth = { kind = \"sas\", group_key = \"${env.GROUP_KEY}\" }"
            });
            false
        }
        _ => true,
    }
}

fn given(
    spec: &FleetSpec,
    written: &Written<AuthSpec>,
    id: &Template,
    highest: &str,
    preset: &DevicePreset,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Auth {
    let life = |token, errors: &mut Errors| token::resolve(token, preset.tokens, errors);
    match &written.value {
        AuthSpec::SasOwn { token } => {
            if !context.embedded {
                let problem =
                    errors.add(&written.place, "no source of keys: only the built-in hub takes any");
                problem
                    .allowed("group_key, policy with key, or file")
                    .fix("group_key = \"${env.GROUP_KEY}\"");
            }
            sas(Keys::Group(context.group_key.clone()), life(token, errors), preset)
        }
        AuthSpec::Sas { group_key, policy, key, token } => {
            let life = life(token, errors);
            match (read_key(group_key.as_ref(), errors), policy, read_key(key.as_ref(), errors)) {
                (_, Some(policy), Some(key)) => {
                    sas(Keys::Policy { policy: policy.value.clone(), key }, life, preset)
                }
                (Some(key), ..) => sas(Keys::Group(key), life, preset),
                _ => Auth::None,
            }
        }
        AuthSpec::SasFile { file, token } => {
            let life = life(token, errors);
            let host = (!context.embedded).then_some(context.host);
            listing::read(spec, file.as_ref(), Form::Keys { host }, id, context, errors)
                .map_or(Auth::None, |devices| sas(Keys::PerDevice(devices), life, preset))
        }
        AuthSpec::PasswordFile { file } => {
            listing::read(spec, file.as_ref(), Form::Passwords, id, context, errors)
                .map_or(Auth::None, |devices| Auth::PasswordFile { devices })
        }
        AuthSpec::Password { username, password } => {
            let (Some(written), Some(password)) = (username, password) else { return Auth::None };
            let Some(username) = parse(written, errors) else { return Auth::None };
            let rendered =
                username.render(&TemplateContext { device: highest, index: spec.devices.unwrap_or(1) - 1 });
            fits(&rendered, "a user name", &written.place, errors);
            fits(password.value.expose(), "a password", &password.place, errors);
            Auth::Password { username, password: password.value.clone() }
        }
        AuthSpec::None | AuthSpec::Unreadable => Auth::None,
    }
}

fn sas(keys: Keys, life: TokenLife, preset: &DevicePreset) -> Auth {
    Auth::Sas { keys, life, api_version: preset.api_version }
}

fn read_key(secret: Option<&Written<Secret>>, errors: &mut Errors) -> Option<sas::Key> {
    let secret = secret?;
    match sas::Key::from_base64(secret.value.expose()) {
        Ok(key) => Some(key),
        Err(error) => {
            let problem = errors.add(&secret.place, format!("not a key: {error}"));
            problem.found(secret.text.clone()).allowed("16 to 64 bytes in base64, as the portal shows them");
            None
        }
    }
}
