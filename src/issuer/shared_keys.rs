//! Keys that were fetched, for whoever else checks tokens of the same issuer: a second tier behind
//! each guard's own keys.
//!
//! What comes back from there is somebody's text. It is read as strictly as an answer from the
//! network, and it is good for as long as the fetch of which it tells, never longer.

use sha2::{Digest as _, Sha256};

use crate::base64url;
use crate::error::{Error, ErrorKind, Phase};
use crate::http::Unreachable;
use crate::http::json::{self, Number, Object, Value};
use crate::issuer::AnswerLimits;
use crate::issuer::keys::{Fetched, MOST_AGE, STALE_AGE};
use crate::issuer::pause::Pause;
use crate::jose::JwkSet;
use crate::time::{Lifetime, Timestamp};

/// What this text looks like; another version is another text.
const VERSION: i64 = 1;
/// How far the clock of whoever wrote an entry may be ahead of ours.
const MOST_AHEAD: Lifetime = Lifetime::from_seconds(60);
/// What stands around the keys: names, two numbers and the issuer, which has 2,000 characters at most.
const FRAME: usize = 16 * 1024;

/// Keys to be put where other isolates or servers find them. They are public.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedKeys {
    /// The issuer whose keys they are.
    pub issuer: String,
    /// The name of the entry: up to 64 letters, digits, `-` and `_`, the same for everybody who
    /// asks for this issuer.
    pub key: String,
    /// What is put there.
    pub text: String,
    /// For how long it is of use.
    pub lifetime: Lifetime,
}

impl SharedKeys {
    /// The longest text that is looked at: of the largest set that a program may allow.
    pub const MAX_BYTES: usize = AnswerLimits::MOST_BYTES + FRAME;
}

/// How often each thing happened to the keys of a guard.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct KeyTally {
    /// Answers with keys that were taken.
    pub fetched: u32,
    /// How many of them were no good; where many waited for one, each counts.
    pub failed: u32,
    /// Tokens that were judged with keys whose time was over, because no newer ones could be had.
    pub stale: u32,
    /// How often the shared cache had good keys.
    pub shared_hits: u32,
    /// How often it had none.
    pub shared_misses: u32,
    /// How often it did not answer, or with something else than keys of this issuer.
    pub shared_failures: u32,
}

impl KeyTally {
    /// Both together.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        Self {
            fetched: self.fetched.saturating_add(other.fetched),
            failed: self.failed.saturating_add(other.failed),
            stale: self.stale.saturating_add(other.stale),
            shared_hits: self.shared_hits.saturating_add(other.shared_hits),
            shared_misses: self.shared_misses.saturating_add(other.shared_misses),
            shared_failures: self.shared_failures.saturating_add(other.shared_failures),
        }
    }
}

impl From<KeyTally> for Value {
    fn from(tally: KeyTally) -> Self {
        Object::new()
            .with("fetched", tally.fetched)
            .with("failed", tally.failed)
            .with("stale", tally.stale)
            .with("sharedHits", tally.shared_hits)
            .with("sharedMisses", tally.shared_misses)
            .with("sharedFailures", tally.shared_failures)
            .into()
    }
}

/// Whether keys are shared, under which name, and what is still to be put there.
#[derive(Debug)]
pub(super) struct Sharing {
    issuer: String,
    key: String,
    /// While it lasts the cache is not asked, because it did not answer.
    pause: Pause,
    due: Option<SharedKeys>,
}

impl Sharing {
    pub(super) fn new(issuer: &str) -> Self {
        let mut key = String::from("gatepass-keys-1-");
        key.push_str(&base64url::encode(&Sha256::digest(issuer.as_bytes())));
        Self {
            issuer: issuer.into(),
            key,
            pause: Pause::default(),
            due: None,
        }
    }

    /// The name to ask for, unless asking is no use.
    pub(super) fn key(&self, now: Timestamp) -> Option<&str> {
        self.pause.is_over(now).then_some(&*self.key)
    }

    pub(super) fn spread(&mut self, seed: u32) {
        self.pause.spread(seed);
    }

