//! Hints for arguments in the wrong place, and for options and commands of other tools, which users of those tools try first. Used by
//! `cli`, which adds them to usage errors.

/// Returns the hint for an argument that `command` of `cli` does not have. `command` is the first argument of the command line, and may be the
/// argument itself.
#[must_use]
pub(super) fn hint(cli: &clap::Command, command: &str, argument: &str) -> Option<String> {
    let option = argument.split('=').next()?;
    let hint = if option.starts_with('-') {
        misplaced_option(command, option).or_else(|| option_of_another_tool(option)).map(str::to_owned)
    } else {
        misplaced_value(command, argument).or_else(|| command_of_another_tool(argument).map(str::to_owned))
    };
    hint.or_else(|| option_of_another_command(cli, command, option))
}

/// Returns the hint for an option under another name, or for one that is not an option of this command.
fn misplaced_option(command: &str, option: &str) -> Option<&'static str> {
    Some(match (command, option) {
        ("certs", "--host" | "--hostname" | "--domain" | "--dns" | "--san" | "--cn" | "--ip") => {
            "write --name NAME for each DNS name or IP address of the server"
        }
        ("doctor", "--host" | "--port") => "write --target HOST:PORT",
        ("run" | "check", "--host" | "--port" | "-h") => {
            "write --target HOST:PORT, which overrides the target's host and port"
        }
        ("emulator", "--port" | "-p" | "--bind" | "--addr" | "--address") => "write --listen ADDR:PORT",
        ("run" | "check", "--scenario" | "--config" | "--file" | "-f") => {
            "write the scenario without an option, such as hubstorm run scenario.toml"
        }
        ("run" | "check", "--time") => "write --duration 30s",
        ("report", "--output") => "write --out FILE, or --export FILE for several formats",
        ("compare", "--base" | "--baseline" | "--new") => {
            "write both results without an option: hubstorm compare BASE NEW"
        }
        _ => return None,
    })
}

/// Returns the hint for a value that belongs to an option, or that is one too many.
fn misplaced_value(command: &str, value: &str) -> Option<String> {
    let is_scenario = [".toml", ".json", ".jsonc"].iter().any(|extension| value.ends_with(extension));
    Some(match command {
        _ if command == value && is_scenario => format!("hubstorm run {value} runs a scenario"),
        "doctor" if is_scenario => format!("to try a scenario: hubstorm doctor --scenario {value}"),
        "doctor" => format!("to test the connection to a target: hubstorm doctor --target {value}"),
        "report" if value.ends_with(".toml") => {
            format!("to judge with the thresholds of a scenario: hubstorm report RESULT --judge --scenario {value}")
        }
        "report" => "to compare two results: hubstorm compare BASE NEW. To show all results of a folder: hubstorm report --history DIR".to_owned(),
        "compare" => "a folder of results can be the baseline: hubstorm compare DIR NEW".to_owned(),
        "emulator" if is_scenario => "the emulator reads no scenario. hubstorm run starts it by itself for a scenario without [target]".to_owned(),
        "emulator" => format!("to listen on an address: hubstorm emulator --listen {value}"),
        "certs" => format!("to name the server in its certificate: hubstorm certs --name {value}"),
        "token" => "write --host NAME and --device ID".to_owned(),
        "man" => format!("to write the man pages to a folder: hubstorm man --out {value}"),
        "run" | "check" if is_scenario => "a run has one scenario. Put the fleets of both into one file".to_owned(),
        "run" | "check" if value.contains('=') => format!("to override a value of the scenario: --set {value}"),
        "run" | "check" => "--set takes one argument without spaces around the sign: --set KEY=VALUE".to_owned(),
        _ => return None,
    })
}

