//! Device lists: their formats, and errors without secrets.

use super::*;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEYS: CredentialFormat<'_> = CredentialFormat::Keys { host: Some("hub.example") };

fn bad(text: &str, form: CredentialFormat<'_>) -> Vec<(usize, String)> {
    parse(text.as_bytes(), form).bad_lines.into_iter().map(|bad| (bad.line, bad.what.into_owned())).collect()
}

fn ids(listed: &DeviceList) -> Vec<&str> {
    (0..u32::try_from(listed.len()).unwrap()).map(|index| listed.id(index)).collect()
}

#[test]
fn all_key_formats_may_be_mixed_in_one_file() {
    let text = format!(
        "\u{feff}Id,Key\r\nd1,{KEY}\r\n\r\n  \"d,2\" , \"{KEY}\" \n\
         HostName=HUB.example;DeviceId=d3;SharedAccessKey={KEY}\n\
         {{\"id\":\"d4\",\"authentication\":{{\"symmetricKey\":{{\"primaryKey\":\"{KEY}\"}}}}}}\n{{\"id\":\"off\"}}"
    );
    let read = parse(text.as_bytes(), KEYS);
    assert_eq!(
        (ids(&read.devices), read.bad_lines, read.unusable),
        (vec!["d1", "d,2", "d3", "d4"], vec![], 1)
    );
    let key: Vec<u8> = (0..32).collect();
    assert!((0..4).all(|index| read.devices.secret(index) == key));
    assert!(read.devices.id(4).is_empty() && read.devices.secret(4).is_empty());
}

#[test]
fn password_lines_may_omit_the_id() {
    let read = parse(b"c1,u1,p 1\nu2,\"p\"\"2\"\nc3,u3,", CredentialFormat::Passwords);
    let rows: Vec<_> = (0..3)
        .map(|index| (read.devices.id(index), read.devices.user_name(index), read.devices.secret(index)))
        .collect();
    assert_eq!(rows, [("c1", "u1", &b"p 1"[..]), ("u2", "u2", b"p\"2"), ("c3", "u3", b"")]);
    assert!(read.bad_lines.is_empty());
}

#[test]
fn errors_name_the_line_and_never_its_text() {
    let hub = format!("HostName=other.example;DeviceId=d;SharedAccessKey={KEY}");
    let text = format!(
        "d1,{KEY}\nhunter2\nd2,hunter2\nd1,{KEY}\n hunter2 x,{KEY}\nd3,{KEY},hunter2\n\"hunter2\n\"d4\"hunter2,{KEY}\n\
         {{\"hunter2\n{hub}\nd5,aHVudGVyMg==\nd1,{KEY}"
    );
    let found = bad(&text, KEYS);
    let expected = [
        (2, "found 1"),
        (3, "not base64"),
        (4, "duplicate id, first used in line 1"),
        (5, "not a valid device id"),
        (6, "found 3"),
        (7, "a quote is not closed"),
        (8, "after a closing quote"),
        (9, "invalid JSON"),
        (10, "names a hub other than"),
        (11, "7 bytes"),
        (12, "duplicate id, first used in line 1"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((line, what), (at, part)) in found.iter().zip(expected) {
        assert!(*line == at && what.contains(part) && !what.contains("hunter2"), "{line}: {what}");
    }
    assert!(
        bad(&hub, CredentialFormat::Keys { host: None }).is_empty(),
        "the built-in hub accepts any host name"
    );
    assert_eq!(parse(b"d1,\xff\n", KEYS).bad_lines[0].what, "not UTF-8");
    let utf16 = parse(b"\xff\xfed\x001\0", KEYS).bad_lines;
    assert_eq!((utf16.len(), &*utf16[0].what), (1, "encoded as UTF-16; save the file as UTF-8"));
}

#[test]
fn azure_command_line_list_is_parsed() {
    let identity = |id: &str, key: &str, status: &str| {
        format!(
            "  {{\n    \"authentication\": {{\n      \"symmetricKey\": {{\"primaryKey\": \"{key}\", \"secondaryKey\": \"x\"}},\n      \
             \"type\": \"sas\"\n    }},\n    \"deviceId\": \"{id}\",\n    \"status\": \"{status}\"\n  }}"
        )
    };
    let list = |identities: &[String]| format!("\u{feff}[\n{}\n]\n", identities.join(",\n"));
    let good =
        [identity("d1", KEY, "enabled"), identity("d2", KEY, "disabled"), identity("d3", KEY, "enabled")];
    let read = parse(list(&good).as_bytes(), KEYS);
    assert_eq!((ids(&read.devices), read.bad_lines, read.unusable), (vec!["d1", "d3"], vec![], 1));
    let wrong = [good[0].clone(), identity("d2", "hunter2", "enabled"), good[0].clone()];
    let found = bad(&list(&wrong), KEYS);
    assert!(found[0].1.starts_with("entry 2 of the list: ") && !found[0].1.contains("hunter2"), "{found:?}");
    assert_eq!(found[1].1, "entry 3 of the list: duplicate id, first used in entry 1");
    let found = bad(&list(&good).replace("\"d3\"", "hunter2"), KEYS);
    assert!(matches!(&found[..], [(23, what)] if what.contains("invalid JSON")), "{found:?}");
}

#[test]
fn semicolons_are_reported_once() {
    for (text, form) in [
        (format!("\ndeviceId;primaryKey\nd1;{KEY}\nd2;{KEY}\n"), KEYS),
        (format!("\"d1\";\"{KEY}\"\nd2;{KEY}\n"), KEYS),
        ("c1;u1;hunter2\nc2;u2;hunter2\n".to_owned(), CredentialFormat::Passwords),
    ] {
        let found = bad(&text, form);
        assert!(matches!(&found[..], [(1 | 2, what)] if what.contains("use commas")), "{found:?}");
    }
}

#[test]
fn passwords_that_mqtt_cannot_carry_are_rejected() {
    let long = "x".repeat(65_536);
    for (text, part) in [
        (format!("a,b,{long}"), "the password is too long"),
        ("a,b\0,c".to_owned(), "the user name is too long"),
        (",b,c".to_owned(), "is empty"),
        ("a,b,c,d".to_owned(), "found 4"),
    ] {
        let found = bad(&text, CredentialFormat::Passwords);
        assert!(found[0].1.contains(part), "{found:?}");
    }
}

#[test]
fn picked_devices_keep_their_names_and_secrets() {
    let read = parse(b"a,ua,pa\nb,ub,pb\nc,uc,pc", CredentialFormat::Passwords);
    let picked = read.devices.pick(&[2, 0]);
    assert_eq!(ids(&picked), ["c", "a"]);
    assert_eq!((picked.user_name(1), picked.secret(0)), ("ua", &b"pc"[..]));
    assert_eq!(read.devices.by_id()["b"], 1);
    assert_eq!(picked.bytes_kept(), 2 * (5 + 12), "no memory is wasted");
    assert_eq!(format!("{picked:?}"), "DeviceList(2 devices)");
}
