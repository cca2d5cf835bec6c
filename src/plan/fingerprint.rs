//! The fingerprint of a load: a hash of the resolved plan without target, seed, names, comments and thresholds. Results with the
//! same fingerprint are comparable. Called by `app`.
//!
//! The hashed text contains the names of types and fields, as `Debug` prints them. Do not rename the plan's types or their fields:
//! results from earlier versions would no longer be comparable.

use super::credentials::Auth;
use super::model::{FaultPlan, FleetFault, FleetPlan, Plan};
use super::schedule::Schedule;
use crate::iothub::emulator_options::EmulatorOptions;
use crate::policy::backoff::Reconnect;
use crate::policy::fault::Fault;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

impl Plan {
    /// Returns the fingerprint: SHA-256 in hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.describe(&mut text);
        sha256_hex(text.as_bytes())
    }

    /// Writes one line for each part of the plan.
    fn describe(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "kind {:?}, tls {}", self.target.kind, self.target.tls.is_some())?;
        // The number of hosts is a fact about the target. Failover decides which host gets the load.
        if self.target.failover {
            writeln!(out, "failover next")?;
        }
        if self.target.tls.as_ref().is_some_and(|tls| tls.resumption) {
            writeln!(out, "tls resumption")?;
        }
        // Spelled as in earlier versions, so that the hash stays the same.
        let emulator = self.emulator.map(|options| {
            // Devices resume exactly if the emulator does.
            let EmulatorOptions { expiry_grace, lenient_properties, tls_resumption: _, tier } = options;
            let tier = tier.map_or_else(String::new, |tier| format!(", {tier:?}"));
            format!(
                "EmulatorPlan {{ expiry_grace: {expiry_grace:?}, lenient_properties: {lenient_properties}{tier} }}"
            )
        });
        match emulator {
            Some(emulator) => writeln!(out, "emulator Some({emulator})")?,
            None => writeln!(out, "emulator None")?,
        }
        for FaultPlan { fault, share, fleet, .. } in self.faults.iter().filter(|fault| !fault.random) {
            let Fault { kind, code, by, at, length, .. } = fault;
            writeln!(out, "fault {kind:?} {code} {by:?} {at:?} {length:?} {share:?} {fleet:?}")?;
        }
        if let Some(chaos) = &self.chaos {
            writeln!(out, "{chaos:?}")?;
        }
        describe_phases(&self.schedule, out)?;
        for fleet in &self.fleets {
            describe_fleet(fleet, out)?;
            if let Some(own) = &fleet.own_schedule {
                describe_phases(own, out)?;
            }
        }
        for drive in &self.drives {
            let what = (drive.fleet, &drive.call, &drive.arrival, &drive.payload, drive.timeout);
            writeln!(out, "drive {what:?}")?;
        }
        writeln!(out, "drain {:?}", self.drain)
    }
}

/// Returns the SHA-256 of `bytes` in hexadecimal.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Writes keys that earlier versions did not have only where a scenario uses them, so that the hash of other scenarios stays the same.
fn describe_phases(schedule: &Schedule, out: &mut String) -> std::fmt::Result {
    for phase in schedule.phases() {
        let length = phase.end - phase.start;
        writeln!(out, "phase {} {length:?} {:?} {:?}", phase.warmup, phase.online, phase.load)?;
        if let Some(steps) = phase.load_steps {
            writeln!(out, "steps {steps}")?;
        }
        if let Some(disconnect) = &phase.disconnect {
            writeln!(out, "{disconnect:?}")?;
        }
        if let Some(rate_hz) = phase.connect_rate_hz {
            writeln!(out, "connect_rate {rate_hz}")?;
        }
        if let Some(churn) = &phase.churn {
            writeln!(out, "{churn:?}")?;
        }
    }
    Ok(())
}

fn describe_fleet(fleet: &FleetPlan, out: &mut String) -> std::fmt::Result {
    let auth = match &fleet.auth {
        Auth::None => "none",
        Auth::Password { .. } | Auth::PasswordFile { .. } => "password",
        Auth::Sas { .. } => "sas",
    };
    writeln!(out, "fleet {} {auth} {:?}", fleet.devices, fleet.auth.tokens())?;
    let session = (fleet.keep_alive_s, fleet.clean_session, fleet.in_flight, fleet.offline);
    let timeouts = (fleet.connect_timeout, fleet.ack_timeout, fleet.send_by);
    writeln!(out, "session {session:?} {timeouts:?} {} {:?}", reconnect(&fleet.reconnect), fleet.sdk)?;
    writeln!(out, "subscribe {:?} {:?} {}", fleet.subscribe, fleet.subscribe_qos, fleet.unsubscribe)?;
    writeln!(out, "will {:?}, twin {:?}, methods {:?}", fleet.will, fleet.twin, fleet.methods)?;
    for send in &fleet.sends {
        writeln!(out, "send {send:?}")?;
    }
    for FleetFault { fault, share, .. } in &fleet.faults {
        let Fault { kind, by, network, at, length, .. } = fault;
        writeln!(out, "fault {kind:?} {by:?} {network:?} {at:?} {length:?} {share:?}")?;
    }
    Ok(())
}

