//! A fleet's counters other than its operations. The recorder fills them; `report` reads them. This is the only place
//! where the counters are declared.

use super::totals::is_zero;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares a set of counters. Sums saturate, because the numbers may come from an untrusted file.
macro_rules! counters {
    ($(#[$outer:meta])* pub struct $name:ident { $($(#[$inner:meta])* pub $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $name { $($(#[$inner])* pub $field: u64,)* }

        impl $name {
            /// Adds the counts of `other`.
            pub fn add(&mut self, other: &$name) {
                $(self.$field = self.$field.saturating_add(other.$field);)*
            }

            /// Returns true if all counters are 0.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                *self == $name::default()
            }
        }
    };
}

counters! {
    /// Counters of a fleet's connections and messages.
    pub struct Counts {
        /// Connections made after a connection loss, or because a method requested a reconnect.
        pub reconnects,
        /// Connections that devices ended because a phase of the scenario disconnects them. They are not errors.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub disconnects,
        /// Connections made to renew a token.
        pub renewals,
        /// Messages sent again after a reconnect.
        pub resent,
        /// Acknowledgments that arrived after their timeout.
        pub late_acks,
        /// SUBACKs that arrived after their timeout.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub late_subacks,
        /// Tracked messages that arrived more than once.
        #[serde(default)]
        pub duplicates,
        /// Tracked messages that arrived after a later message in their stream.
        #[serde(default)]
        pub reordered,
        /// Received messages that are not measured: without a stamp from this run, retained, or not subscribed to.
        #[serde(default)]
        pub foreign,
        /// Connections that the target closed while messages were unacknowledged.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub closed_waiting,
        /// Sum, over the connections in `closed_waiting`, of the age of the oldest unacknowledged message.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub closed_waiting_us,
        /// Connection attempts that the target ended with a FIN after the TCP handshake and before CONNACK. The other
        /// errors of class `closed_by_peer` are from established connections.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub closed_before_connack,
        /// Connection attempts that the target or the network reset after the TCP handshake and before CONNACK. The
        /// other errors of class `reset` are from established connections.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub reset_before_connack,
        /// Devices whose connection was closed soon after connecting, several times in a row.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub closed_soon_devices,
        /// Devices that stayed offline because their policy allowed no further attempt.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub gave_up,
        /// QoS 0 messages that are `ok` but may not have arrived: they were flushed after the last byte was received
        /// on a connection that turned out to be dead.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub qos0_on_dead_connections,
        /// Connections with a clean session for which the server set Session Present (MQTT 3.1.1 §3.2.2.2).
        #[serde(default, skip_serializing_if = "is_zero")]
        pub clean_sessions_present,
        /// MQTT bytes sent, before TLS.
        pub bytes_sent,
        /// MQTT bytes received, after TLS.
        pub bytes_received,
    }
}

counters! {
    /// Counters of events from an IoT hub that are not operations.
    pub struct FromHub {
        /// Answers to twin requests that had already ended: timed out, lost or answered.
        pub late_answers,
        /// Answers without a matching twin request.
        pub unknown_answers,
        /// Changes to desired properties.
        pub desired,
        /// Changes to desired properties with a version that the device already had.
        pub desired_stale,
        /// Versions of desired properties that a device missed, because a later version arrived first.
        pub desired_missed,
        /// Method calls without an answer, because the scenario defines none.
        pub methods_unanswered,
        /// Calls to methods that are not in the scenario.
        pub methods_unknown,
        /// Cloud-to-device messages.
        pub c2d,
        /// Cloud-to-device messages without a time stamp, whose age is unknown.
        pub c2d_unstamped,
        /// Numbered cloud-to-device messages that arrived more than once.
        pub c2d_duplicates,
        /// Sequence numbers of cloud-to-device messages that were still missing when a later number arrived.
        pub c2d_skipped,
        /// Numbered cloud-to-device messages that arrived after a later one.
        pub c2d_reordered,
        /// Messages that a real IoT hub does not send, or that are unreadable.
        pub unreadable,
    }
}

/// All counters of a fleet other than its operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetCounts {
    /// Counters of the fleet's connections and messages.
    #[serde(flatten)]
    pub own: Counts,
    /// Counters of events from the fleet's IoT hub; left out if all are 0.
    #[serde(default, skip_serializing_if = "FromHub::is_empty")]
    pub from_hub: FromHub,
}

impl FleetCounts {
    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &FleetCounts) {
        self.own.add(&other.own);
        self.from_hub.add(&other.from_hub);
    }
}

impl std::ops::Deref for FleetCounts {
    type Target = Counts;

    fn deref(&self) -> &Counts {
        &self.own
    }
}

impl std::ops::DerefMut for FleetCounts {
    fn deref_mut(&mut self) -> &mut Counts {
        &mut self.own
    }
}
