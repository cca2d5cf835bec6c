//! Whether a run may cost what it will: a large part of a hub's daily messages is not spent without being asked for.
//! Called by `run` before anything is sent.

use super::{AppError, Env, cost, environment_error};
use crate::plan::{Plan, TargetKind};
use crate::units::Percent;
use std::io::Write;

/// The share of one S1 unit's day above which is asked.
const SHARE_ASKED: f64 = 0.25;

/// Goes on when the hub bills nothing, when it is little, or when a person or `--yes` says so. What it costs is told here only if
/// it was not before: to whoever wants it `quiet`.
///
/// # Errors
/// The answer was no, or there is nobody to ask.
pub(super) async fn confirm(plan: &Plan, yes: bool, quiet: bool, env: &mut Env) -> Result<(), AppError> {
    if yes || !bills(plan) || cost::share(plan) <= SHARE_ASKED {
        return Ok(());
    }
    let asked = Percent::from_fraction(SHARE_ASKED);
    let cost =
        if quiet { cost::line(plan) } else { format!("takes more than {asked} of one S1 unit's day\n") };
    let Some(answer) = env.answer else {
        return Err(AppError::Usage(format!(
            "this run {cost}  to allow that, say --yes; or make the run shorter, or its fleets smaller"
        )));
    };
    write!(env.err, "this run {cost}go on? [y/N] ")
        .and_then(|()| env.err.flush())
        .map_err(|error| environment_error("cannot ask", &error))?;
    // On a thread of its own: Ctrl-C must be heard while nobody types.
    let typed = tokio::task::spawn_blocking(answer).await;
    let typed = typed.map_err(|error| environment_error("cannot ask", &error))?;
    let typed = typed.map_err(|error| environment_error("cannot read the answer", &error))?;
    match typed.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(AppError::Declined),
    }
}

/// A hub in Azure counts messages; the built-in one, and one on this machine, does not.
pub(super) fn bills(plan: &Plan) -> bool {
    plan.target.kind == TargetKind::IotHub && plan.emulator.is_none() && !plan.target.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Input;
    use std::io::{Read as _, Seek as _};

    type Answer = Option<fn() -> std::io::Result<String>>;

    /// What comes of a plan that needs so many devices, if a person answers so.
    fn asked(host: &str, devices: u32, yes: bool, answer: Answer) -> Result<(), AppError> {
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
    fn above_a_quarter_of_a_units_day_somebody_must_say_yes() {
        let hub = "hub.example";
        assert!(asked(hub, 990, false, None).is_ok(), "less than a quarter");
        assert!(
            matches!(asked(hub, 1_010, false, None), Err(AppError::Usage(text)) if text.contains("--yes"))
        );
        assert!(asked(hub, 1_010, true, None).is_ok());
        assert!(asked(hub, 1_010, false, Some(|| Ok("Y\n".to_owned()))).is_ok());
        assert!(matches!(asked(hub, 1_010, false, Some(|| Ok("\n".to_owned()))), Err(AppError::Declined)));
        assert!(asked("localhost", 100_000, false, None).is_ok(), "nobody pays for that");
    }

    #[test]
    fn the_question_tells_the_cost_only_to_whoever_was_not_told_before() {
        let question = |quiet| {
            let mut said = tempfile::tempfile().unwrap();
            let (_sender, interrupts) = tokio::sync::watch::channel(0);
            let err = Box::new(said.try_clone().unwrap());
            let env = Env { answer: Some(|| Ok("y\n".to_owned())), err, ..Env::from_process(interrupts) };
            ask("hub.example", 1_200, [false, quiet], env).unwrap();
            let mut text = String::new();
            said.rewind().and_then(|()| said.read_to_string(&mut text)).unwrap();
            text
        };
        assert_eq!(question(false), "this run takes more than 25% of one S1 unit's day\ngo on? [y/N] ");
        let told = "this run sends about 120,000 billed messages, 30.0% of one S1 unit's day\ngo on? [y/N] ";
        assert_eq!(question(true), told);
    }
}
