//! Keys that sign. Their private part stays with the host.

use std::cell::RefCell;

use js_sys::Uint8Array;
use web_sys::CryptoKey;

use crate::error::Error;
use crate::flow::Event;
use crate::jose::{KeyName, SigningRequest};
use crate::wasm::ambient;
use crate::wasm::subtle::{parameters, settle};

/// The keys that sign for a client or guard, each by its name.
#[derive(Default)]
pub(super) struct SigningKeys(RefCell<Vec<(KeyName, CryptoKey)>>);

impl SigningKeys {
    /// Signs with this key from now on when the name is asked for.
    #[cfg_attr(not(test), allow(dead_code))] // Until somebody gives a key.
    pub(super) fn keep(&self, name: KeyName, key: CryptoKey) {
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
        let key = self
            .0
            .borrow()
            .iter()
            .find_map(|(name, key)| (*name == request.key()).then(|| key.clone()));
        let Some(key) = key else {
            return Ok(Event::SignFailed);
        };
        let signature = ambient::subtle()?.sign_with_object_and_u8_array(
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
