//! Decides which CONNECT packets are admitted, as Azure does: a pure function of the packet, the configuration and the time. Called by
//! [`session`](super::session). It does not know which devices are connected or disabled; the directory does.

use super::config::Config;
use crate::iothub::names::{self, UserNameError};
use crate::iothub::sas::{Token, TokenError};
use crate::wire::Connect;

/// The protocol level of MQTT 3.1.1 (§3.1.2.2).
const LEVEL: u8 = 4;

/// A device that may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Device id.
    pub device: Box<str>,
    /// Expiry of the token, in seconds since the Unix epoch.
    pub expiry_unix: u64,
    /// True if the user name has an api-version.
    pub has_api_version: bool,
}

/// The reason why a CONNECT is refused. The device sees only a return code; the reason is for notices and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The protocol level is not 4.
    #[error("the protocol level is {0}, not 4 as in MQTT 3.1.1")]
    Level(u8),
    /// The user name is missing.
    #[error("the user name is missing")]
    NoUserName,
    /// The user name has the wrong form.
    #[error("the user name does not have the form that IoT Hub requires: {0}")]
    UserName(#[from] UserNameError),
    /// The user name contains the host name of another hub.
    #[error("the host in the user name is not this hub")]
    Host,
    /// The user name or the client id is that of a module. Modules are not emulated.
    #[error("modules are not emulated")]
    Module,
    /// Client id and user name differ.
    #[error("the client id is not the device id in the user name")]
    ClientId,
    /// The password is missing.
    #[error("the password is missing")]
    NoPassword,
    /// The password is not a SAS token.
    #[error("the password is not a SAS token: {0}")]
    Token(#[from] TokenError),
    /// The token is for another resource.
    #[error("the token is for another resource")]
    Audience,
    /// The token has expired, even allowing for clock skew.
    #[error("the token has expired")]
    Expired,
    /// The token names a policy that does not exist or does not let devices connect.
    #[error("the policy in the token does not exist or does not let devices connect")]
    Policy,
    /// The hub has no such device, and admits only the devices that it knows.
    #[error("the device does not exist")]
    UnknownDevice,
    /// The token is not signed with a key of the device.
    #[error("the token is not signed with the device's key")]
    Signature,
    /// The token names a policy but is not signed with its key.
    #[error("the token is not signed with the policy's key")]
    PolicySignature,
    /// The device is disabled. Only the directory knows this.
    #[error("the device is disabled")]
    Disabled,
    /// A fault refuses the device with this return code.
    #[error("a fault refuses CONNECT with return code {0}")]
    Fault(u8),
}

impl Refusal {
    /// The names of all reasons, as in `stats`.
    pub const REASONS: [&str; 15] = [
        "protocol_level",
        "no_user_name",
        "user_name",
        "host",
        "module",
        "client_id",
        "no_password",
        "token",
        "audience",
        "expired",
        "policy",
        "signature",
        "disabled",
        "unknown_device",
        "fault",
    ];

    /// Returns the index into [`Refusal::REASONS`].
    #[must_use]
    pub fn reason(self) -> usize {
        match self {
            Refusal::Level(_) => 0,
            Refusal::NoUserName => 1,
            Refusal::UserName(_) => 2,
            Refusal::Host => 3,
            Refusal::Module => 4,
            Refusal::ClientId => 5,
            Refusal::NoPassword => 6,
            Refusal::Token(_) => 7,
            Refusal::Audience => 8,
            Refusal::Expired => 9,
            Refusal::Policy => 10,
            Refusal::Signature | Refusal::PolicySignature => 11,
            Refusal::Disabled => 12,
            Refusal::UnknownDevice => 13,
            Refusal::Fault(_) => 14,
        }
    }

    /// Returns advice on how to fix the problem.
    #[must_use]
    pub fn fix(self) -> &'static str {
        match self {
            Refusal::Level(_) => "set the client to MQTT 3.1.1",
            Refusal::NoUserName | Refusal::UserName(_) => {
                "set the user name to {host}/{device}/?api-version=2021-04-12"
            }
            Refusal::Host => "start the emulator with --host NAME, or use localhost",
            Refusal::Module => "connect as a device",
            Refusal::ClientId => "use the device id as the client id",
            Refusal::NoPassword | Refusal::Token(_) => {
                "use a SAS token as the password; device certificates are not emulated"
            }
            Refusal::Audience => "set sr in the token to {host}/devices/{device}",
            Refusal::Expired => "renew the token, and check the device's clock",
            Refusal::Policy => "remove skn from the token, and sign it with the device's key",
            Refusal::Signature => {
                "sign the token with the device's own key, or with the key derived from the group key"
            }
            Refusal::PolicySignature => {
                "sign the token with the policy's key, or remove skn and sign with the device's key"
            }
            Refusal::Disabled => "enable the device",
            Refusal::UnknownDevice => "add it to the file of --devices, and start the emulator again",
            Refusal::Fault(_) => "wait for the end of the fault, or remove it",
        }
    }

    /// Returns the CONNACK return code: 5 for every authorization problem (`connection_and_messaging_reliability.md` of Azure's C SDK), and
    /// 1 for a wrong protocol level, as MQTT 3.1.1 §3.1.2.2 requires. Azure does not document which code it sends in that case.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Refusal::Level(_) => 1,
            Refusal::Fault(code) => code,
            _ => 5,
        }
    }
}

/// Checks a CONNECT at `now_unix` (seconds since the Unix epoch).
///
/// # Errors
/// The CONNECT is refused.
pub fn admit(config: &Config, connect: &Connect, now_unix: u64) -> Result<Admitted, Refusal> {
    if connect.level != LEVEL {
        return Err(Refusal::Level(connect.level));
    }
    let name = names::parse_user_name(connect.username.as_deref().ok_or(Refusal::NoUserName)?)?;
    if !config.host_names.iter().any(|host| host.eq_ignore_ascii_case(name.host)) {
        return Err(Refusal::Host);
    }
    if name.module.is_some() {
        return Err(Refusal::Module);
    }
    if connect.client_id != name.device {
        // The client id of a module is {device}/{module}; a device id has no slash.
        if connect.client_id.strip_prefix(name.device).is_some_and(|rest| rest.starts_with('/')) {
            return Err(Refusal::Module);
        }
        return Err(Refusal::ClientId);
    }
    let password = connect.password.as_deref().ok_or(Refusal::NoPassword)?;
    let token = Token::parse(std::str::from_utf8(password).map_err(|_| TokenError::Form)?)?;
    if !token.covers(&names::resource(name.host, name.device)) {
        return Err(Refusal::Audience);
    }
    if token.expired(now_unix) {
        return Err(Refusal::Expired);
    }
    let verified = match &token.policy {
        Some(policy) => {
            let mut keys = config.policies.iter().filter(|(name, _)| name == policy).peekable();
            keys.peek().ok_or(Refusal::Policy)?;
            keys.any(|(_, key)| token.verify(key))
        }
        None => match config.device_keys.get(name.device) {
            Some(own) => token.verify(own),
            None if config.group_keys.is_empty() => return Err(Refusal::UnknownDevice),
            None => config.group_keys.iter().any(|group| token.verify(&group.derive(name.device))),
        },
    };
    if !verified {
        return Err(if token.policy.is_some() { Refusal::PolicySignature } else { Refusal::Signature });
    }
    let has_api_version = name.api_version.is_some_and(|version| !version.is_empty());
    Ok(Admitted { device: name.device.into(), expiry_unix: token.expiry_unix, has_api_version })
}

#[cfg(test)]
mod tests;
