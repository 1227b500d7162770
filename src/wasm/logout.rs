//! The receiver of logout tokens for JavaScript.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Function, Promise};
use wasm_bindgen::prelude::*;

use crate::client::{
    CheckLogout, LogoutAnswer, LogoutReceiver, LogoutRequest, LogoutToken, ends_session,
};
use crate::error::Error;
use crate::http::json::Value;
use crate::wasm::drive::{Host, promise};
use crate::wasm::error::to_js;
use crate::wasm::options;

/// Receives the logout tokens of one provider; every method may be called while another one is
/// under way.
#[wasm_bindgen(js_name = LogoutReceiver)]
pub struct JsLogoutReceiver(Rc<State>);

struct State {
    receiver: RefCell<LogoutReceiver>,
    host: Host,
}

#[wasm_bindgen(js_class = LogoutReceiver)]
impl JsLogoutReceiver {
    /// A receiver from its options as JSON text, and, where they are given, a fetch, a listener for
    /// events as JSON text, and what remembers used tokens: `(key, seconds) => boolean`, or a
    /// promise of it.
    ///
    /// # Errors
    ///
    /// Those of [`LogoutReceiver::from_options`].
    #[wasm_bindgen(constructor)]
    pub fn new(
        options_json: &str,
        fetch: Option<Function>,
        on_event: Option<Function>,
        remember: Option<Function>,
    ) -> Result<Self, JsValue> {
        let receiver = LogoutReceiver::from_options(&options(options_json)?);
        let mut receiver = receiver.map_err(|error| to_js(&error))?;
        let host = Host::new(fetch, on_event);
        if let Some(remember) = remember {
            host.set_replay_store(remember);
            receiver.remember_elsewhere();
        }
        Ok(Self(Rc::new(State {
            receiver: RefCell::new(receiver),
            host,
        })))
    }

    /// Checks a request: the answer as JSON text, and who signed out as JSON text or the error.
    #[wasm_bindgen(unchecked_return_type = "Promise<[string, string | Error]>")]
    pub fn check(&self, method: &str, content_type: Option<String>, body: &str) -> Promise {
        let state = Rc::clone(&self.0);
        let request = LogoutRequest::read(method, content_type.as_deref(), body);
        promise(async move {
            let checked = match request {
                Ok(request) => state.check(request).await,
                Err(error) => Err(error),
            };
            Ok(match checked {
                Ok(token) => Array::of2(
                    &LogoutAnswer::ACCEPTED.to_json().into(),
                    &text(&token).into(),
                ),
                Err(error) => Array::of2(
                    &LogoutAnswer::refused(&error).to_json().into(),
                    &to_js(&error),
                ),
            }
            .into())
        })
    }

    /// Checks a token that somebody else took out of its request: who signed out, as JSON text.
    #[wasm_bindgen(js_name = checkToken, unchecked_return_type = "Promise<string>")]
    pub fn check_token(&self, token: &str) -> Promise {
        let state = Rc::clone(&self.0);
        let request = LogoutRequest::of_token(token);
        promise(async move {
            let checked = state.check(request).await;
            checked
                .map(|token| text(&token).into())
                .map_err(|error| to_js(&error))
        })
    }

    /// The answer when the sessions could not be ended, as JSON text.
    pub fn failed(&self) -> String {
        LogoutAnswer::FAILED.to_json()
    }

    /// Whether a logout, as [`JsLogoutReceiver::check`] told of it, ends a session with these claims
    /// of its ID token, as JSON text.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `options` for texts that are no objects.
    pub fn ends(&self, logout_json: &str, claims_json: &str) -> Result<bool, JsValue> {
        Ok(ends_session(&options(logout_json)?, &options(claims_json)?))
    }
}

impl State {
    async fn check(&self, request: LogoutRequest) -> Result<LogoutToken, Error> {
        let mut flow = CheckLogout::new(request);
        self.host.run(&self.receiver, &mut flow).await
    }
}

fn text(token: &LogoutToken) -> String {
    let object = token.to_object().with("checks", token.checked().to_vec());
    Value::from(object).to_json()
}
