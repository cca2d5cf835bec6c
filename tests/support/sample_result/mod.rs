//! Sample results: deterministic, with real histograms, and judged like a run. Included by path in `report`, and used by other tests of
//! reports.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod measurement;

use hubstorm::measure::{
    Compare, Culprit, Fleet, FleetRow, Latency, Measurement, Operation, Outcome, Rule, Rules, Source, Stream,
    Test, Totals,
};
use hubstorm::report;
use hubstorm::result::model::*;
use hubstorm::stalls::StallEntry;
use measurement::{Numbers, error, latency, measurement, phase};

const SCENARIO: &str = "name = \"Smart meters, a quick start\"\nseed = 7\n\n[fleet.meter]\ndevices = 1000\nid = \"meter-{index:05}\"\n\n[[fleet.meter.send]]\nrate = \"400/s\"\narrival = \"poisson\"\nqos = 1\npayload = '{\"id\":\"${device}\",\"seq\":${seq}}'\n\n[[phase]]\nname = \"ramp\"\nwarmup = true\nduration = \"20s\"\nonline = \"0% -> 100%\"\n\n[[phase]]\nname = \"steady\"\nduration = \"40s\"\n\n[[phase]]\nname = \"evening peak\"\nduration = \"30s\"\nload = \"100% -> 400%\"\n";

fn rule(metric: Operation, phase: Option<&str>, expression: &str, test: Test) -> Rule {
    Rule {
        metric,
        phase: phase.map(str::to_owned),
        fleet: None,
        expression: expression.to_owned(),
        test,
        without_faults: false,
        abort_from_us: None,
        line: None,
    }
}

fn percentile(quantile: f64, limit_us: u64) -> Test {
    Test::Percentile { quantile, compare: Compare::Less, limit_us }
}

fn rate_ok(limit: f64) -> Test {
    Test::Rate { outcome: Outcome::Ok, compare: Compare::Greater, limit }
}

/// Fills in verdict, thresholds and findings, like a run with these numbers.
fn judged(mut result: RunResult) -> RunResult {
    let judged = report::judge_again(&result).unwrap();
    (result.verdict, result.thresholds, result.findings) =
        (judged.verdict, judged.thresholds, judged.findings);
    result
}

fn generator(numbers: &mut Numbers) -> Generator {
    Generator {
        workers: 1,
        cpu_us: 31_400_000,
        cpu_peak_percent: 67.3,
        rss_peak_bytes: 96 << 20,
        fd_peak: 1_043,
        heartbeat: latency((0..18_000).map(|_| numbers.latency(240.0, 0.5))),
        lag: latency((0..49_200).map(|_| numbers.latency(180.0, 0.5))),
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
            plan_sha256: "2c6ee24b09816a6f14f95d1698b24ead5b9b2f30c2f1a3d8a6a1f2b7c4d5e6f7".to_owned(),
            text: SCENARIO.to_owned(),
        },
        overrides: vec!["fleet.meter.devices=1000".to_owned()],
        seed: 7,
        started: "2026-03-01T12:00:00.125Z".to_owned(),
        duration_us: 90_400_000,
        complete: true,
        ended_by: Some(EndedBy::Plan),
        recovery: None,
        target: Target {
            kind: "iot-hub".to_owned(),
            host: "localhost".to_owned(),
            port: 43_117,
            embedded: true,
            tls_wanted: true,
            tls_resumption: false,
            tls: Some(Tls {
                version: "1.3".to_owned(),
                suite: "TLS13_AES_256_GCM_SHA384".to_owned(),
                group: "X25519".to_owned(),
                verified: true,
            }),
            cleartext_password: false,
            tier: None,
            units: None,
            preflight_passed: false,
        },
        host: Host {
            os: "linux x86_64".to_owned(),
            cpu: "AMD EPYC 7763 64-Core Processor".to_owned(),
            cores: 4,
        },
    }
}

