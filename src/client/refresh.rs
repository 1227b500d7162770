//! Renewing the tokens (RFC 6749 section 6, OpenID Connect Core section 12).

use crate::client::dpop::AskProven;
use crate::client::revocation::Revocation;
use crate::client::{Client, IdToken, Tokens, complete, exchange};
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::Unreachable;
use crate::issuer::{Discover, Renew, Verify};
use crate::jose::{Claims, Verified};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The flow that renews a session.
///
/// Only the provider's refusal of the refresh token, or an ID token that is forged or of someone
/// else, ends the session; a network that fails leaves it as it is.
///
/// A refusal says `invalid_grant`. Some providers answer 400 and not a word; something on the way
/// may do so as well. That ends a session whose access token is over: until then it is asked again.
///
/// A new ID token that cannot be judged is left aside, with an alert, as if there were none, which
/// the provider is free to do: when its key cannot be had or used, and when a clock that went wrong
/// since the sign-in takes one of the right user for expired or not yet begun. The old refresh
/// token is used up by then: to go on with it would be its second use, which ends sessions.
/// Keys that will be needed are fetched before it is sent, so that the new one waits for nothing.
///
/// When the session ends while the answer is under way, what it brings is ended at the provider (RFC
/// 7009), unless the sign-out was to leave the tokens alive; that this fails is an alert.
#[derive(Debug)]
pub struct Refresh {
    stage: Stage,
    /// The session that this flow began with.
    generation: u64,
    /// The refresh token that was sent.
    sent: Option<Secret<String>>,
    /// Until when it may be sent.
    deadline: Option<Timestamp>,
    /// Why keys that will be needed could not be fetched.
    without_keys: Option<Error>,
    /// Whether the answer was a 400 without a word.
    wordless: bool,
}

#[derive(Debug)]
enum Stage {
    Discovering(Discover),
    FetchingKeys(Renew),
    Exchanging(Box<AskProven>),
    Verifying(Box<Verify>, Tokens),
    /// The session ended meanwhile, and what came for it does.
    Revoking(Revocation),
    Over,
}

impl Refresh {
    /// A flow for the client's present session.
    pub fn new(client: &Client) -> Self {
        Self {
            stage: Stage::Discovering(Discover::new()),
            generation: client.generation,
            sent: None,
            deadline: None,
            without_keys: None,
            wordless: false,
        }
    }

    /// The same flow, which does not send the refresh token after this moment, but fails with
    /// `flow_expired`: for sessions that others renew as well, where a token that was read long ago
    /// may have been used since.
    #[must_use]
    pub fn sent_before(mut self, deadline: Timestamp) -> Self {
        self.deadline = Some(deadline);
        self
    }

    fn advance(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<()>, Error> {
        if self.generation != client.generation {
            return self.drop_answer(client, now, event);
        }
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Discovering(mut discover) => {
                match discover.step(&mut client.provider, now, event)? {
                    Step::Send(request) => {
                        self.stage = Stage::Discovering(discover);
                        Ok(Step::Send(request))
                    }
                    Step::Done(()) => {
                        let session = client.session().ok_or(ErrorKind::LoginRequired)?;
                        let has_user = session.user().is_some();
                        if has_user && client.provider.keys().is_due(now) {
                            return self.fetch_keys(client, now, Renew::default(), Event::Start);
                        }
                        self.ask(client, now)
                    }
                    _ => Err(ErrorKind::FlowMisused.into()),
                }
            }
            Stage::FetchingKeys(renew) => self.fetch_keys(client, now, renew, event),
            Stage::Exchanging(ask) => self.exchange(client, now, ask, event),
            Stage::Verifying(verify, tokens) => self.verify(client, now, verify, event, tokens),
            // Only once the session ended.
            Stage::Revoking(_) | Stage::Over => Err(ErrorKind::FlowMisused.into()),
        }
    }

