//! Checks a pass: decides whether the access token of a request may be used.
//!
//! The story of a check:
//!
//! 1. [`RequestFacts`] say what the request shows: the token of its `Authorization` header
//!    ([`BearerToken`]), and what proves that its sender may use it.
//! 2. [`Check`] takes it apart, chooses the issuer among those that are configured, fetches that
//!    issuer's metadata and keys when needed, and asks for the signature.
//!    A token that only its provider can read is asked about instead.
//! 3. The claims are checked by RFC 9068 or by the [`Profile`] of the issuer ([`GuardConfig`] says
//!    against what), then what this request needs ([`Need`]). What comes out is a [`Principal`].
//!    Where the issuer publishes a list of tokens that it took back, the token is looked up there.
//! 4. A token that is bound to a key or a certificate is good only with its proof: a DPoP proof
//!    ([`Dpop`]), which is good for one request, or the certificate of the connection.
//! 5. Whatever fails becomes a [`Refusal`]: a status and a challenge that tell the client what to
//!    do and an attacker nothing. A client that does not know where to get a token finds that in
//!    the [`ResourceMetadata`].
//!
//! What was accepted once is a [`Verdict`]: as long as it holds, [`Guard::recall`] accepts the same
//! token for the same need again without looking at its signature.
//!
//! What checks share is a [`Guard`]. They never import the client.

mod access_token;
mod bearer;
mod binding;
mod cache;
mod check;
mod config;
mod dpop;
mod limits;
mod opaque;
mod places;
mod policy;
mod principal;
mod profile;
mod refusal;
mod renewal;
mod request;
mod resource_metadata;
mod secret;
mod status;
mod tally;
mod verdict;

pub use bearer::BearerToken;
pub use check::Check;
pub use config::GuardConfig;
pub use dpop::{Dpop, DpopMode};
pub use limits::GuardLimits;
pub use opaque::IntrospectionTally;
pub use policy::Need;
pub use principal::{Principal, PrincipalKind};
pub use profile::Profile;
pub use refusal::{ChallengeContext, Refusal};
pub use renewal::Renewal;
pub use request::RequestFacts;
pub use resource_metadata::{Answer, ResourceMetadata};
pub use tally::Tally;
pub use verdict::{Recall, Verdict, VerdictLimits};

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Phase};
use crate::flow::Reports;
use crate::http::json::Value;
use crate::issuer::{KeyTally, Provider, Replays};
use crate::jose::{Algorithm, KnownHeaders};
use crate::options::invalid;
use opaque::Introspection;
use places::Places;
use status::StatusLists;

/// A guard: what it demands, the issuers it trusts with what is known of them, and its counts.
#[derive(Debug)]
pub struct Guard {
    config: GuardConfig,
    /// In the order of their names, none twice.
    providers: Vec<Provider>,
    /// Where each of them stands.
    places: Places,
    introspection: Option<Box<Introspection>>,
    /// Where the issuers' lists of tokens that were taken back are looked at.
    status_lists: Option<Box<StatusLists>>,
    replays: Replays,
    headers: KnownHeaders,
    /// What the tokens of each look like, at the same places.
    profiles: Vec<Arc<Profile>>,
    tally: Tally,
    alerts: Vec<Error>,
    /// The place of an issuer whose keys should be renewed.
    due: Option<usize>,
    /// The places of issuers whose keys were fetched and are to be shared.
    to_share: Vec<usize>,
}

// What was checked of a token stands in its principal.
impl Reports for Guard {
    fn take_alerts(&mut self) -> Vec<Error> {
        core::mem::take(&mut self.alerts)
    }
}

impl Guard {
    /// The configuration.
    pub fn config(&self) -> &GuardConfig {
        &self.config
    }

    /// From now on someone else remembers which proofs were used: checks ask with
    /// [`Step::Remember`](crate::flow::Step::Remember). Without, each guard remembers its own.
    pub fn remember_proofs_elsewhere(&mut self) {
        self.replays = Replays::Elsewhere;
    }

