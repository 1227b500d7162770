//! The steps of a sign-in one by one, for programs that drive it themselves.
//!
//! Each decides what the flow of the same name decides, by the same code. What a flow sees to between
//! its steps is the program's: that a login is used once, that a refresh token is, what is kept where.

use crate::client::authorize::{self, Mode};
use crate::client::callback::Callback;
use crate::client::id_token::{self, IdTokenChecks};
use crate::client::{
    AuthorizationRequest, CallbackCode, Client, ClientConfig, PendingLogin, PendingLogins,
    ResponseMode, SignInOptions, Tokens, complete, exchange,
};
use crate::error::{Error, ErrorKind, Phase};
use crate::http::form::Form;
use crate::http::json::{self, Object, Value};
use crate::http::{HttpRequest, HttpResponse, Purpose};
use crate::jose::{self, Claims};
use crate::options::{Options, invalid};
use crate::random::Entropy;
use crate::secret::Secret;
use crate::time::Timestamp;

/// The options that steps understand. The others are about what flows see to.
const OPTIONS: &[&str] = &[
    "audience",
    "authorizationParams",
    "clientId",
    "clockTolerance",
    "dangerouslyAllowHttpLoopback",
    "issuer",
    "redirectUri",
    "requirePkceSupport",
    "resource",
    "responseMode",
    "scope",
    "timeout",
    "trustedAudiences",
];

/// The longest text of a login that is read back.
const MAX_LOGIN: usize = 16 * 1024;

/// A public client at a provider whose metadata is known.
#[derive(Debug)]
pub struct Steps(Client);

/// What waits for a callback; it holds the verifier.
#[derive(Clone, Debug)]
pub struct Login(PendingLogin);

/// A code whose response was checked, and what the sign-in wants to go on with.
#[derive(Debug)]
#[non_exhaustive]
pub struct StepCode {
    /// The code.
    pub code: Secret<String>,
    /// Where the application goes on.
    pub return_to: Option<String>,
    /// What was checked, in order.
    pub checked: Vec<&'static str>,
}

/// What an ID token came with.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // Whoever adds a check must be made to give its value everywhere.
pub struct Beside<'a> {
    /// The access token.
    pub access_token: Option<&'a str>,
    /// The code that it was exchanged for.
    pub code: Option<&'a str>,
    /// Whether it was a refresh that it came with.
    pub refreshed: bool,
}

impl Login {
    /// Reads what [`Login::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// `flow_unknown` for any other text.
    pub fn read(text: &str) -> Result<Self, Error> {
        json::read_object(text.as_bytes(), MAX_LOGIN)
            .ok()
            .and_then(|object| PendingLogin::read(&object.into()))
            .map(Self)
            .ok_or_else(|| Error::from(ErrorKind::FlowUnknown).during(Phase::Callback))
    }

    /// The text to keep until the callback, where only this browser's user gets at it.
    pub fn to_json(&self) -> String {
        self.0.to_value().to_json()
    }

    /// The `state` by which the callback is known.
    pub fn state(&self) -> &str {
        self.0.state()
    }
}

impl From<PendingLogin> for Login {
    fn from(login: PendingLogin) -> Self {
        Self(login)
    }
}

impl Steps {
    /// Reads those options of [`Client::from_options`] that steps understand: `issuer`, which has to be
    /// a metadata document, `audience`, `authorizationParams`, `clientId`, `clockTolerance`,
    /// `dangerouslyAllowHttpLoopback`, `redirectUri`, `resource`, `responseMode`, `scope`, `timeout`
    /// and `trustedAudiences`.
    ///
    /// # Errors
    ///
    /// Those of [`Client::from_options`].
    pub fn from_options(options: &Object) -> Result<Self, Error> {
        let during = |error: Error| error.during(Phase::Config);
        Options::new(options, OPTIONS).map_err(during)?;
        let client = Client::from_options(options)?;
        // A signed response is verified with keys, which steps do not fetch.
        if client
            .config()
            .response_mode
            .is_some_and(ResponseMode::is_signed)
        {
            return Err(during(invalid("responseMode")));
        }
        match client.provider().metadata() {
            Some(_) => Ok(Self(client)),
            None => Err(during(invalid("issuer"))),
        }
    }

