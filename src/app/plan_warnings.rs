//! Notes and warnings about a valid plan: settings that are allowed but rarely intended, such as a threshold that can only fail. `check` and
//! `run` print them. Uses only the plan.

use crate::measure::threshold_label;
use crate::plan::{CallPlan, DrivePlan, FleetPlan, Plan, Subscription, Threshold};
use crate::units::{human_count, human_duration};
use std::collections::BTreeSet;

/// Returns all notes, one line each, as `  note: ..`.
#[must_use]
pub(super) fn notes(plan: &Plan) -> String {
    let fleets = plan.fleets.iter().zip(0..);
    let notes = thin_thresholds(plan)
        .chain(late_aborts(plan))
        .chain(plan.drives.iter().filter_map(|drive| unhandled_calls(plan, drive)))
        .chain(fleets.flat_map(|(fleet, number)| untracked(plan, fleet, number)))
        .chain(device_lists(plan));
    notes.map(|note| format!("  note: {note}\n")).collect()
}

/// Returns a warning if passwords cross the network unencrypted. `run` and `check` print it, and the result records it.
#[must_use]
pub(super) fn cleartext_password(plan: &Plan) -> Option<String> {
    let has_password = plan.fleets.iter().any(|fleet| fleet.auth.has_password());
    (has_password && plan.target.tls.is_none() && !plan.target.is_loopback()).then(|| {
        format!(
            "passwords are sent to {} in clear text over plain TCP; set tls = true in [target]",
            plan.target.address()
        )
    })
}

/// Notes each threshold with too few planned samples.
fn thin_thresholds(plan: &Plan) -> impl Iterator<Item = String> {
    plan.undersampled_thresholds().into_iter().map(|(threshold, needed, planned)| {
        let problem = match (planned, threshold.phase) {
            (0, Some(_)) => "has no samples in that phase".to_owned(),
            (0, None) => "has no samples outside warm-up phases".to_owned(),
            _ => format!(
                "needs {} samples, but the plan produces only about {}",
                human_count(needed),
                human_count(planned)
            ),
        };
        format!(
            "threshold {} {problem}; it will fail with \"not enough data\"",
            format_threshold(plan, threshold)
        )
    })
}

/// Notes each threshold that can abort only after the end of the load.
fn late_aborts(plan: &Plan) -> impl Iterator<Item = String> {
    plan.thresholds.iter().filter_map(|threshold| {
        let after = threshold.abort_after?;
        let too_late = plan.abort_from(threshold).is_none_or(|from| from >= plan.schedule.end());
        too_late.then(|| {
            let (threshold, after) = (format_threshold(plan, threshold), human_duration(after));
            format!(
                "threshold {threshold} cannot end the run early: the load ends before its `after` ({after})"
            )
        })
    })
}

/// Formats a threshold as in a scenario, on one line.
fn format_threshold(plan: &Plan, threshold: &Threshold) -> String {
    let phase = threshold.phase.and_then(|phase| plan.schedule.phases().get(usize::from(phase)));
    let fleet = threshold.fleet.and_then(|fleet| plan.fleets.get(usize::from(fleet)));
    let (phase, fleet) = (phase.map(|phase| &*phase.name), fleet.map(|fleet| &*fleet.name));
    format!("{} {}", threshold_label(threshold.metric.name(), phase, fleet), threshold.expression)
}

/// Notes calls to a fleet that does not subscribe to them or does not implement the method.
fn unhandled_calls(plan: &Plan, drive: &DrivePlan) -> Option<String> {
    let fleet = plan.fleets.get(usize::from(drive.fleet))?;
    let subscribes = |to: &Subscription| fleet.subscribe.contains(to);
    let name = &fleet.name;
    match &drive.call {
        CallPlan::Method { .. } if !subscribes(&Subscription::Methods) => Some(format!(
            "fleet {name} does not subscribe to \"methods\": the hub refuses each call as if the device were offline"
        )),
        CallPlan::Method { name: method, .. } if !fleet.methods.iter().any(|known| known.name == *method) => {
            Some(format!(
                "fleet {name} has no methods.{method}: its devices answer each call with status 501, which counts as an answer"
            ))
        }
        CallPlan::C2d { .. } if !subscribes(&Subscription::C2d) => Some(format!(
            "fleet {name} does not subscribe to \"c2d\": messages stay in the hub's queues of at most 50 messages per device"
        )),
        CallPlan::Method { .. } | CallPlan::C2d { .. } | CallPlan::Desired => None,
    }
}

