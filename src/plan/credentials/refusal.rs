//! The reason why a line of a credential file is invalid, and its fix. Used by `credential_file` and `table`. Never contains text
//! from the file, which may be a misplaced secret.

use crate::iothub::connection_string::ConnectionError;
use crate::iothub::sas::KeyError;
use std::borrow::Cow;

/// A problem with a line, and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Refusal {
    /// The problem.
    pub(in crate::plan) what: Cow<'static, str>,
    /// The fix, as an imperative.
    pub(in crate::plan) fix: Cow<'static, str>,
    /// Column in the line, from 1, if it is known.
    pub(in crate::plan) column: Option<usize>,
    /// Whether the line has an unknown format, so that the message should list the formats.
    pub(in crate::plan) is_format: bool,
}

impl Refusal {
    pub(super) fn new(what: impl Into<Cow<'static, str>>, fix: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { what: what.into(), fix: fix.into(), column: None, is_format: false }
    }

    /// Returns a refusal of a line with an unknown format.
    pub(super) fn format(what: impl Into<Cow<'static, str>>, fix: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { is_format: true, ..Refusal::new(what, fix) }
    }
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Refusal {
        Refusal::new(error.to_string(), error.fix())
    }
}

impl From<ConnectionError> for Refusal {
    fn from(error: ConnectionError) -> Refusal {
        Refusal::new(error.to_string(), error.fix())
    }
}
