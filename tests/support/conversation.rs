//! The packets between devices and a broker, decoded from a proxy's record with the tests' own codec. QoS 0 and 1 only.

use super::mqtt::{CONNACK, CONNECT, Frame, PUBLISH, read_frame};
use super::proxy::Recorded;
use std::collections::BTreeMap;

const PUBACK: u8 = 4;
const DUP: u8 = 0b1000;

/// A message as a connection carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    pub packet_id: u16,
    pub duplicate: bool,
    /// Whether its PUBACK passed the proxy.
    pub acked: bool,
}

/// The packets of all connections.
#[derive(Debug, Default)]
pub struct Conversation {
    /// For each client id, the SessionPresent of each CONNACK.
    pub sessions: BTreeMap<String, Vec<bool>>,
    /// For each topic and payload at QoS 1, every sending in order.
    pub messages: BTreeMap<(String, String), Vec<Sending>>,
}

impl Conversation {
    pub fn read(connections: &[Recorded]) -> Conversation {
        let mut conversation = Conversation::default();
        for connection in connections {
            conversation.add(connection);
        }
        conversation
    }

    /// The number of sendings after the first of each message.
    pub fn repeated(&self) -> u64 {
        self.messages.values().map(|sendings| sendings.len() as u64 - 1).sum()
    }

    /// The number of sendings with DUP. The first sending of such a message may not have passed the proxy.
    pub fn duplicates(&self) -> u64 {
        self.messages.values().flatten().filter(|sending| sending.duplicate).count() as u64
    }

    fn add(&mut self, connection: &Recorded) {
        let (up, down) = (frames(&connection.from_client), frames(&connection.from_server));
        let Some(connect) = up.first() else { return };
        assert_eq!(connect.kind(), CONNECT, "{connect:?}");
        let mut acks = BTreeMap::new();
        for frame in &down {
            match frame.kind() {
                CONNACK => {
                    assert_eq!(frame.body[1], 0, "refused: {frame:?}");
                    let sessions = self.sessions.entry(client_id(connect)).or_default();
                    sessions.push(frame.body[0] & 1 == 1);
                }
                PUBACK => {
                    *acks.entry(u16::from_be_bytes([frame.body[0], frame.body[1]])).or_insert(0u32) += 1;
                }
                _ => {}
            }
        }
        for frame in up.iter().filter(|frame| frame.kind() == PUBLISH) {
            let (topic, Some(packet_id), payload) = frame.publish() else { continue };
            // A packet id is in use until its ack, so the first ack with it belongs to the first message with it.
            let ack = acks.get_mut(&packet_id).filter(|left| **left > 0);
            let acked = ack.map(|left| *left -= 1).is_some();
            let sending = Sending { packet_id, duplicate: frame.first & DUP != 0, acked };
            let payload = String::from_utf8(payload.to_vec()).expect("the scenario's payloads are text");
            self.messages.entry((topic, payload)).or_default().push(sending);
        }
    }
}

/// Returns the client id that a connection's CONNECT names.
pub fn client_of(connection: &Recorded) -> String {
    client_id(frames(&connection.from_client).first().expect("it has sent CONNECT"))
}

/// Returns the whole packets. A reset may have cut the last one.
fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    std::iter::from_fn(|| read_frame(&mut bytes).ok().flatten()).collect()
}

/// Returns the client id of CONNECT (MQTT 3.1.1 §3.1): ten bytes, then the length and the client id.
fn client_id(connect: &Frame) -> String {
    let length = usize::from(u16::from_be_bytes([connect.body[10], connect.body[11]]));
    String::from_utf8(connect.body[12..12 + length].to_vec()).expect("a client id is UTF-8")
}
