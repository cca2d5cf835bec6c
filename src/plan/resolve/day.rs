//! Resolves `[[day.part]]`. Used by `resolve`.

use super::quoting::quoted;
use crate::plan::model::DayPart;
use crate::plan::schedule::Schedule;
use crate::scenario::{DayPartSpec, DaySpec, Errors, nearest};

/// A day has this number of hours.
const DAY_HOURS: f64 = 24.0;
/// Sums of decimal fractions, such as 0.1, are off by less than this.
const ROUNDING: f64 = 1e-6;

/// Resolves the parts of a day. Empty if the scenario has none.
pub(super) fn resolve(spec: Option<&DaySpec>, schedule: &Schedule, errors: &mut Errors) -> Vec<DayPart> {
    let Some(spec) = spec else { return Vec::new() };
    let parts: Vec<DayPart> =
        spec.parts.iter().filter_map(|part| self::part(part, schedule, errors)).collect();
    let hours: Option<f64> = spec.parts.iter().map(|part| part.hours).sum();
    if let Some(hours) = hours.filter(|hours| (hours - DAY_HOURS).abs() > ROUNDING) {
        // The sum of no parts is -0.
        let total = (hours * 1e6).round() / 1e6 + 0.0;
        let problem = errors.add(&spec.place.below("part"), "the parts of the day do not total 24 hours");
        problem.found(self::hours(total)).allowed("24 hours in all");
        let missing = DAY_HOURS - total;
        problem.fix(if missing > 0.0 {
            format!("add a [[day.part]] for the other {}", self::hours(missing))
        } else {
            format!("shorten the parts by {}", self::hours(-missing))
        });
    }
    parts
}

/// Formats a number of hours: `1 hour`, `0.5 hours`.
fn hours(hours: f64) -> String {
    let text = ((hours * 1e6).round() / 1e6).to_string();
    let noun = if text == "1" { "hour" } else { "hours" };
    format!("{text} {noun}")
}

fn part(spec: &DayPartSpec, schedule: &Schedule, errors: &mut Errors) -> Option<DayPart> {
    let (name, hours) = (spec.phase.as_ref()?, spec.hours?);
    let mut phases = schedule.phases().iter().zip(0_u16..);
    if let Some((_, phase)) = phases.find(|(phase, _)| phase.name == name.value) {
        return Some(DayPart { phase, hours });
    }
    let names = || schedule.phases().iter().map(|phase| phase.name.as_str());
    let problem = errors.add(&name.place, "unknown phase").found(quoted(&name.text));
    problem.allowed(names().collect::<Vec<_>>().join(", "));
    if let Some(near) = nearest(&name.value, names()) {
        problem.fix(format!("did you mean {near}?"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_support::load;

    fn day(parts: &[(&str, &str)]) -> Result<Vec<DayPart>, String> {
        let mut text = "[fleet.a]\ndevices = 1\n[[phase]]\nname = \"steady\"\nduration = \"1m\"\n\
                        [[phase]]\nname = \"evening\"\nduration = \"1m\"\n"
            .to_owned();
        for (phase, hours) in parts {
            text += &format!("[[day.part]]\nphase = \"{phase}\"\nhours = {hours}\n");
        }
        load(&text).map(|plan| plan.day)
    }

    #[test]
    fn parts_of_a_day_name_phases_and_total_24_hours() {
        let parts = [DayPart { phase: 0, hours: 20.0 }, DayPart { phase: 1, hours: 4.0 }];
        assert_eq!(day(&[("steady", "20"), ("evening", "4")]).unwrap(), parts);
        assert_eq!(day(&[("steady", "23.9"), ("evening", "0.1")]).unwrap().len(), 2);
        assert_eq!(day(&[("steady", "8"); 3]).unwrap().len(), 3);
        assert_eq!(day(&[]).unwrap(), []);
    }

    #[test]
    fn wrong_days_are_errors_with_a_place_and_a_fix() {
        for (parts, expected) in [
            (
                &[("steady", "20")][..],
                "test.toml:9:3: day.part: the parts of the day do not total 24 hours\n    found:   20 hours\n    allowed: 24 hours in \
                 all\n    fix:     add a [[day.part]] for the other 4 hours",
            ),
            (&[("steady", "20"), ("evening", "5")], "fix:     shorten the parts by 1 hour\n"),
            (&[("steady", "20"), ("evening", "5")], "found:   25 hours\n"),
            (&[("steady", "23")], "fix:     add a [[day.part]] for the other 1 hour\n"),
            (&[("steady", "1")], "found:   1 hour\n"),
            (&[("steady", "24"), ("evening", "0.5")], "fix:     shorten the parts by 0.5 hours\n"),
            (&[("steedy", "24")], "test.toml:10:9: day.part.0.phase: unknown phase"),
            (&[("steedy", "24")], "did you mean steady?"),
            (&[("steady", "0")], "day.part.0.hours: out of range"),
            (&[("steady", "25")], "allowed: a number above 0 and up to 24"),
            (&[("steady", "\"24\"")], "day.part.0.hours: wrong type"),
        ] {
            let error = day(parts).unwrap_err();
            assert!(format!("{error}\n").contains(expected), "{parts:?}: {error}");
        }
    }

    #[test]
    fn a_day_without_parts_has_0_hours() {
        let phase = "[[phase]]\nname = \"steady\"\nduration = \"1m\"\n";
        let error = |day: &str| load(&format!("{day}\n[fleet.a]\ndevices = 1\n{phase}")).unwrap_err();
        assert!(error("day.part = []").contains("found:   0 hours\n"), "{}", error("day.part = []"));
        let missing = error("[day]");
        assert!(missing.contains("day.part: missing") && !missing.contains("do not total"), "{missing}");
    }
}
