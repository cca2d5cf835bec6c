//! Packets to bytes, appended to a buffer that may already hold some. On an error nothing is left behind.

use super::connect::{LEVEL, flag};
use super::packet::{QoS, REMAINING_BYTES_MAX, STRING_BYTES_MAX};
use bytes::{BufMut, BytesMut};
use std::fmt;

/// What MQTT 3.1.1 cannot say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary field over 65,535 bytes (MQTT 3.1.1 §1.5.3).
    #[error("{field} of {bytes} bytes, more than the 65535 that MQTT can carry")]
    TooLong {
        /// Which one.
        field: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// A remaining length over 268,435,455 bytes (MQTT 3.1.1 §2.2.3).
    #[error("a packet of {0} bytes, more than the 268435455 that MQTT can carry")]
    FrameTooLarge(usize),
    /// Packet id 0 where one is needed (MQTT 3.1.1 §2.3.1).
    #[error("packet id 0")]
    PacketIdZero,
    /// MQTT 3.1.1 §3.1.2.9 forbids it.
    #[error("a password without a user name")]
    PasswordWithoutUserName,
    /// A SUBSCRIBE and an UNSUBSCRIBE need at least one (MQTT 3.1.1 §3.8.3, §3.10.3).
    #[error("no topic filter")]
    NoFilter,
}

/// A PUBLISH to write (MQTT 3.1.1 §3.3).
#[derive(Clone, Copy, Debug)]
pub struct PublishRef<'a> {
    /// The topic name; not checked beyond its length.
    pub topic: &'a str,
    /// The application message.
    pub payload: &'a [u8],
    /// The quality of service.
    pub qos: QoS,
    /// It may have been sent before.
    pub dup: bool,
    /// The server is to keep it.
    pub retain: bool,
    /// The packet id; not written at QoS 0.
    pub pid: u16,
}

/// A CONNECT to write (MQTT 3.1.1 §3.1).
#[derive(Clone, Copy)]
pub struct ConnectRef<'a> {
    /// May be empty.
    pub client_id: &'a str,
    /// Seconds; 0 turns keep-alive off.
    pub keep_alive_s: u16,
    /// False asks the server to keep the session.
    pub clean_session: bool,
    /// The user name.
    pub username: Option<&'a str>,
    /// Binary; never printed.
    pub password: Option<&'a [u8]>,
    /// What the server publishes when the client goes without DISCONNECT.
    pub will: Option<WillRef<'a>>,
}

impl fmt::Debug for ConnectRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRef").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// The will of a CONNECT to write.
#[derive(Clone, Copy, Debug)]
pub struct WillRef<'a> {
    /// Where it is published.
    pub topic: &'a str,
    /// What is published.
    pub payload: &'a [u8],
    /// At which QoS.
    pub qos: QoS,
    /// Retained or not.
    pub retain: bool,
}

/// PUBLISH.
///
/// # Errors
/// A topic or frame that is too long; packet id 0 at QoS 1 or 2.
pub fn publish(out: &mut BytesMut, publish: &PublishRef<'_>) -> Result<(), EncodeError> {
    let topic_bytes = field_bytes("a topic", publish.topic.as_bytes())?;
    let pid_bytes = if publish.qos == QoS::AtMostOnce { 0 } else { 2 };
    if pid_bytes != 0 && publish.pid == 0 {
        return Err(EncodeError::PacketIdZero);
    }
    let flags = u8::from(publish.dup) << 3 | (publish.qos as u8) << 1 | u8::from(publish.retain);
    header(out, 0x30 | flags, topic_bytes + pid_bytes + publish.payload.len())?;
    put_field(out, publish.topic.as_bytes());
    if pid_bytes != 0 {
        out.put_u16(publish.pid);
    }
    out.put_slice(publish.payload);
    Ok(())
}

/// Turns a PUBLISH that was written by [`publish`] into its retransmission (MQTT 3.1.1 §3.3.1.1).
pub fn mark_dup(frame: &mut [u8]) {
    if let Some(first) = frame.first_mut() {
        *first |= 0x08;
    }
}

/// PUBACK.
pub fn puback(out: &mut BytesMut, pid: u16) {
    out.put_slice(&ack(0x40, pid));
}

/// PUBREC: the first answer to a PUBLISH at QoS 2.
pub fn pubrec(out: &mut BytesMut, pid: u16) {
    out.put_slice(&ack(0x50, pid));
}

/// PUBREL: the answer to PUBREC. As bytes, because a sender also keeps it to send it again.
#[must_use]
pub fn pubrel(pid: u16) -> [u8; 4] {
    ack(0x62, pid)
}

/// PUBCOMP: the answer to PUBREL.
pub fn pubcomp(out: &mut BytesMut, pid: u16) {
    out.put_slice(&ack(0x70, pid));
}

