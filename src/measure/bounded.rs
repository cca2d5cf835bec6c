//! Reads any value and checks that each of its numbers is small enough to be added up. Used by `replay` before it decodes a record of
//! a journal, so that a damaged one cannot overflow a sum. Independent of the value's structure, so a new field needs no code here.

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// The largest number: 104 days in nanoseconds, far more than any run can count. The sum of 2^10 such numbers does not overflow.
const MAX: u64 = 1 << 53;

/// A value whose numbers are at most [`MAX`].
pub(super) struct Bounded;

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bounded, D::Error> {
        deserializer.deserialize_any(Bounded)
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = Bounded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "numbers up to {MAX}")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Bounded, E> {
        if number > MAX {
            Err(E::custom(format!("{number} is more than any run can count")))
        } else {
            Ok(self)
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Bounded, E> {
        self.visit_u64(number.unsigned_abs())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bounded, A::Error> {
        while items.next_element::<Bounded>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Bounded, A::Error> {
        while fields.next_entry::<IgnoredAny, Bounded>()?.is_some() {}
        Ok(self)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Bounded, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Bounded, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Bounded, E> {
        Ok(self)
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Bounded, E> {
        Ok(self)
    }

    fn visit_unit<E: Error>(self) -> Result<Bounded, E> {
        Ok(self)
    }

    fn visit_none<E: Error>(self) -> Result<Bounded, E> {
        Ok(self)
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Bounded, D::Error> {
        Bounded::deserialize(value)
    }
}
