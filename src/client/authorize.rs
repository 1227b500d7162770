//! The authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3, OpenID Connect Core
//! section 3.1.2.1).

use crate::base64url;
use crate::client::config::parameters;
use crate::client::dpop::AskProven;
use crate::client::exchange::types;
#[cfg(feature = "backend")]
use crate::client::machine::request_object::{Unsigned, make};
use crate::client::push::{self, Reference};
use crate::client::{Client, CodeVerifier, PendingLogin, ResponseMode, Session};
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::Url;
use crate::http::form::Form;
use crate::http::json::{Object, Value};
use crate::issuer::{Discover, Metadata};
use crate::options::{Options, invalid};
use crate::random::Entropy;
use crate::time::{Lifetime, Timestamp};

/// Where a sign-in takes place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// In the page itself, which leaves and comes back.
    #[default]
    Redirect,
    /// In a window of its own; the page stays.
    Popup,
    /// In a frame that nobody sees, for users whom the provider knows already.
    Silent,
}

/// What one sign-in asks for beyond the client's configuration.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SignInOptions {
    /// Where it takes place.
    pub mode: Mode,
    /// The origin of the page that waits for a popup or frame.
    pub page: Option<String>,
    /// How long a popup or frame may take; by default ten minutes and ten seconds.
    pub timeout: Lifetime,
    /// How old the user's login may be, in seconds; 0 asks for a fresh one.
    pub max_age: Option<u32>,
    /// The values of `acr` that will do: those of `acr_values`, or of an essential claim.
    pub acr: Vec<String>,
    /// The only user whom the answer may be about: the value of the claim `sub`.
    pub subject: Option<String>,
    /// Whether the user who is signed in here must be the one who signs in.
    pub same_user: bool,
    /// The types of the authorization details that are asked for (RFC 9396).
    pub details: Vec<String>,
    /// Where the application goes on after the callback: a path of the same origin, or a URL of it.
    pub return_to: Option<String>,
    /// `prompt`, `login_hint` and further parameters.
    pub parameters: Vec<(String, String)>,
}

impl SignInOptions {
    /// Reads the options of the public API.
    ///
    /// | option | parameter | checked |
    /// |---|---|---|
    /// | `prompt`, `loginHint`, `display` | of that name | no |
    /// | `uiLocales` | `ui_locales` | no |
    /// | `acrValues` | `acr_values` | `acr` of the ID token is one of them |
    /// | `maxAge` | `max_age` | `auth_time` of the ID token |
    /// | `claims` | `claims` (OpenID Connect Core section 5.5) | essential `acr`, and `sub` with a value |
    /// | `idTokenHint` | `id_token_hint`: whoever is signed in here | the same `sub` signs in |
    /// | `authorizationDetails` | `authorization_details` (RFC 9396) | the answer has them, of these types |
    /// | `authorizationParams` | more parameters | no |
    /// | `returnTo` | none | of this origin |
    ///
    /// For popups and hidden frames also `mode` (`redirect`, `popup` or `silent`), `page` (the origin
    /// of the page that waits, which is that of the redirect URI) and `timeout` (seconds, 1 to 600).
    ///
    /// # Errors
    ///
    /// `config_invalid`; `returnTo` must begin with one slash or, checked later, with the origin of
    /// the redirect URI, so that nobody is sent elsewhere.
    pub fn from_options(object: &Object) -> Result<Self, Error> {
        read(object).map_err(|error| error.during(Phase::SignIn))
    }
}

