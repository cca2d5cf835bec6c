//! How cost grows: hubstorm and its built-in hub, from 1,000 devices to 19,000 and from 1,000 messages/s to more than
//! they can send. `benches/side-by-side --scale` runs it. Both report their own CPU and memory, and the result has the
//! message counts.

use super::Failure;
use super::hubstorm_run::result_file;
use super::tables::{header, row};
use hubstorm::measure::Operation;
use hubstorm::result::model::RunResult;
use std::process::{Command, Stdio};

/// Limited by 20,000 file descriptors, which is the limit of a process on the machine used.
const DEVICES: [u32; 4] = [1_000, 5_000, 10_000, 19_000];
const RATES: [u32; 5] = [1_000, 3_000, 10_000, 30_000, 100_000];
/// The rate when the number of devices varies.
const RATE: u32 = 10_000;
/// The number of devices when the rate varies.
const AT_RATES: u32 = 500;
/// Duration of the work. Its cost is read from the seconds between the first and the last one.
const WORK_S: u32 = 10;
const CONNECTS_PER_S: u32 = 500;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Load {
    devices: u32,
    rate: u32,
    work_s: u32,
}

#[derive(Clone, Copy)]
struct Run {
    us_per_message: f64,
    ok_share: f64,
    lag_p99_ms: f64,
    client: Usage,
    hub: Usage,
}

#[derive(Clone, Copy)]
struct Usage {
    cpu_us: f64,
    rss_bytes: f64,
}

/// Runs everything once, and returns the tables.
pub(crate) fn measure() -> Result<String, Failure> {
    let mut out = String::from("### By devices: what one more costs, idle\n\n");
    header(&mut out, &["devices", "CPU s per 1,000 connects", "hub", "KiB per device", "hub"]);
    let idle = |devices| run(Load { devices, rate: 0, work_s: 2 });
    let mut before = (1, idle(1)?);
    for devices in DEVICES {
        let now = (devices, idle(devices)?);
        let more = f64::from(now.0 - before.0);
        let per = |now: Usage, before: Usage| {
            (
                format!("{:.2}", (now.cpu_us - before.cpu_us) / more / 1e3),
                format!("{:.1}", (now.rss_bytes - before.rss_bytes) / more / 1024.0),
            )
        };
        let (client, hub) = (per(now.1.client, before.1.client), per(now.1.hub, before.1.hub));
        row(&mut out, &[format!("{} to {devices}", before.0), client.0, hub.0, client.1, hub.1]);
        before = now;
    }
    out += &format!("\n### By devices: what a message costs, {RATE}/s in all\n\n");
    messages(&mut out, "devices", DEVICES.map(|devices| (devices, devices, RATE)))?;
    out += &format!("\n### By rate: what a message costs, {AT_RATES} devices\n\n");
    messages(&mut out, "messages/s offered", RATES.map(|rate| (rate, AT_RATES, rate)))?;
    Ok(out)
}

/// Appends a table of loads: the varied value, devices, and messages per second.
fn messages<const N: usize>(
    out: &mut String,
    varied: &str,
    loads: [(u32, u32, u32); N],
) -> Result<(), Failure> {
    header(out, &[varied, "us CPU per message", "lag p99, ms", "ok"]);
    for (label, devices, rate) in loads {
        let run = run(Load { devices, rate, work_s: WORK_S })?;
        let (cost, lag) = (format!("{:.1}", run.us_per_message), format!("{:.2}", run.lag_p99_ms));
        row(out, &[label.to_string(), cost, lag, format!("{:.1}%", run.ok_share * 100.0)]);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn run(load: Load) -> Result<Run, Failure> {
    eprintln!("scale: {load:?}");
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("scale.toml"), scenario(load))?;
    let log = std::fs::File::create(folder.path().join("log"))?;
    // The exit code does not matter, only the result: the offered load may be too high.
    Command::new(env!("CARGO_BIN_EXE_hubstorm"))
        .args(["run", "scale.toml", "--workers", "1"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()?;
    let Some(path) = result_file(folder.path())? else {
        return Err(format!("no result: {}", std::fs::read_to_string(folder.path().join("log"))?).into());
    };
    let result: RunResult = serde_json::from_slice(&std::fs::read(path)?)?;
    let online: u64 = result.fleets.iter().map(|fleet| fleet.connected_peak).sum();
    if online != u64::from(load.devices) {
        return Err(format!("{online} of {} devices connected", load.devices).into());
    }
    let hub = result.emulator.as_ref().ok_or("the result has no emulator")?;
    let sent = result.of(Operation::Telemetry);
    let (due, ok, lag_p99_us) = (sent.due, sent.ok(), sent.lag.quantile(0.99).unwrap_or(0));
    let work_us = u64::from(ramp_s(load.devices)) * 1_000_000;
    let inner = work_us + 1_000_000..work_us + u64::from(load.work_s.saturating_sub(1)) * 1_000_000;
    let rows = result.series.rows.iter().filter(|row| inner.contains(&row.t_us));
    let (mut busy_us, mut achieved) = (0.0, 0.0);
    for row in rows {
        busy_us += row.cpu_percent / 100.0 * result.series.interval_us as f64;
        achieved += row.interval.achieved as f64;
    }
    Ok(Run {
        us_per_message: busy_us / achieved,
        ok_share: ok as f64 / due.max(1) as f64,
        lag_p99_ms: lag_p99_us as f64 / 1e3,
        client: Usage {
            cpu_us: result.generator.cpu_us as f64,
            rss_bytes: result.generator.rss_peak_bytes as f64,
        },
        hub: Usage { cpu_us: hub.cpu_us as f64, rss_bytes: hub.rss_peak_bytes as f64 },
    })
}

fn scenario(Load { devices, rate, work_s }: Load) -> String {
    let send = if rate == 0 {
        String::new()
    } else {
        format!(
            "[[fleet.scale.send]]\nrate = \"{rate}/s\"\narrival = \"regular\"\n\
             payload = '{{\"id\":\"${{device}}\",\"seq\":${{seq}},\"t\":\"${{now}}\",\"pad\":\"{}\"}}'\n",
            "x".repeat(180)
        )
    };
    format!(
        "name = \"scale\"\nseed = 1\n[fleet.scale]\ndevices = {devices}\nin_flight = 32\nack_timeout = \"60s\"\n{send}\
         [[phase]]\nname = \"ramp\"\nduration = \"{ramp_s}s\"\nonline = \"0% -> 100%\"\nload = \"0%\"\n\
         [[phase]]\nname = \"work\"\nduration = \"{work_s}s\"\n",
        ramp_s = ramp_s(devices),
    )
}

fn ramp_s(devices: u32) -> u32 {
    (devices / CONNECTS_PER_S).max(1)
}
