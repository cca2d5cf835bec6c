//! The examples that `--help` prints below the options of each command. Used by `cli`. Independent of clap.

/// The first commands for a new user.
pub(super) const FIRST_STEPS: &str = "\
First steps:
  hubstorm doctor                 shows how much load this machine can generate
  hubstorm init                   writes a starter scenario, quickstart.toml
  hubstorm check quickstart.toml  prints its plan and needs; sends nothing
  hubstorm run quickstart.toml    1,000 devices, the built-in hub, one minute

";

pub(super) const RUN: &str = "\
Examples:
  hubstorm run scenarios/quickstart.toml
  hubstorm run --once meters.toml                 one device of each fleet, each operation once
  hubstorm run meters.toml --set fleet.meter.devices=50 --set phase.steady.duration=10s
  hubstorm run meters.toml --fleet meter --duration 30s
  hubstorm run meters.toml --target broker.example:8883 --ca certs/ca.pem --yes --quiet
  hubstorm run meters.toml --export out/result.json --export html=out/index.html
  hubstorm run meters.toml --export out/junit.xml --export out/summary.md --export csv=out/csv
  hubstorm run meters.toml --trace meter-00007 2> trace.txt

Press Ctrl-C once to stop the load, drain and write the result; press it twice to write the
result now. SIGTERM, SIGHUP, SIGALRM and SIGUSR1 count as one Ctrl-C, SIGQUIT (Ctrl-\\) as two.

Output fits the width of the terminal, or the variable COLUMNS. NO_COLOR turns colors off.";

pub(super) const CHECK: &str = "\
Examples:
  hubstorm check scenarios/quickstart.toml
  hubstorm check meters.toml --set fleet.meter.devices=40000
  hubstorm check meters.toml --strict --machine      for CI: fails after any warning
  sed s/meter/gauge/g meters.toml | hubstorm check -";

pub(super) const CAPACITY: &str = "\
Examples:
  hubstorm capacity meters.toml                      searches the heaviest phase
  hubstorm capacity meters.toml --phase steady --from 20% --to 400%
  hubstorm capacity meters.toml --target broker.example --assert \"capacity >= 4000/s\"
  hubstorm capacity meters.toml --max-time 30m --export capacity.md --export junit=capacity.xml
  hubstorm capacity meters.toml --resume reports/meters-capacity-20261123T101500Z.json

Press Ctrl-C once to end the search and write what is known; press it twice to skip the drain.";

pub(super) const EMULATOR: &str = "\
Examples:
  hubstorm emulator --ca-out ca.pem
  export GROUP_KEY=$(openssl rand -base64 32)
  hubstorm emulator --group-key env:GROUP_KEY --listen 127.0.0.1:0
  hubstorm emulator --devices devices.csv --tier S1 --stats 10s
  hubstorm emulator --ready-file ready.json --health-listen 127.0.0.1:8080
  hubstorm emulator --health-check 127.0.0.1:8080

The first line on stdout is a JSON object with the address and a sample connection string.

SIGTERM or Ctrl-C stops the hub: it accepts nothing more, sends the acknowledgments that are in
flight, closes all connections, and exits with 0. A second signal ends it at once.";

pub(super) const REPORT: &str = "\
Examples:
  hubstorm report reports/quickstart-20261123T101500Z.json
  hubstorm report result.json --out result.html
  hubstorm report result.json --export result.html --export text=summary
  hubstorm report result.json --judge             prints the verdict; exits with its code
  hubstorm report --recover reports/meters-20261123T101500Z.journal --export json=result.json
  hubstorm report result.json --judge --scenario strict.toml
  hubstorm report result.json --hub-metrics metrics.json --export page.html
  cat result.json | hubstorm report -
  hubstorm report --history reports
  hubstorm report --history reports --export html=reports/index.html --export csv=history.csv
  hubstorm report --history reports --metric \"telemetry p(99.9)\"";

pub(super) const PLAN: &str = "\
Examples:
  hubstorm plan meters.toml
  hubstorm plan meters.toml --headroom 75% --export plan.html --export plan.json
  hubstorm plan meters.toml --assert \"units(S2) <= 40\" --assert \"share(d2c) < 75%\"
  hubstorm plan meters.toml --prices prices.toml --reconnect-within 10m
  hubstorm plan --devices 40000 --every 15s --size 300
  hubstorm plan --devices 40000 --every 15s --size 300 --sdk python --twin-reads 4/1d";

pub(super) const COMPARE: &str = "\
Examples:
  hubstorm compare reports/before.json reports/after.json
  hubstorm compare baseline result.json --update-baseline --keep 10
  hubstorm compare baseline result.json --metric \"telemetry p(99)\" --tolerance 15%
  hubstorm compare baseline result.json --inconclusive pass --export comparison.html
  hubstorm compare capacity-before.json capacity-after.json --tolerance 5%";

pub(super) const INIT: &str = "\
Examples:
  hubstorm init
  hubstorm init load-tests
  hubstorm run load-tests/quickstart.toml";

pub(super) const DOCTOR: &str = "\
Examples:
  hubstorm doctor
  hubstorm doctor --scenario meters.toml
  hubstorm doctor --target my-hub.azure-devices.net
  hubstorm doctor --target 127.0.0.1:1883 --plain";

pub(super) const TOKEN: &str = "\
Examples:
  export DEVICE_KEY=...                          the key in base64; never pass it as an argument
  hubstorm token --host my-hub.azure-devices.net --device meter-00001 --key env:DEVICE_KEY
  hubstorm token --host my-hub.azure-devices.net --device meter-00001 --group-key file:key --ttl 10m
  hubstorm token --host my-hub.azure-devices.net --policy service --key env:SERVICE_KEY
  hubstorm token --decode env:TOKEN --key env:DEVICE_KEY";

pub(super) const CERTS: &str = "\
Examples:
  hubstorm certs --name localhost --name 127.0.0.1 --out certs
  hubstorm certs --name broker.test --days 7 --force

The command prints the configuration of mosquitto and the commands that test it with these files.";

pub(super) const SCHEMA: &str = "\
Examples:
  hubstorm schema scenario > scenario.schema.json
  In TOML, as the first line:   #:schema ./scenario.schema.json
  In JSON, as the first key:    \"$schema\": \"./scenario.schema.json\"

An editor with JSON Schema support then completes and validates the scenario as you type.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  hubstorm completions bash > ~/.local/share/bash-completion/completions/hubstorm
  hubstorm completions zsh > ~/.zfunc/_hubstorm
  hubstorm completions fish > ~/.config/fish/completions/hubstorm.fish";

pub(super) const MAN: &str = "\
Examples:
  hubstorm man --out ~/.local/share/man/man1
  man hubstorm-run";
