//! Logout tokens: the provider tells a backend that someone signed out (OpenID Connect Back-Channel
//! Logout 1.0).

use sha2::{Digest as _, Sha256};

use crate::base64url;
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Checked, Event, Flow, ProofUse, Reports, Step};
use crate::http::form::{self, Repeated};
use crate::http::json::{Object, Value};
use crate::issuer::{Discover, KeyTrials, Provider, Replays, Verify};
use crate::jose::{Algorithm, Algorithms, Claims, Unverified};
use crate::options::{Options, invalid};
use crate::secret::{Secret, ct_eq};
use crate::time::{Lifetime, Timestamp};

/// The longest body of a request, and the longest token. Real ones have some hundred bytes.
pub const MAX_LOGOUT_REQUEST: usize = 64 * 1024;

/// The longest name of a session or a subject.
const MAX_NAME: usize = 255;

/// The member of `events` that makes a token a logout token (section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Receives the logout tokens of one provider for one client.
#[derive(Debug)]
pub struct LogoutReceiver {
    provider: Provider,
    client_id: String,
    trusted_audiences: Vec<String>,
    algorithms: Algorithms,
    clock_tolerance: Lifetime,
    max_token_age: Lifetime,
    replays: Replays,
}

impl LogoutReceiver {
    /// Reads the options of the public API.
    ///
    /// | option | meaning | default |
    /// |---|---|---|
    /// | `issuer` | issuer identifier, or a metadata document in place of discovery | required |
    /// | `clientId` | client identifier | required |
    /// | `algorithms` | the accepted algorithms (`id_token_signed_response_alg`) | asymmetric ones that the metadata names |
    /// | `trustedAudiences` | audiences that a token may have besides this client | none |
    /// | `maxTokenAge` | seconds since `iat`, 1 to 3600 | 300 |
    /// | `clockTolerance` | seconds, 0 to 300 | 30 |
    /// | `timeout` | seconds for one request, 1 to 120 | 10 |
    /// | `dangerouslyAllowHttpLoopback` | http to this machine itself | false |
    ///
    /// # Errors
    ///
    /// `config_invalid` for an unknown option or a value of the wrong type or out of range,
    /// `url_insecure` for URLs that are not https, `metadata_invalid` for a metadata document.
    pub fn from_options(options: &Object) -> Result<Self, Error> {
        read(options).map_err(|error| error.during(Phase::Config))
    }

    /// From now on uses of tokens are remembered by whoever answers
    /// [`Step::Remember`]. Without, each receiver remembers its own.
    pub fn remember_elsewhere(&mut self) {
        self.replays = Replays::Elsewhere;
    }

    /// The provider.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }
}

impl Reports for LogoutReceiver {
    fn take_reports(&mut self) -> Vec<Checked> {
        self.provider.take_reports()
    }

    fn take_alerts(&mut self) -> Vec<Error> {
        self.provider.take_alerts()
    }
}

fn read(object: &Object) -> Result<LogoutReceiver, Error> {
    let options = Options::new(
        object,
        &[
            "algorithms",
            "clientId",
            "clockTolerance",
            "dangerouslyAllowHttpLoopback",
            "issuer",
            "maxTokenAge",
            "timeout",
            "trustedAudiences",
        ],
    )?;
    let transport = options.transport()?;
    let timeout = options.timeout(10)?;
    let algorithms = match options.strings("algorithms")? {
        None => Some(Algorithms::all()),
        Some(names) => {
            let known = |name: &&str| {
                Algorithm::from_name(name).filter(|algorithm| !algorithm.is_symmetric())
            };
            let known: Option<Vec<_>> = names.iter().map(known).collect();
            known.and_then(Algorithms::only)
        }
    };
    let trusted = options.strings("trustedAudiences")?.unwrap_or_default();
    Ok(LogoutReceiver {
        provider: Provider::from_option(options.value("issuer"), transport, timeout)?,
        client_id: options.required_string("clientId")?.into(),
        trusted_audiences: trusted.into_iter().map(String::from).collect(),
        algorithms: algorithms.ok_or_else(|| invalid("algorithms"))?,
        clock_tolerance: options.seconds("clockTolerance", 0..=300, 30)?,
        max_token_age: options.seconds("maxTokenAge", 1..=3600, 300)?,
        replays: Replays::default(),
    })
}

/// A request of the provider, taken apart and not checked yet.
#[derive(Debug)]
pub struct LogoutRequest(Secret<String>);

