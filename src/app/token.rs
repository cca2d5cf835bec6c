//! `hubstorm token`: makes a SAS token for a device, a policy or a whole hub, or says what one holds and whether a key
//! made it. Keys and tokens come from the environment or a file, never from the command line.

use super::{AppError, Env, environment_error, print, read_scenario, secret};
use crate::cli::TokenArgs;
use crate::clock;
use crate::iothub::{names, sas};
use crate::scenario::is_connection_string;
use crate::units::{human_duration, parse_duration};
use jiff::Timestamp;
use std::fmt::Write as _;
use std::io::Read;
use std::time::Duration;
use zeroize::Zeroizing;

/// A token is some hundred bytes; whatever is longer is none.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// Prints a token, or what a given one holds.
pub(super) fn run(args: &TokenArgs, env: &mut Env) -> Result<(), AppError> {
    match &args.decode {
        Some(source) => decode(source, args, env),
        None => {
            let key = key(args, args.device.as_deref())?
                .ok_or_else(|| usage("a key is needed: --key or --group-key, as env:NAME or file:PATH"))?;
            print(env, &format!("{}\n", make(args, &key)?.as_str()))
        }
    }
}

/// The key that signs: given, or derived for the device.
fn key(args: &TokenArgs, device: Option<&str>) -> Result<Option<sas::Key>, AppError> {
    let read = |source: &str, what| {
        let text = secret::read(source, what)?;
        sas::Key::from_base64(&text).map_err(|error| usage(&format!("{what}: {error}")))
    };
    match (&args.key, &args.group_key, device) {
        (Some(source), ..) => Ok(Some(read(source, "the key")?)),
        (None, Some(source), Some(device)) => Ok(Some(read(source, "the group key")?.derive(device))),
        (None, Some(_), None) => {
            Err(usage("--group-key gives each device a key of its own: say whose with --device ID"))
        }
        (None, None, _) => Ok(None),
    }
}

fn make(args: &TokenArgs, key: &sas::Key) -> Result<Zeroizing<String>, AppError> {
    let host = args.host.as_deref().unwrap_or_default();
    read_scenario::host("--host", host)?;
    if [&args.device, &args.policy].into_iter().flatten().any(|name| is_connection_string(name)) {
        return Err(usage(
            "a connection string stands where --device wants an id or --policy a name; give that alone",
        ));
    }
    let ttl = parse_duration(&args.ttl).map_err(|error| usage(&format!("--ttl: {error}")))?;
    if ttl.is_zero() {
        return Err(usage("--ttl: such a token would be expired at once; give it a while, such as 1h"));
    }
    let expiry = clock::unix().checked_add(ttl).ok_or_else(|| usage("--ttl: no clock goes so far"))?;
    let resource = match (&args.device, &args.policy) {
        (Some(device), _) if !names::is_device_id(device) => {
            return Err(usage(&format!("--device {device:?} is not a device id that a hub takes")));
        }
        (Some(device), _) => names::resource(host, device),
        (None, Some(_)) => host.to_owned(),
        (None, None) => {
            return Err(usage("say whom the token is for: --device ID, or --policy NAME for the hub"));
        }
    };
    Ok(sas::token(key, &resource, expiry.as_secs(), args.policy.as_deref()))
}

/// Exit code 1 when the token is expired or another key made it: a script may ask.
fn decode(source: &str, args: &TokenArgs, env: &mut Env) -> Result<(), AppError> {
    let text = match source {
        "-" => stdin()?,
        source => secret::read(source, "the token")?,
    };
    let token = sas::Token::parse(&text)
        .map_err(|error| AppError::Environment(format!("not a SAS token: {error}")))?;
    let resource = percent_encoding::percent_decode_str(token.sr_raw).decode_utf8_lossy();
    // What follows is a module's.
    let named = resource.split_once("/devices/").and_then(|(_, path)| path.split('/').next());
    let key = key(args, args.device.as_deref().or(named))?;
    let now = clock::unix().as_secs();
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "resource   {resource}");
    let _ =
        writeln!(out, "signed by  {}", token.policy.as_deref().map_or("the device's key", |policy| policy));
    let _ = writeln!(out, "expires    {}", expiry(token.expiry_unix, now));
    let verified = key.map(|key| token.verify(&key));
    let _ = writeln!(
        out,
        "signature  {}",
        match verified {
            None => "not checked; give the key with --key or --group-key",
            Some(true) => "made with this key",
            Some(false) => "NOT made with this key",
        }
    );
    print(env, &out)?;
    if verified == Some(false) {
        let hint = if args.group_key.is_some() { " or group key and device" } else { "" };
        return Err(AppError::Environment(format!(
            "another key made this token, or its text was changed; compare the key{hint} with the hub's"
        )));
    }
    if token.expired(now) {
        let signature = if verified.is_some() { "its signature is good, and " } else { "" };
        return Err(AppError::Environment(format!(
            "the token has expired: {signature}a hub refuses it all the same; make another one"
        )));
    }
    Ok(())
}

fn expiry(at: u64, now: u64) -> String {
    let date = i64::try_from(at).ok().and_then(|at| Timestamp::from_second(at).ok());
    let date = date.map_or_else(|| format!("{at} s after 1970"), |date| date.to_string());
    let away = human_duration(Duration::from_secs(at.abs_diff(now)));
    if at >= now { format!("{date}, in {away}") } else { format!("{date}, {away} ago") }
}

fn stdin() -> Result<Zeroizing<String>, AppError> {
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().lock().take(TOKEN_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| environment_error("cannot read the token from stdin", &error))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn usage(text: &str) -> AppError {
    AppError::Usage(text.to_owned())
}
