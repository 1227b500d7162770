//! The authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3, OpenID Connect Core
//! section 3.1.2.1).

use crate::client::config::parameters;
use crate::client::{Client, CodeVerifier, PendingLogin};
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::Url;
use crate::http::form::Form;
use crate::http::json::Object;
use crate::issuer::Discover;
use crate::jose::base64url_encode;
use crate::options::{Options, invalid};
use crate::random::Entropy;
use crate::time::Timestamp;

/// What one sign-in asks for beyond the client's configuration.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SignInOptions {
    /// How old the user's login may be, in seconds; 0 asks for a fresh one.
    pub max_age: Option<u32>,
    /// Where the application goes on after the callback: a path of the same origin.
    pub return_to: Option<String>,
    /// `prompt`, `login_hint` and further parameters.
    pub parameters: Vec<(String, String)>,
}

impl SignInOptions {
    /// Reads `prompt`, `loginHint`, `maxAge`, `returnTo` and `authorizationParams`.
    ///
    /// # Errors
    ///
    /// `config_invalid`; `returnTo` must begin with one slash, so that nobody is sent elsewhere.
    pub fn from_options(object: &Object) -> Result<Self, Error> {
        read(object).map_err(|error| error.during(Phase::SignIn))
    }
}

fn read(object: &Object) -> Result<SignInOptions, Error> {
    let known = [
        "authorizationParams",
        "loginHint",
        "maxAge",
        "prompt",
        "returnTo",
    ];
    let options = Options::new(object, &known)?;
    let mut extra = parameters(options.object("authorizationParams")?)?;
    for (option, parameter) in [("prompt", "prompt"), ("loginHint", "login_hint")] {
        if let Some(value) = options.string(option)? {
            extra.retain(|(name, _)| name != parameter);
            extra.push((parameter.into(), value.into()));
        }
    }
    let return_to = options.string("returnTo")?;
    if !return_to.is_none_or(stays_here) {
        return Err(invalid("returnTo"));
    }
    Ok(SignInOptions {
        max_age: options.whole_seconds("maxAge", u32::MAX)?,
        return_to: return_to.map(String::from),
        parameters: extra,
    })
}

/// Whether a path leads to a page of the same origin.
pub(super) fn stays_here(path: &str) -> bool {
    // "//host" and "/\host" leave the origin; browsers drop tabs and line ends before looking.
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}

/// A request that is ready: the page goes to the URL, the login is stored.
#[derive(Debug)]
pub struct AuthorizationRequest {
    /// Where the user goes.
    pub url: String,
    /// What waits for the callback.
    pub login: PendingLogin,
}

/// The flow that makes an authorization request.
#[derive(Debug)]
pub struct SignIn {
    discover: Discover,
    options: SignInOptions,
    entropy: Option<Entropy>,
}

impl SignIn {
    /// A flow with entropy of its own.
    pub fn new(options: SignInOptions, entropy: Entropy) -> Self {
        Self {
            discover: Discover::new(),
            options,
            entropy: Some(entropy),
        }
    }
}

impl Flow for SignIn {
    type Shared = Client;
    type Output = AuthorizationRequest;

    fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<AuthorizationRequest>, Error> {
        match self.discover.step(&mut client.provider, now, event)? {
            Step::Send(request) => Ok(Step::Send(request)),
            Step::Done(()) => {
                let entropy = self.entropy.take().ok_or(ErrorKind::FlowMisused)?;
                request(client, &self.options, now, &entropy)
                    .map(Step::Done)
                    .map_err(|error| error.during(Phase::SignIn))
            }
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }
}

fn request(
    client: &Client,
    options: &SignInOptions,
    now: Timestamp,
    entropy: &Entropy,
) -> Result<AuthorizationRequest, Error> {
    let config = &client.config;
    let metadata = client.provider.metadata().ok_or(ErrorKind::FlowMisused)?;
    let endpoint: &Url = metadata.authorization_endpoint()?;
    // OAuth 2.1 section 7.5.2: without PKCE no request is made.
    if metadata.rules_out_s256() {
        return Err(ErrorKind::PkceUnsupported.into());
    }
    let redirect_uri = config
        .redirect_uri
        .as_ref()
        .ok_or_else(|| invalid("redirectUri"))?;

    let [state, nonce, verifier] = entropy.values();
    let state = base64url_encode(state);
    let verifier = CodeVerifier::make(verifier);
    let is_openid = config.scope.split(' ').any(|scope| scope == "openid");
    let nonce = is_openid.then(|| base64url_encode(nonce));

    let mut form = Form::new();
    form.push("response_type", "code");
    form.push("client_id", &config.client_id);
    form.push("redirect_uri", redirect_uri.as_str());
    form.push("scope", &config.scope);
    form.push("state", &state);
    if let Some(nonce) = &nonce {
        form.push("nonce", nonce);
    }
    form.push("code_challenge", &verifier.challenge());
    form.push("code_challenge_method", "S256");
    // A parameter that is given by name takes the place of the option that stands for it.
    let given = || {
        options
            .parameters
            .iter()
            .chain(&config.authorization_params)
    };
    let is_given = |name: &str| given().any(|(given, _)| given == name);
    if !is_given("resource") {
        for resource in &config.resource {
            form.push("resource", resource);
        }
    }
    if let Some(audience) = config.audience.as_ref().filter(|_| !is_given("audience")) {
        form.push("audience", audience);
    }
    if let Some(max_age) = options.max_age {
        form.push("max_age", &max_age.to_string());
    }
    // What this sign-in asks for goes before what every one asks for.
    let is_asked = |name: &str| options.parameters.iter().any(|(asked, _)| asked == name);
    let general = config
        .authorization_params
        .iter()
        .filter(|(name, _)| !is_asked(name));
    for (name, value) in options.parameters.iter().chain(general) {
        form.push(name, value);
    }

    Ok(AuthorizationRequest {
        url: endpoint.with_query(&form),
        login: PendingLogin {
            state,
            nonce,
            verifier,
            issuer: client.provider.issuer().as_str().into(),
            client_id: config.client_id.clone(),
            redirect_uri: redirect_uri.as_str().into(),
            scope: config.scope.clone(),
            max_age: options.max_age,
            return_to: options.return_to.clone(),
            started_at: now,
        },
    })
}
