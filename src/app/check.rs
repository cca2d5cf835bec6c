//! `hubstorm check`: what a scenario resolves to and what it needs of this machine, as text for a person. It starts
//! nothing and looks at nothing but the plan.

use crate::plan::{
    Auth, CallPlan, Deliveries, DrivePlan, FleetPlan, Keys, MethodPlan, Needs, Offline, PhasePlan, Plan,
    Renew, Sdk, SendPlan, Spread, SubscribeQos, Subscription, TargetKind, Threshold, TokenLife,
};
use crate::policy::backoff::{BackOff, Reconnect};
use crate::units::{Percent, Rate, human_bytes, human_count, human_duration, human_us, plural};
use crate::wire::QoS;
use std::fmt::{self, Write};
use std::time::Duration;

/// Describes the resolved plan and its needs with `workers` workers. Contains no secrets.
#[must_use]
pub(super) fn describe(plan: &Plan, workers: usize) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_plan(&mut out, plan, workers);
    out
}

fn write_plan(out: &mut String, plan: &Plan, workers: usize) -> fmt::Result {
    writeln!(out, "{}  ({}, seed {})", plan.name, plan.source.file, plan.seed)?;
    for text in &plan.source.overrides {
        writeln!(out, "  with {text}")?;
    }
    writeln!(out, "\ntarget\n  {}", target(plan))?;
    if let Some(warning) = password_in_clear(plan) {
        writeln!(out, "  warning: {warning}")?;
    }
    writeln!(out, "\nfleets")?;
    for (fleet, number) in plan.fleets.iter().zip(0..) {
        write_fleet(out, fleet, number, &plan.deliveries)?;
    }
    if !plan.drives.is_empty() {
        writeln!(out, "\nservice side")?;
    }
    for drive in &plan.drives {
        write_drive(out, drive, &plan.fleets)?;
    }
    writeln!(
        out,
        "\nphases  ({} in all, then up to {} for the last acks)",
        human_duration(plan.schedule.end()),
        human_duration(plan.drain)
    )?;
    for phase in plan.schedule.phases() {
        write_phase(out, phase)?;
    }
    writeln!(out, "\nthresholds")?;
    let longest = plan.thresholds.iter().map(|threshold| threshold.metric.name().len() + 2).max();
    let width = longest.unwrap_or(0).max(14);
    for threshold in &plan.thresholds {
        let phase = threshold.phase.and_then(|index| plan.schedule.phases().get(usize::from(index)));
        let fleet = threshold.fleet.and_then(|index| plan.fleets.get(usize::from(index)));
        write!(out, "  {:<width$}{}", threshold.metric.name(), threshold.expression)?;
        if let Some(phase) = phase {
            write!(out, "  in phase {}", phase.name)?;
        }
        if let Some(fleet) = fleet {
            write!(out, "  of fleet {}", fleet.name)?;
        }
        writeln!(out, "{}", aborts(plan, threshold))?;
    }
    writeln!(out, "  every fleet connects at least once")?;
    if let Some(unreachable) = plan.abort_when_unreachable {
        let unreachable = human_duration(unreachable);
        writeln!(
            out,
            "  the run ends early when all devices are offline against the plan for {unreachable}"
        )?;
    }
    out.push_str(&super::notes::notes(plan));
    write_needs(out, plan, workers)
}

/// When a failed threshold ends the run early.
fn aborts(plan: &Plan, threshold: &Threshold) -> String {
    match (threshold.abort_after, plan.first_judged(threshold)) {
        (None, _) => String::new(),
        (Some(after), Some(phase)) if !after.is_zero() => format!(
            "; a fail ends the run early, at the earliest {} into phase {}",
            human_duration(after),
            phase.name
        ),
        (Some(_), _) => "; a fail ends the run early".to_owned(),
    }
}

/// Said before a run, and in its report: whoever is on the way can read the password.
#[must_use]
pub(super) fn password_in_clear(plan: &Plan) -> Option<String> {
    let has_password = plan.fleets.iter().any(|fleet| fleet.auth.has_password());
    (has_password && plan.target.tls.is_none() && !plan.target.is_loopback()).then(|| {
        format!(
            "the password goes to {} in clear text, over plain TCP; use tls = true in [target]",
            plan.target.address()
        )
    })
}

