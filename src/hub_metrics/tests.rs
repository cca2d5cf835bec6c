//! Tests of parsing: the variants of the format, and files that are not metrics.

use super::*;
use serde_json::{Value, json};

fn point(time: &str, total: impl Into<Value>) -> Value {
    json!({"timeStamp": time, "total": total.into(), "average": null, "minimum": null, "maximum": null, "count": null})
}

fn metric(name: &str, points: &[Value]) -> Value {
    json!({
        "id": format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/meters/providers/Microsoft.Insights/metrics/{name}"),
        "name": {"value": name, "localizedValue": name},
        "errorCode": "Success",
        "unit": "Count",
        "timeseries": [{"metadatavalues": [], "data": points}],
    })
}

fn output(interval: &str, metrics: &[Value]) -> Value {
    json!({
        "cost": 0,
        "interval": interval,
        "namespace": "Microsoft.Devices/IotHubs",
        "resourceregion": "westeurope",
        "timespan": "2026-11-28T10:01:00Z/2026-11-28T10:05:00Z",
        "value": metrics,
    })
}

fn sent() -> Value {
    let points = [point("2026-11-28T10:02:00Z", 3_000.0), point("2026-11-28T10:03:00Z", 2_990)];
    metric("d2c.telemetry.ingress.success", &points)
}

fn read(value: &Value) -> HubMetrics {
    parse(value.to_string().as_bytes()).unwrap()
}

fn totals(metrics: &HubMetrics) -> Vec<(i64, f64)> {
    let [series] = &metrics.series[..] else { panic!("{metrics:?}") };
    series.bins.iter().map(|bin| (bin.start_us / 1_000_000 % 3_600, bin.value())).collect()
}

/// Minutes 2 and 3 of the hour.
const EXPECTED: [(i64, f64); 2] = [(120, 3_000.0), (180, 2_990.0)];

#[test]
fn every_variant_of_the_format_is_read() {
    let plain = output("PT1M", &[sent()]);
    let offset = plain.to_string().replace(":00Z\"", ":00+00:00\"");
    let fraction = plain.to_string().replace(":00Z\"", ":00.0000000Z\"");
    let empty = output("PT1M", &[]);
    let bom = format!("\u{feff}{}", serde_json::to_string_pretty(&plain).unwrap());
    for (what, text) in [
        ("as new versions print it", plain.to_string()),
        ("as old versions print it", output("0:01:00", &[sent()]).to_string()),
        ("offset", offset),
        ("fraction", fraction),
        ("byte order mark", bom),
        ("array", json!([plain, empty]).to_string()),
        ("one after the other", format!("{empty}\n{plain}\n")),
        ("the same twice", json!([plain, plain]).to_string()),
        (
            "other case",
            plain.to_string().replace("d2c.telemetry.ingress.success", "D2C.Telemetry.Ingress.Success"),
        ),
    ] {
        let metrics = parse(text.as_bytes()).unwrap();
        assert_eq!(totals(&metrics), EXPECTED, "{what}");
        assert_eq!(
            (metrics.series[0].metric, metrics.series[0].length_us),
            (Metric::D2cAccepted, 60_000_000),
            "{what}"
        );
        assert_eq!((metrics.hub.as_deref(), metrics.not_used), (Some("meters"), vec![]), "{what}");
    }
}

#[test]
fn totals_by_dimension_are_added() {
    let mut split = sent();
    let first = split["timeseries"][0].clone();
    split["timeseries"] = json!([first, first, {"data": null, "metadatavalues": null}]);
    assert_eq!(totals(&read(&output("PT1M", &[split]))), [(120, 6_000.0), (180, 5_980.0)]);
}

