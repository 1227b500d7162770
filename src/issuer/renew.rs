//! Fetches keys ahead of their time, while those that are there serve on.

use crate::error::{Error, ErrorKind};
use crate::flow::{Event, Flow, Step};
use crate::http::{HttpRequest, Purpose};
use crate::issuer::{Discover, Provider};
use crate::time::Timestamp;

/// The flow that renews a provider's keys. Nobody waits for it, and its failure changes nothing
/// but when the next attempt is made.
#[derive(Debug, Default)]
pub struct Renew {
    /// Where keys were shared, nobody may know yet where they come from.
    discover: Option<Discover>,
    asked_at: Option<Timestamp>,
}

impl Renew {
    fn discover(
        &mut self,
        mut discover: Discover,
        provider: &mut Provider,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<()>, Error> {
        let step = match discover.step(provider, now, event) {
            Ok(step) => step,
            Err(error) => {
                provider.keys.give_up(now);
                return Err(error);
            }
        };
        self.discover = Some(discover);
        if matches!(step, Step::Done(())) {
            self.ask(provider, now)
        } else {
            Ok(step)
        }
    }

    fn ask(&mut self, provider: &Provider, now: Timestamp) -> Result<Step<()>, Error> {
        let metadata = provider.metadata().ok_or(ErrorKind::FlowMisused)?;
        let url = metadata.jwks_uri()?.clone();
        self.asked_at = Some(now);
        let mut request = HttpRequest::get(Purpose::Keys, url, provider.timeout);
        request.max_body = provider.limits.key_set;
        Ok(Step::Send(request))
    }
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
        if let Some(asked_at) = self.asked_at {
            let answer = event.into_answer()?;
            provider
                .keys
                .absorb(answer, asked_at, &provider.limits, now)?;
            return Ok(Step::Done(()));
        }
        match (self.discover.take(), event) {
            (None, Event::Start) => self.discover(Discover::paced(), provider, now, Event::Start),
            (Some(discover), event) => self.discover(discover, provider, now, event),
            (None, _) => Err(ErrorKind::FlowMisused.into()),
        }
    }
}