    /// Someone signed out, or in anew, while the answer was under way: it is dropped. After a
    /// sign-out nobody else ends what it brings.
    fn drop_answer(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<()>, Error> {
        let is_unclaimed = client.session().is_none() && !client.keeps_tokens;
        let stage = core::mem::replace(&mut self.stage, Stage::Over);
        let (revocation, event) = match (stage, event) {
            (Stage::Revoking(revocation), event) => (Some(revocation), event),
            (Stage::Exchanging(ask), event @ Event::Answer(_)) if is_unclaimed => (
                Revocation::of_answer(*ask, client, now, event),
                Event::Start,
            ),
            (Stage::Verifying(_, tokens), _) if is_unclaimed => {
                (Some(Revocation::of_new(&tokens)), Event::Start)
            }
            _ => (None, Event::Start),
        };
        let revocation = revocation.ok_or(ErrorKind::LoginRequired)?;
        let (revocation, step) = revocation.drop_answer(client, now, event)?;
        self.stage = Stage::Revoking(revocation);
        Ok(step)
    }

    fn fetch_keys(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        mut renew: Renew,
        event: Event,
    ) -> Result<Step<()>, Error> {
        match renew.step(&mut client.provider, now, event) {
            Ok(Step::Send(request)) => {
                self.stage = Stage::FetchingKeys(renew);
                Ok(Step::Send(request))
            }
            Err(error) if error.kind() == ErrorKind::FlowMisused => Err(error),
            step => {
                self.without_keys = step.err();
                self.ask(client, now)
            }
        }
    }

    fn ask(&mut self, client: &mut Client, now: Timestamp) -> Result<Step<()>, Error> {
        let token = client.session().and_then(|session| session.refresh_token());
        let token = token.ok_or(ErrorKind::LoginRequired)?;
        let ask = Box::new(exchange::refresh(client, token)?);
        self.sent = Some(token.clone());
        self.exchange(client, now, ask, Event::Start)
    }

    fn exchange(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        mut ask: Box<AskProven>,
        event: Event,
    ) -> Result<Step<()>, Error> {
        // RFC 9449 section 5: the refresh token of a public client is bound to the same key.
        if !client.holds_session_key() {
            return Err(ErrorKind::KeyUnsuitable.into());
        }
        // Whoever sends fell asleep in the middle of it.
        if matches!(event, Event::Unreachable(Unreachable::Late)) {
            return Err(ErrorKind::FlowExpired.into());
        }
        let response = match ask.step(client, now, event)?.split() {
            Ok(response) => response,
            Err(Step::Send(_)) if self.deadline.is_some_and(|deadline| now > deadline) => {
                return Err(ErrorKind::FlowExpired.into());
            }
            Err(mut step) => {
                if let Step::Send(request) = &mut step {
                    request.send_by = self.deadline;
                }
                self.stage = Stage::Exchanging(ask);
                return Ok(step);
            }
        };
        self.wordless = response.status() == 400 && response.is_empty();
        let tokens = exchange::read(&response, &client.config, now)?;
        client
            .provider
            .report("token_response", tokens.checked.clone());
        // Core 12.2: the answer may have no ID token.
        match &tokens.id_token {
            Some(token) => {
                let verify = match complete::verify_id_token(token, &client.provider) {
                    Ok(verify) => verify,
                    // The provider may say another algorithm by now than when it was asked.
                    Err(doubt) if doubt.kind() == ErrorKind::AlgNotAllowed => {
                        return renew_without(client, tokens, doubt, now).map(Step::Done);
                    }
                    Err(error) => {
                        client.forget_session();
                        return Err(error);
                    }
                };
                self.verify(client, now, verify, Event::Start, tokens)
            }
            None => Ok(Step::Done(renew(client, tokens, None, now)?)),
        }
    }

    /// Whether the token that was sent is still the session's: another refresh may have been
    /// faster, and then it is only the old one that was refused.
    fn is_of(&self, client: &Client) -> bool {
        let own = client.session().and_then(|session| session.refresh_token());
        match (&self.sent, own) {
            // EXPOSE: the two are compared.
            (Some(sent), Some(own)) => sent.ct_eq(own.expose()),
            _ => false,
        }
    }

    fn verify(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        mut verify: Box<Verify>,
        event: Event,
        tokens: Tokens,
    ) -> Result<Step<()>, Error> {
        let step = match verify.step(&mut client.provider, now, event) {
            Err(forged) if forged.kind() == ErrorKind::SignatureInvalid => {
                client.forget_session();
                return Err(forged);
            }
            Err(error) if error.kind() == ErrorKind::FlowMisused => return Err(error),
            // Its key cannot be had at the moment, or not be used.
            Err(doubt) => {
                let doubt = self.without_keys.take().unwrap_or(doubt);
                return renew_without(client, tokens, doubt, now).map(Step::Done);
            }
            Ok(step) => step,
        };
        match step {
            Step::Done(verified) => {
                let id_token = same_user(client, verified, &tokens, now);
                // Tokens of someone else end the session: there is no telling whose it is.
                let (id_token, doubt) = id_token.inspect_err(|_| client.forget_session())?;
                if let Some(doubt) = doubt {
                    return renew_without(client, tokens, doubt, now).map(Step::Done);
                }
                let (claims, checked) = id_token.into_parts();
                client.provider.report("id_token", checked);
                Ok(Step::Done(renew(client, tokens, Some(claims), now)?))
            }
            Step::Send(request) => {
                self.stage = Stage::Verifying(verify, tokens);
                Ok(Step::Send(request))
            }
            Step::Verify(check) => {
                self.stage = Stage::Verifying(verify, tokens);
                Ok(Step::Verify(check))
            }
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }
}

impl Flow for Refresh {
    type Shared = Client;
    type Output = ();

    fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<()>, Error> {
        self.advance(client, now, event).map_err(|error| {
            // RFC 6749 section 5.2.
            let named = error.details().and_then(|details| details.error.as_deref());
            let session = client.session();
            let is_over = session.is_some_and(|session| session.access_token_alive(now).is_none());
            let refused = named.map_or(self.wordless && is_over, |named| named == "invalid_grant");
            if refused
                && !error.retryable()
                && self.generation == client.generation
                && self.is_of(client)
            {
                client.forget_session();
            }
            error.during(Phase::Refresh)
        })
    }
}

/// Checks a refreshed ID token; the second is what the clock has against one that is right in
/// everything else.
fn same_user(
    client: &Client,
    verified: Verified,
    tokens: &Tokens,
    now: Timestamp,
) -> Result<(IdToken, Option<Error>), Error> {
    let tolerance = client.config().clock_tolerance;
    let doubt = verified.claims().check_lifetime(now, tolerance).err();
    let doubt = doubt.filter(|doubt| {
        matches!(
            doubt.kind(),
            ErrorKind::IssuedInFuture | ErrorKind::TokenExpired | ErrorKind::TokenNotActive
        )
    });
    // Everything else is checked as of the moment in which it was issued.
    let now = match doubt {
        Some(_) => verified.claims().required_date("iat")?,
        None => now,
    };
    let original = client.session().and_then(|session| session.signed_in_as());
    // Core 12.2: it should have no nonce; where it has one, it is that of the sign-in.
    let nonce = match verified.claims().string("nonce")? {
        None => None,
        Some(_) => original
            .map(|claims| claims.string("nonce"))
            .transpose()?
            .flatten(),
    };
    let nonce = nonce.map(String::from);
    let id_token = complete::check(client, verified, Some(tokens), None, nonce.as_deref(), now)?;
    if let Some(original) = original {
        id_token.check_same_user(original)?;
    }
    Ok((id_token, doubt))
}

/// Renews the session without the new ID token; what is known of the user stays as it was.
fn renew_without(
    client: &mut Client,
    mut tokens: Tokens,
    doubt: Error,
    now: Timestamp,
) -> Result<(), Error> {
    client.alerts.push(doubt.during(Phase::Refresh));
    tokens.id_token = None;
    renew(client, tokens, None, now)
}

fn renew(
    client: &mut Client,
    tokens: Tokens,
    user: Option<Claims>,
    now: Timestamp,
) -> Result<(), Error> {
    let session = client.session().ok_or(ErrorKind::LoginRequired)?;
    let renewed = session.renewed(tokens, user, now);
    // The same session goes on: other refreshes of it stay valid.
    client.session = Some(renewed);
    Ok(())
}
