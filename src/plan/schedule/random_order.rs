//! A random order of the numbers below a limit. Used by `storms`. Pure.

use crate::rng::Rng;
use rand::RngExt;

/// Rounds of the Feistel network. Four make every order about as likely as any other.
const ROUNDS: usize = 4;

/// A random order of the numbers from 0 to `count - 1`, which needs no memory per number: a Feistel network, whose results outside
/// the range are encrypted again.
#[derive(Clone, Copy, Debug)]
pub(super) struct RandomOrder {
    count: u64,
    /// Number of bits in each half of a number.
    bits: u32,
    keys: [u64; ROUNDS],
}

impl RandomOrder {
    /// Draws an order.
    pub(super) fn new(count: u64, rng: &mut Rng) -> RandomOrder {
        let needed = u64::BITS - count.saturating_sub(1).leading_zeros();
        RandomOrder { count, bits: needed.div_ceil(2).max(1), keys: std::array::from_fn(|_| rng.random()) }
    }

    /// Returns the place of a number in the order.
    pub(super) fn place(&self, number: u64) -> u64 {
        let mut place = self.encrypt(number);
        // The network's range is less than four times as large as the count, so this ends soon.
        while place >= self.count {
            place = self.encrypt(place);
        }
        place
    }

    fn encrypt(&self, number: u64) -> u64 {
        let mask = (1 << self.bits) - 1;
        let (mut left, mut right) = (number >> self.bits & mask, number & mask);
        for key in self.keys {
            // The high bits of a product depend on all bits of the factors.
            let scrambled = (right ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key.rotate_left(32);
            let scrambled = scrambled.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> (u64::BITS - self.bits);
            (left, right) = (right, left ^ scrambled);
        }
        left << self.bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, generator};

    #[test]
    fn every_number_has_its_own_place() {
        for count in [1, 2, 3, 10, 64, 1000] {
            let order = RandomOrder::new(count, &mut generator(1, 0, Purpose::Disconnect(0)));
            let mut places: Vec<u64> = (0..count).map(|number| order.place(number)).collect();
            places.sort_unstable();
            assert_eq!(places, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn places_are_spread_evenly() {
        // How often number 3 gets each of the first and the last tenth of the places, over many seeds.
        let places = (0..2000_u64)
            .map(|seed| RandomOrder::new(100, &mut generator(seed, 0, Purpose::Disconnect(0))).place(3) / 10);
        let mut tenths = [0_u32; 10];
        places.for_each(|tenth| tenths[usize::try_from(tenth).unwrap()] += 1);
        // 200 expected; the standard deviation is 13.4.
        assert!(tenths.iter().all(|count| (133..=267).contains(count)), "{tenths:?}");
    }
}
