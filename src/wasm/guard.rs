//! The guard for JavaScript.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;

use crate::error::{Error, ErrorKind};
use crate::flow::Event;
use crate::guard::{BearerToken, Check, Guard, Need, Principal, Recall, RequestFacts, Verdict};
use crate::http::json::{self, Object, Value};
use crate::jose::{KeyName, SignatureCheck};
use crate::options::invalid;
use crate::time::{Lifetime, Timestamp};
use crate::wasm::drive::{Host, Progress, Wait, promise};
use crate::wasm::error::to_js;
use crate::wasm::private_key::Given;
use crate::wasm::shared_cache::SharedCache;
use crate::wasm::subtle::{Asked, import_failure};
use crate::wasm::{ambient, options};

/// A guard; every method may be called while another one is under way.
#[wasm_bindgen(js_name = Guard)]
pub struct JsGuard(Rc<State>);

struct State {
    guard: RefCell<Guard>,
    host: Host,
    waiting: Waiting,
}

/// Checks that wait for nothing but the host's word about a signature, or for its key. JavaScript waits for
/// that itself and goes on with a number: a future of ours would cost more than all the rest of a check.
#[derive(Default)]
struct Waiting {
    /// In the order of their numbers.
    checks: RefCell<Vec<(u32, Timestamp, Box<Pending>)>>,
    /// The number of the latest one.
    latest: Cell<u32>,
    /// The one that the last call left, until it is asked for; 0 is none.
    left: Cell<u32>,
}

/// A check, and how its outcome is written down.
struct Pending {
    flow: Check,
    tell: Tell,
    /// What is to be asked once its key was imported.
    importing: Option<SignatureCheck>,
}

impl Waiting {
    /// From so many on those are dropped that wait too long: what asked for them is gone.
    const MANY: usize = 256;

    /// No host thinks about a signature for longer.
    const LONGEST: Lifetime = Lifetime::from_seconds(60);

    fn put(&self, pending: Pending, now: Timestamp) {
        let mut checks = self.checks.borrow_mut();
        if checks.len() >= Self::MANY {
            checks.retain(|(_, since, _)| now <= since.after(Self::LONGEST));
        }
        // After four thousand million checks the first numbers are free again, but for zero.
        let number = self.latest.get().checked_add(1).unwrap_or(1);
        self.latest.set(number);
        self.left.set(number);
        checks.push((number, now, Box::new(pending)));
    }

    fn take(&self, number: u32) -> Option<Pending> {
        let mut checks = self.checks.borrow_mut();
        let place = checks.iter().position(|(known, ..)| *known == number)?;
        Some(*checks.remove(place).2)
    }
}

#[wasm_bindgen(js_class = Guard)]
impl JsGuard {
    /// A guard from its options as JSON text and, where they are given, a fetch and a listener for
    /// events as JSON text.
    ///
    /// # Errors
    ///
    /// Those of [`Guard::from_options`].
    #[wasm_bindgen(constructor)]
    pub fn new(
        options_json: &str,
        fetch: Option<Function>,
        on_event: Option<Function>,
    ) -> Result<Self, JsValue> {
        Self::make(&options(options_json)?, fetch, on_event)
    }

    /// As the constructor, from its options as an object. Leave out what is not given.
    ///
    /// # Errors
    ///
    /// Those of [`Guard::from_options`].
    #[cfg(feature = "serde")]
    #[wasm_bindgen(js_name = fromObject)]
    pub fn from_object(
        options: JsValue,
        fetch: Option<Function>,
        on_event: Option<Function>,
    ) -> Result<Self, JsValue> {
        Self::make(&crate::wasm::options_of(options)?, fetch, on_event)
    }

    /// Has this function remember used proofs: `(key, seconds) => boolean`, true for a key that is
    /// new, or a promise of it.
    #[wasm_bindgen(js_name = setReplayStore)]
    pub fn set_replay_store(&self, ask: Function) {
        self.0.guard.borrow_mut().remember_proofs_elsewhere();
        self.0.host.set_replay_store(ask);
    }

