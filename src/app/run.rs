//! `hubstorm run`: the main job from the scenario file to the exit code. It only puts the rooms in order; what
//! each does is theirs.

use super::assemble::Retired;
use super::child::Hub;
use super::early_end::{Early, Watch};
use super::{AppError, Env, assemble, consent, exports, load, outcome, preflight};
use crate::cli::RunArgs;
use crate::clock::WallClock;
use crate::emulator::Stats;
use crate::emulator::control::{
    ControlConfig, ControlDevice, ControlPolicy, ControlReply, Ready, SecretText,
};
use crate::fleet::{self, Command, DeviceRef, Finished, Tracer};
use crate::iothub::sas;
use crate::link::{Endpoint, tls};
use crate::live::{Console, Outline, Progress, Style};
use crate::plan::{Auth, Keys, Plan};
use crate::result::model::{self, EndedBy};
use crate::units::{human_duration, plural};
use std::cell::RefCell;
use std::io::Write;
use std::sync::Arc;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;

/// Runs the scenario; the exit code is the verdict's.
pub(super) async fn run(args: &RunArgs, env: &mut Env) -> Result<u8, AppError> {
    let interrupts = env.interrupts.clone();
    if load::is_stdin(&args.scenario.scenario) {
        // What is typed there is the scenario: nobody is left to answer.
        env.answer = None;
    }
    let mut plan = unless_interrupted(&interrupts, 0, load::plan(&args.scenario, env)).await?;
    let (trace, traced) = args.trace.as_ref().map(|id| tracer(&plan, id)).transpose()?.unzip();
    let workers = workers(args.workers, &plan);
    let preparing = prepare(args, env, &mut plan, workers);
    let (mut hub, endpoint) = unless_interrupted(&interrupts, 0, preparing).await?;
    let preflight_passed = hub.is_none() && !args.no_preflight;

    let plan = Arc::new(plan);
    let watch = Watch::new(&plan);
    let settings = fleet::Settings {
        workers,
        endpoint,
        trace,
        measured: watch.needs_measurement(),
        wall: WallClock::default(),
    };
    let (mut finished, early) = drive(args, env, &plan, (settings, watch), hub.as_mut(), traced).await?;
    let so_far = *interrupts.borrow();
    let retired = match hub {
        None => None,
        Some(hub) => match unless_interrupted(&interrupts, so_far, retire(hub)).await {
            Ok(retired) => Some(retired),
            Err(AppError::Interrupted) => {
                finished.complete = false;
                let text =
                    "the built-in hub was not asked for its stalls: the run was interrupted again".to_owned();
                finished.measurement.breakdowns.push(text);
                None
            }
            // It costs its own counts and the measurement, not the result.
            Err(error) => {
                let died = format!("the built-in hub did not live to the end of the run: {error}");
                finished.measurement.breakdowns.push(died);
                None
            }
        },
    };
    let ended_by = match (finished.complete, early) {
        (true, _) => EndedBy::Plan,
        (false, _) if *interrupts.borrow() > 0 => EndedBy::Interrupt,
        (false, Some(early)) => early.ended_by,
        (false, None) => EndedBy::Breakdown,
    };
    // It ended as its scenario says.
    finished.complete |= matches!(ended_by, EndedBy::Abort | EndedBy::Unreachable);
    let result = assemble::result(&plan, finished, ended_by, retired, workers, preflight_passed, &env.argv);
    outcome::conclude(&args.out, &args.export, env, result)
}

/// All that comes before the load, and may wait: for names to be resolved, for the built-in hub, for an answer, for the preflight connections.
/// Returns the built-in hub, if it is the target, and where devices connect to.
async fn prepare(
    args: &RunArgs,
    env: &mut Env,
    plan: &mut Plan,
    workers: usize,
) -> Result<(Option<Hub>, Arc<Endpoint>), AppError> {
    preflight::machine(plan, workers).await?;
    preflight::output(&args.out)?;
    exports::check(&args.export, &plan.source.files)?;
    let mut hub = None;
    let mut roots = None;
    if plan.emulator.is_some() {
        let (started, ready) = Hub::start(&env.exe, control_config(plan, workers)).await?;
        roots = Some(point_at(plan, ready)?);
        hub = Some(started);
    }
    let endpoint = Arc::new(endpoint(plan, roots)?);
    say(env, args.quiet, &announce(plan, &endpoint, workers).await);
    consent::given(plan, args.yes, args.quiet, env).await?;
    if hub.is_none() && !args.no_preflight {
        preflight::connections(plan, &endpoint).await?;
    }
    Ok((hub, endpoint))
}

