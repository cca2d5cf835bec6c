//! Messages about TLS failures: the cause and the fix, without names of Rust enum variants.

use super::failure::TlsFailure;
use super::{ClientOptions, client};
use crate::link::testing::{Discard, FixedCertificate, dial, identity, listener, run, test_deadline};
use crate::link::{Buffers, Deadlines, DialError, Dialed, End, Endpoint, Link, Transport, accept_tls};
use crate::sansio::Closed;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, NameConstraints,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved,
    RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use std::sync::Arc;
use std::time::Duration;

/// Created with `openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=127.0.0.1 -keyout v1.key -out
/// v1.csr` and `openssl x509 -req -in v1.csr -signkey v1.key -days 36500 -out v1.pem`. The certificate is self-signed.
/// It has X.509 version 1, because openssl creates that version if there are no extensions.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBIzCBywIUdekQw4ebnLiwbEn5NVDu2GCfYjIwCgYIKoZIzj0EAwIwFDESMBAG
A1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyNzE4MzIyN1oYDzIxMjYxMTAzMTgzMjI3
WjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AASxDHWum1sHmpnFhQbtgsqzAJMNOkDiGiSGDgljPgUYOlagKKhI9kz7Gq+E116M
ODNTfUtS82l/wYCvqlrwZbX1MAoGCCqGSM49BAMCA0cAMEQCIEuKNcbOq9hJ67Gi
UOwDW2y/CB58Cplnr/7H7RYQxcGKAiAHRYxUyLBr04DeEMa+hoaHvPNyChxS08FG
qsV91PaH+A==
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgD49Nx8Mxh32W5Pvx
QrOkW2W2Qs5wTsRlNEVWHzHaYiqhRANCAASxDHWum1sHmpnFhQbtgsqzAJMNOkDi
GiSGDgljPgUYOlagKKhI9kz7Gq+E116MODNTfUtS82l/wYCvqlrwZbX1
-----END PRIVATE KEY-----
";

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// Returns a self-signed certificate for 127.0.0.1 with its key, as PEM.
fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> String {
    let key = KeyPair::generate().expect("randomness");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    change(&mut params);
    let certificate = params.self_signed(&key).expect("the key signs");
    certificate.pem() + &key.serialize_pem()
}

/// Returns a server that presents any given certificate. rustls's own resolver would reject version 1.
fn server(pem: &str) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    let key = provider.key_provider.load_private_key(key).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("supported")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(FixedCertificate(Arc::new(CertifiedKey::new(chain, key)))));
    Arc::new(config)
}

/// Dials a server with this configuration, trusting `roots`.
async fn meet(server: Arc<ServerConfig>, roots: &str) -> (Result<Dialed, DialError>, Option<Transport>) {
    let options = ClientOptions { roots_pem: Some(roots.as_bytes().to_vec()), ..ClientOptions::default() };
    meet_with(server, &options).await
}

async fn meet_with(
    server: Arc<ServerConfig>,
    options: &ClientOptions,
) -> (Result<Dialed, DialError>, Option<Transport>) {
    let (listener, address) = listener();
    let endpoint = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: address.port(),
        tls: Some(client(options).expect("PEM")),
        own_roots: true,
        ..Endpoint::default()
    };
    let serve = async {
        let (stream, _) = listener.accept().await.expect("a client connects");
        accept_tls(stream, &server, test_deadline()).await
    };
    let (dialed, accepted) = tokio::join!(dial(&endpoint, 0, test_deadline()), serve);
    (dialed, accepted.ok())
}

