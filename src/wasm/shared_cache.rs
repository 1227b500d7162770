//! Keys that isolates or servers share, in a store that the program gave.

use js_sys::{Function, JsString};
use wasm_bindgen::prelude::*;

use crate::http::{HttpResponse, Unreachable};
use crate::issuer::SharedKeys;
use crate::time::Lifetime;
use crate::wasm::fetch::Deadline;

/// How long a request waits for a look into the cache. Whoever takes longer is no help: the provider
/// answers as fast.
const LOAD_TIME: Lifetime = Lifetime::from_seconds(1);
/// How long a put may take. No request waits for it.
const PUT_TIME: Lifetime = Lifetime::from_seconds(5);

/// What reads and writes it.
#[derive(Clone)]
pub(super) struct SharedCache {
    /// `(key) => string | null | undefined`, or a promise of it.
    get: Function,
    /// `(key, text, seconds) => void`, or a promise of it.
    put: Function,
}

impl SharedCache {
    /// The status of an answer with a text; other answers have none.
    pub(super) const FOUND: u16 = 200;

    pub(super) fn new(get: Function, put: Function) -> Self {
        Self { get, put }
    }

    /// What is there under a name, as an answer, so that it can be shared like one.
    pub(super) async fn load(&self, key: &str) -> Result<HttpResponse, Unreachable> {
        let deadline = Deadline::after(LOAD_TIME);
        let found = self.get.call1(&JsValue::UNDEFINED, &key.into());
        let found = deadline.wait(found).await?;
        if found.is_null_or_undefined() {
            return Ok(HttpResponse::new(404, Vec::new(), Vec::new()));
        }
        // What is no text is no entry, and read as one that is empty.
        let text = found.dyn_into::<JsString>().unwrap_or_default();
        // Measured before it is brought here: a text has at least as many bytes as units.
        if usize::try_from(text.length()).is_ok_and(|length| length <= SharedKeys::MAX_BYTES) {
            let body = String::from(text).into_bytes();
            Ok(HttpResponse::new(Self::FOUND, Vec::new(), body))
        } else {
            Err(Unreachable::TooLarge)
        }
    }

    /// Puts an entry; whether that is done.
    pub(super) async fn put(&self, keys: &SharedKeys) -> bool {
        let deadline = Deadline::after(PUT_TIME);
        let seconds = keys.lifetime.whole_seconds();
        let put = self.put.call3(
            &JsValue::UNDEFINED,
            &keys.key.as_str().into(),
            &keys.text.as_str().into(),
            &seconds.into(),
        );
        deadline.wait(put).await.is_ok()
    }
}