/// The device whose packets are to be told, and where its lines come out.
fn tracer(plan: &Plan, id: &str) -> Result<(Tracer, UnboundedReceiver<String>), AppError> {
    let mut devices = (0_u16..).zip(&plan.fleets).flat_map(|(number, fleet)| {
        (0..fleet.devices).map(move |index| (number, index, fleet.device_id(index)))
    });
    let (fleet, index, id) = devices.find(|(_, _, device)| device == id).ok_or_else(|| {
        let first = plan.fleets.first().map(|fleet| fleet.device_id(0)).unwrap_or_default();
        AppError::Usage(format!(
            "--trace {id}: no device of this scenario has that name; the first is {first}"
        ))
    })?;
    let (lines, told) = mpsc::unbounded_channel();
    Ok((Tracer { device: DeviceRef { fleet, index }, id, lines }, told))
}

/// `doing`, unless Ctrl-C has been pressed more often than `allowed` before it is done.
async fn unless_interrupted<T>(
    interrupts: &watch::Receiver<u8>,
    allowed: u8,
    doing: impl Future<Output = Result<T, AppError>>,
) -> Result<T, AppError> {
    let mut interrupts = interrupts.clone();
    tokio::select! {
        // Whoever is waited for may be there at once, and Ctrl-C came earlier.
        biased;
        // In tests nobody can interrupt any more: then only `doing` counts.
        Ok(_) = interrupts.wait_for(|count| *count > allowed) => Err(AppError::Interrupted),
        done = doing => done,
    }
}

/// The fleet's run, with progress and Ctrl-C.
async fn drive(
    args: &RunArgs,
    env: &mut Env,
    plan: &Arc<Plan>,
    (settings, mut watch): (fleet::Settings, Watch),
    hub: Option<&mut Hub>,
    mut traced: Option<UnboundedReceiver<String>>,
) -> Result<(Finished, Option<Early>), AppError> {
    let (commander, commands) = mpsc::unbounded_channel();
    let (events, mut happened) = mpsc::unbounded_channel();
    let mut interrupts = env.interrupts.clone();
    let style = match (args.quiet, env.terminal && !args.no_tui) {
        (true, _) => Style::Quiet,
        (false, true) => Style::Redrawn,
        (false, false) => Style::Lines,
    };
    let outline = Outline {
        phases: plan.schedule.phases().iter().map(|phase| phase.name.clone()).collect(),
        devices: plan.devices(),
        end: plan.schedule.end(),
        drain: plan.drain,
    };
    // Shared by the run's events and by Ctrl-C, on one thread. Progress is talk: a stream that is gone must not end the run.
    let ended_early = RefCell::new(None);
    let console = RefCell::new(Console::new(Progress::new(style, &mut env.err), outline));
    let (calls, mut carried) = mpsc::unbounded_channel();
    let (returned, results) = mpsc::unbounded_channel();
    let service = fleet::ServiceChannel { calls, results };
    let running = fleet::run(plan.clone(), settings, Some(service), commands, events);
    let showing = async {
        while let Some(event) = happened.recv().await {
            drop(console.borrow_mut().hear(&event));
            if let Some(early) = watch.on(&event) {
                drop(console.borrow_mut().progress().say(&early.text));
                drop(commander.send(Command::Stop));
                ended_early.replace(Some(early));
            }
        }
        std::future::pending::<()>().await;
    };
    let listening = async {
        let mut before = *interrupts.borrow();
        while interrupts.changed().await.is_ok() {
            let count = *interrupts.borrow_and_update();
            let (command, text) = match (std::mem::replace(&mut before, count), count) {
                (_, 0 | 1) => (Command::Stop, "interrupted: draining; press Ctrl-C again to stop now"),
                (0, _) => (Command::Abort, "interrupted: stopping now"),
                _ => (Command::Abort, "interrupted again: stopping now"),
            };
            drop(console.borrow_mut().progress().say(text));
            // A run that has ended needs no command.
            drop(commander.send(command));
        }
        std::future::pending::<()>().await;
    };
    let outliving = async {
        let Some(hub) = hub else { return std::future::pending().await };
        hub.carry(&mut carried, &returned).await;
        // Without it nothing is measured any more.
        drop(console.borrow_mut().progress().say("the built-in hub has ended: stopping"));
        drop(commander.send(Command::Stop));
        std::future::pending::<()>().await;
    };
    let tracing = async {
        while let Some(line) = next(&mut traced).await {
            drop(console.borrow_mut().progress().print(&line));
        }
        std::future::pending::<()>().await;
    };
    let finished = tokio::select! {
        finished = running => finished,
        () = showing => unreachable!("it waits for ever once nothing happens any more"),
        () = listening => unreachable!("it waits for ever once nobody can interrupt"),
        () = outliving => unreachable!("it waits for ever once the hub has ended"),
        () = tracing => unreachable!("it waits for ever once nothing is traced"),
    };
    while let Ok(event) = happened.try_recv() {
        drop(console.borrow_mut().hear(&event));
    }
    while let Some(Ok(line)) = traced.as_mut().map(UnboundedReceiver::try_recv) {
        drop(console.borrow_mut().progress().print(&line));
    }
    drop(console.borrow_mut().progress().finish());
    let finished = finished.map_err(|error| AppError::Environment(error.to_string()))?;
    Ok((finished, ended_early.take()))
}

