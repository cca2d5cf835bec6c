//! A comparison of real runs: if answers arrive later, the outcome is never "same or better".

use crate::support::address::own_address;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, hubstorm};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::Proxy;
use std::path::Path;
use std::time::Duration;

const PASSWORD: &str = "delayed";

/// Runs the scenario for a second, and writes its result to this file.
fn run(work: &Workplace, file: &Path) {
    let mut command = work.run_command();
    command.arg("--export").arg(format!("json={}", file.display()));
    work.start_command(command).wait().exits(0);
}

#[test]
fn delayed_answers_are_never_the_same() {
    let broker = Mosquitto::start((0..5).map(|index| format!("dev-{index}")), PASSWORD);
    let proxy = Proxy::start(own_address(), broker.plain());
    let work = Workplace::new(&format!(
        r#"
{sensors}
[[fleet.sensor.send]]
every = "20ms"
topic = "sensors/${{device}}"
payload = {{ size = 100 }}
[[phase]]
name = "only"
duration = "1s"
{WIDE_VALIDITY}"#,
        sensors = broker.sensors(&proxy, 5),
    ))
    .env("BROKER_PASSWORD", PASSWORD);
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    std::fs::create_dir(&base).unwrap();
    (0..5).for_each(|number| run(&work, &base.join(format!("{number}.json"))));
    proxy.delay_answers(Duration::from_millis(200));
    let slow = folder.path().join("slow.json");
    run(&work, &slow);

    // One base result, and a folder of five. A loaded machine may make the base so noisy that nothing can be decided.
    for base in [base.join("4.json"), base] {
        let [base, slow] = [&base, &slow].map(|path| path.to_str().unwrap());
        let compared = hubstorm(&["compare", base, slow, "--metric", "publish med"]);
        assert!(matches!(compared.code, Some(121 | 122)), "{compared:?}");
    }
}
