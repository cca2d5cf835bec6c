//! A hub just good enough for an SDK to live with, which keeps what the SDK says of itself: CONNECT and SUBSCRIBE, read by hand.

use super::PATIENCE;
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

/// What a hub does with a connection.
#[derive(Clone, Copy, Debug)]
pub enum Turn {
    /// Answers whatever comes, to the end.
    Serves,
    /// Closes, without a word, when a message at QoS 1 comes.
    ClosesAtMessage,
    /// The same when it subscribes.
    ClosesAtSubscribe,
    /// CONNACK with code 5.
    Refuses,
}

/// What a device said on a connection.
#[derive(Debug)]
pub struct Said {
    pub keep_alive_s: u16,
    pub clean_session: bool,
    pub user_name: String,
    /// When its token ends, in seconds since the Unix epoch.
    pub expiry_unix: u64,
    /// Filters and their QoS, in order.
    pub subscribed: Vec<(String, u8)>,
    /// How it asks for its twin.
    pub twin_qos: Option<u8>,
}

pub struct Overheard {
    address: IpAddr,
    identity: Identity,
    player: JoinHandle<Vec<Said>>,
}

impl Overheard {
    /// Plays these turns, a connection each.
    pub fn start(turns: impl IntoIterator<Item = Turn> + Send + 'static) -> Overheard {
        let listener = listen_at(PORT);
        listener.set_nonblocking(false).expect("it is a socket");
        // Linux keeps to it in accept, too.
        SockRef::from(&listener).set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        let address = listener.local_addr().expect("it is bound").ip();
        let identity = Identity::of(address);
        let config = identity.config.clone();
        let play = move |turn| {
            let connection = ServerConnection::new(config.clone()).expect("the configuration is good");
            hear(&listener, connection, turn)
        };
        Overheard { address, identity, player: thread::spawn(|| turns.into_iter().map(play).collect()) }
    }

    pub fn ca(&self) -> PathBuf {
        self.identity.ca.path().to_owned()
    }

    /// With a key that is as good as any.
    pub fn connection_string(&self, device: &str) -> String {
        format!("HostName={};DeviceId={device};SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==", self.address)
    }

    /// What was said on each connection, when all turns are over.
    pub fn said(self) -> Vec<Said> {
        self.player.join().expect("the player does not panic")
    }
}

fn hear(listener: &TcpListener, tls: ServerConnection, turn: Turn) -> Said {
    let (stream, _) = listener.accept().expect("a device comes");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    let mut line = StreamOwned::new(tls, stream);
    let connect = read_frame(&mut line).expect("TLS").expect("CONNECT");
    assert_eq!(connect.kind(), mqtt::CONNECT, "{connect:?}");
    let mut said = introduction(&connect.body);
    let code = if let Turn::Refuses = turn { 5 } else { 0 };
    send(&mut line, &small_frame(mqtt::CONNACK << 4, &[0, code]));
    // What comes after a refusal is its end; that may come in any way.
    while let Ok(Some(frame)) = read_frame(&mut line) {
        let is_over = match turn {
            Turn::Serves | Turn::Refuses => false,
            Turn::ClosesAtMessage => frame.kind() == mqtt::PUBLISH && frame.publish().1.is_some(),
            Turn::ClosesAtSubscribe => frame.kind() == mqtt::SUBSCRIBE,
        };
        if is_over {
            break;
        }
        if let Some(answer) = answer(&frame, &mut said) {
            send(&mut line, &answer);
        }
    }
    said
}

fn send(line: &mut StreamOwned<ServerConnection, TcpStream>, bytes: &[u8]) {
    line.write_all(bytes).and_then(|()| line.flush()).expect("the device reads");
}

/// CONNECT (MQTT 3.1.1 §3.1): name and level of the protocol, flags, keep-alive, client id, user name, password; no will.
fn introduction(connect: &[u8]) -> Said {
    let (protocol, rest) = field(connect);
    assert_eq!((protocol.as_str(), rest[0], rest[1] & 0b1100_0100), ("MQTT", 4, 0b1100_0000));
    let (_, fields) = field(&rest[4..]);
    let (user_name, fields) = field(fields);
    let (token, _) = field(fields);
    let expiry = token.split(['&', ' ']).find_map(|part| part.strip_prefix("se=")).expect("a token ends");
    Said {
        keep_alive_s: u16::from_be_bytes([rest[2], rest[3]]),
        clean_session: rest[1] & 0b10 != 0,
        user_name,
        expiry_unix: expiry.parse().expect("a number"),
        subscribed: Vec::new(),
        twin_qos: None,
    }
}

/// A text with its length before it, and what follows.
fn field(bytes: &[u8]) -> (String, &[u8]) {
    let (text, rest) = bytes[2..].split_at(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])));
    (String::from_utf8(text.to_vec()).expect("UTF-8"), rest)
}

/// What a hub owes for a packet.
fn answer(frame: &Frame, said: &mut Said) -> Option<Vec<u8>> {
    match frame.kind() {
        mqtt::SUBSCRIBE => {
            let (id, mut rest) = frame.body.split_at(2);
            let mut granted = id.to_vec();
            while !rest.is_empty() {
                let (filter, behind) = field(rest);
                said.subscribed.push((filter, behind[0]));
                granted.push(behind[0]);
                rest = &behind[1..];
            }
            Some(small_frame(mqtt::SUBACK << 4, &granted))
        }
        mqtt::PUBLISH => {
            let (topic, id, _) = frame.publish();
            let ack = id.map(|id| small_frame(0x40, &id.to_be_bytes())).unwrap_or_default();
            let twin = topic.strip_prefix("$iothub/twin/GET/?$rid=").map(|request| {
                said.twin_qos = Some(u8::from(id.is_some()));
                twin(request)
            });
            Some([ack, twin.unwrap_or_default()].concat())
        }
        mqtt::PINGREQ => Some(vec![0xd0, 0]),
        _ => None,
    }
}

/// The answer to a request for a twin: an empty one.
fn twin(request: &str) -> Vec<u8> {
    let topic = text(&format!("$iothub/twin/res/200/?$rid={request}"));
    small_frame(mqtt::PUBLISH << 4, &[&topic[..], br#"{"desired":{},"reported":{}}"#].concat())
}
