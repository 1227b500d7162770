//! The keys of an issuer, kept so that a broken key endpoint is not felt, and a slow one only where no
//! request came in the last fifth of their time: then by one round of requests, once.

use crate::error::{Error, ErrorKind};
use crate::http::json::Object;
use crate::http::{HttpResponse, Unreachable};
use crate::issuer::AnswerLimits;
use crate::issuer::pause::{Pause, is_past};
#[cfg(feature = "guard")]
use crate::issuer::shared_keys::{KeyTally, SharedKeys, Sharing};
use crate::jose::{Header, JwkSet, Selection};
use crate::time::{Lifetime, Timestamp};

/// For how long a set is used when the answer does not say.
const DEFAULT_AGE: u32 = 600;
/// A set is used at least so long whatever the answer says: `no-store` must not mean a fetch per request.
const LEAST_AGE: u32 = 60;
/// A set is fetched again after so long whatever the answer says: a key that was withdrawn must end.
pub(super) const MOST_AGE: u32 = 24 * 3600;
/// A set that cannot be renewed serves on for so long after its time (RFC 5861 section 4).
pub(super) const STALE_AGE: Lifetime = Lifetime::from_seconds(24 * 3600);
/// After the answer to a fetch for an unknown key name others cause none for so long.
const COOL_DOWN: Lifetime = Lifetime::from_seconds(30);
/// For so long an answer to it is waited for. A runtime may drop the request that asked.
const SEARCH: Lifetime = Lifetime::from_seconds(10);
/// While keys serve on behind which they are asked for, that takes at most so long. A runtime may drop it.
const BEHIND: Lifetime = Lifetime::from_seconds(10);
/// No renewal takes longer: three requests, where the metadata may stand at two places.
const LONGEST_RENEWAL: Lifetime = Lifetime::from_seconds(3 * 120);
/// So many requests may ask in this time, where none can wait for another's answer.
const MOST_ASKING: u32 = 16;

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
    set: Option<Fetched>,
    /// While it lasts no fetch is made, because the last one failed.
    pause: Pause,
    /// The search for unknown key names that is under way.
    search: Option<Search>,
    /// Before this an unknown key name causes no fetch.
    cool_down_until: Option<Timestamp>,
    /// Whether requests that ask at the same time get one answer.
    shares_answers: bool,
    /// Before this no other renewal is begun.
    renewal_until: Option<Timestamp>,
    /// Whether somebody renews keys behind the back of requests.
    renews_behind: bool,
    /// Until then an attempt after one that failed is left to a renewal.
    behind_until: Option<Timestamp>,
    /// How often a key that was trusted stood in the next set no more.
    generation: u32,
    #[cfg(feature = "guard")]
    notes: Notes,
}

/// When it was begun, and how many asked since.
#[derive(Clone, Copy, Debug)]
struct Search {
    since: Timestamp,
    asked: u32,
}

/// What others are told of.
#[cfg(feature = "guard")]
#[derive(Debug, Default)]
struct Notes {
    sharing: Option<Box<Sharing>>,
    tally: KeyTally,
    alerts: Vec<Error>,
    /// Whether it was told since the last attempt that keys are used whose time is over.
    stale_was_told: bool,
}

/// A set and when it came from the provider.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) keys: JwkSet,
    pub(super) asked_at: Timestamp,
    pub(super) fetched_at: Timestamp,
    pub(super) fresh_for: Lifetime,
}

impl KeyCache {
    /// The same keys for another holder, who shares them with nobody and has nothing to tell.
    #[cfg(feature = "backend")]
    pub(super) fn sibling(&self) -> Self {
        Self {
            set: self.set.clone(),
            pause: self.pause.clone(),
            #[cfg(feature = "guard")]
            notes: Notes::default(),
            ..*self
        }
    }

    /// When the keys that are there came from the provider.
    #[cfg(feature = "backend")]
    pub(super) fn fetched_at(&self) -> Option<Timestamp> {
        self.set.as_ref().map(|set| set.fetched_at)
    }

