//! Filler: random bytes that do not compress, as a JSON string, with an optional stamp. Used by `render`.

use super::stamp::Stamp;
use crate::rng::Rng;
use rand::Rng as _;

/// 64 characters that JSON does not escape. Each stands for six random bits.
const FILLER: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The minimum size of a filler with room for a stamp between its quotes.
pub(super) const STAMPED_BYTES_MIN: usize = Stamp::BYTES + 2;

pub(super) fn fill(out: &mut Vec<u8>, bytes: usize, stamp: Option<&Stamp>, rng: &mut Rng) {
    let quotes = usize::from(bytes >= 2);
    out.extend(std::iter::repeat_n(b'"', quotes));
    let mut left = bytes - 2 * quotes;
    if let Some(stamp) = stamp.filter(|_| left >= Stamp::BYTES) {
        out.extend_from_slice(&stamp.to_text());
        left -= Stamp::BYTES;
    }
    while left > 0 {
        let mut bits = rng.next_u64();
        for _ in 0..left.min(10) {
            out.push(FILLER[(bits & 63) as usize]);
            bits >>= 6;
        }
        left -= left.min(10);
    }
    out.extend(std::iter::repeat_n(b'"', quotes));
}
