//! A log of the latest accepted telemetry, for tests. Off by default (`Config::telemetry_kept`). Filled by sessions, read through
//! `Hub::take_telemetry`. Independent of sessions and topics.

use crate::iothub::properties::{self, PropertiesError};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// An accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Device id.
    pub device: String,
    /// Encoded property bag, as received.
    pub bag: String,
    /// Body.
    pub payload: Vec<u8>,
    /// True if the retain flag was set.
    pub retain: bool,
    /// True if the message is a will.
    pub will: bool,
}

impl Telemetry {
    /// Returns the properties as a service client would see them: those in the bag, and those that the hub adds to retained messages and
    /// wills (Azure: "Communicate with an IoT hub using the MQTT protocol"; the value of `mqtt-retain` is the one that Azure's protocol
    /// gateway uses).
    ///
    /// # Errors
    /// The bag is not UTF-8.
    pub fn properties(&self) -> Result<Vec<(String, Option<String>)>, PropertiesError> {
        let mut properties = properties::decode(&self.bag)?;
        let added = [(self.retain, "mqtt-retain", "True"), (self.will, "iothub-MessageType", "Will")];
        let added = added.into_iter().filter(|(applies, ..)| *applies);
        properties.extend(added.map(|(_, name, value)| (name.to_owned(), Some(value.to_owned()))));
        Ok(properties)
    }
}

/// A bounded log of telemetry.
#[derive(Debug)]
pub(super) struct Log {
    kept_max: usize,
    kept: Mutex<VecDeque<Telemetry>>,
}

impl Log {
    pub(super) fn new(kept_max: usize) -> Log {
        Log { kept_max, kept: Mutex::default() }
    }

    /// Returns true if the log keeps messages. If not, the log costs only a comparison, without a lock or memory.
    pub(super) fn is_on(&self) -> bool {
        self.kept_max > 0
    }

    pub(super) fn keep(&self, message: Telemetry) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.kept_max {
            kept.pop_front();
        }
        kept.push_back(message);
    }

    pub(super) fn take(&self) -> Vec<Telemetry> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_messages_are_kept() {
        let log = Log::new(2);
        for index in 0..3 {
            let device = index.to_string();
            log.keep(Telemetry { device, bag: String::new(), payload: vec![], retain: false, will: false });
        }
        let devices: Vec<_> = log.take().into_iter().map(|message| message.device).collect();
        assert_eq!(devices, ["1", "2"]);
        assert!(log.take().is_empty() && !Log::new(0).is_on());
    }
}
