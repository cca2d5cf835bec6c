//! Values with their place and source text, and secrets. Used by `model`, `plan` and the readers in this room. This file must not
//! depend on the format's keys.

use super::error::Place;
use std::fmt;
use zeroize::Zeroizing;

/// A value with its place and its source text. `${env.NAME}` is not expanded in the source text, so messages can show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// Parsed value.
    pub value: T,
    /// Source text.
    pub text: String,
    /// Place in the scenario.
    pub place: Place,
}

/// A key or password. It is wiped when dropped, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// Returns the secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