    /// Gives the key with which the provider is asked about tokens (`private_key_jwt`): a CryptoKey, a
    /// JWK as an object, or PKCS #8 in PEM, with its algorithm and its `kid` where it does not have
    /// them itself.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `key` or `alg`.
    #[wasm_bindgen(js_name = setKey)]
    pub fn set_key(
        &self,
        key: JsValue,
        alg: Option<String>,
        kid: Option<String>,
    ) -> Result<(), JsValue> {
        if key.is_undefined() {
            return match self.0.guard.borrow().lacks_key() {
                true => Err(to_js(&invalid("key"))),
                false => Ok(()),
            };
        }
        self.0
            .hold_key(key, alg, kid)
            .map_err(|error| to_js(&error))
    }

    /// Has these functions share keys with other guards: `(key) => string | null | undefined` and
    /// `(key, text, seconds) => void`, or promises of it.
    #[wasm_bindgen(js_name = setSharedCache)]
    pub fn set_shared_cache(&self, get: Function, put: Function) {
        self.0.guard.borrow_mut().share_keys();
        self.0.host.set_shared_cache(SharedCache::new(get, put));
    }

    /// Checks the `Authorization` header of a request, at once where nothing has to be waited for: the
    /// lines of an acceptance, see below, or one line with a refusal. What else the request shows,
    /// `{ method, url, dpop?, certificateSha256? }`, comes as JSON text where there is any.
    ///
    /// An acceptance is five lines of JSON: the four numbers of a verdict or nothing; a nonce for the
    /// client or nothing; `{ checks }` with what the principal has in common with others; its names
    /// and end; its claims, to the end of the text, which may itself have lines. The fourth is end,
    /// client and subject with tabulators between them, where all are there and need no escape.
    ///
    /// # Errors
    ///
    /// `config_invalid` for a need that cannot be read.
    #[wasm_bindgen(unchecked_return_type = "string | Promise<unknown>")]
    pub fn check(
        &self,
        authorization: Option<Vec<u8>>,
        need_json: Option<String>,
        shown_json: Option<String>,
    ) -> Result<JsValue, JsValue> {
        let need = need_of(need_json)?;
        self.0.prepare().map_err(|error| to_js(&error))?;
        let facts = RequestFacts::read(authorization.map(text).as_deref());
        let facts = match shown_json {
            Some(text) => shown(facts, &text)?,
            None => facts,
        };
        self.decide(facts, &need, |guard, flow, result| {
            Ok(match result {
                Ok(principal) => accepted(flow, &principal),
                Err(error) => flow.refusal(guard, error).to_json(),
            })
        })
    }

    /// Checks a token, which comes as bytes because these cross faster than text: the lines of an
    /// acceptance as [`Self::check`] answers them.
    ///
    /// # Errors
    ///
    /// Those of [`Check`], and `config_invalid` for a need that cannot be read.
    #[wasm_bindgen(unchecked_return_type = "string | Promise<unknown>")]
    pub fn verify(&self, token: Vec<u8>, need_json: Option<String>) -> Result<JsValue, JsValue> {
        let need = need_of(need_json)?;
        let token = BearerToken::from(text(token));
        self.decide(Ok(token).into(), &need, |_, flow, result| {
            result.map(|principal| accepted(flow, &principal))
        })
    }

    /// After [`Self::check`], [`Self::verify`], [`Self::resume`] or [`Self::resume_with`] answered a promise: the number of
    /// the check that waits for it, which [`Self::resume`] goes on with; 0 where the promise is of the
    /// answer itself.
    pub fn waiting(&self) -> u32 {
        self.0.waiting.left.take()
    }

    /// Goes on with a check that waits, with what the host says of its signature. Answers as the call
    /// did that began it.
    ///
    /// # Errors
    ///
    /// As there, and `flow_misused` where no such check waits.
    #[wasm_bindgen(unchecked_return_type = "string | Promise<unknown>")]
    pub fn resume(&self, number: u32, fits: bool) -> Result<JsValue, JsValue> {
        let Some(mut pending) = self.0.waiting.take(number) else {
            return Err(to_js(&ErrorKind::FlowMisused.into()));
        };
        // Who waits for a key has no signature yet that fits.
        let fits = fits && pending.importing.take().is_none();
        self.go_on_with(pending, Event::Signature(fits))
    }

