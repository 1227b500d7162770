//! Runs every flow: does what its steps say and tells it what came of it.

use std::cell::RefCell;
use std::pin::Pin;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::error::{Error, Phase};
use crate::flow::{Checked, Event, Flow, ProofUse, Reports, Step};
use crate::http::json::{Object, Value};
use crate::http::{HttpRequest, HttpResponse, Purpose, Unreachable};
#[cfg(feature = "guard")]
use crate::issuer::SharedKeys;
use crate::jose::{SignatureCheck, SigningRequest};
use crate::time::Lifetime;
#[cfg(feature = "backend")]
use crate::wasm::abort::Abort;
use crate::wasm::flight::Flights;
#[cfg(feature = "guard")]
use crate::wasm::shared_cache::SharedCache;
use crate::wasm::sign::SigningKeys;
#[cfg(feature = "guard")]
use crate::wasm::subtle::Asked;
use crate::wasm::subtle::ImportedKeys;
use crate::wasm::{ambient, fetch};

/// What a client or guard has of its surroundings.
#[derive(Default)]
pub(super) struct Host {
    /// A fetch that the program gave.
    fetch: Option<Function>,
    /// Where events go, as JSON text.
    on_event: Option<Function>,
    keys: ImportedKeys,
    /// What it signs with.
    pub(super) signing_keys: SigningKeys,
    flights: Flights,
    /// What remembers used proofs, that the program gave: `(key, seconds) => boolean`, or a promise.
    replay_store: RefCell<Option<Function>>,
    /// Where keys are shared, that the program gave.
    #[cfg(feature = "guard")]
    shared_cache: RefCell<Option<SharedCache>>,
}

/// The surroundings of a client: shared with its siblings where there are any.
#[cfg(feature = "backend")]
pub(super) type ClientHost = std::rc::Rc<Host>;
/// The surroundings of a client.
#[cfg(all(feature = "client", not(feature = "backend")))]
pub(super) type ClientHost = Host;

/// How far a flow came without waiting.
pub(super) enum Progress<T> {
    /// It waits for something.
    Waits(Wait),
    /// At its end.
    Done(T),
}

/// What a flow waits for.
///
/// Apart from what comes out of the flow, so that what does it is in the artefact once and not once for
/// each flow.
pub(super) enum Wait {
    /// The answer to this request.
    Answer(HttpRequest),
    /// A check of this signature.
    Check(SignatureCheck),
    /// Whoever remembers uses of proofs.
    Memory(ProofUse),
    /// A signature.
    Signature(SigningRequest),
    /// A pause.
    #[cfg(feature = "backend")]
    Pause(Lifetime),
    /// What is shared under this name.
    #[cfg(feature = "guard")]
    Shared(String),
}

/// The promise of some work.
///
/// The work is boxed, so that what turns it into a promise is in the artefact once and not once for
/// each kind of work.
pub(super) fn promise(work: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    let work: Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>> = Box::pin(work);
    future_to_promise(work)
}

impl Host {
    pub(super) fn new(fetch: Option<Function>, on_event: Option<Function>) -> Self {
        Self {
            fetch,
            on_event,
            keys: ImportedKeys::default(),
            signing_keys: SigningKeys::default(),
            flights: Flights::default(),
            replay_store: RefCell::default(),
            #[cfg(feature = "guard")]
            shared_cache: RefCell::default(),
        }
    }

    /// From now on keys are looked for and put there.
    #[cfg(feature = "guard")]
    pub(super) fn set_shared_cache(&self, cache: SharedCache) {
        self.shared_cache.replace(Some(cache));
    }

    /// What is shared under a name, read once for all who ask for it meanwhile.
    #[cfg(feature = "guard")]
    async fn load(&self, key: &str) -> Result<Option<String>, Unreachable> {
        let Some(cache) = self.shared_cache.borrow().clone() else {
            return Ok(None);
        };
        let found = self.flights.join(key, cache.load(key)).await?;
        Ok((found.status() == SharedCache::FOUND).then(|| found.into_text()))
    }

    /// Puts what is to be shared; whether that is done.
    #[cfg(feature = "guard")]
    pub(super) async fn put(&self, keys: &SharedKeys) -> bool {
        let cache = self.shared_cache.borrow().clone();
        match cache {
            Some(cache) => cache.put(keys).await,
            None => false,
        }
    }

    /// From now on this function is asked whether a proof is used for the first time.
    #[cfg(any(feature = "backend", feature = "guard"))]
    pub(super) fn set_replay_store(&self, ask: Function) {
        self.replay_store.replace(Some(ask));
    }

