//! Keys are renewed behind the back of requests, before they are due.

use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::guard::Guard;
use crate::issuer::Renew;
use crate::time::Timestamp;

/// The flow that renews the keys of one issuer. Run it after the decision that it came up with; no
/// request waits for it.
#[derive(Debug)]
pub struct Renewal {
    place: usize,
    renew: Renew,
}

impl Guard {
    /// What is to be renewed now, as the last decision found; each renewal is handed out once.
    pub fn take_renewal(&mut self, now: Timestamp) -> Option<Renewal> {
        let place = self.due.take()?;
        let begins = self.providers.get_mut(place)?.begin_renewal(now);
        begins.then(|| Renewal {
            place,
            renew: Renew::default(),
        })
    }

    /// Whether the last decision found something to renew.
    pub fn wants_renewal(&self) -> bool {
        self.due.is_some()
    }

    /// Looks whether the keys of the issuer that a decision was about should be renewed.
    pub(super) fn note_age(&mut self, place: usize, now: Timestamp) {
        if self
            .providers
            .get(place)
            .is_some_and(|provider| provider.keys().is_ageing(now))
        {
            self.due = Some(place);
        }
    }
}

impl Flow for Renewal {
    type Shared = Guard;
    type Output = ();

    fn step(&mut self, guard: &mut Guard, now: Timestamp, event: Event) -> Result<Step<()>, Error> {
        let provider = guard
            .providers
            .get_mut(self.place)
            .ok_or(ErrorKind::FlowMisused)?;
        self.renew
            .step(provider, now, event)
            .map_err(|error| error.during(Phase::Keys))
    }
}
