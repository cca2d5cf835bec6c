//! Property tests: the encoders write the same bytes as mqttbytes, and any split of a packet stream decodes to the same packets.

use super::*;
use bytes::BytesMut;
use mqttbytes::v4;
use proptest::prelude::*;

/// Text that is valid in MQTT and in topics.
fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9/$ äß-]{1,40}"
}

fn qos() -> impl Strategy<Value = QoS> {
    (0u8..3).prop_map(|number| QoS::from_u8(number).expect("below 3"))
}

fn theirs(qos: QoS) -> mqttbytes::QoS {
    mqttbytes::qos(qos as u8).expect("below 3")
}

/// One frame of any MQTT 3.1.1 packet, written by mqttbytes to an empty buffer.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |packet: &dyn Fn(&mut BytesMut) -> Result<usize, mqttbytes::Error>| {
        let mut out = BytesMut::new();
        packet(&mut out).unwrap();
        out.to_vec()
    };
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        4 => (name(), payload, qos(), 1u16.., any::<bool>()).prop_map(move |(topic, payload, qos, pid, retain)| {
            let mut publish = v4::Publish::new(topic, theirs(qos), payload);
            (publish.pkid, publish.retain) = (pid, retain);
            bytes(&|out| publish.write(out))
        }),
        4 => (1u16..).prop_map(move |pid| bytes(&|out| v4::PubAck::new(pid).write(out))),
        1 => (1u16..).prop_map(move |pid| bytes(&|out| v4::PubRec::new(pid).write(out))),
        1 => (1u16..).prop_map(move |pid| bytes(&|out| v4::PubRel::new(pid).write(out))),
        1 => (1u16..).prop_map(move |pid| bytes(&|out| v4::PubComp::new(pid).write(out))),
        1 => (name(), name(), any::<u16>()).prop_map(move |(id, user, keep_alive)| {
            let mut connect = v4::Connect::new(id);
            connect.set_login(user.as_str(), "secret").keep_alive = keep_alive;
            bytes(&|out| connect.write(out))
        }),
        1 => (1u16.., prop::collection::vec((name(), qos()), 1..4)).prop_map(move |(pid, filters)| {
            let filters = filters.into_iter().map(|(path, qos)| v4::SubscribeFilter::new(path, theirs(qos)));
            let mut subscribe = v4::Subscribe::new_many(filters);
            subscribe.pkid = pid;
            bytes(&|out| subscribe.write(out))
        }),
        1 => (1u16.., prop::collection::vec(qos(), 1..4)).prop_map(move |(pid, codes)| {
            let codes = codes.into_iter().map(|qos| v4::SubscribeReasonCode::Success(theirs(qos))).collect();
            let suback = v4::SubAck::new(pid, codes);
            bytes(&|out| suback.write(out))
        }),
        1 => (1u16.., name()).prop_map(move |(pid, topic)| {
            let mut unsubscribe = v4::Unsubscribe::new(topic);
            unsubscribe.pkid = pid;
            bytes(&|out| unsubscribe.write(out))
        }),
        1 => prop::sample::select(vec![vec![0xc0, 0], vec![0xd0, 0], vec![0xe0, 0], vec![0xb0, 2, 0, 9],
            vec![0x20, 2, 1, 0], vec![0x20, 2, 0, 5]]),
    ]
}

/// Decodes a stream that is split at `cuts`. Returns its packets, and the error that ended it.
fn read_all(stream: &[u8], cuts: &[usize], strictness: Strictness) -> (Vec<Packet>, Option<DecodeError>) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.push(stream.len());
    cuts.sort_unstable();
    let mut input = BytesMut::new();
    let mut packets = Vec::new();
    let mut received = 0;
    for cut in cuts {
        input.extend_from_slice(&stream[received..cut]);
        received = cut;
        loop {
            let before = input.len();
            match decode(&mut input, 1000, strictness) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => {
                    assert_eq!(input.len(), before, "an incomplete packet leaves the input unchanged");
                    break;
                }
                Err(error) => return (packets, Some(error)),
            }
        }
    }
    (packets, None)
}

