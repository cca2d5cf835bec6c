//! The life of one device: wait for the plan, connect, stay, renew, come back after a loss, go. One task per
//! device on its worker's runtime; started by `worker`.

use super::device::Parting;
use super::{Context, Control, Device};
use crate::clock;
use crate::link::{self, Dialled, End, Link};
use crate::plan::Span;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

/// Lives the device's part of the plan to its end.
pub(crate) async fn live(context: Rc<Context>, fleet: usize, index: u32) {
    let plan = &context.plan.fleets[fleet];
    let number = u16::try_from(fleet).unwrap_or(u16::MAX);
    let spans = context.plan.schedule.online_spans(u64::from(index), u64::from(plan.devices));
    let mut device = Device::new(context.clone(), number, index);
    for span in spans {
        if !until(&context, context.at(span.from_ns)).await {
            break;
        }
        device.enter(span);
        // A span may be over before the device has left the one before it: its messages are counted all the same.
        if context.ns(clock::now()) < device.off_ns() {
            stay(&context, fleet, &mut device, span).await;
        }
        device.exit(clock::now());
    }
    device.close_books(clock::now());
}

/// Keeps the device online for one span of the plan.
async fn stay(context: &Rc<Context>, fleet: usize, device: &mut Device, span: Span) {
    let plan = &context.plan.fleets[fleet];
    let mut due_ns = span.from_ns;
    let mut failures = 0;
    loop {
        let deadline = device.begin_attempt(due_ns, clock::now());
        match dial(context, device, deadline).await {
            Some(Ok(dialled)) => {
                device.dialled(&dialled);
                drive(context, device, dialled).await;
            }
            Some(Err(error)) => device.dial_failed(&error, clock::now()),
            None => {}
        }
        let now = clock::now();
        match device.parting() {
            Parting::Finished => return,
            Parting::Renewal => due_ns = context.ns(now),
            Parting::Lost { was_online } => {
                failures = if was_online { 0 } else { failures };
                let delay = device.back_off(&plan.reconnect, failures);
                failures += 1;
                let again = delay.map_or(u64::MAX, |delay| context.ns(now + delay));
                if !until(context, context.at(again.min(device.off_ns()))).await {
                    return;
                }
                due_ns = again;
            }
        }
        if context.ns(clock::now()) >= device.off_ns() {
            return;
        }
    }
}

/// Dials until it is done or the plan has no more use for it.
async fn dial(
    context: &Rc<Context>,
    device: &mut Device,
    deadline: Instant,
) -> Option<Result<Dialled, link::DialError>> {
    let mut dialling = pin!(link::dial(&context.endpoint, deadline));
    loop {
        let give_up = context.at(device.give_up_ns());
        tokio::select! {
            result = &mut dialling => return Some(result),
            () = context.changed.notified() => {}
            () = tokio::time::sleep_until(give_up.into()) => {
                device.give_up(clock::now());
                return None;
            }
        }
        if context.control() == Control::Abort {
            device.abort();
            return None;
        }
    }
}

/// Drives one connection to its end.
async fn drive(context: &Rc<Context>, device: &mut Device, dialled: Dialled) {
    let mut link = Link::new(dialled.transport, context.buffers.clone());
    let mut changed = pin!(context.changed.notified());
    let end = poll_fn(|cx| {
        while changed.as_mut().poll(cx).is_ready() {
            changed.set(context.changed.notified());
        }
        if context.control() == Control::Abort {
            return Poll::Ready(None);
        }
        link.poll(cx, device).map(Some)
    })
    .await;
    device.count_bytes(link.bytes_out(), link.bytes_in());
    match end {
        Some(End::Failed(error)) => device.failed(&error, clock::now()),
        Some(End::Closed(_)) => {}
        None => device.abort(),
    }
}

/// Waits until an instant; false if the run was stopped meanwhile.
async fn until(context: &Context, at: Instant) -> bool {
    loop {
        if clock::now() >= at {
            return true;
        }
        if context.control() != Control::Run {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep_until(at.into()) => {}
            () = context.changed.notified() => {}
        }
    }
}
