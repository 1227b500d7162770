//! Who makes a request, as a checked token tells.

use crate::error::{Error, ErrorKind};
use crate::http::json::{Object, Value};
use crate::jose::Claims;
use crate::time::Timestamp;

/// The bearer of a valid access token. Only a check makes one.
///
/// An access token of the client credentials grant has a client as its subject: compare
/// [`Principal::subject`] with [`Principal::client_id`] where that matters (RFC 9068 section 5).
#[derive(Clone, Debug)]
pub struct Principal {
    claims: Claims,
    subject: String,
    issuer: String,
    client_id: String,
    audience: Vec<String>,
    scopes: Vec<String>,
    expires_at: Timestamp,
    checked: Vec<&'static str>,
}

impl Principal {
    /// Reads what a checked token says of its bearer.
    ///
    /// # Errors
    ///
    /// `claim_invalid` when `scope` is no string.
    pub(super) fn read(claims: Claims, checked: Vec<&'static str>) -> Result<Self, Error> {
        // RFC 6749 section 3.3: split at single spaces; empty items are none.
        let scope = claims.string("scope")?.unwrap_or_default();
        let scopes = scope
            .split(' ')
            .filter(|scope| !scope.is_empty())
            .map(String::from)
            .collect();
        Ok(Self {
            subject: claims.required_string("sub")?.into(),
            issuer: claims.required_string("iss")?.into(),
            client_id: claims.required_string("client_id")?.into(),
            audience: claims.audience()?.into_iter().map(String::from).collect(),
            scopes,
            expires_at: claims
                .date("exp")?
                .ok_or_else(|| Error::new(ErrorKind::ClaimMissing, "exp"))?,
            claims,
            checked,
        })
    }

    /// Whom the token was issued about; unique within the issuer only.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Who issued it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The client that it was issued to.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whom it is meant for.
    pub fn audience(&self) -> &[String] {
        &self.audience
    }

    /// What it allows.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// What was checked of its token, in order.
    pub fn checked(&self) -> &[&'static str] {
        &self.checked
    }

    /// Something that the request needed was found too.
    pub(super) fn note(&mut self, check: &'static str) {
        self.checked.push(check);
    }

    /// Every claim.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// As JSON for JavaScript.
    pub fn to_json(&self) -> String {
        let mut json = Value::from(
            Object::new()
                .with("subject", self.subject.as_str())
                .with("issuer", self.issuer.as_str())
                .with("clientId", self.client_id.as_str())
                .with("scopes", self.scopes.clone())
                .with("audience", self.audience.clone())
                .with("expiresAt", self.expires_at.seconds()),
        )
        .to_json();
        // Claims are the most of it: they are written from where they are.
        json.pop();
        json.push_str(",\"claims\":");
        self.claims.as_object().write(&mut json);
        json.push('}');
        json
    }
}
