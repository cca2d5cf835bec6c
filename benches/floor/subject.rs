//! hubstorm under the same load: the built binary with a scenario made for it, and the cost that its result file states.

use hubstorm::result::model::{RunResult, Status};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::broker::Broker;
use super::{Cost, Failure, Kind, Load, WINDOW};

/// Runs it in a folder of its own and reads the result that it leaves there. A load that fits must get through whole.
pub(crate) fn run(broker: &Broker, load: Load, fits: bool) -> Result<Cost, Failure> {
    let folder = tempfile::tempdir_in(broker.folder.path())?;
    let scenario = folder.path().join("floor.toml");
    std::fs::write(&scenario, self::scenario(broker, load))?;
    let output = Command::new(env!("CARGO_BIN_EXE_hubstorm"))
        .args(["run", "floor.toml", "--workers", "1"])
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .output()?;
    // A window that is offered more than fits crosses thresholds: the exit code does not matter, the result does.
    let Some(path) = result_file(folder.path())? else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("hubstorm left no result ({}): {said}", output.status).into());
    };
    let result: RunResult = serde_json::from_slice(&std::fs::read(path)?)?;
    let messages: Vec<_> = result.operations.iter().filter(|row| row.operation == "publish").collect();
    let ok = messages.iter().filter_map(|row| row.outcomes.get("ok")).sum();
    let due: u64 = messages.iter().map(|row| row.due).sum();
    if fits && ok != due {
        return Err(format!("hubstorm got {ok} of {due} messages through").into());
    }
    if fits && result.verdict.status == Status::Invalid {
        eprintln!("floor: hubstorm says that its run was invalid: {:?}", result.verdict.reasons);
    }
    let online: u64 = result.fleets.iter().map(|fleet| fleet.connected_peak).sum();
    if online < u64::from(load.connections) {
        return Err(format!("hubstorm had {online} of {} devices online", load.connections).into());
    }
    Ok(Cost {
        cpu_us: result.generator.cpu_us,
        rss_peak_bytes: result.generator.rss_peak_bytes,
        messages: ok,
    })
}

/// Everything on: a payload of 256 bytes or so from a template, arrivals planned, all of it recorded.
fn scenario(broker: &Broker, load: Load) -> String {
    let Load { connections, ramp_s, work_s, kind } = load;
    let (host, port, ca) = (broker.address.ip(), broker.address.port(), broker.ca.display());
    let send = match kind {
        Kind::Open(rate) => format!(
            "[[fleet.floor.send]]\nrate = \"{rate}/s\"\narrival = \"regular\"\nqos = 1\ntopic = \"bench/${{device}}\"\n\
             payload = '{{\"id\":\"${{device}}\",\"seq\":${{seq}},\"t\":\"${{now}}\",\
             \"kwh\":${{walk(start=1200, step=0.4, min=0)}},\"pad\":\"{}\"}}'\n",
            "x".repeat(170)
        ),
        Kind::Idle | Kind::Window => String::new(),
    };
    format!(
        "name = \"floor\"\nseed = 1\n\
         [target]\nkind = \"mqtt\"\nhost = \"{host}\"\nport = {port}\nca = \"{ca}\"\ntls = true\n\
         [fleet.floor]\ndevices = {connections}\nid = \"floor{{index:05}}\"\nauth = {{ kind = \"none\" }}\n\
         keep_alive = \"240s\"\nclean_session = true\nin_flight = {WINDOW}\nack_timeout = \"60s\"\nsend_by = \"60s\"\n\
         {send}\
         [[phase]]\nname = \"ramp\"\nduration = \"{ramp_s}s\"\nonline = \"0% -> 100%\"\nload = \"0%\"\n\
         [[phase]]\nname = \"work\"\nduration = \"{work_s}s\"\nonline = \"100%\"\nload = \"100%\"\n",
    )
}

/// The newest `.json` under `folder`.
fn result_file(folder: &Path) -> Result<Option<PathBuf>, Failure> {
    let mut found = None;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found = result_file(&path)?.or(found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found = Some(path);
        }
    }
    Ok(found)
}
