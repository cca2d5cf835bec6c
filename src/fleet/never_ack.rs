//! A machine whose device does not acknowledge messages during a fault: it removes PUBACK, PUBREC and PUBCOMP from the output. Put around a
//! device by `device_task`, only if the device has such a fault. The session believes that it has acknowledged.

use super::device_faults::DeviceFaults;
use crate::policy::fault::FaultKind;
use crate::sansio::{Close, Closed, Machine};
use crate::wire::without_acknowledgments;
use bytes::BytesMut;
use std::time::Instant;

/// Removes acknowledgments from the output of a machine.
pub(crate) struct NeverAck<'a, M> {
    pub(crate) machine: &'a mut M,
    pub(crate) faults: &'a DeviceFaults,
}

impl<M: Machine> Machine for NeverAck<'_, M> {
    type Error = M::Error;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), M::Error> {
        self.machine.handle_input(now, input)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), M::Error> {
        self.machine.handle_timeout(now)
    }

    fn handle_flushed(&mut self, now: Instant) {
        self.machine.handle_flushed(now);
    }

    fn handle_closed(&mut self, now: Instant, why: Closed) {
        self.machine.handle_closed(now, why);
    }

    fn poll_output(&mut self, now: Instant, out: &mut BytesMut) {
        let (before, faults) = (out.len(), &self.faults.link);
        loop {
            self.machine.poll_output(now, out);
            if out.len() == before || !faults.is_active(FaultKind::NeverAck, now) {
                return;
            }
            let (rest, removed) = without_acknowledgments(&out[before..]);
            faults.count(FaultKind::NeverAck, now, removed);
            out.truncate(before);
            out.extend_from_slice(&rest);
            if !rest.is_empty() {
                return;
            }
            // Without any output, the link would believe that the machine has no more.
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    fn wants_input(&self) -> bool {
        self.machine.wants_input()
    }

    fn poll_close(&self) -> Option<Close> {
        self.machine.poll_close()
    }
}
