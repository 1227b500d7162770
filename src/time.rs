//! Moments and lifetimes. The clock itself belongs to the caller.

use core::fmt;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
///
/// A step of a flow sees one moment only, so that one decision is taken at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// The last second that a NumericDate may name: 9999-12-31T23:59:59Z.
///
/// Later values are not dates that an issuer means; they are overflows or attempts at "never".
pub const LAST_SECOND: i64 = 253_402_300_799;

impl Timestamp {
    /// From whole seconds; `None` before 1970 or after the year 9999.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        (0..=LAST_SECOND)
            .contains(&seconds)
            .then(|| Self(seconds.saturating_mul(1000)))
    }

    /// From milliseconds; `None` before 1970 or after the year 9999.
    pub fn from_millis(millis: i64) -> Option<Self> {
        (0..=LAST_SECOND.saturating_mul(1000).saturating_add(999))
            .contains(&millis)
            .then_some(Self(millis))
    }

    /// Milliseconds since 1970.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment moved later.
    #[must_use]
    pub fn after(self, lifetime: Lifetime) -> Self {
        Self(self.0.saturating_add(lifetime.0))
    }

    /// This moment moved earlier.
    #[must_use]
    pub fn before(self, lifetime: Lifetime) -> Self {
        Self(self.0.saturating_sub(lifetime.0))
    }

    /// How long ago `earlier` was; nothing when it lies in the future, as after a clock was set back.
    pub fn since(self, earlier: Self) -> Lifetime {
        Lifetime(self.0.saturating_sub(earlier.0).max(0))
    }
}

/// A length of time, in milliseconds; never negative.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(i64);

impl Lifetime {
    /// From whole seconds.
    pub const fn from_seconds(seconds: u32) -> Self {
        // A u32 of seconds times 1000 fits an i64.
        #[allow(clippy::as_conversions)]
        Self(seconds as i64 * 1000)
    }

    /// From milliseconds, negative ones count as none.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.max(0))
    }

    /// Milliseconds.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded up.
    pub fn whole_seconds(self) -> u32 {
        let seconds = self.0 / 1000 + i64::from(self.0 % 1000 != 0);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    /// Half of it.
    #[must_use]
    pub fn half(self) -> Self {
        Self(self.0 / 2)
    }
}

impl fmt::Debug for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_end_with_the_year_9999() {
        assert!(Timestamp::from_seconds(LAST_SECOND).is_some());
        assert!(Timestamp::from_seconds(LAST_SECOND + 1).is_none());
        assert!(Timestamp::from_seconds(-1).is_none());
        assert!(Timestamp::from_millis(i64::MAX).is_none());
        assert!(Timestamp::from_millis(0).is_some());
    }

    #[test]
    fn a_clock_set_back_gives_no_negative_age() {
        let now = Timestamp::from_seconds(100).unwrap();
        let later = Timestamp::from_seconds(200).unwrap();
        assert_eq!(now.since(later), Lifetime::from_seconds(0));
        assert_eq!(later.since(now), Lifetime::from_seconds(100));
    }
}
