//! Who makes a request, as a checked token tells.

use crate::error::Error;
use crate::guard::{GuardConfig, Profile};
use crate::http::json;
use crate::jose::Claims;
use crate::time::Timestamp;

/// For whom a token was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrincipalKind {
    /// For a user, through a client.
    User,
    /// For a client itself: no user is involved.
    Client,
}

impl PrincipalKind {
    /// The name that JavaScript sees.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Client => "client",
        }
    }
}

/// The bearer of a valid access token. Only a check makes one.
///
/// An access token of the client credentials grant has a client as its subject, which may be named
/// like a user (RFC 9700 section 4.15): look at [`Principal::kind`] where that matters.
#[derive(Clone, Debug)]
pub struct Principal {
    claims: Claims,
    subject: Option<String>,
    issuer: String,
    client_id: Option<String>,
    kind: Option<PrincipalKind>,
    audience: Vec<String>,
    scopes: Vec<String>,
    roles: Vec<String>,
    permissions: Vec<String>,
    expires_at: Option<Timestamp>,
    checked: Vec<&'static str>,
}

impl Principal {
    /// Reads what a checked token of this shape says of its bearer.
    ///
    /// # Errors
    ///
    /// `claim_invalid` when scopes, roles or permissions have another form than the profile's.
    pub(super) fn read(
        claims: Claims,
        audience: Vec<String>,
        profile: &Profile,
        config: &GuardConfig,
        checked: Vec<&'static str>,
    ) -> Result<Self, Error> {
        let subject = claims.required_string("sub")?;
        let client = profile.client(&claims)?;
        Ok(Self {
            kind: Some(profile.kind(&claims, subject, client)),
            subject: Some(subject.into()),
            issuer: claims.required_string("iss")?.into(),
            client_id: Some(client.into()),
            audience,
            scopes: profile.scopes(&claims)?,
            roles: profile.roles(&claims, &config.audience)?,
            permissions: profile.permissions(&claims, &config.audience)?,
            expires_at: Some(claims.required_date("exp")?),
            claims,
            checked,
        })
    }

    /// Reads what a provider's answer, judged before, says of the bearer of a token. RFC 7662
    /// section 2.2 lets it leave out whatever it likes; roles and permissions stand where the
    /// issuer's profile says.
    ///
    /// # Errors
    ///
    /// `claim_invalid` when a member has the wrong type.
    pub(super) fn introspected(
        claims: Claims,
        issuer: &str,
        profile: &Profile,
        config: &GuardConfig,
        checked: Vec<&'static str>,
    ) -> Result<Self, Error> {
        let audience = match claims.as_object().get("aud") {
            None => Vec::new(),
            Some(_) => claims.audience()?.into_iter().map(String::from).collect(),
        };
        let (subject, client) = (claims.string("sub")?, claims.string("client_id")?);
        let kind = subject.zip(client);
        Ok(Self {
            kind: kind.map(|(subject, client)| profile.kind(&claims, subject, client)),
            subject: subject.map(String::from),
            issuer: issuer.into(),
            client_id: client.map(String::from),
            audience,
            scopes: scopes(&claims)?,
            roles: profile.roles(&claims, &config.audience)?,
            permissions: profile.permissions(&claims, &config.audience)?,
            expires_at: claims.date("exp")?,
            claims,
            checked,
        })
    }

    /// Whom the token was issued about; unique within the issuer only.
    ///
    /// Every JWT says so. A provider that answers about an opaque token need not: for the client
    /// credentials grant some do not. Never take the client's name for it then: a client may be
    /// named like a user.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Who issued it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The client that it was issued to, if the provider says so.
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// For whom it was issued; nothing where the provider names no subject or no client.
    ///
    /// It is a client's where subject and client are the same, and where the issuer's profile knows
    /// another sign: `@clients` at the end of Auth0's subjects, no `scp` or the `idtyp` `app` at
    /// Entra, a service account at Keycloak.
    pub fn kind(&self) -> Option<PrincipalKind> {
        self.kind
    }

    /// Whom it is meant for.
    pub fn audience(&self) -> &[String] {
        &self.audience
    }

    /// What it allows.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The bearer's roles at this API, where the issuer's profile has any.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The bearer's permissions at this API, where the issuer's profile has any.
    pub fn permissions(&self) -> &[String] {
        &self.permissions
    }

    /// When it ends, if the provider says so.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// What was checked of its token, in order.
    pub fn checked(&self) -> &[&'static str] {
        &self.checked
    }

    /// Something that the request needed was found too.
    pub(super) fn note(&mut self, check: &'static str) {
        if !self.checked.contains(&check) {
            self.checked.push(check);
        }
    }

    /// Every claim.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// As JSON for JavaScript.
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(1024);
        json.push('{');
        self.write_shared(&mut json);
        self.write_names(&mut json);
        json.push_str(",\"claims\":");
        self.claims.write(&mut json);
        json.push('}');
        json
    }

    /// The members that differ from bearer to bearer, each behind a comma.
    pub(crate) fn write_names(&self, out: &mut String) {
        for (name, value) in [
            (",\"subject\":", &self.subject),
            (",\"clientId\":", &self.client_id),
        ] {
            if let Some(value) = value {
                out.push_str(name);
                json::write_string(value, out);
            }
        }
        if let Some(at) = self.expires_at {
            out.push_str(",\"expiresAt\":");
            json::write_integer(at.seconds(), out);
        }
    }

    /// The same members on a line of their own: end, client and subject with tabulators between
    /// them, where all are there and JSON would escape nothing in them, else as an object.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn write_names_line(&self, out: &mut String) {
        match (self.expires_at, &self.client_id, &self.subject) {
            (Some(at), Some(client), Some(subject))
                if json::is_plain(client) && json::is_plain(subject) =>
            {
                json::write_integer(at.seconds(), out);
                for name in [client, subject] {
                    out.push('\t');
                    out.push_str(name);
                }
            }
            _ => {
                let mut members = String::new();
                self.write_names(&mut members);
                out.push('{');
                out.push_str(members.trim_start_matches(','));
                out.push('}');
            }
        }
    }

    /// The members that many bearers have in common.
    pub(crate) fn write_shared(&self, out: &mut String) {
        out.push_str("\"issuer\":");
        json::write_string(&self.issuer, out);
        for (name, list) in [
            (",\"audience\":", &self.audience),
            (",\"scopes\":", &self.scopes),
            (",\"roles\":", &self.roles),
            (",\"permissions\":", &self.permissions),
        ] {
            out.push_str(name);
            json::write_strings(list, out);
        }
        if let Some(kind) = self.kind {
            out.push_str(",\"kind\":");
            json::write_string(kind.name(), out);
        }
    }
}

/// RFC 6749 section 3.3: split at single spaces; empty items are none.
fn scopes(claims: &Claims) -> Result<Vec<String>, Error> {
    let scope = claims.string("scope")?.unwrap_or_default();
    let items = scope.split(' ').filter(|scope| !scope.is_empty());
    Ok(items.map(String::from).collect())
}
