//! What goes on over a connection besides telemetry: the requests of a device and what the hub has to tell it. The part of
//! [`HubSession`] that looks into the device's record in the directory.

use super::{HubError, HubSession, Reply};
use crate::emulator::twin::{self, TwinError};
use crate::iothub::topics::{self, Subscription};
use crate::wire::QoS;
use crate::wire::encode::{self, PublishRef};
use bytes::BytesMut;
use std::time::Instant;

impl HubSession {
    pub(super) fn handle_twin_get(&mut self, query: &str) -> Result<(), HubError> {
        let rid = rid(query)?;
        let answer = self.directory.visit(&self.device, |entry| {
            let granted = entry.device.subscriptions.get(Subscription::TwinResponses)?;
            Some((granted, entry.device.twin_view()))
        });
        let Some((granted, view)) = answer else { return Ok(()) };
        self.send(&topics::twin_response(200, rid, None), view.as_bytes(), granted)
    }

    pub(super) fn handle_twin_reported(
        &mut self,
        now: Instant,
        query: &str,
        body: &[u8],
    ) -> Result<(), HubError> {
        let rid = rid(query)?;
        let unix = self.unix(now);
        // What is no number is no version that a twin could have.
        let base = topics::query_value(query, "$version").map(|version| version.parse().unwrap_or(0));
        // Plain `{host}/{device}` is good for telemetry, and not for this: seen in practice, not documented.
        let patch = match self.has_api_version {
            true => twin::parse_patch(body),
            false => Err(TwinError::NoApiVersion),
        };
        let (granted, reported) = self.directory.visit(&self.device, |entry| {
            let reported = patch.and_then(|patch| entry.device.twin_mut().report(patch, base, unix));
            (entry.device.subscriptions.get(Subscription::TwinResponses), reported)
        });
        let Some(granted) = granted else { return Ok(()) };
        match reported {
            Ok(version) => self.send(&topics::twin_response(204, rid, Some(version)), b"", granted),
            Err(error) => {
                let topic = topics::twin_response(error.status(), rid, None);
                self.send(&topic, error.body(unix).as_bytes(), granted)
            }
        }
    }

    /// Sends a message, once: what a device does not acknowledge is not sent again.
    fn send(&mut self, topic: &str, payload: &[u8], qos: QoS) -> Result<(), HubError> {
        if qos != QoS::AtMostOnce {
            self.last_pid = self.last_pid.checked_add(1).unwrap_or(1);
        }
        let publish = PublishRef { topic, payload, qos, dup: false, retain: false, pid: self.last_pid };
        let mut frame = BytesMut::new();
        // A request id can be so long that its answer has no topic.
        encode::publish(&mut frame, &publish).map_err(|_| HubError::RequestId)?;
        self.reply_bytes += frame.len();
        self.replies.push_back(Reply::Frame(frame[..].into()));
        Ok(())
    }
}

/// The request id, as it came. What a hub does without one is not documented: there is nowhere to answer to, so it is treated as
/// any other topic that is not a device's.
fn rid(query: &str) -> Result<&str, HubError> {
    topics::query_value(query, "$rid").ok_or(HubError::ForeignTopic)
}
