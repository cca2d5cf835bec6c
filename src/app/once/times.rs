//! Prints the steps of one device of each fleet, with the time of each step, for `doctor --scenario`. Pure.

use super::super::columns::{doctor_row, doctor_step};
use super::checklist::Checklist;
use super::items::{Item, State, What, heading};
use super::reason::reason;
use crate::link::TlsFacts;
use crate::measure::Operation;
use crate::plan::Plan;
use crate::units::human_us;
use std::fmt::Write as _;
use std::time::Duration;

/// Returns one block per fleet: the steps of the connection, the subscription, and one acknowledged message, each with its time.
#[must_use]
pub(in crate::app) fn times(list: &Checklist, plan: &Plan, tls: Option<&TlsFacts>) -> String {
    let mut out = String::new();
    for (fleet, number) in plan.fleets.iter().zip(0_u16..) {
        let _ = writeln!(out, "{}", heading(fleet));
        for (_, step, took) in list.connect_steps.iter().filter(|(of, ..)| *of == number) {
            let tls = tls.filter(|_| *step == Operation::ConnectTls);
            out.push_str(&doctor_step(step_name(*step), *took, tls));
        }
        let items: Vec<&Item> = list.items.iter().filter(|item| item.fleet == number).collect();
        let mut subscribed = false;
        for item in &items {
            let name = item.label.split(' ').next().unwrap_or_default();
            if let Some(reason) = reason(item, list, plan) {
                row(&mut out, name, &format!("failed: {}", reason.what));
                if let Some(fix) = reason.fix {
                    row(&mut out, "", &format!("fix: {fix}"));
                }
                continue;
            }
            match (&item.state, item.took) {
                // The steps of the connection have their own rows.
                (State::Ok(_), _) if item.what == What::Connect => {}
                // All filters are in one packet.
                (State::Ok(_), _) if subscribed && matches!(item.what, What::Subscribe(..)) => {}
                (State::Ok(remark), took) => {
                    subscribed |= matches!(item.what, What::Subscribe(..));
                    let took = took.map_or(String::new(), human);
                    row(&mut out, name, format!("{took}  {remark}").trim());
                }
                (State::Skipped(why), _) => row(&mut out, name, &format!("skipped: {why}")),
                (State::Open | State::Ended(..) | State::Failed(..), _) => {
                    row(&mut out, name, "has not ended")
                }
            }
        }
        if !items.iter().any(|item| item.is_message()) {
            row(&mut out, "message", "skipped: this fleet sends no message that the target acknowledges");
        }
    }
    out
}

fn row(out: &mut String, name: &str, text: &str) {
    out.push_str(&doctor_row(name, text));
}

fn step_name(step: Operation) -> &'static str {
    match step {
        Operation::ConnectDns => "DNS",
        Operation::ConnectTcp => "TCP",
        Operation::ConnectTls => "TLS",
        _ => "CONNACK",
    }
}

fn human(took: Duration) -> String {
    human_us(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
}
