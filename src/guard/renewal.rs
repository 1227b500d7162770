//! Keys are renewed behind the back of requests, before they are due.

use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Reports as _, Step};
use crate::guard::Guard;
use crate::issuer::{Renew, SharedKeys};
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

    /// Whether the last decision found something to renew or left something to share.
    pub fn wants_renewal(&self) -> bool {
        self.due.is_some() || !self.to_share.is_empty()
    }

    /// From now on keys are shared with other guards, such as those of other isolates or servers:
    /// checks ask for them with [`Step::Load`] when their own are missing
    /// or their time is over, and what was fetched comes out of [`Guard::take_shared_keys`].
    ///
    /// Whoever can write where they are kept can say which keys are good: keep that to yourself.
    pub fn share_keys(&mut self) {
        for provider in &mut self.providers {
            if !provider.has_given_keys() {
                provider.share_keys();
            }
        }
    }

    /// Keys that were fetched since the last call, to be put where other guards find them; say with
    /// [`Guard::note_put`] what became of each.
    pub fn take_shared_keys(&mut self) -> Vec<SharedKeys> {
        core::mem::take(&mut self.to_share)
            .into_iter()
            .filter_map(|place| self.providers.get_mut(place)?.take_shared())
            .collect()
    }

    /// Notes whether shared keys were put where they belong.
    pub fn note_put(&mut self, keys: &SharedKeys, done: bool, now: Timestamp) {
        if let Some(place) = self.place_of(&keys.issuer)
            && let Some(provider) = self.providers.get_mut(place)
        {
            provider.note_put(done, now);
            self.collect(place);
        }
    }

    /// Takes from a provider what others are to be told.
    pub(super) fn collect(&mut self, place: usize) {
        if let Some(provider) = self.providers.get_mut(place) {
            let alerts = provider.take_alerts();
            if !alerts.is_empty() {
                self.alerts.extend(alerts);
            }
            if provider.has_shared() && !self.to_share.contains(&place) {
                self.to_share.push(place);
            }
        }
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
        let step = self
            .renew
            .step(provider, now, event)
            .map_err(|error| error.during(Phase::Keys));
        guard.collect(self.place);
        step
    }
}
