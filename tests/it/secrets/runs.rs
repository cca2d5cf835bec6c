//! Runs, and the emulator as its users start it.

use super::{clean, clean_process, clean_words, found, key, looks, loud, path, plain};
use crate::support::emulator::Emulator;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, totals};
use crate::support::mosquitto::Mosquitto;
use std::fs;
use std::net::Ipv4Addr;

/// `check`, `run`, and `report` in its formats, searched with all they wrote; `code` is the run's.
#[track_caller]
fn through_all(work: Workplace, environment: &[(&'static str, String)], code: i32) -> Workplace {
    let secrets: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    clean_words("check", loud(&["check", path(&work.scenario())], &secrets, "").exits(0));
    let work = environment.iter().fold(work, |work, &(name, ref value)| work.env(name, value));
    let work = work.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    let mut running = work.start();
    running.says(" against ");
    clean_process(running.id());
    running.children().into_iter().for_each(|child| clean_process(u32::try_from(child).expect("positive")));
    clean_words("run", running.wait().exits(code));
    work.result();
    for file in fs::read_dir(work.out()).expect("the run made it").flatten() {
        clean(&file.path().display().to_string(), &fs::read(file.path()).expect("readable"));
    }
    let result = &work.outputs("json")[0];
    for format in ["text", "html", "json"] {
        clean_words("report", loud(&["report", path(result), "--format", format], &secrets, "").exits(0));
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
    let work = through_all(work, &[("GROUP", key(1)), ("POLICY", key(2))], 0);
    assert_eq!(totals(&work.result(), "connect").1["ok"], 2 + 1 + 3 + 1, "the secrets were in use");
}

/// The broker refuses them all: the ways in which errors are told.
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
    let work = through_all(work.without_preflight(), &[("PASSWORD", plain(10))], 99);
    assert_eq!(totals(&work.result(), "connect").1["refused"], 3, "the secrets were in use");
}

#[test]
fn emulator_keys_never_appear_in_output() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("key");
    fs::write(&file, key(1)).expect("the folder is ours");
    let from_file = format!("file:{}", path(&file));
    for source in ["env:GROUP", &from_file] {
        let hub =
            Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", source], &[("GROUP", &key(1))]);
        // Its sample is a device's key on purpose; the group's stays inside.
        assert_eq!(found(hub.ready_line.as_bytes(), &looks()), None);
        clean_process(hub.id());
        clean("the certificate", &fs::read(hub.ca()).expect("readable"));
        clean("stderr", hub.stop().as_bytes());
    }
    let secret = plain(2);
    clean_words("a literal", loud(&["emulator", "--group-key", &secret], &[], "").exits(2));
    let bad = [("GROUP", secret.as_str())];
    clean_words("no key", loud(&["emulator", "--group-key", "env:GROUP"], &bad, "").exits(1));
    for line in [
        format!("{{\"config\":{{\"group_keys\":[\"{secret}\"]}}}}"),
        format!("{{\"config\":{{\"group_keys\":\"{secret}\"}}}}"),
        format!("{{\"config\":{{\"{secret}\":1}}}}"),
        format!("{{\"config\":{{\"devices\":[{{\"id\":\"d\",\"key\":\"{secret}\"}}]}}}}"),
        secret.clone(),
    ] {
        clean_words(&line, loud(&["emulator", "--control"], &[], &format!("{line}\n")).exits(1));
    }
}
