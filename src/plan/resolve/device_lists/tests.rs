//! Fleets with device lists: the devices that they use, and errors in the files.

use crate::plan::{Auth, Plan};
use crate::scenario::{FileText, Input, no_files};
use std::io;
use std::path::Path;

const KEY: &str = "aHVudGVyMmh1bnRlcjJ4eA==";
const HUB: &str = "[target]\nkind = \"iot-hub\"\nhost = \"hub.example\"\n";
const BROKER: &str = "[target]\nkind = \"mqtt\"\nhost = \"broker.example\"\n";
const REST: &str = "[[phase]]\nname = \"p\"\nduration = \"1s\"\n";

/// Resolves `folder/x.toml` with the given files.
fn plan(text: &str, files: &[(&str, &str)], overrides: &[&str]) -> Result<Plan, String> {
    let read = |path: &Path| -> io::Result<FileText> {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map_or_else(|| no_files(path), |(_, text)| Ok(text.as_bytes().to_vec().into()))
    };
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let input = Input { file: "folder/x.toml", text, overrides: &overrides, env: &|_| None, files: &read };
    crate::plan::load(&input, &mut rand::rng()).map_err(|errors| errors.to_string())
}

fn fleet(name: &str, devices: u32, more: &str) -> String {
    format!("[fleet.{name}]\ndevices = {devices}\nauth = {{ kind = \"sas\", file = \"d.csv\" }}\n{more}\n")
}

fn hub(devices: u32, more: &str, file: &str) -> Result<Plan, String> {
    plan(&format!("{HUB}{}{REST}", fleet("a", devices, more)), &[("folder/d.csv", file)], &[])
}

fn ids(plan: &Plan) -> Vec<String> {
    (0..plan.fleets[0].devices).map(|index| plan.fleets[0].device_id(index)).collect()
}

#[test]
fn fleet_without_id_takes_the_first_devices() {
    let plan = hub(2, "", &format!("d3,{KEY}\nd1,{KEY}\nd2,{KEY}\n")).unwrap();
    assert_eq!(ids(&plan), ["d3", "d1"]);
    assert_eq!(
        plan.fleets[0].auth.device_list().map(crate::plan::DeviceList::len),
        Some(2),
        "the third device is not stored"
    );
    assert!(!format!("{plan:?}").contains("hunter2"));
}

#[test]
fn fleet_with_id_takes_the_devices_it_names() {
    let file = format!("d2,{KEY}\nother,{KEY}\nd0,{KEY}\nd1,{KEY}");
    assert_eq!(ids(&hub(3, "id = \"d{index}\"", &file).unwrap()), ["d0", "d1", "d2"]);
    let error = hub(4, "id = \"d{index}\"", &file).unwrap_err();
    assert!(
        error.contains("folder/d.csv does not contain d3") && error.contains("found:   4 devices"),
        "{error}"
    );
}

#[test]
fn too_few_devices_are_reported_with_a_fix() {
    let unusable = "{\"id\":\"off\",\"status\":\"disabled\"}";
    let error = hub(3, "", &format!("d0,{KEY}\nd1,{KEY}\n{unusable}\n")).unwrap_err();
    assert!(error.starts_with("folder/x.toml: 1 error\n\nfolder/x.toml:6:"), "{error}");
    assert!(error.contains("fleet.a.auth.file: folder/d.csv has too few devices"), "{error}");
    assert!(error.contains("found:   2 devices; skipped: 1 disabled"), "{error}");
    assert!(
        error.contains("allowed: at least 3")
            && error.contains("fix:     devices = 2, or add devices to the file"),
        "{error}"
    );
    let error = hub(1, "", unusable).unwrap_err();
    assert!(error.contains("found:   0 devices; skipped: 1 disabled"), "{error}");
    assert!(error.contains("fix:     add devices to the file: id,key; a connection string"), "{error}");
}

#[test]
fn file_without_keys_names_a_command_that_writes_them() {
    for (file, what) in [
        (
            "[{\"deviceId\":\"d\",\"authenticationType\":\"sas\"}]",
            "contains twins, as az iot hub device-identity list",
        ),
        ("{\"id\":\"d\",\"authentication\":{\"type\":\"sas\"}}", "contains identities, but not their keys"),
    ] {
        let error = hub(1, "", file).unwrap_err();
        assert!(error.contains(&format!("fleet.a.auth.file: folder/d.csv {what}")), "{error}");
        assert!(
            error.contains("az iot hub state export -n HUB -f devices.json --aspects devices"),
            "{error}"
        );
    }
}

