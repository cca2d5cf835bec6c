//! Selects the errors that `run` reports during the load: a class is reported as soon as it is frequent. Used by `console`. Pure: the
//! caller passes the time.

use crate::measure::{Live, LiveErrors};
use crate::report::{culprit, error_fix, in_json, plain};
use crate::units::{Percent, human_count, plural};
use std::collections::BTreeMap;
use std::time::Duration;

/// A class is reported if it exceeds one error per this number of operations or connection attempts in a second.
const ONE_IN: u64 = 100;
/// A class is reported again if its count has grown by this factor.
const GROWTH: u64 = 10;
/// A class is reported again if it returns after it was below the limit for this time (our choice).
const PAUSE: Duration = Duration::from_secs(10);

/// The reported classes.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    reported: BTreeMap<(String, &'static str), Reported>,
}

#[derive(Debug)]
struct Reported {
    /// Number of errors when the class was last reported.
    total: u64,
    /// The last second in which the class was frequent.
    last: Duration,
}

impl Alerts {
    /// Returns a message for each class that became frequent in the second that ended at `at`, with advice in TOML or in JSON.
    pub(super) fn check(&mut self, at: Duration, live: &Live, json: bool) -> Vec<String> {
        live.classes.iter().filter_map(|errors| self.check_class(at, live, errors, json)).collect()
    }

    fn check_class(&mut self, at: Duration, live: &Live, errors: &LiveErrors, json: bool) -> Option<String> {
        let whole = if is_of_attempt(&errors.class) { live.attempts } else { live.ended };
        if errors.count == 0 || errors.count.saturating_mul(ONE_IN) <= whole {
            return None;
        }
        let key = (errors.class.clone(), culprit(errors.culprit));
        if let Some(reported) = self.reported.get_mut(&key) {
            let has_grown = errors.total / GROWTH >= reported.total;
            let returned = at.saturating_sub(reported.last) > PAUSE;
            reported.last = at;
            if !has_grown && !returned {
                return None;
            }
        }
        self.reported.insert(key, Reported { total: errors.total, last: at });
        Some(message(errors, whole, json))
    }
}

/// Returns the message about a class of errors: their count, an example, and a fix.
fn message(errors: &LiveErrors, whole: u64, json: bool) -> String {
    let LiveErrors { class, count, total, example, .. } = errors;
    let what = if is_of_attempt(class) && *count <= whole {
        let attempts = plural(whole, "connection attempt", "connection attempts");
        format!("{} of {attempts} failed in the last second{}", human_count(*count), share(*count, whole))
    } else {
        let errors = plural(*count, "error", "errors");
        let ended = plural(whole, "operation", "operations");
        format!("{errors} in the last second, in which {ended} ended{}", share(*count, whole))
    };
    let so_far = if total > count { format!(", {} so far", human_count(*total)) } else { String::new() };
    let mut text = format!("{class} ({}): {what}{so_far}", culprit(errors.culprit));
    if !example.is_empty() {
        text += &format!(". Example: {}", plain(example));
    }
    if let Some(fix) = error_fix(class) {
        let fix = if json { in_json(fix) } else { fix.to_owned() };
        text += &format!(". What to do: {fix}");
    }
    text
}

/// Returns the share in parentheses. Empty if `count` exceeds `whole`.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn share(count: u64, whole: u64) -> String {
    if count > whole {
        return String::new();
    }
    let percent = (count as f64 / whole as f64 * 1_000.0).round() / 10.0;
    format!(" ({})", Percent::from_fraction(percent / 100.0))
}

/// Returns true for classes that only connection attempts have.
fn is_of_attempt(class: &str) -> bool {
    class.starts_with("connack_")
        || class.starts_with("tcp_")
        || matches!(
            class,
            "dns"
                | "tls"
                | "tls_timeout"
                | "tls_certificate"
                | "fd_limit"
                | "ports_exhausted"
                | "source_address"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Culprit;

    fn live(class: &str, count: u64, total: u64) -> Live {
        let class = LiveErrors {
            class: class.to_owned(),
            culprit: Culprit::Target,
            count,
            total,
            example: "meter-0001: refused\u{1b}[2J".to_owned(),
        };
        Live { ended: 1_000, attempts: 50, classes: vec![class], ..Live::default() }
    }

    /// Returns the seconds in which a class with these counts is reported.
    fn reported(counts: &[u64]) -> Vec<usize> {
        let (mut alerts, mut total) = (Alerts::default(), 0);
        let mut check = |(second, count): (usize, &u64)| {
            total += count;
            let messages =
                alerts.check(Duration::from_secs(second as u64), &live("reset", *count, total), false);
            (!messages.is_empty()).then_some(second)
        };
        counts.iter().enumerate().filter_map(&mut check).collect()
    }

    #[test]
    fn errors_above_one_percent_are_reported() {
        assert!(reported(&[0, 10, 10, 10]).is_empty());
        assert_eq!(reported(&[0, 11, 10]), [1]);
        // 2 of 50 connection attempts, although 1,000 operations ended.
        assert_eq!(Alerts::default().check(Duration::ZERO, &live("connack_5", 1, 1), false).len(), 1);
        assert_eq!(Alerts::default().check(Duration::ZERO, &live("ack_timeout", 1, 1), false).len(), 0);
    }

    #[test]
    fn class_is_reported_again_after_growth_or_a_pause() {
        assert_eq!(reported(&[20; 9]), [0]);
        assert_eq!(reported(&[20; 30]), [0, 9]);
        let mut counts = [0; 40];
        for second in [1, 5, 12, 30] {
            counts[second] = 20;
        }
        assert_eq!(reported(&counts), [1, 30]);
    }

    #[test]
    fn advice_about_a_json_scenario_is_json() {
        let live = live("closed_after_expiry", 25, 75);
        for (json, fix) in [(false, "`renew = \"never\"`"), (true, "`\"renew\": \"never\"`")] {
            let messages = Alerts::default().check(Duration::ZERO, &live, json);
            assert!(messages[0].ends_with(fix), "{messages:?}");
        }
    }

    #[test]
    fn message_has_count_share_example_and_fix() {
        let [text] = &Alerts::default().check(Duration::ZERO, &live("connack_5", 25, 75), false)[..] else {
            panic!()
        };
        assert!(
            text.starts_with(
                "connack_5 (target): 25 of 50 connection attempts failed in the last second (50%), 75 so far. Example: meter-0001: refused"
            ),
            "{text}"
        );
        assert!(text.contains(". What to do: check `auth`") && !text.contains('\u{1b}'), "{text}");
        let [text] = &Alerts::default().check(Duration::ZERO, &live("closed_by_peer", 125, 125), false)[..]
        else {
            panic!()
        };
        assert!(
            text.starts_with(
                "closed_by_peer (target): 125 errors in the last second, in which 1,000 operations ended (12.5%). Example: "
            ),
            "{text}"
        );
        let [text] = &Alerts::default().check(Duration::ZERO, &live("reset", 1_500, 1_500), false)[..] else {
            panic!()
        };
        assert!(
            text.contains("1,500 errors in the last second, in which 1,000 operations ended. "),
            "{text}"
        );
    }
}
