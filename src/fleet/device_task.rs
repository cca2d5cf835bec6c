//! The task of one device: waits for its planned spans, connects, reconnects after a loss, and disconnects. `worker` spawns one
//! per device on its runtime.

use super::device::ConnectionEnd;
use super::never_ack::NeverAck;
use super::trace::Traced;
use super::{Context, Device, DeviceRef};
use crate::link::{self, Dialed, End, Link};
use crate::plan::Span;
use crate::policy::backoff::Retries;
use crate::session::SessionError;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

/// Runs the device's part of the plan to its end.
pub(crate) async fn run(context: Rc<Context>, fleet: usize, index: u32) {
    let plan = &context.plan.fleets[fleet];
    // Boxed to keep the task small.
    let stays = Box::new(context.plan.schedule_of(plan).stays(&context.plan.device_seed(plan, index)));
    let mut device =
        Device::new(context.clone(), DeviceRef { fleet: u16::try_from(fleet).unwrap_or(u16::MAX), index });
    'run: for mut stay in stays {
        // Commands that change the number of online devices may divide a stay.
        loop {
            match wait_for_span(&context, device.device_ref(), stay.span).await {
                Waited::Until(from_ns) => stay.span.from_ns = from_ns,
                Waited::SpanOver => break,
                Waited::LoadOver => break 'run,
            }
            device.start_stay(stay);
            // The span may already be over, if the drain of the previous one took too long. Its messages still count.
            if context.ns(context.now()) < device.offline_at_ns() {
                stay_online(&context, &mut device, stay.span.from_ns).await;
            }
            device.end_span(context.now());
            stay.span.from_ns = context.ns(context.now());
            if !context.limits_online() || stay.span.from_ns >= stay.span.to_ns {
                break;
            }
        }
    }
    device.settle(context.now());
}

/// Keeps the device online for one span of the plan. Its first attempt is due at `due_ns`.
async fn stay_online(context: &Rc<Context>, device: &mut Device, mut due_ns: u64) {
    let mut retries = Retries::default();
    loop {
        let deadline = device.start_attempt(due_ns, context.now());
        match dial(context, device, deadline).await {
            Some(Ok(dialed)) => {
                device.on_dialed(&dialed, context.now());
                drive_link(context, device, dialed).await;
            }
            Some(Err(error)) => {
                let now = context.now();
                if let Some(tracer) = device.tracer(context) {
                    tracer.log(context.ns(now), &format!("cannot connect: {error}"));
                }
                device.dial_failed(&error, now);
            }
            None => {}
        }
        let now = context.now();
        match device.connection_end() {
            ConnectionEnd::Finished | ConnectionEnd::Left => return,
            ConnectionEnd::Renewal | ConnectionEnd::Method => {
                retries = Retries::default();
                due_ns = context.ns(now);
            }
            ConnectionEnd::Lost | ConnectionEnd::Failed | ConnectionEnd::Disconnected => {
                let delay = device.back_off(&mut retries, now);
                let retry_ns = delay.map_or(u64::MAX, |delay| context.ns(now + delay));
                if !wait_offline(context, device, retry_ns.min(device.offline_at_ns())).await {
                    return;
                }
                due_ns = retry_ns;
            }
        }
        if context.ns(context.now()) >= device.offline_at_ns() {
            return;
        }
    }
}

/// Dials until the attempt succeeds or fails, or until the plan no longer needs the connection.
async fn dial(
    context: &Rc<Context>,
    device: &mut Device,
    deadline: Instant,
) -> Option<Result<Dialed, link::DialError>> {
    let (global, hosts) = (device.global_index(), &context.hosts);
    let (endpoint, resolver) = (hosts.endpoint(global), &context.resolver);
    let faults = device.faults(context).map(|faults| Rc::clone(&faults.link));
    let mut dialling = pin!(link::dial_device(endpoint, resolver, global, deadline, faults));
    let alarm = context.deadlines.alarm();
    poll_fn(|cx| {
        if let Poll::Ready(dialed) = dialling.as_mut().poll(cx) {
            return Poll::Ready(Some(dialed));
        }
        let (now, give_up) = (context.now(), context.at(device.give_up_ns()));
        if context.is_aborted() {
            device.abort();
        } else if now >= give_up {
            device.give_up(now);
        } else {
            let next_ns = device.end_messages_while_offline(now).unwrap_or(u64::MAX);
            alarm.set(cx, now, give_up.min(context.at(next_ns)));
            return Poll::Pending;
        }
        Poll::Ready(None)
    })
    .await
}

