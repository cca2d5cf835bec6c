//! One table for all formats of files with keys, one for files with passwords: bytes in; devices, or the exact message and its fix, out.

use super::*;
use proptest::prelude::*;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEYS: CredentialFormat<'_> = CredentialFormat::Keys { hosts: &["hub.example"] };

/// Returns the content of a file as text: `id` for each device with the key `KEY` (or `id/user/password`), what else the file contains,
/// and each bad line with its fix.
fn described(bytes: &[u8], format: CredentialFormat<'_>) -> String {
    let file = parse(bytes, format);
    let key: Vec<u8> = (0..32).collect();
    let device = |index| {
        let (id, user) = (file.devices.id(index), file.devices.user_name(index));
        match (format, file.devices.secret(index)) {
            (CredentialFormat::Keys { .. }, secret) if secret == key => id.to_owned(),
            (_, secret) => format!("{id}/{user}/{}", String::from_utf8_lossy(secret)),
        }
    };
    let devices: Vec<String> = (0..u32::try_from(file.devices.len()).unwrap()).map(device).collect();
    let mut parts = vec![devices.join(" ")];
    if file.oddities != Oddities::default() {
        let text = format!("{:?}", file.oddities);
        let counts = text.trim_start_matches("Oddities { ").trim_end_matches(" }").split(", ");
        parts.push(counts.filter(|count| !count.ends_with(" 0")).collect::<Vec<_>>().join(", "));
    }
    parts.extend(file.bad_lines.iter().map(|BadLine { line, refusal }| {
        let position = [*line, refusal.column].into_iter().flatten().map(|number| number.to_string());
        let position = position.collect::<Vec<_>>().join(":");
        let formats = if refusal.is_format { " [formats]" } else { "" };
        format!("{position}: {} -> {}{formats}", refusal.what, refusal.fix)
    }));
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

/// Checks a table of texts, in which `KEY` stands for a key.
fn check(format: CredentialFormat<'_>, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let found = described(text.replace("KEY", KEY).as_bytes(), format);
        assert_eq!(found, *expected, "{text:?}");
        assert!(!found.contains("hunter2") && !found.contains(&KEY[..30]), "{text:?}: {found}");
    }
}

const COPY_KEY: &str = "copy the whole primary key, including any = at its end";

#[test]
fn table_that_az_prints_names_the_command_with_keys() {
    let text = "AuthenticationType    ConnectionState    DeviceId    Status\n\
                --------------------  -----------------  ----------  --------\n\
                sas                   Disconnected       d1          enabled\n";
    check(
        KEYS,
        &[(
            text,
            "1: a table that az printed with -o table, which contains no keys -> write all devices with their keys: \
             az iot hub state export -n HUB -f devices.json --aspects devices",
        )],
    );
}

