//! The measurement that every sample is based on: a thousand devices, three phases, real histograms. Used only by this folder.

use hdrhistogram::Histogram as Hdr;
use hubstorm::measure::{
    Batches, ByOperation, Counts, Culprit, ErrorTotals, Fleet, FleetCounts, Latency, Measurement, Operation,
    OperationTotals, Outcome, Outcomes, Phase, Row, Series, Source, Totals,
};
use hubstorm::stalls::StallEntry;

/// A Splitmix64 generator, which returns the same numbers on every machine.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// Returns a uniform number in 0..1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a latency with this median and a long tail.
    pub(super) fn latency(&mut self, median_us: f64, spread: f64) -> u64 {
        let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        let tail = if self.unit() < 0.004 { 1.0 + 6.0 * self.unit() } else { 1.0 };
        (median_us * (normal * spread).exp() * tail) as u64 + 1
    }
}

/// Returns the distribution of these values.
pub(super) fn latency(values: impl IntoIterator<Item = u64>) -> Latency {
    let mut hdr = Hdr::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
    values.into_iter().for_each(|value| hdr.record(value).unwrap());
    hdr.into()
}

fn series(numbers: &mut Numbers) -> Series {
    let mut series = Series::default();
    series.rows = rows(numbers);
    series
}

/// Returns the latencies of a row of the series, as files contain them.
fn by_operation(operation: Operation, values: Vec<u64>) -> ByOperation {
    let latency = serde_json::to_value(latency(values)).unwrap();
    serde_json::from_value(serde_json::json!({ operation.name(): latency })).unwrap()
}

pub(super) fn phase(
    name: &str,
    warmup: bool,
    from_s: u64,
    to_s: u64,
    online: [f64; 2],
    load: [f64; 2],
) -> Phase {
    Phase {
        name: name.to_owned(),
        warmup,
        start_us: from_s * 1_000_000,
        end_us: to_s * 1_000_000,
        planned_online: online,
        planned_load: load,
        ..Phase::default()
    }
}

fn operation(
    operation: Operation,
    phase: &str,
    due: u64,
    bad: &[(Outcome, u64)],
    response: Vec<u64>,
    ahead_us: u64,
) -> OperationTotals {
    let mut outcomes: Outcomes = bad.iter().copied().collect();
    outcomes[Outcome::Ok] = due - outcomes.sum();
    let service = response.iter().map(|us| us.saturating_sub(ahead_us).max(us / 3));
    let totals = Totals {
        due,
        outcomes,
        service: latency(service),
        wait: latency(response.iter().map(|us| us / 10)),
        lag: latency(response.iter().map(|us| us / 40)),
        unfinished_age: latency((0..outcomes[Outcome::Unfinished]).map(|n| 400_000 + n * 90_000)),
        response: latency(response),
        ..Totals::default()
    };
    OperationTotals {
        operation,
        fleet: "meter".to_owned(),
        phase: phase.to_owned(),
        totals,
        under_fault: None,
        batches: Batches::default(),
    }
}

/// Returns the messages per second at a second of the run.
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
        let online = ((second + 1) * 50).min(1_000);
        let mut row = Row::default();
        row.t_us = second * 1_000_000;
        row.online = if (72..75).contains(&second) { 962 } else { online };
        row.planned_online = online;
        row.interval.offered = offered;
        row.interval.achieved = if (70..73).contains(&second) { offered * 8 / 10 } else { offered };
        row.interval.errors = match second {
            70..73 => (second - 69) * 19,
            81 => 4,
            _ => 0,
        };
        row.cpu_percent = 22.0 + load(second) as f64 / 40.0 + 6.0 * numbers.unit();
        row.interval.lag_max_us = numbers.latency(420.0, 0.6);
        if offered > 0 {
            row.interval.response = by_operation(Operation::Telemetry, samples);
        }
        row
    };
    (0..90).map(row).collect()
}

