//! Asks mosquitto how many messages it received: a subscriber of its `$SYS` topics over plain TCP, with no codec of ours.

use super::Failure;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const MESSAGES: &str = "$SYS/broker/publish/messages/received";
/// Published at the begin of each round of all that changed.
const UPTIME: &str = "$SYS/broker/uptime";

/// mosquitto's figure is up to a second old: this waits for a round to begin and for the next, and takes the last that came by then.
pub(crate) fn messages_received(broker: SocketAddr) -> Result<u64, Failure> {
    let mut stream = TcpStream::connect(broker)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // CONNECT: clean session, no keep-alive, client id "count". SUBSCRIBE, QoS 0.
    stream.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05count")?;
    let mut subscribe = vec![0x82, 0, 0, 1];
    for topic in [MESSAGES, UPTIME] {
        subscribe.extend_from_slice(&u16::try_from(topic.len())?.to_be_bytes());
        subscribe.extend_from_slice(topic.as_bytes());
        subscribe.push(0);
    }
    subscribe[1] = u8::try_from(subscribe.len() - 2)?;
    stream.write_all(&subscribe)?;

    let (mut received, mut rounds) = (0, 0);
    while rounds < 2 {
        let [mut first, mut length] = [0; 2].map(|byte: u8| [byte]);
        stream.read_exact(&mut first)?;
        // No packet here is longer than 127 bytes.
        stream.read_exact(&mut length)?;
        let mut body = vec![0; length[0].into()];
        stream.read_exact(&mut body)?;
        let (0x30, retained) = (first[0] & 0xf0, first[0] & 1 != 0) else { continue };
        let [high, low, rest @ ..] = &body[..] else { return Err("a PUBLISH without a topic".into()) };
        let at = usize::from(u16::from_be_bytes([*high, *low]));
        let (topic, payload) = rest.split_at_checked(at).ok_or("a topic that is too short")?;
        match topic {
            topic if topic == MESSAGES.as_bytes() => received = std::str::from_utf8(payload)?.parse()?,
            // What is sent on subscribing is the last round's.
            _ => rounds += u32::from(!retained),
        }
    }
    Ok(received)
}
