//! Errors of scenarios with a secret in the wrong place.

use super::{assert_clean_output, key, path, plain, run_verbose};
use crate::support::hubstorm::Workplace;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[test]
fn scenario_errors_do_not_repeat_secrets() {
    let secret = plain(11);
    let fleet = |auth: &str| {
        format!(
            "[target]\nkind = \"iot-hub\"\nhost = \"h\"\n[fleet.a]\ndevices = 1\nauth = {auth}\n\
             [[phase]]\nname = \"p\"\nduration = \"1s\"\n"
        )
    };
    let password =
        |rest: &str| fleet(&format!("{{ kind = \"password\", {rest} }}")).replace("iot-hub", "mqtt");
    let listed = "{ kind = \"sas\", file = \"d.csv\" }";
    let good = "{ kind = \"sas\", group_key = \"${env.KEY}\" }";
    // Keys of 33 bytes, without padding, and of 32 bytes.
    let (marked, padded) = (key(11), STANDARD.encode(&plain(11)[..32]));
    let string = format!("HostName=h;DeviceId=d;SharedAccessKey={marked}");
    let cases = [
        (fleet(&format!("{{ kind = \"sas\", group_key = \"{secret}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = [\"{secret}\"] }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", gruop_key = \"{secret}\" }}")), "", vec![]),
        (
            fleet(&format!("{{ kind = \"sas\", policy = \"device\", key = \"${{env.KEY}}{secret}\" }}")),
            "",
            vec![],
        ),
        (fleet(&format!("\"{secret}\"")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = \"{secret} }}")), "", vec![]),
        (fleet("{ kind = \"${env.SECRET}\" }"), "", vec![]),
        (fleet("{ kind = \"sas\", group_key = \"${env.SECRET}\" }"), "", vec![]),
        (fleet("{ kind = \"sas\", group_key = \"${file.d.csv}\" }"), &secret, vec![]),
        (fleet(good).replace("\"h\"", "\"mqtt://${env.SECRET}@h\""), "", vec![]),
        (fleet(good).replace("\"h\"", "\"${env.HUB}\""), "", vec![]),
        (fleet(good).replace("\"h\"", &format!("\"HostName=h;SharedAccessKey={secret}\"")), "", vec![]),
        (fleet(good).replace("devices = 1", "devices = \"${env.SECRET}\""), "", vec![]),
        (fleet(good).replace("devices = 1", &format!("devices = 2\nid = \"{string}\"")), "", vec![]),
        (fleet(good).replace("devices = 1", "devices = 1\nid = \"${env.HUB}\""), "", vec![]),
        (fleet(good).replace("fleet.a", &format!("fleet.\"{string}\"")), "", vec![]),
        (fleet(good).replace("\"p\"", &format!("\"{string}\"")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = \"${{env.{marked}}}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = \"${{env.{padded}}}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = \"${{file.{marked}}}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = \"${{file.{padded}}}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", file = \"{padded}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", policy = \"{string}\", key = \"${{env.KEY}}\" }}")), "", vec![]),
        (password("username = \"${env.HUB}\", password = \"${env.KEY}\""), "", vec![]),
        (password(&format!("username = \"${{env.{marked}}}\", password = \"${{env.KEY}}\"")), "", vec![]),
        (password("username = \"${env.SECRET}{\", password = \"${env.SECRET}\""), "", vec![]),
        (password(&format!("username = \"u\", password = \"{secret}\"")), "", vec![]),
        (
            password("file = \"d.csv\""),
            &format!("a,b,c,{secret}\n\"{secret}\nu,{secret}\nu,{secret}"),
            vec![],
        ),
        (fleet(listed), &format!("{secret}\nd,{secret}\n{},d\n\"{secret}\" x,\"{secret}", key(12)), vec![]),
        (
            fleet(listed),
            &format!("{{\"id\":\"{secret}\",\"status\":{{}}}}\n{{\"{secret}\"\n{{\"id\":{secret}}}"),
            vec![],
        ),
        (fleet(listed), &format!("HostName={secret};DeviceId=d;SharedAccessKey={}", key(12)), vec![]),
        (fleet(good), "", vec!["--set".to_owned(), format!("fleet.a.auth.group_key={secret}")]),
        (fleet(good), "", vec!["--set".to_owned(), format!("fleet.a.auth.gruop_key={secret}")]),
        (
            fleet(good),
            "",
            vec!["--set".to_owned(), format!("fleet.a.auth={{ kind = \"sas\", key = \"{secret}\" }}")],
        ),
        (
            fleet(good),
            "",
            vec!["--set".to_owned(), format!("fleet.a.auth={{ kind = \"sas\", key = \"{secret}")],
        ),
    ];
    let (mark, key) = (plain(12), key(12));
    for (scenario, file, arguments) in cases {
        let work = Workplace::new(&scenario).file("d.csv", file);
        for subcommand in ["check", "run"] {
            let file = work.scenario();
            let arguments: Vec<&str> =
                [subcommand, path(&file)].into_iter().chain(arguments.iter().map(String::as_str)).collect();
            let finished = run_verbose(&arguments, &[("SECRET", &mark), ("KEY", &key), ("HUB", &string)], "");
            assert_clean_output(&format!("{scenario} {arguments:?}"), finished.exits(104));
        }
    }
}

#[test]
fn connection_string_as_host_gets_advice() {
    let scenario = "[target]\nkind = \"mqtt\"\nhost = \"${env.HUB}\"\n[fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n";
    let work = Workplace::new(scenario);
    let scenario = work.scenario();
    let hub = format!("HostName=h;DeviceId=d;SharedAccessKey={}", key(1));
    let advice = "use only the value of its HostName field";
    let located = run_verbose(&["check", path(&scenario)], &[("HUB", &hub)], "");
    assert_clean_output("in a scenario", located.exits(104));
    for part in ["scenario.toml:3:8: target.host: ", advice] {
        assert!(located.stderr.contains(part), "{part}: {}", located.stderr);
    }
    let typed = run_verbose(&["check", path(&scenario), "--target", &hub], &[("HUB", "h")], "");
    assert!(typed.exits(2).stderr.contains(advice), "{}", typed.stderr);
}
