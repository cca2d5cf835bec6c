//! The rows of small files, and the mistakes in them.

use super::*;
use crate::plan::fingerprint::sha256_hex;

type Rows = Vec<(u64, String, String, Vec<u8>)>;

fn read_as(head: HeadColumn, text: &[u8]) -> (Table, Rows) {
    let mut rows = Vec::new();
    let table = read(text, head, &mut |row| {
        if row.device == "unknown" {
            return Err(RowProblem::new("refused", "fix it"));
        }
        rows.push((
            row.time_ns / 1_000_000,
            row.device.to_owned(),
            row.head.unwrap_or_default().to_owned(),
            row.payload.to_vec(),
        ));
        Ok(())
    });
    (table, rows)
}

fn rows(text: &str) -> Rows {
    let (table, rows) = read_as(HeadColumn::Topic, text.as_bytes());
    assert_eq!(table.problems, [], "{text}");
    rows
}

/// Returns the mistakes as `line: what; fix`.
fn problems(head: HeadColumn, text: &[u8]) -> Vec<String> {
    let (table, _) = read_as(head, text);
    let text = |LineProblem { line, problem: RowProblem { what, fix } }| {
        format!("{}: {what}; {fix}", line.map_or_else(String::new, |line| line.to_string()))
    };
    table.problems.into_iter().map(text).collect()
}

fn row(time_ms: u64, device: &str, topic: &str, payload: &str) -> (u64, String, String, Vec<u8>) {
    (time_ms, device.to_owned(), topic.to_owned(), payload.as_bytes().to_vec())
}

#[test]
fn payloads_may_contain_separators_quotes_and_line_ends() {
    let text = "time,device,topic,payload\r\n0,a,t/1,\"{\"\"x\"\":1,\"\"y\"\":2}\"\r\n1.5,b,t/2,\"one\r\ntwo\"\r\n\r\n1.5,a,t/1,\r\n2,a,t/1,5\" pipe\"\n";
    assert_eq!(
        rows(text),
        [
            row(0, "a", "t/1", "{\"x\":1,\"y\":2}"),
            row(1_500, "b", "t/2", "one\r\ntwo"),
            row(1_500, "a", "t/1", ""),
            row(2_000, "a", "t/1", "5\" pipe\""),
        ]
    );
}

#[test]
fn columns_are_found_by_name_in_any_order() {
    for text in [
        "payload,Device,TIME,topic\nx,a,5,t\ny,a,6,t",
        "\u{feff}time,device,topic,payload\n5,a,t,x\n6,a,t,y\n",
        "time;device;topic;payload\n5;a;t;x\n6;a;t;y\n",
        "time\tdevice\ttopic\tpayload\r\n5\ta\tt\tx\r\n6\ta\tt\ty\r\n",
        " time , device ,topic,payload,note\n5, a ,t,x,first\n6,a,t,y,\n",
        "time,device,topic,payload_base64\n5,a,t,eA==\n6,a,t,eQ==\n",
        "time,device,topic,payload\n2026-07-08T09:00:00Z,a,t,x\n2026-07-08T11:00:01+02:00,a,t,y\n",
    ] {
        assert_eq!(rows(text), [row(0, "a", "t", "x"), row(1_000, "a", "t", "y")], "{text}");
    }
    let (table, _) = read_as(HeadColumn::Topic, b"time,device,payload,a,b\n0,d,x,1,2");
    assert_eq!((table.ignored, table.has_head, table.rows), (vec!["a".to_owned(), "b".to_owned()], false, 1));
    assert_eq!(table.sha256, sha256_hex(b"time,device,payload,a,b\n0,d,x,1,2"));
}

#[test]
fn mistakes_are_told_by_line() {
    let topic =
        |rows: &str| problems(HeadColumn::Topic, format!("time,device,topic,payload\n{rows}").as_bytes());
    for (rows, expected) in [
        ("x,a,t,1", "2: not a time: \"x\"; write seconds, such as 12.5, or ISO 8601"),
        ("0,a,t,1\n1,a,t\n", "3: 3 columns instead of 4; put fields with separators"),
        ("0,a,t,{\"x\":1,\"y\":2}", "2: 5 columns instead of 4; put fields with separators"),
        (
            "5,a,t,1\n\n7,a,\"t\n\",1\n6,a,t,1\n6.5,a,t,1",
            "6: out of order: \"6\" is earlier than \"7\" in the row before; sort",
        ),
        (
            "5,a,t,1\n2026-07-08T09:00:00Z,a,t,1",
            "3: \"2026-07-08T09:00:00Z\" is not in the form of the first row's time; use",
        ),
        (
            "1735689600000,a,t,1\n1735689600999,a,t,1\n2735689600001,a,t,1",
            "4: \"2735689600001\" is more than ten years after the first row; write times in seconds",
        ),
        ("0,unknown,t,1", "2: refused; fix it"),
        (
            "0,a,t,\"1\n1,a,t,2\n",
            "2: the file has an odd number of quotes (\"), so a quoted field has no end; the last row begins here",
        ),
        ("", ": it has a header but no rows; add a row"),
    ] {
        let found = topic(rows);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{rows}: {found:?}");
    }
    let found = problems(HeadColumn::Properties, b"time,device,payload_base64\n0,a,e\n1,\xff,eA==\n");
    assert!(found.len() == 2 && found[0].starts_with("2: the payload is not Base64: "), "{found:?}");
    assert!(found[1].starts_with("3: not UTF-8; save the file as UTF-8"), "{found:?}");
}

