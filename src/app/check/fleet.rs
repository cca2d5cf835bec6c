//! A fleet in the output of `check`: its credentials, SDK preset, messages, twin, methods and timeouts. Used by `check`.

use crate::app::columns::Layout;
use crate::plan::{
    Auth, Deliveries, FleetPlan, Keys, MethodPlan, Offline, RecordedLoad, Recording, Renew, Sdk, SendPlan,
    Spread, SubscribeQos, Subscription, TokenLife, device_preset,
};
use crate::policy::backoff::{BackOff, Jitter, Reconnect};
use crate::units::{Percent, Rate, human_bytes, human_count, human_duration, human_us, plural};
use crate::wire::QoS;
use std::time::Duration;

/// The indent and the width of the labels of a fleet.
const LABELS: (usize, usize) = (4, 13);

/// Writes the section of one fleet.
pub(super) fn write_fleet(
    (out, layout): (&mut String, Layout),
    fleet: &FleetPlan,
    number: u16,
    deliveries: &Deliveries,
) {
    let devices = plural(u64::from(fleet.devices), "device", "devices");
    let (first, last) = (fleet.device_id(0), fleet.device_id(fleet.devices - 1));
    *out += &layout.wrapped("  ", "    ", &format!("{}: {devices}, {first} to {last}", fleet.name));
    let mut line = |label: &str, text: &str| *out += &layout.labelled(LABELS, label, text);
    line("credentials", &credentials(&fleet.auth));
    if let Some(sdk) = fleet.sdk {
        line("SDK preset", &sdk_preset(sdk, fleet));
    } else if fleet.reconnect != device_preset(None).reconnect {
        line("reconnect", &reconnect_policy(&fleet.reconnect));
    }
    if !fleet.subscribe.is_empty() {
        let names: Vec<String> = fleet.subscribe.iter().map(subscription).collect();
        line("subscribes", &names.join(", "));
    }
    for (send, stream) in fleet.sends.iter().zip(0..) {
        line("sends", &send_stream(send, fleet));
        if let Some(copies) = deliveries.copies_planned(number, stream) {
            line("tracked", &copies_per_message(copies));
        }
    }
    if fleet.makes_twin_requests() {
        let get = if fleet.twin.get_on_connect { "read on each connection; " } else { "" };
        let (qos, timeout) = (fleet.twin.qos, human_duration(fleet.twin.timeout));
        line("twin", &format!("{get}requests at QoS {qos}, timeout {timeout}"));
    }
    for method in &fleet.methods {
        line("methods", &method_answer(method));
    }
    let [connect, ack, send_by] =
        [fleet.connect_timeout, fleet.ack_timeout, fleet.send_by].map(human_duration);
    let timeouts = format!("connect {connect}, ack {ack}, send by {send_by}; {} in flight", fleet.in_flight);
    line("timeouts", &timeouts);
    match fleet.offline {
        Offline::Queue => {}
        Offline::Skip => line("offline", "messages that become due are skipped and count as offline"),
    }
}

fn credentials(auth: &Auth) -> String {
    match auth {
        Auth::Sas { keys, life, .. } => {
            let signed = match keys {
                Keys::Group(_) => "one key per device, derived from a group key".to_owned(),
                Keys::Policy { policy, .. } => format!("signed with the key of policy {policy}"),
                Keys::PerDevice(_) => "one key per device, from a file".to_owned(),
            };
            format!("SAS, {signed}; {}", token_life(life))
        }
        Auth::Password { .. } => "user name and password".to_owned(),
        Auth::PasswordFile { .. } => "user name and password per device, from a file".to_owned(),
        Auth::None => "none".to_owned(),
    }
}

fn token_life(life: &TokenLife) -> String {
    let renewed = match life.renew {
        Renew::Share(share) => format!("renewed at {}", Percent::from_fraction(share)),
        Renew::Before(margin) => format!("renewed {} before expiry", human_duration(margin)),
        Renew::Never => "never renewed".to_owned(),
    };
    let skew = human_us(life.clock_skew_us.unsigned_abs());
    let clock = match life.clock_skew_us {
        0 => String::new(),
        ..0 => format!("; clocks {skew} behind"),
        1.. => format!("; clocks {skew} ahead"),
    };
    format!("tokens valid for {}, {renewed}{clock}", human_duration(life.ttl))
}

/// Describes the settings of the SDK preset, with the overrides of the scenario.
fn sdk_preset(sdk: Sdk, fleet: &FleetPlan) -> String {
    let api_version = match &fleet.auth {
        Auth::Sas { api_version, .. } => format!(", api-version {api_version}"),
        _ => String::new(),
    };
    let SubscribeQos { c2d, twin, methods } = fleet.subscribe_qos;
    format!(
        "{}: keep-alive {}, {}, QoS {} for c2d, {} for twin, {} for methods{api_version}",
        sdk.name(),
        human_duration(Duration::from_secs(fleet.keep_alive_s.into())),
        reconnect_policy(&fleet.reconnect),
        c2d as u8,
        twin as u8,
        methods as u8
    )
}