fn target(plan: &Plan) -> String {
    if plan.emulator.is_some() {
        return "the built-in IoT hub on this machine, over TLS (no throttles, no quotas)".to_owned();
    }
    let kind = match plan.target.kind {
        TargetKind::IotHub => "IoT hub",
        TargetKind::Mqtt => "MQTT 3.1.1 broker",
    };
    let transport = match &plan.target.tls {
        None => "plain TCP".to_owned(),
        Some(tls) => {
            let roots = tls
                .ca
                .as_ref()
                .map_or_else(|| "the system's roots".to_owned(), |ca| ca.display().to_string());
            if tls.verify {
                format!("TLS, trusting {roots}")
            } else {
                "TLS, certificates NOT verified".to_owned()
            }
        }
    };
    format!("{kind} {} over {transport}", plan.target.address())
}

fn write_fleet(out: &mut String, fleet: &FleetPlan, number: u16, deliveries: &Deliveries) -> fmt::Result {
    let devices = u64::from(fleet.devices);
    writeln!(
        out,
        "  {}: {}, {} to {}",
        fleet.name,
        plural(devices, "device", "devices"),
        fleet.device_id(0),
        fleet.device_id(fleet.devices - 1)
    )?;
    writeln!(out, "    credentials  {}", credentials(&fleet.auth))?;
    if let Some(sdk) = fleet.sdk {
        writeln!(out, "    as the SDK   {}", habits(sdk, fleet))?;
    }
    if !fleet.subscribe.is_empty() {
        let names: Vec<String> = fleet.subscribe.iter().map(subscription).collect();
        writeln!(out, "    subscribes   {}", names.join(", "))?;
    }
    for (send, stream) in fleet.sends.iter().zip(0..) {
        writeln!(out, "    sends        {}", self::stream(send, fleet))?;
        if let Some(copies) = deliveries.copies_planned(number, stream) {
            writeln!(out, "    tracked      {}", tracked(copies))?;
        }
    }
    if fleet.makes_twin_requests() {
        let get = if fleet.twin.get_on_connect { "asked for on each connection; " } else { "" };
        let (qos, timeout) = (fleet.twin.qos, human_duration(fleet.twin.timeout));
        writeln!(out, "    twin         {get}requests at QoS {qos}, answers within {timeout}")?;
    }
    for method in &fleet.methods {
        writeln!(out, "    answers      {}", self::method(method))?;
    }
    writeln!(
        out,
        "    patience     connect {}, ack {}, send by {}, {} in flight",
        human_duration(fleet.connect_timeout),
        human_duration(fleet.ack_timeout),
        human_duration(fleet.send_by),
        fleet.in_flight
    )?;
    match fleet.offline {
        Offline::Queue => Ok(()),
        Offline::Skip => writeln!(out, "    offline      what is due then is skipped, and ends as offline"),
    }
}

fn credentials(auth: &Auth) -> String {
    match auth {
        Auth::Sas { keys, life, .. } => {
            let signed = match keys {
                Keys::Group(_) => "a key per device derived from a group key".to_owned(),
                Keys::Policy { policy, .. } => format!("signed by the policy {policy}"),
                Keys::PerDevice(_) => "a key per device from a file".to_owned(),
            };
            format!("SAS, {signed}; {}", tokens(life))
        }
        Auth::Password { .. } => "user name and password".to_owned(),
        Auth::PasswordFile { .. } => "user name and password, per device from a file".to_owned(),
        Auth::None => "none".to_owned(),
    }
}

fn tokens(life: &TokenLife) -> String {
    let renewed = match life.renew {
        Renew::Share(share) => format!("renewed at {}", Percent::from_fraction(share)),
        Renew::Before(margin) => format!("renewed {} before their end", human_duration(margin)),
        Renew::Never => "never renewed".to_owned(),
    };
    let skew = human_us(life.clock_skew_us.unsigned_abs());
    let clock = match life.clock_skew_us {
        0 => String::new(),
        ..0 => format!("; clocks {skew} behind"),
        1.. => format!("; clocks {skew} ahead"),
    };
    format!("tokens for {}, {renewed}{clock}", human_duration(life.ttl))
}

