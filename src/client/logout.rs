//! Signing out (OpenID Connect RP-Initiated Logout 1.0, RFC 7009).

use crate::base64url;
use crate::client::authorize::{MAX_RETURN_TO, stays_here};
use crate::client::dpop::AskProven;
use crate::client::{Client, PendingLogout};
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::form::Form;
use crate::http::json::Object;
use crate::http::{HttpResponse, Purpose};
use crate::issuer::Discover;
use crate::options::{Options, invalid};
use crate::random::Entropy;
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};

/// How long ending the tokens at the provider may take in all: someone waits to leave.
const REVOCATION_TIME: Lifetime = Lifetime::from_seconds(3);

/// What one sign-out asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignOutOptions {
    /// Whether the tokens are ended at the provider too, where it offers that.
    pub revoke: bool,
    /// Where the application goes on after the provider sent the user back: a path of the same
    /// origin.
    pub return_to: Option<String>,
    /// `logout_hint` and `ui_locales`.
    parameters: Vec<(&'static str, String)>,
}

impl Default for SignOutOptions {
    fn default() -> Self {
        Self {
            revoke: true,
            return_to: None,
            parameters: Vec::new(),
        }
    }
}

impl SignOutOptions {
    /// Reads `logoutHint`, `returnTo`, `revoke` and `uiLocales`.
    ///
    /// # Errors
    ///
    /// `config_invalid`; `returnTo` must begin with one slash, so that nobody is sent elsewhere,
    /// and have at most 8 KiB.
    pub fn from_options(object: &Object) -> Result<Self, Error> {
        read(object).map_err(|error| error.during(Phase::SignOut))
    }
}

fn read(object: &Object) -> Result<SignOutOptions, Error> {
    let options = Options::new(object, &["logoutHint", "returnTo", "revoke", "uiLocales"])?;
    let mut parameters = Vec::new();
    if let Some(hint) = options.string("logoutHint")? {
        parameters.push(("logout_hint", hint.into()));
    }
    // RP-Initiated Logout section 2: a list of language tags, separated by spaces.
    if let Some(locales) = options.strings("uiLocales")? {
        parameters.push(("ui_locales", locales.join(" ")));
    }
    let return_to = options.string("returnTo")?;
    if !return_to.is_none_or(|text| text.len() <= MAX_RETURN_TO && stays_here(text)) {
        return Err(invalid("returnTo"));
    }
    Ok(SignOutOptions {
        revoke: options.choice("revoke", true)?,
        return_to: return_to.map(String::from),
        parameters,
    })
}

/// What came of a sign-out. The session ended here before, whatever stands in it.
#[derive(Debug)]
#[non_exhaustive]
pub struct SignedOut {
    /// Where the user goes to sign out at the provider; none when it offers that nowhere. With the
    /// hint in it the URL is as good as the ID token.
    pub url: Option<Secret<String>>,
    /// What waits for the user's return: store it before going to the URL. None when the provider
    /// does not send the user back.
    pub logout: Option<PendingLogout>,
    /// The tokens that ended at the provider, by the names of their hints.
    pub revoked: Vec<&'static str>,
    /// Why a token may live on there.
    pub revocation_failure: Option<Error>,
}

/// The flow that ends a session.
///
/// The session is gone here before anything is sent, so that signing out works while the provider
/// is down. Then the tokens are ended at the provider (RFC 7009), the refresh token first, for three
/// seconds at the most; that this fails stops nothing.
#[derive(Debug)]
pub struct SignOut {
    stage: Stage,
    options: SignOutOptions,
    entropy: Option<Entropy>,
    id_token: Option<Secret<String>>,
    /// What is to be ended, the next one last.
    tokens: Vec<(&'static str, Secret<String>)>,
    revoked: Vec<&'static str>,
    failure: Option<Error>,
}

#[derive(Debug)]
enum Stage {
    Discovering(Discover),
    /// This token is being ended, until then.
    Revoking(Box<AskProven>, &'static str, Timestamp),
    Over,
}

impl SignOut {
    /// Ends the client's session and begins the flow, with entropy of its own.
    pub fn new(client: &mut Client, options: SignOutOptions, entropy: Entropy) -> Self {
        let mut flow = Self {
            stage: Stage::Discovering(Discover::new()),
            options,
            entropy: Some(entropy),
            id_token: None,
            tokens: Vec::new(),
            revoked: Vec::new(),
            failure: None,
        };
        flow.take_session(client);
        flow
    }

    /// Ends the session that another tab put in the place of the one that ended, before the first
    /// step: it is the same one, renewed, and its tokens are the ones that live.
    pub fn take_session(&mut self, client: &mut Client) {
        if let Some(session) = client.session() {
            self.id_token = session.id_token().cloned();
            let tokens = [
                ("access_token", session.access_token()),
                ("refresh_token", session.refresh_token()),
            ];
            let tokens = tokens.into_iter();
            self.tokens = tokens
                .filter_map(|(hint, token)| Some((hint, token?.clone())))
                .collect();
        }
        client.forget_session();
    }

