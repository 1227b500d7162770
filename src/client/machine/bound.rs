//! Asks the token endpoint as the client does, with a proof where its tokens are bound to a key
//! (RFC 9449 section 5).

use crate::client::Client;
use crate::client::dpop::{demands_nonce, proof_for};
use crate::error::Error;
use crate::flow::{Event, Step};
use crate::http::{HttpRequest, HttpResponse, Purpose};
use crate::issuer::Ask;
use crate::jose::{TokenNames, UnsignedToken};
use crate::time::Timestamp;

/// An [`Ask`] whose requests to the token endpoint carry proofs. A nonce that the provider demands is
/// learnt and the request made once more.
#[derive(Debug)]
pub(super) struct AskBound {
    ask: Ask,
    /// Waits for its proof.
    held: Option<(HttpRequest, UnsignedToken)>,
    /// The origin of the token endpoint, while its answer is waited for.
    asked: Option<String>,
    has_retried: bool,
}

impl AskBound {
    pub(super) fn new(ask: Ask) -> Self {
        Self {
            ask,
            held: None,
            asked: None,
            has_retried: false,
        }
    }

    /// As [`Ask::step`].
    pub(super) fn step(
        &mut self,
        client: &mut Client,
        names: &mut TokenNames,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<HttpResponse>, Error> {
        if let Some((mut request, proof)) = self.held.take() {
            request.dpop = Some(event.into_signed(proof)?);
            self.asked = Some(request.url.origin());
            return Ok(Step::Send(request));
        }
        if let (Some(origin), Event::Answer(response)) = (self.asked.take(), &event)
            && demands_nonce(client, &origin, response)
            && !core::mem::replace(&mut self.has_retried, true)
        {
            self.ask.begin_anew();
            return self.ask(client, names, now, Event::Start);
        }
        self.ask(client, names, now, event)
    }

    fn ask(
        &mut self,
        client: &mut Client,
        names: &mut TokenNames,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<HttpResponse>, Error> {
        let authentication = &mut client.machine.authentication;
        let step = self
            .ask
            .step(&mut client.provider, authentication, names, now, event);
        match step? {
            Step::Send(request)
                if request.purpose == Purpose::Token && client.config.dpop.is_some() =>
            {
                let proof = proof_for(client, &request, None, now)?;
                let signing = proof.request();
                self.held = Some((request, proof));
                Ok(Step::Sign(signing))
            }
            step => Ok(step),
        }
    }
}