fn read(object: &Object) -> Result<SignInOptions, Error> {
    let known = [
        "acrValues",
        "authorizationDetails",
        "authorizationParams",
        "claims",
        "display",
        "idTokenHint",
        "loginHint",
        "maxAge",
        "mode",
        "page",
        "prompt",
        "returnTo",
        "timeout",
        "uiLocales",
    ];
    let options = Options::new(object, &known)?;
    let (mode, seconds) = match options.string("mode")? {
        None | Some("redirect") => (Mode::Redirect, 600),
        Some("popup") => (Mode::Popup, 600),
        Some("silent") => (Mode::Silent, 10),
        Some(_) => return Err(invalid("mode")),
    };
    if mode == Mode::Redirect && options.value("timeout").is_some() {
        return Err(invalid("timeout"));
    }
    let mut read = SignInOptions {
        mode,
        page: options.string("page")?.map(String::from),
        timeout: options.seconds("timeout", 1..=600, seconds)?,
        max_age: options.whole_seconds("maxAge", u32::MAX)?,
        same_user: options.switch("idTokenHint")?,
        return_to: options.string("returnTo")?.map(String::from),
        parameters: parameters(options.object("authorizationParams")?)?,
        ..SignInOptions::default()
    };
    for (option, parameter) in [
        ("prompt", "prompt"),
        ("loginHint", "login_hint"),
        ("display", "display"),
    ] {
        if let Some(value) = options.string(option)? {
            read.set(parameter, value.into());
        }
    }
    for (option, parameter) in [("uiLocales", "ui_locales"), ("acrValues", "acr_values")] {
        if let Some(values) = options.strings(option)? {
            read.set(parameter, values.join(" "));
            if option == "acrValues" {
                let each = values.iter().flat_map(|value| value.split(' '));
                read.acr = each.map(String::from).collect();
            }
        }
    }
    if let Some(claims) = options.object("claims")? {
        read.claims(claims)?;
    }
    if let Some(details) = options.value("authorizationDetails") {
        let types = types(details).filter(|types| !types.is_empty());
        let types = types.ok_or_else(|| invalid("authorizationDetails"))?;
        read.details = types.into_iter().map(String::from).collect();
        read.set("authorization_details", details.to_json());
    }
    if read.mode == Mode::Silent {
        // OpenID Connect Core section 3.1.2.1: nothing is shown.
        if options
            .string("prompt")?
            .is_some_and(|prompt| prompt != "none")
        {
            return Err(invalid("prompt"));
        }
        read.set("prompt", "none".into());
    }
    if !read.return_to.as_deref().is_none_or(is_safe) {
        return Err(invalid("returnTo"));
    }
    Ok(read)
}

impl SignInOptions {
    /// Sets a parameter in place of one of this name.
    fn set(&mut self, name: &str, value: String) {
        self.parameters.retain(|(other, _)| other != name);
        self.parameters.push((name.into(), value));
    }

    /// Reads the `claims` parameter (OpenID Connect Core section 5.5), and what it makes a condition:
    /// an essential `acr` (5.5.1.1), and a `sub` with a value (5.5.1).
    fn claims(&mut self, claims: &Object) -> Result<(), Error> {
        let places = ["id_token", "userinfo"];
        let is_place = |name: &str, value: &Value| {
            places.contains(&name) && (value.as_object().is_some() || *value == Value::Null)
        };
        if !claims.iter().all(|(name, value)| is_place(name, value)) {
            return Err(invalid("claims"));
        }
        let asked = |name: &str| claims.get("id_token")?.as_object()?.get(name)?.as_object();
        let value = |claim: &Object| claim.get("value")?.as_str().map(String::from);
        self.subject = asked("sub").and_then(value);
        let essential =
            asked("acr").filter(|acr| acr.get("essential").and_then(Value::as_bool) == Some(true));
        if let Some(acr) = essential {
            let values = acr.get("values").and_then(Value::as_strings);
            let values = values.unwrap_or_default().into_iter().map(String::from);
            self.acr = value(acr).into_iter().chain(values).collect();
            // Whatever it is, it must be there; that is not offered because it would say nothing.
            if self.acr.is_empty() {
                return Err(invalid("claims"));
            }
        }
        self.set("claims", Value::from(claims.clone()).to_json());
        Ok(())
    }
}

/// Whether a path leads to a page of the same origin.
pub(super) fn stays_here(path: &str) -> bool {
    // "//host" and "/\host" leave the origin; browsers drop tabs and line ends before looking. Behind
    // the path a backslash is one.
    let way = path.split(['?', '#']).next().unwrap_or_default();
    path.starts_with('/')
        && !path.starts_with("//")
        && !way.contains('\\')
        && path.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}

/// Whether it is such a path, or a URL that means the same to every reader.
fn is_safe(return_to: &str) -> bool {
    stays_here(return_to) || Url::parse(return_to).is_some()
}

/// A request that is ready: the page goes to the URL, the login is stored.
#[derive(Debug)]
#[non_exhaustive]
pub struct AuthorizationRequest {
    /// Where the user goes.
    pub url: String,
    /// What waits for the callback.
    pub login: PendingLogin,
    /// How long the URL can be used, and then once: for a request that was pushed (RFC 9126).
    pub lifetime: Option<Lifetime>,
}

impl AuthorizationRequest {
    /// Whether the URL is so long that some servers refuse or cut it: the request should be pushed.
    pub fn is_long(&self) -> bool {
        self.url.len() > LONG_URL
    }
}

/// The longest `returnTo`: it waits in storage beside others.
pub(super) const MAX_RETURN_TO: usize = 8 * 1024;

/// Common servers and proxies stop at 8 KiB for the request line.
const LONG_URL: usize = 8000;

