//! Scenario files: the shipped ones resolve. For the broken ones in `tests/scenarios_bad`, the reader reports every error with its location
//! and a fix.

use hubstorm::plan::{self, Plan};
use hubstorm::scenario::{Errors, Input};
use rand::SeedableRng;
use std::fs;
use std::path::{Path, PathBuf};

fn env(name: &str) -> Option<String> {
    let value = match name {
        "KEY" | "IOTHUB_GROUP_KEY" => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "NOT_BASE64" | "PASSWORD" | "BROKER_PASSWORD" => "hunter2",
        "HOST" | "IOTHUB_HOST" | "BROKER_HOST" => "example.azure-devices.net",
        _ => return None,
    };
    Some(value.to_owned())
}

fn load(path: &Path, overrides: &[&str]) -> Result<Plan, Errors> {
    load_as(&path.file_name().expect("a file").to_string_lossy(), path, overrides)
}

/// Loads a scenario whose messages begin with `file`. Its folder is that of the other files that the scenario names.
fn load_as(file: &str, path: &Path, overrides: &[&str]) -> Result<Plan, Errors> {
    let text = fs::read_to_string(path).expect("the file exists");
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let input =
        Input { file, text: &text, overrides: &overrides, env: &env, files: &hubstorm::scenario::no_files };
    plan::load(&input, &mut rand::rngs::StdRng::seed_from_u64(1))
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn scenarios(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(name)).expect("the folder exists");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml" || extension == "json"));
    paths.sort();
    paths
}

#[test]
fn broken_scenarios_report_every_error_with_a_fix() {
    let paths = scenarios("tests/scenarios_bad");
    assert!(paths.len() >= 25, "only {} broken scenarios", paths.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder("tests/scenarios_bad"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in paths {
            let file = path.file_name().expect("a file").to_string_lossy().into_owned();
            let errors = load(&path, &[]).expect_err(&file).to_string();
            assert!(!errors.contains("hunter2"), "{file} shows a secret:\n{errors}");
            insta::assert_snapshot!(file, errors);
        }
    });
}

#[test]
fn shipped_scenarios_resolve() {
    let paths = scenarios("scenarios");
    assert!(paths.len() >= 7);
    for path in paths {
        let plan =
            load_as(&path.display().to_string(), &path, &[]).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(!format!("{plan:?}").contains("hunter2"), "{} shows a secret", path.display());
        assert_eq!(
            plan.source.text,
            fs::read_to_string(&path).unwrap(),
            "the plan keeps the text as written"
        );
        for part in ["When:", "Look at:", "hubstorm run scenarios/"] {
            assert!(plan.source.text.contains(part), "{}: {part}", path.display());
        }
        assert!(!plan.thresholds.is_empty());
    }
}

#[test]
fn quickstart_matches_the_readme() {
    let plan = load(&folder("scenarios/quickstart.toml"), &[]).unwrap();
    assert_eq!(plan.devices(), 1000);
    assert_eq!(plan.schedule.end().as_secs(), 60);
    assert!(plan.emulator.is_some());
    let rate: f64 =
        plan.fleets.iter().map(|fleet| fleet.sends[0].arrival.rate_hz * f64::from(fleet.devices)).sum();
    assert!((rate - 200.0).abs() < 1e-9);
}

#[test]
fn overrides_reach_the_plan_and_the_result() {
    let overrides = ["fleet.meter.devices=50", "phase.steady.duration=1s", "seed=9"];
    let plan = load(&folder("scenarios/quickstart.toml"), &overrides).unwrap();
    assert_eq!((plan.devices(), plan.seed, plan.schedule.end().as_secs()), (50, 9, 31));
    assert_eq!(plan.source.overrides, overrides);
    let errors =
        load(&folder("scenarios/quickstart.toml"), &["fleet.meter.devices=0"]).unwrap_err().to_string();
    assert!(errors.contains("--set fleet.meter.devices: "), "{errors}");
}