#[test]
fn key_files_of_every_format_are_read() {
    check(
        KEYS,
        &[
            // Line ends, blank lines, comments, blanks.
            ("d1,KEY\nd2,KEY\n", "d1 d2"),
            ("d1,KEY\r\nd2,KEY\r\n", "d1 d2"),
            ("d1,KEY\rd2,KEY\r", "d1 d2"),
            ("\u{feff}d1,KEY", "d1"),
            ("\u{feff}\n \t\n# my devices\n\nid,key\n\nd1,KEY\n", "d1"),
            ("#d1,KEY\n# d2,KEY, the second\n\"#d3\",KEY\n", "#d3\ncommented_devices: 1"),
            ("#key,id\nkey,id\n#KEY,d1\nKEY,d2", "d2\ncommented_devices: 1"),
            (" d1 , KEY \t\n\u{a0}d2,KEY\u{a0}", "d1 d2"),
            // Separators.
            ("d1\tKEY\nd,2\tKEY\n", "d1 d,2"),
            ("d1;KEY\nd2;KEY", "d1 d2"),
            ("a;b,KEY", "a;b"),
            ("sep=;\r\ndeviceId;primaryKey\r\n\"d;1\";KEY\r\n", "d;1"),
            ("deviceId;primaryKey\n\"d1\";\"KEY\"\n", "d1"),
            // Quotes.
            ("\"d1\",\"KEY\"\n\"d,2\" , \"KEY\" \n", "d1 d,2"),
            (
                "\"HostName=hub.example;DeviceId=d1;SharedAccessKey=KEY\"\n'HostName=hub.example;DeviceId=d2;SharedAccessKey=KEY'",
                "d1 d2",
            ),
            // Headers.
            ("id,key\nd1,KEY", "d1"),
            ("DeviceId,PrimaryKey\nd1,KEY", "d1"),
            ("device_id,primary_key\nd1,KEY", "d1"),
            ("Device ID,SharedAccessKey\nd1,KEY", "d1"),
            ("key,id\nKEY,d1", "d1"),
            (
                "status,id,deviceId,secondaryKey,primaryKey,etag\nenabled,5,d1,x,KEY,y\ndisabled,6,d2,x,KEY,y",
                "d1\ndisabled: 1",
            ),
            ("deviceId\tauthentication.symmetricKey.primaryKey\nd1\tKEY", "d1"),
            ("connectionString\nHostName=hub.example;DeviceId=d1;SharedAccessKey=KEY", "d1"),
            (
                "ConnectionString\n----------------\nHostName=hub.example;DeviceId=d1;SharedAccessKey=KEY",
                "d1",
            ),
            ("deviceId,connectionString\nd1,HostName=hub.example;DeviceId=d1;SharedAccessKey=KEY", "d1"),
            ("d1,HostName=hub.example;DeviceId=d1;SharedAccessKey=KEY", "d1"),
            ("device,KEY\nid,KEY", "device id"),
            // Connection strings.
            (
                "HostName=HUB.example;DeviceId=d1;SharedAccessKey=KEY\nSharedAccessKey=KEY;DeviceId=d2;HostName=hub.example;",
                "d1 d2",
            ),
            ("HostName=hub.example;DeviceId=a;b;SharedAccessKey=KEY", "a;b"),
            ("HostName=hub.example;DeviceId=a,b;SharedAccessKey=KEY", "a,b"),
            ("HostName=hub.example;DeviceId=a%3Bb;SharedAccessKey=KEY", "a%3Bb\npercent_ids: 1"),
            ("HostName=hub.example;DeviceId=d1;SharedAccessKey=KEY;GatewayHostName=edge", "d1\ngateways: 1"),
            // All of them in one file.
            (
                "Id,Key\nd1,KEY\nHostName=hub.example;DeviceId=d2;SharedAccessKey=KEY\n\
                 {\"id\":\"d3\",\"authentication\":{\"symmetricKey\":{\"primaryKey\":\"KEY\"}}}\n{\"id\":\"off\"}",
                "d1 d2 d3\nwithout_key: 1",
            ),
            ("", ""),
            // A spreadsheet.
            ("id,key,\n,,,\nd1,KEY,\n;;\n", "d1"),
            (
                "PK\u{3}\u{4}xx",
                "1: an Excel workbook or a ZIP archive, not a text file -> in Excel, save it as CSV UTF-8",
            ),
            ("id,key\nd1,=A1", "2: the key is an Excel formula -> save the column with the keys as text"),
        ],
    );
    let without_target = CredentialFormat::Keys { hosts: &[] };
    check(without_target, &[("HostName=any;DeviceId=d1;SharedAccessKey=KEY", "d1")]);
}

