//! A pause after failures, so that a provider that is down is not asked by every request.

use crate::time::{Lifetime, Timestamp};

/// After failures the pause doubles from one second up to this.
const LONGEST: u32 = 60;

/// How many attempts failed since the last that did not, and until when there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pause {
    failures: u32,
    begun: Option<Timestamp>,
    until: Option<Timestamp>,
    /// What shortens the next pause; zero shortens none.
    spread: u32,
}

impl Pause {
    /// Whether an attempt may be made.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        is_past(self.until, now, Lifetime::from_seconds(LONGEST))
    }

    /// Whether the last attempt failed, not long ago: what is over for longer says nothing of now.
    pub(crate) fn was_needed(&self, now: Timestamp) -> bool {
        let lately = Lifetime::from_seconds(2 * LONGEST);
        self.until
            .is_some_and(|until| until.after(lately) >= now && until <= now.after(lately))
    }

    /// How much longer it lasts, in whole seconds, at least one.
    pub(crate) fn seconds_left(&self, now: Timestamp) -> u32 {
        let millis = self.until.map_or(0, |until| until.since(now).millis());
        u32::try_from(millis.saturating_add(999) / 1000)
            .unwrap_or(LONGEST)
            .clamp(1, LONGEST)
    }

    /// An attempt of `asked_at` failed. One of before the pause says nothing new: a thousand requests
    /// may have waited for the same answer.
    pub(crate) fn begin(&mut self, asked_at: Timestamp, now: Timestamp) {
        if self
            .begun
            .is_some_and(|begun| asked_at <= begun && begun <= now)
        {
            return;
        }
        self.begun = Some(now);
        let seconds = 1_u32
            .checked_shl(self.failures)
            .unwrap_or(LONGEST)
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1).min(16);
        // Xorshift: good enough to come at another moment than others do.
        self.spread ^= self.spread << 13;
        self.spread ^= self.spread >> 17;
        self.spread ^= self.spread << 5;
        // Up to a quarter less.
        let less = i64::from(seconds).saturating_mul(i64::from(self.spread % 251));
        let pause = i64::from(seconds).saturating_mul(1000).saturating_sub(less);
        self.until = Some(now.after(Lifetime::from_millis(pause)));
    }

    /// Spreads the pauses by a seed of one's own.
    pub(super) fn spread(&mut self, seed: u32) {
        self.spread = seed;
    }

    /// An attempt succeeded.
    pub(crate) fn end(&mut self) {
        *self = Self {
            spread: self.spread,
            ..Self::default()
        };
    }
}

/// Whether a moment at most `longest` ahead has come. One that lies further ahead was set before
/// the clock was set back.
pub(super) fn is_past(moment: Option<Timestamp>, now: Timestamp, longest: Lifetime) -> bool {
    moment.is_none_or(|moment| now >= moment || moment.since(now) > longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    #[test]
    fn the_pause_doubles_up_to_a_minute() {
        let mut pause = Pause::default();
        let mut now = at(1000);
        assert!(pause.is_over(now));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            pause.begin(now, now);
            // Those that were asked for together failed together.
            pause.begin(now, now);
            pause.begin(at(900), at(now.seconds() + 1));
            assert!(!pause.is_over(at(now.seconds() + seconds - 1)), "{seconds}");
            now = at(now.seconds() + seconds);
            assert!(pause.is_over(now), "{seconds}");
        }
        pause.end();
        pause.begin(now, now);
        assert!(pause.is_over(at(now.seconds() + 1)));
    }

    #[test]
    fn with_a_seed_the_pause_is_up_to_a_quarter_shorter_and_each_is_another() {
        let mut ends = Vec::new();
        for seed in 1..=20 {
            let mut pause = Pause::default();
            pause.spread(0x9E37_79B1_u32.wrapping_mul(seed));
            for second in 995..=1000 {
                pause.begin(at(second), at(second));
            }
            assert!(!pause.is_over(at(1000 + 23)), "{seed}");
            assert!(pause.is_over(at(1000 + 32)), "{seed}");
            ends.push(pause.until.unwrap().millis());
            pause.end();
            pause.begin(at(1000), at(1000));
            assert!(pause.is_over(at(1001)));
        }
        ends.sort_unstable();
        ends.dedup();
        assert!(ends.len() > 15);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_prolong_it() {
        let mut pause = Pause::default();
        pause.begin(at(10_000), at(10_000));
        assert!(!pause.is_over(at(10_000)));
        assert!(pause.is_over(at(5000)));
        // Nor does it take a failure for one of before.
        pause.begin(at(5000), at(5000));
        assert!(!pause.is_over(at(5000)));
    }
}