#[tokio::test]
async fn unusable_certificates_are_explained_even_if_ca_has_them() {
    let authority = self_signed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let unnamed = self_signed(|params| params.subject_alt_names.clear());
    let other = self_signed(|params| params.distinguished_name.push(DnType::CommonName, "another authority"));
    for (presented, roots, cause, fix) in [
        (&authority, &authority, "it is a CA certificate (CA:TRUE)", "CA:FALSE"),
        (&VERSION_1.to_owned(), &VERSION_1.to_owned(), "it has X.509 version 1 or 2", "X.509 version 3"),
        (&unnamed, &unnamed, "it has no subjectAltName for 127.0.0.1", "subjectAltName"),
        (&self_signed(|_| ()), &other, "no trusted root signed it", "the ca file lacks the root"),
    ] {
        let (dialed, _) = meet(server(presented), roots).await;
        let error = dialed.expect_err("not acceptable");
        assert_eq!(error.class, "tls_certificate", "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with("the server's certificate was not accepted: ") && text.contains(cause),
            "{text}"
        );
        let text = error.tls_fix(true).expect("TLS failed");
        assert!(text.contains(fix) && !text.contains("to trust the root that signed it"), "{text}");
    }
}

/// Returns a CA named "our CA" with a new key, and its certificate as PEM.
fn authority(change: impl FnOnce(&mut CertificateParams)) -> (String, CertifiedIssuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(vec![]).expect("no name");
    params.distinguished_name.push(DnType::CommonName, "our CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("randomness"));
    let issuer = issuer.expect("the key signs");
    (issuer.pem(), issuer)
}

fn signed(by: &CertifiedIssuer<'_, KeyPair>, change: impl FnOnce(&mut CertificateParams)) -> String {
    let key = KeyPair::generate().expect("randomness");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    change(&mut params);
    params.signed_by(&key, by).expect("the key signs").pem() + &key.serialize_pem()
}

#[tokio::test]
async fn the_fix_names_the_missing_property() {
    let (roots, ca) = authority(|_| ());
    let for_clients =
        signed(&ca, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let (narrow_roots, narrow) = authority(|params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.com".to_owned())],
            excluded_subtrees: vec![GeneralSubtree::IpAddress(CidrSubnet::V4(
                [127, 0, 0, 0],
                [255, 0, 0, 0],
            ))],
        });
    });
    let outside = signed(&narrow, |_| ());
    for (presented, roots, cause, fix) in [
        (&for_clients, &roots, "extended key usage does not include server", "serverAuth"),
        (&outside, &narrow_roots, "may not sign for this name", "name constraints"),
    ] {
        let error = meet(server(presented), roots).await.0.expect_err("not acceptable");
        let text = error.tls_fix(true).expect("TLS failed");
        assert!(error.to_string().contains(cause) && text.contains(fix), "{error}: {text}");
        assert!(!text.contains("version 3"), "the certificate has version 3: {text}");
    }
}

#[tokio::test]
async fn a_root_with_the_same_name_and_another_key_is_explained() {
    let (_, ca) = authority(|_| ());
    let presented = signed(&ca, |_| ());
    let (same_name, _) = authority(|_| ());
    // The same name with a key of another type.
    let mut params = CertificateParams::new(vec![]).expect("no name");
    params.distinguished_name.push(DnType::CommonName, "our CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let other_type = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("randomness");
    let other_type = params.self_signed(&other_type).expect("the key signs").pem();
    for (roots, cause) in [(&same_name, "has a different key"), (&other_type, "has a key of another type")] {
        let error = meet(server(&presented), roots).await.0.expect_err("not acceptable");
        assert!(error.to_string().contains(cause), "{error}");
        let fix = |own_roots| error.tls_fix(own_roots).expect("TLS failed");
        assert!(fix(true).contains("into the ca file"), "{}", fix(true));
        // The system's roots.
        assert!(fix(false).contains("--ca FILE or ca in [target]"), "{}", fix(false));
    }
}

#[tokio::test]
async fn a_wrong_private_key_differs_from_a_wrong_chain() {
    let pem = self_signed(|_| ());
    let other = self_signed(|_| ());
    let (certificate, _) = pem.split_at(pem.find("-----BEGIN PRIVATE").expect("a key"));
    let (_, key) = other.split_at(other.find("-----BEGIN PRIVATE").expect("a key"));
    let error = meet(server(&(certificate.to_owned() + key)), &pem).await.0.expect_err("not acceptable");
    assert!(error.to_string().contains("did not sign the handshake with the certificate's key"), "{error}");
    assert!(error.tls_fix(true).is_some_and(|fix| fix.contains("private key")));
}

#[tokio::test]
async fn verify_false_accepts_x509_version_1() {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(VERSION_1.as_bytes()).expect("PEM")];
    for version in VERSIONS {
        let key = PrivateKeyDer::from_pem_slice(VERSION_1.as_bytes()).expect("PEM");
        let key = provider.key_provider.load_private_key(key).expect("a key");
        let presents = FixedCertificate(Arc::new(CertifiedKey::new(chain.clone(), key)));
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("supported")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(presents));
        let options = ClientOptions { verify: false, ..ClientOptions::default() };
        let (dialed, _) = meet_with(Arc::new(config), &options).await;
        dialed.expect("no certificate is checked");
    }
}

