//! Recoveries with the program: faults of the hub and lost connections, thresholds on recoveries, judging again, and the formats. Counts
//! and codes, never times: a phase without a disturbance fails whatever the machine does.

use crate::support::hub::{GROUP_KEY, LocalHub};
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, finish, hubstorm};
use hubstorm::measure::Cause;
use hubstorm::result::model::RunResult;
use std::fs;

/// 30 devices of two fleets. All connections are reset at 2 s.
const STORM: &str = r#"
[fleet.slow]
devices = 20
reconnect = { kind = "fixed", delay = "1500ms" }
[[fleet.slow.send]]
every = "500ms"
payload = "x"
[fleet.quick]
devices = 10
reconnect = { kind = "fixed", delay = "200ms" }
[[fleet.quick.send]]
every = "500ms"
payload = "x"
[[phase]]
name = "calm"
duration = "2s"
[[phase]]
name = "storm"
duration = "8s"
"#;

#[test]
fn fault_of_the_hub_has_a_recovery_and_thresholds() {
    let rest = r#"
[[emulator.fault]]
kind = "reset"
phase = "storm"
[thresholds]
"online{phase:storm}" = ["recovery(99%) < 1m", "recovery(100%) <= 1ms"]
"online{phase:storm,fleet:quick}" = ["recovery(50%) < 1m"]
"online{phase:calm}" = ["recovery(99%) < 1m"]
"#;
    let work = Workplace::new(&format!("{STORM}{rest}{WIDE_VALIDITY}"));
    let finished = finish(work.run_command());
    finished.exits(99);
    let result = work.result();
    let statuses: Vec<(&str, bool)> =
        result.thresholds[..4].iter().map(|one| (one.observed_text.as_str(), one.passed)).collect();
    assert!(statuses[0].1 && !statuses[1].1 && statuses[2].1, "{statuses:?}");
    assert_eq!(statuses[3], ("no data (nothing disconnected the devices)", false));
    let names: Vec<(Cause, Option<&str>)> =
        result.recoveries.iter().map(|one| (one.cause, one.fleet.as_deref())).collect();
    assert_eq!(names, [(Cause::Hub, None), (Cause::Hub, Some("slow")), (Cause::Hub, Some("quick"))]);
    let all = &result.recoveries[0];
    assert_eq!((all.lowest_online, all.planned_online, all.outage.count()), (0, 30, 30));
    let reached = result.recoveries.iter().map(|one| one.reached_us.all.expect("all returned"));
    let reached: Vec<u64> = reached.collect();
    assert!(reached[1] >= 1_500_000 && reached[0] >= reached[1] && reached[2] < reached[1], "{reached:?}");

    // The page, the summary and the formats show it, and the file alone is enough to judge again.
    let page = fs::read_to_string(&work.outputs("html")[0]).unwrap();
    assert!(
        page.contains("<h2 id=\"recoveries\">Recoveries</h2>") && page.contains("id=\"chart-recovery-1\"")
    );
    assert!(page.contains("id=\"chart-outage-1\""));
    assert!(
        finished.stdout.contains("fault on the hub: lowest 0 of 30 devices online; 50% after "),
        "{}",
        finished.stdout
    );
    assert!(finished.stdout.contains("attempts offered, "), "{}", finished.stdout);
    assert!(finished.stdout.contains("- 99% of the devices were online again "), "{}", finished.stdout);
    let json = &work.outputs("json")[0];
    let json = json.to_str().unwrap();
    let markdown = hubstorm(&["report", json, "--format", "markdown"]).stdout;
    assert!(markdown.contains("### Recoveries") && markdown.contains("recovery(100%) <= 1ms"), "{markdown}");
    let junit = hubstorm(&["report", json, "--format", "junit"]).stdout;
    assert!(junit.contains("recovery(100%) &lt;= 1ms"), "{junit}");
    let others = "[thresholds]\n\"online{phase:storm}\" = [\"recovery(90%) < 50s\"]\n\"online{phase:calm}\" = [\"recovery(1%) < 1s\"]\n";
    let others = Workplace::new(&format!("{STORM}{others}"));
    let again = hubstorm(&["report", json, "--judge", "--scenario", others.scenario().to_str().unwrap()]);
    again.exits(99);
    let printed = again.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in ["recovery(90%) < 50s", "no data (nothing disconnected the devices)"] {
        assert!(printed.contains(text), "{text}: {printed}");
    }
}

#[test]
fn devices_that_do_not_return_fail_the_threshold() {
    let rest = r#"
[thresholds]
"online{phase:storm}" = ["recovery(99%) < 5s"]
"#;
    let storm = STORM.replace("duration = \"8s\"", "duration = \"4s\"\ndisconnect = { how = \"close\" }");
    let storm = storm.replace("delay = \"1500ms\"", "delay = \"1m\"");
    let work = Workplace::new(&format!("{storm}{rest}{WIDE_VALIDITY}"));
    finish(work.run_command()).exits(99);
    let result = work.result();
    assert_eq!(result.thresholds[0].observed_text, "> 4.00 s (not reached)");
    let recovery = &result.recoveries[0];
    assert_eq!((recovery.cause, recovery.reached_us.half, recovery.not_back), (Cause::Disconnect, None, 20));
}

