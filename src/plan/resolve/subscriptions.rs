//! Resolves a fleet's `subscribe`. Used by `fleets`.

use super::context::ResolveContext;
use super::mqtt_limits::check_string;
use super::quoting::quoted;
use super::templates::parse_template;
use crate::plan::model::{Subscription, TargetKind};
use crate::plan::payload::TemplateContext;
use crate::scenario::{Errors, FleetSpec, SubscribeSpec, nearest};
use crate::wire::QoS;

/// Resolves a fleet's `subscribe`.
pub(super) fn resolve(
    spec: &FleetSpec,
    longest: &str,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Vec<Subscription> {
    let mut found: Vec<Subscription> = Vec::new();
    for subscribe in &spec.subscribe {
        let written = &subscribe.filter;
        let subscription = match context.kind {
            Some(TargetKind::IotHub) => hub_subscription(subscribe, errors),
            Some(TargetKind::Mqtt) => filter(subscribe, longest, errors),
            None => None,
        };
        let Some(subscription) = subscription else { continue };
        if found.iter().any(|other| other.same_filter(&subscription)) {
            errors
                .add(&written.place, "given twice")
                .found(quoted(&written.text))
                .fix("remove one of the two");
            continue;
        }
        found.push(subscription);
    }
    found
}

fn hub_subscription(subscribe: &SubscribeSpec, errors: &mut Errors) -> Option<Subscription> {
    let written = &subscribe.filter;
    if let Some(qos) = &subscribe.qos {
        let problem = errors.add(&qos.place, "the QoS of subscriptions to an IoT hub is fixed");
        problem.found(qos.text.clone()).fix(format!("write only \"{}\"", written.text));
    }
    match written.value.as_str() {
        "c2d" => Some(Subscription::C2d),
        "twin" => Some(Subscription::Twin),
        "methods" => Some(Subscription::Methods),
        other => {
            let problem = errors.add(&written.place, "unknown IoT hub subscription");
            problem.found(quoted(&written.text)).allowed("\"c2d\", \"twin\", \"methods\"");
            if let Some(near) = nearest(other, ["c2d", "twin", "methods"]) {
                problem.fix(format!("did you mean \"{near}\"?"));
            }
            None
        }
    }
}

fn filter(subscribe: &SubscribeSpec, longest: &str, errors: &mut Errors) -> Option<Subscription> {
    let written = &subscribe.filter;
    let template = parse_template(written, errors)?;
    let rendered = template.render(&TemplateContext { device: longest, index: 0 });
    check_string(&rendered, "the topic filter", &written.place, errors);
    let levels: Vec<&str> = rendered.split('/').collect();
    let last = levels.len() - 1;
    let sound = levels.iter().enumerate().all(|(index, level)| match *level {
        "+" => true,
        "#" => index == last,
        level => !level.contains(['+', '#']),
    });
    if !sound {
        // MQTT 3.1.1 §4.7.1.
        let problem = errors.add(&written.place, "not a valid topic filter").found(quoted(&written.text));
        problem.allowed("+ only as a whole level, # only as the whole last level");
    }
    let qos = subscribe.qos.as_ref().and_then(|qos| QoS::from_u8(qos.value)).unwrap_or(QoS::AtLeastOnce);
    Some(Subscription::Filter(template, qos))
}
