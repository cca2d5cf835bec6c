//! The output of `run` on real terminals of several widths: progress is one line that never wraps, and the summary fits. The same for
//! `capacity`, with two lines. And in logs: plain lines, and errors as soon as they are frequent.

use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, command};
use crate::support::tmux::{ENDED, Tmux};
use std::process::Command;

const PHASE: &str = "a-phase-with-a-rather-long-name";

/// Returns a scenario with ten devices, and ten more whose tokens have expired if `refused`.
fn work(duration: &str, refused: bool) -> Workplace {
    let fleet = |name: &str, auth: &str| {
        format!(
            "[fleet.{name}]\ndevices = 10\nauth = {{ kind = \"sas\"{auth} }}\n\
             [[fleet.{name}.send]]\nevery = \"1s\"\npayload = \"x\"\n"
        )
    };
    let skewed = if refused { fleet("skewed", ", clock_skew = \"-2h\"") } else { String::new() };
    Workplace::new(&format!(
        "name = \"A scenario with a name that takes more than sixty columns on a terminal\"\n{}{skewed}\
         [[phase]]\nname = \"{PHASE}\"\nduration = \"{duration}\"\n{WIDE_VALIDITY}",
        fleet("ok", "")
    ))
}

/// Returns the command, without the variables that tests set for plain output.
fn run(work: &Workplace) -> Command {
    let mut command = work.run_command();
    command.env_remove("NO_COLOR");
    command
}

/// Returns the only progress line, if there is one.
#[track_caller]
fn progress(rows: &[String]) -> Option<&String> {
    let lines: Vec<&String> = rows.iter().filter(|row| row.starts_with(PHASE)).collect();
    assert!(lines.len() <= 1, "one progress line:\n{}", rows.join("\n"));
    lines.first().copied()
}

fn width(text: &str) -> usize {
    hubstorm::report::columns(text)
}

/// Returns true if a line fits, or is a path, which stays whole so that it can be copied.
fn fits_in(line: &str, columns: u16) -> bool {
    width(line) <= columns.into() || line.starts_with('/')
}

#[test]
fn progress_and_summary_fit_the_terminal() {
    std::thread::scope(|scope| {
        for columns in [60, 80, 100, 200] {
            scope.spawn(move || fits(columns));
        }
    });
}

fn fits(columns: u16) {
    let work = work("4s", false);
    let terminal = Tmux::start(columns, &run(&work));
    let line = terminal.wait_for("progress", |rows| progress(rows).cloned());
    assert!(line.starts_with(&format!("{PHASE} ")), "{line}");
    assert_eq!(line.contains("offered "), columns == 200, "{line}");
    // The rest of the run: one line at any time.
    let ended = |rows: &[String]| {
        progress(rows);
        rows.iter().any(|row| row == ENDED).then_some(())
    };
    terminal.wait_for("the end of the run", ended);
    let lines = terminal.lines();
    assert_eq!(progress(&lines), None, "the line is removed at the end");
    assert!(lines.iter().any(|line| line.starts_with("  connect.tls")), "{lines:#?}");
    for line in lines {
        assert!(fits_in(&line, columns), "{columns}: {line}");
    }
}

#[test]
fn progress_follows_the_width_during_the_run() {
    let work = work("30m", false);
    let terminal = Tmux::start(100, &run(&work));
    terminal.wait_for("progress", |rows| progress(rows).cloned());
    for columns in [60, 100, 60, 80, 200, 60] {
        terminal.resize(columns);
        let fitting = |rows: &[String]| {
            let line = progress(rows)?;
            let is_wide = line.contains("offered ");
            // The bar takes the space that is left.
            let fills = width(line) + 20 > columns.into() || columns == 200;
            (width(line) < columns.into() && is_wide == (columns == 200) && fills).then(|| line.clone())
        };
        let line = terminal.wait_for("a line of the new width", fitting);
        assert!(line.starts_with(&format!("{PHASE} ")), "{columns}: {line}");
    }
}

#[test]
fn messages_stand_above_the_progress_line() {
    // The line is also cleared without colors.
    for no_color in [false, true] {
        let work = work("30m", true);
        let mut command = run(&work);
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let terminal = Tmux::start(80, &command);
        let told = |rows: &[String]| {
            let line = progress(rows)?;
            let errors = rows.iter().position(|row| row.starts_with("connack_5 (target): "))?;
            let after = rows.iter().position(|row| row == line)?;
            rows.iter().any(|row| row.starts_with("hub: refused CONNECT")).then_some(())?;
            (errors < after && line.contains("errors")).then_some(())
        };
        terminal.wait_for("errors and progress", told);
        let lines = terminal.lines();
        assert!(lines.iter().all(|line| width(line) <= 80), "{}", lines.join("\n"));
    }
}