/// The flow that makes an authorization request.
#[derive(Debug)]
pub struct SignIn {
    options: SignInOptions,
    entropy: Option<Entropy>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Discovering(Discover),
    /// The login's request is being signed.
    #[cfg(feature = "backend")]
    Signing(Box<(Unsigned, PendingLogin)>),
    /// The login's request is being pushed.
    Pushing(Box<(AskProven, PendingLogin)>),
    Over,
}

impl SignIn {
    /// A flow with entropy of its own.
    pub fn new(options: SignInOptions, entropy: Entropy) -> Self {
        Self {
            options,
            entropy: Some(entropy),
            stage: Stage::Discovering(Discover::new()),
        }
    }

    fn advance(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<AuthorizationRequest>, Error> {
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Discovering(mut discover) => {
                if let Err(step) = discover.step(&mut client.provider, now, event)?.split() {
                    self.stage = Stage::Discovering(discover);
                    return Ok(step);
                }
                let entropy = self.entropy.take().ok_or(ErrorKind::FlowMisused)?;
                let (form, login) = request(client, &self.options, now, &entropy)?;
                #[cfg(feature = "backend")]
                if let Some(unsigned) = make(client, &form, push::is_due(client)?, now)? {
                    let request = unsigned.token.request();
                    self.stage = Stage::Signing(Box::new((unsigned, login)));
                    return Ok(Step::Sign(request));
                }
                // RFC 9101 section 10.5: none is sent that would be refused.
                let metadata = client.provider.metadata();
                if metadata.is_some_and(Metadata::requires_signed_requests) {
                    return Err(invalid("requestObject"));
                }
                self.send(client, now, form, login)
            }
            #[cfg(feature = "backend")]
            Stage::Signing(unsigned) => {
                let (Unsigned { token, mut beside }, login) = *unsigned;
                // EXPOSE: it goes to the provider that it was made for.
                beside.push("request", event.into_signed(token)?.expose());
                self.send(client, now, beside, login)
            }
            Stage::Pushing(pushing) => self.push(pushing, client, now, event),
            Stage::Over => Err(ErrorKind::FlowMisused.into()),
        }
    }

    fn send(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        form: Form,
        login: PendingLogin,
    ) -> Result<Step<AuthorizationRequest>, Error> {
        if push::is_due(client)? {
            let pushing = Box::new((push::push(client, form)?, login));
            return self.push(pushing, client, now, Event::Start);
        }
        Ok(Step::Done(AuthorizationRequest {
            url: endpoint(client)?.with_query(&form),
            login,
            lifetime: None,
        }))
    }

