//! One piece of work for several callers, and turns at a shared place.

use std::cell::RefCell;
use std::future::Future;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::wasm::drive::promise;

/// Work that is done once while callers with the same key ask for it.
///
/// Not for Workers across requests: there a request must not await the promise of another. A
/// client belongs to one user, so this does not come up.
#[derive(Default)]
pub(super) struct Shared(RefCell<Option<(String, Promise)>>);

impl Shared {
    /// The promise of the work under this key, begun if there is none.
    pub(super) fn begin(
        &self,
        key: &str,
        work: impl Future<Output = Result<JsValue, JsValue>> + 'static,
    ) -> Promise {
        if let Some((known, promise)) = &*self.0.borrow()
            && known == key
        {
            return promise.clone();
        }
        let promise = promise(work);
        self.0.replace(Some((key.into(), promise.clone())));
        promise
    }

    /// The promise of the work that is under way or was done last, if it is not forgotten.
    pub(super) fn current(&self) -> Option<Promise> {
        self.0.borrow().as_ref().map(|(_, promise)| promise.clone())
    }

    /// Forgets the work under this key, so that the next caller begins anew.
    pub(super) fn end(&self, key: &str) {
        let mut work = self.0.borrow_mut();
        if matches!(&*work, Some((known, _)) if known == key) {
            *work = None;
        }
    }

    /// Forgets whatever there is.
    pub(super) fn clear(&self) {
        self.0.replace(None);
    }
}

/// Lets callers in one after the other: what one reads, changes and writes with awaits in between
/// is not changed by the next.
#[derive(Default)]
pub(super) struct Turns(RefCell<Option<Promise>>);

/// A turn, over when it is dropped.
pub(super) struct Turn(Option<Function>);

impl Turns {
    /// A place in the queue at once, and the turn when it comes.
    pub(super) fn take(&self) -> impl Future<Output = Turn> + use<> {
        let mut done = None;
        let mine = Promise::new(&mut |resolve, _| done = Some(resolve));
        let before = self.0.replace(Some(mine));
        let turn = Turn(done);
        async move {
            if let Some(before) = before {
                // It is resolved by its turn's drop and never rejected.
                let _ = JsFuture::from(before).await;
            }
            turn
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(done) = &self.0 {
            let _ = done.call0(&JsValue::UNDEFINED);
        }
    }
}
