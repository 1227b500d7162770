//! Where pending logins are kept: an object that the program gives, such as one over sessionStorage.

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::client::PendingLogins;
use crate::error::{Error, ErrorKind};

#[wasm_bindgen]
extern "C" {
    /// `get`, `set` and `remove` by key; they may answer at once or with a promise.
    #[wasm_bindgen(
        typescript_type = "{ get(key: string): unknown; set(key: string, value: string): unknown }"
    )]
    pub type LoginStore;
    #[wasm_bindgen(method, catch)]
    fn get(this: &LoginStore, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn set(this: &LoginStore, key: &str, value: &str) -> Result<JsValue, JsValue>;
}

/// Reads the logins that are kept under a key.
///
/// # Errors
///
/// `storage_unavailable` when the store throws or answers with something else than text.
pub(super) async fn load(store: &LoginStore, key: &str) -> Result<PendingLogins, Error> {
    let value = settle(store.get(key)).await?;
    match value.as_string() {
        Some(text) => Ok(PendingLogins::read(Some(&text))),
        None if value.is_null() || value.is_undefined() => Ok(PendingLogins::default()),
        None => Err(ErrorKind::StorageUnavailable.into()),
    }
}

/// Keeps logins under a key.
///
/// # Errors
///
/// `storage_unavailable` when the store throws.
pub(super) async fn save(
    store: &LoginStore,
    key: &str,
    logins: &PendingLogins,
) -> Result<(), Error> {
    settle(store.set(key, &logins.to_json())).await.map(|_| ())
}

async fn settle(returned: Result<JsValue, JsValue>) -> Result<JsValue, Error> {
    let unavailable = |_| Error::from(ErrorKind::StorageUnavailable);
    JsFuture::from(Promise::resolve(&returned.map_err(unavailable)?))
        .await
        .map_err(unavailable)
}
