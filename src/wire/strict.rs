//! The checks that only a strict decoder makes: flags, reserved bits, lengths, text and topics. A server must refuse packets that fail
//! them; a lenient decoder accepts such packets. Used by `decode` and `connect`. [MQTT-x] refers to a normative statement of the standard.

use super::frame::{DecodeError, Header};
use super::packet::{Packet, QoS};
use super::reader::Reader;
use super::topic;

/// The strictness of the decoder's checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strictness {
    /// Accepts every packet that can be decoded. For the load generator, which must work with all brokers.
    Lenient,
    /// Checks flags, reserved bits, text, topics and the length of acknowledgments. Refuses everything that a server must refuse.
    Strict,
    /// Like `Strict`, but allows `+` and `#` anywhere in topic names and filters. For the emulator, which knows all valid topics, and
    /// whose device ids may contain these characters.
    StrictButWildcards,
}

impl Strictness {
    pub(super) fn is_strict(self) -> bool {
        self != Strictness::Lenient
    }
}

/// Checks the flags of the first byte (MQTT 3.1.1 §2.2.2) [MQTT-2.2.2-2].
pub(super) fn check_flags(header: Header) -> Result<(), DecodeError> {
    let flags = header.first & 0x0f;
    let valid = match header.packet_type() {
        // §3.3.1: no QoS 3 [MQTT-3.3.1-4]; DUP is 0 at QoS 0 [MQTT-3.3.1-2].
        3 => flags & 0b0110 != 0b0110 && (flags & 0b1000 == 0 || flags & 0b0110 != 0),
        6 | 8 | 10 => flags == 0b0010,
        _ => flags == 0,
    };
    if valid { Ok(()) } else { Err(header.malformed("invalid flags")) }
}

/// Checks lengths and reserved bits, which cannot be checked in the decoded packet.
pub(super) fn check_body(header: Header, body: &[u8]) -> Result<(), DecodeError> {
    let length = match header.packet_type() {
        2 | 4..=7 | 11 => 2,
        12..=14 => 0,
        8 => return check_requested_qos(header, body),
        _ => return Ok(()),
    };
    if body.len() != length {
        return Err(header.malformed("invalid length"));
    }
    match (header.packet_type(), body) {
        // §3.2.2.1: reserved bits are 0; §3.2.2.2: no session with a refusal [MQTT-3.2.2-4].
        (2, [flags, code]) if flags & 0xfe != 0 || (*flags == 1 && *code != 0) => {
            Err(header.malformed("invalid acknowledge flags"))
        }
        _ => Ok(()),
    }
}

/// Checks that the upper six bits of each requested QoS are 0 [MQTT-3-8.3-4].
fn check_requested_qos(header: Header, body: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader(body);
    let short = || header.malformed("too short");
    reader.u16().ok_or_else(short)?;
    while !reader.0.is_empty() {
        reader.bytes().ok_or_else(short)?;
        if reader.u8().ok_or_else(short)? & !0b11 != 0 {
            return Err(header.malformed("reserved bits in a requested QoS"));
        }
    }
    Ok(())
}

/// Checks packet ids, text and topics.
pub(super) fn check_packet(
    header: Header,
    packet: &Packet,
    strictness: Strictness,
) -> Result<(), DecodeError> {
    let any_wildcards = strictness == Strictness::StrictButWildcards;
    let is_text = |text: &str| any_wildcards && !text.is_empty() && !text.contains('\0');
    let nonzero = |pid: u16| if pid == 0 { Err(header.malformed("packet id 0")) } else { Ok(()) };
    let no_nul = |text: &str| {
        // [MQTT-1.5.3-2]
        if text.contains('\0') { Err(header.malformed("U+0000 in text")) } else { Ok(()) }
    };
    let name = |name: &str| {
        if topic::is_name(name) || is_text(name) {
            Ok(())
        } else {
            Err(header.malformed("an invalid topic name"))
        }
    };
    let filter = |filter: &str| {
        if topic::is_filter(filter) || is_text(filter) {
            Ok(())
        } else {
            Err(header.malformed("an invalid topic filter"))
        }
    };
    match packet {
        Packet::Connect(connect) => {
            no_nul(&connect.client_id)?;
            connect.username.as_deref().map_or(Ok(()), no_nul)?;
            connect.will.as_ref().map_or(Ok(()), |will| name(&will.topic))
        }
        Packet::Publish(publish) => {
            name(&publish.topic)?;
            if publish.qos == QoS::AtMostOnce { Ok(()) } else { nonzero(publish.pid) }
        }
        Packet::PubAck(pid)
        | Packet::PubRec(pid)
        | Packet::PubRel(pid)
        | Packet::PubComp(pid)
        | Packet::UnsubAck(pid)
        | Packet::SubAck { pid, .. } => nonzero(*pid),
        Packet::Subscribe(subscribe) => {
            nonzero(subscribe.pid)?;
            if subscribe.filters.is_empty() {
                return Err(header.malformed("no topic filter")); // [MQTT-3.8.3-3]
            }
            subscribe.filters.iter().try_for_each(|(text, _)| filter(text))
        }
        Packet::Unsubscribe { pid, filters } => {
            nonzero(*pid)?;
            if filters.is_empty() {
                return Err(header.malformed("no topic filter")); // [MQTT-3.10.3-2]
            }
            filters.iter().try_for_each(|text| filter(text))
        }
        Packet::ConnAck { .. } | Packet::PingReq | Packet::PingResp | Packet::Disconnect => Ok(()),
    }
}
