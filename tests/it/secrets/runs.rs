//! Secrets in runs, in results, and in the emulator.

use super::{
    assert_clean, assert_clean_output, assert_clean_process, forms, found, key, path, plain, run_verbose,
};
use crate::support::emulator::Emulator;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, totals};
use crate::support::mosquitto::Mosquitto;
use std::fs;
use std::net::Ipv4Addr;

/// Runs `check`, `run`, and `report` in every format, and searches everything that they write. `code` is the exit code of the run.
#[track_caller]
fn check_run_and_report(work: Workplace, environment: &[(&'static str, String)], code: i32) -> Workplace {
    let secrets: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_clean_output("check", run_verbose(&["check", path(&work.scenario())], &secrets, "").exits(0));
    let work = environment.iter().fold(work, |work, &(name, ref value)| work.env(name, value));
    let work = work.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    let mut running = work.start();
    running.says(" against ");
    assert_clean_process(running.id());
    running
        .children()
        .into_iter()
        .for_each(|child| assert_clean_process(u32::try_from(child).expect("positive")));
    assert_clean_output("run", running.wait().exits(code));
    work.result();
    for file in fs::read_dir(work.out()).expect("the run made it").flatten() {
        assert_clean(&file.path().display().to_string(), &fs::read(file.path()).expect("readable"));
    }
    let result = &work.outputs("json")[0];
    for format in ["text", "html", "json"] {
        assert_clean_output(
            "report",
            run_verbose(&["report", path(result), "--format", format], &secrets, "").exits(0),
        );
    }
    work
}

#[test]
fn hub_keys_never_appear_in_output() {
    let scenario = format!(
        "[fleet.a]\ndevices = 2\nauth = {{ kind = \"sas\", group_key = \"${{env.GROUP}}\" }}\n\
         [fleet.b]\ndevices = 1\nauth = {{ kind = \"sas\", policy = \"device\", key = \"${{env.POLICY}}\" }}\n\
         [fleet.c]\ndevices = 3\nauth = {{ kind = \"sas\", file = \"devices.txt\" }}\n\
         [fleet.d]\ndevices = 1\nauth = {{ kind = \"sas\", group_key = \"${{file.key.txt}}\" }}\n\
         [[fleet.a.send]]\nevery = \"500ms\"\npayload = \"x\"\n\
         [[phase]]\nname = \"steady\"\nduration = \"1s\"\n{WIDE_VALIDITY}"
    );
    let export = format!(
        "{{\"id\":\"c3\",\"authentication\":{{\"symmetricKey\":{{\"primaryKey\":\"{}\",\"secondaryKey\":\"{}\"}}}}}}",
        key(5),
        key(6)
    );
    let devices = format!("c1,{}\nHostName=h;DeviceId=c2;SharedAccessKey={}\n{export}\n", key(3), key(4));
    let work = Workplace::new(&scenario).file("devices.txt", &devices).file("key.txt", &key(7));
    let work = check_run_and_report(work, &[("GROUP", key(1)), ("POLICY", key(2))], 0);
    assert_eq!(totals(&work.result(), "connect").1["ok"], 2 + 1 + 3 + 1, "devices used the secrets");
}

/// The broker refuses every password, so the errors are reported in every way.
#[test]
fn refused_passwords_never_appear_in_output() {
    let broker = Mosquitto::start(["u0", "u1", "u2"].map(str::to_owned), "another");
    let scenario = format!(
        "[target]\nkind = \"mqtt\"\nhost = \"{}\"\nport = {}\n\
         [fleet.a]\ndevices = 1\nid = \"a\"\nreconnect = {{ kind = \"never\" }}\n\
         auth = {{ kind = \"password\", username = \"u0\", password = \"${{env.PASSWORD}}\" }}\n\
         [fleet.b]\ndevices = 2\nreconnect = {{ kind = \"never\" }}\nauth = {{ kind = \"password\", file = \"users.csv\" }}\n\
         [[phase]]\nname = \"steady\"\nduration = \"1s\"\n{WIDE_VALIDITY}",
        broker.host(),
        broker.plain().port()
    );
    let work = Workplace::new(&scenario).file("users.csv", &format!("b1,u1,{}\nu2,{}\n", plain(8), plain(9)));
    let work = check_run_and_report(work.without_preflight(), &[("PASSWORD", plain(10))], 99);
    assert_eq!(totals(&work.result(), "connect").1["refused"], 3, "devices used the secrets");
}

#[test]
fn emulator_keys_never_appear_in_output() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("key");
    fs::write(&file, key(1)).expect("the folder is writable");
    let from_file = format!("file:{}", path(&file));
    for source in ["env:GROUP", &from_file] {
        let hub =
            Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", source], &[("GROUP", &key(1))]);
        // The sample connection string contains a device key on purpose, but never the group key.
        assert_eq!(found(hub.ready_line.as_bytes(), &forms()), None);
        assert_clean_process(hub.id());
        assert_clean("the certificate", &fs::read(hub.ca()).expect("readable"));
        assert_clean("stderr", hub.stop().as_bytes());
    }
    let secret = plain(2);
    assert_clean_output("a literal", run_verbose(&["emulator", "--group-key", &secret], &[], "").exits(2));
    let bad = [("GROUP", secret.as_str())];
    assert_clean_output("no key", run_verbose(&["emulator", "--group-key", "env:GROUP"], &bad, "").exits(1));
    for line in [
        format!("{{\"config\":{{\"group_keys\":[\"{secret}\"]}}}}"),
        format!("{{\"config\":{{\"group_keys\":\"{secret}\"}}}}"),
        format!("{{\"config\":{{\"{secret}\":1}}}}"),
        format!("{{\"config\":{{\"devices\":[{{\"id\":\"d\",\"key\":\"{secret}\"}}]}}}}"),
        secret.clone(),
    ] {
        assert_clean_output(
            &line,
            run_verbose(&["emulator", "--control"], &[], &format!("{line}\n")).exits(1),
        );
    }
}
