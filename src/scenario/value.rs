//! A value with the place and the text that it was read from, and secrets. Used by `model` and by everything that reads or resolves
//! a scenario.

use super::error::Place;
use std::fmt;
use zeroize::Zeroizing;

/// A value, its place, and how it was written (`${env.NAME}` unexpanded, so that it can be shown).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// The value.
    pub value: T,
    /// As written.
    pub text: String,
    /// Where.
    pub place: Place,
}

/// A key or password: wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret into custody.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The secret itself, for the one place that needs it.
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
