//! A list of devices from a file, each with its own key or password. Devices read it before every connection attempt.
//!
//! A list may have tens of thousands of devices, so all of them are stored in a single block of bytes. It is wiped when dropped.

use std::collections::HashMap;
use std::fmt;
use zeroize::Zeroizing;

/// The id, user name and secret of each device, by index.
pub struct DeviceList {
    bytes: Zeroizing<Vec<u8>>,
    /// Where each device's id, user name and secret end in `bytes`.
    ends: Vec<[u32; 3]>,
    /// Warnings about the file, such as ignored gateways.
    warnings: Vec<String>,
    /// Notes about the file, such as skipped identities.
    notes: Vec<String>,
    /// Number of usable devices in the file. `None` if the fleet's `id` selects them.
    in_file: Option<usize>,
}

impl DeviceList {
    pub(super) fn with_capacity(devices: usize, bytes: usize) -> DeviceList {
        DeviceList {
            bytes: Zeroizing::new(Vec::with_capacity(bytes)),
            ends: Vec::with_capacity(devices),
            warnings: Vec::new(),
            notes: Vec::new(),
            in_file: None,
        }
    }

    /// Returns the list with warnings and notes about its file, one sentence each.
    pub(in crate::plan) fn with_messages(self, warnings: Vec<String>, notes: Vec<String>) -> DeviceList {
        DeviceList { warnings, notes, ..self }
    }

    /// Returns the list with the number of usable devices in its file.
    pub(in crate::plan) fn of_file(self, devices: usize) -> DeviceList {
        DeviceList { in_file: Some(devices), ..self }
    }

    /// Returns how many devices the fleet could have with its file. `None` if the fleet's `id` selects them.
    #[must_use]
    pub fn in_file(&self) -> Option<usize> {
        self.in_file
    }

    /// Returns the warnings about the file: settings in it that hubstorm ignores, so that the devices behave differently.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the notes about the file: what hubstorm skipped or ignored in it.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the number of devices.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the memory in use, in bytes.
    #[must_use]
    pub fn bytes_kept(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<[u32; 3]>()
    }

    /// Returns whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns a device's id, or an empty string if there is no such device.
    #[must_use]
    pub fn id(&self, index: u32) -> &str {
        std::str::from_utf8(self.part(index, 0)).unwrap_or_default()
    }

    /// Returns a device's user name, or an empty string if the list has no user names.
    #[must_use]
    pub fn user_name(&self, index: u32) -> &str {
        std::str::from_utf8(self.part(index, 1)).unwrap_or_default()
    }

    /// Returns a device's key or password.
    #[must_use]
    pub fn secret(&self, index: u32) -> &[u8] {
        self.part(index, 2)
    }

    /// Returns the longest id.
    pub(in crate::plan) fn longest_id(&self) -> &str {
        let ids = (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).map(|index| self.id(index));
        ids.max_by_key(|id| id.len()).unwrap_or_default()
    }

    fn part(&self, index: u32, part: usize) -> &[u8] {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(ends) = self.ends.get(index) else { return &[] };
        let before = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |ends| ends[2]);
        let start = part.checked_sub(1).map_or(before, |part| ends[part]);
        // Always in range, because `push` took both positions from the length of `bytes`.
        self.bytes.get(start as usize..ends[part] as usize).unwrap_or_default()
    }

    /// Adds a device. Returns false if the block would exceed 4 GiB.
    pub(super) fn push(&mut self, parts: [&[u8]; 3]) -> bool {
        let mut ends = [0; 3];
        for (part, end) in parts.into_iter().zip(&mut ends) {
            self.bytes.extend_from_slice(part);
            let Ok(length) = u32::try_from(self.bytes.len()) else { return false };
            *end = length;
        }
        self.ends.push(ends);
        true
    }

    /// Returns a list of the devices with these indices, in this order.
    pub(in crate::plan) fn pick(&self, indices: &[u32]) -> DeviceList {
        let parts = |index| [self.part(index, 0), self.part(index, 1), self.part(index, 2)];
        let bytes = indices.iter().flat_map(|&index| parts(index)).map(<[u8]>::len).sum();
        let mut picked = DeviceList::with_capacity(indices.len(), bytes);
        for &index in indices {
            // `push` cannot fail: without repeated indices, `picked` is never longer than this list.
            picked.push(parts(index));
        }
        picked
    }

    /// Returns a map from each id to its index.
    pub(in crate::plan) fn by_id(&self) -> HashMap<&str, u32> {
        (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).map(|index| (self.id(index), index)).collect()
    }
}

impl fmt::Debug for DeviceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceList({} devices)", self.len())
    }
}
