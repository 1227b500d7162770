//! From the callback, or from the browser's own account chooser, to a session.

use crate::client::callback::Callback;
use crate::client::dpop::AskProven;
#[cfg(feature = "backend")]
use crate::client::machine::signed_response;
use crate::client::revocation::Revocation;
use crate::client::{
    CallbackCode, Client, FedCmRequest, IdToken, IdTokenChecks, PendingLogin, PendingLogins,
    Session, Standing, Tokens, exchange,
};
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::issuer::{Discover, KeyTrials, Provider, Renew, Verify};
use crate::jose::{Algorithms, Unverified, Verified};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The longest ID token: providers put groups into them.
pub(super) const MAX_ID_TOKEN: usize = 64 * 1024;

/// What a completed sign-in tells.
#[derive(Debug)]
#[non_exhaustive]
pub struct SignedIn {
    /// Where the application goes on.
    pub return_to: Option<String>,
    /// What was checked of the callback, in order.
    pub callback_checked: Vec<&'static str>,
    /// What was checked of the ID token, in order; empty without `openid`.
    pub id_token_checked: Vec<&'static str>,
}

/// The flow from a callback, or from a token of the browser, to a session.
///
/// Keys that will be needed are fetched before the code is sent, which is good once: until then a
/// network that fails costs nothing. When somebody signs out while the answer is under way, what it
/// brings is ended at the provider (RFC 7009).
#[derive(Debug)]
pub struct Completion {
    stage: Stage,
    /// The login as it was taken, to be given back when the network failed; none once the code is used
    /// up.
    login: Option<PendingLogin>,
    /// As whom this began.
    standing: Option<Standing>,
}

enum Stage {
    Discovering(Discover, Came),
    /// The response is a JWT (JARM).
    #[cfg(feature = "backend")]
    Opening(Box<Verify>, Box<(Callback, PendingLogin)>),
    FetchingKeys(Renew, Box<CallbackCode>),
    Exchanging(Box<AskProven>, Box<CallbackCode>),
    Verifying(Box<Verify>, Given),
    /// Somebody signed out meanwhile, and what came does not count.
    Revoking(Revocation),
    Over,
}

/// What a completion begins with.
enum Came {
    Callback(Box<(Callback, PendingLogin)>),
    FedCm(FedCmRequest, Secret<String>),
}

/// What an ID token came with.
enum Given {
    Tokens(Box<(CallbackCode, Tokens)>),
    /// The token came alone.
    FedCm(FedCmRequest, Secret<String>),
}

impl core::fmt::Debug for Stage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Discovering(..) => "Discovering",
            #[cfg(feature = "backend")]
            Self::Opening(..) => "Opening",
            Self::FetchingKeys(..) => "FetchingKeys",
            Self::Exchanging(..) => "Exchanging",
            Self::Verifying(..) => "Verifying",
            Self::Revoking(..) => "Revoking",
            Self::Over => "Over",
        })
    }
}

impl Completion {
    /// Takes the login that waits for this callback out of `logins`, so that nothing can use it
    /// again; store them before the first step.
    ///
    /// # Errors
    ///
    /// `response_mode_mismatch`, `param_invalid`, `state_missing`, `state_mismatch`,
    /// `flow_reused`, `flow_expired`, `flow_unknown`.
    pub fn new(
        url: &str,
        logins: &mut PendingLogins,
        client: &Client,
        now: Timestamp,
    ) -> Result<Self, Error> {
        Self::begin(url, None, logins, client, now)
    }

    /// As [`Completion::new`] for a response that was posted: `form` is the body of the POST, which
    /// has the type `application/x-www-form-urlencoded` (OAuth 2.0 Form Post Response Mode).
    ///
    /// # Errors
    ///
    /// Those of [`Completion::new`].
    pub fn posted(
        url: &str,
        form: &str,
        logins: &mut PendingLogins,
        client: &Client,
        now: Timestamp,
    ) -> Result<Self, Error> {
        Self::begin(url, Some(form), logins, client, now)
    }

    /// A flow for the ID token that the browser gave for this request (FedCM). The session has a user
    /// and no access token.
    pub fn fedcm(token: Secret<String>, request: FedCmRequest) -> Self {
        Self {
            login: None,
            standing: None,
            stage: Stage::Discovering(Discover::new(), Came::FedCm(request, token)),
        }
    }

