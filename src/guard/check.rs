//! From a request's token to its principal.

use crate::base64url;
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, ProofUse, Step};
use crate::guard::dpop::Proven;
use crate::guard::opaque::Introspect;
use crate::guard::refusal::Schemes;
use crate::guard::request::{Scheme, Shown};
use crate::guard::status::StatusCheck;
use crate::guard::{
    BearerToken, Guard, Need, Principal, Refusal, RequestFacts, Verdict, access_token, binding,
};
use crate::issuer::{KeyTrials, Replays, Verify};
use crate::jose::{DpopProof, Unverified};
use crate::time::Timestamp;

/// The flow that checks one token.
#[derive(Debug)]
pub struct Check {
    /// What the request and the guard need together.
    need: Need,
    /// What the request shows besides its token.
    shown: Shown,
    /// The proof of possession, once it was found to fit the request.
    proven: Option<Proven>,
    /// The nonce that the client is to be told.
    nonce: Option<String>,
    stage: Stage,
    /// The place of the issuer whose keys are looked at.
    place: Option<usize>,
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
    /// The token is good; whether its issuer took it back is being looked up.
    LookingUp(Box<StatusCheck>, Box<Principal>),
    /// The token is good; its proof's signature is being checked.
    Proving(Box<Principal>),
    /// The proof is good; someone else remembers whether it was used.
    Remembering(Box<Principal>),
    Over,
}

impl Check {
    /// A flow for a request, or for a token that the program took from elsewhere, which is good
    /// only when it is bound to nothing.
    pub fn new(guard: &Guard, request: impl Into<RequestFacts>, need: &Need) -> Self {
        let RequestFacts { token, shown } = request.into();
        let token = if guard.config.dpop.accepts(shown.scheme) {
            token
        } else {
            Err(ErrorKind::CredentialMissing.into())
        };
        Self {
            need: guard.config().need.and(need),
            shown,
            proven: None,
            nonce: None,
            stage: Stage::Ready(token),
            place: None,
            generation: None,
            verdict: None,
        }
    }

    /// After a principal: for how long the same token may be accepted again for the same need.
    /// Nothing where something else than the token was part of the decision.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// What to answer when this check has failed with this error.
    pub fn refusal(&self, guard: &Guard, error: Error) -> Refusal {
        let schemes = Schemes::new(&guard.config, self.shown.scheme);
        Refusal::answering(error, &self.need, &schemes, self.nonce.clone())
    }

    /// The nonce to be sent in `DPoP-Nonce` with the response, when the client has an old one.
    pub fn dpop_nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
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
                    self.read_proof(&token, guard, now)?;
                    // The shape decides, once: a bad signature is nothing to ask about.
                    if guard.introspects(&token) {
                        self.place = guard.introspection.as_ref().map(|it| it.place());
                        let introspect = Box::new(Introspect::new(token));
                        return self.introspect(introspect, guard, now, Event::Start);
                    }
                    // Everything that can be refused without a key is refused before one is fetched.
                    let token = Unverified::parse_with(
                        token.into_secret(),
                        guard.config.limits.token,
                        &guard.config.algorithms,
                        &guard.headers,
                    )?;
                    // The issuer's keys come from its configuration, never from the token.
                    let issuer = token.claimed_issuer()?;
                    let place = guard.place_of(issuer).ok_or(ErrorKind::IssuerMismatch)?;
                    self.place = Some(place);
                    guard
                        .profiles
                        .get(place)
                        .ok_or(ErrorKind::FlowMisused)?
                        .check_type(token.header())?;
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
                (Stage::LookingUp(status, principal), event) => {
                    return self.look_up(status, principal, guard, now, event);
                }
                (Stage::Proving(principal), event) => {
                    return self.proved(guard, *principal, now, event);
                }
                (Stage::Remembering(principal), Event::Remembered(first)) => {
                    return self.remembered(guard, *principal, first, now);
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
            Step::Load(key) => {
                self.stage = Stage::Verifying(verify, place);
                Ok(Step::Load(key))
            }
            Step::Done(verified) => {
                guard.headers.learn(&verified);
                let issuer = provider.issuer().as_str();
                let profile = guard.profiles.get(place).ok_or(ErrorKind::FlowMisused)?;
                let principal =
                    access_token::check_claims(verified, issuer, profile, &guard.config, now)?;
                self.verdict = self.generation.and_then(|generation| {
                    Verdict::of(&principal, &self.need, place, generation, &guard.config)
                });
                guard.note_age(place, now);
                match StatusCheck::of(principal.claims(), place, guard)? {
                    None => self.bind(guard, principal, now),
                    Some(status) => {
                        self.look_up(status.into(), principal.into(), guard, now, Event::Start)
                    }
                }
            }
            // Tokens may be used again, and nothing is signed here.
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }

