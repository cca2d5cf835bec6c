//! The life of one device: wait for the plan, connect, stay, renew, come back after a loss, go. One task per
//! device on its worker's runtime; started by `worker`.

use super::device::Leave;
use super::{Context, Control, Device};
use crate::clock;
use crate::link::{self, Dialled, End, Link};
use crate::measure::Outcome;
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
        stay(&context, fleet, &mut device, span).await;
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
        let now = clock::now();
        device.begin_attempt(due_ns, now);
        let left = match dial(context, device, now + plan.connect_timeout).await {
            Some(Ok(dialled)) => {
                device.dialled(&dialled);
                let left = drive(context, device, dialled).await;
                if device.was_online() {
                    failures = 0;
                }
                left
            }
            Some(Err(error)) => {
                device.dial_failed(&error, clock::now());
                None
            }
            None => Some(Leave::Finish),
        };
        match left {
            Some(Leave::Finish) => return over(context, device, span),
            Some(Leave::Renew) => due_ns = context.ns(clock::now()),
            None => {
                let delay = device.back_off(&plan.reconnect, failures);
                failures += 1;
                let off = context.at(device.off_ns());
                let again = delay.map_or(off, |delay| (clock::now() + delay).min(off));
                if !until(context, again).await || again >= context.at(device.off_ns()) {
                    return over(context, device, span);
                }
                due_ns = context.ns(again);
            }
        }
    }
}

/// The span is over: an attempt that was under way will not be finished.
fn over(context: &Context, device: &mut Device, span: Span) {
    if span.to_ns < context.load_end_ns() {
        device.end_attempt(Outcome::Lost, clock::now());
    }
}

/// Dials until it is done or the device has to be gone; the future is boxed, so that an idle device does not
/// carry the handshake's state.
async fn dial(
    context: &Rc<Context>,
    device: &Device,
    deadline: Instant,
) -> Option<Result<Dialled, link::DialError>> {
    let mut dialling = Box::pin(link::dial(&context.endpoint, deadline));
    loop {
        let off = context.at(device.off_ns());
        tokio::select! {
            result = &mut dialling => return Some(result),
            () = context.changed.notified() => {}
            () = tokio::time::sleep_until(off.into()) => return None,
        }
        if context.control() == Control::Abort {
            return None;
        }
    }
}

/// Drives one connection to its end; returns how it was meant to end.
async fn drive(context: &Rc<Context>, device: &mut Device, dialled: Dialled) -> Option<Leave> {
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
        Some(End::Failed(error)) => {
            device.failed(&error, clock::now());
            None
        }
        Some(End::Closed(_)) => device.left(),
        None => {
            device.abort();
            Some(Leave::Finish)
        }
    }
}

/// Waits until an instant; false if the run was stopped meanwhile.
async fn until(context: &Context, at: Instant) -> bool {
    loop {
        if context.control() != Control::Run {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep_until(at.into()) => return true,
            () = context.changed.notified() => {}
        }
    }
}
