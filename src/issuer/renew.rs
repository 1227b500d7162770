//! Fetches keys ahead of their time, while those that are there serve on.

use crate::error::{Error, ErrorKind};
use crate::flow::{Event, Flow, Step};
use crate::http::{HttpRequest, Purpose};
use crate::issuer::Provider;
use crate::time::Timestamp;

/// The flow that renews a provider's keys. Nobody waits for it, and its failure changes nothing
/// but when the next attempt is made.
#[derive(Debug, Default)]
pub struct Renew {
    asked_at: Option<Timestamp>,
}

impl Flow for Renew {
    type Shared = Provider;
    type Output = ();

    fn step(
        &mut self,
        provider: &mut Provider,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<()>, Error> {
        match (self.asked_at, event) {
            (None, Event::Start) => {
                let metadata = provider.metadata().ok_or(ErrorKind::FlowMisused)?;
                let url = metadata.jwks_uri()?.clone();
                self.asked_at = Some(now);
                let request = HttpRequest::get(Purpose::Keys, url, provider.timeout);
                Ok(Step::Send(request))
            }
            (Some(asked_at), event) => {
                let answer = event.into_answer()?;
                provider.keys.absorb(answer, asked_at, now)?;
                Ok(Step::Done(()))
            }
            (None, _) => Err(ErrorKind::FlowMisused.into()),
        }
    }
}
