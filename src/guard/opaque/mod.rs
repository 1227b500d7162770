//! Tokens that only their provider can read (RFC 7662).
//!
//! The story of such a token:
//!
//! 1. [`Introspection::wants`] decides by the configuration and the token's shape, before anything
//!    of it is believed, and for good: a signed token whose signature is bad is never asked about.
//! 2. [`Introspect`] looks for an answer of before, under the hash of the whole token. If there is
//!    none, and the provider is neither down nor asked too much ([`load`]), it is asked.
//! 3. [`answer`] reads what it says and judges it for this API at this time. The judgement is made
//!    again each time that the answer is used.

mod answer;
mod config;
mod introspect;
mod load;

pub(super) use introspect::Introspect;

use answer::Kept;
use load::Load;

use crate::base64url;
use crate::error::{Error, ErrorKind};
use crate::guard::cache::Cache;
use crate::http::Url;
use crate::http::json::{Object, Value};
use crate::issuer::ClientAuthentication;
use crate::jose::{Algorithm, Compact, TokenNames};
use crate::time::{Lifetime, Timestamp};

/// How a guard introspects, and what it remembers of answers.
#[derive(Debug)]
pub(super) struct Introspection {
    /// The place of the provider that is asked among the guard's.
    provider: usize,
    authentication: ClientAuthentication,
    /// Names of assertions, once there is a seed.
    names: Option<TokenNames>,
    /// In place of the one that the metadata names.
    endpoint: Option<Url>,
    timeout: Lifetime,
    tokens: Tokens,
    audience: Audience,
    form: Form,
    asks_user: AsksUser,
    ttl: Lifetime,
    negative_ttl: Lifetime,
    /// Answers that grant one of these scopes are never kept.
    no_cache_scopes: Vec<String>,
    active: Cache<Known>,
    /// Apart from the others, so that a flood of invented tokens pushes out no good one.
    refused: Cache<Known>,
    load: Load,
    /// Whether those who ask about one token at the same time get one answer.
    shares_answers: bool,
    tally: IntrospectionTally,
}

/// Whether the claims of UserInfo are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AsksUser {
    Never,
    /// A token whose user nobody can tell of is refused.
    Required,
    /// It is good without them.
    Optional,
}

/// What is known of a token. One type for both caches: each would bring its own maps into the
/// artefact.
#[derive(Debug)]
enum Known {
    Active(Kept),
    Refused(ErrorKind),
}

/// Which tokens are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tokens {
    /// Those that are no signed tokens.
    Opaque,
    /// All of them.
    All,
}

/// Whether an answer must name an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    Required,
    IfPresent,
}

/// In which form the provider answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As plain JSON.
    Json,
    /// As a signed token (RFC 9701), and in no other form.
    Signed,
}

impl Introspection {
    /// From now on those who ask about one token at the same time get one answer, unless each is to have
    /// one of its own.
    pub(super) fn share_answers(&mut self) {
        self.shares_answers = self.ttl.millis() > 0 && self.no_cache_scopes.is_empty();
    }

    /// Whether assertions are made and there is no seed yet for their names.
    pub(super) fn lacks_seed(&self) -> bool {
        self.names.is_none() && self.authentication.makes_assertions()
    }

    /// As [`ClientAuthentication::lacks_key`].
    pub(super) fn lacks_key(&self) -> bool {
        self.authentication.lacks_key()
    }

    /// Gives the seed.
    pub(super) fn give_seed(&mut self, seed: [u8; 32]) {
        self.names.get_or_insert_with(|| TokenNames::new(seed));
    }

    /// As [`ClientAuthentication::set_key`].
    pub(super) fn set_key(
        &mut self,
        algorithm: Algorithm,
        key_id: Option<String>,
    ) -> Result<(), Error> {
        self.authentication.set_key(algorithm, key_id)
    }

    /// Whether the provider is asked about this token.
    pub(super) fn wants(&self, token: &str) -> bool {
        self.tokens == Tokens::All || !is_signed_token(token)
    }

    /// The place of the provider that is asked among the guard's.
    pub(super) fn place(&self) -> usize {
        self.provider
    }

    /// The counts so far.
    pub(super) fn tally(&self) -> &IntrospectionTally {
        &self.tally
    }
}

/// Whether a text has the shape of a signed token: three segments, the first of which is a JSON
/// object by its first character. Whether it is a good one is for others to say.
fn is_signed_token(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    Compact::is_outline(token)
        && base64url::decode(header).is_some_and(|bytes| bytes.first() == Some(&b'{'))
}

/// How often the provider was asked, and how often it was not.
#[derive(Clone, Copy, Debug, Default)]
pub struct IntrospectionTally {
    asked: u32,
    failed: u32,
    cached: u32,
    cached_refusals: u32,
    millis: i64,
}

impl IntrospectionTally {
    /// How many questions were sent.
    pub fn asked(&self) -> u32 {
        self.asked
    }

    /// How many of them were not answered as they should.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// How many tokens were found among the answers of before.
    pub fn cached(&self) -> u32 {
        self.cached
    }

    /// How many tokens were refused by an answer of before.
    pub fn cached_refusals(&self) -> u32 {
        self.cached_refusals
    }

    /// How long all answers took together.
    pub fn waited(&self) -> Lifetime {
        Lifetime::from_millis(self.millis)
    }

    fn took(&mut self, asked_at: Timestamp, now: Timestamp) {
        self.millis = self.millis.saturating_add(now.since(asked_at).millis());
    }

    /// As JSON for JavaScript.
    pub(super) fn to_value(self) -> Value {
        Object::new()
            .with("asked", i64::from(self.asked))
            .with("failed", i64::from(self.failed))
            .with("cached", i64::from(self.cached))
            .with("cachedRefusals", i64::from(self.cached_refusals))
            .with("durationMs", self.millis)
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_alone_tells_a_signed_token() {
        // {"alg":"none"}, { "alg", a broken object: whoever looks like one is treated as one.
        for token in ["eyJhbGciOiJub25lIn0.e30.", "eyAiYWxnIg.x.y", "ew.x.y"] {
            assert!(is_signed_token(token), "{token}");
        }
        for token in [
            "",
            "abc",
            "a.b.c",
            "ya29.a0Af_x",
            "eyJhbGciOiJkaXIifQ..iv.text.tag",
            "eyJhbGciOiJub25lIn0",
            "bnVsbA.x.y",
        ] {
            assert!(!is_signed_token(token), "{token}");
        }
    }
}
