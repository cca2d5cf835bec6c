//! Thresholds in k6's grammar with units: `"telemetry{phase:steady}" = ["p(99) < 500ms", "rate(ok) > 99.9%"]`. Every
//! name in them must exist, so that a slip of the finger is an error and not a threshold that always passes.

use super::schedule::PhasePlan;
use super::types::{Plan, Threshold};
use crate::measure::{Compare, Operation, Outcome, Test};
use crate::scenario::{Errors, Place, ThresholdSpec, Written, nearest};
use crate::units::{Percent, parse_duration};
use std::time::Duration;

/// Metrics that later work brings.
const LATER_METRICS: [&str; 3] = ["connect.ws", "twin.desired", "register"];

const ALLOWED: &str = "p(99) < 500ms, med, avg or max < 2s, rate(ok) > 99.9%, count(lost) == 0";

/// The names that a threshold may mention.
pub(super) struct Known<'a> {
    /// Phases, in order.
    pub(super) phases: &'a [String],
    /// Fleets, in order.
    pub(super) fleets: &'a [String],
    /// Metrics that this plan never measures, with what to do instead.
    pub(super) never: &'a [(Operation, &'static str)],
}

#[derive(Clone, Copy)]
struct Selector {
    metric: Operation,
    phase: Option<u16>,
    fleet: Option<u16>,
}

/// Resolves all thresholds, noting what is wrong with each.
pub(super) fn resolve(specs: &[ThresholdSpec], known: &Known<'_>, errors: &mut Errors) -> Vec<Threshold> {
    let mut found = Vec::new();
    let mut last: Option<(&Place, Option<Selector>)> = None;
    for spec in specs {
        // The expressions of one key share it; its error is noted once.
        let selected = match last {
            Some((place, selected)) if *place == spec.metric.place => selected,
            _ => selector(&spec.metric.value, &spec.metric.place, known, errors),
        };
        last = Some((&spec.metric.place, selected));
        let test = expression(&spec.expression.value, &spec.expression.place, errors);
        if let (Some(Selector { metric, phase, fleet }), Some(test)) = (selected, test) {
            if metric == Operation::C2d && never_fails(test) {
                refuse(spec, errors);
                continue;
            }
            let expression = spec.expression.value.trim().to_owned();
            let abort_after = spec.abort.then(|| spec.after.unwrap_or_default());
            found.push(Threshold { metric, phase, fleet, expression, test, abort_after });
        }
    }
    found
}

impl Plan {
    /// When a threshold may first end the run, from the run's zero; `None` if it never may.
    #[must_use]
    pub fn abort_from(&self, threshold: &Threshold) -> Option<Duration> {
        let after = threshold.abort_after?;
        self.first_judged(threshold).map(|phase| phase.start + after)
    }

    /// The phase that a threshold names, or the first one that is no warm-up.
    #[must_use]
    pub fn first_judged(&self, threshold: &Threshold) -> Option<&PhasePlan> {
        let phases = self.schedule.phases();
        match threshold.phase {
            Some(index) => phases.get(usize::from(index)),
            None => phases.iter().find(|phase| !phase.warmup),
        }
    }
}

/// Of `c2d`: what would hold whatever happens to the messages.
fn never_fails(test: Test) -> bool {
    match test {
        Test::Rate { .. } => true,
        Test::Count { outcome, .. } => outcome != Outcome::Ok,
        Test::Percentile { .. } | Test::Mean { .. } | Test::Max { .. } => false,
    }
}

fn refuse(spec: &ThresholdSpec, errors: &mut Errors) {
    let Written { text, place, .. } = &spec.expression;
    let what = "a cloud-to-device message that never comes has no outcome, so every c2d is ok";
    let problem = errors.add(place, what).found(text).allowed("p(99), med, avg, max, count(ok)");
    problem
        .fix("ask service.c2d what became of the sends; a finding of the report counts the messages missing");
}

