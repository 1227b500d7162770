//! What a signed-in client holds, and when it may be used.

use crate::client::{ClientConfig, Tokens, exchange};
use crate::http::json::{self, Object, Value};
use crate::issuer::Issuer;
use crate::jose::Claims;
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};

/// The tokens of someone who signed in.
#[derive(Debug)]
pub struct Session {
    /// None for someone who signed in by FedCM.
    access_token: Option<Secret<String>>,
    refresh_token: Option<Secret<String>>,
    /// The ID token as it came, for `id_token_hint`.
    id_token: Option<Secret<String>>,
    user: Option<Claims>,
    /// The claims of the sign-in itself, with which every later ID token is compared.
    signed_in_as: Option<Claims>,
    scope: String,
    /// What the user agreed to in detail (RFC 9396).
    authorization_details: Option<Value>,
    /// The name of the key that the tokens are bound to (RFC 9449).
    thumbprint: Option<String>,
    /// The provider's configuration for FedCM, for someone who signed in by that.
    fedcm: Option<String>,
    /// When its user signed in, by the local clock: which sign-in it is of.
    since: Timestamp,
    /// By the local clock, from the moment in which the answer came: a clock that is hours off
    /// still measures a lifetime right.
    received_at: Timestamp,
    expires_in: Option<Lifetime>,
}