    /// Decides for a token with this header.
    ///
    /// # Errors
    ///
    /// `keys_unavailable` when there are no keys and the endpoint is given a pause,
    /// `key_not_found`, `key_unsuitable`, `key_ambiguous`.
    pub fn plan(&mut self, header: &Header, now: Timestamp) -> Result<Plan, Error> {
        let may_fetch = self.pause.is_over(now);
        let Some(cached) = self.set.as_ref().filter(|_| self.serves(now)) else {
            return if may_fetch {
                Ok(Plan::Fetch)
            } else {
                Err(self.unavailable(now))
            };
        };
        if !cached.is_fresh(now) && may_fetch {
            self.behind_until.get_or_insert(now.after(BEHIND));
        }
        let selected = cached.keys.select(header);
        #[cfg(feature = "guard")]
        if !cached.is_fresh(now)
            && matches!(selected, Ok(Selection::One(_) | Selection::Several(_)))
        {
            self.notes.use_stale();
        }
        if let Ok(Selection::None) = selected {
            if !may_fetch {
                // Nobody knows whether there is such a key.
                return Err(self.unavailable(now));
            }
            return self.search(now).map(|()| Plan::Fetch);
        }
        selected.map(Plan::Use)
    }

    /// The key may be newer than the set: after a rotation the first such tokens get through at once,
    /// a flood of invented names does not.
    fn search(&mut self, now: Timestamp) -> Result<(), Error> {
        if !is_past(self.cool_down_until, now, COOL_DOWN) {
            return Err(ErrorKind::KeyNotFound.into());
        }
        let is_under_way =
            |search: &Search| !is_past(Some(search.since.after(SEARCH)), now, SEARCH);
        let begun = Search {
            since: now,
            asked: 0,
        };
        let mut search = self.search.filter(is_under_way).unwrap_or(begun);
        if search.asked >= MOST_ASKING && !self.shares_answers {
            // Nobody knows yet whether there is such a key.
            return Err(Error::from(ErrorKind::KeysUnavailable).retry_after(1));
        }
        search.asked = search.asked.saturating_add(1);
        self.search = Some(search);
        Ok(())
    }

    /// Nothing is asked after all: what was fetched just now does not have the key.
    pub(super) fn end_search(&mut self, now: Timestamp) {
        if self.search.is_some_and(|search| search.asked == 1) {
            self.search = None;
            self.cool_down_until = Some(now.after(COOL_DOWN));
        }
    }

    /// From now on requests that ask at the same time get one answer: they cost the provider as much as
    /// one.
    #[cfg(feature = "guard")]
    pub(super) fn share_answers(&mut self) {
        self.shares_answers = true;
    }

    fn unavailable(&self, now: Timestamp) -> Error {
        Error::from(ErrorKind::KeysUnavailable).retry_after(self.pause.seconds_left(now))
    }

    /// Which keys are trusted: another number than before means that one of them is no more.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether [`KeyCache::plan`] uses the keys that are there, without asking for new ones: their time
    /// is not over, or others were asked for in vain a moment ago, or will be behind the back of requests.
    pub(super) fn serves(&self, now: Timestamp) -> bool {
        let Some(set) = &self.set else { return false };
        let was_in_vain = || !self.pause.is_over(now) || self.is_left_behind(now);
        set.is_fresh(now) || (!set.is_spent(now) && was_in_vain())
    }

    /// Whether the next attempt after one that failed is for a renewal to make: an endpoint that hangs
    /// must not hold up requests again after each pause.
    fn is_left_behind(&self, now: Timestamp) -> bool {
        let is_missed = |until| is_past(Some(until), now, LONGEST_RENEWAL);
        self.renews_behind
            && self.pause.was_needed(now)
            && !self.behind_until.is_some_and(is_missed)
    }

    /// From now on somebody renews keys behind the back of requests, where [`KeyCache::is_ageing`] says.
    #[cfg(feature = "guard")]
    pub(super) fn renew_behind(&mut self) {
        self.renews_behind = true;
    }

