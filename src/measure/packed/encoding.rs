//! The binary encoding of a compact histogram, for the journal. Used by `latency` only.
//!
//! It must not trust its input: every bucket and every count is checked before it is used.

use super::super::hdr::{DIGITS_MAX, HIGHEST_US_MAX, SAMPLES_MAX};
use super::{Packed, Writer, bits, bucket};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// The fields as they are stored: significant digits, highest value, and the buckets as in [`Packed`].
#[derive(Serialize, Deserialize)]
struct Stored<'a>(u8, u64, #[serde(borrow, with = "bytes")] Cow<'a, [u8]>);

/// Stores bytes as such. Serde would store a list of numbers.
mod bytes {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};
    use std::borrow::Cow;
    use std::fmt;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Cow<'de, [u8]>, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Cow<'de, [u8]>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(bytes))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Cow::Owned(bytes.to_owned()))
            }
        }

        from.deserialize_bytes(Bytes)
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored(self.digits, self.highest_us, Cow::Borrowed(&self.bytes)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Packed, D::Error> {
        let Stored(digits, highest_us, bytes) = Stored::deserialize(deserializer)?;
        packed(digits, highest_us, &bytes).ok_or_else(|| D::Error::custom("a histogram is damaged"))
    }
}

fn packed(digits: u8, highest_us: u64, mut rest: &[u8]) -> Option<Packed> {
    if u32::from(digits) > DIGITS_MAX || highest_us > HIGHEST_US_MAX {
        return None;
    }
    let last = u64::from(bucket(HIGHEST_US_MAX, bits(digits)));
    let mut writer = Writer::default();
    let mut at = 0_u64;
    while !rest.is_empty() {
        let (distance, count) = (take(&mut rest)?, take(&mut rest)?);
        let is_first = writer.bytes.is_empty();
        at = at.checked_add(distance).filter(|at| *at <= last && (is_first || distance > 0))?;
        if count == 0 || writer.count.saturating_add(count) > SAMPLES_MAX {
            return None;
        }
        writer.push(u32::try_from(at).ok()?, count);
    }
    (writer.count > 0).then(|| writer.end(digits, highest_us))
}

/// Takes a LEB128 number of at most nine bytes.
fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
