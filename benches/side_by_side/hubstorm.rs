//! hubstorm under the same load: the built binary with a generated scenario.

use hubstorm::measure::Operation;
use hubstorm::result::model::RunResult;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Failure;
use super::load::{Kind, Load, WINDOW};
use super::process::{self, Cost};
use super::server::Server;

/// Runs it with one worker. Returns its cost, and the p99 of the schedule lag in its result, in microseconds.
pub(crate) fn run(server: &Server, load: Load) -> Result<(Cost, Option<u64>), Failure> {
    let folder = server.folder.path().join("hubstorm");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("bench.toml"), scenario(server, load))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubstorm"));
    command
        .args(["run", "bench.toml", "--workers", "1", "--no-preflight"])
        .current_dir(&folder)
        .env("NO_COLOR", "1");
    // Offered more than the broker accepts, it fails thresholds. The exit code does not matter, only the result.
    let cost = process::run(&mut command, load, &server.client_log())?;
    let Some(path) = result_file(&folder)? else {
        return Err(
            format!("hubstorm left no result: {}", std::fs::read_to_string(server.client_log())?).into()
        );
    };
    let result: RunResult = serde_json::from_slice(&std::fs::read(path)?)?;
    let lag = result.of(Operation::Publish).lag.quantile(0.99);
    Ok((cost, lag))
}

/// Returns a scenario that uses everything: a template payload of about 256 bytes, planned arrivals, all of it recorded.
fn scenario(server: &Server, load: Load) -> String {
    let Load { connections, ramp_s, work_s, kind } = load;
    let (host, port, ca) = (server.address.ip(), server.address.port(), server.ca.display());
    let send = match kind {
        Kind::Open(rate) => format!(
            "[[fleet.bench.send]]\nrate = \"{rate}/s\"\narrival = \"regular\"\nqos = 1\n\
             topic = \"devices/${{device}}/messages/events/\"\n\
             payload = '{{\"id\":\"${{device}}\",\"seq\":${{seq}},\"t\":\"${{now}}\",\
             \"kwh\":${{walk(start=1200, step=0.4, min=0)}},\"pad\":\"{}\"}}'\n",
            "x".repeat(170)
        ),
        Kind::Idle | Kind::Window => String::new(),
    };
    format!(
        "name = \"bench\"\nseed = 1\n\
         [target]\nkind = \"mqtt\"\nhost = \"{host}\"\nport = {port}\nca = \"{ca}\"\ntls = true\n\
         [fleet.bench]\ndevices = {connections}\nid = \"bench{{index:05}}\"\nauth = {{ kind = \"none\" }}\n\
         keep_alive = \"240s\"\nclean_session = true\nin_flight = {WINDOW}\nack_timeout = \"60s\"\nsend_by = \"60s\"\n\
         {send}\
         [[phase]]\nname = \"ramp\"\nduration = \"{ramp_s}s\"\nonline = \"0% -> 100%\"\nload = \"0%\"\n\
         [[phase]]\nname = \"work\"\nduration = \"{work_s}s\"\nonline = \"100%\"\nload = \"100%\"\n",
    )
}

/// Returns the only `.json` file under `folder`.
pub(crate) fn result_file(folder: &Path) -> Result<Option<PathBuf>, Failure> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = result_file(&path)? {
                return Ok(Some(found));
            }
        } else if path.extension().is_some_and(|extension| extension == "json") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
