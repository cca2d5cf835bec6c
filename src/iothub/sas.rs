//! Shared access signatures: making, parsing and verifying tokens, and deriving a device's key from a group
//! key. Called by `plan` for every connect, by the emulator for every CONNECT.
//!
//! Keys are wiped when dropped; neither keys nor signatures reach `Debug`, `Display` or an error.

use super::escape::ESCAPED;
use super::limits::CLOCK_SKEW_S;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use sha2::Sha256;
use std::borrow::Cow;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes that a symmetric key may have before base64 (Azure: "Symmetric key attestation").
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
/// Bytes of a HMAC-SHA256.
const MAC_BYTES: usize = 32;

/// A text is not a symmetric key. The text is not repeated: it may be a mistyped secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not standard base64 with padding.
    #[error("the key is not base64")]
    NotBase64,
    /// Too short or too long.
    #[error("the key has {0} bytes; 16 to 64 are allowed")]
    Length(usize),
}

/// A symmetric key: of a device, of a group of devices, or of a shared access policy.
#[derive(Clone)]
pub struct Key(Zeroizing<Vec<u8>>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Reads a key as the portal shows it.
    ///
    /// # Errors
    /// Not base64, or not 16 to 64 bytes.
    pub fn from_base64(text: &str) -> Result<Key, KeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError::NotBase64)?);
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(KeyError::Length(bytes.len()));
        }
        Ok(Key(bytes))
    }

    /// A key from the bytes of one that was read before.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Key {
        Key(Zeroizing::new(bytes.to_vec()))
    }

    /// The key itself, for the one place that keeps many of them together.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// A new key of 64 bytes, as the portal makes for a group.
    #[must_use]
    pub fn random(generator: &mut impl rand::Rng) -> Key {
        let mut bytes = Zeroizing::new(vec![0; *KEY_BYTES.end()]);
        generator.fill_bytes(&mut bytes);
        Key(bytes)
    }

    /// As the portal shows it.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_slice()))
    }

    /// The key of the device `id` in the group that this key belongs to: HMAC-SHA256 of the id
    /// (Azure: "Symmetric key attestation", derived device keys).
    #[must_use]
    pub fn derive(&self, id: &str) -> Key {
        let mac = self.mac(&[id.as_bytes()]).finalize().into_bytes();
        Key(Zeroizing::new(mac.to_vec()))
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

/// Makes a token for `resource` (raw, such as `hub.azure-devices.net/devices/meter-1`; it is escaped here) that
/// ends at `expiry_unix`. With `policy`, `key` is the key of that shared access policy
/// (Azure: "Control access to IoT Hub by using shared access signatures").
#[must_use]
pub fn token(key: &Key, resource: &str, expiry_unix: u64, policy: Option<&str>) -> Zeroizing<String> {
    let resource = utf8_percent_encode(resource, ESCAPED).to_string();
    let expiry = expiry_unix.to_string();
    let mac = key.mac(&[resource.as_bytes(), b"\n", expiry.as_bytes()]).finalize().into_bytes();
    let signature = Zeroizing::new(STANDARD.encode(mac));
    let signature = utf8_percent_encode(&signature, ESCAPED);
    let mut text = Zeroizing::new(String::with_capacity(256));
    text.push_str("SharedAccessSignature sr=");
    text.push_str(&resource);
    text.push_str("&sig=");
    text.extend(signature);
    text.push_str("&se=");
    text.push_str(&expiry);
    if let Some(policy) = policy {
        text.push_str("&skn=");
        text.extend(utf8_percent_encode(policy, ESCAPED));
    }
    text
}

/// The most bytes that a [`token`] can have.
#[must_use]
pub fn token_bytes_max(resource: &str, policy: Option<&str>) -> usize {
    const ESCAPED_BYTES: usize = 3;
    let signature = 44 * ESCAPED_BYTES;
    let expiry = 20;
    let policy = policy.map_or(0, |policy| "&skn=".len() + ESCAPED_BYTES * policy.len());
    let names = "SharedAccessSignature sr=&sig=&se=".len();
    names + ESCAPED_BYTES * resource.len() + signature + expiry + policy
}

/// A password is not a SAS token. The password is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not two words, or the first is another one.
    #[error("it is not \"SharedAccessSignature\", one space and the fields")]
    Form,
    /// A field without `=`.
    #[error("a field has no value")]
    NoValue,
    /// `sr`, `sig`, `se` or `skn` twice.
    #[error("the field {0} is there twice")]
    Repeated(&'static str),
    /// `sr`, `sig` or `se` is not there.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// Escapes that are not UTF-8.
    #[error("a field is not UTF-8")]
    NotUtf8,
    /// `sig` is not 32 bytes in base64; an unescaped `+` or `=` is the usual cause.
    #[error("the signature is not 32 bytes in escaped base64")]
    Signature,
    /// `se` is not a number of seconds.
    #[error("the expiry is not a number of seconds")]
    Expiry,
}

/// A parsed token; nothing about it is verified yet.
pub struct Token<'a> {
    /// The resource exactly as sent: the signature covers this text, escapes and their case included.
    pub sr_raw: &'a str,
    /// The policy whose key signed; `None` means the device's own key.
    pub policy: Option<Cow<'a, str>>,
    /// When the token ends, in seconds since the Unix epoch.
    pub expiry_unix: u64,
    expiry_text: Cow<'a, str>,
    signature: [u8; MAC_BYTES],
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("sr_raw", &self.sr_raw)
            .field("policy", &self.policy)
            .field("expiry_unix", &self.expiry_unix)
            .finish_non_exhaustive()
    }
}

