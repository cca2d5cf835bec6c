//! Checks strings, topics, packets and QoS against the limits of MQTT 3.1.1 and of an IoT hub.

use super::quoting::quoted;
use crate::plan::model::TargetKind;
use crate::scenario::{Errors, Place, Written};
use crate::units::exact_bytes;
use crate::wire::{REMAINING_BYTES_MAX, STRING_BYTES_MAX};

/// Checks a string. A string that is too long or contains a NUL would corrupt the stream (MQTT 3.1.1 §1.5.3).
pub(super) fn check_string(rendered: &str, what: &str, place: &Place, errors: &mut Errors) {
    if rendered.len() > STRING_BYTES_MAX {
        let problem = errors.add(place, format!("{what} is too long for MQTT"));
        problem.found(exact_bytes(rendered.len())).allowed(exact_bytes(STRING_BYTES_MAX));
    }
    if rendered.contains('\0') {
        errors.add(place, format!("{what} must not contain a NUL"));
    }
}

/// Checks the topic of a PUBLISH (MQTT 3.1.1 §3.3.2.1).
pub(super) fn check_topic(rendered: &str, written: &Written<String>, errors: &mut Errors) {
    check_string(rendered, "the topic", &written.place, errors);
    if rendered.contains(['+', '#']) {
        errors
            .add(&written.place, "wildcards are for subscriptions")
            .found(quoted(&written.text))
            .allowed("a topic without + or #");
    }
}

/// Checks the size of a PUBLISH with a packet id. The remaining length is stored in four bytes with seven bits each (MQTT
/// 3.1.1 §2.2.3).
pub(super) fn check_packet(payload_bytes: usize, topic_bytes: usize, place: &Place, errors: &mut Errors) {
    let most = REMAINING_BYTES_MAX - 2 - 2 - topic_bytes.min(STRING_BYTES_MAX);
    if payload_bytes > most {
        let problem = errors.add(place, "too large for MQTT");
        problem.found(format!("up to {}", exact_bytes(payload_bytes)));
        problem.allowed(format!("{}, with a topic of {}", exact_bytes(most), exact_bytes(topic_bytes)));
    }
}

pub(super) fn check_qos(qos: &Written<u8>, kind: Option<TargetKind>, errors: &mut Errors) -> u8 {
    if qos.value == 2 && kind == Some(TargetKind::IotHub) {
        let problem = errors.add(&qos.place, "an IoT hub closes connections that use QoS 2");
        problem.found("2").allowed("0 or 1").fix("qos = 1");
    }
    qos.value
}