/// Drives one connection to its end.
async fn drive_link(context: &Rc<Context>, device: &mut Device, dialed: Dialed) {
    let mut link = Link::new(dialed.transport, context.buffers.clone(), &context.deadlines);
    let tracer = device.tracer(context);
    // Boxed, so that the tasks of devices without faults do not grow. The faults themselves would be kept in each task, too.
    let end = match device.faults(context).is_some() {
        true => Box::pin(drive_with_faults(context, device, &mut link)).await,
        false => {
            poll_fn(|cx| match (context.is_aborted(), tracer) {
                (true, _) => Poll::Ready(None),
                (false, None) => link.poll(cx, device).map(Some),
                (false, Some(tracer)) => {
                    let machine = &mut Traced { machine: &mut *device, tracer, clock: context.clock };
                    link.poll(cx, machine).map(Some)
                }
            })
            .await
        }
    };
    device.count_bytes(link.bytes_out(), link.bytes_in());
    match end {
        Some(End::Failed(error)) => device.record_session_error(&error, context.now()),
        Some(End::Closed(_)) => {}
        None => device.abort(),
    }
}

/// Drives a connection of a device with faults. Returns `None` if the run is aborted, or if the device has no faults.
async fn drive_with_faults(
    context: &Rc<Context>,
    device: &mut Device,
    link: &mut Link,
) -> Option<End<SessionError>> {
    let faults = device.faults(context)?;
    let tracer = device.tracer(context);
    poll_fn(|cx| {
        let machine = &mut NeverAck { machine: &mut *device, faults: &faults };
        match (context.is_aborted(), tracer) {
            (true, _) => Poll::Ready(None),
            (false, None) => link.poll(cx, machine).map(Some),
            (false, Some(tracer)) => {
                link.poll(cx, &mut Traced { machine, tracer, clock: context.clock }).map(Some)
            }
        }
    })
    .await
}

/// Waits until `until_ns`, and ends the messages that will certainly not be sent. Returns false if the run was stopped in the meantime.
async fn wait_offline(context: &Context, device: &mut Device, until_ns: u64) -> bool {
    loop {
        let next_ns = device.end_messages_while_offline(context.now()).unwrap_or(u64::MAX);
        if !wait_until(context, context.at(next_ns.min(until_ns))).await {
            return false;
        }
        if next_ns >= until_ns {
            return true;
        }
    }
}

/// The outcome of waiting for a span.
enum Waited {
    /// The device must be online from this time.
    Until(u64),
    /// The device was offline until the end of the span, because commands limit the number of online devices.
    SpanOver,
    /// The load ends before the span: churn may place spans after its end.
    LoadOver,
}

/// Waits until a device must be online in a span.
async fn wait_for_span(context: &Context, device: DeviceRef, span: Span) -> Waited {
    loop {
        let from_ns = context.online_from_ns(device, span);
        let until_ns = from_ns.unwrap_or(span.to_ns).min(context.load_end_ns());
        if !wait_until(context, context.at(until_ns)).await {
            return Waited::LoadOver;
        }
        // A command may have changed the number of online devices in the meantime.
        let is_same = from_ns == context.online_from_ns(device, span);
        match from_ns {
            Some(from_ns) if is_same && from_ns == until_ns && from_ns < context.load_end_ns() => {
                return Waited::Until(from_ns);
            }
            None if is_same && until_ns == span.to_ns => return Waited::SpanOver,
            _ if context.ns(context.now()) >= context.load_end_ns() => return Waited::LoadOver,
            _ => {}
        }
    }
}

/// Waits until an instant. Returns false if the run was stopped in the meantime.
async fn wait_until(context: &Context, at: Instant) -> bool {
    let alarm = context.deadlines.alarm();
    poll_fn(|cx| {
        let now = context.now();
        if now >= at {
            return Poll::Ready(true);
        }
        if context.is_stopped() {
            return Poll::Ready(false);
        }
        alarm.set(cx, now, at);
        Poll::Pending
    })
    .await
}
