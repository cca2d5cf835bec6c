//! TLS against OpenSSL. `openssl s_client` connects to the emulator with various offers and verifies its certificate. `doctor` connects to
//! `openssl s_server` with certificates that rustls cannot make.

use crate::support::emulator::Emulator;
use crate::support::hubstorm::{Finished, command, finish};
use bytes::BytesMut;
use hubstorm::iothub::names;
use hubstorm::iothub::sas::{self, Key};
use hubstorm::wire::encode::{self, ConnectRef};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const GROUP_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn emulator() -> Emulator {
    Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", "env:HUB_KEY"], &[("HUB_KEY", GROUP_KEY)])
}

/// Returns CONNECT and DISCONNECT of a device.
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

/// Returns the hub's answer over TLS, and OpenSSL's description of the handshake in lower case.
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
    // This may fail after a failed handshake.
    let _ = stdin.write_all(&packets());
    let mut answer = Vec::new();
    client.stdout.take().expect("piped").read_to_end(&mut answer).expect("a pipe");
    drop(stdin);
    let description = client.wait_with_output().expect("it is a child process").stderr;
    (answer, String::from_utf8_lossy(&description).to_lowercase())
}

#[test]
fn devices_get_a_certificate_that_they_can_verify() {
    let hub = emulator();
    for (offer, protocol, key) in [
        // The default is ECDSA, which costs less.
        (&[][..], "tlsv1.3", "ecdsa"),
        (&["-tls1_2"], "tlsv1.2", "ecdsa"),
        // In TLS 1.2, the cipher suite determines the key type.
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "tlsv1.2", "rsa"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], "tlsv1.2", "rsa"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "tlsv1.2", "ecdsa"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], "tlsv1.2", "ecdsa"),
        // In TLS 1.3, the signature algorithms determine it.
        (&["-sigalgs", "rsa_pss_rsae_sha256:rsa_pkcs1_sha256"], "tlsv1.3", "rsa"),
        (&["-tls1_2", "-sigalgs", "rsa_pkcs1_sha256"], "tlsv1.2", "rsa"),
        (&["-sigalgs", "ecdsa_secp256r1_sha256"], "tlsv1.3", "ecdsa"),
        // A TLS 1.2 client that supports only P-384 cannot verify a P-256 key.
        (&["-tls1_3", "-groups", "P-384"], "tlsv1.3", "ecdsa"),
        (&["-tls1_2", "-groups", "P-384"], "tlsv1.2", "rsa"),
        (&["-tls1_2", "-groups", "P-256"], "tlsv1.2", "ecdsa"),
        (&["-groups", "X25519"], "tlsv1.3", "ecdsa"),
    ] {
        let (answer, description) = s_client(&hub, offer);
        assert_eq!(answer, [0x20, 2, 0, 0], "{offer:?}: {description}");
        let line = |start: &str| {
            description.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
        };
        assert!(line("protocol version:").contains(protocol), "{offer:?}: {description}");
        assert_eq!(line("signature type:").contains("ecdsa"), key == "ecdsa", "{offer:?}: {description}");
        assert!(line("signature type:").contains(key), "{offer:?}: {description}");
    }
    hub.stop();
}

/// Unlike Azure, the emulator refuses CBC suites (`docs/emulator.md`).
#[test]
fn cbc_suites_and_old_versions_are_refused() {
    let hub = emulator();
    for offer in [
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"][..],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"],
        &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
    ] {
        let (answer, description) = s_client(&hub, offer);
        assert!(answer.is_empty() && description.contains("alert"), "{offer:?}: {description}");
    }
    hub.stop();
}

/// Certificates made by OpenSSL.
struct Pki {
    folder: TempDir,
}