    fn begin(
        url: &str,
        form: Option<&str>,
        logins: &mut PendingLogins,
        client: &Client,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut claim = || {
            let callback = Callback::parse_in(url, form, client.config().response_mode)?;
            let login = callback.claim(logins, client, now)?;
            Ok(Self {
                login: Some(login.clone()),
                standing: Some(client.standing()),
                stage: Stage::Discovering(
                    Discover::new(),
                    Came::Callback(Box::new((callback, login))),
                ),
            })
        };
        claim().map_err(|error: Error| error.during(Phase::Callback))
    }
}

impl Flow for Completion {
    type Shared = Client;
    type Output = SignedIn;

    fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedIn>, Error> {
        let standing = client.standing();
        if *self.standing.get_or_insert_with(|| standing.clone()) != standing {
            let dropped = self.drop_answer(client, now, event);
            return dropped.map_err(|error| error.during(Phase::SignIn));
        }
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Discovering(mut discover, came) => {
                match discover.step(&mut client.provider, now, event)? {
                    Step::Send(request) => {
                        self.stage = Stage::Discovering(discover, came);
                        Ok(Step::Send(request))
                    }
                    Step::Done(()) => match came {
                        Came::Callback(came) => {
                            #[cfg(feature = "backend")]
                            let mut came = came;
                            #[cfg(feature = "backend")]
                            if let Some(signed) = came.0.signed.take() {
                                let verify = signed.verify(client);
                                let verify =
                                    verify.map_err(|error| error.during(Phase::Callback))?;
                                return self.open(client, now, verify, Event::Start, came);
                            }
                            self.take(client, now, &came.0, came.1)
                        }
                        Came::FedCm(request, token) => {
                            let verify = verify_id_token(&token, &client.provider)?;
                            let given = Given::FedCm(request, token);
                            self.verify(client, now, verify, Event::Start, given)
                        }
                    },
                    _ => Err(ErrorKind::FlowMisused.into()),
                }
            }
            #[cfg(feature = "backend")]
            Stage::Opening(verify, came) => self.open(client, now, verify, event, came),
            Stage::FetchingKeys(renew, code) => self.fetch_keys(client, now, renew, event, code),
            Stage::Exchanging(ask, code) => self.exchange(client, now, ask, event, code),
            Stage::Verifying(verify, given) => self.verify(client, now, verify, event, given),
            // Only once somebody signed out.
            Stage::Revoking(_) | Stage::Over => Err(ErrorKind::FlowMisused.into()),
        }
    }
}

impl Completion {
    /// The login that this flow took, for [`PendingLogins::give_back`]; none for a token of the
    /// browser, and once the code is used up.
    pub fn login(&self) -> Option<&PendingLogin> {
        self.login.as_ref()
    }

