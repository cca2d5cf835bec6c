//! A target with several hosts: devices use the hosts in turn, each host is checked, and failover moves devices to the next host.

use crate::support::address::{listen, own_address};
use crate::support::emulator::Emulator;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, command, finish, read_result, totals};
use hubstorm::measure::{Outcome, TargetTotals};
use hubstorm::result::model::RunResult;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn hub(arguments: &[&str]) -> Emulator {
    let all = [&["--group-key", "env:HUB_KEY"], arguments].concat();
    Emulator::start(Ipv4Addr::LOCALHOST.into(), &all, &[("HUB_KEY", KEY)])
}

/// Returns a project with a scenario for these hosts, and the CAs of these hubs in one file. `target` is added to `[target]`.
fn work(hubs: &[&Emulator], hosts: &[u16], target: &str, fleets: &str) -> Workplace {
    let cas: String = hubs.iter().map(|hub| fs::read_to_string(hub.ca()).expect("its CA")).collect();
    let hosts: Vec<String> = hosts.iter().map(|port| format!("\"localhost:{port}\"")).collect();
    let auth = "auth = { kind = \"sas\", group_key = \"${env.HUB_KEY}\" }";
    let scenario = format!(
        "[target]\nkind = \"iot-hub\"\nhost = [{}]\nca = \"hubs.pem\"\n{target}\n{}\n{WIDE_VALIDITY}",
        hosts.join(", "),
        fleets.replace("AUTH", auth)
    );
    Workplace::new(&scenario).env("HUB_KEY", KEY).file("hubs.pem", &cas)
}

/// Nine devices in two fleets that send in a phase `steady`.
const FLEETS: &str = "[fleet.a]\ndevices = 4\nAUTH\n[[fleet.a.send]]\nevery = \"200ms\"\npayload = \"x\"\n\
    [fleet.b]\ndevices = 5\nAUTH\n[[fleet.b.send]]\nevery = \"200ms\"\npayload = \"x\"\n\
    [[phase]]\nname = \"ramp\"\nduration = \"300ms\"\nonline = \"0% -> 100%\"\n[[phase]]\nname = \"steady\"\nduration = \"1s\"\n";

fn targets(result: &RunResult) -> [&TargetTotals; 2] {
    let [first, second] = &result.targets[..] else { panic!("two hosts: {:#?}", result.targets) };
    [first, second]
}

#[test]
fn hosts_get_equal_shares_and_counts_agree() {
    let hubs = [hub(&["--stats", "24h"]), hub(&["--stats", "24h"])];
    let ports = hubs.each_ref().map(Emulator::port);
    let work = work(&hubs.each_ref(), &ports, "", FLEETS);
    let finished = work.run();
    let result = work.result();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!((result.run.target.host.as_str(), result.run.target.port), ("localhost", ports[0]));
    let targets = targets(&result);
    assert_eq!(targets.map(|target| (target.port, target.devices)), [(ports[0], 5), (ports[1], 4)]);
    assert_eq!(targets.map(|target| (target.connects[Outcome::Ok], target.attempts())), [(5, 5), (4, 4)]);
    assert_eq!(targets.map(|target| target.connect.count()), [5, 4]);
    let messages = targets.map(|target| target.messages.count());
    assert_eq!(messages[0] + messages[1], all_ok(&result, "telemetry"));
    assert!(targets.iter().all(|target| target.errors.is_empty() && target.moved_in + target.moved_out == 0));
    for (hub, (devices, messages)) in hubs.into_iter().zip([(5, messages[0]), (4, messages[1])]) {
        // The preflight check connected the first device of each fleet, at each host.
        let total = format!(
            "hub: total {} connections, {messages} msgs, {messages} acks, 0 throttled, 0 refused",
            devices + 2
        );
        let stderr = hub.stop();
        assert_eq!(stderr.lines().last(), Some(total.as_str()), "{stderr}");
    }
    let text = finished.stdout;
    assert!(text.contains(" and 1 other host,") && text.contains("5 of 5 connection attempts ok"), "{text}");
    let page = fs::read_to_string(&work.outputs("html")[0]).expect("a page");
    assert!(page.contains("The hosts of the target") && page.contains(&format!("localhost:{}", ports[1])));
}

