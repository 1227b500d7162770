//! Asks one of a provider's endpoints as a client that shows who it is.

use crate::error::{Error, ErrorKind};
use crate::flow::{Event, Flow as _, Step};
use crate::http::form::Form;
use crate::http::{HttpRequest, HttpResponse, Purpose, Unreachable, Url};
use crate::issuer::{ClientAuthentication, Discover, Metadata, Provider, Shown};
use crate::jose::{TokenNames, UnsignedToken};
use crate::time::{Lifetime, Timestamp};

/// How often a request is sent again.
const MOST_RETRIES: u32 = 2;
/// The first pause, in milliseconds; the second is twice as long, and each up to twice of that.
const FIRST_PAUSE: i64 = 500;
/// The longest pause that a provider can ask for with `Retry-After`. Whoever asks for a longer one
/// is not asked again: that is for the program to decide.
const LONGEST_PAUSE: Lifetime = Lifetime::from_seconds(30);

/// Whether a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It uses nothing up: when the network fails, for 429 and 5xx.
    Safe,
    /// It carries what may be used once, and who did not answer may have used it: never.
    Never,
}

/// The part of a flow that asks an endpoint.
///
/// It finds the provider, authenticates the client, sends, and sends again where it may. It is
/// stepped like a flow and is none, because it shares two things.
#[derive(Debug)]
pub(crate) struct Ask {
    purpose: Purpose,
    endpoint: fn(&Metadata) -> Result<&Url, Error>,
    /// Without what shows who the client is.
    form: Form,
    retries_left: u32,
    /// Whether it was sent again with the challenge that the provider asked for.
    has_met_challenge: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Ready,
    Discovering(Discover),
    Signing(Box<HttpRequest>, Form, UnsignedToken),
    Asking,
    Waiting,
    Over,
}

impl Ask {
    /// A question to an endpoint.
    pub(crate) fn new(
        purpose: Purpose,
        endpoint: fn(&Metadata) -> Result<&Url, Error>,
        form: Form,
        retry: Retry,
    ) -> Self {
        Self {
            purpose,
            endpoint,
            form,
            retries_left: match retry {
                Retry::Safe => MOST_RETRIES,
                Retry::Never => 0,
            },
            has_met_challenge: false,
            stage: Stage::Ready,
        }
    }

    /// Asks once more, from the beginning.
    pub(crate) fn begin_anew(&mut self) {
        self.stage = Stage::Ready;
    }

    /// Takes what came of the last step and decides on the next; what comes out is an answer of any
    /// status.
    ///
    /// # Errors
    ///
    /// Those of discovery and of authentication, `key_unsuitable`, `upstream_unreachable`,
    /// `upstream_timeout`, `redirect_refused`, `response_too_large`, `flow_misused`.
    pub(crate) fn step(
        &mut self,
        provider: &mut Provider,
        authentication: &mut ClientAuthentication,
        names: &mut TokenNames,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<HttpResponse>, Error> {
        match (core::mem::replace(&mut self.stage, Stage::Over), event) {
            (Stage::Ready, Event::Start) | (Stage::Waiting, Event::Woke) => {
                let discover = Discover::new();
                self.discover(discover, provider, authentication, names, now, Event::Start)
            }
            (Stage::Discovering(discover), event) => {
                self.discover(discover, provider, authentication, names, now, event)
            }
            (Stage::Signing(mut request, mut form, token), event) => {
                let signed = event.into_signed(token)?;
                authentication.put_signed(signed, &mut form, &mut request);
                request.body = Some(form.into_body());
                self.stage = Stage::Asking;
                Ok(Step::Send(*request))
            }
            (Stage::Asking, event) => match event.into_answer()? {
                Ok(response) => {
                    let demands = authentication.demands_challenge(&response);
                    if demands && !core::mem::replace(&mut self.has_met_challenge, true) {
                        return self.send(provider, authentication, names, now);
                    }
                    let may_pass = response.status() == 429 || response.status() >= 500;
                    match response.retry_after(now) {
                        _ if !may_pass => Ok(Step::Done(response)),
                        Some(pause) if pause > LONGEST_PAUSE => Ok(Step::Done(response)),
                        pause => Ok(self.again(pause, names).unwrap_or(Step::Done(response))),
                    }
                }
                Err(cause) => self.failed(cause.into(), is_passing(cause), names),
            },
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }

    fn discover(
        &mut self,
        mut discover: Discover,
        provider: &mut Provider,
        authentication: &ClientAuthentication,
        names: &mut TokenNames,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<HttpResponse>, Error> {
        match discover.step(provider, now, event).map(Step::split) {
            Ok(Ok(())) => self.send(provider, authentication, names, now),
            Ok(Err(step)) => {
                self.stage = Stage::Discovering(discover);
                Ok(step)
            }
            Err(error) => {
                let is_passing = error.retryable();
                self.failed(error, is_passing, names)
            }
        }
    }

    fn send(
        &mut self,
        provider: &Provider,
        authentication: &ClientAuthentication,
        names: &mut TokenNames,
        now: Timestamp,
    ) -> Result<Step<HttpResponse>, Error> {
        let metadata = provider.metadata().ok_or(ErrorKind::FlowMisused)?;
        let url = (self.endpoint)(metadata)?.clone();
        // An assertion is made for each time that it is sent: it may be used once.
        let mut form = self.form.clone();
        let shown = authentication.apply(
            &mut form,
            provider.issuer(),
            Some(metadata),
            Some((names, now)),
        )?;
        let post =
            |form: Form| HttpRequest::post(self.purpose, url, form.into_body(), provider.timeout());
        let request = match shown {
            Shown::Form => post(form),
            Shown::Header(header) => HttpRequest {
                authorization: Some(header),
                ..post(form)
            },
            Shown::Unsigned(token) => {
                let request = token.request();
                self.stage = Stage::Signing(Box::new(post(Form::new())), form, token);
                return Ok(Step::Sign(request));
            }
        };
        self.stage = Stage::Asking;
        Ok(Step::Send(request))
    }

    fn failed(
        &mut self,
        error: Error,
        is_passing: bool,
        names: &mut TokenNames,
    ) -> Result<Step<HttpResponse>, Error> {
        // Whose metadata cannot be had may say when to come back.
        let told = error.details().and_then(|details| details.retry_after);
        let pause = told.map(Lifetime::from_seconds);
        let is_soon = pause.is_none_or(|pause| pause <= LONGEST_PAUSE);
        let again = (is_passing && is_soon).then(|| self.again(pause, names));
        again.flatten().ok_or(error)
    }

    /// A pause before the request is sent again; `None` when it is not.
    fn again(
        &mut self,
        pause: Option<Lifetime>,
        names: &mut TokenNames,
    ) -> Option<Step<HttpResponse>> {
        self.retries_left = self.retries_left.checked_sub(1)?;
        self.stage = Stage::Waiting;
        let least = if self.retries_left == 0 {
            FIRST_PAUSE.saturating_mul(2)
        } else {
            FIRST_PAUSE
        };
        // Many that failed together do not come back together.
        let spread = i64::from(names.make_number())
            .checked_rem(least)
            .unwrap_or(0);
        let own = Lifetime::from_millis(least.saturating_add(spread));
        Some(Step::Sleep(pause.map_or(own, |pause| pause.max(own))))
    }
}

/// Whether the same request may succeed a little later.
pub(crate) fn is_passing(cause: Unreachable) -> bool {
    matches!(cause, Unreachable::Network | Unreachable::Timeout)
}