/// The form of the text that a session is stored as. Another number is another form, which counts
/// as foreign.
const FORM: i64 = 1;
/// The longest text that is read back: three tokens at their limits and the claims.
const MAX_BYTES: usize = 512 * 1024;

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
        thumbprint: Option<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            access_token: Some(tokens.access_token),
            refresh_token: tokens.refresh_token,
            id_token: tokens.id_token,
            signed_in_as: user.clone(),
            user,
            // RFC 6749 section 5.1: no scope in the answer means the one that was asked for.
            scope: tokens.scope.unwrap_or_else(|| asked_scope.into()),
            authorization_details: tokens.authorization_details,
            thumbprint,
            fedcm: None,
            since: now,
            received_at: now,
            expires_in: tokens.expires_in,
        }
    }

    /// The session of someone who signed in by FedCM: an ID token and nothing else.
    pub(super) fn federated(
        id_token: Secret<String>,
        user: Option<Claims>,
        config_url: String,
        thumbprint: Option<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            access_token: None,
            refresh_token: None,
            id_token: Some(id_token),
            signed_in_as: user.clone(),
            user,
            scope: String::new(),
            authorization_details: None,
            thumbprint,
            fedcm: Some(config_url),
            since: now,
            received_at: now,
            expires_in: None,
        }
    }

    /// This session after a refresh: what the answer leaves out stays (RFC 6749 section 6).
    pub(super) fn renewed(&self, tokens: Tokens, user: Option<Claims>, now: Timestamp) -> Self {
        Self {
            access_token: Some(tokens.access_token),
            refresh_token: tokens.refresh_token.or_else(|| self.refresh_token.clone()),
            id_token: tokens.id_token.or_else(|| self.id_token.clone()),
            signed_in_as: self.signed_in_as.clone().or_else(|| user.clone()),
            user: user.or_else(|| self.user.clone()),
            scope: tokens.scope.unwrap_or_else(|| self.scope.clone()),
            authorization_details: tokens
                .authorization_details
                .or_else(|| self.authorization_details.clone()),
            thumbprint: self.thumbprint.clone(),
            fedcm: self.fedcm.clone(),
            since: self.since,
            received_at: now,
            expires_in: tokens.expires_in,
        }
    }

    /// The text to store. It holds tokens: it belongs where only this origin can read it.
    pub fn to_json(&self, config: &ClientConfig, issuer: &Issuer) -> Secret<String> {
        // EXPOSE: the tokens are what is stored.
        let text = |secret: &Secret<String>| secret.expose().clone();
        let claims = |claims: &Claims| claims.as_object().clone();
        let object = Object::new()
            .with("form", FORM)
            .with("issuer", issuer.as_str())
            .with("client_id", config.client_id.as_str())
            .with_some(
                "resource",
                Some(places(config)).filter(|list| !list.is_empty()),
            )
            .with_some("access_token", self.access_token.as_ref().map(text))
            .with_some("refresh_token", self.refresh_token.as_ref().map(text))
            .with_some("id_token", self.id_token.as_ref().map(text))
            .with_some("user", self.user.as_ref().map(claims))
            .with_some("signed_in_as", self.signed_in_as.as_ref().map(claims))
            .with("scope", self.scope.as_str())
            .with_some("authorization_details", self.authorization_details.clone())
            .with_some("jkt", self.thumbprint.as_deref())
            .with_some("fedcm", self.fedcm.as_deref())
            .with("since", self.since.millis())
            .with("received_at", self.received_at.millis())
            .with_some("expires_in", self.expires_in.map(Lifetime::millis));
        Secret::new(Value::from(object).to_json())
    }

    /// Reads what [`Session::to_json`] wrote for this client at this issuer; `None` for anything
    /// else, such as the text of another version, another client or someone who tampered.
    ///
    /// What it does not check: whether the client has the key that the tokens are bound to
    /// ([`crate::client::Client::holds_session_key`]), and who wrote it. Whoever can write the store of an origin can also
    /// run code in it.
    pub fn read(text: &str, config: &ClientConfig, issuer: &Issuer) -> Option<Self> {
        let object = json::read_object(text.as_bytes(), MAX_BYTES).ok()?;
        let required = |name: &str| object.get(name)?.as_str().filter(|text| !text.is_empty());
        // Absent is one thing, of another type is another.
        let token = |name: &'static str| exchange::token(&object, name).ok();
        let claims = |name: &str| match object.get(name) {
            None => Some(None),
            Some(value) => {
                let claims = Claims::kept(value.as_object()?.clone());
                claims.required_string("sub").ok()?;
                Some(Some(claims))
            }
        };
        let details = object.get("authorization_details").cloned();
        let are_details = |details: &Value| exchange::types(details).is_some();
        if details
            .as_ref()
            .is_some_and(|details| !are_details(details))
        {
            return None;
        }
        let millis = |value: &Value| value.as_number()?.as_integer();
        let expires_in = match object.get("expires_in") {
            None => None,
            Some(value) => Some(Lifetime::from_millis(
                millis(value).filter(|millis| *millis >= 0)?,
            )),
        };
        let is_ours = millis(object.get("form")?)? == FORM
            && required("issuer")? == issuer.as_str()
            && required("client_id")? == config.client_id
            && object
                .get("resource")
                .map_or_else(|| Some(Vec::new()), Value::as_strings)?
                == places(config);
        let named = |name: &str| match object.get(name) {
            None => Some(None),
            Some(_) => required(name).map(|text| Some(String::from(text))),
        };
        let (access_token, fedcm) = (token("access_token")?, named("fedcm")?);
        // One without an access token is of FedCM and of nothing else.
        if !is_ours || access_token.is_some() == fedcm.is_some() {
            return None;
        }
        let date = |value| Timestamp::from_millis(millis(value)?);
        let received_at = date(object.get("received_at")?)?;
        let since = object.get("since").map_or(Some(received_at), date)?;
        Some(Self {
            access_token,
            refresh_token: token("refresh_token")?,
            id_token: token("id_token")?,
            user: claims("user")?,
            signed_in_as: claims("signed_in_as")?,
            scope: object.get("scope")?.as_str()?.into(),
            authorization_details: details,
            thumbprint: named("jkt")?,
            fedcm,
            since,
            received_at,
            expires_in,
        })
    }

    /// When its user signed in.
    pub(crate) fn since(&self) -> Timestamp {
        self.since
    }

    /// The access token, if it lives long enough; else what has to come first.
    ///
    /// A token is renewed `refresh_skew` before its end, but not before half of its life is over,
    /// so that short-lived ones are not renewed at every use; also when the clock was set back
    /// since it came, by more than `clock_tolerance`.
    pub fn attach(&self, config: &ClientConfig, now: Timestamp) -> Attach<'_> {
        let Some(access_token) = &self.access_token else {
            return Attach::LoginRequired;
        };
        let Some(expires_in) = self.expires_in else {
            // RFC 6749 section 5.1 only recommends expires_in; the API will say when it is over.
            return Attach::Token(access_token);
        };
        match self.refresh_token {
            _ if self.left(expires_in, config, now).millis() > 0 => Attach::Token(access_token),
            Some(_) => Attach::Refresh,
            None if now.since(self.received_at) < expires_in => Attach::Token(access_token),
            None => Attach::LoginRequired,
        }
    }

    /// How long it is until the access token is to be renewed; zero when it is time. `None` when
    /// nobody knows how long it lives, or nothing can renew it.
    pub fn renewal_in(&self, config: &ClientConfig, now: Timestamp) -> Option<Lifetime> {
        self.refresh_token.as_ref()?;
        Some(self.left(self.expires_in?, config, now))
    }

    /// How long the access token is used without a thought of its end.
    fn left(&self, expires_in: Lifetime, config: &ClientConfig, now: Timestamp) -> Lifetime {
        // A clock that was set back does not tell its age.
        if self.received_at > now.after(config.clock_tolerance) {
            return Lifetime::from_millis(0);
        }
        let skew = config.refresh_skew.min(expires_in.half());
        let used = skew
            .millis()
            .saturating_add(now.since(self.received_at).millis());
        Lifetime::from_millis(expires_in.millis().saturating_sub(used))
    }

    /// The access token whatever its age: for one that was just renewed. None for someone who signed
    /// in by FedCM.
    pub fn access_token(&self) -> Option<&Secret<String>> {
        self.access_token.as_ref()
    }

    /// The provider's configuration for FedCM, for someone who signed in by that.
    pub fn fedcm(&self) -> Option<&str> {
        self.fedcm.as_deref()
    }

    /// The access token while it lives: for a provider that cannot be reached to renew it.
    pub fn access_token_alive(&self, now: Timestamp) -> Option<&Secret<String>> {
        let age = now.since(self.received_at);
        self.expires_in
            .is_none_or(|lifetime| age < lifetime)
            .then_some(self.access_token.as_ref())
            .flatten()
    }

    /// The claims of the user, when `openid` was asked for.
    pub fn user(&self) -> Option<&Claims> {
        self.user.as_ref()
    }

    /// The scope that was granted.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// What the user agreed to in detail (RFC 9396 section 7), as the provider said.
    pub fn authorization_details(&self) -> Option<&Value> {
        self.authorization_details.as_ref()
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

    /// The name of the key that its tokens are bound to.
    pub(super) fn thumbprint(&self) -> Option<&str> {
        self.thumbprint.as_deref()
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

/// Whom the access token is for: what one API takes is not for another.
fn places(config: &ClientConfig) -> Vec<&str> {
    let resources = config.resource.iter().map(String::as_str);
    resources.chain(config.audience.as_deref()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::http::json;

    fn client(issuer: &str, client_id: &str) -> Client {
        let text = format!(r#"{{"issuer":"{issuer}","clientId":"{client_id}"}}"#);
        Client::from_options(&json::read_object(text.as_bytes(), 1000).unwrap()).unwrap()
    }

    fn read(text: &str, client: &Client) -> Option<Session> {
        Session::read(text, client.config(), client.provider().issuer())
    }

    fn stored() -> String {
        let text = r#"{"form":1,"issuer":"https://as.example","client_id":"spa","access_token":"a-token",
            "refresh_token":"r-token","id_token":"i-token","user":{"sub":"alice"},
            "signed_in_as":{"sub":"alice"},"scope":"openid","received_at":1000,"expires_in":300000}"#;
        let client = client("https://as.example", "spa");
        let session = read(text, &client).unwrap();
        // EXPOSE: the text is what is tested.
        session
            .to_json(client.config(), client.provider().issuer())
            .expose()
            .clone()
    }

    #[test]
    fn a_stored_session_reads_the_same() {
        let client = client("https://as.example", "spa");
        let session = read(&stored(), &client).unwrap();
        assert!(session.access_token().unwrap().ct_eq("a-token"));
        assert!(session.refresh_token().unwrap().ct_eq("r-token"));
        assert!(session.id_token().unwrap().ct_eq("i-token"));
        assert_eq!(
            session.user().unwrap().string("sub").unwrap(),
            Some("alice")
        );
        assert_eq!(session.expires_at().unwrap().millis(), 301_000);
        assert_eq!(session.scope(), "openid");
    }

    #[test]
    fn the_session_of_another_client_or_provider_is_foreign() {
        assert!(read(&stored(), &client("https://as.example", "spa")).is_some());
        assert!(read(&stored(), &client("https://as.example", "other")).is_none());
        assert!(read(&stored(), &client("https://as.example/", "spa")).is_none());
    }

    #[test]
    fn the_session_for_another_api_is_foreign() {
        let of = |more: &str| {
            let text = format!(r#"{{"issuer":"https://as.example","clientId":"spa"{more}}}"#);
            Client::from_options(&json::read_object(text.as_bytes(), 1000).unwrap()).unwrap()
        };
        let clients = [
            of(""),
            of(r#","resource":"https://a.example""#),
            of(r#","resource":"https://b.example""#),
            of(r#","audience":"https://c.example""#),
        ];
        for (place, client) in clients.iter().enumerate() {
            let session = read(&stored(), &clients[0]).unwrap();
            let text = session.to_json(client.config(), client.provider().issuer());
            for (other, reader) in clients.iter().enumerate() {
                // EXPOSE: the text is what is tested.
                assert_eq!(read(text.expose(), reader).is_some(), other == place);
            }
        }
    }

    #[test]
    fn brw_05_a_text_that_was_tampered_with_is_foreign() {
        let client = client("https://as.example", "spa");
        for (from, to) in [
            ("\"form\":1", "\"form\":2"),
            ("\"a-token\"", "\"\""),
            ("\"a-token\"", "null"),
            ("\"a-token\"", "\"a\\ntoken\""),
            ("\"r-token\"", "\"r\u{e9}\""),
            ("{\"sub\":\"alice\"}", "{\"sub\":5}"),
            ("{\"sub\":\"alice\"}", "{}"),
            ("\"form\":1", "\"form\":1,\"authorization_details\":\"x\""),
            (
                "\"form\":1",
                "\"form\":1,\"resource\":[\"https://api.example\"]",
            ),
            ("\"r-token\"", "1"),
            ("\"i-token\"", "{}"),
            ("{\"sub\":\"alice\"}", "[]"),
            ("\"received_at\":1000", "\"received_at\":-1"),
            ("\"expires_in\":300000", "\"expires_in\":-1"),
            ("\"expires_in\":300000", "\"expires_in\":\"x\""),
            ("\"scope\":\"openid\"", "\"scope\":null"),
            ("\"access_token\":\"a-token\",", ""),
            (
                "\"form\":1",
                "\"form\":1,\"fedcm\":\"https://as.example/fedcm.json\"",
            ),
        ] {
            let text = stored().replace(from, to);
            assert_ne!(text, stored(), "{from}");
            assert!(read(&text, &client).is_none(), "{to}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let client = client("https://as.example", "spa");
        let session = read(&stored(), &client).unwrap();
        assert!(!format!("{session:?}").contains("-token"));
    }
}
