//! The service client of the soak test: makes the due calls, and closes connections.

use super::{CLOSE_EVERY, CLOSED_AT_ONCE, World};
use crate::emulator::directory::Address;
use crate::emulator::service::{Ask, Asked, Feedback, GiveUp};
use crate::fleet::{self, Answered, Call, CallError, ServiceDriver};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The service side: calls under way, by id.
pub(super) struct Service {
    pub(super) driver: ServiceDriver,
    pub(super) open: HashMap<u64, (String, Asked)>,
    pub(super) close_at: Instant,
    pub(super) closed: u32,
}

impl Service {
    pub(super) fn next(&self) -> Option<Instant> {
        let give_ups = self.open.values().filter_map(|(_, asked)| asked.give_up.map(|GiveUp { at, .. }| at));
        give_ups.chain(self.driver.poll_timeout()).chain([self.close_at]).min()
    }

    /// Asks what is due, takes in what is answered; returns the devices that have to be woken.
    pub(super) fn step(&mut self, world: &mut World, now: Instant, load_end: Instant) -> Vec<Address> {
        let mut wake = Vec::new();
        let unix = world.unix(now);
        for Call { id, device, ask } in self.driver.poll(now) {
            let changes = matches!(ask, fleet::Ask::Desired { .. });
            let asked = world.directory.ask(now, unix, &device, carried(ask));
            world.untold += u64::from(changes && asked.wake.is_none());
            wake.extend(asked.wake);
            self.open.insert(id, (device, asked));
        }
        if now >= self.close_at {
            self.close_at = if now < load_end { now + CLOSE_EVERY } else { now + 1_000 * CLOSE_EVERY };
            let next = (0..CLOSED_AT_ONCE).map(|n| (self.closed * 31 + n) as usize % 200);
            world.caught.extend(next);
            self.closed += CLOSED_AT_ONCE;
        }
        for number in std::mem::take(&mut world.caught) {
            let device = world.context.plan.fleets[0].device_id(u32::try_from(number).expect("it fits"));
            wake.extend(world.directory.ask(now, unix, &device, Ask::Close).wake);
        }
        let mut answered = Vec::new();
        self.open.retain(|id, (device, asked)| {
            if let Some(GiveUp { call, .. }) = asked.give_up.take_if(|give_up| give_up.at <= now) {
                world.directory.give_up(device, call);
            }
            let result = match asked.answer.try_recv() {
                Ok(result) => {
                    result.map(drop).map_err(|error| CallError::Hub(error.code(), error.to_string()))
                }
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => return true,
                // Nobody can answer any more: the connection is gone.
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => {
                    Err(CallError::Hub(404_103, String::new()))
                }
            };
            answered.push(Answered { id: *id, result });
            false
        });
        for answered in answered {
            self.driver.answered(&answered, now);
        }
        wake
    }
}

fn carried(ask: fleet::Ask) -> Ask {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).expect("it fits");
    let json = |text: String| serde_json::from_str(&text).expect("the plan checked it");
    match ask {
        fleet::Ask::Method { name, payload, response_timeout, connect_timeout } => Ask::Method {
            name,
            payload: (!payload.is_empty()).then(|| json(payload)),
            response_timeout_ms: ms(response_timeout),
            connect_timeout_ms: ms(connect_timeout),
        },
        fleet::Ask::Desired { patch } => Ask::Desired { patch: serde_json::from_str(&patch).expect("JSON") },
        fleet::Ask::C2d { properties, payload, ttl } => Ask::C2d {
            message_id: None,
            properties: properties.into_iter().collect(),
            payload,
            ttl_ms: ttl.map(ms),
            ack: Feedback::None,
        },
    }
}
