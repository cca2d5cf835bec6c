//! Servers that refuse, ignore or wrongly answer SUBSCRIBE.

use super::{Case, MESSAGES};
use crate::support::hubstorm::all_ok;
use crate::support::mqtt::SUBSCRIBE;
use crate::support::script::{Step, receives, sends, serves};

const SUBSCRIBES: &str = r#"subscribe = ["c/d"]"#;

#[test]
fn suback_failure_is_refused() {
    let steps = [receives(SUBSCRIBE), sends([0x90, 3, 0xff, 0, 0x80]), serves(usize::MAX)];
    let run = Case::online(steps).fleet(SUBSCRIBES).run(0);
    run.ended("subscribe", &[("refused", 1)]).errors(&[("subscribe_refused", "peer")]);
    assert_eq!(all_ok(&run.result, "publish"), MESSAGES);
}

#[test]
fn missing_suback_is_unfinished_at_the_end() {
    let run = Case::online([receives(SUBSCRIBE), serves(usize::MAX)]).fleet(SUBSCRIBES).run(0);
    run.ended("subscribe", &[("unfinished", 1)]).errors(&[]);
    assert_eq!(all_ok(&run.result, "publish"), MESSAGES);
}

#[test]
fn missing_suback_times_out() {
    let fleet = "subscribe = [\"c/d\"]\nack_timeout = \"500ms\"";
    let run = Case::online([receives(SUBSCRIBE), serves(usize::MAX)]).fleet(fleet).run(0);
    run.ended("subscribe", &[("timed_out", 1)]).errors(&[("subscribe_timeout", "peer")]).connections(1);
    assert_eq!(all_ok(&run.result, "publish"), MESSAGES);
}

#[test]
fn suback_with_too_many_codes_is_a_protocol_error() {
    let run = Case::online([receives(SUBSCRIBE), sends([0x90, 4, 0xff, 0, 0, 0]), Step::Holds])
        .fleet(SUBSCRIBES)
        .run(99);
    run.errors(&[("protocol_error", "peer")]);
    assert_eq!(run.count("publish", "ok"), 0);
}
