//! Where the key comes from that a client's tokens are bound to.

use std::cell::RefCell;

use js_sys::{Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::CryptoKey;

use crate::error::{Error, ErrorKind};
use crate::http::json::{self, Object};

/// The longest public JWK that is read.
const MAX_JWK: usize = 1024;

#[wasm_bindgen]
extern "C" {
    /// Keys by name, made when there is none.
    #[wasm_bindgen(
        typescript_type = "{ get(name: string): Promise<{ privateKey: CryptoKey; jwk: string }>; forget(name: string): Promise<void> }"
    )]
    pub type JsKeyring;
    #[wasm_bindgen(method, catch)]
    fn get(this: &JsKeyring, name: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn forget(this: &JsKeyring, name: &str) -> Result<Promise, JsValue>;
}

/// The key of one client.
pub(super) struct Keyring {
    keys: RefCell<Option<JsKeyring>>,
    name: String,
}

impl Keyring {
    pub(super) fn new(name: String) -> Self {
        Self {
            keys: RefCell::default(),
            name,
        }
    }

    /// From now on the key comes from here.
    pub(super) fn fill(&self, keys: JsKeyring) {
        self.keys.replace(Some(keys));
    }

    /// The key, and its public JWK.
    ///
    /// # Errors
    ///
    /// `storage_unavailable` when the place for keys cannot be read, `unsupported_host` when there
    /// is none, `key_unsuitable` for what is no private key or one that can be read.
    pub(super) async fn take(&self) -> Result<(CryptoKey, Object), Error> {
        let given = {
            let keys = self.keys.borrow();
            let keys = keys.as_ref();
            keys.ok_or_else(|| Error::new(ErrorKind::UnsupportedHost, "dpop"))?
                .get(&self.name)
        };
        let given = settle(given).await?;
        let unsuitable = |_| Error::new(ErrorKind::KeyUnsuitable, "dpop");
        let key = Reflect::get(&given, &"privateKey".into()).map_err(unsuitable)?;
        let key: CryptoKey = key.dyn_into().map_err(unsuitable)?;
        // A key that can be read can be taken away, and the tokens with it.
        if key.extractable() || key.type_() != "private" {
            return Err(unsuitable(JsValue::NULL));
        }
        let jwk = Reflect::get(&given, &"jwk".into()).map_err(unsuitable)?;
        let jwk = jwk.as_string().unwrap_or_default();
        let jwk =
            json::read_object(jwk.as_bytes(), MAX_JWK).map_err(|_| unsuitable(JsValue::NULL))?;
        Ok((key, jwk))
    }

    /// Ends the key: the next one is another.
    ///
    /// # Errors
    ///
    /// `storage_unavailable`.
    pub(super) async fn forget(&self) -> Result<(), Error> {
        let forgotten = self
            .keys
            .borrow()
            .as_ref()
            .map(|keys| keys.forget(&self.name));
        match forgotten {
            Some(forgotten) => settle(forgotten).await.map(|_| ()),
            None => Ok(()),
        }
    }
}

async fn settle(returned: Result<Promise, JsValue>) -> Result<JsValue, Error> {
    let unavailable = |_| Error::from(ErrorKind::StorageUnavailable);
    JsFuture::from(returned.map_err(unavailable)?)
        .await
        .map_err(unavailable)
}
