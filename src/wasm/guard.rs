//! The guard for JavaScript.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::error::Error;
use crate::guard::{BearerToken, Check, Guard, Need, Principal, Refusal};
use crate::http::json::{Object, Value};
use crate::wasm::drive::Host;
use crate::wasm::error::to_js;
use crate::wasm::options;

/// A guard; every method may be called while another one is under way.
#[wasm_bindgen(js_name = Guard)]
pub struct JsGuard(Rc<State>);

struct State {
    guard: RefCell<Guard>,
    host: Host,
}

#[wasm_bindgen(js_class = Guard)]
impl JsGuard {
    /// A guard from its options as JSON text and, where they are given, a fetch and a listener for
    /// events as JSON text.
    ///
    /// # Errors
    ///
    /// Those of [`Guard::from_options`].
    #[wasm_bindgen(constructor)]
    pub fn new(
        options_json: &str,
        fetch: Option<Function>,
        on_event: Option<Function>,
    ) -> Result<Self, JsValue> {
        Self::make(&options(options_json)?, fetch, on_event)
    }

    /// As the constructor, from its options as an object. Leave out what is not given.
    ///
    /// # Errors
    ///
    /// Those of [`Guard::from_options`].
    #[cfg(feature = "serde")]
    #[wasm_bindgen(js_name = fromObject)]
    pub fn from_object(
        options: JsValue,
        fetch: Option<Function>,
        on_event: Option<Function>,
    ) -> Result<Self, JsValue> {
        Self::make(&crate::wasm::options_of(options)?, fetch, on_event)
    }

    /// Checks the `Authorization` header of a request: `{ principal, checks }` or `{ refusal }` as JSON
    /// text. It is rejected only for a need that cannot be read.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn check(&self, authorization: Option<String>, need_json: &str) -> Promise {
        let state = Rc::clone(&self.0);
        let need = need(need_json);
        future_to_promise(async move {
            let token = BearerToken::read(authorization.as_deref());
            let mut flow = Check::new(&state.guard.borrow(), token, &need?);
            let text = match state.run(&mut flow).await {
                Ok(principal) => {
                    let checks = Value::from(principal.checked().to_vec()).to_json();
                    format!(
                        r#"{{"principal":{},"checks":{checks}}}"#,
                        principal.to_json()
                    )
                }
                Err(error) => format!(
                    r#"{{"refusal":{}}}"#,
                    Refusal::new(error, flow.need()).to_json()
                ),
            };
            Ok(text.into())
        })
    }

    /// Checks a token: its principal as JSON text. It is rejected for a token that is refused.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn verify(&self, token: &str, need_json: &str) -> Promise {
        let state = Rc::clone(&self.0);
        let token = BearerToken::new(token);
        let need = need(need_json);
        future_to_promise(async move {
            let mut flow = Check::new(&state.guard.borrow(), Ok(token), &need?);
            let principal = state.run(&mut flow).await.map_err(|error| to_js(&error))?;
            Ok(principal.to_json().into())
        })
    }

    /// The outcomes so far, as JSON text.
    pub fn tally(&self) -> String {
        self.0.guard.borrow().tally().to_json()
    }
}

impl JsGuard {
    fn make(
        options: &Object,
        fetch: Option<Function>,
        on_event: Option<Function>,
    ) -> Result<Self, JsValue> {
        let guard = Guard::from_options(options).map_err(|error| to_js(&error))?;
        Ok(Self(Rc::new(State {
            guard: RefCell::new(guard),
            host: Host::new(fetch, on_event),
        })))
    }
}

fn need(text: &str) -> Result<Need, JsValue> {
    Need::from_options(&options(text)?).map_err(|error| to_js(&error))
}

impl State {
    async fn run(&self, flow: &mut Check) -> Result<Principal, Error> {
        let result = self.host.run(&self.guard, flow).await;
        let event = Object::new().with("type", "decided");
        self.host.emit(match &result {
            Ok(principal) => event
                .with("accepted", true)
                .with("checks", principal.checked().to_vec()),
            Err(error) => event.with("accepted", false).with("code", error.code()),
        });
        result
    }
}
