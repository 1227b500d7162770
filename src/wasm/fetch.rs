//! Sends a request with the runtime's `fetch`, or with one that the program gave.

use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortSignal, ReferrerPolicy, RequestCache, RequestCredentials, RequestInit, RequestRedirect,
};

use crate::http::{HttpRequest, HttpResponse, Unreachable};
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
    let millis = u32::try_from(request.timeout.millis()).unwrap_or(u32::MAX);
    let deadline = Deadline::after(millis);
    let init = init(request, &deadline.signal);
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
            let _ = reader.cancel();
            return Ok(Err(Unreachable::TooLarge));
        }
        bytes.extend(chunk.to_vec());
    }
}

/// A time limit that also ends waits that do not listen to its signal.
pub(super) struct Deadline {
    signal: AbortSignal,
    over: Promise,
}

impl Deadline {
    pub(super) fn after(millis: u32) -> Self {
        let signal = AbortSignal::timeout_with_u32(millis);
        // It is resolved and never rejected: nobody may be waiting when the time is over, and an
        // unhandled rejection ends a Node process.
        let over = Promise::new(&mut |resolve, _| signal.set_onabort(Some(&resolve)));
        Self { signal, over }
    }

    /// Waits for what a call returned.
    pub(super) async fn wait(
        &self,
        returned: Result<JsValue, JsValue>,
    ) -> Result<JsValue, Unreachable> {
        let returned = returned.map_err(|_| self.cause())?;
        let first = Promise::race(&Array::of2(&returned, &self.over));
        match JsFuture::from(first).await {
            Ok(value) if !self.signal.aborted() => Ok(value),
            _ => Err(self.cause()),
        }
    }

    /// Why a wait failed.
    fn cause(&self) -> Unreachable {
        if self.signal.aborted() {
            Unreachable::Timeout
        } else {
            Unreachable::Network
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.signal.set_onabort(None);
    }
}