    /// As [`Self::resume`], where the promise was settled with something else than a boolean: the key that
    /// the host imported, or what it was rejected with.
    ///
    /// # Errors
    ///
    /// As there.
    #[wasm_bindgen(js_name = resumeWith, unchecked_return_type = "string | Promise<unknown>")]
    pub fn resume_with(
        &self,
        number: u32,
        is_rejected: bool,
        value: JsValue,
    ) -> Result<JsValue, JsValue> {
        let Some(mut pending) = self.0.waiting.take(number) else {
            return Err(to_js(&ErrorKind::FlowMisused.into()));
        };
        match pending.importing.take() {
            // Some hosts reject where others say no.
            None => self.go_on_with(pending, Event::Signature(false)),
            Some(check) if is_rejected => {
                let error = import_failure(&value, &check);
                self.go_on_with(pending, Event::CheckFailed(error))
            }
            Some(check) => {
                self.0.host.keep_key(&check, value);
                self.go_on(pending, Ok(Progress::Waits(Wait::Check(check))))
            }
        }
    }

    /// Whether a verdict still holds, from its four numbers as they came.
    pub fn recall(&self, from: f64, until: f64, place: u32, generation: u32) -> bool {
        // They were written from integers that a double holds exactly; others saturate.
        #[allow(clippy::as_conversions, clippy::cast_possible_truncation)]
        let verdict = Verdict::from_numbers([
            from as i64,
            until as i64,
            i64::from(place),
            i64::from(generation),
        ]);
        let (Some(verdict), Ok(now)) = (verdict, ambient::now()) else {
            return false;
        };
        let holds = self.0.guard.borrow_mut().recall(verdict, now) == Recall::Holds;
        if holds && self.0.host.listens() {
            let checks = vec!["verdict", "exp", "keys"];
            let event = Object::new().with("type", "decided").with("accepted", true);
            self.0.host.emit(event.with("checks", checks));
        }
        holds
    }

    /// Takes an acceptance back, because the program's predicate did not say yes: the refusal of a
    /// request with this need and this `Authorization` header as JSON text.
    ///
    /// # Errors
    ///
    /// `predicate_refused` without a need, for a token that came alone.
    pub fn withdraw(
        &self,
        need_json: Option<String>,
        authorization: Option<String>,
    ) -> Result<String, JsValue> {
        let need = need_json.as_deref().map(need).transpose()?;
        let error = self.0.guard.borrow_mut().withdraw();
        self.0.report(Err(&error));
        let Some(need) = need else {
            return Err(to_js(&error));
        };
        let guard = self.0.guard.borrow();
        let facts = RequestFacts::read(authorization.as_deref());
        Ok(Check::new(&guard, facts, &need)
            .refusal(&guard, error)
            .to_json())
    }

    /// The answer to a request for the metadata of this API, `{ status, headers, body }` as JSON text;
    /// nothing when the request is for something else.
    pub fn metadata(&self, method: &str, url: &str) -> Option<String> {
        let guard = self.0.guard.borrow();
        let resource = guard.config().resource.as_ref()?;
        Some(resource.answer(method, url)?.to_json())
    }

    /// Renews keys that the last decision found to be ageing, and shares those that were fetched;
    /// nothing where there are none. What
    /// comes back is never rejected, and nobody has to await it.
    #[wasm_bindgen(unchecked_return_type = "Promise<void> | undefined")]
    pub fn renew(&self) -> Option<Promise> {
        if !self.0.guard.borrow().wants_renewal() {
            return None;
        }
        let now = ambient::now().ok()?;
        let renewal = self.0.guard.borrow_mut().take_renewal(now);
        if renewal.is_none() && !self.0.guard.borrow().wants_renewal() {
            return None;
        }
        let state = Rc::clone(&self.0);
        Some(promise(async move {
            if let Some(mut renewal) = renewal {
                let begun = state.host.begin(&state.guard, &mut renewal, Event::Start);
                // A failure is told by the event of its request; the keys that are there serve on.
                if let Ok(progress) = begun {
                    let _ = state
                        .host
                        .finish(&state.guard, &mut renewal, progress)
                        .await;
                }
            }
            state.share_keys().await;
            Ok(JsValue::UNDEFINED)
        }))
    }

