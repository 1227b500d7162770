//! Registers a client at a provider by itself (RFC 7591).

use core::fmt;

use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::json::{Object, Value};
use crate::http::{HttpRequest, HttpResponse, Purpose, Transport, Url};
use crate::issuer::{Discover, Provider};
use crate::options::{Options, invalid};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The longest identifier, secret or token that is read. Real ones have some hundred characters.
const MAX_LENGTH: usize = 4096;
/// What the provider says of the client itself and not of its metadata.
const OWN: &[&str] = &[
    "client_id",
    "client_id_issued_at",
    "client_secret",
    "client_secret_expires_at",
    "registration_access_token",
    "registration_client_uri",
];
/// The members of a JWK that are nobody's business but the client's.
const PRIVATE: &[&str] = &["d", "dp", "dq", "k", "oth", "p", "priv", "q", "qi"];

/// A client as a provider registered it (RFC 7591 section 3.2.1). Its `Debug` shows nothing.
#[derive(Clone)]
pub struct ClientRegistration {
    client_id: String,
    issued_at: Option<i64>,
    /// With when it ends, in seconds since 1970; 0 stands for never.
    secret: Option<(Secret<String>, i64)>,
    /// With the place where the registration can be read and changed (RFC 7592).
    management: Option<(Secret<String>, Url)>,
    metadata: Object,
}

impl ClientRegistration {
    /// The identifier that the provider gave.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The secret, where one was issued.
    pub fn client_secret(&self) -> Option<&Secret<String>> {
        self.secret.as_ref().map(|(secret, _)| secret)
    }

    /// What was registered, which need not be what was asked for (section 3.2.1): look at it.
    pub fn metadata(&self) -> &Object {
        &self.metadata
    }

    /// All of it as JSON text, with the names of the public API.
    pub fn to_json(&self) -> Secret<String> {
        // EXPOSE: whoever registered the client keeps them.
        let text = |secret: &Secret<String>| secret.expose().clone();
        let object = Object::new()
            .with("clientId", self.client_id.as_str())
            .with_some("clientIdIssuedAt", self.issued_at)
            .with_some("clientSecret", self.client_secret().map(text))
            .with_some("clientSecretExpiresAt", self.secret.as_ref().map(|it| it.1))
            .with_some(
                "registrationAccessToken",
                self.management.as_ref().map(|it| text(&it.0)),
            )
            .with_some(
                "registrationClientUri",
                self.management.as_ref().map(|it| it.1.as_str()),
            )
            .with("metadata", self.metadata.clone());
        Secret::new(Value::from(object).to_json())
    }
}

impl fmt::Debug for ClientRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientRegistration([redacted])")
    }
}

/// The flow that registers a client: it finds the provider and sends one request, once.
#[derive(Debug)]
pub struct Register {
    transport: Transport,
    body: Secret<String>,
    initial_access_token: Option<Secret<String>>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Discovering(Discover),
    Asking,
    Over,
}

impl Register {
    /// Reads the options of the public API: the provider, and the flow that asks it.
    ///
    /// | option | meaning | default |
    /// |---|---|---|
    /// | `issuer` | issuer identifier, or a metadata document in place of discovery | required |
    /// | `metadata` | what to register (RFC 7591 section 2) | required |
    /// | `initialAccessToken` | the token that registering needs (section 3) | none |
    /// | `timeout` | seconds for one request, 1 to 120 | 10 |
    /// | `dangerouslyAllowHttpLoopback` | http to this machine itself | false |
    ///
    /// # Errors
    ///
    /// `config_invalid`, at `metadata` for what the provider gives and nobody asks for, at `jwks` for
    /// private keys and for keys in two places, at `redirect_uris` for what cannot be one;
    /// `url_insecure`, `metadata_invalid`.
    pub fn from_options(object: &Object) -> Result<(Provider, Self), Error> {
        read_options(object).map_err(|error| error.during(Phase::Config))
    }
}