/// Describes a reconnect policy.
fn reconnect_policy(reconnect: &Reconnect) -> String {
    let human = human_duration;
    let Some(waits) = delays(&reconnect.back_off) else { return "never reconnects".to_owned() };
    let first = match reconnect.first {
        None => String::new(),
        Some(Duration::ZERO) => "immediately, then ".to_owned(),
        Some(first) => format!("after {}, then ", human(first)),
    };
    let refused = reconnect.refused.as_ref().and_then(delays);
    let refused = refused.map_or_else(String::new, |waits| format!("; when refused, {waits}"));
    let limits = [
        reconnect.gives_up_after.map(|after| format!("after {}", human(after))),
        reconnect.gives_up_attempts.map(|attempts| {
            format!("after {}", plural(attempts.into(), "failed attempt", "failed attempts"))
        }),
        reconnect.gives_up_refused.then(|| "when refused".to_owned()),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    let gives_up =
        if limits.is_empty() { String::new() } else { format!(" (gives up {})", limits.join(", or ")) };
    format!("reconnects {first}{waits}{refused}{gives_up}")
}

/// Describes the delays of a back-off; `None` if there are no retries.
fn delays(back_off: &BackOff) -> Option<String> {
    let human = human_duration;
    let [least, most] = back_off.between(0)?;
    let grows = match *back_off {
        BackOff::Never | BackOff::Fixed { .. } => String::new(),
        BackOff::Exponential { max, jitter: Jitter::Decorrelated, .. } => {
            format!(", then up to three times the delay before, up to {}", human(max))
        }
        BackOff::Exponential { base, max, .. } if base == max => String::new(),
        BackOff::Exponential { max, .. } => format!(", doubled up to {}", human(max)),
        BackOff::Stepped { max, .. } => format!(", growing up to {}", human(max)),
    };
    Some(match least {
        least if least == most => format!("after {}{grows}", human(most)),
        Duration::ZERO => format!("after up to {}{grows}", human(most)),
        least => format!("after {} to {}{grows}", human(least), human(most)),
    })
}

fn subscription(subscription: &Subscription) -> String {
    match subscription {
        Subscription::C2d => "c2d".to_owned(),
        Subscription::Twin => "twin".to_owned(),
        Subscription::Methods => "methods".to_owned(),
        Subscription::Filter(filter, QoS::AtLeastOnce) => filter.to_string(),
        Subscription::Filter(filter, qos) => format!("{filter} at QoS {}", *qos as u8),
    }
}

fn send_stream(send: &SendPlan, fleet: &FleetPlan) -> String {
    if let Some(recording) = send.payload.recording() {
        return replayed(send, recording);
    }
    let spread = match send.arrival.spread {
        Spread::Regular => "regular",
        Spread::Stratified(_) => "regular, in turn",
        Spread::Poisson => "poisson",
        Spread::Closed { .. } => "closed loop, not corrected for coordinated omission",
        Spread::Replay => "replay",
    };
    let burst = match send.arrival.burst {
        1 => String::new(),
        burst => format!(" in bursts of {burst}"),
    };
    let at_most = if send.arrival.is_closed() { "at most " } else { "" };
    let retain = if send.retain { ", retained" } else { "" };
    let total = Rate::per_second(send.arrival.rate_hz * f64::from(fleet.devices));
    let total = total.map(|rate| rate.to_string()).unwrap_or_default();
    let bytes = send.payload.bytes_max(fleet.device_id(fleet.devices - 1).len());
    format!(
        "{} at QoS {}{retain}, {spread}{burst}, {at_most}{total} in total at a load of 100%, up to {} each",
        send.operation,
        send.qos,
        human_bytes(bytes as u64)
    )
}

/// Describes a stream that replays a recording.
fn replayed(send: &SendPlan, recording: &Recording) -> String {
    let retain = if send.retain { ", retained" } else { "" };
    let RecordedLoad { rows, length, repeats_after, peak_per_s } = recording.load();
    let speed = match recording.speed() {
        1.0 => String::new(),
        speed => format!(" at {speed}x speed"),
    };
    let repeat = match repeats_after {
        Some(after) => format!("repeated every {}", human_duration(after)),
        None => "once".to_owned(),
    };
    let ignored = match recording.ignored_columns() {
        [] => String::new(),
        columns => format!("; ignores the columns {}", columns.join(", ")),
    };
    format!(
        "{} at QoS {}{retain}, replay of {}: {} in {}{speed}, {repeat}, at most {} in one second at a load of 100%, up to {} each{ignored}",
        send.operation,
        send.qos,
        recording.file(),
        plural(rows, "row", "rows"),
        human_duration(length),
        human_count(peak_per_s),
        human_bytes(recording.longest_bytes() as u64)
    )
}

fn method_answer(method: &MethodPlan) -> String {
    let answer = match &method.answer {
        Some(answer) => format!("{}: answers {}", method.name, answer.status),
        None => format!("{}: never answers", method.name),
    };
    let after = match method.after {
        Duration::ZERO => String::new(),
        after => format!(", after {}", human_duration(after)),
    };
    let then = if method.then_reconnect { ", then reconnects" } else { "" };
    format!("{answer}{after}{then}")
}

/// Describes the expected number of copies of each message.
fn copies_per_message([least, most]: [u64; 2]) -> String {
    let copies = plural(most, "copy", "copies");
    let range = if least == most { copies } else { format!("{} to {copies}", human_count(least)) };
    format!("each message is delivered in {range} with every device online")
}
