//! Shared access signatures: creates, parses and verifies tokens, and derives device keys from a group key. Called by `plan` for every
//! connection attempt and by the emulator for every CONNECT. It must not depend on clocks.
//!
//! Keys are wiped when dropped. `Debug`, `Display` and errors contain neither keys nor signatures.

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

/// The length of a symmetric key in bytes, before base64 (Azure: "Symmetric key attestation").
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
/// The length of an HMAC-SHA256 in bytes.
const MAC_BYTES: usize = 32;

/// The text is not a symmetric key. Errors do not repeat it, because it may be a mistyped secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not standard base64 with padding.
    #[error("the key is not base64")]
    NotBase64,
    /// The key is too short or too long. The value is its length in bytes.
    #[error("the key is {0} bytes long; 16 to 64 bytes are allowed")]
    Length(usize),
    /// The text is a SAS token.
    #[error(
        "the key is a SAS token, which is valid only until its expiry (se); hubstorm makes and renews its own tokens, so it needs \
         the key itself"
    )]
    Token,
    /// The text is a connection string, or a part of one.
    #[error("the key is a connection string, or a part of one")]
    ConnectionString,
}

impl KeyError {
    /// Returns the fix for the error, as an imperative.
    #[must_use]
    pub fn fix(self) -> &'static str {
        match self {
            KeyError::NotBase64 | KeyError::Length(_) => {
                "copy the whole primary key, including any = at its end"
            }
            KeyError::Token => {
                "use the key that signed the token: the primary key of the device, group or policy"
            }
            KeyError::ConnectionString => "use only the value after SharedAccessKey=",
        }
    }
}

/// Returns true if `text` begins like a SAS token, which users paste in place of a key.
#[must_use]
pub fn looks_like_token(text: &str) -> bool {
    const SCHEME: &str = "SharedAccessSignature";
    let text = text.trim_start();
    text.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
        || (text.contains("sig=") && text.contains("se="))
}

