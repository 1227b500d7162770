//! Tokens that were granted, kept until their end is near.

use crate::client::machine::Grant;
use crate::client::{Client, Tokens};
use crate::http::json::{Object, Value};
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};

/// How many are kept. Whoever needs more at the same time asks again for the oldest.
const MOST: usize = 256;

/// Tokens without a session: what came of a [`Grant`].
#[derive(Debug)]
pub struct TokenSet {
    access_token: Secret<String>,
    refresh_token: Option<Secret<String>>,
    issued_token_type: Option<String>,
    /// How it is shown; `N_A` is of no use at an API (RFC 8693 section 2.2.1).
    token_type: &'static str,
    scope: Option<String>,
    received_at: Timestamp,
    expires_in: Option<Lifetime>,
}

impl TokenSet {
    pub(super) fn new(tokens: Tokens, grant: &Grant, now: Timestamp) -> Self {
        Self {
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            issued_token_type: tokens.issued_token_type,
            token_type: tokens.token_type,
            // RFC 6749 section 5.1: no scope in the answer means the one that was asked for.
            scope: tokens.scope.or_else(|| grant.scope().map(String::from)),
            received_at: now,
            expires_in: tokens.expires_in,
        }
    }

    /// The access token.
    pub fn access_token(&self) -> &Secret<String> {
        &self.access_token
    }

    /// The refresh token, if one was issued.
    pub fn refresh_token(&self) -> Option<&Secret<String>> {
        self.refresh_token.as_ref()
    }

    /// The type of what was issued (RFC 8693 section 3), for token exchange.
    pub fn issued_token_type(&self) -> Option<&str> {
        self.issued_token_type.as_deref()
    }

    /// The scope that was granted; `None` when neither the request nor the answer names one.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// When the access token ends by the local clock, if the provider said so.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_in
            .map(|lifetime| self.received_at.after(lifetime))
    }

    /// The tokens as JSON text, with the names of the public API. It belongs where nobody reads it.
    pub fn to_json(&self) -> Secret<String> {
        // EXPOSE: whoever asked for the tokens gets them.
        let text = |secret: &Secret<String>| secret.expose().clone();
        let object = Object::new()
            .with("accessToken", text(&self.access_token))
            .with("tokenType", self.token_type)
            .with_some("expiresAt", self.expires_at().map(Timestamp::seconds))
            .with_some("scope", self.scope.as_deref())
            .with_some("refreshToken", self.refresh_token.as_ref().map(text))
            .with_some("issuedTokenType", self.issued_token_type.as_deref());
        Secret::new(Value::from(object).to_json())
    }

    fn lives(&self, skew: Lifetime, tolerance: Lifetime, now: Timestamp) -> bool {
        self.expires_in.is_none_or(|expires_in| {
            let skew = skew.min(expires_in.half());
            let left = expires_in.millis().saturating_sub(skew.millis());
            // A clock that was set back does not tell its age.
            self.received_at <= now.after(tolerance) && now.since(self.received_at).millis() < left
        })
    }
}

/// The tokens of a client, each under what was asked for.
#[derive(Debug, Default)]
pub struct Granted(Vec<(String, TokenSet)>);

impl Granted {
    fn find(&self, grant: &Grant) -> Option<&TokenSet> {
        let known = self.0.iter().find(|(key, _)| key == grant.key());
        known.map(|(_, tokens)| tokens)
    }

    fn drop(&mut self, grant: &Grant) {
        self.0.retain(|(key, _)| key != grant.key());
    }
}

impl Client {
    /// The access token for client credentials, while its end is not near: `refreshSkew` before it,
    /// but not before half of its life is over. One without a known end is good until an API
    /// refuses it.
    pub fn granted(&self, grant: &Grant, now: Timestamp) -> Option<&Secret<String>> {
        let tokens = self.machine.granted.find(grant)?;
        tokens
            .lives(self.config.refresh_skew, self.config.clock_tolerance, now)
            .then_some(&tokens.access_token)
    }

    /// The access token that was granted last, whatever its age: for one that was just asked for.
    pub fn granted_last(&self, grant: &Grant) -> Option<&Secret<String>> {
        let tokens = self.machine.granted.find(grant);
        tokens.map(|tokens| &tokens.access_token)
    }

    /// The same while it lives at all: for a provider that cannot be asked for the next one.
    pub fn granted_alive(&self, grant: &Grant, now: Timestamp) -> Option<&Secret<String>> {
        let tokens = self.machine.granted.find(grant)?;
        tokens
            .lives(Lifetime::from_seconds(0), self.config.clock_tolerance, now)
            .then_some(&tokens.access_token)
    }

    /// Forgets the access token that an API refused, unless there is another one by now.
    pub fn refused(&mut self, grant: &Grant, access_token: &str) {
        let granted = &mut self.machine.granted;
        if granted
            .find(grant)
            .is_some_and(|tokens| tokens.access_token.ct_eq(access_token))
        {
            granted.drop(grant);
        }
    }

    pub(super) fn keep_granted(&mut self, grant: &Grant, tokens: TokenSet) {
        let granted = &mut self.machine.granted;
        granted.drop(grant);
        if granted.0.len() >= MOST {
            granted.0.remove(0);
        }
        granted.0.push((grant.key().into(), tokens));
    }
}
