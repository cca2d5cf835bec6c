//! Encodes packets and appends them to a buffer, which may already have content. An error leaves the buffer unchanged. Called by `session`
//! and `emulator`. Independent of who receives a packet.

use super::connect::{LEVEL, flag};
use super::packet::{QoS, REMAINING_BYTES_MAX, STRING_BYTES_MAX};
use bytes::{BufMut, BytesMut};
use std::fmt;

/// The packet cannot be expressed in MQTT 3.1.1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary field is longer than 65,535 bytes (MQTT 3.1.1 §1.5.3).
    #[error("{field} of {bytes} bytes, more than MQTT's limit of 65535 bytes")]
    TooLong {
        /// Name of the field.
        field: &'static str,
        /// Size of the field.
        bytes: usize,
    },
    /// The remaining length is over 268,435,455 bytes (MQTT 3.1.1 §2.2.3).
    #[error("a packet of {0} bytes, more than MQTT's limit of 268435455 bytes")]
    FrameTooLarge(usize),
    /// The packet id is 0 but must not be (MQTT 3.1.1 §2.3.1).
    #[error("packet id 0")]
    PacketIdZero,
    /// CONNECT has a password without a user name (MQTT 3.1.1 §3.1.2.9).
    #[error("a password without a user name")]
    PasswordWithoutUserName,
    /// SUBSCRIBE or UNSUBSCRIBE has no topic filter (MQTT 3.1.1 §3.8.3, §3.10.3).
    #[error("no topic filter")]
    NoFilter,
}

/// A PUBLISH to encode (MQTT 3.1.1 §3.3).
#[derive(Clone, Copy, Debug)]
pub struct PublishRef<'a> {
    /// Topic name. Only its length is checked.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// Quality of service.
    pub qos: QoS,
    /// DUP flag: the packet may be a retransmission.
    pub dup: bool,
    /// Retain flag.
    pub retain: bool,
    /// Packet id. Not written for QoS 0.
    pub pid: u16,
}

/// A CONNECT to encode (MQTT 3.1.1 §3.1).
#[derive(Clone, Copy)]
pub struct ConnectRef<'a> {
    /// Client id. May be empty.
    pub client_id: &'a str,
    /// Keep-alive in seconds. 0 turns it off.
    pub keep_alive_s: u16,
    /// Clean session flag. False asks the server to keep the session.
    pub clean_session: bool,
    /// User name.
    pub username: Option<&'a str>,
    /// Password: binary, and hidden by `Debug`.
    pub password: Option<&'a [u8]>,
    /// Message that the server publishes when the connection ends without DISCONNECT.
    pub will: Option<WillRef<'a>>,
}

impl fmt::Debug for ConnectRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRef").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// The will of a CONNECT to encode.
#[derive(Clone, Copy, Debug)]
pub struct WillRef<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// Quality of service.
    pub qos: QoS,
    /// Retain flag.
    pub retain: bool,
}

/// Appends a PUBLISH.
///
/// # Errors
/// The topic or frame is too long, or the packet id is 0 with QoS 1 or 2.
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

/// Sets the DUP flag of a PUBLISH that [`publish`] encoded, for a retransmission (MQTT 3.1.1 §3.3.1.1).
pub fn mark_dup(frame: &mut [u8]) {
    if let Some(first) = frame.first_mut() {
        *first |= 0x08;
    }
}

/// Appends a PUBACK.
pub fn puback(out: &mut BytesMut, pid: u16) {
    out.put_slice(&ack(0x40, pid));
}

/// Appends a PUBREC, the response to a PUBLISH with QoS 2.
pub fn pubrec(out: &mut BytesMut, pid: u16) {
    out.put_slice(&ack(0x50, pid));
}

/// Returns a PUBREL, the response to PUBREC. Senders keep its bytes for retransmissions.
#[must_use]
pub fn pubrel(pid: u16) -> [u8; 4] {
    ack(0x62, pid)
}

/// Appends a PUBCOMP, the response to PUBREL.
pub fn pubcomp(out: &mut BytesMut, pid: u16) {
    out.put_slice(&ack(0x70, pid));
}

/// Appends a CONNECT.
///
/// # Errors
/// A field or the frame is too long, or there is a password without a user name.
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

/// Appends a CONNACK.
pub fn connack(out: &mut BytesMut, session_present: bool, code: u8) {
    out.put_slice(&[0x20, 2, u8::from(session_present), code]);
}

/// Appends a SUBSCRIBE.
///
/// # Errors
/// There is no filter, the packet id is 0, or a filter or the frame is too long.
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

/// Appends a SUBACK. It has one return code per filter in the SUBSCRIBE: 0, 1, 2 or [`SUBACK_FAILURE`](super::SUBACK_FAILURE).
pub fn suback(out: &mut BytesMut, pid: u16, granted: &[u8]) {
    // The SUBSCRIBE fit in a frame, in which each filter takes more bytes than its return code takes here.
    debug_assert!(granted.len() + 2 <= REMAINING_BYTES_MAX);
    out.put_u8(0x90);
    remaining_length(out, granted.len() + 2);
    out.put_u16(pid);
    out.put_slice(granted);
}

/// Appends an UNSUBSCRIBE.
///
/// # Errors
/// There is no filter, the packet id is 0, or a filter or the frame is too long.
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

/// Appends an UNSUBACK.
pub fn unsuback(out: &mut BytesMut, pid: u16) {
    out.put_slice(&ack(0xB0, pid));
}

/// Appends a PINGREQ.
pub fn pingreq(out: &mut BytesMut) {
    out.put_slice(&[0xC0, 0]);
}

/// Appends a PINGRESP.
pub fn pingresp(out: &mut BytesMut) {
    out.put_slice(&[0xD0, 0]);
}

/// Appends a DISCONNECT.
pub fn disconnect(out: &mut BytesMut) {
    out.put_slice(&[0xE0, 0]);
}

/// Returns a packet whose body is only a packet id (MQTT 3.1.1 §3.4 to §3.7, §3.11).
fn ack(first: u8, pid: u16) -> [u8; 4] {
    let [high, low] = pid.to_be_bytes();
    [first, 2, high, low]
}

/// Returns the encoded size of a field, including its length prefix.
fn field_bytes(name: &'static str, bytes: &[u8]) -> Result<usize, EncodeError> {
    match bytes.len() {
        length @ ..=STRING_BYTES_MAX => Ok(2 + length),
        bytes => Err(EncodeError::TooLong { field: name, bytes }),
    }
}

/// Appends a field whose length [`field_bytes`] has checked.
fn put_field(out: &mut BytesMut, bytes: &[u8]) {
    #[expect(clippy::cast_possible_truncation, reason = "checked by `field_bytes`, or a constant")]
    out.put_u16(bytes.len() as u16);
    out.put_slice(bytes);
}

/// Appends the fixed header. This is the first write to the buffer and the last step that can fail, so an error leaves the buffer
/// unchanged.
fn header(out: &mut BytesMut, first: u8, remaining: usize) -> Result<(), EncodeError> {
    if remaining > REMAINING_BYTES_MAX {
        return Err(EncodeError::FrameTooLarge(remaining));
    }
    out.reserve(5 + remaining);
    out.put_u8(first);
    remaining_length(out, remaining);
    Ok(())
}

/// Appends a remaining length, seven bits per byte, lowest bits first (MQTT 3.1.1 §2.2.3).
fn remaining_length(out: &mut BytesMut, mut length: usize) {
    while length > 0x7f {
        #[expect(clippy::cast_possible_truncation, reason = "the mask leaves seven bits")]
        out.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 0x7f")]
    out.put_u8(length as u8);
}