    /// The headers of a request on which its response depends, as `Vary` names them.
    pub fn vary(&self) -> String {
        let guard = self.0.guard.borrow();
        guard.config().dpop.vary().into()
    }

    /// How many verdicts may be kept, and in how many bytes.
    #[wasm_bindgen(js_name = cacheLimits)]
    pub fn cache_limits(&self) -> Vec<u32> {
        let limits = self.0.guard.borrow().config().cache;
        vec![limits.entries, limits.bytes]
    }

    /// The outcomes so far, as JSON text.
    pub fn tally(&self) -> String {
        self.0.guard.borrow().tally_json()
    }
}

/// Writes down what came of a check.
type Tell = fn(&Guard, &Check, Result<Principal, Error>) -> Result<String, Error>;

impl JsGuard {
    fn decide(&self, request: RequestFacts, need: &Need, tell: Tell) -> Result<JsValue, JsValue> {
        let state = &*self.0;
        let mut flow = Check::new(&state.guard.borrow(), request, need);
        let progress = state.host.begin(&state.guard, &mut flow, Event::Start);
        let pending = Pending {
            flow,
            tell,
            importing: None,
        };
        self.go_on(pending, progress)
    }

    fn go_on_with(&self, mut pending: Pending, event: Event) -> Result<JsValue, JsValue> {
        let (host, guard) = (&self.0.host, &self.0.guard);
        let progress = host.begin(guard, &mut pending.flow, event);
        self.go_on(pending, progress)
    }

    /// The outcome of a check that came this far: at once, or when what it waits for is there.
    fn go_on(
        &self,
        mut pending: Pending,
        mut progress: Result<Progress<Principal>, Error>,
    ) -> Result<JsValue, JsValue> {
        let state = &*self.0;
        loop {
            let wait = match progress {
                Ok(Progress::Done(principal)) => return pending.told(state, Ok(principal)),
                Err(error) => return pending.told(state, Err(error)),
                Ok(Progress::Waits(wait)) => wait,
            };
            let Wait::Check(check) = wait else {
                return Ok(self.finish(pending, wait).into());
            };
            let asked = state.host.ask_of_signature(&check);
            match asked.and_then(|asked| Ok((asked, ambient::now()?))) {
                Ok((asked, now)) => {
                    let promise = match asked {
                        Asked::Signature(promise) => promise,
                        Asked::Key(promise) => {
                            pending.importing = Some(check);
                            promise
                        }
                    };
                    state.waiting.put(pending, now);
                    return Ok(promise.into());
                }
                Err(error) => {
                    let event = Event::CheckFailed(error);
                    progress = state.host.begin(&state.guard, &mut pending.flow, event);
                }
            }
        }
    }

    /// Waits for what JavaScript cannot wait for itself.
    #[inline(never)]
    fn finish(&self, mut pending: Pending, wait: Wait) -> Promise {
        self.0.waiting.left.set(0);
        let state = Rc::clone(&self.0);
        promise(async move {
            let (flow, progress) = (&mut pending.flow, Progress::Waits(wait));
            let result = state.host.finish(&state.guard, flow, progress).await;
            pending.told(&state, result)
        })
    }

    fn make(
        options: &Object,
        fetch: Option<Function>,
        on_event: Option<Function>,
    ) -> Result<Self, JsValue> {
        let guard = Guard::from_options(options)
            .map_err(|error| to_js(&error))?
            .spread_by(ambient::spread());
        let guard = match ambient::shares_promises() {
            true => guard.sharing_answers(),
            false => guard,
        };
        Ok(Self(Rc::new(State {
            guard: RefCell::new(guard),
            host: Host::new(fetch, on_event),
            waiting: Waiting::default(),
        })))
    }
}

impl Pending {
    fn told(&self, state: &State, result: Result<Principal, Error>) -> Result<JsValue, JsValue> {
        state.report(result.as_ref());
        (self.tell)(&state.guard.borrow(), &self.flow, result)
            .map(JsValue::from)
            .map_err(|error| to_js(&error))
    }
}