/// CONNECT.
///
/// # Errors
/// A field or frame that is too long; a password without a user name.
pub fn connect(out: &mut BytesMut, connect: &ConnectRef<'_>) -> Result<(), EncodeError> {
    let mut flags = if connect.clean_session { flag::CLEAN_SESSION } else { 0 };
    let mut remaining = 10 + field_bytes("a client id", connect.client_id.as_bytes())?;
    if let Some(will) = &connect.will {
        flags |= flag::WILL | (will.qos as u8) << flag::WILL_QOS_SHIFT;
        flags |= if will.retain { flag::WILL_RETAIN } else { 0 };
        remaining +=
            field_bytes("a will topic", will.topic.as_bytes())? + field_bytes("a will", will.payload)?;
    }
    if let Some(username) = connect.username {
        flags |= flag::USER_NAME;
        remaining += field_bytes("a user name", username.as_bytes())?;
    }
    if let Some(password) = connect.password {
        if connect.username.is_none() {
            return Err(EncodeError::PasswordWithoutUserName);
        }
        flags |= flag::PASSWORD;
        remaining += field_bytes("a password", password)?;
    }
    header(out, 0x10, remaining)?;
    put_field(out, b"MQTT");
    out.put_slice(&[LEVEL, flags]);
    out.put_u16(connect.keep_alive_s);
    put_field(out, connect.client_id.as_bytes());
    if let Some(will) = &connect.will {
        put_field(out, will.topic.as_bytes());
        put_field(out, will.payload);
    }
    for last in [connect.username.map(str::as_bytes), connect.password].into_iter().flatten() {
        put_field(out, last);
    }
    Ok(())
}

/// CONNACK.
pub fn connack(out: &mut BytesMut, session_present: bool, code: u8) {
    out.put_slice(&[0x20, 2, u8::from(session_present), code]);
}

/// SUBSCRIBE.
///
/// # Errors
/// No filter, packet id 0, a filter or frame that is too long.
pub fn subscribe(out: &mut BytesMut, pid: u16, filters: &[(&str, QoS)]) -> Result<(), EncodeError> {
    if filters.is_empty() {
        return Err(EncodeError::NoFilter);
    }
    if pid == 0 {
        return Err(EncodeError::PacketIdZero);
    }
    let mut remaining = 2;
    for (filter, _) in filters {
        remaining += field_bytes("a topic filter", filter.as_bytes())? + 1;
    }
    header(out, 0x82, remaining)?;
    out.put_u16(pid);
    for (filter, qos) in filters {
        put_field(out, filter.as_bytes());
        out.put_u8(*qos as u8);
    }
    Ok(())
}

/// SUBACK, with one return code per filter of the SUBSCRIBE it answers (0, 1, 2 or [`SUBACK_FAILURE`](super::SUBACK_FAILURE)).
pub fn suback(out: &mut BytesMut, pid: u16, granted: &[u8]) {
    // A SUBSCRIBE that fitted a frame has fewer filters than a frame has bytes.
    debug_assert!(granted.len() + 2 <= REMAINING_BYTES_MAX);
    out.put_u8(0x90);
    remaining_length(out, granted.len() + 2);
    out.put_u16(pid);
    out.put_slice(granted);
}

/// UNSUBSCRIBE.
///
/// # Errors
/// No filter, packet id 0, a filter or frame that is too long.
pub fn unsubscribe(out: &mut BytesMut, pid: u16, filters: &[&str]) -> Result<(), EncodeError> {
    if filters.is_empty() {
        return Err(EncodeError::NoFilter);
    }
    if pid == 0 {
        return Err(EncodeError::PacketIdZero);
    }
    let mut remaining = 2;
    for filter in filters {
        remaining += field_bytes("a topic filter", filter.as_bytes())?;
    }
    header(out, 0xA2, remaining)?;
    out.put_u16(pid);
    for filter in filters {
        put_field(out, filter.as_bytes());
    }
    Ok(())
}

/// UNSUBACK.
pub fn unsuback(out: &mut BytesMut, pid: u16) {
    out.put_slice(&ack(0xB0, pid));
}

/// PINGREQ.
pub fn pingreq(out: &mut BytesMut) {
    out.put_slice(&[0xC0, 0]);
}

/// PINGRESP.
pub fn pingresp(out: &mut BytesMut) {
    out.put_slice(&[0xD0, 0]);
}

/// DISCONNECT.
pub fn disconnect(out: &mut BytesMut) {
    out.put_slice(&[0xE0, 0]);
}

/// A packet that says nothing but a packet id (MQTT 3.1.1 §3.4 to §3.7, §3.11).
fn ack(first: u8, pid: u16) -> [u8; 4] {
    let [high, low] = pid.to_be_bytes();
    [first, 2, high, low]
}

/// The bytes a field takes, its length included.
fn field_bytes(name: &'static str, bytes: &[u8]) -> Result<usize, EncodeError> {
    match bytes.len() {
        length @ ..=STRING_BYTES_MAX => Ok(2 + length),
        bytes => Err(EncodeError::TooLong { field: name, bytes }),
    }
}

/// Writes a field that [`field_bytes`] has let pass.
fn put_field(out: &mut BytesMut, bytes: &[u8]) {
    #[expect(clippy::cast_possible_truncation, reason = "checked by `field_bytes`, or a constant")]
    out.put_u16(bytes.len() as u16);
    out.put_slice(bytes);
}

/// The fixed header. It is the last thing that can fail, and the first that is written.
fn header(out: &mut BytesMut, first: u8, remaining: usize) -> Result<(), EncodeError> {
    if remaining > REMAINING_BYTES_MAX {
        return Err(EncodeError::FrameTooLarge(remaining));
    }
    out.reserve(5 + remaining);
    out.put_u8(first);
    remaining_length(out, remaining);
    Ok(())
}

/// Seven bits a byte, the lowest first (MQTT 3.1.1 §2.2.3).
fn remaining_length(out: &mut BytesMut, mut length: usize) {
    while length > 0x7f {
        #[expect(clippy::cast_possible_truncation, reason = "masked")]
        out.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 0x7f")]
    out.put_u8(length as u8);
}