/// A run with a thousand devices, three phases and some errors. Every threshold passes.
pub(crate) fn pass() -> RunResult {
    use Operation::{Connect, Telemetry};
    let mut numbers = Numbers(7);
    let measurement = measurement(&mut numbers);
    let thresholds = vec![
        rule(Connect, Some("ramp"), "p(95) < 2s", percentile(0.95, 2_000_000)),
        rule(Telemetry, Some("steady"), "p(99) < 100ms", percentile(0.99, 100_000)),
        rule(Telemetry, None, "p(99) < 75ms", percentile(0.99, 75_000)),
        rule(Telemetry, None, "rate(ok) > 99.5%", rate_ok(0.995)),
    ];
    judged(RunResult {
        schema: SCHEMA.to_owned(),
        tool: Tool {
            name: "hubstorm".to_owned(),
            version: "0.1.0".to_owned(),
            git: Some("a563e3e".to_owned()),
        },
        run: run(),
        verdict: Verdict { status: Status::Pass, exit_code: 0, reasons: Vec::new(), details: Vec::new() },
        thresholds: Vec::new(),
        generator: generator(&mut numbers),
        emulator: Some(Emulator {
            cpu_us: 24_900_000,
            rss_peak_bytes: 61 << 20,
            accepted: 1_038,
            refused: 2,
            telemetry: 49_106,
            taken_over: 3,
            ..Emulator::default()
        }),
        totals: operation_sums(&measurement),
        recoveries: Vec::new(),
        measurement,
        limits: Vec::new(),
        faults: Vec::new(),
        findings: Vec::new(),
        rules: Some(Rules {
            thresholds,
            shortest_timeout_us: 2_000_000,
            shortest_keep_alive_us: 60_000_000,
            ..Rules::default()
        }),
    })
}

/// The same run with stricter thresholds. One of them is undecided.
pub(crate) fn fail() -> RunResult {
    use Operation::{Connect, Telemetry};
    let mut result = pass();
    let thresholds = &mut result.rules.as_mut().unwrap().thresholds;
    thresholds[2] = rule(Telemetry, None, "p(99) < 30ms", percentile(0.99, 30_000));
    thresholds[3] = rule(Telemetry, None, "rate(ok) > 99.9%", rate_ok(0.999));
    thresholds.extend([
        rule(Telemetry, Some("evening peak"), "p(99.9) < 1s", percentile(0.999, 1_000_000)),
        rule(Connect, Some("evening peak"), "p(99) < 2s", percentile(0.99, 2_000_000)),
        rule(Telemetry, Some("steady"), "p(99.9) < 30ms", percentile(0.999, 30_000)),
    ]);
    judged(result)
}

/// The same run, interrupted during the last phase.
pub(crate) fn interrupted() -> RunResult {
    let mut result = pass();
    result.run.complete = false;
    result.run.ended_by = Some(EndedBy::Interrupt);
    judged(result)
}

/// The same run on an overloaded machine, without certificate checks.
pub(crate) fn invalid() -> RunResult {
    let mut result = pass();
    let mut numbers = Numbers(11);
    result.run.target.embedded = false;
    result.run.target.host = "contoso-weu-01.azure-devices.net".to_owned();
    result.run.target.port = 8_883;
    result.emulator = None;
    if let Some(tls) = &mut result.run.target.tls {
        tls.verified = false;
    }
    let measurement = &mut result.measurement;
    for part in measurement.operations.iter_mut().filter(|part| part.operation.is_message()) {
        delay(&mut part.totals, &mut numbers);
    }
    measurement.health.retain(|health| health.source == Source::Worker(0));
    for phase in ["ramp", "steady", "evening peak"] {
        let lag = measurement.sum(|part| part.operation.is_message() && part.phase == phase).lag;
        let health = measurement.health_mut(Source::Worker(0), phase);
        (health.lag, health.busy_share) = (lag, Some(0.93));
    }
    for second in 61..89 {
        let from_us = second * 1_000_000;
        let to_us = from_us + 310_000;
        measurement.add_stall(Source::Worker(0), StallEntry { from_us, to_us, stalled_us: 310_000 });
    }
    for row in &mut measurement.series.rows {
        row.interval.lag_max_us *= 400;
        row.cpu_percent = (row.cpu_percent * 6.0).min(396.0);
    }
    let lag = result.measurement.sum(|part| part.operation.is_message()).lag;
    result.generator.late = lag.count_above(100_000);
    result.generator.lag = lag;
    result.generator.cpu_peak_percent = 396.0;
    result.totals = operation_sums(&result.measurement);
    judged(result)
}

