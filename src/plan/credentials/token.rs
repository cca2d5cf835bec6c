//! The lifetime and renewal of SAS tokens, and the skew of the device clock that sets their expiry. Used by `auth`, by devices and
//! by `forecast`. Pure.

use std::time::Duration;

const TTL: Duration = Duration::from_secs(3600);
/// The share of a token's lifetime after which Azure's .NET and Java SDKs renew it.
const RENEW_AT: f64 = 0.85;
/// Renewals are spread evenly over the last tenth of the time until they are due, so that devices that connected at the same time
/// do not all renew at the same time (our choice).
const JITTER: f64 = 0.10;

/// Lifetime and renewal of a fleet's tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLife {
    /// How long a token is valid.
    pub ttl: Duration,
    /// When a token is renewed, before jitter.
    pub renew: Renew,
    /// The most by which jitter may advance a renewal, as a fraction of the time from issue to renewal.
    pub jitter: f64,
    /// How far the devices' clocks are ahead of real time, in microseconds. Negative if they are behind.
    pub clock_skew_us: i64,
}

/// When a token is renewed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Renew {
    /// At this share of its lifetime.
    Share(f64),
    /// This long before expiry.
    Before(Duration),
    /// Never: the server closes the connection some time after expiry.
    Never,
}

impl Default for TokenLife {
    fn default() -> TokenLife {
        TokenLife { ttl: TTL, renew: Renew::Share(RENEW_AT), jitter: JITTER, clock_skew_us: 0 }
    }
}

impl TokenLife {
    /// Returns the time from issue to renewal, before jitter. `None` if tokens are not renewed.
    #[must_use]
    pub fn renewed_after(&self) -> Option<Duration> {
        match self.renew {
            Renew::Share(share) => Some(self.ttl.mul_f64(share)),
            Renew::Before(margin) => Some(self.ttl.saturating_sub(margin)),
            Renew::Never => None,
        }
    }

    /// Returns the expiry of a token that a device issues at `now_unix` (time since the Unix epoch), in whole seconds. The skew of the
    /// device's clock is added.
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
    fn token_is_renewed_at_a_share_or_before_expiry() {
        let after = |renew| TokenLife { renew, ..TokenLife::default() }.renewed_after();
        assert_eq!(after(Renew::Share(0.85)), Some(51 * MINUTE));
        assert_eq!(after(Renew::Before(15 * MINUTE)), Some(45 * MINUTE));
        assert_eq!(after(Renew::Never), None);
    }

    #[test]
    fn token_expiry_uses_the_devices_clock() {
        let expiry = |skew_s: i64| {
            let life = TokenLife { clock_skew_us: skew_s * 1_000_000, ..TokenLife::default() };
            life.expiry_unix(NOW)
        };
        assert_eq!([expiry(0), expiry(360), expiry(-180)], [1_800_003_600, 1_800_003_960, 1_800_003_420]);
        let ancient = TokenLife { clock_skew_us: i64::MIN, ..TokenLife::default() };
        assert_eq!(ancient.expiry_unix(NOW), 0);
    }
}
