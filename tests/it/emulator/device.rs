//! A device that reads and writes raw bytes over TLS.

use bytes::BytesMut;
use hubstorm::emulator::control::Ready;
use hubstorm::iothub::names;
use hubstorm::iothub::sas::{self, Key};
use hubstorm::link::tls;
use hubstorm::wire::QoS;
use hubstorm::wire::encode::{self, ConnectRef, PublishRef};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub const GROUP_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
pub const CONNACK_PRESENT: [u8; 4] = [0x20, 2, 1, 0];
pub const REFUSED: [u8; 4] = [0x20, 2, 0, 5];

pub fn group() -> Key {
    Key::from_base64(GROUP_KEY).unwrap()
}

pub fn now_unix() -> u64 {
    hubstorm::clock::unix().as_secs()
}

pub fn token(id: &str, expiry_unix: u64) -> String {
    sas::token(&group().derive(id), &names::resource("localhost", id), expiry_unix, None).to_string()
}

/// A TLS connection of a device.
pub struct Device(pub TlsStream<TcpStream>);

impl Device {
    /// Sends CONNECT.
    pub async fn connect(&mut self, id: &str, token: &str, clean_session: bool) {
        let name = names::user_name("localhost", id);
        let connect = ConnectRef {
            client_id: id,
            keep_alive_s: 60,
            clean_session,
            username: Some(&name),
            password: Some(token.as_bytes()),
            will: None,
        };
        self.send(|out| encode::connect(out, &connect).unwrap()).await;
    }

    /// Sends what `write` encodes.
    pub async fn send(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        write(&mut out);
        self.0.write_all(&out).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Sends a message at QoS 1.
    pub async fn publish(&mut self, topic: &str, pid: u16) {
        let message =
            PublishRef { topic, payload: b"{}", qos: QoS::AtLeastOnce, dup: false, retain: false, pid };
        self.send(|out| encode::publish(out, &message).unwrap()).await;
    }

    /// Receives exactly these bytes.
    pub async fn expect<const N: usize>(&mut self, bytes: [u8; N]) {
        let mut got = [0; N];
        self.0.read_exact(&mut got).await.unwrap();
        assert_eq!(got, bytes);
    }

    /// Waits until the hub closes the connection, with or without a TLS alert.
    pub async fn expect_end(&mut self) {
        let mut byte = [0];
        assert!(matches!(self.0.read(&mut byte).await, Ok(0) | Err(_)), "{byte:?}");
    }
}

/// Opens a TLS connection and sends nothing over it.
pub async fn open_tls(ready: &Ready) -> Device {
    let roots_pem = ready.ca_pem.clone().map(String::into_bytes);
    let ca = ready.ca_file.as_ref().map(std::path::PathBuf::from);
    let client = tls::client(&tls::ClientOptions { roots_pem, ca, verify: true }).unwrap();
    let socket = TcpStream::connect(ready.mqtt.as_str()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    Device(TlsConnector::from(client).connect(name, socket).await.unwrap())
}

/// Connects the device `meter-1`.
pub async fn online(ready: Ready) -> Device {
    let mut device = open_tls(&ready).await;
    device.connect("meter-1", &token("meter-1", now_unix() + 600), true).await;
    device.expect(CONNACK).await;
    device
}