proptest! {
    #[test]
    fn publish_equals_mqttbytes(
        topic in ".{0,200}",
        payload in prop::collection::vec(any::<u8>(), 0..20_000),
        qos in qos(), dup: bool, retain: bool, pid in 1u16..,
    ) {
        let mut expected = BytesMut::new();
        let mut publish = v4::Publish::new(topic.as_str(), theirs(qos), payload.as_slice());
        (publish.dup, publish.retain) = (dup, retain);
        publish.pkid = if qos == QoS::AtMostOnce { 0 } else { pid };
        publish.write(&mut expected).unwrap();
        let mut out = BytesMut::new();
        let publish = encode::PublishRef { topic: &topic, payload: &payload, qos, dup, retain, pid };
        encode::publish(&mut out, &publish).unwrap();
        prop_assert_eq!(&out, &expected);
    }

    #[test]
    fn puback_equals_mqttbytes(pid: u16) {
        let (mut out, mut expected) = (BytesMut::new(), BytesMut::new());
        encode::puback(&mut out, pid);
        v4::PubAck::new(pid).write(&mut expected).unwrap();
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn qos_2_packets_and_unsubscribe_equal_mqttbytes(
        pid in 1u16.., topics in prop::collection::vec(name(), 1..4),
    ) {
        let (mut out, mut expected) = (BytesMut::new(), BytesMut::new());
        encode::pubrec(&mut out, pid);
        v4::PubRec::new(pid).write(&mut expected).unwrap();
        out.extend_from_slice(&encode::pubrel(pid));
        v4::PubRel::new(pid).write(&mut expected).unwrap();
        encode::pubcomp(&mut out, pid);
        v4::PubComp::new(pid).write(&mut expected).unwrap();
        let filters: Vec<&str> = topics.iter().map(String::as_str).collect();
        encode::unsubscribe(&mut out, pid, &filters).unwrap();
        let mut unsubscribe = v4::Unsubscribe::new(topics[0].clone());
        unsubscribe.topics = topics.clone();
        unsubscribe.pkid = pid;
        unsubscribe.write(&mut expected).unwrap();
        prop_assert_eq!(out, expected);
    }

    /// mqttbytes encodes correctly only into an empty buffer. Our encoder must also work after other bytes.
    #[test]
    fn connect_equals_mqttbytes(
        client_id in ".{0,60}", user in ".{1,60}", password in ".{1,60}", clean_session: bool, keep_alive_s: u16,
        will in prop::option::of((".{0,30}", prop::collection::vec(any::<u8>(), 0..200), qos(), any::<bool>())),
    ) {
        let mut connect = v4::Connect::new(client_id.as_str());
        connect.set_login(user.as_str(), password.as_str()).clean_session = clean_session;
        connect.keep_alive = keep_alive_s;
        connect.last_will = will.as_ref().map(|(topic, payload, qos, retain)|
            v4::LastWill::new(topic.as_str(), payload.as_slice(), theirs(*qos), *retain));
        let mut expected = BytesMut::new();
        connect.write(&mut expected).unwrap();
        let mut out = BytesMut::from(&b"before"[..]);
        encode::connect(&mut out, &encode::ConnectRef {
            client_id: &client_id, keep_alive_s, clean_session,
            username: Some(&user), password: Some(password.as_bytes()),
            will: will.as_ref().map(|(topic, payload, qos, retain)|
                encode::WillRef { topic, payload, qos: *qos, retain: *retain }),
        }).unwrap();
        prop_assert_eq!(&out[6..], &expected[..]);
    }

    #[test]
    fn any_split_decodes_the_same(
        frames in prop::collection::vec(frame(), 0..20),
        cuts in prop::collection::vec(any::<usize>(), 0..30),
    ) {
        let stream = frames.concat();
        let (whole, error) = read_all(&stream, &[], Strictness::Strict);
        prop_assert_eq!(error, None);
        prop_assert_eq!(whole.len(), frames.len());
        let byte_by_byte: Vec<usize> = (0..stream.len()).collect();
        for cuts in [&cuts, &byte_by_byte] {
            prop_assert_eq!(&read_all(&stream, cuts, Strictness::Strict).0, &whole);
            prop_assert_eq!(&read_all(&stream, cuts, Strictness::Lenient).0, &whole);
        }
    }

    /// Decoding a damaged stream never panics, and however it is split, the packets and the error are the same. The strict decoder never
    /// returns more packets than the lenient one.
    #[test]
    fn any_split_fails_the_same(
        frames in prop::collection::vec(frame(), 1..10),
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        cuts in prop::collection::vec(any::<usize>(), 0..30),
    ) {
        let mut stream = frames.concat();
        let length = stream.len();
        for (at, byte) in damage {
            stream[at % length] = byte;
        }
        let strict = read_all(&stream, &[], Strictness::Strict);
        let lenient = read_all(&stream, &[], Strictness::Lenient);
        prop_assert_eq!(&read_all(&stream, &cuts, Strictness::Strict), &strict);
        prop_assert_eq!(&read_all(&stream, &cuts, Strictness::Lenient), &lenient);
        prop_assert!(strict.0.len() <= lenient.0.len());
        prop_assert_eq!(&strict.0[..], &lenient.0[..strict.0.len()]);
    }

    #[test]
    fn random_bytes_never_panic(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        for strictness in [Strictness::Lenient, Strictness::Strict] {
            read_all(&noise, &[], strictness);
        }
    }
}