/// Delays every message by about 30 ms in the load generator.
fn delay(totals: &mut Totals, numbers: &mut Numbers) {
    let (mut delayed, mut lags) = (Vec::new(), Vec::new());
    for step in totals.response.histogram().unwrap().iter_recorded() {
        for _ in 0..step.count_at_value() {
            let lag = numbers.latency(30_000.0, 0.7);
            lags.push(lag);
            delayed.push(step.value_iterated_to() + lag);
        }
    }
    totals.own_delay_max_us = lags.iter().copied().max().unwrap();
    totals.delayed_lower = totals.response.clone();
    (totals.delayed, totals.lag) = (latency(delayed), latency(lags));
    totals.response = totals.delayed.clone();
}

/// A run without series, operations and thresholds.
pub(crate) fn empty() -> RunResult {
    let mut result = pass();
    result.generator =
        Generator { heartbeat: Latency::default(), lag: Latency::default(), ..result.generator };
    result.emulator = None;
    result.rules.as_mut().unwrap().thresholds.clear();
    result.measurement = Measurement {
        fleets: vec![Fleet { name: "meter".to_owned(), devices: 1_000, ..Fleet::default() }],
        errors: vec![error("dns", Culprit::Network, 1_000, [0, 19_000_000], "no address for hub.invalid")],
        ..Measurement::default()
    };
    result.totals.clear();
    result.run.duration_us = 0;
    result.run.target.tls = None;
    result = judged(result);
    result.thresholds.clear();
    result.findings.clear();
    result
}

/// A run with the maximum of 600 rows, over twenty hours.
pub(crate) fn long() -> RunResult {
    let mut result = pass();
    let rows = std::mem::take(&mut result.measurement.series.rows);
    result.measurement.series.interval_us = 120_000_000;
    result.measurement.series.rows = (0..600_u64)
        .map(|i| {
            let mut row = rows[usize::try_from(i * 90 / 600).unwrap()].clone();
            row.t_us = i * 120_000_000;
            row
        })
        .collect();
    result.measurement.phases = vec![
        phase("ramp", true, 0, 3_600, [0.0, 1.0], [1.0, 1.0]),
        phase("steady", false, 3_600, 60_000, [1.0, 1.0], [1.0, 1.0]),
        phase("evening peak", false, 60_000, 72_000, [1.0, 1.0], [1.0, 4.0]),
    ];
    result.run.duration_us = 72_000_000_000;
    result
}

/// A string that tries to break out of HTML, style sheets and terminals.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{1b}[31m\u{202e}</style></title>";

/// A run with hostile strings and unbreakable words of 300 letters in every text field.
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
    result.measurement.fleets[0].name.clone_from(&name);
    for phase in &mut result.measurement.phases {
        phase.name = format!("{}{name}", phase.name);
    }
    for operation in &mut result.measurement.operations {
        operation.fleet.clone_from(&name);
        operation.phase = format!("{}{name}", operation.phase);
    }
    for health in &mut result.measurement.health {
        health.phase = format!("{}{name}", health.phase);
    }
    result.measurement.breakdowns = vec![name.clone()];
    // Charts by fleet, and of errors by class, have these names in their legends and data.
    let second = Fleet { name: format!("second{name}"), ..result.measurement.fleets[0].clone() };
    for row in &mut result.measurement.series.rows {
        for fleet in [&name, &second.name] {
            row.fleets.insert(
                fleet.clone(),
                FleetRow { online: 500, due: 9, ok: 8, not_ok: 1, ..FleetRow::default() },
            );
        }
        row.interval.errors_by_class.insert(name.clone().into(), row.interval.errors);
    }
    result.measurement.fleets.push(second);
    result.measurement.streams =
        vec![Stream { fleet: name.clone(), topic: name.clone(), lost: 1, ..Stream::default() }];
    for rule in &mut result.rules.as_mut().unwrap().thresholds {
        rule.expression.clone_from(&name);
        (rule.phase, rule.fleet) = (Some(name.clone()), Some(name.clone()));
    }
    for detail in &mut result.verdict.details {
        (detail.code, detail.text) = (name.clone(), name.clone());
        (detail.phase, detail.fleet, detail.source) =
            (Some(name.clone()), Some(name.clone()), Some(name.clone()));
    }
    for error in &mut result.measurement.errors {
        (error.class, error.example) = (name.clone(), name.clone());
    }
    for finding in &mut result.findings {
        (finding.text, finding.evidence) = (name.clone(), name.clone());
    }
    result
}

/// Returns every sample with its name.
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