#[test]
fn null_values_are_left_out_and_may_be_in_any_order() {
    let points = [
        point("2026-11-28T10:04:00Z", Value::Null),
        point("2026-11-28T10:03:00Z", 7),
        point("2026-11-28T10:02:00Z", 5),
    ];
    let metrics = read(&output("PT1M", &[metric("d2c.telemetry.ingress.success", &points)]));
    assert_eq!(totals(&metrics), [(120, 5.0), (180, 7.0)]);
    let [first, last] = metrics.span_us.unwrap();
    assert_eq!(last - first, 180_000_000, "the span contains empty intervals");
}

#[test]
fn later_outputs_and_shorter_intervals_count() {
    let again = metric("d2c.telemetry.ingress.success", &[point("2026-11-28T10:03:00Z", 3_100)]);
    let both = json!([output("PT1M", &[sent()]), output("PT1M", &[again])]);
    assert_eq!(totals(&read(&both)), [(120, 3_000.0), (180, 3_100.0)]);
    let hour = metric("d2c.telemetry.ingress.success", &[point("2026-11-28T10:00:00Z", 99)]);
    let longer = output("PT1H", &[hour]);
    for both in [json!([longer, output("PT1M", &[sent()])]), json!([output("PT1M", &[sent()]), longer])] {
        assert_eq!(totals(&read(&both)), EXPECTED);
    }
}

#[test]
fn metrics_without_usable_values_are_named_with_a_reason() {
    let average = json!({"timeStamp": "2026-11-28T10:02:00Z", "average": 1.0});
    let total = point("2026-11-28T10:02:00Z", 5);
    let mut failed = sent();
    (failed["errorCode"], failed["errorMessage"]) = (json!("ThrottledRequest"), json!("later"));
    let mut split = metric("connectedDeviceCount", std::slice::from_ref(&average));
    let one = split["timeseries"][0].clone();
    split["timeseries"] = json!([one, one]);
    for (metric, expected) in [
        (metric("RoutingDeliveries", std::slice::from_ref(&total)), "hubstorm does not know it"),
        (metric("devices.totalDevices", std::slice::from_ref(&total)), "replaced it by totalDeviceCount"),
        (metric("d2c.telemetry.ingress.success", &[average]), "--aggregation Total"),
        (metric("dailyMessageQuotaUsed", &[total]), "--aggregation Average Minimum Maximum"),
        (metric("dailyMessageQuotaUsed", &[]), "minutes late; query again later"),
        (metric("dailyMessageQuotaUsed", &[point("2026-11-28T10:02:00Z", Value::Null)]), "minutes late"),
        (failed, "reported the error ThrottledRequest: later"),
        (split, "split by a dimension"),
    ] {
        let metrics = read(&output("PT1M", std::slice::from_ref(&metric)));
        assert_eq!(metrics.series, []);
        let [not_used] = &metrics.not_used[..] else { panic!("{metrics:?}") };
        assert_eq!(not_used.name, metric["name"]["value"].as_str().unwrap());
        assert!(not_used.reason.contains(expected), "{not_used:?}");
    }
}

/// Returns the error of a file, in words.
fn refused(bytes: &[u8]) -> String {
    parse(bytes).unwrap_err().to_string()
}

