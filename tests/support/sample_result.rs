//! Results to render: deterministic, with real histograms. Included by path where reports are tested.

#![expect(clippy::unwrap_used, reason = "a helper of tests: a panic is a failed test")]

use base64::Engine as _;
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use hubstorm::result::model::*;
use std::collections::BTreeMap;

/// Splitmix64: the same numbers on every machine.
struct Numbers(u64);

impl Numbers {
    /// Uniform in 0..1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A latency with a long tail around `median_us`.
    fn latency(&mut self, median_us: f64, spread: f64) -> u64 {
        let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        let tail = if self.unit() < 0.004 { 1.0 + 6.0 * self.unit() } else { 1.0 };
        (median_us * (normal * spread).exp() * tail) as u64 + 1
    }
}

fn encode(hdr: &Hdr<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(hdr, &mut bytes).unwrap();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn recorded(values: impl IntoIterator<Item = u64>) -> Hdr<u64> {
    let mut hdr = Hdr::new_with_bounds(1, 60_000_000, 3).unwrap();
    values.into_iter().for_each(|value| hdr.record(value).unwrap());
    hdr
}

/// The histogram of the result file.
pub(crate) fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram {
    hubstorm::result::histogram(&recorded(values))
}

fn small(values: impl IntoIterator<Item = u64>) -> RowHistogram {
    let hdr = recorded(values);
    RowHistogram {
        count: hdr.len(),
        p50_us: hdr.value_at_quantile(0.5),
        p99_us: hdr.value_at_quantile(0.99),
        p999_us: hdr.value_at_quantile(0.999),
        max_us: hdr.max(),
        hdr: encode(&hdr),
    }
}

fn phase(name: &str, warmup: bool, from_s: u64, to_s: u64, online: [f64; 2], load: [f64; 2]) -> Phase {
    Phase {
        name: name.to_owned(),
        warmup,
        start_us: from_s * 1_000_000,
        end_us: to_s * 1_000_000,
        planned_online: online,
        planned_load: load,
    }
}

fn operation(
    name: &str,
    phase: &str,
    due: u64,
    bad: &[(&str, u64)],
    response: Vec<u64>,
    ahead_us: u64,
) -> OperationResult {
    let mut outcomes: BTreeMap<String, u64> =
        bad.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    outcomes.insert("ok".to_owned(), due - bad.iter().map(|(_, count)| count).sum::<u64>());
    let service = response.iter().map(|us| us.saturating_sub(ahead_us).max(us / 3));
    OperationResult {
        operation: name.to_owned(),
        fleet: "meter".to_owned(),
        phase: phase.to_owned(),
        due,
        outcomes,
        no_ack: false,
        closed_loop: false,
        service: histogram(service),
        wait: histogram(response.iter().map(|us| us / 10)),
        lag: histogram(response.iter().map(|us| us / 40)),
        unfinished_age: Histogram::default(),
        response: histogram(response),
    }
}

/// Messages per second at a second of the run.
fn load(second: u64) -> u64 {
    match second {
        0..20 => second * 20,
        20..60 => 400,
        _ => 400 + (second - 60) * 40,
    }
}

fn median_us(second: u64) -> f64 {
    match second {
        0..60 => 3_200.0,
        _ => 3_200.0 * (1.0 + (second - 60) as f64 / 6.0),
    }
}

fn rows(numbers: &mut Numbers) -> Vec<Row> {
    let row = |second: u64| {
        let offered = load(second);
        let samples: Vec<u64> =
            (0..offered.clamp(1, 400)).map(|_| numbers.latency(median_us(second), 0.45)).collect();
        let response = if offered == 0 {
            BTreeMap::new()
        } else {
            BTreeMap::from([("telemetry".to_owned(), small(samples))])
        };
        let online = ((second + 1) * 50).min(1_000);
        Row {
            t_us: second * 1_000_000,
            online: if (72..75).contains(&second) { 962 } else { online },
            planned_online: online,
            offered,
            achieved: if (70..73).contains(&second) { offered * 8 / 10 } else { offered },
            errors: match second {
                70..73 => (second - 69) * 19,
                81 => 4,
                _ => 0,
            },
            cpu_percent: 22.0 + load(second) as f64 / 40.0 + 6.0 * numbers.unit(),
            lag_max_us: numbers.latency(420.0, 0.6),
            response,
        }
    };
    (0..90).map(row).collect()
}

fn threshold(
    metric: &str,
    phase: Option<&str>,
    expression: &str,
    limit: f64,
    unit: &str,
    observed: f64,
    text: &str,
) -> ThresholdResult {
    let more = expression.contains('>');
    let passed = if more { observed > limit } else { observed < limit };
    let margin = if more { observed / limit - 1.0 } else { 1.0 - observed / limit };
    ThresholdResult {
        metric: metric.to_owned(),
        expression: expression.to_owned(),
        phase: phase.map(str::to_owned),
        fleet: None,
        limit,
        unit: unit.to_owned(),
        observed: Some(observed),
        observed_text: text.to_owned(),
        margin: Some(margin),
        samples: 16_000,
        passed,
    }
}

const SCENARIO: &str = "name = \"Smart meters, a quick start\"\nseed = 7\n\n[fleet.meter]\ndevices = 1000\nid = \"meter-{index:05}\"\n\n[[fleet.meter.send]]\nrate = \"400/s\"\narrival = \"poisson\"\nqos = 1\npayload = '{\"id\":\"${device}\",\"seq\":${seq}}'\n\n[[phase]]\nname = \"ramp\"\nwarmup = true\nduration = \"20s\"\nonline = \"0% -> 100%\"\n\n[[phase]]\nname = \"steady\"\nduration = \"40s\"\n\n[[phase]]\nname = \"evening peak\"\nduration = \"30s\"\nload = \"100% -> 400%\"\n";

fn operations(numbers: &mut Numbers) -> Vec<OperationResult> {
    let mut many = |count: u64, median: f64, spread: f64| -> Vec<u64> {
        (0..count).map(|_| numbers.latency(median, spread)).collect()
    };
    vec![
        operation("connect", "ramp", 1_000, &[], many(1_000, 19_000.0, 0.3), 200),
        operation("connect", "evening peak", 40, &[("refused", 2)], many(38, 22_000.0, 0.3), 200),
        operation("connect.tcp", "ramp", 1_000, &[], many(1_000, 160.0, 0.4), 0),
        operation("connect.tls", "ramp", 1_000, &[], many(1_000, 15_000.0, 0.3), 0),
        operation("connect.mqtt", "ramp", 1_000, &[], many(1_000, 2_600.0, 0.3), 0),
        operation("online", "ramp", 1_000, &[], many(1_000, 19_600.0, 0.3), 0),
        operation("subscribe", "ramp", 1_000, &[], many(1_000, 2_100.0, 0.3), 0),
        operation("telemetry", "ramp", 3_800, &[], many(3_800, 3_200.0, 0.45), 300),
        operation("telemetry", "steady", 16_000, &[], many(16_000, 3_200.0, 0.45), 300),
        operation(
            "telemetry",
            "evening peak",
            29_400,
            &[("timed_out", 76), ("lost", 38), ("unfinished", 4)],
            many(29_282, 8_600.0, 0.75),
            2_600,
        ),
    ]
}

fn generator(numbers: &mut Numbers) -> Generator {
    Generator {
        workers: 2,
        cpu_us: 31_400_000,
        cpu_peak_percent: 67.3,
        rss_peak_bytes: 96 << 20,
        fd_peak: 1_043,
        heartbeat: histogram((0..18_000).map(|_| numbers.latency(240.0, 0.5))),
        lag: histogram((0..49_200).map(|_| numbers.latency(180.0, 0.5))),
        late: 0,
    }
}

fn run() -> Run {
    Run {
        id: "quickstart-20260301T120000Z".to_owned(),
        argv: ["hubstorm", "run", "scenarios/quickstart.toml"].map(str::to_owned).to_vec(),
        scenario: Scenario {
            name: "Smart meters, a quick start".to_owned(),
            file: "scenarios/quickstart.toml".to_owned(),
            sha256: "9f2b8c51f6f24f2b1d6c6a4f19e0e3c3fd0be2f0a64a7f2d7c0a52b9b5b7de10".to_owned(),
            text: SCENARIO.to_owned(),
        },
        overrides: vec!["fleet.meter.devices=1000".to_owned()],
        seed: 7,
        started: "2026-03-01T12:00:00.125Z".to_owned(),
        duration_us: 90_400_000,
        complete: true,
        target: Target {
            kind: "iot-hub".to_owned(),
            host: "localhost".to_owned(),
            port: 43_117,
            embedded: true,
            tls_wanted: true,
            tls: Some(Tls {
                version: "1.3".to_owned(),
                suite: "TLS13_AES_256_GCM_SHA384".to_owned(),
                group: "X25519".to_owned(),
                verified: true,
            }),
        },
        host: Host {
            os: "linux x86_64".to_owned(),
            cpu: "AMD EPYC 7763 64-Core Processor".to_owned(),
            cores: 4,
        },
    }
}

/// A thousand devices; ramp, steady, peak; some errors; every threshold holds.
pub(crate) fn pass() -> RunResult {
    let mut numbers = Numbers(7);
    RunResult {
        schema: SCHEMA.to_owned(),
        tool: Tool { name: "hubstorm".to_owned(), version: "0.1.0".to_owned(), git: Some("a563e3e".to_owned()) },
        run: run(),
        verdict: Verdict {
            status: Status::Pass,
            exit_code: 0,
            reasons: vec!["all 4 thresholds held; the nearest was telemetry p(99) < 75ms, with 31% to spare".to_owned()],
        },
        thresholds: vec![
            threshold("connect", Some("ramp"), "p(95) < 2s", 2e6, "us", 31_000.0, "31.0 ms"),
            threshold("telemetry", Some("steady"), "p(99) < 100ms", 1e5, "us", 9_460.0, "9.46 ms"),
            threshold("telemetry", None, "p(99) < 75ms", 75e3, "us", 51_200.0, "51.2 ms"),
            threshold("telemetry", None, "rate(ok) > 99.5%", 0.995, "share", 0.997_4, "99.74%"),
        ],
        generator: generator(&mut numbers),
        emulator: Some(Emulator { cpu_us: 24_900_000, rss_peak_bytes: 61 << 20, accepted: 1_038, refused: 2, telemetry: 49_082, taken_over: 3, ..Emulator::default() }),
        fleets: vec![Fleet {
            name: "meter".to_owned(),
            devices: 1_000,
            connected_peak: 1_000,
            reconnects: 38,
            renewals: 0,
            resent: 0,
            late_acks: 61,
            duplicates: 0,
            reordered: 0,
            foreign: 0,
            bytes_sent: 9_840_112,
            bytes_received: 214_020,
            from_hub: None,
        }],
        phases: vec![
            phase("ramp", true, 0, 20, [0.0, 1.0], [1.0, 1.0]),
            phase("steady", false, 20, 60, [1.0, 1.0], [1.0, 1.0]),
            phase("evening peak", false, 60, 90, [1.0, 1.0], [1.0, 4.0]),
        ],
        operations: operations(&mut numbers),
        streams: Vec::new(),
        series: Series { interval_us: 1_000_000, rows: rows(&mut numbers) },
        errors: vec![
            error("ack_timeout", "peer", 76, 70_112_000, 72_918_000, "meter-00421: no PUBACK within 2 s"),
            error("closed_by_peer", "peer", 38, 72_004_000, 72_981_000, "meter-00007: connection closed in mid-session"),
            error("connack_5", "peer", 2, 73_230_000, 81_002_000, "meter-00112: not authorized (code 5)"),
        ],
        findings: vec![
            Finding {
                severity: Severity::Warning,
                text: "38 connections were closed by the hub within 1 s, after a stretch of slow acks: this is what a throttled or restarting hub looks like".to_owned(),
                evidence: "closed_by_peer 38 between 1:12.0 and 1:12.9".to_owned(),
            },
            Finding {
                severity: Severity::Note,
                text: "61 acks came after their timeout; raising ack_timeout would have counted them".to_owned(),
                evidence: "late_acks 61".to_owned(),
            },
        ],
    }
}

fn error(class: &str, culprit: &str, count: u64, first_us: u64, last_us: u64, example: &str) -> ErrorCount {
    ErrorCount {
        class: class.to_owned(),
        culprit: culprit.to_owned(),
        count,
        first_us,
        last_us,
        example: example.to_owned(),
    }
}

/// The same run, held to more than it can do.
pub(crate) fn fail() -> RunResult {
    let mut result = pass();
    result.thresholds[2] = threshold("telemetry", None, "p(99) < 40ms", 4e4, "us", 51_200.0, "51.2 ms");
    result.thresholds[3] =
        threshold("telemetry", None, "rate(ok) > 99.9%", 0.999, "share", 0.997_4, "99.74%");
    let mut beyond = threshold("telemetry", Some("evening peak"), "p(99.9) < 1s", 1e6, "us", 2e6, "> 1.00 s");
    (beyond.observed, beyond.margin) = (None, None);
    let mut missing = threshold(
        "connect",
        Some("evening peak"),
        "p(99) < 2s",
        2e6,
        "us",
        9e6,
        "not enough data (40 of 1,000 samples)",
    );
    (missing.observed, missing.margin) = (None, None);
    result.thresholds.extend([beyond, missing]);
    result.verdict = Verdict {
        status: Status::Fail,
        exit_code: 99,
        reasons: vec![
            "telemetry p(99) < 40ms: observed 51.2 ms, 28% over".to_owned(),
            "telemetry rate(ok) > 99.9%: observed 99.74%".to_owned(),
            "telemetry{phase:evening peak} p(99.9) < 1s: observed more than 1 s".to_owned(),
            "connect{phase:evening peak} p(99) < 2s: not enough data (40 of 1,000 samples)".to_owned(),
        ],
    };
    result
}

/// The same run, stopped by Ctrl-C after the last phase began.
pub(crate) fn interrupted() -> RunResult {
    let mut result = pass();
    result.run.complete = false;
    result.verdict.exit_code = 105;
    result.verdict.reasons.push("interrupted: only what was measured until then is judged".to_owned());
    result
}

/// The same run from a machine that could not keep up, certificates unchecked.
pub(crate) fn invalid() -> RunResult {
    let mut result = pass();
    let mut numbers = Numbers(11);
    result.verdict = Verdict {
        status: Status::Invalid,
        exit_code: 120,
        reasons: vec![
            "the generator picked messages late: lag p99 148 ms, allowed 10 ms".to_owned(),
            "3.1% of messages were picked more than 100 ms late, allowed 0.1%".to_owned(),
        ],
    };
    result.run.target.embedded = false;
    result.run.target.host = "contoso-weu-01.azure-devices.net".to_owned();
    result.run.target.port = 8_883;
    result.emulator = None;
    if let Some(tls) = &mut result.run.target.tls {
        tls.verified = false;
    }
    result.generator.late = 1_525;
    result.generator.cpu_peak_percent = 396.0;
    result.generator.lag = histogram((0..49_200).map(|_| numbers.latency(30_000.0, 0.7)));
    for row in &mut result.series.rows {
        row.lag_max_us *= 400;
        row.cpu_percent = (row.cpu_percent * 6.0).min(396.0);
    }
    result
}

/// Nothing came of it: no series, no operation, no threshold.
pub(crate) fn empty() -> RunResult {
    let mut result = pass();
    result.verdict = Verdict {
        status: Status::Fail,
        exit_code: 99,
        reasons: vec!["fleet meter: no connect was ok".to_owned()],
    };
    result.thresholds.clear();
    result.generator =
        Generator { heartbeat: Histogram::default(), lag: Histogram::default(), ..result.generator };
    result.emulator = None;
    result.fleets[0] = Fleet { name: "meter".to_owned(), devices: 1_000, ..Fleet::default() };
    result.phases.clear();
    result.operations.clear();
    result.series = Series { interval_us: 1_000_000, rows: Vec::new() };
    result.errors = vec![error("dns", "network", 1_000, 0, 19_000_000, "no address for hub.invalid")];
    result.findings.clear();
    result.run.duration_us = 0;
    result.run.target.tls = None;
    result
}

/// The longest that a run gets: 600 rows over twenty hours.
pub(crate) fn long() -> RunResult {
    let mut result = pass();
    let rows = std::mem::take(&mut result.series.rows);
    result.series.interval_us = 120_000_000;
    result.series.rows = (0..600_u64)
        .map(|i| Row { t_us: i * 120_000_000, ..rows[usize::try_from(i * 90 / 600).unwrap()].clone() })
        .collect();
    result.phases = vec![
        phase("ramp", true, 0, 3_600, [0.0, 1.0], [1.0, 1.0]),
        phase("steady", false, 3_600, 60_000, [1.0, 1.0], [1.0, 1.0]),
        phase("evening peak", false, 60_000, 72_000, [1.0, 1.0], [1.0, 4.0]),
    ];
    result.run.duration_us = 72_000_000_000;
    result
}

/// Names that try to break out of wherever they are put.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{1b}[31m\u{202e}</style></title>";

/// Hostile strings wherever a string fits, and unbreakable ones of 300 letters.
pub(crate) fn hostile() -> RunResult {
    let mut result = fail();
    let long = "x".repeat(300);
    let name = format!("{HOSTILE}{long}");
    result.run.id.clone_from(&name);
    result.run.argv = vec![name.clone()];
    result.run.scenario.name.clone_from(&name);
    result.run.scenario.file.clone_from(&name);
    result.run.scenario.text.clone_from(&name);
    result.run.overrides = vec![name.clone()];
    result.run.started.clone_from(&name);
    result.run.target.kind.clone_from(&name);
    result.run.target.host.clone_from(&name);
    result.run.target.tls =
        Some(Tls { version: name.clone(), suite: name.clone(), group: name.clone(), verified: true });
    result.run.host = Host { os: name.clone(), cpu: name.clone(), cores: 2 };
    result.tool = Tool { name: name.clone(), version: name.clone(), git: Some(name.clone()) };
    result.verdict.reasons = vec![name.clone()];
    for threshold in &mut result.thresholds {
        threshold.metric.clone_from(&name);
        threshold.expression = format!("p(99) < {name}");
        threshold.phase = Some(name.clone());
        threshold.fleet = Some(name.clone());
        threshold.unit.clone_from(&name);
        threshold.observed_text.clone_from(&name);
    }
    result.fleets[0].name.clone_from(&name);
    for phase in &mut result.phases {
        phase.name = format!("{}{name}", phase.name);
    }
    for operation in &mut result.operations {
        operation.fleet.clone_from(&name);
        operation.phase = format!("{}{name}", operation.phase);
        operation.outcomes.insert(name.clone(), 0);
        if operation.operation != "telemetry" {
            operation.operation = format!("{}{name}", operation.operation);
        }
        let bad = operation.outcomes.remove("lost").unwrap_or(0);
        operation.outcomes.insert(name.clone(), bad);
    }
    for error in &mut result.errors {
        (error.class, error.culprit, error.example) = (name.clone(), name.clone(), name.clone());
    }
    for finding in &mut result.findings {
        (finding.text, finding.evidence) = (name.clone(), name.clone());
    }
    result
}

/// Every sample with its name.
pub(crate) fn all() -> Vec<(&'static str, RunResult)> {
    vec![
        ("pass", pass()),
        ("fail", fail()),
        ("invalid", invalid()),
        ("interrupted", interrupted()),
        ("empty", empty()),
        ("long", long()),
        ("hostile", hostile()),
    ]
}
