//! Reads a fleet's `auth`, including the token settings of `kind = "sas"`. Used by `fleet`.

use crate::scenario::error::Origin;
use crate::scenario::model::{AuthSpec, RenewSpec, TokenSpec};
use crate::scenario::node::{Node, Value};
use crate::scenario::reader::{Fields, Reader, number_of, quoted};
use crate::scenario::suggestion;
use crate::scenario::value::Written;
use crate::units::{self, Percent};

/// Reads a fleet's `auth`.
pub(super) fn auth(reader: &mut Reader<'_>, node: &Node) -> Written<AuthSpec> {
    let (value, text) = read_auth(reader, node).unwrap_or((AuthSpec::Invalid, ""));
    // If `--set` chose the kind, an error about the kind is in the option, not in the file.
    let kind = match &node.value {
        Value::Table(entries) => entries.iter().find(|entry| entry.key == "kind").map(|entry| &entry.place),
        _ => None,
    };
    let place = kind.filter(|place| matches!(place.origin, Origin::Set(_))).unwrap_or(&node.place);
    Written { value, text: text.to_owned(), place: place.clone() }
}

fn read_auth(reader: &mut Reader<'_>, node: &Node) -> Option<(AuthSpec, &'static str)> {
    #[derive(Clone, Copy)]
    enum Kind {
        Sas,
        Password,
        None,
    }
    let mut fields =
        reader.table(node, "a table such as { kind = \"sas\", group_key = \"${env.GROUP_KEY}\" }")?;
    let kinds = [("sas", Kind::Sas), ("password", Kind::Password), ("none", Kind::None)];
    let later = [("x509", "device certificates"), ("dps", "the device provisioning service")];
    let kind_node = fields.require(reader, "kind", "kind = \"sas\", \"password\" or \"none\"")?;
    let kind = reader.choice(kind_node, &kinds, &later)?;
    let spec_and_kind = match kind {
        Kind::Sas => {
            let is_generated =
                !["group_key", "policy", "key", "file"].iter().any(|key| fields.entry(key).is_some());
            let from_file = fields.entry("file").is_some();
            let group_key = fields.take("group_key").and_then(|node| reader.secret(node));
            let policy = fields.take("policy").and_then(|node| reader.text(node, "the name of a policy"));
            let key = fields.take("key").and_then(|node| reader.secret(node));
            let file = fields.take("file").and_then(|node| reader.path(node, "the path of a file with keys"));
            let token = token(reader, &mut fields);
            check_key_sources(reader, &fields);
            let spec = if is_generated {
                AuthSpec::SasGenerated { token }
            } else if from_file {
                AuthSpec::SasFile { file, token }
            } else {
                AuthSpec::Sas { group_key, policy, key, token }
            };
            (spec, "sas")
        }
        Kind::Password if fields.entry("file").is_some() => {
            let file = fields.take("file");
            let file =
                file.and_then(|node| reader.path(node, "the path of a file with user names and passwords"));
            (AuthSpec::PasswordFile { file }, "password")
        }
        Kind::Password => {
            let username = fields.require(reader, "username", "username = \"${device}\"");
            let password = fields.require(reader, "password", "password = \"${env.PASSWORD}\"");
            let spec = AuthSpec::Password {
                username: username.and_then(|node| reader.text(node, "a user name; ${device} is allowed")),
                password: password.and_then(|node| reader.secret(node)),
            };
            (spec, "password")
        }
        Kind::None => (AuthSpec::None, "none"),
    };
    fields.finish(reader, &[]);
    Some(spec_and_kind)
}

fn token(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> TokenSpec {
    TokenSpec {
        place: fields.place.clone(),
        ttl: fields.take("ttl").and_then(|node| reader.duration(node)),
        renew: fields.take("renew").and_then(|node| renew(reader, node)),
        jitter: fields.take("jitter").and_then(|node| reader.percent(node, 1.0)),
        clock_skew_us: fields.take("clock_skew").and_then(|node| reader.signed_duration_us(node)),
    }
}

fn renew(reader: &mut Reader<'_>, node: &Node) -> Option<Written<RenewSpec>> {
    let allowed =
        "a share of the token's lifetime (\"85%\"), a time before its expiry (\"-2m\"), or \"never\"";
    if let Some(number) = number_of(node) {
        let problem = reader.errors.add(&node.place, "needs a unit and quotes").found(number.clone());
        problem.allowed(allowed).fix = suggestion::renewal(&number).map(|meant| meant.fix());
        return None;
    }
    let Written { value: text, text: source, place } = reader.string(node, allowed)?;
    let value = match (text.as_str(), text.strip_prefix('-')) {
        ("never", _) => Some(RenewSpec::Never),
        (_, Some(margin)) => units::parse_duration(margin).ok().map(RenewSpec::Before),
        (share, None) => {
            let share =
                share.parse::<Percent>().ok().filter(|share| (0.0..=1.0).contains(&share.as_fraction()));
            // With 0%, a device would renew its token continuously.
            share.filter(|share| share.as_fraction() > 0.0).map(RenewSpec::Share)
        }
    };
    if value.is_none() {
        let problem =
            reader.errors.add(&place, "invalid renewal time").found(quoted(&source)).allowed(allowed);
        problem.fix = suggestion::renewal(&text).filter(|_| text == source).map(|meant| meant.fix());
    }
    Some(Written { value: value?, text: source, place })
}

/// Reports multiple sources of keys, a policy without a key, and a key without a policy.
fn check_key_sources(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    let has = |key| fields.entry(key).is_some();
    let (place, what, fix) = match (has("group_key"), has("policy"), has("key"), has("file")) {
        (true, false, false, false) | (false, true, true, false) | (false, false, false, _) => return,
        (true, ..) | (.., true) => (
            fields.place.clone(),
            "more than one source of keys",
            "use only one of them, for example group_key = \"${env.GROUP_KEY}\"",
        ),
        (false, true, false, false) => {
            (fields.place.below("key"), "missing", "add key = \"${env.POLICY_KEY}\"")
        }
        (false, false, true, false) => (fields.place.below("policy"), "missing", "add policy = \"device\""),
    };
    reader.errors.add(&place, what).allowed("group_key, policy with key, or file").fix(fix);
}
