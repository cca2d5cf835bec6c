//! Removes the acknowledgments of received messages from a buffer of whole packets. Used for devices that never acknowledge.

use super::Strictness;
use super::decode::decode_header;

/// Returns the packets of `output` except PUBACK, PUBREC and PUBCOMP, and the number of removed packets. Bytes after the last whole packet
/// are kept.
#[must_use]
pub fn without_acknowledgments(mut output: &[u8]) -> (Vec<u8>, u64) {
    let (mut rest, mut removed) = (Vec::with_capacity(output.len()), 0);
    while let Ok(Some(header)) = decode_header(output, Strictness::Lenient) {
        let Some((packet, after)) = output.split_at_checked(header.header_bytes + header.remaining_bytes)
        else {
            break;
        };
        if matches!(header.packet_type(), 4 | 5 | 7) {
            removed += 1;
        } else {
            rest.extend_from_slice(packet);
        }
        output = after;
    }
    rest.extend_from_slice(output);
    (rest, removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgments_are_removed_and_other_packets_stay() {
        let publish = [0x32, 5, 0, 1, b't', 0, 9];
        let (puback, pubrec, pubrel, pubcomp, ping) =
            ([0x40, 2, 0, 1], [0x50, 2, 0, 1], [0x62, 2, 0, 1], [0x70, 2, 0, 1], [0xc0, 0]);
        let output =
            [&publish[..], &puback, &pubrec, &pubrel, &pubcomp, &ping, &puback, &[0x32, 9, 0]].concat();
        let (rest, removed) = without_acknowledgments(&output);
        assert_eq!((rest, removed), ([&publish[..], &pubrel, &ping, &[0x32, 9, 0]].concat(), 4));
        assert_eq!(without_acknowledgments(&[]), (Vec::new(), 0));
    }
}
