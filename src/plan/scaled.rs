//! Changes the number of devices of a scenario. The load of each device stays the same. Used by `app` for a search that varies the number of
//! devices. Pure.

use crate::scenario::{Scenario, Spacing};
use crate::units::Rate;

/// Divides a number of devices among fleets in proportion to their devices in the scenario. The numbers add up to `total`. A larger
/// total gives no fleet fewer devices (the method of Webster, as for seats in a parliament).
#[must_use]
pub fn share_devices(fleets: &[u32], total: u64) -> Vec<u32> {
    let all: f64 = fleets.iter().copied().map(f64::from).sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "device counts; the cast saturates"
    )]
    let rounded = |devices: u32| (f64::from(devices) / all * total as f64).round() as u32;
    let mut shares: Vec<u32> = fleets.iter().copied().map(rounded).collect();
    let claim =
        |shares: &[u32], fleet: usize, add: f64| (f64::from(shares[fleet]) + add) / f64::from(fleets[fleet]);
    loop {
        let sum: u64 = shares.iter().copied().map(u64::from).sum();
        let by_claim = |add: f64| {
            let shares = &shares;
            move |a: &usize, b: &usize| claim(shares, *a, add).total_cmp(&claim(shares, *b, add))
        };
        if sum < total {
            let Some(next) = (0..fleets.len()).min_by(by_claim(0.5)) else { return shares };
            shares[next] += 1;
        } else if sum > total {
            let Some(last) = (0..fleets.len()).max_by(by_claim(-0.5)) else { return shares };
            shares[last] -= 1;
        } else {
            return shares;
        }
    }
}

/// Changes the number of devices of each fleet, with one number for each. `rate` is for a whole fleet, so it grows and shrinks with the fleet.
pub fn scale_devices(scenario: &mut Scenario, devices: &[u32]) {
    for (fleet, devices) in scenario.fleets.iter_mut().zip(devices) {
        let Some(before) = fleet.devices.replace(*devices) else { continue };
        let ratio = f64::from(*devices) / f64::from(before);
        let sends = fleet.sends.iter_mut().map(|send| &mut send.spacing);
        let reports = fleet.reports.iter_mut().map(|report| &mut report.timing.spacing);
        let to_this = scenario
            .drives
            .iter_mut()
            .filter(|drive| drive.fleet.as_ref().is_some_and(|name| name.value == fleet.name));
        for spacing in sends.chain(reports).chain(to_this.map(|drive| &mut drive.spacing)) {
            if let Some(Spacing::Rate(rate)) = spacing {
                *rate = Rate::per_second(rate.as_per_second() * ratio).unwrap_or(*rate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::resolve;
    use crate::scenario::{Input, no_files, read};
    use proptest::prelude::*;

    #[test]
    fn fleets_keep_their_shares() {
        for (fleets, total, expected) in [
            (&[100, 300][..], 200, &[50, 150][..]),
            (&[100, 300], 1, &[0, 1]),
            (&[1, 1, 1], 4, &[2, 1, 1]),
            (&[10, 10, 10], 29, &[10, 10, 9]),
            (&[7], 0, &[0]),
            (&[1_000, 1], 12_000, &[11_988, 12]),
        ] {
            let mut found = share_devices(fleets, total);
            if fleets.iter().all(|devices| devices == &fleets[0]) {
                found.sort_unstable_by(|a, b| b.cmp(a));
            }
            assert_eq!(found, expected, "{total} for {fleets:?}");
        }
    }

    proptest! {
        #[test]
        fn shares_add_up_and_grow_with_the_total(fleets in prop::collection::vec(1..5_000_u32, 1..6), total in 0..20_000_u64) {
            let (one, next) = (share_devices(&fleets, total), share_devices(&fleets, total + 1));
            prop_assert_eq!(one.iter().copied().map(u64::from).sum::<u64>(), total);
            prop_assert!(one.iter().zip(&next).all(|(one, next)| one <= next), "{one:?} to {next:?}");
        }
    }

    #[test]
    fn load_of_a_device_stays_the_same() {
        let text = "[fleet.a]\ndevices = 10\nsubscribe = [\"twin\", \"methods\"]\n[[fleet.a.send]]\nrate = \"20/s\"\npayload = \"x\"\n\
                    [[fleet.a.send]]\nevery = \"5s\"\npayload = \"x\"\n[[fleet.a.report]]\nrate = \"1/s\"\npayload = \"{}\"\n\
                    [fleet.a.methods.reboot]\n[fleet.b]\ndevices = 1\n\
                    [[drive]]\nfleet = \"a\"\ncall = \"method\"\nname = \"reboot\"\nrate = \"1/s\"\n\
                    [[phase]]\nname = \"p\"\nduration = \"1m\"\n";
        let input = Input { file: "s.toml", text, overrides: &[], env: &|_| None, files: &no_files };
        let plan = |devices: Option<&[u32]>| {
            let (mut scenario, errors) = read(&input);
            if let Some(devices) = devices {
                scale_devices(&mut scenario, devices);
            }
            resolve(&scenario, errors, &no_files, &mut rand::rng()).unwrap()
        };
        let (plan, scaled) = (plan(None), plan(Some(&[35, 4])));
        assert_eq!(scaled.fleets.iter().map(|fleet| fleet.devices).collect::<Vec<_>>(), [35, 4]);
        let rates = |plan: &crate::plan::Plan| -> Vec<f64> {
            plan.fleets[0].sends.iter().map(|send| send.arrival.rate_hz).collect()
        };
        assert_eq!(rates(&plan), [2.0, 0.2, 0.1]);
        assert!(rates(&plan).iter().zip(rates(&scaled)).all(|(one, other)| (one - other).abs() < 1e-9));
        assert!((scaled.drives[0].arrival.rate_hz - 3.5).abs() < 1e-9);
    }
}
