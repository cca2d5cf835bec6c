//! The emulator's TLS against another implementation: `openssl s_client` connects with offers that a device may make, verifies the
//! certificate, and is accepted as a device.

use crate::support::emulator::Emulator;
use bytes::BytesMut;
use hubstorm::iothub::names;
use hubstorm::iothub::sas::{self, Key};
use hubstorm::wire::encode::{self, ConnectRef};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

const GROUP_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn emulator() -> Emulator {
    Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", "env:HUB_KEY"], &[("HUB_KEY", GROUP_KEY)])
}

/// CONNECT and DISCONNECT of a device.
fn packets() -> BytesMut {
    let key = Key::from_base64(GROUP_KEY).expect("a key").derive("d1");
    let expiry = hubstorm::clock::unix().as_secs() + 600;
    let token = sas::token(&key, &names::resource("localhost", "d1"), expiry, None);
    let name = names::user_name("localhost", "d1");
    let connect = ConnectRef {
        client_id: "d1",
        keep_alive_s: 60,
        clean_session: true,
        username: Some(&name),
        password: Some(token.as_bytes()),
        will: None,
    };
    let mut out = BytesMut::new();
    encode::connect(&mut out, &connect).expect("short fields");
    encode::disconnect(&mut out);
    out
}

/// The hub's answer over TLS, and openssl's description of the handshake in lower case.
fn s_client(hub: &Emulator, offer: &[&str]) -> (Vec<u8>, String) {
    let mut client = Command::new("openssl")
        .args(["s_client", "-brief", "-ign_eof", "-connect", &format!("127.0.0.1:{}", hub.port())])
        .args(["-servername", "localhost", "-verify_hostname", "localhost"])
        .args(["-verify_return_error", "-CAfile", hub.ca()])
        .args(offer)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tests/run installs openssl");
    let mut stdin = client.stdin.take().expect("piped");
    // After a failed handshake this may fail too.
    let _ = stdin.write_all(&packets());
    let mut answer = Vec::new();
    client.stdout.take().expect("piped").read_to_end(&mut answer).expect("a pipe");
    drop(stdin);
    let said = client.wait_with_output().expect("it is our child").stderr;
    (answer, String::from_utf8_lossy(&said).to_lowercase())
}

#[test]
fn devices_get_a_certificate_that_they_can_verify() {
    let hub = emulator();
    for (offer, protocol, key) in [
        // By default ECDSA, which costs less.
        (&[][..], "tlsv1.3", "ecdsa"),
        (&["-tls1_2"], "tlsv1.2", "ecdsa"),
        // In TLS 1.2 the suites determine the type of the key.
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "tlsv1.2", "rsa"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], "tlsv1.2", "rsa"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "tlsv1.2", "ecdsa"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], "tlsv1.2", "ecdsa"),
        // In TLS 1.3 the signature algorithms do.
        (&["-sigalgs", "rsa_pss_rsae_sha256:rsa_pkcs1_sha256"], "tlsv1.3", "rsa"),
        (&["-tls1_2", "-sigalgs", "rsa_pkcs1_sha256"], "tlsv1.2", "rsa"),
        (&["-sigalgs", "ecdsa_secp256r1_sha256"], "tlsv1.3", "ecdsa"),
        // With P-384 alone, a TLS 1.2 client cannot verify a P-256 key.
        (&["-tls1_3", "-groups", "P-384"], "tlsv1.3", "ecdsa"),
        (&["-tls1_2", "-groups", "P-384"], "tlsv1.2", "rsa"),
        (&["-tls1_2", "-groups", "P-256"], "tlsv1.2", "ecdsa"),
        (&["-groups", "X25519"], "tlsv1.3", "ecdsa"),
    ] {
        let (answer, said) = s_client(&hub, offer);
        assert_eq!(answer, [0x20, 2, 0, 0], "{offer:?}: {said}");
        let line =
            |start: &str| said.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
        assert!(line("protocol version:").contains(protocol), "{offer:?}: {said}");
        assert_eq!(line("signature type:").contains("ecdsa"), key == "ecdsa", "{offer:?}: {said}");
        assert!(line("signature type:").contains(key), "{offer:?}: {said}");
    }
    hub.stop();
}

/// An Azure hub accepts CBC suites, the emulator does not: see `docs/emulator.md`.
#[test]
fn cbc_suites_and_old_versions_are_refused() {
    let hub = emulator();
    for offer in [
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"][..],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"],
        &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
    ] {
        let (answer, said) = s_client(&hub, offer);
        assert!(answer.is_empty() && said.contains("alert"), "{offer:?}: {said}");
    }
    hub.stop();
}