#[test]
fn notes_say_what_is_skipped_or_ignored() {
    let connection =
        format!("HostName=hub.example;DeviceId=d%3B1;SharedAccessKey={KEY};GatewayHostName=edge");
    let file = format!("{connection}\n{{\"id\":\"off\",\"status\":\"disabled\"}}\n#d2,{KEY}\n");
    let plan = hub(1, "", &file).unwrap();
    let list = plan.fleets[0].auth.device_list().unwrap();
    assert_eq!(
        list.warnings(),
        [
            "folder/d.csv: GatewayHostName is ignored in 1 connection string; these devices connect directly to hub.example, \
          because hubstorm does not support gateways"
        ]
    );
    assert_eq!(
        list.notes(),
        [
            "folder/d.csv: skipped identities that cannot connect: 1 disabled",
            "folder/d.csv: 1 connection string has % in the id; hubstorm uses such ids as written and does not decode escapes \
             such as %3B",
            "folder/d.csv: skipped 1 device in comments (#); if an id begins with #, put it in quotes",
        ]
    );
}

#[test]
fn first_invalid_lines_are_reported() {
    let error = hub(1, "", &format!("d0,{KEY}\n{}", "hunter2\n".repeat(9))).unwrap_err();
    assert!(error.contains("folder/d.csv:2: expected 2 fields (id, key), found 1"), "{error}");
    assert!(error.contains("allowed: id,key; a connection string"), "{error}");
    assert!(error.contains("folder/d.csv:6:") && !error.contains("folder/d.csv:7:"), "{error}");
    assert!(error.contains("4 more invalid lines") && !error.contains("hunter2"), "{error}");
}

#[test]
fn missing_file_is_reported_at_its_key() {
    let error = plan(&format!("{HUB}{}{REST}", fleet("a", 1, "")), &[], &[]).unwrap_err();
    assert!(error.contains("fleet.a.auth.file: cannot read folder/d.csv: "), "{error}");
}

#[test]
fn path_in_set_is_relative_to_the_working_directory() {
    let text = format!("{HUB}{}{REST}", fleet("a", 1, ""));
    let files = [("folder/d.csv", "hunter2"), ("d.csv", &format!("d0,{KEY}"))];
    assert!(plan(&text, &files, &["fleet.a.auth.file=d.csv"]).is_ok());
    assert!(plan(&text, &files, &[]).is_err());
}

#[test]
fn fleets_with_the_same_devices_are_rejected() {
    let (one, two) = (fleet("a", 1, ""), fleet("b", 1, ""));
    let file = format!("d0,{KEY}\nd1,{KEY}");
    let error = plan(&format!("{HUB}{one}{two}{REST}"), &[("folder/d.csv", &file)], &[]).unwrap_err();
    assert!(
        error.contains("fleet a has a device with the same id") && error.contains("use a separate file"),
        "{error}"
    );
}

#[test]
fn broker_fleet_takes_user_names_and_passwords() {
    let fleet = "[fleet.a]\ndevices = 1\nauth = { kind = \"password\", file = \"d.csv\" }\n";
    let plan = plan(&format!("{BROKER}{fleet}{REST}"), &[("folder/d.csv", "c0,u0,hunter2")], &[]).unwrap();
    assert!(matches!(plan.fleets[0].auth, Auth::PasswordFile { .. }));
    assert_eq!(ids(&plan), ["c0"]);
}

#[test]
fn file_that_does_not_fit_the_target_is_rejected() {
    let error = plan(&format!("{BROKER}{}{REST}", fleet("a", 1, "")), &[], &[]).unwrap_err();
    assert!(error.contains("SAS tokens are for IoT hubs"), "{error}");
    let both = "[fleet.a]\ndevices = 1\nauth = { kind = \"sas\", file = \"d.csv\", policy = \"device\" }\n";
    let error = plan(&format!("{HUB}{both}{REST}"), &[("folder/d.csv", "")], &[]).unwrap_err();
    assert!(error.contains("more than one source of keys") && error.contains("or file"), "{error}");
}

#[test]
fn memory_per_device_is_little_more_than_id_and_key() {
    let line = |index: u32| format!("meter-{index:05},{KEY}\n");
    let file: String = (0..20_000).map(line).collect();
    let plan = hub(20_000, "", &file).unwrap();
    assert_eq!(plan.fleets[0].device_id(19_999), "meter-19999");
    let listed = plan.fleets[0].auth.device_list().unwrap();
    // Per device: 11 bytes for the id, 16 for the key, and 12 for the positions where the fields end.
    assert_eq!(listed.bytes_kept(), 20_000 * (11 + 16 + 12));
}
