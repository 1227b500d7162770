//! Keeps a client's session in a store, so that it outlives the page and other tabs see it.

use std::cell::{Cell, RefCell};

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::client::{Client, Session};
use crate::error::Error;
use crate::secret::Secret;
use crate::wasm::store::Place;

/// The session's place in a store; without a store a session lives as long as its page.
pub(super) struct Keep {
    place: Option<Place>,
    /// Runs work while no other tab does: `(name, work) => Promise`.
    lock: Option<Function>,
    name: String,
    /// The text that was read or written last: another one comes from another tab.
    seen: RefCell<Option<Secret<String>>>,
    /// Counts the changes that other tabs made.
    changes: Cell<u32>,
}

/// What a look into the store found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// What was known, or there is no store.
    Known,
    /// Another tab renewed the session or signed in.
    Other,
    /// Another tab signed out.
    Gone,
    /// Something that is no session of this client; it was removed.
    Foreign,
}

impl Keep {
    pub(super) fn new(place: Option<Place>, lock: Option<Function>, name: String) -> Self {
        Self {
            place,
            lock,
            name,
            seen: RefCell::default(),
            changes: Cell::default(),
        }
    }

    /// How many changes of other tabs were taken over so far.
    pub(super) fn changes(&self) -> u32 {
        self.changes.get()
    }

    /// Takes over what other tabs did to the session since the last look.
    ///
    /// # Errors
    ///
    /// `storage_unavailable`.
    pub(super) async fn look(&self, client: &RefCell<Client>) -> Result<Found, Error> {
        let Some(place) = &self.place else {
            return Ok(Found::Known);
        };
        let text = place.read().await?;
        let is_known = match (&text, &*self.seen.borrow()) {
            (Some(text), Some(seen)) => seen.ct_eq(text),
            (None, None) => true,
            _ => false,
        };
        if is_known {
            return Ok(Found::Known);
        }
        self.changes.set(self.changes.get().wrapping_add(1));
        let Some(text) = text else {
            self.seen.replace(None);
            client.borrow_mut().forget_session();
            return Ok(Found::Gone);
        };
        let session = {
            let client = client.borrow();
            Session::read(&text, client.config(), client.provider().issuer())
        };
        match session {
            Some(session) => {
                self.seen.replace(Some(Secret::new(text)));
                client.borrow_mut().restore_session(session);
                Ok(Found::Other)
            }
            None => {
                place.remove().await?;
                self.seen.replace(None);
                client.borrow_mut().forget_session();
                Ok(Found::Foreign)
            }
        }
    }

    /// Stores the session as it is now, or removes it.
    ///
    /// # Errors
    ///
    /// `storage_unavailable`.
    pub(super) async fn save(&self, client: &RefCell<Client>) -> Result<(), Error> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        let text = {
            let client = client.borrow();
            let (config, issuer) = (client.config(), client.provider().issuer());
            client
                .session()
                .map(|session| session.to_json(config, issuer))
        };
        // Seen first: who looks while the store is slow must not take it for another tab's.
        self.seen.replace(text.clone());
        match text {
            // EXPOSE: it is stored.
            Some(text) => place.write(text.expose()).await,
            None => place.remove().await,
        }
    }

    /// Runs work while no other tab does, where tabs share the store.
    pub(super) async fn alone(
        &self,
        work: impl FnOnce() -> Promise + 'static,
    ) -> Result<JsValue, JsValue> {
        let promise = match &self.lock {
            None => work(),
            Some(lock) => {
                let work = Closure::once_into_js(work);
                lock.call2(&JsValue::UNDEFINED, &self.name.as_str().into(), &work)?
                    .unchecked_into()
            }
        };
        JsFuture::from(promise).await
    }
}
