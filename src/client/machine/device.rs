//! Signing in on a device without a browser (RFC 8628).

use core::fmt;

use crate::client::exchange;
use crate::client::machine::Grant;
use crate::client::machine::bound::AskBound;
use crate::client::machine::request::read;
use crate::client::revocation::Revocation;
use crate::client::{Client, Session, SignedIn, Standing, Tokens, complete};
use crate::error::{Error, ErrorKind, Phase, clean};
use crate::flow::{Event, Flow, Step};
use crate::http::form::Form;
use crate::http::json::{Object, Value};
use crate::http::{HttpResponse, Purpose, Transport, Url};
use crate::issuer::{Ask, Metadata, Renew, Retry, Verify};
use crate::jose::{Claims, TokenNames};
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How long to wait between two questions when the provider does not say (RFC 8628 section 3.2).
const DEFAULT_INTERVAL: Lifetime = Lifetime::from_seconds(5);
/// How much longer after each `slow_down` (RFC 8628 section 3.5).
const SLOWER: i64 = 5000;
/// The shortest and the longest time between two questions.
const SHORTEST_INTERVAL: i64 = 1000;
const LONGEST_INTERVAL: i64 = 300_000;

/// What the user is shown: where to go and what to type. Its `Debug` shows nothing, because whoever
/// has the code can sign in on the device.
#[derive(Clone)]
#[non_exhaustive]
pub struct DevicePrompt {
    /// What to type, without control characters.
    pub user_code: String,
    /// Where to go: https, or http to this machine where that is allowed.
    pub verification_uri: Url,
    /// The same with the code in it, for a link or a QR code.
    pub verification_uri_complete: Option<Url>,
    /// When the code ends, by the local clock.
    pub expires_at: Timestamp,
}

impl DevicePrompt {
    /// The prompt as JSON text, with the names of the public API.
    pub fn to_json(&self) -> String {
        Value::from(self.to_object()).to_json()
    }

    pub(crate) fn to_object(&self) -> Object {
        let complete = self.verification_uri_complete.as_ref();
        Object::new()
            .with("userCode", self.user_code.as_str())
            .with("verificationUri", self.verification_uri.as_str())
            .with_some("verificationUriComplete", complete.map(Url::as_str))
            .with("expiresAt", self.expires_at.seconds())
    }
}

impl fmt::Debug for DevicePrompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DevicePrompt([redacted])")
    }
}

/// The flow that asks for a code for this device. It may ask again: a code that nobody saw is of no
/// use to anyone.
#[derive(Debug)]
pub struct DeviceStart {
    ask: Ask,
    scope: String,
    names: TokenNames,
}

impl DeviceStart {
    /// A login that asks for `scope`, `resource`, `audience` and `params` as
    /// [`Grant::client_credentials`] does; the default scope is that of the client. The seed is fresh
    /// for each and from a cryptographically secure generator.
    ///
    /// # Errors
    ///
    /// `config_invalid`, `url_insecure` at the option.
    pub fn new(options: &Object, client: &Client, seed: [u8; 32]) -> Result<Self, Error> {
        let grant = Grant::device(options, client)?;
        Ok(Self {
            scope: grant.scope().unwrap_or_default().into(),
            ask: Ask::new(
                Purpose::DeviceAuthorization,
                Metadata::device_authorization_endpoint,
                grant.form_with_scope(),
                Retry::Safe,
            ),
            names: TokenNames::new(seed),
        })
    }

    fn advance(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<DeviceLogin>, Error> {
        let step = self.ask.step(
            &mut client.provider,
            &mut client.machine.authentication,
            &mut self.names,
            now,
            event,
        );
        let response = match step?.split() {
            Ok(response) => response,
            Err(step) => return Ok(step),
        };
        let (prompt, device_code, interval) =
            read_prompt(&response, client.provider.transport(), now)?;
        // The seed goes along: what is made of it does not come twice.
        let names = core::mem::replace(&mut self.names, TokenNames::new([0; 32]));
        Ok(Step::Done(DeviceLogin {
            left: Lifetime::from_millis(prompt.expires_at.since(now).millis()),
            prompt,
            device_code,
            interval,
            scope: core::mem::take(&mut self.scope),
            names,
            standing: client.standing(),
            stage: Stage::Ready,
        }))
    }
}

impl Flow for DeviceStart {
    type Shared = Client;
    type Output = DeviceLogin;

    fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<DeviceLogin>, Error> {
        self.advance(client, now, event)
            .map_err(|error| error.during(Phase::SignIn))
    }
}

/// The flow that waits until the user has signed in elsewhere. What comes of it is a session.
///
/// It asks at the interval that the provider names, 5 seconds longer after each `slow_down`, twice as
/// long after each failure of the network, and not beyond the end of the code. To end it before that,
/// drop it.
pub struct DeviceLogin {
    prompt: DevicePrompt,
    device_code: Secret<String>,
    interval: Lifetime,
    /// For how long the code is good, by the pauses so far and not by a clock, which may be set.
    left: Lifetime,
    scope: String,
    names: TokenNames,
    /// As whom this began.
    standing: Standing,
    stage: Stage,
}

enum Stage {
    Ready,
    /// For this long, which counts when it is over.
    Waiting(Lifetime),
    FetchingKeys(Renew),
    Asking(Box<AskBound>),
    Verifying(Box<Verify>, Box<Tokens>),
    /// Somebody signed out meanwhile, and what came does not count.
    Revoking(Revocation),
    Over,
}

impl DeviceLogin {
    /// Begins to wait anew, with [`Event::Start`], after its caller left off at a [`Step::Sleep`]: the
    /// code is still the one that the user was shown.
    pub fn begin_anew(&mut self) {
        if matches!(self.stage, Stage::Waiting(_)) {
            self.stage = Stage::Ready;
        }
    }

    /// What the user is shown.
    pub fn prompt(&self) -> &DevicePrompt {
        &self.prompt
    }