impl LogoutRequest {
    /// A token that somebody else took out of its request.
    pub fn of_token(token: &str) -> Self {
        Self(Secret::new(token.into()))
    }

    /// Reads a request (section 2.5): POST, a form, one `logout_token`.
    ///
    /// # Errors
    ///
    /// `logout_request_invalid` at `method`, `content-type`, `body` or `logout_token`.
    pub fn read(method: &str, content_type: Option<&str>, body: &str) -> Result<Self, Error> {
        let invalid =
            |at| Err(Error::new(ErrorKind::LogoutRequestInvalid, at).during(Phase::SignOut));
        if method != "POST" {
            return invalid("method");
        }
        let essence = content_type.and_then(|value| value.split(';').next());
        let is_form = essence.is_some_and(|essence| {
            let essence = essence.trim();
            essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        if !is_form {
            return invalid("content-type");
        }
        let form = (body.len() <= MAX_LOGOUT_REQUEST).then(|| form::decode(body));
        let Some(form) = form.flatten() else {
            return invalid("body");
        };
        match form::once(&form, "logout_token") {
            Ok(Some(token)) if !token.is_empty() => Ok(Self(Secret::new(token.into()))),
            Ok(_) | Err(Repeated) => invalid("logout_token"),
        }
    }
}

/// What to answer the provider (section 2.8). It holds nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogoutAnswer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body.
    pub body: &'static str,
}

impl LogoutAnswer {
    /// The user is signed out.
    pub const ACCEPTED: Self = Self {
        status: 200,
        headers: &[("cache-control", "no-store")],
        body: "",
    };

    /// The sessions could not be ended.
    pub const FAILED: Self = Self {
        status: 400,
        headers: &[
            ("cache-control", "no-store"),
            ("content-type", "application/json"),
        ],
        body: r#"{"error":"logout_failed"}"#,
    };

    /// The answer as JSON text: `status`, `headers` and `body`.
    pub fn to_json(&self) -> String {
        let mut headers = Object::new();
        for (name, value) in self.headers {
            headers = headers.with(name, *value);
        }
        let object = Object::new()
            .with("status", i64::from(self.status))
            .with("headers", headers)
            .with("body", self.body);
        Value::from(object).to_json()
    }

    /// The request was not good, or could not be served: one text, whatever the reason.
    pub fn refused(error: &Error) -> Self {
        const JSON: (&str, &str) = ("content-type", "application/json");
        let is_method = error.kind() == ErrorKind::LogoutRequestInvalid && error.at() == "method";
        let (status, headers): (u16, &'static [_]) = if is_method {
            // RFC 9110 section 15.5.6.
            let headers = &[("cache-control", "no-store"), ("allow", "POST"), JSON];
            (405, headers)
        } else {
            (400, &[("cache-control", "no-store"), JSON])
        };
        Self {
            status,
            headers,
            body: r#"{"error":"invalid_request"}"#,
        }
    }
}

/// Who signed out. Only [`CheckLogout`] makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct LogoutToken {
    issuer: String,
    subject: Option<String>,
    session_id: Option<String>,
    token_id: String,
    checked: Vec<&'static str>,
}

impl LogoutToken {
    /// The issuer, within which the names of users and sessions mean something.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`: without a session it means all sessions of this user.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// `sid`: the session that is over.
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// `jti`.
    pub fn token_id(&self) -> &str {
        &self.token_id
    }

    /// What was checked, in order.
    pub fn checked(&self) -> &[&'static str] {
        &self.checked
    }

    /// Whether it ends a session with these claims of its ID token (section 2.7): the issuer is the
    /// same, and so is each of `sid` and `sub` that the token names.
    pub fn ends(&self, issuer: &str, subject: &str, session_id: Option<&str>) -> bool {
        let own = Object::new()
            .with("iss", issuer)
            .with("sub", subject)
            .with_some("sid", session_id);
        ends_session(&self.to_object(), &own)
    }

    /// The token as JavaScript sees it.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("iss", self.issuer.as_str())
            .with_some("sub", self.subject())
            .with_some("sid", self.session_id())
            .with("jti", self.token_id.as_str())
    }
}

/// As [`LogoutToken::ends`], for what [`LogoutToken::to_object`] wrote and the claims of an ID token.
pub fn ends_session(logout: &Object, claims: &Object) -> bool {
    let is_same = |name: &str| {
        let text = |object: &Object| object.get(name)?.as_str().map(String::from);
        match (text(logout), text(claims)) {
            (None, _) => name != "iss",
            (Some(named), Some(own)) => ct_eq(&named, &own),
            (Some(_), None) => false,
        }
    };
    // Section 2.4: one of the two is there.
    let names_somebody = logout.get("sub").is_some() || logout.get("sid").is_some();
    names_somebody && ["iss", "sub", "sid"].into_iter().all(is_same)
}

