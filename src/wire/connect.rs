//! Decodes CONNECT, and defines its flags for `encode`. mqttbytes is not used for CONNECT: it requires the password to be text and does not
//! wipe it, treats an empty user name as a missing one, accepts protocol level 5 but reads the properties as a client id, and writes the
//! flags at the wrong position unless the buffer is empty. Used by `decode` and `encode`.

use super::frame::{DecodeError, Header};
use super::packet::{Connect, QoS, Will};
use super::reader::Reader;
use super::strict::Strictness;
use bytes::Bytes;
use zeroize::Zeroizing;

/// The protocol level of MQTT 3.1.1.
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

/// Decodes the body of a CONNECT.
pub(super) fn decode(header: Header, body: &[u8], strictness: Strictness) -> Result<Connect, DecodeError> {
    let short = || header.malformed("too short");
    let mut reader = Reader(body);
    // MQTT 3.1 has the name "MQIsdp" and level 3. Such a client gets return code 1 instead of a closed connection.
    if !matches!(reader.bytes().ok_or_else(short)?, b"MQTT" | b"MQIsdp") {
        return Err(header.malformed("an unknown protocol name"));
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
        return Err(header.malformed("extra bytes after the last field"));
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

/// Checks that the flags do not contradict each other (MQTT 3.1.1 §3.1.2.3 to §3.1.2.9).
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