/// Notes what was skipped or ignored in files with devices. Several fleets may use the same file.
fn device_lists(plan: &Plan) -> BTreeSet<String> {
    let lists = plan.fleets.iter().filter_map(|fleet| fleet.auth.device_list());
    lists.flat_map(|list| list.notes().iter().cloned()).collect()
}

/// Notes stamped messages that no fleet subscribes to, and fleets that only subscribe but receive no tracked messages.
fn untracked(plan: &Plan, fleet: &FleetPlan, number: u16) -> Vec<String> {
    let sends = fleet.sends.iter().zip(0..);
    let without_subscriber = sends
        .filter(|(send, stream)| send.payload.has_stamp() && !plan.deliveries.is_tracked(number, *stream));
    let name = &fleet.name;
    let mut notes: Vec<String> = without_subscriber
        .map(|(send, _)| {
            format!("fleet {name} sends ${{stamp}} to {}, but no fleet subscribes to that topic: deliver is not measured", send.topic)
        })
        .collect();
    let filters = fleet.subscribe.iter().filter_map(|subscription| match subscription {
        Subscription::Filter(filter, _) => Some(filter.to_string()),
        Subscription::C2d | Subscription::Twin | Subscription::Methods => None,
    });
    let filters: Vec<String> = filters.collect();
    if fleet.sends.is_empty() && !filters.is_empty() && !plan.deliveries.receives(number) {
        notes.push(format!(
            "fleet {name} subscribes to {}, but no fleet sends messages there that can be tracked (with ${{stamp}}, or with a size of 38 or more): \
             deliver is not measured",
            filters.join(", ")
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn notes_of(text: &str) -> String {
        let text = format!("{text}\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n");
        let input = crate::scenario::Input {
            file: "x.toml",
            text: &text,
            overrides: &[],
            env: &|_| None,
            files: &crate::scenario::no_files,
        };
        notes(&crate::plan::load(&input, &mut rand::rngs::StdRng::seed_from_u64(1)).unwrap())
    }

    #[test]
    fn abort_after_the_end_of_the_load_is_noted() {
        let with = |after: &str| {
            notes_of(&format!(
                "[fleet.a]\ndevices = 1\n\
                 [thresholds]\n\"connect{{phase:p}}\" = [{{ expr = \"count(lost) == 0\", abort = true, after = \"{after}\" }}]"
            ))
        };
        assert_eq!(with("999ms"), "");
        assert_eq!(
            with("1s"),
            "  note: threshold connect{phase:p} count(lost) == 0 cannot end the run early: the load ends before its `after` (1.00 s)\n"
        );
    }

    #[test]
    fn unhandled_calls_are_noted() {
        let with = |fleet: &str, call: &str| {
            notes_of(&format!(
                "[fleet.a]\ndevices = 2\n{fleet}\n[[drive]]\nfleet = \"a\"\nrate = \"1/s\"\n{call}"
            ))
        };
        let reboot = "call = \"method\"\nname = \"reboot\"";
        assert!(with("", reboot).contains("does not subscribe to \"methods\""));
        let subscribed = "subscribe = [\"methods\", \"c2d\"]";
        assert!(with(subscribed, reboot).contains("has no methods.reboot"));
        assert_eq!(with(&format!("{subscribed}\nmethods = {{ reboot = {{}} }}"), reboot), "");
        let hello = "call = \"c2d\"\npayload = \"hello\"";
        assert!(with("", hello).contains("does not subscribe to \"c2d\""));
        assert_eq!(with(subscribed, hello), "");
        assert_eq!(with("", "call = \"desired\"\npayload = '{\"a\":1}'"), "");
    }

    #[test]
    fn untracked_publishers_and_subscribers_are_noted() {
        let between = |topic: &str, filter: &str| {
            notes_of(&format!(
                "[target]\nkind = \"mqtt\"\nhost = \"localhost\"\n[fleet.a]\ndevices = 2\n[[fleet.a.send]]\nrate = \"1/s\"\n\
                 topic = \"{topic}\"\npayload = 'x ${{stamp}}'\n[fleet.b]\ndevices = 2\nsubscribe = [\"{filter}\"]"
            ))
        };
        assert_eq!(between("news/all", "news/#"), "");
        let apart = between("newz/all", "news/#");
        assert!(apart.contains("fleet a sends ${stamp} to newz/all"), "{apart}");
        assert!(apart.contains("fleet b subscribes to news/#"), "{apart}");
    }
}
