//! Sends a request with the runtime's `fetch`, or with one that the program gave.

use std::cell::{Cell, RefCell};

use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, AbortSignal, ReferrerPolicy, RequestCache, RequestCredentials, RequestInit,
    RequestRedirect,
};

use crate::http::{HttpRequest, HttpResponse, Unreachable};
use crate::time::Lifetime;
use crate::wasm::ambient;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch, catch)]
    fn global_fetch(url: &str, init: &RequestInit) -> Result<Promise, JsValue>;

    /// What a fetch answers. web-sys' `Response` is not used here: a fetch that a program gave may
    /// answer with an object of another realm or with no response at all, and every access to it
    /// may throw.
    type Answer;
    #[wasm_bindgen(method, getter, catch)]
    fn status(this: &Answer) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, getter, catch, js_name = "type")]
    fn kind(this: &Answer) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, getter, catch)]
    fn redirected(this: &Answer) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, getter, catch)]
    fn headers(this: &Answer) -> Result<AnswerHeaders, JsValue>;
    #[wasm_bindgen(method, getter, catch)]
    fn body(this: &Answer) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = arrayBuffer)]
    fn array_buffer(this: &Answer) -> Result<JsValue, JsValue>;

    type AnswerHeaders;
    #[wasm_bindgen(method, catch)]
    fn get(this: &AnswerHeaders, name: &str) -> Result<JsValue, JsValue>;

    type Body;
    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn get_reader(this: &Body) -> Result<BodyReader, JsValue>;

    type BodyReader;
    #[wasm_bindgen(method, catch)]
    fn read(this: &BodyReader) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn cancel(this: &BodyReader) -> Result<JsValue, JsValue>;
}

/// Sends a request and reads its answer within its time and up to its size.
pub(super) async fn send(
    fetch: Option<&Function>,
    request: &HttpRequest,
) -> Result<HttpResponse, Unreachable> {
    let given_up = AbortController::new().map_err(|_| Unreachable::Network)?;
    let result = ask(fetch, request, &given_up.signal()).await;
    if result.is_err() {
        // What nobody reads any more holds no connection.
        given_up.abort();
    }
    result
}

async fn ask(
    fetch: Option<&Function>,
    request: &HttpRequest,
    signal: &AbortSignal,
) -> Result<HttpResponse, Unreachable> {
    let deadline = Deadline::after(request.timeout);
    let init = init(request, signal);
    let is_late = |by| ambient::now().map_or(true, |now| now > by);
    if request.send_by.is_some_and(is_late) {
        return Err(Unreachable::Late);
    }
    let sent = match fetch {
        Some(fetch) => fetch.call2(&JsValue::UNDEFINED, &request.url.as_str().into(), &init),
        None => global_fetch(request.url.as_str(), &init).map(JsValue::from),
    };
    let answer: Answer = deadline.wait(sent).await?.unchecked_into();
    read(request, &answer, &deadline)
        .await
        .map_err(|_| deadline.cause())?
}

fn init(request: &HttpRequest, signal: &AbortSignal) -> RequestInit {
    let init = RequestInit::new();
    init.set_method(request.method.name());
    // "error" would tell a redirect from a broken network by nothing; Workers do not know it.
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(signal));
    if ambient::request_knows("credentials") {
        init.set_credentials(RequestCredentials::Omit);
    }
    if ambient::request_knows("cache") {
        init.set_cache(RequestCache::NoStore);
    }
    if ambient::request_knows("referrerPolicy") {
        init.set_referrer_policy(ReferrerPolicy::NoReferrer);
    }
    let headers = js_sys::Object::new();
    let set = |name: &str, value: &str| {
        // Setting a member of an object that was just made cannot fail.
        let _ = Reflect::set(&headers, &name.into(), &value.into());
    };
    set("accept", request.accept);
    if let Some(value) = &request.authorization {
        // EXPOSE: it is sent to the endpoint that it was made for.
        set("authorization", value.expose());
    }
    if let Some(proof) = &request.dpop {
        // EXPOSE: it is good for this request alone.
        set("dpop", proof.expose());
    }
    #[cfg(feature = "backend")]
    if let Some(shown) = &request.attestation {
        // EXPOSE: they are for the provider that the proof names.
        set("oauth-client-attestation", shown.attestation.expose());
        set("oauth-client-attestation-pop", shown.proof.expose());
    }
    if let Some(body) = &request.body {
        #[cfg(feature = "backend")]
        set("content-type", request.media_type());
        #[cfg(not(feature = "backend"))]
        set("content-type", "application/x-www-form-urlencoded");
        // EXPOSE: it is sent to the endpoint that it was made for.
        init.set_body(&body.expose().into());
    }
    init.set_headers(&headers);
    init
}

