//! A fault as a control line writes it: the same keys and units as in a scenario. Pure.

use super::{CODE_DEFAULT, CODES, Fault, FaultKind, Length};
use crate::units::{self, Percent, UnitError, written_duration};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A fault in text form: `{"kind":"hold-acks","at":"60s","for":"10s","share":"20%"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultText {
    /// Kind.
    pub kind: String,
    /// Return code of CONNACK.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// Delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Start; immediately by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Length.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<String>,
    /// Share of the devices; all by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// Ids of the devices that may be chosen; all by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<String>>,
}

/// The reason why a fault in text form is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The kind does not exist. The message does not repeat it.
    #[error("unknown kind of fault: set kind to {}", FaultKind::HUB.map(FaultKind::name).join(", "))]
    UnknownKind,
    /// A required key is missing.
    #[error("{kind} needs {key}: add \"{key}\":\"{example}\"")]
    Missing {
        /// Kind.
        kind: &'static str,
        /// Key.
        key: &'static str,
        /// A valid value.
        example: &'static str,
    },
    /// The kind does not have this key.
    #[error("{kind} has no {key}: remove it")]
    Extra {
        /// Kind.
        kind: &'static str,
        /// Key.
        key: &'static str,
    },
    /// The code is not one of [`CODES`].
    #[error("code is {0}: use 3 (server unavailable) or 5 (not authorized)")]
    Code(u8),
    /// The share is not above 0% and at most 100%.
    #[error("share must be above 0% and at most 100%")]
    Share,
    /// A duration or a share cannot be parsed.
    #[error("{0}")]
    Unit(#[from] UnitError),
}

impl From<&Fault> for FaultText {
    fn from(fault: &Fault) -> FaultText {
        let duration = |duration: Duration| (!duration.is_zero()).then(|| written_duration(duration));
        let share = (fault.share < 1.0).then(|| Percent::from_fraction(fault.share).to_string());
        let devices = fault.devices.as_ref();
        FaultText {
            kind: fault.kind.name().to_owned(),
            code: fault.kind.takes_code().then_some(fault.code),
            by: duration(fault.by),
            at: duration(fault.at),
            length: duration(fault.length),
            share,
            devices: devices.map(|ids| ids.iter().map(|id| String::from(&**id)).collect()),
        }
    }
}

impl FaultText {
    /// Returns the fault.
    ///
    /// # Errors
    /// The kind is unknown, a value is invalid, or a key is missing or has no meaning for this kind.
    pub fn to_fault(&self) -> Result<Fault, FaultError> {
        let kind = FaultKind::from_name(&self.kind).ok_or(FaultError::UnknownKind)?;
        let extra = [
            ("code", self.code.is_some() && !kind.takes_code()),
            ("by", self.by.is_some() && !kind.takes_by()),
            ("for", self.length.is_some() && kind.takes_length() == Length::Never),
        ];
        if let Some((key, _)) = extra.into_iter().find(|(_, is_extra)| *is_extra) {
            return Err(FaultError::Extra { kind: kind.name(), key });
        }
        let duration =
            |text: &Option<String>| text.as_deref().map_or(Ok(Duration::ZERO), units::parse_duration);
        let (by, length) = (duration(&self.by)?, duration(&self.length)?);
        let missing = [
            ("by", "500ms", kind.takes_by() && by.is_zero()),
            ("for", "10s", kind.takes_length() == Length::Required && length.is_zero()),
        ];
        if let Some((key, example, _)) = missing.into_iter().find(|(.., is_missing)| *is_missing) {
            return Err(FaultError::Missing { kind: kind.name(), key, example });
        }
        let code = self.code.unwrap_or(CODE_DEFAULT);
        if !CODES.contains(&code) {
            return Err(FaultError::Code(code));
        }
        let share = self.share.as_deref().map_or(Ok(1.0), |text| text.parse().map(Percent::as_fraction))?;
        if share <= 0.0 || share > 1.0 {
            return Err(FaultError::Share);
        }
        let devices = self.devices.as_ref().map(|ids| {
            let mut ids: Vec<Box<str>> = ids.iter().map(|id| id.as_str().into()).collect();
            ids.sort_unstable();
            ids
        });
        Ok(Fault { code, by, at: duration(&self.at)?, length, share, devices, ..Fault::new(kind) })
    }
}
