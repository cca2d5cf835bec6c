//! A minimal hub for an SDK, which records CONNECT and SUBSCRIBE of each connection. Uses the tests' own codec. Used by `sdk_habits`.

use super::TEST_TIMEOUT;
use super::address::listen_at;
use super::hub::PORT;
use super::mqtt::{self, Frame, read_frame, small_frame, text};
use super::tls::Identity;
use rustls::{ServerConnection, StreamOwned};
use socket2::SockRef;
use std::io::Write;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

/// The behavior of the hub on a connection.
#[derive(Clone, Copy, Debug)]
pub enum Turn {
    /// Answers every packet.
    Serves,
    /// Closes the connection when a message at QoS 1 arrives.
    ClosesAtMessage,
    /// Closes the connection when SUBSCRIBE arrives.
    ClosesAtSubscribe,
    /// Sends CONNACK with code 5.
    Refuses,
}

/// Recorded properties of a connection.
#[derive(Debug)]
pub struct Recorded {
    pub keep_alive_s: u16,
    pub clean_session: bool,
    pub user_name: String,
    /// Expiry of its token, in seconds since the Unix epoch.
    pub expiry_unix: u64,
    /// Filters with their QoS, in order.
    pub subscribed: Vec<(String, u8)>,
    /// QoS of its twin requests.
    pub twin_qos: Option<u8>,
}

pub struct RecordingHub {
    address: IpAddr,
    identity: Identity,
    player: JoinHandle<Vec<Recorded>>,
}

impl RecordingHub {
    /// Starts a hub that accepts one connection for each turn.
    pub fn start(turns: impl IntoIterator<Item = Turn> + Send + 'static) -> RecordingHub {
        let listener = listen_at(PORT);
        listener.set_nonblocking(false).expect("it is a socket");
        // On Linux, the timeout also applies to accept.
        SockRef::from(&listener).set_read_timeout(Some(TEST_TIMEOUT)).expect("a timeout above zero");
        let address = listener.local_addr().expect("it is bound").ip();
        let identity = Identity::of(address);
        let config = identity.config.clone();
        let play = move |turn| {
            let connection = ServerConnection::new(config.clone()).expect("the configuration is good");
            record(&listener, connection, turn)
        };
        RecordingHub { address, identity, player: thread::spawn(|| turns.into_iter().map(play).collect()) }
    }

    pub fn ca(&self) -> PathBuf {
        self.identity.ca.path().to_owned()
    }

    /// Returns a connection string with an arbitrary key.
    pub fn connection_string(&self, device: &str) -> String {
        format!("HostName={};DeviceId={device};SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==", self.address)
    }

    /// Waits for all turns and returns the record of each connection.
    pub fn recorded(self) -> Vec<Recorded> {
        self.player.join().expect("the player does not panic")
    }
}

fn record(listener: &TcpListener, tls: ServerConnection, turn: Turn) -> Recorded {
    let (stream, _) = listener.accept().expect("a device connects");
    stream.set_read_timeout(Some(TEST_TIMEOUT)).expect("a timeout above zero");
    let mut line = StreamOwned::new(tls, stream);
    let connect = read_frame(&mut line).expect("TLS").expect("CONNECT");
    assert_eq!(connect.kind(), mqtt::CONNECT, "{connect:?}");
    let mut recorded = parse_connect(&connect.body);
    let code = if let Turn::Refuses = turn { 5 } else { 0 };
    send(&mut line, &small_frame(mqtt::CONNACK << 4, &[0, code]));
    // After a refusal, the device ends the connection in any way.
    while let Ok(Some(frame)) = read_frame(&mut line) {
        let is_over = match turn {
            Turn::Serves | Turn::Refuses => false,
            Turn::ClosesAtMessage => frame.kind() == mqtt::PUBLISH && frame.publish().1.is_some(),
            Turn::ClosesAtSubscribe => frame.kind() == mqtt::SUBSCRIBE,
        };
        if is_over {
            break;
        }
        if let Some(answer) = answer(&frame, &mut recorded) {
            send(&mut line, &answer);
        }
    }
    recorded
}

fn send(line: &mut StreamOwned<ServerConnection, TcpStream>, bytes: &[u8]) {
    line.write_all(bytes).and_then(|()| line.flush()).expect("the device reads");
}

/// Parses CONNECT (MQTT 3.1.1 §3.1): protocol name and level, flags, keep-alive, client id, user name, password; no will.
fn parse_connect(connect: &[u8]) -> Recorded {
    let (protocol, rest) = field(connect);
    assert_eq!((protocol.as_str(), rest[0], rest[1] & 0b1100_0100), ("MQTT", 4, 0b1100_0000));
    let (_, fields) = field(&rest[4..]);
    let (user_name, fields) = field(fields);
    let (token, _) = field(fields);
    let expiry =
        token.split(['&', ' ']).find_map(|part| part.strip_prefix("se=")).expect("a token has an expiry");
    Recorded {
        keep_alive_s: u16::from_be_bytes([rest[2], rest[3]]),
        clean_session: rest[1] & 0b10 != 0,
        user_name,
        expiry_unix: expiry.parse().expect("a number"),
        subscribed: Vec::new(),
        twin_qos: None,
    }
}

/// Splits off a text with its length prefix.
fn field(bytes: &[u8]) -> (String, &[u8]) {
    let (text, rest) = bytes[2..].split_at(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])));
    (String::from_utf8(text.to_vec()).expect("UTF-8"), rest)
}

/// Returns the answer to a packet.
fn answer(frame: &Frame, recorded: &mut Recorded) -> Option<Vec<u8>> {
    match frame.kind() {
        mqtt::SUBSCRIBE => {
            let (id, mut rest) = frame.body.split_at(2);
            let mut granted = id.to_vec();
            while !rest.is_empty() {
                let (filter, behind) = field(rest);
                recorded.subscribed.push((filter, behind[0]));
                granted.push(behind[0]);
                rest = &behind[1..];
            }
            Some(small_frame(mqtt::SUBACK << 4, &granted))
        }
        mqtt::PUBLISH => {
            let (topic, id, _) = frame.publish();
            let ack = id.map(|id| small_frame(0x40, &id.to_be_bytes())).unwrap_or_default();
            let twin = topic.strip_prefix("$iothub/twin/GET/?$rid=").map(|request| {
                recorded.twin_qos = Some(u8::from(id.is_some()));
                twin(request)
            });
            Some([ack, twin.unwrap_or_default()].concat())
        }
        mqtt::PINGREQ => Some(vec![0xd0, 0]),
        _ => None,
    }
}

/// Returns the answer to a twin request: an empty twin.
fn twin(request: &str) -> Vec<u8> {
    let topic = text(&format!("$iothub/twin/res/200/?$rid={request}"));
    small_frame(mqtt::PUBLISH << 4, &[&topic[..], br#"{"desired":{},"reported":{}}"#].concat())
}
