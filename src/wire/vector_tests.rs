//! Tests with byte vectors from the standard, which detect errors that the encoder and the decoder share, and with packets that each
//! strictness level refuses.

use super::*;
use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

fn read(bytes: &[u8], strictness: Strictness) -> Result<Option<Packet>, DecodeError> {
    let mut input = BytesMut::from(bytes);
    let packet = decode(&mut input, 1 << 20, strictness);
    if matches!(packet, Ok(Some(_))) {
        assert!(input.is_empty(), "{bytes:02x?} was not consumed completely");
    }
    packet
}

/// Decodes a packet that both strictness levels accept.
fn both(bytes: &[u8]) -> Packet {
    let strict = read(bytes, Strictness::Strict).expect("strict").expect("complete");
    assert_eq!(read(bytes, Strictness::Lenient), Ok(Some(strict.clone())));
    strict
}

/// Returns the bytes that `write` appends.
fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::from(&b"before"[..]);
    write(&mut out);
    assert!(out.starts_with(b"before"));
    out[6..].to_vec()
}

/// §3.1.2.10, figure 3.6: the variable header of the non-normative example, with the payload order from §3.1.3.
#[test]
fn connect_round_trips() {
    let bytes =
        b"\x10\x27\x00\x04MQTT\x04\xce\x00\x0a\x00\x04test\x00\x02/a\x00\x07offline\x00\x04rust\x00\x02mq";
    let Packet::Connect(connect) = both(bytes) else { panic!("not a CONNECT") };
    let will = Will {
        topic: "/a".into(),
        payload: Bytes::from_static(b"offline"),
        qos: QoS::AtLeastOnce,
        retain: false,
    };
    assert_eq!(
        connect,
        Connect {
            level: 4,
            client_id: "test".into(),
            keep_alive_s: 10,
            clean_session: true,
            username: Some("rust".into()),
            password: Some(Zeroizing::new(b"mq".to_vec())),
            will: Some(will),
        }
    );
    assert!(!format!("{connect:?}").contains("109"), "{connect:?}");
    let connect = encode::ConnectRef {
        client_id: "test",
        keep_alive_s: 10,
        clean_session: true,
        username: Some("rust"),
        password: Some(b"mq"),
        will: Some(encode::WillRef {
            topic: "/a",
            payload: b"offline",
            qos: QoS::AtLeastOnce,
            retain: false,
        }),
    };
    assert_eq!(written(|out| encode::connect(out, &connect).unwrap()), bytes);
}

/// mqttbytes cannot express an empty user name or a binary password.
#[test]
fn connect_with_an_empty_user_name_and_a_binary_password() {
    let bytes = b"\x10\x14\x00\x04MQTT\x04\xc0\x00\x00\x00\x01d\x00\x00\x00\x03\xff\x00\xfe";
    let Packet::Connect(connect) = both(bytes) else { panic!("not a CONNECT") };
    assert_eq!(connect.username.as_deref(), Some(""));
    assert_eq!(connect.password.as_deref().map(Vec::as_slice), Some(&b"\xff\x00\xfe"[..]));
    assert!(!connect.clean_session);
}