    fn advance(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedIn>, Error> {
        if self.standing != client.standing() {
            return self.drop_answer(client, now, event);
        }
        match (core::mem::replace(&mut self.stage, Stage::Over), event) {
            (Stage::Ready, Event::Start) => self.wait(None),
            (Stage::Waiting(pause), Event::Woke) => {
                let left = self.left.millis().saturating_sub(pause.millis());
                self.left = Lifetime::from_millis(left);
                let keys = client.provider.keys();
                match self.is_openid() {
                    true if keys.is_due(now) => {
                        self.fetch_keys(Renew::default(), client, now, Event::Start)
                    }
                    true if !keys.is_usable(now) => self.wait(None),
                    _ => self.ask_now(client, now),
                }
            }
            (Stage::FetchingKeys(renew), event) => self.fetch_keys(renew, client, now, event),
            (Stage::Asking(ask), event) => self.ask(ask, client, now, event),
            (Stage::Verifying(verify, tokens), event) => {
                self.verify(verify, *tokens, client, now, event)
            }
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }

    /// Somebody signed out while the answer was under way: it is dropped.
    fn drop_answer(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedIn>, Error> {
        let stage = core::mem::replace(&mut self.stage, Stage::Over);
        let (revocation, event) = match (stage, event) {
            (Stage::Revoking(revocation), event) => (Some(revocation), event),
            (Stage::Asking(mut ask), event @ Event::Answer(_)) if !client.keeps_tokens => {
                let step = ask.step(client, &mut self.names, now, event);
                let response = step.ok().and_then(|step| step.split::<SignedIn>().ok());
                let accepts = [client.config().token_type()];
                let tokens = response.and_then(|response| read(&response, &accepts, now).ok());
                let revocation = tokens.map(|tokens| Revocation::of_new(&tokens));
                (revocation, Event::Start)
            }
            (Stage::Verifying(_, tokens), _) if !client.keeps_tokens => {
                (Some(Revocation::of_new(&tokens)), Event::Start)
            }
            _ => (None, Event::Start),
        };
        let revocation = revocation.ok_or(ErrorKind::LoginRequired)?;
        let (revocation, step) = revocation.drop_answer(client, now, event)?;
        self.stage = Stage::Revoking(revocation);
        Ok(step)
    }

    /// Fetches the keys that the answer will need: a code is good once.
    fn fetch_keys(
        &mut self,
        mut renew: Renew,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedIn>, Error> {
        match renew
            .step(&mut client.provider, now, event)
            .map(Step::split)
        {
            Ok(Err(step)) => {
                self.stage = Stage::FetchingKeys(renew);
                Ok(step)
            }
            // Without any the code is not sent yet.
            Err(error) if error.retryable() && !client.provider.keys().is_usable(now) => {
                self.slower(self.interval.millis());
                self.wait(None)
            }
            _ => self.ask_now(client, now),
        }
    }

    fn ask_now(&mut self, client: &mut Client, now: Timestamp) -> Result<Step<SignedIn>, Error> {
        let mut form = Form::new();
        form.push("grant_type", DEVICE_CODE);
        // EXPOSE: it goes to the token endpoint of the provider that issued it.
        form.push("device_code", self.device_code.expose());
        let endpoint = Metadata::token_endpoint;
        let ask = Ask::new(Purpose::Token, endpoint, form, Retry::Never);
        self.ask(Box::new(AskBound::new(ask)), client, now, Event::Start)
    }

    fn is_openid(&self) -> bool {
        self.scope.split(' ').any(|scope| scope == "openid")
    }

    /// Waits for the interval, or for as long as the provider says, but not beyond the end.
    fn wait(&mut self, pause: Option<Lifetime>) -> Result<Step<SignedIn>, Error> {
        let pause = pause.map_or(self.interval, |pause| pause.max(self.interval));
        if pause >= self.left {
            return Err(ErrorKind::FlowExpired.into());
        }
        self.stage = Stage::Waiting(pause);
        Ok(Step::Sleep(pause))
    }

    fn slower(&mut self, millis: i64) {
        let millis = self.interval.millis().saturating_add(millis);
        self.interval = Lifetime::from_millis(millis.min(LONGEST_INTERVAL));
    }

    fn ask(
        &mut self,
        mut ask: Box<AskBound>,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedIn>, Error> {
        let step = ask.step(client, &mut self.names, now, event);
        let answered = match step.map(Step::split) {
            Ok(Err(step)) => {
                self.stage = Stage::Asking(ask);
                return Ok(step);
            }
            Ok(Ok(response)) => read(&response, &[client.config().token_type()], now)
                .map_err(|error| (error, response.retry_after(now))),
            Err(error) => Err((error, None)),
        };
        // RFC 8628 section 3.5.
        let (error, pause) = match answered {
            Ok(tokens) => return self.take(tokens, client, now),
            Err(failed) => failed,
        };
        match error.details().and_then(|details| details.error.as_deref()) {
            Some("authorization_pending") => self.wait(None),
            Some("slow_down") => {
                self.slower(SLOWER);
                self.wait(None)
            }
            Some("expired_token") => Err(ErrorKind::FlowExpired.into()),
            _ if error.retryable() => {
                // Exponential: twice as long each time.
                self.slower(self.interval.millis());
                self.wait(pause)
            }
            _ => Err(error),
        }
    }

    /// Takes the tokens, which are checked as those of every other sign-in are.
    fn take(
        &mut self,
        tokens: Tokens,
        client: &mut Client,
        now: Timestamp,
    ) -> Result<Step<SignedIn>, Error> {
        client
            .provider
            .report("token_response", tokens.checked.clone());
        match &tokens.id_token {
            None if self.is_openid() => {
                Err(Error::new(ErrorKind::ClaimMissing, "id_token").during(Phase::IdToken))
            }
            None => Ok(Step::Done(self.finish(tokens, None, client, now))),
            Some(token) => {
                let verify = complete::verify_id_token(token, &client.provider)?;
                self.verify(verify, tokens, client, now, Event::Start)
            }
        }
    }

    fn verify(
        &mut self,
        mut verify: Box<Verify>,
        tokens: Tokens,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedIn>, Error> {
        let step = verify
            .step(&mut client.provider, now, event)
            .map_err(|error| error.during(Phase::IdToken).for_good())?;
        match step.split() {
            Err(step) => {
                self.stage = Stage::Verifying(verify, Box::new(tokens));
                Ok(step)
            }
            Ok(verified) => {
                // There was no nonce to send.
                let id_token = complete::check(client, verified, Some(&tokens), None, None, now)?;
                let id_token = id_token.into_parts();
                client.provider.report("id_token", id_token.1.clone());
                Ok(Step::Done(self.finish(tokens, Some(id_token), client, now)))
            }
        }
    }

    fn finish(
        &self,
        tokens: Tokens,
        id_token: Option<(Claims, Vec<&'static str>)>,
        client: &mut Client,
        now: Timestamp,
    ) -> SignedIn {
        let (user, checked) = id_token.map_or((None, Vec::new()), |(claims, checked)| {
            (Some(claims), checked)
        });
        let key = client.dpop_key();
        let key = key.map(|key| key.thumbprint().as_str().into());
        client.set_session(Some(Session::new(tokens, user, &self.scope, key, now)));
        SignedIn {
            return_to: None,
            callback_checked: Vec::new(),
            id_token_checked: checked,
        }
    }
}

impl Flow for DeviceLogin {
    type Shared = Client;
    type Output = SignedIn;

    fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedIn>, Error> {
        self.advance(client, now, event)
            .map_err(|error| error.during(Phase::SignIn))
    }
}

impl fmt::Debug for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceLogin([redacted])")
    }
}

/// Reads a device authorization response (RFC 8628 section 3.2).
fn read_prompt(
    response: &HttpResponse,
    transport: Transport,
    now: Timestamp,
) -> Result<(DevicePrompt, Secret<String>, Lifetime), Error> {
    if response.status() >= 400 {
        return Err(response.refusal());
    }
    let malformed = |at: &'static str| Error::new(ErrorKind::ResponseMalformed, at);
    let object = response.json(
        &["application/json"],
        Purpose::DeviceAuthorization.max_body(),
        ErrorKind::ResponseMalformed,
    )?;
    let text = |name: &'static str| {
        let text = object.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
            .ok_or_else(|| malformed(name))
    };
    let url = |name: &'static str| {
        let url = Url::parse(text(name)?).filter(|url| url.is_allowed(transport));
        url.ok_or_else(|| Error::new(ErrorKind::UrlInsecure, name))
    };
    let device_code = exchange::token(&object, "device_code")?;
    let user_code = clean(text("user_code")?);
    if user_code.is_empty() {
        return Err(malformed("user_code"));
    }
    // Some providers write url in place of uri, as the drafts of the specification did.
    let is_older =
        object.get("verification_uri").is_none() && object.get("verification_url").is_some();
    let verification_uri = url(if is_older {
        "verification_url"
    } else {
        "verification_uri"
    })?;
    let verification_uri_complete = match object.get("verification_uri_complete") {
        None => None,
        Some(_) => Some(url("verification_uri_complete")?),
    };
    let expires_in = exchange::lifetime(&object)?
        .filter(|lifetime| lifetime.millis() > 0)
        .ok_or_else(|| malformed("expires_in"))?;
    let interval = match object.get("interval") {
        None => DEFAULT_INTERVAL,
        Some(Value::Number(number)) if !number.as_text().starts_with('-') => {
            let millis = number.scaled(3).unwrap_or(i64::MAX);
            Lifetime::from_millis(millis.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL))
        }
        Some(_) => return Err(malformed("interval")),
    };
    let prompt = DevicePrompt {
        user_code,
        verification_uri,
        verification_uri_complete,
        expires_at: now.after(expires_in),
    };
    let device_code = device_code.ok_or_else(|| malformed("device_code"))?;
    Ok((prompt, device_code, interval))
}