    /// Notes that a set was fetched, to be put when there is time.
    pub(super) fn note(&mut self, document: &Object, fetched_at: Timestamp, fresh_for: Lifetime) {
        let text = Value::from(
            Object::new()
                .with("version", VERSION)
                .with("issuer", &*self.issuer)
                .with("fetchedAt", fetched_at.millis())
                .with("maxAge", fresh_for.whole_seconds())
                .with("keys", public_keys(document)),
        )
        .to_json();
        self.due = Some(SharedKeys {
            issuer: self.issuer.clone(),
            key: self.key.clone(),
            text,
            lifetime: Lifetime::from_millis(fresh_for.millis().saturating_add(STALE_AGE.millis())),
        });
    }

    pub(super) fn is_due(&self) -> bool {
        self.due.is_some()
    }

    pub(super) fn take(&mut self) -> Option<SharedKeys> {
        self.due.take()
    }

    /// Reads what the cache answered; `None` when it has nothing.
    ///
    /// # Errors
    ///
    /// `shared_cache_unavailable` when it did not answer, `shared_cache_invalid` when its text is
    /// not that of keys of this issuer. Both are for the operator: the keys are fetched then.
    pub(super) fn read(
        &mut self,
        answer: Result<Option<String>, Unreachable>,
        asked_at: Timestamp,
        limits: &AnswerLimits,
        now: Timestamp,
    ) -> Result<Option<Fetched>, Error> {
        let text = match answer {
            Ok(text) => text,
            Err(Unreachable::TooLarge) => return Err(invalid()),
            Err(_) => {
                self.pause.begin(asked_at, now);
                return Err(unavailable());
            }
        };
        self.pause.end();
        text.map(|text| parse(&text, &self.issuer, limits, now).ok_or_else(invalid))
            .transpose()
    }

    /// Notes whether what was to be put is there.
    ///
    /// # Errors
    ///
    /// `shared_cache_unavailable` when it is not.
    pub(super) fn put(&mut self, done: bool, now: Timestamp) -> Result<(), Error> {
        if done {
            return Ok(());
        }
        self.pause.begin(now, now);
        Err(unavailable())
    }
}

fn invalid() -> Error {
    Error::from(ErrorKind::SharedCacheInvalid).during(Phase::Keys)
}

fn unavailable() -> Error {
    Error::from(ErrorKind::SharedCacheUnavailable).during(Phase::Keys)
}

/// The keys of a set that may be used. Of the others only their names go along: a provider may have
/// published more than it should.
fn public_keys(document: &Object) -> Value {
    let keys = document.get("keys").and_then(Value::as_array);
    let keys: Vec<Value> = keys
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_object)
        .map(|jwk| {
            if crate::jose::VerificationKey::read(jwk).is_some() {
                jwk.clone().into()
            } else {
                let name = jwk.get("kid").and_then(Value::as_str);
                Object::new().with_some("kid", name).into()
            }
        })
        .collect();
    Value::Array(keys)
}

/// `None` when it is not a text of ours about this issuer, and when it is too old for any use.
fn parse(text: &str, issuer: &str, limits: &AnswerLimits, now: Timestamp) -> Option<Fetched> {
    let longest = limits.key_set.saturating_add(FRAME);
    let entry = json::read_object(text.as_bytes(), longest).ok()?;
    let number = |name| entry.get(name)?.as_number().and_then(Number::as_integer);
    if number("version")? != VERSION || entry.get("issuer")?.as_str()? != issuer {
        return None;
    }
    let fetched_at = Timestamp::from_millis(number("fetchedAt")?)?;
    let fresh_for = u32::try_from(number("maxAge")?).ok()?;
    if fresh_for > MOST_AGE || fetched_at > now.after(MOST_AHEAD) {
        return None;
    }
    let keys = JwkSet::read_within(&entry, limits.keys).ok()?;
    // Where the clocks differ it ends earlier than it says, not later.
    let fetched_at = fetched_at.min(now);
    let fetched = Fetched {
        keys,
        asked_at: fetched_at,
        fetched_at,
        fresh_for: Lifetime::from_seconds(fresh_for),
    };
    (!fetched.is_spent(now)).then_some(fetched)
}
