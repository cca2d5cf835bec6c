//! The stamp of a tracked message: sender, sequence number and due time, in 36 characters that any payload can contain. Written
//! by `render`, and searched for by `fleet` in delivered messages, which are untrusted input.
//!
//! A stamp consists of `~hs1` and 24 bytes in base64url (RFC 4648 §5). None of these characters has a meaning in JSON, XML, CSV or
//! URLs, and `~` is rare enough to search for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memchr_iter;

/// Prefix of a stamp.
const MARK: &[u8; 4] = b"~hs1";
/// Size in binary form: 7 bytes for the run, 4 for the device, 2 for the stream, 5 for the sequence number, 6 for the due time.
const RAW_BYTES: usize = 24;
const TEXT_BYTES: usize = RAW_BYTES / 3 * 4;

/// The contents of a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Random number that identifies the run. 56 bits.
    pub run: u64,
    /// Index of the sender among the devices of all fleets.
    pub device: u32,
    /// Index of the stream among the sender's streams.
    pub stream: u16,
    /// Sequence number in the stream. 40 bits.
    pub seq: u64,
    /// Due time, in microseconds since the start of the run. 48 bits.
    pub due_us: u64,
}

impl Stamp {
    /// Size of a stamp in a payload, in bytes.
    pub const BYTES: usize = MARK.len() + TEXT_BYTES;
    /// The bits of a run number that a stamp contains.
    pub const RUN_MASK: u64 = (1 << 56) - 1;

    /// Returns the stamp as text.
    #[must_use]
    pub fn to_text(&self) -> [u8; Stamp::BYTES] {
        let mut raw = [0; RAW_BYTES];
        raw[..7].copy_from_slice(&self.run.to_be_bytes()[1..]);
        raw[7..11].copy_from_slice(&self.device.to_be_bytes());
        raw[11..13].copy_from_slice(&self.stream.to_be_bytes());
        raw[13..18].copy_from_slice(&self.seq.to_be_bytes()[3..]);
        raw[18..].copy_from_slice(&self.due_us.to_be_bytes()[2..]);
        let mut text = [0; Stamp::BYTES];
        text[..MARK.len()].copy_from_slice(MARK);
        let written = URL_SAFE_NO_PAD.encode_slice(raw, &mut text[MARK.len()..]);
        debug_assert_eq!(written, Ok(TEXT_BYTES), "24 bytes are 32 characters in base64");
        text
    }

    /// Returns the payload's first stamp that belongs to `run`. Does not allocate, and searches the payload only once.
    #[must_use]
    pub fn find(payload: &[u8], run: u64) -> Option<Stamp> {
        let stamps = memchr_iter(MARK[0], payload).filter_map(|at| Stamp::parse(payload.get(at..)?));
        stamps.into_iter().find(|stamp| stamp.run == run)
    }

    fn parse(text: &[u8]) -> Option<Stamp> {
        let text = text.strip_prefix(MARK)?.get(..TEXT_BYTES)?;
        let mut raw = [0; RAW_BYTES];
        if URL_SAFE_NO_PAD.decode_slice(text, &mut raw) != Ok(RAW_BYTES) {
            return None;
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        Some(Stamp {
            run: number(&raw[..7]),
            device: u32::try_from(number(&raw[7..11])).ok()?,
            stream: u16::try_from(number(&raw[11..13])).ok()?,
            seq: number(&raw[13..18]),
            due_us: number(&raw[18..]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAMP: Stamp =
        Stamp { run: 0xab_cdef_0123_4567, device: 70_000, stream: 3, seq: 41, due_us: 12_345 };

    fn text(stamp: &Stamp) -> String {
        String::from_utf8(stamp.to_text().to_vec()).unwrap()
    }

    #[test]
    fn stamp_is_found_anywhere_in_a_payload() {
        let text = text(&STAMP);
        assert_eq!(text, "~hs1q83vASNFZwABEXAAAwAAAAApAAAAADA5");
        for payload in [
            text.clone(),
            format!("{{\"s\":\"{text}\",\"more\":1}}"),
            format!("~~hs1~hs1not~{text}"),
            format!("{text}{text}"),
        ] {
            assert_eq!(Stamp::find(payload.as_bytes(), STAMP.run), Some(STAMP), "{payload}");
        }
    }

    #[test]
    fn other_text_and_other_runs_are_ignored() {
        let (ours, theirs) = (text(&STAMP), text(&Stamp { run: 1, ..STAMP }));
        for payload in
            [&ours[..35], &theirs, "", "~", "~hs1", &ours.replace('q', "+"), &ours.replace("hs1", "hs2")]
        {
            assert_eq!(Stamp::find(payload.as_bytes(), STAMP.run), None, "{payload}");
        }
        assert_eq!(Stamp::find(format!("{theirs}{ours}").as_bytes(), STAMP.run), Some(STAMP));
    }

    proptest! {
        #[test]
        fn written_stamp_is_found_again(
            run in 0..=Stamp::RUN_MASK, device: u32, stream: u16, seq in 0..1_u64 << 40, due_us in 0..1_u64 << 48,
            before: Vec<u8>, after: Vec<u8>,
        ) {
            let stamp = Stamp { run, device, stream, seq, due_us };
            let payload = [&before[..], &stamp.to_text(), &after].concat();
            prop_assert_eq!(Stamp::find(&payload, run), Some(stamp));
        }

        #[test]
        fn any_bytes_are_searched_without_panic(payload in prop::collection::vec(prop_oneof![Just(b'~'), Just(b'h'), Just(b's'), Just(b'1'), any::<u8>()], 0..200)) {
            let _ = Stamp::find(&payload, 0);
        }
    }
}