    fn advance(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedOut>, Error> {
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Discovering(mut discover) => {
                let step = discover.step(&mut client.provider, now, event)?;
                if let Err(step) = step.split() {
                    self.stage = Stage::Discovering(discover);
                    return Ok(step);
                }
                if !self.options.revoke {
                    self.tokens.clear();
                }
                self.revoke_next(client, now, now.after(REVOCATION_TIME))
            }
            Stage::Revoking(ask, hint, until) => self.revoke(ask, hint, until, client, now, event),
            Stage::Over => Err(ErrorKind::FlowMisused.into()),
        }
    }

    /// RFC 7009 section 2.1.
    fn revoke_next(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Step<SignedOut>, Error> {
        let metadata = client.provider().metadata();
        let endpoint = metadata.and_then(|metadata| metadata.revocation_endpoint());
        let (Some(endpoint), Some((hint, token))) = (endpoint, self.tokens.pop()) else {
            return self.leave(client, now).map(Step::Done);
        };
        let timeout = until.since(now).min(client.provider().timeout());
        if timeout.millis() == 0 {
            self.failure = Some(ErrorKind::UpstreamTimeout.into());
            return self.leave(client, now).map(Step::Done);
        }
        let mut form = Form::new();
        // EXPOSE: it goes to the provider that issued it.
        form.push("token", token.expose());
        form.push("token_type_hint", hint);
        let ask = AskProven::new(Purpose::Revocation, endpoint.clone(), form, timeout);
        self.revoke(Box::new(ask), hint, until, client, now, Event::Start)
    }

    fn revoke(
        &mut self,
        mut ask: Box<AskProven>,
        hint: &'static str,
        until: Timestamp,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedOut>, Error> {
        let answered = match ask.step(client, now, event).map(Step::split) {
            Ok(Err(step)) => {
                self.stage = Stage::Revoking(ask, hint, until);
                return Ok(step);
            }
            Ok(Ok(response)) => Ok(response),
            Err(error) if error.kind() == ErrorKind::FlowMisused => return Err(error),
            Err(error) => Err(error),
        };
        self.note(hint, answered);
        self.revoke_next(client, now, until)
    }

    /// RFC 7009 section 2.2.
    fn note(&mut self, hint: &'static str, answered: Result<HttpResponse, Error>) {
        let failure = match answered {
            // 2.2: also for a token that was none any more.
            Ok(response) if response.status() == 200 => {
                self.revoked.push(hint);
                return;
            }
            Ok(response) => response.failure(),
            Err(error) => {
                // Who cannot be reached, or does not know us in this way, is not asked again.
                self.tokens.clear();
                error
            }
        };
        // 2.2.1: access tokens that nobody can end early, such as JWTs, are no failure.
        let code = failure
            .details()
            .and_then(|details| details.error.as_deref());
        if hint != "access_token" || code != Some("unsupported_token_type") {
            self.failure.get_or_insert(failure.during(Phase::SignOut));
        }
    }

    /// RP-Initiated Logout section 2.
    fn leave(&mut self, client: &Client, now: Timestamp) -> Result<SignedOut, Error> {
        let entropy = self.entropy.take().ok_or(ErrorKind::FlowMisused)?;
        let mut signed_out = SignedOut {
            url: None,
            logout: None,
            revoked: core::mem::take(&mut self.revoked),
            revocation_failure: self.failure.take(),
        };
        let metadata = client.provider().metadata();
        let Some(endpoint) = metadata.and_then(|metadata| metadata.end_session_endpoint()) else {
            return Ok(signed_out);
        };
        let config = client.config();
        let mut form = Form::new();
        if let Some(token) = &self.id_token {
            // EXPOSE: the provider takes it as a hint who signs out.
            form.push("id_token_hint", token.expose());
        }
        form.push("client_id", &config.client_id);
        if let Some(uri) = &config.post_logout_redirect_uri {
            let [state, ..] = entropy.values();
            let state = base64url::encode(state);
            form.push(config.post_logout_redirect_parameter, uri.as_str());
            form.push("state", &state);
            let return_to = self.options.return_to.take();
            signed_out.logout = Some(PendingLogout::new(state, return_to, now));
        }
        for (name, value) in &self.options.parameters {
            form.push(name, value);
        }
        signed_out.url = Some(Secret::new(endpoint.with_query(&form)));
        Ok(signed_out)
    }
}

impl Flow for SignOut {
    type Shared = Client;
    type Output = SignedOut;

    fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedOut>, Error> {
        self.advance(client, now, event)
            .map_err(|error| error.during(Phase::SignOut))
    }
}
