//! Ending tokens at the provider (RFC 7009).

use crate::client::dpop::AskProven;
use crate::client::{Client, Session, Tokens, exchange};
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::form::Form;
use crate::http::{HttpResponse, Purpose};
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};

/// How long ending the tokens at the provider may take in all: someone waits to leave.
const REVOCATION_TIME: Lifetime = Lifetime::from_seconds(3);

/// The flow that ends tokens, the refresh token first, for three seconds at the most.
///
/// It asks nobody where the provider's metadata, which must be known, names no endpoint for it.
#[derive(Debug, Default)]
pub(super) struct Revocation {
    /// What is to be ended, the next one last.
    tokens: Vec<(&'static str, Secret<String>)>,
    /// This token is being ended, until then.
    asking: Option<(Box<AskProven>, &'static str, Timestamp)>,
    ended: Revoked,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    /// The tokens that ended, by the names of their hints.
    pub(super) tokens: Vec<&'static str>,
    /// Why one may live on.
    pub(super) failure: Option<Error>,
}

impl Revocation {
    /// A flow for the tokens of this session.
    pub(super) fn of(session: &Session) -> Self {
        Self::begin(session.access_token(), session.refresh_token())
    }

    /// A flow for tokens that just came.
    pub(super) fn of_new(tokens: &Tokens) -> Self {
        Self::begin(Some(&tokens.access_token), tokens.refresh_token.as_ref())
    }

    /// A flow for the tokens of an answer that nobody waits for any more; none where it has none.
    pub(super) fn of_answer(
        mut ask: AskProven,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Option<Self> {
        let Ok(Step::Done(response)) = ask.step(client, now, event) else {
            return None;
        };
        let tokens = exchange::read(&response, client.config(), now).ok()?;
        Some(Self::of_new(&tokens))
    }

    /// Goes on with what ends an answer of before a sign-out; at its end nobody is signed in. That a
    /// token lives on is an alert.
    pub(super) fn drop_answer<T>(
        mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<(Self, Step<T>), Error> {
        match self.step(client, now, event)?.split() {
            Ok(revoked) => {
                client.alerts.extend(revoked.failure);
                Err(ErrorKind::LoginRequired.into())
            }
            Err(step) => Ok((self, step)),
        }
    }

    fn begin(
        access_token: Option<&Secret<String>>,
        refresh_token: Option<&Secret<String>>,
    ) -> Self {
        let tokens = [
            ("access_token", access_token),
            ("refresh_token", refresh_token),
        ];
        let tokens = tokens.into_iter();
        Self {
            tokens: tokens
                .filter_map(|(hint, token)| Some((hint, token?.clone())))
                .collect(),
            ..Self::default()
        }
    }

    /// RFC 7009 section 2.1.
    fn next(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Step<Revoked>, Error> {
        let metadata = client.provider().metadata();
        let endpoint = metadata.and_then(|metadata| metadata.revocation_endpoint());
        let (Some(endpoint), Some((hint, token))) = (endpoint, self.tokens.pop()) else {
            return Ok(Step::Done(core::mem::take(&mut self.ended)));
        };
        let timeout = until.since(now).min(client.provider().timeout());
        if timeout.millis() == 0 {
            self.ended.failure = Some(ErrorKind::UpstreamTimeout.into());
            return Ok(Step::Done(core::mem::take(&mut self.ended)));
        }
        let mut form = Form::new();
        // EXPOSE: it goes to the provider that issued it.
        form.push("token", token.expose());
        form.push("token_type_hint", hint);
        let ask = AskProven::new(Purpose::Revocation, endpoint.clone(), form, timeout);
        self.ask((Box::new(ask), hint, until), client, now, Event::Start)
    }

    fn ask(
        &mut self,
        (mut ask, hint, until): (Box<AskProven>, &'static str, Timestamp),
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Revoked>, Error> {
        let answered = match ask.step(client, now, event).map(Step::split) {
            Ok(Err(step)) => {
                self.asking = Some((ask, hint, until));
                return Ok(step);
            }
            Ok(Ok(response)) => Ok(response),
            Err(error) if error.kind() == ErrorKind::FlowMisused => return Err(error),
            Err(error) => Err(error),
        };
        self.note(hint, answered);
        self.next(client, now, until)
    }

    /// RFC 7009 section 2.2.
    fn note(&mut self, hint: &'static str, answered: Result<HttpResponse, Error>) {
        let failure = match answered {
            // 2.2: also for a token that was none any more.
            Ok(response) if response.status() == 200 => {
                self.ended.tokens.push(hint);
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
            let failure = failure.during(Phase::SignOut);
            self.ended.failure.get_or_insert(failure);
        }
    }
}

impl Flow for Revocation {
    type Shared = Client;
    type Output = Revoked;

    fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Revoked>, Error> {
        match (self.asking.take(), event) {
            (Some(asking), event) => self.ask(asking, client, now, event),
            (None, Event::Start) => self.next(client, now, now.after(REVOCATION_TIME)),
            (None, _) => Err(ErrorKind::FlowMisused.into()),
        }
    }
}
