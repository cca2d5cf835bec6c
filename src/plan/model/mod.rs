//! The plain types of a plan. `resolve` fills them in; the rest of `plan`, `fleet`, `report` and `app` read them. Start with `plan`.

mod day;
mod fault;
mod fleet;
mod message;
mod plan;
mod service;
mod subscription;
mod target;
mod threshold;
mod twin_methods;

pub use crate::scenario::{Sdk, TargetKind};
pub use day::DayPart;
pub use fault::{FaultPlan, FleetFault};
pub use fleet::{FleetPlan, Offline};
pub use message::{SendPlan, WillPlan};
pub use plan::{Plan, Source};
pub use service::{CallPlan, DrivePlan};
pub use subscription::{SubscribeQos, Subscription};
pub use target::{HostPort, Target, TlsPlan, address_of, is_loopback_host};
pub use threshold::Threshold;
pub use twin_methods::{AnswerPlan, MethodPlan, TwinPlan};