    /// The authorization request (RFC 6749 section 4.1.1) with fresh `state`, `nonce` and verifier.
    ///
    /// # Errors
    ///
    /// `config_invalid`: also at `par` and `requestObject` where the provider takes only requests that
    /// are pushed or signed; `pkce_unsupported`, `metadata_invalid`.
    pub fn authorize(
        &self,
        options: &SignInOptions,
        now: Timestamp,
        entropy: Entropy,
    ) -> Result<AuthorizationRequest, Error> {
        self.request(options, now, &entropy)
            .map_err(|error| error.during(Phase::SignIn))
    }

    fn request(
        &self,
        options: &SignInOptions,
        now: Timestamp,
        entropy: &Entropy,
    ) -> Result<AuthorizationRequest, Error> {
        // Windows, frames and sessions are the program's.
        if options.mode != Mode::Redirect {
            return Err(invalid("mode"));
        }
        if options.same_user {
            return Err(invalid("idTokenHint"));
        }
        let metadata = self.0.provider().metadata();
        let metadata = metadata.ok_or(ErrorKind::FlowMisused)?;
        // RFC 9126 section 5, RFC 9101 section 10.5: none is made that would be refused.
        if metadata.requires_pushed_requests() {
            return Err(invalid("par"));
        }
        if metadata.requires_signed_requests() {
            return Err(invalid("requestObject"));
        }
        let (form, login) = authorize::request(&self.0, options, now, entropy)?;
        Ok(AuthorizationRequest {
            url: metadata.authorization_endpoint()?.with_query(&form),
            login,
            lifetime: None,
        })
    }

    /// Checks a callback against the login that waits for it: `url` as the browser shows it, and
    /// `form`, the body, for a response that was posted.
    ///
    /// What it does not check: that the login is used once. Forget it before the code is exchanged.
    ///
    /// # Errors
    ///
    /// Those of [`Completion::new`](crate::client::Completion::new), and `iss_missing`, `iss_mismatch`,
    /// `server_error_response`, `login_required`, `code_missing`.
    pub fn callback(
        &self,
        login: &Login,
        url: &str,
        form: Option<&str>,
        now: Timestamp,
    ) -> Result<StepCode, Error> {
        let check = || {
            let mut logins = PendingLogins::default();
            logins.add(login.0.clone(), now);
            let callback = Callback::parse_in(url, form, self.config().response_mode)?;
            let login = callback.claim(&mut logins, &self.0, now)?;
            let code = CallbackCode::check(&callback, login, &self.0)?;
            Ok(StepCode {
                code: code.code().clone(),
                return_to: code.login().return_to.clone(),
                checked: code.checked().to_vec(),
            })
        };
        check().map_err(|error: Error| error.during(Phase::Callback))
    }

    /// The request that exchanges a code (RFC 6749 section 4.1.3); its answer is for [`Steps::tokens`].
    ///
    /// # Errors
    ///
    /// `code_missing` for an empty one, `metadata_invalid` without a token endpoint.
    pub fn exchange(&self, login: &Login, code: &Secret<String>) -> Result<HttpRequest, Error> {
        let post = || {
            // EXPOSE: whether there is one.
            if code.expose().is_empty() {
                return Err(ErrorKind::CodeMissing.into());
            }
            self.post(exchange::code_form(code, &login.0), Purpose::Token)
        };
        post().map_err(|error: Error| error.during(Phase::Exchange))
    }

    /// The request that renews tokens (RFC 6749 section 6); its answer is for [`Steps::tokens`].
    ///
    /// # Errors
    ///
    /// `config_invalid` for an empty one, `metadata_invalid` without a token endpoint.
    pub fn refresh(&self, refresh_token: &Secret<String>) -> Result<HttpRequest, Error> {
        let post = || {
            // EXPOSE: whether there is one.
            if refresh_token.expose().is_empty() {
                return Err(invalid("refreshToken"));
            }
            self.post(exchange::refresh_form(refresh_token), Purpose::Refresh)
        };
        post().map_err(|error: Error| error.during(Phase::Refresh))
    }

