//! A pause after failures, so that a provider that is down is not asked by every request.

use crate::time::{Lifetime, Timestamp};

/// After failures the pause doubles from one second up to this.
const LONGEST: u32 = 60;

/// How many attempts failed since the last that did not, and until when there is none.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    failures: u32,
    until: Option<Timestamp>,
}

impl Pause {
    /// Whether an attempt may be made.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        is_past(self.until, now, Lifetime::from_seconds(LONGEST))
    }

    /// How much longer it lasts, in whole seconds, at least one.
    #[cfg(feature = "guard")]
    pub(crate) fn seconds_left(&self, now: Timestamp) -> u32 {
        let millis = self.until.map_or(0, |until| until.since(now).millis());
        u32::try_from(millis.saturating_add(999) / 1000)
            .unwrap_or(LONGEST)
            .clamp(1, LONGEST)
    }

    /// An attempt failed.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        let seconds = 1_u32
            .checked_shl(self.failures)
            .unwrap_or(LONGEST)
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1).min(16);
        self.until = Some(now.after(Lifetime::from_seconds(seconds)));
    }

    /// An attempt succeeded.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
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
            pause.begin(now);
            assert!(!pause.is_over(at(now.seconds() + seconds - 1)), "{seconds}");
            now = at(now.seconds() + seconds);
            assert!(pause.is_over(now), "{seconds}");
        }
        pause.end();
        pause.begin(now);
        assert!(pause.is_over(at(now.seconds() + 1)));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_prolong_it() {
        let mut pause = Pause::default();
        pause.begin(at(10_000));
        assert!(!pause.is_over(at(10_000)));
        assert!(pause.is_over(at(5000)));
    }
}