    /// Whether it is the first use of this proof; `None` when the store does not say.
    async fn remember(&self, proof: &ProofUse) -> Option<bool> {
        let ask = self.replay_store.borrow().clone()?;
        // Rounded up, so that it is remembered long enough.
        let seconds = proof.lifetime.whole_seconds();
        let answer = ask.call2(
            &JsValue::UNDEFINED,
            &proof.key.as_str().into(),
            &seconds.into(),
        );
        let answer = JsFuture::from(Promise::resolve(&answer.ok()?)).await;
        answer.ok()?.as_bool()
    }

    /// Steps a flow to its end. What it shares is borrowed for each step and never in between.
    #[cfg(feature = "client")]
    pub(super) async fn run<F: Flow>(
        &self,
        shared: &RefCell<F::Shared>,
        flow: &mut F,
    ) -> Result<F::Output, Error> {
        let begun = self.begin(shared, flow, Event::Start)?;
        self.finish(shared, flow, begun).await
    }

    /// As [`Self::run`], until the program ends it, which it can while the flow pauses: what is asked
    /// may be answered once, and is waited for.
    #[cfg(feature = "backend")]
    pub(super) async fn run_until<F: Flow>(
        &self,
        shared: &RefCell<F::Shared>,
        flow: &mut F,
        abort: Option<&Abort>,
    ) -> Result<F::Output, Error> {
        let mut progress = self.begin(shared, flow, Event::Start)?;
        loop {
            let event = match (progress, abort) {
                (Progress::Done(output), _) => return Ok(output),
                // What waits is dropped, and its timer with it.
                (Progress::Waits(wait @ Wait::Pause(_)), Some(abort)) => {
                    abort.or(self.follow(wait)).await?
                }
                (Progress::Waits(wait), _) => self.follow(wait).await?,
            };
            progress = self.begin(shared, flow, event)?;
        }
    }

    /// Goes on with a flow from where it waits to its end.
    pub(super) async fn finish<F: Flow>(
        &self,
        shared: &RefCell<F::Shared>,
        flow: &mut F,
        mut progress: Progress<F::Output>,
    ) -> Result<F::Output, Error> {
        loop {
            match progress {
                Progress::Waits(wait) => {
                    let event = self.follow(wait).await?;
                    progress = self.begin(shared, flow, event)?;
                }
                Progress::Done(output) => return Ok(output),
            }
        }
    }