    fn post(&self, form: Form, purpose: Purpose) -> Result<HttpRequest, Error> {
        let (url, mut form) = exchange::addressed(&self.0, form)?;
        // RFC 6749 section 3.2.1: a public client names itself in the body.
        form.push_once("client_id", &self.config().client_id);
        let timeout = self.0.provider().timeout();
        Ok(HttpRequest::post(purpose, url, form.into_body(), timeout))
    }

    /// Reads a token response (RFC 6749 sections 5.1 and 5.2); with a login also whether it answers
    /// the `authorization_details` that were asked for.
    ///
    /// What it does not check: the ID token, see [`Steps::check_claims`].
    ///
    /// # Errors
    ///
    /// `server_error_response`, `upstream_status`, `response_malformed`, `token_type_unsupported`.
    pub fn tokens(&self, answer: &HttpResponse, login: Option<&Login>) -> Result<Tokens, Error> {
        let asked = login.map_or(&[][..], |login| &login.0.details);
        exchange::read_as(answer, &[self.config().token_type()])
            .and_then(|tokens| tokens.check_details(asked))
    }

    /// Checks all that an ID token says (OpenID Connect Core section 3.1.3.7), against the login where
    /// there is one, and against the access token and the code that it came with. One that was
    /// `refreshed` need not have the login's nonce, and is not held against what else the login asked
    /// for (section 12.2).
    ///
    /// What it does not check: **the signature**. That may be left out only for a token that came from
    /// the token endpoint itself over TLS (step 6 there), never for one that somebody handed over. And
    /// of a refreshed one, that it is about the same user.
    ///
    /// # Errors
    ///
    /// Those of [`IdToken::check`](crate::client::IdToken::check) but the signature's.
    pub fn check_claims(
        &self,
        id_token: &Secret<String>,
        login: Option<&Login>,
        beside: &Beside<'_>,
        now: Timestamp,
    ) -> Result<(Claims, Vec<&'static str>), Error> {
        let login = login.map(|login| &login.0);
        let token = complete::read_id_token(id_token, self.0.provider())?;
        let claims = token.unchecked_claims();
        let during = |error: Error| error.during(Phase::IdToken);
        let is_spared = beside.refreshed && claims.string("nonce").map_err(during)?.is_none();
        let nonce = login.filter(|_| !is_spared);
        let login = login.filter(|_| !beside.refreshed);
        let expected = IdTokenChecks {
            issuer: self.0.provider().issuer().as_str(),
            client_id: &self.config().client_id,
            trusted_audiences: &self.config().trusted_audiences,
            nonce: nonce.and_then(|login| login.nonce.as_deref()),
            max_age: login.and_then(|login| login.max_age),
            acr: login.map_or(&[], |login| &login.acr),
            subject: login.and_then(|login| login.subject.as_deref()),
            code: beside.code,
            state: login.map(PendingLogin::state),
            access_token: beside.access_token,
            clock_tolerance: self.config().clock_tolerance,
            now,
        };
        let checked = id_token::check_claims(token.header(), claims, &expected)
            .map_err(|error| complete::explain(error, claims.date("iat").ok().flatten(), now))?;
        Ok((claims.clone(), checked))
    }

    fn config(&self) -> &ClientConfig {
        self.0.config()
    }
}

/// Header and claims of a signed token as they came. **Nothing was verified**: anybody can have
/// written them. Good for looking at, not for deciding.
///
/// # Errors
///
/// `token_too_large` beyond 64 KiB, `token_malformed` for what is no JWT; also for JSON that readers
/// understand differently, such as a member that comes twice.
pub fn decode(token: &str) -> Result<(Object, Object), Error> {
    jose::decode(token, complete::MAX_ID_TOKEN)
}

