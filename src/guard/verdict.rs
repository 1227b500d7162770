//! What was decided of a token, for the next time that it comes.
//!
//! Whoever keeps verdicts keeps them by the whole token and by the need of the request, and asks
//! [`Guard::recall`] each time: the token does not change, but the time does, and so do the keys.

use crate::error::Error;
use crate::guard::{Guard, GuardConfig, Need, Principal};
use crate::http::json::{Number, Object, Value};
use crate::options::{Options, invalid};
use crate::time::{Lifetime, Timestamp};

/// How much a cache of verdicts may hold. The cache itself stands where tokens come in, because
/// looking one up costs less there than bringing it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerdictLimits {
    /// How many verdicts; with none the cache is off.
    pub entries: u32,
    /// How many bytes they may take, about.
    pub bytes: u32,
}

impl VerdictLimits {
    /// Enough for the tokens that are in use at one isolate; about a tenth of a small one's memory.
    const DEFAULT: Self = Self {
        entries: 5_000,
        bytes: 8 * 1024 * 1024,
    };

    /// Reads the option `cache`: `false`, or `maxEntries` and `maxBytes`.
    ///
    /// # Errors
    ///
    /// `config_invalid`.
    pub(super) fn from_option(value: Option<&Value>) -> Result<Self, Error> {
        match value {
            None => Ok(Self::DEFAULT),
            Some(Value::Bool(false)) => Ok(Self {
                entries: 0,
                bytes: 0,
            }),
            Some(Value::Object(object)) => Self::read(object),
            Some(_) => Err(invalid("cache")),
        }
    }

    #[inline(never)]
    fn read(object: &Object) -> Result<Self, Error> {
        let options = Options::new(object, &["maxBytes", "maxEntries"])?;
        let limit = |name, most: u32, default| match options.value(name) {
            None => Ok(default),
            Some(value) => value
                .as_number()
                .and_then(Number::as_integer)
                .and_then(|count| u32::try_from(count).ok())
                .filter(|count| (1..=most).contains(count))
                .ok_or_else(|| invalid(name)),
        };
        Ok(Self {
            entries: limit("maxEntries", 1_000_000, Self::DEFAULT.entries)?,
            bytes: limit("maxBytes", 1024 * 1024 * 1024, Self::DEFAULT.bytes)?,
        })
    }
}

/// That a token was accepted, and what has to be true for that to hold still. Only a check makes
/// one, and it is good for the guard that made it only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// From then on, as `nbf` and `iat` say, with the tolerance; in milliseconds since 1970.
    from: i64,
    /// Until just before then, as `exp` says, with the tolerance.
    until: i64,
    /// The place of the issuer among the guard's.
    place: usize,
    /// The issuer's keys at the time.
    generation: u32,
}

/// What becomes of a verdict when its token comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // It holds or it does not.
pub enum Recall {
    /// It does not hold, or nobody knows: the token has to be checked.
    CheckAnew,
    /// It holds.
    Holds,
}

impl Verdict {
    /// The verdict on a token that was just accepted; `None` when it must be checked each time.
    pub(super) fn of(
        principal: &Principal,
        need: &Need,
        place: usize,
        generation: u32,
        config: &GuardConfig,
    ) -> Option<Self> {
        let claims = principal.claims();
        // A token that is bound to a key is good together with a proof only, and each request has
        // a proof of its own (RFC 9449 section 7, RFC 8705 section 3).
        if claims.as_object().get("cnf").is_some() {
            return None;
        }
        let tolerance = config.clock_tolerance;
        let mut from = 0;
        for name in ["nbf", "iat", "auth_time"] {
            // What nobody asked for may be anything.
            if name == "auth_time" && need.max_age().is_none() {
                continue;
            }
            if let Some(date) = claims.date(name).ok()? {
                from = from.max(date.before(tolerance).millis());
            }
        }
        let mut until = principal.expires_at()?.after(tolerance).millis();
        // A bound of an age holds to the millisecond, the end of a token ends it just before.
        for (name, age) in [
            ("iat", config.max_token_age),
            ("auth_time", need.max_age().map(Lifetime::from_seconds)),
        ] {
            if let Some(age) = age {
                let last = claims.date(name).ok()??.after(age).after(tolerance);
                until = until.min(last.millis().saturating_add(1));
            }
        }
        Some(Self {
            from,
            until,
            place,
            generation,
        })
    }

    /// It also ends where something else ends that was part of the decision.
    #[must_use]
    pub(super) fn until(self, end: Timestamp) -> Self {
        Self {
            until: self.until.min(end.millis()),
            ..self
        }
    }

    /// As numbers, for a caller across a boundary: from, until (milliseconds since 1970), the
    /// issuer's place and the generation of its keys.
    pub fn to_numbers(self) -> [i64; 4] {
        [
            self.from,
            self.until,
            i64::try_from(self.place).unwrap_or(i64::MAX),
            i64::from(self.generation),
        ]
    }

    /// From such numbers; `None` when they are none.
    pub fn from_numbers([from, until, place, generation]: [i64; 4]) -> Option<Self> {
        Some(Self {
            from,
            until,
            place: usize::try_from(place).ok()?,
            generation: u32::try_from(generation).ok()?,
        })
    }
}

impl Guard {
    /// Decides whether a token that was accepted is accepted again, for the same need.
    ///
    /// Its dates are compared with `now`, and the keys of its issuer must be usable without a fetch
    /// and none of those trusted then may be gone. What it does not check: that it is the same token.
    pub fn recall(&mut self, verdict: Verdict, now: Timestamp) -> Recall {
        let Some(provider) = self.providers.get(verdict.place) else {
            return Recall::CheckAnew;
        };
        let keys = provider.keys();
        // RFC 7519 sections 4.1.4 and 4.1.5, as at the first time.
        let is_alive = (verdict.from..verdict.until).contains(&now.millis());
        let is_usable = provider.has_given_keys() || keys.is_usable(now);
        if is_alive && keys.generation() == verdict.generation && is_usable {
            self.tally.accept();
            self.note_age(verdict.place, now);
            if let Some(provider) = self.providers.get_mut(verdict.place) {
                provider.note_recall(now);
            }
            Recall::Holds
        } else {
            Recall::CheckAnew
        }
    }
}