fn selector(text: &str, place: &Place, known: &Known<'_>, errors: &mut Errors) -> Option<Selector> {
    let (name, tags) = match text.split_once('{') {
        None => (text, ""),
        Some((name, rest)) => match rest.trim_end().strip_suffix('}') {
            Some(tags) => (name, tags),
            None => {
                errors
                    .add(place, "a brace is not closed")
                    .found(text)
                    .allowed("metric{phase:NAME,fleet:NAME}");
                return None;
            }
        },
    };
    let metric = metric(name.trim(), place, known, errors);
    let (mut phase, mut fleet) = (None, None);
    let mut complete = true;
    for tag in tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        let (key, value) = tag.split_once(':').unwrap_or((tag, ""));
        let (slot, names) = match key.trim() {
            "phase" => (&mut phase, known.phases),
            "fleet" => (&mut fleet, known.fleets),
            _ => {
                errors.add(place, "unknown selector").found(tag).allowed("phase:NAME, fleet:NAME");
                complete = false;
                continue;
            }
        };
        *slot = index_of(key.trim(), value.trim(), names, place, errors);
        complete &= slot.is_some();
    }
    complete.then_some(Selector { metric: metric?, phase, fleet })
}

fn metric(name: &str, place: &Place, known: &Known<'_>, errors: &mut Errors) -> Option<Operation> {
    if let Some(operation) = Operation::from_name(name) {
        let Some((_, instead)) = known.never.iter().find(|(never, _)| *never == operation) else {
            return Some(operation);
        };
        errors.add(place, "this scenario never measures that").found(name).fix(*instead);
        return None;
    }
    if LATER_METRICS.contains(&name) {
        errors
            .add(place, format!("not built yet: the metric {name}"))
            .fix("remove it; a later version will read it");
        return None;
    }
    let names = Operation::ALL.map(Operation::name);
    let problem = errors.add(place, "unknown metric");
    problem.found(name).allowed(names.join(", "));
    if let Some(near) = nearest(name, names.into_iter().chain(LATER_METRICS)) {
        problem.fix(format!("did you mean {near}?"));
    }
    None
}

fn index_of(kind: &str, name: &str, names: &[String], place: &Place, errors: &mut Errors) -> Option<u16> {
    let index = names.iter().position(|known| known == name).and_then(|index| u16::try_from(index).ok());
    if index.is_none() {
        let problem = errors.add(place, format!("unknown {kind}"));
        // Two of one name are an error of their own.
        let mut allowed: Vec<&str> = Vec::new();
        for name in names.iter().filter(|name| !name.is_empty()) {
            if !allowed.contains(&name.as_str()) {
                allowed.push(name);
            }
        }
        problem.found(name).allowed(allowed.join(", "));
        if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
            problem.fix(format!("did you mean {kind}:{near}?"));
        }
    }
    index
}

/// What is wrong with an expression.
struct Wrong {
    what: String,
    allowed: String,
    fix: Option<String>,
}

fn wrong(what: &str, allowed: &str) -> Wrong {
    Wrong { what: what.to_owned(), allowed: allowed.to_owned(), fix: None }
}

fn expression(text: &str, place: &Place, errors: &mut Errors) -> Option<Test> {
    if text.trim_start().starts_with("recovery(") {
        errors.add(place, "not built yet: recovery(..)").fix("remove it; a later version will read it");
        return None;
    }
    match parse(text) {
        Ok(test) => Some(test),
        Err(wrong) => {
            let problem = errors.add(place, wrong.what).found(format!("{text:?}")).allowed(wrong.allowed);
            if let Some(fix) = wrong.fix {
                problem.fix(fix);
            }
            None
        }
    }
}

/// Longer operators first: `<` is a part of `<=`.
const OPERATORS: [(&str, Compare); 6] = [
    ("<=", Compare::LessOrEqual),
    (">=", Compare::GreaterOrEqual),
    ("==", Compare::Equal),
    ("!=", Compare::NotEqual),
    ("<", Compare::Less),
    (">", Compare::Greater),
];