    #[inline(never)]
    fn introspect(
        &mut self,
        mut introspect: Box<Introspect>,
        guard: &mut Guard,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Principal>, Error> {
        match introspect.step(guard, now, event)? {
            Step::Done(principal) => self.bind(guard, principal, now),
            step => {
                self.stage = Stage::Introspecting(introspect);
                Ok(step)
            }
        }
    }

    /// Whether the issuer took the token back, by the list in which it stands.
    fn look_up(
        &mut self,
        mut status: Box<StatusCheck>,
        mut principal: Box<Principal>,
        guard: &mut Guard,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Principal>, Error> {
        let step = match status.step(guard, now, event)? {
            Step::Send(request) => Step::Send(request),
            Step::Verify(check) => Step::Verify(check),
            Step::Load(key) => Step::Load(key),
            Step::Done(end) => {
                self.verdict = self.verdict.map(|verdict| verdict.until(end));
                principal.note("status");
                return self.bind(guard, *principal, now);
            }
            _ => return Err(ErrorKind::FlowMisused.into()),
        };
        self.stage = Stage::LookingUp(status, principal);
        Ok(step)
    }

    /// Reads the proof of a token that came in the `DPoP` scheme.
    fn read_proof(
        &mut self,
        token: &BearerToken,
        guard: &Guard,
        now: Timestamp,
    ) -> Result<(), Error> {
        if self.shown.scheme != Scheme::Dpop {
            return Ok(());
        }
        // Whoever fails is told the nonce of this moment; whoever succeeds only when it changed.
        self.nonce = guard.config.dpop.nonce(now);
        let proven = Proven::read(&self.shown, token, &guard.config, now)?;
        if !proven.nonce_is_old {
            self.nonce = None;
        }
        self.proven = Some(proven);
        Ok(())
    }

    /// Goes on with a good token, wherever its claims come from: is its bearer whom it was issued to?
    fn bind(
        &mut self,
        guard: &Guard,
        mut principal: Principal,
        now: Timestamp,
    ) -> Result<Step<Principal>, Error> {
        let proof = self.proven.as_ref().map(|proven| &proven.proof);
        let checked = binding::check(
            principal.claims().as_object(),
            proof.map(DpopProof::thumbprint),
            self.shown.certificate.as_deref(),
            guard.config.dpop.mode(),
        )?;
        for check in checked {
            principal.note(check);
        }
        match proof {
            None => self.admit(guard, principal, now),
            Some(proof) => {
                let check = proof.signature_check()?;
                self.stage = Stage::Proving(principal.into());
                Ok(Step::Verify(check))
            }
        }
    }

    #[inline(never)]
    fn proved(
        &mut self,
        guard: &mut Guard,
        mut principal: Principal,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Principal>, Error> {
        match event {
            Event::Signature(true) => {}
            Event::Signature(false) => {
                return Err(Error::new(ErrorKind::DpopInvalid, "signature"));
            }
            Event::CheckFailed(error) if error.kind() == ErrorKind::KeyUnsuitable => {
                return Err(Error::new(ErrorKind::DpopInvalid, "jwk"));
            }
            Event::CheckFailed(error) => return Err(error),
            _ => return Err(ErrorKind::FlowMisused.into()),
        }
        principal.note("dpop");
        // A verdict is about a token alone.
        self.verdict = None;
        let proof = &self.proven.as_ref().ok_or(ErrorKind::FlowMisused)?.proof;
        // RFC 9449 section 11.1: a proof is good once. Only good ones of good tokens get here, so
        // nobody else can fill the memory.
        let (name, ends_at) = (proof.replay_key(), proof.ends_at());
        match &mut guard.replays {
            Replays::Here(memory) => {
                let first = memory.is_first(name, ends_at, now);
                self.remembered(guard, principal, Some(first), now)
            }
            Replays::Elsewhere => {
                self.stage = Stage::Remembering(principal.into());
                Ok(Step::Remember(ProofUse {
                    key: base64url::encode(&name),
                    lifetime: ends_at.since(now),
                }))
            }
        }
    }

    #[inline(never)]
    fn remembered(
        &self,
        guard: &Guard,
        mut principal: Principal,
        first: Option<bool>,
        now: Timestamp,
    ) -> Result<Step<Principal>, Error> {
        match first {
            Some(true) => {
                principal.note("dpop jti");
                self.admit(guard, principal, now)
            }
            Some(false) => Err(ErrorKind::DpopReplayed.into()),
            None => Err(ErrorKind::ReplayStoreUnavailable.into()),
        }
    }

    /// The last question: has this bearer what the request needs?
    fn admit(
        &self,
        guard: &Guard,
        mut principal: Principal,
        now: Timestamp,
    ) -> Result<Step<Principal>, Error> {
        let tolerance = guard.config.clock_tolerance;
        self.need.check(&mut principal, now, tolerance)?;
        Ok(Step::Done(principal))
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
        if let Some(place) = self.place {
            guard.collect(place);
        }
        match &step {
            Ok(Step::Done(_)) => guard.tally.accept(),
            Ok(_) => {}
            Err(error) => guard.tally.refuse(error),
        }
        step
    }
}
