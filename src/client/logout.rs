//! Signing out (OpenID Connect RP-Initiated Logout 1.0, RFC 7009).

use crate::base64url;
use crate::client::authorize::{MAX_RETURN_TO, stays_here};
use crate::client::revocation::{Revocation, Revoked};
use crate::client::{Client, PendingLogout, Session};
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::form::Form;
use crate::http::json::Object;
use crate::issuer::Discover;
use crate::options::{Options, invalid};
use crate::random::Entropy;
use crate::secret::Secret;
use crate::time::Timestamp;

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
    /// None where nobody leaves.
    entropy: Option<Entropy>,
    id_token: Option<Secret<String>>,
    /// Ends the tokens; none where there are none, or where they are to live on.
    revocation: Option<Revocation>,
}

#[derive(Debug)]
enum Stage {
    Discovering(Discover),
    Revoking(Revocation),
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
            revocation: None,
        };
        if let Some(session) = client.session() {
            flow.take(session);
        }
        client.leave();
        client.keeps_tokens = !flow.options.revoke;
        flow
    }

    /// A flow that ends the tokens of this session at the provider and nothing else.
    pub fn of_tokens(session: &Session) -> Self {
        Self {
            stage: Stage::Discovering(Discover::new()),
            options: SignOutOptions::default(),
            entropy: None,
            id_token: None,
            revocation: Some(Revocation::of(session)),
        }
    }

    /// Whether it ends tokens at the provider.
    pub fn revokes(&self) -> bool {
        self.options.revoke
    }

    /// Ends the session that another tab put in the place of the one that ended, before the first
    /// step: it is the same one, renewed, and its tokens are the ones that live.
    pub fn take(&mut self, session: &Session) {
        self.id_token = session.id_token().cloned();
        let revokes = self.options.revoke;
        self.revocation = revokes.then(|| Revocation::of(session));
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
                let revocation = self.revocation.take().unwrap_or_default();
                self.revoke(revocation, client, now, Event::Start)
            }
            Stage::Revoking(revocation) => self.revoke(revocation, client, now, event),
            Stage::Over => Err(ErrorKind::FlowMisused.into()),
        }
    }

    fn revoke(
        &mut self,
        mut revocation: Revocation,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedOut>, Error> {
        match revocation.step(client, now, event)?.split() {
            Ok(revoked) => Ok(Step::Done(self.leave(client, now, revoked))),
            Err(step) => {
                self.stage = Stage::Revoking(revocation);
                Ok(step)
            }
        }
    }

    /// RP-Initiated Logout section 2.
    fn leave(&mut self, client: &Client, now: Timestamp, revoked: Revoked) -> SignedOut {
        let mut signed_out = SignedOut {
            url: None,
            logout: None,
            revoked: revoked.tokens,
            revocation_failure: revoked.failure,
        };
        let metadata = client.provider().metadata();
        let endpoint = metadata.and_then(|metadata| metadata.end_session_endpoint());
        let (Some(endpoint), Some(entropy)) = (endpoint, self.entropy.take()) else {
            return signed_out;
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
        signed_out
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