/// The symmetric key of a device, an enrollment group, or a shared access policy.
#[derive(Clone)]
pub struct Key(Zeroizing<Vec<u8>>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Parses a key in base64, as shown by the Azure portal.
    ///
    /// # Errors
    /// The text is not base64, or the key is not 16 to 64 bytes long.
    pub fn from_base64(text: &str) -> Result<Key, KeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| match text {
            _ if looks_like_token(text) => KeyError::Token,
            _ if text.contains("SharedAccessKey=") => KeyError::ConnectionString,
            _ => KeyError::NotBase64,
        })?);
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(KeyError::Length(bytes.len()));
        }
        Ok(Key(bytes))
    }

    /// Creates a key from bytes that [`Key::expose`] returned.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Key {
        Key(Zeroizing::new(bytes.to_vec()))
    }

    /// Returns the bytes of the key, for `plan`, which stores many keys in one buffer.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Creates a random key of 64 bytes, the length that the Azure portal uses for enrollment groups.
    #[must_use]
    pub fn random(generator: &mut impl rand::Rng) -> Key {
        let mut bytes = Zeroizing::new(vec![0; *KEY_BYTES.end()]);
        generator.fill_bytes(&mut bytes);
        Key(bytes)
    }

    /// Returns the key in base64, as shown by the Azure portal.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_slice()))
    }

    /// Derives the key of the device `id` from this group key: the HMAC-SHA256 of the id (Azure: "Symmetric key attestation", derived
    /// device keys).
    #[must_use]
    pub fn derive(&self, id: &str) -> Key {
        let mac = self.mac(&[id.as_bytes()]).finalize().into_bytes();
        Key(Zeroizing::new(mac.to_vec()))
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC accepts keys of any length");
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

/// Creates a token for `resource` that expires at `expiry_unix`. `resource` is unescaped, for example
/// `hub.azure-devices.net/devices/meter-1`. With `policy`, `key` is the key of that shared access policy (Azure: "Control access to IoT Hub
/// by using shared access signatures").
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

/// Returns the maximum length of a [`token`] in bytes.
#[must_use]
pub fn token_bytes_max(resource: &str, policy: Option<&str>) -> usize {
    const ESCAPED_BYTES: usize = 3;
    let signature = 44 * ESCAPED_BYTES;
    let expiry = 20;
    let policy = policy.map_or(0, |policy| "&skn=".len() + ESCAPED_BYTES * policy.len());
    let names = "SharedAccessSignature sr=&sig=&se=".len();
    names + ESCAPED_BYTES * resource.len() + signature + expiry + policy
}

/// The password is not a SAS token. Errors do not repeat the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text is not `SharedAccessSignature`, a space, and fields.
    #[error("it does not consist of \"SharedAccessSignature\", one space and the fields")]
    Form,
    /// A field has no `=`.
    #[error("a field has no value")]
    NoValue,
    /// The field `sr`, `sig`, `se` or `skn` occurs twice.
    #[error("the field {0} occurs twice")]
    Repeated(&'static str),
    /// The field `sr`, `sig` or `se` is missing.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A field is not UTF-8 after decoding.
    #[error("a field is not UTF-8")]
    NotUtf8,
    /// `sig` is not 32 bytes in base64. The usual cause is an unescaped `+` or `=`.
    #[error("the signature is not 32 bytes in escaped base64")]
    Signature,
    /// `se` is not a number of seconds.
    #[error("the expiry is not a number of seconds")]
    Expiry,
}

/// A parsed token whose signature has not been verified yet.
pub struct Token<'a> {
    /// Resource, exactly as sent. The signature covers this text, including its escapes and their case.
    pub sr_raw: &'a str,
    /// Shared access policy whose key signed the token. `None` for the device's own key.
    pub policy: Option<Cow<'a, str>>,
    /// Expiry, in seconds since the Unix epoch.
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
    /// Parses a token as Azure's .NET service library does. Fields may be in any order, and their names in any case. All values except `sr`
    /// are form-decoded. Each field is split at every `=`, and only the first two parts are used. Empty and unknown fields are ignored.
    ///
    /// # Errors
    /// The text is not a token; see [`TokenError`].
    pub fn parse(text: &'a str) -> Result<Token<'a>, TokenError> {
        let (scheme, fields) = text.split_once(char::is_whitespace).ok_or(TokenError::Form)?;
        if scheme != "SharedAccessSignature" || fields.contains(char::is_whitespace) {
            return Err(TokenError::Form);
        }
        let (mut sr, mut sig, mut se, mut skn) = (None, None, None, None);
        for field in fields.split('&').filter(|field| !field.is_empty()) {
            // Azure's library splits at every `=` too, so it drops the rest of an unescaped signature.
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

    /// Returns true if `key` created the signature. Takes constant time.
    #[must_use]
    pub fn verify(&self, key: &Key) -> bool {
        key.mac(&[self.sr_raw.as_bytes(), b"\n", self.expiry_text.as_bytes()])
            .verify_slice(&self.signature)
            .is_ok()
    }

    /// Returns true if the token's resource is `resource` (not escaped) or consists of its first path segments: `a/b` covers `a/b/c`, but
    /// not `a/bc`. Case is ignored, because Azure's documentation requires lowercase, but its SDKs keep the case of the id. The id may be
    /// escaped twice, because some SDKs do so. Azure IoT Edge's hub also ignores case and accepts ids that are escaped twice.
    #[must_use]
    pub fn covers(&self, resource: &str) -> bool {
        let Ok(audience) = percent_decode_str(self.sr_raw).decode_utf8() else { return false };
        let mut resource = resource.split('/');
        audience.split('/').all(|segment| {
            resource.next().is_some_and(|expected| {
                segment.eq_ignore_ascii_case(expected)
                    || percent_decode_str(segment)
                        .decode_utf8()
                        .is_ok_and(|segment| segment.eq_ignore_ascii_case(expected))
            })
        })
    }

    /// Returns true if the token expired longer ago than the allowed clock skew.
    #[must_use]
    pub fn expired(&self, now_unix: u64) -> bool {
        self.expiry_unix.saturating_add(CLOCK_SKEW_S) < now_unix
    }
}

/// Parses seconds. Accepts a fraction, because some scripts do not round the expiry.
fn parse_expiry(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let seconds: f64 = text.parse().ok()?;
    std::time::Duration::try_from_secs_f64(seconds).ok().map(|expiry| expiry.as_secs())
}

/// Decodes `application/x-www-form-urlencoded` text: percent-encoding, and `+` for a space.
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