/// Returns the roots of the certificates that a server accepts from clients.
fn roots(pem: &str) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a root");
    Arc::new(roots)
}

#[tokio::test]
async fn a_required_client_certificate_is_named_as_the_cause() {
    let pem = self_signed(|_| ());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    for version in VERSIONS {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots(&pem), provider.clone());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("supported")
            .with_client_cert_verifier(verifier.build().expect("there is a root"))
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")],
                PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("PEM"),
            )
            .expect("the key belongs to the certificate");
        let (cause, fix) = match meet(Arc::new(config), &pem).await.0 {
            // TLS 1.2 refuses during the handshake.
            Err(error) => {
                assert_eq!(error.class, "tls", "{error}");
                (error.to_string(), error.tls_fix(true).expect("TLS failed"))
            }
            // TLS 1.3 refuses after the client has finished its handshake.
            Ok(dialed) => {
                let deadlines = Deadlines::new();
                let mut link = Link::new(dialed.transport, Buffers::shared(), &deadlines);
                match run(&mut link, &mut Discard::default()).await {
                    End::Closed(Closed::TlsAlert(end)) => (end.cause.to_owned(), end.fix),
                    other => panic!("{other:?}"),
                }
            }
        };
        assert!(cause.contains("the server requires a client certificate"), "{version:?}: {cause}");
        assert!(fix.contains("does not require client certificates"), "{version:?}: {fix}");
    }
}

/// Connects, on one thread, to servers that request an optional certificate and to one that does not request any.
#[tokio::test]
async fn a_certificate_request_belongs_to_its_connection() {
    let pem = self_signed(|_| ());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    for version in VERSIONS {
        for asks in [true, false, true] {
            let builder = ServerConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[version])
                .expect("supported");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots(&pem), provider.clone());
            let verifier = verifier.allow_unauthenticated().build().expect("there is a root");
            let builder = if asks {
                builder.with_client_cert_verifier(verifier)
            } else {
                builder.with_no_client_auth()
            };
            let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")];
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("PEM");
            let config = builder.with_single_cert(chain, key).expect("the key belongs to the certificate");
            let (dialed, _kept_open) = meet(Arc::new(config), &pem).await;
            match dialed.expect("the certificate is optional").transport {
                Transport::Tls(stream) => {
                    assert_eq!(stream.client_certificate_requested(), asks, "{version:?}")
                }
                other => panic!("not TLS: {other:?}"),
            }
        }
    }
}

#[test]
fn an_alert_means_a_client_certificate_only_after_a_request() {
    let failure = |asked| TlsFailure::new(Error::AlertReceived(AlertDescription::HandshakeFailure), asked);
    assert!(failure(true).to_string().contains("client certificate"));
    assert!(failure(false).to_string().contains("the alert handshake_failure"));
    assert!(failure(false).fix(false).contains("P-384"));
    let required = TlsFailure::new(Error::AlertReceived(AlertDescription::CertificateRequired), false);
    assert!(required.to_string().contains("client certificate"));
}

