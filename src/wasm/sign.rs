//! Keys that sign. Their private part stays with the host.

use std::cell::RefCell;

use js_sys::{Array, Object, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::CryptoKey;

use crate::error::Error;
use crate::flow::Event;
use crate::jose::{Algorithm, KeyName, SigningRequest};
use crate::wasm::ambient;
use crate::wasm::subtle::{parameters, settle};

/// The keys that sign for a client or guard, each by its name.
#[derive(Default)]
pub(super) struct SigningKeys(RefCell<Vec<(KeyName, Held)>>);

/// A key as the host has it.
#[derive(Clone)]
pub(super) enum Held {
    /// What the host made of it.
    Ready(CryptoKey),
    /// The form and the data that the host imports when it signs for the first time: Workers do
    /// little before their first request.
    #[cfg_attr(not(any(feature = "backend", feature = "guard")), allow(dead_code))]
    Data(&'static str, Object, Algorithm),
}

impl Held {
    async fn import(&self, subtle: &web_sys::SubtleCrypto) -> Result<CryptoKey, JsValue> {
        match self {
            Self::Ready(key) => Ok(key.clone()),
            Self::Data(format, data, algorithm) => {
                // Not extractable: from here on no script reads it.
                let imported = subtle.import_key_with_object(
                    format,
                    data,
                    &parameters(*algorithm),
                    false,
                    &Array::of1(&"sign".into()),
                );
                settle(imported).await.map(JsCast::unchecked_into)
            }
        }
    }
}

impl SigningKeys {
    /// Signs with this key from now on when the name is asked for.
    #[cfg(feature = "client")]
    pub(super) fn keep(&self, name: KeyName, key: CryptoKey) {
        self.hold(name, Held::Ready(key));
    }

    /// The same with a key that may have to be imported.
    pub(super) fn hold(&self, name: KeyName, key: Held) {
        let mut keys = self.0.borrow_mut();
        keys.retain(|(known, _)| *known != name);
        keys.push((name, key));
    }

    /// Signs what is asked for.
    ///
    /// # Errors
    ///
    /// `unsupported_host` without WebCrypto. That there is no such key, or that it does not sign,
    /// is an event.
    pub(super) async fn sign(&self, request: &SigningRequest) -> Result<Event, Error> {
        let name = request.key();
        let held = self
            .0
            .borrow()
            .iter()
            .find_map(|(known, key)| (*known == name).then(|| key.clone()));
        let Some(held) = held else {
            return Ok(Event::SignFailed);
        };
        let subtle = ambient::subtle()?;
        let Ok(key) = held.import(&subtle).await else {
            return Ok(Event::SignFailed);
        };
        if matches!(held, Held::Data(..)) {
            self.hold(name, Held::Ready(key.clone()));
        }
        let signature = subtle.sign_with_object_and_u8_array(
            &parameters(request.algorithm()),
            &key,
            request.message(),
        );
        Ok(match settle(signature).await {
            Ok(signature) => Event::Signed(Uint8Array::new(&signature).to_vec()),
            Err(_) => Event::SignFailed,
        })
    }
}