/// Names the commands that have this option.
fn option_of_another_command(cli: &clap::Command, command: &str, option: &str) -> Option<String> {
    let name = option.strip_prefix("--")?;
    let has_option =
        |of: &&clap::Command| of.get_arguments().any(|argument| argument.get_long() == Some(name));
    let commands: Vec<&str> = cli.get_subcommands().filter(has_option).map(clap::Command::get_name).collect();
    let first = commands.first()?;
    if command.starts_with('-') {
        return Some(format!("write options after the command, such as hubstorm {first} {option}"));
    }
    Some(format!("{option} is an option of {}", commands.join(", ")))
}

fn option_of_another_tool(option: &str) -> Option<&'static str> {
    Some(match option {
        "--vus" | "--clients" | "--devices" | "--users" | "--connections" | "-u" | "-c" => {
            "set the number of devices in the scenario, or with --set fleet.NAME.devices=100"
        }
        "-D" | "-e" | "--env" => "override a value of the scenario with --set KEY=VALUE",
        "--rate" | "--rps" | "--interval" => {
            "set the rate in the scenario, or override it with --set; to see the keys: hubstorm check SCENARIO"
        }
        _ => return None,
    })
}

fn command_of_another_tool(command: &str) -> Option<&'static str> {
    Some(match command {
        "version" => "hubstorm --version prints the version",
        "validate" | "lint" | "verify" => "hubstorm check SCENARIO validates a scenario",
        "start" | "test" | "bench" => "hubstorm run SCENARIO runs a scenario",
        "new" | "create" => "hubstorm init writes a first scenario",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, with_hint};
    use clap::Parser;

    #[test]
    fn arguments_of_other_tools_have_a_hint() {
        for (line, expected) in [
            ("run s.toml --vus 10", Some("--set fleet.NAME.devices=100")),
            ("run s.toml --clients=10", Some("--set fleet.NAME.devices=100")),
            ("run s.toml -D 10", Some("override a value of the scenario with --set KEY=VALUE")),
            ("run s.toml -e A=1", Some("override a value of the scenario with --set KEY=VALUE")),
            ("version", Some("hubstorm --version")),
            ("validate s.toml", Some("hubstorm check SCENARIO")),
            ("run s.toml --sead x", Some("a similar argument exists: '--seed'")),
            ("run", None),
            ("m.toml", Some("hubstorm run m.toml runs a scenario")),
            ("doctor m.toml", Some("hubstorm doctor --scenario m.toml")),
            ("doctor broker:1883", Some("hubstorm doctor --target broker:1883")),
            ("report r.json m.toml", Some("hubstorm report RESULT --judge --scenario m.toml")),
            ("report a.json b.json", Some("hubstorm compare BASE NEW")),
            ("compare a.json b.json c.json", Some("hubstorm compare DIR NEW")),
            ("emulator m.toml", Some("the emulator reads no scenario")),
            ("emulator 127.0.0.1:0", Some("hubstorm emulator --listen 127.0.0.1:0")),
            ("emulator --port 8883", Some("--listen ADDR:PORT")),
            ("certs --host broker", Some("--name NAME")),
            ("certs broker", Some("hubstorm certs --name broker")),
            ("man out", Some("hubstorm man --out out")),
            ("token d1", Some("--host NAME and --device ID")),
            ("run --scenario m.toml", Some("write the scenario without an option")),
            ("check a.toml b.toml", Some("a run has one scenario")),
            ("run a.toml fleet.a.devices=5", Some("--set fleet.a.devices=5")),
            ("run a.toml --set fleet.a.devices 5", Some("--set KEY=VALUE")),
            ("check a.toml --out x", Some("--out is an option of run, capacity, report, certs, man")),
            ("--quiet run a.toml", Some("write options after the command, such as hubstorm run --quiet")),
        ] {
            let arguments: Vec<&str> = std::iter::once("hubstorm").chain(line.split(' ')).collect();
            let error = Cli::try_parse_from(&arguments).unwrap_err();
            let text = with_hint(error, arguments[1]).to_string();
            assert_eq!(text.matches("tip:").count(), usize::from(expected.is_some()), "{text}");
            assert!(text.contains(expected.unwrap_or_default()), "{text}");
        }
    }
}
