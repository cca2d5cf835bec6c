//! The confirmation before a run that uses a large part of a hub's daily messages. `run` calls it before it sends anything.

use super::{AppError, Env, cost, environment_error};
use crate::plan::{Plan, TargetKind};
use crate::units::Percent;
use std::io::Write;

/// The share of the hub's daily messages above which a run needs confirmation.
const SHARE_CONFIRMED: f64 = 0.25;

/// Asks for confirmation, unless the run is cheap or `--yes` is set. With `quiet`, the question contains the cost, because `run` has
/// not printed it.
///
/// # Errors
/// The answer is no, there is no terminal to ask on, or asking fails.
pub(super) async fn confirm(plan: &Plan, yes: bool, quiet: bool, env: &mut Env) -> Result<(), AppError> {
    let cost = cost::cost(plan);
    if yes || !bills(plan) || cost.share() <= SHARE_CONFIRMED {
        return Ok(());
    }
    let limit = Percent::from_fraction(SHARE_CONFIRMED);
    let cost = if quiet {
        cost.line()
    } else {
        format!("uses more than {limit} of the daily messages of {}\n", cost.hub())
    };
    ask(&format!("this run {}", cost.trim_end()), "use a shorter run or smaller fleets", env).await
}

/// Asks whether to continue. `fact` says what will happen, and `instead` what would make it cheaper.
///
/// # Errors
/// The answer is no, there is no terminal to ask on, or asking fails.
pub(super) async fn ask(fact: &str, instead: &str, env: &mut Env) -> Result<(), AppError> {
    let Some(answer) = env.answer else {
        return Err(AppError::Usage(format!("{fact}\n  to allow it, add --yes; or {instead}")));
    };
    write!(env.err, "{fact}\ncontinue? [y/N] ")
        .and_then(|()| env.err.flush())
        .map_err(|error| environment_error("cannot ask for confirmation", &error))?;
    // On a blocking thread, so that Ctrl-C works while waiting for the answer.
    let line = tokio::task::spawn_blocking(answer).await;
    let line = line.map_err(|error| environment_error("cannot ask for confirmation", &error))?;
    let line = line.map_err(|error| environment_error("cannot read the answer", &error))?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(AppError::Declined),
    }
}

/// Returns true if the hub bills for messages. The built-in hub and hubs on this machine do not.
pub(super) fn bills(plan: &Plan) -> bool {
    plan.target.kind == TargetKind::IotHub && plan.emulator.is_none() && !plan.target.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Input;
    use std::io::{Read as _, Seek as _};

    type Answer = Option<fn() -> std::io::Result<String>>;

    /// Asks for confirmation of a plan with this number of devices, and answers with `answer`.
    fn confirmed(host: &str, devices: u32, yes: bool, answer: Answer) -> Result<(), AppError> {
        let (_sender, interrupts) = tokio::sync::watch::channel(0);
        let env = Env { answer, err: Box::new(std::io::sink()), ..Env::from_process(interrupts) };
        ask(host, devices, [yes, false], env)
    }

    fn ask(host: &str, devices: u32, [yes, quiet]: [bool; 2], mut env: Env) -> Result<(), AppError> {
        let text = format!(
            "[target]\nkind = \"iot-hub\"\nhost = \"{host}\"\n[fleet.a]\ndevices = {devices}\n\
             auth = {{ kind = \"sas\", group_key = \"${{env.KEY}}\" }}\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
             [[phase]]\nname = \"p\"\nduration = \"100s\"\n"
        );
        let key = |_: &str| Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
        let input = Input {
            file: "cost.toml",
            text: &text,
            overrides: &[],
            env: &key,
            files: &crate::scenario::no_files,
        };
        let plan = crate::plan::load(&input, &mut rand::rng()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(confirm(&plan, yes, quiet, &mut env))
    }

    #[test]
    fn a_quarter_of_a_units_day_needs_confirmation() {
        let hub = "hub.example";
        assert!(confirmed(hub, 990, false, None).is_ok(), "less than a quarter");
        assert!(
            matches!(confirmed(hub, 1_010, false, None), Err(AppError::Usage(text)) if text.contains("--yes"))
        );
        assert!(confirmed(hub, 1_010, true, None).is_ok());
        assert!(confirmed(hub, 1_010, false, Some(|| Ok("Y\n".to_owned()))).is_ok());
        assert!(matches!(
            confirmed(hub, 1_010, false, Some(|| Ok("\n".to_owned()))),
            Err(AppError::Declined)
        ));
        assert!(confirmed("localhost", 100_000, false, None).is_ok(), "a local hub bills nothing");
    }

    #[test]
    fn question_has_the_cost_only_if_quiet() {
        let question = |quiet| {
            let mut written = tempfile::tempfile().unwrap();
            let (_sender, interrupts) = tokio::sync::watch::channel(0);
            let err = Box::new(written.try_clone().unwrap());
            let env = Env { answer: Some(|| Ok("y\n".to_owned())), err, ..Env::from_process(interrupts) };
            ask("hub.example", 1_200, [false, quiet], env).unwrap();
            let mut text = String::new();
            written.rewind().and_then(|()| written.read_to_string(&mut text)).unwrap();
            text
        };
        assert_eq!(
            question(false),
            "this run uses more than 25% of the daily messages of one S1 unit\ncontinue? [y/N] "
        );
        let with_cost = "this run sends about 120,000 billed messages, 30.0% of the daily messages of one S1 unit\ncontinue? [y/N] ";
        assert_eq!(question(true), with_cost);
    }
}
