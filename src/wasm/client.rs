//! The client for JavaScript.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::client::{
    Attach, Client, Completion, PendingLogins, Refresh, SignIn, SignInOptions, SignOut,
};
use crate::error::{Error, ErrorKind, Phase};
use crate::http::json::{Object, Value};
use crate::wasm::drive::Host;
use crate::wasm::error::to_js;
use crate::wasm::share::{Shared, Turns};
use crate::wasm::store::{self, LoginStore};
use crate::wasm::{ambient, options};

/// A client; every method may be called while another one is under way.
#[wasm_bindgen(js_name = Client)]
pub struct JsClient(Rc<State>);

struct State {
    client: RefCell<Client>,
    host: Host,
    store: LoginStore,
    /// Under which key the store keeps this client's logins.
    store_key: String,
    store_turns: Turns,
    /// One completion for each callback, however often it is asked for.
    completion: Shared,
    refresh: Shared,
}

#[wasm_bindgen(js_class = Client)]
impl JsClient {
    /// A client from its options as JSON text, a store for pending logins, and, where they are
    /// given, a fetch and a listener for events as JSON text.
    ///
    /// # Errors
    ///
    /// Those of [`Client::from_options`].
    #[wasm_bindgen(constructor)]
    pub fn new(
        options_json: &str,
        store: LoginStore,
        fetch: Option<Function>,
        on_event: Option<Function>,
    ) -> Result<Self, JsValue> {
        Self::make(&options(options_json)?, store, fetch, on_event)
    }

    /// As the constructor, from its options as an object. Leave out what is not given.
    ///
    /// # Errors
    ///
    /// Those of [`Client::from_options`].
    #[cfg(feature = "serde")]
    #[wasm_bindgen(js_name = fromObject)]
    pub fn from_object(
        options: JsValue,
        store: LoginStore,
        fetch: Option<Function>,
        on_event: Option<Function>,
    ) -> Result<Self, JsValue> {
        Self::make(&crate::wasm::options_of(options)?, store, fetch, on_event)
    }

    /// Makes an authorization request: the URL to go to.
    #[wasm_bindgen(js_name = signIn, unchecked_return_type = "Promise<string>")]
    pub fn sign_in(&self, options_json: &str) -> Promise {
        let state = Rc::clone(&self.0);
        let options = options(options_json);
        future_to_promise(async move {
            let options = SignInOptions::from_options(&options?).map_err(|error| to_js(&error))?;
            let url = state
                .sign_in(options)
                .await
                .map_err(|error| to_js(&error))?;
            Ok(url.into())
        })
    }

    /// Completes a sign-in from its callback: `{ user?, returnTo?, checks }` as JSON text.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn complete(&self, url: String) -> Promise {
        let state = Rc::clone(&self.0);
        let key = url.clone();
        self.0.completion.begin(&key, async move {
            let result = state.complete(&url).await;
            if result.is_err() {
                state.completion.end();
            }
            result.map(JsValue::from).map_err(|error| to_js(&error))
        })
    }

    /// The access token, renewed when its end is near.
    #[wasm_bindgen(js_name = accessToken, unchecked_return_type = "Promise<string>")]
    pub fn access_token(&self) -> Promise {
        let state = Rc::clone(&self.0);
        future_to_promise(async move {
            let token = match state.token().map_err(|error| to_js(&error))? {
                Some(token) => token,
                None => {
                    let renewal = JsFuture::from(state.refresh()).await.map(|_| ());
                    state.token_after(renewal)?
                }
            };
            Ok(token.into())
        })
    }

    /// Renews the session now.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn refresh(&self) -> Promise {
        self.0.refresh()
    }

    /// Ends the session here: the URL that ends it at the provider, if it offers that.
    #[wasm_bindgen(js_name = signOut, unchecked_return_type = "Promise<string | undefined>")]
    pub fn sign_out(&self) -> Promise {
        let state = Rc::clone(&self.0);
        // Before anything is awaited the session is gone.
        let mut flow = SignOut::new(&mut state.client.borrow_mut());
        state.completion.end();
        state.host.emit(Object::new().with("type", "signed_out"));
        future_to_promise(async move {
            let url = state
                .host
                .run(&state.client, &mut flow)
                .await
                .map_err(|error| to_js(&error))?;
            Ok(url.map_or(JsValue::UNDEFINED, JsValue::from))
        })
    }

    /// The claims of the ID token as JSON text, while someone is signed in.
    pub fn user(&self) -> Option<String> {
        let client = self.0.client.borrow();
        let user = client.session()?.user()?.as_object().clone();
        Some(Value::from(user).to_json())
    }

    /// What can be told of the session without its tokens, as JSON text.
    pub fn state(&self) -> String {
        let client = self.0.client.borrow();
        let Some(session) = client.session() else {
            return Value::from(Object::new().with("signedIn", false)).to_json();
        };
        let subject = session
            .user()
            .and_then(|user| user.string("sub").ok())
            .flatten();
        Value::from(
            Object::new()
                .with("signedIn", true)
                .with("scope", session.scope())
                .with("canRefresh", session.can_refresh())
                .with_some("expiresAt", session.expires_at().map(|at| at.seconds()))
                .with_some("subject", subject),
        )
        .to_json()
    }
}

