//! Shared access signatures: making, parsing and verifying tokens, and deriving a device's key from a group
//! key. Called by `plan` for every connect, by the emulator for every CONNECT.
//!
//! Keys are wiped when dropped; neither keys nor signatures reach `Debug`, `Display` or an error.

use super::ESCAPED;
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
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const SE: u64 = 1_893_456_000;
    const DEVICE_TOKEN: &str = "SharedAccessSignature sr=example-hub.azure-devices.net%2Fdevices%2Fdev-1&sig=16TMWISNAQHbvHgpFWCXZfRxM42mIGbNiEx6R8VTlLY%3D&se=1893456000";
    /// The same resource with lower-case escapes: another signature, equally valid.
    const LOWER_TOKEN: &str = "SharedAccessSignature sr=example-hub.azure-devices.net%2fdevices%2fdev-1&sig=OQCtjoxbqL%2F08OiIbi%2BXG%2FOZ3ZKA4j%2BN2gFw9Uyde%2FI%3D&se=1893456000";

    fn key() -> Key {
        Key::from_base64(KEY).unwrap()
    }

    #[test]
    fn tokens_are_the_published_bytes() {
        let device = token(&key(), "example-hub.azure-devices.net/devices/dev-1", SE, None);
        assert_eq!(device.as_str(), DEVICE_TOKEN);
        let module = token(&key(), "example-hub.azure-devices.net/devices/dev-1/modules/mod-1", SE, None);
        assert!(module.contains("&sig=UoLU69vSWs5amcHRqC0LHzH1hBYAXJ4YCPoFW4Z28sU%3D&"), "{}", *module);
        let service = token(&key(), "example-hub.azure-devices.net", SE, Some("iothubowner"));
        assert_eq!(
            service.as_str(),
            "SharedAccessSignature sr=example-hub.azure-devices.net&sig=G%2B0rZd5EuxdV5iALnah8UDSmp0e5SuWw%2FxZeH9ZzAEY%3D&se=1893456000&skn=iothubowner"
        );
        let dps = token(&key(), "0ne00000001/registrations/reg-1", SE, Some("registration"));
        assert_eq!(
            dps.as_str(),
            "SharedAccessSignature sr=0ne00000001%2Fregistrations%2Freg-1&sig=zRCZbYIa%2BzvR3GFDN0R37xBGk11L8tZCiJk8bUvl8pk%3D&se=1893456000&skn=registration"
        );
    }

    #[test]
    fn the_derived_key_is_microsofts_published_one() {
        let group = Key::from_base64(
            "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==",
        )
        .unwrap();
        let derived = group.derive("sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6");
        assert_eq!(derived.to_base64().as_str(), "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
    }

    #[test]
    fn the_signature_is_checked_over_the_resource_as_sent() {
        for text in [DEVICE_TOKEN, LOWER_TOKEN] {
            let parsed = Token::parse(text).unwrap();
            assert!(parsed.verify(&key()), "{text}");
            assert!(parsed.covers("example-hub.azure-devices.net/devices/dev-1"));
            assert!(!parsed.verify(&key().derive("dev-1")));
        }
        // Re-encoding the escapes would make this pass.
        let mixed = LOWER_TOKEN.replace("%2fdevices", "%2Fdevices");
        assert!(!Token::parse(&mixed).unwrap().verify(&key()));
    }

    #[test]
    fn fields_come_in_any_order_and_case_and_unknown_ones_are_skipped() {
        let text = "SharedAccessSignature &SE=1893456000&x=1&&Sig=16TMWISNAQHbvHgpFWCXZfRxM42mIGbNiEx6R8VTlLY%3D&SR=example-hub.azure-devices.net%2Fdevices%2Fdev-1&skn=";
        let parsed = Token::parse(text).unwrap();
        assert!(parsed.verify(&key()));
        assert_eq!((parsed.policy.as_deref(), parsed.expiry_unix), (None, SE));
    }

    #[test]
    fn what_is_not_a_token_is_refused_with_its_reason() {
        let sig = "16TMWISNAQHbvHgpFWCXZfRxM42mIGbNiEx6R8VTlLY%3D";
        for (text, error) in [
            (String::new(), TokenError::Form),
            (format!("Bearer sr=a&sig={sig}&se=1"), TokenError::Form),
            (format!("SharedAccessSignature sr=a&sig={sig}&se=1 x"), TokenError::Form),
            (format!("SharedAccessSignature sr=a&sr=b&sig={sig}&se=1"), TokenError::Repeated("sr")),
            (format!("SharedAccessSignature sr=a&sig={sig}"), TokenError::Missing("se")),
            ("SharedAccessSignature sr=a&se=1".to_owned(), TokenError::Missing("sig")),
            (format!("SharedAccessSignature sig={sig}&se=1"), TokenError::Missing("sr")),
            (format!("SharedAccessSignature sr&sig={sig}&se=1"), TokenError::NoValue),
            (format!("SharedAccessSignature sr=a&sig={sig}&se=soon"), TokenError::Expiry),
            (format!("SharedAccessSignature sr=a&sig={sig}&se=-1"), TokenError::Expiry),
            // Base64 with its padding unescaped: the parser over there loses it too.
            (
                format!("SharedAccessSignature sr=a&sig={}&se=1", sig.replace("%3D", "=")),
                TokenError::Signature,
            ),
            ("SharedAccessSignature sr=a&sig=%ff&se=1".to_owned(), TokenError::NotUtf8),
        ] {
            assert_eq!(Token::parse(&text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn an_audience_covers_by_whole_segments_in_any_case() {
        let with = |resource: &str| token(&key(), resource, SE, None).to_string();
        let resource = "hub.net/devices/Dev-1";
        for (audience, covered) in [
            ("hub.net/devices/Dev-1", true),
            ("HUB.net/DEVICES/dev-1", true),
            ("hub.net/devices", true),
            ("hub.net", true),
            ("hub.net/devices/Dev-10", false),
            ("hub.net/devices/Dev", false),
            ("hub", false),
            ("hub.net/devices/Dev-1/modules/m", false),
            ("other.net/devices/Dev-1", false),
            ("", false),
        ] {
            assert_eq!(Token::parse(&with(audience)).unwrap().covers(resource), covered, "{audience}");
        }
        let escaped_twice = with("hub.net/devices/a%2Bb");
        assert!(Token::parse(&escaped_twice).unwrap().covers("hub.net/devices/a+b"));
    }

    #[test]
    fn a_token_outlives_its_expiry_by_the_skew_and_not_by_a_second_more() {
        let parsed = Token::parse(DEVICE_TOKEN).unwrap();
        assert!(!parsed.expired(SE + CLOCK_SKEW_S));
        assert!(parsed.expired(SE + CLOCK_SKEW_S + 1));
    }

    #[test]
    fn keys_have_a_length_and_show_themselves_to_nobody() {
        assert_eq!(Key::from_base64("not base64!").unwrap_err(), KeyError::NotBase64);
        assert_eq!(Key::from_base64("AAAA").unwrap_err(), KeyError::Length(3));
        assert_eq!(format!("{:?}", key()), "Key(..)");
        let shown = format!("{:?}", Token::parse(DEVICE_TOKEN).unwrap());
        assert!(!shown.contains("16TM") && !shown.contains("215"), "{shown}");
        let random = Key::random(&mut rand::rng());
        assert_eq!(Key::from_base64(&random.to_base64()).unwrap().to_base64(), random.to_base64());
    }

    proptest::proptest! {
        #[test]
        fn what_is_made_verifies_and_covers_what_it_was_made_for(id in "[A-Za-z0-9\\-:.+%_#*?!(),=@;$']{1,128}", expiry in 0_u64..4_000_000_000) {
            let resource = format!("hub.azure-devices.net/devices/{id}");
            let key = key().derive(&id);
            let text = token(&key, &resource, expiry, Some("a&b=c d"));
            let parsed = Token::parse(&text).unwrap();
            proptest::prop_assert!(parsed.verify(&key));
            proptest::prop_assert!(parsed.covers(&resource));
            proptest::prop_assert_eq!(parsed.expiry_unix, expiry);
            proptest::prop_assert_eq!(parsed.policy.as_deref(), Some("a&b=c d"));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,200}") {
            let _ = Token::parse(&text);
            let _ = Token::parse(&format!("SharedAccessSignature {text}"));
        }
    }
}