#[test]
fn bad_files_are_refused_with_place_and_fix() {
    let good = serde_json::to_string_pretty(&output("PT1M", &[sent()])).unwrap();
    let with = |from: &str, to: &str| good.replacen(from, to, 1);
    for (text, expected) in [
        (String::new(), "is empty. Save the output of `az monitor metrics list --output json`"),
        ("\u{feff} \n".to_owned(), "is empty"),
        (good[..good.len() / 2].to_owned(), "is cut off: its JSON is incomplete"),
        (
            "Timestamp   Name\n----".to_owned(),
            "is not JSON at line 1 column 1: it starts with neither { nor [",
        ),
        ("ERROR: az login".to_owned(), "is not JSON at line 1"),
        (with("3000.0", "NaN"), "is not JSON at line"),
        (with("3000.0", "Infinity"), "is not JSON at line"),
        (with("3000.0", "1e999"), "number out of range at line"),
        (
            with("3000.0", "\"many\""),
            "contains no metrics as Azure prints them: invalid type: string \"many\", expected f64 at line",
        ),
        (
            with("3000.0", "-1"),
            "has the value -1.0 in d2c.telemetry.ingress.success at 2026-11-28T10:02:00Z, which is not a count",
        ),
        (with("3000.0", "1e300"), "which is not a count"),
        (
            with("10:02:00Z", "10:02:00"),
            "has the time \"2026-11-28T10:02:00\" in d2c.telemetry.ingress.success",
        ),
        (with("2026-11-28T10:03:00Z", "soon"), "has the time \"soon\""),
        (
            with("10:03:00Z", "10:02:30Z"),
            "has overlapping intervals of d2c.telemetry.ingress.success, at 2026-11-28T10:02:30Z",
        ),
        (
            with("PT1M", "FULL"),
            "has no usable interval: \"FULL\" is not a length of time. Query with --interval PT1M",
        ),
        (with("\"interval\": \"PT1M\",", ""), "the key \"interval\" is missing"),
        (with("\"value\": [", "\"values\": ["), "the key \"value\" is missing"),
        (json!([sent()]).to_string(), "without --query"),
        (json!({"error": {"code": "AuthorizationFailed"}}).to_string(), "the key \"value\" is missing"),
        ("[1]".to_owned(), "contains no metrics as Azure prints them: invalid type"),
        ("\n\n 17".to_owned(), "at line 3 column"),
        (
            with("Microsoft.Devices/IotHubs\"", "Microsoft.Web/sites\""),
            "contains metrics of Microsoft.Web/sites, not of an IoT hub",
        ),
        (
            json!([
                output("PT1M", &[sent()]),
                serde_json::from_str::<Value>(&good.replace("meters", "other")).unwrap()
            ])
            .to_string(),
            "contains metrics of several hubs (meters and other)",
        ),
        (
            json!({"schema": "hubstorm.result.v1", "run": {}}).to_string(),
            "is a file of hubstorm (hubstorm.result.v1)",
        ),
        ("[".repeat(100_000), "is cut off"),
    ] {
        let found = refused(text.as_bytes());
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(!found.contains('\n') && found.len() < 400, "{found}");
    }
}

#[test]
fn bytes_in_another_encoding_are_refused() {
    let text = output("PT1M", &[sent()]).to_string();
    let utf16 =
        |mark: &[u8]| [mark, &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()].concat();
    for bytes in [utf16(b"\xff\xfe"), utf16(b"")] {
        let found = refused(&bytes);
        assert!(found.contains("UTF-16") && found.contains("Out-File -Encoding utf8"), "{found}");
    }
    assert!(refused(b"{\"a\": \"\xff\"}").contains("not UTF-8 at byte 8 of line 1"));
    assert!(refused(b"\x1f\x8b\x08").contains("is compressed (gzip). Decompress it with gunzip"));
    assert!(
        refused(&vec![b' '; usize::try_from(METRICS_BYTES_MAX).unwrap() + 1])
            .contains("is larger than 64 MiB")
    );
}

#[test]
fn known_names_are_unique() {
    for known in KNOWN {
        assert_eq!(Known::of(&known.name.to_uppercase()), Some(&known));
        assert_eq!(
            KNOWN.iter().filter(|other| other.name.eq_ignore_ascii_case(known.name)).count(),
            1,
            "{}",
            known.name
        );
        if let Reading::Replaced(by) = known.reading {
            assert!(Known::of(by).is_some(), "{by}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_metrics_or_an_error(cut in 0_usize..900, byte in 0_u8..=255) {
        let mut bytes = output("PT1M", &[sent()]).to_string().into_bytes();
        let at = cut.min(bytes.len() - 1);
        bytes[at] = byte;
        let _ = parse(&bytes);
        let _ = parse(&bytes[..at]);
    }
}
