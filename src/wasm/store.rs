//! Where pending logins and sessions are kept: objects that the program gives, such as those over
//! sessionStorage and localStorage.

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::error::{Error, ErrorKind};

#[wasm_bindgen]
extern "C" {
    /// `get`, `set` and `remove` by key; they may answer at once or with a promise. `expected` is what
    /// must still be there; a change of something else is not made, and answers `false`.
    #[wasm_bindgen(
        typescript_type = "{ get(key: string): unknown; set(key: string, value: string, expected?: string | null): unknown; remove?(key: string, expected?: string | null): unknown }"
    )]
    #[derive(Clone)]
    pub type JsStore;
    #[wasm_bindgen(method, catch)]
    fn get(this: &JsStore, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn set(this: &JsStore, key: &str, value: &str, expected: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn remove(this: &JsStore, key: &str, expected: &JsValue) -> Result<JsValue, JsValue>;
}

/// One text of a store.
pub(super) struct Place {
    store: JsStore,
    key: String,
}

impl Place {
    pub(super) fn new(store: JsStore, key: String) -> Self {
        Self { store, key }
    }

    /// The text, if there is one.
    ///
    /// # Errors
    ///
    /// `storage_unavailable` when the store throws or answers with something else than text.
    pub(super) async fn read(&self) -> Result<Option<String>, Error> {
        let value = settle(self.store.get(&self.key)).await?;
        match value.as_string() {
            // What is empty was written over what could not be removed.
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None if value.is_null() || value.is_undefined() => Ok(None),
            None => Err(ErrorKind::StorageUnavailable.into()),
        }
    }

    /// Keeps a text.
    ///
    /// # Errors
    ///
    /// `storage_unavailable` when the store throws.
    pub(super) async fn write(&self, text: &str) -> Result<(), Error> {
        self.change(Some(text), &JsValue::UNDEFINED)
            .await
            .map(|_| ())
    }

    /// Keeps a text, or removes it, and says whether it did: not when there is something else than what
    /// is expected; `undefined` is whatever there is. What cannot be removed is written over with
    /// nothing.
    ///
    /// # Errors
    ///
    /// `storage_unavailable` when the store throws.
    pub(super) async fn change(
        &self,
        text: Option<&str>,
        expected: &JsValue,
    ) -> Result<bool, Error> {
        let removed = match text {
            None => settle(self.store.remove(&self.key, expected)).await,
            Some(_) => Err(ErrorKind::StorageUnavailable.into()),
        };
        let answer = match removed {
            Ok(answer) => answer,
            Err(_) => {
                let text = text.unwrap_or_default();
                settle(self.store.set(&self.key, text, expected)).await?
            }
        };
        // What stores of all kinds answer otherwise means nothing.
        Ok(answer.as_bool() != Some(false) || expected.is_undefined())
    }
}

async fn settle(returned: Result<JsValue, JsValue>) -> Result<JsValue, Error> {
    let unavailable = |_| Error::from(ErrorKind::StorageUnavailable);
    let returned = returned.map_err(unavailable)?;
    // Nobody else gets in between what is read and written at once: clients of one tab share a store.
    if !returned.is_object() {
        return Ok(returned);
    }
    JsFuture::from(Promise::resolve(&returned))
        .await
        .map_err(unavailable)
}
