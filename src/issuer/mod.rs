//! Who may speak, with which keys. Roles are unknown here.
//!
//! A [`Provider`] is an issuer with what was learned of it: its [`Metadata`] and its keys. Two
//! flows fill it: [`Discover`] and, in front of each signature, [`Verify`].

#[cfg(feature = "backend")]
mod ask;
#[cfg(any(feature = "backend", feature = "guard"))]
mod authenticate;
mod discovery;
mod keys;
mod limits;
mod metadata;
mod pause;
mod renew;
#[cfg(any(feature = "backend", feature = "guard"))]
mod replay;
#[cfg(feature = "guard")]
mod shared_keys;
#[cfg(feature = "flows")]
mod userinfo;
mod verify;

#[cfg(any(feature = "backend", feature = "guard"))]
pub use authenticate::ClientAuthentication;
pub use discovery::{Discover, well_known_urls};
pub use keys::{KeyCache, Plan};
pub use limits::AnswerLimits;
pub use metadata::{Issuer, Metadata};
pub use renew::Renew;
#[cfg(feature = "guard")]
pub use shared_keys::{KeyTally, SharedKeys};
pub use verify::{KeyTrials, Verify};

#[cfg(feature = "backend")]
pub(crate) use ask::{Ask, Retry};
#[cfg(any(feature = "backend", feature = "guard"))]
pub(crate) use replay::Replays;
#[cfg(feature = "flows")]
pub(crate) use userinfo::{AskUserInfo, UserInfoRules};

#[cfg(any(feature = "backend", feature = "guard"))]
pub(crate) use authenticate::Shown;
#[cfg(feature = "guard")]
pub(crate) use authenticate::{bearer, push_assertion};
#[cfg(feature = "guard")]
pub(crate) use pause::Pause as AskingPause;

#[cfg(feature = "guard")]
use std::sync::Arc;

use crate::error::Error;
use crate::flow::{Checked, Reports};
use crate::http::Transport;
use crate::http::json::Value;
use crate::issuer::pause::Pause;
#[cfg(feature = "guard")]
use crate::jose::{Header, JwkSet, Selection, VerificationKey};
use crate::options::invalid;
use crate::time::{Lifetime, Timestamp};

/// For how long metadata is used before it is fetched again. Endpoints change rarely and with
/// notice; an old copy serves on when the provider is down.
const METADATA_AGE: Lifetime = Lifetime::from_seconds(24 * 3600);

/// An issuer, how it may be reached and what was learned of it so far.
#[derive(Debug)]
pub struct Provider {
    issuer: Issuer,
    transport: Transport,
    timeout: Lifetime,
    limits: AnswerLimits,
    metadata: Option<Metadata>,
    /// When the metadata was fetched; nothing when the program gave it.
    fetched_at: Option<Timestamp>,
    /// Why the last attempt to fetch the metadata failed, and when the next one may be made.
    discovery_failure: Option<Error>,
    discovery_pause: Pause,
    keys: KeyCache,
    /// In place of keys that it publishes.
    #[cfg(feature = "guard")]
    given: Option<GivenKeys>,
    reports: Vec<Checked>,
}

/// Keys that the program gave. They are good as long as it keeps them: nothing is fetched in their place.
#[cfg(feature = "guard")]
#[derive(Clone, Debug)]
enum GivenKeys {
    /// The issuer's public keys.
    Set(JwkSet),
    /// What it signs with and somebody shares. It has no name that a token could miss.
    Secret(Arc<VerificationKey>),
}

/// Reports that nobody asked for are dropped beyond this many: a sign-in makes four.
const MOST_REPORTS: usize = 16;

impl Reports for Provider {
    fn take_reports(&mut self) -> Vec<Checked> {
        core::mem::take(&mut self.reports)
    }

    #[cfg(feature = "guard")]
    fn take_alerts(&mut self) -> Vec<Error> {
        self.keys.take_alerts()
    }
}

impl Provider {
    /// A provider of which nothing is known but its issuer identifier.
    pub fn new(issuer: Issuer, transport: Transport, timeout: Lifetime) -> Self {
        Self {
            issuer,
            transport,
            timeout,
            limits: AnswerLimits::default(),
            metadata: None,
            fetched_at: None,
            discovery_failure: None,
            discovery_pause: Pause::default(),
            keys: KeyCache::default(),
            #[cfg(feature = "guard")]
            given: None,
            reports: Vec::new(),
        }
    }

    /// The same provider with what is known of it, for another client.
    #[cfg(feature = "backend")]
    pub(crate) fn sibling(&self) -> Self {
        Self {
            issuer: self.issuer.clone(),
            metadata: self.metadata.clone(),
            fetched_at: self.fetched_at,
            discovery_failure: self.discovery_failure.clone(),
            discovery_pause: self.discovery_pause.clone(),
            keys: self.keys.sibling(),
            #[cfg(feature = "guard")]
            given: self.given.clone(),
            reports: Vec::new(),
            ..*self
        }
    }

    /// Takes over what a sibling learnt, unless something newer is here.
    #[cfg(feature = "backend")]
    pub(crate) fn learn_from(&mut self, sibling: Self) {
        if sibling.fetched_at >= self.fetched_at {
            self.metadata = sibling.metadata;
            self.fetched_at = sibling.fetched_at;
            self.discovery_failure = sibling.discovery_failure;
            self.discovery_pause = sibling.discovery_pause;
        }
        if sibling.keys.fetched_at() >= self.keys.fetched_at() {
            self.keys = sibling.keys;
        }
    }

