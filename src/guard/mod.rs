//! Checks a pass: decides whether the access token of a request may be used.
//!
//! The story of a check:
//!
//! 1. [`BearerToken::read`] takes the token out of the `Authorization` header.
//! 2. [`Check`] takes it apart, chooses the issuer among those that are configured, fetches that
//!    issuer's metadata and keys when needed, and asks for the signature.
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
mod check;
mod config;
mod policy;
mod principal;
mod refusal;
mod tally;
mod verdict;

pub use bearer::BearerToken;
pub use check::Check;
pub use config::GuardConfig;
pub use policy::Need;
pub use principal::Principal;
pub use refusal::Refusal;
pub use tally::Tally;
pub use verdict::{Recall, Verdict, VerdictLimits};

use crate::flow::Reports;
use crate::issuer::Provider;

/// A guard: what it demands, the issuers it trusts with what is known of them, and its counts.
#[derive(Debug)]
pub struct Guard {
    config: GuardConfig,
    providers: Vec<Provider>,
    tally: Tally,
}

// What was checked of a token stands in its principal.
impl Reports for Guard {}

impl Guard {
    /// The configuration.
    pub fn config(&self) -> &GuardConfig {
        &self.config
    }

    /// The outcomes so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The provider of this issuer, by its place.
    fn place_of(&self, issuer: &str) -> Option<usize> {
        self.providers
            .iter()
            .position(|provider| provider.issuer().as_str() == issuer)
    }
}