/// The lines of an acceptance, as [`JsGuard::check`] describes them: so nobody has to read more of
/// it than is asked for, and what many have in common is read once.
fn accepted(flow: &Check, principal: &Principal) -> String {
    let mut text = String::with_capacity(1024);
    if let Some(verdict) = flow.verdict() {
        for (number, before) in verdict.to_numbers().into_iter().zip(["[", ",", ",", ","]) {
            put(before, &mut text);
            json::write_integer(number, &mut text);
        }
        put("]", &mut text);
    }
    put("\n", &mut text);
    if let Some(nonce) = flow.dpop_nonce() {
        json::write_string(nonce, &mut text);
    }
    put("\n{\"checks\":", &mut text);
    // Names of ours, which need no escape.
    let mut before = "[\"";
    for check in principal.checked() {
        put(before, &mut text);
        put(check, &mut text);
        before = "\",\"";
    }
    put("\"],", &mut text);
    principal.write_shared(&mut text);
    put("}\n", &mut text);
    principal.write_names_line(&mut text);
    put("\n", &mut text);
    principal.claims().write(&mut text);
    text
}

/// Each of a dozen would else be a copy of the same code.
#[inline(never)]
fn put(piece: &str, text: &mut String) {
    text.push_str(piece);
}

/// What came as bytes because these cross faster than text. Other bytes are no header and no token;
/// the check says so.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

/// What a request shows besides its `Authorization` header.
#[inline(never)]
fn shown(facts: RequestFacts, json: &str) -> Result<RequestFacts, JsValue> {
    let object = options(json)?;
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let mut facts = facts.at(
        text("method").unwrap_or_default(),
        text("url").unwrap_or_default(),
    );
    if let Some(header) = text("dpop") {
        facts = facts.with_dpop(header);
    }
    if let Some(certificate) = object.get("certificateSha256") {
        // What is no text is no hash, and refused as one.
        facts = facts.with_certificate_sha256(certificate.as_str().unwrap_or("?"));
    }
    Ok(facts)
}

/// What a request needs; nothing beyond a valid token where nothing is said.
fn need_of(text: Option<String>) -> Result<Need, JsValue> {
    text.as_deref().map_or_else(|| Ok(Need::nothing()), need)
}

fn need(text: &str) -> Result<Need, JsValue> {
    Need::from_options(&options(text)?).map_err(|error| to_js(&error))
}

impl State {
    /// Draws the key of nonces where one is needed: not earlier, because Workers have no randomness
    /// before their first request.
    fn prepare(&self) -> Result<(), Error> {
        if self.guard.borrow().lacks_nonce_key() {
            self.guard
                .borrow_mut()
                .give_nonce_key(ambient::random_key()?);
        }
        if self.guard.borrow().lacks_seed() {
            self.guard.borrow_mut().give_seed(ambient::random_key()?);
        }
        Ok(())
    }

    #[inline(never)]
    fn hold_key(
        &self,
        key: JsValue,
        alg: Option<String>,
        kid: Option<String>,
    ) -> Result<(), Error> {
        let given = Given::read(key, alg.as_deref(), kid)?;
        let mut guard = self.guard.borrow_mut();
        guard.set_key(given.algorithm(), given.key_id())?;
        let keys = &self.host.signing_keys;
        keys.hold(KeyName::ClientAssertion, given.into_held());
        Ok(())
    }

    /// Puts keys that were fetched where other guards find them.
    async fn share_keys(&self) {
        let fetched = self.guard.borrow_mut().take_shared_keys();
        for keys in fetched {
            let done = self.host.put(&keys).await;
            if let Ok(now) = ambient::now() {
                self.guard.borrow_mut().note_put(&keys, done, now);
            }
        }
        self.host.emit_alerts(&self.guard);
    }

    /// Tells the program what was decided.
    fn report(&self, result: Result<&Principal, &Error>) {
        if self.host.listens() {
            let event = Object::new().with("type", "decided");
            self.host.emit(match result {
                Ok(principal) => event
                    .with("accepted", true)
                    .with("checks", principal.checked().to_vec()),
                Err(error) => event.with("accepted", false).with("code", error.code()),
            });
        }
    }
}
