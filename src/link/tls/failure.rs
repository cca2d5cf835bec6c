//! Explains TLS failures: the cause, for messages and examples, and the fix. Created by `stream`; read by `dial_error`,
//! `driver` and `config`. rustls's own messages contain names of Rust enum variants, which hubstorm's messages must
//! not.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

use super::signature::{RSA_BITS_MIN, SignatureProblem};
use crate::sansio::TlsEnd;

/// A TLS failure, during or after the handshake.
#[derive(Debug)]
pub(in crate::link) struct TlsFailure {
    error: Error,
    /// True if the server requested a client certificate on this connection.
    client_certificate_requested: bool,
}

/// The end of a connection whose server requires a client certificate.
pub(in crate::link) static NO_CLIENT_CERTIFICATE: TlsEnd = TlsEnd {
    cause: "the server requires a client certificate, and hubstorm does not support device certificates yet",
    fix: "use a port of the server that does not require client certificates",
};

const CHECK_PARAMETERS: &str = "check that the server supports TLS 1.2 or 1.3 with AES-GCM or ChaCha20-Poly1305, and one of the groups X25519, \
                       P-256 or P-384. The server's log may say more";

const CHECK_LOG: &str = "check the server's log; its TLS library may be at fault";

const CHECK_PORT: &str = "check the port; for a server without TLS, set tls = false in [target]";

impl TlsFailure {
    pub(in crate::link) fn new(error: Error, client_certificate_requested: bool) -> TlsFailure {
        TlsFailure { error, client_certificate_requested }
    }

    /// Returns the failure inside an error that `stream` created.
    pub(in crate::link) fn of(error: &io::Error) -> Option<&TlsFailure> {
        error.get_ref()?.downcast_ref()
    }

    /// Returns true if the server's certificate was not accepted.
    pub(in crate::link) fn is_certificate(&self) -> bool {
        matches!(self.error, Error::InvalidCertificate(_) | Error::NoCertificatesPresented)
    }

    /// Returns true if the certificate is expired or not valid yet, but would be valid at `unix`, a time since the Unix
    /// epoch.
    pub(in crate::link) fn is_valid_at(&self, unix: Duration) -> bool {
        use CertificateError::{ExpiredContext, NotValidYetContext};
        match &self.error {
            Error::InvalidCertificate(ExpiredContext { not_after, .. }) => {
                unix.as_secs() <= not_after.as_secs()
            }
            Error::InvalidCertificate(NotValidYetContext { not_before, .. }) => {
                unix.as_secs() >= not_before.as_secs()
            }
            _ => false,
        }
    }

    /// Returns true if the server's answer is not TLS.
    pub(in crate::link) fn is_not_tls(&self) -> bool {
        matches!(self.error, Error::InvalidMessage(_))
    }