/// The next line of a trace; `None` without one.
async fn next(traced: &mut Option<UnboundedReceiver<String>>) -> Option<String> {
    traced.as_mut()?.recv().await
}

/// The number of workers: as given, or half the cores with the built-in hub, which needs the others, and all of them otherwise.
pub(super) fn workers(given: Option<u16>, plan: &Plan) -> usize {
    if let Some(given) = given {
        return usize::from(given);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if plan.emulator.is_some() { (cores / 2).max(1) } else { cores }
}

/// What the built-in hub has to know: the keys of all fleets, and how it behaves.
fn control_config(plan: &Plan, workers: usize) -> ControlConfig {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut config =
        ControlConfig { shards: cores.saturating_sub(workers).max(1), ..ControlConfig::default() };
    if let Some(emulator) = &plan.emulator {
        config.lenient_properties = emulator.lenient_properties;
        config.expiry_grace_ms = u64::try_from(emulator.expiry_grace.as_millis()).unwrap_or(u64::MAX);
    }
    for fleet in &plan.fleets {
        let Auth::Sas { keys, .. } = &fleet.auth else { continue };
        match keys {
            Keys::Group(key) => config.group_keys.push(SecretText::new(key.to_base64())),
            Keys::Policy { policy, key } => {
                let key = SecretText::new(key.to_base64());
                config.policies.push(ControlPolicy { name: policy.clone(), key });
            }
            Keys::Listed(devices) => {
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

/// Points the plan at the hub that has just started; returns its CA certificate.
fn point_at(plan: &mut Plan, ready: Ready) -> Result<Vec<u8>, AppError> {
    let port = ready.mqtt.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let port = port.ok_or_else(|| {
        AppError::Environment(format!("the built-in hub's address {:?} has no port", ready.mqtt))
    })?;
    plan.target.host = ready.host;
    plan.target.port = port;
    let ca = ready.ca_pem.map(String::into_bytes);
    ca.ok_or_else(|| AppError::Environment("the built-in hub's ready line has no certificate".to_owned()))
}

fn endpoint(plan: &Plan, roots: Option<Vec<u8>>) -> Result<Endpoint, AppError> {
    let target = &plan.target;
    let tls = match &target.tls {
        Some(options) => {
            let options =
                tls::ClientOptions { ca: options.ca.clone(), roots_pem: roots, verify: options.verify };
            Some(tls::client(&options).map_err(|error| AppError::Environment(error.to_string()))?)
        }
        None => None,
    };
    let own_roots = target.tls.as_ref().is_some_and(|tls| tls.ca.is_some());
    Ok(Endpoint {
        host: target.host.clone(),
        port: target.port,
        tls,
        own_roots,
        sources: target.source_ips.clone(),
    })
}

/// One line on what is about to happen, and for a hub that bills, what it will cost.
async fn announce(plan: &Plan, endpoint: &Endpoint, workers: usize) -> String {
    let devices = plural(plan.devices(), "device", "devices");
    let phases = plural(plan.schedule.phases().len() as u64, "phase", "phases");
    let running = plural(workers as u64, "worker", "workers");
    let place = if plan.emulator.is_some() { "the built-in hub" } else { endpoint.host.as_str() };
    let mut text = format!(
        "{}: {devices} against {place} on port {}, {} in {phases}, {running}, seed {}\n",
        plan.name,
        endpoint.port,
        human_duration(plan.schedule.end()),
        plan.seed,
    );
    if consent::bills(plan) {
        text.push_str(&super::cost::line(plan));
    }
    text.push_str(&super::notes::notes(plan));
    text.push_str(&preflight::shortfalls(plan, workers).await);
    text.extend(super::check::password_in_clear(plan).map(|warning| format!("warning: {warning}\n")));
    text
}

/// Talk: a stream that is gone must not end the run.
fn say(env: &mut Env, quiet: bool, text: &str) {
    if !quiet {
        drop(write!(env.err, "{text}"));
    }
}

/// Asks the built-in hub for its counts and its health, and ends it.
async fn retire(mut hub: Hub) -> Result<Retired, AppError> {
    let ControlReply::Stats { counted, cpu_us, rss_peak_bytes, shards, .. } = hub.stats().await? else {
        return Err(AppError::Environment("the built-in hub answers what it was not asked".to_owned()));
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
    Ok(Retired { emulator, shards })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenario_configures_the_built_in_hub() {
        for (key, lenient, grace_ms) in [
            ("", false, 300_000),
            ("[emulator]\nlenient_properties = true\nexpiry_grace = \"1s\"", true, 1_000),
        ] {
            let text = format!("{key}\n[fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\nduration = \"1s\"");
            let files = &crate::scenario::no_files;
            let input =
                crate::scenario::Input { file: "s.toml", text: &text, overrides: &[], env: &|_| None, files };
            let plan = crate::plan::load(&input, &mut rand::rng()).unwrap();
            let config = control_config(&plan, 1);
            assert_eq!((config.lenient_properties, config.expiry_grace_ms), (lenient, grace_ms));
        }
    }

    /// A person who is asked whether a run may cost so much, and presses Ctrl-C instead of answering.
    #[test]
    fn ctrl_c_is_heard_while_a_question_is_open() {
        use clap::Parser as _;
        #[derive(Clone, Default)]
        struct Said(Arc<std::sync::Mutex<Vec<u8>>>);
        impl Write for Said {
            fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(text)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("s.toml");
        std::fs::write(
            &scenario,
            "[target]\nkind = \"iot-hub\"\nhost = \"hub.invalid\"\n[fleet.a]\ndevices = 5000\n\
             auth = { kind = \"sas\", group_key = \"${env.KEY}\" }\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
             [[phase]]\nname = \"p\"\nduration = \"1h\"\n",
        )
        .unwrap();
        let (scenario, out) =
            (scenario.display().to_string(), folder.path().join("out").display().to_string());
        let cli = crate::cli::Cli::try_parse_from(["hubstorm", "run", &scenario, "--out", &out]).unwrap();
        let (sender, interrupts) = watch::channel(0);
        let said = Said::default();
        let env = Env {
            var: |_| Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
            answer: Some(|| {
                loop {
                    std::thread::park();
                }
            }),
            err: Box::new(said.clone()),
            ..Env::of_process(interrupts)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let code = runtime.block_on(async {
            tokio::join!(crate::app::run(cli, env), async {
                while !String::from_utf8_lossy(&said.0.lock().unwrap()).contains("[y/N]") {
                    tokio::task::yield_now().await;
                }
                sender.send_replace(1);
            })
        });
        assert_eq!(code.0, 105);
        runtime.shutdown_background();
    }

    /// Ctrl-C in the first steps, before anybody listens: no folder is made, and no name is looked up.
    #[test]
    fn ctrl_c_is_heard_although_it_came_early() {
        use clap::Parser as _;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(
            path("s.toml"),
            "[target]\nkind = \"mqtt\"\nhost = \"broker.invalid\"\n[fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\n\
             duration = \"1s\"\n",
        )
        .unwrap();
        let cli =
            crate::cli::Cli::try_parse_from(["hubstorm", "run", &path("s.toml"), "--out", &path("out")]);
        let (_sender, interrupts) = watch::channel(1);
        let env = Env { err: Box::new(std::io::sink()), ..Env::of_process(interrupts) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(crate::app::run(cli.unwrap(), env)), 105);
        assert!(!folder.path().join("out").exists());
        runtime.shutdown_background();
    }

    /// A built-in hub that never says that it is ready, and Ctrl-C while the run waits for it.
    #[test]
    fn ctrl_c_is_heard_before_the_load() {
        use clap::Parser as _;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("mute.sh"), "#!/bin/sh\n: > \"$0.heard\"\ncat > /dev/null\n").unwrap();
        // By another process: a program that this one has just written may still be open for writing in a child that
        // another test is starting.
        let installed = std::process::Command::new("install")
            .args(["-m", "755"])
            .args([path("mute.sh"), path("mute")])
            .status();
        assert!(installed.unwrap().success());
        std::fs::write(
            path("s.toml"),
            "[fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n",
        )
        .unwrap();
        let scenario = path("s.toml").display().to_string();
        let out = path("out").display().to_string();
        let cli = crate::cli::Cli::try_parse_from(["hubstorm", "run", &scenario, "--out", &out]).unwrap();
        let (sender, interrupts) = watch::channel(0);
        let env = Env { exe: path("mute"), err: Box::new(std::io::sink()), ..Env::of_process(interrupts) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let code = runtime.block_on(async {
            tokio::join!(crate::app::run(cli, env), async {
                // The hub has been started once it has made its file.
                while !path("mute.heard").exists() {
                    tokio::task::yield_now().await;
                }
                sender.send_replace(1);
            })
        });
        assert_eq!(code.0, 105);
    }
}
