//! The keys of an issuer, kept so that neither a slow nor a broken key endpoint is felt.

use crate::error::{Error, ErrorKind};
use crate::http::{HttpResponse, Purpose, Unreachable};
use crate::issuer::pause::{Pause, is_past};
use crate::jose::{Header, JwkSet, Selection};
use crate::time::{Lifetime, Timestamp};

/// For how long a set is used when the answer does not say.
const DEFAULT_AGE: u32 = 600;
/// A set is used at least so long whatever the answer says: `no-store` must not mean a fetch per request.
const LEAST_AGE: u32 = 60;
/// A set is fetched again after so long whatever the answer says: a key that was withdrawn must end.
const MOST_AGE: u32 = 24 * 3600;
/// A set that cannot be renewed serves on for so long.
const STALE_AGE: Lifetime = Lifetime::from_seconds(24 * 3600);
/// Unknown key names cause one fetch in this time, however many there are.
const COOL_DOWN: Lifetime = Lifetime::from_seconds(30);

const MEDIA_TYPES: &[&str] = &["application/json", "application/jwk-set+json"];

/// What to do for a token.
#[derive(Debug)]
#[non_exhaustive]
pub enum Plan {
    /// Try these keys; never [`Selection::None`].
    Use(Selection),
    /// Fetch the set, hand the answer to [`KeyCache::absorb`] and ask again.
    Fetch,
}

/// The keys of one issuer and when they may be fetched again.
#[derive(Debug, Default)]
pub struct KeyCache {
    set: Option<Cached>,
    /// While it lasts no fetch is made, because the last one failed.
    pause: Pause,
    /// Before this an unknown key name causes no fetch.
    cool_down_until: Option<Timestamp>,
    /// Before this no other renewal is begun.
    renewal_until: Option<Timestamp>,
    /// How often a key that was trusted stood in the next set no more.
    generation: u32,
}

#[derive(Debug)]
struct Cached {
    keys: JwkSet,
    asked_at: Timestamp,
    fetched_at: Timestamp,
    fresh_for: Lifetime,
}

impl KeyCache {
    /// Decides for a token with this header.
    ///
    /// # Errors
    ///
    /// `keys_unavailable` when there are no keys and the endpoint is given a pause,
    /// `key_not_found`, `key_unsuitable`, `key_ambiguous`.
    pub fn plan(&mut self, header: &Header, now: Timestamp) -> Result<Plan, Error> {
        let may_fetch = self.pause.is_over(now);
        let Some(cached) = &self.set else {
            return if may_fetch {
                Ok(Plan::Fetch)
            } else {
                Err(ErrorKind::KeysUnavailable.into())
            };
        };
        if !cached.is_fresh(now) {
            if may_fetch {
                return Ok(Plan::Fetch);
            }
            if cached.is_spent(now) {
                return Err(ErrorKind::KeysUnavailable.into());
            }
        }
        let selected = cached.keys.select(header);
        if let Ok(Selection::None) = selected {
            // The key may be newer than the set: after a rotation the first such token gets
            // through at once, a flood of invented names does not.
            let cooled = is_past(self.cool_down_until, now, COOL_DOWN);
            if !(may_fetch && cooled) {
                return Err(ErrorKind::KeyNotFound.into());
            }
            self.cool_down_until = Some(now.after(COOL_DOWN));
            return Ok(Plan::Fetch);
        }
        selected.map(Plan::Use)
    }

    /// Which keys are trusted: another number than before means that one of them is no more.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether [`KeyCache::plan`] would use the keys that are there, without asking for new ones.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.set
            .as_ref()
            .is_some_and(|set| set.is_fresh(now) || !(self.pause.is_over(now) || set.is_spent(now)))
    }

    /// Whether the keys are still good but not for long: four fifths of their time are over.
    pub fn is_ageing(&self, now: Timestamp) -> bool {
        self.set.as_ref().is_some_and(|set| {
            let age = now.since(set.fetched_at).millis().saturating_mul(5);
            set.is_fresh(now) && age >= set.fresh_for.millis().saturating_mul(4)
        })
    }

    /// Whether to renew them now, behind the back of those who use them. A yes is given once for
    /// `longest`, in which the answer comes or does not.
    pub fn begin_renewal(&mut self, now: Timestamp, longest: Lifetime) -> bool {
        let begins = self.is_ageing(now)
            && self.pause.is_over(now)
            && is_past(self.renewal_until, now, longest);
        if begins {
            self.renewal_until = Some(now.after(longest));
        }
        begins
    }

    pub(super) fn spread(&mut self, seed: u32) {
        self.pause.spread(seed);
    }

    /// Takes the answer of a fetch that was asked for at `asked_at`. A set that is there stays when
    /// the answer is no good, or when it was asked for later.
    ///
    /// # Errors
    ///
    /// `jwks_invalid`, `keys_unavailable`, `upstream_timeout`, `redirect_refused`,
    /// `response_too_large`; [`KeyCache::plan`] may find usable keys all the same.
    pub fn absorb(
        &mut self,
        answer: Result<HttpResponse, Unreachable>,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        match read(answer) {
            Ok((keys, fresh_for)) => {
                self.pause.end();
                let is_newer = self
                    .set
                    .as_ref()
                    .is_none_or(|set| asked_at >= set.asked_at || now < set.fetched_at);
                if is_newer {
                    let keys = match self.set.take() {
                        None => keys,
                        Some(old) => {
                            let (keys, is_complete) = keys.keeping(&old.keys);
                            if !is_complete {
                                self.generation = self.generation.wrapping_add(1);
                            }
                            keys
                        }
                    };
                    self.set = Some(Cached {
                        keys,
                        asked_at,
                        fetched_at: now,
                        fresh_for,
                    });
                }
                Ok(())
            }
            Err(error) => {
                self.pause.begin(now);
                Err(error)
            }
        }
    }
}

impl Cached {
    fn is_fresh(&self, now: Timestamp) -> bool {
        // A set from the future is one of before the clock was set back; its age is unknown.
        now >= self.fetched_at && now.since(self.fetched_at) <= self.fresh_for
    }

    /// Whether it is too old even for a time in which no other can be had.
    fn is_spent(&self, now: Timestamp) -> bool {
        now.since(self.fetched_at) > STALE_AGE
    }
}

fn read(answer: Result<HttpResponse, Unreachable>) -> Result<(JwkSet, Lifetime), Error> {
    let response = answer.map_err(|cause| match cause {
        Unreachable::Network => ErrorKind::KeysUnavailable.into(),
        cause => Error::from(cause),
    })?;
    let object = response
        .json(
            MEDIA_TYPES,
            Purpose::Keys.max_body(),
            ErrorKind::JwksInvalid,
        )
        .map_err(|error| match (error.kind(), error.details()) {
            // Any status but 200 means that there are no keys to be had now.
            (ErrorKind::UpstreamStatus, Some(details)) => {
                Error::from(ErrorKind::KeysUnavailable).with_details(details.clone())
            }
            _ => error,
        })?;
    let keys = JwkSet::read(&object)?;
    let age = response
        .max_age()
        .unwrap_or(DEFAULT_AGE)
        .clamp(LEAST_AGE, MOST_AGE);
    Ok((keys, Lifetime::from_seconds(age)))
}
