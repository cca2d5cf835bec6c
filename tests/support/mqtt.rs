//! A minimal MQTT 3.1.1 codec and client for tests. Independent of the product's codec, so that an error in that cannot cancel out.

use super::TEST_TIMEOUT;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Fixed header types (MQTT 3.1.1 §2.2.1), as the high nibble of the first byte.
pub const CONNECT: u8 = 1;
pub const CONNACK: u8 = 2;
pub const PUBLISH: u8 = 3;
pub const PUBREL: u8 = 6;
pub const SUBSCRIBE: u8 = 8;
pub const SUBACK: u8 = 9;
pub const PINGREQ: u8 = 12;
pub const DISCONNECT: u8 = 14;

/// A received packet: the first byte, and the body after the length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub body: Vec<u8>,
}

impl Frame {
    pub fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// Returns topic, packet id and payload of a PUBLISH.
    pub fn publish(&self) -> (String, Option<u16>, &[u8]) {
        assert_eq!(self.kind(), PUBLISH);
        let (topic, rest) =
            self.body[2..].split_at(usize::from(u16::from_be_bytes([self.body[0], self.body[1]])));
        let topic = String::from_utf8(topic.to_vec()).expect("a topic is UTF-8");
        match self.first & 0b0110 {
            0 => (topic, None, rest),
            _ => (topic, Some(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
        }
    }
}

/// Reads one packet. Returns `None` at the end of the stream.
pub fn read_frame(stream: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(0) => return Ok(None),
        // The machine was suspended. `read_exact` retries by itself.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return read_frame(stream),
        read => read?,
    };
    let first = byte[0];
    let mut length = 0;
    for shift in (0..28).step_by(7) {
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Frame { first, body }))
}

/// Returns a packet with a body of less than 128 bytes.
pub fn small_frame(first: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).ok().filter(|length| *length < 128).expect("a small packet");
    [&[first, length], body].concat()
}

/// Returns a text with its length prefix.
pub fn text(value: &str) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a short text");
    [&length.to_be_bytes(), value.as_bytes()].concat()
}

/// A client on plain TCP.
pub struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects with a clean session and without keep-alive. CONNACK must accept it.
    pub fn connect(address: SocketAddr, id: &str, user: &str, password: &str) -> Client {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_read_timeout(Some(TEST_TIMEOUT)).expect("a timeout above zero");
        let mut client = Client { stream };
        let flags = 0b1100_0010; // user name, password, clean session
        let body = [&text("MQTT")[..], &[4, flags, 0, 0], &text(id), &text(user), &text(password)].concat();
        client.send(&small_frame(CONNECT << 4, &body));
        let answer = client.read();
        assert_eq!((answer.kind(), &answer.body[..]), (CONNACK, &[0, 0][..]), "CONNACK");
        client
    }

    pub fn subscribe(&mut self, filters: &[&str]) {
        let mut body = vec![0, 1];
        for filter in filters {
            body.extend(text(filter));
            body.push(0);
        }
        self.send(&small_frame(0x82, &body));
        let answer = self.read();
        assert_eq!(answer.kind(), SUBACK, "retained messages arrive after it: {answer:?}");
    }

    /// Sends a message with QoS 0.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) {
        self.send(&small_frame(PUBLISH << 4, &[&text(topic)[..], payload].concat()));
    }

    pub fn read(&mut self) -> Frame {
        read_frame(&mut self.stream).expect("the broker sends").expect("the broker keeps the connection")
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }
}