    /// Whether nonces are demanded and there is no key yet to make them with.
    pub fn lacks_nonce_key(&self) -> bool {
        self.config.dpop.lacks_nonce_key()
    }

    /// Gives the key that nonces are made with, random and from now on for this guard alone. An
    /// earlier key stays.
    pub fn give_nonce_key(&mut self, key: [u8; 32]) {
        self.config.dpop.give_nonce_key(key);
    }

    /// Whether introspection shows who we are by assertions and there is no seed yet for their names.
    pub fn lacks_seed(&self) -> bool {
        self.introspection
            .as_ref()
            .is_some_and(|it| it.lacks_seed())
    }

    /// Gives the seed of the names of assertions, from a cryptographically secure generator. An
    /// earlier one stays.
    pub fn give_seed(&mut self, seed: [u8; 32]) {
        if let Some(introspection) = &mut self.introspection {
            introspection.give_seed(seed);
        }
    }

    /// Whether a key is needed that nobody has given yet, see [`Guard::set_key`].
    pub fn lacks_key(&self) -> bool {
        self.introspection.as_ref().is_some_and(|it| it.lacks_key())
    }

    /// Says with which key the host signs when the provider is asked about tokens
    /// (`private_key_jwt`), and under which `kid` the provider knows it.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `key` when no key is needed, at `alg` for HMAC.
    pub fn set_key(&mut self, algorithm: Algorithm, key_id: Option<String>) -> Result<(), Error> {
        let introspection = self.introspection.as_mut();
        let introspection = introspection.ok_or_else(|| invalid("key"))?;
        introspection.set_key(algorithm, key_id)
    }

    /// Spreads attempts after failures by this seed, which is drawn anew for each guard.
    #[must_use]
    pub fn spread_by(mut self, seed: u32) -> Self {
        for (provider, step) in self.providers.iter_mut().zip(1_u32..) {
            // Never zero, which would spread nothing.
            provider.spread(seed.wrapping_add(step.wrapping_mul(0x9E37_79B1)) | 1);
        }
        self
    }

    /// From now on checks that ask for the same keys at the same time cost one request, and so do checks that
    /// ask about the same token, which whoever drives them sees to ([`crate::http::HttpRequest::shared_as`]
    /// and the URL of what is only read). Else only so many are let ask for a key that is not known, and
    /// each question about a token takes a place.
    #[must_use]
    pub fn sharing_answers(mut self) -> Self {
        for provider in &mut self.providers {
            provider.share_answers();
        }
        if let Some(introspection) = &mut self.introspection {
            introspection.share_answers();
        }
        self
    }

    /// The outcomes so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How often the provider was asked about a token, where the guard does that.
    pub fn introspection_tally(&self) -> Option<&IntrospectionTally> {
        self.introspection.as_ref().map(|it| it.tally())
    }

    /// What happened to the keys of all issuers together.
    pub fn key_tally(&self) -> KeyTally {
        let all = self.providers.iter().map(Provider::key_tally);
        all.fold(KeyTally::default(), |sum, one| sum.and(one))
    }

    /// All counts as JSON for JavaScript.
    pub fn tally_json(&self) -> String {
        let introspection = self.introspection_tally().map(|tally| tally.to_value());
        let counts = self.tally.to_object().with("keys", self.key_tally());
        Value::from(counts.with_some("introspection", introspection)).to_json()
    }

    /// Whether the provider is asked about this token.
    fn introspects(&self, token: &BearerToken) -> bool {
        // EXPOSE: its shape is looked at.
        let wants = |it: &Introspection| it.wants(token.expose());
        self.introspection.as_deref().is_some_and(wants)
    }

    /// Takes an acceptance back, because the program's own predicate did not say yes.
    pub fn withdraw(&mut self) -> Error {
        let error = Error::from(ErrorKind::PredicateRefused).during(Phase::Guard);
        self.tally.withdraw(&error);
        error
    }

    /// The provider of this issuer, by its place.
    fn place_of(&self, issuer: &str) -> Option<usize> {
        self.places.find(issuer, &self.providers)
    }
}