/// What the preset has set, as far as the scenario does not say otherwise.
fn habits(sdk: Sdk, fleet: &FleetPlan) -> String {
    let api_version = match &fleet.auth {
        Auth::Sas { api_version, .. } => format!(", api-version {api_version}"),
        _ => String::new(),
    };
    let SubscribeQos { c2d, twin, methods } = fleet.subscribe_qos;
    format!(
        "{}: keep-alive {}, {}, QoS {} for c2d, {} for twin, {} for methods{api_version}",
        sdk.name(),
        human_duration(Duration::from_secs(fleet.keep_alive_s.into())),
        reconnects(&fleet.reconnect),
        c2d as u8,
        twin as u8,
        methods as u8
    )
}

fn reconnects(reconnect: &Reconnect) -> String {
    let human = human_duration;
    let Some([least, most]) = reconnect.back_off.first_between() else {
        return "never reconnects".to_owned();
    };
    let grows = match reconnect.back_off {
        BackOff::Never | BackOff::Fixed { .. } => String::new(),
        BackOff::Exponential { max, .. } => format!(", doubled up to {}", human(max)),
        BackOff::Stepped { max, .. } => format!(", growing up to {}", human(max)),
    };
    let waits = match least {
        least if least == most => format!("after {}{grows}", human(most)),
        Duration::ZERO => format!("after up to {}{grows}", human(most)),
        least => format!("after {} to {}{grows}", human(least), human(most)),
    };
    let first = match reconnect.first {
        None => String::new(),
        Some(Duration::ZERO) => "at once, then ".to_owned(),
        Some(first) => format!("after {}, then ", human(first)),
    };
    let gives_up = match (reconnect.gives_up_after, reconnect.gives_up_refused) {
        (None, false) => String::new(),
        (None, true) => " (gives up when refused)".to_owned(),
        (Some(after), false) => format!(" (gives up after {})", human(after)),
        (Some(after), true) => format!(" (gives up after {}, or when refused)", human(after)),
    };
    format!("reconnects {first}{waits}{gives_up}")
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

fn stream(send: &SendPlan, fleet: &FleetPlan) -> String {
    let spread = match send.arrival.spread {
        Spread::Regular => "regular",
        Spread::Stratified(_) => "regular, taking turns",
        Spread::Poisson => "poisson",
        Spread::Closed { .. } => "closed loop, not corrected",
    };
    let burst = match send.arrival.burst {
        1 => String::new(),
        burst => format!(" in bursts of {burst}"),
    };
    let most = if send.arrival.is_closed() { "at most " } else { "" };
    let retain = if send.retain { ", retained" } else { "" };
    let total = Rate::per_second(send.arrival.rate_hz * f64::from(fleet.devices));
    let total = total.map(|rate| rate.to_string()).unwrap_or_default();
    let bytes = send.payload.bytes_max(fleet.device_id(fleet.devices - 1).len());
    format!(
        "{} at QoS {}{retain}, {spread}{burst}, {most}{total} in all at a load of 100%, up to {}",
        send.operation,
        send.qos,
        human_bytes(bytes as u64)
    )
}

fn method(method: &MethodPlan) -> String {
    let answer = match &method.answer {
        Some(answer) => format!("{} with {}", method.name, answer.status),
        None => format!("{} not at all", method.name),
    };
    let after = match method.after {
        Duration::ZERO => String::new(),
        after => format!(", after {}", human_duration(after)),
    };
    let then = if method.then_reconnect { ", then goes and comes back" } else { "" };
    format!("{answer}{after}{then}")
}

/// How many copies of each message of a stream are to arrive.
fn tracked([least, most]: [u64; 2]) -> String {
    let copies = plural(most, "copy", "copies");
    let range = if least == most { copies } else { format!("{} to {copies}", human_count(least)) };
    format!("each message is delivered in {range} with every device online")
}

fn write_drive(out: &mut String, drive: &DrivePlan, fleets: &[FleetPlan]) -> fmt::Result {
    let what = match &drive.call {
        CallPlan::Method { name, .. } => format!("the method {name}"),
        CallPlan::Desired => "desired properties".to_owned(),
        CallPlan::C2d { .. } => "cloud-to-device messages".to_owned(),
    };
    let fleet = fleets.get(usize::from(drive.fleet)).map_or("", |fleet| fleet.name.as_str());
    let spread = if drive.arrival.spread == Spread::Poisson { "poisson" } else { "regular, taking turns" };
    let rate = Rate::per_second(drive.arrival.rate_hz).map(|rate| rate.to_string()).unwrap_or_default();
    let operation = drive.call.operation();
    writeln!(out, "  {operation}: {what} of fleet {fleet}, {spread}, {rate} in all with every device online")
}

fn write_phase(out: &mut String, phase: &PhasePlan) -> fmt::Result {
    let change = |[from, to]: [f64; 2]| {
        let (from, to) = (Percent::from_fraction(from), Percent::from_fraction(to));
        if from == to { from.to_string() } else { format!("{from} -> {to}") }
    };
    let warmup = if phase.warmup { "  warm-up" } else { "" };
    let duration = human_duration(phase.end - phase.start);
    let (online, load) = (change(phase.online), change(phase.load));
    writeln!(out, "  {:<14}{duration:<10}online {online:<14}load {load}{warmup}", phase.name)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count for people; the cast saturates"
)]
fn whole(count: f64) -> String {
    human_count(count.round() as u64)
}