    /// As [`KeyCache::plan`], for a token that was checked before.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        // One of them is checked anew, and has them renewed.
        let is_asked_for = !self.pause.is_over(now) || self.behind_until.is_some();
        let is_fresh = self.set.as_ref().is_some_and(|set| set.is_fresh(now));
        self.serves(now) && (is_fresh || is_asked_for)
    }

    /// Whether [`KeyCache::plan`] would fetch keys for any token: there are none whose time is not
    /// over, and the endpoint is not given a pause.
    #[cfg(feature = "flows")]
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        !self.set.as_ref().is_some_and(|set| set.is_fresh(now)) && self.pause.is_over(now)
    }

    /// Whether the keys are to be renewed: they are still good but not for long, because four fifths of
    /// their time are over, or an attempt is due after one that failed.
    pub fn is_ageing(&self, now: Timestamp) -> bool {
        self.set.as_ref().is_some_and(|set| {
            let age = now.since(set.fetched_at).millis().saturating_mul(5);
            match set.is_fresh(now) {
                true => age >= set.fresh_for.millis().saturating_mul(4),
                false => self.behind_until.is_some() && self.serves(now),
            }
        })
    }

    /// Whether to renew them now, behind the back of those who use them. A yes is given once for
    /// `longest`, in which the answer comes or does not.
    pub fn begin_renewal(&mut self, now: Timestamp, longest: Lifetime) -> bool {
        let begins = self.is_ageing(now)
            && self.pause.is_over(now)
            && is_past(self.renewal_until, now, longest);
        if begins {
            let until = now.after(longest);
            self.renewal_until = Some(until);
            let behind = until.after(longest).after(longest);
            self.behind_until = self.behind_until.map(|before| before.max(behind));
        }
        begins
    }

    pub(super) fn spread(&mut self, seed: u32) {
        self.pause.spread(seed);
        #[cfg(feature = "guard")]
        if let Some(sharing) = &mut self.notes.sharing {
            sharing.spread(seed.rotate_left(8) | 1);
        }
    }

    /// Whether somebody who waited for the same answer as whoever asked then has read it.
    pub(super) fn has_read_since(&self, asked_at: Timestamp, now: Timestamp) -> bool {
        // Not one of before the clock was set back.
        let is_newer = |set: &Fetched| asked_at < set.fetched_at && set.fetched_at <= now;
        self.shares_answers && self.set.as_ref().is_some_and(is_newer)
    }

    /// Whether there are keys whose time is not over.
    #[cfg(feature = "guard")]
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.set.as_ref().is_some_and(|set| set.is_fresh(now))
    }

    /// Notes that no keys can be asked for because it is unknown where they are. Whether there are
    /// any to go on with.
    #[cfg(feature = "guard")]
    pub(super) fn go_without(&mut self, now: Timestamp) -> bool {
        let is_usable = self.set.as_ref().is_some_and(|set| !set.is_spent(now));
        if is_usable {
            self.give_up(now);
        }
        is_usable
    }

    /// Notes that an attempt ended without an answer about keys.
    pub(super) fn give_up(&mut self, now: Timestamp) {
        self.behind_until = None;
        if self.pause.is_over(now) {
            self.pause.begin(now, now);
        }
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
        limits: &AnswerLimits,
        now: Timestamp,
    ) -> Result<(), Error> {
        let is_found_out = self.search.is_some_and(|search| asked_at >= search.since);
        if is_found_out {
            self.search = None;
        }
        self.behind_until = None;
        let read = read(answer, limits);
        #[cfg(feature = "guard")]
        self.notes.fetched(read.is_ok());
        match read {
            Ok((document, keys, fresh_for)) => {
                self.pause.end();
                if is_found_out {
                    self.cool_down_until = Some(now.after(COOL_DOWN));
                }
                // It is for whom keys are shared with.
                #[cfg(not(feature = "guard"))]
                drop(document);
                #[cfg(feature = "guard")]
                if let Some(sharing) = &mut self.notes.sharing {
                    sharing.note(&document, now, fresh_for);
                }
                self.replace(
                    Fetched {
                        keys,
                        asked_at,
                        fetched_at: now,
                        fresh_for,
                    },
                    now,
                );
                Ok(())
            }
            Err(error) => {
                self.pause.begin(asked_at, now);
                Err(error.retry_after(self.pause.seconds_left(now)))
            }
        }
    }

    /// Takes a set unless the one that is there is newer.
    fn replace(&mut self, mut new: Fetched, now: Timestamp) {
        if let Some(old) = &self.set {
            if new.asked_at < old.asked_at && now >= old.fetched_at {
                return;
            }
            let (keys, is_complete) = new.keys.keeping(&old.keys);
            if !is_complete {
                self.generation = self.generation.wrapping_add(1);
            }
            new.keys = keys;
        }
        self.set = Some(new);
    }
}

#[cfg(feature = "guard")]
impl KeyCache {
    /// From now on keys that were fetched are shared, and looked for there before they are fetched.
    pub(super) fn share(&mut self, issuer: &str) {
        self.notes.sharing = Some(Box::new(Sharing::new(issuer)));
    }

    /// Under which name to look for shared keys: only where there are none of one's own or their
    /// time is over, never for a name that is unknown or for a renewal.
    pub(super) fn shared_key(&self, now: Timestamp) -> Option<&str> {
        if self.serves(now) || !self.pause.is_over(now) {
            return None;
        }
        self.notes.sharing.as_ref()?.key(now)
    }