    /// Somebody signed out while the answer was under way, which may have ended the key as well: it is
    /// dropped.
    fn drop_answer(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<SignedIn>, Error> {
        let stage = core::mem::replace(&mut self.stage, Stage::Over);
        let (revocation, event) = match (stage, event) {
            (Stage::Revoking(revocation), event) => (Some(revocation), event),
            (Stage::Exchanging(ask, _), event @ Event::Answer(_)) if !client.keeps_tokens => (
                Revocation::of_answer(*ask, client, now, event),
                Event::Start,
            ),
            (Stage::Verifying(_, Given::Tokens(given)), _) if !client.keeps_tokens => {
                (Some(Revocation::of_new(&given.1)), Event::Start)
            }
            _ => (None, Event::Start),
        };
        let revocation = revocation.ok_or(ErrorKind::LoginRequired)?;
        let (revocation, step) = revocation.drop_answer(client, now, event)?;
        self.stage = Stage::Revoking(revocation);
        Ok(step)
    }

    /// Has the response verified that is a JWT.
    #[cfg(feature = "backend")]
    fn open(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        mut verify: Box<Verify>,
        event: Event,
        came: Box<(Callback, PendingLogin)>,
    ) -> Result<Step<SignedIn>, Error> {
        let during = |error: Error| error.during(Phase::Callback);
        let step = verify.step(&mut client.provider, now, event);
        match step.map_err(during)?.split() {
            Ok(response) => {
                let (callback, login) = *came;
                let callback = signed_response::open(callback, &response, client, now);
                let callback = callback.map_err(during)?;
                self.take(client, now, &callback, login)
            }
            Err(step) => {
                self.stage = Stage::Opening(verify, came);
                Ok(step)
            }
        }
    }

    /// Goes on with a response whose parameters can be read.
    fn take(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        callback: &Callback,
        login: PendingLogin,
    ) -> Result<Step<SignedIn>, Error> {
        let code = CallbackCode::check(callback, login, client)
            .map_err(|error| error.during(Phase::Callback))?;
        client.provider.report("callback", code.checked().to_vec());
        let code = Box::new(code);
        let needs_keys = code.login().nonce.is_some();
        if needs_keys && client.provider.keys().is_due(now) {
            return self.fetch_keys(client, now, Renew::default(), Event::Start, code);
        }
        if needs_keys && !client.provider.keys().is_usable(now) {
            return Err(Error::from(ErrorKind::KeysUnavailable).during(Phase::Keys));
        }
        self.ask(client, now, code)
    }

    fn fetch_keys(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        mut renew: Renew,
        event: Event,
        code: Box<CallbackCode>,
    ) -> Result<Step<SignedIn>, Error> {
        match renew
            .step(&mut client.provider, now, event)
            .map(Step::split)
        {
            Ok(Err(step)) => {
                self.stage = Stage::FetchingKeys(renew, code);
                Ok(step)
            }
            Err(error) if !client.provider.keys().is_usable(now) => Err(error.during(Phase::Keys)),
            // Older ones may do.
            _ => self.ask(client, now, code),
        }
    }

    fn ask(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        code: Box<CallbackCode>,
    ) -> Result<Step<SignedIn>, Error> {
        let ask =
            exchange::exchange(client, &code).map_err(|error| error.during(Phase::Exchange))?;
        self.exchange(client, now, Box::new(ask), Event::Start, code)
    }

    fn exchange(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        mut ask: Box<AskProven>,
        event: Event,
        code: Box<CallbackCode>,
    ) -> Result<Step<SignedIn>, Error> {
        let during = |error: Error| error.during(Phase::Exchange);
        let response = match ask.step(client, now, event).map_err(during)?.split() {
            Ok(response) => response,
            Err(step) => {
                self.stage = Stage::Exchanging(ask, code);
                return Ok(step);
            }
        };
        let tokens = exchange::read(&response, &client.config, now).map_err(during)?;
        // RFC 6749 section 4.1.2: the code was good once.
        self.login = None;
        let details = &code.login().details;
        let tokens = tokens.check_details(details).map_err(during)?;
        client
            .provider
            .report("token_response", tokens.checked.clone());
        match id_token_to_verify(&tokens, &code, &client.provider)? {
            Some(verify) => {
                let given = Given::Tokens(Box::new((*code, tokens)));
                self.verify(client, now, verify, Event::Start, given)
            }
            None => {
                let given = Given::Tokens(Box::new((*code, tokens)));
                Ok(Step::Done(finish(client, None, given, now)))
            }
        }
    }

    fn verify(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        mut verify: Box<Verify>,
        event: Event,
        given: Given,
    ) -> Result<Step<SignedIn>, Error> {
        let step = verify.step(&mut client.provider, now, event);
        let failed = |error: Error| match &given {
            Given::Tokens(_) => error.during(Phase::IdToken).for_good(),
            Given::FedCm(..) => error.during(Phase::IdToken),
        };
        match step.map_err(failed)? {
            Step::Done(verified) => {
                let (nonce, code, tokens) = match &given {
                    Given::Tokens(given) => {
                        let (code, tokens) = &**given;
                        (code.login().nonce.as_deref(), Some(code), Some(tokens))
                    }
                    Given::FedCm(request, _) => (Some(request.nonce()), None, None),
                };
                let id_token = check(client, verified, tokens, code, nonce, now)?;
                let checked = id_token.checked().to_vec();
                client.provider.report("id_token", checked);
                let done = finish(client, Some(id_token), given, now);
                Ok(Step::Done(done))
            }
            Step::Send(request) => {
                self.stage = Stage::Verifying(verify, given);
                Ok(Step::Send(request))
            }
            Step::Verify(check) => {
                self.stage = Stage::Verifying(verify, given);
                Ok(Step::Verify(check))
            }
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }
}

/// The ID token of an answer, ready to be verified; none without `openid`.
fn id_token_to_verify(
    tokens: &Tokens,
    code: &CallbackCode,
    provider: &Provider,
) -> Result<Option<Box<Verify>>, Error> {
    if code.login().nonce.is_none() {
        return Ok(None);
    }
    // OpenID Connect Core section 3.1.3.3: the answer has an ID token.
    match &tokens.id_token {
        None => Err(Error::new(ErrorKind::ClaimMissing, "id_token").during(Phase::IdToken)),
        Some(token) => verify_id_token(token, provider).map(Some),
    }
}

/// The flow that verifies an ID token of this provider.
pub(super) fn verify_id_token(
    token: &Secret<String>,
    provider: &Provider,
) -> Result<Box<Verify>, Error> {
    let token = read_id_token(token, provider)?;
    Ok(Box::new(Verify::new(token, KeyTrials::One)))
}

/// An ID token taken apart.
pub(super) fn read_id_token(
    token: &Secret<String>,
    provider: &Provider,
) -> Result<Unverified, Error> {
    // OpenID Connect Core 3.1.3.7 step 7: an algorithm that the provider says it uses.
    let named = provider
        .metadata()
        .and_then(|metadata| metadata.id_token_algorithms());
    let allowed = match named {
        None => Algorithms::all(),
        Some(names) => Algorithms::all().and(&names).ok_or_else(|| {
            Error::new(
                ErrorKind::MetadataInvalid,
                "id_token_signing_alg_values_supported",
            )
            .during(Phase::IdToken)
        })?,
    };
    // EXPOSE: it is taken apart to be verified.
    Unverified::parse(token.expose(), MAX_ID_TOKEN, &allowed)
        .map_err(|error| error.during(Phase::IdToken))
}

/// Checks the claims of a verified ID token of this client; with a code, also against what the
/// sign-in asked for; without tokens for one that came alone.
pub(super) fn check(
    client: &Client,
    verified: Verified,
    tokens: Option<&Tokens>,
    code: Option<&CallbackCode>,
    nonce: Option<&str>,
    now: Timestamp,
) -> Result<IdToken, Error> {
    let issued_at = verified.claims().date("iat").ok().flatten();
    let config = client.config();
    let login = code.map(CallbackCode::login);
    IdToken::check(
        verified,
        &IdTokenChecks {
            issuer: client.provider().issuer().as_str(),
            client_id: &config.client_id,
            trusted_audiences: &config.trusted_audiences,
            nonce,
            max_age: login.and_then(|login| login.max_age),
            acr: login.map_or(&[], |login| &login.acr),
            subject: login.and_then(|login| login.subject.as_deref()),
            // EXPOSE: c_hash is compared with its hash.
            code: code.map(|code| code.code().expose().as_str()),
            state: login.map(|login| login.state.as_str()),
            // EXPOSE: at_hash is compared with its hash.
            access_token: tokens.map(|tokens| tokens.access_token.expose().as_str()),
            clock_tolerance: config.clock_tolerance,
            now,
        },
    )
    .map_err(|error| explain(error, issued_at, now))
}

/// The error of an ID token that was just issued, with what it says about the clocks.
pub(super) fn explain(error: Error, issued_at: Option<Timestamp>, now: Timestamp) -> Error {
    let is_of_time = matches!(
        error.kind(),
        ErrorKind::TokenExpired | ErrorKind::TokenNotActive | ErrorKind::IssuedInFuture
    );
    // It was just issued, so the difference is that of the clocks.
    let error = match issued_at.filter(|_| is_of_time) {
        Some(issued_at) => error.clock_off(now.seconds().saturating_sub(issued_at.seconds())),
        None => error,
    };
    error.during(Phase::IdToken)
}

fn finish(
    client: &mut Client,
    id_token: Option<IdToken>,
    given: Given,
    now: Timestamp,
) -> SignedIn {
    let (user, id_token_checked) = id_token
        .map(IdToken::into_parts)
        .map_or((None, Vec::new()), |(claims, checked)| {
            (Some(claims), checked)
        });
    let key = client
        .dpop_key()
        .map(|key| key.thumbprint().as_str().into());
    let (session, return_to, callback_checked) = match given {
        Given::Tokens(given) => {
            let (code, tokens) = *given;
            let checked = code.checked().to_vec();
            let login = code.into_login();
            let session = Session::new(tokens, user, &login.scope, key, now);
            (session, login.return_to, checked)
        }
        Given::FedCm(request, token) => {
            let session = Session::federated(token, user, request.into_config_url(), key, now);
            (session, None, Vec::new())
        }
    };
    client.set_session(Some(session));
    SignedIn {
        return_to,
        callback_checked,
        id_token_checked,
    }
}
