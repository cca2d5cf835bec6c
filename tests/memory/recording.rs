//! The memory of a replay, which must not depend on the number of rows.

use crate::{mib, peak_bytes, say};
use hubstorm::plan::{self, Cursor, Plan};
use hubstorm::scenario::{Input, no_files};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

const DEVICES: u64 = 1000;

/// Writes a recording with `rows` rows in an hour.
fn write(path: &Path, rows: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a writable folder"));
    writeln!(file, "time,device,properties,payload").expect("room");
    for row in 0..rows {
        let (second, device) = (row as f64 * 3600.0 / rows as f64, row * 7919 % DEVICES);
        writeln!(file, "{second:.3},d{device},unit=kWh,\"{{\"\"row\"\":{row},\"\"value\"\":21.5}}\"")
            .expect("room");
    }
    file.flush().expect("room");
}

fn load(file: &Path) -> Plan {
    let text = format!(
        "[fleet.d]\ndevices = {DEVICES}\nid = \"d{{index}}\"\n[[fleet.d.send]]\narrival = \"replay\"\nfile = \"{}\"\n\
         [[phase]]\nname = \"p\"\nduration = \"1h\"\n",
        file.display()
    );
    let files = &no_files;
    let input = Input { file: "memory.toml", text: &text, overrides: &[], env: &|_| None, files };
    plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Checks a recording, and reads each row as the devices do. Returns the number of rows.
fn replay(file: &Path) -> u64 {
    let plan = load(file);
    let (fleet, loads) = (&plan.fleets[0], plan.run_loads());
    let recording = fleet.sends[0].payload.recording().expect("a replay");
    let (mut buffer, mut rows) = (Vec::new(), 0);
    for index in 0..fleet.devices {
        let mut cursor = Cursor::replay(recording, loads.of(0), index);
        cursor.enter(plan.schedule.online_spans(index.into(), DEVICES)[0]);
        while let Some(due) = cursor.peek() {
            let (bag, payload) = recording.message(cursor.row().expect("due"), &mut buffer);
            assert!(bag == "unit=kWh" && payload.starts_with(b"{\"row\":"), "at {} ns", due.at_ns);
            rows += 1;
            cursor.advance();
        }
    }
    rows
}

#[test]
fn memory_of_a_replay_does_not_depend_on_its_rows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let peak = |rows: u64| {
        let file = folder.path().join(format!("{rows}.csv"));
        write(&file, rows);
        let (peak, sent) = peak_bytes(|| replay(&file));
        assert_eq!(sent, rows);
        say(format_args!("{rows} rows: {:.2} MiB", mib(peak as u64)));
        peak
    };
    let [small, large] = [10_000, 1_000_000].map(peak);
    // Buffers grow by doubling, so their sizes may differ.
    assert!(large.abs_diff(small) < 256 * 1024, "{small} B for 10,000 rows, {large} B for 1,000,000 rows");
}