fn parse(text: &str) -> Result<Test, Wrong> {
    let split = OPERATORS.iter().find_map(|(operator, compare)| {
        text.split_once(operator).map(|(left, right)| (left.trim(), *compare, right.trim()))
    });
    let (left, compare, limit) = split.ok_or_else(|| wrong("no comparison", ALLOWED))?;
    let (name, argument) = match left.split_once('(') {
        None => (left, None),
        Some((name, rest)) => {
            let argument = rest.strip_suffix(')').ok_or_else(|| wrong("a bracket is not closed", ALLOWED))?;
            (name.trim(), Some(argument.trim()))
        }
    };
    match (name, argument) {
        ("p", Some(percent)) => {
            let (compare, limit_us) = latency(compare, limit)?;
            Ok(Test::Percentile { quantile: quantile(percent)?, compare, limit_us })
        }
        ("med", None) => {
            let (compare, limit_us) = latency(compare, limit)?;
            Ok(Test::Percentile { quantile: 0.5, compare, limit_us })
        }
        ("avg", None) => latency(compare, limit).map(|(compare, limit_us)| Test::Mean { compare, limit_us }),
        ("max", None) => latency(compare, limit).map(|(compare, limit_us)| Test::Max { compare, limit_us }),
        ("rate", Some(name)) => Ok(Test::Rate { outcome: outcome(name)?, compare, limit: share(limit)? }),
        ("count", Some(name)) => Ok(Test::Count { outcome: outcome(name)?, compare, limit: count(limit)? }),
        ("rate" | "count", None) => {
            let fix = Some(format!("did you mean {name}(ok)?"));
            Err(Wrong { fix, ..wrong("of which outcome?", &outcomes()) })
        }
        _ => {
            let near =
                nearest(name, ["p", "med", "avg", "max", "rate", "count"]).filter(|near| *near != name);
            let fix = near.map(|near| format!("did you mean {near}?"));
            Err(Wrong { fix, ..wrong("unknown aggregation", ALLOWED) })
        }
    }
}

fn latency(compare: Compare, limit: &str) -> Result<(Compare, u64), Wrong> {
    if !matches!(compare, Compare::Less | Compare::LessOrEqual) {
        return Err(wrong("a latency has an upper limit", "< or <="));
    }
    let limit_us = parse_duration(limit).ok().and_then(|limit| u64::try_from(limit.as_micros()).ok());
    match limit_us {
        Some(limit_us) if limit_us > 0 => Ok((compare, limit_us)),
        _ => {
            let number = !limit.is_empty() && limit.bytes().all(|byte| byte.is_ascii_digit());
            let fix = number.then(|| format!("did you mean {limit}ms?"));
            Err(Wrong { fix, ..wrong("the limit is not a duration", "a duration such as 500ms or 2s") })
        }
    }
}

fn quantile(percent: &str) -> Result<f64, Wrong> {
    let share = format!("{percent}%").parse().map(Percent::as_fraction);
    let quantile = share.ok().filter(|quantile| *quantile > 0.0 && *quantile < 1.0);
    quantile.ok_or_else(|| wrong("not a percentile", "p(50) to p(99.99); the largest is max"))
}

fn share(limit: &str) -> Result<f64, Wrong> {
    let fraction = limit.parse().map(Percent::as_fraction).ok();
    fraction.filter(|share| *share <= 1.0).ok_or_else(|| {
        let number = limit.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
        let fix = number.map(|number| format!("did you mean {}?", Percent::from_fraction(number)));
        Wrong { fix, ..wrong("the limit is not a share", "a share from 0% to 100%, such as 99.9%") }
    })
}

fn count(limit: &str) -> Result<u64, Wrong> {
    limit.parse().map_err(|_| wrong("the limit is not a count", "a whole number"))
}

fn outcome(name: &str) -> Result<Outcome, Wrong> {
    Outcome::from_name(name).ok_or_else(|| {
        let near = nearest(name, Outcome::ALL.map(Outcome::name));
        Wrong {
            fix: near.map(|near| format!("did you mean {near}?")),
            ..wrong("unknown outcome", &outcomes())
        }
    })
}

