//! `hubstorm token`: makes a SAS token for a device or a hub, or decodes one and verifies its signature and expiry. Keys and tokens come from
//! environment variables, files or stdin, never from the command line.

use super::{AppError, Env, environment_error, print, read_scenario, secret};
use crate::cli::TokenArgs;
use crate::clock;
use crate::iothub::{names, sas};
use crate::scenario::{is_connection_string, typed_duration};
use crate::text_file;
use crate::units::human_duration;
use jiff::Timestamp;
use std::fmt::Write as _;
use std::io::Read;
use std::time::Duration;
use zeroize::Zeroizing;

/// The maximum length of a token on stdin. A token is a few hundred bytes long.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

const TOKEN_FIX: &str = "Pass the whole text from SharedAccessSignature to the end, without quotes";

/// Prints a new token, or decodes the token from `--decode`.
pub(super) fn run(args: &TokenArgs, env: &mut Env) -> Result<(), AppError> {
    match &args.decode {
        Some(source) => decode(source, args, env),
        None => {
            let key = key(args, args.device.as_deref())?.ok_or_else(|| {
                usage("the key is missing; add --key or --group-key with env:NAME or file:PATH")
            })?;
            print(env, &format!("{}\n", make(args, &key)?.as_str()))
        }
    }
}

/// Returns the signing key: the one from `--key`, or the device key derived from `--group-key`.
fn key(args: &TokenArgs, device: Option<&str>) -> Result<Option<sas::Key>, AppError> {
    let read = |source: &str, what| {
        let text = secret::read(source, what)?;
        sas::Key::from_base64(&text).map_err(|error| {
            let error = error.to_string().replacen("the key", what, 1) + "; " + error.fix();
            usage(&error)
        })
    };
    match (&args.key, &args.group_key, device) {
        (Some(source), ..) => Ok(Some(read(source, "the key")?)),
        (None, Some(source), Some(device)) => Ok(Some(read(source, "the group key")?.derive(device))),
        (None, Some(_), None) => Err(usage("--group-key derives one key per device; add --device ID")),
        (None, None, _) => Ok(None),
    }
}

fn make(args: &TokenArgs, key: &sas::Key) -> Result<Zeroizing<String>, AppError> {
    let host = args.host.as_deref().unwrap_or_default();
    read_scenario::host("--host", host)?;
    if [&args.device, &args.policy].into_iter().flatten().any(|name| is_connection_string(name)) {
        return Err(usage(
            "--device or --policy is a connection string; pass only the device id or the policy name",
        ));
    }
    let ttl = typed_duration(&args.ttl).map_err(|error| usage(&format!("--ttl: {error}")))?;
    if ttl.is_zero() {
        return Err(usage("--ttl: the token would expire immediately; use a longer time, such as 1h"));
    }
    let expiry = clock::unix()
        .checked_add(ttl)
        .ok_or_else(|| usage("--ttl: the expiry is too far in the future; use a shorter time, such as 1h"))?;
    let resource = match (&args.device, &args.policy) {
        (Some(device), _) if !names::is_device_id(device) => {
            return Err(usage(&format!("--device {device:?} is not a valid device id of an IoT hub")));
        }
        (Some(device), _) => names::resource(host, device),
        (None, Some(_)) => host.to_owned(),
        (None, None) => {
            return Err(usage(
                "add --device ID for a device token, or --policy NAME for a token for the whole hub",
            ));
        }
    };
    Ok(sas::token(key, &resource, expiry.as_secs(), args.policy.as_deref()))
}

/// Prints the contents of a token. Fails if the token has expired or the key does not match, so that scripts can check the exit code.
fn decode(source: &str, args: &TokenArgs, env: &mut Env) -> Result<(), AppError> {
    let text = match source {
        "-" => stdin()?,
        source => secret::read(source, "the token")?,
    };
    let token = sas::Token::parse(&text)
        .map_err(|error| AppError::Environment(format!("not a SAS token: {error}. {TOKEN_FIX}")))?;
    let resource = percent_encoding::percent_decode_str(token.sr_raw).decode_utf8_lossy();
    // A module id may follow the device id.
    let named = resource.split_once("/devices/").and_then(|(_, path)| path.split('/').next());
    let key = key(args, args.device.as_deref().or(named))?;
    let now = clock::unix().as_secs();
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "resource   {resource}");
    let _ = writeln!(
        out,
        "signed by  {}",
        token
            .policy
            .as_deref()
            .map_or_else(|| "the device's key".to_owned(), |policy| format!("the key of policy {policy}"))
    );
    let _ = writeln!(out, "expires    {}", expiry(token.expiry_unix, now));
    let verified = key.map(|key| token.verify(&key));
    let _ = writeln!(
        out,
        "signature  {}",
        match verified {
            None => "not verified; add --key or --group-key",
            Some(true) => "valid for this key",
            Some(false) => "NOT valid for this key",
        }
    );
    print(env, &out)?;
    check_device(&token, &resource, args.device.as_deref())?;
    if verified == Some(false) {
        let hint = if args.group_key.is_some() { " or group key and device" } else { "" };
        return Err(AppError::Environment(format!(
            "the signature does not match: the token was made with another key, or was changed; check that the key{hint} is the one that the hub has"
        )));
    }
    if token.expired(now) {
        let signature = if verified.is_some() { " (its signature is valid)" } else { "" };
        return Err(AppError::Environment(format!(
            "the token has expired{signature}, so a hub refuses it; make a new one"
        )));
    }
    Ok(())
}

/// Returns an error if the token does not cover the device of `--device`. A token for the whole hub covers every device.
fn check_device(token: &sas::Token<'_>, resource: &str, device: Option<&str>) -> Result<(), AppError> {
    let Some(device) = device else { return Ok(()) };
    let (host, named) = resource.split_once("/devices/").unwrap_or((resource, ""));
    let (named, module) = named.split_once('/').map_or((named, ""), |(named, module)| (named, module));
    if token.covers(format!("{}/{module}", names::resource(host, device)).trim_end_matches('/')) {
        return Ok(());
    }
    let device = if names::is_device_id(device) { device } else { "the one in --device" };
    let named = if named.is_empty() { resource } else { named };
    Err(AppError::Environment(format!(
        "the token is for device {named}, not {device}; a hub refuses it for another device"
    )))
}

fn expiry(at: u64, now: u64) -> String {
    let date = i64::try_from(at).ok().and_then(|at| Timestamp::from_second(at).ok());
    let date = date.map_or_else(|| format!("{at} s after 1970-01-01"), |date| date.to_string());
    let away = human_duration(Duration::from_secs(at.abs_diff(now)));
    if at >= now { format!("{date}, in {away}") } else { format!("{date}, {away} ago") }
}

fn stdin() -> Result<Zeroizing<String>, AppError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = std::io::stdin().lock().take(TOKEN_BYTES_MAX).read_to_end(&mut bytes);
    let text = read.and_then(|_| text_file::decode(&bytes).map_err(std::io::Error::from));
    let text = text.map_err(|error| environment_error("cannot read the token from stdin", &error))?;
    match text.trim() {
        "" => Err(AppError::Environment("cannot read the token: stdin is empty".to_owned())),
        text => Ok(Zeroizing::new(text.to_owned())),
    }
}

fn usage(text: &str) -> AppError {
    AppError::Usage(text.to_owned())
}