impl JsClient {
    fn make(
        options: &Object,
        store: LoginStore,
        fetch: Option<Function>,
        on_event: Option<Function>,
    ) -> Result<Self, JsValue> {
        let client = Client::from_options(options).map_err(|error| to_js(&error))?;
        let store_key = format!(
            "gatepass:logins:{} {}",
            client.provider().issuer().as_str(),
            client.config().client_id
        );
        Ok(Self(Rc::new(State {
            client: RefCell::new(client),
            host: Host::new(fetch, on_event),
            store,
            store_key,
            store_turns: Turns::default(),
            completion: Shared::default(),
            refresh: Shared::default(),
        })))
    }
}

impl State {
    async fn load_logins(&self) -> Result<PendingLogins, Error> {
        store::load(&self.store, &self.store_key).await
    }

    async fn save_logins(&self, logins: &PendingLogins) -> Result<(), Error> {
        store::save(&self.store, &self.store_key, logins).await
    }

    async fn sign_in(&self, options: SignInOptions) -> Result<String, Error> {
        let mut flow = SignIn::new(options, ambient::entropy()?);
        let request = self.host.run(&self.client, &mut flow).await?;
        let _turn = self.store_turns.take().await;
        let mut logins = self
            .load_logins()
            .await
            .map_err(|error| error.during(Phase::SignIn))?;
        logins.add(request.login, ambient::now()?);
        self.save_logins(&logins)
            .await
            .map_err(|error| error.during(Phase::SignIn))?;
        Ok(request.url)
    }

    async fn complete(&self, url: &str) -> Result<String, Error> {
        let mut flow = self.claim(url).await?;
        let signed_in = match self.host.run(&self.client, &mut flow).await {
            Ok(signed_in) => signed_in,
            Err(error) if error.retryable() => {
                self.give_back(&flow).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        self.host.emit(Object::new().with("type", "signed_in"));
        let checks = [signed_in.callback_checked, signed_in.id_token_checked].concat();
        let client = self.client.borrow();
        let user = client.session().and_then(|session| session.user());
        let result = Object::new()
            .with_some("user", user.map(|claims| claims.as_object().clone()))
            .with_some("returnTo", signed_in.return_to)
            .with("checks", checks);
        Ok(Value::from(result).to_json())
    }

    /// Takes the login that waits for a callback out of the store.
    async fn claim(&self, url: &str) -> Result<Completion, Error> {
        let _turn = self.store_turns.take().await;
        let mut logins = self
            .load_logins()
            .await
            .map_err(|error| error.during(Phase::Callback))?;
        let now = ambient::now()?;
        let flow = Completion::new(url, &mut logins, &self.client.borrow(), now);
        // Also when the callback is refused: a state that was shown is used up.
        self.save_logins(&logins)
            .await
            .map_err(|error| error.during(Phase::Callback))?;
        flow
    }

    async fn give_back(&self, flow: &Completion) -> Result<(), Error> {
        let _turn = self.store_turns.take().await;
        let mut logins = self.load_logins().await?;
        logins.give_back(flow.login(), ambient::now()?);
        self.save_logins(&logins).await
    }

    /// The access token if it lives long enough; `None` when it has to be renewed first.
    fn token(&self) -> Result<Option<String>, Error> {
        let now = ambient::now()?;
        let client = self.client.borrow();
        let attach = client
            .session()
            .map(|session| session.attach(client.config(), now));
        match attach {
            // EXPOSE: the program asked for it.
            Some(Attach::Token(token)) => Ok(Some(token.expose().clone())),
            Some(Attach::Refresh) => Ok(None),
            _ => Err(Error::from(ErrorKind::LoginRequired).during(Phase::Session)),
        }
    }

    /// The access token after an attempt to renew it.
    fn token_after(&self, renewal: Result<(), JsValue>) -> Result<String, JsValue> {
        let now = ambient::now().map_err(|error| to_js(&error))?;
        let client = self.client.borrow();
        let token = client.session().and_then(|session| match renewal {
            Ok(()) => Some(session.access_token()),
            Err(_) => session.access_token_alive(now),
        });
        match (token, renewal) {
            // EXPOSE: the program asked for it.
            (Some(token), _) => Ok(token.expose().clone()),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(to_js(
                &Error::from(ErrorKind::LoginRequired).during(Phase::Session),
            )),
        }
    }

    /// Renews the session, once for all who ask meanwhile.
    fn refresh(self: &Rc<Self>) -> Promise {
        let state = Rc::clone(self);
        self.refresh.begin("", async move {
            let mut flow = Refresh::new(&state.client.borrow());
            let result = state.host.run(&state.client, &mut flow).await;
            state.refresh.end();
            let event = match &result {
                Ok(()) => Object::new().with("type", "refreshed"),
                Err(error) => Object::new()
                    .with("type", "refresh_failed")
                    .with("code", error.code()),
            };
            state.host.emit(event);
            result
                .map(|()| JsValue::UNDEFINED)
                .map_err(|error| to_js(&error))
        })
    }
}