impl<'a> Token<'a> {
    /// Parses a token by the rules of Azure's own .NET service library: fields in any order, names in any case,
    /// values form-decoded except `sr`, each field cut at every `=`, empty and unknown fields skipped.
    ///
    /// # Errors
    /// It is not a token; see [`TokenError`].
    pub fn parse(text: &'a str) -> Result<Token<'a>, TokenError> {
        let (scheme, fields) = text.split_once(char::is_whitespace).ok_or(TokenError::Form)?;
        if scheme != "SharedAccessSignature" || fields.contains(char::is_whitespace) {
            return Err(TokenError::Form);
        }
        let (mut sr, mut sig, mut se, mut skn) = (None, None, None, None);
        for field in fields.split('&').filter(|field| !field.is_empty()) {
            // Cut at every `=`: the rest of an unescaped signature is dropped, as over there.
            let mut parts = field.split('=');
            let name = parts.next().unwrap_or_default();
            let value = parts.next().ok_or(TokenError::NoValue)?;
            let (known, slot) = match name {
                _ if name.eq_ignore_ascii_case("sr") => ("sr", &mut sr),
                _ if name.eq_ignore_ascii_case("sig") => ("sig", &mut sig),
                _ if name.eq_ignore_ascii_case("se") => ("se", &mut se),
                _ if name.eq_ignore_ascii_case("skn") => ("skn", &mut skn),
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(TokenError::Repeated(known));
            }
        }
        let sr_raw = sr.ok_or(TokenError::Missing("sr"))?;
        let signature = Zeroizing::new(form_decode(sig.ok_or(TokenError::Missing("sig"))?)?.into_owned());
        let expiry_text = form_decode(se.ok_or(TokenError::Missing("se"))?)?;
        Ok(Token {
            sr_raw,
            policy: skn.map(form_decode).transpose()?.filter(|name| !name.is_empty()),
            expiry_unix: parse_expiry(&expiry_text).ok_or(TokenError::Expiry)?,
            expiry_text,
            signature: STANDARD
                .decode(signature.as_str())
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or(TokenError::Signature)?,
        })
    }

    /// True when `key` made the signature; in constant time.
    #[must_use]
    pub fn verify(&self, key: &Key) -> bool {
        key.mac(&[self.sr_raw.as_bytes(), b"\n", self.expiry_text.as_bytes()])
            .verify_slice(&self.signature)
            .is_ok()
    }

    /// True when the token's resource is `resource` (raw) or a whole number of its leading path segments:
    /// `a/b` covers `a/b/c`, not `a/bc`. Case does not matter, because Azure's documents ask for lower case and its
    /// SDKs keep the id's; an id may be escaped once more within the resource, as some SDKs do (both as `edgeHub`).
    #[must_use]
    pub fn covers(&self, resource: &str) -> bool {
        let Ok(audience) = percent_decode_str(self.sr_raw).decode_utf8() else { return false };
        let mut resource = resource.split('/');
        audience.split('/').all(|segment| {
            resource.next().is_some_and(|wanted| {
                segment.eq_ignore_ascii_case(wanted)
                    || percent_decode_str(segment)
                        .decode_utf8()
                        .is_ok_and(|segment| segment.eq_ignore_ascii_case(wanted))
            })
        })
    }

    /// True once the expiry is more than the allowed clock skew in the past.
    #[must_use]
    pub fn expired(&self, now_unix: u64) -> bool {
        self.expiry_unix.saturating_add(CLOCK_SKEW_S) < now_unix
    }
}

/// Seconds, with a fraction if someone's script forgot to round.
fn parse_expiry(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let seconds: f64 = text.parse().ok()?;
    std::time::Duration::try_from_secs_f64(seconds).ok().map(|expiry| expiry.as_secs())
}

/// `application/x-www-form-urlencoded`: escapes, and `+` for a space.
fn form_decode(text: &str) -> Result<Cow<'_, str>, TokenError> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| TokenError::NotUtf8)?;
        return Ok(Cow::Owned(decoded.into_owned()));
    }
    percent_decode_str(text).decode_utf8().map_err(|_| TokenError::NotUtf8)
}

#[cfg(test)]
mod tests;