/// Runs a storm against a hub that admits 100 connects per second.
fn throttled_storm(how: &str) -> RunResult {
    let storm = format!(
        "[emulator]\ntier = \"S1\"\nthrottle = {{ burst = \"1s\" }}\n\
         [fleet.m]\ndevices = 250\nreconnect = {{ kind = \"fixed\", delay = \"500ms\" }}\n\
         [[fleet.m.send]]\nevery = \"10s\"\npayload = \"x\"\n\
         [[phase]]\nname = \"ramp\"\nduration = \"3s\"\nonline = \"0% -> 100%\"\n\
         [[phase]]\nname = \"calm\"\nduration = \"2s\"\n\
         [[phase]]\nname = \"storm\"\nduration = \"15s\"\ndisconnect = {{ how = \"{how}\" }}\n\
         [thresholds]\n\"online{{phase:storm}}\" = [\"recovery(100%) < 1m\", \"rate(ok) >= 100%\"]\n{WIDE_VALIDITY}"
    );
    let work = Workplace::new(&storm);
    finish(work.run_command()).exits(0);
    work.result()
}

#[test]
fn storm_above_the_connect_throttle_loses_no_device() {
    let runs =
        ["close", "reset", "silent"].map(|how| (how, std::thread::spawn(move || throttled_storm(how))));
    for (how, run) in runs {
        let result = run.join().unwrap();
        let counts = &result.fleets[0].counts;
        // A device that is still connecting, because this machine is busy, is left out.
        let lost = counts.disconnects;
        assert!((150..=250).contains(&lost), "{how}: {lost}");
        assert_eq!((counts.reconnects, counts.gave_up), (lost, 0), "{how}");
        let connects = result.limits.iter().find(|row| row.class == "connections").unwrap();
        assert!(connects.delayed > Some(0) && connects.rejected == Some(0), "{how}: {connects:?}");
        let recovery = &result.recoveries[0];
        assert_eq!((recovery.outage.count(), recovery.not_back), (lost, 0), "{how}");
        assert!(
            recovery.reached_us.all.is_some() && recovery.attempts_per_s_peak > 100,
            "{how}: {recovery:?}"
        );
    }
}

#[test]
fn hub_finds_silent_devices_by_its_keep_alive() {
    let storm = STORM.replace("devices = 20\n", "devices = 20\nkeep_alive = \"2s\"\n");
    let storm = storm.replace("delay = \"1500ms\"", "delay = \"5s\"");
    let work = Workplace::new(&format!("{storm}disconnect = {{ how = \"silent\" }}\n{WIDE_VALIDITY}"));
    finish(work.run_command()).exits(0);
    let result = work.result();
    let reconnects: Vec<u64> = result.fleets.iter().map(|fleet| fleet.counts.reconnects).collect();
    assert_eq!(reconnects, [20, 10]);
    // It drops the first fleet after 3 s, and the second one when its devices connect again.
    assert_eq!(result.emulator.unwrap().protocol_errors, 20);
}

#[test]
fn hub_finds_half_open_devices_in_the_order_of_their_silence() {
    // The second fleet is silent first, 4 s before the first one. The hub publishes the will of a device when its keep-alive is over.
    let hub = LocalHub::start();
    let fleet = |name: &str, at: &str| {
        format!(
            "[fleet.{name}]\ndevices = 3\nid = \"{name}-{{index}}\"\nkeep_alive = \"2s\"\nreconnect = {{ kind = \"never\" }}\n\
             auth = {{ kind = \"sas\", group_key = \"${{env.GROUP_KEY}}\" }}\nwill = {{ payload = \"gone\" }}\n\
             [[fleet.{name}.fault]]\nkind = \"half-open\"\nshare = \"67%\"\nat = \"{at}\"\n"
        )
    };
    let scenario = format!(
        "[target]\nkind = \"iot-hub\"\nhost = \"{}\"\nca = \"{}\"\n{}{}\
         [[phase]]\nname = \"p\"\nduration = \"60s\"\n{WIDE_VALIDITY}",
        hub.host(),
        hub.ca().display(),
        fleet("late", "5s"),
        fleet("early", "1s"),
    );
    let work = Workplace::new(&scenario).env("GROUP_KEY", GROUP_KEY);
    let running = work.start();
    let wills = hub.telemetry_until(4);
    let found: Vec<&str> = wills.iter().filter_map(|will| will.device.split('-').next()).collect();
    assert_eq!(found, ["early", "early", "late", "late"]);
    // The run is not over, and the hub has closed only the silent devices.
    assert_eq!(hub.stats().protocol_errors, 4);
    running.interrupt();
    running.wait().exits(105);
    let applied: Vec<_> = work.result().faults.iter().map(|it| (it.fleet.clone(), it.applied)).collect();
    assert_eq!(applied, [(Some("late".to_owned()), Some(2)), (Some("early".to_owned()), Some(2))]);
    assert_eq!(hub.stop().protocol_errors, 4);
}