#[test]
fn json_of_every_azure_tool_is_read() {
    check(
        KEYS,
        &[
            // device-identity export --include-keys, and without keys.
            (
                "{\"id\":\"d1\",\"eTag\":\"MQ==\",\"status\":\"enabled\",\"authentication\":{\"symmetricKey\":{\"primaryKey\":\"KEY\",\"secondaryKey\":\"x\"},\"x509Thumbprint\":{\"primaryThumbprint\":null},\"type\":\"sas\"},\"twinETag\":\"AA==\"}\r\n\
                 {\"id\":\"d2\",\"status\":\"disabled\",\"authentication\":{\"symmetricKey\":{\"primaryKey\":\"KEY\"},\"type\":\"sas\"}}\r\n\
                 {\"id\":\"d3\",\"status\":\"enabled\",\"authentication\":{\"symmetricKey\":{\"primaryKey\":null},\"type\":\"certificateAuthority\"}}\r\n\
                 {\"id\":\"d4\",\"moduleId\":\"m\",\"status\":\"enabled\",\"authentication\":{\"symmetricKey\":{\"primaryKey\":\"KEY\"},\"type\":\"sas\"}}\r\n\
                 {\"id\":\"d5\",\"status\":\"enabled\",\"authentication\":{\"symmetricKey\":{\"primaryKey\":null},\"type\":\"sas\"}}",
                "d1\ndisabled: 1, certificates: 1, modules: 1, without_key: 1",
            ),
            // device-identity show, one and several.
            (
                "\u{feff}{\n  \"authentication\": {\n    \"symmetricKey\": {\"primaryKey\": \"KEY\"},\n    \"type\": \"sas\"\n  },\n  \"deviceId\": \"d1\"\n}\n",
                "d1",
            ),
            (
                "{\n  \"deviceId\": \"d1\", \"key\": \"KEY\"\n}\n{\n  \"deviceId\": \"d2\",\n  \"key\": \"KEY\"\n}\n",
                "d1 d2",
            ),
            // connection-string show.
            ("{\n  \"connectionString\": \"HostName=hub.example;DeviceId=d1;SharedAccessKey=KEY\"\n}", "d1"),
            ("{\"connectionString\":\"HostName=hub.example;DeviceId=d1;SharedAccessKey=KEY\"}", "d1"),
            // state export.
            (
                "{\n  \"arm\": {},\n  \"devices\": {\n    \"d1\": {\n      \"identity\": {\"authentication\": {\"symmetricKey\": {\"primaryKey\": \"KEY\"}, \"type\": \"sas\"}, \"status\": \"enabled\"},\n      \"twin\": {\"properties\": {\"desired\": {}}}\n    }\n  }\n}",
                "d1",
            ),
            // device-identity list, and a list with keys.
            ("[{\"deviceId\":\"d1\",\"authenticationType\":\"sas\",\"status\":\"enabled\"}]", "twins: 1"),
            ("[\n  {\"deviceId\":\"d1\",\"primaryKey\":\"KEY\"}\n]", "d1"),
            ("[]", ""),
        ],
    );
}

