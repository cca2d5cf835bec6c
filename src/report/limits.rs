//! The use of the limits of the hub's tier, in words. Used by the summary, the page and the findings. Pure.

use super::findings::target_facts::size;
use super::format::rate;
use crate::result::model::{LimitUse, RunResult};
use crate::units::grouped;

/// The class of the daily quota.
pub const QUOTA: &str = "messages_per_day";

/// Returns the limit of a class in words.
pub(super) fn words(class: &str) -> &str {
    match class {
        "connections" => "limit for new connections",
        "d2c" => "D2C limit",
        "c2d" => "C2D limit",
        "twin_reads" => "limit for twin reads",
        "twin_updates" => "limit for twin updates",
        "methods" => "limit for method calls",
        other => other,
    }
}

/// Returns the unit of a class in words. The result file counts everything except method calls in messages.
pub(super) fn unit(row: &LimitUse) -> &str {
    match &*row.class {
        "connections" => "new connections/s",
        "twin_reads" => "reads/s",
        "twin_updates" => "updates/s",
        _ => &row.unit,
    }
}

/// Returns how much of which limit the run used, and which limit binds first when the load grows. `None` without a tier.
pub(super) fn description(result: &RunResult) -> Option<String> {
    let size = size(&result.run.target)?;
    let mut rows: Vec<&LimitUse> = result.limits.iter().filter(|row| row.share > 0.0).collect();
    rows.sort_by(|one, two| two.share.total_cmp(&one.share));
    let quota = rows.iter().position(|row| row.class == QUOTA).map(|at| rows.remove(at));
    let (first, more) = rows.split_first()?;
    let percent = |row: &LimitUse| format!("{}%", grouped(&format!("{:.0}", row.share * 100.0)));
    let used = |row: &LimitUse| format!("{} of the {}", percent(row), words(&row.class));
    let mut text = format!("used {} of {size}", used(first));
    text += &format!(" ({} of {} {})", rate(first.offered_peak), rate(first.limit), unit(first));
    for row in more {
        text += &format!(", {}", used(row));
    }
    let next = rows.iter().find(|row| row.share < 1.0);
    if let Some(row) = next {
        text += &format!("; next, the {} binds at {}", words(&row.class), growth(1.0 / row.share));
    }
    if let Some(quota) = quota {
        text += &format!("; 24 hours at this rate use {} of the daily quota", percent(quota));
    }
    Some(text)
}

/// Returns how much the load must grow by a factor above 1, in words.
fn growth(factor: f64) -> String {
    let percent = (factor - 1.0) * 100.0;
    match percent {
        _ if percent < 1.0 => "less than 1% more load".to_owned(),
        _ if percent < 100.0 => format!("{:.0}% more load", percent.floor()),
        _ => format!("{factor:.1} times this load"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_the_used_share_and_the_next_limit() {
        let mut result = crate::result::testing::result();
        let row = |class: &str, limit: f64, share: f64| LimitUse {
            class: class.to_owned(),
            limit,
            unit: "msg/s".to_owned(),
            offered_peak: limit * share,
            admitted_peak: limit * share,
            share,
            delayed: None,
            rejected: None,
            first_us: None,
            offered_at_first: None,
        };
        result.limits = vec![row("connections", 100.0, 0.25), row("d2c", 100.0, 0.71)];
        assert_eq!(description(&result), None, "without a tier");
        result.run.target.tier = Some("S1".to_owned());
        result.run.target.units = Some(1);
        assert_eq!(
            description(&result).unwrap(),
            "used 71% of the D2C limit of S1 x 1 (71.0 of 100 msg/s), 25% of the limit for new connections; next, the D2C limit binds at \
             40% more load"
        );
        result.limits.push(row(QUOTA, 400_000.0, 0.5));
        let more = description(&result).unwrap();
        assert!(more.ends_with("; 24 hours at this rate use 50% of the daily quota"), "{more}");
        result.limits.truncate(2);
        result.limits[1].share = 2.0;
        assert!(
            description(&result)
                .unwrap()
                .ends_with("the limit for new connections binds at 4.0 times this load")
        );
        result.limits.truncate(1);
        assert_eq!(unit(&result.limits[0]), "new connections/s");
        for (share, words) in
            [(0.96, "4% more load"), (0.999, "less than 1% more load"), (0.5, "2.0 times this load")]
        {
            assert_eq!(growth(1.0 / share), words);
        }
    }
}
