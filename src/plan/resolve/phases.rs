//! Resolves `[[phase]]`. Used by `resolve`.

use crate::plan::duplicates::Duplicates;
use crate::plan::schedule::Schedule;
use crate::scenario::{DURATION_MAX, Errors, Place, Scenario};
use crate::units::human_duration;
use std::time::Duration;

/// Resolves all `[[phase]]` tables.
pub(super) fn resolve(scenario: &Scenario, errors: &mut Errors) -> Schedule {
    let mut names = Duplicates::default();
    if scenario.phases.len() > usize::from(u16::MAX) {
        let place = Place { key: "phase".to_owned(), ..Place::default() };
        errors.add(&place, "too many phases").allowed("at most 65535");
    }
    for (index, phase) in scenario.phases.iter().enumerate() {
        let Some(name) = &phase.name else { continue };
        if names.first(name.value.as_str(), index).is_some() {
            let problem = errors.add(&name.place, "two phases have this name");
            problem
                .found(format!("{:?}", name.text))
                .fix(format!("rename one of them, for example to {}-2", name.value));
        }
    }
    let whole: Duration = scenario.phases.iter().filter_map(|phase| phase.duration).sum();
    if let Some(last) = scenario.phases.last().filter(|_| whole > DURATION_MAX) {
        let problem = errors.add(&last.place, "the phases together are too long");
        problem.found(human_duration(whole)).allowed(format!("up to {}", human_duration(DURATION_MAX)));
    }
    Schedule::new(scenario.phases.iter().map(|phase| {
        let name = phase.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        let duration = phase.duration.unwrap_or(Duration::from_secs(1));
        (name, phase.warmup, duration, phase.online.unwrap_or([1.0; 2]), phase.load.unwrap_or([1.0; 2]))
    }))
}
