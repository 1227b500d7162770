//! From a request's token to its principal.

use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::guard::opaque::Introspect;
use crate::guard::{BearerToken, Guard, Need, Principal, Verdict, access_token};
use crate::issuer::{KeyTrials, Verify};
use crate::jose::{MAX_TOKEN, Unverified};
use crate::time::Timestamp;

/// The flow that checks one token.
#[derive(Debug)]
pub struct Check {
    /// What the request and the guard need together.
    need: Need,
    stage: Stage,
    /// The generation of the keys among which one was chosen.
    generation: Option<u32>,
    verdict: Option<Verdict>,
}

#[derive(Debug)]
enum Stage {
    Ready(Result<BearerToken, Error>),
    /// The place of the token's issuer among the guard's.
    Verifying(Box<Verify>, usize),
    Introspecting(Box<Introspect>),
    Over,
}

impl Check {
    /// A flow for the token of a request, or for what is wrong with its header.
    pub fn new(guard: &Guard, token: Result<BearerToken, Error>, need: &Need) -> Self {
        Self {
            need: guard.config().need.and(need),
            stage: Stage::Ready(token),
            generation: None,
            verdict: None,
        }
    }

    /// After a principal: for how long the same token may be accepted again for the same need.
    /// Nothing where something else than the token was part of the decision.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// What the request needs, for the challenge of a refusal.
    pub fn need(&self) -> &Need {
        &self.need
    }

    fn advance(
        &mut self,
        guard: &mut Guard,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Principal>, Error> {
        let (mut verify, place, event) =
            match (core::mem::replace(&mut self.stage, Stage::Over), event) {
                (Stage::Ready(token), Event::Start) => {
                    let token = token?;
                    // The shape decides, once: a bad signature is nothing to ask about.
                    if guard.introspects(&token) {
                        let introspect = Box::new(Introspect::new(token));
                        return self.introspect(introspect, guard, now, Event::Start);
                    }
                    // Everything that can be refused without a key is refused before one is fetched.
                    let token =
                        Unverified::parse(token.expose(), MAX_TOKEN, &guard.config.algorithms)?;
                    access_token::check_type(token.header())?;
                    // The issuer's keys come from its configuration, never from the token.
                    let place = guard
                        .place_of(token.claimed_issuer()?)
                        .ok_or(ErrorKind::IssuerMismatch)?;
                    (
                        Box::new(Verify::new(token, KeyTrials::UpToFour)),
                        place,
                        Event::Start,
                    )
                }
                (Stage::Verifying(verify, place), event) => (verify, place, event),
                (Stage::Introspecting(introspect), event) => {
                    return self.introspect(introspect, guard, now, event);
                }
                _ => return Err(ErrorKind::FlowMisused.into()),
            };
        let provider = guard
            .providers
            .get_mut(place)
            .ok_or(ErrorKind::FlowMisused)?;
        match verify.step(provider, now, event)? {
            Step::Send(request) => {
                self.stage = Stage::Verifying(verify, place);
                Ok(Step::Send(request))
            }
            Step::Verify(check) => {
                // While the signature is being checked the key may be withdrawn.
                self.generation
                    .get_or_insert_with(|| provider.keys().generation());
                self.stage = Stage::Verifying(verify, place);
                Ok(Step::Verify(check))
            }
            Step::Done(verified) => {
                let issuer = provider.issuer().as_str();
                let mut principal =
                    access_token::check_claims(verified, issuer, &guard.config, now)?;
                self.need.check(&mut principal)?;
                self.verdict = self.generation.and_then(|generation| {
                    Verdict::of(&principal, place, generation, &guard.config)
                });
                Ok(Step::Done(principal))
            }
        }
    }

    fn introspect(
        &mut self,
        mut introspect: Box<Introspect>,
        guard: &mut Guard,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Principal>, Error> {
        let mut step = introspect.step(guard, now, event)?;
        match &mut step {
            Step::Done(principal) => self.need.check(principal)?,
            _ => self.stage = Stage::Introspecting(introspect),
        }
        Ok(step)
    }
}

impl Flow for Check {
    type Shared = Guard;
    type Output = Principal;

    fn step(
        &mut self,
        guard: &mut Guard,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Principal>, Error> {
        let step = self
            .advance(guard, now, event)
            .map_err(|error| error.during(Phase::Guard));
        match &step {
            Ok(Step::Done(_)) => guard.tally.accept(),
            Ok(_) => {}
            Err(error) => guard.tally.refuse(error),
        }
        step
    }
}