/// Describes a reconnect policy as earlier versions did, followed by the settings that they did not have, if any.
fn reconnect(policy: &Reconnect) -> String {
    let Reconnect { back_off, first, gives_up_after, gives_up_refused, gives_up_attempts, refused } = policy;
    let mut text = format!(
        "Reconnect {{ back_off: {back_off:?}, first: {first:?}, gives_up_after: {gives_up_after:?}, gives_up_refused: {gives_up_refused} }}"
    );
    if gives_up_attempts.is_some() || refused.is_some() {
        // Writing to a String cannot fail.
        let _ = write!(text, " {gives_up_attempts:?} {refused:?}");
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::plan::test_support;
    use crate::scenario::Input;

    const SCENARIO: &str = "name = \"a\"\nseed = 1\n[fleet.m]\ndevices = 10\n[[fleet.m.send]]\nevery = \"1s\"\npayload = \"x\"\n\
                            [[phase]]\nname = \"p\"\nduration = \"10s\"\n[thresholds]\ntelemetry = [\"p(50) < 1s\"]\n";

    fn fingerprint(text: &str) -> String {
        test_support::plan(text).fingerprint()
    }

    #[test]
    fn fingerprint_depends_only_on_the_load() {
        let same = fingerprint(SCENARIO);
        assert_eq!((same.len(), &same), (64, &fingerprint(SCENARIO)), "it does not depend on the random key");
        for (from, to) in [
            ("name = \"a\"", "name = \"b\" # a comment"),
            ("seed = 1", "seed = 2"),
            ("fleet.m", "fleet.meter"),
            ("name = \"p\"", "name = \"q\""),
            ("p(50) < 1s", "p(99) < 2s"),
        ] {
            assert_eq!(fingerprint(&SCENARIO.replace(from, to)), same, "{to}");
        }
        for (from, to) in [
            ("devices = 10", "devices = 11"),
            ("every = \"1s\"", "every = \"2s\""),
            ("payload = \"x\"", "payload = \"xy\""),
            ("duration = \"10s\"", "duration = \"11s\""),
            ("devices = 10", "devices = 10\nkeep_alive = \"7s\""),
            ("devices = 10", "devices = 10\nin_flight = 3"),
            ("devices = 10", "devices = 10\nreconnect = { kind = \"fixed\", give_up = 3 }"),
            ("devices = 10", "devices = 10\nsdk = \"c-unified\""),
            ("[fleet.m]", "[emulator]\ntls = { resumption = \"on\" }\n[fleet.m]"),
        ] {
            assert_ne!(fingerprint(&SCENARIO.replace(from, to)), same, "{to}");
        }
    }

    #[test]
    fn fingerprint_does_not_change_between_versions() {
        let payload = b"one\n\ntwo\r\n".to_vec();
        let hash = |text: &str| {
            let files = &|_: &std::path::Path| Ok(payload.clone().into());
            let env = &|_: &str| Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
            let input = Input { file: "s.toml", text, overrides: &[], env, files };
            let plan =
                crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"));
            plan.fingerprint()
        };
        let hub = r#"
            [fleet.a]
            devices = 10
            sdk = "python"
            subscribe = ["twin", "methods", "c2d"]
            twin = { get = "on-connect", every = "10s" }
            will = { payload = "gone" }
            methods.reboot = { after = "1s", then = "reconnect", payload = '{"n":${seq}}' }
            [[fleet.a.send]]
            rate = "4/s"
            payload = { file = "lines.txt" }
            properties = { unit = "kWh" }
            [[fleet.a.report]]
            every = "1m"
            payload = '{"t":${walk(start=1, step=0.5, min=0, max=9)}}'
            [[fleet.b.send]]
            every = "5s"
            arrival = "poisson"
            payload = { size = 99 }
            [fleet.b]
            devices = 3
            [[drive]]
            call = "method"
            fleet = "a"
            name = "reboot"
            every = "5s"
            [[drive]]
            call = "c2d"
            fleet = "a"
            rate = "1/s"
            payload = "hello ${index}"
            [[phase]]
            name = "p"
            duration = "10s"
            online = "0% -> 100%"
        "#;
        let broker = r#"
            [target]
            kind = "mqtt"
            host = "broker.example"
            [fleet.a]
            devices = 10
            reconnect = { kind = "exponential", base = "2s" }
            subscribe = ["a/+", { filter = "b/${device}", qos = 2 }]
            [[fleet.a.send]]
            arrival = "closed"
            think_time = "1s"
            topic = "a/${index}"
            payload = "${device} ${now} ${uniform(min=0, max=1.5)} ${stamp}"
            qos = 2
            [[phase]]
            name = "p"
            duration = "10s"
        "#;
        assert_eq!(hash(hub), "e09e63e6e6b7ac74274d9452907a9a081b22f2b13763f879f4aa21c234a20df2");
        assert_eq!(hash(broker), "c5e8608844b066b877f7caf1383e0188a5df7552cdaa5d4d6142d3d3f438448f");
    }
}
