//! Hints for options and commands of other tools, which users of those tools try first. Used by `cli`, which adds them to
//! usage errors.

/// Returns the hint for an option or a command that hubstorm does not have.
#[must_use]
pub(super) fn hint(argument: &str) -> Option<&'static str> {
    Some(match argument.split('=').next()? {
        "--vus" | "--clients" | "--devices" | "--users" | "--connections" | "-u" | "-c" => {
            "set the number of devices in the scenario, or with --set fleet.NAME.devices=100"
        }
        "-D" | "-e" | "--env" => "override a value of the scenario with --set KEY=VALUE",
        "--rate" | "--rps" | "--interval" => {
            "set the rate in the scenario, or override it with --set; to see the keys: hubstorm check SCENARIO"
        }
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
        ] {
            let arguments = std::iter::once("hubstorm").chain(line.split(' '));
            let text = with_hint(Cli::try_parse_from(arguments).unwrap_err()).to_string();
            assert_eq!(text.matches("tip:").count(), usize::from(expected.is_some()), "{text}");
            assert!(text.contains(expected.unwrap_or_default()), "{text}");
        }
    }
}
