//! Decodes packets. This file decodes frames and acknowledgments itself, and `connect` decodes CONNECT. mqttbytes decodes PUBLISH,
//! SUBSCRIBE, SUBACK and UNSUBSCRIBE, once the frame is complete and not too large. Called by `session` and `emulator`. Independent of who
//! sends a packet.

use super::frame::{DecodeError, Header};
use super::packet::{Packet, Publish, QoS, REMAINING_BYTES_MAX, SUBACK_FAILURE, Subscribe};
use super::strict::Strictness;
use super::{connect, strict};
use bytes::{Buf, BytesMut};
use mqttbytes::v4;

/// Takes the next packet from the front of `input`. Returns `None` and leaves `input` unchanged if more bytes are needed.
///
/// `frame_bytes_max` limits the whole frame and is checked as soon as the header is complete. PUBACK and PINGRESP do not
/// allocate. The payload of a PUBLISH shares the memory of `input`.
///
/// # Errors
/// The bytes are not valid MQTT. The result does not depend on how the bytes were split into reads.
pub fn decode(
    input: &mut BytesMut,
    frame_bytes_max: usize,
    strictness: Strictness,
) -> Result<Option<Packet>, DecodeError> {
    // A fast path for the packets that a publisher receives most often. The code below handles a packet id of 0.
    match input.as_ref() {
        [0x40, 2, high, low, ..] if frame_bytes_max >= 4 && (*high, *low) != (0, 0) => {
            let pid = u16::from_be_bytes([*high, *low]);
            input.advance(4);
            return Ok(Some(Packet::PubAck(pid)));
        }
        [0xD0, 0, ..] if frame_bytes_max >= 2 => {
            input.advance(2);
            return Ok(Some(Packet::PingResp));
        }
        _ => {}
    }
    let Some(header) = decode_header(input, strictness)? else { return Ok(None) };
    let frame_bytes = header.header_bytes + header.remaining_bytes;
    if frame_bytes > frame_bytes_max {
        return Err(DecodeError::TooLarge { frame_bytes, frame_bytes_max });
    }
    let Some(body) = input.get(header.header_bytes..frame_bytes) else { return Ok(None) };
    if strictness.is_strict() {
        strict::check_body(header, body)?;
    }
    let packet = match decode_short(header, body, strictness)? {
        Some(packet) => {
            input.advance(frame_bytes);
            packet
        }
        None => decode_with_mqttbytes(header, input)?,
    };
    if strictness.is_strict() {
        strict::check_packet(header, &packet, strictness)?;
    }
    Ok(Some(packet))
}

/// Decodes the fixed header, once it is complete. An invalid first byte is refused before the second one is received.
pub(super) fn decode_header(input: &[u8], strictness: Strictness) -> Result<Option<Header>, DecodeError> {
    let Some((&first, length)) = input.split_first() else { return Ok(None) };
    let mut header = Header { first, header_bytes: 1, remaining_bytes: 0 };
    if matches!(header.packet_type(), 0 | 15) {
        return Err(DecodeError::ReservedType(header.packet_type()));
    }
    if strictness.is_strict() {
        strict::check_flags(header)?;
    }
    for (&byte, shift) in length.iter().zip([0, 7, 14, 21]) {
        header.header_bytes += 1;
        header.remaining_bytes |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            debug_assert!(header.remaining_bytes <= REMAINING_BYTES_MAX);
            return Ok(Some(header));
        }
    }
    if length.len() >= 4 { Err(DecodeError::RemainingLength) } else { Ok(None) }
}

/// Decodes CONNECT and packets of up to four bytes. Returns `None` for other types. `strict` checks for extra bytes in acknowledgments.
fn decode_short(header: Header, body: &[u8], strictness: Strictness) -> Result<Option<Packet>, DecodeError> {
    let ack = |packet: fn(u16) -> Packet| match *body {
        [high, low, ..] => Ok(Some(packet(u16::from_be_bytes([high, low])))),
        _ => Err(header.malformed("no packet id")),
    };
    match header.packet_type() {
        1 => connect::decode(header, body, strictness).map(|connect| Some(Packet::Connect(connect))),
        2 => match *body {
            [flags, code, ..] => Ok(Some(Packet::ConnAck { session_present: flags & 1 != 0, code })),
            _ => Err(header.malformed("no return code")),
        },
        4 => ack(Packet::PubAck),
        5 => ack(Packet::PubRec),
        6 => ack(Packet::PubRel),
        7 => ack(Packet::PubComp),
        11 => ack(Packet::UnsubAck),
        12 => Ok(Some(Packet::PingReq)),
        13 => Ok(Some(Packet::PingResp)),
        14 => Ok(Some(Packet::Disconnect)),
        _ => Ok(None),
    }
}

/// Decodes a packet with mqttbytes, which takes the frame from the front of `input`.
fn decode_with_mqttbytes(header: Header, input: &mut BytesMut) -> Result<Packet, DecodeError> {
    let packet =
        v4::read(input, header.remaining_bytes).map_err(|error| header.malformed(reason_of(&error)))?;
    match packet {
        v4::Packet::Publish(publish) => Ok(Packet::Publish(Publish {
            topic: publish.topic,
            payload: publish.payload,
            qos: from_mqttbytes(publish.qos),
            dup: publish.dup,
            retain: publish.retain,
            pid: publish.pkid,
        })),
        v4::Packet::Subscribe(subscribe) => {
            let filters = subscribe
                .filters
                .into_iter()
                .map(|filter| (filter.path, from_mqttbytes(filter.qos)))
                .collect();
            Ok(Packet::Subscribe(Subscribe { pid: subscribe.pkid, filters }))
        }
        v4::Packet::SubAck(suback) => {
            let code = |code| match code {
                v4::SubscribeReasonCode::Success(qos) => qos as u8,
                v4::SubscribeReasonCode::Failure => SUBACK_FAILURE,
            };
            let granted = suback.return_codes.into_iter().map(code).collect();
            Ok(Packet::SubAck { pid: suback.pkid, granted })
        }
        v4::Packet::Unsubscribe(unsubscribe) => {
            Ok(Packet::Unsubscribe { pid: unsubscribe.pkid, filters: unsubscribe.topics })
        }
        _ => Err(header.malformed("a type that does not match the header")),
    }
}

fn from_mqttbytes(qos: mqttbytes::QoS) -> QoS {
    match qos {
        mqttbytes::QoS::AtMostOnce => QoS::AtMostOnce,
        mqttbytes::QoS::AtLeastOnce => QoS::AtLeastOnce,
        mqttbytes::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

/// Describes an error from mqttbytes. Only errors that can occur in a complete frame have a specific description.
fn reason_of(error: &mqttbytes::Error) -> &'static str {
    use mqttbytes::Error;
    match error {
        Error::TopicNotUtf8 => "text that is not UTF-8",
        Error::InvalidQoS(_) => "a QoS of 3",
        Error::PacketIdZero => "packet id 0",
        Error::InvalidSubscribeReasonCode(_) => "a reserved return code",
        Error::BoundaryCrossed(_) => "a field that is longer than the packet",
        _ => "too short",
    }
}
