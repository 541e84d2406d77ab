//! A moment on a loop's own clock, in nanoseconds.
//!
//! asyncio speaks in float seconds; a float cannot be ordered without care and loses nanoseconds.
//! So seconds are turned into nanoseconds once, at the border, and always rounded *up*: a timer may
//! be late by a nanosecond but never early.

use std::time::Duration;

const NANOS_PER_SECOND: f64 = 1e9;
/// Up to here, which is a hundred days, a float can tell one nanosecond from the next.
const EXACT_NANOS: i64 = 1 << 53;

/// A moment on a loop's own clock. Its zero means nothing outside of that clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

impl Instant {
    /// Before every other moment: what is scheduled for it is due at once.
    pub const ALWAYS: Self = Self(i64::MIN);
    /// After every other moment: what is scheduled for it waits until it is cancelled.
    pub const NEVER: Self = Self(i64::MAX);

    /// The moment that many nanoseconds after the clock's zero.
    #[inline]
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The first moment whose [`seconds`](Self::seconds) are not below `seconds`.
    ///
    /// Infinity is [`NEVER`](Self::NEVER). A number that is none is due at once, because asyncio's
    /// heap of timers, which only asks "is it later than now?", treats it so.
    ///
    /// # Examples
    ///
    /// ```
    /// use batonloop_core::Instant;
    ///
    /// assert_eq!(Instant::from_seconds(1.5).nanos(), 1_500_000_000);
    /// assert_eq!(Instant::from_seconds(1e-12).nanos(), 1);
    /// assert_eq!(Instant::from_seconds(f64::INFINITY), Instant::NEVER);
    /// assert_eq!(Instant::from_seconds(f64::NAN), Instant::ALWAYS);
    /// ```
    #[inline]
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Self {
        if seconds.is_nan() {
            return Self::ALWAYS;
        }
        // The cast saturates, which makes the infinities `ALWAYS` and `NEVER`.
        let below = Self((seconds * NANOS_PER_SECOND) as i64);
        if below.seconds() >= seconds {
            return below;
        }
        if below.0 < EXACT_NANOS {
            return Self(below.0 + 1);
        }
        // Floats are sparser than nanoseconds here. The next float is not below the true product.
        Self(f64::from_bits((below.0 as f64).to_bits() + 1) as i64)
    }

    /// Nanoseconds since the clock's zero.
    #[inline]
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Seconds since the clock's zero, as near as a float can say it.
    #[inline]
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / NANOS_PER_SECOND
    }

    /// How long it is from here until `later`; zero if that is past.
    #[inline]
    #[must_use]
    pub const fn until(self, later: Self) -> Duration {
        let nanos = later.0.saturating_sub(self.0);
        if nanos <= 0 { Duration::ZERO } else { Duration::from_nanos(nanos as u64) }
    }

    /// The moment that long after this one, or [`NEVER`](Self::NEVER).
    #[inline]
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}