impl Pki {
    fn new() -> Pki {
        Pki { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes `NAME.key` and a self-signed `NAME.pem`, or one signed by a CA if `options` contain `-CA`.
    fn certificate(&self, name: &str, key: &[&str], subject: &str, options: &[&str]) {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(self.folder.path()).args(["req", "-x509", "-nodes", "-days", "2", "-newkey"]);
        openssl.args(key).args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
        openssl.args(["-subj", subject, "-addext", "subjectAltName=IP:127.0.0.1"]).args(options);
        let made = openssl.output().expect("tests/run installs openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}

const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const LEAF: &[&str] = &["-addext", "basicConstraints=critical,CA:FALSE"];

/// `openssl s_server` on a free port of 127.0.0.1.
struct Server {
    process: Child,
    target: String,
}

impl Server {
    fn start(pki: &Pki, name: &str, options: &[&str]) -> Server {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(pki.folder.path()).args(["s_server", "-accept", "127.0.0.1:0"]);
        openssl.args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")]).args(options);
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = openssl.spawn().expect("tests/run installs openssl");
        let lines = BufReader::new(process.stdout.as_mut().expect("piped")).lines();
        let target =
            lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("ACCEPT ")?.to_owned()));
        Server { process, target: target.expect("s_server prints its address") }
    }

    fn doctor(&self, ca: Option<&Path>, roots: Option<&Path>) -> Finished {
        let mut doctor = command(["doctor", "--target", &self.target]);
        if let Some(ca) = ca {
            doctor.arg("--ca").arg(ca);
        }
        if let Some(roots) = roots {
            doctor.env("SSL_CERT_FILE", roots);
        }
        finish(doctor)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn short_rsa_key_is_named_as_the_cause() {
    let pki = Pki::new();
    let anyone = ["-cipher", "DEFAULT@SECLEVEL=0"];
    pki.certificate("ca", P256, "/CN=a CA", &[]);
    pki.certificate("short-ca", &["rsa:1024"], "/CN=a CA with a short key", &[]);
    for (name, key, ca, cause) in [
        ("leaf", &["rsa:1024"][..], "ca", "its RSA key is too short: it has 1024 bits"),
        ("below", P256, "short-ca", "the RSA key of a CA in its chain is too short: it has 1024 bits"),
    ] {
        let (ca_pem, ca_key) = (format!("{ca}.pem"), format!("{ca}.key"));
        pki.certificate(name, key, "/CN=server", &[LEAF, &["-CA", &ca_pem, "-CAkey", &ca_key]].concat());
        let server = Server::start(&pki, name, &anyone);
        let finished = server.doctor(Some(&pki.path(&ca_pem)), None);
        let stderr = &finished.exits(1).stderr;
        assert!(stderr.contains(cause) && stderr.contains("at least 2048 bits"), "{stderr}");
        assert!(!stderr.contains("ca file"), "the ca file is correct: {stderr}");
    }
}

/// A self-signed certificate with the server's name is a system root, as Debian's ssl-cert-snakeoil may be.
#[test]
fn self_signed_server_leads_to_the_ca_option() {
    let pki = Pki::new();
    for (name, key) in [("ec", P256), ("rsa", &["rsa:2048"]), ("snakeoil", &["rsa:2048"])] {
        pki.certificate(name, key, "/CN=localhost", LEAF);
    }
    for name in ["ec", "rsa"] {
        let server = Server::start(&pki, name, &[]);
        let finished = server.doctor(None, Some(&pki.path("snakeoil.pem")));
        let stderr = &finished.exits(1).stderr;
        assert!(
            stderr.contains("no trusted root signed it") && stderr.contains("--ca FILE"),
            "{name}: {stderr}"
        );
        server.doctor(Some(&pki.path(&format!("{name}.pem"))), None).exits(0);
    }
}

#[test]
fn doctor_notices_that_a_client_certificate_is_required() {
    let pki = Pki::new();
    pki.certificate("server", P256, "/CN=localhost", LEAF);
    let ca = pki.path("server.pem");
    for version in ["-tls1_3", "-tls1_2"] {
        let finished = Server::start(&pki, "server", &[version, "-Verify", "1"]).doctor(Some(&ca), None);
        let stderr = &finished.exits(1).stderr;
        assert!(stderr.contains("the server requires a client certificate"), "{version}: {stderr}");
        // The server requests a certificate but does not require it.
        let finished = Server::start(&pki, "server", &[version, "-verify", "1"]).doctor(Some(&ca), None);
        assert!(finished.exits(0).stdout.contains("TCP and TLS work"), "{version}");
    }
}