/// Outer errors are the host's, to be explained by the deadline; inner ones are explained.
async fn read(
    request: &HttpRequest,
    answer: &Answer,
    deadline: &Deadline,
) -> Result<Result<HttpResponse, Unreachable>, JsValue> {
    if !answer.is_object() {
        return Ok(Err(Unreachable::Network));
    }
    // With "manual" a page sees an opaque answer; a fetch that followed all the same says so.
    let is_opaque = answer.kind()?.as_string().as_deref() == Some("opaqueredirect");
    if is_opaque || answer.redirected()?.is_truthy() {
        return Ok(Err(Unreachable::Redirected));
    }
    let status = answer
        .status()?
        .as_f64()
        .filter(|status| (200.0..=599.0).contains(status));
    let Some(status) = status else {
        return Ok(Err(Unreachable::Network));
    };
    // Within the range that was just checked nothing is lost.
    #[allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let status = status as u16;
    let mut headers = Vec::new();
    for name in HttpResponse::HEADERS {
        if let Some(value) = answer.headers()?.get(name)?.as_string() {
            headers.push((*name, value));
        }
    }
    let body = answer.body()?;
    let body = if body.is_object() {
        read_stream(&body.unchecked_into(), request.max_body, deadline).await?
    } else {
        // No stream: a runtime without streams, or an answer without a body.
        let buffer = deadline
            .wait(answer.array_buffer())
            .await
            .map_err(|_| JsValue::NULL)?;
        let bytes = Uint8Array::new(&buffer);
        if usize::try_from(bytes.length()).is_ok_and(|length| length <= request.max_body) {
            Ok(bytes.to_vec())
        } else {
            Err(Unreachable::TooLarge)
        }
    };
    Ok(body.map(|body| request.answer(status, headers, body)))
}

/// Reads until the end or the limit, whichever comes first.
async fn read_stream(
    body: &Body,
    max_bytes: usize,
    deadline: &Deadline,
) -> Result<Result<Vec<u8>, Unreachable>, JsValue> {
    let reader = body.get_reader()?;
    let mut bytes = Vec::new();
    loop {
        let chunk = deadline
            .wait(reader.read())
            .await
            .map_err(|_| JsValue::NULL)?;
        if Reflect::get(&chunk, &"done".into())?.is_truthy() {
            return Ok(Ok(bytes));
        }
        let chunk: Uint8Array = Reflect::get(&chunk, &"value".into())?.dyn_into()?;
        let length = usize::try_from(chunk.length()).unwrap_or(usize::MAX);
        if bytes.len().saturating_add(length) > max_bytes {
            // Whoever sends too much need not be heard to the end.
            let cancelled = reader.cancel().unwrap_or_default();
            // Whoever waits hears of its failure, and does nothing: unheard it would end a Node process.
            drop(JsFuture::from(Promise::race(&Array::of1(&cancelled))));
            return Ok(Err(Unreachable::TooLarge));
        }
        bytes.extend(chunk.to_vec());
    }
}

/// A time limit, in which no time is counted that the program slept through: a page that was frozen, or a
/// machine that was shut, finds an answer that came meanwhile instead of giving it up. What is
/// thrown away may be the only copy of a new refresh token.
pub(super) struct Deadline {
    /// How many milliseconds it is from one look to the next.
    pause: u32,
    timer: RefCell<Timer>,
    /// How many milliseconds are left.
    left: Cell<f64>,
    /// Once: timers that are always late are those of a page that nobody looks at, which is awake.
    has_slept: Cell<bool>,
}

/// How often somebody looks until the time is over.
const LOOKS: u32 = 4;

impl Deadline {
    pub(super) fn after(time: Lifetime) -> Self {
        let pause = u32::try_from(time.millis()).unwrap_or(u32::MAX) / LOOKS;
        Self {
            pause,
            timer: RefCell::new(Timer::set(pause)),
            left: Cell::new(f64::from(pause) * f64::from(LOOKS)),
            has_slept: Cell::default(),
        }
    }

    /// Waits for what a call returned, also for what listens to no signal.
    pub(super) async fn wait(
        &self,
        returned: Result<JsValue, JsValue>,
    ) -> Result<JsValue, Unreachable> {
        // Once: what is merely like a promise may do its work each time that it is asked.
        let returned = Promise::race(&Array::of1(&returned.map_err(|_| self.cause())?));
        while self.left.get() > 0.0 {
            let first = Promise::race(&Array::of2(&returned, &self.timer.borrow().over));
            let first = JsFuture::from(first).await;
            if !self.timer.borrow().signal.aborted() {
                return first.map_err(|_| Unreachable::Network);
            }
            let pause = f64::from(self.pause);
            let took = ambient::ticks() - self.timer.borrow().began;
            let was_asleep = took > 1.5 * pause && !self.has_slept.replace(true);
            let counts = if was_asleep { pause } else { pause.max(took) };
            self.left.set(self.left.get() - counts);
            if self.left.get() > 0.0 {
                self.timer.replace(Timer::set(self.pause));
            }
        }
        Err(Unreachable::Timeout)
    }

    /// Why a wait failed.
    fn cause(&self) -> Unreachable {
        match self.left.get() > 0.0 {
            true => Unreachable::Network,
            false => Unreachable::Timeout,
        }
    }
}

struct Timer {
    signal: AbortSignal,
    /// It is resolved and never rejected: an unhandled rejection ends a Node process.
    over: Promise,
    began: f64,
}

impl Timer {
    fn set(pause: u32) -> Self {
        let signal = AbortSignal::timeout_with_u32(pause);
        let over = Promise::new(&mut |resolve, _| signal.set_onabort(Some(&resolve)));
        Self {
            signal,
            over,
            began: ambient::ticks(),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.signal.set_onabort(None);
    }
}
