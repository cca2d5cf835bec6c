//! TLS resumption with the program: against the built-in hub, and against `hubstorm emulator` with and without tickets. Counts, never times.

use crate::support::emulator::Emulator;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, totals};
use hubstorm::result::model::RunResult;
use std::net::Ipv4Addr;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// All devices are disconnected once, and reconnect.
fn storm(target: &str, auth: &str) -> String {
    format!(
        "{target}\n[fleet.meter]\ndevices = 6\nreconnect = {{ kind = \"fixed\", delay = \"100ms\" }}\n{auth}\n\
         [[fleet.meter.send]]\nevery = \"250ms\"\npayload = \"x\"\n\
         [[phase]]\nname = \"calm\"\nduration = \"2s\"\n\
         [[phase]]\nname = \"storm\"\nduration = \"3s\"\ndisconnect = {{ share = \"100%\", how = \"reset\" }}\n{WIDE_VALIDITY}"
    )
}

fn evidence<'r>(result: &'r RunResult, part: &str) -> &'r str {
    let finding = result.findings.iter().find(|finding| finding.text.contains(part));
    finding.map_or("", |finding| &finding.evidence)
}

#[test]
fn each_device_of_a_storm_resumes_its_own_session() {
    let work = Workplace::new(&storm("[emulator]\ntls = { resumption = \"on\" }", ""));
    let run = work.run();
    run.exits(0);
    let result = work.result();
    assert!(result.run.target.tls_resumption);
    // With tickets of other devices, the later first connections would resume, too.
    assert_eq!((all_ok(&result, "connect.tls"), all_ok(&result, "connect.tls.resumed")), (12, 6));
    let of_storm = result.operations.iter().filter(|row| row.operation.name() == "connect.tls.resumed");
    assert!(of_storm.clone().count() == 1 && of_storm.clone().all(|row| row.phase == "storm"));
    assert_eq!(evidence(&result, "resumed an earlier session"), "6 of 12 TLS handshakes resumed a session");
    let output = run.stdout.clone() + &run.stderr;
    assert!(output.contains("connect.tls.resumed") && output.contains("6 of 12 TLS handshakes"), "{output}");
    let page = std::fs::read_to_string(&work.outputs("html")[0]).expect("readable");
    assert!(
        page.contains("connect.tls.resumed") && page.contains("6 of 12 TLS handshakes resumed a session")
    );
}

/// Devices of different hosts have the same number among the devices of their host.
#[test]
fn devices_of_several_hosts_resume_their_own_sessions() {
    let hubs = [0, 1].map(|_| {
        let arguments = ["--group-key", "env:K", "--tls-resumption"];
        Emulator::start(Ipv4Addr::LOCALHOST.into(), &arguments, &[("K", KEY)])
    });
    let roots = hubs.each_ref().map(|hub| std::fs::read_to_string(hub.ca()).expect("a CA file")).concat();
    let target = format!(
        "[target]\nkind = \"iot-hub\"\nhost = [\"localhost:{}\", \"localhost:{}\"]\nca = \"ca.pem\"\n\
         tls = {{ resumption = \"on\" }}",
        hubs[0].port(),
        hubs[1].port()
    );
    let auth = "auth = { kind = \"sas\", group_key = \"${env.K}\" }";
    let work = Workplace::new(&storm(&target, auth)).file("ca.pem", &roots).env("K", KEY);
    work.run().exits(0);
    let result = work.result();
    assert_eq!((all_ok(&result, "connect.tls"), all_ok(&result, "connect.tls.resumed")), (12, 6));
}

#[test]
fn handshakes_are_full_by_default() {
    let work = Workplace::new(&storm("", ""));
    work.run().exits(0);
    let result = work.result();
    assert_eq!(all_ok(&result, "connect.tls"), 12);
    assert_eq!(totals(&result, "connect.tls.resumed").0, 0);
    assert!(!result.run.target.tls_resumption && evidence(&result, "resumed a").is_empty());
}

#[test]
fn emulator_resumes_only_if_asked_to() {
    for (tickets, resumed) in [(true, 6), (false, 0)] {
        let mut arguments = vec!["--group-key", "env:K"];
        arguments.extend(tickets.then_some("--tls-resumption"));
        let hub = Emulator::start(Ipv4Addr::LOCALHOST.into(), &arguments, &[("K", KEY)]);
        let target = format!(
            "[target]\nkind = \"iot-hub\"\nhost = \"localhost\"\nport = {}\nca = \"{}\"\ntls = {{ resumption = \"on\" }}",
            hub.port(),
            hub.ca()
        );
        let auth = "auth = { kind = \"sas\", group_key = \"${env.K}\" }";
        // The connection of the preflight check leaves no session.
        let work = Workplace::new(&storm(&target, auth)).env("K", KEY);
        work.run().exits(0);
        let result = work.result();
        assert_eq!(all_ok(&result, "connect.tls"), 12);
        assert_eq!(totals(&result, "connect.tls.resumed").0, resumed);
        let none = evidence(&result, "No TLS handshake resumed a session");
        assert_eq!(none.is_empty(), tickets, "{:?}", result.findings);
    }
}