    /// Returns the cause, without details such as names and times, and the fix. For certificate errors, use
    /// [`certificate_kind`] and [`certificate_fix`] instead.
    pub(in crate::link) fn end(&self) -> &'static TlsEnd {
        macro_rules! end {
            ($cause:literal, $fix:expr) => {
                &TlsEnd { cause: $cause, fix: $fix }
            };
        }
        if self.demands_certificate() {
            return &NO_CLIENT_CERTIFICATE;
        }
        match &self.error {
            Error::AlertReceived(alert) => alert_in_words(*alert),
            Error::InvalidMessage(_) => end!("the answer is not TLS", CHECK_PORT),
            Error::DecryptError => {
                end!("the server sent a TLS record that cannot be decrypted", CHECK_LOG)
            }
            Error::PeerSentOversizedRecord => {
                end!("the server sent a TLS record that is too large", CHECK_LOG)
            }
            Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
                end!("the server speaks neither TLS 1.2 nor TLS 1.3", CHECK_PARAMETERS)
            }
            Error::PeerIncompatible(_) => {
                end!("server and client have no TLS parameters in common", CHECK_PARAMETERS)
            }
            Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerMisbehaved(_) => end!("the server violated the TLS protocol", CHECK_LOG),
            Error::NoCertificatesPresented => end!("the server did not present a certificate", CHECK_LOG),
            Error::EncryptError => {
                end!("this connection reached the usage limit of its TLS keys", CHECK_LOG)
            }
            Error::FailedToGetCurrentTime => {
                end!("this machine's clock cannot be read", "check this machine")
            }
            Error::FailedToGetRandomBytes => {
                end!("this machine's random number generator cannot be read", "check this machine")
            }
            _ => end!("TLS failed", CHECK_LOG),
        }
    }

    /// Returns the fix. `own_roots` is true if the trusted roots come from a `ca` file.
    pub(in crate::link) fn fix(&self, own_roots: bool) -> &'static str {
        match &self.error {
            Error::InvalidCertificate(error) => certificate_fix(error, own_roots),
            _ => self.end().fix,
        }
    }

    /// Returns true if the server requires a client certificate. TLS 1.3 has an alert for that (RFC 8446 §6.2). TLS 1.2
    /// servers send one of several other alerts.
    fn demands_certificate(&self) -> bool {
        use AlertDescription::{
            AccessDenied, BadCertificate, CertificateUnknown, HandshakeFailure, UnknownCA,
        };
        match &self.error {
            Error::AlertReceived(AlertDescription::CertificateRequired) => true,
            Error::AlertReceived(
                AccessDenied | BadCertificate | CertificateUnknown | HandshakeFailure | UnknownCA,
            ) => self.client_certificate_requested,
            _ => false,
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Error::InvalidCertificate(error) = &self.error {
            return write!(f, "{}{}", certificate_kind(error), certificate_details(error));
        }
        f.write_str(self.end().cause)?;
        match &self.error {
            Error::InvalidMessage(what) => write!(f, " ({})", variant_in_words(&format!("{what:?}"))),
            Error::PeerIncompatible(why) => write!(f, " ({})", variant_in_words(&format!("{why:?}"))),
            Error::PeerMisbehaved(why) => write!(f, " ({})", variant_in_words(&format!("{why:?}"))),
            Error::General(why) => write!(f, ": {why}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for TlsFailure {}

/// Describes a rustls error about roots or keys that did not occur on a connection.
pub(in crate::link) fn setup_error_in_words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::BadEncoding) => {
            "it is not an X.509 certificate: its contents are damaged".to_owned()
        }
        Error::InvalidCertificate(error) => {
            format!("{}{}", certificate_kind(error), certificate_details(error))
        }
        Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        Error::General(why) => why.clone(),
        other => variant_in_words(&format!("{other:?}")),
    }
}

/// Returns the cause of an alert and how to fix it. The names are from RFC 8446 §6 and RFC 5246 §7.2.
fn alert_in_words(alert: AlertDescription) -> &'static TlsEnd {
    macro_rules! alerts {
        ($($name:ident => $text:literal, $fix:expr;)+) => {
            match alert {
                $(AlertDescription::$name => &TlsEnd {
                    cause: concat!("the server ended TLS with the alert ", $text),
                    fix: $fix,
                },)+
                _ => &TlsEnd { cause: "the server ended TLS with an unknown alert", fix: CHECK_LOG },
            }
        };
    }
    alerts! {
        CloseNotify => "close_notify", CHECK_LOG;
        UnexpectedMessage => "unexpected_message", CHECK_LOG;
        BadRecordMac => "bad_record_mac", CHECK_LOG;
        DecryptionFailed => "decryption_failed", CHECK_LOG;
        RecordOverflow => "record_overflow", CHECK_LOG;
        DecompressionFailure => "decompression_failure", CHECK_LOG;
        HandshakeFailure => "handshake_failure: it accepts none of the offered TLS parameters", CHECK_PARAMETERS;
        NoCertificate => "no_certificate", CHECK_LOG;
        BadCertificate => "bad_certificate", CHECK_LOG;
        UnsupportedCertificate => "unsupported_certificate", CHECK_LOG;
        CertificateRevoked => "certificate_revoked", CHECK_LOG;
        CertificateExpired => "certificate_expired", CHECK_LOG;
        CertificateUnknown => "certificate_unknown", CHECK_LOG;
        IllegalParameter => "illegal_parameter", CHECK_PARAMETERS;
        UnknownCA => "unknown_ca", CHECK_LOG;
        AccessDenied => "access_denied", CHECK_LOG;
        DecodeError => "decode_error", CHECK_PARAMETERS;
        DecryptError => "decrypt_error", CHECK_LOG;
        ExportRestriction => "export_restriction", CHECK_LOG;
        ProtocolVersion => "protocol_version: it accepts neither TLS 1.2 nor TLS 1.3", CHECK_PARAMETERS;
        InsufficientSecurity => "insufficient_security: it demands stronger parameters than those offered", CHECK_PARAMETERS;
        InternalError => "internal_error", "check the server's log";
        InappropriateFallback => "inappropriate_fallback", CHECK_LOG;
        UserCanceled => "user_canceled", CHECK_LOG;
        NoRenegotiation => "no_renegotiation", CHECK_LOG;
        MissingExtension => "missing_extension", CHECK_PARAMETERS;
        UnsupportedExtension => "unsupported_extension", CHECK_PARAMETERS;
        CertificateUnobtainable => "certificate_unobtainable", CHECK_LOG;
        UnrecognisedName => "unrecognized_name: it does not know the host name", "check host in [target]: it is sent to the server as the server name (SNI)";
        BadCertificateStatusResponse => "bad_certificate_status_response", CHECK_LOG;
        BadCertificateHashValue => "bad_certificate_hash_value", CHECK_LOG;
        UnknownPSKIdentity => "unknown_psk_identity", CHECK_LOG;
        NoApplicationProtocol => "no_application_protocol", CHECK_LOG;
        EncryptedClientHelloRequired => "ech_required", CHECK_LOG;
    }
}

