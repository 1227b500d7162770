//! Checks a pass: decides whether the access token of a request may be used.
//!
//! The story of a check:
//!
//! 1. [`BearerToken::read`] takes the token out of the `Authorization` header.
//! 2. [`Check`] takes it apart, chooses the issuer among those that are configured, fetches that
//!    issuer's metadata and keys when needed, and asks for the signature.
//!    A token that only its provider can read is asked about instead.
//! 3. The claims are checked by RFC 9068 ([`GuardConfig`] says against what), then what this request
//!    needs ([`Need`]). What comes out is a [`Principal`].
//! 4. Whatever fails becomes a [`Refusal`]: a status and a challenge that tell the client what to
//!    do and an attacker nothing.
//!
//! What was accepted once is a [`Verdict`]: as long as it holds, [`Guard::recall`] accepts the same
//! token for the same need again without looking at its signature.
//!
//! What checks share is a [`Guard`]. They never import the client.

mod access_token;
mod bearer;
mod cache;
mod check;
mod config;
mod opaque;
mod policy;
mod principal;
mod refusal;
mod tally;
mod verdict;

pub use bearer::BearerToken;
pub use check::Check;
pub use config::GuardConfig;
pub use opaque::IntrospectionTally;
pub use policy::Need;
pub use principal::Principal;
pub use refusal::Refusal;
pub use tally::Tally;
pub use verdict::{Recall, Verdict, VerdictLimits};

use crate::error::Error;
use crate::flow::Reports;
use crate::http::json::Value;
use crate::issuer::Provider;
use opaque::Introspection;

/// A guard: what it demands, the issuers it trusts with what is known of them, and its counts.
#[derive(Debug)]
pub struct Guard {
    config: GuardConfig,
    providers: Vec<Provider>,
    introspection: Option<Box<Introspection>>,
    tally: Tally,
    alerts: Vec<Error>,
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

    /// The outcomes so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How often the provider was asked about a token, where the guard does that.
    pub fn introspection_tally(&self) -> Option<&IntrospectionTally> {
        self.introspection.as_ref().map(|it| it.tally())
    }

    /// All counts as JSON for JavaScript.
    pub fn tally_json(&self) -> String {
        let introspection = self.introspection_tally().map(|tally| tally.to_value());
        let counts = self.tally.to_object();
        Value::from(counts.with_some("introspection", introspection)).to_json()
    }

    /// Whether the provider is asked about this token.
    fn introspects(&self, token: &BearerToken) -> bool {
        // EXPOSE: its shape is looked at.
        let wants = |it: &Introspection| it.wants(token.expose());
        self.introspection.as_deref().is_some_and(wants)
    }

    /// The provider of this issuer, by its place.
    fn place_of(&self, issuer: &str) -> Option<usize> {
        self.providers
            .iter()
            .position(|provider| provider.issuer().as_str() == issuer)
    }
}
