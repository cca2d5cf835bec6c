//! Finds keys that occur twice, such as device ids and phase names. Used by `resolve` and `credentials`. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Keys, each with the place where it first occurred: an index or a line number.
#[derive(Debug)]
pub(super) struct Duplicates<K> {
    first: HashMap<K, usize>,
}

impl<K> Default for Duplicates<K> {
    fn default() -> Duplicates<K> {
        Duplicates { first: HashMap::new() }
    }
}

impl<K: Eq + Hash> Duplicates<K> {
    /// Returns where the key first occurred, if it has occurred before. Otherwise records that it occurs at `place`.
    pub(super) fn first(&mut self, key: K, place: usize) -> Option<usize> {
        match self.first.entry(key) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(entry) => {
                entry.insert(place);
                None
            }
        }
    }
}