    /// From the option `issuer`: an identifier, or a metadata document that replaces discovery.
    ///
    /// # Errors
    ///
    /// `config_invalid`, `url_insecure`, `metadata_invalid`.
    pub(crate) fn from_option(
        value: Option<&Value>,
        transport: Transport,
        timeout: Lifetime,
    ) -> Result<Self, Error> {
        match value {
            Some(Value::String(text)) => Ok(Self::new(
                Issuer::parse(text, transport)?,
                transport,
                timeout,
            )),
            Some(Value::Object(document)) => {
                let text = document
                    .get("issuer")
                    .and_then(Value::as_str)
                    .ok_or_else(|| invalid("issuer"))?;
                let issuer = Issuer::parse(text, transport)?;
                let metadata = Metadata::read(document, &issuer, transport)?;
                Ok(Self {
                    metadata: Some(metadata),
                    ..Self::new(issuer, transport, timeout)
                })
            }
            _ => Err(invalid("issuer")),
        }
    }

    /// Bounds what is read of its answers.
    #[cfg(feature = "guard")]
    pub(crate) fn limit(&mut self, limits: AnswerLimits) {
        self.limits = limits;
    }

    /// Says that it signs with a shared secret: nothing is fetched from it, and no other key is tried.
    #[cfg(feature = "guard")]
    pub(crate) fn share_secret(&mut self, secret: &Arc<VerificationKey>) {
        self.given = Some(GivenKeys::Secret(Arc::clone(secret)));
    }

    /// Takes the keys of its JWK Set, in place of what `jwks_uri` would answer. One of them must be
    /// able to verify; how many there are is not bounded, because nobody else chooses them.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `jwks`.
    #[cfg(feature = "guard")]
    pub(crate) fn give_keys(&mut self, jwks: &Value) -> Result<(), Error> {
        let keys = jwks
            .as_object()
            .and_then(|object| JwkSet::read_within(object, usize::MAX).ok())
            .filter(|keys| !keys.is_empty())
            .ok_or_else(|| invalid("jwks"))?;
        self.given = Some(GivenKeys::Set(keys));
        Ok(())
    }

    /// Whether its keys were given, so that they are there as long as the guard is.
    #[cfg(feature = "guard")]
    pub(crate) fn has_given_keys(&self) -> bool {
        self.given.is_some()
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// What is known of its keys.
    pub fn keys(&self) -> &KeyCache {
        &self.keys
    }

    /// From now on its keys are shared: [`Verify`] asks for them with
    /// [`Step::Load`](crate::flow::Step::Load) where there are none or their time is over, and what
    /// was fetched waits in [`Provider::take_shared`].
    #[cfg(feature = "guard")]
    pub(crate) fn share_keys(&mut self) {
        self.keys.share(self.issuer.as_str());
    }

    /// Whether there is something to be put where others find it.
    #[cfg(feature = "guard")]
    pub(crate) fn has_shared(&self) -> bool {
        self.keys.has_shared()
    }

    /// Keys that were fetched since the last call, to be put where others find them.
    #[cfg(feature = "guard")]
    pub(crate) fn take_shared(&mut self) -> Option<SharedKeys> {
        self.keys.take_shared()
    }

    /// Notes whether they are there.
    #[cfg(feature = "guard")]
    pub(crate) fn note_put(&mut self, done: bool, now: Timestamp) {
        self.keys.note_put(done, now);
    }

    /// Notes that a token was accepted again without a look at its signature.
    #[cfg(feature = "guard")]
    pub(crate) fn note_recall(&mut self, now: Timestamp) {
        if !self.has_given_keys() {
            self.keys.note_use(now);
        }
    }

    /// How often each thing happened to its keys.
    #[cfg(feature = "guard")]
    pub(crate) fn key_tally(&self) -> &KeyTally {
        self.keys.tally()
    }

    /// Whether its keys are renewed now; a yes is given once for as long as a request may take.
    pub fn begin_renewal(&mut self, now: Timestamp) -> bool {
        self.keys.begin_renewal(now, self.timeout)
    }

    /// Spreads attempts after failures by this seed, so that many who failed together do not come
    /// back together.
    pub fn spread(&mut self, seed: u32) {
        self.discovery_pause.spread(seed);
        self.keys.spread(seed.rotate_left(16));
    }

    /// From now on requests that are made at the same time get one answer.
    #[cfg(feature = "guard")]
    pub(crate) fn share_answers(&mut self) {
        self.keys.share_answers();
    }

    /// From now on somebody renews its keys behind the back of requests.
    #[cfg(feature = "guard")]
    pub(crate) fn renew_behind(&mut self) {
        self.keys.renew_behind();
    }

    /// The metadata, once it was fetched.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// Which transports may be used to reach it.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// How long one request to it may take.
    pub fn timeout(&self) -> Lifetime {
        self.timeout
    }

    /// Notes what was checked.
    pub(crate) fn report(&mut self, subject: &'static str, checks: Vec<&'static str>) {
        if self.reports.len() == MOST_REPORTS {
            self.reports.remove(0);
        }
        self.reports.push(Checked { subject, checks });
    }

    fn needs_discovery(&self, now: Timestamp) -> bool {
        match (&self.metadata, self.fetched_at) {
            (None, _) => true,
            (Some(_), None) => false,
            // A moment in the future is one before the clock was set back.
            (Some(_), Some(at)) => now < at || now.since(at) > METADATA_AGE,
        }
    }
}

#[cfg(feature = "guard")]
impl GivenKeys {
    /// The keys that may have signed a token with this header.
    fn select(&self, header: &Header) -> Result<Selection, Error> {
        match self {
            Self::Set(keys) => keys.select(header),
            Self::Secret(key) => Ok(Selection::One(Arc::clone(key))),
        }
    }
}
