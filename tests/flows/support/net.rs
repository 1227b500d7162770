//! Steps flows, answers their requests by the providers of a test, and watches what they print.

use std::collections::BTreeMap;
use std::fmt::Debug;

use gatepass::Error;
use gatepass::flow::{Event, Flow, ProofUse, Step};
use gatepass::http::{HttpRequest, Method, Purpose, Unreachable};
use gatepass::jose::rust_crypto::{self, PrivateKey};
use gatepass::jose::{KeyName, SigningRequest};
use gatepass::time::{Lifetime, Timestamp};

use super::Idp;

/// When every test begins: 2027-01-15T08:00:00Z.
pub(crate) fn start_time() -> Timestamp {
    Timestamp::from_seconds(1_800_000_000).unwrap()
}

/// A request that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) purpose: Purpose,
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) accept: &'static str,
    pub(crate) authorization: Option<String>,
    pub(crate) attestation: Option<(String, String)>,
    pub(crate) media_type: &'static str,
    pub(crate) dpop: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) timeout: Lifetime,
}

impl Sent {
    fn new(request: &HttpRequest) -> Self {
        Self {
            purpose: request.purpose,
            method: request.method,
            url: request.url.as_str().into(),
            accept: request.accept,
            authorization: request
                .authorization
                .as_ref()
                .map(|value| value.expose().clone()),
            attestation: request.attestation.as_ref().map(|shown| {
                (
                    shown.attestation.expose().clone(),
                    shown.proof.expose().clone(),
                )
            }),
            media_type: request.media_type(),
            dpop: request.dpop.as_ref().map(|proof| proof.expose().clone()),
            // EXPOSE: the test's provider reads it.
            body: request.body.as_ref().map(|body| body.expose().clone()),
            timeout: request.timeout,
        }
    }

    /// The form in the body, in order.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        gatepass::http::form::decode(self.body.as_deref().unwrap_or_default()).unwrap()
    }

    /// A field of the form.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.form()
            .into_iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// The network of a test: providers, a clock, and a record of what was sent.
pub(crate) struct Net {
    pub(crate) now: Timestamp,
    /// How long each answer takes.
    pub(crate) latency: Lifetime,
    pub(crate) idps: Vec<Idp>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) signature_checks: usize,
    /// The uses of proofs that were to be remembered elsewhere.
    pub(crate) remembered: Vec<ProofUse>,
    /// What whoever remembers them answers.
    pub(crate) replay_store: Option<bool>,
    /// What is signed with.
    pub(crate) signing_keys: Vec<(KeyName, PrivateKey)>,
    /// How long flows waited, each time.
    pub(crate) slept: Vec<Lifetime>,
    /// What somebody put into the cache that guards share, and how it answers in place of that.
    pub(crate) shared: BTreeMap<String, String>,
    pub(crate) shared_answer: Option<Result<Option<String>, Unreachable>>,
    /// The names that were looked for there.
    pub(crate) loaded: Vec<String>,
    /// What must never be printed.
    secrets: Vec<String>,
}