/// §3.1.2.2: a server refuses other protocol levels with return code 1, so the decoder must return the level.
#[test]
fn connect_with_another_protocol_level_is_decoded() {
    for (bytes, level) in [
        (&b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x05\x11\0\0\0\0\0\0"[..], 5),
        (&b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01d"[..], 3),
    ] {
        assert_eq!(both(bytes), Packet::Connect(Connect { level, ..Connect::default() }));
    }
}

/// §3.2.2.
#[test]
fn connack_round_trips() {
    assert_eq!(both(&[0x20, 2, 0, 0]), Packet::ConnAck { session_present: false, code: 0 });
    assert_eq!(both(&[0x20, 2, 1, 0]), Packet::ConnAck { session_present: true, code: 0 });
    assert_eq!(both(&[0x20, 2, 0, 5]), Packet::ConnAck { session_present: false, code: 5 });
    assert_eq!(both(&[0x20, 2, 0, 77]), Packet::ConnAck { session_present: false, code: 77 });
    assert_eq!(written(|out| encode::connack(out, true, 0)), [0x20, 2, 1, 0]);
}

/// §3.3.2.3, figure 3.11: topic "a/b", packet id 10.
#[test]
fn publish_round_trips() {
    let bytes = b"\x32\x09\x00\x03a/b\x00\x0ahi";
    let publish = Publish {
        topic: "a/b".into(),
        payload: Bytes::from_static(b"hi"),
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        pid: 10,
    };
    assert_eq!(both(bytes), Packet::Publish(publish));
    let publish = encode::PublishRef {
        topic: "a/b",
        payload: b"hi",
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        pid: 10,
    };
    assert_eq!(written(|out| encode::publish(out, &publish).unwrap()), bytes);
    let publish = encode::PublishRef { dup: true, retain: true, ..publish };
    assert_eq!(written(|out| encode::publish(out, &publish).unwrap())[0], 0x3b);
    let publish = encode::PublishRef { qos: QoS::AtMostOnce, dup: false, retain: false, ..publish };
    assert_eq!(written(|out| encode::publish(out, &publish).unwrap()), b"\x30\x07\x00\x03a/bhi");
    // §1.5.3.1 figure 1.2: "A" and U+2A6D4. A byte order mark is a character like any other [MQTT-1.5.3-3].
    let Packet::Publish(publish) = both(b"\x30\x07\x00\x05A\xf0\xaa\x9b\x94") else { panic!() };
    assert_eq!(publish.topic, "A\u{2a6d4}");
    let Packet::Publish(publish) = both(b"\x30\x05\x00\x03\xef\xbb\xbf") else { panic!() };
    assert_eq!(publish.topic, "\u{feff}");
}

/// §3.4 to §3.7, §3.11: a packet id of two bytes.
#[test]
fn acknowledgments_round_trip() {
    assert_eq!(both(&[0x40, 2, 0x12, 0x34]), Packet::PubAck(0x1234));
    assert_eq!(both(&[0x50, 2, 0x12, 0x34]), Packet::PubRec(0x1234));
    assert_eq!(both(&[0x62, 2, 0x12, 0x34]), Packet::PubRel(0x1234));
    assert_eq!(both(&[0x70, 2, 0x12, 0x34]), Packet::PubComp(0x1234));
    assert_eq!(both(&[0xb0, 2, 0x12, 0x34]), Packet::UnsubAck(0x1234));
    assert_eq!(written(|out| encode::puback(out, 0x1234)), [0x40, 2, 0x12, 0x34]);
    assert_eq!(written(|out| encode::pubrec(out, 0x1234)), [0x50, 2, 0x12, 0x34]);
    // §3.6.1: the flags of PUBREL are 0010.
    assert_eq!(encode::pubrel(0x1234), [0x62, 2, 0x12, 0x34]);
    assert_eq!(written(|out| encode::pubcomp(out, 0x1234)), [0x70, 2, 0x12, 0x34]);
    assert_eq!(written(|out| encode::unsuback(out, 0x1234)), [0xb0, 2, 0x12, 0x34]);
}

/// §3.8.3 figure 3.23 ("a/b" with QoS 1, "c/d" with QoS 2), §3.9.3 figure 3.27, §3.10.3 figure 3.32.
#[test]
fn subscriptions_round_trip() {
    let bytes = b"\x82\x0e\x00\x0a\x00\x03a/b\x01\x00\x03c/d\x02";
    let filters = vec![("a/b".to_owned(), QoS::AtLeastOnce), ("c/d".to_owned(), QoS::ExactlyOnce)];
    assert_eq!(both(bytes), Packet::Subscribe(Subscribe { pid: 10, filters }));
    let filters = [("a/b", QoS::AtLeastOnce), ("c/d", QoS::ExactlyOnce)];
    assert_eq!(written(|out| encode::subscribe(out, 10, &filters).unwrap()), bytes);

    let bytes = [0x90, 5, 0, 10, 0, 2, 0x80];
    assert_eq!(both(&bytes), Packet::SubAck { pid: 10, granted: vec![0, 2, 0x80] });
    assert_eq!(written(|out| encode::suback(out, 10, &[0, 2, 0x80])), bytes);

    let filters = vec!["a/b".to_owned(), "c/d".to_owned()];
    let bytes = b"\xa2\x0c\x00\x0a\x00\x03a/b\x00\x03c/d";
    assert_eq!(both(bytes), Packet::Unsubscribe { pid: 10, filters });
    assert_eq!(written(|out| encode::unsubscribe(out, 10, &["a/b", "c/d"]).unwrap()), bytes);
}

/// §3.12 to §3.14.
#[test]
fn packets_without_content_round_trip() {
    assert_eq!(both(&[0xc0, 0]), Packet::PingReq);
    assert_eq!(both(&[0xd0, 0]), Packet::PingResp);
    assert_eq!(both(&[0xe0, 0]), Packet::Disconnect);
    assert_eq!(written(encode::pingreq), [0xc0, 0]);
    assert_eq!(written(encode::pingresp), [0xd0, 0]);
    assert_eq!(written(encode::disconnect), [0xe0, 0]);
}

/// §2.2.3 table 2.4: the smallest and largest remaining length of each encoded size, in a PUBLISH.
#[test]
fn remaining_lengths_of_every_size_round_trip() {
    for (length, bytes) in [
        (127, &[0x7f][..]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 0x01]),
        (2_097_151, &[0xff, 0xff, 0x7f]),
        (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
    ] {
        let payload = vec![7; length - 3];
        let publish = encode::PublishRef {
            topic: "a",
            payload: &payload,
            qos: QoS::AtMostOnce,
            dup: false,
            retain: false,
            pid: 0,
        };
        let frame = written(|out| encode::publish(out, &publish).unwrap());
        assert_eq!(&frame[1..=bytes.len()], bytes);
        let mut input = BytesMut::from(&frame[..]);
        let size = frame.len();
        let too_large = DecodeError::TooLarge { frame_bytes: size, frame_bytes_max: size - 1 };
        assert_eq!(decode(&mut input, size - 1, Strictness::Strict), Err(too_large));
        let packet = decode(&mut input, size, Strictness::Strict).unwrap().unwrap();
        let Packet::Publish(publish) = packet else { panic!("not a PUBLISH") };
        assert_eq!(publish.payload, payload);
    }
    let mut input = BytesMut::from(&[0x30, 0xff, 0xff, 0xff, 0x7f][..]);
    let too_large = DecodeError::TooLarge { frame_bytes: 268_435_460, frame_bytes_max: 1024 };
    assert_eq!(decode(&mut input, 1024, Strictness::Lenient), Err(too_large), "before the body is received");
}

/// Packets that both strictness levels refuse.
#[test]
fn malformed_packets_are_always_refused() {
    for bytes in [
        &b"\x00\x00"[..],                                // reserved type
        b"\xf0",                                         // reserved type, without a length
        b"\x30\xff\xff\xff\xff",                         // five bytes of length
        b"\x40\x00",                                     // PUBACK without an id
        b"\x40\x01\x00",                                 // with half an id
        b"\x20\x01\x00",                                 // CONNACK without a code
        b"\x30\x00",                                     // PUBLISH without a topic
        b"\x30\x04\x00\x03a/",                           // topic longer than the packet
        b"\x30\x03\x00\x01\xff",                         // not UTF-8
        b"\x30\x05\x00\x03\xed\xa0\x80",                 // a surrogate [MQTT-1.5.3-1]
        b"\x36\x05\x00\x01a\x00\x01",                    // QoS 3
        b"\x32\x05\x00\x01a\x00\x00",                    // QoS 1, id 0
        b"\x32\x03\x00\x01a",                            // QoS 1, no id
        b"\x82\x06\x00\x01\x00\x01a\x03",                // requests QoS 3
        b"\x82\x05\x00\x01\x00\x01a",                    // no QoS
        b"\x90\x02\x00\x01",                             // SUBACK without codes
        b"\x90\x03\x00\x01\x03",                         // reserved code
        b"\xa2\x01\x00",                                 // UNSUBSCRIBE without an id
        b"\xa2\x04\x00\x01\x00\x05",                     // filter longer than the packet
        b"\x10\x0c\x00\x04MQTX\x04\x02\x00\x00\x00\x00", // protocol name
        b"\x10\x09\x00\x04MQTT\x04\x02\x00",             // too short
        b"\x10\x0c\x00\x04MQTT\x04\x82\x00\x00\x00\x00", // a missing user name
    ] {
        for strictness in [Strictness::Lenient, Strictness::Strict] {
            let read = read(bytes, strictness);
            assert!(read.is_err(), "{bytes:02x?} {strictness:?} {read:?}");
        }
    }
}

/// Packets that only the lenient decoder accepts.
#[test]
fn nonconforming_packets_are_refused_if_strict() {
    for bytes in [
        &b"\x41\x02\x00\x01"[..],                         // flags of PUBACK [MQTT-2.2.2-2]
        b"\x60\x02\x00\x01",                              // flags of PUBREL [MQTT-3.6.1-1]
        b"\x80\x06\x00\x01\x00\x01a\x00",                 // flags of SUBSCRIBE [MQTT-3.8.1-1]
        b"\xa0\x05\x00\x01\x00\x01a",                     // flags of UNSUBSCRIBE [MQTT-3.10.1-1]
        b"\xc1\x00",                                      // flags of PINGREQ
        b"\x38\x03\x00\x01a",                             // DUP at QoS 0 [MQTT-3.3.1-2]
        b"\x40\x03\x00\x01\x00",                          // a PUBACK of three bytes
        b"\x40\x02\x00\x00",                              // a PUBACK with packet id 0
        b"\xd0\x01\x00",                                  // a PINGRESP with a body
        b"\x20\x02\x02\x00",                              // reserved bits of CONNACK
        b"\x20\x02\x01\x05",                              // a session with a refusal [MQTT-3.2.2-4]
        b"\x30\x04\x00\x02a\x00",                         // U+0000 [MQTT-1.5.3-2]
        b"\x30\x03\x00\x01#",                             // wildcard in a name [MQTT-3.3.2-2]
        b"\x30\x02\x00\x00",                              // an empty name [MQTT-4.7.3-1]
        b"\x82\x06\x00\x01\x00\x01a\x04",                 // reserved bits [MQTT-3-8.3-4]
        b"\x82\x07\x00\x01\x00\x02a+\x00",                // wildcard within a level [MQTT-4.7.1-3]
        b"\x82\x02\x00\x01",                              // no filter [MQTT-3.8.3-3]
        b"\x82\x06\x00\x00\x00\x01a\x00",                 // packet id 0 [MQTT-2.3.1-1]
        b"\xa2\x02\x00\x01",                              // no filter [MQTT-3.10.3-2]
        b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x00\x00\x01d", // reserved connect flag [MQTT-3.1.2-3]
        b"\x10\x0d\x00\x04MQTT\x04\x22\x00\x00\x00\x01d", // will retain, no will [MQTT-3.1.2-15]
        b"\x10\x10\x00\x04MQTT\x04\x42\x00\x00\x00\x01d\x00\x01p", // password, no user name [MQTT-3.1.2-22]
        b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x01dx", // an extra byte
        b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01\x00", // U+0000 in the client id
    ] {
        let lenient = read(bytes, Strictness::Lenient);
        assert!(matches!(lenient, Ok(Some(_))), "{bytes:02x?} {lenient:?}");
        let strict = read(bytes, Strictness::Strict);
        assert!(matches!(strict, Err(DecodeError::Malformed { .. })), "{bytes:02x?} {strict:?}");
        let wildcards = bytes == b"\x30\x03\x00\x01#" || bytes == b"\x82\x07\x00\x01\x00\x02a+\x00";
        let expected = if wildcards { lenient } else { strict };
        assert_eq!(read(bytes, Strictness::StrictButWildcards), expected, "{bytes:02x?}");
    }
}

/// An encoder that fails must not leave a partial packet in the buffer.
#[test]
fn failed_encoders_leave_the_buffer_unchanged() {
    let long = "x".repeat(STRING_BYTES_MAX + 1);
    let mut out = BytesMut::new();
    let publish = encode::PublishRef {
        topic: &long,
        payload: b"",
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        pid: 1,
    };
    assert!(encode::publish(&mut out, &publish).is_err());
    let publish = encode::PublishRef { topic: "a", pid: 0, ..publish };
    assert_eq!(encode::publish(&mut out, &publish), Err(encode::EncodeError::PacketIdZero));
    let connect = encode::ConnectRef {
        client_id: "d",
        keep_alive_s: 0,
        clean_session: true,
        username: None,
        password: Some(b"secret"),
        will: None,
    };
    assert_eq!(encode::connect(&mut out, &connect), Err(encode::EncodeError::PasswordWithoutUserName));
    assert!(!format!("{connect:?}").contains("115"), "{connect:?}");
    let connect = encode::ConnectRef { username: Some(&long), ..connect };
    assert!(encode::connect(&mut out, &connect).is_err());
    let filters = [("a", QoS::AtMostOnce), (&long, QoS::AtMostOnce)];
    assert!(encode::subscribe(&mut out, 1, &filters).is_err());
    assert!(encode::subscribe(&mut out, 1, &[]).is_err());
    assert!(encode::subscribe(&mut out, 0, &filters[..1]).is_err());
    assert!(encode::unsubscribe(&mut out, 1, &["a", &long]).is_err());
    assert!(encode::unsubscribe(&mut out, 1, &[]).is_err());
    assert!(encode::unsubscribe(&mut out, 0, &["a"]).is_err());
    assert!(out.is_empty());
}