    fn push(
        &mut self,
        mut pushing: Box<(AskProven, PendingLogin)>,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<AuthorizationRequest>, Error> {
        match pushing.0.step(client, now, event)?.split() {
            Ok(response) => {
                let pushed_as = push::read(&response);
                let told_when = |error| response.told_when(error, now);
                pushed(client, pushing.1, pushed_as.map_err(told_when)?).map(Step::Done)
            }
            Err(step) => {
                self.stage = Stage::Pushing(pushing);
                Ok(step)
            }
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
        self.advance(client, now, event)
            .map_err(|error| error.during(Phase::SignIn))
    }
}

fn endpoint(client: &Client) -> Result<&Url, Error> {
    let metadata = client.provider.metadata().ok_or(ErrorKind::FlowMisused)?;
    metadata.authorization_endpoint()
}

/// RFC 9126 section 4: the browser carries the client's name and the reference, nothing else.
fn pushed(
    client: &Client,
    login: PendingLogin,
    reference: Reference,
) -> Result<AuthorizationRequest, Error> {
    let mut form = Form::new();
    form.push("client_id", &client.config.client_id);
    form.push("request_uri", &reference.request_uri);
    Ok(AuthorizationRequest {
        url: endpoint(client)?.with_query(&form),
        login,
        lifetime: Some(reference.lifetime),
    })
}

/// The parameters of a request and what waits for its callback.
pub(super) fn request(
    client: &Client,
    options: &SignInOptions,
    now: Timestamp,
    entropy: &Entropy,
) -> Result<(Form, PendingLogin), Error> {
    let config = &client.config;
    let metadata = client.provider.metadata().ok_or(ErrorKind::FlowMisused)?;
    let endpoint = endpoint(client)?;
    // OAuth 2.1 section 7.5.2: without PKCE no request is made.
    let is_silent = !metadata.names_challenge_methods();
    if metadata.rules_out_s256() || is_silent && config.require_pkce_support {
        return Err(ErrorKind::PkceUnsupported.into());
    }
    // RFC 9449 section 5.1: where they are named, ours is among the algorithms.
    if config.dpop.is_some() && metadata.rules_out_dpop("ES256") {
        let at = "dpop_signing_alg_values_supported";
        return Err(Error::new(ErrorKind::MetadataInvalid, at));
    }
    let redirect_uri = config
        .redirect_uri
        .as_ref()
        .ok_or_else(|| invalid("redirectUri"))?;
    let return_to = return_to(options, redirect_uri)?;
    // A callback is handed from page to page within one origin.
    let is_other = |page: &String| *page != redirect_uri.origin();
    if options.page.as_ref().is_some_and(is_other) {
        return Err(invalid("redirectUri"));
    }
    // What a server receives is not in the page that waits for it, and in a JWT the page at the
    // redirect URI does not see whose response it is.
    let stays_away = |mode: ResponseMode| mode.is_signed() || mode == ResponseMode::FormPost;
    if options.mode != Mode::Redirect && config.response_mode.is_some_and(stays_away) {
        return Err(invalid("responseMode"));
    }
    if options.mode == Mode::Silent && !shares_site(redirect_uri, endpoint, config.site.as_deref())
    {
        return Err(ErrorKind::SilentUnavailable.into());
    }

    let [state, nonce, verifier] = entropy.values();
    // The page at the redirect URI is told by the end of the state whose callback it has: nothing
    // else survives a provider that cuts all ties between windows (Cross-Origin-Opener-Policy).
    let mut state = base64url::encode(state);
    state.push_str(match options.mode {
        Mode::Redirect => "",
        Mode::Popup => ".popup",
        Mode::Silent => ".frame",
    });
    let verifier = CodeVerifier::make(verifier);
    let is_openid = config.scope.split(' ').any(|scope| scope == "openid");
    let nonce = is_openid.then(|| base64url::encode(nonce));

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
    if let Some(mode) = config.response_mode {
        form.push("response_mode", mode.name());
    }
    let session = client.session().filter(|_| options.same_user);
    if let Some(token) = session.and_then(Session::id_token) {
        // EXPOSE: the provider takes it as a hint who is to sign in (Core section 3.1.2.1).
        form.push("id_token_hint", token.expose());
    }
    let same_user = session.and_then(Session::signed_in_as);
    let same_user = same_user.and_then(|claims| claims.string("sub").ok()?);
    // RFC 9449 section 10: a code that is stolen cannot be exchanged with another key.
    if config.dpop.is_some_and(|dpop| dpop.binds_code) {
        let key = client.dpop_key().ok_or(ErrorKind::KeyUnsuitable)?;
        form.push("dpop_jkt", key.thumbprint().as_str());
    }
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

    let login = PendingLogin {
        state,
        nonce,
        verifier,
        issuer: client.provider.issuer().as_str().into(),
        client_id: config.client_id.clone(),
        redirect_uri: redirect_uri.as_str().into(),
        scope: config.scope.clone(),
        max_age: options.max_age,
        acr: options.acr.clone(),
        subject: same_user
            .map(String::from)
            .or_else(|| options.subject.clone()),
        details: options.details.clone(),
        return_to,
        started_at: now,
    };
    Ok((form, login))
}

/// Where the application goes on, as a path of its own origin.
fn return_to(options: &SignInOptions, redirect_uri: &Url) -> Result<Option<String>, Error> {
    let Some(text) = &options.return_to else {
        return Ok(None);
    };
    if text.len() > MAX_RETURN_TO {
        return Err(invalid("returnTo"));
    }
    let Some(url) = Url::parse(text) else {
        return Ok(Some(text.clone()));
    };
    let path = match url.after_origin() {
        "" => "/",
        path => path,
    };
    if url.origin() == redirect_uri.origin() && path.starts_with('/') && !path.starts_with("//") {
        Ok(Some(path.into()))
    } else {
        Err(invalid("returnTo"))
    }
}

/// Whether browsers count two URLs to one site, so that the cookies of one come along in a frame of
/// the other: the same scheme, and the same host or hosts of the registrable domain `site`.
///
/// Which domain is registrable stands in the Public Suffix List, which is not here: without `site`
/// only the same host counts.
fn shares_site(page: &Url, provider: &Url, site: Option<&str>) -> bool {
    let is_within = |host: &str, site: &str| {
        let rest = host.strip_suffix(site);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let within = |site| is_within(page.host(), site) && is_within(provider.host(), site);
    page.is_secure() == provider.is_secure()
        && (page.host() == provider.host() || site.is_some_and(within))
}
