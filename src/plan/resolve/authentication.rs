//! Resolves a fleet's `auth` and checks it against the target. Used by `fleets`.

use super::context::ResolveContext;
use super::device_lists;
use super::mqtt_limits::check_string;
use super::quoting::quoted;
use super::templates::parse_template;
use crate::iothub::sas;
use crate::plan::credentials::{Auth, CredentialFormat, Keys, Renew, TokenLife};
use crate::plan::model::TargetKind;
use crate::plan::payload::{Template, TemplateContext};
use crate::plan::sdk::DevicePreset;
use crate::scenario::{AuthSpec, Errors, FleetSpec, RenewSpec, Secret, TokenSpec, Written};
use crate::units::human_duration;

/// Resolves the credentials of a fleet. `highest` is the id of the fleet's last device.
pub(super) fn resolve(
    spec: &FleetSpec,
    id: &Template,
    highest: &str,
    preset: &DevicePreset,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Auth {
    let Some(written) = &spec.auth else { return default_auth(spec, preset, context, errors) };
    if fits_target(written, context, errors) {
        explicit_auth(spec, written, id, highest, preset, context, errors)
    } else {
        // Any value will do, because the plan is discarded after an error.
        Auth::None
    }
}

fn default_auth(
    spec: &FleetSpec,
    preset: &DevicePreset,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Auth {
    let hub = context.kind == Some(TargetKind::IotHub);
    if hub && !context.is_built_in_hub {
        let problem =
            errors.add(&spec.place.below("auth"), "missing: an IoT hub requires a key for every device");
        problem.fix("add auth = { kind = \"sas\", group_key = \"${env.GROUP_KEY}\" }");
    }
    // Without a target, the run generates a key for the built-in hub.
    let key = context.group_key.clone();
    if hub { sas(Keys::Group(key), preset.tokens, preset) } else { Auth::None }
}

/// Checks that this kind of target supports this kind of `auth`.
fn fits_target(written: &Written<AuthSpec>, context: &ResolveContext<'_>, errors: &mut Errors) -> bool {
    match (&written.value, context.kind) {
        (
            AuthSpec::Sas { .. } | AuthSpec::SasGenerated { .. } | AuthSpec::SasFile { .. },
            Some(TargetKind::Mqtt),
        ) => {
            let problem =
                errors.add(&written.place, "SAS tokens are for IoT hubs; the target is a plain broker");
            problem.found(quoted(&written.text)).allowed("\"password\", \"none\"");
            false
        }
        (
            AuthSpec::Password { .. } | AuthSpec::PasswordFile { .. } | AuthSpec::None,
            Some(TargetKind::IotHub),
        ) => {
            let problem = errors.add(&written.place, "an IoT hub requires SAS tokens");
            problem.found(quoted(&written.text)).allowed("\"sas\"").fix(if context.is_built_in_hub {
                "remove auth: the run generates a key for the built-in hub"
            } else {
                "auth = { kind = \"sas\", group_key = \"${env.GROUP_KEY}\" }"
            });
            false
        }
        _ => true,
    }
}

fn explicit_auth(
    spec: &FleetSpec,
    written: &Written<AuthSpec>,
    id: &Template,
    highest: &str,
    preset: &DevicePreset,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Auth {
    let life = |token, errors: &mut Errors| token_life(token, preset.tokens, errors);
    match &written.value {
        AuthSpec::SasGenerated { token } => {
            if !context.is_built_in_hub {
                let problem = errors
                    .add(&written.place, "no source of keys is set; only the built-in hub works without one");
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
            let format = CredentialFormat::Keys { hosts: context.hosts };
            device_lists::read(spec, file.as_ref(), format, id, context, errors)
                .map_or(Auth::None, |devices| sas(Keys::PerDevice(devices), life, preset))
        }
        AuthSpec::PasswordFile { file } => {
            device_lists::read(spec, file.as_ref(), CredentialFormat::Passwords, id, context, errors)
                .map_or(Auth::None, |devices| Auth::PasswordFile { devices })
        }
        AuthSpec::Password { username, password } => {
            let (Some(written), Some(password)) = (username, password) else { return Auth::None };
            let Some(username) = parse_template(written, errors) else { return Auth::None };
            let rendered =
                username.render(&TemplateContext { device: highest, index: spec.devices.unwrap_or(1) - 1 });
            check_string(&rendered, "the user name", &written.place, errors);
            check_string(password.value.expose(), "the password", &password.place, errors);
            Auth::Password { username, password: password.value.clone() }
        }
        AuthSpec::None | AuthSpec::Invalid => Auth::None,
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
            let problem = errors.add(&secret.place, error.to_string());
            problem
                .found(secret.text.clone())
                .allowed("16 to 64 bytes in base64, as shown in the Azure portal");
            problem.fix(error.fix());
            None
        }
    }
}

/// Resolves the lifetime and renewal of tokens. Missing keys are taken from `default`.
fn token_life(spec: &TokenSpec, default: TokenLife, errors: &mut Errors) -> TokenLife {
    let ttl = spec.ttl.unwrap_or(default.ttl);
    let renew = spec.renew.as_ref().map_or(default.renew, |renew| match renew.value {
        RenewSpec::Share(share) => Renew::Share(share.as_fraction()),
        RenewSpec::Before(margin) => Renew::Before(margin),
        RenewSpec::Never => Renew::Never,
    });
    if let Renew::Before(margin) = renew
        && margin >= ttl
    {
        let place = spec.renew.as_ref().map_or(&spec.place, |renew| &renew.place);
        let problem = errors.add(place, "the token would be renewed before it is issued");
        problem.found(format!("renew {} before expiry", human_duration(margin)));
        problem.allowed(format!("less than ttl, {}", human_duration(ttl))).fix("renew = \"85%\"");
    }
    TokenLife {
        ttl,
        renew,
        jitter: spec.jitter.map_or(default.jitter, |share| share.as_fraction()),
        clock_skew_us: spec.clock_skew_us.unwrap_or(default.clock_skew_us),
    }
}