fn outcomes() -> String {
    Outcome::ALL.map(Outcome::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve_one(metric: &str, expression: &str) -> Result<Threshold, String> {
        let written = |text: &str, key: &str| Written {
            value: text.to_owned(),
            text: text.to_owned(),
            place: Place { key: key.to_owned(), ..Place::default() },
        };
        let (metric, expression) = (written(metric, "m"), written(expression, "e"));
        let spec = ThresholdSpec { metric, expression, abort: false, after: None };
        let known = Known {
            phases: &["ramp".to_owned(), "steady".to_owned()],
            fleets: &["meter".to_owned()],
            never: &[(Operation::Publish, "use telemetry")],
        };
        let mut errors = Errors::new("x.toml");
        resolve(&[spec], &known, &mut errors).pop().ok_or_else(|| errors.to_string())
    }

    #[test]
    fn the_grammar() {
        use Compare::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        for (text, test) in [
            ("p(99) < 500ms", Test::Percentile { quantile: 0.99, compare: Less, limit_us: 500_000 }),
            ("p(99.9)<=2s", Test::Percentile { quantile: 0.999, compare: LessOrEqual, limit_us: 2_000_000 }),
            ("med < 20ms", Test::Percentile { quantile: 0.5, compare: Less, limit_us: 20_000 }),
            ("avg < 20ms", Test::Mean { compare: Less, limit_us: 20_000 }),
            ("max < 1m30s", Test::Max { compare: Less, limit_us: 90_000_000 }),
            ("rate(ok) > 99.9%", Test::Rate { outcome: Outcome::Ok, compare: Greater, limit: 0.999 }),
            ("rate( ok ) >= 50%", Test::Rate { outcome: Outcome::Ok, compare: GreaterOrEqual, limit: 0.5 }),
            ("count(lost) == 0", Test::Count { outcome: Outcome::Lost, compare: Equal, limit: 0 }),
            (
                "count(timed_out) != 3",
                Test::Count { outcome: Outcome::TimedOut, compare: NotEqual, limit: 3 },
            ),
        ] {
            assert_eq!(resolve_one("telemetry", text).map(|threshold| threshold.test), Ok(test), "{text}");
        }
    }

    #[test]
    fn selectors_become_indices() {
        let threshold = resolve_one("connect.tls{ fleet:meter, phase:steady }", " max < 1s ").unwrap();
        assert_eq!(
            (threshold.metric, threshold.phase, threshold.fleet, threshold.expression.as_str()),
            (Operation::ConnectTls, Some(1), Some(0), "max < 1s")
        );
    }

    #[test]
    fn what_every_run_would_meet_is_no_threshold_of_c2d() {
        for vacuous in ["rate(ok) > 99.9%", "rate(lost) == 0%", "count(lost) == 0"] {
            let error = resolve_one("c2d", vacuous).unwrap_err();
            assert!(error.contains("e: a cloud-to-device message that never comes"), "{vacuous}: {error}");
            assert!(error.contains("ask service.c2d"), "{error}");
            assert!(resolve_one("service.c2d", vacuous).is_ok(), "{vacuous}");
        }
        for told in ["p(99) < 1s", "avg < 1s", "max < 1s", "count(ok) >= 10"] {
            assert!(resolve_one("c2d", told).is_ok(), "{told}");
        }
    }

    #[test]
    fn mistakes_are_named_with_what_was_probably_meant() {
        for (metric, expression, expected) in [
            ("telemtry", "max < 1s", "did you mean telemetry?"),
            ("twin.desired", "max < 1s", "not built yet: the metric twin.desired"),
            ("publish", "max < 1s", "use telemetry"),
            ("telemetry{phase:stedy}", "max < 1s", "did you mean phase:steady?"),
            ("telemetry{fleet:x}", "max < 1s", "unknown fleet"),
            ("telemetry{scenario:x}", "max < 1s", "unknown selector"),
            ("telemetry{phase:ramp", "max < 1s", "a brace is not closed"),
            ("telemetry", "max 1s", "no comparison"),
            ("telemetry", "max < 500", "did you mean 500ms?"),
            ("telemetry", "max < 0s", "not a duration"),
            ("telemetry", "max > 1s", "< or <="),
            ("telemetry", "p(0) < 1s", "not a percentile"),
            ("telemetry", "p(100) < 1s", "the largest is max"),
            ("telemetry", "p(x) < 1s", "not a percentile"),
            ("telemetry", "p(99 < 1s", "a bracket is not closed"),
            ("telemetry", "mid < 1s", "did you mean med?"),
            ("telemetry", "rate > 99%", "did you mean rate(ok)?"),
            ("telemetry", "rate(ok) > 0.99", "did you mean 99%?"),
            ("telemetry", "rate(lots) > 99%", "did you mean lost?"),
            ("telemetry", "rate(ok) > 101%", "not a share"),
            ("telemetry", "count(lost) == -1", "not a count"),
            ("telemetry", "recovery(99%) < 60s", "not built yet"),
        ] {
            let error = resolve_one(metric, expression).unwrap_err();
            assert!(error.contains(expected), "{metric} {expression}: {error}");
        }
    }
}