/// Returns the webpki error inside a rustls error, if rustls has no variant of its own for it.
fn webpki_error(error: &CertificateError) -> Option<&webpki::Error> {
    let CertificateError::Other(other) = error else { return None };
    other.0.downcast_ref()
}

fn certificate_kind(error: &CertificateError) -> &'static str {
    match SignatureProblem::of(error) {
        Some(SignatureProblem::ShortKey { .. }) => return "its RSA key is too short",
        Some(SignatureProblem::ShortCaKey { .. }) => return "the RSA key of a CA in its chain is too short",
        Some(SignatureProblem::Handshake) => {
            return "the server did not sign the handshake with the certificate's key";
        }
        None => {}
    }
    match error {
        CertificateError::BadEncoding => "it is damaged, or not an X.509 certificate",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::Revoked => "it has been revoked",
        CertificateError::UnhandledCriticalExtension => "it has an unsupported critical extension",
        CertificateError::UnknownIssuer => "no trusted root signed it",
        CertificateError::BadSignature => {
            "no trusted root signed it: the trusted CA with its issuer's name has a different key"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            "it is signed with an algorithm that is not supported"
        }
        // For example, the signature is ECDSA, and the root with the issuer's name has an RSA key.
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "no trusted root signed it: the trusted CA with its issuer's name has a key of another type"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is not valid for this host"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its extended key usage does not include server authentication"
        }
        other => match webpki_error(other) {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "it is a CA certificate (CA:TRUE), which a server must not present as its own"
            }
            Some(webpki::Error::EndEntityUsedAsCa) => {
                "a certificate in its chain signed another one but is not a CA certificate"
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                "it has X.509 version 1 or 2, and version 3 is required"
            }
            Some(webpki::Error::UnsupportedCriticalExtension) => "it has an unsupported critical extension",
            Some(webpki::Error::NameConstraintViolation) => "a CA in its chain may not sign for this name",
            Some(webpki::Error::PathLenConstraintViolated) => "its chain is longer than a CA in it allows",
            _ => "its chain cannot be verified",
        },
    }
}