fn write_needs(out: &mut String, plan: &Plan, workers: usize) -> fmt::Result {
    let Needs { descriptors, ports, ports_closing, memory_bytes, memory_max_bytes } = plan.needs(workers);
    let too = if plan.emulator.is_some() { ", and as many for the built-in hub" } else { "" };
    writeln!(out, "\nneeds")?;
    writeln!(out, "  messages      about {}", whole(plan.planned_messages()))?;
    if !plan.drives.is_empty() {
        let calls: f64 = plan.drives.iter().map(|drive| plan.planned_calls(drive)).sum();
        writeln!(out, "  calls         about {}", whole(calls))?;
    }
    writeln!(out, "  descriptors   {}{too}", human_count(descriptors))?;
    let closing = match ports_closing {
        0 => String::new(),
        closing => format!(", and up to {} that are still closing", human_count(closing)),
    };
    let sources = match plan.target.source_ips.len() {
        0 => String::new(),
        n => format!(", taking turns with {}", plural(n as u64, "source address", "source addresses")),
    };
    writeln!(
        out,
        "  ports         {} ephemeral ports towards the target{closing}{sources}",
        human_count(ports)
    )?;
    writeln!(
        out,
        "  memory        about {} with {}, up to {} if the hub stops reading and acknowledging",
        human_bytes(memory_bytes),
        plural(workers as u64, "worker", "workers"),
        human_bytes(memory_max_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Input;
    use rand::SeedableRng;

    fn described(text: &str, overrides: &[&str]) -> String {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let env = |name: &str| Some(if name.ends_with("HOST") { "host.example" } else { key }.to_owned());
        let input = Input {
            file: "x.toml",
            text,
            overrides: &overrides,
            env: &env,
            files: &crate::scenario::no_files,
        };
        let plan = crate::plan::load(&input, &mut rand::rngs::StdRng::seed_from_u64(1));
        describe(&plan.unwrap_or_else(|errors| panic!("{errors}")), 1)
    }

    #[test]
    fn the_quick_start() {
        insta::assert_snapshot!(described(
            include_str!("../../scenarios/quickstart.toml"),
            &["fleet.meter.devices=2000"]
        ));
    }

    #[test]
    fn a_plain_broker() {
        insta::assert_snapshot!(described(include_str!("../../scenarios/mosquitto.toml"), &[]));
    }

    #[test]
    fn a_password_in_clear_text_is_warned_of_when_it_leaves_this_machine() {
        let warned = |host: &str, more: &[&str]| {
            let host = format!("target.host={host}");
            let text =
                described(include_str!("../../scenarios/mosquitto.toml"), &[&[host.as_str()], more].concat());
            text.contains("in clear text")
        };
        let plain = ["target.tls=false", "target.port=1883"];
        assert!(warned("broker.example", &plain));
        assert!(!warned("broker.example", &[]), "TLS");
        assert!(!warned("127.0.0.1", &plain) && !warned("localhost", &plain) && !warned("::1", &plain));
        assert!(!warned(
            "broker.example",
            &[&plain[..], &["fleet.sensor.auth={ kind = \"none\" }"]].concat()
        ));
    }

    #[test]
    fn what_a_preset_sets_is_described_and_what_the_scenario_says_wins() {
        let quickstart = include_str!("../../scenarios/quickstart.toml");
        let described = |sdk: &str, more: &[&str]| {
            let sdk = format!("fleet.meter.sdk={sdk}");
            let text = described(quickstart, &[&[sdk.as_str()], more].concat());
            let lines =
                text.lines().filter(|line| line.contains("as the SDK") || line.contains("credentials"));
            lines.map(str::trim).collect::<Vec<_>>().join("\n")
        };
        let all = ["python", "node", "dotnet", "java", "c"].map(|sdk| described(sdk, &[])).join("\n");
        let explicit = [
            "fleet.meter.keep_alive=20s",
            "fleet.meter.reconnect={ kind = \"never\" }",
            "fleet.meter.auth={ kind = \"sas\", ttl = \"30m\", renew = \"50%\", clock_skew = \"-3m\" }",
        ];
        insta::assert_snapshot!(format!("{all}\n{}", described("node", &explicit)));
    }

    #[test]
    fn what_ends_a_run_early_is_described() {
        let quickstart = include_str!("../../scenarios/quickstart.toml");
        assert!(!described(quickstart, &[]).contains("early"));
        let text = described(
            quickstart,
            &[
                "abort_when_unreachable=45s",
                "thresholds.\"telemetry{phase:steady}\"=[\"med < 1s\", { expr = \"max < 2s\", abort = true, after = \"5s\" }]",
                "thresholds.\"connect\"=[{ expr = \"max < 3s\", abort = true }]",
            ],
        );
        for line in [
            "med < 1s  in phase steady\n",
            "max < 2s  in phase steady; a fail ends the run early, at the earliest 5.00 s into phase steady\n",
            "max < 3s; a fail ends the run early\n",
            "  the run ends early when all devices are offline against the plan for 45.0 s\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn skipping_while_offline_is_described() {
        let quickstart = include_str!("../../scenarios/quickstart.toml");
        assert!(!described(quickstart, &[]).contains("skipped"));
        assert!(described(quickstart, &["fleet.meter.offline=skip"]).contains("ends as offline"));
    }

    #[test]
    fn the_service_side_is_described() {
        let quickstart = include_str!("../../scenarios/quickstart.toml");
        let drive = "drive=[{ call = \"method\", fleet = \"meter\", name = \"reboot\", rate = \"5/s\" }]";
        let text = described(quickstart, &[drive]);
        assert!(
            text.contains("service.method: the method reboot of fleet meter, regular, taking turns, 5/s"),
            "{text}"
        );
        assert!(text.contains("  calls         about 275\n"), "{text}");
        assert!(!described(quickstart, &[]).contains("  calls  "));
    }

    #[test]
    fn twins_and_methods_are_described() {
        let quickstart = include_str!("../../scenarios/quickstart.toml");
        let text = described(
            quickstart,
            &[
                "fleet.meter.subscribe=[\"twin\", \"methods\"]",
                "fleet.meter.twin={ get = \"on-connect\" }",
                "fleet.meter.methods={ reboot = { after = \"2s\", then = \"reconnect\" }, no = { answer = false } }",
            ],
        );
        for line in [
            "twin         asked for on each connection; requests at QoS 0, answers within 60.0 s",
            "answers      reboot with 200, after 2.00 s, then goes and comes back",
            "answers      no not at all",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn source_addresses_are_described() {
        let text = described(
            include_str!("../../scenarios/mosquitto.toml"),
            &["target.host=127.0.0.1", "target.source_ips=[\"127.0.0.2\", \"127.0.0.3\"]"],
        );
        assert!(text.contains("towards the target, taking turns with 2 source addresses"), "{text}");
    }

    #[test]
    fn no_secret_is_described() {
        let text = described(
            include_str!("../../scenarios/real-hub.toml"),
            &["target.host=h", "target.tls={ verify = false }"],
        );
        assert!(!text.contains("AAECAw") && text.contains("NOT verified"), "{text}");
    }
}
