//! Tests of `run` before the load: the configuration of the built-in hub, and Ctrl-C.

use super::*;
use std::io::Write;

#[test]
fn scenario_configures_the_built_in_hub() {
    for (key, lenient, grace_ms) in
        [("", false, 300_000), ("[emulator]\nlenient_properties = true\nexpiry_grace = \"1s\"", true, 1_000)]
    {
        let text = format!("{key}\n[fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\nduration = \"1s\"");
        let files = &crate::scenario::no_files;
        let input =
            crate::scenario::Input { file: "s.toml", text: &text, overrides: &[], env: &|_| None, files };
        let plan = crate::plan::load(&input, &mut rand::rng()).unwrap();
        let config = control_config(&plan, 1);
        assert_eq!((config.lenient_properties, config.expiry_grace_ms), (lenient, grace_ms));
    }
}

#[test]
fn ctrl_c_works_while_waiting_for_an_answer() {
    use clap::Parser as _;
    #[derive(Clone, Default)]
    struct SharedBuffer(Arc<std::sync::Mutex<Vec<u8>>>);
    impl Write for SharedBuffer {
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
    let (scenario, out) = (scenario.display().to_string(), folder.path().join("out").display().to_string());
    let cli = crate::cli::Cli::try_parse_from(["hubstorm", "run", &scenario, "--out", &out]).unwrap();
    let (sender, interrupts) = watch::channel(0);
    let written = SharedBuffer::default();
    let env = Env {
        var: |_| Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
        answer: Some(|| {
            loop {
                std::thread::park();
            }
        }),
        err: Box::new(written.clone()),
        ..Env::from_process(interrupts)
    };
    let env = Env { terminal: true, ..env };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(async {
        tokio::join!(crate::app::run(cli, env), async {
            while !String::from_utf8_lossy(&written.0.lock().unwrap()).contains("[y/N]") {
                tokio::task::yield_now().await;
            }
            sender.send_replace(1);
        })
    });
    assert_eq!(code.0, 105);
    let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(written.contains("\nerror: interrupted"), "a line break separates the error from ^C: {written}");
    runtime.shutdown_background();
}

/// Ctrl-C before `run` starts: it creates no folder and resolves no name.
#[test]
fn ctrl_c_before_the_start_is_not_lost() {
    use clap::Parser as _;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(
        path("s.toml"),
        "[target]\nkind = \"mqtt\"\nhost = \"broker.invalid\"\n[fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\n\
         duration = \"1s\"\n",
    )
    .unwrap();
    let cli = crate::cli::Cli::try_parse_from(["hubstorm", "run", &path("s.toml"), "--out", &path("out")]);
    let (_sender, interrupts) = watch::channel(1);
    let env = Env { err: Box::new(std::io::sink()), ..Env::from_process(interrupts) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(crate::app::run(cli.unwrap(), env)), 105);
    assert!(!folder.path().join("out").exists());
    runtime.shutdown_background();
}

/// The built-in hub never becomes ready.
#[test]
fn ctrl_c_works_while_the_hub_starts() {
    use clap::Parser as _;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("mute.sh"), "#!/bin/sh\n: > \"$0.started\"\ncat > /dev/null\n").unwrap();
    // Let another process write the program. If this one did, a child that another test forks at the same time could keep
    // the file open for writing.
    let installed = std::process::Command::new("install")
        .args(["-m", "755"])
        .args([path("mute.sh"), path("mute")])
        .status();
    assert!(installed.unwrap().success());
    std::fs::write(path("s.toml"), "[fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n")
        .unwrap();
    let scenario = path("s.toml").display().to_string();
    let out = path("out").display().to_string();
    let cli = crate::cli::Cli::try_parse_from(["hubstorm", "run", &scenario, "--out", &out]).unwrap();
    let (sender, interrupts) = watch::channel(0);
    let env = Env { exe: path("mute"), err: Box::new(std::io::sink()), ..Env::from_process(interrupts) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(async {
        tokio::join!(crate::app::run(cli, env), async {
            // The program creates this file when it starts.
            while !path("mute.started").exists() {
                tokio::task::yield_now().await;
            }
            sender.send_replace(1);
        })
    });
    assert_eq!(code.0, 105);
}