    /// Takes what the shared cache answered. It never fails: without it the keys are fetched.
    pub(super) fn absorb_shared(
        &mut self,
        answer: Result<Option<String>, Unreachable>,
        asked_at: Timestamp,
        limits: &AnswerLimits,
        now: Timestamp,
    ) {
        let Some(sharing) = &mut self.notes.sharing else {
            return;
        };
        let read = sharing.read(answer, asked_at, limits, now);
        let is_fresh = matches!(&read, Ok(Some(set)) if set.is_fresh(now));
        let tally = &mut self.notes.tally;
        let count = match &read {
            // What is old may be better than nothing, but it is asked for all the same.
            Ok(_) if !is_fresh => &mut tally.shared_misses,
            Ok(_) => &mut tally.shared_hits,
            Err(_) => &mut tally.shared_failures,
        };
        *count = count.saturating_add(1);
        match read {
            Ok(Some(set)) => self.replace(set, now),
            Ok(None) => {}
            Err(alert) => self.notes.alerts.push(alert),
        }
    }

    /// Whether there is something to be put into the shared cache.
    pub(super) fn has_shared(&self) -> bool {
        self.notes.sharing.as_ref().is_some_and(|it| it.is_due())
    }

    /// What is to be put into the shared cache, once.
    pub(super) fn take_shared(&mut self) -> Option<SharedKeys> {
        self.notes.sharing.as_mut()?.take()
    }

    /// Notes whether it was put there.
    pub(super) fn note_put(&mut self, done: bool, now: Timestamp) {
        if let Some(sharing) = &mut self.notes.sharing
            && let Err(alert) = sharing.put(done, now)
        {
            let failures = &mut self.notes.tally.shared_failures;
            *failures = failures.saturating_add(1);
            self.notes.alerts.push(alert);
        }
    }

    /// Notes that a token was judged again with the keys that are there.
    pub(super) fn note_use(&mut self, now: Timestamp) {
        if !self.is_fresh(now) {
            self.notes.use_stale();
        }
    }

    pub(super) fn take_alerts(&mut self) -> Vec<Error> {
        core::mem::take(&mut self.notes.alerts)
    }

    pub(super) fn tally(&self) -> &KeyTally {
        &self.notes.tally
    }
}

#[cfg(feature = "guard")]
impl Notes {
    fn fetched(&mut self, is_good: bool) {
        self.stale_was_told = false;
        self.tally.fetched = self.tally.fetched.saturating_add(1);
        if !is_good {
            self.tally.failed = self.tally.failed.saturating_add(1);
        }
    }

    fn use_stale(&mut self) {
        self.tally.stale = self.tally.stale.saturating_add(1);
        // Once for each attempt that failed, not for each token.
        if !core::mem::replace(&mut self.stale_was_told, true) {
            let alert = Error::from(ErrorKind::KeysStale);
            self.alerts.push(alert.during(crate::error::Phase::Keys));
        }
    }
}

impl Fetched {
    fn is_fresh(&self, now: Timestamp) -> bool {
        // A set from the future is one of before the clock was set back; its age is unknown.
        now >= self.fetched_at && now.since(self.fetched_at) <= self.fresh_for
    }

    /// Whether it is too old even for a time in which no other can be had.
    pub(super) fn is_spent(&self, now: Timestamp) -> bool {
        now > self.fetched_at.after(self.fresh_for).after(STALE_AGE)
    }
}

fn read(
    answer: Result<HttpResponse, Unreachable>,
    limits: &AnswerLimits,
) -> Result<(Object, JwkSet, Lifetime), Error> {
    let response = answer.map_err(|cause| match cause {
        Unreachable::Network => ErrorKind::KeysUnavailable.into(),
        cause => Error::from(cause),
    })?;
    let object = response
        .json(MEDIA_TYPES, limits.key_set, ErrorKind::JwksInvalid)
        .map_err(|error| match (error.kind(), error.details()) {
            // Any status but 200 means that there are no keys to be had now.
            (ErrorKind::UpstreamStatus, Some(details)) => {
                Error::from(ErrorKind::KeysUnavailable).with_details(details.clone())
            }
            _ => error,
        })?;
    let keys = JwkSet::read_within(&object, limits.keys)?;
    let age = response
        .max_age()
        .unwrap_or(DEFAULT_AGE)
        .clamp(LEAST_AGE, MOST_AGE);
    Ok((object, keys, Lifetime::from_seconds(age)))
}