#[test]
fn lines_are_counted_in_files_of_every_kind() {
    for (text, lines) in [
        ("time,device,topic,payload\n0,unknown,t,x\n1,unknown,t,\"a\nb\"\n2,unknown,t,x", [2, 3, 5]),
        ("time,device,topic,payload\r\n0,unknown,t,x\r\n1,unknown,t,\"a\r\nb\"\r\n2,unknown,t,x", [2, 3, 5]),
        ("time,device,topic,payload\n\n0,unknown,t,x\n\n\n1,unknown,t,\"\n\"\n2,unknown,t,x\n", [3, 6, 8]),
        (
            "time,device,topic,payload\r\n\r\n0,unknown,t,x\r\n\r\n1,unknown,t,\"\r\n\"\r\n2,unknown,t,x\r\n",
            [3, 5, 7],
        ),
    ] {
        let (table, _) = read_as(HeadColumn::Topic, text.as_bytes());
        let found: Vec<_> = table.problems.iter().map(|problem| problem.line).collect();
        assert_eq!(found, lines.map(Some), "{text:?}");
    }
}

#[test]
fn only_the_first_mistakes_are_listed_and_all_are_counted() {
    let text: String = (0..25).map(|n| format!("{n},unknown,t,x\n")).collect();
    let (table, rows) =
        read_as(HeadColumn::Topic, format!("time,device,topic,payload\n{text}99,a,t,x").as_bytes());
    assert_eq!((table.problems.len(), table.more, rows.len()), (LINES_REPORTED_MAX, 15, 1));
}

#[test]
fn wrong_headers_and_other_files_are_told() {
    for (head, text, expected) in [
        (HeadColumn::Topic, &b""[..], &[": it is empty; add a header: time,device,topic,payload"][..]),
        (
            HeadColumn::Topic,
            b"time,payload\n",
            &[
                "1: the column device is missing; the header must name them, such as time,device,topic,payload",
            ],
        ),
        (
            HeadColumn::Topic,
            b"0,dev1,c2VjcmV0\n",
            &[
                "1: the column time is missing;",
                "1: the column device is missing;",
                "1: the column payload, or payload_base64, is missing;",
            ],
        ),
        (
            HeadColumn::Properties,
            b"time,device,topic,payload\n",
            &["1: column topic: the topic of telemetry to an IoT hub is fixed; remove"],
        ),
        (
            HeadColumn::Topic,
            b"time,device,properties,payload\n",
            &["1: column properties: MQTT 3.1.1 has no properties; the target is a plain broker; remove"],
        ),
        (
            HeadColumn::Properties,
            b"time,device,propertys,payload\n",
            &["1: unknown column \"propertys\"; did you mean properties?"],
        ),
        (HeadColumn::Topic, b"time,time,device,payload\n", &["1: the column time is given twice; remove"]),
        (
            HeadColumn::Topic,
            b"time,device,payload,payload_base64\n",
            &["1: both payload and payload_base64 are given; remove"],
        ),
        (
            HeadColumn::Topic,
            b"PK\x03\x04",
            &[": it is compressed (ZIP), or an Excel workbook; decompress it with unzip"],
        ),
        (
            HeadColumn::Topic,
            b"\xff\xfet\0",
            &[": encoded as UTF-16; save the file as UTF-8; save the file as CSV in UTF-8"],
        ),
    ] {
        let found = problems(head, text);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn rows_are_read_as_the_csv_crate_writes_them(
        fields in proptest::collection::vec(("[a-z]{1,5}", proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)), 1..20),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["time", "device", "payload"]).unwrap();
        for (time, (device, payload)) in fields.iter().enumerate() {
            writer.write_record([time.to_string().as_bytes(), device.as_bytes(), payload]).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let (table, rows) = read_as(HeadColumn::Topic, &text);
        let expected: Rows = (0..)
            .zip(&fields)
            .filter(|(_, (device, _))| device != "unknown")
            .map(|(time, (device, payload))| (time * 1_000, device.clone(), String::new(), payload.clone()))
            .collect();
        proptest::prop_assert_eq!(rows, expected);
        proptest::prop_assert!(table.problems.is_empty());
    }
}