/// Returns details about this certificate, to append to [`certificate_kind`].
fn certificate_details(error: &CertificateError) -> String {
    if let Some(SignatureProblem::ShortKey { bits } | SignatureProblem::ShortCaKey { bits }) =
        SignatureProblem::of(error)
    {
        return format!(": it has {bits} bits, and at least {RSA_BITS_MIN} are required");
    }
    let date = |unix: rustls::pki_types::UnixTime| {
        let second = i64::try_from(unix.as_secs()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX).to_string()
    };
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!(": it was valid until {}", date(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!(": it is valid from {}", date(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                return format!(": it has no subjectAltName for {expected}");
            }
            let names: Vec<_> = presented.iter().map(|name| bare_name(name)).collect();
            format!(": it names {}, not {expected}", names.join(", "))
        }
        CertificateError::InvalidPurposeContext { required, presented } if !presented.is_empty() => {
            let presented: Vec<_> = presented.iter().map(ToString::to_string).collect();
            format!(": it allows {}, not {required}", presented.join(", "))
        }
        other => match webpki_error(other) {
            Some(error) if certificate_kind(other) == "its chain cannot be verified" => {
                format!(" ({})", variant_in_words(&format!("{error:?}")))
            }
            _ => String::new(),
        },
    }
}

fn certificate_fix(error: &CertificateError, own_roots: bool) -> &'static str {
    match SignatureProblem::of(error) {
        Some(SignatureProblem::ShortKey { .. }) => {
            "give the server a certificate with an RSA key of at least 2048 bits, or with an ECDSA key (P-256 or P-384)"
        }
        Some(SignatureProblem::ShortCaKey { .. }) => {
            "sign the server's certificate with a CA that has an RSA key of at least 2048 bits, or an ECDSA key (P-256 or P-384)"
        }
        Some(SignatureProblem::Handshake) => {
            "give the server the private key that belongs to its certificate"
        }
        None => other_certificate_fix(error, own_roots),
    }
}

fn other_certificate_fix(error: &CertificateError, own_roots: bool) -> &'static str {
    match error {
        CertificateError::UnknownIssuer if own_roots => {
            "the ca file lacks the root of the server's chain: add the CA certificate that signed the last certificate in the chain \
             (see openssl s_client -showcerts), or check that this is the right server"
        }
        CertificateError::UnknownIssuer => "use --ca FILE or ca in [target] to trust the root that signed it",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the server's certificate, or check this machine's clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "check this machine's clock, and the server's certificate"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "set host in [target] to a name in its subjectAltName, or give the server a certificate for this host"
        }
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            if own_roots {
                "put the CA certificate that signed it into the ca file: the CA with the same name there has a different key"
            } else {
                "use --ca FILE or ca in [target] to trust the CA that signed it (for a self-signed certificate, the certificate \
                 itself): this system trusts another CA with the same name"
            }
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "give the server a certificate whose extendedKeyUsage includes serverAuth, or one without extendedKeyUsage"
        }
        other => match webpki_error(other) {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "give the server a certificate of its own: sign one with that CA, or create a self-signed one with \
                 openssl req -x509 -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:HOST, and trust it with --ca FILE"
            }
            Some(webpki::Error::NameConstraintViolation) => {
                "give the server a certificate whose subjectAltName and subject are within the name constraints of each CA in its chain \
                 (see openssl x509 -text), or one from another CA"
            }
            Some(webpki::Error::PathLenConstraintViolated) => {
                "shorten the certificate chain, or use a CA whose basicConstraints pathlen allows all the intermediate CAs below it"
            }
            Some(webpki::Error::EndEntityUsedAsCa) => {
                "sign the server's certificate with a CA certificate: one with basicConstraints CA:TRUE"
            }
            _ => {
                "give the server an X.509 version 3 certificate with a subjectAltName, signed with ECDSA or RSA and SHA-256 or better"
            }
        },
    }
}

/// Returns `hub.example` for `DnsName("hub.example")`, webpki's form of a name.
fn bare_name(presented: &str) -> Cow<'_, str> {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let bare = inner.unwrap_or(presented).trim_matches('"');
    Cow::Owned(bare.chars().filter(|c| !c.is_control()).collect())
}

/// Returns the name of a Rust enum variant as words, without its fields: `NoKxGroupsInCommon` becomes "no kx groups in
/// common".
fn variant_in_words(name: &str) -> String {
    let name = name.split(['(', '{', ' ']).next().unwrap_or(name);
    let mut words = String::new();
    let mut before_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && before_lower {
            words.push(' ');
        }
        before_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        words.push(if c == '_' { ' ' } else { c.to_ascii_lowercase() });
    }
    words
}
