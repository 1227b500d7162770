//! The keys of an issuer, kept so that neither a slow nor a broken key endpoint is felt.

use crate::error::{Error, ErrorKind};
use crate::http::{HttpResponse, Purpose, Unreachable};
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
/// After failures the pause doubles from one second up to this.
const LONGEST_PAUSE: u32 = 60;

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
    /// How many fetches failed since the last that did not.
    failures: u32,
    /// Before this no fetch is made, because the last one failed.
    pause_until: Option<Timestamp>,
    /// Before this an unknown key name causes no fetch.
    cool_down_until: Option<Timestamp>,
}

#[derive(Debug)]
struct Cached {
    keys: JwkSet,
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
        let may_fetch = self.pause_until.is_none_or(|until| now >= until);
        let Some(cached) = &self.set else {
            return if may_fetch {
                Ok(Plan::Fetch)
            } else {
                Err(ErrorKind::KeysUnavailable.into())
            };
        };
        let age = now.since(cached.fetched_at);
        if age > cached.fresh_for {
            if may_fetch {
                return Ok(Plan::Fetch);
            }
            if age > STALE_AGE {
                return Err(ErrorKind::KeysUnavailable.into());
            }
        }
        let selected = cached.keys.select(header);
        if let Ok(Selection::None) = selected {
            // The key may be newer than the set: after a rotation the first such token gets
            // through at once, a flood of invented names does not.
            let cooled = self.cool_down_until.is_none_or(|until| now >= until);
            if !(may_fetch && cooled) {
                return Err(ErrorKind::KeyNotFound.into());
            }
            self.cool_down_until = Some(now.after(COOL_DOWN));
            return Ok(Plan::Fetch);
        }
        selected.map(Plan::Use)
    }

    /// Takes the answer of a fetch. A set that is there stays when the answer is no good.
    ///
    /// # Errors
    ///
    /// `jwks_invalid`, `keys_unavailable`, `upstream_timeout`, `redirect_refused`,
    /// `response_too_large`; [`KeyCache::plan`] may find usable keys all the same.
    pub fn absorb(
        &mut self,
        answer: Result<HttpResponse, Unreachable>,
        now: Timestamp,
    ) -> Result<(), Error> {
        match read(answer) {
            Ok((keys, fresh_for)) => {
                self.failures = 0;
                self.pause_until = None;
                self.set = Some(Cached {
                    keys,
                    fetched_at: now,
                    fresh_for,
                });
                Ok(())
            }
            Err(error) => {
                let pause = 1_u32
                    .checked_shl(self.failures)
                    .unwrap_or(LONGEST_PAUSE)
                    .min(LONGEST_PAUSE);
                self.failures = self.failures.saturating_add(1).min(16);
                self.pause_until = Some(now.after(Lifetime::from_seconds(pause)));
                Err(error)
            }
        }
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