impl Tokens {
    /// The response for the program, which has the tokens from here on.
    pub fn expose(&self) -> Object {
        // EXPOSE: the program asked for them.
        let text = |token: &Option<Secret<String>>| token.as_ref().map(|it| it.expose().clone());
        let expires_in = self.expires_in.map(|it| Value::from(it.whole_seconds()));
        Object::new()
            .with("accessToken", self.access_token.expose().as_str())
            .with("tokenType", "Bearer")
            .with_some("expiresIn", expires_in)
            .with_some("scope", self.scope.as_deref())
            .with_some("refreshToken", text(&self.refresh_token))
            .with_some("idToken", text(&self.id_token))
            .with_some("authorizationDetails", self.authorization_details.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64url;

    const ISSUER: &str = "https://as.example";

    fn object(text: &str) -> Object {
        json::read_object(text.as_bytes(), 10_000).unwrap()
    }

    /// The options of a client, with more members of the metadata and more options.
    fn made(metadata: &str, more: &str) -> Result<Steps, Error> {
        Steps::from_options(&object(&format!(
            r#"{{"issuer":{{"issuer":"{ISSUER}","authorization_endpoint":"{ISSUER}/auth",
            "token_endpoint":"{ISSUER}/token","response_types_supported":["code"]{metadata}}},
            "clientId":"app","redirectUri":"https://app.example/callback"{more}}}"#
        )))
    }

    fn steps() -> Steps {
        made("", "").unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_800_000_000).unwrap()
    }

    fn entropy() -> Entropy {
        let mut bytes = [0; Entropy::BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(index).unwrap();
        }
        Entropy::new(bytes).unwrap()
    }

    fn options(text: &str) -> SignInOptions {
        SignInOptions::from_options(&object(text)).unwrap()
    }

    fn begun(steps: &Steps) -> (String, Login) {
        let request = steps.authorize(&options("{}"), now(), entropy()).unwrap();
        (request.url, request.login.into())
    }

    #[track_caller]
    fn refused<T>(result: Result<T, Error>, kind: ErrorKind, at: &str) {
        let error = result.err().unwrap();
        assert_eq!((error.kind(), error.at()), (kind, at));
    }

    fn token(header: &str, claims: &str) -> Secret<String> {
        let part = |text: &str| base64url::encode(text.as_bytes());
        Secret::new(format!(
            "{}.{}.{}",
            part(header),
            part(claims),
            part("no signature")
        ))
    }

    #[test]
    fn a_sign_in_goes_step_by_step() {
        let steps = steps();
        let (url, login) = begun(&steps);
        assert!(url.starts_with("https://as.example/auth?response_type=code&client_id=app&"));
        assert!(url.contains("&code_challenge_method=S256"));

        // What waits goes through storage as text.
        let login = Login::read(&login.to_json()).unwrap();
        let callback = format!(
            "https://app.example/callback?code=c-1&state={}",
            login.state()
        );
        let code = steps.callback(&login, &callback, None, now()).unwrap();
        assert_eq!(code.checked, ["state", "code"]);

        let request = steps.exchange(&login, &code.code).unwrap();
        assert_eq!(request.url.as_str(), "https://as.example/token");
        assert_eq!(
            request.parameters(),
            [
                "grant_type",
                "code",
                "redirect_uri",
                "code_verifier",
                "client_id"
            ]
        );
        let answer = HttpResponse::new(
            200,
            vec![("content-type", "application/json".into())],
            br#"{"access_token":"a-1","token_type":"bearer","expires_in":60}"#.to_vec(),
        );
        let tokens = steps.tokens(&answer, Some(&login)).unwrap();
        assert_eq!(
            Value::from(tokens.expose()).to_json(),
            r#"{"accessToken":"a-1","tokenType":"Bearer","expiresIn":60}"#
        );
    }

    #[test]
    fn a_callback_of_another_login_is_refused() {
        let steps = steps();
        let (_, login) = begun(&steps);
        let other = "https://app.example/callback?code=c-1&state=other";
        refused(
            steps.callback(&login, other, None, now()),
            ErrorKind::StateMismatch,
            "",
        );
        let late = Timestamp::from_seconds(1_800_000_601).unwrap();
        let own = format!(
            "{}?code=c&state={}",
            "https://app.example/callback",
            login.state()
        );
        refused(
            steps.callback(&login, &own, None, late),
            ErrorKind::FlowExpired,
            "",
        );
        for text in ["", "{}", "undefined", "[]"] {
            refused(Login::read(text), ErrorKind::FlowUnknown, "");
        }
    }

    #[test]
    fn what_only_flows_see_to_is_refused() {
        refused(
            made("", r#","dpop":true"#),
            ErrorKind::ConfigInvalid,
            "dpop",
        );
        let name = object(r#"{"issuer":"https://as.example","clientId":"app"}"#);
        refused(
            Steps::from_options(&name),
            ErrorKind::ConfigInvalid,
            "issuer",
        );
        let begin = |metadata: &str, asked: &str| {
            let steps = made(metadata, "").unwrap();
            steps.authorize(&options(asked), now(), entropy())
        };
        let invalid = ErrorKind::ConfigInvalid;
        refused(begin("", r#"{"mode":"popup"}"#), invalid, "mode");
        refused(begin("", r#"{"idTokenHint":true}"#), invalid, "idTokenHint");
        let pushed = format!(
            r#","require_pushed_authorization_requests":true,
            "pushed_authorization_request_endpoint":"{ISSUER}/par""#
        );
        refused(begin(&pushed, "{}"), invalid, "par");
        let signed = r#","require_signed_request_object":true"#;
        refused(begin(signed, "{}"), invalid, "requestObject");
        let (_, login) = begun(&steps());
        let empty = Secret::new(String::new());
        refused(steps().exchange(&login, &empty), ErrorKind::CodeMissing, "");
        refused(steps().refresh(&empty), invalid, "refreshToken");
    }

    #[test]
    fn claims_are_checked_against_the_login() {
        let steps = steps();
        let (_, login) = begun(&steps);
        let nonce = login.0.nonce.clone().unwrap();
        let claims = |more: &str| {
            format!(
                r#"{{"iss":"{ISSUER}","aud":"app","sub":"alice","iat":1800000000,
                "exp":1800000060{more}}}"#
            )
        };
        let check = |token: &Secret<String>, login: Option<&Login>| {
            let beside = Beside {
                access_token: Some("a-1"),
                ..Beside::default()
            };
            steps.check_claims(token, login, &beside, now())
        };
        let header = r#"{"alg":"RS256"}"#;
        let good = token(header, &claims(&format!(r#","nonce":"{nonce}""#)));
        let (read, checked) = check(&good, Some(&login)).unwrap();
        assert_eq!(read.required_string("sub").unwrap(), "alice");
        assert_eq!(checked, ["iss", "aud", "exp", "iat", "nonce", "sub"]);
        refused(
            check(&token(header, &claims("")), Some(&login)),
            ErrorKind::NonceMismatch,
            "",
        );
        assert!(check(&token(header, &claims("")), None).is_ok());
        // In the answer to a refresh there need not be one; one that is there is the login's.
        let refreshed = Beside {
            refreshed: true,
            ..Beside::default()
        };
        let renew = |more: &str| {
            let token = token(header, &claims(more));
            steps.check_claims(&token, Some(&login), &refreshed, now())
        };
        assert!(renew("").is_ok());
        assert!(renew(&format!(r#","nonce":"{nonce}""#)).is_ok());
        refused(renew(r#","nonce":"another""#), ErrorKind::NonceMismatch, "");
        refused(
            check(&token(r#"{"alg":"none"}"#, &claims("")), None),
            ErrorKind::AlgNotAllowed,
            "",
        );
        let hashed = token(header, &claims(r#","at_hash":"AAAA""#));
        refused(check(&hashed, None), ErrorKind::HashMismatch, "at_hash");
    }

    #[test]
    fn decoding_is_strict_and_verifies_nothing() {
        let bare = token(r#"{"alg":"none"}"#, r#"{"sub":"mallory"}"#);
        let (header, claims) = decode(bare.expose()).unwrap();
        assert_eq!(header.get("alg").and_then(Value::as_str), Some("none"));
        assert_eq!(claims.get("sub").and_then(Value::as_str), Some("mallory"));
        let twice = token(r#"{"alg":"none"}"#, r#"{"sub":"a","sub":"b"}"#);
        refused(decode(twice.expose()), ErrorKind::TokenMalformed, "payload");
        refused(decode("a.b"), ErrorKind::TokenMalformed, "");
    }
}
