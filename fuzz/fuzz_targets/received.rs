//! A topic, a newline and a body as a message from a hub. It must not panic, and the request id of an accepted method
//! call can be sent back.
#![no_main]

use bytes::BytesMut;
use hubstorm::iothub::received::{Received, Refusal, desired_version, received, stamp};
use hubstorm::wire::{QoS, Strictness, decode, encode};

libfuzzer_sys::fuzz_target!(|message: &[u8]| {
    let end = message.iter().position(|byte| *byte == b'\n').unwrap_or(message.len());
    let (topic, body) = message.split_at(end);
    let body = body.get(1..).unwrap_or_default();
    let _ = (desired_version(body), Refusal::read(body).to_string());
    let Ok(topic) = std::str::from_utf8(topic) else { return };
    match received("d#1", topic) {
        Some(Received::Method { rid, .. }) => {
            let topic = format!("$iothub/methods/res/200/?$rid={rid}");
            let answer = encode::PublishRef {
                topic: &topic,
                payload: body,
                qos: QoS::AtMostOnce,
                dup: false,
                retain: false,
                pid: 0,
            };
            let mut bytes = BytesMut::new();
            encode::publish(&mut bytes, &answer).expect("an id that MQTT can carry");
            decode(&mut bytes, usize::MAX, Strictness::Strict).expect("a hub can read it").expect("a whole packet");
        }
        Some(Received::C2d { bag }) => {
            let _ = stamp(bag);
        }
        Some(Received::TwinAnswer { .. } | Received::Desired { .. }) | None => {}
    }
});