#[test]
fn log_has_plain_lines_and_errors_at_once() {
    let work = work("30m", true);
    let mut run = work.start();
    run.says("connack_5 (target): ");
    run.says(&format!("s/1800s phase={PHASE} phase_left=17"));
    run.interrupt();
    let ended = run.wait();
    ended.exits(105);
    assert!(!ended.stderr.contains(['\r', '\u{1b}']), "{}", ended.stderr);
    let line = ended.stderr.lines().find(|line| line.contains("phase=")).expect("it was printed");
    for key in
        [" run_left=", " online=10/20 ", " offered=20/s ", " acked=", " failed=", " errors=", " connack_5="]
    {
        assert!(line.contains(key), "{key}: {line}");
    }
    let (alert, _) = ended.stderr.split_once("phase=").expect("it was printed");
    assert!(alert.contains(" connection attempts failed in the last second ("), "told first: {alert}");
    assert!(ended.stdout.lines().all(|line| fits_in(line, 80)), "{}", ended.stdout);
}

#[test]
fn quiet_run_prints_neither_progress_nor_errors() {
    let work = work("3s", true);
    let mut command = work.run_command();
    command.arg("--quiet");
    let output = command.output().expect("the program was built");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("connack_5 (") && !stderr.contains("phase="), "{stderr}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("connack_5"), "{output:?}");
}

/// Returns the two lines of a search, if they are there.
#[track_caller]
fn search(rows: &[String], columns: u16) -> Option<[&String; 2]> {
    let at: Vec<usize> = (0..rows.len()).filter(|row| rows[*row].starts_with("capacity ")).collect();
    assert!(at.len() <= 1, "one line of the search:\n{}", rows.join("\n"));
    let lines = [rows.get(*at.first()?)?, rows.get(at.first()? + 1)?];
    lines.iter().all(|line| width(line) < columns.into()).then_some(lines)
}

#[test]
fn search_has_two_lines_and_keeps_its_trials_on_ctrl_c() {
    let text = format!(
        "name = \"Meters\"\n[fleet.meter]\ndevices = 10\n[[fleet.meter.send]]\nevery = \"100ms\"\n\
         payload = \"x\"\n[[phase]]\nname = \"steady\"\nduration = \"1m\"\n{WIDE_VALIDITY}\n[thresholds]\n\
         \"telemetry{{phase:steady}}\" = [\"med < 5s\"]\n"
    );
    let work = Workplace::new(&text);
    let mut command = command(["capacity".as_ref(), work.scenario().as_os_str()]);
    command.args(["--hold", "3s", "--from", "50%", "--to", "200%", "--out"]).arg(work.out());
    command.env_remove("NO_COLOR");
    let terminal = Tmux::start(80, &command);
    let in_trial = |rows: &[String], columns: u16| {
        let [first, second] = search(rows, columns)?.map(String::clone);
        second.starts_with("trial ").then_some([first, second])
    };
    let [first, second] = terminal.wait_for("a trial", |rows| in_trial(rows, 80));
    assert!(first.contains(", about ") && first.contains(" left ("), "{first}");
    assert!(second.starts_with("trial 1: 50.0/s ") && second.contains("online 10/10"), "{second}");
    assert!(second.contains("acked "), "{second}");
    for columns in [60, 100, 80] {
        terminal.resize(columns);
        terminal.wait_for("lines of the new width", |rows| in_trial(rows, columns));
    }
    terminal.wait_for("the end of a trial", |rows| {
        rows.iter().any(|row| row.starts_with("trial 1: 50.0/s is ")).then_some(())
    });
    terminal.press("C-c");
    terminal.wait_for("the end of the search", |rows| rows.iter().any(|row| row == ENDED).then_some(()));
    let lines = terminal.lines();
    assert_eq!(search(&lines, 80), None, "the lines are removed at the end");
    let text = lines.join("\n");
    assert!(text.contains("The search was interrupted: continue it with --resume"), "{text}");
    assert!(!text.contains("to go ("), "the status has this already: {text}");
    assert!(lines.iter().all(|line| fits_in(line, 80)), "{text}");
    assert_eq!(work.outputs("json").len(), 1);
}
