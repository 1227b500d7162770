//! From a token to claims that its issuer signed: metadata and keys when needed, then the signature.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::{HttpRequest, Purpose};
#[cfg(feature = "guard")]
use crate::issuer::discovery::is_no_word;
use crate::issuer::{Discover, Plan, Provider};
use crate::jose::{Selection, SignatureCheck, Unverified, VerificationKey, Verified};
use crate::time::Timestamp;

/// How many keys may be tried for a token that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyTrials {
    /// Exactly one key must fit.
    One,
    /// Up to four are tried, which bounds the work that one token can cause.
    UpToFour,
}

/// The flow that checks a signature.
#[derive(Debug)]
pub struct Verify {
    token: Option<Unverified>,
    trials: KeyTrials,
    stage: Stage,
    /// Whether this flow fetched keys; it does so once.
    fetched: bool,
}

#[derive(Debug)]
enum Stage {
    Ready,
    /// The shared cache was asked for keys at this time.
    #[cfg(feature = "guard")]
    Loading(Timestamp),
    Discovering(Discover),
    /// The keys were asked for at this time.
    FetchingKeys(Timestamp),
    /// One key is being tried, these are left.
    Checking(Vec<Arc<VerificationKey>>),
    Over,
}

impl Verify {
    /// A flow for this token.
    pub fn new(token: Unverified, trials: KeyTrials) -> Self {
        Self {
            token: Some(token),
            trials,
            stage: Stage::Ready,
            fetched: false,
        }
    }

    fn token(&self) -> Result<&Unverified, Error> {
        self.token
            .as_ref()
            .ok_or_else(|| ErrorKind::FlowMisused.into())
    }

    #[inline(never)]
    fn discover(
        &mut self,
        mut discover: Discover,
        provider: &mut Provider,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Verified>, Error> {
        match discover.step(provider, now, event) {
            Ok(Step::Send(request)) => {
                self.stage = Stage::Discovering(discover);
                Ok(Step::Send(request))
            }
            // What was decided before is not decided again: an unknown name asks once.
            Ok(Step::Done(())) if self.fetched => self.ask(provider, now),
            Ok(Step::Done(())) => self.select(provider, now),
            Ok(_) => Err(ErrorKind::FlowMisused.into()),
            // Keys that were shared serve on without metadata, as those that were fetched do.
            #[cfg(feature = "guard")]
            Err(error) if is_no_word(&error) && provider.keys.go_without(now) => {
                self.select(provider, now).map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }

    /// Begins where nothing is asked of the shared cache, or after its answer.
    fn begin(&mut self, provider: &mut Provider, now: Timestamp) -> Result<Step<Verified>, Error> {
        // Keys need no metadata, which only says where they are.
        #[cfg(feature = "guard")]
        if provider.keys.serves(now) {
            return self.select(provider, now);
        }
        self.discover(Discover::paced(), provider, now, Event::Start)
    }

    #[inline(never)]
    fn select(&mut self, provider: &mut Provider, now: Timestamp) -> Result<Step<Verified>, Error> {
        match provider.keys.plan(self.token()?.header(), now)? {
            Plan::Fetch if self.fetched => {
                provider.keys.end_search(now);
                Err(ErrorKind::KeyNotFound.into())
            }
            Plan::Fetch => {
                self.fetched = true;
                self.discover(Discover::paced(), provider, now, Event::Start)
            }
            Plan::Use(selection) => self.try_selected(selection),
        }
    }

    fn try_selected(&mut self, selection: Selection) -> Result<Step<Verified>, Error> {
        let keys = match selection {
            Selection::None => return Err(ErrorKind::KeyNotFound.into()),
            Selection::One(key) => vec![key],
            Selection::Several(keys) => match self.trials {
                KeyTrials::UpToFour if keys.len() <= 4 => keys,
                _ => return Err(ErrorKind::KeyAmbiguous.into()),
            },
        };
        self.try_next(keys)
    }

    fn ask(&mut self, provider: &mut Provider, now: Timestamp) -> Result<Step<Verified>, Error> {
        let metadata = provider.metadata().ok_or(ErrorKind::FlowMisused)?;
        let url = metadata.jwks_uri()?.clone();
        self.stage = Stage::FetchingKeys(now);
        let mut request = HttpRequest::get(Purpose::Keys, url, provider.timeout);
        request.max_body = provider.limits.key_set;
        Ok(Step::Send(request))
    }

    #[inline(never)]
    fn fetched(
        &mut self,
        asked_at: Timestamp,
        provider: &mut Provider,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Verified>, Error> {
        let answer = event.into_answer()?;
        let absorbed = if provider.keys.has_read_since(asked_at, now) {
            Ok(())
        } else {
            provider
                .keys
                .absorb(answer, asked_at, &provider.limits, now)
        };
        match (self.select(provider, now), absorbed) {
            (Ok(step), _) => Ok(step),
            // Why the fetch failed says more than that keys are missing.
            (Err(_), Err(error)) => Err(error.during(Phase::Keys)),
            (Err(error), Ok(())) => Err(error),
        }
    }

    fn try_next(&mut self, mut keys: Vec<Arc<VerificationKey>>) -> Result<Step<Verified>, Error> {
        while let Some(key) = keys.pop() {
            let check: Result<SignatureCheck, Error> = self.token()?.check(&key);
            match check {
                Ok(check) => {
                    self.stage = Stage::Checking(keys);
                    return Ok(Step::Verify(check));
                }
                // The length rules this key out; another may be longer.
                Err(error) if keys.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        Err(ErrorKind::SignatureInvalid.into())
    }
}

impl Flow for Verify {
    type Shared = Provider;
    type Output = Verified;

    fn step(
        &mut self,
        provider: &mut Provider,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Verified>, Error> {
        match (core::mem::replace(&mut self.stage, Stage::Over), event) {
            (Stage::Ready, Event::Start) => {
                #[cfg(feature = "guard")]
                if let Some(given) = &provider.given {
                    let selection = given.select(self.token()?.header())?;
                    return self.try_selected(selection);
                }
                #[cfg(feature = "guard")]
                if let Some(key) = provider.keys.shared_key(now) {
                    self.stage = Stage::Loading(now);
                    return Ok(Step::Load(key.into()));
                }
                self.begin(provider, now)
            }
            #[cfg(feature = "guard")]
            (Stage::Loading(asked_at), Event::Loaded(answer)) => {
                provider
                    .keys
                    .absorb_shared(answer, asked_at, &provider.limits, now);
                self.begin(provider, now)
            }
            (Stage::Discovering(discover), event) => self.discover(discover, provider, now, event),
            (Stage::FetchingKeys(asked_at), event) => self.fetched(asked_at, provider, now, event),
            (Stage::Checking(_), Event::Signature(true)) => {
                let token = self.token.take().ok_or(ErrorKind::FlowMisused)?;
                token.verified(true).map(Step::Done)
            }
            (Stage::Checking(rest), Event::Signature(false)) => self.try_next(rest),
            // The host finds no key in it; another one may fit.
            (Stage::Checking(rest), Event::CheckFailed(error))
                if error.kind() == ErrorKind::KeyUnsuitable && !rest.is_empty() =>
            {
                self.try_next(rest)
            }
            (Stage::Checking(_), Event::CheckFailed(error)) => Err(error),
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }
}
