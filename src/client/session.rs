//! What a signed-in client holds, and when it may be used.

use crate::client::{ClientConfig, Tokens};
use crate::jose::Claims;
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};

/// The tokens of someone who signed in.
#[derive(Debug)]
pub struct Session {
    access_token: Secret<String>,
    refresh_token: Option<Secret<String>>,
    /// The ID token as it came, for `id_token_hint`.
    id_token: Option<Secret<String>>,
    user: Option<Claims>,
    /// The claims of the sign-in itself, with which every later ID token is compared.
    signed_in_as: Option<Claims>,
    scope: String,
    /// By the local clock, from the moment in which the answer came: a clock that is hours off
    /// still measures a lifetime right.
    received_at: Timestamp,
    expires_in: Option<Lifetime>,
}

/// What can be done now.
#[derive(Debug)]
#[non_exhaustive]
pub enum Attach<'a> {
    /// Use this access token.
    Token(&'a Secret<String>),
    /// Renew first.
    Refresh,
    /// Somebody has to sign in.
    LoginRequired,
}

impl Session {
    /// A session from a token response and, with `openid`, the claims of its ID token.
    pub(super) fn new(
        tokens: Tokens,
        user: Option<Claims>,
        asked_scope: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            id_token: tokens.id_token,
            signed_in_as: user.clone(),
            user,
            // RFC 6749 section 5.1: no scope in the answer means the one that was asked for.
            scope: tokens.scope.unwrap_or_else(|| asked_scope.into()),
            received_at: now,
            expires_in: tokens.expires_in,
        }
    }

    /// This session after a refresh: what the answer leaves out stays (RFC 6749 section 6).
    pub(super) fn renewed(&self, tokens: Tokens, user: Option<Claims>, now: Timestamp) -> Self {
        Self {
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token.or_else(|| self.refresh_token.clone()),
            id_token: tokens.id_token.or_else(|| self.id_token.clone()),
            signed_in_as: self.signed_in_as.clone().or_else(|| user.clone()),
            user: user.or_else(|| self.user.clone()),
            scope: tokens.scope.unwrap_or_else(|| self.scope.clone()),
            received_at: now,
            expires_in: tokens.expires_in,
        }
    }

    /// The access token, if it lives long enough; else what has to come first.
    ///
    /// A token is renewed `refresh_skew` before its end, but not before half of its life is over,
    /// so that short-lived ones are not renewed at every use.
    pub fn attach(&self, config: &ClientConfig, now: Timestamp) -> Attach<'_> {
        let Some(expires_in) = self.expires_in else {
            // RFC 6749 section 5.1 only recommends expires_in; the API will say when it is over.
            return Attach::Token(&self.access_token);
        };
        let age = now.since(self.received_at);
        let skew = config.refresh_skew.min(expires_in.half());
        let renew_at = Lifetime::from_millis(expires_in.millis().saturating_sub(skew.millis()));
        if age < renew_at {
            return Attach::Token(&self.access_token);
        }
        match self.refresh_token {
            Some(_) => Attach::Refresh,
            None if age < expires_in => Attach::Token(&self.access_token),
            None => Attach::LoginRequired,
        }
    }

    /// The access token whatever its age: for one that was just renewed.
    pub fn access_token(&self) -> &Secret<String> {
        &self.access_token
    }

    /// The access token while it lives: for a provider that cannot be reached to renew it.
    pub fn access_token_alive(&self, now: Timestamp) -> Option<&Secret<String>> {
        let age = now.since(self.received_at);
        self.expires_in
            .is_none_or(|lifetime| age < lifetime)
            .then_some(&self.access_token)
    }

    /// The claims of the user, when `openid` was asked for.
    pub fn user(&self) -> Option<&Claims> {
        self.user.as_ref()
    }

    /// The scope that was granted.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// When the access token ends by the local clock, if the provider said so.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_in
            .map(|lifetime| self.received_at.after(lifetime))
    }

    /// Whether it can be renewed without the user.
    pub fn can_refresh(&self) -> bool {
        self.refresh_token.is_some()
    }

    pub(super) fn signed_in_as(&self) -> Option<&Claims> {
        self.signed_in_as.as_ref()
    }

    pub(super) fn refresh_token(&self) -> Option<&Secret<String>> {
        self.refresh_token.as_ref()
    }

    pub(super) fn id_token(&self) -> Option<&Secret<String>> {
        self.id_token.as_ref()
    }
}