    /// Does what a flow waits for. Each kind is a future of its own, so that engines compile what is
    /// waited for and no other.
    fn follow(&self, wait: Wait) -> Pin<Box<dyn Future<Output = Result<Event, Error>> + '_>> {
        match wait {
            Wait::Answer(request) => Box::pin(async move {
                Ok(match self.ask(&request).await {
                    Ok(response) => Event::Answer(response),
                    Err(cause) => Event::Unreachable(cause),
                })
            }),
            Wait::Check(check) => Box::pin(async move {
                Ok(match self.keys.verify(&check).await {
                    Ok(fits) => Event::Signature(fits),
                    Err(error) => Event::CheckFailed(error),
                })
            }),
            Wait::Memory(proof) => {
                Box::pin(async move { Ok(Event::Remembered(self.remember(&proof).await)) })
            }
            Wait::Signature(request) => {
                Box::pin(async move { self.signing_keys.sign(&request).await })
            }
            #[cfg(feature = "backend")]
            Wait::Pause(lifetime) => Box::pin(async move {
                ambient::sleep(lifetime).await;
                Ok(Event::Woke)
            }),
            #[cfg(feature = "guard")]
            Wait::Shared(key) => Box::pin(async move { Ok(Event::Loaded(self.load(&key).await)) }),
        }
    }

    /// Asks the host about a signature for a caller that waits for the answer itself.
    ///
    /// # Errors
    ///
    /// Those of [`ImportedKeys::ask`].
    #[cfg(feature = "guard")]
    pub(super) fn ask_of_signature(&self, check: &SignatureCheck) -> Result<Asked, Error> {
        self.keys.ask(check)
    }

    /// Keeps the key that the host was asked for.
    #[cfg(feature = "guard")]
    pub(super) fn keep_key(&self, check: &SignatureCheck, key: JsValue) {
        self.keys.keep(check, key);
    }

    /// Steps a flow for as long as nothing has to be waited for.
    pub(super) fn begin<F: Flow>(
        &self,
        shared: &RefCell<F::Shared>,
        flow: &mut F,
        mut event: Event,
    ) -> Result<Progress<F::Output>, Error> {
        // Nothing is waited for, so all of it happens now.
        let now = ambient::now()?;
        loop {
            let step = flow.step(&mut shared.borrow_mut(), now, event);
            self.emit_reports(shared);
            self.emit_alerts(shared);
            let step = step?;
            event = match step {
                Step::Send(request) => return Ok(Progress::Waits(Wait::Answer(request))),
                Step::Verify(check) => match self.keys.verify_at_once(&check) {
                    Some(fits) => Event::Signature(fits),
                    None => return Ok(Progress::Waits(Wait::Check(check))),
                },
                Step::Remember(proof) => return Ok(Progress::Waits(Wait::Memory(proof))),
                Step::Sign(request) => return Ok(Progress::Waits(Wait::Signature(request))),
                #[cfg(feature = "backend")]
                Step::Sleep(lifetime) => return Ok(Progress::Waits(Wait::Pause(lifetime))),
                // Only machines wait.
                #[cfg(not(feature = "backend"))]
                Step::Sleep(_) => return Err(crate::ErrorKind::FlowMisused.into()),
                #[cfg(feature = "guard")]
                Step::Load(key) => return Ok(Progress::Waits(Wait::Shared(key))),
                // Only guards share keys.
                #[cfg(not(feature = "guard"))]
                Step::Load(_) => Event::Loaded(Ok(None)),
                Step::Done(output) => return Ok(Progress::Done(output)),
            };
        }
    }

    /// Sends a request. What is only read is read once for all who ask for it meanwhile, and what says under
    /// which name others ask the same.
    async fn ask(&self, request: &HttpRequest) -> Result<HttpResponse, Unreachable> {
        let name = match request.purpose {
            Purpose::Discovery | Purpose::Keys => Some(request.url.as_str()),
            #[cfg(feature = "guard")]
            Purpose::StatusList => Some(request.url.as_str()),
            _ => request.shared_as.as_deref(),
        };
        let send = self.send(request);
        match name {
            Some(name) => self.flights.join(name, send).await,
            None => send.await,
        }
    }

    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Unreachable> {
        let started = ambient::now();
        let answer = fetch::send(self.fetch.as_ref(), request).await;
        if self.listens() {
            let took = match (started, ambient::now()) {
                (Ok(started), Ok(now)) => now.since(started),
                _ => Lifetime::from_millis(0),
            };
            self.emit_request(request, &answer, took);
        }
        answer
    }

    #[inline(never)]
    fn emit_request(
        &self,
        request: &HttpRequest,
        answer: &Result<HttpResponse, Unreachable>,
        took: Lifetime,
    ) {
        let event = Object::new()
            .with("type", "request")
            .with("purpose", request.purpose.name())
            .with("method", request.method.name())
            .with("url", request.url.without_query())
            .with("parameters", request.parameters())
            .with("durationMs", took.millis());
        self.emit(match answer {
            Ok(response) => event.with("status", i64::from(response.status())),
            Err(cause) => event.with("code", Error::from(*cause).code()),
        });
    }

    /// Tells the program what was checked.
    fn emit_reports(&self, shared: &RefCell<impl Reports>) {
        let reports = shared.borrow_mut().take_reports();
        if self.listens() {
            for report in reports {
                self.emit_report(report);
            }
        }
    }

    #[inline(never)]
    fn emit_report(&self, report: Checked) {
        let Checked {
            subject, checks, ..
        } = report;
        let event = Object::new()
            .with("type", "checked")
            .with("subject", subject);
        self.emit(event.with("checks", checks));
    }

    /// Tells the program what its operator should know.
    pub(super) fn emit_alerts(&self, shared: &RefCell<impl Reports>) {
        let alerts = shared.borrow_mut().take_alerts();
        if self.listens() {
            for alert in &alerts {
                self.emit_alert(alert);
            }
        }
    }

    #[inline(never)]
    fn emit_alert(&self, alert: &Error) {
        let event = Object::new()
            .with("type", "alert")
            .with("code", alert.code())
            .with_some("phase", alert.phase().map(Phase::name))
            .with("hint", alert.hint());
        self.emit(event);
    }

    /// Whether anybody wants to be told.
    pub(super) fn listens(&self) -> bool {
        self.on_event.is_some()
    }

    /// Tells the program. What its listener throws is its own affair.
    #[inline(never)]
    pub(super) fn emit(&self, event: Object) {
        if let Some(listener) = &self.on_event {
            let _ = listener.call1(&JsValue::UNDEFINED, &Value::from(event).to_json().into());
        }
    }
}