/// Returns true if a text contains a word such as `UnknownIssuer`, or punctuation from `{:?}`.
fn looks_like_rust(text: &str) -> bool {
    let is_variant = |word: &str| {
        let mut before = ' ';
        word.chars().any(|c| {
            let inner = c.is_ascii_uppercase() && before.is_ascii_lowercase();
            before = c;
            inner
        })
    };
    let known = ["subjectAltName"];
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !known.contains(word));
    words.any(is_variant) || text.contains(['"', '{', '[', '\\'])
}

#[test]
fn tls_messages_contain_no_rust_debug_text() {
    let at = |s| UnixTime::since_unix_epoch(Duration::from_secs(s));
    let other = |error: webpki::Error| CertificateError::Other(OtherError(Arc::new(error)));
    let certificates = [
        CertificateError::BadEncoding,
        CertificateError::UnknownIssuer,
        CertificateError::ExpiredContext { time: at(2), not_after: at(1) },
        CertificateError::NotValidYetContext { time: at(1), not_before: at(u64::MAX) },
        CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("hub.example").expect("a name"),
            presented: vec!["DnsName(\"other.example\")".to_owned(), "IpAddress(127.0.0.1)".to_owned()],
        },
        CertificateError::InvalidPurpose,
        CertificateError::ApplicationVerificationFailure,
        other(webpki::Error::CaUsedAsEndEntity),
        other(webpki::Error::UnsupportedCertVersion),
        other(webpki::Error::MaximumPathDepthExceeded),
        other(webpki::Error::EmptyEkuExtension),
    ];
    let alerts = (0..=u8::MAX).map(|code| Error::AlertReceived(AlertDescription::from(code)));
    let errors = certificates.into_iter().map(Error::InvalidCertificate).chain(alerts).chain([
        Error::NoCertificatesPresented,
        Error::DecryptError,
        Error::PeerSentOversizedRecord,
        Error::InvalidMessage(InvalidMessage::InvalidContentType),
        Error::InvalidMessage(InvalidMessage::MissingData("ServerHello")),
        Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon),
        Error::PeerIncompatible(PeerIncompatible::ServerRejectedEncryptedClientHello(None)),
        Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedKxGroup),
        Error::InappropriateMessage { expect_types: vec![], got_type: rustls::ContentType::Alert },
        Error::FailedToGetRandomBytes,
    ]);
    for error in errors {
        for asked in [false, true] {
            let failure = TlsFailure::new(error.clone(), asked);
            let text = failure.to_string();
            assert!(!looks_like_rust(&text) && text.len() > 10, "{error:?}: {text}");
            assert!(!failure.fix(false).is_empty() && !failure.fix(true).is_empty());
        }
    }
    assert!(looks_like_rust("received fatal alert: HandshakeFailure"), "the check recognizes Rust names");
}

#[test]
fn unusable_ca_files_are_explained() {
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let good = String::from_utf8(identity(&["a.example"]).pem).expect("PEM is text");
    for (pem, expected) in [
        (damaged.to_owned(), "certificate 1: it is not an X.509 certificate"),
        (good + damaged, "certificate 2: it is not an X.509 certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(), "END CERTIFICATE----- is missing"),
        (damaged.replace("AAAA", "A!"), "it is not base64"),
        (
            damaged.replace("BEGIN CERTIFICATE-----", "BEGIN CERTIFICATE"),
            "a line that begins with ----- is damaged",
        ),
        ("nothing".to_owned(), "no PEM certificate"),
    ] {
        let options = ClientOptions { roots_pem: Some(pem.into_bytes()), ..ClientOptions::default() };
        let error = client(&options).expect_err("unusable").to_string();
        assert!(error.contains(expected) && !looks_like_rust(&error), "{error}");
    }
}