fn operations(numbers: &mut Numbers) -> Vec<OperationTotals> {
    use Operation::{Connect, ConnectMqtt, ConnectTcp, ConnectTls, Online, Subscribe, Telemetry};
    let mut many = |count: u64, median: f64, spread: f64| -> Vec<u64> {
        (0..count).map(|_| numbers.latency(median, spread)).collect()
    };
    let mut operations = vec![
        operation(Connect, "ramp", 1_000, &[], many(1_000, 19_000.0, 0.3), 200),
        operation(Connect, "evening peak", 40, &[(Outcome::Refused, 2)], many(38, 22_000.0, 0.3), 200),
        operation(ConnectTcp, "ramp", 1_000, &[], many(1_000, 160.0, 0.4), 0),
        operation(ConnectTls, "ramp", 1_000, &[], many(1_000, 15_000.0, 0.3), 0),
        operation(ConnectMqtt, "ramp", 1_000, &[], many(1_000, 2_600.0, 0.3), 0),
        operation(Online, "ramp", 1_000, &[], many(1_000, 19_600.0, 0.3), 0),
        operation(Subscribe, "ramp", 1_000, &[], many(1_000, 2_100.0, 0.3), 0),
        operation(Telemetry, "ramp", 3_800, &[], many(3_800, 3_200.0, 0.45), 300),
        operation(Telemetry, "steady", 16_000, &[], many(16_000, 3_200.0, 0.45), 300),
        operation(
            Telemetry,
            "evening peak",
            29_400,
            &[(Outcome::TimedOut, 76), (Outcome::Lost, 38), (Outcome::Unfinished, 4)],
            many(29_282, 8_600.0, 0.75),
            2_600,
        ),
    ];
    let steady = operations.iter_mut().find(|part| part.operation == Telemetry && part.phase == "steady");
    pause(&mut steady.unwrap().totals);
    operations
}

/// Adds a stall of the load generator: it delayed 24 messages by up to 72 ms.
fn pause(totals: &mut Totals) {
    let delays = || (1..=24).map(|n| n * 3_000);
    totals.delayed = latency(delays().map(|us| us + 3_100));
    totals.delayed_lower = latency(delays().map(|_| 3_100));
    totals.own_delay_max_us = 72_000;
    totals.due += 24;
    totals.outcomes[Outcome::Ok] += 24;
    totals.response.add(&totals.delayed);
    totals.service.add(&totals.delayed_lower);
    totals.wait.add(&latency(delays().map(|_| 300)));
    totals.lag.add(&latency(delays()));
}

/// Adds the health of each source: busy share and stalls.
fn health(measurement: &mut Measurement) {
    for phase in ["ramp", "steady", "evening peak"] {
        let busy = if phase == "evening peak" { 0.64 } else { 0.31 };
        for (source, busy_share) in [
            (Source::Worker(0), Some(busy)),
            (Source::Emulator(0), Some(busy / 2.0)),
            (Source::Service, None),
        ] {
            let health = measurement.health_mut(source, phase);
            health.busy_share = busy_share;
            if source == Source::Worker(0) {
                let of_phase = |part: &OperationTotals| part.operation.is_message() && part.phase == phase;
                let lag = measurement.sum(of_phase).lag;
                measurement.health_mut(source, phase).lag = lag;
            }
        }
    }
    for (source, from_us, stalled_us) in [
        (Source::Worker(0), 31_204_000, 72_000),
        (Source::Worker(0), 71_500_000, 6_000),
        (Source::Emulator(0), 64_000_000, 3_000),
    ] {
        measurement.add_stall(source, StallEntry { from_us, to_us: from_us + stalled_us, stalled_us });
    }
}

pub(super) fn measurement(numbers: &mut Numbers) -> Measurement {
    let own = Counts {
        reconnects: 38,
        late_acks: 61,
        closed_waiting: 38,
        closed_waiting_us: 1_900_000,
        bytes_sent: 9_840_112,
        bytes_received: 214_020,
        ..Counts::default()
    };
    let mut measurement = Measurement {
        fleets: vec![Fleet {
            name: "meter".to_owned(),
            devices: 1_000,
            connected_peak: 1_000,
            counts: FleetCounts { own, ..FleetCounts::default() },
        }],
        phases: vec![
            phase("ramp", true, 0, 20, [0.0, 1.0], [1.0, 1.0]),
            phase("steady", false, 20, 60, [1.0, 1.0], [1.0, 1.0]),
            phase("evening peak", false, 60, 90, [1.0, 1.0], [1.0, 4.0]),
        ],
        operations: operations(numbers),
        series: series(numbers),
        errors: vec![
            error(
                "ack_timeout",
                Culprit::Target,
                76,
                [70_112_000, 72_918_000],
                "meter-00421: no PUBACK within 2 s",
            ),
            error(
                "closed_by_peer",
                Culprit::Target,
                38,
                [72_004_000, 72_981_000],
                "meter-00007: connection closed in mid-session",
            ),
            error(
                "connack_5",
                Culprit::Target,
                2,
                [73_230_000, 81_002_000],
                "meter-00112: not authorized (code 5)",
            ),
        ],
        highest_us: 67_108_863,
        ..Measurement::default()
    };
    health(&mut measurement);
    measurement
}

pub(super) fn error(
    class: &str,
    culprit: Culprit,
    count: u64,
    [first_us, last_us]: [u64; 2],
    example: &str,
) -> ErrorTotals {
    ErrorTotals { class: class.to_owned(), culprit, count, first_us, last_us, example: example.to_owned() }
}