#[test]
fn wrong_lines_have_a_message_and_a_fix() {
    let id_fix = "correct the id; if the line is a header, name its columns id and key";
    let columns = "write id,key in each line (or with a tab or semicolon), or name the columns in the first line, such as deviceId,primaryKey [formats]";
    let names = "name the columns id and key, or deviceId and primaryKey [formats]";
    let bad_id = "not a valid device id for an IoT hub (1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ ')";
    let token = "which is valid only until its expiry (se); hubstorm makes and renews its own tokens, so it needs the key itself";
    let signed = "use the key that signed the token: the primary key of the device, group or policy";
    let again = "write the file again with the tool that made it; it may be cut off";
    let cases = [
        ("d1,KEY\nhunter2\n", format!("d1\n2: expected 2 fields (id, key), found 1 -> {columns}")),
        ("d1,KEY,hunter2", format!("1: expected 2 fields (id, key), found 3 -> {columns}")),
        ("d1,hunter2", format!("1: the key is not base64 -> {COPY_KEY}")),
        ("d1,aHVudGVyMg==", format!("1: the key is 7 bytes long; 16 to 64 bytes are allowed -> {COPY_KEY}")),
        ("d1,", "1: the key is missing -> add the device's primary key, or remove the line".to_owned()),
        ("id,key\nd1,\nd2", "2: the key is missing -> add the device's primary key, or remove the line\n3: the key is missing -> add the device's primary key, or remove the line".to_owned()),
        ("id,connectionString\nd1,", "2: the connection string is missing -> add it, or remove the line".to_owned()),
        ("id,key\n,KEY", "2: the device id is missing -> add the id, or remove the line".to_owned()),
        ("id,hunter2\nd1,KEY", format!("1: the header names no column for the key -> {names}")),
        ("key\nKEY", format!("1: the header names no column for the device id -> {names}")),
        ("Gerät;hunter2\nd1;KEY", format!("d1\n1: {bad_id} -> {id_fix}")),
        ("d1,KEY\nd 2,KEY", format!("d1\n2: {bad_id} -> {id_fix}")),
        ("d1,KEY\n\nd1,KEY", "d1\n3: duplicate id, first used in line 1 -> remove this line or line 1".to_owned()),
        ("\"hunter2\n", "1: a quote is not closed -> add the closing quote; write a quote inside a quoted field as two quotes (\"\")".to_owned()),
        ("\"d1\"hunter2,KEY", "1: text after a closing quote -> write a quote inside a quoted field as two quotes (\"\")".to_owned()),
        ("# mine\n[fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\n", "1: a scenario, not a list of devices -> specify the file with the keys, such as devices.csv".to_owned()),
        ("\n<!doctype html>\n<p>hunter2", "1: an HTML or XML page, not a list of devices -> download the file itself; a browser may have saved its page".to_owned()),
        // Tokens and connection strings in place of keys.
        ("d1,SharedAccessSignature sr=h&sig=hunter2&se=1", format!("1: the key is a SAS token, {token} -> {signed}")),
        ("d1,SharedAccessKey=KEY", "1: the key is a connection string, or a part of one -> use only the value after SharedAccessKey=".to_owned()),
        ("SharedAccessSignature sr=h&sig=hunter2&se=1", format!("1: the key is a SAS token, {token} -> {signed}")),
        ("HostName=hub.example;DeviceId=d;SharedAccessSignature=SharedAccessSignature sr=h&sig=hunter2&se=1", format!("1: the connection string has a SAS token, {token} -> copy the connection string with SharedAccessKey= (az iot hub device-identity connection-string show)")),
        ("HostName=hub.example;SharedAccessKeyName=device;SharedAccessKey=KEY", "1: the connection string is for a shared access policy, not for a device -> remove the line; in a scenario, use auth = { kind = \"sas\", policy = \"NAME\", key = \"${env.POLICY_KEY}\" } without a file".to_owned()),
        ("HostName=hub.example;DeviceId=d;ModuleId=m;SharedAccessKey=KEY", "1: the connection string is for a module; modules are not supported yet -> use the connection string of the device itself, or remove the line".to_owned()),
        ("HostName=hub.example;DeviceId=d;x509=true", "1: the connection string has no key, because the device uses a certificate (x509), which is not supported yet -> remove the line, or use a device with a symmetric key".to_owned()),
        ("HostName=hub.example;DeviceId=a;b=c;SharedAccessKey=KEY", "1: the connection string has an unknown field after DeviceId, or the device id contains both ; and = -> write the device as id,key instead, or remove the unknown field".to_owned()),
        ("HostName=other;DeviceId=d;SharedAccessKey=KEY", "1: the connection string is for another hub than the target -> use connection strings of hub.example, or set host in [target] to their HostName".to_owned()),
        ("d2,HostName=hub.example;DeviceId=d1;SharedAccessKey=KEY", "1: the connection string is for another device than the id in this line -> correct the id or the connection string, or remove the column with the ids".to_owned()),
        // JSON.
        ("[\n{\"deviceId\":\"d1\",\"key\":\"KEY\"},\n{\"deviceId\":\"d2\",\"key\":\"hunter2\"},{\"deviceId\":\"d1\",\"key\":\"KEY\"}]", format!("d1\n: entry 2: the key is not base64 -> {COPY_KEY}\n: entry 3: duplicate id, first used in entry 1 -> remove this entry or entry 1")),
        ("[\n{\"deviceId\":hunter2}]", format!("2:13: invalid JSON -> {again}")),
        ("{\"id\":\"d1\",\"key\":\"KEY\"}\n{\"id\":\"hunter2\n", format!("d1\n2:14: invalid JSON -> {again}")),
        ("[5]", "1:2: JSON, but not device identities -> use the output of az iot hub state export, device-identity export --include-keys, or device-identity show [formats]".to_owned()),
        ("{\"devices\":{\"d1\":{\"identity\":{\"key\":\"KEY\"}},\"d2\":{\"identity\":{\"key\":\"hunter2\"}}}}", format!("d1\n: entry 2: the key is not base64 -> {COPY_KEY}")),
        ("{\"a\":1}", "1: the JSON object has no device id -> use an object with deviceId (or id) and authentication.symmetricKey.primaryKey for each device [formats]".to_owned()),
    ];
    for (text, expected) in &cases {
        check(KEYS, &[(text, expected)]);
    }
}

