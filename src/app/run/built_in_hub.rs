//! The built-in hub of a run: its configuration before the start, and its report at the end. Used by `run`.

use super::super::AppError;
use super::super::build_result::EmulatorReport;
use super::super::emulator_process::EmulatorProcess;
use crate::emulator::Stats;
use crate::emulator::control::{
    ControlConfig, ControlDevice, ControlPolicy, ControlReply, Ready, SecretText,
};
use crate::iothub::sas;
use crate::plan::{Auth, Keys, Plan};
use crate::policy::fault::FaultText;
use crate::result::model;

/// Returns the configuration of the built-in hub: the keys of all fleets, the options of `[emulator]`, and the faults.
pub(in crate::app) fn control_config(plan: &Plan, workers: usize) -> ControlConfig {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut config = ControlConfig {
        shards: cores.saturating_sub(workers).max(1),
        faults: plan.faults.iter().map(|plan| FaultText::from(&plan.fault)).collect(),
        seed: plan.seed,
        in_run: true,
        ..ControlConfig::from(plan.emulator.unwrap_or_default())
    };
    for fleet in &plan.fleets {
        let Auth::Sas { keys, .. } = &fleet.auth else { continue };
        match keys {
            Keys::Group(key) => config.group_keys.push(SecretText::new(key.to_base64())),
            Keys::Policy { policy, key } => {
                let key = SecretText::new(key.to_base64());
                config.policies.push(ControlPolicy { name: policy.clone(), key });
            }
            Keys::PerDevice(devices) => {
                let device = |index| ControlDevice {
                    id: devices.id(index).to_owned(),
                    key: SecretText::new(sas::Key::from_bytes(devices.secret(index)).to_base64()),
                };
                config.devices.extend((0..fleet.devices).map(device));
            }
        }
    }
    config
}

/// Sets the started hub as the target of the plan. Returns the hub's CA certificate in PEM format.
pub(in crate::app) fn set_target(plan: &mut Plan, ready: Ready) -> Result<Vec<u8>, AppError> {
    let port = ready.mqtt.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let port = port.ok_or_else(|| {
        AppError::Environment(format!("the built-in hub's address {:?} has no port", ready.mqtt))
    })?;
    plan.target.host = ready.host;
    plan.target.port = port;
    let ca = ready.ca_pem.map(String::into_bytes);
    ca.ok_or_else(|| AppError::Environment("the built-in hub's ready line has no certificate".to_owned()))
}

/// Gets the counts and the health of the built-in hub, and stops the hub.
pub(in crate::app) async fn stop_emulator(mut hub: EmulatorProcess) -> Result<EmulatorReport, AppError> {
    let ControlReply::Stats { counted, cpu_us, rss_peak_bytes, shards, throttle, faults, .. } =
        hub.stats().await?
    else {
        return Err(AppError::Environment("the built-in hub did not answer with its stats".to_owned()));
    };
    hub.stop().await?;
    let Stats { accepted, refused, telemetry, taken_over, expired, protocol_errors, tls_failed, .. } =
        counted;
    let emulator = model::Emulator {
        cpu_us,
        rss_peak_bytes,
        accepted,
        refused,
        telemetry,
        taken_over,
        expired,
        protocol_errors,
        tls_failed,
    };
    Ok(EmulatorReport { emulator, shards, throttle, faults })
}