impl core::fmt::Debug for LogoutToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("LogoutToken([redacted])")
    }
}

/// The flow that checks a logout token (section 2.6).
///
/// What it does not do: end sessions. Whoever keeps them ends those that [`LogoutToken::ends`]
/// names, and answers [`LogoutAnswer::ACCEPTED`] afterwards. A token is good once: when ending the
/// sessions fails, a second delivery of the same token does not help.
#[derive(Debug)]
pub struct CheckLogout {
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Ready(LogoutRequest),
    Discovering(Box<Discover>, Unverified),
    Verifying(Box<Verify>),
    Remembering(LogoutToken),
    Over,
}

impl CheckLogout {
    /// A flow for one request.
    pub fn new(request: LogoutRequest) -> Self {
        Self {
            stage: Stage::Ready(request),
        }
    }

    fn advance(
        &mut self,
        receiver: &mut LogoutReceiver,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<LogoutToken>, Error> {
        match (core::mem::replace(&mut self.stage, Stage::Over), event) {
            (Stage::Ready(LogoutRequest(token)), Event::Start) => {
                // 1. Encrypted tokens are not asked for and not read.
                // EXPOSE: it is taken apart to be verified.
                let token =
                    Unverified::parse(token.expose(), MAX_LOGOUT_REQUEST, &receiver.algorithms)?;
                // Section 2.4, RFC 8725 section 3.11: a token that says what it is must say this.
                if token.header().has_type() && !token.header().is_type("logout+jwt") {
                    return Err(ErrorKind::TypMismatch.into());
                }
                let discover = Box::new(Discover::paced());
                self.discover(receiver, discover, token, now, Event::Start)
            }
            (Stage::Discovering(discover, token), event) => {
                self.discover(receiver, discover, token, now, event)
            }
            (Stage::Verifying(verify), event) => self.verify(receiver, verify, now, event),
            (Stage::Remembering(token), Event::Remembered(first)) => first_use(token, first),
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }

    fn discover(
        &mut self,
        receiver: &mut LogoutReceiver,
        mut discover: Box<Discover>,
        token: Unverified,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<LogoutToken>, Error> {
        let step = discover.step(&mut receiver.provider, now, event)?;
        if let Err(step) = step.split() {
            self.stage = Stage::Discovering(discover, token);
            return Ok(step);
        }
        // 3. As an ID token's: an algorithm that the provider says it uses.
        let metadata = receiver.provider.metadata();
        let named = metadata.and_then(|metadata| metadata.id_token_algorithms());
        let algorithm = token.header().algorithm();
        if named.is_some_and(|names| !names.contains(&algorithm.name())) {
            return Err(ErrorKind::AlgNotAllowed.into());
        }
        let verify = Box::new(Verify::new(token, KeyTrials::One));
        self.verify(receiver, verify, now, Event::Start)
    }

    fn verify(
        &mut self,
        receiver: &mut LogoutReceiver,
        mut verify: Box<Verify>,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<LogoutToken>, Error> {
        let verified = match verify.step(&mut receiver.provider, now, event)?.split() {
            Ok(verified) => verified,
            Err(step) => {
                self.stage = Stage::Verifying(verify);
                return Ok(step);
            }
        };
        // 2. The signature verifies as an ID token's does.
        let algorithm = verified.header().algorithm();
        let claims = verified.into_claims();
        let token = judge(receiver, &claims, algorithm, now)?;
        // 8. A token is good once. Only good ones get here, so nobody else can fill the memory.
        let ends_at = claims.required_date("exp")?.after(receiver.clock_tolerance);
        let digest = Sha256::new_with_prefix(token.issuer.as_bytes())
            .chain_update([0])
            .chain_update(token.token_id.as_bytes())
            .finalize();
        let mut name = [0; 16];
        for (place, byte) in name.iter_mut().zip(digest) {
            *place = byte;
        }
        match &mut receiver.replays {
            Replays::Here(memory) => {
                let first = memory.is_first(name, ends_at, now);
                first_use(token, Some(first))
            }
            Replays::Elsewhere => {
                self.stage = Stage::Remembering(token);
                Ok(Step::Remember(ProofUse {
                    key: base64url::encode(&name),
                    lifetime: ends_at.since(now),
                }))
            }
        }
    }
}

fn first_use(mut token: LogoutToken, first: Option<bool>) -> Result<Step<LogoutToken>, Error> {
    match first {
        Some(true) => {
            token.checked.push("jti");
            Ok(Step::Done(token))
        }
        Some(false) => Err(ErrorKind::LogoutTokenReplayed.into()),
        None => Err(ErrorKind::ReplayStoreUnavailable.into()),
    }
}

fn judge(
    receiver: &LogoutReceiver,
    claims: &Claims,
    algorithm: Algorithm,
    now: Timestamp,
) -> Result<LogoutToken, Error> {
    let mut checked = vec![algorithm.check_name()];
    // 4. iss, aud, iat and exp as in an ID token.
    let issuer = claims.required_string("iss")?;
    if issuer != receiver.provider.issuer().as_str() {
        return Err(ErrorKind::IssuerMismatch.into());
    }
    let audience = claims.audience()?;
    let client_id = receiver.client_id.as_str();
    let is_trusted = |name: &&str| {
        let trusted = &receiver.trusted_audiences;
        *name == client_id || trusted.iter().any(|trusted| trusted == name)
    };
    if !audience.contains(&client_id) || !audience.iter().all(is_trusted) {
        return Err(ErrorKind::AudienceMismatch.into());
    }
    let tolerance = receiver.clock_tolerance;
    claims.check_lifetime(now, tolerance)?;
    let issued_at = claims.required_date("iat")?;
    if now > issued_at.after(receiver.max_token_age).after(tolerance) {
        return Err(ErrorKind::TokenTooOld.into());
    }
    checked.extend(["iss", "aud", "exp", "iat"]);

    // 5. sub, sid or both.
    let (subject, session_id) = (name(claims, "sub")?, name(claims, "sid")?);
    match (subject, session_id) {
        (None, None) => return Err(Error::new(ErrorKind::ClaimMissing, "sub")),
        (Some(_), None) => checked.push("sub"),
        (None, Some(_)) => checked.push("sid"),
        (Some(_), Some(_)) => checked.extend(["sub", "sid"]),
    }

    // 6. events holds the one that means a logout, and its value is an object.
    let at_events = |kind| Error::new(kind, "events");
    let events = match claims.as_object().get("events") {
        None => return Err(at_events(ErrorKind::ClaimMissing)),
        Some(Value::Object(events)) => events,
        Some(_) => return Err(at_events(ErrorKind::ClaimInvalid)),
    };
    match events.get(EVENT) {
        None => return Err(at_events(ErrorKind::ClaimMissing)),
        Some(Value::Object(_)) => checked.push("events"),
        Some(_) => return Err(at_events(ErrorKind::ClaimInvalid)),
    }

    // 7. No nonce, lest it pass for an ID token, or an ID token for it.
    if claims.as_object().get("nonce").is_some() {
        return Err(Error::new(ErrorKind::ClaimInvalid, "nonce"));
    }
    checked.push("nonce");

    let token_id = name(claims, "jti")?;
    let token_id = token_id.ok_or_else(|| Error::new(ErrorKind::ClaimMissing, "jti"))?;
    Ok(LogoutToken {
        issuer: issuer.into(),
        subject: subject.map(String::from),
        session_id: session_id.map(String::from),
        token_id: token_id.into(),
        checked,
    })
}

/// A name that is there is not empty and not long.
fn name<'a>(claims: &'a Claims, name: &'static str) -> Result<Option<&'a str>, Error> {
    match claims.string(name)? {
        Some(text) if text.is_empty() || text.len() > MAX_NAME => {
            Err(Error::new(ErrorKind::ClaimInvalid, name))
        }
        other => Ok(other),
    }
}

impl Flow for CheckLogout {
    type Shared = LogoutReceiver;
    type Output = LogoutToken;

    /// As [`Flow::step`].
    ///
    /// # Errors
    ///
    /// `token_malformed`, `token_too_large`, `alg_not_allowed`, `crit_unsupported`, `typ_mismatch`;
    /// those of [`Discover`] and [`Verify`]; `claim_missing` and `claim_invalid` at the claim,
    /// `issuer_mismatch`, `audience_mismatch`, `token_expired`, `token_not_active`,
    /// `issued_in_future`, `token_too_old`, `logout_token_replayed`, `replay_store_unavailable`.
    fn step(
        &mut self,
        receiver: &mut LogoutReceiver,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<LogoutToken>, Error> {
        self.advance(receiver, now, event)
            .map_err(|error| error.during(Phase::SignOut))
    }
}
