//! The program's own end of what takes long.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::error::{Error, ErrorKind};
use crate::options::invalid;

#[wasm_bindgen]
extern "C" {
    /// An `AbortSignal` of any realm.
    #[wasm_bindgen(typescript_type = "AbortSignal")]
    pub type Signal;
    #[wasm_bindgen(method, getter, catch)]
    fn aborted(this: &Signal) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = addEventListener)]
    fn add_event_listener(this: &Signal, kind: &str, listener: &Function) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = removeEventListener)]
    fn remove_event_listener(this: &Signal, kind: &str, listener: &Function)
    -> Result<(), JsValue>;
}

/// A signal that is listened to.
pub(super) struct Abort {
    signal: Signal,
    listener: Function,
    over: Promise,
}

impl Abort {
    /// Listens to a signal.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `signal` when it is none, `aborted` when it is over already.
    pub(super) fn listen(signal: Signal) -> Result<Self, Error> {
        let mut listener = None;
        let over = Promise::new(&mut |resolve, _| listener = Some(resolve));
        let listener = listener.ok_or(ErrorKind::Internal)?;
        match signal.aborted().map(|aborted| aborted.as_bool()) {
            Ok(Some(false)) => {}
            Ok(Some(true)) => return Err(ErrorKind::Aborted.into()),
            _ => return Err(invalid("signal")),
        }
        signal
            .add_event_listener("abort", &listener)
            .map_err(|_| invalid("signal"))?;
        Ok(Self {
            signal,
            listener,
            over,
        })
    }

    /// The outcome of some work, unless the signal comes first.
    pub(super) async fn or<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut work = pin!(work);
        let mut over = pin!(JsFuture::from(self.over.clone()));
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => over
                .as_mut()
                .poll(context)
                .map(|_| Err(ErrorKind::Aborted.into())),
        })
        .await
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        let _ = self.signal.remove_event_listener("abort", &self.listener);
    }
}