#[test]
fn every_host_is_checked_before_the_load() {
    let hub = hub(&[]);
    let dead = listen(Ipv4Addr::LOCALHOST.into()).local_addr().expect("it was bound").port();
    let work = work(&[&hub], &[hub.port(), dead], "", FLEETS);
    let finished = work.run();
    let address = format!("cannot connect to localhost:{dead}");
    for part in ["preflight check failed", &address] {
        assert!(finished.exits(1).stderr.contains(part), "{part}: {}", finished.stderr);
    }
    let mut check = command([Path::new("run"), Path::new("--once"), &work.scenario()]);
    check.env("HUB_KEY", KEY);
    let finished = finish(check);
    let text = &finished.exits(99).stdout;
    let (first, second) = text.split_once(&format!("host localhost:{dead}")).expect("a list for each host");
    assert!(
        first.contains(&format!("host localhost:{}", hub.port())) && !first.contains("refused"),
        "{text}"
    );
    assert!(second.contains("refused"), "{text}");
}

/// Shell commands in a process group of their own, which ends with this value.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let group = i32::try_from(self.0.id()).expect("a process id fits");
        // It may have ended already.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// Pastes the commands in the comments of the scenario into a shell, with shorter phases and another address.
#[test]
fn failover_scenario_moves_the_devices_of_the_dead_hub() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/failover.toml");
    let text = fs::read_to_string(&path).expect("the scenario");
    let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#     ")).collect();
    assert!(commands.len() >= 8, "{commands:?}");
    let address = own_address().to_string();
    let short = [
        "fleet.meter.devices=20",
        "fleet.meter.reconnect.base=200ms",
        "fleet.meter.reconnect.max=1s",
        "fleet.meter.send.0.every=200ms",
        "phase.ramp.duration=500ms",
        "phase.both.duration=500ms",
        "phase.outage.duration=10s",
    ];
    let short: String = short.iter().map(|set| format!(" --set {set}")).collect();
    let hosts = format!("--set 'target.host=[\"{address}:8883\",\"{address}:8884\"]'");
    let run = "hubstorm run scenarios/failover.toml";
    let script = commands
        .join("\n")
        .replace("127.0.0.1", &address)
        .replace("KILL 15", "KILL 7")
        .replace(run, &format!("hubstorm run {} {hosts}{short} --out out", path.display()));
    assert!(script.contains(&hosts) && script.contains("KILL 7"), "{script}");
    let program = Path::new(env!("CARGO_BIN_EXE_hubstorm")).parent().expect("a folder").display().to_string();
    let search = format!("{program}:{}", std::env::var("PATH").expect("a PATH"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(folder.path()).env("PATH", search).process_group(0);
    // The emulators keep the shell's streams open, so its output goes to a file.
    let log = fs::File::create(folder.path().join("log")).expect("writable");
    shell.stdin(Stdio::null()).stdout(log.try_clone().expect("a descriptor")).stderr(log);
    let mut shell = Shell(shell.spawn().expect("a shell"));
    shell.0.wait().expect("it ends");
    let log = fs::read_to_string(folder.path().join("log")).expect("UTF-8");
    let mut results = fs::read_dir(folder.path().join("out")).unwrap_or_else(|_| panic!("no result: {log}"));
    let json = results
        .find_map(|it| it.ok().map(|it| it.path()).filter(|it| it.extension() == Some("json".as_ref())));
    let result = read_result(&json.unwrap_or_else(|| panic!("no result: {log}")));

    let [dead, alive] = targets(&result);
    assert_eq!([dead.devices, alive.devices], [10, 10]);
    assert_eq!((dead.moved_out, dead.moved_in, alive.moved_in, alive.moved_out), (10, 0, 10, 0), "{log}");
    // Each connection to the dead hub was lost once. The devices of the other hub noticed nothing.
    assert_eq!((dead.connects[Outcome::Ok], dead.error_count()), (10, 10), "{:#?}", dead.errors);
    assert_eq!((alive.connects[Outcome::Ok], alive.attempts(), alive.error_count()), (20, 20, 0), "{log}");
    assert_eq!(result.count(|counts| counts.reconnects), 10);
    let (due, outcomes) = totals(&result, "online");
    assert_eq!(outcomes.get("ok"), Some(&due), "every device reconnected: {outcomes:?}");
    let finding =
        result.findings.iter().find(|finding| finding.text.contains("moved to another host 10 times"));
    assert!(finding.is_some_and(|finding| finding.evidence.contains("10 moved in, 0 moved away")), "{log}");
}
