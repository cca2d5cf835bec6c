//! CONNECT, read and written here rather than by mqttbytes: that one takes a password for text, cannot tell an
//! empty user name from none, keeps the password in a `String` that is not wiped, accepts level 5 and then reads its
//! properties as a client id, and writes the flags to a wrong place unless the buffer was empty.

use super::frame::{DecodeError, Header};
use super::packet::{Connect, QoS, Will};
use super::reader::Reader;
use super::strict::Strictness;
use bytes::Bytes;
use zeroize::Zeroizing;

/// MQTT 3.1.1.
pub(super) const LEVEL: u8 = 4;

/// The connect flags (MQTT 3.1.1 §3.1.2.3).
pub(super) mod flag {
    pub(crate) const RESERVED: u8 = 0x01;
    pub(crate) const CLEAN_SESSION: u8 = 0x02;
    pub(crate) const WILL: u8 = 0x04;
    pub(crate) const WILL_QOS_SHIFT: u8 = 3;
    pub(crate) const WILL_RETAIN: u8 = 0x20;
    pub(crate) const PASSWORD: u8 = 0x40;
    pub(crate) const USER_NAME: u8 = 0x80;
}

/// Reads the body of a CONNECT.
pub(super) fn decode(header: Header, body: &[u8], strictness: Strictness) -> Result<Connect, DecodeError> {
    let short = || header.malformed("too short");
    let mut reader = Reader(body);
    // MQTT 3.1 says "MQIsdp" and level 3: a client that deserves code 1, not a silent close.
    if !matches!(reader.bytes().ok_or_else(short)?, b"MQTT" | b"MQIsdp") {
        return Err(header.malformed("another protocol name"));
    }
    let level = reader.u8().ok_or_else(short)?;
    if level != LEVEL {
        return Ok(Connect { level, ..Connect::default() });
    }
    let flags = reader.u8().ok_or_else(short)?;
    if strictness.is_strict() {
        check_flags(header, flags)?;
    }
    let keep_alive_s = reader.u16().ok_or_else(short)?;
    let client_id = text(header, &mut reader)?;
    let will = match flags & flag::WILL {
        0 => None,
        _ => Some(Will {
            topic: text(header, &mut reader)?,
            payload: Bytes::copy_from_slice(reader.bytes().ok_or_else(short)?),
            qos: QoS::from_u8((flags >> flag::WILL_QOS_SHIFT) & 3)
                .ok_or_else(|| header.malformed("a will QoS of 3"))?,
            retain: flags & flag::WILL_RETAIN != 0,
        }),
    };
    let username = if flags & flag::USER_NAME == 0 { None } else { Some(text(header, &mut reader)?) };
    let password = if flags & flag::PASSWORD == 0 {
        None
    } else {
        Some(Zeroizing::new(reader.bytes().ok_or_else(short)?.to_vec()))
    };
    if strictness.is_strict() && !reader.0.is_empty() {
        return Err(header.malformed("bytes behind the last field"));
    }
    Ok(Connect {
        level,
        client_id,
        keep_alive_s,
        clean_session: flags & flag::CLEAN_SESSION != 0,
        username,
        password,
        will,
    })
}

/// Flags that contradict each other (MQTT 3.1.1 §3.1.2.3 to §3.1.2.9).
fn check_flags(header: Header, flags: u8) -> Result<(), DecodeError> {
    if flags & flag::RESERVED != 0 {
        return Err(header.malformed("the reserved connect flag is set"));
    }
    if flags & flag::WILL == 0 && flags & (flag::WILL_RETAIN | 3 << flag::WILL_QOS_SHIFT) != 0 {
        return Err(header.malformed("will flags without a will"));
    }
    if flags & flag::USER_NAME == 0 && flags & flag::PASSWORD != 0 {
        return Err(header.malformed("a password without a user name"));
    }
    Ok(())
}

fn text(header: Header, reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let bytes = reader.bytes().ok_or_else(|| header.malformed("too short"))?;
    let text = std::str::from_utf8(bytes).map_err(|_| header.malformed("text that is not UTF-8"))?;
    Ok(text.to_owned())
}
