//! How long a SAS token lives, when its device renews it, and by what clock it is stamped. Resolved by `authentication`,
//! asked by `credentials` and by devices before every attempt; pure.

use std::time::Duration;

const TTL: Duration = Duration::from_secs(3600);
/// As Azure's .NET and Java SDKs renew.
const RENEW_AT: f64 = 0.85;
/// Renewals happen in the last tenth before their time, spread evenly: a ramp must not come back as a storm (our choice).
const JITTER: f64 = 0.10;

/// The life of a fleet's tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLife {
    /// How long a token is valid.
    pub ttl: Duration,
    /// When it is renewed, before jitter.
    pub renew: Renew,
    /// By how much of the time until then a renewal may come earlier; a fraction of 1.
    pub jitter: f64,
    /// How far the devices' clocks are ahead of the real time; negative when they are behind.
    pub clock_skew_us: i64,
}

/// When a token is renewed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Renew {
    /// At this share of its life.
    Share(f64),
    /// That long before it expires.
    Before(Duration),
    /// Not at all: the server ends the connection, some time after the token's expiry.
    Never,
}

impl Default for TokenLife {
    fn default() -> TokenLife {
        TokenLife { ttl: TTL, renew: Renew::Share(RENEW_AT), jitter: JITTER, clock_skew_us: 0 }
    }
}

impl TokenLife {
    /// How long after it was made a token is renewed, before jitter; `None` when it never is.
    #[must_use]
    pub fn renewed_after(&self) -> Option<Duration> {
        match self.renew {
            Renew::Share(share) => Some(self.ttl.mul_f64(share)),
            Renew::Before(margin) => Some(self.ttl.saturating_sub(margin)),
            Renew::Never => None,
        }
    }

    /// What a token says that is made now (time since the Unix epoch): its expiry by the device's own clock, in whole seconds.
    #[must_use]
    pub fn expiry_unix(&self, now_unix: Duration) -> u64 {
        let skew = Duration::from_micros(self.clock_skew_us.unsigned_abs());
        let end = now_unix + self.ttl;
        let end = if self.clock_skew_us < 0 { end.saturating_sub(skew) } else { end + skew };
        end.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_token_is_renewed_at_a_share_of_its_life_or_before_its_end() {
        let after = |renew| TokenLife { renew, ..TokenLife::default() }.renewed_after();
        assert_eq!(after(Renew::Share(0.85)), Some(51 * MINUTE));
        assert_eq!(after(Renew::Before(15 * MINUTE)), Some(45 * MINUTE));
        assert_eq!(after(Renew::Never), None);
    }

    #[test]
    fn a_token_is_stamped_by_the_devices_own_clock() {
        let expiry = |skew_s: i64| {
            let life = TokenLife { clock_skew_us: skew_s * 1_000_000, ..TokenLife::default() };
            life.expiry_unix(NOW)
        };
        assert_eq!([expiry(0), expiry(360), expiry(-180)], [1_800_003_600, 1_800_003_960, 1_800_003_420]);
        let ancient = TokenLife { clock_skew_us: i64::MIN, ..TokenLife::default() };
        assert_eq!(ancient.expiry_unix(NOW), 0);
    }
}