fn read_options(object: &Object) -> Result<(Provider, Register), Error> {
    let options = Options::new(
        object,
        &[
            "dangerouslyAllowHttpLoopback",
            "initialAccessToken",
            "issuer",
            "metadata",
            "timeout",
        ],
    )?;
    let transport = options.transport()?;
    let timeout = options.timeout(10)?;
    let provider = Provider::from_option(options.value("issuer"), transport, timeout)?;
    let metadata = options.object("metadata")?;
    let metadata = metadata.ok_or_else(|| invalid("metadata"))?;
    check_request(metadata)?;
    let token = options.string("initialAccessToken")?;
    let is_token = |token: &str| {
        token.len() <= MAX_LENGTH && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !token.is_none_or(is_token) {
        return Err(invalid("initialAccessToken"));
    }
    let register = Register {
        transport,
        body: Secret::new(Value::from(metadata.clone()).to_json()),
        initial_access_token: token.map(|token| Secret::new(["Bearer ", token].concat())),
        stage: Stage::Discovering(Discover::new()),
    };
    Ok((provider, register))
}

/// Whether this can be sent to a provider.
fn check_request(metadata: &Object) -> Result<(), Error> {
    if OWN.iter().any(|name| metadata.get(name).is_some()) {
        return Err(invalid("metadata"));
    }
    if let Some(uris) = metadata.get("redirect_uris") {
        let uris = uris.as_strings().ok_or_else(|| invalid("redirect_uris"))?;
        // RFC 6749 section 3.1.2: absolute, without a fragment. Native programs have schemes of
        // their own.
        let is_uri = |uri: &&str| uri.contains(':') && !uri.contains('#');
        if !uris.iter().all(is_uri) {
            return Err(invalid("redirect_uris"));
        }
    }
    let Some(jwks) = metadata.get("jwks") else {
        return Ok(());
    };
    // Section 2: the one or the other.
    let keys = jwks
        .as_object()
        .and_then(|jwks| jwks.get("keys")?.as_array());
    let is_public = |key: &Value| {
        key.as_object()
            .is_some_and(|key| PRIVATE.iter().all(|name| key.get(name).is_none()))
    };
    let is_good = keys.is_some_and(|keys| keys.iter().all(is_public));
    if metadata.get("jwks_uri").is_some() || !is_good {
        return Err(invalid("jwks"));
    }
    Ok(())
}

impl Flow for Register {
    type Shared = Provider;
    type Output = ClientRegistration;

    /// As [`Flow::step`].
    ///
    /// # Errors
    ///
    /// Those of discovery; `metadata_invalid` at `registration_endpoint` when there is none;
    /// `server_error_response` with `invalid_redirect_uri`, `invalid_client_metadata` or another code
    /// of the provider; `response_malformed` at the member that is missing or wrong;
    /// `upstream_status` and those of the network.
    fn step(
        &mut self,
        provider: &mut Provider,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<ClientRegistration>, Error> {
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Discovering(mut discover) => {
                match discover.step(provider, now, event)?.split() {
                    Ok(()) => self.send(provider),
                    Err(step) => {
                        self.stage = Stage::Discovering(discover);
                        Ok(step)
                    }
                }
            }
            Stage::Asking => {
                let answer = event.into_answer()?.map_err(Error::from);
                let read = answer.and_then(|response| read(&response, self.transport));
                read.map(Step::Done)
                    .map_err(|error| error.during(Phase::Exchange))
            }
            Stage::Over => Err(ErrorKind::FlowMisused.into()),
        }
    }
}

impl Register {
    fn send(&mut self, provider: &Provider) -> Result<Step<ClientRegistration>, Error> {
        let metadata = provider.metadata().ok_or(ErrorKind::FlowMisused)?;
        let url = metadata
            .registration_endpoint()
            .map_err(|error| error.during(Phase::Discovery))?
            .clone();
        self.stage = Stage::Asking;
        let body = self.body.clone();
        Ok(Step::Send(HttpRequest {
            authorization: self.initial_access_token.take(),
            ..HttpRequest::post(Purpose::Registration, url, body, provider.timeout())
        }))
    }
}

/// Section 3.2.1. Its secrets stand in no error: what is wrong is named and not shown.
fn read(response: &HttpResponse, transport: Transport) -> Result<ClientRegistration, Error> {
    // 201 by the specification; some say 200.
    if !matches!(response.status(), 200 | 201) {
        return Err(response.failure());
    }
    let malformed = |at: &'static str| Error::new(ErrorKind::ResponseMalformed, at);
    let object = response.object(
        &["application/json"],
        Purpose::Registration.max_body(),
        ErrorKind::ResponseMalformed,
    )?;
    let text = |name: &'static str| match object.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_str()
            .filter(|text| (1..=MAX_LENGTH).contains(&text.len()))
            .map(Some)
            .ok_or_else(|| malformed(name)),
    };
    let seconds = |name: &'static str| match object.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_number()
            .and_then(|number| number.as_integer())
            .filter(|seconds| *seconds >= 0)
            .map(Some)
            .ok_or_else(|| malformed(name)),
    };
    let client_id = text("client_id")?.ok_or_else(|| malformed("client_id"))?;
    let expires_at = seconds("client_secret_expires_at")?;
    let secret = match text("client_secret")? {
        // REQUIRED if client_secret is issued.
        Some(secret) => {
            let at = expires_at.ok_or_else(|| malformed("client_secret_expires_at"))?;
            Some((Secret::new(secret.into()), at))
        }
        None => None,
    };
    let needs_secret = text("token_endpoint_auth_method")?
        .is_some_and(|method| method.starts_with("client_secret_"));
    if needs_secret && secret.is_none() {
        return Err(malformed("client_secret"));
    }
    // RFC 7592 section 3: the one is of no use without the other.
    let management = match (
        text("registration_access_token")?,
        text("registration_client_uri")?,
    ) {
        (None, None) => None,
        (Some(_), None) => return Err(malformed("registration_client_uri")),
        (None, Some(_)) => return Err(malformed("registration_access_token")),
        (Some(token), Some(uri)) => {
            let uri = Url::parse(uri).filter(|uri| uri.is_allowed(transport));
            let uri = uri.ok_or_else(|| malformed("registration_client_uri"))?;
            Some((Secret::new(token.into()), uri))
        }
    };
    let mut metadata = Object::new();
    for (name, value) in object.iter().filter(|(name, _)| !OWN.contains(name)) {
        metadata = metadata.with(name, value.clone());
    }
    Ok(ClientRegistration {
        client_id: client_id.into(),
        issued_at: seconds("client_id_issued_at")?,
        secret,
        management,
        metadata,
    })
}