#[test]
fn other_encodings_are_refused_with_words() {
    let fix = "save the file as UTF-8 (in Excel: CSV UTF-8; in PowerShell: Out-File -Encoding utf8)";
    for (bytes, expected) in [
        (&b"\xff\xfed\x001\0"[..], "1: encoded as UTF-16"),
        (b"\xfe\xff\0d\x001", "1: encoded as UTF-16"),
        (b"d\x001\0,\0", "1: encoded as UTF-16"),
        (b"d1,x\nK\xfcche,y", "2:2: not UTF-8"),
    ] {
        for format in [KEYS, CredentialFormat::Passwords] {
            assert_eq!(described(bytes, format), format!("{expected} -> {fix}"), "{bytes:?}");
        }
    }
}

#[test]
fn password_files_are_read() {
    let long = format!("a,b,{}", "x".repeat(65_536));
    let fields = "write id,username,password in each line, or name these columns in the first line [formats]";
    let names = "name the columns id, username and password [formats]";
    let cases = [
        ("c1,u1,p 1\nu2,\"p\"\"2\"\nc3,u3,", "c1/u1/p 1 u2/u2/p\"2 c3/u3/".to_owned()),
        ("c1;u1;p1\nc2;u2;p2", "c1/u1/p1 c2/u2/p2".to_owned()),
        ("c1\tu1\tp1\nc2\tu2\t\n", "c1/u1/p1 c2/u2/".to_owned()),
        ("# users\n\nusername,password\nu1,p1", "u1/u1/p1".to_owned()),
        ("password,client_id,user name,note\np1,c1,u1,x", "c1/u1/p1".to_owned()),
        ("username,pwd\nu1,p1", format!("1: the header names no column for the password -> {names}")),
        ("{\"a\":1},p1", "{\"a\":1}/{\"a\":1}/p1".to_owned()),
        ("a,b,c,d", format!("1: expected 2 or 3 fields (id, user name, password), found 4 -> {fields}")),
        (",b,c", "1: the id or the user name is empty -> add it, or remove the line".to_owned()),
        ("a,b\0,c", "1: the user name is too long for MQTT, or contains a NUL -> use at most 65,535 bytes, without a NUL".to_owned()),
        (&long, "1: the password is too long for MQTT, or contains a NUL -> use at most 65,535 bytes, without a NUL".to_owned()),
    ];
    for (text, expected) in &cases {
        check(CredentialFormat::Passwords, &[(text, expected)]);
    }
}

#[test]
fn picked_devices_keep_their_names_and_secrets() {
    let read = parse(b"a,ua,pa\nb,ub,pb\nc,uc,pc", CredentialFormat::Passwords);
    let picked = read.devices.pick(&[2, 0]);
    assert_eq!([picked.id(0), picked.id(1), picked.id(2)], ["c", "a", ""]);
    assert_eq!((picked.user_name(1), picked.secret(0)), ("ua", &b"pc"[..]));
    assert!(picked.secret(2).is_empty());
    assert_eq!(read.devices.by_id()["b"], 1);
    assert_eq!(picked.bytes_kept(), 2 * (5 + 12), "no memory is wasted");
    assert_eq!(format!("{picked:?}"), "DeviceList(2 devices)");
}

proptest! {
    #[test]
    fn any_file_gives_devices_or_errors(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "d1", KEY, ",", ";", "\t", "\n", "\r\n", "\"", "'", "#", " ", "{", "}", "[", "]", ":", "id", "key", "\"id\"", "HostName=hub.example",
                "DeviceId=", "SharedAccessKey=", "x509=", "sep=;", "\u{feff}", "\0", "hunter2",
            ]),
            0..40,
        ),
    ) {
        let text = parts.concat();
        for format in [KEYS, CredentialFormat::Passwords] {
            let file = parse(text.as_bytes(), format);
            prop_assert!(file.devices.bytes_kept() >= text.len(), "the list did not outgrow its capacity");
            for BadLine { line, refusal } in &file.bad_lines {
                prop_assert!(line.is_none_or(|line| line >= 1 && line <= text_file::lines(text.as_bytes()).count()));
                let message = format!("{}{}", refusal.what, refusal.fix);
                prop_assert!(!message.contains("hunter2") && !message.contains(KEY) && !refusal.fix.is_empty());
            }
        }
    }
}