impl Net {
    pub(crate) fn new(idps: Vec<Idp>) -> Self {
        Self {
            now: start_time(),
            latency: Lifetime::from_millis(0),
            idps,
            sent: Vec::new(),
            signature_checks: 0,
            remembered: Vec::new(),
            replay_store: None,
            signing_keys: Vec::new(),
            slept: Vec::new(),
            shared: BTreeMap::new(),
            shared_answer: None,
            loaded: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// Moves the clock forward.
    pub(crate) fn pass(&mut self, seconds: u32) {
        self.now = self.now.after(Lifetime::from_seconds(seconds));
    }

    /// Sets the clock back.
    pub(crate) fn set_back(&mut self, seconds: u32) {
        self.now = self.now.before(Lifetime::from_seconds(seconds));
    }

    /// How many requests of this kind were sent.
    pub(crate) fn count(&self, purpose: Purpose) -> usize {
        self.sent
            .iter()
            .filter(|sent| sent.purpose == purpose)
            .count()
    }

    /// Forgets the requests so far.
    pub(crate) fn clear(&mut self) {
        self.sent.clear();
        self.signature_checks = 0;
    }

    /// From now on this text must not be printed by anything.
    pub(crate) fn keep_secret(&mut self, text: &str) {
        assert!(text.len() > 8, "too short to be told from other text");
        if !self.secrets.iter().any(|known| known == text) {
            self.secrets.push(text.into());
        }
    }

    /// Fails when a text holds something that must not be printed. Of a flood the first and the last
    /// are looked for; all of them would make its test quadratic.
    #[track_caller]
    pub(crate) fn assert_silent(&self, text: &str) {
        const MANY: usize = 32;
        let first = self.secrets.iter().take(MANY);
        let last = self.secrets.iter().skip(MANY).rev().take(MANY);
        for secret in first.chain(last) {
            assert!(!text.contains(secret.as_str()), "{secret} stands in {text}");
        }
    }

    /// Looks into the cache that guards share.
    pub(crate) fn load(&mut self, key: &str) -> Result<Option<String>, Unreachable> {
        self.loaded.push(key.into());
        let found = || Ok(self.shared.get(key).cloned());
        self.shared_answer.clone().unwrap_or_else(found)
    }

    /// Answers one request.
    pub(crate) fn answer(&mut self, request: &HttpRequest) -> Event {
        let sent = Sent::new(request);
        self.sent.push(sent.clone());
        // Every request of the core goes to a configured provider, without a secret in its URL.
        let idp = self
            .idps
            .iter_mut()
            .find(|idp| sent.url.starts_with(&idp.origin()))
            .unwrap_or_else(|| panic!("nobody was to be asked at {}", sent.url));
        let answer = idp.answer(&sent, self.now).into_answer(request);
        self.secrets.append(&mut idp.issued);
        self.assert_silent(&format!("{request:?} {answer:?} {}", sent.url));
        self.now = self.now.after(self.latency);
        match answer {
            Ok(response) => Event::Answer(response),
            Err(cause) => Event::Unreachable(cause),
        }
    }

    /// Takes one step and looks at everything that can be printed afterwards.
    pub(crate) fn step<F>(
        &mut self,
        flow: &mut F,
        shared: &mut F::Shared,
        event: Event,
    ) -> Result<Step<F::Output>, Error>
    where
        F: Flow + Debug,
        F::Shared: Debug,
    {
        let event_text = format!("{event:?}");
        let step = flow.step(shared, self.now, event);
        let outcome = match &step {
            Ok(Step::Send(request)) => format!("{request:?}"),
            Ok(Step::Verify(check)) => format!("{check:?}"),
            Ok(_) => String::new(),
            Err(error) => format!("{error} {error:?} {} {:?}", error.hint(), error.details()),
        };
        self.assert_silent(&format!("{flow:?} {shared:?} {event_text} {outcome}"));
        step
    }

    /// What comes of a wish for a signature.
    pub(crate) fn sign(&self, request: &SigningRequest) -> Event {
        let mut keys = self.signing_keys.iter();
        let key = keys.find(|(name, _)| *name == request.key());
        match key.map(|(_, key)| key.sign(request, [9; 32])) {
            Some(Ok(signature)) => Event::Signed(signature),
            _ => Event::SignFailed,
        }
    }

    /// Steps a flow to its end.
    pub(crate) fn run<F>(
        &mut self,
        flow: &mut F,
        shared: &mut F::Shared,
    ) -> Result<F::Output, Error>
    where
        F: Flow + Debug,
        F::Shared: Debug,
    {
        let mut event = Event::Start;
        for _ in 0..20 {
            event = match self.step(flow, shared, event)? {
                Step::Send(request) => self.answer(&request),
                Step::Verify(check) => {
                    self.signature_checks += 1;
                    Event::Signature(rust_crypto::verify(&check))
                }
                Step::Remember(proof) => {
                    self.remembered.push(proof);
                    Event::Remembered(self.replay_store)
                }
                Step::Sign(request) => self.sign(&request),
                Step::Sleep(lifetime) => {
                    self.slept.push(lifetime);
                    self.now = self.now.after(lifetime);
                    Event::Woke
                }
                Step::Load(key) => Event::Loaded(self.load(&key)),
                Step::Done(output) => return Ok(output),
                other => panic!("a step that nobody knows: {other:?}", other = other.name()),
            };
        }
        panic!("the flow does not end");
    }
}

/// A name for a step whose output cannot be printed.
trait StepName {
    fn name(&self) -> &'static str;
}

impl<T> StepName for Step<T> {
    fn name(&self) -> &'static str {
        "new"
    }
}
